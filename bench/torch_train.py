"""bench/torch_train.py MODEL STEPS

PyTorch's side of the speed comparison: forward, backward, clipping and AdamW of the shapes of bench/shapes.h
on random tokens, in float32 on THREADS threads (2). Prints tokens per second of the median step and the
losses, as bench/train.c does. Configured fairly: the OpenMP flavour of OpenBLAS (bench/run.sh sees to it), one
warm-up of two steps, gradients set to None.
"""
import os
import sys
import time

import torch

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "test", "reference"))
from gpt2 import GPT2

SHAPES = dict(XS=(4, 4, 128, 128, 32, 1024), S=(6, 6, 384, 256, 16, 256), M=(12, 12, 768, 256, 4, 50257))
layers, heads, channels, context, batch, vocabulary = SHAPES[sys.argv[1]]
steps = int(sys.argv[2])
torch.set_num_threads(int(os.environ.get("THREADS", 2)))
torch.manual_seed(1)
model = GPT2(vocabulary, context, layers, heads, channels)
optimizer = torch.optim.AdamW(model.groups(0.1), lr=1e-3, betas=(0.9, 0.95), eps=1e-8)
times, losses = [], []
for step in range(steps + 2):
    x = torch.randint(vocabulary, (batch, context))
    y = torch.randint(vocabulary, (batch, context))
    started = time.perf_counter()
    loss = model.loss(x, y)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    times.append(time.perf_counter() - started)
    losses.append(loss.item())
times = sorted(times[2:])
print("torch %s %s tokens_per_second %.0f best %.0f loss %.4f %.4f" % (
    torch.__version__, sys.argv[1], batch * context / times[len(times) // 2], batch * context / times[0], losses[0], losses[-1]))
