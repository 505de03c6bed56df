"""What every golden script shares: where files go, and how they are written so that a second run gives the same bytes."""

import json
import random
from pathlib import Path

import numpy as np

SEED = 20230420


def rng(name: str) -> random.Random:
    """A generator of its own for every file, so that changing one file leaves the others as they were."""
    return random.Random(f"{SEED}/{name}")


def numpy_rng(name: str) -> np.random.Generator:
    return np.random.default_rng([SEED, *name.encode()])


def write_json(path: Path, header: dict, cases: list, key: str = "cases") -> None:
    """Writes {header..., key: [...]} with one case a line, ASCII only, so that files diff well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{json.dumps(k)}: {json.dumps(v)}" for k, v in header.items()]
    body = ",\n".join(json.dumps(case) for case in cases)
    lines.append(f"{json.dumps(key)}: [\n{body}\n]")
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="ascii")


def write_tensors(path: Path, tensors: dict) -> None:
    """Writes torch tensors or numpy arrays as SafeTensors."""
    import torch
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: torch.as_tensor(value).detach().contiguous().clone() for name, value in tensors.items()}, path)
