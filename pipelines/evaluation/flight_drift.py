"""How a long flight changes from its beginning to its end, told without a true frame to compare with."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from kornia.color import rgb_to_lab
from torch import Tensor

from infinite_view.flight import Frame
from pipelines.evaluation.flight_chart import chart, page
from pipelines.evaluation.speed import resident
from pipelines.evaluation.takes import Rows, levels, mean, ratio
from render_refine.camera import Camera
from render_refine.metrics import laplacian_energy, sliced_wasserstein

WINDOWS = 20  # that a flight is cut into
EARLY, LATE = 1, WINDOWS - 1  # frames 50..100 and 950..1000 of a thousand
SAMPLES = 5  # frames of a window that tell its textures, at most
TOO_NEAR = 0.4  # share of a picture nearer than the near bound: a collision
SETTLED = 200  # frames after which memory should have settled
MEASURES = DETAIL, COLOUR, NEAR, SKY, ROLL, MEMORY = (
    "Laplacian energy",
    "colour shift",
    "near",
    "sky",
    "roll, degrees",
    "resident MiB",
)
TEXTURE, DETAIL_RATIO = "SWD", "detail / early"
MOST_TEXTURE, DETAIL_RANGE = 1.25, (0.7, 1.4)  # late over early, wanted


@dataclass(frozen=True, eq=False)
class Record:
    """One flight.

    Attributes:
        curves: by measure, (frames,).
        samples: (WINDOWS, n, 3, H, W) uint8, some frames of each window.
        shown: frames (3, H, W) uint8 by their number from 1 on.
    """

    curves: dict[str, Tensor]
    samples: Tensor
    shown: dict[int, Tensor]


def record(stream: Iterable[Frame], frames: int, near: float, shown: Sequence[int], size: tuple[int, int]) -> Record:
    """Watch a flight.

    Args:
        frames: how many it has, at least `WINDOWS`.
        near: depth of the near bound (`infinite_view.scene.Scene.near`).
        shown: numbers of the frames to keep, from 1 on.
        size: (height, width) of a frame.
    """
    wanted = {frame: place for place, frame in enumerate(k for window in sampled(frames) for k in window)}
    # Filled before the flight, so that its memory is not that of the pictures kept.
    samples = torch.empty(len(wanted), 3, *size, dtype=torch.uint8).fill_(0)
    curves = torch.empty(len(MEASURES), frames, dtype=torch.float64).fill_(math.nan)
    kept: dict[int, Tensor] = {}
    first = torch.zeros(3)
    for index, frame in enumerate(stream):
        picture = levels(frame.rgb).cpu()
        rgb = picture.float() / 255
        lab = rgb_to_lab(rgb).mean(dim=(1, 2))
        first = first if index else lab
        curves[:, index] = torch.tensor(
            [
                float(laplacian_energy(rgb[None])),
                float((lab - first).norm()),
                float((frame.depth < near).float().mean()),
                float(torch.isinf(frame.depth).float().mean()),
                math.degrees(roll(frame.camera)),
                resident(),
            ]
        )
        if index in wanted:
            samples[wanted[index]] = picture
        if index + 1 in shown:
            kept[index + 1] = picture
    return Record(dict(zip(MEASURES, curves, strict=True)), samples.unflatten(0, (WINDOWS, -1)), kept)


def windows(frames: int) -> list[tuple[int, int]]:
    """First and one past the last frame of each window."""
    return list(pairwise(k * frames // WINDOWS for k in range(WINDOWS + 1)))


def sampled(frames: int) -> list[list[int]]:
    """Frames of each window that tell its textures, evenly spaced, in all windows as many."""
    count = min(SAMPLES, frames // WINDOWS)
    return [
        [first + (end - first) * (2 * k + 1) // (2 * count) for k in range(count)] for first, end in windows(frames)
    ]


def roll(camera: Camera) -> float:
    """How far the horizon is from level, radians, in a world whose y axis points straight down."""
    right, down = camera.world_from_cam[1, :2].tolist()
    return abs(math.atan2(right, down))


def curve_of(records: Sequence[Record], measure: str) -> list[float]:
    """The mean of a measure in each window, over flights."""
    found = torch.stack([record.curves[measure] for record in records]).nanmean(dim=0)
    return [float(found[first:end].nanmean()) for first, end in windows(len(found))]


def texture_curve(records: Sequence[Record], references: Tensor) -> list[float]:
    """Sliced Wasserstein distance of each window of all flights together to real photos.

    Args:
        references: (N, 3, H, W) uint8; as many are taken as there are pictures in a window, evenly spaced, and again
            and again where they are too few.
    """
    pictures = torch.cat([record.samples for record in records], dim=1)
    count = pictures.shape[1]
    real = references[torch.arange(count) * len(references) // count].float() / 255

    def distance(window: Tensor) -> float:
        return sliced_wasserstein(window.float() / 255, real, torch.Generator().manual_seed(0))["mean"]

    return [distance(window) for window in pictures]


def late_over_early(curve: Sequence[float]) -> float:
    """What the last window has of the second; the first is nearly the photo."""
    return ratio(curve[LATE], curve[EARLY])


def growth(record: Record) -> float:
    """Share by which resident memory is larger at the end than after `SETTLED` frames; nan for a short flight."""
    memory = record.curves[MEMORY]
    return float(memory[-1] / memory[SETTLED - 1]) - 1 if len(memory) >= 2 * SETTLED else math.nan


def summary(records: Mapping[str, Record], references: Tensor | None = None) -> Rows:
    """The figures of each flight by name; how its textures change only with ``references``, see `texture_curve`."""

    def textures(flight: Record) -> float:
        return math.nan if references is None else late_over_early(texture_curve([flight], references))

    return {
        name: {
            "SWD, late / early": textures(found),
            "detail, late / early": late_over_early(curve_of([found], DETAIL)),
            "colour shift, late": curve_of([found], COLOUR)[LATE],
            "near, most": float(found.curves[NEAR].max()),
            "frames too near": float((found.curves[NEAR] > TOO_NEAR).sum()),
            "roll, most": float(found.curves[ROLL].max()),
            "sky, late - early": curve_of([found], SKY)[LATE] - curve_of([found], SKY)[EARLY],
            "memory growth": growth(found),
        }
        for name, found in records.items()
    }


def curve_rows(records: Mapping[str, Record], textures: Sequence[float] | None) -> Rows:
    """The curves of all flights together, a row for each window."""
    flights = list(records.values())
    rows: Rows = {}
    details = [curve_of([flight], DETAIL) for flight in flights]
    columns = {name: curve_of(flights, name) for name in (COLOUR, NEAR, SKY, MEMORY)}
    for k, (first, end) in enumerate(windows(len(flights[0].curves[DETAIL]))):
        row = {DETAIL_RATIO: mean([ratio(curve[k], curve[EARLY]) for curve in details])}
        if textures is not None:
            row = {TEXTURE: textures[k]} | row
        rows[f"frames {first + 1}..{end}"] = row | {name: curve[k] for name, curve in columns.items()}
    return rows


def plots(records: Mapping[str, Record], rows: Rows) -> Tensor:
    """The curves of `curve_rows`: each flight's in grey, all together in blue, limits in red; (3, H, W) uint8."""
    flights = list(records.values())
    x = [(first + end) / 2 for first, end in windows(len(flights[0].curves[DETAIL]))]
    charts = []
    for name in next(iter(rows.values())):
        curve = [row[name] for row in rows.values()]
        if name == TEXTURE:
            faint, limits = [], [MOST_TEXTURE * curve[EARLY]]
        elif name == DETAIL_RATIO:
            details = [curve_of([flight], DETAIL) for flight in flights]
            faint, limits = [[ratio(value, one[EARLY]) for value in one] for one in details], list(DETAIL_RANGE)
        else:
            faint, limits = [curve_of([flight], name) for flight in flights], []
        charts.append(chart(name, x, {name: curve}, faint=faint, limits=limits))
    return page(charts)
