"""Furniture to sit, lie, eat, work and store at. Spots lie on the floor at the middle of a thing's back."""

from __future__ import annotations

import math

from pipelines.worlds.interior_builder import (
    BLACK,
    FABRIC,
    METAL,
    PAINT,
    PANELS,
    STONE,
    WOOD,
    Maker,
    step,
)
from pipelines.worlds.interior_palette import Taste
from pipelines.worlds.solids import BALL, CYLINDER
from pipelines.worlds.street_builder import Colour, Spot

SOFT = 1.45  # radius that rounds a cushion


def legs(
    b: Maker, spot: Spot, wide: float, deep: float, height: float, thick: float, colour: Colour, round_: bool
) -> None:
    """Four legs under a top of ``wide`` by ``deep`` whose back is at the spot."""
    for right in (-wide / 2 + 1.3 * thick, wide / 2 - 1.3 * thick):
        for forward in (1.3 * thick, deep - 1.3 * thick):
            if round_:
                b.post(spot, (right, 0, forward), height, thick, WOOD, colour)
            else:
                b.add(spot, (right, height / 2, forward), (thick, height / 2, thick), WOOD, colour)


def sofa(b: Maker, taste: Taste, spot: Spot, seats: int) -> None:
    """One to four seats between arms, with loose cushions."""
    dice, cloth = b.dice, taste.cloths[0] if seats > 1 or b.dice.chance(0.5) else taste.cloths[1]
    seat, arm, deep = dice.uniform(0.58, 0.75), dice.uniform(0.1, 0.24), dice.uniform(0.82, 1.0)
    wide = seats * seat + 2 * arm
    foot, sit = dice.uniform(0.03, 0.16), dice.uniform(0.38, 0.46)
    back = dice.uniform(0.7, 0.95)
    pattern = (float(dice.pick((0, 0, 0, 0, 0, 1, 2))), 0.0, 0.0, 0.0)
    more = {"shape": pattern, "accent": taste.cloths[3]}
    legs(b, spot, wide, deep, foot, 0.03, taste.wood, False)
    b.add(
        spot,
        (0, (foot + sit - 0.14) / 2, deep / 2),
        (wide / 2, (sit - 0.14 - foot) / 2, deep / 2),
        FABRIC,
        cloth,
        **more,
    )
    b.add(spot, (0, (foot + back) / 2, 0.11), (wide / 2, (back - foot) / 2, 0.11), FABRIC, cloth, radius=1.66, **more)
    for way in (-1, 1):
        top = sit + dice.uniform(0.12, 0.2)
        half = (arm / 2, (top - foot) / 2, deep / 2)
        b.add(spot, (way * (wide - arm) / 2, (top + foot) / 2, deep / 2), half, FABRIC, cloth, radius=1.6, **more)
    for k in range(seats):
        right = (k - (seats - 1) / 2) * seat
        half = (seat / 2 - 0.004, 0.085, (deep - 0.2) / 2)
        b.add(spot, (right, sit - 0.065, 0.21 + half[2]), half, FABRIC, cloth, radius=1.6, **more)
        lean = ((seat / 2 - 0.01, 0, 0), (0, (back - sit) / 2 + 0.06, -0.05), (0, 0.02, 0.095))
        b.add(spot, (right, (back + sit) / 2 + 0.03, 0.3), (0, 0, 0), FABRIC, cloth, radius=1.5, axes=lean, **more)
        if dice.chance(0.5):
            size, turn = dice.uniform(0.18, 0.25), dice.uniform(-0.5, 0.5)
            c, s = size * math.cos(turn), size * math.sin(turn)
            axes = ((c, s, 0), (-0.9 * s, 0.9 * c, -0.06), (0, 0.02, 0.07))
            shade = dice.tint(dice.pick((taste.cloths[1], taste.cloths[2], taste.cloths[3])))
            kind = (float(dice.pick((0, 1, 2))), 0.0, 0.0, 0.0)
            at = (right + dice.uniform(-0.15, 0.15), sit + 0.2, 0.43)
            b.add(spot, at, (0, 0, 0), FABRIC, shade, radius=1.35, axes=axes, accent=taste.cloths[1], shape=kind)
    if seats > 2 and dice.chance(0.35):
        right = dice.pick((-1, 1)) * (wide - seat) / 2
        b.add(spot, (right, sit / 2, deep + 0.35), (seat / 2, sit / 2, 0.35), FABRIC, cloth, radius=1.66, **more)


def table(b: Maker, taste: Taste, spot: Spot, wide: float, deep: float, height: float) -> None:
    """A top on four legs, on a column, or of glass on a frame."""
    dice = b.dice
    kind, wood = dice.uniform(), taste.wood
    thick = dice.uniform(0.012, 0.03)
    round_top = kind > 0.7
    middle = step(spot, 0, deep / 2)
    top = STONE if dice.chance(0.12) else WOOD
    gloss = (dice.uniform(0.1, 0.6), 0.0, 0.0, 0.0)
    half = (wide / 2, thick, deep / 2)
    b.add(middle, (0, height - thick, 0), half, top, wood, radius=CYLINDER if round_top else 2.0, shape=gloss)
    if round_top:
        b.post(middle, (0, 0.03, 0), height - 0.05, 0.05 if height > 0.6 else 0.08, WOOD, wood)
        b.add(middle, (0, 0.02, 0), (wide * 0.28, 0.02, deep * 0.28), WOOD, wood, radius=CYLINDER)
        return
    legs(b, spot, wide, deep, height - 2 * thick, dice.uniform(0.016, 0.045), wood, dice.chance(0.4))
    if kind < 0.5:
        for forward in (0.07, deep - 0.07):
            b.add(spot, (0, height - 0.09, forward), (wide / 2 - 0.06, 0.04, 0.01), WOOD, wood)
        for right in (-wide / 2 + 0.07, wide / 2 - 0.07):
            b.add(spot, (right, height - 0.09, deep / 2), (0.01, 0.04, deep / 2 - 0.06), WOOD, wood)
    elif kind < 0.6:
        b.add(spot, (0, 0.16, deep / 2), (wide / 2 - 0.03, 0.01, deep / 2 - 0.03), WOOD, wood)


def chair(b: Maker, taste: Taste, spot: Spot, kind: int) -> None:
    """A chair that looks forward: with slats (0), a ladder back (1), upholstered (2)."""
    wood, cloth = taste.wood, taste.cloths[1]
    wide, deep, sit, back = 0.43, 0.42, 0.46, 0.92
    thick = 0.017
    if kind == 2:
        legs(b, spot, wide, deep, sit - 0.06, thick, wood, False)
        b.add(spot, (0, sit - 0.03, deep / 2), (wide / 2, 0.05, deep / 2), FABRIC, cloth, radius=1.6)
        b.add(
            spot,
            (0, (sit + back) / 2 + 0.03, 0.03),
            (wide / 2, (back - sit) / 2 + 0.02, 0.04),
            FABRIC,
            cloth,
            radius=1.6,
        )
        return
    for right in (-wide / 2 + thick, wide / 2 - thick):
        b.add(spot, (right, back / 2, thick), (thick, back / 2, thick), WOOD, wood)
        b.add(spot, (right, sit / 2, deep - thick), (thick, sit / 2, thick), WOOD, wood)
        b.add(spot, (right, 0.2, deep / 2), (0.009, 0.009, deep / 2), WOOD, wood)
    seat, stuff = (cloth, FABRIC) if b.dice.chance(0.4) else (wood, WOOD)
    b.add(spot, (0, sit, deep / 2), (wide / 2, 0.02, deep / 2), stuff, seat)
    b.add(spot, (0, back - 0.03, thick), (wide / 2, 0.035, 0.012), WOOD, wood)
    if kind == 0:
        for k in range(4):
            right = (k - 1.5) * 0.085
            b.add(spot, (right, (sit + back) / 2, thick), (0.014, (back - sit) / 2 - 0.03, 0.008), WOOD, wood)
    else:
        for k in range(2):
            b.add(spot, (0, sit + 0.13 + 0.13 * k, thick), (wide / 2, 0.025, 0.009), WOOD, wood)


def stool(b: Maker, taste: Taste, spot: Spot, height: float) -> None:
    """A round seat on four legs with a ring."""
    for turn in range(4):
        angle = math.pi / 4 + turn * math.pi / 2
        foot = (0.19 * math.cos(angle), 0.0, 0.19 * math.sin(angle))
        b.rod(spot, foot, (0.7 * foot[0], height - 0.03, 0.7 * foot[2]), 0.014, WOOD, taste.wood)
    b.add(spot, (0, 0.22, 0), (0.17, 0.012, 0.17), METAL, taste.metal, radius=CYLINDER)
    b.add(spot, (0, height - 0.02, 0), (0.18, 0.03, 0.18), FABRIC, taste.cloths[1], radius=CYLINDER)


def desk_chair(b: Maker, taste: Taste, spot: Spot) -> None:
    """A chair on a star of five castors."""
    for k in range(5):
        angle = 2 * math.pi * k / 5 + 0.3
        x, z = 0.28 * math.cos(angle), 0.28 * math.sin(angle)
        b.rod(spot, (0, 0.1, 0), (x, 0.07, z), 0.02, METAL, BLACK)
        b.add(spot, (x, 0.03, z), (0.03, 0.03, 0.03), PAINT, BLACK, radius=BALL)
    b.post(spot, (0, 0.1, 0), 0.34, 0.025, METAL, BLACK)
    b.add(spot, (0, 0.47, 0), (0.25, 0.05, 0.24), FABRIC, BLACK, radius=1.5)
    b.add(spot, (0, 0.83, -0.23), (0.22, 0.3, 0.035), FABRIC, BLACK, radius=1.45)
    b.add(spot, (0, 0.5, -0.24), (0.03, 0.15, 0.015), METAL, BLACK)
    for way in (-1, 1):
        b.add(spot, (0.28 * way, 0.66, 0), (0.03, 0.015, 0.13), PAINT, BLACK)
        b.add(spot, (0.28 * way, 0.56, 0), (0.015, 0.1, 0.02), PAINT, BLACK)


def bed(b: Maker, taste: Taste, spot: Spot, wide: float) -> None:
    """A bed with its head at the spot: frame, mattress, cover that hangs down, pillows."""
    dice, deep = b.dice, 2.05
    cover, sheet = taste.cloths[0], dice.tint((0.72, 0.71, 0.69), 0.06)
    top = dice.uniform(0.45, 0.68)
    head = dice.uniform(0.9, 1.35)
    stuff, tone = (FABRIC, taste.cloths[1]) if dice.chance(0.4) else (WOOD, taste.wood)
    if dice.chance(0.9):
        b.add(spot, (0, head / 2, 0.035), (wide / 2 + 0.04, head / 2, 0.035), stuff, tone, shape=(0.2, 0, 0, 0))
    b.add(spot, (0, 0.2, deep / 2), (wide / 2, 0.1, deep / 2 - 0.02), WOOD, taste.wood)
    legs(b, spot, wide, deep, 0.12, 0.035, taste.wood, False)
    b.add(
        spot,
        (0, (top + 0.28) / 2, deep / 2 + 0.02),
        (wide / 2, (top - 0.28) / 2, deep / 2 - 0.05),
        FABRIC,
        sheet,
        radius=1.68,
    )
    kind = (float(dice.pick((0, 0, 1, 2, 3))), 0.0, 0.0, 0.0)
    hang = dice.uniform(0.05, 0.38)
    long = deep - 0.55
    half = (wide / 2 + 0.03, (top + 0.025 - hang) / 2, long / 2)
    b.add(
        spot,
        (0, (top + 0.025 + hang) / 2, 0.55 + long / 2),
        half,
        FABRIC,
        cover,
        radius=1.68,
        shape=kind,
        accent=taste.cloths[3],
    )
    if dice.chance(0.5):
        b.add(
            spot,
            (0, (top + hang) / 2 + 0.04, deep - 0.35),
            (wide / 2 + 0.04, (top - hang) / 2, 0.25),
            FABRIC,
            taste.cloths[3],
            radius=1.68,
        )
    count = 1 if wide < 1.2 else 2
    for row in range(dice.pick((1, 2, 2))):
        for k in range(count):
            right = (k - (count - 1) / 2) * 0.72
            lean = 0.5 + 0.25 * row
            c, s = math.cos(lean), math.sin(lean)
            axes = ((0.33 - 0.04 * row, 0, 0), (0, 0.2 * s, -0.2 * c), (0, 0.075 * c, 0.075 * s))
            shade = sheet if row == 0 else dice.tint(taste.cloths[3])
            b.add(spot, (right, top + 0.13, 0.24 + 0.17 * row), (0, 0, 0), FABRIC, shade, radius=1.4, axes=axes)


def chest(b: Maker, taste: Taste, spot: Spot, wide: float, deep: float, height: float, columns: int, rows: int) -> None:
    """A chest of drawers, cupboard or wardrobe, on a plinth or on legs."""
    dice, wood = b.dice, taste.wood
    foot = dice.pick((0.0, 0.06, 0.14)) if height < 1.2 else 0.05
    if foot:
        legs(b, spot, wide, deep, foot, 0.025, wood, False)
    half = (wide / 2, (height - foot) / 2, deep / 2)
    shape = (float(columns), float(rows), taste.panel, 0.0)
    b.add(spot, (0, (height + foot) / 2, deep / 2), half, PANELS, wood, shape=shape, accent=taste.metal)
    b.add(
        spot,
        (0, height + 0.008, deep / 2 + 0.008),
        (wide / 2 + 0.015, 0.012, deep / 2 + 0.012),
        WOOD,
        wood,
        shape=(0.3, 0, 0, 0),
    )


def stairs(b: Maker, taste: Taste, spot: Spot, steps: int, way: float) -> None:
    """A flight that rises along the wall to the right (``way`` 1) or left (-1), with a banister."""
    rise, run, deep = 0.185, 0.27, 0.9
    start = -way * steps * run / 2
    for k in range(steps):
        right, up = start + way * (k + 0.5) * run, (k + 1) * rise
        b.add(spot, (right, up / 2 - 0.015, deep / 2), (run / 2, up / 2 - 0.015, deep / 2), PAINT, taste.trim)
        b.add(
            spot,
            (right - way * 0.015, up - 0.015, deep / 2 + 0.01),
            (run / 2 + 0.015, 0.015, deep / 2 + 0.01),
            WOOD,
            taste.boards,
        )
        for part in (0.25, 0.75):
            foot = (start + way * (k + part) * run, up, deep - 0.04)
            b.add(spot, (foot[0], up + 0.42, foot[2]), (0.014, 0.42, 0.014), PAINT, taste.trim)
    ends = [(start + way * k * run, k * rise + 1.0, deep - 0.04) for k in (0.3, steps)]
    b.rod(spot, ends[0], ends[1], 0.03, WOOD, taste.wood)
    b.add(spot, (start + way * 0.05, 0.6, deep - 0.04), (0.045, 0.6, 0.045), WOOD, taste.wood)
