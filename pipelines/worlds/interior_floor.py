"""The floor of a room: what of it is taken, and where there is space for more."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from pipelines.worlds.interior_plan import DOORWAY, GLASS_DOOR, WINDOW, Room
from pipelines.worlds.street_builder import Dice, Spot

Rectangle = tuple[float, float, float, float]


@dataclass
class Floor:
    """What of a room's floor is taken, as rectangles x0, x1, z0, z1."""

    room: Room
    dice: Dice
    taken: list[Rectangle] = field(default_factory=list)

    def __post_init__(self) -> None:
        for side in range(4):
            for o in self.room.openings[side]:
                if o.kind != WINDOW:
                    swing = 0.5 if o.kind == DOORWAY and o.width < 1.1 else 0.0
                    self.claim(self.room.at(side, o.middle), o.width + swing, 0.5 if o.kind == GLASS_DOOR else 1.0)

    def claim(self, spot: Spot, wide: float, deep: float, force: bool = True) -> bool:
        """Take ``wide`` by ``deep`` ahead of a spot; False, and nothing done, where that is not free."""
        x, z, heading = spot
        c, s = math.cos(heading), math.sin(heading)
        cx, cz = x + s * deep / 2, z + c * deep / 2
        across, along = (
            abs(c) * wide / 2 + abs(s) * deep / 2,
            abs(s) * wide / 2 + abs(c) * deep / 2,
        )
        new = (cx - across, cx + across, cz - along, cz + along)
        if not force:
            room = self.room
            if new[0] < room.x0 - 0.01 or new[1] > room.x1 + 0.01 or new[2] < room.z0 - 0.01 or new[3] > room.z1 + 0.01:
                return False
            if any(new[0] < o[1] and o[0] < new[1] and new[2] < o[3] and o[2] < new[3] for o in self.taken):
                return False
        self.taken.append(new)
        return True

    def along(self, wide: float, deep: float, tall: float, gap: float = 0.02, tries: int = 10) -> Spot | None:
        """A spot for a thing with its back to a wall, ``gap`` metres before it."""
        for _ in range(tries):
            side = int(self.dice.uniform(0, 4))
            space = (self.room.length(side) - wide) / 2
            if space < 0.02:
                continue
            pick = self.dice.uniform(-1, 1)
            right = space * (pick if abs(pick) < 0.6 else math.copysign(0.97, pick))
            free = self.room.free(side, right - wide / 2, right + wide / 2, tall)
            if free and self.claim(self.room.at(side, right), wide, deep + gap, force=False):
                return self.room.at(side, right, gap)
        return None

    def amid(self, wide: float, deep: float, tries: int = 10) -> Spot | None:
        """A spot somewhere within the room, of one of four headings."""
        for _ in range(tries):
            side = int(self.dice.uniform(0, 4))
            right = self.dice.uniform(-0.5, 0.5) * max(0.0, self.room.length(side) - wide)
            ahead = self.dice.uniform(0.25, 0.75) * max(0.0, self.room.depth(side) - deep)
            spot = self.room.at(side, right, ahead)
            if self.claim(spot, wide, deep, force=False):
                return spot
        return None
