"""Operation goldens: PyTorch's and Transformers' results on odd shapes and awkward values."""

from pathlib import Path

import torch
from torch.nn import functional

from common import import_torchvision, write_json, write_tensors

import_torchvision()
from transformers import LlamaConfig  # noqa: E402
from transformers.models.llama.modeling_llama import LlamaRMSNorm, LlamaRotaryEmbedding, apply_rotary_pos_emb  # noqa: E402

DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}


class Cases:
    """Collects the cases of all operations; a case's tensors are named OPERATION/NUMBER/TENSOR."""

    def __init__(self):
        self.generator = torch.Generator().manual_seed(21)
        self.files, self.list = {}, []

    def normal(self, *shape, std=1.0, mean=0.0):
        return torch.randn(shape, generator=self.generator) * std + mean

    def add(self, operation: str, parameters: dict, **tensors):
        number = sum(case["op"] == operation for case in self.list)
        self.list.append({"op": operation, "case": f"{operation}/{number}"} | parameters)
        self.files.setdefault(operation, {}).update({f"{operation}/{number}/{name}": t for name, t in tensors.items()})


def make(out: Path) -> None:
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    cases = Cases()
    for add in [linear, norms, elementwise, attention, rope, causal_attention, patch_embed]:
        add(cases)
    for operation, tensors in cases.files.items():
        write_tensors(out / f"{operation}.safetensors", tensors)
    write_json(out / "ops.json", {"torch": torch.__version__}, cases.list)


def linear(cases: Cases) -> None:
    shapes = [(1, 1, 1), (1, 7, 5), (2, 16, 16), (3, 17, 33), (5, 88, 3), (7, 100, 65), (17, 176, 131), (33, 65, 66)]
    for number, (m, k, n) in enumerate(shapes):
        for kind, dtype in DTYPES.items():
            x, weight = cases.normal(m, k), cases.normal(n, k, std=k**-0.5).to(dtype)
            bias = cases.normal(n) if number % 2 else None
            result = functional.linear(x, weight.float(), bias)
            tensors = {"x": x, "weight": weight, "out": result, "gelu": functional.gelu(result)}
            if bias is not None:
                tensors["bias"] = bias
            cases.add("linear", {"m": m, "k": k, "n": n, "weight": kind, "bias": bias is not None}, **tensors)


def norm_rows(cases: Cases, width: int) -> torch.Tensor:
    """Ordinary rows, then a constant one, one far from zero, a huge and a very small one."""
    rows = cases.normal(7, width)
    rows[3] = 2.5
    rows[4] = rows[4] * 0.1 + 100
    rows[5] *= 1e4
    rows[6] *= 1e-4
    return rows


def norms(cases: Cases) -> None:
    for width, eps in [(1, 1e-5), (5, 1e-5), (88, 1e-6), (176, 1e-6), (128, 1e-12), (257, 1e-5)]:
        x, delta = norm_rows(cases, width), cases.normal(7, width)
        weight, bias = cases.normal(width, std=0.3, mean=1.0), cases.normal(width, std=0.3)
        out = functional.layer_norm(x, (width,), weight, bias, eps)
        added = functional.layer_norm(x + delta, (width,), weight, bias, eps)
        tensors = {"x": x, "delta": delta, "weight": weight, "bias": bias, "out": out, "sum": x + delta, "added": added}
        cases.add("layer_norm", {"width": width, "eps": eps}, **tensors)
    for width, eps in [(1, 1e-6), (5, 1e-6), (80, 1e-6), (128, 1e-5), (257, 1e-6)]:
        x, delta = norm_rows(cases, width), cases.normal(7, width)
        norm = LlamaRMSNorm(width, eps)
        norm.weight.copy_(cases.normal(width, std=0.3, mean=1.0))
        tensors = {"x": x, "delta": delta, "weight": norm.weight, "out": norm(x), "sum": x + delta, "added": norm(x + delta)}
        cases.add("rms_norm", {"width": width, "eps": eps}, **tensors)


def elementwise(cases: Cases) -> None:
    far = torch.tensor([0.0, -0.0, 1e-30, -1e-30, 20.0, -20.0, 100.0, -100.0, 1e4, -1e4])
    x = torch.cat([torch.linspace(-12, 12, 481), far])
    cases.add("gelu", {}, x=x, out=functional.gelu(x))
    up = cases.normal(x.numel())
    cases.add("silu_mul", {}, gate=x, up=up, out=functional.silu(x) * up)


def heads(rows: torch.Tensor, batch: int, count: int) -> torch.Tensor:
    """[batch·T, count·D] to [batch, count, T, D]."""
    return rows.reshape(batch, -1, count, rows.shape[1] // count).transpose(1, 2)


def rows(values: torch.Tensor) -> torch.Tensor:
    """[batch, count, T, D] to [batch·T, count·D]."""
    batch, count, length, width = values.shape
    return values.transpose(1, 2).reshape(batch * length, count * width)


def attention(cases: Cases) -> None:
    shapes = [(1, 1, 1, 1, 8), (2, 5, 7, 3, 64), (1, 17, 17, 2, 88), (2, 8, 17, 2, 64), (1, 3, 300, 1, 20), (1, 33, 31, 2, 88)]
    for sharp in [1.0, 25.0]:
        for batch, tq, tk, count, width in shapes if sharp == 1 else shapes[1:3]:
            q = cases.normal(batch * tq, count * width, std=sharp)
            k, v = cases.normal(batch * tk, count * width), cases.normal(batch * tk, count * width)
            out = functional.scaled_dot_product_attention(heads(q, batch, count), heads(k, batch, count), heads(v, batch, count))
            parameters = {"batch": batch, "tq": tq, "tk": tk, "heads": count, "head_dim": width}
            cases.add("attention", parameters, q=q, k=k, v=v, out=rows(out))


def rotary(width: int, theta: float, factor: float) -> LlamaRotaryEmbedding:
    parameters = {"rope_theta": theta, "rope_type": "default"}
    if factor != 1:
        parameters |= {"rope_type": "linear", "factor": factor}
    config = LlamaConfig(hidden_size=width, num_attention_heads=1, head_dim=width, max_position_embeddings=2048, rope_parameters=parameters)
    return LlamaRotaryEmbedding(config)


def rope(cases: Cases) -> None:
    positions = torch.tensor([[0, 1, 2, 3, 100, 1023, 1999, 2047]])
    for width, theta, factor in [(2, 10000.0, 1.0), (20, 10000.0, 1.0), (128, 10000.0, 1.0), (64, 5000.0, 2.0), (32, 1e6, 4.0)]:
        embedding = rotary(width, theta, factor)
        q, k = cases.normal(1, 3, 8, width), cases.normal(1, 1, 8, width)
        cos, sin = embedding(q, positions)
        turned_q, turned_k = apply_rotary_pos_emb(q, k, cos, sin)
        parameters = {"head_dim": width, "heads": 3, "kv_heads": 1, "theta": theta, "linear_factor": factor, "positions": positions[0].tolist()}
        tensors = {"q": rows(q), "k": rows(k), "q_out": rows(turned_q), "k_out": rows(turned_k), "inverse_frequencies": embedding.inv_freq}
        cases.add("rope", parameters, **tensors)


def causal_attention(cases: Cases) -> None:
    """Rotation, grouped heads and a past together; keys and queries are given unrotated, at positions 0, 1, …"""
    shapes = [(0, 1, 1, 1, 8), (0, 5, 4, 2, 16), (7, 1, 4, 1, 32), (6, 11, 6, 3, 20), (0, 70, 2, 1, 32), (130, 1, 2, 2, 32), (63, 3, 2, 1, 128)]
    for past, new, count, kv_count, width in shapes:
        embedding = rotary(width, 10000.0, 1.0)
        total = past + new
        q, k, v = cases.normal(new, count * width, std=1.5), cases.normal(total, kv_count * width), cases.normal(total, kv_count * width)
        cos, sin = embedding(q, torch.arange(total)[None])
        full_q = torch.cat([torch.zeros(past, count * width), q])
        turned_q, turned_k = apply_rotary_pos_emb(heads(full_q, 1, count), heads(k, 1, kv_count), cos, sin)
        mask = torch.ones(new, total, dtype=torch.bool).tril(past)
        out = functional.scaled_dot_product_attention(turned_q[:, :, past:], turned_k, heads(v, 1, kv_count), attn_mask=mask, enable_gqa=True)
        parameters = {"past": past, "new": new, "heads": count, "kv_heads": kv_count, "head_dim": width, "theta": 10000.0}
        cases.add("causal_attention", parameters, q=q, k=k, v=v, out=rows(out))


def patch_embed(cases: Cases) -> None:
    for batch, size, patch, width in [(1, 4, 2, 3), (2, 28, 14, 24), (1, 42, 14, 17)]:
        grid = size // patch
        pixels, weight, bias = cases.normal(batch, 3, size, size), cases.normal(width, 3, patch, patch, std=0.1), cases.normal(width)
        cls, position = cases.normal(width), cases.normal(1 + grid * grid, width)
        patches = functional.conv2d(pixels, weight, bias, stride=patch).flatten(2).transpose(1, 2)
        tokens = torch.cat([cls.expand(batch, 1, width), patches], dim=1) + position
        tensors = {"pixels": pixels, "weight": weight, "bias": bias, "cls": cls, "position": position, "out": tokens.reshape(-1, width)}
        cases.add("patch_embed", {"batch": batch, "size": size, "patch": patch, "width": width}, **tensors)
