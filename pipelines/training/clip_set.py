"""Training clips from procedural worlds: short camera paths with exact colour, labels, depth, flow and visibility.

Item k is drawn from seed + k alone, so a set can be made by several processes, interrupted and continued. Even items
are streets, odd ones landscapes. Held-out clips are those of ``HELD_OUT_SEED``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from pipelines.training.clip_paths import STEP, landscape_path, street_path
from pipelines.training.rendering import RenderedSet
from pipelines.training.world_set import TRAINING_SEED
from pipelines.worlds import Frame, Street, World, flow_between
from render_refine.camera import Camera
from render_refine.warp import sample
from vid2vid.classes import CLASSES

SKY = CLASSES.index("sky")
# Float16 depth is good to 1/2048; what an interpolated disparity adds on curved surfaces is more.
SAME_DEPTH = 0.03


@dataclass(frozen=True, eq=False)
class Clip:
    """T frames of one world at one light.

    Attributes:
        rgb: (T, 3, H, W) sRGB in [0, 1]; labels: (T, H, W) int64 indices of CLASSES; depth: (T, H, W) z in metres,
            inf for sky.
        cameras: one per frame.
        moving: (T, H, W) index into ``motions`` (K, 3), how far each point moves from one frame to the next, in metres
            along the world's axes; motion 0 is none.
    """

    rgb: Tensor
    labels: Tensor
    depth: Tensor
    cameras: list[Camera]
    moving: Tensor
    motions: Tensor

    def __len__(self) -> int:
        return len(self.rgb)

    def shift_back(self, t: int) -> Tensor:
        """(3, H, W) where the points of frame t were one frame before, less where they are, in metres."""
        return -self.motions[self.moving[t]].permute(2, 0, 1)

    def flow_back(self, t: int) -> Tensor:
        """(2, H, W) flow in pixels from frame t >= 1 to frame t - 1; NaN for what lay behind that camera."""
        return flow_between(self.depth[t], self.cameras[t], self.cameras[t - 1], self.shift_back(t))

    def visible_back(self, t: int) -> Tensor:
        """(H, W) bool: pixels of frame t >= 1 whose point is also seen, and not hidden, in frame t - 1."""
        return visible_between(self.frame(t), self.frame(t - 1), self.shift_back(t))

    def frame(self, t: int) -> Frame:
        """Frame t as the worlds render one, but for its motion."""
        return Frame(self.rgb[t], self.depth[t], self.labels[t], self.cameras[t])


def visible_between(frame: Frame, other: Frame, shift: Tensor) -> Tensor:
    """(H, W) bool: pixels of ``frame`` whose point is also seen, and not hidden, in ``other``.

    Args:
        shift: (3, H, W) how far each point of ``frame`` has moved when ``other`` is taken, metres along the axes.
    """
    camera, depth = frame.camera, frame.depth
    uv = flow_between(depth, camera, other.camera, shift).permute(1, 2, 0) + other.camera.pixel_centres()
    sky = depth.isinf()
    points = camera.unproject(torch.where(sky, torch.ones_like(depth), depth))
    _, z = other.camera.project((points + shift.permute(1, 2, 0)).reshape(-1, 3))
    expected = torch.where(sky, 0.0, 1 / z.reshape(depth.shape).clamp_min(1e-3))
    found, inside = sample((1 / other.depth)[None, None], uv[None])
    # One of the four pixels that a bilinear look-up mixes must show the same class.
    column, row = (uv.nan_to_num(0) - 0.5).floor().long().unbind(-1)
    same = torch.zeros_like(sky)
    for down in (0, 1):
        for right in (0, 1):
            i = (row + down).clamp(0, other.camera.height - 1)
            same |= other.labels[i, (column + right).clamp(0, other.camera.width - 1)] == frame.labels
    return inside[0, 0] & same & ((found[0, 0] - expected).abs() <= SAME_DEPTH * expected)


def render_clip(seed: int, index: int, frames: int, height: int, width: int) -> Clip:
    """Clip ``index`` of the set ``seed``."""
    generator = torch.Generator().manual_seed(seed + index)
    pictures: list[Frame] = []
    if index % 2 == 0:
        street = Street.random(generator)
        for k, camera in enumerate(street_path(street, generator, frames, height, width)):
            pictures.append(street.render(camera, STEP * k))
    else:
        world = World.random(generator)
        for camera in landscape_path(world, generator, frames, height, width):
            pictures.append(world.render(camera))
    velocity = torch.stack([torch.zeros(3, height, width) if p.velocity is None else p.velocity for p in pictures])
    rows = velocity.permute(0, 2, 3, 1).reshape(-1, 3)
    # Motion 0 is none, also where everything moves.
    distinct, moving = torch.cat([torch.zeros(1, 3), rows]).unique(dim=0, return_inverse=True)
    still = int(moving[0])
    order = torch.cat([torch.tensor([still]), torch.arange(len(distinct))[torch.arange(len(distinct)) != still]])
    return Clip(
        torch.stack([p.rgb for p in pictures]),
        torch.stack([p.labels for p in pictures]),
        torch.stack([p.depth for p in pictures]),
        [p.camera for p in pictures],
        order.argsort()[moving[1:]].reshape(frames, height, width),
        STEP * distinct[order],
    )


class ClipSet(RenderedSet):
    """A folder of rendered clips."""

    def __init__(
        self,
        folder: Path,
        count: int,
        *,
        frames: int = 16,
        height: int = 160,
        width: int = 256,
        seed: int = TRAINING_SEED,
    ) -> None:
        super().__init__(folder, count, f"clip_{seed}_{frames}x{height}x{width}", "rendering clips", "clip")
        self.frames, self.height, self.width, self.seed = frames, height, width, seed

    def render(self, index: int) -> dict[str, Tensor]:
        """Item ``index`` as it is kept."""
        clip = render_clip(self.seed, index, self.frames, self.height, self.width)
        tensors = {
            "rgb": (clip.rgb * 255).round().to(torch.uint8),
            "labels": clip.labels.to(torch.uint8),
            "depth": clip.depth.to(torch.float16),
            "K": torch.stack([c.K for c in clip.cameras]),
            "cam_from_world": torch.stack([c.cam_from_world for c in clip.cameras]),
            "motions": clip.motions,
        }
        if len(clip.motions) > 1:
            tensors["moving"] = clip.moving.to(torch.uint8 if len(clip.motions) <= 256 else torch.int16)
        return tensors

    def __getitem__(self, index: int) -> Clip:
        tensors = load_file(self.path(index))
        poses = zip(tensors["K"], tensors["cam_from_world"], strict=True)
        labels = tensors["labels"].long()
        return Clip(
            tensors["rgb"].float() / 255,
            labels,
            tensors["depth"].float(),
            [Camera(self.height, self.width, K, pose) for K, pose in poses],
            tensors["moving"].long() if "moving" in tensors else torch.zeros_like(labels),
            tensors["motions"],
        )
