"""A very small random MiniGPT-4, written in the layouts of the published files.

Its numbers are drawn, not learnt, but scaled so that attention is not flat and the logits are some apart.
"""

import json
import shutil
from collections import OrderedDict
from pathlib import Path

import torch
from safetensors.torch import save_file

IMAGE, PATCH = 56, 14
VISION = {"width": 176, "layers": 2, "mlp": 152}
QFORMER = {"hidden": 128, "layers": 3, "mlp": 136, "queries": 8}
VICUNA = {"hidden": 128, "layers": 2, "heads": 4, "kv_heads": 4, "mlp": 176}
SMALL = {"hidden": 64, "layers": 2, "heads": 4, "kv_heads": 2, "mlp": 112}
ODD = {"hidden": 80, "layers": 2, "heads": 4, "kv_heads": 4, "mlp": 108}
CONTEXT = 256


class Drawer:
    """Draws tensors, one seed a model part."""

    def __init__(self, seed: int):
        self.generator = torch.Generator().manual_seed(seed)

    def normal(self, *shape, std=1.0, mean=0.0):
        return torch.randn(shape, generator=self.generator) * std + mean

    def matrix(self, rows, columns, gain=1.2):
        return self.normal(rows, columns, std=gain / columns**0.5)

    def dense(self, name, rows, columns):
        return {f"{name}.weight": self.matrix(rows, columns), f"{name}.bias": self.normal(rows, std=0.1)}

    def norm(self, name, width):
        return {f"{name}.weight": self.normal(width, std=0.2, mean=1.0), f"{name}.bias": self.normal(width, std=0.1)}


def vision() -> OrderedDict:
    """The ViT's state dict, with keys that the model has no place for: a block after the last, a norm and a head."""
    draw, width, grid = Drawer(1), VISION["width"], IMAGE // PATCH
    state = OrderedDict()
    state["cls_token"] = draw.normal(1, 1, width, std=0.5)
    state["pos_embed"] = draw.normal(1, grid * grid + 1, width, std=0.5)
    state["patch_embed.proj.weight"] = draw.normal(width, 3, PATCH, PATCH, std=0.05)
    state["patch_embed.proj.bias"] = draw.normal(width, std=0.1)
    for n in range(VISION["layers"]):
        block = f"blocks.{n}"
        state |= draw.norm(f"{block}.norm1", width)
        state[f"{block}.attn.q_bias"] = draw.normal(width, std=0.2)
        state[f"{block}.attn.v_bias"] = draw.normal(width, std=0.2)
        state[f"{block}.attn.qkv.weight"] = draw.matrix(3 * width, width, gain=1.5)
        state |= draw.dense(f"{block}.attn.proj", width, width)
        state |= draw.norm(f"{block}.norm2", width)
        state |= draw.dense(f"{block}.mlp.fc1", VISION["mlp"], width)
        state |= draw.dense(f"{block}.mlp.fc2", width, VISION["mlp"])
    extra = f"blocks.{VISION['layers']}"
    state |= draw.norm(f"{extra}.norm1", width) | draw.norm(f"{extra}.norm2", width)
    state |= {f"{extra}.attn.q_bias": draw.normal(width), f"{extra}.attn.v_bias": draw.normal(width)}
    state |= draw.norm("norm", width) | draw.norm("fc_norm", width) | draw.dense("head", 5, width)
    return OrderedDict((name, tensor.half()) for name, tensor in state.items())


def qformer() -> OrderedDict:
    """Q-Former, queries and ln_vision under BLIP-2's names; the last part is the text branch, which is ignored."""
    draw, hidden, mlp = Drawer(2), QFORMER["hidden"], QFORMER["mlp"]
    state = OrderedDict()
    state["query_tokens"] = draw.normal(1, QFORMER["queries"], hidden, std=0.5)
    state |= draw.norm("ln_vision", VISION["width"])
    state |= draw.norm("Qformer.bert.embeddings.LayerNorm", hidden)
    for n in range(QFORMER["layers"]):
        layer = f"Qformer.bert.encoder.layer.{n}"
        for attention, width in [("attention", hidden)] + [("crossattention", VISION["width"])] * (n % 2 == 0):
            state |= draw.dense(f"{layer}.{attention}.self.query", hidden, hidden)
            state |= draw.dense(f"{layer}.{attention}.self.key", hidden, width)
            state |= draw.dense(f"{layer}.{attention}.self.value", hidden, width)
            state |= draw.dense(f"{layer}.{attention}.output.dense", hidden, hidden)
            state |= draw.norm(f"{layer}.{attention}.output.LayerNorm", hidden)
        state |= draw.dense(f"{layer}.intermediate_query.dense", mlp, hidden)
        state |= draw.dense(f"{layer}.output_query.dense", hidden, mlp)
        state |= draw.norm(f"{layer}.output_query.LayerNorm", hidden)
        state |= draw.dense(f"{layer}.intermediate.dense", 3, hidden) | draw.dense(f"{layer}.output.dense", hidden, 3)
        state |= draw.norm(f"{layer}.output.LayerNorm", hidden)
    state["Qformer.bert.embeddings.position_ids"] = torch.arange(9).expand(1, -1)
    state["Qformer.bert.embeddings.word_embeddings.weight"] = draw.normal(7, hidden)
    state["Qformer.bert.embeddings.position_embeddings.weight"] = draw.normal(9, hidden)
    state |= draw.dense("t5_proj", 6, hidden)
    # the published file is float32; the matrices are float16 here to keep the file small
    return OrderedDict((name, t.half() if t.dim() == 2 and t.is_floating_point() else t) for name, t in state.items())


def projection() -> dict:
    """A checkpoint as training writes it: projection, AdamW's state after a step, configuration, loss scaler, epoch."""
    draw = Drawer(3)
    module = torch.nn.Linear(QFORMER["hidden"], VICUNA["hidden"])
    with torch.no_grad():
        module.weight.copy_(draw.matrix(VICUNA["hidden"], QFORMER["hidden"]))
        module.bias.copy_(draw.normal(VICUNA["hidden"], std=0.1))
    groups = [{"params": [module.weight], "weight_decay": 0.05}, {"params": [module.bias], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=3e-5, betas=(0.9, 0.999))
    module.weight.grad, module.bias.grad = draw.matrix(*module.weight.shape), draw.normal(module.out_features)
    optimizer.step()
    config = {"model": {"arch": "mini_gpt4", "max_txt_len": 160, "end_sym": "###"}, "run": {"init_lr": 3e-5, "amp": True, "seed": 42}}
    scaler = {"scale": 65536.0, "growth_factor": 2.0, "backoff_factor": 0.5, "growth_interval": 2000, "_growth_tracker": 7}
    model = OrderedDict((f"llama_proj.{name}", tensor.detach()) for name, tensor in module.named_parameters())
    return {"model": model, "optimizer": optimizer.state_dict(), "config": config, "scaler": scaler, "epoch": 4}


def llama(seed: int, size: dict, vocabulary: int, tied: bool = False) -> OrderedDict:
    draw, hidden = Drawer(seed), size["hidden"]
    head = hidden // size["heads"]
    kv = size["kv_heads"] * head
    state = OrderedDict()
    state["model.embed_tokens.weight"] = draw.normal(vocabulary, hidden, std=0.25 if tied else 1.0)
    for n in range(size["layers"]):
        layer = f"model.layers.{n}"
        state[f"{layer}.self_attn.q_proj.weight"] = draw.matrix(hidden, hidden, gain=1.5)
        state[f"{layer}.self_attn.k_proj.weight"] = draw.matrix(kv, hidden, gain=1.5)
        state[f"{layer}.self_attn.v_proj.weight"] = draw.matrix(kv, hidden)
        state[f"{layer}.self_attn.o_proj.weight"] = draw.matrix(hidden, hidden)
        state[f"{layer}.self_attn.rotary_emb.inv_freq"] = 1.0 / 10000 ** (torch.arange(0, head, 2) / head)
        state[f"{layer}.mlp.gate_proj.weight"] = draw.matrix(size["mlp"], hidden)
        state[f"{layer}.mlp.up_proj.weight"] = draw.matrix(size["mlp"], hidden)
        state[f"{layer}.mlp.down_proj.weight"] = draw.matrix(hidden, size["mlp"])
        state[f"{layer}.input_layernorm.weight"] = draw.normal(hidden, std=0.2, mean=1.0)
        state[f"{layer}.post_attention_layernorm.weight"] = draw.normal(hidden, std=0.2, mean=1.0)
    state["model.norm.weight"] = draw.normal(hidden, std=0.2, mean=1.0)
    if not tied:
        state["lm_head.weight"] = draw.matrix(vocabulary, hidden, gain=2.5)
        state["lm_head.weight"][2] *= 1.8  # so that eos is among the likely tokens now and then
    return state


def cast(state: OrderedDict, dtype: torch.dtype) -> OrderedDict:
    return OrderedDict((name, t if name.endswith("inv_freq") else t.to(dtype)) for name, t in state.items())


def llama_config(size: dict, vocabulary: int, dtype: str, **more) -> dict:
    config = {
        "architectures": ["LlamaForCausalLM"],
        "bos_token_id": 1,
        "eos_token_id": 2,
        "hidden_act": "silu",
        "hidden_size": size["hidden"],
        "initializer_range": 0.02,
        "intermediate_size": size["mlp"],
        "max_position_embeddings": CONTEXT,
        "model_type": "llama",
        "num_attention_heads": size["heads"],
        "num_hidden_layers": size["layers"],
        "pad_token_id": 0,
        "rms_norm_eps": 1e-06,
        "tie_word_embeddings": False,
        "torch_dtype": dtype,
        "transformers_version": "4.28.1",
        "use_cache": True,
        "vocab_size": vocabulary,
    }
    if size["kv_heads"] != size["heads"]:
        config["num_key_value_heads"] = size["kv_heads"]
    return config | more


def write_folder_text(folder: Path, config: dict, tokenizer: Path | None) -> None:
    """The small files of a Vicuna folder; without a tokenizer only the two configurations."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        "config.json": config,
        "generation_config.json": {"_from_model_config": True, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "transformers_version": "4.28.1"},
    }
    if tokenizer:
        shutil.copyfile(tokenizer, folder / "tokenizer.model")
        texts["added_tokens.json"] = {"[PAD]": config["vocab_size"] - 1}
        texts["special_tokens_map.json"] = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "[PAD]", "unk_token": "<unk>"}
        texts["tokenizer_config.json"] = {"add_bos_token": True, "add_eos_token": False, "model_max_length": CONTEXT, "tokenizer_class": "LlamaTokenizer"}
    for name, value in texts.items():
        (folder / name).write_text(json.dumps(value, indent=2) + "\n", encoding="ascii")


def save_torch(value, path: Path, legacy: bool = False, protocol: int = 2) -> None:
    """torch.save with the archive's inner folder named "archive", whatever the file is called."""
    with open(path, "wb") as out:
        torch.save(value, out, pickle_protocol=protocol, _use_new_zipfile_serialization=not legacy)


def save_safetensors(state: dict, path: Path) -> None:
    save_file(dict(state), path, metadata={"format": "pt"})
    path.chmod(0o644)


def save_sharded(state: OrderedDict, folder: Path, stem: str, suffix: str, save) -> None:
    """Two files of about half the bytes each, and the index that says which tensor is where."""
    total = sum(t.numel() * t.element_size() for t in state.values())
    shards, seen = [OrderedDict(), OrderedDict()], 0
    for name, tensor in state.items():
        shards[0 if seen < total / 2 else 1][name] = tensor
        seen += tensor.numel() * tensor.element_size()
    weight_map = {}
    for number, shard in enumerate(shards, 1):
        file = f"{stem}-{number:05}-of-00002.{suffix}"
        save(shard, folder / file)
        weight_map |= {name: file for name in shard}
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
    (folder / f"{stem}.{suffix}.index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="ascii")


def odd_tensors() -> dict:
    """Tensors that a reader of PyTorch files meets: every dtype, shared, offset, transposed, broadcast, empty, nested."""
    draw = Drawer(9)
    base = draw.normal(6, 10)
    return {
        "float16": draw.normal(3, 5).half(),
        "bfloat16": draw.normal(3, 5).bfloat16(),
        "float32": draw.normal(3, 5),
        "float64": draw.normal(3, 5).double(),
        "int64": torch.tensor([[-(2**63), -1, 0], [1, 2**40, 2**63 - 1]]),
        "int32": torch.tensor([-(2**31), 7, 2**31 - 1], dtype=torch.int32),
        "int16": torch.tensor([-32768, 7, 32767], dtype=torch.int16),
        "int8": torch.tensor([-128, 7, 127], dtype=torch.int8),
        "uint8": torch.tensor([0, 7, 255], dtype=torch.uint8),
        "bool": torch.tensor([True, False, True, True]),
        "scalar": torch.tensor(3.25),
        "empty": torch.empty(0, 4),
        "special": torch.tensor([float("inf"), float("-inf"), float("nan"), -0.0, 1e-45]),
        "shared_whole": base,
        "shared_row": base[2],
        "shared_column": base[:, 3],
        "shared_block": base[1:4, 2:9:3],
        "transposed": base.t(),
        "permuted": draw.normal(2, 3, 4).permute(2, 0, 1),
        "broadcast": draw.normal(1, 4).expand(3, 4),
        "parameter": torch.nn.Parameter(draw.normal(4)),
        "nested": OrderedDict(inner={"weight": draw.normal(2, 2)}, numbers=[1, 2.5, None, True, "text", (3, 4)]),
    }
