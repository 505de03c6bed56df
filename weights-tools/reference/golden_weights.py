"""Writes a LLaMA with a delta in FastChat's form, and one in Meta's form, with what they must become.

The sums are done by Transformers' model and PyTorch's `+=`, as FastChat's published procedure does them. That the
reordered rows of Meta's queries and keys are right is seen from the outside: Meta's arithmetic on its own files (RoPE as a
product of complex numbers over adjacent channels) and Transformers' on the joined ones give the same logits.
"""

import json
from collections import OrderedDict
from pathlib import Path

import torch

import tiny
from common import import_torchvision, write_tensors

import_torchvision()
from transformers import LlamaConfig, LlamaForCausalLM  # noqa: E402  (looks for torchvision)

BASE_ROWS = 130  # the delta has one more, for [PAD]
META = {"hidden": 32, "layers": 2, "heads": 4, "kv_heads": 4, "mlp": 48}
META_ROWS = 702
RANKS = 2


def make(out: Path) -> None:
    deltas(out)
    meta(out / "meta")


def model(state: dict, size: dict, rows: int, dtype: torch.dtype) -> LlamaForCausalLM:
    config = tiny.llama_config(size, rows, str(dtype).removeprefix("torch."))
    module = LlamaForCausalLM(LlamaConfig(**{k: v for k, v in config.items() if k not in ("architectures", "torch_dtype")}))
    module.load_state_dict({name: t for name, t in state.items() if not name.endswith("inv_freq")})
    return module.to(dtype).eval()


def deltas(out: Path) -> None:
    """base (LLaMA), delta_v0 (a row more) and delta_v1 (as many rows), and the sums."""
    base = tiny.cast(tiny.llama(7, tiny.SMALL, BASE_ROWS), torch.float16)
    folder = out / "base"
    tiny.write_folder_text(folder, tiny.llama_config(tiny.SMALL, BASE_ROWS, "float16"), None)
    tiny.save_sharded(base, folder, "pytorch_model", "bin", tiny.save_torch)
    draw = tiny.Drawer(8)
    for version, rows in [("v0", BASE_ROWS + 1), ("v1", BASE_ROWS)]:
        padded = OrderedDict()
        for name, tensor in base.items():
            more = rows - tensor.shape[0] if name in ("model.embed_tokens.weight", "lm_head.weight") else 0
            padded[name] = torch.cat([tensor, torch.zeros(more, tensor.shape[1], dtype=torch.float16)]) if more else tensor
        tuned = OrderedDict((name, (t.float() + draw.normal(*t.shape, std=0.004)).half()) for name, t in padded.items())
        delta = OrderedDict((name, tuned[name] - t) for name, t in padded.items())
        for name in delta:
            if name.endswith("inv_freq"):
                delta[name] = padded[name]
        folder = out / f"delta_{version}"
        tiny.write_folder_text(folder, tiny.llama_config(tiny.SMALL, rows, "float16"), None)
        tiny.save_sharded(delta, folder, "pytorch_model", "bin", tiny.save_torch)
        write_tensors(out / f"sum_{version}.safetensors", add(base, delta, rows))


def add(base: dict, delta: dict, rows: int) -> dict:
    """What the published procedure does: the model in float16, its embeddings resized, the new rows zero, then +=."""
    module = model(base, tiny.SMALL, BASE_ROWS, torch.float16)
    if rows > BASE_ROWS:
        module.resize_token_embeddings(rows, mean_resizing=False)
        module.get_input_embeddings().weight.data[BASE_ROWS:] = 0
        module.get_output_embeddings().weight.data[BASE_ROWS:] = 0
    state = module.state_dict()
    for name in state:
        state[name].data += delta[name]
    return state


def meta(folder: Path) -> None:
    draw, width, inner = tiny.Drawer(9), META["hidden"], META["mlp"]
    whole = OrderedDict()
    whole["tok_embeddings.weight"] = draw.normal(META_ROWS, width)
    whole["norm.weight"] = draw.normal(width, std=0.2, mean=1.0)
    whole["output.weight"] = draw.matrix(META_ROWS, width)
    for n in range(META["layers"]):
        layer = f"layers.{n}"
        for name in ("wq", "wk", "wv", "wo"):
            whole[f"{layer}.attention.{name}.weight"] = draw.matrix(width, width, gain=1.5)
        whole[f"{layer}.feed_forward.w1.weight"] = draw.matrix(inner, width)
        whole[f"{layer}.feed_forward.w2.weight"] = draw.matrix(width, inner)
        whole[f"{layer}.feed_forward.w3.weight"] = draw.matrix(inner, width)
        whole[f"{layer}.attention_norm.weight"] = draw.normal(width, std=0.2, mean=1.0)
        whole[f"{layer}.ffn_norm.weight"] = draw.normal(width, std=0.2, mean=1.0)
    whole = OrderedDict((name, t.half()) for name, t in whole.items())
    folder.mkdir(parents=True, exist_ok=True)
    head = width // META["heads"]
    for rank in range(RANKS):
        part = OrderedDict((name, share(name, t, rank)) for name, t in whole.items())
        part["rope.freqs"] = 1.0 / 10000 ** (torch.arange(0, head, 2) / head)
        tiny.save_torch(part, folder / f"consolidated.{rank:02}.pth")
    params = {"dim": width, "multiple_of": 16, "n_heads": META["heads"], "n_layers": META["layers"], "norm_eps": 1e-06, "vocab_size": -1}
    (folder / "params.json").write_text(json.dumps(params) + "\n", encoding="ascii")
    joined = hugging_face(whole)
    compare_logits(whole, joined)
    write_tensors(folder.parent / "meta.safetensors", joined)


def share(name: str, tensor: torch.Tensor, rank: int) -> torch.Tensor:
    """A rank's part: fairscale's column-parallel layers have rows of the matrix, its row-parallel ones columns."""
    if tensor.dim() == 1:
        return tensor.clone()
    by_columns = any(word in name for word in ("wo.", "w2.", "tok_embeddings"))
    return tensor.chunk(RANKS, dim=1 if by_columns else 0)[rank].clone()


def hugging_face(whole: dict) -> OrderedDict:
    names = {"attention.wq": "self_attn.q_proj", "attention.wk": "self_attn.k_proj", "attention.wv": "self_attn.v_proj",
             "attention.wo": "self_attn.o_proj", "feed_forward.w1": "mlp.gate_proj", "feed_forward.w2": "mlp.down_proj",
             "feed_forward.w3": "mlp.up_proj", "attention_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"}  # fmt: skip
    roots = {"tok_embeddings": "model.embed_tokens", "norm": "model.norm", "output": "lm_head"}
    out = OrderedDict()
    for name, tensor in whole.items():
        stem = name.removesuffix(".weight")
        if stem in roots:
            out[f"{roots[stem]}.weight"] = tensor
            continue
        _, number, part = stem.split(".", 2)
        if part in ("attention.wq", "attention.wk"):
            pairs = tensor.unflatten(0, (META["heads"], -1, 2))  # heads, channel pairs, the two of a pair, columns
            tensor = pairs.movedim(2, 1).flatten(0, 2)
        out[f"model.layers.{number}.{names[part]}.weight"] = tensor
    return out


def compare_logits(whole: dict, joined: dict) -> None:
    ids = torch.arange(5, 600, 60)
    with torch.no_grad():
        expected = meta_logits({name: t.float() for name, t in whole.items()}, ids)
        found = model({n: t.float() for n, t in joined.items()}, META, META_ROWS, torch.float32)(ids[None]).logits[0]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def meta_logits(w: dict, ids: torch.Tensor) -> torch.Tensor:
    """LLaMA's forward pass on Meta's own weights."""
    heads, head = META["heads"], META["hidden"] // META["heads"]
    angles = torch.outer(torch.arange(len(ids)), 1.0 / 10000 ** (torch.arange(0, head, 2) / head))
    turn = torch.polar(torch.ones_like(angles), angles)[:, None]
    mask = torch.full((len(ids), len(ids)), float("-inf")).triu(1)

    def norm(x, name):
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6) * w[name]

    def rotate(x):
        return torch.view_as_real(torch.view_as_complex(x.reshape(len(ids), heads, -1, 2)) * turn).flatten(2)

    x = w["tok_embeddings.weight"][ids]
    for n in range(META["layers"]):
        a, f = f"layers.{n}.attention", f"layers.{n}.feed_forward"
        y = norm(x, f"layers.{n}.attention_norm.weight")
        q, k, v = (y @ w[f"{a}.{name}.weight"].T for name in ("wq", "wk", "wv"))
        q, k, v = rotate(q), rotate(k), v.unflatten(1, (heads, head))
        scores = torch.einsum("qhd,khd->hqk", q, k) / head**0.5 + mask
        x = x + torch.einsum("hqk,khd->qhd", scores.softmax(-1), v).flatten(1) @ w[f"{a}.wo.weight"].T
        y = norm(x, f"layers.{n}.ffn_norm.weight")
        gate = torch.nn.functional.silu(y @ w[f"{f}.w1.weight"].T)
        x = x + (gate * (y @ w[f"{f}.w3.weight"].T)) @ w[f"{f}.w2.weight"].T
    return norm(x, "norm.weight") @ w["output.weight"].T
