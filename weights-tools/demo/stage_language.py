"""Stage 2: the language model learns to talk about scenes before it ever sees one.

Where the image's rows will be, it gets symbolic rows: row i is the sum of learned codes of what lies in cell i (row 9:
the background), plus noise. That is cheap, and it leaves a language model whose image rows are known in advance.
"""

from __future__ import annotations

import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from conversations import Talk, blind_turns, caption
from model import MiniGpt4
from optim import Optimizers
from prompting import IGNORED, IMAGE, IMAGE_ROWS, Example, Prompts, blip_caption
from scenes import BACKGROUNDS, CELLS, COLOURS, SHAPES, SIZES, Scene, random_scene
from stage_vision import facts

ALIGNMENT_PROMPTS = (
    "<Img><ImageHere></Img> Describe this image in detail.",
    "<Img><ImageHere></Img> Please give a detailed description of this image.",
    "<Img><ImageHere></Img> Take a close look at this picture and describe it.",
    "<Img><ImageHere></Img> Could you tell me what this picture contains?",
)


class Symbols(nn.Module):
    """Image rows [B, 10, hidden] made of facts instead of pixels."""

    def __init__(self, hidden: int):
        super().__init__()
        self.places = nn.Embedding(CELLS + 1, hidden)
        self.attributes = nn.ModuleList(nn.Embedding(1 + len(names), hidden) for names in (SHAPES, COLOURS, SIZES))
        self.backgrounds = nn.Embedding(len(BACKGROUNDS), hidden)
        for module in self.modules():
            if isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=0.1)

    def forward(self, cells, backgrounds):
        rows = sum(table(cells[..., n]) for n, table in enumerate(self.attributes))
        rows = torch.cat([rows, self.backgrounds(backgrounds)[:, None]], 1)
        return rows + self.places.weight


def noisy(rows, generator_noise: float = 0.5):
    """The rows with noise of up to half their own size, a level a row."""
    level = generator_noise * torch.rand(rows.shape[0], rows.shape[1], 1)
    return rows + torch.randn_like(rows) * level * rows.detach().pow(2).mean(-1, keepdim=True).sqrt()


def example(prompts: Prompts, rng: np.random.Generator) -> tuple[Scene, Example]:
    """One training row in one of the forms that the model will meet."""
    scene = random_scene(rng)
    kind = rng.random()
    if kind < 0.05:
        return scene, prompts.chat(blind_turns(scene, rng, int(rng.integers(2, 7))), False)
    if kind < 0.13:
        return scene, prompts.aligned(ALIGNMENT_PROMPTS[int(rng.integers(len(ALIGNMENT_PROMPTS)))], caption(scene, rng))
    if kind < 0.21:
        return scene, prompts.captioned(blip_caption(caption(scene, rng)))
    number = int(rng.integers(14, 27)) if kind < 0.25 else int(rng.integers(3, 10))
    return scene, prompts.chat(Talk(scene, rng).turns(number), True, apart=bool(rng.random() < 0.12))


def batches(prompts: Prompts, rng: np.random.Generator, budget: int, make=example) -> list[list[tuple[Scene, Example]]]:
    """About `budget` tokens of examples, in groups of like length."""
    drawn, tokens = [], 0
    while tokens < budget:
        drawn.append(make(prompts, rng))
        tokens += len(drawn[-1][1].ids) + CELLS
    drawn.sort(key=lambda pair: len(pair[1].ids))
    groups = [[drawn[0]]]
    for pair in drawn[1:]:
        if len(pair[1].ids) > 1.3 * len(groups[-1][0][1].ids) + 20:
            groups.append([])
        groups[-1].append(pair)
    return groups


def tables(group) -> tuple[torch.Tensor, torch.Tensor]:
    """Cell facts and backgrounds of a group's scenes."""
    cells = torch.from_numpy(np.stack([facts(scene) for scene, _ in group]))
    return cells, torch.tensor([BACKGROUNDS.index(scene.background) for scene, _ in group])


def answers(model: MiniGpt4, examples: list[Example], image_rows: torch.Tensor):
    """Logits [n, vocabulary] and ids [n] of every id to be learnt, and the example's number of each [n].

    image_rows is [B, queries, hidden]; rows of examples without an image are not used.
    """
    count = image_rows.shape[1]
    spread = [[i for piece in e.ids for i in ([piece] if piece != IMAGE_ROWS else [IMAGE_ROWS] * count)] for e in examples]
    labels = [[i for piece, label in zip(e.ids, e.labels) for i in ([label] if piece != IMAGE_ROWS else [IGNORED] * count)] for e in examples]
    longest = max(map(len, spread))
    ids = torch.tensor([s + [0] * (longest - len(s)) for s in spread])
    wanted = torch.tensor([s + [IGNORED] * (longest - len(s)) for s in labels])
    rows = model.embed(ids.clamp(min=0))
    pictured = torch.tensor([IMAGE_ROWS in e.ids for e in examples])
    rows = rows.masked_scatter((ids == IMAGE_ROWS)[..., None], image_rows[pictured])
    hidden = model.llama_model(rows)[:, :-1]
    wanted = wanted[:, 1:]
    mask = wanted != IGNORED
    return model.llama_model.lm_head(hidden[mask]), wanted[mask], mask.nonzero()[:, 0]


def train(model: MiniGpt4, prompts: Prompts, steps: int, budget: int, seed: int, log) -> Symbols:
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    symbols = Symbols(model.config["llama"]["hidden_size"])
    optimizers = Optimizers([model.llama_model, symbols], steps, matrix_lr=0.02, other_lr=3e-3)
    started, seen = time.time(), [0.0, 0, 0]
    for step in range(1, steps + 1):
        groups = batches(prompts, rng, budget)
        total = sum(sum(label != IGNORED for label in e.labels) for group in groups for _, e in group)
        for group in groups:
            logits, wanted, _ = answers(model, [e for _, e in group], noisy(symbols(*tables(group))))
            loss = F.cross_entropy(logits, wanted, reduction="sum")
            (loss / total).backward()
            seen[0] += loss.item()
            seen[1] += int((logits.argmax(-1) == wanted).sum())
        seen[2] += total
        optimizers.step()
        if step % 25 == 0 or step == 1:
            log(f"language {step}/{steps} loss {seen[0] / seen[2]:.4f} ids right {seen[1] / seen[2]:.4f} {time.time() - started:.0f}s")
            seen = [0.0, 0, 0]
    return symbols
