"""Pinhole cameras: the one place that turns world points into pixels and back.

Symbols: ``X`` a point in the world, ``T = cam_from_world`` (4x4, rigid), ``K`` the 3x3 intrinsics in
pixels. OpenCV axes (x right, y down, z forward); pixel (row i, column j) has its centre at
(u, v) = (j + 0.5, i + 0.5); depth is z in scene units and ``inf`` means sky.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Camera:
    """A pinhole camera, or a batch of them that share one image size.

    Attributes:
        height, width: image size in pixels.
        K: intrinsics in pixels, shape (..., 3, 3).
        cam_from_world: rigid transform from world to camera axes, shape (..., 4, 4), same batch as K.
    """

    height: int
    width: int
    K: Tensor
    cam_from_world: Tensor

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise ValueError(f"camera size must be positive, got {self.height}x{self.width}")
        if self.K.shape[-2:] != (3, 3) or self.cam_from_world.shape[-2:] != (4, 4):
            raise ValueError(
                "expected K (..., 3, 3) and cam_from_world (..., 4, 4), "
                f"got {tuple(self.K.shape)} and {tuple(self.cam_from_world.shape)}"
            )

    @staticmethod
    def from_fov(height: int, width: int, fov: float, cam_from_world: Tensor | None = None) -> Camera:
        """A camera with square pixels and a centred principal point.

        Args:
            height, width: image size in pixels.
            fov: field of view along the longer side, radians in (0, pi).
            cam_from_world: (..., 4, 4); identity when left out.
        """
        if not 0 < fov < math.pi:
            raise ValueError(f"field of view must lie between 0 and pi radians, got {fov}")
        pose = torch.eye(4) if cam_from_world is None else cam_from_world
        focal = 0.5 * max(height, width) / math.tan(0.5 * fov)
        K = pose.new_tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
        return Camera(height, width, K.expand(*pose.shape[:-2], 3, 3), pose)

    @property
    def world_from_cam(self) -> Tensor:
        """Inverse of the rigid transform, (..., 4, 4)."""
        return rigid_inverse(self.cam_from_world)

    @property
    def centre(self) -> Tensor:
        """Position of the camera in the world, (..., 3)."""
        return self.world_from_cam[..., :3, 3]

    @property
    def focal(self) -> Tensor:
        """Mean of the two focal lengths in pixels, (...)."""
        return 0.5 * (self.K[..., 0, 0] + self.K[..., 1, 1])

    def to(self, *args, **kwargs) -> Camera:
        """The same camera on another device or in another dtype."""
        return replace(self, K=self.K.to(*args, **kwargs), cam_from_world=self.cam_from_world.to(*args, **kwargs))

    def at(self, cam_from_world: Tensor) -> Camera:
        """The same lens at another pose (4, 4)."""
        return replace(self, cam_from_world=cam_from_world)

    def resize(self, height: int, width: int) -> Camera:
        """The same view with another number of pixels (aspect may change with it)."""
        scale = self.K.new_tensor([width / self.width, height / self.height, 1.0])
        return Camera(height, width, self.K * scale[:, None], self.cam_from_world)

    def crop(self, top: int, left: int, height: int, width: int) -> Camera:
        """The window of this view that starts at pixel (top, left). Negative offsets pad."""
        K = self.K.clone()
        K[..., 0, 2] -= left
        K[..., 1, 2] -= top
        return Camera(height, width, K, self.cam_from_world)

    def pixel_centres(self) -> Tensor:
        """(H, W, 2) coordinates (u, v) of all pixel centres."""
        u = torch.arange(self.width, device=self.K.device, dtype=self.K.dtype) + 0.5
        v = torch.arange(self.height, device=self.K.device, dtype=self.K.dtype) + 0.5
        return torch.stack(torch.meshgrid(u, v, indexing="xy"), dim=-1)

    def rays(self) -> Tensor:
        """(..., H, W, 3) ray of each pixel in world axes, scaled to depth 1: X = centre + z * ray."""
        return self.of_pixels(self.world_from_cam[..., :3, :3] @ torch.linalg.inv(self.K))

    def of_pixels(self, matrix: Tensor) -> Tensor:
        """(..., H, W, 3): ``matrix`` (..., 3, 3) times (u, v, 1) of every pixel centre."""
        u = torch.arange(self.width, device=matrix.device, dtype=matrix.dtype)[:, None] + 0.5
        v = torch.arange(self.height, device=matrix.device, dtype=matrix.dtype)[:, None] + 0.5
        by_u, by_v, by_one = matrix[..., None, :, :].unbind(dim=-1)
        # One sum for each pixel; the rest is per row and per column.
        return (v * by_v + by_one)[..., :, None, :] + (u * by_u)[..., None, :, :]

    def unproject(self, depth: Tensor) -> Tensor:
        """World points (..., H, W, 3) of a depth map (..., H, W). Infinite depth gives non-finite points."""
        if depth.shape[-2:] != (self.height, self.width):
            raise ValueError(f"depth is {tuple(depth.shape[-2:])}, the camera {(self.height, self.width)}")
        return self.centre[..., None, None, :] + depth[..., None] * self.rays()

    def project(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Project world points (..., N, 3).

        Returns:
            uv: (..., N, 2) in pixels; meaningless (but finite) where z <= 0.
            z: (..., N) depth.
        """
        R, t = self.cam_from_world[..., :3, :3], self.cam_from_world[..., :3, 3]
        return perspective(points @ R.transpose(-1, -2) + t[..., None, :], self.K)


def perspective(points_in_cam: Tensor, K: Tensor) -> tuple[Tensor, Tensor]:
    """Divide by depth: (..., N, 3) points in camera axes to (..., N, 2) pixels and (..., N) depth."""
    z = points_in_cam[..., 2]
    # Points at or behind the camera have no image; a safe divisor keeps their gradients finite.
    safe_z = torch.where(z.abs() < 1e-6, torch.full_like(z, 1e-6), z)
    uv = torch.einsum("...ij,...nj->...ni", K[..., :2, :], points_in_cam) / safe_z[..., None]
    return uv, z


def rigid_inverse(transform: Tensor) -> Tensor:
    """Inverse of a rigid transform (..., 4, 4) without a general matrix inverse."""
    R, t = transform[..., :3, :3], transform[..., :3, 3:]
    Rt = R.transpose(-1, -2)
    bottom = transform[..., 3:, :]
    return torch.cat([torch.cat([Rt, -Rt @ t], dim=-1), bottom], dim=-2)


def pose_from(position: Tensor, yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> Tensor:
    """cam_from_world (4, 4) of a camera at ``position`` (3,), turned by angles in radians.

    Positive yaw looks to the right, positive pitch looks up, positive roll turns the camera clockwise
    (the picture counter-clockwise). With all angles zero the camera looks along +z with y down.
    """
    cy, sy, cp, sp, cr, sr = (f(a) for a in (yaw, pitch, roll) for f in (math.cos, math.sin))
    world_from_yaw = position.new_tensor([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    yaw_from_pitch = position.new_tensor([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    pitch_from_cam = position.new_tensor([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    world_from_cam = torch.eye(4, dtype=position.dtype, device=position.device)
    world_from_cam[:3, :3] = world_from_yaw @ yaw_from_pitch @ pitch_from_cam
    world_from_cam[:3, 3] = position
    return rigid_inverse(world_from_cam)
