"""Training data for long flights: ways through procedural worlds with some of the true frames.

Item k is drawn from ``FLIGHT_SEED`` + k alone, below `HELD_OUT_SEED`, so no world of an evaluation is among them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from infinite_view.flight import KEYFRAME_EVERY
from pipelines.evaluation.flight_worlds import clear, way
from pipelines.training.rendering import RenderedSet
from pipelines.worlds import World
from render_refine.camera import Camera

FLIGHT_SEED = 500_000
TRUTHS = (0, 6, 14, 26, 50)  # keyframes of which the true frames are there; all spans between them differ


@dataclass(frozen=True, eq=False)
class WorldFlight:
    """A way through a world.

    Attributes:
        cameras: of all keyframes, 0 to the last of `TRUTHS`, in metres.
        rgb: (len(TRUTHS), 3, H, W) in [0, 1], what is seen at `TRUTHS`.
        depth: (len(TRUTHS), H, W) its z in metres, inf for sky.
    """

    cameras: list[Camera]
    rgb: Tensor
    depth: Tensor


class FlightSet(RenderedSet):
    """A folder of rendered flights."""

    def __init__(self, folder: Path, count: int, *, height: int = 160, width: int = 256) -> None:
        super().__init__(folder, count, f"way_{FLIGHT_SEED}_{height}x{width}", "rendering flights", "world")
        self.height, self.width = height, width

    def render(self, index: int) -> dict[str, Tensor]:
        """Item ``index`` as it is kept."""
        generator = torch.Generator().manual_seed(FLIGHT_SEED + index)
        world = World.random(generator)
        cameras: list[Camera] = []
        while not cameras or not clear(world, cameras):
            cameras = way(world, world.random_camera(generator, self.height, self.width))
        cameras = cameras[::KEYFRAME_EVERY]
        frames = [world.render(cameras[keyframe], antialias=True) for keyframe in TRUTHS]
        tensors = {
            "rgb": (torch.stack([frame.rgb for frame in frames]) * 255).round().to(torch.uint8),
            "depth": torch.stack([frame.depth for frame in frames]),
            "K": cameras[0].K,
            "cam_from_world": torch.stack([camera.cam_from_world for camera in cameras]),
        }
        return tensors

    def __getitem__(self, index: int) -> WorldFlight:
        tensors = load_file(self.path(index))
        lens = Camera(self.height, self.width, tensors["K"], tensors["cam_from_world"][0])
        cameras = [lens.at(pose) for pose in tensors["cam_from_world"]]
        return WorldFlight(cameras, tensors["rgb"].float() / 255, tensors["depth"])
