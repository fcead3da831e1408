"""test/reference/contrastive.py OUT-FOLDER

Contrastive training, for test/unit/test_pytorch.c: contrastive.safetensors, in the form of make_fixtures.py without
logits, ten steps of AdamW on groups of a query, its positive and a negative, of unequal weights. Also lengths (of the
texts, whose tokens are their bytes), group (texts of a group) and recalls of all steps.

The loss is written from its definition in docs/sql.md ("Pairs for search"): an embedding is a linear map of the
projection of a text's runs of letters (include/engine/search.h) and of its mean hidden state, and the loss InfoNCE (van
den Oord et al. 2018, equation 4) in both directions. Groups share texts, which are then no negatives of each other.
"""
import os
import sys

import torch
import torch.nn as nn
import torch.nn.functional as F

from gpt2 import GPT2, save_safetensors, tensors

GROUPS = [("broken screen", "the screen is broken", "sunny day"), ("late parcel", "where is my parcel", "old hat"),
          ("broken screen", "cracked glass", "sunny day"), ("Sunny day!", "hot, 30 degrees", "late parcel"),
          ("cracks", "cracked glass", "where is my parcel")]
WEIGHTS = torch.tensor([1.5, 0.5, 1.0, 2.0, 0.75])
TEMPERATURE, HIDDEN = 0.5, 0.3
RUNS, NUMBERS, CHANNELS, STEPS = 2048, 4, 8, 10
WORD = 2**64 - 1


def mix(value, letter):
    value = ((value ^ letter) * 0xF1357AEA2E62A9C5) & WORD
    return value ^ value >> 32


def pieces(text):
    """Runs of letters and digits, and of other signs; spaces part them."""
    kinds = [0 if c.isspace() else 1 if c.isalnum() else 2 for c in text]
    found = []
    for i, c in enumerate(text):
        if kinds[i] and i and kinds[i] == kinds[i - 1]:
            found[-1] += c.lower()
        elif kinds[i]:
            found.append(c.lower())
    return found


def projection(text):
    """Each run of 2 to 4 letters has four places of a vector, with signs."""
    sums = torch.zeros(RUNS, dtype=torch.float64)
    for piece in pieces(text):
        letters = [0x110001] + [ord(c) for c in piece] + [0x110002]
        for end in range(1, len(letters)):
            run = mix(1, letters[end])
            for start in range(end - 1, max(-1, end - 4), -1):
                run = mix(run, letters[start])
                bits = ((run ^ run >> 29) * 0xBF58476D1CE4E5B9) & WORD
                bits ^= bits >> 32
                for place in range(4):
                    here = bits >> 16 * place
                    sums[here & RUNS - 1] += -1 if here >> 15 & 1 else 1
    return (sums / sums.norm()).float()


class Embedder(nn.Module):
    def __init__(self):
        super().__init__()
        self.network = GPT2(256, 24, 1, 2, CHANNELS)
        self.runs = nn.Parameter(torch.randn(NUMBERS, RUNS) * 0.02)
        self.hidden = nn.Parameter(torch.randn(NUMBERS, CHANNELS) * 0.3)

    def forward(self, text):
        network, x = self.network, torch.tensor([list(text.encode())])
        states = network.wte(x) + network.wpe.weight[: x.shape[1]]
        for block in network.h:
            states = block(states, network.mask)
        mean = network.ln_f(states)[0].mean(0) * HIDDEN / CHANNELS**0.5
        return F.normalize(self.runs @ projection(text) + self.hidden @ mean, dim=0)

    def groups(self, weight_decay):
        decayed, others = self.network.groups(weight_decay)
        others["params"] = others["params"] + [self.runs, self.hidden]
        return [decayed, others]


def are_alike(one, other):
    """Rows that share a query or a positive, in either role."""
    return bool({one[0], one[1]} & {other[0], other[1]})


def losses(model):
    """The loss of each group, and whether its positive is nearest to its query."""
    z = [[model(text) for text in group] for group in GROUPS]
    loss, found = [], []
    for i, group in enumerate(GROUPS):
        own = z[i][0] @ z[i][1] / TEMPERATURE
        forward, reverse = [own], [own]
        for j, other in enumerate(GROUPS):
            for part in 1, 2:
                apart = other[part] not in group[:2] and (part == 2 or not are_alike(group, other))
                if (i, 1) != (j, part) and apart:
                    forward.append(z[i][0] @ z[j][part] / TEMPERATURE)
            if i != j and not are_alike(group, other):
                reverse.append(z[i][1] @ z[j][0] / TEMPERATURE)
        loss.append((torch.logsumexp(torch.stack(forward), 0) + torch.logsumexp(torch.stack(reverse), 0)) / 2 - own)
        found.append(float(all(own > s for s in forward[1:])))
    return torch.stack(loss), torch.tensor(found)


def snapshot(model, prefix="", of=lambda p: p):
    named = {prefix + name: t.clone() for name, t in tensors(model.network, of).items()}
    for name, p in ("embedding.runs.weight", model.runs), ("embedding.hidden.weight", model.hidden):
        named[prefix + name] = of(p).detach().clone()
    return named


def main(path):
    torch.manual_seed(37)
    model = Embedder()
    with torch.no_grad():
        for p in model.network.parameters():
            p.add_(torch.randn_like(p) * 0.15)
    texts = [list(text.encode()) for group in GROUPS for text in group]
    sizes = torch.tensor([len(text) for text in texts])
    named = snapshot(model)
    named["tokens"] = torch.tensor(sum(texts, [])).float()
    named["targets"] = named["tokens"].clone()
    named["weights"] = torch.repeat_interleave(WEIGHTS.repeat_interleave(3), sizes)
    named["lengths"] = sizes.float()
    named["group"] = torch.tensor([3.0])
    optimizer = torch.optim.AdamW(model.groups(0.1), lr=1e-2, betas=(0.9, 0.95), eps=1e-8)
    means, recalls = [], []
    for step in range(STEPS):
        of_groups, found = losses(model)
        loss = (of_groups * WEIGHTS).sum() / WEIGHTS.sum()
        optimizer.zero_grad()
        loss.backward()
        means.append(loss.item())
        recalls.append(((found * WEIGHTS).sum() / WEIGHTS.sum()).item())
        if step == 0:
            named.update(snapshot(model, "gradient.", lambda p: p.grad))
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    named.update(losses=torch.tensor(means), recalls=torch.tensor(recalls))
    named.update(snapshot(model, "after."))
    save_safetensors(path, named)
    print(path, ["%.4f" % x for x in means], ["%.2f" % x for x in recalls])


if __name__ == "__main__":
    torch.set_num_threads(1)
    os.makedirs(sys.argv[1], exist_ok=True)
    main(os.path.join(sys.argv[1], "contrastive.safetensors"))
