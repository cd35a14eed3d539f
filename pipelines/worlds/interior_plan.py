"""The plan of a home: a main room, the rooms it opens to, and the openings in their walls."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from pipelines.worlds.interior_palette import Lining, Taste
from pipelines.worlds.street_builder import Dice, Spot

THICK = 0.14  # metres of all walls
WINDOW, GLASS_DOOR, DOORWAY, DOOR = range(4)  # kinds of openings; a DOOR is shut and leads nowhere

SIZES = {
    "living": ((3.6, 6.5), (4.5, 10.0)),
    "bedroom": ((2.9, 4.6), (3.2, 5.5)),
    "kitchen": ((2.6, 4.6), (3.2, 6.5)),
    "dining": ((3.0, 4.6), (3.6, 6.0)),
    "bath": ((2.5, 3.2), (2.6, 4.2)),
    "office": ((2.6, 4.0), (3.0, 5.0)),
    "hall": ((2.5, 3.2), (4.0, 9.0)),
    "open": ((5.0, 8.0), (7.0, 12.0)),
}
KINDS = ("living", "living", "bedroom", "bedroom", "kitchen", "kitchen", "dining", "bath", "office", "hall", "open")


@dataclass(frozen=True)
class Opening:
    """A hole in a side: from ``low`` to ``high`` metres right of the side's middle, from ``sill`` to ``head`` up."""

    kind: int
    low: float
    high: float
    sill: float
    head: float

    @property
    def middle(self) -> float:
        """Metres right of the side's middle."""
        return (self.low + self.high) / 2

    @property
    def width(self) -> float:
        """Metres."""
        return self.high - self.low


@dataclass(frozen=True)
class Room:
    """A box of air, x0 < x < x1 and z0 < z < z1, with floor at y = 0.

    Seen from within, sides 0 to 3 are the walls at z0, x0, z1 and x1; ``openings`` has those of each side.
    """

    kind: str
    x0: float
    x1: float
    z0: float
    z1: float
    height: float
    lining: Lining
    openings: tuple[tuple[Opening, ...], ...] = ((), (), (), ())

    def length(self, side: int) -> float:
        """Metres of a side."""
        return self.x1 - self.x0 if side % 2 == 0 else self.z1 - self.z0

    def depth(self, side: int) -> float:
        """Metres from a side to the opposite one."""
        return self.length(side + 1)

    def at(self, side: int, right: float = 0.0, forward: float = 0.0) -> Spot:
        """The spot ``right`` of a side's middle and ``forward`` of it that heads into the room."""
        x, z = (self.x0 + self.x1) / 2, (self.z0 + self.z1) / 2
        if side == 0:
            return x + right, self.z0 + forward, 0.0
        if side == 1:
            return self.x0 + forward, z - right, math.pi / 2
        if side == 2:
            return x - right, self.z1 - forward, math.pi
        return self.x1 - forward, z + right, -math.pi / 2

    def opened(self, side: int, *more: Opening) -> Room:
        """With more openings in a side."""
        sides = tuple((*old, *more) if k == side else old for k, old in enumerate(self.openings))
        return replace(self, openings=sides)

    def free(self, side: int, low: float, high: float, top: float) -> bool:
        """Whether a thing of height ``top`` covers no opening of the side between ``low`` and ``high``."""
        return all(o.high + 0.1 < low or o.low - 0.1 > high or o.sill >= top for o in self.openings[side])


def draw_rooms(dice: Dice, taste: Taste) -> list[Room]:
    """The main room first, then those it opens to."""
    kind = dice.pick(KINDS)
    short, long = (dice.uniform(*bounds) for bounds in SIZES[kind])
    height = dice.uniform(2.3, 2.8) if dice.chance(0.75) else dice.uniform(2.8, 3.5)
    main = Room(kind, -short / 2, short / 2, -long / 2, long / 2, height, taste.lining(dice, kind))
    if dice.chance(0.3):
        main = replace(main, x0=-long / 2, x1=long / 2, z0=-short / 2, z1=short / 2)
    rooms = [main]
    for side in range(4):
        if dice.chance(0.42 if len(rooms) < 3 else 0.1):
            rooms[0], other = beside(dice, taste, rooms[0], side)
            rooms.append(other)
    taken = [side for side in range(4) if rooms[0].openings[side]]
    outer = [side for side in range(4) if side not in taken]
    sunny = dice.pick(tuple(outer)) if outer else -1
    for side in outer:
        if side == sunny or dice.chance(0.35):
            rooms[0] = windows(dice, rooms[0], side)
        if dice.chance(0.4):
            rooms[0] = shut_door(dice, rooms[0], side)
    return rooms


def beside(dice: Dice, taste: Taste, main: Room, side: int) -> tuple[Room, Room]:
    """A further room behind a side of the main one, and the main one with the opening to it."""
    kind = dice.pick(("living", "kitchen", "dining", "hall", "hall", "bedroom", "office", "bath"))
    span = main.length(side)
    wide = dice.chance(0.5) and kind in ("living", "kitchen", "dining", "hall")
    door = dice.uniform(1.4, max(1.5, min(3.6, 0.75 * span))) if wide else dice.uniform(0.75, 1.0)
    head = min(dice.uniform(2.05, 2.5), main.height - 0.15) if wide else dice.uniform(2.0, 2.1)
    centre = dice.uniform(-1, 1) * max(0.0, (span - door) / 2 - 0.3)
    hole = Opening(DOORWAY, centre - door / 2, centre + door / 2, 0.0, head)
    depth = dice.uniform(1.1, 1.6) if kind == "hall" and dice.chance(0.6) else dice.uniform(2.4, 5.0)
    reach = dice.uniform(1.6, 5.0)
    limit = span / 2 if side % 2 == 0 else span / 2 + 1.8
    low = max(-limit, min(hole.low - 0.2, centre - reach * dice.uniform(0.3, 0.7)))
    high = min(limit, max(hole.high + 0.2, low + reach))
    lining = taste.lining(dice, kind)
    if dice.chance(0.6):
        same = main.lining
        lining = replace(
            lining, floor=same.floor, ground=same.ground, joint=same.joint, unit=same.unit, turned=same.turned
        )
        lining = replace(lining, gloss=same.gloss)
    (xa, za, _), (xb, zb, _) = main.at(side, low, -THICK), main.at(side, high, -THICK - depth)
    other = Room(kind, min(xa, xb), max(xa, xb), min(za, zb), max(za, zb), main.height, lining)
    facing = (side + 2) % 4
    shift = -(low + high) / 2
    other = other.opened(facing, replace(hole, low=-(hole.high + shift), high=-(hole.low + shift)))
    other = windows(dice, other, side) if dice.chance(0.7) else shut_door(dice, other, side)
    for flank in ((side + 1) % 4, (side + 3) % 4):
        if dice.chance(0.35):
            other = windows(dice, other, flank)
    return main.opened(side, hole), other


def windows(dice: Dice, room: Room, side: int) -> Room:
    """With windows or a glass door in a side where there is space."""
    span, sill = room.length(side), dice.uniform(0.35, 1.1)
    if room.kind in ("kitchen", "bath"):
        sill = dice.uniform(1.05, 1.3)
    head = min(room.height - 0.12, max(sill + 0.8, dice.uniform(1.95, 2.35)))
    if room.kind in ("living", "open", "dining", "kitchen") and dice.chance(0.3) and span > 2.4:
        width = dice.uniform(1.5, min(3.2, span - 0.8))
        at = dice.uniform(-1, 1) * ((span - width) / 2 - 0.3)
        return room.opened(side, Opening(GLASS_DOOR, at - width / 2, at + width / 2, 0.0, dice.uniform(2.0, 2.2)))
    count = 1 if span < 3 else int(dice.uniform(1, min(4.0, span / 1.5)))
    width = min(dice.uniform(0.7, 2.2), span / count - 0.5)
    if width < 0.4:
        return room
    shift = dice.uniform(-1, 1) * max(0.0, (span - count * (width + 0.4)) / 2 - 0.1) if count == 1 else 0.0
    for k in range(count):
        at = shift + ((k + 0.5) / count - 0.5) * (span - 0.3)
        room = room.opened(side, Opening(WINDOW, at - width / 2, at + width / 2, sill, head))
    return room


def shut_door(dice: Dice, room: Room, side: int) -> Room:
    """With a door in a side, or a wide one of a cupboard, where there is space."""
    width = dice.uniform(0.75, 0.92) if dice.chance(0.75) else dice.uniform(1.2, 1.8)
    space = (room.length(side) - width) / 2 - 0.15
    for _ in range(4):
        at = dice.uniform(-1, 1) * space
        if space > 0 and room.free(side, at - width / 2 - 0.1, at + width / 2 + 0.1, 2.1):
            return room.opened(side, Opening(DOOR, at - width / 2, at + width / 2, 0.0, 2.04))
    return room
