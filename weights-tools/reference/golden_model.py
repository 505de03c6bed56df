"""Model goldens: every layer of the image path and of the LLaMA, for the files of the area tiny."""

from pathlib import Path

import torch

import pictures
from common import rng, write_json, write_tensors

PROMPTS = [
    ("text", "###Human: What colour is the circle?###Assistant:", []),
    ("image", "###Human: <Img><ImageHere></Img> Describe this image in detail.###Assistant:", ["picture"]),
    ("two images", "###Human: <Img><ImageHere></Img>###Human: <Img><ImageHere></Img> Where is the star?###Assistant:", ["picture", "photo"]),
]
FOLDERS = ["llama_sharded_safetensors", "llama_legacy_bin", "llama_bfloat16_bin", "llama_float32_safetensors", "llama_linear_rope_tied"]
POSITIONS = [0, 1, 2, 7, 15, 16, 17, 63, 64, 127, 199]
STEPS = 6
LARGER = 70


def make(out: Path) -> None:
    import reference

    tiny_folder = out.parent / "tiny"
    out.mkdir(parents=True, exist_ok=True)
    pictures.small(80, 60).save(out / "picture.png")
    model = reference.MiniGpt4(tiny_folder)
    images = image_path(out, model)
    prefill_and_decode(out, model, images)
    llama_folders(out, tiny_folder)
    position_grids(out)


def image_path(out: Path, model) -> dict:
    files = {"picture": out / "picture.png", "photo": out.parent / "images" / "files" / "photo.jpg"}
    tensors, images = {}, {}
    for name, file in files.items():
        stages = model.image_path(model.pixels(file))
        images[name] = stages["projected"]
        kept = stages if name == "picture" else {"pixels": stages["pixels"], "projected": stages["projected"]}
        tensors |= {f"{name}/{stage}": tensor for stage, tensor in kept.items()}
    tensors |= larger_grid(model, files["picture"])
    write_tensors(out / "image_path.safetensors", tensors)
    return images


def larger_grid(model, picture: Path) -> dict:
    """The picture at LARGER pixels: the vision model brings its 4×4 positions to 5×5 by itself."""
    size = model.image_size
    model.image_size = LARGER
    pixels = model.pixels(picture)
    model.image_size = size
    stages = model.image_path(pixels, interpolate_pos_encoding=True)
    kept = ["pixels", "vision.embeddings", "ln_vision", "projected"]
    return {f"picture at {LARGER}/{stage}": stages[stage] for stage in kept}


def prefill_and_decode(out: Path, model, images: dict) -> None:
    """The second prompt: all rows at once, then steps of the likeliest token through the cache."""
    import reference

    name, prompt, names = PROMPTS[1]
    parts = model.parts(prompt, names)
    rows = model.rows(parts, images)
    seen = {"inputs_embeds": rows[0]}
    hooks = [layer.register_forward_hook(reference.keep(seen, f"layer.{n}")) for n, layer in enumerate(model.llama.model.layers)]
    hooks.append(model.llama.model.norm.register_forward_hook(reference.keep(seen, "norm")))
    result = model.llama(inputs_embeds=rows, use_cache=True)
    for hook in hooks:
        hook.remove()
    tensors = {stage: tensor[0] if tensor.dim() == 3 else tensor for stage, tensor in seen.items()}
    tensors["logits"] = result.logits[0]
    tokens, logits, last = [], [], result.logits[0, -1]
    for _ in range(STEPS):
        tokens.append(int(last.argmax()))
        result = model.llama(input_ids=torch.tensor([[tokens[-1]]]), past_key_values=result.past_key_values, use_cache=True)
        last = result.logits[0, -1]
        logits.append(last)
    tensors["decode.logits"] = torch.stack(logits)
    write_tensors(out / "prefill_decode.safetensors", tensors)
    case = {"name": name, "prompt": prompt, "parts": parts, "rows": rows.shape[1], "decode_ids": tokens}
    write_json(out / "prefill_decode.json", {}, [case])


def llama_folders(out: Path, tiny_folder: Path) -> None:
    import reference

    random = rng("llama ids")
    cases, tensors = [], {}
    for name in FOLDERS:
        model = reference.llama_model(tiny_folder / name)
        ids = [1] + [random.randrange(model.config.vocab_size) for _ in range(POSITIONS[-1])]
        logits = model(input_ids=torch.tensor([ids])).logits[0]
        tensors[f"{name}/logits"] = logits[POSITIONS]
        cases.append({"folder": name, "ids": ids})
    write_json(out / "llama_folders.json", {"positions": POSITIONS}, cases)
    write_tensors(out / "llama_folders.safetensors", tensors)


def position_grids(out: Path) -> None:
    """pos_embed [1, 1 + n*n, width] brought to other grids as BLIP-2 does: CLS kept, the rest bicubic."""
    generator = torch.Generator().manual_seed(11)
    tensors = {}
    for source, target in [(5, 4), (3, 4), (4, 4), (2, 7), (16, 4)]:
        width = 24
        table = torch.randn(1, 1 + source * source, width, generator=generator)
        grid = table[:, 1:].reshape(1, source, source, width).permute(0, 3, 1, 2)
        grid = torch.nn.functional.interpolate(grid, size=(target, target), mode="bicubic", align_corners=False)
        resized = torch.cat([table[:, :1], grid.permute(0, 2, 3, 1).reshape(1, -1, width)], dim=1)
        tensors |= {f"{source}_to_{target}/source": table, f"{source}_to_{target}/result": resized}
    write_tensors(out / "pos_embed.safetensors", tensors)
