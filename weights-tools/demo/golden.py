"""Writes what PyTorch answers with a shipped model folder, float32 arithmetic on its float16 weights.

    python golden.py MODEL_FOLDER IMAGE OUT.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from PIL import Image

from conversations import Turn
from evaluate import greedy
from model import load_folder
from prompting import Prompts
from scenes import pixels

DIALOGUES = (
    ("Describe this image in detail.",),
    ("How many objects are there?",),
    ("Where is the triangle?", "What colour is it?", "What is above it?"),
)


@torch.no_grad()
def main() -> None:
    if len(sys.argv) != 4:
        raise SystemExit(__doc__)
    folder, image, out = map(Path, sys.argv[1:])
    torch.set_num_threads(1)
    model = load_folder(folder)
    prompts = Prompts((folder / "tokenizer.model").read_bytes())
    rows = model.encode_image(torch.from_numpy(pixels(Image.open(image), model.image_size))[None])[0]
    dialogues = []
    for questions in DIALOGUES:
        turns, told = [], []
        for question in questions:
            asked = prompts.question(turns, question)
            ids = greedy(model, prompts, rows, turns, question, most=120)
            turns.append(Turn(question, prompts.answer(ids)))
            told.append({"prompt": question, "prompt_ids": asked, "token_ids": ids, "text": turns[-1].answer})
        dialogues.append(told)
    golden = {
        "image": image.name,
        "comment": "prompt_ids has -1 where the image's rows stand; token_ids end with the ids of ###",
        "image_rows": {"shape": list(rows.shape), "first_row": [round(v, 6) for v in rows[0, :8].tolist()],
                       "sum": round(float(rows.double().sum()), 4), "sum_of_squares": round(float(rows.double().pow(2).sum()), 4)},
        "dialogues": dialogues,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
