"""Puts the projection of a checkpoint of `minigpt4 train` into a model folder, in float16 as everything there.

    python projection.py MODEL_FOLDER checkpoint_5.pth
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from model import load_folder, save_folder

NAMES = ("llama_proj.weight", "llama_proj.bias")


def main() -> None:
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    folder, checkpoint = map(Path, sys.argv[1:])
    trained = torch.load(checkpoint, map_location="cpu", weights_only=True)["model"]
    model = load_folder(folder)
    for name in NAMES:
        model.get_parameter(name).data.copy_(trained[name])
    save_folder(model, folder, (folder / "tokenizer.model").read_bytes())


if __name__ == "__main__":
    main()
