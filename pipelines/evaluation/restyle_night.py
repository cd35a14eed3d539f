"""Real days made night: one camera that has been up all night, and photographs of other nights to take colours from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from pipelines.errors import InputError
from pipelines.evaluation.restyle_methods import REFERENCE, RESTYLE, TRANSFERS, TRUE, UNCHANGED, restyled, transferred
from pipelines.evaluation.restyle_scores import colour_distance, gradient_distance, luma
from pipelines.evaluation.takes import Rows, levels
from pipelines.evaluation.view_scores import means
from pipelines.looks import HOURS, Look
from pipelines.media.images import read_image
from pipelines.media.sequences import sequence_files
from pipelines.progress import progress
from pipelines.restyle import RestylePipeline
from render_refine.metrics import sliced_wasserstein

CAMERA = Path("webcams/frankfurt")
# Looked at: the darkest day frame has 0.47, the brightest night without fog 0.31; thick fog lit from below has 0.40 and
# more. What is as bright as a day at other hours is sunrise, dusk, or a blue hour with all lamps on.
NIGHT_LUMA, DAY_LUMA = 0.35, 0.45
DAY_HOURS = range(8, 16)  # UTC, by the files' names
# Nights elsewhere, under free licences (manifest.csv beside them): two rivers in cities, a village, a desert.
NIGHT_PHOTOS = (
    "hidtstyle_9897964.jpg",
    "hidtstyle_10143610.jpg",
    "deepin_One_Night_In_Santorini.jpg",
    "deepin_albert-cornelissen.jpg",
)
PHOTOS = Path("landscape_photos")
HALVES = "real nights, two halves"

Item = TypeVar("Item")


def own_camera(method: str) -> str:
    """The name of a transfer of colours whose reference is a night of the same camera."""
    return f"{method}, own camera"


@dataclass(frozen=True, eq=False)
class Camera:
    """What one camera saw.

    Attributes:
        days, nights: (N, 3, H, W) in [0, 1], as many of each.
        own: (3, H, W) another night.
        photos: (3, h, w) each, nights elsewhere.
    """

    days: Tensor
    nights: Tensor
    own: Tensor
    photos: list[Tensor]

    @staticmethod
    def read(data: Path) -> Camera:
        """The frames of the camera in a folder of data sets.

        Raises:
            InputError: they are missing or damaged, or there are too few.
        """
        folder = data / CAMERA
        if not folder.is_dir():
            raise InputError(f"{data}: expected a folder of data sets, with {CAMERA} in it")
        files = sequence_files(folder, (".jpg",), "pictures")
        frames = {file: read_image(file) for file in files}
        bright = {file: float(luma(rgb).mean()) for file, rgb in frames.items()}
        days = [file for file in files if bright[file] >= DAY_LUMA and hour_of(file) in DAY_HOURS]
        nights = [file for file in files if bright[file] <= NIGHT_LUMA]
        if not days or len(nights) < 5:
            raise InputError(
                f"{folder}: found {len(days)} days and {len(nights)} nights; wanted at least one day and five nights"
            )
        # The reference is a night like the others: that of median brightness.
        own = sorted(nights, key=lambda file: bright[file])[(len(nights) - 1) // 2]
        nights.remove(own)
        count = min(len(days), len(nights))
        return Camera(
            torch.stack([frames[file] for file in evenly(days, count)]),
            torch.stack([frames[file] for file in evenly(nights, count)]),
            frames[own],
            [read_image(data / PHOTOS / name) for name in NIGHT_PHOTOS],
        )


def hour_of(file: Path) -> int:
    """The hour of a file named YYYYMMDD_HHMMSS.

    Raises:
        InputError: the name is another.
    """
    _, _, time = file.stem.partition("_")
    if len(time) != 6 or not time.isdecimal():
        raise InputError(f"{file}: expected a name that tells the time, such as 20130711_142413.jpg")
    return int(time[:2])


def evenly(items: Sequence[Item], count: int) -> list[Item]:
    """``count`` of the items, spread over all of them."""
    return [items[k * len(items) // count] for k in range(count)]


def nights_by_method(pipeline: RestylePipeline, camera: Camera) -> Iterator[tuple[str, list[Tensor]]]:
    """By method, the days made night, (N, 3, H, W) uint8, once for each reference that it can take."""
    yield UNCHANGED, [levels(camera.days)]
    for method in TRANSFERS:
        yield method, [transferred(method, camera.days, photo) for photo in camera.photos]
        yield own_camera(method), [transferred(method, camera.days, camera.own)]
    looks = [Look(pipeline.style(reference=photo), 1.0) for photo in camera.photos]
    yield REFERENCE, [restyled(pipeline, camera.days, look, temporal=False) for look in looks]
    look = Look.at(pipeline.style(hour=HOURS["night"]), 1.0, HOURS["night"])
    yield RESTYLE, [restyled(pipeline, camera.days, look, temporal=False)]


def distances(found: Tensor, nights: Tensor) -> dict[str, float]:
    """How far one set of pictures (N, 3, H, W) is from another, by colours, strength of edges, and textures."""
    return {
        "colour": colour_distance(found, nights, torch.Generator().manual_seed(0)),
        "gradient": gradient_distance(found, nights),
        "texture": sliced_wasserstein(found, nights, torch.Generator().manual_seed(0))["mean"],
    }


def measured_nights(pipeline: RestylePipeline, camera: Camera, on_sheet: int) -> tuple[Rows, list[dict[str, Tensor]]]:
    """Distances to the real nights by method, means over references; and the first days and nights, for a sheet."""
    rows: Rows = {}
    shown = [{TRUE: levels(night)} for night in camera.nights[:on_sheet]]
    methods = nights_by_method(pipeline, camera)
    for method, sets in progress(methods, 2 * len(TRANSFERS) + 3, "real nights", "method"):
        rows[method] = means([distances(found.float() / 255, camera.nights) for found in sets])
        for tiles, picture in zip(shown, sets[0], strict=False):
            tiles[method] = picture
    half = len(camera.nights) // 2
    rows[HALVES] = distances(camera.nights[: 2 * half : 2], camera.nights[1 : 2 * half : 2])
    return rows, shown
