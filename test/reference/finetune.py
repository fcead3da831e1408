"""test/reference/finetune.py OUT-FOLDER

Fine-tuning of imported shapes, for test/unit/test_pytorch.c: the same files as make_fixtures.py writes, from models of
Transformers. Twenty steps of AdamW on one packed batch, of all weights, or of a LoRA beside frozen weights.

  qwen3, gemma2, llama3, pythia.safetensors   all weights
  qwen3-lora.safetensors                      an adapter of every linear layer of the blocks. The engine's matrix of
                                              queries, keys and values has one A for the three, and so has that of
                                              gate and up (Hu et al. 2021, equation 3, of the joined matrix)
"""
import math
import os
import sys

import torch
import torch.nn.functional as F
from transformers import AutoConfig, AutoModelForCausalLM

from gpt2 import save_safetensors

LENGTHS = [12, 5, 1, 9]
STEPS = 20
SIZES = dict(vocab_size=23, hidden_size=24, num_attention_heads=4, num_hidden_layers=2, intermediate_size=20,
             max_position_embeddings=16, bos_token_id=0, eos_token_id=0, pad_token_id=None)
SHAPES = {
    "qwen3": ("qwen3", dict(num_key_value_heads=2, head_dim=8, tie_word_embeddings=True)),
    "gemma2": ("gemma2", dict(num_key_value_heads=1, head_dim=8, query_pre_attn_scalar=12, sliding_window=4,
                              attn_logit_softcapping=2.0, final_logit_softcapping=3.0, tie_word_embeddings=True)),
    "llama3": ("llama", dict(num_key_value_heads=4, tie_word_embeddings=False, rope_parameters=dict(
        rope_type="llama3", rope_theta=100.0, factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0,
        original_max_position_embeddings=8))),
    "pythia": ("gpt_neox", dict(hidden_size=32, rotary_pct=0.25, use_parallel_residual=True, hidden_act="gelu",
                                tie_word_embeddings=False)),
}


def build(name):
    model_type, fields = SHAPES[name]
    torch.manual_seed(21)
    config = AutoConfig.for_model(model_type, **dict(SIZES, **fields))
    config._attn_implementation = "eager"
    model = AutoModelForCausalLM.from_config(config).float().train()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.15)
    return model


class Joined:
    """The adapter of linear layers that read the same input: one A, and the rows of B for each."""

    def __init__(self, name, layers, rank, alpha):
        self.name, self.layers, self.scale = name, layers, alpha / rank
        rows = sum(layer.out_features for layer in layers)
        self.a = torch.nn.Parameter(torch.randn(rank, layers[0].in_features) / math.sqrt(3 * layers[0].in_features))
        self.b = torch.nn.Parameter(torch.randn(rows, rank) * 0.15)
        first = 0
        for layer in layers:
            layer.register_forward_hook(self.hook(first, first + layer.out_features))
            first += layer.out_features

    def hook(self, first, last):
        return lambda layer, args, out: out + self.scale * (args[0] @ self.a.t()) @ self.b[first:last].t()


def adapt(model, rank, alpha):
    model.requires_grad_(False)
    adapters = []
    for i, block in enumerate(model.model.layers):
        a, m = block.self_attn, block.mlp
        for name, layers in (("self_attn.qkv_proj", [a.q_proj, a.k_proj, a.v_proj]), ("self_attn.o_proj", [a.o_proj]),
                             ("mlp.gate_up_proj", [m.gate_proj, m.up_proj]), ("mlp.down_proj", [m.down_proj])):
            adapters.append(Joined("base_model.model.model.layers.%d.%s" % (i, name), layers, rank, alpha))
    return adapters


def weights_of(model, prefix="", of=lambda p: p):
    return {prefix + name: of(p).detach().clone() for name, p in model.named_parameters()}


def adapters_of(adapters, prefix="", of=lambda p: p):
    return {prefix + a.name + ".lora_" + kind + ".weight": of(getattr(a, kind.lower())).detach().clone()
            for a in adapters for kind in "AB"}


def loss_of(model, sequences, weights):
    logits = torch.cat([model(x[None], use_cache=False).logits[0] for x, _ in sequences])
    nll = F.cross_entropy(logits, torch.cat([y for _, y in sequences]), reduction="none")
    return logits, (nll * weights).sum() / weights.sum()


def groups(model):
    """Decay on matrices of blocks, head and tied embedding; not on norms, biases and an untied embedding."""
    tied = model.config.tie_word_embeddings
    decayed = [p for n, p in model.named_parameters() if p.dim() == 2 and (tied or "embed_in" not in n and "embed_tokens" not in n)]
    others = [p for p in model.parameters() if not any(p is d for d in decayed)]
    return [dict(params=decayed, weight_decay=0.1), dict(params=others, weight_decay=0.0)]


def run(path, model, adapters=None):
    snapshot = (lambda *a: adapters_of(adapters, *a)) if adapters else (lambda *a: weights_of(model, *a))
    trained = [p for a in adapters for p in (a.a, a.b)] if adapters else list(model.parameters())
    sequences = [(torch.randint(23, (n,)), torch.randint(23, (n,))) for n in LENGTHS]
    weights = torch.randint(0, 5, (sum(LENGTHS),)).float() / 2
    named = weights_of(model)
    named.update(snapshot())
    named["tokens"] = torch.cat([x for x, _ in sequences]).float()
    named["targets"] = torch.cat([y for _, y in sequences]).float()
    named["weights"] = weights
    parameters = [dict(params=trained, weight_decay=0.1)] if adapters else groups(model)
    optimizer = torch.optim.AdamW(parameters, lr=1e-2, betas=(0.9, 0.95), eps=1e-8)
    losses = []
    for step in range(STEPS):
        logits, loss = loss_of(model, sequences, weights)
        optimizer.zero_grad()
        loss.backward()
        losses.append(loss.item())
        if step == 0:
            named["logits"] = logits.detach()
            named.update(snapshot("gradient.", lambda p: p.grad))
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
    named["losses"] = torch.tensor(losses)
    named.update(snapshot("after."))
    save_safetensors(path, named)
    print(path, ["%.4f" % x for x in losses[::6]], os.path.getsize(path))


if __name__ == "__main__":
    torch.set_num_threads(1)
    out = sys.argv[1]
    os.makedirs(out, exist_ok=True)
    for name in SHAPES:
        run(os.path.join(out, name + ".safetensors"), build(name))
    model = build("qwen3")
    run(os.path.join(out, "qwen3-lora.safetensors"), model, adapt(model, 4, 6))
