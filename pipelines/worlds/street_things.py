"""What stands along a street: houses, trees, hedges, fences, lamps, signs and traffic lights."""

from __future__ import annotations

import math

from pipelines.worlds.solids import BALL, BOX
from pipelines.worlds.street_builder import (
    BARK,
    DARK,
    FACADE,
    FENCE,
    GLOW,
    HEDGE,
    LEAVES,
    METAL,
    PLAIN,
    PLATE,
    ROOF,
    TRAFFIC,
    Builder,
    Colour,
    Spot,
)


def house(
    b: Builder,
    spot: Spot,
    width: float,
    depth: float,
    floors: int,
    *,
    shop: bool,
    gable: bool,
    walls: tuple[Colour, ...],
) -> None:
    """A building whose front stands at ``spot`` and faces left of its heading: ``width`` along, ``depth`` behind."""
    dice = b.dice
    wall = dice.tint(dice.pick(walls))
    ground = dice.uniform(3.6, 4.4) if shop else dice.uniform(2.9, 3.4)
    storey = dice.uniform(2.8, 3.5)
    height = ground + (floors - 1) * storey + (0.15 if gable else dice.uniform(0.4, 1.0))
    bay, glass = dice.uniform(1.9, 4.2), dice.uniform()
    trim = dice.tint(dice.pick(((0.62, 0.60, 0.56), (0.30, 0.29, 0.28), (0.10, 0.10, 0.11), (0.45, 0.38, 0.28))))
    shape = (ground if shop else -ground, storey, bay, glass)
    seed = dice.uniform()
    half = (depth / 2, height / 2, width / 2)
    b.put(spot, (depth / 2, height / 2, 0), half, "building", FACADE, wall, accent=trim, shape=shape, seed=seed)
    roof = dice.tint(dice.pick(((0.20, 0.07, 0.045), (0.10, 0.095, 0.10), (0.16, 0.12, 0.09), (0.24, 0.11, 0.06))), 0.2)
    if gable:
        rise = depth * dice.uniform(0.22, 0.42)
        over = depth / 2 + 0.35
        long = width / 2 + 0.15
        if dice.chance(0.5):
            axes = ((over / 2, rise / 2, 0.0), (over / 2, -rise / 2, 0.0), (0.0, 0.0, long))
        else:
            rise = width * dice.uniform(0.22, 0.42)
            axes = ((0.0, rise / 2, long / 2), (0.0, -rise / 2, long / 2), (over, 0.0, 0.0))
        b.put(spot, (depth / 2, height, 0), half, "building", ROOF, roof, accent=wall, axes=axes)
        if dice.chance(0.6):
            at = dice.uniform(-0.3, 0.3) * width
            b.put(spot, (depth * 0.5, height + rise * 0.8, at), (0.35, 1.1, 0.35), "building", PLAIN, (0.2, 0.10, 0.07))
    else:
        edge = (depth / 2 + 0.15, 0.14, width / 2 + 0.1)
        b.put(spot, (depth / 2, height - 0.1, 0), edge, "building", PLAIN, trim)
        if dice.chance(0.4):
            b.put(
                spot,
                (depth / 2, height + 0.9, dice.uniform(-0.2, 0.2) * width),
                (1.6, 0.9, 2.0),
                "building",
                PLAIN,
                trim,
            )
    if shop and dice.chance(0.55):
        # An awning leans out over the pavement.
        cloth = dice.tint(dice.pick(((0.35, 0.04, 0.04), (0.04, 0.16, 0.09), (0.05, 0.08, 0.25), (0.45, 0.40, 0.30))))
        wide = min(width * 0.4, dice.uniform(2.0, 4.5))
        axes = ((0.65, 0.22, 0.0), (0.0, 0.05, 0.0), (0.0, 0.0, wide))
        b.put(spot, (-0.65, 2.75, dice.uniform(-0.08, 0.08) * width), half, "building", PLAIN, cloth, axes=axes)
    if not shop and floors > 2 and dice.chance(0.4):
        bays = max(round(width / bay), 1)
        for k in range(bays):
            if (k % 3 == 1) != (glass > 0.5):
                for level in range(1, floors):
                    at = (k + 0.5) / bays * width - width / 2
                    up = ground + (level - 1) * storey + 0.35
                    b.put(spot, (-0.45, up, at), (0.45, 0.45, 0.42 * width / bays), "building", PLAIN, trim)


def tree(b: Builder, spot: Spot, size: float) -> None:
    """A trunk, boughs and a crown of balls of leaves; ``size`` is about the crown's radius in metres."""
    dice, seed = b.dice, b.dice.uniform()
    stem = dice.uniform(0.9, 1.3) * size + 0.9
    thick = 0.05 + 0.06 * size
    bark = dice.tint((0.11, 0.085, 0.065))
    b.put(spot, (0, stem / 2 + 0.3, 0), (thick, stem / 2 + 0.5, thick), "vegetation", BARK, bark, radius=1.3)
    for k in range(5):
        turn, lean = 2.4 * k + 6 * seed, dice.uniform(0.35, 0.9)
        reach = size * dice.uniform(0.5, 0.62)
        way = (math.sin(turn) * math.sin(lean), math.cos(lean), math.cos(turn) * math.sin(lean))
        side = (math.cos(turn), 0.0, -math.sin(turn))
        across = (-math.sin(turn) * math.cos(lean), math.sin(lean), -math.cos(turn) * math.cos(lean))
        thin = 0.35 * thick
        axes = (_times(side, thin), _times(way, reach), _times(across, thin))
        centre = (way[0] * reach, stem + way[1] * reach, way[2] * reach)
        b.put(spot, centre, (0, 0, 0), "vegetation", BARK, bark, radius=1.05, axes=axes)
    leaf = dice.tint((1.0, 1.0, 1.0), 0.2)
    for k in range(6):
        turn, off = 2.4 * k + 6 * seed, size * (0.15 if k == 0 else dice.uniform(0.45, 0.7))
        radius = size * (0.8 if k == 0 else dice.uniform(0.42, 0.66))
        up = stem + size * (0.85 if k == 0 else dice.uniform(0.25, 1.45))
        half = (radius, radius * dice.uniform(0.75, 1.0), radius)
        middle = (off * math.sin(turn), up, off * math.cos(turn))
        b.put(spot, middle, half, "vegetation", LEAVES, leaf, radius=BALL, seed=seed)


def _times(vector: tuple[float, float, float], by: float) -> tuple[float, float, float]:
    return vector[0] * by, vector[1] * by, vector[2] * by


def hedge(b: Builder, spot: Spot, length: float, height: float) -> None:
    """A clipped hedge along the heading."""
    half = (0.35, height / 2, length / 2)
    b.put(spot, (0, height / 2, 0), half, "vegetation", HEDGE, b.dice.tint((1, 1, 1)), radius=1.72)


def fence(b: Builder, spot: Spot, length: float, kind: int) -> None:
    """A garden wall (kind 0), a board fence (1) or railings (2) along the heading."""
    dice = b.dice
    height = dice.uniform(*((0.7, 1.3), (1.1, 1.9), (0.9, 1.3))[kind])
    colours = (
        ((0.32, 0.17, 0.12), (0.45, 0.42, 0.38)),
        ((0.26, 0.17, 0.10), (0.55, 0.55, 0.52)),
        ((0.03, 0.035, 0.03),),
    )
    half = ((0.12, 0.04, 0.02)[kind], height / 2, length / 2)
    shape = (float(kind), 0.0, 0.0, 0.0)
    b.put(spot, (0, height / 2, 0), half, "fence", FENCE, dice.tint(dice.pick(colours[kind])), shape=shape)


def lamp_post(b: Builder, spot: Spot, height: float, modern: bool) -> None:
    """A post whose arm reaches to the right of the heading."""
    metal = METAL if modern else (0.03, 0.04, 0.035)
    b.put(spot, (0, height / 2, 0), (0.065, height / 2, 0.065), "pole", PLAIN, metal, radius=1.5)
    b.put(spot, (0, 0.45, 0), (0.1, 0.45, 0.1), "pole", PLAIN, metal, radius=1.5)
    reach = 1.7 if modern else 0.0
    if modern:
        axes = ((reach / 2, 0.12, 0.0), (0.0, 0.05, 0.0), (0.0, 0.0, 0.05))
        b.put(spot, (reach / 2, height, 0), (0, 0, 0), "pole", PLAIN, metal, axes=axes)
        b.put(spot, (reach + 0.25, height + 0.13, 0), (0.38, 0.07, 0.13), "pole", GLOW, METAL, radius=1.5)
    else:
        b.put(spot, (0, height + 0.3, 0), (0.2, 0.32, 0.2), "pole", GLOW, (0.5, 0.48, 0.42), radius=1.3)
    x, z, heading = spot
    b.lamps.append((x + math.cos(heading) * reach, -height, z - math.sin(heading) * reach))


def road_sign(b: Builder, spot: Spot) -> None:
    """A round, square or wide plate on a post; it faces against the heading."""
    dice = b.dice
    height = dice.uniform(2.1, 2.7)
    b.put(spot, (0, height / 2, 0), (0.035, height / 2, 0.035), "pole", PLAIN, METAL)
    kind = int(dice.uniform(0, 4))
    half = ((0.32, 0.32, 0.025), (0.3, 0.3, 0.025), (0.55, 0.2, 0.025), (0.28, 0.42, 0.025))[kind]
    white, red, blue, yellow = (0.7, 0.7, 0.7), (0.5, 0.03, 0.03), (0.03, 0.10, 0.42), (0.7, 0.45, 0.02)
    colour, accent = dice.pick(((white, red), (blue, white), (red, white), (yellow, DARK), ((0.03, 0.25, 0.12), white)))
    shape = (1.0 if kind == 0 else 0.0, 0.0, 0.0, 0.0)
    radius = 1.02 if kind == 0 else BOX
    b.put(spot, (0, height, -0.06), half, "sign", PLATE, colour, accent=accent, shape=shape, radius=radius)


def traffic_light(b: Builder, spot: Spot, state: int) -> None:
    """Three lamps on a post, of which ``state`` (0 red, 1 amber, 2 green) is on; faces against the heading."""
    b.put(spot, (0, 1.7, 0), (0.06, 1.7, 0.06), "pole", PLAIN, METAL, radius=1.5)
    shape = (float(state), 0.0, 0.0, 0.0)
    b.put(spot, (0, 3.1, -0.16), (0.19, 0.48, 0.13), "sign", TRAFFIC, DARK, shape=shape)
