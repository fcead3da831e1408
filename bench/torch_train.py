"""bench/torch_train.py MODEL STEPS

PyTorch's side of the speed comparison: forward, backward, clipping and AdamW of the shapes of bench/shapes.h, on the
tokens of bench/train.c, in PRECISION (float32, or bfloat16: autocast) on THREADS threads (2). Prints tokens per second of
the median step and the losses. Configured fairly: the OpenMP flavour of OpenBLAS (bench/run.sh sees to it), one warm-up of
two steps, gradients set to None.
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
bfloat16 = os.environ.get("PRECISION", "float32") != "float32"
state = 1


def next_batch():
    """bench/train.c's fill."""
    global state
    rows = []
    for _ in range(batch):
        token, row = 0, []
        for t in range(context + 1):
            state = (state * 6364136223846793005 + 1442695040888963407) & 0xFFFFFFFFFFFFFFFF
            word = state >> 33
            token = (word >> 2) % vocabulary if t == 0 or word % 4 == 0 else (token * 7 + 3) % vocabulary
            row.append(token)
        rows.append(row)
    tokens = torch.tensor(rows)
    return tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()


times, losses = [], []
for step in range(steps + 2):
    x, y = next_batch()
    started = time.perf_counter()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
        loss = model.loss(x, y)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    times.append(time.perf_counter() - started)
    losses.append(loss.item())
times = sorted(times[2:])
print("torch %s tokens_per_second %.0f best %.0f (%s, torch %s, %d threads)" % (
    sys.argv[1], batch * context / times[len(times) // 2], batch * context / times[0],
    "bfloat16 by autocast" if bfloat16 else "float32", torch.__version__, torch.get_num_threads()))
print("torch %s loss" % sys.argv[1], " ".join(
    "%d %.4f" % (step, losses[step]) for step in range(0, steps + 2, (steps + 9) // 8)))
