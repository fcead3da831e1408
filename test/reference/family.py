"""test/reference/family.py OUT-FOLDER [NAME...]

Writes small random models of the architectures that gpt_import knows, made by Transformers, each as a folder as
Hugging Face ships one: config.json, model.safetensors, tokenizer.json, generation_config.json, and reference.json:

  text, ids       a text and its tokens, the end token in front of them
  logits          of the last position, float32
  mean_nll        of the tokens of the text
  greedy          the text of up to 100 tokens that greedy decoding appends, without the end token

Random configurations: the seed is the number of the model. Models with an odd number are stored in bfloat16; the
reference is computed in float32 from the stored weights. The tokens are the printable ASCII characters and a few
pairs, so that any token may follow any other.
"""
import json
import os
import random
import sys

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers
from transformers import AutoConfig, AutoModelForCausalLM

TEXT = "The rows of any query: 12 of 34 models, trained by night (and kept by day)."
MARGIN = 0.002  # of the best logit above the second, where the reference is still to be trusted
PAIRS = [("t", "h"), ("th", "e"), ("e", "r"), ("o", "f"), ("▁", "the")]


def tokenizer():
    """The form of SentencePiece's tokenizers: a space is a letter, and there is no token for other bytes."""
    letters = [chr(c) if chr(c) != " " else "▁" for c in range(32, 127)]
    vocabulary = {"<|endoftext|>": 0}
    for piece in letters + [a + b for a, b in PAIRS]:
        vocabulary[piece] = len(vocabulary)
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=PAIRS))
    made.normalizer = normalizers.Replace(" ", "▁")
    made.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse()])
    made.add_special_tokens(["<|endoftext|>"])
    return made


def rope(kind, **more):
    return {"rope_type": kind, **more}


# name -> (model_type, fields); each field may be a function of the random generator
def shapes(draw):
    heads = draw.choice([2, 4])
    size = draw.choice([8, 12, 16])
    kv = draw.choice([n for n in (1, 2, 4) if heads % n == 0])
    llama = dict(hidden_size=draw.choice([24, 32, 48]), num_attention_heads=heads, num_key_value_heads=kv,
                 head_dim=size, intermediate_size=draw.choice([40, 64]), num_hidden_layers=draw.choice([2, 3]),
                 max_position_embeddings=256, rms_norm_eps=draw.choice([1e-5, 1e-6]),
                 rope_theta=draw.choice([10000.0, 500000.0]), tie_word_embeddings=draw.random() < 0.5)
    plain = dict(llama, hidden_size=heads * size)
    del plain["head_dim"]
    gpt = dict(n_embd=heads * size, n_head=heads, n_layer=draw.choice([2, 3]), n_positions=256, n_ctx=256,
               n_inner=draw.choice([None, 64]), activation_function="gelu_new")
    four = dict(num_hidden_layers=draw.choice([4, 5]))
    return {
        "gpt2": ("gpt2", gpt),
        "gpt-neo": ("gpt_neo", dict(hidden_size=heads * size, num_heads=heads, num_layers=2, window_size=16,
                                    max_position_embeddings=256, intermediate_size=64,
                                    attention_types=[[["global", "local"], 1]])),
        "pythia": ("gpt_neox", dict(hidden_size=heads * 16, num_attention_heads=heads, num_hidden_layers=2,
                                    intermediate_size=64, max_position_embeddings=256, rotary_pct=0.25,
                                    use_parallel_residual=True, tie_word_embeddings=False)),
        "gpt-neox-serial": ("gpt_neox", dict(hidden_size=heads * 16, num_attention_heads=heads, num_hidden_layers=2,
                                             intermediate_size=64, max_position_embeddings=256, rotary_pct=1.0,
                                             use_parallel_residual=False, tie_word_embeddings=False)),
        "llama2": ("llama", dict(plain, rope_theta=10000.0, tie_word_embeddings=False)),
        "tinyllama": ("llama", dict(plain, num_key_value_heads=1, tie_word_embeddings=False)),
        "llama3": ("llama", dict(plain, rope_theta=500000.0, rope_parameters=rope(
            "llama3", rope_theta=500000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
            original_max_position_embeddings=64))),
        "llama-linear": ("llama", dict(plain, rope_parameters=rope("linear", rope_theta=10000.0, factor=4.0))),
        "llama-yarn": ("llama", dict(plain, rope_parameters=rope(
            "yarn", rope_theta=10000.0, factor=4.0, original_max_position_embeddings=64))),
        "smollm2": ("llama", dict(plain, rope_theta=100000.0, tie_word_embeddings=True)),
        "smollm3": ("smollm3", dict(plain, **four, no_rope_layer_interval=4, no_rope_layers=None,
                                    tie_word_embeddings=True, use_sliding_window=False)),
        "mistral": ("mistral", dict(llama, sliding_window=16, tie_word_embeddings=False)),
        "qwen2": ("qwen2", dict(plain, tie_word_embeddings=True, use_sliding_window=False)),
        "qwen2.5": ("qwen2", dict(plain, tie_word_embeddings=False, rope_theta=1000000.0)),
        "qwen3": ("qwen3", dict(llama, rope_theta=1000000.0)),
        "qwen3-untied": ("qwen3", dict(llama, tie_word_embeddings=False)),
        "gemma2": ("gemma2", dict(llama, **four, query_pre_attn_scalar=24, sliding_window=16,
                                  attn_logit_softcapping=5.0, final_logit_softcapping=3.0,
                                  tie_word_embeddings=True)),
        "gemma3": ("gemma3_text", dict(llama, num_hidden_layers=7, query_pre_attn_scalar=16, sliding_window=16,
                                       tie_word_embeddings=True)),
        "gemma3-4b": ("gemma3_text", dict(llama, num_hidden_layers=6, query_pre_attn_scalar=16, sliding_window=16,
                                          tie_word_embeddings=True, rope_parameters={
                                              "full_attention": rope("linear", rope_theta=1000000.0, factor=8.0),
                                              "sliding_attention": rope("default", rope_theta=10000.0)})),
        "tinystories": ("llama", dict(plain, num_key_value_heads=2, tie_word_embeddings=True)),
    }


def make(folder, number, name):
    draw = random.Random(number)
    model_type, fields = shapes(draw)[name]
    pieces = tokenizer()
    fields = dict(fields, vocab_size=pieces.get_vocab_size(), bos_token_id=0, eos_token_id=0, pad_token_id=None)
    config = AutoConfig.for_model(model_type, **fields)
    config._attn_implementation = "eager"
    ids = [0] + pieces.encode(TEXT).ids
    path = os.path.join(folder, name)
    # A text of one letter, or one that hangs on a rounding, would tell little.
    for attempt in range(1000):
        model = draw_model(config, 1000 * number + attempt)
        if number % 2:
            # The parameters alone: the frequencies of the rotation stay what float32 computes.
            for parameter in model.parameters():
                parameter.data = parameter.data.bfloat16().float()
        logits, nll, made, smallest = judge(model, ids)
        text = pieces.decode(made, skip_special_tokens=False)
        if len(made) == 100 and smallest > MARGIN and len(set(made)) >= 10:
            break
    else:
        raise SystemExit(name + ": no model whose text is worth comparing")
    (model.bfloat16() if number % 2 else model).save_pretrained(path)
    pieces.save(os.path.join(path, "tokenizer.json"))
    reference = {"text": TEXT, "ids": ids, "logits": [float("%.8g" % x) for x in logits], "mean_nll": nll,
                 "greedy": text, "smallest_margin": smallest, "transformers": transformers.__version__}
    with open(os.path.join(path, "reference.json"), "w") as file:
        json.dump(reference, file, indent=1)
    print("%-16s %-12s nll %.4f margin %.5f %d bytes, attempt %d: %r" % (
        name, model_type, nll, smallest, os.path.getsize(os.path.join(path, "model.safetensors")), attempt, text[:40]), flush=True)


def draw_model(config, seed):
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config).float().eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                embeds = "embed" in name or "wte" in name or "wpe" in name
                # Gemma multiplies embeddings by sqrt(channels); a tied head would repeat the last token.
                parameter.normal_(0, (0.05 if "gemma" in config.model_type else 0.3) if embeds
                                  else 1.2 / parameter.shape[1] ** 0.5)
            else:
                parameter.add_(torch.randn_like(parameter) * 0.2)
    return model


@torch.no_grad()
def judge(model, ids):
    logits = model(torch.tensor([ids])).logits[0]
    nll = torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(ids[1:]))
    made, smallest = [], 1e9
    # The cache of Transformers plays no part: each token is computed from the whole text.
    while len(made) < 100:
        top = torch.topk(model(torch.tensor([ids + made]), use_cache=False).logits[0, -1], 2)
        smallest = min(smallest, float(top.values[0] - top.values[1]))
        if int(top.indices[0]) == 0 or smallest < MARGIN:
            break
        made.append(int(top.indices[0]))
    return logits[-1].tolist(), float(nll), made, smallest


if __name__ == "__main__":
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    for number, name in enumerate(shapes(random.Random(0))):
        if len(sys.argv) < 3 or name in sys.argv[2:]:
            make(sys.argv[1], number, name)
