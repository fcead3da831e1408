"""test/reference/architecture.py OUT-FOLDER

Prefixes and encoders for test/unit/test_pytorch.c: the same files as make_fixtures.py writes, with the prefix of
each sequence in "prefixes". Rows of a prefix have no target. An encoder's rows have no logits: they are 0 here.

  prefix.safetensors           GPT-2 whose rows of a prefix see all of it
  encoder-decoder.safetensors  an encoder of one block for the prefix, two blocks of a decoder with cross-attention, and
                               norms of the queries and keys of each head
"""
import math
import os
import sys

import torch
import torch.nn as nn
import torch.nn.functional as F

from gpt2 import Norm, save_safetensors

LENGTHS = [12, 5, 1, 9]  # of the sequences in the packed batch
PREFIXES = [5, 2, 0, 4]  # of them, rows of the prefix
VOCABULARY, CONTEXT, HEADS, CHANNELS = 23, 12, 2, 16


class HeadNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(CHANNELS // HEADS))

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * self.weight


class Attention(nn.Module):
    """Queries of x, keys and values of y; seen [rows of x, rows of y] says which of them a row sees."""

    def __init__(self, crosses, norms):
        super().__init__()
        self.c_attn = nn.Linear(CHANNELS, (2 if crosses else 3) * CHANNELS)
        self.q_attn = nn.Linear(CHANNELS, CHANNELS) if crosses else None
        self.q_norm = HeadNorm() if norms else None
        self.k_norm = HeadNorm() if norms else None
        self.c_proj = nn.Linear(CHANNELS, CHANNELS)

    def forward(self, x, y, seen):
        if self.q_attn is None:
            q, k, v = self.c_attn(x).split(CHANNELS, dim=1)
        else:
            q, (k, v) = self.q_attn(x), self.c_attn(y).split(CHANNELS, dim=1)
        q, k, v = (t.view(len(t), HEADS, CHANNELS // HEADS).transpose(0, 1) for t in (q, k, v))
        if self.q_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        if k.shape[1] == 0:
            return self.c_proj(torch.zeros_like(x))
        scores = (q @ k.transpose(1, 2)) / math.sqrt(CHANNELS // HEADS)
        a = F.softmax(scores.masked_fill(~seen, float("-inf")), dim=-1) @ v
        return self.c_proj(a.transpose(0, 1).reshape(len(x), CHANNELS))


class MLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.c_fc = nn.Linear(CHANNELS, 4 * CHANNELS)
        self.c_proj = nn.Linear(4 * CHANNELS, CHANNELS)

    def forward(self, x):
        return self.c_proj(F.gelu(self.c_fc(x), approximate="tanh"))


class Block(nn.Module):
    def __init__(self, crosses, norms):
        super().__init__()
        self.ln_1 = Norm(CHANNELS, True)
        self.attn = Attention(False, norms)
        self.ln_cross_attn = Norm(CHANNELS, True) if crosses else None
        self.crossattention = Attention(True, norms) if crosses else None
        self.ln_2 = Norm(CHANNELS, True)
        self.mlp = MLP()

    def forward(self, x, seen, encoded=None):
        x = x + self.attn(self.ln_1(x), None, seen)
        if self.crossattention is not None:
            everything = torch.ones(len(x), len(encoded), dtype=torch.bool)
            x = x + self.crossattention(self.ln_cross_attn(x), encoded, everything)
        return x + self.mlp(self.ln_2(x))


class Stack(nn.Module):
    def __init__(self, layers, crosses, norms):
        super().__init__()
        self.h = nn.ModuleList([Block(crosses, norms) for _ in range(layers)])
        self.ln_f = Norm(CHANNELS, True)

    def forward(self, x, seen, encoded=None):
        for block in self.h:
            x = block(x, seen, encoded)
        return self.ln_f(x)


class Model(nn.Module):
    def __init__(self, encoder_layers):
        super().__init__()
        self.transformer = Stack(2, encoder_layers > 0, encoder_layers > 0)
        self.transformer.wte = nn.Embedding(VOCABULARY, CHANNELS)
        self.transformer.wpe = nn.Embedding(CONTEXT, CHANNELS)
        self.encoder = Stack(encoder_layers, False, True) if encoder_layers > 0 else None

    def forward(self, tokens, prefix):
        n = len(tokens)
        x = self.transformer.wte(tokens) + self.transformer.wpe.weight[:n]
        causal = torch.ones(n, n).tril().bool()
        head = self.transformer.wte.weight.t()
        if self.encoder is None:
            causal[:, :prefix] = True
            return self.transformer(x, causal) @ head
        encoded = self.encoder(x[:prefix], torch.ones(prefix, prefix, dtype=torch.bool)) if prefix > 0 else x[:0]
        y = self.transformer(x[prefix:], causal[prefix:, prefix:], encoded) @ head
        return torch.cat([torch.zeros(prefix, VOCABULARY), y])

    def groups(self):
        """Decay on the matrices of blocks and the tied embedding; not on norms, biases, positions."""
        names = dict(self.named_parameters())
        decayed = [n for n, p in names.items() if p.dim() == 2 and not n.endswith("wpe.weight")]
        return [dict(params=[names[n] for n in decayed], weight_decay=0.1),
                dict(params=[p for n, p in names.items() if n not in decayed], weight_decay=0.0)]


def snapshot(model, prefix="", of=lambda p: p):
    """Names and orientation of files: matrices of blocks are transposed (Conv1D)."""
    out = {}
    for name, p in model.named_parameters():
        t = of(p).detach().float()
        out[prefix + name] = (t.t() if ".h." in name and t.dim() == 2 else t).contiguous().clone()
    return out


def make(path, encoder_layers):
    torch.manual_seed(12)
    model = Model(encoder_layers)
    # Larger weights than at the start of training, so that every term matters.
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn_like(p) * 0.15)
    sequences = [(torch.randint(VOCABULARY, (n,)), torch.randint(VOCABULARY, (n,))) for n in LENGTHS]
    for (_, targets), prefix in zip(sequences, PREFIXES):
        targets[:prefix] = -1
    tokens, targets = (torch.cat(t) for t in zip(*sequences))
    weights = torch.randint(1, 5, (sum(LENGTHS),)).float() / 2
    named = snapshot(model)
    named.update(tokens=tokens.float(), targets=targets.float(), weights=weights,
                 prefixes=torch.tensor(PREFIXES).float())
    optimizer = torch.optim.AdamW(model.groups(), lr=1e-2, betas=(0.9, 0.95), eps=1e-8)
    losses = []
    for step in range(10):
        logits = torch.cat([model(x, prefix) for (x, _), prefix in zip(sequences, PREFIXES)])
        counted = targets >= 0
        nll = F.cross_entropy(logits[counted], targets[counted], reduction="none")
        loss = (nll * weights[counted]).sum() / weights[counted].sum()
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


def main():
    torch.set_num_threads(1)
    make(os.path.join(sys.argv[1], "prefix.safetensors"), 0)
    make(os.path.join(sys.argv[1], "encoder-decoder.safetensors"), 1)


main()
