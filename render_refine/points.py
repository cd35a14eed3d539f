"""Point clouds: what an RGB-D image becomes when it is lifted into the world."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from render_refine.camera import Camera


@dataclass(frozen=True, eq=False)
class PointCloud:
    """Points with a colour or feature and a size.

    Attributes:
        xyz: (N, 3) positions in the world; unit directions for points at infinity.
        features: (N, C), for colours uint8 sRGB (a stored picture stays bit-exact) or float.
        footprint: (N,) side of the pixel that the point was seen through, in scene units (at infinity: radians).
    """

    xyz: Tensor
    features: Tensor
    footprint: Tensor

    def __len__(self) -> int:
        return len(self.xyz)

    def __getitem__(self, index: Tensor | slice) -> PointCloud:
        return self.map(lambda t: t[index])

    def map(self, function: Callable[[Tensor], Tensor]) -> PointCloud:
        """The cloud of what ``function`` makes of each of the three tensors."""
        return PointCloud(function(self.xyz), function(self.features), function(self.footprint))

    @staticmethod
    def empty(channels: int = 3, dtype: torch.dtype = torch.uint8, device: torch.device | str = "cpu") -> PointCloud:
        """A cloud without points."""
        return PointCloud(
            torch.zeros(0, 3, device=device),
            torch.zeros(0, channels, dtype=dtype, device=device),
            torch.zeros(0, device=device),
        )

    @staticmethod
    def cat(clouds: list[PointCloud]) -> PointCloud:
        """All points of several clouds, in order."""
        return PointCloud(*(torch.cat([getattr(c, name) for c in clouds]) for name in ("xyz", "features", "footprint")))

    def transform(self, new_from_old: Tensor) -> PointCloud:
        """The cloud in other axes: ``new_from_old`` is a rigid transform (4, 4)."""
        return PointCloud(self.xyz @ new_from_old[:3, :3].T + new_from_old[:3, 3], self.features, self.footprint)

    def thin(self, cell: float) -> PointCloud:
        """At most one point per cube of side ``cell`` [scene units]: the one with the lowest index."""
        cube = (self.xyz / cell).floor().long()
        _, inverse = torch.unique(cube, dim=0, return_inverse=True)
        first = torch.full((int(inverse.max()) + 1 if len(self) else 0,), len(self), device=self.xyz.device)
        first.scatter_reduce_(0, inverse, torch.arange(len(self), device=self.xyz.device), "amin")
        return self[first.sort().values]


def lift(features: Tensor, depth: Tensor, camera: Camera, mask: Tensor | None = None) -> PointCloud:
    """Lift an image to points at finite depth, one per pixel, in row order.

    Args:
        features: (C, H, W).
        depth: (H, W) z in scene units; pixels with infinite depth are left out.
        camera: of size H x W.
        mask: (H, W) bool, which pixels to lift; all when left out.
    """
    if depth.shape != (camera.height, camera.width):
        raise ValueError(f"depth is {tuple(depth.shape)}, the camera {(camera.height, camera.width)}")
    keep = torch.isfinite(depth) if mask is None else mask & torch.isfinite(depth)
    pixels = keep.flatten().nonzero()[:, 0]
    z = depth.flatten()[pixels]
    xyz = camera.centre + z[:, None] * camera.rays().flatten(0, 1)[pixels]
    return PointCloud(xyz, features.flatten(1)[:, pixels].T.contiguous(), z / camera.focal)


def lift_sky(features: Tensor, camera: Camera, mask: Tensor) -> PointCloud:
    """Lift pixels to the sphere at infinity: unit directions (3,) for the pixels of ``mask`` (H, W)."""
    rays = camera.rays()[mask]
    directions = rays / rays.norm(dim=-1, keepdim=True)
    footprint = torch.full_like(directions[:, 0], 1.0) / camera.focal
    return PointCloud(directions, features.permute(1, 2, 0)[mask], footprint)
