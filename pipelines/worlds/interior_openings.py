"""Windows and passages as rectangles that shine into rooms."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from pipelines.worlds.interior_plan import DOORWAY, GLASS_DOOR, THICK, WINDOW, Room
from pipelines.worlds.noise import smoothstep
from pipelines.worlds.solids import length

SKY_COLOUR = (0.92, 1.0, 1.10)


@dataclass(frozen=True, eq=False)
class Openings:
    """M rectangles that shine into rooms.

    Attributes:
        centre: (M, 3); right: (M, 3) half width, horizontal; inward: (M, 3) unit normal; tall: (M,) half height.
        radiance: (M, 3); room: (M,) the room they light; outdoors: (M,) bool, False for passages.
    """

    centre: Tensor
    right: Tensor
    inward: Tensor
    tall: Tensor
    radiance: Tensor
    room: Tensor
    outdoors: Tensor

    @staticmethod
    def of(rooms: tuple[Room, ...], day: float) -> Openings:
        """All windows and passages of rooms; only windows shine yet."""
        rows = []
        for k, room in enumerate(rooms):
            for side in range(4):
                for o in room.openings[side]:
                    if o.kind in (WINDOW, GLASS_DOOR, DOORWAY):
                        out = o.kind != DOORWAY
                        x, z, heading = room.at(side, o.middle, -0.5 * THICK if out else 0.0)
                        c, s = math.cos(heading), math.sin(heading)
                        half = 0.46 * o.width
                        light = [day * v if out else 0.0 for v in SKY_COLOUR]
                        middle = [x, -(o.sill + o.head) / 2, z]
                        rows.append(
                            (middle, [c * half, 0, -s * half], [s, 0, c], (o.head - o.sill) * 0.46, light, k, out)
                        )
        columns = list(zip(*rows, strict=True)) if rows else [()] * 7
        shapes = ((-1, 3), (-1, 3), (-1, 3), (-1,), (-1, 3), (-1,), (-1,))
        kinds = (torch.float32,) * 5 + (torch.long, torch.bool)
        return Openings(*(torch.tensor(c, dtype=t).reshape(s) for c, t, s in zip(columns, kinds, shapes, strict=True)))

    def __len__(self) -> int:
        return len(self.tall)

    @property
    def area(self) -> Tensor:
        """(M,) square metres."""
        return 4 * self.right.norm(dim=1) * self.tall

    def to(self, device: str) -> Openings:
        """The same on another device."""
        return Openings(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})

    def distance(self, points: Tensor) -> Tensor:
        """Metres (N, W) of points (N, 3) from the W windows."""
        k = self.outdoors.nonzero()[:, 0]
        away, half = points[:, None] - self.centre[k], self.right[k].norm(dim=1)
        across = ((away * self.right[k]).sum(-1) / half).abs() - half
        beside = torch.stack([across, away[..., 1].abs() - self.tall[k]]).clamp_min(0)
        return (beside.square().sum(0) + (away * self.inward[k]).sum(-1).square()).sqrt()

    def vector(self, k: int, point: Tensor) -> Tensor:
        """(3, N) vector irradiance per radiance at points from opening k (Lambert's formula for polygons)."""
        up = point.new_tensor([0.0, -1.0, 0.0]) * self.tall[k]
        corners = [self.centre[k] + a * self.right[k] + b * up for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
        ways = [c[:, None] - point for c in corners]
        ways = [w / length(w).clamp_min(1e-3) for w in ways]
        total = torch.zeros_like(point)
        for one, other in zip(ways, ways[1:] + ways[:1], strict=True):
            normal = torch.stack(
                [
                    one[1] * other[2] - one[2] * other[1],
                    one[2] * other[0] - one[0] * other[2],
                    one[0] * other[1] - one[1] * other[0],
                ]
            )
            sine = length(normal).clamp_min(1e-6)
            angle = torch.atan2(sine, (one * other).sum(0))
            total = total + normal * (0.5 * angle / sine)
        total = total * ((total * (self.centre[k][:, None] - point)).sum(0).sign())
        ahead = (self.inward[k][:, None] * (point - self.centre[k][:, None])).sum(0)
        return total * smoothstep(0.0, 0.04, ahead)
