"""The stages `joint`, `settle` and `adapt`, which teach both eyes through the frozen language model.

They train ViT, Q-Former and a projection by the language loss, which shows that a linear projection that works exists. That one
is thrown away: `minigpt4 train` makes the one that ships.
"""

from __future__ import annotations

import time

import numpy as np
import torch
import torch.nn.functional as F

from conversations import Talk, caption
from model import MiniGpt4
from optim import Optimizers
from prompting import IGNORED, Example, Prompts
from scenes import CELLS, MAX_OBJECTS, Scene, pixels, random_scene, render_varied
from stage_language import ALIGNMENT_PROMPTS, Symbols, answers, batches
from stage_vision import Heads, Holder, batch as vision_batch


def talk_about(prompts: Prompts, rng: np.random.Generator) -> tuple[Scene, Example]:
    """A short conversation that starts with a description as often as not."""
    scene = random_scene(rng)
    if rng.random() < 0.5:
        return scene, prompts.aligned(ALIGNMENT_PROMPTS[int(rng.integers(len(ALIGNMENT_PROMPTS)))], caption(scene, rng))
    return scene, prompts.chat(Talk(scene, rng).turns(int(rng.integers(3, 7))), True)


def images_of(group, rng: np.random.Generator, size: int) -> torch.Tensor:
    return torch.from_numpy(np.stack([pixels(render_varied(scene, rng), size) for scene, _ in group]))


def fit_projection(model: MiniGpt4, symbols: Symbols, count: int, rng: np.random.Generator) -> float:
    """Starts the throw-away projection from a least-squares fit of Q-Former rows to symbolic rows; returns its error's share."""
    seen, wanted = [], []
    with torch.no_grad():
        for _ in range(count // 50):
            images, cells, _, backgrounds = vision_batch(rng, 50, model.image_size, most=6, least=1)
            seen.append(model.queries(model.patches(images)).flatten(0, 1))
            wanted.append(symbols(cells, backgrounds).flatten(0, 1))
        x, y = torch.cat(seen), torch.cat(wanted)
        ones = torch.cat([x, torch.ones(len(x), 1)], 1).double()
        ridge = 1e-3 * len(x) * torch.eye(ones.shape[1], dtype=torch.double)
        solution = torch.linalg.solve(ones.T @ ones + ridge, ones.T @ y.double()).float()
        model.llama_proj.weight.copy_(solution[:-1].T)
        model.llama_proj.bias.copy_(solution[-1])
        return float((model.llama_proj(x) - y).pow(2).mean() / y.var())


def train_eyes(model: MiniGpt4, prompts: Prompts, symbols: Symbols, heads: dict, steps: int, images: int, budget: int, rates: tuple[float, float],
               fit: bool, seed: int, log) -> None:
    """Stage 3. Every step also shows `images` pictures to the throw-away heads of stage 1, and draws their projected rows
    to the symbolic rows that the language model grew up with."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    if fit:
        log(f"projection fitted to the symbolic rows, error {fit_projection(model, symbols, 1000, rng):.4f} of the variance")
    cell_heads = Heads(model.config["qformer"]["hidden_size"])
    cell_heads.load_state_dict(heads)
    model.llama_model.requires_grad_(False)
    parts = [model.visual_encoder, model.ln_vision, model.Qformer, model.llama_proj, cell_heads, Holder(model.query_tokens)]
    optimizers = Optimizers(parts, steps, *rates, flat=0.2, warmup=20)
    started, meter, objects = time.time(), Meter(), [0, 0]
    for step in range(1, steps + 1):
        drawn, cells, _, backgrounds = vision_batch(rng, images, model.image_size, most=MAX_OBJECTS, least=1)
        rows = model.queries(model.patches(drawn))
        with torch.no_grad():
            wanted = symbols(cells, backgrounds)
        distance = (model.llama_proj(rows) - wanted).pow(2).mean() / wanted.var()
        (cell_heads.loss(rows[:, :CELLS], cells) + 2.0 * distance).backward()
        objects[0] += int(cell_heads.right(rows[:, :CELLS], cells)[cells[..., 0] > 0].sum())
        objects[1] += int((cells[..., 0] > 0).sum())
        groups = batches(prompts, rng, budget, talk_about)
        for group in groups:
            meter.learn(model, group, model.encode_image(images_of(group, rng, model.image_size)), groups)
        optimizers.step()
        if step % 25 == 0 or step == 1:
            log(f"joint {step}/{steps} {meter.read()} rows off {distance.item():.4f} objects by heads {objects[0] / objects[1]:.4f} {time.time() - started:.0f}s")
            objects = [0, 0]


class Meter:
    """Runs the language loss backwards and keeps count of it."""

    def __init__(self):
        self.loss, self.right, self.ids = 0.0, 0, 0

    def learn(self, model: MiniGpt4, group, rows: torch.Tensor, groups) -> None:
        total = sum(sum(label != IGNORED for label in e.labels) for g in groups for _, e in g)
        logits, wanted, _ = answers(model, [e for _, e in group], rows)
        loss = F.cross_entropy(logits, wanted, reduction="sum")
        (loss / total).backward()
        self.loss += loss.item()
        self.right += int((logits.argmax(-1) == wanted).sum())
        self.ids += len(wanted)

    def read(self) -> str:
        line = f"loss {self.loss / self.ids:.4f} ids right {self.right / self.ids:.4f}"
        self.loss, self.right, self.ids = 0.0, 0, 0
        return line
