"""Training data from procedural worlds: pairs of exact frames, rendered once and kept in a folder.

Item k is drawn from seed + k alone, so a set can be made by several processes, interrupted and continued,
and is the same on every machine. Held-out worlds are those from `HELD_OUT_SEED` on.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from infinite_view.virtual_views import random_away
from pipelines.training.rendering import RenderedSet
from pipelines.worlds import Frame, World
from render_refine.camera import Camera

TRAINING_SEED = 0
HELD_OUT_SEED = 1_000_000


@dataclass(frozen=True, eq=False)
class Pair:
    """Two exact frames of one world; the second is seen from where a flight came from."""

    target: Frame
    source: Frame


def render_pair(seed: int, index: int, height: int, width: int) -> Pair:
    """World pair ``index`` of the set ``seed``."""
    generator = torch.Generator().manual_seed(seed + index)
    world = World.random(generator)
    camera = world.random_camera(generator, height, width)
    target = world.render(camera)
    away = random_away(camera, target.depth, generator)
    position = away.centre
    # A camera inside a hill is lifted out of it.
    floor = float(world.ground_height(position[:1], position[2:])) + 1.0
    if -float(position[1]) < floor:
        lift = torch.eye(4)
        lift[1, 3] = floor + float(position[1])
        away = away.at(away.cam_from_world @ lift)
    return Pair(target, world.render(away))


class WorldSet(RenderedSet):
    """A folder of rendered pairs."""

    def __init__(
        self, folder: Path, count: int, *, height: int = 160, width: int = 256, seed: int = TRAINING_SEED
    ) -> None:
        super().__init__(folder, count, f"{seed}_{height}x{width}", "rendering worlds", "pair")
        self.height, self.width, self.seed = height, width, seed

    def render(self, index: int) -> dict[str, Tensor]:
        """Item ``index`` as it is kept."""
        pair = render_pair(self.seed, index, self.height, self.width)
        tensors, cameras = {}, {}
        for name, frame in (("target", pair.target), ("source", pair.source)):
            tensors[f"{name}.rgb"] = (frame.rgb * 255).round().to(torch.uint8)
            tensors[f"{name}.depth"] = frame.depth
            tensors[f"{name}.labels"] = frame.labels.to(torch.uint8)
            cameras[f"{name}.K"] = frame.camera.K.tolist()
            cameras[f"{name}.cam_from_world"] = frame.camera.cam_from_world.tolist()
        exact = {name: torch.tensor(value, dtype=torch.float64) for name, value in cameras.items()}
        return tensors | exact

    def __getitem__(self, index: int) -> Pair:
        tensors = load_file(self.path(index))
        return Pair(self._frame(tensors, "target"), self._frame(tensors, "source"))

    def _frame(self, tensors: dict[str, Tensor], name: str) -> Frame:
        K, pose = (tensors[f"{name}.{key}"].float() for key in ("K", "cam_from_world"))
        camera = Camera(self.height, self.width, K, pose)
        rgb = tensors[f"{name}.rgb"].float() / 255
        return Frame(rgb, tensors[f"{name}.depth"], tensors[f"{name}.labels"].long(), camera)
