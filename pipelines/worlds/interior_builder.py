"""How rooms are put together from solids: materials, bulbs, and the list that grows."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch

from pipelines.worlds.solids import CYLINDER, Solids
from pipelines.worlds.street_builder import Builder, Colour, Spot

# Materials.
(PAINT, WALL, FLOOR, CEILING, WOOD, FABRIC, PANELS, STONE, METAL, PICTURE, BOOKS, GLOW, CURTAIN, RUG, LEAF) = range(15)
TILE, SLATS, GARDEN = range(15, 18)
NO_LABEL = 255

WHITE: Colour = (0.78, 0.78, 0.76)
BLACK: Colour = (0.02, 0.02, 0.022)
STEEL: Colour = (0.42, 0.42, 0.43)

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Bulb:
    """A small light: its place in the world, power per steradian, colour, and whether it only shines down."""

    place: Vector
    power: float
    colour: Colour
    down: bool


@dataclass
class Maker(Builder):
    """A growing list of the solids and bulbs of rooms."""

    bulbs: list[Bulb] = field(default_factory=list)

    def add(
        self,
        spot: Spot,
        offset: Vector,
        half: Vector,
        material: int,
        colour: Colour,
        **more: object,
    ) -> None:
        """One solid without a class; arguments as those of ``Builder.put``."""
        self.put(spot, offset, half, "building", material, colour, **more)  # type: ignore[arg-type]

    def post(self, spot: Spot, foot: Vector, height: float, thick: float, material: int, colour: Colour) -> None:
        """An upright cylinder of radius ``thick`` that stands on ``foot`` (right, up, forward)."""
        right, up, forward = foot
        half = (thick, height / 2, thick)
        self.add(spot, (right, up + height / 2, forward), half, material, colour, radius=CYLINDER)

    def rod(self, spot: Spot, one: Vector, other: Vector, thick: float, material: int, colour: Colour) -> None:
        """A cylinder of radius ``thick`` between two points (right, up, forward)."""
        way = tuple(0.5 * (b - a) for a, b in zip(one, other, strict=True))
        size = math.sqrt(sum(w * w for w in way))
        x, y, z = (w / size for w in way)
        helper = (0.0, 0.0, 1.0) if abs(z) < 0.9 else (1.0, 0.0, 0.0)
        side = (y * helper[2] - z * helper[1], z * helper[0] - x * helper[2], x * helper[1] - y * helper[0])
        norm = math.sqrt(sum(s * s for s in side))
        i, j, k = (s / norm for s in side)
        across = (y * k - z * j, z * i - x * k, x * j - y * i)
        axes = ((i * thick, j * thick, k * thick), way, tuple(thick * a for a in across))
        middle = tuple(0.5 * (a + b) for a, b in zip(one, other, strict=True))
        self.add(spot, middle, (0, 0, 0), material, colour, radius=CYLINDER, axes=axes)  # type: ignore[arg-type]

    def shine(self, spot: Spot, offset: Vector, power: float, colour: Colour, down: bool = False) -> None:
        """A bulb at ``offset`` (right, up, forward) of ``spot``."""
        x, up, z = moved(spot, offset)
        self.bulbs.append(Bulb((x, -up, z), power, colour, down))

    def things(self) -> Solids:
        """All solids, without a class."""
        columns = list(zip(*self.rows, strict=True))
        solids = Solids(*(torch.tensor(c, dtype=torch.long if k in (3, 4) else None) for k, c in enumerate(columns)))
        solids.label.fill_(NO_LABEL)
        return solids


def moved(spot: Spot, offset: Vector) -> Vector:
    """World x, height and z of a point (right, up, forward) in the frame of ``spot``."""
    x, z, heading = spot
    right, up, forward = offset
    c, s = math.cos(heading), math.sin(heading)
    return x + right * c + forward * s, up, z + forward * c - right * s


def step(spot: Spot, right: float, forward: float, turn: float = 0.0) -> Spot:
    """A spot beside another one."""
    x, _, z = moved(spot, (right, 0.0, forward))
    return x, z, spot[2] + turn
