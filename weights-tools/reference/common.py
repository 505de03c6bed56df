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
    owned = {
        name: torch.from_numpy(value.copy()) if isinstance(value, np.ndarray) else value.detach().contiguous().clone()
        for name, value in tensors.items()
    }
    save_file(owned, path)
    path.chmod(0o644)


def import_torchvision():
    """Imports torchvision also where its compiled operators do not fit the installed torch.

    Its import only registers shapes for two of them (its transforms need none), so empty declarations do.
    """
    import sys

    import torch

    try:
        import torchvision
    except RuntimeError:
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")
        for operator in ["nms", "qnms"]:
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import_torchvision.library = library  # declarations last as long as this object
        import torchvision
    return torchvision
