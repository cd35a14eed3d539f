"""What makes rooms lived in: pictures, plants, lamps, rugs, screens, fireplaces, radiators, bins."""

from __future__ import annotations

import math

from pipelines.worlds.interior_builder import (
    BLACK,
    FABRIC,
    GLOW,
    LEAF,
    METAL,
    PAINT,
    PICTURE,
    RUG,
    SLATS,
    STONE,
    TILE,
    WHITE,
    WOOD,
    Maker,
    step,
)
from pipelines.worlds.interior_palette import STRONG, WARM, Taste
from pipelines.worlds.solids import BALL, CYLINDER
from pipelines.worlds.street_builder import Colour, Spot

LAMPLIGHT: Colour = (1.0, 0.72, 0.42)


def picture(b: Maker, taste: Taste, spot: Spot, wide: float, tall: float, up: float) -> None:
    """A framed picture, at times a clock."""
    dice = b.dice
    frame = dice.pick((BLACK, WHITE, taste.wood, taste.metal))
    if dice.chance(0.1):
        b.add(
            spot,
            (0, up, 0.015),
            (0.17, 0.17, 0.015),
            PICTURE,
            frame,
            accent=WHITE,
            shape=(0.02, 0.2, 0, 0),
            radius=1.02,
        )
        return
    shape = (dice.uniform(0.015, 0.05), dice.uniform(0.0, 0.12) * min(wide, tall), 0.0, 0.0)
    accent = dice.tint(dice.pick(STRONG + WARM + taste.cloths))
    b.add(spot, (0, up, 0.014), (wide / 2, tall / 2, 0.014), PICTURE, frame, accent=accent, shape=shape)


def plant(b: Maker, taste: Taste, spot: Spot, size: float, up: float = 0.0) -> None:
    """Leaves in a pot; ``size`` is the height in metres."""
    dice = b.dice
    pot = dice.tint(dice.pick((WHITE, (0.35, 0.14, 0.07), BLACK, taste.cloths[1])))
    radius = 0.09 + 0.1 * size
    b.post(spot, (0, up, 0), 0.3 * size + 0.05, 0.75 * radius, PAINT, pot)
    green = dice.tint((0.07, 0.13, 0.035), 0.25)
    base = up + 0.3 * size
    long, slim = dice.uniform(0.25, 0.5) * size, dice.uniform(0.12, 0.4)
    stem = dice.uniform(0.0, 0.35) * size
    if stem > 0.1:
        b.rod(spot, (0, base, 0), (0, base + stem + 0.1, 0), 0.012, WOOD, (0.12, 0.08, 0.05))
    for k in range(int(dice.uniform(12, 22))):
        turn, rise = 2.4 * k + dice.uniform(0, 0.5), dice.uniform(0.2, 1.35)
        out, high = math.cos(rise), math.sin(rise)
        c, s = math.cos(turn), math.sin(turn)
        reach = long * dice.uniform(0.6, 1.0) / 2
        way = (c * out * reach, high * reach, s * out * reach)
        side = (-s * slim * reach, 0.0, c * slim * reach)
        thin = (-c * high * 0.006, out * 0.006, -s * high * 0.006)
        lift = base + stem + dice.uniform(0, 0.25) * size
        at = (way[0] * 1.25, lift + way[1], way[2] * 1.25)
        b.add(spot, at, (0, 0, 0), LEAF, green, radius=BALL, axes=(side, way, thin))


def lamp(b: Maker, taste: Taste, spot: Spot, height: float, up: float = 0.0) -> None:
    """A lamp with a shade, on a table or on the floor; ``height`` to the top of the shade."""
    dice = b.dice
    on = dice.chance(0.55)
    tall = dice.uniform(0.16, 0.28)
    wide = tall * dice.uniform(0.55, 0.8)
    b.add(spot, (0, up + 0.015, 0), (0.5 * wide, 0.015, 0.5 * wide), METAL, taste.metal, radius=CYLINDER)
    b.post(spot, (0, up, 0), height - tall / 2, 0.012, METAL, taste.metal)
    if height < 0.9:
        body = dice.tint(dice.pick((WHITE, taste.cloths[1], taste.metal, (0.1, 0.2, 0.25))))
        b.add(
            spot,
            (0, up + 0.4 * (height - tall), 0),
            (0.07, 0.4 * (height - tall), 0.07),
            PAINT,
            body,
            radius=1.1,
            shape=(0.5, 0, 0, 0),
        )
    shade = dice.tint((0.66, 0.62, 0.54), 0.1)
    shape = (0.95 if on else 0.0, 0.0, 0.0, 0.0)
    b.add(spot, (0, up + height - tall / 2, 0), (wide, tall / 2, wide), GLOW, shade, radius=CYLINDER, shape=shape)
    if on:
        b.shine(spot, (0, up + height - tall / 2, 0), 0.22, LAMPLIGHT)


def pendant(b: Maker, taste: Taste, spot: Spot, top: float, up: float) -> None:
    """A lamp that hangs from the ceiling at ``top`` down to ``up``."""
    dice = b.dice
    b.rod(spot, (0, up + 0.1, 0), (0, top, 0), 0.006, PAINT, BLACK)
    on = dice.chance(0.7)
    size, ball = dice.uniform(0.09, 0.2), dice.chance(0.5)
    shape = (1.3 if on else 0.0, 0.0, 0.0, 0.0)
    if ball:
        b.add(spot, (0, up, 0), (size, size, size), GLOW, WHITE, radius=BALL, shape=shape)
    else:
        b.add(spot, (0, up + 0.02, 0), (size, 0.1, size), PAINT, dice.pick((BLACK, taste.metal, WHITE)), radius=1.25)
        b.add(spot, (0, up - 0.03, 0), (0.05, 0.05, 0.05), GLOW, WHITE, radius=BALL, shape=shape)
    if on:
        b.shine(spot, (0, up - 0.05, 0), 0.2, LAMPLIGHT)


def rug(b: Maker, taste: Taste, spot: Spot, wide: float, deep: float) -> None:
    """A carpet around its spot."""
    dice = b.dice
    base = dice.tint(dice.pick((*taste.cloths, *STRONG)))
    kind = (float(int(dice.uniform(0, 4))), dice.uniform(0.06, 0.3), 0.0, 0.0)
    radius = CYLINDER if dice.chance(0.12) else 2.0
    b.add(
        spot,
        (0, 0.006, 0),
        (wide / 2, 0.006, deep / 2),
        RUG,
        base,
        accent=dice.tint(dice.pick(taste.cloths)),
        shape=kind,
        radius=radius,
    )


def screen(b: Maker, spot: Spot, wide: float, up: float, forward: float) -> None:
    """A television with its lower edge at ``up``."""
    tall = 0.58 * wide
    b.add(
        spot,
        (0, up + tall / 2, forward),
        (wide / 2, tall / 2, 0.025),
        PAINT,
        (0.012, 0.012, 0.014),
        shape=(0.8, 0, 0, 0),
    )
    b.add(spot, (0, up - 0.02, forward), (0.15, 0.03, 0.03), PAINT, BLACK)


def fireplace(b: Maker, taste: Taste, spot: Spot, top: float) -> None:
    """A chimney breast with a hearth, a mantelpiece and something above it."""
    dice = b.dice
    wide, deep = dice.uniform(1.4, 1.9), dice.uniform(0.25, 0.45)
    stuff, colour = dice.pick(
        ((PAINT, taste.paint), (TILE, (0.32, 0.15, 0.1)), (STONE, taste.stone), (PAINT, taste.trim))
    )
    b.add(
        spot,
        (0, top / 2, deep / 2),
        (wide / 2, top / 2, deep / 2),
        stuff,
        colour,
        accent=(0.4, 0.38, 0.35),
        shape=(0.21, 0.07, 0, 0),
    )
    front = step(spot, 0, deep)
    trim = taste.trim if dice.chance(0.7) else taste.wood
    b.add(front, (0, 0.4, 0.003), (0.42, 0.36, 0.003), PAINT, (0.012, 0.011, 0.01))
    for way in (-1, 1):
        b.add(front, (way * 0.55, 0.55, 0.04), (0.13, 0.55, 0.04), PAINT, trim)
    b.add(front, (0, 0.97, 0.04), (0.68, 0.15, 0.045), PAINT, trim)
    b.add(front, (0, 1.15, 0.09), (0.78, 0.025, 0.1), PAINT, trim)
    b.add(front, (0, 0.02, 0.2), (0.75, 0.02, 0.2), STONE, taste.stone)
    picture(b, taste, front, dice.uniform(0.5, 1.0), dice.uniform(0.4, 0.8), 1.75)


def radiator(b: Maker, spot: Spot, wide: float) -> None:
    """Ribs under a window."""
    b.add(spot, (0, 0.38, 0.06), (wide / 2, 0.28, 0.035), SLATS, WHITE, shape=(0.06, 0.0, 1.0, 0.0))


def bin_(b: Maker, spot: Spot) -> None:
    """A bin or basket."""
    dice = b.dice
    colour = dice.pick((BLACK, WHITE, (0.4, 0.4, 0.41), (0.36, 0.24, 0.12)))
    b.post(
        spot, (0, 0, 0), dice.uniform(0.28, 0.6), dice.uniform(0.12, 0.17), METAL if colour[0] == 0.4 else PAINT, colour
    )


def pouf(b: Maker, taste: Taste, spot: Spot) -> None:
    """A soft stool without legs."""
    size = b.dice.uniform(0.2, 0.3)
    b.add(spot, (0, 0.2, 0), (size, 0.2, size), FABRIC, taste.cloths[2], radius=b.dice.pick((CYLINDER, 1.3, 1.6)))
