"""Shadows of windows and lamps: what each light sees of its room, drawn once, asked by every frame."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pipelines.worlds.noise import smoothstep
from pipelines.worlds.solids import Solids, first_hit
from render_refine.camera import Camera, pose_from

SIZE = (44, 72)
SPREAD = math.radians(146)


@dataclass(frozen=True, eq=False)
class Shade:
    """The depth (1, 1, h, w) in metres that a light sees; beyond its picture everything is lit."""

    camera: Camera
    depth: Tensor

    @staticmethod
    def of(solids: Solids, place: Tensor, heading: float, pitch: float, size: tuple[int, int] = SIZE) -> Shade:
        """What stands in the light of ``place`` (3,), which shines along ``heading`` and ``pitch``."""
        camera = Camera.from_fov(*size, SPREAD, pose_from(place.cpu(), heading, pitch)).to(place.device)
        rays = camera.rays().reshape(-1, 3).T.contiguous()
        every = torch.arange(rays.shape[1], device=rays.device)
        depth, _ = first_hit(solids, camera, rays, every, lambda solid, *_: torch.zeros_like(solid).bool())
        return Shade(camera, depth.clamp_max(50.0).reshape(1, 1, *size))

    def lit(self, point: Tensor) -> Tensor:
        """(N,) share of this light that points (3, N) see, with soft edges."""
        uv, z = self.camera.project(point.T)
        grid = uv / uv.new_tensor([self.camera.width, self.camera.height]) * 2 - 1
        found = F.grid_sample(self.depth, grid[None, None], padding_mode="border", align_corners=False)[0, 0, 0]
        within = (z > 0.05) & (grid.abs().amax(1) < 1)
        return torch.where(within, smoothstep(-0.22 - 0.03 * z, -0.06 - 0.02 * z, found - z), torch.ones_like(z))

    def to(self, device: str) -> Shade:
        """The same on another device."""
        return Shade(self.camera.to(device), self.depth.to(device))
