"""Exact correspondences between two cameras from depth: the ground truth that the methods are trained and tested on."""

from __future__ import annotations

import torch
from torch import Tensor

from render_refine.camera import Camera


def flow_between(depth: Tensor, camera_a: Camera, camera_b: Camera, shift: Tensor | None = None) -> Tensor:
    """Where each pixel of A lies in B, as a displacement.

    Args:
        depth: (H, W) depth of A in metres; inf is sky, which moves by rotation only.
        shift: (3, H, W) how far each point itself moves between the two moments, metres along the world's axes.

    Returns:
        (2, H, W) flow (du, dv) in pixels; NaN where the point lies behind B.
    """
    rays = camera_a.rays()
    sky = depth.isinf()
    finite = torch.where(sky, torch.ones_like(depth), depth)[..., None]
    # A point at infinity is its direction: the camera's position no longer counts.
    points = torch.where(sky[..., None], camera_b.centre + rays, camera_a.centre + finite * rays)
    if shift is not None:
        points = points + torch.where(sky[..., None], 0.0, shift.permute(1, 2, 0))
    uv, z = camera_b.project(points.reshape(-1, 3))
    flow = uv.reshape(*depth.shape, 2) - camera_a.pixel_centres()
    return torch.where((z > 0).reshape(depth.shape)[..., None], flow, torch.nan).permute(2, 0, 1)
