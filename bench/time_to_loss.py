"""bench/time_to_loss.py SAMPLE

PyTorch's side of the comparison of time to a loss: model S on Tiny Shakespeare bytes, the nanoGPT recipe (AdamW 1e-3 to
1e-4, cosine over 1,000 steps, warm-up 100, betas 0.9/0.99, decay 0.1, clip 1, no dropout), in the faster of float32 and
bfloat16 autocast. Prints mode, and for steps 250 and 1,000 "step nats_per_byte seconds": the seconds of the steps alone,
without validation.
"""
import os
import sys
import time

import torch

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "test", "reference"))
from gpt2 import GPT2, learning_rate

STEPS, BATCH, CONTEXT, PROBES = int(os.environ.get("STEPS", 1000)), 16, 256, 8
torch.set_num_threads(int(os.environ.get("THREADS", 2)))
data = torch.tensor(list(open(sys.argv[1], "rb").read()))
cut = len(data) * 9 // 10
train, held = data[:cut], data[cut:]


class Run:
    def __init__(self, bfloat16):
        torch.manual_seed(1)
        self.bfloat16 = bfloat16
        self.model = GPT2(256, CONTEXT, 6, 6, 384)
        self.optimizer = torch.optim.AdamW(self.model.groups(0.1), lr=1e-3, betas=(0.9, 0.99), eps=1e-8)

    def loss(self, x, y):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.bfloat16):
            return self.model.loss(x, y)

    def step(self, number):
        started = time.perf_counter()
        offsets = torch.randint(len(train) - CONTEXT, (BATCH,))
        x = torch.stack([train[o : o + CONTEXT] for o in offsets])
        y = torch.stack([train[o + 1 : o + 1 + CONTEXT] for o in offsets])
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(number, 1000, 1e-3, 1e-4, 100)
        loss = self.loss(x, y)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return time.perf_counter() - started

    def validate(self):
        windows = (len(held) - 1) // CONTEXT
        x = held[: windows * CONTEXT].view(windows, CONTEXT)
        y = held[1 : windows * CONTEXT + 1].view(windows, CONTEXT)
        with torch.no_grad():
            losses = [self.loss(x[i : i + 16], y[i : i + 16]).item() * len(x[i : i + 16]) for i in range(0, windows, 16)]
        return sum(losses) / windows


probes = [Run(False), Run(True)]
times = [sorted(run.step(n) for n in range(PROBES))[PROBES // 2] for run in probes]
faster = times[1] < times[0]
print("torch %s, float32 %.3f s a step, bfloat16 %.3f s: %s" % (torch.__version__, *times, "bfloat16" if faster else "float32"), flush=True)
run, seconds = Run(faster), 0.0
for step in range(STEPS):
    seconds += run.step(step)
    if step + 1 in (250, 1000):
        print("%d %.4f %.1f" % (step + 1, run.validate(), seconds), flush=True)
