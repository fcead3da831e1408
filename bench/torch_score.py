"""bench/torch_score.py FILE

PyTorch's side of bench/serving.sh: log-likelihoods of rows of token ids (a row a line) under a model of M's shape, in float32, in bfloat16
by autocast and with a model in bfloat16, on THREADS threads (2). Rows are sorted by length and padded, batches of at most TOKENS (1024)
tokens. Prints real tokens per second of the best of three passes of each mode.
"""
import os
import sys
import time

import torch

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "test", "reference"))
from gpt2 import GPT2

END_OF_TEXT = 50256
most = int(os.environ.get("TOKENS", 1024))
torch.set_num_threads(int(os.environ.get("THREADS", 2)))
torch.manual_seed(1)
with open(sys.argv[1]) as file:
    rows = sorted(([int(id) for id in line.split()] for line in file), key=len)
model = GPT2(50257, 256, 12, 12, 768).eval()

batches, batch = [], []
for row in rows:
    if batch and (len(batch) + 1) * len(row) > most:
        batches.append(batch)
        batch = []
    batch.append(row)
batches.append(batch)


def score(batch, autocast):
    longest = len(batch[-1])
    inputs = torch.tensor([[END_OF_TEXT] + row[:-1] + [0] * (longest - len(row)) for row in batch])
    targets = torch.tensor([row + [-1] * (longest - len(row)) for row in batch])
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        logits = model(inputs)
    losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=-1, reduction="none")
    return -losses.view(len(batch), longest).sum(1)


results = []
with torch.inference_mode():
    for mode in ("float32", "autocast", "bfloat16"):
        if mode == "bfloat16":
            model = model.bfloat16()
        seconds = []
        for _ in range(3):
            started = time.perf_counter()
            for batch in batches:
                score(batch, mode == "autocast")
            seconds.append(time.perf_counter() - started)
        results.append("%s=%.0f" % (mode, sum(map(len, rows)) / min(seconds)))
print(*results)
