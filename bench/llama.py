"""bench/llama.py FOLDER [135M | 1.1B]

GGUF files of the shapes of SmolLM2-135M and TinyLlama with random weights, NAME-BF16.gguf, NAME-Q8_0.gguf and NAME-Q4_0.gguf, for
bench/llama.sh. Needs numpy and gguf-py, the library of llama.cpp.
"""
import sys

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type

# layers, channels, heads, kv_heads, mlp_channels, vocabulary, tied
SHAPES = {
    "135M": (30, 576, 9, 3, 1536, 49152, True),
    "1.1B": (22, 2048, 32, 4, 5632, 32000, False),
}
TYPES = {"BF16": Type.BF16, "Q8_0": Type.Q8_0, "Q4_0": Type.Q4_0}
CONTEXT = 2048


def header(writer, shape):
    layers, channels, heads, kv_heads, mlp_channels, vocabulary, _ = shape
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(channels)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(mlp_channels)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(channels // heads)
    writer.add_vocab_size(vocabulary)
    writer.add_tokenizer_model("llama")
    tokens = ["<unk>", "<s>", "</s>"] + ["<0x%02X>" % i for i in range(256)]
    tokens += ["t%d" % i for i in range(vocabulary - len(tokens))]
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * vocabulary)
    writer.add_token_types([2, 3, 3] + [6] * 256 + [1] * (vocabulary - 259))
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)


def write(path, shape, kind, numbers):
    layers, channels, heads, kv_heads, mlp_channels, vocabulary, tied = shape
    keys = channels // heads * kv_heads
    writer = gguf.GGUFWriter(path, "llama")
    header(writer, shape)

    def matrix(name, rows, columns):
        values = np.resize(numbers, rows * columns).reshape(rows, columns)
        writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)

    def norm(name):
        writer.add_tensor(name, np.ones(channels, np.float32))

    matrix("token_embd.weight", vocabulary, channels)
    if not tied:
        matrix("output.weight", vocabulary, channels)
    norm("output_norm.weight")
    for layer in range(layers):
        block = f"blk.{layer}."
        norm(block + "attn_norm.weight")
        norm(block + "ffn_norm.weight")
        matrix(block + "attn_q.weight", channels, channels)
        matrix(block + "attn_k.weight", keys, channels)
        matrix(block + "attn_v.weight", keys, channels)
        matrix(block + "attn_output.weight", channels, channels)
        matrix(block + "ffn_gate.weight", mlp_channels, channels)
        matrix(block + "ffn_up.weight", mlp_channels, channels)
        matrix(block + "ffn_down.weight", channels, mlp_channels)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


numbers = (np.random.default_rng(1).standard_normal(1 << 22) * 0.02).astype(np.float32)
for name in sys.argv[2:] or SHAPES:
    for word, kind in TYPES.items():
        write(f"{sys.argv[1]}/{name}-{word}.gguf", SHAPES[name], kind, numbers)
