"""Kitchens and bathrooms: runs of cupboards with appliances, islands, baths, basins and toilets."""

from __future__ import annotations

from pipelines.worlds.interior_builder import (
    BLACK,
    CURTAIN,
    FABRIC,
    METAL,
    PAINT,
    PANELS,
    STEEL,
    STONE,
    TILE,
    WHITE,
    WOOD,
    Maker,
    step,
)
from pipelines.worlds.interior_clutter import clutter, thing
from pipelines.worlds.interior_decor import pendant
from pipelines.worlds.interior_furniture import stool
from pipelines.worlds.interior_palette import Taste
from pipelines.worlds.interior_plan import Room
from pipelines.worlds.solids import BALL, CYLINDER
from pipelines.worlds.street_builder import Spot

DEEP, TOP = 0.6, 0.91


def counter(b: Maker, taste: Taste, room: Room, side: int, low: float, high: float) -> None:
    """Cupboards with a worktop along a side from ``low`` to ``high``, wall cupboards where there is no window."""
    dice = b.dice
    gloss = (0.55, 0.0, 0.0, 0.0)
    at = low
    modules = []
    while at < high - 0.3:
        wide = min(dice.pick((0.4, 0.5, 0.6, 0.6, 0.8)), high - at)
        modules.append((at + wide / 2, wide))
        at += wide
    special = int(dice.uniform(0, len(modules)))
    sink = int(dice.uniform(0, len(modules)))
    grounds, tiles = (
        dice.pick(((0.66, 0.65, 0.62), (0.3, 0.24, 0.18), taste.paint, taste.stone)),
        dice.uniform(0.05, 0.2),
    )
    middle, wide = (low + at) / 2, at - low
    b.add(room.at(side), (middle, 0.05, DEEP / 2 - 0.04), (wide / 2, 0.05, DEEP / 2 - 0.04), PAINT, BLACK)
    half = (wide / 2 + 0.01, 0.018, DEEP / 2 + 0.015)
    b.add(
        room.at(side), (middle, TOP - 0.018, DEEP / 2 + 0.015), half, STONE, taste.stone, shape=gloss, accent=taste.wood
    )
    if room.free(side, low, at, TOP + 0.5) or dice.chance(0.5):
        reach = 0.25 if room.free(side, low, at, 1.35) is False else 0.27
        shape = (2 * tiles, tiles, 0.0, 0.0)
        if room.free(side, low, at, TOP + 2 * reach):
            b.add(
                room.at(side),
                (middle, TOP + reach, 0.006),
                (wide / 2, reach, 0.006),
                TILE,
                grounds,
                accent=(0.5, 0.49, 0.46),
                shape=shape,
            )
    for k, (right, size) in enumerate(modules):
        spot = room.at(side, right)
        wall_cupboard = room.free(side, right - size / 2, right + size / 2, 2.2)
        if k == special and size >= 0.5:
            oven(b, spot, size, wall_cupboard)
        else:
            drawers = dice.chance(0.35)
            shape = (1.0 if size < 0.7 or drawers else 2.0, 3.0 if drawers else 1.0, taste.panel, 0.0)
            half = (size / 2, (TOP - 0.036 - 0.1) / 2, DEEP / 2 - 0.01)
            b.add(
                spot, (0, 0.1 + half[1], DEEP / 2 - 0.01), half, PANELS, taste.cupboard, shape=shape, accent=taste.metal
            )
            if wall_cupboard and k != sink:
                tall = min(0.75, room.height - 1.5)
                shape = (1.0 if size < 0.7 else 2.0, 1.0, taste.panel, 1.0)
                b.add(
                    spot,
                    (0, 1.45 + tall / 2, 0.17),
                    (size / 2, tall / 2, 0.17),
                    PANELS,
                    taste.cupboard,
                    shape=shape,
                    accent=taste.metal,
                )
        if k == sink:
            b.add(spot, (0, TOP + 0.002, DEEP / 2), (min(size, 0.5) / 2 + 0.1, 0.004, 0.2), METAL, (0.2, 0.2, 0.205))
            b.post(spot, (0, TOP, 0.1), 0.28, 0.013, METAL, STEEL)
            b.rod(spot, (0, TOP + 0.28, 0.1), (0, TOP + 0.24, 0.28), 0.011, METAL, STEEL)
        elif k != special:
            clutter(b, taste, spot, size, 0.45, TOP, 2)


def oven(b: Maker, spot: Spot, wide: float, hooded: bool) -> None:
    """A range with its hood or a microwave above."""
    dice, metal = b.dice, b.dice.pick((STEEL, WHITE, BLACK))
    b.add(spot, (0, 0.46, DEEP / 2), (wide / 2, 0.45, DEEP / 2), METAL, metal)
    b.add(spot, (0, 0.45, DEEP + 0.006), (0.38 * wide, 0.2, 0.006), PAINT, (0.012, 0.012, 0.012), shape=(0.7, 0, 0, 0))
    b.rod(spot, (-0.4 * wide, 0.72, DEEP + 0.05), (0.4 * wide, 0.72, DEEP + 0.05), 0.012, METAL, STEEL)
    b.add(
        spot,
        (0, TOP + 0.006, DEEP / 2),
        (wide / 2 - 0.02, 0.006, DEEP / 2 - 0.03),
        PAINT,
        (0.02, 0.02, 0.02),
        shape=(0.5, 0, 0, 0),
    )
    for k in range(4):
        b.add(spot, ((k - 1.5) * 0.2 * wide, 0.84, DEEP + 0.015), (0.022, 0.022, 0.02), METAL, BLACK, radius=BALL)
    if hooded and dice.chance(0.5):
        b.add(spot, (0, 1.62, 0.2), (wide / 2, 0.2, 0.2), METAL, metal)
        b.add(
            spot,
            (-0.1 * wide, 1.62, 0.403),
            (0.32 * wide, 0.15, 0.004),
            PAINT,
            (0.015, 0.015, 0.015),
            shape=(0.7, 0, 0, 0),
        )
    elif hooded:
        b.add(spot, (0, 1.56, 0.24), (wide / 2, 0.04, 0.24), METAL, STEEL)
        b.add(spot, (0, 1.9, 0.14), (0.13, 0.32, 0.13), METAL, STEEL)


def fridge(b: Maker, taste: Taste, spot: Spot) -> None:
    """A tall fridge with two doors."""
    dice, metal = b.dice, b.dice.pick((STEEL, STEEL, WHITE, BLACK))
    wide, tall, deep = dice.uniform(0.6, 0.92), dice.uniform(1.7, 1.85), 0.68
    b.add(spot, (0, tall / 2, deep / 2), (wide / 2 - 0.01, tall / 2, deep / 2 - 0.03), METAL, metal)
    split = dice.uniform(0.35, 0.65) * tall
    for low, high in ((0.03, split - 0.006), (split + 0.006, tall)):
        half = (wide / 2 - 0.008, (high - low) / 2, 0.03)
        b.add(spot, (0, (low + high) / 2, deep - 0.015), half, METAL, metal)
        b.rod(
            spot,
            (0.4 * wide, low + 0.1, deep + 0.05),
            (0.4 * wide, min(high - 0.1, low + 0.6), deep + 0.05),
            0.011,
            METAL,
            STEEL,
        )


def island(b: Maker, taste: Taste, room: Room, spot: Spot, wide: float) -> None:
    """A free block of cupboards with stools and lamps above it."""
    dice = b.dice
    shape = (float(max(1, round(wide / 0.5))), 1.0, taste.panel, 0.0)
    b.add(
        spot,
        (0, (TOP - 0.04) / 2, 0.4),
        (wide / 2, (TOP - 0.04) / 2, 0.35),
        PANELS,
        taste.cupboard,
        shape=shape,
        accent=taste.metal,
    )
    b.add(
        spot,
        (0, TOP - 0.02, 0.42),
        (wide / 2 + 0.05, 0.02, 0.55),
        STONE,
        taste.stone,
        shape=(0.55, 0, 0, 0),
        accent=taste.wood,
    )
    count = max(1, round(wide / 0.65))
    if dice.chance(0.75):
        for k in range(count):
            stool(b, taste, step(spot, ((k + 0.5) / count - 0.5) * wide, 1.12 + dice.uniform(-0.05, 0.1)), 0.66)
    if dice.chance(0.6):
        for k in range(2):
            pendant(b, taste, step(spot, (k - 0.5) * 0.5 * wide, 0.42), room.height, dice.uniform(1.55, 1.8))
    clutter(b, taste, spot, wide, 0.9, TOP, 4)


def bath(b: Maker, taste: Taste, spot: Spot, long: float) -> None:
    """A bath along the wall, often with a shower curtain."""
    dice, deep, tall = b.dice, 0.74, 0.55
    gloss = (0.4, 0.0, 0.0, 0.0)
    b.add(spot, (0, 0.12, deep / 2), (long / 2, 0.12, deep / 2), PAINT, WHITE, shape=gloss)
    for forward in (0.04, deep - 0.04):
        b.add(spot, (0, tall / 2, forward), (long / 2, tall / 2, 0.04), PAINT, WHITE, shape=gloss)
    for way in (-1, 1):
        b.add(
            spot, (way * (long / 2 - 0.05), tall / 2, deep / 2), (0.05, tall / 2, deep / 2), PAINT, WHITE, shape=gloss
        )
    if dice.chance(0.6):
        share = dice.uniform(0.25, 0.6)
        right = dice.pick((-1, 1)) * (1 - share) * long / 2
        half = (share * long / 2, 0.9, 0.03)
        shape = (dice.uniform(0.06, 0.1), 0.1, 1.0, 0.0)
        b.add(spot, (right, 1.08, deep - 0.02), half, CURTAIN, taste.cloths[0], accent=taste.cloths[3], shape=shape)
        b.rod(spot, (-long / 2, 2.0, deep - 0.02), (long / 2, 2.0, deep - 0.02), 0.012, METAL, STEEL)


def toilet(b: Maker, spot: Spot) -> None:
    """A bowl with its cistern."""
    gloss = (0.4, 0.0, 0.0, 0.0)
    b.add(spot, (0, 0.58, 0.1), (0.2, 0.18, 0.09), PAINT, WHITE, radius=1.62, shape=gloss)
    b.add(spot, (0, 0.77, 0.1), (0.21, 0.015, 0.1), PAINT, WHITE, shape=gloss)
    b.add(spot, (0, 0.18, 0.36), (0.11, 0.18, 0.18), PAINT, WHITE, radius=CYLINDER, shape=gloss)
    b.add(spot, (0, 0.3, 0.42), (0.18, 0.13, 0.25), PAINT, WHITE, radius=1.15, shape=gloss)
    b.add(spot, (0, 0.415, 0.43), (0.185, 0.015, 0.25), PAINT, WHITE, radius=CYLINDER, shape=gloss)


def vanity(b: Maker, taste: Taste, spot: Spot, wide: float) -> None:
    """A basin in a cupboard, a tap, a mirror and a towel."""
    deep = 0.48
    shape = (float(max(1, round(wide / 0.4))), 1.0, taste.panel, 0.0)
    b.add(
        spot, (0, 0.43, deep / 2), (wide / 2, 0.38, deep / 2), PANELS, taste.cupboard, shape=shape, accent=taste.metal
    )
    b.add(
        spot,
        (0, 0.83, deep / 2 + 0.01),
        (wide / 2 + 0.01, 0.02, deep / 2 + 0.01),
        STONE,
        taste.stone,
        shape=(0.5, 0, 0, 0),
        accent=WHITE,
    )
    b.add(spot, (0, 0.86, deep / 2 + 0.02), (0.2, 0.02, 0.16), PAINT, WHITE, radius=CYLINDER, shape=(0.5, 0, 0, 0))
    b.post(spot, (0, 0.84, 0.07), 0.16, 0.012, METAL, STEEL)
    b.rod(spot, (0, 1.0, 0.07), (0, 0.98, 0.18), 0.01, METAL, STEEL)
    b.add(spot, (0, 1.5, 0.02), (0.8 * wide / 2, 0.35, 0.02), WOOD, taste.wood)
    b.add(spot, (0, 1.5, 0.042), (0.8 * wide / 2 - 0.04, 0.31, 0.002), METAL, (0.5, 0.51, 0.52))
    thing(b, taste, spot, (0.35 * wide, 0.85, 0.15))


def towel(b: Maker, taste: Taste, spot: Spot) -> None:
    """A towel on a rail."""
    b.rod(spot, (-0.3, 1.3, 0.07), (0.3, 1.3, 0.07), 0.01, METAL, STEEL)
    b.add(spot, (0, 1.03, 0.075), (0.2, 0.28, 0.02), FABRIC, b.dice.tint(taste.cloths[3]), shape=(1, 0, 0, 0))
