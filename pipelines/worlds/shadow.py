"""Sun shadows of a periodic height map, baked once per position of the sun."""

from __future__ import annotations

import torch
from torch import Tensor

from pipelines.worlds.noise import Torus


def sun_shadow(height: Tensor, period: float, sun: Tensor, reach: float, softness: float, steps: int = 28) -> Tensor:
    """(n, n) share of the sun's disc that each texel sees, by walking from it towards the sun.

    Args:
        height: (n, n) metres, periodic with ``period``.
        sun: (3,) unit vector to the sun, y down.
        reach: how far shadows are looked for, metres.
        softness: width of the penumbra as a tangent of elevation.
    """
    n = height.shape[-1]
    flat = sun[[0, 2]].norm().clamp_min(1e-3)
    tangent = (-sun[1] / flat).clamp_min(0.0)
    cell = period / n
    torus = Torus.of(height[None], period)
    index = torch.arange(n, device=height.device, dtype=height.dtype) * cell
    z, x = torch.meshgrid(index, index, indexing="ij")
    highest = torch.full_like(height, -1e3)
    growth = (reach / cell) ** (1 / (steps - 1))
    for k in range(steps):
        distance = cell * growth**k
        there = torus.at(x + sun[0] / flat * distance, z + sun[2] / flat * distance)[0]
        highest = torch.maximum(highest, (there - height) / distance)
    return ((tangent - highest) / softness + 0.5).clamp(0, 1)
