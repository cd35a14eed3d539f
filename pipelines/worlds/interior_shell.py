"""The shell of rooms: walls with their holes, mouldings, window frames, curtains, blinds, doors and ceiling lamps."""

from __future__ import annotations

import math

from pipelines.worlds.interior_builder import (
    CEILING,
    CURTAIN,
    FLOOR,
    GLOW,
    METAL,
    PAINT,
    PANELS,
    SLATS,
    STEEL,
    WALL,
    WHITE,
    WOOD,
    Maker,
    step,
)
from pipelines.worlds.interior_palette import Taste
from pipelines.worlds.interior_plan import DOOR, DOORWAY, GLASS_DOOR, THICK, WINDOW, Opening, Room
from pipelines.worlds.solids import BALL, CYLINDER
from pipelines.worlds.street_builder import Colour, Spot

SLAB = 0.2
WARM: Colour = (1.0, 0.80, 0.55)


def build_shell(b: Maker, taste: Taste, room: Room, leafed: bool) -> None:
    """All that does not move out with the people; ``leafed``: doors open into this room."""
    dice = b.dice
    middle = ((room.x0 + room.x1) / 2, (room.z0 + room.z1) / 2, 0.0)
    half = ((room.x1 - room.x0) / 2 + THICK / 2, SLAB / 2, (room.z1 - room.z0) / 2 + THICK / 2)
    b.add(middle, (0, -SLAB / 2, 0), half, FLOOR, room.lining.ground)
    b.add(middle, (0, room.height + SLAB / 2, 0), half, CEILING, room.lining.ceiling)
    curtains = int(dice.uniform(0, 5))
    bars = (dice.pick((1, 1, 2, 2, 3)), dice.pick((0, 0, 1, 2)))
    for side in range(4):
        wall(b, taste, room, side)
        for opening in room.openings[side]:
            spot = room.at(side, opening.middle)
            if opening.kind == DOORWAY:
                doorway(b, taste, spot, opening, leafed)
            elif opening.kind == DOOR:
                shut(b, taste, spot, opening)
            else:
                casing(b, taste, spot, opening, 0.0)
                sash(b, taste, spot, opening, bars)
                dress(b, taste, room, spot, opening, curtains)
    lamps(b, taste, room)


def wall(b: Maker, taste: Taste, room: Room, side: int) -> None:
    """Masonry around the openings of a side, with skirting board and cornice."""
    span, lining = room.length(side), room.lining
    holes = sorted((o for o in room.openings[side] if o.kind != DOOR), key=lambda o: o.low)

    def piece(low: float, high: float, bottom: float, top: float) -> None:
        if high - low > 1e-3 and top - bottom > 1e-3:
            half = ((high - low) / 2, (top - bottom) / 2, THICK / 2)
            offset = ((low + high) / 2, (bottom + top) / 2, -THICK / 2)
            b.add(room.at(side), offset, half, WALL, lining.wall)

    edge = -span / 2 - THICK
    for hole in holes:
        piece(edge, hole.low, 0.0, room.height)
        piece(hole.low, hole.high, 0.0, hole.sill)
        piece(hole.low, hole.high, hole.head, room.height)
        edge = hole.high
    piece(edge, span / 2 + THICK, 0.0, room.height)
    if lining.skirting:
        edge = -span / 2
        for gap in sorted((o for o in room.openings[side] if o.sill < 0.1), key=lambda o: o.low):
            moulding(b, taste, room, side, edge, gap.low - 0.07, lining.skirting / 2, lining.skirting / 2, 0.009)
            edge = gap.high + 0.07
        moulding(b, taste, room, side, edge, span / 2, lining.skirting / 2, lining.skirting / 2, 0.009)
    if lining.cornice:
        up = room.height - lining.cornice / 2
        moulding(b, taste, room, side, -span / 2, span / 2, up, lining.cornice / 2, lining.cornice / 3)


def moulding(
    b: Maker, taste: Taste, room: Room, side: int, low: float, high: float, up: float, tall: float, thick: float
) -> None:
    """A board along a wall."""
    if high - low > 0.01:
        half = ((high - low) / 2, tall, thick)
        b.add(room.at(side), ((low + high) / 2, up, thick), half, PAINT, taste.trim, shape=(0.15, 0, 0, 0))


def casing(b: Maker, taste: Taste, spot: Spot, o: Opening, back: float) -> None:
    """Boards round an opening on the wall's face at ``back``, and a sill where it does not reach the floor."""
    wide, thick, trim = 0.07, 0.012, taste.trim
    at = back + thick
    for way in (-1, 1):
        half = (wide / 2, (o.head - o.sill) / 2, thick)
        b.add(spot, (way * (o.width + wide) / 2, (o.head + o.sill) / 2, at), half, PAINT, trim, shape=(0.15, 0, 0, 0))
    b.add(spot, (0, o.head + wide / 2, at), (o.width / 2 + wide, wide / 2, thick), PAINT, trim, shape=(0.15, 0, 0, 0))
    if o.sill > 0.1:
        half = (o.width / 2 + wide + 0.03, 0.018, 0.05)
        b.add(spot, (0, o.sill - 0.018, back + 0.05), half, PAINT, trim, shape=(0.15, 0, 0, 0))


def lining_boards(b: Maker, spot: Spot, o: Opening, colour: Colour) -> None:
    """Boards that hide the cut wall in an opening."""
    deep = THICK / 2 + 0.005
    for way in (-1, 1):
        half = (0.012, (o.head - o.sill) / 2, deep)
        b.add(spot, (way * (o.width / 2 - 0.012), (o.head + o.sill) / 2, -THICK / 2), half, PAINT, colour)
    b.add(spot, (0, o.head - 0.012, -THICK / 2), (o.width / 2, 0.012, deep), PAINT, colour)
    if o.sill > 0.1:
        b.add(spot, (0, o.sill + 0.012, -THICK / 2), (o.width / 2, 0.012, deep), PAINT, colour)


def doorway(b: Maker, taste: Taste, spot: Spot, o: Opening, leafed: bool) -> None:
    """An open passage, at times with an open leaf where ``leafed``."""
    if o.width < 1.3 or b.dice.chance(0.5):
        lining_boards(b, spot, o, taste.trim)
        casing(b, taste, spot, o, 0.0)
    if leafed and o.width < 1.1 and b.dice.chance(0.6):
        way = b.dice.pick((-1.0, 1.0))
        hinge = step(spot, way * (o.width / 2 - 0.02), 0.02, way * b.dice.uniform(-0.5, 0.3))
        leaf(b, taste, hinge, (0.0, 0.0, o.width / 2), (0.02, o.head / 2 - 0.01, o.width / 2))


def shut(b: Maker, taste: Taste, spot: Spot, o: Opening) -> None:
    """A shut door, double where it is wide."""
    casing(b, taste, spot, o, 0.0)
    leaves = 1 if o.width < 1.1 else 2
    for k in range(leaves):
        wide = o.width / leaves
        right = (k + 0.5) * wide - o.width / 2
        shape = (2.0, float(b.dice.pick((2, 3))), 2.0 if taste.panel else 0.0, 0.11)
        half = (wide / 2 - 0.004, o.head / 2 - 0.005, 0.006)
        colour = taste.trim if b.dice.chance(0.8) else taste.wood
        b.add(spot, (right, o.head / 2, 0.006), half, PANELS, colour, shape=shape)
        knob = right + (wide / 2 - 0.07) * (1 if k == 0 else -1)
        b.add(spot, (knob, 0.98, 0.05), (0.027, 0.027, 0.03), METAL, taste.metal, radius=BALL)


def leaf(
    b: Maker, taste: Taste, spot: Spot, offset: tuple[float, float, float], half: tuple[float, float, float]
) -> None:
    """An open door, hinged at ``spot``, whose thickness is to the right."""
    right, _, forward = offset
    axes = ((0.0, 0.0, half[2]), (0.0, half[1], 0.0), (half[0], 0.0, 0.0))
    shape = (2.0, 3.0, 2.0 if taste.panel else 0.0, 0.11)
    b.add(spot, (right, half[1] + 0.01, forward), half, PANELS, taste.trim, shape=shape, axes=axes)
    for way in (-1, 1):
        at = (right + way * 0.05, 0.98, forward + half[2] - 0.07)
        b.add(spot, at, (0.027, 0.027, 0.027), METAL, taste.metal, radius=BALL)


def sash(b: Maker, taste: Taste, spot: Spot, o: Opening, bars: tuple[int, int]) -> None:
    """The frame of a window or glass door, with glazing bars."""
    colour = WHITE if b.dice.chance(0.8) else b.dice.pick((taste.trim, (0.03, 0.03, 0.03)))
    lining_boards(b, spot, o, taste.trim)
    thick, back = 0.025 if o.kind == WINDOW else 0.035, -0.6 * THICK
    tall, up = (o.head - o.sill) / 2, (o.head + o.sill) / 2
    columns = bars[0] if o.kind == WINDOW else max(2, round(o.width / 0.9))
    for k in range(columns + 1):
        right = (k / columns - 0.5) * (o.width - 2 * thick)
        b.add(spot, (right, up, back), (thick, tall, 0.022), PAINT, colour, shape=(0.2, 0, 0, 0))
    rows = bars[1] if o.kind == WINDOW else 0
    for k in range(rows + 2):
        at = o.sill + thick + k / (rows + 1) * (o.head - o.sill - 2 * thick)
        edge = k in (0, rows + 1)
        size = (o.width / 2, thick if edge else 0.012, 0.02)
        b.add(spot, (0, at, back), size, PAINT, colour, shape=(0.2, 0, 0, 0))


def dress(b: Maker, taste: Taste, room: Room, spot: Spot, o: Opening, kind: int) -> None:
    """Curtains (kinds 0 and 1), blinds (2), a rolled or roman shade (3), or nothing."""
    dice = b.dice
    if kind <= 1 and room.kind != "kitchen":
        top = min(room.height - 0.06, o.head + dice.uniform(0.08, 0.3))
        low = 0.02 if dice.chance(0.75) or o.sill < 0.2 else o.sill - 0.12
        wide = dice.uniform(0.12, 0.3) * o.width + 0.06
        cloth = dice.tint(dice.pick((taste.cloths[2], (0.72, 0.70, 0.66), (0.66, 0.62, 0.55))))
        sheer = 0.55 if cloth[0] > 0.5 else 0.15
        for way in (-1, 1):
            shape = (dice.uniform(0.07, 0.16), sheer, 0.0, 0.0)
            at = (way * (o.width / 2 + 0.04), (top + low) / 2, 0.11)
            b.add(spot, at, (wide / 2, (top - low) / 2, 0.028), CURTAIN, cloth, shape=shape)
        ends = ((-o.width / 2 - wide, top + 0.01, 0.11), (o.width / 2 + wide, top + 0.01, 0.11))
        b.rod(spot, *ends, 0.013, METAL, taste.metal)
    elif kind in (2, 3) and o.kind in (WINDOW, GLASS_DOOR):
        share = dice.uniform(0.12, 0.5) if kind == 3 else dice.pick((0.15, 0.4, 1.0))
        tall = (o.head - o.sill) * share / 2
        shape = (0.05 if kind == 2 else 0.22, 0.6 if kind == 2 else 0.35, 0.0, 0.0)
        cloth = (0.72, 0.71, 0.68) if kind == 2 else dice.tint(taste.cloths[2])
        half = (o.width / 2 - 0.03, tall - 0.002, 0.012)
        b.add(spot, (0, o.head - 0.03 - tall, -0.035), half, SLATS, cloth, shape=shape)


def lamps(b: Maker, taste: Taste, room: Room) -> None:
    """Lights at the ceiling: spots in a grid, a dome, a fan with lamps, or none."""
    dice, top = b.dice, room.height
    middle = ((room.x0 + room.x1) / 2, (room.z0 + room.z1) / 2, 0.0)
    on = dice.chance(0.65)
    bright = 1.0 if on else 0.0
    area = (room.x1 - room.x0) * (room.z1 - room.z0)
    kind = dice.uniform()
    if kind < 0.35:
        across, along = (max(1, round((b_ - a) / 1.7)) for a, b_ in ((room.x0, room.x1), (room.z0, room.z1)))
        for i in range(across):
            for j in range(along):
                x = room.x0 + (i + 0.5) / across * (room.x1 - room.x0)
                z = room.z0 + (j + 0.5) / along * (room.z1 - room.z0)
                spot = (x, z, 0.0)
                b.add(spot, (0, top - 0.004, 0), (0.085, 0.004, 0.085), PAINT, WHITE, radius=CYLINDER)
                b.add(
                    spot,
                    (0, top - 0.007, 0),
                    (0.06, 0.006, 0.06),
                    GLOW,
                    WHITE,
                    radius=CYLINDER,
                    shape=(3 * bright, 0, 0, 0),
                )
                if on:
                    b.shine(spot, (0, top - 0.03, 0), 0.05 * area / (across * along), WARM, True)
    elif kind < 0.6:
        size = dice.uniform(0.14, 0.24)
        b.add(middle, (0, top - 0.05, 0), (size, 0.09, size), GLOW, WHITE, radius=BALL, shape=(1.6 * bright, 0, 0, 0))
        if on:
            b.shine(middle, (0, top - 0.25, 0), 0.035 * area, WARM)
    elif kind < 0.75:
        blades = taste.wood if dice.chance(0.6) else WHITE
        b.post(middle, (0, top - 0.25, 0), 0.25, 0.02, METAL, taste.metal)
        b.post(middle, (0, top - 0.36, 0), 0.12, 0.1, METAL, taste.metal)
        turn = dice.uniform(0, 2)
        for k in range(5):
            out = step(middle, 0, 0, turn + 2 * math.pi * k / 5)
            b.add(out, (0, top - 0.3, 0.42), (0.065, 0.006, 0.28), PAINT, blades)
        for k in range(3):
            out = step(middle, 0, 0, turn + 2 * math.pi * k / 3)
            b.add(out, (0, top - 0.42, 0.1), (0.06, 0.06, 0.06), GLOW, WHITE, radius=BALL, shape=(2 * bright, 0, 0, 0))
        if on:
            b.shine(middle, (0, top - 0.55, 0), 0.035 * area, WARM)
    if dice.chance(0.5):
        x, z, _ = room.at(int(dice.uniform(0, 4)), 0.3 * dice.uniform(-1, 1), 0.8)
        b.add((x, z, 0.0), (0, top - 0.02, 0), (0.06, 0.02, 0.06), PAINT, WHITE, radius=CYLINDER)
    fittings(b, room)
    if dice.chance(0.1):
        beams(b, taste, room)


def beams(b: Maker, taste: Taste, room: Room) -> None:
    """Beams across the ceiling, at times both ways."""
    colour, both = b.dice.pick((taste.trim, taste.wood)), b.dice.chance(0.4)
    for side in (0, 1) if both else (b.dice.pick((0, 1)),):
        span, count = room.length(side), max(1, round(room.length(side) / 1.3))
        for k in range(count):
            right, long = ((k + 0.5) / count - 0.5) * span, room.depth(side) / 2
            b.add(room.at(side, right), (0, room.height - 0.07, long), (0.07, 0.07, long), WOOD, colour)


def fittings(b: Maker, room: Room) -> None:
    """Switches beside doors, sockets, a vent."""
    dice = b.dice
    for side in range(4):
        for o in room.openings[side]:
            at = o.high + 0.2 if dice.chance(0.5) else o.low - 0.2
            if o.kind in (DOOR, DOORWAY) and abs(at) < room.length(side) / 2 - 0.1 and room.free(side, at, at, 1.3):
                b.add(room.at(side, at), (0, 1.2, 0.004), (0.04, 0.06, 0.004), PAINT, WHITE, shape=(0.2, 0, 0, 0))
        at = dice.uniform(-0.4, 0.4) * room.length(side)
        if room.free(side, at, at, 0.4):
            b.add(room.at(side, at), (0, 0.33, 0.004), (0.035, 0.055, 0.004), PAINT, WHITE)
    if dice.chance(0.4):
        side = int(dice.uniform(0, 4))
        if room.free(side, -0.3, 0.3, 2.2):
            b.add(
                room.at(side, 0.0),
                (0.0, room.height - 0.3, 0.006),
                (0.17, 0.07, 0.006),
                SLATS,
                STEEL,
                shape=(0.025, 0, 0, 0),
            )
