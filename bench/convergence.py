"""bench/convergence.py OUT-FOLDER SAMPLE

PyTorch's side of the convergence comparison: model S on Tiny Shakespeare bytes, the nanoGPT recipe
(AdamW 1e-3 to 1e-4, cosine over 1,000 steps, warm-up 100, betas 0.9/0.99, decay 0.1, clip 1, no dropout).
Writes the initial weights, the offsets of every batch and the losses, so that bench/convergence.c can
train from the same start on the same batches.
"""
import json
import os
import sys
import time

import torch

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "test", "reference"))
from gpt2 import GPT2, learning_rate, save_safetensors, tensors

STEPS, BATCH, CONTEXT = int(os.environ.get("STEPS", 1000)), 16, 256
out, sample = sys.argv[1], sys.argv[2]
os.makedirs(out, exist_ok=True)
torch.set_num_threads(int(os.environ.get("THREADS", 2)))
torch.manual_seed(1)
model = GPT2(256, CONTEXT, 6, 6, 384)
data = torch.tensor(list(open(sample, "rb").read()))
cut = len(data) * 9 // 10
train, held = data[:cut], data[cut:]
save_safetensors(os.path.join(out, "initial.safetensors"), tensors(model))
offsets = torch.randint(len(train) - CONTEXT, (1000, BATCH), generator=torch.Generator().manual_seed(2))
with open(os.path.join(out, "offsets.u32"), "wb") as f:
    f.write(offsets.int().numpy().tobytes())
optimizer = torch.optim.AdamW(model.groups(0.1), lr=1e-3, betas=(0.9, 0.99), eps=1e-8)


def validate():
    windows = (len(held) - 1) // CONTEXT
    x = held[: windows * CONTEXT].view(windows, CONTEXT)
    y = held[1 : windows * CONTEXT + 1].view(windows, CONTEXT)
    with torch.no_grad():
        losses = [model.loss(x[i : i + 16], y[i : i + 16]).item() * len(x[i : i + 16]) for i in range(0, windows, 16)]
    return sum(losses) / windows


result = dict(torch=torch.__version__, steps=STEPS, train=[], validation={0: validate()})
started = time.time()
for step in range(STEPS):
    x = torch.stack([train[o : o + CONTEXT] for o in offsets[step]])
    y = torch.stack([train[o + 1 : o + 1 + CONTEXT] for o in offsets[step]])
    rate = learning_rate(step, 1000, 1e-3, 1e-4, 100)
    for group in optimizer.param_groups:
        group["lr"] = rate
    loss = model.loss(x, y)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    result["train"].append(loss.item())
    if step + 1 in (50, 100, 150, 200, 250, 500, 750, 1000):
        result["validation"][step + 1] = validate()
        print(step + 1, loss.item(), result["validation"][step + 1], "%.0f s" % (time.time() - started), flush=True)
        with open(os.path.join(out, "torch.json"), "w") as f:
            json.dump(result, f)
