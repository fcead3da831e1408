"""test/reference/block_types.py

Makes test/fixtures/blocks.bin with gguf-py (package python3-gguf), the reference of ggml's block formats: random blocks
with what they decode to, and random floats with what they encode to. Records, little endian: the type's name (8 bytes),
the number n of elements (u32), 1 where the blocks were encoded from the floats (u32), n float32, the blocks.

    python3 test/reference/block_types.py
"""
import os
import struct

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as Types
from gguf.quants import dequantize, quantize

FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fixtures", "blocks.bin")
DECODED = "F16 BF16 Q8_0 Q4_0 Q4_1 Q5_0 Q5_1 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL IQ4_XS".split()
ENCODED = "F32 F16 BF16 Q8_0 Q4_0".split()
# Where a block has halves: bytes from its start.
HALVES = {"Q8_0": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q2_K": [80, 82], "Q3_K": [108],
          "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0], "IQ4_XS": [0]}
rng = np.random.default_rng(18)


def record(name, floats, blocks, encoded):
    floats, blocks = np.ascontiguousarray(floats, "<f4"), np.ascontiguousarray(blocks).view(np.uint8)
    return struct.pack("<8sII", name.encode(), floats.size, encoded) + floats.tobytes() + blocks.tobytes()


def decoded(name):
    """Random bytes. The halves are numbers of a usual size, but for one block of any halves, infinite and NaN too."""
    elements, size = GGML_QUANT_SIZES[Types[name]]
    n = 1024 // elements
    blocks = rng.integers(0, 256, (n, size), np.uint8)
    for at in HALVES.get(name, []):
        halves = (rng.standard_normal(n - 1) * 10.0 ** rng.uniform(-6, 1, n - 1)).astype("<f2")
        blocks[:-1, at:at + 2] = halves.view(np.uint8).reshape(n - 1, 2)
    return record(name, dequantize(blocks.reshape(1, -1), Types[name]), blocks, 0)


def encoded(name):
    """Rows of many sizes; ties of the rounding of each type; zeros of both signs; denormals; the largest halves."""
    rows = [rng.standard_normal(32) * 10.0 ** e for e in range(-44, 38, 3)]
    rows += [rng.integers(-254, 255, 32) / 2 for _ in range(4)]
    rows += [np.append(rng.integers(-253, 254, 31) / 2, 127) for _ in range(4)]
    rows += [np.append(rng.integers(-15, 16, 31) / 2, -8) for _ in range(4)]
    rows += [np.zeros(32), np.append(0.0, -np.zeros(31))]
    rows += [np.linspace(65000, 65540, 32), np.linspace(0, 2.0 ** -14, 32), (2 * np.arange(32) + 1) * 2.0 ** -25]
    rows += [1 + (2 * np.arange(32) + 1) * 2.0 ** -11, 1 + (2 * np.arange(32) + 1) * 2.0 ** -8]
    floats = np.array(rows, "<f4")
    return record(name, floats, floats if name == "F32" else quantize(floats, Types[name]), 1)


with np.errstate(all="ignore"), open(FILE, "wb") as file:
    for type_name in DECODED:
        file.write(decoded(type_name))
    for type_name in ENCODED:
        file.write(encoded(type_name))
