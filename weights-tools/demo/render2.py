"""A second renderer that shares no drawing code with the first: coverage from distance functions, then JPEG.

Shapes have other proportions, colours are CSS's named ones, sizes and aspect ratios differ, objects are turned a little.
It is only ever used to evaluate.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from scenes import Scene

FILL = {
    "red": (255, 0, 0), "orange": (255, 150, 0), "yellow": (255, 235, 0), "green": (34, 139, 34), "blue": (30, 60, 235),
    "purple": (140, 20, 150), "black": (10, 10, 10), "white": (252, 252, 252),
}
PAPER = {"white": (253, 253, 253), "grey": (150, 150, 150), "black": (8, 8, 8), "light blue": (173, 216, 230), "cream": (252, 236, 200)}


def _polygon(x, y, corners):
    """Signed distance to a simple polygon, negative inside."""
    corners = np.asarray(corners, dtype=float)
    nearest = np.full(x.shape, np.inf)
    inside = np.zeros(x.shape, dtype=bool)
    for (ax, ay), (bx, by) in zip(corners, np.roll(corners, -1, 0)):
        ex, ey = bx - ax, by - ay
        t = np.clip(((x - ax) * ex + (y - ay) * ey) / (ex * ex + ey * ey), 0, 1)
        nearest = np.minimum(nearest, np.hypot(x - ax - t * ex, y - ay - t * ey))
        if ay != by:
            inside ^= ((ay > y) != (by > y)) & (x < ax + (y - ay) * ex / ey)
    return np.where(inside, -nearest, nearest)


def _star(x, y):
    angles = np.radians(np.arange(-90, 270, 36))
    radii = np.where(np.arange(10) % 2, 0.215, 0.53)
    return _polygon(x, y, np.stack([radii * np.cos(angles), radii * np.sin(angles)], 1))


def _heart(x, y):
    """Two discs over a wedge."""
    lobes = np.minimum(np.hypot(x - 0.235, y + 0.19), np.hypot(x + 0.235, y + 0.19)) - 0.26
    wedge = _polygon(x, y, ((-0.47, -0.08), (-0.2, -0.2), (0, -0.12), (0.2, -0.2), (0.47, -0.08), (0, 0.48)))
    return np.minimum(lobes, wedge)


def _box(x, y, half_width, half_height):
    dx, dy = np.abs(x) - half_width, np.abs(y) - half_height
    return np.hypot(np.maximum(dx, 0), np.maximum(dy, 0)) + np.minimum(np.maximum(dx, dy), 0)


DISTANCES = {
    "circle": lambda x, y: np.hypot(x, y) - 0.49,
    "square": lambda x, y: _box(x, y, 0.45, 0.45),
    "triangle": lambda x, y: _polygon(x, y, ((0, -0.47), (0.49, 0.4), (-0.49, 0.4))),
    "star": _star,
    "heart": _heart,
    "cross": lambda x, y: np.minimum(_box(x, y, 0.48, 0.15), _box(x, y, 0.15, 0.48)),
}


def render_other(scene: Scene, rng: np.random.Generator) -> Image.Image:
    """A picture of 180..560 pixels a side, aspect 3:4 to 16:10, objects turned by up to 12 degrees, JPEG at quality 80."""
    height = int(rng.integers(180, 420))
    width = int(height * rng.choice((0.75, 1.0, 1.0, 4 / 3, 1.5)))
    unit = min(width, height)
    canvas = np.empty((height, width, 3))
    canvas[:] = np.asarray(PAPER[scene.background]) + rng.normal(0, 3, 3)
    for o in scene.objects:
        size = o.diameter * unit
        a = np.radians(rng.uniform(-12, 12))
        left, top = max(0, int(o.x * width - 0.8 * size)), max(0, int(o.y * height - 0.8 * size))
        part = canvas[top:int(o.y * height + 0.8 * size) + 1, left:int(o.x * width + 0.8 * size) + 1]
        ys, xs = np.mgrid[0:part.shape[0], 0:part.shape[1]] + 0.5
        dx, dy = xs + left - o.x * width, ys + top - o.y * height
        u, v = (np.cos(a) * dx + np.sin(a) * dy) / size, (np.cos(a) * dy - np.sin(a) * dx) / size
        cover = np.clip(0.5 - DISTANCES[o.shape](u, v) * size, 0, 1)[..., None]
        part[:] = part * (1 - cover) + cover * (np.asarray(FILL[o.colour]) + rng.normal(0, 5, 3))
    image = Image.fromarray(np.clip(np.round(canvas), 0, 255).astype(np.uint8))
    packed = io.BytesIO()
    image.save(packed, "JPEG", quality=80)
    return Image.open(packed).convert("RGB")
