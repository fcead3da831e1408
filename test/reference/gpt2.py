"""test/reference/gpt2.py

A plain PyTorch GPT-2 with the names of Hugging Face's GPT2LMHeadModel: the other side of every
comparison of numbers (fixtures of `make check`) and of speed (`make bench`). Runs on Debian's
python3-torch 1.13; nothing here is needed to build or to check the extension.
"""
import json
import math
import struct

import torch
import torch.nn as nn
import torch.nn.functional as F


class Block(nn.Module):
    def __init__(self, channels, heads, bias, gelu, dropout):
        super().__init__()
        self.heads = heads
        self.gelu = gelu
        self.dropout = dropout
        self.ln_1 = Norm(channels, bias)
        self.ln_2 = Norm(channels, bias)
        self.c_attn = nn.Linear(channels, 3 * channels, bias=bias)
        self.attn_proj = nn.Linear(channels, channels, bias=bias)
        self.c_fc = nn.Linear(channels, 4 * channels, bias=bias)
        self.mlp_proj = nn.Linear(4 * channels, channels, bias=bias)

    def forward(self, x, mask):
        B, T, C = x.shape
        q, k, v = self.c_attn(self.ln_1(x)).split(C, dim=2)
        q, k, v = (t.view(B, T, self.heads, C // self.heads).transpose(1, 2) for t in (q, k, v))
        scores = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(C // self.heads))
        scores = scores.masked_fill(mask[:T, :T], float("-inf"))
        a = F.dropout(F.softmax(scores, dim=-1), self.dropout, self.training) @ v
        a = a.transpose(1, 2).reshape(B, T, C)
        x = x + F.dropout(self.attn_proj(a), self.dropout, self.training)
        h = F.gelu(self.c_fc(self.ln_2(x)), approximate=self.gelu)
        return x + F.dropout(self.mlp_proj(h), self.dropout, self.training)


class Norm(nn.Module):
    def __init__(self, channels, bias):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels)) if bias else None

    def forward(self, x):
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, 1e-5)


class GPT2(nn.Module):
    def __init__(self, vocabulary, context, layers, heads, channels, bias=True, gelu="tanh",
                 tie=True, position="learned", dropout=0.0):
        super().__init__()
        self.config = dict(vocabulary=vocabulary, context=context, layers=layers, heads=heads,
                           channels=channels, bias=bias, gelu=gelu, tie=tie, position=position)
        self.wte = nn.Embedding(vocabulary, channels)
        self.wpe = nn.Embedding(context, channels) if position == "learned" else None
        if self.wpe is None:
            self.register_buffer("sinusoid", sinusoid(context, channels), persistent=False)
        self.h = nn.ModuleList([Block(channels, heads, bias, gelu, dropout) for _ in range(layers)])
        self.ln_f = Norm(channels, bias)
        self.lm_head = None if tie else nn.Linear(channels, vocabulary, bias=False)
        self.register_buffer("mask", torch.ones(context, context).triu(1).bool(), persistent=False)
        for name, p in self.named_parameters():
            if name.endswith("attn_proj.weight") or name.endswith("mlp_proj.weight"):
                nn.init.normal_(p, 0.0, 0.02 / math.sqrt(2 * layers))
            elif p.dim() == 2:
                nn.init.normal_(p, 0.0, 0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(p)

    def forward(self, tokens):
        T = tokens.shape[1]
        x = self.wte(tokens)
        x = x + (self.wpe.weight[:T] if self.wpe is not None else self.sinusoid[:T])
        for block in self.h:
            x = block(x, self.mask)
        x = self.ln_f(x)
        return x @ (self.wte.weight if self.lm_head is None else self.lm_head.weight).t()

    def loss(self, tokens, targets):
        logits = self(tokens)
        return F.cross_entropy(logits.view(-1, logits.shape[-1]), targets.reshape(-1))

    def groups(self, weight_decay):
        """Decay on the matrices of blocks, head and tied embedding; not on norms, biases, positions."""
        embeddings = ["wpe.weight"] if self.lm_head is None else ["wpe.weight", "wte.weight"]
        decayed = [p for n, p in self.named_parameters() if p.dim() == 2 and n not in embeddings]
        others = [p for n, p in self.named_parameters() if p.dim() != 2 or n in embeddings]
        return [dict(params=decayed, weight_decay=weight_decay), dict(params=others, weight_decay=0.0)]


class Adapted(nn.Module):
    """A linear layer with a low-rank adapter beside it (Hu et al. 2021, equation 3); only the adapter is trained."""

    def __init__(self, linear, rank, alpha):
        super().__init__()
        self.linear = linear.requires_grad_(False)
        self.scale = alpha / rank
        self.a = nn.Parameter(torch.randn(rank, linear.in_features) / math.sqrt(3 * linear.in_features))
        self.b = nn.Parameter(torch.zeros(linear.out_features, rank))

    def forward(self, x):
        return self.linear(x) + self.scale * ((x @ self.a.t()) @ self.b.t())


ADAPTED = dict(c_attn="attn.c_attn", attn_proj="attn.c_proj", c_fc="mlp.c_fc", mlp_proj="mlp.c_proj")


def adapt(model, rank, alpha):
    """Puts an adapter beside every linear layer of the blocks, and freezes everything else."""
    model.requires_grad_(False)
    for block in model.h:
        for name in ADAPTED:
            setattr(block, name, Adapted(getattr(block, name), rank, alpha))


def adapter_tensors(model, of=lambda p: p):
    """The names of PEFT, Hugging Face's library of adapters -> tensor."""
    out = {}
    for i, block in enumerate(model.h):
        for name, full in ADAPTED.items():
            adapted = getattr(block, name)
            for letter, p in ("A", adapted.a), ("B", adapted.b):
                out[f"base_model.model.transformer.h.{i}.{full}.lora_{letter}.weight"] = of(p).detach().float().contiguous()
    return out


def sinusoid(context, channels):
    """Vaswani et al. 2017, section 3.5: sine in even channels, cosine in odd ones."""
    position = torch.arange(context, dtype=torch.float64)[:, None]
    rate = torch.exp(torch.arange(0, channels, 2, dtype=torch.float64) * (-math.log(10000.0) / channels))
    table = torch.zeros(context, channels, dtype=torch.float64)
    table[:, 0::2] = torch.sin(position * rate)
    table[:, 1::2] = torch.cos(position * rate)[:, : channels // 2]
    return table.float()


def hf_name(name):
    """The name of a parameter in a GPT2LMHeadModel file, and whether it is stored transposed (Conv1D)."""
    if name == "lm_head.weight":
        return name, False
    name = name.replace("attn_proj", "attn.c_proj").replace("mlp_proj", "mlp.c_proj")
    name = name.replace("c_attn", "attn.c_attn").replace("c_fc", "mlp.c_fc")
    conv = any(part in name for part in ("c_attn.weight", "c_proj.weight", "c_fc.weight"))
    return "transformer." + name, conv


def tensors(model, of=lambda p: p):
    """Hugging Face name -> contiguous float32 tensor, for parameters or what `of` makes of them."""
    out = {}
    for name, p in model.named_parameters():
        full, conv = hf_name(name)
        t = of(p).detach().float()
        out[full] = (t.t() if conv else t).contiguous()
    return out


def save_safetensors(path, named):
    header, data, offset = {}, [], 0
    for name, t in named.items():
        raw = t.numpy().tobytes()
        header[name] = dict(dtype="F32", shape=list(t.shape), data_offsets=[offset, offset + len(raw)])
        data.append(raw)
        offset += len(raw)
    text = json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % 64)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(data))


def learning_rate(step, steps, rate, minimum, warmup):
    """Step counts from 0. Linear warm-up, then half a cosine down to the minimum."""
    if step < warmup:
        return rate * (step + 1) / warmup
    if steps <= warmup:
        return minimum
    t = (step - warmup) / (steps - warmup)
    return minimum + 0.5 * (1 + math.cos(math.pi * t)) * (rate - minimum)
