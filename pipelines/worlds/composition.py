"""Where a photographer would stand: many places are looked at roughly, the best few through a tiny viewfinder."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pipelines.worlds.march import cast
from render_refine.camera import Camera, pose_from

if TYPE_CHECKING:
    from pipelines.worlds.world import World

PLACES, FINALISTS = 40, 4


def compose(world: World, generator: torch.Generator, height: int, width: int) -> Camera:
    """A random camera of height x width pixels, above the ground, with near, far and (mostly) sky in the frame."""

    def uniform(low: float, high: float) -> float:
        return low + (high - low) * torch.rand((), generator=generator).item()

    draw, fov = uniform(0, 1), math.radians(uniform(45, 75))
    low, high = ((1.6, 4.0), (4.0, 80.0), (80.0, 700.0))[(draw > 0.2) + (draw > 0.65)]
    above = math.exp(uniform(math.log(low), math.log(high)))
    # The higher the viewpoint, the more it looks down.
    pitch = uniform(-0.12, 0.12) - 0.07 * math.log(above / 4)
    period, device = world.terrain.relief.period, world.sky.sun.device
    places = [(uniform(0, period), uniform(0, period), uniform(-math.pi, math.pi)) for _ in range(PLACES)]
    x, z, yaw = torch.tensor(places, device=device).T
    eye, score, skyline = prospect(world, x, z, yaw, above)
    views = []
    for k in score.topk(FINALISTS).indices.tolist():
        position = torch.stack([x[k], -eye[k], z[k]])
        pose = pose_from(position, yaw[k].item(), pitch + 0.35 * max(skyline[k].item(), 0.0))
        views.append(Camera.from_fov(height, width, fov, pose))
    return max(views, key=lambda camera: interest(world, camera))


def prospect(world: World, x: Tensor, z: Tensor, yaw: Tensor, above: float) -> tuple[Tensor, Tensor, Tensor]:
    """Eye height, worth and skyline (tangent of its elevation) of looking along ``yaw`` at x, z; all (N,)."""
    around = torch.linspace(0, 2 * math.pi, 9, device=x.device)
    nearby = world.ground_height(x[:, None] + 6 * around.sin(), z[:, None] + 6 * around.cos()).amax(1)
    eye = torch.maximum(world.ground_height(x, z) + above, nearby + 0.3 * min(above, 10.0))
    far = torch.logspace(1.3, 3.9, 26, device=x.device)
    there_x, there_z = x[:, None] + far * yaw.sin()[:, None], z[:, None] + far * yaw.cos()[:, None]
    ground = world.ground_height(there_x, there_z)
    rise = (ground - eye[:, None]) / far
    skyline, gap = rise.amax(1), rise[:, :14].amax(1)
    seen = torch.where(rise >= rise.cummax(1).values - 0.01, far, 20.0).amax(1)
    woods = world.terrain.base.at(there_x[:, :12], there_z[:, :12])[2].mean(1)
    sea = (ground <= 0).float()
    # Open nearby, a skyline that rises but is no wall, no tree before the lens, not only water.
    score = 3 * skyline.clamp_max(0.3) - 2 * (skyline - 0.4).clamp_min(0) - 8 * (gap + 0.02).clamp_min(0)
    score = score + 0.15 * seen.log() - 25 * woods / above - 0.15 * sea[:, :12].mean(1)
    return eye, score, skyline


def interest(world: World, camera: Camera) -> float:
    """How much a view has of near and far, less what it has too much or too little of sky."""
    small = camera.resize(15, 24)
    rays = small.rays().reshape(-1, 3)
    depth = cast(world.terrain, small.centre, rays, 1 / small.focal.item())
    land = depth[depth.isfinite()]
    if len(land) < 0.3 * len(depth):
        return -10.0
    sky = 1 - len(land) / len(depth)
    crowded = (land < 3.0).float().mean().item()
    return land.log().std().item() - 4 * abs(sky - min(max(sky, 0.12), 0.5)) - 3 * crowded
