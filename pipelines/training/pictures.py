"""Sets of pictures with something known at every pixel."""

from __future__ import annotations

from typing import Literal, Protocol

from torch import Tensor

from pipelines.training.view_set import VIEWS, ViewSet
from pipelines.training.world_set import WorldSet


class Pictures(Protocol):
    """Pictures (3, H, W) in [0, 1] and what is true there: labels (H, W) int64, 255 for none; or depth (H, W)."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> tuple[Tensor, Tensor]: ...


class Together:
    """Several sets as one, in which each has the same part, however few pictures it holds."""

    def __init__(self, *sets: Pictures) -> None:
        self.sets = sets

    def __len__(self) -> int:
        return len(self.sets) * max(map(len, self.sets))

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        turn, which = divmod(index, len(self.sets))
        return self.sets[which][turn % len(self.sets[which])]


class WorldFrames:
    """Both frames of the pairs of a set of worlds, with their ``truth``: "depth" or "labels"."""

    def __init__(self, worlds: WorldSet, truth: Literal["depth", "labels"]) -> None:
        self.worlds, self.truth = worlds, truth

    def __len__(self) -> int:
        return 2 * self.worlds.count

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        pair = self.worlds[index // 2]
        frame = pair.source if index % 2 else pair.target
        return frame.rgb, getattr(frame, self.truth)


class PlaceDepth:
    """All frames of a set of places, with depth."""

    def __init__(self, places: ViewSet) -> None:
        self.places = places

    def __len__(self) -> int:
        return VIEWS * len(self.places)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        views = self.places[index // VIEWS]
        return views.rgb[index % VIEWS], views.depth[index % VIEWS]
