"""test/reference/preferences.py OUT-FOLDER

Learning from pairs, for test/unit/test_pytorch.c: dpo.safetensors and orpo.safetensors, in the form of make_fixtures.py,
ten steps of AdamW on two pairs of unequal weights. Also lengths (of the four sequences: chosen, rejected, chosen,
rejected), values (at the last row of each, the log-likelihood under the reference), margins and accuracies of all steps.

The losses are written from the papers: Rafailov et al. 2023, equation 7, with the smoothing of Mitchell 2023, equation 3;
Hong et al. 2024, equations 4 to 7.
"""
import os
import sys

import torch
import torch.nn.functional as F

from gpt2 import GPT2, save_safetensors, tensors

LENGTHS = [12, 9, 5, 7]
PROMPTS = [4, 4, 2, 2]  # rows that are not predicted
PAIR_WEIGHTS = torch.tensor([1.5, 0.5])
STEPS = 10
DPO_BETA, DPO_SMOOTHING, ORPO_BETA = 0.3, 0.1, 0.2


def likelihoods(model, sequences):
    """The log-likelihood of each answer, and its number of tokens."""
    sums = []
    for (x, y), prompt in zip(sequences, PROMPTS):
        logs = F.log_softmax(model(x[None])[0], dim=-1)
        sums.append(logs.gather(1, y.clamp(min=0)[:, None])[prompt:, 0].sum())
    counts = torch.tensor([float(n - p) for n, p in zip(LENGTHS, PROMPTS)])
    return torch.stack(sums), counts


def dpo(policy, counts, reference):
    ratios = policy - reference
    h = DPO_BETA * (ratios[0::2] - ratios[1::2])
    return -(1 - DPO_SMOOTHING) * F.logsigmoid(h) - DPO_SMOOTHING * F.logsigmoid(-h), h


def orpo(policy, counts, reference):
    means = policy / counts
    odds = means - torch.log1p(-torch.exp(means))
    return -means[0::2] - ORPO_BETA * F.logsigmoid(odds[0::2] - odds[1::2]), ORPO_BETA * (means[0::2] - means[1::2])


def snapshot(model, prefix="", of=lambda p: p):
    return {prefix + name: t.clone() for name, t in tensors(model, of).items()}


def make(path, loss_of):
    torch.manual_seed(31)
    model = GPT2(23, 12, 1, 2, 16)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn_like(p) * 0.15)
    sequences = []
    for n, prompt in zip(LENGTHS, PROMPTS):
        x, y = torch.randint(23, (n,)), torch.randint(23, (n,))
        y[:prompt] = -1
        sequences.append((x, y))
    with torch.no_grad():
        reference, counts = likelihoods(model, sequences)
        for p in model.parameters():
            p.add_(torch.randn_like(p) * 0.1)
    ends = torch.tensor(LENGTHS).cumsum(0) - 1
    rows = torch.zeros(sum(LENGTHS))
    named = snapshot(model)
    named["tokens"] = torch.cat([x for x, _ in sequences]).float()
    named["targets"] = torch.cat([y for _, y in sequences]).float()
    named["weights"] = torch.repeat_interleave(PAIR_WEIGHTS.repeat_interleave(2), torch.tensor(LENGTHS))
    named["lengths"] = torch.tensor(LENGTHS).float()
    named["values"] = rows.index_copy(0, ends, reference)
    named["logits"] = torch.cat([model(x[None])[0] for x, _ in sequences]).detach()
    optimizer = torch.optim.AdamW(model.groups(0.1), lr=1e-2, betas=(0.9, 0.95), eps=1e-8)
    losses, margins, accuracies = [], [], []
    for step in range(STEPS):
        policy, counts = likelihoods(model, sequences)
        pairs, margin = loss_of(policy, counts, reference)
        loss = (pairs * PAIR_WEIGHTS).sum() / PAIR_WEIGHTS.sum()
        optimizer.zero_grad()
        loss.backward()
        losses.append(loss.item())
        margins.append(((margin * PAIR_WEIGHTS).sum() / PAIR_WEIGHTS.sum()).item())
        accuracies.append((((margin > 0) * PAIR_WEIGHTS).sum() / PAIR_WEIGHTS.sum()).item())
        if step == 0:
            named.update(snapshot(model, "gradient.", lambda p: p.grad))
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    named.update(losses=torch.tensor(losses), margins=torch.tensor(margins), accuracies=torch.tensor(accuracies))
    named.update(snapshot(model, "after."))
    save_safetensors(path, named)
    print(path, ["%.4f" % x for x in losses], ["%.2f" % x for x in accuracies])


if __name__ == "__main__":
    torch.set_num_threads(1)
    os.makedirs(sys.argv[1], exist_ok=True)
    make(os.path.join(sys.argv[1], "dpo.safetensors"), dpo)
    make(os.path.join(sys.argv[1], "orpo.safetensors"), orpo)
