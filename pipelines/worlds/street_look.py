"""What is known of a point on a solid, and what its material answers: colour, gloss and own light."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from pipelines.worlds.noise import smoothstep
from pipelines.worlds.shading import mix
from pipelines.worlds.solids import Solids, length


@dataclass(frozen=True, eq=False)
class Hits:
    """N points on solids.

    Attributes:
        solids: the solid of each point; local: (3, N) unit coordinates in it (right, up, forward); size: (3, N) its
            half sizes in metres; normal: (3, N) world; unit: (3, N) direction of sight; pixel: (N,) metres that a
            pixel covers across it.
        face: (N,) axis of the cube's face that was met, 3 for the round part.
    """

    solids: Solids
    local: Tensor
    size: Tensor
    normal: Tensor
    unit: Tensor
    pixel: Tensor
    face: Tensor

    @staticmethod
    def of(solids: Solids, point: Tensor, unit: Tensor, pixel: Tensor) -> Hits:
        """Surface geometry at points (3, N) of one solid each."""
        inverse = torch.linalg.inv(solids.axes)
        local = torch.einsum("nij,nj->in", inverse, point.T - solids.centre)
        extent, axis = local.abs().max(0)
        flat = extent * solids.radius >= length(local) - 1e-4
        one = torch.zeros_like(local).scatter_(0, axis[None], 1.0) * local.sign()
        normal = torch.einsum("nji,jn->in", inverse, torch.where(flat, one, local))
        normal = normal / length(normal).clamp_min(1e-9)
        # The far side of a crown is seen from within.
        normal = torch.where((normal * unit).sum(0) > 0, -normal, normal)
        size = length(solids.axes.transpose(0, 1)).T
        return Hits(solids, local, size, normal, unit, pixel, torch.where(flat, axis, 3))

    def take(self, keep: Tensor) -> Hits:
        """The points that a mask picks."""
        parts = {k: getattr(self, k)[..., keep] for k in ("local", "size", "normal", "unit", "pixel", "face")}
        return replace(self, solids=self.solids.take(keep), **parts)

    @property
    def metres(self) -> Tensor:
        """(3, N) local coordinates in metres."""
        return self.local * self.size

    @property
    def sideways(self) -> Tensor:
        """(N,) metres that a pixel covers along the surface, in the direction in which it turns away."""
        return self.pixel / (self.normal * self.unit).sum(0).abs().clamp_min(0.03)


@dataclass(frozen=True)
class Mood:
    """What the time does to surfaces: season in [0, 4), snow and night in [0, 1], the share of lit windows."""

    season: float
    snow: float
    night: float
    awake: float


@dataclass(frozen=True, eq=False)
class Look:
    """Of N points: albedo (3, N), share of mirrored light (N,), own light (3, N) as it shall appear in the picture."""

    albedo: Tensor
    gloss: Tensor
    glow: Tensor

    @staticmethod
    def matt(albedo: Tensor) -> Look:
        """Neither gloss nor light."""
        return Look(albedo, torch.zeros_like(albedo[0]), torch.zeros_like(albedo))


def surface(hits: Hits, materials: Mapping[int, Callable[..., Look]], *around: Any) -> Look:
    """The look of all points, each by its material: ``materials[m](hits of it, *around)``."""
    out = Look.matt(hits.local.new_zeros(3, hits.local.shape[1]))
    for material, look_of in materials.items():
        mask = hits.solids.material == material
        if mask.any():
            look = look_of(hits.take(mask), *around)
            out.albedo[:, mask], out.gloss[mask], out.glow[:, mask] = look.albedo, look.gloss, look.glow
    return out


def snowed(albedo: Tensor, hits: Hits, mood: Mood, texture: Tensor) -> Tensor:
    """Snow on what faces up."""
    lying = mood.snow * smoothstep(0.45, 0.8, -hits.normal[1] + 0.1 * texture)
    return mix(albedo, (0.78, 0.81, 0.86), lying)
