"""Small things, and the shelves and boards that hold them."""

from __future__ import annotations

from pipelines.worlds.interior_builder import (
    BOOKS,
    FABRIC,
    METAL,
    PAINT,
    WOOD,
    Maker,
    step,
)
from pipelines.worlds.interior_palette import Taste
from pipelines.worlds.solids import BALL, CYLINDER
from pipelines.worlds.street_builder import Spot

SOFT = 1.45  # radius that rounds a cushion


def thing(b: Maker, taste: Taste, spot: Spot, at: tuple[float, float, float]) -> None:
    """A small object that stands on ``at``: a vase, a bowl, a box, a jar."""
    dice = b.dice
    x, up, z = at
    size = dice.uniform(0.04, 0.09)
    colour = dice.tint(dice.pick((*taste.cloths, (0.7, 0.69, 0.66), (0.05, 0.15, 0.2), taste.wood, (0.35, 0.07, 0.04))))
    kind, gloss = int(dice.uniform(0, 8)), (dice.uniform(0, 0.6), 0.0, 0.0, 0.0)
    if kind == 0:
        tall = dice.uniform(0.06, 0.13)
        b.add(spot, (x, up + 0.8 * tall, z), (size, tall, size), PAINT, colour, radius=BALL, shape=gloss)
        b.post(spot, (x, up, z), 2.1 * tall, 0.4 * size, PAINT, colour)
    elif kind == 1:
        b.post(spot, (x, up, z), dice.uniform(0.08, 0.22), 0.7 * size, PAINT, colour)
    elif kind == 2:
        b.add(spot, (x, up + 0.6 * size, z), (size, 0.6 * size, 0.8 * size), PAINT, colour, shape=gloss)
    elif kind == 3:
        b.add(
            spot, (x, up + 0.4 * size, z), (1.8 * size, 0.5 * size, 1.8 * size), PAINT, colour, radius=1.2, shape=gloss
        )
    elif kind == 4:
        tall = dice.uniform(0.16, 0.24)
        b.post(spot, (x, up, z), tall, 0.035, PAINT, colour)
        b.post(spot, (x, up + tall, z), 0.08, 0.014, PAINT, colour)
    elif kind == 5:
        for k in range(3):
            b.post(spot, (x + (k - 1) * 0.1, up, z + 0.02 * k), 0.1 + 0.04 * k, 0.04, PAINT, colour)
    elif kind == 6:
        for k in range(int(dice.uniform(1, 4))):
            shade = dice.tint(dice.pick(taste.cloths), 0.3)
            half = (0.11 - 0.012 * k, 0.013, 0.08 - 0.008 * k)
            b.add(spot, (x + 0.01 * k, up + 0.013 + 0.027 * k, z), half, PAINT, shade)
    else:
        half = (dice.uniform(0.09, 0.16), dice.uniform(0.07, 0.13), dice.uniform(0.06, 0.1))
        stuff = dice.pick((METAL, PAINT, PAINT))
        b.add(
            spot,
            (x, up + half[1], z),
            half,
            stuff,
            colour if stuff == PAINT else (0.4, 0.4, 0.41),
            radius=1.6,
            shape=gloss,
        )


def clutter(b: Maker, taste: Taste, spot: Spot, wide: float, deep: float, up: float, count: int) -> None:
    """Up to ``count`` objects on a surface ``wide`` by ``deep`` that starts at the spot."""
    for k in range(int(b.dice.uniform(0, count + 1))):
        right = ((k + b.dice.uniform(0.2, 0.8)) / count - 0.5) * (wide - 0.15)
        thing(b, taste, spot, (right, up, b.dice.uniform(0.25, 0.75) * deep))


def ledge(b: Maker, taste: Taste, spot: Spot, wide: float, up: float) -> None:
    """A board on the wall with things on it."""
    b.add(spot, (0, up, 0.1), (wide / 2, 0.015, 0.1), WOOD, taste.wood)
    clutter(b, taste, spot, wide, 0.2, up + 0.015, 4)


def heap(b: Maker, taste: Taste, spot: Spot) -> None:
    """Something left on the floor: a basket, a box, a bag, a toy."""
    dice = b.dice
    half = (dice.uniform(0.1, 0.24), dice.uniform(0.08, 0.2), dice.uniform(0.1, 0.2))
    colour = dice.tint(dice.pick((*taste.cloths, (0.45, 0.33, 0.2), (0.6, 0.1, 0.08), (0.08, 0.2, 0.45))), 0.2)
    radius = dice.pick((2.0, 1.5, 1.3, CYLINDER))
    stuff = dice.pick((FABRIC, PAINT))
    b.add(step(spot, 0, 0, dice.uniform(0, 3)), (0, half[1], 0), half, stuff, colour, radius=radius)


def shelf(b: Maker, taste: Taste, spot: Spot, wide: float, height: float) -> None:
    """Open shelves with books and things between the boards."""
    dice, wood, deep = b.dice, taste.wood, 0.28
    rows = max(2, round(height / 0.36))
    for right in (-wide / 2 + 0.012, wide / 2 - 0.012):
        b.add(spot, (right, height / 2, deep / 2), (0.012, height / 2, deep / 2), WOOD, wood)
    if dice.chance(0.6):
        b.add(spot, (0, height / 2, 0.005), (wide / 2, height / 2, 0.005), WOOD, wood)
    for k in range(rows + 1):
        up = 0.05 + k * (height - 0.07) / rows
        b.add(spot, (0, up, deep / 2), (wide / 2, 0.012, deep / 2), WOOD, wood)
        if k < rows:
            start, room = -wide / 2 + 0.05, (height - 0.07) / rows - 0.04
            while start < wide / 2 - 0.2:
                size = dice.uniform(0.12, 0.5)
                size = min(size, wide / 2 - 0.05 - start)
                if dice.chance(0.65):
                    tall = min(room, dice.uniform(0.18, 0.3))
                    at = (start + size / 2, up + 0.012 + tall / 2, deep / 2 - 0.03)
                    b.add(spot, at, (size / 2, tall / 2, 0.09), BOOKS, dice.tint(dice.pick(taste.cloths)))
                elif dice.chance(0.6):
                    thing(b, taste, spot, (start + size / 2, up + 0.012, deep / 2))
                start += size + dice.uniform(0.0, 0.12)
