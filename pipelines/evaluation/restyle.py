"""``viewsynth evaluate restyle``: clips in another light beside the truth, real nights, and transfers of colour.

held-out places, a camera that was up at night, real clips -> another light by every method -> figures
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipelines.cli import parse
from pipelines.evaluation import restyle_clips, restyle_worlds
from pipelines.evaluation.report import check_outputs, fingerprint, load, sheet, surroundings, table, write_json
from pipelines.evaluation.restyle_clips import WISHES, Clip, changed_at_strength_0, clip_folders
from pipelines.evaluation.restyle_lights import held_out_lit, measured_lights
from pipelines.evaluation.restyle_methods import HISTOGRAM, REFERENCE, REINHARD, RESTYLE, TRUE, UNCHANGED
from pipelines.evaluation.restyle_night import (
    DAY_HOURS,
    DAY_LUMA,
    NIGHT_LUMA,
    NIGHT_PHOTOS,
    Camera,
    measured_nights,
    own_camera,
)
from pipelines.evaluation.restyle_speed import growth, speed
from pipelines.evaluation.restyle_targets import targets
from pipelines.evaluation.restyle_worlds import TRANSITIONS, cases, held_out_lights, true_reference
from pipelines.evaluation.takes import SINGLE, Rows, levels
from pipelines.evaluation.view_scores import means
from pipelines.looks import HOURS, SEASONS, Look
from pipelines.media.framing import fit
from pipelines.media.images import write_png
from pipelines.models import WEIGHTS
from pipelines.options import Count
from pipelines.progress import progress
from pipelines.restyle import RestylePipeline, leave_a_core
from pipelines.training.light_set import LightSet

SPEED_SIZE = (360, 640)
TILE = (150, 240)  # pixels of a picture on the sheet
COLUMNS = {
    # title: the methods whose picture a row shows, the first that it has
    "source": (UNCHANGED,),
    TRUE: (TRUE,),
    REINHARD: (REINHARD,),
    HISTOGRAM: (HISTOGRAM,),
    "histogram, best reference": (true_reference(HISTOGRAM), own_camera(HISTOGRAM)),
    SINGLE: (SINGLE,),
    REFERENCE: (REFERENCE,),
    RESTYLE: (RESTYLE,),
}
ON_SHEET = 2  # places, and days of the real camera

EXAMPLES = """Measure restyling on places in known light, on a real camera by night, and on real clips.

examples:
  viewsynth evaluate restyle
  viewsynth evaluate restyle --data data/ --json restyle.json --sheet restyle.png
  viewsynth evaluate restyle --data data/ --weights runs/restyle/model

Held-out places (streets, landscapes) are rendered in every light once and kept in --cache. With --data, a folder
that holds webcams/frankfurt, landscape_photos and clips, days of a real camera are compared with its nights, and
every clip is made night and winter."""

LEGEND = f"""held-out places: two frames of a place on a summer's day become another light; the second is compared.
real nights: days of one camera (mean luma >= {DAY_LUMA:g}, {DAY_HOURS.start} to {DAY_HOURS.stop} h UTC) against its
  nights (mean luma <= {NIGHT_LUMA:g}), as many of each, evenly spaced; every day is a picture by itself.
methods:
  unchanged              the source as it is
  reinhard, histogram    transfer of colours (Reinhard et al. 2001; histograms matched channel by channel) from another
                         picture in the wished light, as a user would find one: for a place another held-out one of its
                         kind; for real nights each of {len(NIGHT_PHOTOS)} photos, means over them; for clips one photo
  ", true"               from the truth itself, which no user has
  ", own camera"         from a night of the same camera, which is not among those compared
  single frames          restyling without what the frame before became
  restyle, reference     restyling with the look of the picture that reinhard and histogram take (photos of real nights
                         may have been in training: they are not held out)
  restyle, true labels   restyling that is told what the frames show; all others see it by the bundled segmenter
  restyle                restyling by hour or season, whichever changes
columns:
  PSNR, SSIM             against the true light, pictures in 8 bits; means over places; also of the sky alone, of
                         buildings when the hour changes, and of what the new season covers with snow
  edges                  SSIM between the source's and the result's strength of edges (Sobel, luma) outside the sky,
                         after one factor for each neighbourhood has made up for less or more light; "same light":
                         without that factor. Among held-out places "true light" says what the truth itself has
  colour, gradient       distance of all colours, and of the strengths of all edges, to those of the real nights
                         (Wasserstein, in levels of 255); texture: sliced Wasserstein distance of patches; "two halves":
                         of half the real nights to the others
  warp error / source    mean |warped last frame - this frame| (DIS flow of the source), over that of the source;
                         "by edges": both divided by the mean strength of their edges, for the dark hides flicker
light found by day: pixels at least half of which would give light at night, found (share above a half) or not, of
  places like the training's; the detector answers for all pixels of all places together
on the sheet "true light" of a real day is some real night."""


@dataclass(frozen=True)
class RestyleEvaluation:
    data: Path | None = None
    """folder of real data sets; of these, webcams/frankfurt, landscape_photos and clips are used"""
    weights: Path | None = None
    """folder of another model (config.json, model.safetensors)"""
    places: Count = 12
    """held-out places; every second one is a street, the others are landscapes"""
    frames: Count = 24
    """frames of each real clip, at most"""
    cache: Path = Path("runs/evaluate")
    """where the rendered places are kept"""
    long: bool = False
    """also restyle 2,000 frames and see whether memory grows"""
    json: Path | None = None
    """where all figures go"""
    sheet: Path | None = None
    """where a contact sheet goes (.png)"""
    overwrite: bool = False
    """replace existing outputs"""


Tiles = dict[str, Tensor]


def main(argv: Sequence[str]) -> None:
    """Parse the options, measure, print the tables, write the files."""
    options = parse(RestyleEvaluation, argv, prog="viewsynth evaluate restyle", description=EXAMPLES)
    check_outputs((options.json, options.sheet), options.overwrite)
    folders = {name: WEIGHTS / name for name in ("restyle", "segmenter", "lights", "snow")}
    folders["restyle"] = options.weights or folders["restyle"]
    around = surroundings() | {"weights": {name: fingerprint(folder) for name, folder in folders.items()}}
    leave_a_core()  # as the command does
    figures, tiles = evaluate(RestylePipeline.from_pretrained(options.weights), options)
    print("\n".join(["", "targets:", *(target.line() for target in figures["targets"])]))
    if options.json is not None:
        write_json(options.json, around | {"options": asdict(options)} | figures)
    if options.sheet is not None:
        write_png(options.sheet, sheet(tuple(COLUMNS), [contact_row(shown) for shown in tiles], *TILE))


def evaluate(pipeline: RestylePipeline, options: RestyleEvaluation) -> tuple[dict[str, Any], list[Tiles]]:
    """Measure everything, and print each table as soon as it is there.

    Returns:
        all figures by name, and for each row of the contact sheet the pictures by method.

    Raises:
        InputError: the data are not what they ought to be.
    """
    notes: list[str] = []
    if (busy := load()) > 1:
        notes.append(f"speed: other programs were running (load {busy:.1f}), the machine can do better")
    if options.data is not None:
        clip_folders(options.data)  # found out before the work
    camera = Camera.read(options.data) if options.data else None
    places = held_out_lights(options.cache, options.places)
    frames = [fit(frame, *SPEED_SIZE) for frame in places[0].rgb[0]]
    hour, season = HOURS["night"], SEASONS["winter"]  # when there is most to draw
    look = Look.at(pipeline.style(hour, season), 1.0, hour, season)
    cost = speed(pipeline, frames, look)
    print(speed_table(cost), flush=True)
    long_run = growth(pipeline, frames, look) if options.long else {}
    if long_run:
        print(table("\nmemory over a long clip", {"": long_run}), flush=True)
    by_place, tiles = measured_places(pipeline, places)
    quality = {name: together(rows) for name, rows in by_place.items()}
    for name, rows in quality.items():
        print(table(f"\n{name}, {len(places)} held-out places", rows), flush=True)
    lights = measured_lights(pipeline.lights, held_out_lit(options.cache, options.places))
    print(table(f"\nlight found by day, {options.places} held-out places", lights), flush=True)
    nights: Rows = {}
    if camera is not None:
        nights, days = measured_nights(pipeline, camera, ON_SHEET)
        tiles += days
        print(table(f"\nreal nights, {len(camera.days)} days against {len(camera.nights)} nights", nights), flush=True)
    clips: dict[str, dict[str, Rows]] = {}
    changed = math.nan
    if options.data is not None:
        clips, changed, middles = measured_clips(pipeline, options.data, options.frames)
        tiles += middles
    print("\n".join(["", LEGEND, *notes]), flush=True)
    figures = {
        "speed": cost,
        "long run": long_run,
        "worlds": quality,
        "places": by_place,
        "lights": lights,
        "nights": nights,
        "clips": clips,
        "frames changed at strength 0": changed,
        "notes": notes,
        "targets": targets(cost, long_run, quality, nights, clips, changed),
    }
    return figures, tiles


def together(rows: Sequence[Rows]) -> Rows:
    """Means over places or clips, by method."""
    return {method: means([row[method] for row in rows]) for method in rows[0]}


def measured_places(pipeline: RestylePipeline, places: LightSet) -> tuple[dict[str, list[Rows]], list[Tiles]]:
    """Figures of every place by transition and method; the first places, for the sheet."""
    found: dict[str, list[Rows]] = {name: [] for name in TRANSITIONS}
    tiles: list[Tiles] = []
    for index in progress(range(len(places)), len(places), "held-out places", "place"):
        for wanted in cases(places, index):
            shown = restyle_worlds.pictures(pipeline, wanted)
            found[wanted.name].append(restyle_worlds.judge(wanted, shown))
            if index < ON_SHEET:
                tiles.append(shown)
    return found, tiles


def measured_clips(
    pipeline: RestylePipeline, data: Path, frames: int
) -> tuple[dict[str, dict[str, Rows]], int, list[Tiles]]:
    """Figures by light, clip and method; how many frames differ at no strength; each clip's middle, for the sheet."""
    found: dict[str, dict[str, Rows]] = {light: {} for light in WISHES}
    changed = 0
    tiles: list[Tiles] = []
    folders = clip_folders(data)
    for folder in progress(folders, len(folders), "real clips", "clip"):
        clip = Clip.read(folder, frames, pipeline.segmenter)
        middle = len(clip.rgb) // 2
        changed += changed_at_strength_0(pipeline, clip)
        for light, wish in WISHES.items():
            shown = restyle_clips.takes(pipeline, clip, wish, data)
            found[light][clip.name] = restyle_clips.judge(clip, shown)
            tiles.append({UNCHANGED: levels(clip.rgb[middle])} | {name: taken[middle] for name, taken in shown.items()})
    for light, clips in found.items():
        print(table(f"\nreal clips to {light}, means over {len(clips)}", together(list(clips.values()))))
        print(table(f"\nreal clips to {light}, {RESTYLE}", {name: rows[RESTYLE] for name, rows in clips.items()}))
    return found, changed, tiles


def speed_table(cost: Mapping[str, Any]) -> str:
    """What a clip costs, for people."""
    figures = {name: cost[name] for name in ("frames per second", "frames", "peak MiB")}
    parts = {f"ms, {part}": spent for part, spent in cost["ms per frame"].items()}
    title = f"speed at {cost['height']}x{cost['width']}, {torch.get_num_threads()} threads"
    return table(title, {name: {RESTYLE: value} for name, value in (figures | parts).items()})


def contact_row(shown: Tiles) -> list[Tensor | None]:
    """One line of the sheet."""
    return [next((shown[method] for method in methods if method in shown), None) for methods in COLUMNS.values()]
