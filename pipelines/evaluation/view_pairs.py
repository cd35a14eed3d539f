"""The pairs on which new views are measured: held-out worlds, and real photographs with known cameras."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from pipelines.errors import InputError
from pipelines.evaluation.view_methods import Pair, fitted_unit, seen_from
from pipelines.training.posed_set import PosedClip, posed_clips
from pipelines.training.view_set import KINDS, Views, ViewSet
from pipelines.training.world_set import HELD_OUT_SEED
from render_refine.depth_maps import near_depth

Depth = Callable[[Tensor], Tensor]  # a photo (3, H, W) to depth (H, W), its nearest tenth at 1

SHORT_SIDE = 160  # pixels of real frames; half of those in posed/re10k_clips
WORLD_SIZE = (160, 256)


@dataclass(frozen=True)
class Plan:
    """Which frames of a real clip are compared: ``gaps`` apart from each of ``firsts``, there and back.

    ``fit`` is the pair that tells the clip's unit of length. Neither of its frames is in any other pair.
    """

    gaps: tuple[int, ...]
    firsts: tuple[int, ...]
    fit: tuple[int, int]

    @property
    def length(self) -> int:
        """Frames that a clip must have."""
        return 1 + max(*self.fit, max(self.firsts) + max(self.gaps))

    def pairs(self, gap: int) -> list[tuple[int, int]]:
        """Sources and targets."""
        there = [(first, first + gap) for first in self.firsts]
        return [*there, *((b, a) for a, b in there)]


RE10K = Plan(gaps=(5, 10), firsts=(0, 7, 14), fit=(9, 16))
FOX = Plan(gaps=(1,), firsts=(0, 6, 12, 18, 24, 30, 36, 42), fit=(3, 4))


@dataclass(frozen=True, eq=False)
class ClipPairs:
    """The pairs of a real clip by their gap, and the unit of length that was fitted."""

    unit: float
    by_gap: dict[int, list[Pair]]


def pairs_of_clip(clip: PosedClip, plan: Plan, depth: Depth) -> ClipPairs:
    """All pairs of a plan, in a unit of length that is one for the whole clip.

    Raises:
        InputError: the clip is too short.
    """
    if len(clip) < plan.length:
        raise InputError(f"{clip.folder}: found {len(clip)} frames, expected at least {plan.length}")
    known: dict[int, Tensor] = {}

    def depth_of(index: int) -> Tensor:
        if index not in known:
            known[index] = depth(clip.frame(index))
        return known[index]

    a, b = plan.fit
    unit = fitted_unit(clip.frame(a), clip.frame(b), depth_of(a), clip.cameras[a], clip.cameras[b])

    def pair(source: int, target: int) -> Pair:
        cameras = seen_from(clip.cameras[source], clip.cameras[target], unit)
        return Pair(clip.frame(source), clip.frame(target), *cameras, depth_of(source))

    return ClipPairs(unit, {gap: [pair(*ends) for ends in plan.pairs(gap)] for gap in plan.gaps})


def held_out_worlds(cache: Path, places: int) -> ViewSet:
    """``places`` of each kind, rendered when they are not in the cache."""
    views = ViewSet(cache, places * len(KINDS), height=WORLD_SIZE[0], width=WORLD_SIZE[1], seed=HELD_OUT_SEED)
    views.make()
    return views


def pairs_of_place(place: Views, depth: Depth) -> list[Pair]:
    """The first view of a place with each of the others, at true scale."""
    source, unit = place.rgb[0], float(near_depth(place.depth[0]))
    predicted = depth(source)
    return [
        Pair(source, target, *seen_from(place.cameras[0], camera, unit), predicted, place.depth[0] / unit)
        for target, camera in zip(place.rgb[1:], place.cameras[1:], strict=True)
    ]


def clip_folders(data: Path) -> dict[Path, Plan]:
    """The real clips in a folder of data sets, and what is compared of each; the fox only if its folder is there.

    Raises:
        InputError: there is no posed/re10k_clips with clips in it.
    """
    folder = data / "posed" / "re10k_clips"
    if not folder.is_dir():
        raise InputError(f"{data}: expected a folder of data sets, with posed/re10k_clips in it")
    fox = data / "posed" / "fox"
    return dict.fromkeys(posed_clips(folder), RE10K) | ({fox: FOX} if fox.is_dir() else {})
