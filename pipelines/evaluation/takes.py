"""Held-out clips as every method paints them, and how each is judged."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from pipelines.evaluation import measures
from pipelines.footage import FootagePipeline
from pipelines.perception.agreement import mean_iou, pixel_accuracy
from pipelines.perception.segmentation import Segments
from pipelines.progress import progress
from pipelines.training.camvid import HELD_OUT, CamVid
from pipelines.training.clip_set import Clip
from render_refine.metrics import psnr, sliced_wasserstein, ssim
from vid2vid.footage import Frame, Geometry, Shot

METHODS = TRUE, SINGLE, LABELS, GUIDED = ("true frames", "single frames", "labels only", "guided")
TEXTURE_EVERY = 4  # frames of a clip that tell its textures

Rows = dict[str, dict[str, float]]


@dataclass(frozen=True, eq=False)
class Take:
    """One clip as every method paints it. Pictures are uint8, as they would be shown.

    Attributes:
        name: of the clip.
        labels: (T, H, W) ids.
        flow_back, visible: the true motion, as ``measures.flicker`` takes it.
        frames: by method, (T, 3, H, W).
        visits: by method that remembers, the clip played 1..T..1, (2T - 1, 3, H, W).
    """

    name: str
    labels: Tensor
    flow_back: Tensor
    visible: Tensor
    frames: Mapping[str, Tensor]
    visits: Mapping[str, Tensor] = field(default_factory=dict)


def take_of_clip(pipeline: FootagePipeline, clip: Clip, name: str) -> Take:
    """Paint a rendered clip, there and back, with its geometry and without, and each frame alone."""
    shots, style = shots_of(clip), pipeline.style(clip.rgb[0])
    there_and_back = [*shots, *shots[-2::-1]]
    visits = {
        method: shown(pipeline.stream(there_and_back, style, guided=method == GUIDED)) for method in (LABELS, GUIDED)
    }
    motion = [(clip.flow_back(t), clip.visible_back(t)) for t in range(1, len(clip))]
    return Take(
        name,
        clip.labels,
        torch.stack([flow for flow, _ in motion]),
        torch.stack([seen for _, seen in motion]),
        {
            TRUE: levels(clip.rgb),
            SINGLE: shown(frame for shot in shots for frame in pipeline.stream([shot], style, guided=False)),
            **{method: frames[: len(shots)] for method, frames in visits.items()},
        },
        visits,
    )


def read_drive(folder: Path) -> tuple[Tensor, Tensor]:
    """The film (T, 3, H, W) and the labels (T, H, W) of CamVid's held-out drive.

    Raises:
        InputError: a file is missing or damaged.
    """
    drive = CamVid(folder, HELD_OUT, held_out=True)
    frames = [drive[k] for k in range(len(drive))]
    return torch.stack([rgb for rgb, _ in frames]), torch.stack([labels for _, labels in frames])


def take_of_drive(pipeline: FootagePipeline, rgb: Tensor, labels: Tensor, name: str) -> Take:
    """Paint the labels (T, H, W) of a film (T, 3, H, W); the true motion is what can be told from the film."""
    shots, style = [Shot(ids) for ids in labels], pipeline.style(rgb[0])
    alone = (frame for shot in shots for frame in pipeline.stream([shot], style))
    frames = {
        TRUE: levels(rgb),
        SINGLE: shown(progress(alone, len(shots), SINGLE)),
        LABELS: shown(progress(pipeline.stream(shots, style), len(shots), LABELS)),
    }
    return Take(name, labels, *measures.real_motion(rgb), frames)


def shots_of(clip: Clip) -> list[Shot]:
    """The clip as an engine would hand it over."""
    frames = zip(clip.labels, clip.depth, clip.cameras, strict=True)
    return [Shot(labels, Geometry(depth, camera)) for labels, depth, camera in frames]


def levels(rgb: Tensor) -> Tensor:
    """Colours in [0, 1] as uint8."""
    return (rgb * 255).round().to(torch.uint8)


def shown(frames: Iterable[Frame]) -> Tensor:
    """Painted frames as (T, 3, H, W) uint8."""
    return torch.stack([levels(frame.rgb).cpu() for frame in frames])


@dataclass(frozen=True, eq=False)
class Judged:
    """A take and what was found.

    Attributes:
        rows: by method, the figures of this clip.
        tables: by method, counts of true against found labels; empty without a segmenter.
    """

    take: Take
    rows: Rows
    tables: Mapping[str, Tensor]


def judge(take: Take, segmenter: Segments | None) -> Judged:
    """Measure one take."""
    rows, tables = {}, {}
    truth = take.frames[TRUE].float() / 255
    for method, pictures in take.frames.items():
        frames = pictures.float() / 255
        row = {
            "warp error": measures.flicker(frames, take.flow_back, take.visible),
            "Laplacian energy": measures.detail(frames),
        }
        if method in take.visits:
            visits = take.visits[method].float() / 255
            row["return"] = measures.return_difference(visits)
            row["return, standing"] = measures.return_difference(visits, measures.standing(take.labels))
        if method != TRUE:
            row["PSNR"], row["SSIM"] = (
                statistics.fmean(float(measure(a, b)) for a, b in zip(frames, truth, strict=True))
                for measure in (psnr, ssim)
            )
        rows[method] = row
        if segmenter is not None:
            tables[method] = measures.relabelled(segmenter, frames, take.labels)
    return Judged(take, rows, tables)


def summary(judged: Sequence[Judged]) -> Rows:
    """Figures of several clips of one size by method: means over clips, their ratios to those of the true frames.

    Labels and textures are judged over all frames together.
    """
    result: Rows = {}
    truth = textures(judged, TRUE)
    for method in judged[0].take.frames:
        found = {name: mean([j.rows[method].get(name, math.nan) for j in judged]) for name in judged[0].rows[method]}
        flicker, detail = found.pop("warp error"), found.pop("Laplacian energy")
        row = {
            "warp error": flicker,
            "warp error / true": ratio(flicker, mean([j.rows[TRUE]["warp error"] for j in judged])),
            "detail / true": ratio(detail, mean([j.rows[TRUE]["Laplacian energy"] for j in judged])),
        }
        if judged[0].tables:
            table, reference = (torch.stack([j.tables[m] for j in judged]).sum(dim=0) for m in (method, TRUE))
            for name, measure in (("mIoU", mean_iou), ("accuracy", pixel_accuracy)):
                row[name] = measure(table)
                row[f"{name} / true"] = ratio(row[name], measure(reference))
        draws = torch.Generator().manual_seed(0)
        distance = sliced_wasserstein(textures(judged, method), truth, draws)["mean"]
        result[method] = row | found | {"SWD": distance}
    return result


def textures(judged: Sequence[Judged], method: str) -> Tensor:
    """Some frames of every clip, (N, 3, H, W) in [0, 1]."""
    return torch.cat([j.take.frames[method][::TEXTURE_EVERY] for j in judged]).float() / 255


def ratio(value: float, reference: float) -> float:
    """The quotient; nan where there is nothing to divide by."""
    return value / reference if reference else math.nan


def mean(values: Sequence[float]) -> float:
    """The mean of those that are numbers; nan if none is."""
    numbers = [value for value in values if not math.isnan(value)]
    return statistics.fmean(numbers) if numbers else math.nan
