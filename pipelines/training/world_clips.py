"""Training clips cut from rendered worlds, whose motion is exact: the camera's, and that of cars and people."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pipelines.training.augment import chance
from pipelines.training.clip_batch import Match
from pipelines.training.clip_set import Clip, ClipSet
from pipelines.training.world_set import WorldSet
from pipelines.worlds import Frame
from render_refine.warp import visible_motion
from vid2vid.classes import moves

PAIRS_SHARE = 0.4  # of single frames; pairs show landscapes only, clips also streets


@dataclass(frozen=True, eq=False)
class WorldClip:
    """Some frames of one clip, by their numbers."""

    clip: Clip
    order: list[int]

    @property
    def rgb(self) -> Tensor:
        return self.clip.rgb[self.order]

    @property
    def labels(self) -> Tensor:
        return self.clip.labels[self.order]

    def match(self, frame: int, other: int) -> Match:
        """The exact motion; between frames that are not neighbours only of what stands still."""
        a, b = self.order[frame], self.order[other]
        labels = self.clip.labels[a]
        still = ~moves(labels)
        if a - b == 1:
            flow, visible = self.clip.flow_back(a), self.clip.visible_back(a)
        else:
            cameras = self.clip.cameras
            flow, visible = visible_motion(self.clip.depth[a], cameras[a], self.clip.depth[b], cameras[b])
            visible = visible & still
        flow = torch.where(visible, flow.nan_to_num(), 0.0)
        return Match(flow, visible[None], (visible & still)[None])


@dataclass(frozen=True, eq=False)
class WorldClipBatch:
    """A ``ClipBatch`` of ``WorldClip``."""

    clips: list[WorldClip]

    @property
    def rgb(self) -> Tensor:
        return torch.stack([clip.rgb for clip in self.clips])

    @property
    def labels(self) -> Tensor:
        return torch.stack([clip.labels for clip in self.clips])

    def match(self, frame: int, other: int) -> Match:
        """As ``WorldClip.match``, stacked."""
        matches = [clip.match(frame, other) for clip in self.clips]
        return Match(*(torch.stack(parts) for parts in zip(*matches, strict=True)))


class WorldClips:
    """A ``ClipSource`` over a set of rendered clips; single frames come from pairs of frames too, if there are any."""

    def __init__(self, clips: ClipSet, pairs: WorldSet | None = None) -> None:
        self.clips, self.pairs = clips, pairs
        self.longest = clips.frames

    def batch(self, clips: int, frames: int, generator: torch.Generator) -> WorldClipBatch:
        """Draw ``clips`` clips of ``frames`` consecutive frames."""
        return WorldClipBatch([self._one(frames, generator) for _ in range(clips)])

    def _one(self, frames: int, generator: torch.Generator) -> WorldClip:
        if frames == 1 and self.pairs is not None and chance(generator, PAIRS_SHARE):
            pair = self.pairs[int(torch.randint(self.pairs.count, (), generator=generator))]
            return WorldClip(_clip_of_one(pair.target if chance(generator, 0.5) else pair.source), [0])
        clip = self.clips[int(torch.randint(self.clips.count, (), generator=generator))]
        start = int(torch.randint(len(clip) - frames + 1, (), generator=generator))
        return WorldClip(clip, list(range(start, start + frames)))


def _clip_of_one(frame: Frame) -> Clip:
    still = torch.zeros_like(frame.labels)[None]
    return Clip(frame.rgb[None], frame.labels[None], frame.depth[None], [frame.camera], still, torch.zeros(1, 3))
