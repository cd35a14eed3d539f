"""Flights over held-out worlds whose true frames are known: the autopilot steers by true depth, the world renders.

Item k is drawn from ``HELD_OUT_SEED`` + k alone. The way does not depend on any model, so that all are shown the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from infinite_view.autopilot import SIGHT, Autopilot
from infinite_view.flight import KEYFRAME_EVERY
from infinite_view.scene import Scene
from pipelines.evaluation.takes import levels
from pipelines.training.rendering import RenderedSet
from pipelines.training.world_set import HELD_OUT_SEED
from pipelines.worlds import World
from render_refine.camera import Camera, rigid_inverse

STEPS = (5, 20, 50)  # rounds of the loop, of `KEYFRAME_EVERY` frames each, after which a flight is compared
LAST = KEYFRAME_EVERY * STEPS[-1]  # frame
ROOM = 0.2  # of the height above ground at the start, which the way must keep


@dataclass(frozen=True, eq=False)
class TrueFlight:
    """What a flight ought to show.

    Attributes:
        rgb: (1 + len(STEPS), 3, H, W) in [0, 1], the photo and the frames after `STEPS`.
        depth: (1 + len(STEPS), H, W) their z in metres, inf for sky.
        cameras: of all frames, 0 to `LAST`, in metres.
    """

    rgb: Tensor
    depth: Tensor
    cameras: list[Camera]


def render_flight(index: int, height: int, width: int) -> TrueFlight:
    """Item ``index``: a random world, and a way through it that stays above the ground."""
    generator = torch.Generator().manual_seed(HELD_OUT_SEED + index)
    world = World.random(generator)
    cameras: list[Camera] = []
    while not cameras or not clear(world, cameras):
        cameras = way(world, world.random_camera(generator, height, width))
    frames = [world.render(cameras[KEYFRAME_EVERY * step], antialias=True) for step in (0, *STEPS)]
    return TrueFlight(torch.stack([f.rgb for f in frames]), torch.stack([f.depth for f in frames]), cameras)


def way(world: World, first: Camera) -> list[Camera]:
    """Where the autopilot goes from ``first`` when it sees true depth: frames 0 to `LAST`."""
    fov = 2 * math.atan(0.5 * max(first.height, first.width) / float(first.focal))
    pilot = Autopilot(Scene.of(world.render(first).depth, fov), LAST + 1, meander=0.0)
    # The pilot's world has the start frame at ``photo_pose``.
    home = rigid_inverse(pilot.photo_pose) @ first.cam_from_world
    cameras = [first]
    flown = pilot.next_cameras(0, 1, first.resize(*SIGHT).at(pilot.photo_pose), torch.ones(SIGHT))
    for start in range(1, LAST + 1, KEYFRAME_EVERY):
        seen = world.render(cameras[-1].resize(*SIGHT)).depth
        flown = pilot.next_cameras(start, KEYFRAME_EVERY, flown[-1], seen)
        cameras += [first.at(camera.cam_from_world @ home) for camera in flown]
    return cameras


def clear(world: World, cameras: list[Camera]) -> bool:
    """Whether all cameras keep some of the first one's height above the ground."""
    x, y, z = torch.stack([camera.centre for camera in cameras]).unbind(dim=1)
    above = -y - world.ground_height(x, z)
    return bool((above >= ROOM * above[0]).all())


class TrueFlights(RenderedSet):
    """A folder of rendered flights."""

    def __init__(self, folder: Path, count: int, height: int, width: int) -> None:
        super().__init__(folder, count, f"flights_{HELD_OUT_SEED}_{height}x{width}", "rendering flights", "world")
        self.height, self.width = height, width

    def render(self, index: int) -> dict[str, Tensor]:
        """Item ``index`` as it is kept."""
        item = render_flight(index, self.height, self.width)
        tensors = {
            "rgb": levels(item.rgb),
            "depth": item.depth,
            "K": item.cameras[0].K,
            "cam_from_world": torch.stack([camera.cam_from_world for camera in item.cameras]),
        }
        return tensors

    def __getitem__(self, index: int) -> TrueFlight:
        tensors = load_file(self.path(index))
        lens = Camera(self.height, self.width, tensors["K"], tensors["cam_from_world"][0])
        cameras = [lens.at(pose) for pose in tensors["cam_from_world"]]
        return TrueFlight(tensors["rgb"].float() / 255, tensors["depth"], cameras)
