"""``viewsynth evaluate views``: new views of one photo beside the pictures that a camera took there.

pairs, real and rendered -> seen from the second camera by every method -> figures
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
from pipelines.evaluation.report import Target, check_outputs, fingerprint, load, sheet, surroundings, table, write_json
from pipelines.evaluation.takes import Rows, levels, mean
from pipelines.evaluation.view_methods import COPY, INPAINT, METHODS, VIEWS, WARP, Pair, new_view, pictures
from pipelines.evaluation.view_pairs import (
    FOX,
    RE10K,
    SHORT_SIDE,
    clip_folders,
    held_out_worlds,
    pairs_of_clip,
    pairs_of_place,
)
from pipelines.evaluation.view_scores import Judged, depth_figures, judge, means, summary
from pipelines.evaluation.view_speed import FILM, speed
from pipelines.media.framing import fit
from pipelines.media.images import write_png
from pipelines.models import WEIGHTS
from pipelines.options import Count
from pipelines.progress import progress
from pipelines.training.posed_set import PosedClip
from pipelines.training.view_set import KINDS, kind_of
from pipelines.views import ViewsPipeline
from render_refine.metrics import psnr

WORLDS, REAL = "held-out worlds", "real clips"
SPEED_SIZE = (256, 384)
TILE = (160, 288)  # pixels of a picture on the sheet
COLUMNS = ("source", "target", WARP, INPAINT, VIEWS, "predicted disparity")
LEAD = {"PSNR": 0.0, "SSIM": 0.0}  # wanted over the best baseline
IDENTITY_EVERY = 3  # pairs whose source is shown to its own camera
ON_SHEET = 4  # pairs of a group
FIT = f"{RE10K.fit[0]} to {RE10K.fit[1]}"
FIRSTS = ", ".join(map(str, RE10K.firsts))

EXAMPLES = """Measure new views of a photo beside copying it, warping it by its depth, and filling the warp's holes.

examples:
  viewsynth evaluate views
  viewsynth evaluate views --data data/ --json views.json --sheet views.png
  viewsynth evaluate views --data data/ --weights runs/views/model

Held-out worlds (streets, landscapes, interiors) are rendered once and kept in --cache. With --data, a folder that
holds posed/re10k_clips, real clips are measured too, and posed/fox if it is there."""

LEGEND = f"""speed: depth and lift come once for a photo, the rest for each frame; seconds include all
methods, all by the same predicted depth and cameras:
  copy            the source as it is
  warp            the source's pixels at their depth, seen by the other camera; holes are black
  warp + inpaint  the same with OpenCV's inpainting, Telea or Navier-Stokes: for each pair the better one in PSNR
  views           the model
columns:
  PSNR, SSIM      means over pairs, pictures in 8 bits; "visible": only pixels on which some pixel of the source
                  lands, by true depth in worlds, in real clips by the predicted one; "invisible": the others
  SWD             sliced Wasserstein distance to the true textures, whole pictures
scale: in worlds true, the nearest tenth of the source's true depth being 1. In real clips one unit of length a clip,
  fitted to its frames {FIT} (fox: {FOX.fit[0]} to {FOX.fit[1]}) by warp + inpaint, for all methods alike; neither
  frame is in a measured pair. Frames count from 0; pairs go there and back from frames {FIRSTS}."""


@dataclass(frozen=True)
class ViewsEvaluation:
    data: Path | None = None
    """folder of real data sets; of these, posed/re10k_clips and posed/fox are used"""
    weights: Path | None = None
    """folder of another model (config.json, model.safetensors)"""
    places: Count = 8
    """held-out worlds of each kind"""
    cache: Path = Path("runs/evaluate")
    """where the rendered worlds are kept"""
    json: Path | None = None
    """where all figures go"""
    sheet: Path | None = None
    """where a contact sheet goes (.png)"""
    overwrite: bool = False
    """replace existing outputs"""


def main(argv: Sequence[str]) -> None:
    """Parse the options, measure, print the tables, write the files."""
    options = parse(ViewsEvaluation, argv, prog="viewsynth evaluate views", description=EXAMPLES)
    check_outputs((options.json, options.sheet), options.overwrite)
    around = surroundings() | {"weights": {"views": fingerprint(options.weights or WEIGHTS / "views")}}
    figures, rows = evaluate(ViewsPipeline.from_pretrained(options.weights), options)
    print("\n".join(["", "targets:", *(target.line() for target in figures["targets"])]))
    if options.json is not None:
        write_json(options.json, around | {"options": asdict(options)} | figures)
    if options.sheet is not None:
        write_png(options.sheet, sheet(COLUMNS, rows, *TILE))


def evaluate(pipeline: ViewsPipeline, options: ViewsEvaluation) -> tuple[dict[str, Any], list[list[Tensor | None]]]:
    """Measure everything, and print each table as soon as it is there.

    Returns:
        all figures by name, and the rows of the contact sheet.

    Raises:
        InputError: the data are not what they ought to be.
    """
    notes: list[str] = []
    if (busy := load()) > 1:
        notes.append(f"speed: other programs were running (load {busy:.1f}), the machine can do better")
    if options.data is not None:
        clip_folders(options.data)  # found out before the work
    cost = speed(pipeline, photo(options))
    print(speed_table(cost), flush=True)
    clips, by_clip = measured_clips(pipeline, options.data) if options.data else ({}, {})
    quality = summaries(clips, REAL, [f"{REAL}, {gap} frames apart" for gap in RE10K.gaps])
    if by_clip:
        print(table("\nby clip, means over its pairs; the unit of length as fitted", by_clip), flush=True)
    worlds = measured_worlds(pipeline, options)
    quality |= summaries(worlds, WORLDS, KINDS)
    depths = {kind: means([depth_figures(j.pair) for j in judged]) for kind, judged in worlds.items()}
    print(table("\npredicted depth of held-out worlds, medians made one", depths), flush=True)
    groups = clips | worlds
    same = {name: identity(pipeline, [j.pair for j in judged]) for name, judged in groups.items()}
    print(table("\nthe photo's own camera, PSNR against the photo", same), flush=True)
    print("\n".join(["", LEGEND, *notes]), flush=True)
    figures = {
        "quality": quality,
        "clips": by_clip,
        "pairs": {name: [j.rows for j in judged] for name, judged in groups.items()},
        "depth": depths,
        "identity": same,
        "speed": cost,
        "notes": notes,
        "targets": targets(quality, same, cost),
    }
    return figures, [contact_row(j) for k, judged in enumerate(groups.values()) for j in on_sheet(judged, k)]


Groups = dict[str, list[Judged]]


def photo(options: ViewsEvaluation) -> Tensor:
    """The photo whose views are timed: a frame of a real clip, or without any of a world."""
    if options.data is not None:
        rgb = PosedClip.read(next(iter(clip_folders(options.data))), SPEED_SIZE[0]).frame(0)
    else:
        rgb = held_out_worlds(options.cache, options.places)[0].rgb[0]
    return fit(rgb, *SPEED_SIZE)


def measured_clips(pipeline: ViewsPipeline, data: Path) -> tuple[Groups, Rows]:
    """The pairs of real clips by how far they are apart; and a row for each clip."""
    groups: Groups = {}
    rows: Rows = {}
    folders = clip_folders(data)
    for folder, plan in progress(folders.items(), len(folders), "real clips", "clip"):
        clip = pairs_of_clip(PosedClip.read(folder, SHORT_SIDE), plan, pipeline.estimate_depth)
        kind = REAL if plan is RE10K else folder.name
        judged = {gap: [judge(pair, pictures(pipeline, pair)) for pair in pairs] for gap, pairs in clip.by_gap.items()}
        for gap, some in judged.items():
            groups.setdefault(f"{kind}, {gap} frames apart", []).extend(some)
        found = summary([j for some in judged.values() for j in some], textures=False)
        rows[folder.name] = {"unit": clip.unit} | {
            f"{figure} {method}": found[method][figure] for figure in ("PSNR", "SSIM") for method in METHODS
        }
    return groups, rows


def measured_worlds(pipeline: ViewsPipeline, options: ViewsEvaluation) -> Groups:
    """The pairs of held-out worlds by their kind."""
    views = held_out_worlds(options.cache, options.places)
    groups: Groups = {kind: [] for kind in KINDS}
    for index in progress(range(len(views)), len(views), "held-out worlds", "place"):
        pairs = pairs_of_place(views[index], pipeline.estimate_depth)
        groups[kind_of(index)] += [judge(pair, pictures(pipeline, pair)) for pair in pairs]
    return groups


def summaries(groups: Groups, together: str, parts: Sequence[str]) -> dict[str, Rows]:
    """Summaries of all groups, and of some of them together, printed as they are found."""
    groups = groups | ({together: [j for part in parts for j in groups[part]]} if groups else {})
    found = {}
    for name, judged in groups.items():
        found[name] = summary(judged)
        share = mean([j.visible for j in judged])
        title = "\n{}: {} pairs of {}x{}, {:.0%} visible".format(
            name, len(judged), *judged[0].pair.source.shape[-2:], share
        )
        print(table(title, found[name]), flush=True)
    return found


def identity(pipeline: ViewsPipeline, pairs: Sequence[Pair]) -> dict[str, float]:
    """PSNR of each source (of every third pair) seen by its own camera: the mean and the worst."""
    found = [float(psnr(new_view(pipeline, pair, pair.camera), pair.source)) for pair in pairs[::IDENTITY_EVERY]]
    return {"mean": mean(found), "worst": min(found)}


def speed_table(cost: Mapping[str, Any]) -> str:
    """What a film costs, for people."""
    title = f"\nspeed at {cost['height']}x{cost['width']}, {torch.get_num_threads()} threads"
    figures = {"frames per second": cost["frames per second"], f"s for {FILM} frames": cost["seconds"]}
    parts = {f"ms, {part}": spent for part, spent in cost["ms"].items()}
    rows = figures | {"peak MiB": cost["peak MiB"]} | parts
    return table(title, {name: {VIEWS: found} for name, found in rows.items()})


def targets(
    quality: Mapping[str, Rows], same: Mapping[str, Mapping[str, float]], cost: Mapping[str, Any]
) -> list[Target]:
    """What was wished for and what came of it; nan for what was not measured."""

    def lead(group: str, figure: str) -> float:
        rows = quality.get(group)
        if rows is None:
            return math.nan
        return rows[VIEWS][figure] - max(rows[method][figure] for method in (COPY, WARP, INPAINT))

    groups = (*(f"{REAL}, {gap} frames apart" for gap in RE10K.gaps), WORLDS)
    size = "{}x{}".format(*SPEED_SIZE)
    return [
        *(
            Target(f"{figure} above the best baseline's, {group}", lead(group, figure), LEAD[figure], True)
            for group in groups
            for figure in LEAD
        ),
        Target("the photo's own camera, worst PSNR", min(found["worst"] for found in same.values()), 40.0, True),
        Target(f"seconds for an orbit of {FILM} frames at {size}", cost["seconds"], 60.0),
    ]


def contact_row(judged: Judged) -> list[Tensor | None]:
    """One line of the sheet."""
    pair = judged.pair
    disparity = (1 / pair.depth).clamp(0, 1).sqrt().expand_as(pair.source)
    shown = [levels(image) for image in (pair.source, pair.target, disparity)]
    return [*shown[:2], *(judged.pictures[method] for method in (WARP, INPAINT, VIEWS)), shown[2]]


def on_sheet(judged: Sequence[Judged], first: int) -> Sequence[Judged]:
    """Some pairs of a group, evenly spaced from pair ``first``, so that groups of the same clips show other frames."""
    return judged[first % len(judged) :: max(1, len(judged) // ON_SHEET)][:ON_SHEET]
