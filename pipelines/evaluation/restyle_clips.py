"""Real clips at night and in winter: whether the shot is kept, and whether it flickers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pipelines.errors import InputError
from pipelines.evaluation import measures
from pipelines.evaluation.restyle_methods import RESTYLE, TRANSFERS, restyled, transferred
from pipelines.evaluation.restyle_night import NIGHT_PHOTOS, PHOTOS
from pipelines.evaluation.restyle_scores import edge_similarity, edges
from pipelines.evaluation.takes import SINGLE, Rows, mean, ratio
from pipelines.evaluation.view_scores import scarce
from pipelines.looks import HOURS, SEASONS, Look
from pipelines.media.images import read_image
from pipelines.media.sequences import sequence_files
from pipelines.perception.segmentation import Segments
from pipelines.restyle import RestylePipeline
from vid2vid.classes import CLASSES

SKY = CLASSES.index("sky")
EDGES_EVERY = 4  # frames of a clip whose edges are compared
FAR_APART = "_1hz"  # ends the name of a clip whose frames are a second apart: no flow leads from one to the next


@dataclass(frozen=True)
class Wish:
    """A moment, and the photograph of it that colours are transferred from."""

    hour: float | None
    season: float | None
    photo: str


# The winter has a free licence too: a glacier and snowy mountains.
WISHES = {
    "night": Wish(HOURS["night"], None, NIGHT_PHOTOS[0]),
    "winter": Wish(None, SEASONS["winter"], "deepin_Perito_Moreno_Glacier.jpg"),
}


@dataclass(frozen=True, eq=False)
class Clip:
    """A real clip and what is known of it.

    Attributes:
        name: of its folder.
        rgb: (T, 3, H, W) in [0, 1]; labels: (T, H, W) as the segmenter sees them.
        motion: flow and visibility as ``measures.flicker`` takes them, None where frames are too far apart.
    """

    name: str
    rgb: Tensor
    labels: Tensor
    motion: tuple[Tensor, Tensor] | None

    @staticmethod
    def read(folder: Path, frames: int, segmenter: Segments) -> Clip:
        """The first ``frames`` of a folder of pictures.

        Raises:
            InputError: there are none, or one is damaged.
        """
        rgb = torch.stack([read_image(file) for file in sequence_files(folder, (".jpg",), "pictures")[:frames]])
        labels = torch.stack([segmenter.segment(frame) for frame in rgb])
        moves = len(rgb) > 1 and not folder.name.endswith(FAR_APART)
        return Clip(folder.name, rgb, labels, measures.real_motion(rgb) if moves else None)


def clip_folders(data: Path) -> list[Path]:
    """The clips in a folder of data sets.

    Raises:
        InputError: there are none.
    """
    folder = data / "clips"
    found = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    if not found:
        raise InputError(f"{data}: expected a folder of data sets, with folders of frames in clips")
    return found


def takes(pipeline: RestylePipeline, clip: Clip, wish: Wish, data: Path) -> dict[str, Tensor]:
    """The clip as each method shows it, (T, 3, H, W) uint8."""
    look = Look.at(pipeline.style(hour=wish.hour, season=wish.season), 1.0, wish.hour, wish.season)
    reference = read_image(data / PHOTOS / wish.photo)
    labels = list(clip.labels)
    return {
        **{method: transferred(method, clip.rgb, reference) for method in TRANSFERS},
        SINGLE: restyled(pipeline, clip.rgb, look, labels, temporal=False),
        RESTYLE: restyled(pipeline, clip.rgb, look, labels),
    }


def judge(clip: Clip, shown: dict[str, Tensor]) -> Rows:
    """Figures by method, of one clip in one light."""
    rows: Rows = {}
    flicker, flicker_by_edges = warp_error(clip, clip.rgb)
    for method, pictures in shown.items():
        frames = pictures.float() / 255
        found, found_by_edges = warp_error(clip, frames)
        rows[method] = {
            "edges": kept_edges(clip, frames),
            "edges, same light": kept_edges(clip, frames, same_light=True),
            "warp error / source": ratio(found, flicker),
            "warp error / source, by edges": ratio(found_by_edges, flicker_by_edges),
        }
    return rows


def warp_error(clip: Clip, frames: Tensor) -> tuple[float, float]:
    """Flicker of frames (T, 3, H, W) that move as the clip does; and divided by the mean strength of their edges."""
    if clip.motion is None:
        return math.nan, math.nan
    found = measures.flicker(frames, *clip.motion)
    return found, ratio(found, float(edges(frames).mean()))


def kept_edges(clip: Clip, frames: Tensor, same_light: bool = False) -> float:
    """``edge_similarity`` outside the sky, mean over some frames (T, 3, H, W)."""
    found = []
    for t in range(0, len(frames), EDGES_EVERY):
        mask = clip.labels[t] != SKY
        similarity = math.nan if scarce(mask) else edge_similarity(clip.rgb[t], frames[t], mask, same_light)
        found.append(similarity)
    return mean(found)


def changed_at_strength_0(pipeline: RestylePipeline, clip: Clip) -> int:
    """How many frames differ in any bit when a look has no strength."""
    looks = [Look(pipeline.style(hour=HOURS["night"]), 0.0)] * len(clip.rgb)
    shown = pipeline.stream(clip.rgb, looks, clip.labels)
    same = [torch.equal(found.cpu(), rgb) for found, rgb in zip(shown, clip.rgb, strict=True)]
    return same.count(False)
