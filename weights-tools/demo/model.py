"""MiniGPT-4's architecture, small, in plain PyTorch: the reference of the demo model.

Module names are the published ones, so a state dict is already laid out as the engine's model folder wants it.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

VISION_HEAD = 88
QFORMER_HEAD = 64
LN_VISION_EPS = 1e-5


class VisionAttention(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(width))
        self.v_bias = nn.Parameter(torch.zeros(width))
        self.proj = nn.Linear(width, width)

    def forward(self, x):
        b, n, w = x.shape
        bias = torch.cat([self.q_bias, torch.zeros_like(self.v_bias), self.v_bias])
        q, k, v = F.linear(x, self.qkv.weight, bias).view(b, n, 3, self.heads, w // self.heads).permute(2, 0, 3, 1, 4)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, w))


class VisionMlp(nn.Module):
    def __init__(self, width: int, inner: int):
        super().__init__()
        self.fc1 = nn.Linear(width, inner)
        self.fc2 = nn.Linear(inner, width)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class VisionBlock(nn.Module):
    def __init__(self, width: int, heads: int, inner: int, eps: float):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=eps)
        self.attn = VisionAttention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=eps)
        self.mlp = VisionMlp(width, inner)

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class PatchEmbed(nn.Module):
    def __init__(self, width: int, patch: int):
        super().__init__()
        self.proj = nn.Conv2d(3, width, patch, stride=patch)

    def forward(self, x):
        return self.proj(x).flatten(2).transpose(1, 2)


class VisionEncoder(nn.Module):
    """EVA-CLIP's ViT: pre-norm, no bias on keys, exact GELU, no norm of its own at the end."""

    def __init__(self, c: dict):
        super().__init__()
        width = c["hidden_size"]
        patches = (c["image_size"] // c["patch_size"]) ** 2
        self.cls_token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.pos_embed = nn.Parameter(torch.randn(1, patches + 1, width) * 0.02)
        self.patch_embed = PatchEmbed(width, c["patch_size"])
        self.blocks = nn.ModuleList(
            VisionBlock(width, c["num_attention_heads"], c["intermediate_size"], c["layer_norm_eps"]) for _ in range(c["num_hidden_layers"]))

    def forward(self, pixels):
        x = self.patch_embed(pixels)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return x


class BertSelf(nn.Module):
    def __init__(self, hidden: int, source: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(hidden, hidden)
        self.key = nn.Linear(source, hidden)
        self.value = nn.Linear(source, hidden)

    def forward(self, x, source):
        def split(t):
            return t.view(t.shape[0], t.shape[1], self.heads, -1).transpose(1, 2)

        y = F.scaled_dot_product_attention(split(self.query(x)), split(self.key(source)), split(self.value(source)))
        return y.transpose(1, 2).reshape(x.shape)


class BertOutput(nn.Module):
    def __init__(self, inner: int, hidden: int, eps: float):
        super().__init__()
        self.dense = nn.Linear(inner, hidden)
        self.LayerNorm = nn.LayerNorm(hidden, eps=eps)

    def forward(self, y, residual):
        return self.LayerNorm(self.dense(y) + residual)


class BertAttention(nn.Module):
    def __init__(self, hidden: int, source: int, heads: int, eps: float):
        super().__init__()
        self.add_module("self", BertSelf(hidden, source, heads))
        self.output = BertOutput(hidden, hidden, eps)

    def forward(self, x, source):
        return self.output(self.get_submodule("self")(x, source), x)


class BertIntermediate(nn.Module):
    def __init__(self, hidden: int, inner: int):
        super().__init__()
        self.dense = nn.Linear(hidden, inner)

    def forward(self, x):
        return F.gelu(self.dense(x))


class BertLayer(nn.Module):
    def __init__(self, c: dict, source: int, crosses: bool):
        super().__init__()
        hidden, heads, inner, eps = c["hidden_size"], c["num_attention_heads"], c["intermediate_size"], c["layer_norm_eps"]
        self.attention = BertAttention(hidden, hidden, heads, eps)
        self.crossattention = BertAttention(hidden, source, heads, eps) if crosses else None
        self.intermediate_query = BertIntermediate(hidden, inner)
        self.output_query = BertOutput(inner, hidden, eps)

    def forward(self, x, image):
        x = self.attention(x, x)
        if self.crossattention is not None:
            x = self.crossattention(x, image)
        return self.output_query(self.intermediate_query(x), x)


class BertEmbeddings(nn.Module):
    def __init__(self, c: dict):
        super().__init__()
        self.LayerNorm = nn.LayerNorm(c["hidden_size"], eps=c["layer_norm_eps"])


class BertEncoder(nn.Module):
    def __init__(self, c: dict, source: int):
        super().__init__()
        self.layer = nn.ModuleList(BertLayer(c, source, n % 2 == 0) for n in range(c["num_hidden_layers"]))


class Bert(nn.Module):
    def __init__(self, c: dict, source: int):
        super().__init__()
        self.embeddings = BertEmbeddings(c)
        self.encoder = BertEncoder(c, source)


class QFormer(nn.Module):
    """BLIP-2's Q-Former without its text branch: post-norm BERT, cross-attention in even layers."""

    def __init__(self, c: dict, source: int):
        super().__init__()
        self.bert = Bert(c, source)

    def forward(self, queries, image):
        x = self.bert.embeddings.LayerNorm(queries)
        for layer in self.bert.encoder.layer:
            x = layer(x, image)
        return x


class RmsNorm(nn.Module):
    def __init__(self, hidden: int, eps: float):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(hidden))
        self.eps = eps

    def forward(self, x):
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


class LlamaAttention(nn.Module):
    def __init__(self, c: dict):
        super().__init__()
        hidden = c["hidden_size"]
        self.heads, self.groups = c["num_attention_heads"], c["num_key_value_heads"]
        self.size = hidden // self.heads
        self.q_proj = nn.Linear(hidden, hidden, bias=False)
        self.k_proj = nn.Linear(hidden, self.groups * self.size, bias=False)
        self.v_proj = nn.Linear(hidden, self.groups * self.size, bias=False)
        self.o_proj = nn.Linear(hidden, hidden, bias=False)

    def forward(self, x, cos, sin, past):
        b, n, _ = x.shape

        def split(t, heads):
            return t.view(b, n, heads, self.size).transpose(1, 2)

        q = rotate(split(self.q_proj(x), self.heads), cos, sin)
        k = rotate(split(self.k_proj(x), self.groups), cos, sin)
        v = split(self.v_proj(x), self.groups)
        if past is not None:
            if past:
                k, v = torch.cat([past[0], k], 2), torch.cat([past[1], v], 2)
            past[:] = [k, v]
        # With a past, one call continues it by a single position, which may see everything.
        y = F.scaled_dot_product_attention(q, k, v, is_causal=n > 1, enable_gqa=self.heads != self.groups)
        return self.o_proj(y.transpose(1, 2).reshape(b, n, -1))


def rotate(x, cos, sin):
    """Rotary embedding in the rotate-half form."""
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


class LlamaMlp(nn.Module):
    def __init__(self, c: dict):
        super().__init__()
        hidden, inner = c["hidden_size"], c["intermediate_size"]
        self.gate_proj = nn.Linear(hidden, inner, bias=False)
        self.up_proj = nn.Linear(hidden, inner, bias=False)
        self.down_proj = nn.Linear(inner, hidden, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class LlamaLayer(nn.Module):
    def __init__(self, c: dict):
        super().__init__()
        self.input_layernorm = RmsNorm(c["hidden_size"], c["rms_norm_eps"])
        self.self_attn = LlamaAttention(c)
        self.post_attention_layernorm = RmsNorm(c["hidden_size"], c["rms_norm_eps"])
        self.mlp = LlamaMlp(c)

    def forward(self, x, cos, sin, past):
        x = x + self.self_attn(self.input_layernorm(x), cos, sin, past)
        return x + self.mlp(self.post_attention_layernorm(x))


class LlamaStack(nn.Module):
    def __init__(self, c: dict):
        super().__init__()
        self.embed_tokens = nn.Embedding(c["vocab_size"], c["hidden_size"])
        self.layers = nn.ModuleList(LlamaLayer(c) for _ in range(c["num_hidden_layers"]))
        self.norm = RmsNorm(c["hidden_size"], c["rms_norm_eps"])


class Llama(nn.Module):
    def __init__(self, c: dict):
        super().__init__()
        self.config = c
        self.model = LlamaStack(c)
        self.lm_head = nn.Linear(c["hidden_size"], c["vocab_size"], bias=False)

    def forward(self, rows, pasts=None, start=0):
        """Final hidden rows [B, T, hidden] of input rows [B, T, hidden] at positions start, start+1, …"""
        size = self.config["hidden_size"] // self.config["num_attention_heads"]
        frequency = self.config["rope_theta"] ** (-torch.arange(0, size, 2).float() / size)
        angle = torch.outer(torch.arange(start, start + rows.shape[1]).float(), frequency)
        cos, sin = angle.cos(), angle.sin()
        for n, layer in enumerate(self.model.layers):
            rows = layer(rows, cos, sin, None if pasts is None else pasts[n])
        return self.model.norm(rows)


class MiniGpt4(nn.Module):
    def __init__(self, config: dict):
        super().__init__()
        self.config = config
        vision, qformer = config["vision"], config["qformer"]
        if vision["hidden_size"] != VISION_HEAD * vision["num_attention_heads"]:
            raise ValueError(f"a vision head is {VISION_HEAD} wide")
        if qformer["hidden_size"] != QFORMER_HEAD * qformer["num_attention_heads"]:
            raise ValueError(f"a Q-Former head is {QFORMER_HEAD} wide")
        self.visual_encoder = VisionEncoder(vision)
        self.ln_vision = nn.LayerNorm(vision["hidden_size"], eps=LN_VISION_EPS)
        self.query_tokens = nn.Parameter(torch.randn(1, qformer["num_query_tokens"], qformer["hidden_size"]) * 0.02)
        self.Qformer = QFormer(qformer, vision["hidden_size"])
        self.llama_proj = nn.Linear(qformer["hidden_size"], config["llama"]["hidden_size"])
        self.llama_model = Llama(config["llama"])

    def patches(self, pixels):
        """[B, 1 + patches, width] image tokens after ln_vision."""
        return self.ln_vision(self.visual_encoder(pixels))

    def queries(self, patches):
        """[B, queries, hidden] Q-Former rows."""
        return self.Qformer(self.query_tokens.expand(len(patches), -1, -1), patches)

    def encode_image(self, pixels):
        """[B, queries, LLaMA hidden] image rows of [B, 3, S, S] pixels."""
        return self.llama_proj(self.queries(self.patches(pixels)))

    @property
    def image_size(self) -> int:
        return self.config["vision"]["image_size"]

    def embed(self, ids):
        return self.llama_model.model.embed_tokens(torch.as_tensor(ids, dtype=torch.long))


def initialise(model: nn.Module) -> None:
    """Small normal weights for the matrices that are trained from scratch; the projection keeps PyTorch's default."""
    for name, module in model.named_modules():
        if isinstance(module, (nn.Linear, nn.Embedding)) and not name.endswith("llama_proj"):
            nn.init.normal_(module.weight, std=0.02)
            if getattr(module, "bias", None) is not None:
                nn.init.zeros_(module.bias)


def save_folder(model: MiniGpt4, folder: Path, tokenizer: bytes) -> None:
    """Writes config.json, tokenizer.model and model.safetensors (float16)."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(model.config, indent=2) + "\n")
    (folder / "tokenizer.model").write_bytes(tokenizer)
    state = {name: value.detach().to(torch.float16).contiguous() for name, value in model.state_dict().items()}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


def load_folder(folder: Path) -> MiniGpt4:
    """Reads what save_folder wrote; computes in float32."""
    model = MiniGpt4(json.loads((folder / "config.json").read_text()))
    model.load_state_dict({name: value.float() for name, value in load_file(folder / "model.safetensors").items()})
    return model.eval().requires_grad_(False)
