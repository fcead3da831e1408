"""test/reference/make_fixtures.py OUT-FOLDER SAMPLE

Writes the engine's fixtures, made by PyTorch from test/reference/gpt2.py; SAMPLE is Tiny Shakespeare. The same
run gives the same bytes: one thread, fixed seeds.

  trace/            60 AdamW steps of a small model: init.safetensors, data.u16, trace.json
  gpt2-*.safetensors  for each of some configurations: weights ("transformer..."), tokens, targets and weights of
                    a packed batch as float, its logits, its loss, the gradient ("gradient.<name>"), and the
                    weights after ten steps on that batch ("after.<name>")
  labels.safetensors  rows with several labels: logits, which labels each row has, weights of rows, the loss of each row by
                    BCEWithLogitsLoss, and the gradient of the weighted sum of losses with smoothed targets
  gpt2-adapter.safetensors  the same for an adapter beside frozen weights ("base_model.model...")
"""
import json
import os
import sys

import torch
import torch.nn.functional as F

from gpt2 import GPT2, adapt, adapter_tensors, learning_rate, save_safetensors, tensors

LENGTHS = [12, 5, 1, 9]  # of the sequences in the packed batch


def make_trace(folder, sample):
    os.makedirs(folder, exist_ok=True)
    torch.manual_seed(11)
    model = GPT2(64, 32, 2, 2, 24)
    text = open(sample, "rb").read()[:12000]
    letters = sorted(set(text))
    assert len(letters) <= 64
    data = torch.tensor([letters.index(c) for c in text])
    with open(os.path.join(folder, "data.u16"), "wb") as f:
        f.write(b"".join(int(i).to_bytes(2, "little") for i in data))
    save_safetensors(os.path.join(folder, "init.safetensors"), tensors(model))
    starts = torch.randint(len(data) - 32, (60, 4))
    optimizer = torch.optim.AdamW(model.groups(0.1), lr=1e-3, betas=(0.9, 0.95), eps=1e-8)
    trace = []
    for step in range(60):
        x = torch.stack([data[s : s + 32] for s in starts[step]])
        y = torch.stack([data[s + 1 : s + 33] for s in starts[step]])
        rate = learning_rate(step, 60, 1e-3, 1e-4, 5)
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = model.loss(x, y)
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        trace.append(dict(step=step, lr=rate, loss=loss.item(), grad_norm_before_clip=norm.item()))
    with open(os.path.join(folder, "trace.json"), "w") as f:
        json.dump(dict(batch=4, seq=32, steps=60, starts=starts.tolist(), trace=trace), f, indent=0)


def snapshot(model, prefix="", of=lambda p: p):
    return {prefix + name: t.clone() for name, t in tensors(model, of).items()}


def packed_loss(model, sequences, weights):
    """Loss of the packed batch, sequence by sequence: attention and positions begin anew in each."""
    logits = torch.cat([model(x[None])[0] for x, _ in sequences])
    targets = torch.cat([y for _, y in sequences])
    nll = F.cross_entropy(logits, targets, reduction="none")
    return logits, (nll * weights).sum() / weights.sum()


def make_model(path, **switches):
    torch.manual_seed(12)
    model = GPT2(23, 12, 2, 2, 16, **switches)
    # Larger weights than at the start of training, so that every term matters.
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn_like(p) * 0.15)
    sequences = [(torch.randint(23, (n,)), torch.randint(23, (n,))) for n in LENGTHS]
    weights = torch.randint(0, 5, (sum(LENGTHS),)).float() / 2
    named = snapshot(model)
    named["tokens"] = torch.cat([x for x, _ in sequences]).float()
    named["targets"] = torch.cat([y for _, y in sequences]).float()
    named["weights"] = weights
    optimizer = torch.optim.AdamW(model.groups(0.1), lr=1e-2, betas=(0.9, 0.95), eps=1e-8)
    losses = []
    for step in range(10):
        logits, loss = packed_loss(model, sequences, weights)
        optimizer.zero_grad()
        loss.backward()
        losses.append(loss.item())
        if step == 0:
            named["logits"] = logits.detach()
            named.update(snapshot(model, "gradient.", lambda p: p.grad))
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    named["losses"] = torch.tensor(losses)
    named.update(snapshot(model, "after."))
    save_safetensors(path, named)


def make_labels(path):
    torch.manual_seed(13)
    logits = (torch.randn(9, 7) * 4).requires_grad_()
    members = torch.randint(0, 2, (9, 7)).float()
    members[3] = 0
    members[4] = 1
    weights = torch.randint(1, 5, (9,)).float() / 2
    loss = torch.nn.BCEWithLogitsLoss(reduction="none")
    smoothing = 0.2
    smoothed = members * (1 - smoothing) + smoothing / 2
    (loss(logits, smoothed).sum(1) * weights).sum().backward()
    named = dict(logits=logits.detach(), members=members, weights=weights, smoothing=torch.tensor([smoothing]))
    named.update(losses=loss(logits, members).sum(1).detach(), gradient=logits.grad)
    save_safetensors(path, named)


def make_adapter(path):
    torch.manual_seed(13)
    model = GPT2(23, 12, 2, 2, 16)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn_like(p) * 0.15)
    named = snapshot(model)
    adapt(model, 4, 6)
    trained = [p for p in model.parameters() if p.requires_grad]
    with torch.no_grad():
        for p in trained:
            p.add_(torch.randn_like(p) * 0.15)
    sequences = [(torch.randint(23, (n,)), torch.randint(23, (n,))) for n in LENGTHS]
    weights = torch.randint(0, 5, (sum(LENGTHS),)).float() / 2
    named.update({name: t.clone() for name, t in adapter_tensors(model).items()})
    named["tokens"] = torch.cat([x for x, _ in sequences]).float()
    named["targets"] = torch.cat([y for _, y in sequences]).float()
    named["weights"] = weights
    optimizer = torch.optim.AdamW(trained, lr=1e-2, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)
    losses = []
    for step in range(10):
        logits, loss = packed_loss(model, sequences, weights)
        optimizer.zero_grad()
        loss.backward()
        losses.append(loss.item())
        if step == 0:
            named["logits"] = logits.detach()
            named.update({"gradient." + name: t.clone() for name, t in adapter_tensors(model, lambda p: p.grad).items()})
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
    named["losses"] = torch.tensor(losses)
    named.update({"after." + name: t.clone() for name, t in adapter_tensors(model).items()})
    save_safetensors(path, named)


def main():
    torch.set_num_threads(1)
    out, sample = sys.argv[1], sys.argv[2]
    os.makedirs(out, exist_ok=True)
    make_trace(os.path.join(out, "trace"), sample)
    make_model(os.path.join(out, "gpt2-tanh.safetensors"))
    make_model(os.path.join(out, "gpt2-erf-untied-sinusoidal.safetensors"), bias=False, gelu="none", tie=False, position="sinusoidal")
    make_labels(os.path.join(out, "labels.safetensors"))
    make_adapter(os.path.join(out, "gpt2-adapter.safetensors"))


main()
