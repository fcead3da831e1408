"""test/reference/fuzz_seeds.py

Writes small valid files of each format to test/fuzz/corpus/TARGET, from which libFuzzer begins. The other files there
are what it found on its way; they are kept when a run finds more ways through the code:

    build/fuzz/fuzz_gguf -merge=1 test/fuzz/corpus/gguf build/fuzz/corpus/gguf

    python3 test/reference/fuzz_seeds.py
"""
import json
import os
import struct

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fuzz", "corpus")
U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
NUMBERS = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "?", U64: "Q", I64: "q", F64: "d"}


def save(target, name, data):
    os.makedirs(os.path.join(FOLDER, target), exist_ok=True)
    with open(os.path.join(FOLDER, target, name), "wb") as file:
        file.write(data)


def string(text):
    return struct.pack("<Q", len(text)) + text.encode()


def value(kind, item):
    return string(item) if kind == STRING else struct.pack("<" + NUMBERS[kind], item)


def gguf(keys, tensors, alignment=32, version=3):
    out = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(keys))
    for name, kind, items in keys:
        if isinstance(items, list):
            out += string(name) + struct.pack("<IIQ", ARRAY, kind, len(items)) + b"".join(value(kind, i) for i in items)
        else:
            out += string(name) + struct.pack("<I", kind) + value(kind, items)
    at = 0
    for name, dims, kind, size in tensors:
        out += string(name) + struct.pack("<I", len(dims)) + struct.pack("<%dQ" % len(dims), *dims)
        out += struct.pack("<IQ", kind, at)
        at += -(-size // alignment) * alignment
    if tensors:
        out += bytes(-len(out) % alignment)
    return out + bytes(i * 37 % 251 for i in range(at))


def llama2c(version, sizes, tied):
    channels, mlp, layers, heads, kv_heads, vocabulary, context = sizes
    keys = channels // heads * kv_heads
    n = vocabulary * channels * (1 if tied else 2) + channels
    n += layers * (2 * channels + 2 * channels * channels + 2 * keys * channels + 3 * mlp * channels)
    if version == 0:
        sizes[5] *= 1 if tied else -1
        return struct.pack("<7i", *sizes) + bytes(4 * (n + context * channels // heads))
    return (b"24ka" + struct.pack("<i7iB", 1, *sizes, tied)).ljust(256, b"\0") + bytes(4 * n)


def safetensors(header, size):
    text = json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(text)) + text + bytes(size)


def varint(n):
    return bytes([n]) if n < 128 else bytes([n & 127 | 128]) + varint(n >> 7)


def message(*fields):
    """Protocol buffer: (number, value), an int, a float or bytes."""
    out = b""
    for number, item in fields:
        if isinstance(item, float):
            out += varint(number << 3 | 5) + struct.pack("<f", item)
        elif isinstance(item, int):
            out += varint(number << 3) + varint(item)
        else:
            out += varint(number << 3 | 2) + varint(len(item)) + item
    return out


save("gguf", "seed-keys", gguf([
    ("general.architecture", STRING, "llama"), ("llama.block_count", U32, 2), ("a", U8, 1), ("b", I8, -1), ("c", U16, 2),
    ("d", I16, -2), ("e", I32, -3), ("f", F32, 0.5), ("g", BOOL, True), ("h", U64, 4), ("i", I64, -4), ("j", F64, 1e300),
    ("tokens", STRING, ["<s>", "a", ""]), ("scores", F32, [0.0, -1.0]), ("types", I32, [1, 3]), ("flags", BOOL, [True])], []))
save("gguf", "seed-tensors", gguf([("general.alignment", U32, 8)], [
    ("token_embd.weight", [4, 3], 0, 48), ("blk.0.attn_q.weight", [32, 2], 8, 68), ("blk.0.ffn_up.weight", [256], 12, 144),
    ("n", [3, 1, 1, 2], 30, 12)], 8, 2))
save("gguf", "seed-blocks", gguf([], [("t%d" % kind, [256], kind, size) for kind, size in (
    (1, 512), (2, 144), (3, 160), (6, 176), (7, 192), (10, 84), (11, 110), (13, 176), (14, 210), (20, 144), (23, 136))]))
save("gguf", "seed-names", gguf([("k" * 255, BOOL, False)], [("t" * 127, [8], 0, 32)]))
for layout in 0, 1:
    for is_tied in True, False:
        save("llama2c", "seed-%d-%s" % (layout, "tied" if is_tied else "untied"),
             llama2c(layout, [4, 3, 1, 2, 1, 2, 2], is_tied))
save("llama2c_tokens", "seed", struct.pack("<i", 6) + b"".join(
    struct.pack("<fi", -i, len(text)) + text for i, text in enumerate([b"<unk>", b"\n<s>\n", b"<0x0A>", b" a", b""])))
save("safetensors", "seed", safetensors({
    "__metadata__": {"format": "pt", "text": "\n\u00e9\U0001f600\\"}, "b": {"dtype": "F16", "shape": [2, 3], "data_offsets": [24, 36]},
    "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, "m": {"dtype": "BOOL", "shape": [1, 1, 2, 2], "data_offsets": [36, 40]},
    "s": {"dtype": "BF16", "shape": [], "data_offsets": [40, 42]}, "n": {"dtype": "I64", "shape": [0], "data_offsets": [42, 42]}}, 42))
save("safetensors", "seed-names", safetensors({"t" * 127: {"dtype": "I8", "shape": [9], "data_offsets": [0, 9]}}, 9))
# test/fuzz/target_tokenizer.h has the bytes: flags, kind, switches, more, number of tokens, the tokens, the text.
TOKENS = bytes([2 << 1, 97, 98, 1, 97, 98, 1 << 1, 32, 3, 0, 99, 2 << 1 | 16, 99, 100, 1, 4 << 1 | 32, 60, 115, 62, 33])
TEXT = "ab cab <s>! h\u00e9llo  \u65e5 12".encode()
for kind in range(5):
    save("tokenizer", "bytes-%d" % kind, bytes([0, kind, 8, 64, 0]) + TEXT)
    save("tokenizer", "tokens-%d" % kind, bytes([1, kind, 64, 65, 6]) + TOKENS + TEXT)
save("sentencepiece", "seed", message(
    *[(1, message((1, text.encode()), (2, -float(i)), (3, kind))) for i, (text, kind) in enumerate((
        ("<unk>", 2), ("<s>", 3), ("</s>", 3), ("<0x0A>", 6), ("\u2581a", 1), ("b", 4)))],
    (2, message((3, 2), (24, 0), (35, 1), (41, 1), (42, 2), (40, 0))),
    (3, message((1, b"nmt_nfkc"), (2, b"\x01\x02"), (3, 1), (4, 0), (5, 1)))))
save("tensors", "seed", bytes([8, 24, 3, 4, 0, 8, 8, 1, 16, 0, 2, 19, 9]))
for kind in range(15):
    save("blocks", "seed-%d" % kind, bytes([kind]) + bytes(i * 73 % 256 for i in range(212)))
