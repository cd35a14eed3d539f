"""Training data for new views: a few frames of one still moment of a world, from cameras close to one another.

Item k is drawn from seed + k alone, so a set can be made by several processes, interrupted and continued. The kinds
take turns: street, landscape, interior. Held-out items are those of ``HELD_OUT_SEED``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from pipelines.training.rendering import RenderedSet
from pipelines.training.world_set import TRAINING_SEED
from pipelines.worlds import Frame, Interior, Street, World
from render_refine.camera import Camera, pose_from
from render_refine.depth_maps import near_depth

KINDS = ("street", "landscape", "interior")
VIEWS = 3  # of an item; every ordered pair of them is a training pair
TRIES = 20


@dataclass(frozen=True, eq=False)
class Views:
    """V frames of one place: rgb (V, 3, H, W) in [0, 1], depth (V, H, W) z in metres, inf for sky; and the cameras."""

    rgb: Tensor
    depth: Tensor
    cameras: list[Camera]


def kind_of(index: int) -> str:
    """What item ``index`` shows."""
    return KINDS[index % len(KINDS)]


def render_views(seed: int, index: int, height: int, width: int) -> Views:
    """Item ``index`` of the set ``seed``."""
    generator = torch.Generator().manual_seed(seed + index)
    first, render, clear = SCENES[kind_of(index)](generator, height, width)
    frames = [render(first)]
    near = near_depth(frames[0].depth)
    for _ in range(VIEWS - 1):
        frames.append(render(_nearby(first, near, clear, generator)))
    return Views(
        torch.stack([f.rgb for f in frames]), torch.stack([f.depth for f in frames]), [f.camera for f in frames]
    )


Scene = tuple[Camera, Callable[[Camera], Frame], Callable[[Tensor], bool]]


def _street(generator: torch.Generator, height: int, width: int) -> Scene:
    street = Street.random(generator)
    camera = street.random_camera(generator, height, width)
    return camera, lambda c: street.render(c, 0.0), lambda p: street.clear(p[None], 0.0, room=0.5)


def _landscape(generator: torch.Generator, height: int, width: int) -> Scene:
    world = World.random(generator)
    camera = world.random_camera(generator, height, width)
    room = 0.3 * float(-camera.centre[1] - world.ground_height(camera.centre[:1], camera.centre[2:]))

    def clear(point: Tensor) -> bool:
        return float(-point[1]) > float(world.ground_height(point[:1], point[2:])) + room

    return camera, world.render, clear


def _interior(generator: torch.Generator, height: int, width: int) -> Scene:
    interior = Interior.random(generator)
    camera = interior.random_camera(generator, height, width)
    return camera, lambda c: interior.render(c, antialias=True), lambda p: interior.clear(p[None])


SCENES: dict[str, Callable[[torch.Generator, int, int], Scene]] = {
    "street": _street,
    "landscape": _landscape,
    "interior": _interior,
}


def _nearby(first: Camera, near: Tensor, clear: Callable[[Tensor], bool], generator: torch.Generator) -> Camera:
    """A camera as far from ``first`` as an orbit or a dolly goes, in a place that is ``clear``."""

    def uniform(low: float, high: float) -> float:
        return low + (high - low) * torch.rand((), generator=generator).item()

    for attempt in range(TRIES):
        # The harder it is to find room, the nearer to home.
        reach = float(near) * uniform(0.1, 1.0) * 0.85**attempt
        position = reach * torch.tensor([uniform(-0.6, 0.6), uniform(-0.25, 0.25), uniform(-0.6, 0.6)])
        yaw, pitch, roll = (uniform(-1, 1) * math.radians(d) for d in (12, 5, 2))
        camera = first.at(pose_from(position, yaw, pitch, roll) @ first.cam_from_world)
        if clear(camera.centre):
            return camera
    return first.at(pose_from(torch.zeros(3), yaw, pitch, roll) @ first.cam_from_world)


class ViewSet(RenderedSet):
    """A folder of rendered items."""

    def __init__(
        self, folder: Path, count: int, *, height: int = 160, width: int = 256, seed: int = TRAINING_SEED
    ) -> None:
        super().__init__(folder, count, f"views_{seed}_{height}x{width}", "rendering views", "place")
        self.height, self.width, self.seed = height, width, seed

    def render(self, index: int) -> dict[str, Tensor]:
        """Item ``index`` as it is kept."""
        views = render_views(self.seed, index, self.height, self.width)
        tensors = {
            "rgb": (views.rgb * 255).round().to(torch.uint8),
            "depth": views.depth,
            "K": torch.stack([c.K for c in views.cameras]),
            "cam_from_world": torch.stack([c.cam_from_world for c in views.cameras]),
        }
        return tensors

    def __getitem__(self, index: int) -> Views:
        tensors = load_file(self.path(index))
        poses = zip(tensors["K"], tensors["cam_from_world"], strict=True)
        cameras = [Camera(self.height, self.width, K, pose) for K, pose in poses]
        return Views(tensors["rgb"].float() / 255, tensors["depth"], cameras)
