"""Writes a LLaMA of random weights as a GGUF file, for llama.cpp: the benchmarks' shapes `small` and `mid`.

    python make_gguf.py mid q4_0 mid-q4.gguf

Norms are float32, as llama.cpp's own conversion has them; every matrix has the type named. Blocks of q8_0 and q4_0 are random
bytes below one scale, since speed does not depend on values. The vocabulary is made up: only ids are asked for.
"""

from __future__ import annotations

import struct
import sys

import numpy as np

SHAPES = {"small": (512, 8, 8, 1376), "mid": (2048, 16, 16, 5504)}
VOCABULARY, CONTEXT, ALIGNMENT = 32000, 2048, 32
TYPES = {"f32": 0, "f16": 1, "q4_0": 2, "q8_0": 8, "bf16": 30}
U32, F32, STRING, ARRAY, I32 = 4, 6, 8, 9, 5


def text(s: str) -> bytes:
    data = s.encode()
    return struct.pack("<Q", len(data)) + data


def entry(key: str, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def array(kind: int, count: int, values: bytes) -> bytes:
    return struct.pack("<IQ", kind, count) + values


def metadata(hidden: int, layers: int, heads: int, inner: int) -> list[bytes]:
    def number(key: str, value: int) -> bytes:
        return entry(key, U32, struct.pack("<I", value))

    names = [f"<0x{i - 3:02X}>" if 3 <= i < 259 else f"t{i}" for i in range(VOCABULARY)]
    kinds = [3 if i < 3 else 6 if i < 259 else 1 for i in range(VOCABULARY)]
    return [
        entry("general.architecture", STRING, text("llama")),
        number("general.alignment", ALIGNMENT),
        number("llama.context_length", CONTEXT),
        number("llama.embedding_length", hidden),
        number("llama.block_count", layers),
        number("llama.feed_forward_length", inner),
        number("llama.rope.dimension_count", hidden // heads),
        number("llama.attention.head_count", heads),
        number("llama.attention.head_count_kv", heads),
        number("llama.vocab_size", VOCABULARY),
        entry("llama.attention.layer_norm_rms_epsilon", F32, struct.pack("<f", 1e-6)),
        entry("tokenizer.ggml.model", STRING, text("llama")),
        entry("tokenizer.ggml.tokens", ARRAY, array(STRING, VOCABULARY, b"".join(map(text, names)))),
        entry("tokenizer.ggml.scores", ARRAY, array(F32, VOCABULARY, (-np.arange(VOCABULARY, dtype="<f4")).tobytes())),
        entry("tokenizer.ggml.token_type", ARRAY, array(I32, VOCABULARY, np.array(kinds, "<i4").tobytes())),
        number("tokenizer.ggml.bos_token_id", 1),
        number("tokenizer.ggml.eos_token_id", 2),
        number("tokenizer.ggml.unknown_token_id", 0),
    ]


def tensors(hidden: int, layers: int, inner: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes, rows first."""
    shapes = {"token_embd.weight": (VOCABULARY, hidden), "output.weight": (VOCABULARY, hidden), "output_norm.weight": (hidden,)}
    for i in range(layers):
        of = f"blk.{i}."
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            shapes[f"{of}{name}.weight"] = (hidden, hidden)
        shapes[f"{of}ffn_gate.weight"] = shapes[f"{of}ffn_up.weight"] = (inner, hidden)
        shapes[f"{of}ffn_down.weight"] = (hidden, inner)
        shapes[f"{of}attn_norm.weight"] = shapes[f"{of}ffn_norm.weight"] = (hidden,)
    return shapes


def weights(rng: np.random.Generator, shape: tuple[int, ...], kind: str) -> bytes:
    if len(shape) == 1:
        return np.ones(shape, "<f4").tobytes()
    count = shape[0] * shape[1]
    if kind in ("q8_0", "q4_0"):
        width = 32 if kind == "q8_0" else 16
        blocks = np.empty(count // 32, np.dtype([("scale", "<f2"), ("values", "u1", (width,))]))
        blocks["scale"] = 0.02 / (127 if kind == "q8_0" else 8)
        blocks["values"] = rng.integers(0, 256, (count // 32, width), np.uint8)
        return blocks.tobytes()
    values = rng.standard_normal(count, np.float32) * np.float32(0.02)
    if kind == "bf16":
        return (values.view("<u4") >> 16).astype("<u2").tobytes()
    return values.astype("<f2" if kind == "f16" else "<f4").tobytes()


def main() -> None:
    if len(sys.argv) != 4 or sys.argv[1] not in SHAPES or sys.argv[2] not in TYPES:
        raise SystemExit(__doc__)
    hidden, layers, heads, inner = SHAPES[sys.argv[1]]
    kind, out = sys.argv[2:]
    rng = np.random.default_rng(1)
    entries, shapes = metadata(hidden, layers, heads, inner), tensors(hidden, layers, inner)
    data = {name: weights(rng, shape, kind) for name, shape in shapes.items()}
    with open(out, "wb") as f:
        f.write(b"GGUF" + struct.pack("<IQQ", 3, len(shapes), len(entries)) + b"".join(entries))
        at = 0
        for name, shape in shapes.items():
            code = TYPES["f32" if len(shape) == 1 else kind]
            f.write(text(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *reversed(shape)) + struct.pack("<IQ", code, at))
            at += -len(data[name]) % ALIGNMENT + len(data[name])
        f.write(b"\0" * (-f.tell() % ALIGNMENT))
        for bytes_of in data.values():
            f.write(bytes_of + b"\0" * (-len(bytes_of) % ALIGNMENT))


if __name__ == "__main__":
    main()
