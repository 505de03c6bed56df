"""The demo's world: scenes of simple shapes, and the renderer that the model is trained on.

A scene is a background and up to six objects. The picture is thought of as three rows by three columns; an object
lies in the cell that holds its centre, and a cell holds at most one object. Everything is drawn from a numpy
Generator, so a seed gives the same scenes and the same pixels.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageDraw

SHAPES = ("circle", "square", "triangle", "star", "heart", "cross")
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "black", "white")
SIZES = ("small", "large")
BACKGROUNDS = ("white", "grey", "black", "light blue", "cream")
CELLS = 9
MAX_OBJECTS = 6

# Several anchors a name: what one drawing program calls red is not quite what another does.
COLOUR_ANCHORS = {
    "red": ((220, 38, 38), (255, 0, 0), (200, 20, 45)),
    "orange": ((245, 130, 20), (255, 165, 0), (255, 140, 0)),
    "yellow": ((250, 220, 40), (255, 255, 0), (240, 210, 20)),
    "green": ((40, 160, 60), (0, 128, 0), (50, 190, 70)),
    "blue": ((40, 80, 220), (0, 0, 255), (30, 100, 200)),
    "purple": ((130, 50, 180), (128, 0, 128), (150, 70, 190)),
    "black": ((20, 20, 20), (0, 0, 0), (35, 35, 40)),
    "white": ((250, 250, 250), (255, 255, 255), (242, 242, 245)),
}
BACKGROUND_ANCHORS = {
    "white": ((255, 255, 255), (250, 250, 250), (245, 246, 248)),
    "grey": ((128, 128, 128), (160, 160, 165), (190, 190, 190)),
    "black": ((0, 0, 0), (18, 18, 20), (32, 32, 36)),
    "light blue": ((173, 216, 230), (150, 200, 240), (135, 206, 250)),
    "cream": ((250, 235, 200), (245, 225, 185), (255, 240, 205)),
}
# Pairs that cannot be told apart well enough to be asked about.
CLASHES = {("white", "white"), ("cream", "white"), ("black", "black")}

DIAMETERS = {"small": (0.15, 0.20), "large": (0.28, 0.42)}
CELL_MARGIN = 0.05


@dataclass(frozen=True)
class Thing:
    """One object; centre and diameter are fractions of the picture, the angle is in degrees."""

    shape: str
    colour: str
    size: str
    cell: int
    x: float
    y: float
    diameter: float
    angle: float = 0.0

    @property
    def row(self) -> int:
        return self.cell // 3

    @property
    def column(self) -> int:
        return self.cell % 3


@dataclass(frozen=True)
class Scene:
    """A background and its objects in reading order (row by row, left to right)."""

    background: str
    objects: tuple[Thing, ...]

    def at(self, cell: int) -> Thing | None:
        return next((o for o in self.objects if o.cell == cell), None)


def random_scene(rng: np.random.Generator, most: int = MAX_OBJECTS, least: int = 1) -> Scene:
    """Draws a scene of least..most objects that do not touch one another."""
    background = BACKGROUNDS[rng.integers(len(BACKGROUNDS))]
    colours = [c for c in COLOURS if (background, c) not in CLASHES]
    wanted = int(rng.integers(least, most + 1))
    shapes, palette = SHAPES, colours
    if rng.random() < 0.35:  # few kinds, so that counts above one are common
        shapes = tuple(rng.choice(SHAPES, size=rng.integers(1, 3), replace=False))
    if rng.random() < 0.35:
        palette = list(rng.choice(colours, size=rng.integers(1, 3), replace=False))
    placed: list[Thing] = []
    for cell in rng.permutation(CELLS)[:wanted]:
        thing = _place(rng, int(cell), str(shapes[rng.integers(len(shapes))]), str(palette[rng.integers(len(palette))]), placed)
        if thing is not None:
            placed.append(thing)
    return Scene(background, tuple(sorted(placed, key=lambda o: o.cell)))


def _place(rng, cell: int, shape: str, colour: str, placed: list[Thing]) -> Thing | None:
    first = SIZES[rng.integers(2)]
    for size in (first,) * 6 + ("small",) * 12:
        low, high = DIAMETERS[size]
        diameter = float(rng.uniform(low, high))
        x = _coordinate(rng, cell % 3, diameter)
        y = _coordinate(rng, cell // 3, diameter)
        if all((o.x - x) ** 2 + (o.y - y) ** 2 > (0.53 * (o.diameter + diameter)) ** 2 for o in placed):
            return Thing(shape, colour, size, cell, x, y, diameter)
    return None


def _coordinate(rng, index: int, diameter: float) -> float:
    low = max(index / 3 + CELL_MARGIN, diameter / 2 + 0.01)
    high = min((index + 1) / 3 - CELL_MARGIN, 1 - diameter / 2 - 0.01)
    return float(rng.uniform(low, high))


def shade(rng: np.random.Generator, anchors, spread: float) -> tuple[int, int, int]:
    """A colour between the anchors of a name, plus a little noise."""
    weights = rng.dirichlet([0.5] * len(anchors))
    value = weights @ np.asarray(anchors, dtype=float) + rng.normal(0, spread, 3)
    return tuple(int(v) for v in np.clip(np.round(value), 0, 255))


def _circle():
    t = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    return np.stack([np.cos(t), np.sin(t)], 1) * 0.5


def _star(inner: float):
    t = np.arange(10) * np.pi / 5 - np.pi / 2
    r = np.where(np.arange(10) % 2 == 0, 0.54, inner)
    return np.stack([np.cos(t), np.sin(t)], 1) * r[:, None]


def _heart():
    t = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
    return np.stack([x, y - 2.5], 1) / 32


def _cross(half: float):
    a, b = 0.49, half
    return np.array([(-b, -a), (b, -a), (b, -b), (a, -b), (a, b), (b, b), (b, a), (-b, a), (-b, b), (-a, b), (-a, -b), (-b, -b)])


def _triangle(height: float):
    return np.array([(0.0, -height / 2), (0.5, height / 2), (-0.5, height / 2)])


OUTLINES = {
    "circle": lambda u: _circle(),
    "square": lambda u: np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * (0.43 + 0.05 * u),
    "triangle": lambda u: _triangle(0.82 + 0.16 * u),
    "star": lambda u: _star(0.19 + 0.07 * u),
    "heart": lambda u: _heart(),
    "cross": lambda u: _cross(0.12 + 0.06 * u),
}


def tilt(scene: Scene, rng: np.random.Generator, whole: float, each: float) -> Scene:
    """Turns the whole scene by up to `whole` degrees about its middle and each object by up to `each` more."""
    turn = float(rng.uniform(-whole, whole))
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    things = []
    for o in scene.objects:
        dx, dy = o.x - 0.5, o.y - 0.5
        things.append(replace(o, x=0.5 + c * dx - s * dy, y=0.5 + s * dx + c * dy, angle=turn + float(rng.uniform(-each, each))))
    return Scene(scene.background, tuple(things))


def render(scene: Scene, rng: np.random.Generator, width: int, height: int, smooth: bool = True, spread: float = 4.0,
           outline: bool = False) -> Image.Image:
    """Draws a scene with Pillow's polygons; `smooth` draws at twice the size and shrinks."""
    scale = 2 if smooth else 1
    w, h = width * scale, height * scale
    image = Image.new("RGB", (w, h), shade(rng, BACKGROUND_ANCHORS[scene.background], spread * 0.7))
    pen = ImageDraw.Draw(image)
    unit = min(w, h)
    for o in scene.objects:
        points = OUTLINES[o.shape](float(rng.random())) * (o.diameter * unit)
        a = np.radians(o.angle)
        points = points @ np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]]) + (o.x * w, o.y * h)
        flat = [tuple(p) for p in points.tolist()]
        edge = (25, 25, 25) if outline else None
        pen.polygon(flat, fill=shade(rng, COLOUR_ANCHORS[o.colour], spread), outline=edge, width=max(1, unit // 110))
    return image.reduce(scale) if smooth else image


def render_plain(scene: Scene, rng: np.random.Generator, size: int = 224) -> Image.Image:
    """The picture as the recipe's own evaluation sees it: square, upright, smooth."""
    return render(scene, rng, size, size)


def render_varied(scene: Scene, rng: np.random.Generator) -> Image.Image:
    """The picture as training sees it: sizes, proportions, tilt, noise, JPEG and edges vary."""
    kind = rng.random()
    height = int(rng.integers(112, 300))
    width = height if kind < 0.4 else int(height * np.exp(rng.uniform(-0.35, 0.5)))
    if rng.random() < 0.65:
        scene = tilt(scene, rng, 4.0, 14.0)
    image = render(scene, rng, width, height, smooth=bool(rng.random() < 0.6), spread=float(rng.uniform(1, 8)), outline=bool(rng.random() < 0.12))
    if rng.random() < 0.3:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=int(rng.integers(60, 95)))
        image = Image.open(buffer).convert("RGB")
    return image


def pixels(image: Image.Image, size: int) -> np.ndarray:
    """An image as the model takes it: [3, size, size] float32, bicubic over the whole picture, CLIP's mean and deviation."""
    array = np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC), dtype=np.float32) / 255
    mean = np.array([0.48145466, 0.4578275, 0.40821073], dtype=np.float32)
    deviation = np.array([0.26862954, 0.26130258, 0.27577711], dtype=np.float32)
    return ((array - mean) / deviation).transpose(2, 0, 1)
