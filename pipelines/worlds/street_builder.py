"""How things are put together from solids: dice, frames of reference, and the list that grows."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor

from pipelines.worlds.solids import BOX, Solids
from pipelines.worlds.street_ground import KERB, Floor
from vid2vid.classes import CLASSES

# Materials.
PLAIN, FACADE, ROOF, LEAVES, HEDGE, CAR, GLASS, FENCE, PLATE, GLOW, TRAFFIC, BARK = range(12)

T = TypeVar("T")
Colour = tuple[float, float, float]
Spot = tuple[float, float, float]  # world x, z and heading
DARK: Colour = (0.025, 0.025, 0.027)
METAL: Colour = (0.13, 0.135, 0.14)


class Dice:
    """Draws from an explicit generator."""

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """A number in [low, high)."""
        return low + (high - low) * torch.rand((), generator=self.generator).item()

    def chance(self, share: float) -> bool:
        """True in ``share`` of all cases."""
        return self.uniform() < share

    def pick(self, things: tuple[T, ...]) -> T:
        """One of several things."""
        return things[int(self.uniform(0, len(things)))]

    def tint(self, colour: Colour, by: float = 0.12) -> Colour:
        """The colour, a little lighter or darker and of another hue."""
        level = self.uniform(1 - 2 * by, 1 + by)
        r, g, b = (c * level * self.uniform(1 - by / 2, 1 + by / 2) for c in colour)
        return r, g, b


@dataclass
class Builder:
    """A growing list of solids, and of the lamps that light them."""

    dice: Dice
    rows: list[tuple] = field(default_factory=list)
    spots: list[tuple[float, float]] = field(default_factory=list)
    lamps: list[tuple[float, float, float]] = field(default_factory=list)

    def put(
        self,
        spot: Spot,
        offset: tuple[float, float, float],
        half: tuple[float, float, float],
        name: str,
        material: int,
        colour: Colour,
        *,
        accent: Colour = DARK,
        radius: float = BOX,
        shape: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0),
        seed: float | None = None,
        speed: float = 0.0,
        axes: tuple[tuple[float, float, float], ...] | None = None,
    ) -> None:
        """Add one solid.

        Args:
            spot: origin on the ground and heading of the frame of the arguments below.
            offset: (right, up, forward) of the centre; half: half sizes in those directions.
            axes: half axes (right, up, forward) in their place, for what is turned or sheared.
            speed: forward, in m/s.
        """
        x, z, heading = spot
        c, s = math.cos(heading), math.sin(heading)

        def world(right: float, up: float, forward: float) -> list[float]:
            return [right * c + forward * s, -up, forward * c - right * s]

        centre = [a + b for a, b in zip((x, 0.0, z), world(*offset), strict=True)]
        columns = [world(*a) for a in axes or ((half[0], 0, 0), (0, half[1], 0), (0, 0, half[2]))]
        rows = [[column[k] for column in columns] for k in range(3)]
        label = CLASSES.index(name)
        random = self.dice.uniform() if seed is None else seed
        velocity = world(0, 0, speed)
        self.rows.append((centre, rows, radius, label, material, colour, accent, shape, random, velocity))
        self.spots.append((x, z))

    def solids(self, floor: Floor) -> Solids:
        """All of them, lifted by the height of the kerb where their spots lie beyond it."""
        columns = list(zip(*self.rows, strict=True))
        solids = Solids(*(torch.tensor(c, dtype=torch.long if k in (3, 4) else None) for k, c in enumerate(columns)))
        x, z = torch.tensor(self.spots).T
        solids.centre[:, 1] -= KERB * (floor.beyond_kerb(*floor.coordinates(x, z)) >= 0)
        return solids

    def lamp_places(self) -> Tensor:
        """(L, 3) world positions of the lamps."""
        return torch.tensor(self.lamps).reshape(-1, 3)
