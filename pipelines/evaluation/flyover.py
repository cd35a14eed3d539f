"""``viewsynth evaluate flyover``: flights beside true frames, beside simpler ways to make them, and beside themselves.

held-out worlds -> the same way by every method -> figures against the true frames
real photos     -> long flights by autopilot    -> what changes from early to late
                -> out and back, loops, two ways to one place -> whether it is remembered
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from infinite_view.flight import KEYFRAME_EVERY, Frame
from infinite_view.scene import Scene
from pipelines.cli import parse
from pipelines.errors import InputError
from pipelines.evaluation import flight_drift as drift
from pipelines.evaluation.flight_drift import Record, record
from pipelines.evaluation.flight_methods import BASELINES, FLYOVER, METHODS, judged_steps
from pipelines.evaluation.flight_photos import Choice
from pipelines.evaluation.flight_records import Records
from pipelines.evaluation.flight_return import LOOP, LOOP_GAP, MEMORY, NO_MEMORY, OUT_AND_BACK, TWO_WAYS, returns
from pipelines.evaluation.flight_speed import speed
from pipelines.evaluation.flight_worlds import STEPS, TrueFlights
from pipelines.evaluation.footage import by_part
from pipelines.evaluation.report import Target, check_outputs, fingerprint, load, sheet, surroundings, table, write_json
from pipelines.evaluation.takes import Rows, levels, mean, ratio
from pipelines.evaluation.view_scores import Judged, means, summary
from pipelines.flyover import FlyoverPipeline
from pipelines.media.framing import FIELD_OF_VIEW
from pipelines.media.images import read_image, write_png
from pipelines.models import WEIGHTS
from pipelines.options import Count, Size
from pipelines.progress import Meter, progress
from render_refine.depth_maps import near_depth

SIZE, LONG_SIZE = (160, 256), (256, 448)  # of frames of worlds, and of the long flights
SPEEDS = {(160, 256): 8.0, (256, 448): 4.0}  # frames per second wanted by size
LEAD = {20: 1.0}  # dB wanted over the best baseline, by steps; 0 where nothing stands
RETURNING = 2  # photos, the first ones, on which returns are measured
SHOWN = (1, 50, 200, 500, 1000)  # frames on the sheet, counted from 1
TILE, SMALL_TILE = (128, 224), (100, 160)  # pixels of a picture on the sheet: of a long flight, of a world

EXAMPLES = """Measure flights: against true frames, how they hold up, whether they remember, and what they cost.

examples:
  viewsynth evaluate flyover --data data/
  viewsynth evaluate flyover --data data/ --frames 1000 --json flyover.json --sheet flyover.png --plots drift.png
  viewsynth evaluate flyover --data data/ --weights runs/refiner/model --photos 3 --worlds 2
  viewsynth evaluate flyover --data data/ --flights-only --frames 1000 --flight-size 160x256

Held-out landscapes are rendered once and kept in --cache. With --data, a folder that holds landscape_photos, the
flights go into photos that no model was trained on, chosen by name; without it, into the demo view.
With --data the default run takes about 15 minutes on two cores; the full one, --frames 1000, about 45. Long flights
are kept in --cache too: after a kill the same command goes on with the photos that are left, as long as neither the
code nor the models change."""

LEGEND = f"""held-out worlds: an autopilot that sees true depth flies; all methods are told its way and the first depth
  step             a round of the loop, {KEYFRAME_EVERY} frames: render, refine, write back
  warp             the photo's points as the memory renders them from there; holes are black
  warp + inpaint   the same with OpenCV's inpainting, Telea or Navier-Stokes: for each frame the better one in PSNR
  loop + inpaint   the loop with its memory, with OpenCV's inpainting (Telea) in place of the network
  no memory        Infinite Nature's loop: a step is one frame, and all that is kept
  PSNR, SSIM       means over worlds; "visible": the pixels that the photo shows, by both true depths
  SWD              sliced Wasserstein distance to the true frames' textures
long flights: {drift.WINDOWS} windows; early is the second, late is the last (frames 50..100 and 950..1000 of 1000)
  SWD              to real photos, all flights together; of one flight the few pictures of a window tell only roughly
  detail           Laplacian energy, over that of the early window
  colour shift     distance of the mean colour to the photo's, in CIE Lab
  near             share of pixels nearer than the near bound; too near is more than {drift.TOO_NEAR:.0%} of a frame
  memory growth    of the process, from frame {drift.SETTLED} to the last, in flights of {2 * drift.SETTLED} and more
out and back: frame k against the k-th from the end, at the photo's own aspect, as shown (8 bits)
  loop             the frame after the last against the first, in levels of 255; then some frames of round two
  two ways         by the left, then from the photo anew by the right, in one memory, to the same cameras"""


@dataclass(frozen=True)
class FlyoverEvaluation:
    data: Path | None = None
    """folder of real data sets; of these, landscape_photos is used"""
    weights: Path | None = None
    """folder of another refiner (config.json, model.safetensors)"""
    worlds: Count = 4
    """held-out worlds"""
    photos: Count = 10
    """real photos, each for a long flight"""
    frames: Count = 200
    """of a long flight"""
    flight_size: Size = LONG_SIZE
    """of the frames of long flights"""
    flights_only: bool = False
    """leave out worlds, returns and speed"""
    cache: Path = Path("runs/evaluate")
    """where the rendered worlds and the long flights are kept"""
    json: Path | None = None
    """where all figures go"""
    sheet: Path | None = None
    """where a contact sheet of the long flights and the worlds goes (.png)"""
    plots: Path | None = None
    """where the curves over the long flights go, as one picture (.png)"""
    overwrite: bool = False
    """replace existing outputs"""


def main(argv: Sequence[str]) -> None:
    """Parse the options, measure, print the tables, write the files."""
    options = parse(FlyoverEvaluation, argv, prog="viewsynth evaluate flyover", description=EXAMPLES)
    check_outputs((options.json, options.sheet, options.plots), options.overwrite)
    if options.frames < drift.WINDOWS:
        raise InputError(f"--frames {options.frames}: expected at least {drift.WINDOWS}, to tell early from late")
    choice = Choice.of(options.data, options.photos)
    folders = {"refiner": options.weights, "depth": None}
    around = surroundings() | {
        "weights": {name: fingerprint(folder or WEIGHTS / name) for name, folder in folders.items()},
        "photos": [path.name for path in choice.flown],
    }
    figures, contacts, curves = evaluate(FlyoverPipeline.from_pretrained(options.weights), choice, options)
    print("\n".join(["", "targets:", *(target.line() for target in figures["targets"])]))
    if options.json is not None:
        write_json(options.json, around | {"options": asdict(options)} | figures)
    for path, picture in ((options.sheet, contacts), (options.plots, curves)):
        if path is not None:
            write_png(path, picture)


def evaluate(
    pipeline: FlyoverPipeline, choice: Choice, options: FlyoverEvaluation
) -> tuple[dict[str, Any], Tensor, Tensor]:
    """Measure everything, and print each table as soon as it is there.

    Returns:
        all figures by name, the contact sheet and the curves over the long flights, (3, H, W) uint8.
    """
    notes: list[str] = []
    costs: dict[str, Any] = {}
    judged: dict[str, list[Judged]] = {}
    back: Rows = {}
    if not options.flights_only:
        if (busy := load()) > 1:
            notes.append(f"speed: other programs were running (load {busy:.1f}), the machine can do better")
        costs = {f"{h}x{w}": speed(pipeline, read_image(choice.flown[0]), (h, w)) for h, w in SPEEDS}
        print(table(f"speed, {torch.get_num_threads()} threads", by_part(costs)), flush=True)
        judged = over_worlds(pipeline, options)
        back = remembered(pipeline, choice)
    worlds = {name: summary(group) for name, group in judged.items()}
    for name, group in judged.items():
        share = mean([one.visible for one in group])
        title = f"\n{len(group)} held-out worlds of {SIZE[0]}x{SIZE[1]} after {name}, {share:.0%} visible"
        print(table(title, worlds[name]), flush=True)
    records = long_flights(pipeline, choice, options)
    height, width = options.flight_size
    references = choice.reference_pictures(height, width)
    flights = drift.summary(records, references)
    print(table(f"\nlong flights, {options.frames} frames of {height}x{width}", flights), flush=True)
    textures = None if references is None else drift.texture_curve(list(records.values()), references)
    curves = drift.curve_rows(records, textures)
    print(table("\nlong flights, all together", curves))
    print("\n".join(["", LEGEND, *notes]), flush=True)
    figures: dict[str, Any] = {
        "speed": costs,
        "worlds": worlds,
        "each world": {name: [one.rows for one in group] for name, group in judged.items()},
        "out and back": back,
        "flights": flights,
        "curves": curves,
        "each flight": {name: drift.curve_rows({name: found}, None) for name, found in records.items()},
        "notes": notes,
    }
    figures["targets"] = targets(costs, worlds, back, flights, textures)
    return figures, contact_sheet(records, judged, shown(options.frames)), drift.plots(records, curves)


def over_worlds(pipeline: FlyoverPipeline, options: FlyoverEvaluation) -> dict[str, list[Judged]]:
    """Held-out worlds by all methods: what each world gave, by the number of steps."""
    items = TrueFlights(options.cache, options.worlds, *SIZE)
    items.make()
    judged = [
        judged_steps(pipeline, items[k]) for k in progress(range(len(items)), len(items), "held-out worlds", "world")
    ]
    return {name_of(step): list(group) for step, group in zip(STEPS, zip(*judged, strict=True), strict=True)}


def name_of(step: int) -> str:
    """What the frames after so many steps are called."""
    return f"{step} steps"


def remembered(pipeline: FlyoverPipeline, choice: Choice) -> Rows:
    """Out and back, round and by two ways: a row for each photo, and the mean."""
    smooth = FlyoverPipeline(pipeline.estimate_depth, None, pipeline.device)
    paths = choice.flown[:RETURNING]
    rows = {
        path.stem: returns(pipeline, smooth, read_image(path))
        for path in progress(paths, len(paths), "out and back", "photo")
    }
    rows["mean"] = means(list(rows.values()))
    print(table(f"\nout and back in {OUT_AND_BACK} frames; a loop of {LOOP}; two ways to one place", rows), flush=True)
    return rows


def long_flights(pipeline: FlyoverPipeline, choice: Choice, options: FlyoverEvaluation) -> dict[str, Record]:
    """Fly into every photo by autopilot; flights that are kept are not flown again."""
    frames, size = options.frames, options.flight_size
    kept = Records(options.cache, options.weights, frames, size)
    records = {}
    with Meter(frames * len(choice.flown), "long flights") as meter:
        for k, path in enumerate(choice.flown):
            found = kept.find(path)
            if found is None:
                rgb, depth = pipeline.take(read_image(path), None, *size)
                depth = depth / near_depth(depth)  # as the pipeline will take it
                near = Scene.of(depth.cpu(), FIELD_OF_VIEW).near
                stream = pipeline.stream(rgb, frames=frames, size=size, depth=depth)
                counted = ticking(stream, meter, k * frames, path.stem)
                found = record(counted, frames, near, shown(frames), size)
                kept.keep(path, found)
            records[path.stem] = found
    return records


def ticking(stream: Iterable[Frame], meter: Meter, before: int, note: str) -> Iterator[Frame]:
    """Pass frames on and let a meter, which has counted some before, count them."""
    for done, frame in enumerate(stream, start=before + 1):
        yield frame
        meter.reach(done, note)


def shown(frames: int) -> list[int]:
    """Numbers, from 1 on, of the frames on the sheet: some on the way, and the last."""
    return [*(number for number in SHOWN if number < frames), frames]


def contact_sheet(records: Mapping[str, Record], judged: Mapping[str, Sequence[Judged]], numbers: list[int]) -> Tensor:
    """A row for each long flight, and below it a row for each world and number of steps."""
    flights = [[found.shown[number] for number in numbers] for found in records.values()]
    worlds: list[list[Tensor | None]] = []
    for group in zip(*judged.values(), strict=True):
        for one in group:
            worlds.append([levels(one.pair.source), levels(one.pair.target), *one.pictures.values()])
    parts = [sheet([f"frame {number}" for number in numbers], flights, *TILE)]
    if worlds:
        parts.append(sheet(["photo", "true frame", *METHODS], worlds, *SMALL_TILE))
    widest = max(part.shape[2] for part in parts)
    return torch.cat([F.pad(part, (0, widest - part.shape[2])) for part in parts], dim=1)


def targets(
    costs: Mapping[str, Any],
    worlds: Mapping[str, Rows],
    back: Rows,
    flights: Rows,
    textures: Sequence[float] | None,
) -> list[Target]:
    """What was wished for and what came of it; nan, or nothing, for what was not measured."""

    def best(rows: Rows, figure: str, choose: Callable[[Iterable[float]], float]) -> float:
        return choose(rows[method][figure] for method in BASELINES)

    def each(name: str) -> list[float]:
        return [row[name] for row in flights.values()]

    beside = []
    for step in STEPS if worlds else ():
        rows = worlds[name_of(step)]
        ours, text = rows[FLYOVER], f"the best baseline's after {name_of(step)}"
        beside += [
            Target(f"PSNR above {text}", ours["PSNR"] - best(rows, "PSNR", max), LEAD.get(step, 0.0), True),
            Target(f"SSIM above {text}", ours["SSIM"] - best(rows, "SSIM", max), 0.0, True),
            Target(f"SWD over {text}", ratio(ours["SWD"], best(rows, "SWD", min)), 1.0),
        ]
    returned = []
    if back:
        with_memory = back["mean"][f"PSNR, {MEMORY}"]
        returned = [
            Target("out and back, PSNR", with_memory, 33.0, True),
            Target("out and back, PSNR above no memory", with_memory - back["mean"][f"PSNR, {NO_MEMORY}"], 6.0, True),
            Target("loop, frame after the last - first, levels", max(row[LOOP_GAP] for row in back.values()), 0.0),
            Target("two ways to one place, PSNR", back["mean"][TWO_WAYS], 28.0, True),
        ]
    swd = math.nan if textures is None else drift.late_over_early(textures)
    detail, growth = each("detail, late / early"), each("memory growth")
    return [
        *beside,
        Target("SWD to real photos, late / early", swd, drift.MOST_TEXTURE),
        Target("detail, late / early, lowest of all flights", min(detail), drift.DETAIL_RANGE[0], True),
        Target("detail, late / early, highest of all flights", max(detail), drift.DETAIL_RANGE[1]),
        Target("horizon roll, degrees", max(each("roll, most")), 1.0),
        Target("frames too near", sum(each("frames too near")), 0),
        Target(f"memory growth after frame {drift.SETTLED}", max(growth), 0.05),
        *returned,
        *(
            Target(f"frames per second at {h}x{w}", costs[f"{h}x{w}"]["frames per second"], wanted, True)
            for (h, w), wanted in (SPEEDS if costs else {}).items()
        ),
    ]
