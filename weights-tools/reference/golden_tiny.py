"""Writes the tiny model's files."""

import zipfile
from pathlib import Path

import numpy as np
import torch

import tiny
from common import write_tensors

PAD = 1
FEW_WORDS = 131  # the vocabulary of the folders that have no tokenizer


def vocabulary(tokenizer: Path) -> int:
    import sentencepiece

    return sentencepiece.SentencePieceProcessor(model_file=str(tokenizer)).get_piece_size() + PAD


def make(out: Path) -> None:
    tokenizer = out.parent / "tokenizer" / "tokenizer.model"
    if not tokenizer.exists():
        raise SystemExit(f"{tokenizer} is missing: make the area tokenizer first")
    out.mkdir(parents=True, exist_ok=True)
    tiny.save_torch(tiny.vision(), out / "eva_vit_g.pth")
    tiny.save_torch({"model": tiny.qformer()}, out / "blip2_pretrained_flant5xxl.pth")
    tiny.save_torch(tiny.projection(), out / "pretrained_minigpt4.pth")
    llamas(out, tokenizer)
    pickles(out / "pickles")


def llamas(out: Path, tokenizer: Path) -> None:
    words = vocabulary(tokenizer)
    folder = out / "vicuna"
    tiny.write_folder_text(folder, tiny.llama_config(tiny.VICUNA, words, "float16"), tokenizer)
    state = tiny.cast(tiny.llama(4, tiny.VICUNA, words), torch.float16)
    tiny.save_sharded(state, folder, "pytorch_model", "bin", tiny.save_torch)

    grouped = tiny.llama(5, tiny.SMALL, FEW_WORDS)
    folder = out / "llama_sharded_safetensors"
    tiny.write_folder_text(folder, tiny.llama_config(tiny.SMALL, FEW_WORDS, "float16"), None)
    tiny.save_sharded(tiny.cast(grouped, torch.float16), folder, "model", "safetensors", tiny.save_safetensors)

    folder = out / "llama_legacy_bin"
    tiny.write_folder_text(folder, tiny.llama_config(tiny.SMALL, FEW_WORDS, "float16"), None)
    tiny.save_torch(tiny.cast(grouped, torch.float16), folder / "pytorch_model.bin", legacy=True)

    folder = out / "llama_bfloat16_bin"
    tiny.write_folder_text(folder, tiny.llama_config(tiny.SMALL, FEW_WORDS, "bfloat16"), None)
    tiny.save_torch(tiny.cast(grouped, torch.bfloat16), folder / "pytorch_model.bin")

    folder = out / "llama_float32_safetensors"
    tiny.write_folder_text(folder, tiny.llama_config(tiny.SMALL, FEW_WORDS, "float32"), None)
    tiny.save_safetensors(tiny.cast(grouped, torch.float32), folder / "model.safetensors")

    folder = out / "llama_linear_rope_tied"
    more = {"rope_theta": 5000.0, "rope_scaling": {"type": "linear", "factor": 2.0}, "tie_word_embeddings": True}
    tiny.write_folder_text(folder, tiny.llama_config(tiny.ODD, FEW_WORDS, "float16", **more), None)
    tied = tiny.llama(6, tiny.ODD, FEW_WORDS, tied=True)
    tiny.save_safetensors(tiny.cast(tied, torch.float16), folder / "model.safetensors")


def pickles(out: Path) -> None:
    """Odd tensors in both PyTorch formats with the plain values beside them, and files that must be refused."""
    out.mkdir(parents=True, exist_ok=True)
    odd = tiny.odd_tensors()
    tiny.save_torch(odd, out / "odd_tensors.pth")
    tiny.save_torch(odd, out / "odd_tensors_legacy.pth", legacy=True)
    plain = {name: value for name, value in odd.items() if name != "nested"}
    write_tensors(out / "odd_tensors.safetensors", plain | {"nested.inner.weight": odd["nested"]["inner"]["weight"]})
    tiny.save_torch(odd, out / "odd_tensors_protocol_4.pth", protocol=4)
    words = {"float32": odd["float32"], "int32": odd["int32"]}
    tiny.save_torch(words, out / "big_endian.pth")
    swap_byte_order(out / "big_endian.pth")
    for legacy in [False, True]:
        name = "refused_legacy.pth" if legacy else "refused.pth"
        tiny.save_torch({"weight": torch.ones(2), "trap": Trap()}, out / name, legacy=legacy)


def swap_byte_order(path: Path) -> None:
    """Turns a file whose storages are all of four-byte elements into what a big-endian machine writes."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, raw in entries.items():
            if "/data/" in name:
                raw = np.frombuffer(raw, "<u4").byteswap().tobytes()
            archive.writestr(zipfile.ZipInfo(name), b"big" if name.endswith("/byteorder") else raw)
    assert torch.equal(torch.load(path)["int32"], tiny.odd_tensors()["int32"])


class Trap:
    """Unpickled carelessly, this calls a function (a harmless one)."""

    def __reduce__(self):
        import os

        return os.getcwd, ()
