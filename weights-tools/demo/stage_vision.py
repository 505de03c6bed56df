"""Stage 1: ViT and Q-Former learn to see, by throw-away heads.

Each patch says what covers it, and query i says what lies in cell i (the tenth query: the background). The heads only
speed learning up; stage 3 teaches both parts again through the frozen language model.
"""

from __future__ import annotations

import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from model import MiniGpt4
from optim import Optimizers
from scenes import BACKGROUNDS, CELLS, COLOURS, SHAPES, SIZES, Scene, pixels, random_scene, render_varied

NOTHING = 0


def facts(scene: Scene) -> np.ndarray:
    """[9, 3]: shape, colour and size of each cell counted from 1; 0 is an empty cell."""
    table = np.zeros((CELLS, 3), dtype=np.int64)
    for o in scene.objects:
        table[o.cell] = 1 + SHAPES.index(o.shape), 1 + COLOURS.index(o.colour), 1 + SIZES.index(o.size)
    return table


def patch_facts(scene: Scene, side: int) -> np.ndarray:
    """[side², 3]: the same of the object that covers a patch's middle."""
    middle = (np.arange(side) + 0.5) / side
    table = np.zeros((side, side, 3), dtype=np.int64)
    for o in scene.objects:
        reach = o.diameter / 2 + 0.02
        mask = (np.abs(middle - o.y)[:, None] < reach) & (np.abs(middle - o.x)[None, :] < reach)
        table[mask] = 1 + SHAPES.index(o.shape), 1 + COLOURS.index(o.colour), 1 + SIZES.index(o.size)
    return table.reshape(-1, 3)


class Heads(nn.Module):
    """Linear read-outs of shape, colour and size."""

    def __init__(self, width: int):
        super().__init__()
        self.parts = nn.ModuleList(nn.Linear(width, 1 + len(names)) for names in (SHAPES, COLOURS, SIZES))

    def loss(self, rows, labels):
        return sum(F.cross_entropy(p(rows).flatten(0, 1), labels[..., n].flatten()) for n, p in enumerate(self.parts))

    def right(self, rows, labels):
        """[B, n] whether all three read-outs agree with the labels."""
        return torch.stack([p(rows).argmax(-1) == labels[..., n] for n, p in enumerate(self.parts)]).all(0)


def batch(rng, count: int, size: int, most: int = 9, least: int = 2):
    """Pixels, cell facts, patch facts and backgrounds of fresh scenes."""
    scenes = [random_scene(rng, most, least) for _ in range(count)]
    images = torch.from_numpy(np.stack([pixels(render_varied(s, rng), size) for s in scenes]))
    cells = torch.from_numpy(np.stack([facts(s) for s in scenes]))
    patches = torch.from_numpy(np.stack([patch_facts(s, size // 14) for s in scenes]))
    backgrounds = torch.tensor([BACKGROUNDS.index(s.background) for s in scenes])
    return images, cells, patches, backgrounds


def train(model: MiniGpt4, steps: int, size: int, seed: int, log) -> dict:
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    vision, qformer = model.config["vision"]["hidden_size"], model.config["qformer"]["hidden_size"]
    patch_heads, cell_heads, back_head = Heads(vision), Heads(qformer), nn.Linear(qformer, len(BACKGROUNDS))
    parts = [model.visual_encoder, model.ln_vision, model.Qformer, patch_heads, cell_heads, back_head, Holder(model.query_tokens)]
    optimizers = Optimizers(parts, steps, matrix_lr=0.02, other_lr=2e-3)
    started = time.time()
    for step in range(1, steps + 1):
        images, cells, patches, backgrounds = batch(rng, size, model.image_size)
        tokens = model.patches(images)
        rows = model.queries(tokens)
        patch_loss = patch_heads.loss(tokens[:, 1:], patches)
        cell_loss = cell_heads.loss(rows[:, :CELLS], cells) + 0.3 * F.cross_entropy(back_head(rows[:, CELLS]), backgrounds)
        (patch_loss + cell_loss).backward()
        optimizers.step()
        if step % 25 == 0 or step == 1:
            with torch.no_grad():
                right = cell_heads.right(rows[:, :CELLS], cells)[cells[..., 0] > 0].float().mean().item()
                back = (back_head(rows[:, CELLS]).argmax(-1) == backgrounds).float().mean().item()
            log(f"vision {step}/{steps} patch {patch_loss.item():.3f} cell {cell_loss.item():.3f} objects {right:.3f} background {back:.3f} {time.time() - started:.0f}s")
    return {"cell_heads": cell_heads.state_dict(), "back_head": back_head.state_dict()}


class Holder(nn.Module):
    """Lets a lone parameter travel with modules."""

    def __init__(self, parameter: nn.Parameter):
        super().__init__()
        self.parameter = parameter
