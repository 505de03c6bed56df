"""Draws scenes of the demo's world: the three pictures of docs/images and the examples of the web page.

    python examples.py FOLDER [PAGE_FOLDER]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from render2 import render_other
from scenes import Scene, Thing, render

SCENE = Scene("light blue", (
    Thing("circle", "yellow", "large", 0, 0.20, 0.21, 0.32),
    Thing("star", "purple", "small", 2, 0.83, 0.16, 0.19),
    Thing("triangle", "green", "large", 4, 0.53, 0.52, 0.34),
    Thing("square", "red", "small", 6, 0.15, 0.82, 0.18),
    Thing("heart", "orange", "large", 8, 0.82, 0.80, 0.31),
))
HEARTS = Scene("cream", (
    Thing("heart", "red", "large", 1, 0.5, 0.2, 0.33),
    Thing("heart", "blue", "small", 3, 0.16, 0.5, 0.19),
    Thing("cross", "black", "small", 5, 0.84, 0.52, 0.18),
    Thing("heart", "purple", "large", 7, 0.5, 0.8, 0.31),
))
NIGHT = Scene("black", (
    Thing("star", "yellow", "small", 0, 0.17, 0.18, 0.19),
    Thing("circle", "white", "large", 2, 0.79, 0.22, 0.34),
    Thing("star", "yellow", "small", 4, 0.5, 0.45, 0.17),
    Thing("star", "orange", "small", 6, 0.18, 0.75, 0.19),
))
CROSSES = Scene("grey", (
    Thing("cross", "blue", "large", 0, 0.21, 0.21, 0.34),
    Thing("cross", "yellow", "small", 1, 0.5, 0.17, 0.18),
    Thing("circle", "red", "small", 4, 0.5, 0.5, 0.19),
    Thing("square", "white", "large", 5, 0.8, 0.5, 0.30),
    Thing("cross", "blue", "small", 6, 0.17, 0.82, 0.18),
    Thing("triangle", "orange", "large", 8, 0.79, 0.8, 0.33),
))
EXAMPLES = {"scene": SCENE, "hearts": HEARTS, "night": NIGHT, "crosses": CROSSES}


def main() -> None:
    if len(sys.argv) not in (2, 3):
        raise SystemExit(__doc__)
    if len(sys.argv) == 3:
        page = Path(sys.argv[2])
        page.mkdir(parents=True, exist_ok=True)
        for name, scene in EXAMPLES.items():
            render(scene, np.random.default_rng(1), 256, 256, spread=0).save(page / f"{name}.png", optimize=True)
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    render(SCENE, np.random.default_rng(1), 448, 448, spread=0).save(folder / "scene.png", optimize=True)
    render(HEARTS, np.random.default_rng(2), 480, 360, spread=0).save(folder / "hearts.png", optimize=True)
    render_other(NIGHT, np.random.default_rng(3)).save(folder / "night.jpg", quality=85)


if __name__ == "__main__":
    main()
