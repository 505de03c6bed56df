"""The tiny model in Transformers' modules: what the goldens are computed with.

Weights are read from the files of the area tiny and computed in float32, whatever dtype the files store.
"""

from pathlib import Path

import sentencepiece
import torch
from PIL import Image

import tiny
from common import import_torchvision

import_torchvision()
from torchvision import transforms  # noqa: E402
from transformers import Blip2QFormerConfig, Blip2QFormerModel, Blip2VisionConfig, Blip2VisionModel, LlamaForCausalLM  # noqa: E402
from transformers.utils import logging  # noqa: E402

from golden_images import MEAN, STD  # noqa: E402

logging.disable_progress_bar()
torch.set_num_threads(1)
torch.set_grad_enabled(False)


def loaded(path: Path) -> dict:
    return torch.load(path, weights_only=True)


def vision_model(folder: Path) -> Blip2VisionModel:
    """BLIP-2's vision model; its last LayerNorm is MiniGPT-4's ln_vision, with an eps of its own."""
    config = Blip2VisionConfig(
        hidden_size=tiny.VISION["width"],
        intermediate_size=tiny.VISION["mlp"],
        num_hidden_layers=tiny.VISION["layers"],
        num_attention_heads=tiny.VISION["width"] // 88,
        image_size=tiny.IMAGE,
        patch_size=tiny.PATCH,
        hidden_act="gelu",
        layer_norm_eps=1e-6,
        qkv_bias=True,
    )
    model = Blip2VisionModel._from_config(config, attn_implementation="eager").eval()
    model.post_layernorm.eps = 1e-5
    names = {"cls_token": "embeddings.class_embedding", "pos_embed": "embeddings.position_embedding"}
    parts = [
        ("patch_embed.proj.", "embeddings.patch_embedding."),
        ("blocks.", "encoder.layers."),
        (".norm1.", ".layer_norm1."),
        (".norm2.", ".layer_norm2."),
        (".attn.proj.", ".self_attn.projection."),
        (".attn.qkv.", ".self_attn.qkv."),
    ]
    file = loaded(folder / "eva_vit_g.pth")
    state = {}
    for name, tensor in file.items():
        ignored = name.startswith((f"blocks.{tiny.VISION['layers']}.", "norm.", "fc_norm.", "head."))
        if not ignored and not name.endswith(("q_bias", "v_bias")):
            state[renamed(names.get(name, name), parts)] = tensor.float()
    for n in range(tiny.VISION["layers"]):
        q, v = file[f"blocks.{n}.attn.q_bias"].float(), file[f"blocks.{n}.attn.v_bias"].float()
        state[f"encoder.layers.{n}.self_attn.qkv.bias"] = torch.cat([q, torch.zeros_like(q), v])
    norms = loaded(folder / "blip2_pretrained_flant5xxl.pth")["model"]
    state |= {f"post_layernorm.{kind}": norms[f"ln_vision.{kind}"].float() for kind in ["weight", "bias"]}
    model.load_state_dict(state, strict=True)
    return model


def qformer_model(folder: Path) -> tuple[Blip2QFormerModel, torch.Tensor]:
    """The Q-Former and its queries [1, queries, hidden]."""
    config = Blip2QFormerConfig(
        hidden_size=tiny.QFORMER["hidden"],
        num_hidden_layers=tiny.QFORMER["layers"],
        num_attention_heads=tiny.QFORMER["hidden"] // 64,
        intermediate_size=tiny.QFORMER["mlp"],
        hidden_act="gelu",
        layer_norm_eps=1e-12,
        cross_attention_frequency=2,
        encoder_hidden_size=tiny.VISION["width"],
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        use_qformer_text_input=False,
    )
    model = Blip2QFormerModel._from_config(config, attn_implementation="eager").eval()
    parts = [
        ("Qformer.bert.embeddings.LayerNorm.", "layernorm."),
        ("Qformer.bert.", ""),
        ("attention.self.", "attention.attention."),
    ]
    ignored = ["position_ids", "word_embeddings", "position_embeddings", "t5_proj", "ln_vision", ".intermediate.dense", "query_tokens"]
    file = loaded(folder / "blip2_pretrained_flant5xxl.pth")["model"]
    state = {}
    for name, tensor in file.items():
        text_branch = ".output." in name and "attention.output." not in name
        if not text_branch and not any(word in name for word in ignored):
            state[renamed(name, parts)] = tensor.float()
    model.load_state_dict(state, strict=True)
    return model, file["query_tokens"].float()


def renamed(name: str, parts: list) -> str:
    for old, new in parts:
        name = name.replace(old, new)
    return name


def projection_model(folder: Path) -> torch.nn.Linear:
    state = loaded(folder / "pretrained_minigpt4.pth")["model"]
    rows, columns = state["llama_proj.weight"].shape
    model = torch.nn.Linear(columns, rows)
    model.load_state_dict({name.removeprefix("llama_proj."): tensor.float() for name, tensor in state.items()})
    return model


def llama_model(folder: Path) -> LlamaForCausalLM:
    """Read by Transformers itself, from the files as they lie."""
    return LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


class MiniGpt4:
    """The parts put together as MiniGPT-4 does."""

    def __init__(self, tiny_folder: Path):
        self.vision = vision_model(tiny_folder)
        self.qformer, self.queries = qformer_model(tiny_folder)
        self.projection = projection_model(tiny_folder)
        self.llama = llama_model(tiny_folder / "vicuna")
        self.tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(tiny_folder / "vicuna" / "tokenizer.model"))
        self.image_size = tiny.IMAGE

    def pixels(self, picture: Path) -> torch.Tensor:
        """MiniGPT-4's evaluation transform, [1, 3, size, size]."""
        size = (self.image_size, self.image_size)
        steps = [transforms.Resize(size, transforms.InterpolationMode.BICUBIC), transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
        return transforms.Compose(steps)(Image.open(picture).convert("RGB"))[None]

    def image_path(self, pixels: torch.Tensor, **vision_options) -> dict:
        """Every stage from pixels to rows for the LLaMA, by name; no batch dimension in the results."""
        seen = {"pixels": pixels}
        hooks = [self.vision.embeddings.register_forward_hook(keep(seen, "vision.embeddings"))]
        for n, layer in enumerate(self.vision.encoder.layers):
            hooks.append(layer.register_forward_hook(keep(seen, f"vision.block.{n}")))
        hooks.append(self.qformer.layernorm.register_forward_hook(keep(seen, "qformer.embeddings")))
        for n, layer in enumerate(self.qformer.encoder.layer):
            hooks.append(layer.register_forward_hook(keep(seen, f"qformer.layer.{n}")))
        features = self.vision(pixel_values=pixels, **vision_options).last_hidden_state
        seen["ln_vision"] = features
        rows = self.qformer(query_embeds=self.queries, encoder_hidden_states=features).last_hidden_state
        seen["projected"] = self.projection(rows)
        for hook in hooks:
            hook.remove()
        return {name: tensor[0] for name, tensor in seen.items()}

    def parts(self, prompt: str, pictures: list) -> list:
        """The prompt cut at its image slots: {"ids": [...]} and {"image": name} by turns, bos before the first."""
        out = []
        for i, segment in enumerate(prompt.split("<ImageHere>")):
            if i > 0:
                out.append({"image": pictures[i - 1]})
            out.append({"ids": ([1] if i == 0 else []) + self.tokenizer.encode(segment)})
        return out

    def rows(self, parts: list, images: dict) -> torch.Tensor:
        """The input rows [1, T, width] of a prompt; images maps a name to its projected rows."""
        table = self.llama.get_input_embeddings()
        rows = [table(torch.tensor(part["ids"])) if "ids" in part else images[part["image"]] for part in parts]
        return torch.cat(rows)[None]


def keep(seen: dict, name: str):
    def hook(module, arguments, output):
        seen[name] = output[0] if isinstance(output, tuple) else output

    return hook
