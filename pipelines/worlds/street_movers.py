"""Who moves along a street: cars, vans and buses, people, cyclists."""

from __future__ import annotations

import math

from pipelines.worlds.solids import BALL
from pipelines.worlds.street_builder import CAR, DARK, GLASS, PLAIN, Builder, Colour, Spot

PAINTS: tuple[Colour, ...] = (
    (0.60, 0.60, 0.60),
    (0.33, 0.34, 0.35),
    (0.12, 0.125, 0.13),
    (0.025, 0.026, 0.03),
    (0.40, 0.035, 0.03),
    (0.03, 0.07, 0.26),
    (0.05, 0.13, 0.10),
    (0.42, 0.36, 0.25),
    (0.55, 0.30, 0.04),
    (0.10, 0.25, 0.45),
)
CLOTHES: tuple[Colour, ...] = (
    (0.04, 0.05, 0.10),
    (0.03, 0.03, 0.03),
    (0.30, 0.05, 0.05),
    (0.45, 0.43, 0.40),
    (0.10, 0.18, 0.08),
    (0.50, 0.35, 0.08),
    (0.08, 0.20, 0.40),
    (0.20, 0.13, 0.09),
    (0.40, 0.15, 0.28),
)
SKIN: tuple[Colour, ...] = ((0.50, 0.32, 0.24), (0.36, 0.21, 0.14), (0.14, 0.08, 0.05))


def car(b: Builder, spot: Spot, speed: float = 0.0) -> None:
    """A car, van or bus at ``spot``, facing along its heading."""
    dice = b.dice
    paint, kind, seed = dice.tint(dice.pick(PAINTS), 0.15), dice.uniform(), dice.uniform()

    def part(offset, half, material, colour, radius, shape=(0.0, 0.0, 0.0, 0.0)) -> None:
        b.put(spot, offset, half, "car", material, colour, radius=radius, shape=shape, seed=seed, speed=speed)

    if kind < 0.8:
        long, wide, tall = dice.uniform(1.9, 2.35), dice.uniform(0.84, 0.93), dice.uniform(0.27, 0.36)
        middle = 0.32 + tall
        part((0, middle, 0), (wide, tall, long), CAR, paint, 1.5, (1.0, 0.0, 0.0, 0.0))
        estate = dice.chance(0.5)
        back = -long * (0.30 if estate else 0.12)
        cabin = long * (0.66 if estate else 0.54)
        up = middle + tall + 0.16
        part((0, up, back), (wide * 0.90, 0.42, cabin), GLASS, paint, 1.33, (cabin, wide, 0.0, 0.0))
    elif kind < 0.94:
        long, wide, tall = dice.uniform(2.4, 3.0), 0.98, dice.uniform(0.78, 1.05)
        part((0, 0.4 + tall, -0.3), (wide, tall, long - 0.3), CAR, paint, 1.62, (2.0, 0.0, 0.0, 0.0))
        part((0, 0.78, long * 0.55), (wide * 0.97, 0.4, long * 0.5), CAR, paint, 1.5, (1.0, 0.0, 0.0, 0.0))
    else:
        long, wide = 5.6, 1.25
        part((0, 1.72, 0), (wide, 1.4, long), CAR, paint, 1.68, (3.0, 0.0, 0.0, 0.0))
    size = 0.33 if kind < 0.94 else 0.48
    for side in (-1, 1):
        for end in (-0.62, 0.62):
            part((side * (wide - 0.08), size, end * long), (0.11, size, size), PLAIN, DARK, 1.12)


def person(b: Builder, spot: Spot, speed: float) -> None:
    """Somebody who walks along the heading, or stands."""
    dice = b.dice
    tall = dice.uniform(1.45, 1.9) if dice.chance(0.88) else dice.uniform(1.0, 1.3)
    k = tall / 1.75
    coat, trousers = dice.tint(dice.pick(CLOTHES), 0.2), dice.tint(dice.pick(CLOTHES[:4]), 0.2)
    skin, hair = dice.pick(SKIN), dice.pick(((0.03, 0.02, 0.015), (0.12, 0.07, 0.03), (0.3, 0.22, 0.1)))
    stride = 0.3 if speed > 0 else 0.05

    def part(offset, half, colour, radius, lean=0.0) -> None:
        right, up, forward = (h * k for h in half)
        axes = ((right, 0.0, 0.0), (0.0, up * math.cos(lean), up * math.sin(lean)), (0.0, 0.0, forward))
        b.put(spot, tuple(o * k for o in offset), half, "person", PLAIN, colour, radius=radius, axes=axes, speed=speed)

    for side in (-1, 1):
        part((side * 0.09, 0.44, side * stride * 0.4), (0.085, 0.46, 0.1), trousers, 1.35, -side * stride)
        part((side * 0.25, 1.12, -side * stride * 0.3), (0.06, 0.32, 0.07), coat, 1.2, side * stride)
    part((0, 1.14, 0), (0.21, 0.36, 0.14), coat, 1.25)
    part((0, 1.6, 0), (0.1, 0.145, 0.115), skin, BALL)
    part((0, 1.66, -0.02), (0.108, 0.12, 0.12), hair, BALL)


def cyclist(b: Builder, spot: Spot, speed: float) -> None:
    """A bicycle, ridden when it moves."""
    dice = b.dice
    frame = dice.tint(dice.pick(PAINTS), 0.2)
    for end in (-0.52, 0.52):
        b.put(spot, (0, 0.34, end), (0.03, 0.34, 0.34), "bicycle", PLAIN, DARK, radius=1.03, speed=speed)
    for up, lean in ((0.55, 0.0), (0.72, 0.25)):
        axes = ((0.025, 0.0, 0.0), (0.0, 0.03, 0.0), (0.0, lean, 0.4))
        b.put(spot, (0, up, 0), (0, 0, 0), "bicycle", PLAIN, frame, axes=axes, speed=speed)
    b.put(spot, (0, 1.0, 0.45), (0.25, 0.03, 0.03), "bicycle", PLAIN, DARK, speed=speed)
    if speed == 0:
        return
    coat, trousers = dice.tint(dice.pick(CLOTHES), 0.2), dice.tint(dice.pick(CLOTHES[:4]), 0.2)

    def part(offset, half, colour, radius, lean=0.0) -> None:
        axes = ((half[0], 0.0, 0.0), (0.0, half[1], half[1] * lean), (0.0, 0.0, half[2]))
        b.put(spot, offset, half, "person", PLAIN, colour, radius=radius, axes=axes, speed=speed)

    for side in (-1, 1):
        part((side * 0.12, 0.72, 0.05 + side * 0.08), (0.08, 0.4, 0.1), trousers, 1.3, 0.2)
        part((side * 0.24, 1.2, 0.25), (0.055, 0.25, 0.06), coat, 1.2, -0.8)
    part((0, 1.25, 0.05), (0.19, 0.34, 0.14), coat, 1.25, 0.45)
    part((0, 1.7, 0.25), (0.12, 0.15, 0.14), dice.pick((*SKIN, *PAINTS[:5])), BALL)
