"""The look of water: ripples, mirrored land and sky by Fresnel, sun glint, and the bottom seen through the shallows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pipelines.worlds.noise import smoothstep
from pipelines.worlds.shading import DETAIL_CELLS

if TYPE_CHECKING:
    from pipelines.worlds.world import World


def waves(world: World, x: Tensor, z: Tensor, footprint: Tensor) -> tuple[Tensor, Tensor]:
    """Slope (2, N) of the visible ripples, and the mean square (N) of those too fine to see."""
    slope, hidden = torch.zeros(2, *x.shape, device=x.device), torch.zeros_like(x)
    wave, amount = 14.0, world.sky.light.ripples
    for k in range(6):
        c, s = math.cos(1.9 * k + 0.4), math.sin(1.9 * k + 0.4)
        size = DETAIL_CELLS * wave
        found = world.sky.noise.at((c * x + s * z) / size, (c * z - s * x) / size * 1.6)
        left = 1 / (1 + (footprint / (0.3 * wave)) ** 2)
        strength = amount * 0.9**k
        gx, gz = (found[2:] / DETAIL_CELLS * strength * left).unbind(0)
        slope = slope + torch.stack([c * gx - s * gz, s * gx + c * gz])
        hidden = hidden + (strength * 0.35) ** 2 * (1 - left)
        wave *= 0.5
    return slope, hidden


def water_colour(world: World, point: Tensor, unit: Tensor, footprint: Tensor) -> Tensor:
    """Radiance (3, N) that leaves the water at points (N, 3) towards a viewer looking along ``unit`` (3, N)."""
    sky = world.sky
    x, z = point[:, 0], point[:, 2]
    slope, hidden = waves(world, x, z, footprint)
    up = (1 + slope.square().sum(0)).rsqrt()
    normal = torch.stack([-slope[0] * up, -up, -slope[1] * up])
    cosine = -(unit * normal).sum(0)
    mirrored = unit + 2 * cosine * normal
    # Waves tilt towards the viewer at grazing angles: the mean reflection looks a little higher than the mirror's.
    lift = torch.stack([torch.zeros_like(x), -(0.004 + 0.8 * hidden.sqrt()), torch.zeros_like(x)])
    mirrored = mirrored + lift
    mirrored[1] = mirrored[1].clamp_max(-0.004)
    mirrored = mirrored / mirrored.norm(dim=0)
    rough = (cosine.clamp_min(0.0) + 0.6 * hidden.sqrt()).clamp(0, 1)
    fresnel = 0.02 + 0.98 * (1 - rough) ** 5

    bottom = (-world.terrain.height(x, z, footprint)).clamp_min(0.0)
    path = bottom / (0.35 + 0.65 * cosine.clamp(0, 1)) + bottom
    clear = torch.exp(-x.new_tensor([0.45, 0.16, 0.12])[:, None] * path * 0.8)
    light = sky.sunlight[:, None] * max(-sky.sun[1].item(), 0.0) * world.shade.at(x, z) + sky.ambient[:, None]
    sand = x.new_tensor(world.palette.sand)[:, None] * 0.55
    deep = x.new_tensor([0.006, 0.022, 0.028])[:, None]
    body = (sand * clear + deep * (1 - clear)) / math.pi * light

    seen = world.reflected(point, mirrored, footprint)
    half = sky.sun[:, None] - unit
    half = half / half.norm(dim=0)
    facing = (half * normal).sum(0).clamp(0, 1)
    width = hidden + 0.0004 + 0.25 * sky.light.ripples**2
    glint = torch.exp(-(1 / facing.clamp_min(0.05) ** 2 - 1) / width) / (4 * math.pi * width)
    glint = (glint * 0.06).clamp_max(4.0) * world.shade.at(x, z)[0]
    foam = smoothstep(0.35, 0.0, bottom) * 0.25
    colour = body + (seen - body) * fresnel + sky.sunlight[:, None] * glint * (0.1 + fresnel)
    return colour + (light * 0.2 - colour) * foam
