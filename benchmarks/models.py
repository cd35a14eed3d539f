"""How good the bundled models are on worlds that they never saw, beside plain baselines in the same run.

    python benchmarks/models.py --worlds FOLDER [--count 60] [--clips FOLDER] [--photos FOLDER] [--json FILE]

Depth: error of log depth after the best scale, and overlap of the sky, against the mean depth and sky of each
picture row over the other worlds (a landscape without looking at it). Refiner: PSNR, SSIM and
Laplacian energy of completed views against the true frame, over the pixels that are not known at full
detail, against smooth filling and OpenCV's inpainting; with --photos also on the held-out photographs, flown
out and back. Motion and segmenter, on held-out clips with --clips: error of the flow in pixels over what is
visible, against no motion and against each pixel's mean flow over the other clips; mean IoU and accuracy.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from infinite_view.refiner import Refiner, ViewBatch, magnified
from infinite_view.virtual_views import out_and_back, random_away, seen_from
from pipelines.models import load_depth, load_motion, load_refiner, load_segmenter
from pipelines.perception.agreement import confusion, mean_iou, pixel_accuracy
from pipelines.training.clip_set import ClipSet
from pipelines.training.photo_set import PhotoSet, free_photos, split
from pipelines.training.world_set import HELD_OUT_SEED, WorldSet
from pipelines.worlds.world import Frame
from render_refine.camera import Camera
from render_refine.memory import View
from render_refine.metrics import laplacian_energy, psnr
from render_refine.precision import autocast
from vid2vid.generator import one_hot

Scores = dict[str, float]


def depth_scores(targets: list[Frame]) -> dict[str, Scores]:
    """Mean scores of the depth model and of the row prior: what the other frames show in a row, on average."""
    estimate = load_depth()
    log_near = [f.depth.log() - f.depth[f.depth.isfinite()].log().median() for f in targets]
    rows: dict[str, list[Scores]] = {"model": [], "row prior": []}
    for index, frame in enumerate(targets):
        others = torch.stack([log for k, log in enumerate(log_near) if k != index])
        finite = others.isfinite()
        mean_row = torch.where(finite, others, 0).sum((0, 2)) / finite.sum((0, 2)).clamp_min(1)
        sky_row = finite.float().mean((0, 2)) < 0.5
        prior = torch.where(sky_row, math.inf, mean_row.exp())[:, None].expand_as(frame.depth)
        rows["row prior"].append(compare_depth(prior, frame.depth))
        rows["model"].append(compare_depth(estimate(frame.rgb), frame.depth))
    return {name: mean_of(scores) for name, scores in rows.items()}


def compare_depth(predicted: Tensor, true: Tensor) -> Scores:
    """Scale-free log error where both are finite, and intersection over union of the sky."""
    both = predicted.isfinite() & true.isfinite()
    difference = (predicted.log() - true.log())[both]
    error = (difference - difference.median()).abs().mean() if both.any() else torch.tensor(math.nan)
    union = (predicted.isinf() | true.isinf()).sum()
    sky = (predicted.isinf() & true.isinf()).sum() / union if union else torch.tensor(1.0)
    return {"log error": float(error), "sky overlap": float(sky)}


def refiner_scores(examples: Iterator[tuple[View, Tensor, Tensor]]) -> dict[str, Scores]:
    """Mean scores of refined views and of the baselines."""
    refiner = load_refiner()
    rows: dict[str, list[Scores]] = {"refined": [], "smooth fill": [], "OpenCV inpainting": []}
    for index, (view, rgb, depth) in enumerate(examples):
        free = (magnified(view.density) > 0.25) | ~view.known
        if free.float().mean() < 0.01:
            continue
        for name, drawn in (
            ("refined", refine(refiner, view, rgb, depth, index)),
            ("smooth fill", view.rgb),
            ("OpenCV inpainting", inpaint(view)),
        ):
            energy = laplacian_energy(drawn[None] * free) / laplacian_energy(rgb[None] * free).clamp_min(1e-9)
            hole = ~view.known
            scores = {"PSNR new": float(psnr(drawn, rgb, free[None])), "detail": float(energy)}
            if hole.float().mean() > 0.01:
                scores["PSNR holes"] = float(psnr(drawn, rgb, hole[None]))
            rows[name].append(scores)
    return {name: mean_of(scores) for name, scores in rows.items()}


@torch.no_grad()
def refine(refiner: Refiner, view: View, rgb: Tensor, depth: Tensor, seed: int) -> Tensor:
    """The refiner's picture of a view, with the style of the true frame (a flight has that of its start)."""
    noise = torch.randn(1, 1, *rgb.shape[-2:], generator=torch.Generator().manual_seed(seed))
    with autocast("cpu"):
        z = refiner.style(rgb[None], depth[None])[0].float()
        return refiner(ViewBatch.of([view]), z, noise).rgb[0]


def inpaint(view: View) -> Tensor:
    """What OpenCV makes of the holes (Telea 2004)."""
    image = (view.rgb * view.known * 255).round().byte().permute(1, 2, 0).numpy()
    filled = cv2.inpaint(np.ascontiguousarray(image), (~view.known).byte().numpy(), 5, cv2.INPAINT_TELEA)
    return torch.from_numpy(filled).permute(2, 0, 1).float() / 255


def world_views(worlds: WorldSet) -> Iterator[tuple[View, Tensor, Tensor]]:
    """What the source frame shows of the target's place."""
    for index in range(worlds.count):
        pair = worlds[index]
        everywhere = torch.ones_like(pair.source.depth, dtype=torch.bool)
        view = seen_from(pair.source.rgb, pair.source.depth, everywhere, pair.source.camera, pair.target.camera)
        yield view, pair.target.rgb, pair.target.depth


def photo_views(photos: PhotoSet, each: int = 3) -> Iterator[tuple[View, Tensor, Tensor]]:
    """Photographs flown out and back."""
    for index in range(len(photos)):
        rgb, depth = photos[index]
        camera = Camera.from_fov(depth.shape[0], depth.shape[1], math.radians(60))
        for seed in range(each):
            away = random_away(camera, depth, torch.Generator().manual_seed(seed))
            yield out_and_back(rgb, depth, camera, away, camera), rgb, depth


@torch.no_grad()
def motion_scores(clips: ClipSet) -> dict[str, dict[str, Scores]]:
    """Mean distance of predicted from true flow in pixels, of the last frame of each clip to the one before."""
    network = load_motion()
    found: dict[str, list[tuple[Tensor, Tensor, Tensor, Tensor]]] = {"streets": [], "landscapes": []}
    for index in range(clips.count):
        clip = clips[index]
        maps = [one_hot(labels[None]) for labels in clip.labels]
        flow, logit = torch.zeros(1, 2, *clip.labels.shape[-2:]), torch.zeros(())
        for before, now in pairwise(maps):
            flow, logit = network(now, before, flow)
        last = len(clip) - 1
        true, visible = clip.flow_back(last), clip.visible_back(last)
        kind = "landscapes" if index % 2 else "streets"
        found[kind].append((flow[0], logit[0, 0] > 0, torch.where(visible, true, 0.0), visible))
    report = {}
    for kind, rows in found.items():
        scores: dict[str, list[Scores]] = {"network": [], "no motion": [], "mean flow of the others": []}
        for k, (flow, seen, true, visible) in enumerate(rows):
            others = [row for j, row in enumerate(rows) if j != k]
            mean = sum(row[2] for row in others) / sum(row[3] for row in others).clamp_min(1)
            for name, guess in zip(scores, (flow, torch.zeros_like(flow), mean), strict=True):
                scores[name].append({"pixels": float((guess - true).norm(dim=0)[visible].mean())})
            scores["network"][-1]["visibility right"] = float((seen == visible).float().mean())
        report[kind] = {name: mean_of(score) for name, score in scores.items()}
    return report


def segmenter_scores(clips: ClipSet) -> dict[str, Scores]:
    """Mean IoU and pixel accuracy on the last frame of each clip."""
    segmenter = load_segmenter()
    tables = {"streets": 0, "landscapes": 0}
    for index in range(clips.count):
        clip = clips[index]
        tables["landscapes" if index % 2 else "streets"] += confusion(clip.labels[-1], segmenter.segment(clip.rgb[-1]))
    tables["both"] = sum(tables.values())
    return {kind: {"mIoU": mean_iou(t), "accuracy": pixel_accuracy(t)} for kind, t in tables.items()}


def mean_of(scores: list[Scores]) -> Scores:
    """Mean of each score over the rows that have it and are finite."""
    names = {name for row in scores for name in row}
    return {n: statistics.fmean(r[n] for r in scores if math.isfinite(r.get(n, math.nan))) for n in sorted(names)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=Path, required=True)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--clips", type=Path)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    worlds = WorldSet(options.worlds, options.count, seed=HELD_OUT_SEED)
    worlds.make()
    targets = [worlds[k].target for k in range(worlds.count)]
    report = {"depth, landscapes": depth_scores(targets), "refiner, worlds": refiner_scores(world_views(worlds))}
    if options.clips:
        clips = ClipSet(options.clips, options.count, frames=4, seed=HELD_OUT_SEED)
        clips.make()
        report["depth, streets"] = depth_scores([clips[k].frame(0) for k in range(0, clips.count, 2)])
        report |= {f"motion, {kind}": scores for kind, scores in motion_scores(clips).items()}
        report["segmenter"] = segmenter_scores(clips)
    if options.photos:
        held_out = PhotoSet(split(free_photos(options.photos))[1], load_depth())
        report["refiner, photos"] = refiner_scores(photo_views(held_out))
    for title, table in report.items():
        print(title)
        for name, scores in table.items():
            print(f"  {name:20}", "  ".join(f"{key} {value:.3f}" for key, value in scores.items()))
    if options.json:
        options.json.write_text(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
