"""Short clips for training, each with the exact motion between any two of its frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from pipelines.training.augment import chance, uniform


class Match(NamedTuple):
    """Where the pixels of one frame are in another.

    Attributes:
        flow: (B, 2, H, W) in pixels.
        visible: (B, 1, H, W) bool, the point is seen there too.
        still: (B, 1, H, W) bool, it is visible and belongs to what does not move by itself.
    """

    flow: Tensor
    visible: Tensor
    still: Tensor


class ClipBatch(Protocol):
    """B clips of T frames."""

    @property
    def rgb(self) -> Tensor:
        """(B, T, 3, H, W) in [0, 1]."""

    @property
    def labels(self) -> Tensor:
        """(B, T, H, W) ids of CLASSES, 255 for none."""

    def match(self, frame: int, other: int) -> Match:
        """From the pixels of ``frame`` to ``other``."""


class ClipSource(Protocol):
    """Where a recipe gets its clips; none is longer than ``longest`` frames."""

    @property
    def longest(self) -> int: ...

    def batch(self, clips: int, frames: int, generator: torch.Generator) -> ClipBatch:
        """Draw clips."""


class Labelled(Protocol):
    """A list of labelled photographs: rgb (3, H, W) and labels (H, W)."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]: ...


@dataclass(frozen=True, eq=False)
class PannedStills:
    """Clips seen through a window that moves, turns and zooms over single photographs; there is no parallax.

    Attributes:
        rgb, labels: as in ``ClipBatch``.
        still_from_frame: (B, T, 3, 3) homogeneous pixel coordinates of a frame to those of its photograph.
    """

    rgb: Tensor
    labels: Tensor
    still_from_frame: Tensor

    def match(self, frame: int, other: int) -> Match:
        """Exact: a photograph does not move."""
        height, width = self.rgb.shape[-2:]
        grid = _pixel_grid(height, width)
        there = torch.linalg.solve(self.still_from_frame[:, other], self.still_from_frame[:, frame])
        moved = torch.einsum("bij,hwj->bihw", there, grid)[:, :2]
        inside = (moved > 0).all(dim=1) & (moved[:, 0] < width) & (moved[:, 1] < height)
        flow = moved - grid[..., :2].permute(2, 0, 1)
        return Match(flow, inside[:, None], inside[:, None])


class StillClips:
    """A ``ClipSource`` over labelled photographs."""

    longest = 16

    def __init__(self, stills: Labelled, height: int, width: int) -> None:
        self.stills, self.height, self.width = stills, height, width

    def batch(self, clips: int, frames: int, generator: torch.Generator) -> PannedStills:
        """Draw ``clips`` clips of ``frames`` frames."""
        drawn = [self._clip(frames, generator) for _ in range(clips)]
        return PannedStills(*(torch.stack(parts) for parts in zip(*drawn, strict=True)))

    def _clip(self, frames: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        rgb, labels = self.stills[int(torch.randint(len(self.stills), (), generator=generator))]
        if chance(generator, 0.5):
            rgb, labels = rgb.flip(-1), labels.flip(-1)
        smallest = 1.06 * max(self.height / rgb.shape[-2], self.width / rgb.shape[-1])
        rgb, labels = _resized(rgb, labels, min(1.0, uniform(generator, smallest, 1.25)))
        windows = self._windows(frames, rgb.shape[-2], rgb.shape[-1], generator)
        grid = _pixel_grid(self.height, self.width)
        at = torch.einsum("tij,hwj->thwi", windows, grid)[..., :2]
        at = at * 2 / at.new_tensor([rgb.shape[-1], rgb.shape[-2]]) - 1
        every = (frames, -1, -1, -1)
        seen = F.grid_sample(rgb[None].expand(every), at, padding_mode="border", align_corners=False)
        ids = labels[None, None].to(rgb.dtype).expand(every)
        ids = F.grid_sample(ids, at, mode="nearest", padding_mode="border", align_corners=False)
        return seen, ids[:, 0].long(), windows

    def _windows(self, frames: int, height: int, width: int, generator: torch.Generator) -> Tensor:
        """(T, 3, 3) from pixels of the frames to those of a photograph of height x width; they stay inside."""
        time = torch.arange(frames) - uniform(generator, 0, max(frames - 1, 0))
        turn = time * uniform(generator, -0.006, 0.006) + uniform(generator, -0.03, 0.03)
        most = min(height / self.height, width / self.width) / 1.06
        zoom = (torch.exp(-time * uniform(generator, -0.01, 0.03)) * uniform(generator, 0.9, 1.0) * most).clamp(
            0.5, most
        )
        windows = torch.zeros(frames, 3, 3)
        windows[:, 0, 0] = windows[:, 1, 1] = zoom * turn.cos()
        windows[:, 0, 1], windows[:, 1, 0] = -zoom * turn.sin(), zoom * turn.sin()
        windows[:, 2, 2] = 1
        middle = torch.tensor([self.width / 2, self.height / 2, 1.0])
        for axis, (full, side) in enumerate(((width, self.width), (height, self.height))):
            free = (full - zoom * side * 1.05).clamp_min(0) / 2
            place = uniform(generator, -1, 1) + time * uniform(generator, -4, 4) / full
            centre = full / 2 + place.clamp(-1, 1) * free
            windows[:, axis, 2] = centre - windows[:, axis, :2] @ middle[:2]
        return windows


def _resized(rgb: Tensor, labels: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    size = (round(rgb.shape[-2] * scale), round(rgb.shape[-1] * scale))
    smaller = F.interpolate(rgb[None], size=size, mode="bilinear", antialias=True, align_corners=False)[0]
    ids = F.interpolate(labels[None, None].to(rgb.dtype), size=size, mode="nearest-exact")[0, 0]
    return smaller.clamp(0, 1), ids.long()


def _pixel_grid(height: int, width: int) -> Tensor:
    v, u = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    return torch.stack([u, v, torch.ones_like(u)], dim=-1)
