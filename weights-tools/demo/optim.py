"""Muon for the hidden matrices and AdamW for the rest: few steps go far, which matters on one core."""

from __future__ import annotations

import torch
from torch import nn


def orthogonalise(g: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """Newton-Schulz iteration towards the nearest semi-orthogonal matrix (Jordan et al., Muon, 2024)."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = g / (g.norm() + 1e-7)
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.T
    for _ in range(steps):
        square = x @ x.T
        x = a * x + torch.addmm(square, square, square, beta=b, alpha=c) @ x
    return x.T if tall else x


class Muon(torch.optim.Optimizer):
    def __init__(self, matrices, lr: float, momentum: float = 0.95, weight_decay: float = 0.01):
        super().__init__(matrices, dict(lr=lr, momentum=momentum, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["momentum"] = torch.zeros_like(p)
                buffer = state["momentum"].lerp_(p.grad, 1 - group["momentum"])
                update = orthogonalise(p.grad.lerp(buffer, group["momentum"]))
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(update, alpha=-group["lr"] * max(1.0, p.shape[0] / p.shape[1]) ** 0.5)


class Optimizers:
    """Both optimisers under one schedule: warm-up, flat, then a straight line down over the last part."""

    def __init__(self, modules: list[nn.Module], steps: int, matrix_lr: float, other_lr: float, flat: float = 0.4, warmup: int = 30):
        named = [(n, p) for m in modules for n, p in m.named_parameters() if p.requires_grad]
        matrices = [p for n, p in named if p.ndim == 2 and ".layers." in f".{n}" or p.ndim == 2 and ("blocks." in n or "encoder.layer." in n)]
        chosen = {id(p) for p in matrices}
        others = [p for _, p in named if id(p) not in chosen]
        self.parts = [torch.optim.AdamW(others, lr=other_lr, betas=(0.9, 0.98), weight_decay=0.0)]
        if matrices:
            self.parts.append(Muon(matrices, lr=matrix_lr))
        self.parameters = matrices + others
        self.base = [[g["lr"] for g in part.param_groups] for part in self.parts]
        self.steps, self.flat, self.warmup, self.count = steps, flat, warmup, 0

    def step(self) -> None:
        self.count += 1
        done = self.count / self.steps
        factor = min(1.0, self.count / self.warmup, max(0.02, (1 - done) / (1 - self.flat)))
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        for part, base in zip(self.parts, self.base):
            for group, lr in zip(part.param_groups, base):
                group["lr"] = lr * factor
            part.step()
            part.zero_grad(set_to_none=True)
