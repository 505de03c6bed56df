"""Measures minigpt4-weights against cp on files of the published layouts and true 13B shapes, with random numbers in them.

    .venv/bin/python bench_tools.py ../target/minigpt4-weights.jar --scratch DIR [--layers 3] [--rounds 3]

The language model has all widths of Vicuna-13B and LAYERS of its 40 layers. A command and a cp of what it reads take turns;
both end when the disk has everything (fdatasync). Rates are bytes read plus bytes written per second, medians of the rounds;
"warm" leaves what is read in the page cache, "cold" evicts it first. DIR needs about 6 GB + 3.2 GB a layer; it is emptied at
the end.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import time
from pathlib import Path

import torch

WIDTH, INNER, HEADS, ROWS = 5120, 13824, 40, 32000
VISION, VISION_INNER, VISION_LAYERS = 1408, 6144, 39
QUERY, QUERY_INNER, QUERY_LAYERS, QUERIES = 768, 3072, 12, 32
TOKENIZER = Path(__file__).parent / "../../src/src/test/resources/golden/tiny/vicuna/tokenizer.model"


class Numbers:
    """Random float16 numbers, quickly: stretches of one pool."""

    def __init__(self, seed: int, std: float):
        self.pool = torch.empty(80_000_000, dtype=torch.float32).normal_(std=std, generator=torch.Generator().manual_seed(seed)).half()
        self.at = 0

    def __call__(self, *shape: int) -> torch.Tensor:
        count = 1
        for size in shape:
            count *= size
        if count > self.pool.numel():
            return torch.cat([self(count // shape[-1] // 2, shape[-1]), self(count // shape[-1] - count // shape[-1] // 2, shape[-1])])
        self.at = (self.at + 7919) % (self.pool.numel() - count + 1)
        return self.pool[self.at : self.at + count].view(shape).clone()


def llama(numbers: Numbers, layers: int, rows: int) -> dict:
    state = {"model.embed_tokens.weight": numbers(rows, WIDTH)}
    for n in range(layers):
        layer = f"model.layers.{n}."
        for name in ("q", "k", "v", "o"):
            state[f"{layer}self_attn.{name}_proj.weight"] = numbers(WIDTH, WIDTH)
        state[f"{layer}mlp.gate_proj.weight"] = numbers(INNER, WIDTH)
        state[f"{layer}mlp.down_proj.weight"] = numbers(WIDTH, INNER)
        state[f"{layer}mlp.up_proj.weight"] = numbers(INNER, WIDTH)
        state[f"{layer}input_layernorm.weight"] = numbers(WIDTH)
        state[f"{layer}post_attention_layernorm.weight"] = numbers(WIDTH)
    return state | {"model.norm.weight": numbers(WIDTH), "lm_head.weight": numbers(rows, WIDTH)}


def save_llama(state: dict, folder: Path, layers: int) -> None:
    """Shards of at most 2 GB in the layout of Hugging Face."""
    folder.mkdir()
    shards: list[dict] = [{}]
    for name, tensor in state.items():
        if sum(t.nbytes for t in shards[-1].values()) + tensor.nbytes > 2e9:
            shards.append({})
        shards[-1][name] = tensor
    index = {}
    for i, shard in enumerate(shards):
        name = f"pytorch_model-{i + 1:05}-of-{len(shards):05}.bin"
        torch.save(shard, folder / name)
        index |= dict.fromkeys(shard, name)
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": len(state["lm_head.weight"]),
              "hidden_size": WIDTH, "intermediate_size": INNER, "num_hidden_layers": layers, "num_attention_heads": HEADS,
              "rms_norm_eps": 1e-6, "max_position_embeddings": 2048, "torch_dtype": "float16"}  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    shutil.copy(TOKENIZER, folder / "tokenizer.model")


def save_delta(base: dict, folder: Path, layers: int) -> None:
    noise = Numbers(3, 0.0005)
    delta = {}
    for name, tensor in base.items():
        padded = torch.cat([tensor, torch.zeros(1, WIDTH, dtype=torch.float16)]) if len(tensor) == ROWS else tensor
        delta[name] = (padded + noise(*padded.shape)) - padded
    save_llama(delta, folder, layers)


def save_meta(folder: Path, layers: int) -> None:
    """Two ranks, as the 13B download has."""
    numbers = Numbers(4, 0.02)
    folder.mkdir()
    for rank in range(2):
        part = {"tok_embeddings.weight": numbers(ROWS, WIDTH // 2), "norm.weight": numbers(WIDTH), "output.weight": numbers(ROWS // 2, WIDTH)}
        for n in range(layers):
            layer = f"layers.{n}."
            for name in ("wq", "wk", "wv"):
                part[f"{layer}attention.{name}.weight"] = numbers(WIDTH // 2, WIDTH)
            part[f"{layer}attention.wo.weight"] = numbers(WIDTH, WIDTH // 2)
            part[f"{layer}feed_forward.w1.weight"] = numbers(INNER // 2, WIDTH)
            part[f"{layer}feed_forward.w2.weight"] = numbers(WIDTH, INNER // 2)
            part[f"{layer}feed_forward.w3.weight"] = numbers(INNER // 2, WIDTH)
            part[f"{layer}attention_norm.weight"] = numbers(WIDTH)
            part[f"{layer}ffn_norm.weight"] = numbers(WIDTH)
        torch.save(part | {"rope.freqs": torch.ones(64)}, folder / f"consolidated.{rank:02}.pth")
    params = {"dim": WIDTH, "multiple_of": 256, "n_heads": HEADS, "n_layers": layers, "norm_eps": 1e-6, "vocab_size": -1}
    (folder / "params.json").write_text(json.dumps(params))
    shutil.copy(TOKENIZER, folder)


def save_vision(path: Path) -> None:
    numbers, w = Numbers(5, 0.02), VISION
    state = {"cls_token": numbers(1, 1, w), "pos_embed": numbers(1, 257, w), "patch_embed.proj.weight": numbers(w, 3, 14, 14),
             "patch_embed.proj.bias": numbers(w)}  # fmt: skip
    for n in range(VISION_LAYERS):
        shapes = {"norm1.weight": [w], "norm1.bias": [w], "attn.q_bias": [w], "attn.v_bias": [w], "attn.qkv.weight": [3 * w, w],
                  "attn.proj.weight": [w, w], "attn.proj.bias": [w], "norm2.weight": [w], "norm2.bias": [w],
                  "mlp.fc1.weight": [VISION_INNER, w], "mlp.fc1.bias": [VISION_INNER], "mlp.fc2.weight": [w, VISION_INNER],
                  "mlp.fc2.bias": [w]}  # fmt: skip
        state |= {f"blocks.{n}.{name}": numbers(*shape) for name, shape in shapes.items()}
    torch.save(state, path)


def save_qformer(path: Path) -> None:
    numbers, w = Numbers(6, 0.02), QUERY

    def dense(name: str, rows: int, columns: int) -> dict:
        return {f"{name}.weight": numbers(rows, columns).float(), f"{name}.bias": numbers(rows).float()}

    def norm(name: str, width: int) -> dict:
        return {f"{name}.weight": numbers(width).float(), f"{name}.bias": numbers(width).float()}

    state = {"query_tokens": numbers(1, QUERIES, w).float()} | norm("ln_vision", VISION)
    state |= norm("Qformer.bert.embeddings.LayerNorm", w)
    for n in range(QUERY_LAYERS):
        layer = f"Qformer.bert.encoder.layer.{n}."
        for name, width in [("attention", w)] + ([("crossattention", VISION)] if n % 2 == 0 else []):
            state |= dense(f"{layer}{name}.self.query", w, w)
            state |= dense(f"{layer}{name}.self.key", w, width) | dense(f"{layer}{name}.self.value", w, width)
            state |= dense(f"{layer}{name}.output.dense", w, w) | norm(f"{layer}{name}.output.LayerNorm", w)
        state |= dense(f"{layer}intermediate_query.dense", QUERY_INNER, w)
        state |= dense(f"{layer}output_query.dense", w, QUERY_INNER) | norm(f"{layer}output_query.LayerNorm", w)
    torch.save({"model": state}, path)


def make(files: Path, layers: int) -> None:
    files.mkdir(parents=True)
    base = llama(Numbers(1, 0.02), layers, ROWS)
    save_llama(base, files / "llama", layers)
    save_delta(base, files / "delta", layers)
    del base
    save_meta(files / "meta", layers)
    save_vision(files / "eva_vit_g.pth")
    save_qformer(files / "blip2_pretrained_flant5xxl.pth")
    numbers = Numbers(7, 0.02)
    torch.save({"model": {"llama_proj.weight": numbers(WIDTH, QUERY).float(), "llama_proj.bias": numbers(WIDTH).float()}}, files / "projection.pth")


def all_files(paths: list[Path]) -> list[Path]:
    return [f for p in paths for f in (sorted(p.rglob("*")) if p.is_dir() else [p]) if f.is_file()]


def size(paths: list[Path]) -> int:
    return sum(f.stat().st_size for f in all_files(paths))


def prepare(paths: list[Path], cold: bool) -> None:
    for file in all_files(paths):
        with file.open("rb", buffering=0) as f:
            if cold:
                os.fdatasync(f.fileno())
                os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            else:
                buffer = bytearray(1 << 22)
                while f.readinto(buffer):
                    pass


def synced(paths: list[Path]) -> None:
    for file in all_files(paths):
        with file.open("rb") as f:
            os.fdatasync(f.fileno())


def timed(command: list, reads: list[Path], out: Path, cold: bool) -> float:
    """Bytes read and written per second."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    prepare(reads, cold)
    os.sync()
    start = time.monotonic()
    subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    synced([out])
    seconds = time.monotonic() - start
    rate = (size(reads) + size([out])) / seconds
    shutil.rmtree(out)
    return rate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("jar", type=Path)
    parser.add_argument("--java", default="java")
    parser.add_argument("--java-options", default="-Xmx2g")
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", help="commands, separated by commas")
    parser.add_argument("--keep", action="store_true", help="keep the files, and use what an earlier run kept")
    args = parser.parse_args()
    files, out = args.scratch / "files", args.scratch / "out"
    if not files.exists():
        make(files, args.layers)
    tool = [args.java, *args.java_options.split(), "-jar", args.jar.resolve()]
    published = [files / name for name in ("eva_vit_g.pth", "blip2_pretrained_flant5xxl.pth", "llama", "projection.pth")]
    parts = ["--vit-model", published[0], "--q-former-model", published[1], "--llama-model", published[2], "--ckpt", published[3]]
    commands = {
        "convert": (published, ["convert", *parts]),
        "convert --dtype bf16": (published, ["convert", *parts, "--dtype", "bf16"]),
        "apply-delta": ([files / "llama", files / "delta"], ["apply-delta", "--base", files / "llama", "--delta", files / "delta"]),
        "llama": ([files / "meta"], ["llama", files / "meta"]),
        "quantize --bits 8": ([files / "llama"], ["quantize", "--bits", "8", files / "llama"]),
        "quantize --bits 4": ([files / "llama"], ["quantize", "--bits", "4", files / "llama"]),
        "export": ([files / "llama"], ["export", files / "llama"]),
    }
    print(f"{'command':24}{'':6}{'GB read':>9}{'GB/s':>8}{'cp GB/s':>9}{'share':>7}")
    for name, (reads, command) in commands.items():
        if args.only and name not in args.only.split(","):
            continue
        for cold in (False, True):
            ours, copies = [], []
            for _ in range(args.rounds):
                copies.append(timed(["cp", "-r", "--reflink=never", *reads, out], reads, out, cold))
                ours.append(timed([*tool, *command, "-o", out], reads, out, cold))
            a, b = statistics.median(ours) / 1e9, statistics.median(copies) / 1e9
            print(f"{name:24}{'cold' if cold else 'warm':6}{size(reads) / 1e9:9.2f}{a:8.2f}{b:9.2f}{a / b:7.0%}", flush=True)
    if not args.keep:
        shutil.rmtree(args.scratch)


if __name__ == "__main__":
    main()
