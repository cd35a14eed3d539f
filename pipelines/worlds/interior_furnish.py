"""Who lives where: furniture along the walls and in groups, so that rooms can be walked through."""

from __future__ import annotations

from collections.abc import Callable

from pipelines.worlds import interior_clutter as small
from pipelines.worlds import interior_decor as decor
from pipelines.worlds import interior_furniture as pieces
from pipelines.worlds.interior_builder import PAINT, WALL, WOOD, Maker, step
from pipelines.worlds.interior_floor import Floor
from pipelines.worlds.interior_palette import Taste
from pipelines.worlds.interior_plan import DOOR, DOORWAY, GLASS_DOOR, WINDOW, Room
from pipelines.worlds.interior_rooms import bathroom, bedroom, dining, kitchen, living, office


def furnish(b: Maker, taste: Taste, room: Room) -> None:
    """Everything that stands and hangs in a room."""
    floor, dice = Floor(room, b.dice), b.dice
    if room.kind != "hall" and dice.chance(0.3):
        pillar(b, taste, floor)
    kinds: dict[str, tuple[Callable[[Maker, Taste, Floor], None], ...]] = {
        "living": (living,),
        "bedroom": (bedroom,),
        "kitchen": (kitchen,),
        "dining": (dining, storage),
        "bath": (bathroom,),
        "office": (office, storage),
        "hall": (storage,),
        "open": (kitchen, living, dining),
    }
    if not (room.kind in ("office", "bedroom", "living") and dice.chance(0.06)):
        for fill in kinds[room.kind]:
            fill(b, taste, floor)
        area = (room.x1 - room.x0) * (room.z1 - room.z0)
        if room.kind in ("living", "open") and area > 30:
            for fill in (dining, living, storage) if area > 45 else (storage, dice.pick((dining, living))):
                fill(b, taste, floor)
    if room.kind == "kitchen" and dice.chance(0.6):
        dining(b, taste, floor)
    extras(b, taste, floor)
    hang(b, taste, room)


def pillar(b: Maker, taste: Taste, floor: Floor) -> None:
    """A corner or a stretch of wall that juts out, and makes the room L-shaped."""
    dice, room = b.dice, floor.room
    side = int(dice.uniform(0, 4))
    limit = (0.45 * room.length(side), 0.45 * room.depth(side))
    wide, deep = dice.uniform(0.3, limit[0]), dice.uniform(0.2, min(limit[1], 2.2))
    right = dice.pick((-1, 1)) * (room.length(side) - wide) / 2
    if any(o.high > right - wide / 2 - 0.1 and o.low < right + wide / 2 + 0.1 for o in room.openings[side]):
        return
    flank = [o for k in (1, 3) for o in room.openings[(side + k) % 4]]
    if flank or not floor.claim(room.at(side, right), wide, deep, force=False):
        return
    spot = room.at(side, right)
    b.add(spot, (0, room.height / 2, deep / 2), (wide / 2, room.height / 2, deep / 2), WALL, room.lining.wall)
    tall = room.lining.skirting / 2
    if tall:
        b.add(spot, (0, tall, deep / 2), (wide / 2 + 0.016, tall, deep / 2 + 0.016), PAINT, taste.trim)


def storage(b: Maker, taste: Taste, floor: Floor) -> None:
    """Bookshelves, sideboards and side tables along the walls."""
    dice = b.dice
    for _ in range(int(dice.uniform(1, 3.5))):
        if dice.chance(0.5):
            wide, tall = dice.uniform(0.6, 1.4), dice.uniform(0.8, 2.1)
            spot = floor.along(wide, 0.32, tall, 0.01)
            if spot:
                small.shelf(b, taste, spot, wide, tall)
        else:
            wide, tall = dice.uniform(0.7, 1.5), dice.uniform(0.7, 0.95)
            spot = floor.along(wide, 0.42, tall)
            if spot:
                if dice.chance(0.6):
                    pieces.chest(b, taste, spot, wide, 0.38, tall, 3, 2)
                else:
                    pieces.table(b, taste, spot, wide, 0.36, tall)
                small.clutter(b, taste, spot, wide, 0.36, tall + 0.02, 4)
                if dice.chance(0.5):
                    decor.lamp(b, taste, step(spot, 0, 0.19), 0.5, tall + 0.02)


def extras(b: Maker, taste: Taste, floor: Floor) -> None:
    """Plants, bins, radiators, boxes and a chair by the wall, where there is space left."""
    dice, room = b.dice, floor.room
    for _ in range(int(dice.uniform(0, 3))):
        spot = floor.along(0.6, 0.6, 1.2, 0.05)
        if spot:
            decor.plant(b, taste, step(spot, 0, 0.3), dice.uniform(0.5, 1.5))
    if dice.chance(0.4):
        spot = floor.along(0.4, 0.4, 0.6, 0.03)
        if spot:
            decor.bin_(b, step(spot, 0, 0.2))
    for _ in range(int(dice.uniform(0, 4))):
        spot = floor.along(0.5, 0.5, 0.5, 0.03)
        if spot:
            small.heap(b, taste, step(spot, 0, 0.25))
    if dice.chance(0.3):
        spot = floor.along(0.55, 0.6, 0.95, 0.08)
        if spot:
            pieces.chair(b, taste, step(spot, 0, 0, dice.uniform(-0.15, 0.15)), int(dice.uniform(0, 3)))
    if room.kind in ("living", "open", "office", "bedroom") and dice.chance(0.35):
        storage(b, taste, floor)
    for side in range(4):
        for o in room.openings[side]:
            low = o.kind == WINDOW and o.sill > 0.75 and dice.chance(0.25)
            if low and floor.claim(room.at(side, o.middle), 0.9 * o.width, 0.2, force=False):
                decor.radiator(b, room.at(side, o.middle), 0.85 * o.width)
    if room.kind in ("hall", "living", "open") and dice.chance(0.3):
        steps = int(dice.uniform(5, 13))
        spot = floor.along(0.27 * steps + 0.2, 0.95, 2.4, 0.0)
        if spot:
            pieces.stairs(b, taste, spot, min(steps, int((room.height - 0.1) / 0.185)), dice.pick((-1.0, 1.0)))
    if room.kind == "hall" and dice.chance(0.3):
        long = dice.uniform(1.2, 2.5)
        spot = floor.amid(long, 0.3)
        if spot:
            b.add(spot, (0, 0.93, 0.05), (long / 2, 0.03, 0.035), WOOD, taste.wood)
            for k in range(round(long / 0.12)):
                b.add(spot, ((k + 0.5) * 0.12 - long / 2, 0.45, 0.05), (0.015, 0.45, 0.015), PAINT, taste.trim)


def hang(b: Maker, taste: Taste, room: Room) -> None:
    """Pictures where nothing opens."""
    dice = b.dice
    for side in range(4):
        for _ in range(int(dice.uniform(0, 3))):
            wide, tall = dice.uniform(0.25, 1.1), dice.uniform(0.3, 0.8)
            space = room.length(side) / 2 - wide / 2 - 0.2
            right = dice.uniform(-1, 1) * max(0.0, space)
            blocked = any(
                o.high + 0.15 > right - wide / 2 and o.low - 0.15 < right + wide / 2
                for o in room.openings[side]
                if o.kind in (DOOR, DOORWAY, WINDOW, GLASS_DOOR)
            )
            if space > 0 and not blocked and room.kind != "kitchen":
                if dice.chance(0.15):
                    small.ledge(b, taste, room.at(side, right), wide, dice.uniform(1.4, 1.8))
                    continue
                decor.picture(b, taste, room.at(side, right), wide, tall, dice.uniform(1.45, 1.65))
