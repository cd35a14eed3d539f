"""``viewsynth evaluate footage``: what a reader would doubt, measured beside baselines.

held-out clips, true and rendered -> painted by every method in the style of the true first frame -> figures
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipelines.cli import parse
from pipelines.errors import InputError
from pipelines.evaluation.report import Target, check_outputs, fingerprint, load, sheet, surroundings, table, write_json
from pipelines.evaluation.speed import growth, speed
from pipelines.evaluation.takes import (
    GUIDED,
    LABELS,
    METHODS,
    Take,
    judge,
    read_drive,
    shots_of,
    summary,
    take_of_clip,
    take_of_drive,
)
from pipelines.footage import FootagePipeline, resized
from pipelines.media.images import write_png
from pipelines.media.label_video import open_labels
from pipelines.models import WEIGHTS, load_segmenter
from pipelines.options import Count
from pipelines.progress import progress
from pipelines.training.camvid import HELD_OUT
from pipelines.training.clip_set import Clip, ClipSet
from pipelines.training.world_set import HELD_OUT_SEED
from vid2vid.classes import CLASSES, NO_LABEL
from vid2vid.footage import Shot
from vid2vid.label_sets import palette

FRAMES, SIZE = 16, (160, 256)  # of a rendered clip
SPEED_SIZE = (256, 512)
STREET, LANDSCAPE, RENDERED = "street", "landscape", "rendered clips"
DRIVE = f"CamVid {HELD_OUT[0]}"
ON_SHEET = 2  # clips of a kind

EXAMPLES = """Measure footage on held-out clips, beside single frames, labels without geometry, and the true frames.

examples:
  viewsynth evaluate footage
  viewsynth evaluate footage --data data/ --json footage.json --sheet footage.png
  viewsynth evaluate footage --data data/ --weights runs/footage/model --segmenter runs/segmenter/model

Every clip is painted in the style of its true first frame. The rendered clips (streets, landscapes) are made once
and kept in --cache. With --data, a folder that holds camvid, the labels of its held-out drive are painted too."""

LEGEND = """columns:
  warp error   mean |warped last frame - this frame| over the pixels seen in both, in levels of 255
  / true       the same divided by that of the true frames
  detail       Laplacian energy: 1 is as sharp as the true frames
  mIoU         of the labels found in the painted frames by the segmenter
  return       mean |first - last visit| of each frame when the clip is played 1..N..1, in levels of 255;
               "standing" leaves out what moves by itself
  SWD          sliced Wasserstein distance to the true textures; for the true frames, of two draws from them"""


@dataclass(frozen=True)
class FootageEvaluation:
    data: Path | None = None
    """folder of real data sets; of these, camvid is used"""
    weights: Path | None = None
    """folder of another generator (config.json, model.safetensors)"""
    segmenter: Path | None = None
    """folder of another segmenter; it ought never to have seen painted frames"""
    clips: Count = 8
    """rendered clips; every second one is a street, the others are landscapes"""
    cache: Path = Path("runs/evaluate")
    """where the rendered clips are kept"""
    long: bool = False
    """also paint 2,000 frames and see whether memory grows"""
    json: Path | None = None
    """where all figures go"""
    sheet: Path | None = None
    """where a contact sheet goes (.png)"""
    overwrite: bool = False
    """replace existing outputs"""


def main(argv: Sequence[str]) -> None:
    """Parse the options, measure, print the tables, write the files."""
    options = parse(FootageEvaluation, argv, prog="viewsynth evaluate footage", description=EXAMPLES)
    check_outputs((options.json, options.sheet), options.overwrite)
    around = surroundings()
    folders = {"footage": options.weights, "motion": None, "segmenter": options.segmenter}
    around["weights"] = {name: fingerprint(folder or WEIGHTS / name) for name, folder in folders.items()}
    figures, pictures = evaluate(FootagePipeline.from_pretrained(options.weights), options)
    print("\n".join(["", "targets:", *(target.line() for target in figures["targets"])]))
    if options.json is not None:
        write_json(options.json, around | {"options": asdict(options)} | figures)
    if options.sheet is not None:
        write_png(options.sheet, sheet(("labels", *METHODS), pictures, *SIZE))


def evaluate(pipeline: FootagePipeline, options: FootageEvaluation) -> tuple[dict[str, Any], list[list[Tensor | None]]]:
    """Measure everything, and print each table as soon as it is there.

    Returns:
        all figures by name, and the rows of the contact sheet.

    Raises:
        InputError: the data or the segmenter are not what they ought to be.
    """
    notes: list[str] = []
    if (busy := load()) > 1:
        notes.append(f"speed: other programs were running (load {busy:.1f}), the machine can do better")
    segmenter = load_segmenter(options.segmenter)
    drive = None if options.data is None else camvid_folder(options.data)
    large = rendered(options.cache, 1, SPEED_SIZE)[0]
    costs = speeds(pipeline, large, drive)
    print(
        table(f"speed at {SPEED_SIZE[0]}x{SPEED_SIZE[1]}, {torch.get_num_threads()} threads", by_part(costs)),
        flush=True,
    )
    long_run = growth(pipeline, real_labels(drive) if drive else large.labels, pipeline.style()) if options.long else {}
    kinds = takes_by_kind(pipeline, options, drive, notes)
    takes = list(chain.from_iterable(kinds.values()))
    judged = {take.name: judge(take, segmenter) for take in progress(takes, len(takes), "judging", "clip")}
    together = [*kinds.get(STREET, []), *kinds.get(LANDSCAPE, [])]
    groups = kinds | ({RENDERED: together} if together else {})
    quality = {name: summary([judged[take.name] for take in group]) for name, group in groups.items()}
    for name, rows in quality.items():
        print(table(f"\n{name} ({len(groups[name])} x {len(groups[name][0].labels)} frames)", rows))
    print("\n".join(["", LEGEND, *notes]), flush=True)
    figures = {
        "speed": costs,
        "long run": long_run,
        "quality": quality,
        "clips": {name: found.rows for name, found in judged.items()},
        "notes": notes,
        "targets": targets(costs, long_run, quality),
    }
    return figures, [row for group in kinds.values() for take in group[:ON_SHEET] for row in contact_rows(take)]


def camvid_folder(data: Path) -> Path:
    """The CamVid folder in a folder of data sets.

    Raises:
        InputError: there is none.
    """
    folder = data / "camvid"
    if not (folder / HELD_OUT[0] / "labels").is_dir():
        raise InputError(f"{data}: expected a folder of data sets, with camvid/{HELD_OUT[0]}/labels in it")
    return folder


def real_labels(drive: Path) -> Iterator[Tensor]:
    """CamVid's held-out labels at the size at which speed is measured, read from their files one by one."""
    return (resized(ids, *SPEED_SIZE) for ids in open_labels(drive / HELD_OUT[0] / "labels", "camvid"))


def rendered(cache: Path, count: int, size: tuple[int, int]) -> ClipSet:
    """Held-out clips, rendered when they are not in the cache."""
    clips = ClipSet(cache, count, frames=FRAMES, height=size[0], width=size[1], seed=HELD_OUT_SEED)
    clips.make()
    return clips


def speeds(pipeline: FootagePipeline, clip: Clip, drive: Path | None) -> dict[str, Any]:
    """``speed.speed`` with memory on a rendered clip, and without on real labels if there are any, else on the same."""
    style, known = pipeline.style(), shots_of(clip)

    def real() -> Iterable[Shot]:
        return map(Shot, real_labels(drive)) if drive else known

    unguided = f"{LABELS} (CamVid)" if drive else LABELS
    return {
        GUIDED: speed(pipeline, lambda: known, style, SPEED_SIZE, guided=True),
        unguided: speed(pipeline, real, style, SPEED_SIZE, guided=False),
    }


def by_part(costs: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Costs as a table: a row per figure, a column per run."""
    parts = dict.fromkeys(part for cost in costs.values() for part in cost["ms per frame"])
    rows = {
        name: {run: cost[name] for run, cost in costs.items()} for name in ("frames per second", "frames", "peak MiB")
    }
    return rows | {
        f"ms, {part}": {run: cost["ms per frame"].get(part, math.nan) for run, cost in costs.items()} for part in parts
    }


def takes_by_kind(
    pipeline: FootagePipeline, options: FootageEvaluation, drive: Path | None, notes: list[str]
) -> dict[str, list[Take]]:
    """Paint all clips, but for those that show what the weights have not learnt; kinds without a clip are left out."""
    kinds: dict[str, list[Take]] = {STREET: [], LANDSCAPE: [], DRIVE: []}
    clips = rendered(options.cache, options.clips, SIZE)
    for k in progress(range(len(clips)), len(clips), "painting", "clip"):
        clip, kind = clips[k], LANDSCAPE if k % 2 else STREET
        name = f"{kind} {k // 2 + 1}"
        if knows(pipeline, clip.labels, name, notes):
            kinds[kind].append(take_of_clip(pipeline, clip, name))
    if drive is not None:
        rgb, labels = read_drive(drive)
        if knows(pipeline, labels, DRIVE, notes):
            kinds[DRIVE].append(take_of_drive(pipeline, rgb, labels, DRIVE))
    return {kind: takes for kind, takes in kinds.items() if takes}


def knows(pipeline: FootagePipeline, labels: Tensor, name: str, notes: list[str]) -> bool:
    """Whether the weights have learnt all that labels show; if not, a note says what is missing."""
    shown = [CLASSES[label] for label in labels.unique().tolist() if label != NO_LABEL]
    missing = [label for label in shown if label not in pipeline.generator.config.classes]
    if missing:
        notes.append(f"not measured: {name}, these weights have not learnt {', '.join(missing)}")
    return not missing


def targets(
    costs: Mapping[str, Any], long_run: Mapping[str, float], quality: Mapping[str, Mapping[str, Mapping[str, float]]]
) -> list[Target]:
    """What was wished for and what came of it; nan for what was not measured."""

    def found(group: str, method: str, name: str) -> float:
        return quality.get(group, {}).get(method, {}).get(name, math.nan)

    everywhere = [(RENDERED, GUIDED), (RENDERED, LABELS), *([(DRIVE, LABELS)] if DRIVE in quality else [])]
    back, forgotten = (found(RENDERED, method, "return") for method in (GUIDED, LABELS))
    return [
        *(
            Target(f"labels obeyed, mIoU / true, {group}, {method}", found(group, method, "mIoU / true"), 0.9, True)
            for group, method in everywhere
        ),
        *(
            Target(f"does not flicker, warp error / true, {group}, {m}", found(group, m, "warp error / true"), 1.3)
            for group, m in everywhere
        ),
        *(
            Target(f"sharp, detail / true, {group}, {method}", found(group, method, "detail / true"), 0.7, True)
            for group, method in everywhere
        ),
        Target("remembers, |first - last visit| in levels of 255, guided", back, 3.0),
        Target("remembers, labels only / guided", forgotten / back if back else math.inf, 4.0, True),
        *(
            Target(f"frames per second at {SPEED_SIZE[0]}x{SPEED_SIZE[1]}, {run}", cost["frames per second"], 4.0, True)
            for run, cost in costs.items()
        ),
        Target("constant memory, MiB more over the long run", long_run.get("MiB more", math.nan), 32.0),
    ]


def contact_rows(take: Take) -> list[list[Tensor | None]]:
    """First, middle and last frame: the labels, and what each method made of them."""
    colours = torch.from_numpy(palette())
    rows: list[list[Tensor | None]] = []
    for t in (0, len(take.labels) // 2, len(take.labels) - 1):
        painted = [take.frames[method][t] if method in take.frames else None for method in METHODS]
        rows.append([colours[take.labels[t]].permute(2, 0, 1), *painted])
    return rows
