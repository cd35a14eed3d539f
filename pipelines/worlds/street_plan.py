"""How a street is laid out: from one draw of its character to the floor and all that stands on it."""

from __future__ import annotations

import math

import torch

from pipelines.worlds import street_movers as movers
from pipelines.worlds import street_things as things
from pipelines.worlds.street_builder import HEDGE, Builder, Colour, Dice, Spot
from pipelines.worlds.street_ground import CROSS_PAVEMENT, Floor

START, END = -70.0, 330.0

PLASTER: tuple[Colour, ...] = (
    (0.52, 0.47, 0.38),
    (0.60, 0.58, 0.53),
    (0.50, 0.36, 0.22),
    (0.46, 0.28, 0.20),
    (0.40, 0.42, 0.44),
    (0.55, 0.48, 0.30),
    (0.33, 0.38, 0.34),
)
BRICK: tuple[Colour, ...] = (
    (0.27, 0.11, 0.07),
    (0.34, 0.17, 0.11),
    (0.20, 0.10, 0.075),
    (0.38, 0.27, 0.18),
    (0.5, 0.46, 0.4),
)
CONCRETE: tuple[Colour, ...] = (
    (0.36, 0.35, 0.34),
    (0.26, 0.26, 0.27),
    (0.44, 0.41, 0.37),
    (0.14, 0.16, 0.19),
    (0.55, 0.54, 0.52),
)


def draw_floor(dice: Dice, urban: float) -> Floor:
    """The road and its edges in a place that is ``urban`` in [0, 1]."""
    lanes = 4 if dice.chance(0.1 + 0.4 * urban) else 2
    bend = 0.0 if dice.chance(0.4) else dice.pick((-1.0, 1.0)) / dice.uniform(160, 700)
    junctions = []
    s = dice.uniform(25, 110)
    while s < END - 80:
        junctions.append((s, dice.uniform(2.8, 5.5)))
        s += dice.uniform(70, 170)
    r, g, b = dice.tint((0.105, 0.135, 0.045))
    return Floor(
        curvature=bend,
        lanes=lanes,
        lane=dice.uniform(2.8, 3.5),
        parking=2.1 if dice.chance(0.6) else 0.0,
        verge=dice.uniform(1.2, 2.6) if dice.chance(0.75 - 0.6 * urban) else 0.0,
        pavement=dice.uniform(1.7, 2.6) + 2.0 * urban * dice.uniform(),
        garden=0.0 if dice.chance(urban * 1.2) else dice.uniform(2.5, 8.0),
        lawn=dice.chance(0.9 - 0.5 * urban),
        junctions=tuple(junctions),
        zebras=tuple(dice.uniform(5, 60) + 80 * k for k in range(3) if dice.chance(0.25)),
        solid=dice.chance(0.35),
        asphalt=dice.uniform(0.06, 0.15),
        slab=dice.tint(dice.pick(((0.30, 0.29, 0.27), (0.24, 0.235, 0.23), (0.33, 0.27, 0.22)))),
        wear=dice.uniform(),
        paving=dice.uniform(0.4, 0.9),
        green=(r, g, b),
    )


def furnish(dice: Dice, floor: Floor, urban: float) -> Builder:
    """Everything that stands on the floor or moves over it."""
    builder = Builder(dice)
    for side in (-1, 1):
        houses(builder, floor, side, urban)
        kerbside(builder, floor, side)
        traffic(builder, floor, side, urban)
        walkers(builder, floor, side, urban)
    junctions(builder, floor, urban)
    backdrop(builder, floor, urban)
    return builder


def facing(floor: Floor, side: int, s: float, t: float) -> Spot:
    """A spot at the right or left (``side``) of the road whose right hand points away from the road."""
    x, z, heading = floor.place(s, side * t)
    return x, z, heading + (0.0 if side > 0 else math.pi)


def blocked(floor: Floor, s: float, room: float) -> bool:
    """Whether a crossing road comes within ``room`` metres of s."""
    return any(abs(s - at) < half + room for at, half in floor.junctions)


def houses(b: Builder, floor: Floor, side: int, urban: float) -> None:
    """Buildings side by side, with gaps, gardens and what encloses them."""
    dice = b.dice
    walls = dice.pick((PLASTER, BRICK, CONCRETE, PLASTER + BRICK, PLASTER + BRICK + CONCRETE))
    usual = 1 + urban * dice.uniform(1.5, 7)
    s = START
    enclosure = int(dice.uniform(0, 4))  # wall, boards, railings, hedge
    while s < END:
        width = dice.uniform(7, 14) + 14 * urban * dice.uniform()
        middle = s + width / 2
        if blocked(floor, middle, width / 2 + CROSS_PAVEMENT):
            s += 2.0
            continue
        garden = floor.garden
        front = floor.front + garden
        if dice.chance(0.16 - 0.08 * urban):
            open_lot(b, floor, side, middle, width)
        else:
            floors = max(1, min(14, round(usual * dice.uniform(0.6, 1.4))))
            shop = garden == 0 and dice.chance(0.25 + 0.6 * urban)
            gable = floors <= 3 and dice.chance(0.85 - 0.6 * urban)
            step = 0.0 if dice.chance(0.6) else dice.uniform(0, 1.2)
            spot = facing(floor, side, middle, front + step)
            things.house(b, spot, width - 0.2, dice.uniform(8, 13), floors, shop=shop, gable=gable, walls=walls)
        if garden > 0 and dice.chance(0.7):
            at = facing(floor, side, middle, floor.front + 0.25)
            if enclosure == 3:
                things.hedge(b, at, width - 2.0, dice.uniform(0.9, 1.7))
            else:
                things.fence(b, at, width - 1.6, enclosure)
        if garden > 3 and dice.chance(0.5):
            things.tree(
                b, facing(floor, side, middle + dice.uniform(-3, 3), floor.front + garden / 2), dice.uniform(0.8, 1.7)
            )
        if garden > 2 and dice.chance(0.6):
            size = dice.uniform(0.4, 0.8)
            x, z, _ = facing(floor, side, middle + dice.uniform(-4, 4), floor.front + garden * 0.6)
            tint = dice.tint((1, 1, 1))
            b.put((x, z, 0.0), (0, size * 0.8, 0), (size, size, size), "vegetation", HEDGE, tint, radius=1.05)
        s += width + (0.0 if dice.chance(0.55 + 0.3 * urban) else dice.uniform(1.0, 5.0))


def open_lot(b: Builder, floor: Floor, side: int, middle: float, width: float) -> None:
    """A gap in the row: trees behind a fence or a hedge."""
    dice = b.dice
    at = facing(floor, side, middle, floor.front + 0.25)
    if dice.chance(0.4):
        things.hedge(b, at, width - 1, dice.uniform(1.0, 2.0))
    else:
        things.fence(b, at, width - 1, int(dice.uniform(0, 3)))
    for _ in range(3):
        spot = facing(floor, side, middle + dice.uniform(-0.4, 0.4) * width, floor.front + dice.uniform(2.5, 10))
        things.tree(b, spot, dice.uniform(1.4, 2.8))


def kerbside(b: Builder, floor: Floor, side: int) -> None:
    """Lamps, trees, signs and parked cars along the kerb."""
    dice = b.dice
    modern, height = dice.chance(0.65), dice.uniform(5.0, 8.5)
    gap = dice.uniform(20, 34)
    s = START + dice.uniform(0, gap)
    while s < END:
        if not blocked(floor, s, 2.0):
            x, z, heading = floor.place(s, side * (floor.half + 0.45))
            things.lamp_post(b, (x, z, heading + (math.pi if side > 0 else 0.0)), height if modern else 4.0, modern)
        s += gap
    if dice.chance(0.7):
        gap, size = dice.uniform(7, 15), dice.uniform(1.1, 2.4)
        s = START + dice.uniform(0, gap)
        while s < END:
            if not blocked(floor, s, 4.0) and dice.chance(0.85):
                spot = facing(floor, side, s, floor.half + max(0.8, floor.verge / 2))
                things.tree(b, spot, size * dice.uniform(0.8, 1.2))
            s += gap
    s = START + dice.uniform(10, 40)
    while s < END:
        if not blocked(floor, s, 1.0):
            x, z, heading = floor.place(s, side * (floor.half + 0.35))
            things.road_sign(b, (x, z, heading + (0.0 if side > 0 else math.pi)))
        s += dice.uniform(16, 60)
    if floor.parking:
        full, s = dice.uniform(0.25, 0.9), START + 3.0
        while s < END:
            clear = not blocked(floor, s, 8.5) and all(abs(s - at) > 5.5 for at in floor.zebras)
            if clear and dice.chance(full):
                x, z, heading = floor.place(s, side * (floor.half - 1.05))
                movers.car(b, (x, z, heading + (0.0 if side > 0 else math.pi)))
            s += 6.0


def traffic(b: Builder, floor: Floor, side: int, urban: float) -> None:
    """Cars and cyclists that keep to the right."""
    dice = b.dice
    for lane in range(floor.lanes // 2):
        speed = dice.uniform(4, 13)
        s = START + dice.uniform(0, 40)
        while s < END:
            x, z, heading = floor.place(s, side * (lane + 0.5) * floor.lane)
            movers.car(b, (x, z, heading + (0.0 if side > 0 else math.pi)), speed)
            s += dice.uniform(16, 80)
    for _ in range(int(dice.uniform(0, 3 + 3 * urban))):
        edge = floor.half - floor.parking - 0.6
        x, z, heading = floor.place(dice.uniform(0, 110), side * edge)
        movers.cyclist(b, (x, z, heading + (0.0 if side > 0 else math.pi)), dice.uniform(2.5, 6.0))


def walkers(b: Builder, floor: Floor, side: int, urban: float) -> None:
    """People on the pavement, some who cross, bicycles that lean at the wall."""
    dice = b.dice
    inner = floor.half + floor.verge + 0.5
    for _ in range(int(dice.uniform(2, 10 + 26 * urban))):
        x, z, heading = floor.place(dice.uniform(-5, 150), side * dice.uniform(inner + 0.4, floor.front - 0.3))
        speed = dice.uniform(0.8, 1.6) if dice.chance(0.8) else 0.0
        turn = dice.pick((0.0, math.pi)) if speed else dice.uniform(0, 2 * math.pi)
        movers.person(b, (x, z, heading + turn), speed)
    crossings = [*floor.zebras, *(at + way * (half + 3.0) for at, half in floor.junctions for way in (-1, 1))]
    for at in crossings:
        if dice.chance(0.3 + 0.2 * urban):
            x, z, heading = floor.place(at + dice.uniform(-1, 1), side * dice.uniform(0, floor.half))
            movers.person(b, (x, z, heading + dice.pick((-0.5, 0.5)) * math.pi), dice.uniform(0.9, 1.5))
    if floor.verge == 0:
        for _ in range(int(dice.uniform(0, 4))):
            x, z, heading = floor.place(dice.uniform(0, 90), side * (floor.front - 0.35))
            if not blocked(floor, z, 3.0):
                movers.cyclist(b, (x, z, heading), 0.0)


def junctions(b: Builder, floor: Floor, urban: float) -> None:
    """Lights at the larger crossings, houses along the crossing roads."""
    dice = b.dice
    for at, half in floor.junctions:
        if half > 3.8 or urban > 0.6:
            state = int(dice.uniform(0, 3))
            for side in (-1, 1):
                x, z, heading = floor.place(at - side * (half + 5.0), side * (floor.half + 0.4))
                things.traffic_light(b, (x, z, heading + (0.0 if side > 0 else math.pi)), state)
        for side in (-1, 1):
            for way in (-1, 1):
                out = floor.front + floor.garden + 24.0
                while out < 100:
                    width = dice.uniform(10, 20)
                    x, z, heading = floor.place(at + way * (half + CROSS_PAVEMENT), side * (out + width / 2))
                    turn = heading - math.pi / 2 * way
                    floors = max(1, round((1.5 + 4 * urban) * dice.uniform(0.6, 1.4)))
                    walls = dice.pick((PLASTER, BRICK))
                    things.house(b, (x, z, turn), width, 9.0, floors, shop=False, gable=floors < 4, walls=walls)
                    out += width + dice.uniform(0, 6)
            x, z, heading = floor.place(at, side * 130.0)
            turn = heading + (0.0 if side > 0 else math.pi)
            things.house(b, (x, z, turn), 40, 12, 3 + int(4 * urban), shop=False, gable=False, walls=PLASTER)
            for _ in range(2):
                x, z, heading = floor.place(at + dice.uniform(-1, 1) * half, side * dice.uniform(14, 60))
                movers.car(b, (x, z, heading + math.pi / 2 * dice.pick((-1, 1))))


def backdrop(b: Builder, floor: Floor, urban: float) -> None:
    """Houses and trees behind the front row and at both ends, so that gaps do not open on an empty plain."""
    dice = b.dice
    for _ in range(34):
        side, s = dice.pick((-1, 1)), dice.uniform(START - 60, END + 60)
        t = floor.front + floor.garden + dice.uniform(26, 90)
        if blocked(floor, s, 18):
            continue
        if dice.chance(0.55):
            floors = max(1, round((2 + 8 * urban) * dice.uniform(0.5, 1.5)))
            spot = facing(floor, side, s, t)
            things.house(b, spot, dice.uniform(10, 26), 12, floors, shop=False, gable=floors < 4, walls=PLASTER + BRICK)
        else:
            things.tree(b, facing(floor, side, s, t), dice.uniform(2.2, 4.0))
    for end, way in ((END + 25, 1), (START - 25, -1)):
        for k in range(-4, 5):
            x, z, heading = floor.place(end + dice.uniform(0, 30) * way, 17.0 * k)
            spot = (x, z, heading - math.pi / 2 * way)
            if dice.chance(0.3 + 0.5 * urban):
                floors = max(2, round((2 + 7 * urban) * dice.uniform(0.5, 1.5)))
                things.house(b, spot, 18, 12, floors, shop=False, gable=floors < 4, walls=PLASTER)
            else:
                for _ in range(2):
                    things.tree(b, (x + dice.uniform(-7, 7), z, 0.0), dice.uniform(2.5, 4.5))


def draw_street(generator: torch.Generator) -> tuple[Floor, Builder]:
    """A whole street."""
    dice = Dice(generator)
    urban = dice.uniform()
    floor = draw_floor(dice, urban)
    return floor, furnish(dice, floor, urban)
