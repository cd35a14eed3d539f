"""What windows show: grass or paving, trees, houses and fences under a bright sky."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pipelines.worlds.interior_builder import GARDEN, Maker
from pipelines.worlds.noise import Torus, smoothstep
from pipelines.worlds.shading import mix
from pipelines.worlds.solids import BALL, Solids, length
from pipelines.worlds.street_builder import Dice
from pipelines.worlds.street_ground import grain
from pipelines.worlds.street_look import Hits


def draw_garden(dice: Dice, reach: float) -> Solids:
    """The surroundings of a house whose walls are within ``reach`` metres of the origin."""
    b = Maker(dice)
    drop = dice.uniform(0.1, 0.8) if dice.chance(0.7) else dice.uniform(2.5, 9.0)
    ground = dice.tint(dice.pick(((0.10, 0.15, 0.04), (0.32, 0.30, 0.27), (0.14, 0.16, 0.06))))
    origin = (0.0, 0.0, 0.0)
    b.add(origin, (0, -drop - 0.5, 0), (300, 0.5, 300), GARDEN, ground, shape=(0.0, 0, 0, 0))
    green = dice.tint((0.09, 0.15, 0.04), 0.25)
    for k in range(int(dice.uniform(10, 34))):
        turn, away = 2.4 * k + dice.uniform(0, 1), reach + dice.uniform(4, 16) * (1 + dice.uniform())
        size = dice.uniform(0.08, 0.22) * away
        away += 1.5 * size
        spot = (away * math.sin(turn), away * math.cos(turn), turn)
        tint = dice.tint(green, 0.2)
        for _ in range(7):
            up, aside = dice.uniform(0.0, 2.0) * size - drop, dice.uniform(-1.3, 1.3) * size
            half = (size * dice.uniform(0.3, 0.7), size * dice.uniform(0.3, 0.7), 0.5 * size)
            b.add(spot, (aside, up, 0), half, GARDEN, tint, radius=BALL, shape=(1.0, 0, 0, 0))
    for k in range(int(dice.uniform(0, 5))):
        turn, away = 1.3 * k + dice.uniform(0, 1), reach + dice.uniform(12, 40)
        spot = (away * math.sin(turn), away * math.cos(turn), turn)
        wall = dice.tint(dice.pick(((0.5, 0.46, 0.4), (0.3, 0.15, 0.1), (0.6, 0.58, 0.55))))
        tall = dice.uniform(3, 7)
        b.add(
            spot, (0, tall / 2 - drop, 3), (dice.uniform(4, 8), tall / 2 + 0.5, 3), GARDEN, wall, shape=(2.0, 0, 0, 0)
        )
    if dice.chance(0.5):
        away, tone = reach + dice.uniform(4, 9), dice.tint(dice.pick(((0.3, 0.2, 0.12), (0.6, 0.6, 0.58))))
        for k in range(4):
            c, s = (0, 1, 0, -1)[k], (1, 0, -1, 0)[k]
            spot = (away * c, away * s, k * math.pi / 2)
            b.add(spot, (0, 0.8 - drop, 0), (0.05, 0.8, away), GARDEN, tone, shape=(2.0, 0, 0, 0))
    return b.things()


def garden_colour(hits: Hits, point: Tensor, noise: Torus) -> Tensor:
    """(3, N) brightness of the surroundings at points (3, N) relative to white in the sun, a little out of focus."""
    m, kind, solids = hits.metres, hits.solids.shape[:, 0], hits.solids
    pixel = hits.pixel + 0.03
    texture = grain(noise, m[0] + m[2] + 60 * solids.seed, m[1] + 0.6 * m[2], pixel, (3.0, 0.7, 0.25, 0.1))
    flat = grain(noise, m[0], m[2], pixel, (8.0, 1.0, 0.25))
    leaves = solids.colour.T * (1 + 0.65 * texture).clamp(0.12, 3.2)
    colour = torch.where(kind == 1, leaves, solids.colour.T * (1 + 0.12 * flat).clamp(0.4, 1.6))
    light = 0.75 - 0.45 * hits.normal[1] + 0.25 * hits.normal[0]
    colour = colour * light.clamp_min(0.2) * 1.3
    haze = 1 - torch.exp(-length(point) / 250)
    return mix(colour, (0.85, 0.90, 0.95), haze)


def sky_colour(unit: Tensor, noise: Torus) -> Tensor:
    """(3, N) brightness of a hazy sky in directions (3, N)."""
    up = smoothstep(0.0, 0.7, -unit[1])
    cloud = grain(noise, unit[0] / (0.3 - unit[1]), unit[2] / (0.3 - unit[1]), torch.zeros_like(up), (0.9, 0.25))
    low = unit.new_tensor([0.95, 0.97, 1.0])[:, None].expand_as(unit)
    return mix(low, (0.45, 0.65, 0.95), up * smoothstep(0.6, -0.4, cloud))
