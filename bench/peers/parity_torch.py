"""Weights and what PyTorch makes of them, for minigpt4-bench parity --peer FOLDER.

    python parity_torch.py FOLDER                  (3 GB of disk, 6 GB of GPU memory)
    python parity_torch.py FOLDER --tiny --device cpu

The parts of MiniGPT-4 with Vicuna-13B at their full width, two layers of each, random weights rounded to float16, computed in
float32 without TF32: ViT and Q-Former for one image, LLaMA for a prompt and nine tokens' scores, and one batch of stage-1
training with the gradients of the projection. Needs nothing but PyTorch.
"""

import argparse
import json
import struct
import sys
from pathlib import Path

import torch
from torch.nn import functional

DTYPES = {torch.float16: "F16", torch.float32: "F32"}
QUERIES = 32
PATCH = 14


def save(path: Path, tensors: dict) -> None:
    """Writes the safetensors format: the header's length, the header, the data."""
    header, at = {}, 0
    for name, tensor in tensors.items():
        size = tensor.numel() * tensor.element_size()
        header[name] = {"dtype": DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for tensor in tensors.values():
            file.write(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")


class Weights:
    """Random weights under the published names; makes each when it is first asked for."""

    def __init__(self, device: str):
        self.device, self.all = device, {}
        self.random = torch.Generator(device="cpu").manual_seed(1)

    def get(self, name: str, *shape: int, deviation: float = 0.02, mean: float = 0.0) -> torch.Tensor:
        if name not in self.all:
            values = torch.randn(*shape, generator=self.random) * deviation + mean
            self.all[name] = values.half()
        return self.all[name].to(self.device).float()

    def linear(self, x: torch.Tensor, name: str, out: int) -> torch.Tensor:
        return functional.linear(x, self.get(name + ".weight", out, x.shape[-1]), self.get(name + ".bias", out))

    def norm(self, x: torch.Tensor, name: str, eps: float) -> torch.Tensor:
        width = x.shape[-1]
        weight = self.get(name + ".weight", width, deviation=0.1, mean=1)
        return functional.layer_norm(x, (width,), weight, self.get(name + ".bias", width), eps)


def heads_of(x: torch.Tensor, heads: int) -> torch.Tensor:
    return x.view(x.shape[0], heads, -1).transpose(0, 1)


def attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, heads: int, causal: bool = False) -> torch.Tensor:
    q, k, v = (heads_of(x, heads) for x in (q, k, v))
    scores = q @ k.transpose(1, 2) / q.shape[-1] ** 0.5
    if causal:
        scores = scores.masked_fill(torch.ones_like(scores, dtype=torch.bool).triu(1), float("-inf"))
    return (scores.softmax(-1) @ v).transpose(0, 1).flatten(1)


def vision(w: Weights, pixels: torch.Tensor, layers: int, width: int, heads: int, inner: int) -> torch.Tensor:
    p = "visual_encoder."
    patches = functional.conv2d(
        pixels, w.get(p + "patch_embed.proj.weight", width, 3, PATCH, PATCH), w.get(p + "patch_embed.proj.bias", width), stride=PATCH
    )
    x = patches.flatten(2)[0].t()
    x = torch.cat([w.get(p + "cls_token", 1, 1, width)[0], x]) + w.get(p + "pos_embed", 1, len(x) + 1, width)[0]
    for i in range(layers):
        b = f"{p}blocks.{i}."
        y = w.norm(x, b + "norm1", 1e-6)
        bias = torch.cat([w.get(b + "attn.q_bias", width), torch.zeros(width, device=x.device), w.get(b + "attn.v_bias", width)])
        q, k, v = functional.linear(y, w.get(b + "attn.qkv.weight", 3 * width, width), bias).chunk(3, -1)
        x = x + w.linear(attention(q, k, v, heads), b + "attn.proj", width)
        y = functional.gelu(w.linear(w.norm(x, b + "norm2", 1e-6), b + "mlp.fc1", inner))
        x = x + w.linear(y, b + "mlp.fc2", width)
    return x


def qformer(w: Weights, image: torch.Tensor, layers: int, width: int) -> torch.Tensor:
    def attend(x, other, name):
        q = w.linear(x, name + "self.query", width)
        k, v = w.linear(other, name + "self.key", width), w.linear(other, name + "self.value", width)
        return w.norm(x + w.linear(attention(q, k, v, width // 64), name + "output.dense", width), name + "output.LayerNorm", 1e-12)

    x = w.norm(w.get("query_tokens", 1, QUERIES, width)[0], "Qformer.bert.embeddings.LayerNorm", 1e-12)
    for i in range(layers):
        layer = f"Qformer.bert.encoder.layer.{i}."
        x = attend(x, x, layer + "attention.")
        if i % 2 == 0:
            x = attend(x, image, layer + "crossattention.")
        y = functional.gelu(w.linear(x, layer + "intermediate_query.dense", 4 * width))
        x = w.norm(x + w.linear(y, layer + "output_query.dense", width), layer + "output_query.LayerNorm", 1e-12)
    return x


class Llama:
    def __init__(self, w: Weights, config: dict):
        self.w, self.config = w, config
        self.width, self.heads = config["hidden_size"], config["num_attention_heads"]

    def get(self, name: str, *shape: int, **how) -> torch.Tensor:
        return self.w.get("llama_model." + name, *shape, **how)

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        return self.get("model.embed_tokens.weight", self.config["vocab_size"], self.width)[ids]

    def norm(self, x: torch.Tensor, name: str) -> torch.Tensor:
        weight = self.get(name, self.width, deviation=0.1, mean=1)
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.config["rms_norm_eps"]) * weight

    def turned(self, x: torch.Tensor) -> torch.Tensor:
        head = self.width // self.heads
        angles = torch.outer(torch.arange(len(x)), 10000.0 ** (-torch.arange(0, head, 2) / head)).repeat(1, 2).to(x.device)
        x = x.view(len(x), self.heads, head)
        first, second = x.chunk(2, -1)
        x = x * angles.cos()[:, None] + torch.cat([-second, first], -1) * angles.sin()[:, None]
        return x.flatten(1)

    def scores(self, x: torch.Tensor) -> torch.Tensor:
        """[rows, vocabulary] of one sequence's embedded rows."""
        width, inner = self.width, self.config["intermediate_size"]
        for i in range(self.config["num_hidden_layers"]):
            layer = f"model.layers.{i}."
            y = self.norm(x, layer + "input_layernorm.weight")
            q, k, v = (y @ self.get(f"{layer}self_attn.{n}_proj.weight", width, width).t() for n in "qkv")
            y = attention(self.turned(q), self.turned(k), v, self.heads, causal=True)
            x = x + y @ self.get(layer + "self_attn.o_proj.weight", width, width).t()
            y = self.norm(x, layer + "post_attention_layernorm.weight")
            gate, up = (y @ self.get(f"{layer}mlp.{n}_proj.weight", inner, width).t() for n in ("gate", "up"))
            x = x + (functional.silu(gate) * up) @ self.get(layer + "mlp.down_proj.weight", width, inner).t()
        return self.norm(x, "model.norm.weight") @ self.get("lm_head.weight", self.config["vocab_size"], width).t()


def training(llama: Llama, queries: torch.Tensor, out: dict, random: torch.Generator) -> None:
    """A batch of three samples: bos, the image's rows, a caption."""
    device, from_width, captions = queries.device, queries.shape[1], (20, 7, 12)
    weight = (torch.randn(llama.width, from_width, generator=random) * 0.02).to(device).requires_grad_()
    bias = (torch.randn(llama.width, generator=random) * 0.02).to(device).requires_grad_()
    rows = functional.linear(queries, weight, bias)
    ids, targets, scores, wanted = [], [], [], []
    for sample, length in enumerate(captions):
        caption = torch.randint(3, llama.config["vocab_size"], (length,), generator=random)
        image = rows[sample * QUERIES : (sample + 1) * QUERIES]
        words = llama.embed(torch.cat([torch.tensor([1]), caption]).to(device))
        logits = llama.scores(torch.cat([words[:1], image, words[1:]]))
        scores.append(logits[QUERIES:-1])
        wanted.append(caption)
        ids += [1.0] + [float(~(sample * QUERIES + i)) for i in range(QUERIES)] + caption.tolist()
        targets += [-1.0] * QUERIES + caption.tolist() + [-1.0]
    loss = functional.cross_entropy(torch.cat(scores), torch.cat(wanted).to(device))
    loss.backward()
    out |= {"training_queries": queries, "training_lengths": torch.tensor([1.0 + QUERIES + n for n in captions])}
    out |= {"training_ids": torch.tensor(ids), "training_targets": torch.tensor(targets), "training_loss": loss.view(1)}
    out |= {"projection_weight": weight, "projection_bias": bias, "d_weight": weight.grad, "d_bias": bias.grad}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="small shapes, to try the script itself")
    arguments = parser.parse_args()
    if arguments.device != "cpu" and not torch.cuda.is_available():
        sys.exit("parity_torch.py: this PyTorch sees no GPU")
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    tiny, layers, device = arguments.tiny, 2, arguments.device
    eyes = (64, 4, 96) if tiny else (1408, 16, 6144)
    width = 128 if tiny else 768
    hidden, inner, heads, vocabulary = (128, 352, 2, 500) if tiny else (5120, 13824, 40, 32000)
    config = {"hidden_size": hidden, "intermediate_size": inner, "num_hidden_layers": layers, "num_attention_heads": heads}
    config |= {"num_key_value_heads": heads, "vocab_size": vocabulary, "rms_norm_eps": 1e-6, "max_position_embeddings": 2048}
    config |= {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "bos_token_id": 1, "eos_token_id": 2, "tie_word_embeddings": False}
    w, random = Weights(device), torch.Generator(device="cpu").manual_seed(2)
    llama = Llama(w, config)
    size = 56 if tiny else 224
    out = {"layers": torch.tensor([float(layers)]), "vision": torch.tensor([float(n) for n in eyes])}
    with torch.no_grad():
        out["pixels"] = torch.randn(1, 3, size, size, generator=random).to(device)
        out["features"] = vision(w, out["pixels"], layers, *eyes)
        out["queries"] = qformer(w, out["features"], layers, width)
        ids = torch.randint(3, vocabulary, (72,), generator=random)
        out["ids"] = ids.float()
        out["logits"] = llama.scores(llama.embed(ids.to(device)))[63:]
    training(llama, torch.randn(3 * QUERIES, width, generator=random).to(device), out, random)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    (arguments.folder / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
    save(arguments.folder / "weights.safetensors", w.all)
    save(arguments.folder / "expected.safetensors", out)
    print(f"{len(w.all)} weights and {len(out)} results in {arguments.folder}")


if __name__ == "__main__":
    main()
