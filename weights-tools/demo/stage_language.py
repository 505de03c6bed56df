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

from conversations import PLACES, PLURALS, Talk, blind_turns, caption
from model import MiniGpt4, rotate
from optim import Optimizers
from prompting import IGNORED, IMAGE, IMAGE_ROWS, Example, Prompts, blip_caption
from scenes import BACKGROUNDS, CELLS, COLOURS, SHAPES, SIZES, Scene, pixels, random_scene, render_varied
from stage_vision import facts

GAZE_WEIGHT = 1.0
ALIGNMENT_PROMPTS = (
    "<Img><ImageHere></Img> Describe this image in detail.",
    "<Img><ImageHere></Img> Please give a detailed description of this image.",
    "<Img><ImageHere></Img> Take a close look at this picture and describe it.",
    "<Img><ImageHere></Img> Could you tell me what this picture contains?",
)


class Symbols(nn.Module):
    """Image rows [B, 10, hidden] made of facts instead of pixels.

    A row is a sum of learned codes. Once `share` was called it also holds the embeddings of the words for what lies
    there, so that a word in a question and the object that it names have something in common for attention to match.
    """

    def __init__(self, hidden: int):
        super().__init__()
        self.places = nn.Embedding(CELLS + 1, hidden)
        self.attributes = nn.ModuleList(nn.Embedding(1 + len(names), hidden) for names in (SHAPES, COLOURS, SIZES))
        self.backgrounds = nn.Embedding(len(BACKGROUNDS), hidden)
        self.words: dict[str, torch.Tensor] | None = None
        for module in self.modules():
            if isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=0.1)

    def share(self, prompts: Prompts, embeddings: nn.Embedding) -> None:
        """From now on rows hold word embeddings too."""
        def bags(phrases):
            bag = torch.zeros(len(phrases), embeddings.num_embeddings)
            for n, phrase in enumerate(phrases):
                for piece in prompts.pieces.encode(phrase):
                    bag[n, piece] = 1.0
            return bag

        self.words = {
            "places": bags([" ".join(w for w in place.split() if w not in ("in", "the", "at", "on")) for place in PLACES] + ["background"]),
            "attributes": [bags(["nothing"] + [f"{name} {PLURALS[name]}" for name in SHAPES]), bags([""] + list(COLOURS)), bags([""] + list(SIZES))],
            "backgrounds": bags(list(BACKGROUNDS)),
        }
        self.embedding = [embeddings]  # in a list, so that it is not this module's own

    def forward(self, cells, backgrounds):
        rows = sum(table(cells[..., n]) for n, table in enumerate(self.attributes))
        rows = torch.cat([rows, self.backgrounds(backgrounds)[:, None]], 1) + self.places.weight
        if self.words is None:
            return rows
        bag = sum(table[cells[..., n]] for n, table in enumerate(self.words["attributes"]))
        bag = torch.cat([bag, self.words["backgrounds"][backgrounds][:, None]], 1) + self.words["places"]
        return rows + bag @ self.embedding[0].weight


def noisy(rows, most: float):
    """The rows with noise of up to `most` of their own size, a level a row."""
    level = most * torch.rand(rows.shape[0], rows.shape[1], 1)
    return rows + torch.randn_like(rows) * level * rows.detach().pow(2).mean(-1, keepdim=True).sqrt()


def example(prompts: Prompts, rng: np.random.Generator, scene: Scene | None = None) -> tuple[Scene, Example]:
    """One training row in one of the forms that the model will meet, about a new scene if none is given."""
    scene = scene or random_scene(rng)
    kind = rng.random()
    if kind < 0.05:
        return scene, prompts.chat(blind_turns(scene, rng, int(rng.integers(2, 7))), False)
    if kind < 0.13:
        return scene, prompts.aligned(ALIGNMENT_PROMPTS[int(rng.integers(len(ALIGNMENT_PROMPTS)))], caption(scene, rng))
    if kind < 0.21:
        return scene, prompts.captioned(blip_caption(caption(scene, rng)))
    number = int(rng.integers(11, 19)) if kind < 0.25 else int(rng.integers(3, 9))
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


class Gaze:
    """Teaches an attention head in each of two layers where to look while an answer is made; only used in training.

    Its target is an even share for every cell that the words are about and for the very first position, which so
    stands for "nothing": with k cells it gets 1/(k+1), from which later layers can tell whether there are several. The
    later head has what the earlier one found to go by.
    """

    HEADS = ((2, 0), (3, 1))

    def __init__(self, model: MiniGpt4):
        self.attentions = [model.llama_model.model.layers[layer].self_attn for layer, _ in self.HEADS]
        self.inputs: list = [None] * len(self.HEADS)
        self.hooks = [attention.register_forward_hook(self._keep(n)) for n, attention in enumerate(self.attentions)]

    def _keep(self, n: int):
        def keep(module, inputs, output) -> None:
            self.inputs[n] = inputs
        return keep

    def remove(self) -> None:
        for hook in self.hooks:
            hook.remove()

    def loss(self, examples: list[Example]):
        """Mean over the heads of the summed cross-entropies over what they cannot go below, and the number of positions."""
        owners, positions, targets = [], [], []
        for n, e in enumerate(examples):
            if e.looks:
                first = e.ids.index(IMAGE_ROWS)
                for position, cells in e.looks:
                    owners.append(n)
                    positions.append(position + CELLS)
                    targets.append([0] + [first + cell for cell in cells])
        if not owners:
            return self.inputs[0][0].new_zeros(()), 0
        owner, position = torch.tensor(owners), torch.tensor(positions)
        wanted = torch.zeros(len(targets), self.inputs[0][0].shape[1])
        for n, columns in enumerate(targets):
            wanted[n, columns] = 1 / len(columns)
        least = sum(float(np.log(len(columns))) for columns in targets)
        total = sum(self._cross_entropy(n, owner, position, wanted) for n in range(len(self.HEADS))) / len(self.HEADS)
        return total - least, len(targets)

    def _cross_entropy(self, n: int, owner, position, wanted):
        attention, (x, cos, sin) = self.attentions[n], self.inputs[n][:3]
        part = slice(self.HEADS[n][1] * attention.size, (self.HEADS[n][1] + 1) * attention.size)
        q = rotate(x @ attention.q_proj.weight[part].T, cos, sin)
        k = rotate(x @ attention.k_proj.weight[part].T, cos, sin)
        scores = (q @ k.transpose(1, 2))[owner, position] * attention.size ** -0.5
        scores = scores.masked_fill(torch.arange(x.shape[1]) > position[:, None], -1e9).log_softmax(-1)
        return -(wanted * scores).sum()


class Seen:
    """Scenes with the image rows that the model's own eyes make of them, computed once: `share` of what is drawn is from them."""

    def __init__(self, model: MiniGpt4, count: int, share: float, rng: np.random.Generator):
        self.share = share
        self.scenes = [random_scene(rng) for _ in range(count)]
        self.number = {id(scene): n for n, scene in enumerate(self.scenes)}
        rows = []
        with torch.no_grad():
            for at in range(0, count, 50):
                part = np.stack([pixels(render_varied(s, rng), model.image_size) for s in self.scenes[at:at + 50]])
                rows.append(model.encode_image(torch.from_numpy(part)))
        self.rows = torch.cat(rows)

    def example(self, prompts: Prompts, rng: np.random.Generator) -> tuple[Scene, Example]:
        return example(prompts, rng, self.scenes[int(rng.integers(len(self.scenes)))] if rng.random() < self.share else None)

    def replace(self, group, rows: torch.Tensor) -> torch.Tensor:
        """The rows, with the eyes' own where the scene is one of these."""
        mine = [(n, self.number[id(scene)]) for n, (scene, _) in enumerate(group) if id(scene) in self.number]
        if not mine:
            return rows
        at, number = zip(*mine)
        return rows.index_put((torch.tensor(at),), self.rows[list(number)])


def train(model: MiniGpt4, prompts: Prompts, symbols: Symbols, steps: int, budget: int, rates: tuple[float, float], flat: float,
          noise: float, seed: int, log, seen_by_eyes: Seen | None = None) -> None:
    """Trains the language model and the codes; rates are the highest learning rates of matrices and of the rest, held for the share `flat` of the steps."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    optimizers = Optimizers([model.llama_model, symbols], steps, *rates, flat=flat)
    gaze = Gaze(model)
    started, seen = time.time(), [0.0, 0, 0, 0.0, 0]
    for step in range(1, steps + 1):
        groups = batches(prompts, rng, budget, example if seen_by_eyes is None else seen_by_eyes.example)
        total = sum(sum(label != IGNORED for label in e.labels) for group in groups for _, e in group)
        for group in groups:
            rows = noisy(symbols(*tables(group)), noise)
            if seen_by_eyes is not None:
                rows = seen_by_eyes.replace(group, rows)
            logits, wanted, _ = answers(model, [e for _, e in group], rows)
            loss = F.cross_entropy(logits, wanted, reduction="sum")
            astray, looks = gaze.loss([e for _, e in group])
            (loss / total + GAZE_WEIGHT * astray / total).backward()
            seen[0] += loss.item()
            seen[3] += astray.item()
            seen[4] += looks
            seen[1] += int((logits.argmax(-1) == wanted).sum())
        seen[2] += total
        optimizers.step()
        if step % 25 == 0 or step == 1:
            log(f"language {step}/{steps} loss {seen[0] / seen[2]:.4f} ids right {seen[1] / seen[2]:.4f} astray {seen[3] / max(1, seen[4]):.3f} {time.time() - started:.0f}s")
            seen = [0.0, 0, 0, 0.0, 0]
    gaze.remove()
