"""How each method's new views are judged, pair by pair and together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pipelines.evaluation.takes import Rows, mean
from pipelines.evaluation.view_methods import Pair
from render_refine.metrics import psnr, sliced_wasserstein, ssim
from synsin.model import FARTHEST

LEAST_SHARE = 1e-3  # of the pixels: what is less is not judged by itself
VISIBLE, INVISIBLE = "visible", "invisible"


@dataclass(frozen=True, eq=False)
class Judged:
    """A pair, the share of the target that its source shows, what the methods made of it, and the figures of each."""

    pair: Pair
    visible: float
    pictures: Mapping[str, Tensor]
    rows: Rows


def judge(pair: Pair, pictures: Mapping[str, Tensor]) -> Judged:
    """PSNR and SSIM of all pixels, of those that the source shows, and of the others."""
    visible = pair.visible()
    masks = {"": None, f", {VISIBLE}": visible, f", {INVISIBLE}": ~visible}
    rows: Rows = {}
    for method, picture in pictures.items():
        rgb = picture.float() / 255
        rows[method] = {
            f"{figure}{part}": math.nan if scarce(mask) else float(measure(rgb, pair.target, mask))
            for figure, measure in (("PSNR", psnr), ("SSIM", ssim))
            for part, mask in masks.items()
        }
    return Judged(pair, float(visible.float().mean()), pictures, rows)


def scarce(mask: Tensor | None) -> bool:
    """Whether there are too few pixels to judge."""
    return mask is not None and float(mask.float().mean()) < LEAST_SHARE


def summary(judged: Sequence[Judged], textures: bool = True) -> Rows:
    """Means over pairs by method, and with ``textures`` the sliced Wasserstein distance of all pictures together."""
    rows = {method: means([j.rows[method] for j in judged]) for method in judged[0].pictures}
    if textures:
        truth = torch.stack([j.pair.target for j in judged])
        for method in rows:
            found = torch.stack([j.pictures[method] for j in judged]).float() / 255
            rows[method]["SWD"] = sliced_wasserstein(found, truth, torch.Generator().manual_seed(0))["mean"]
    return rows


def means(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each column, of those rows that have a number there."""
    return {name: mean([row[name] for row in rows]) for name in rows[0]}


def depth_figures(pair: Pair) -> dict[str, float]:
    """How good predicted depth is where true depth ends, after both medians are made one.

    Returns:
        "log error": the deviation of log predicted / true (scale-invariant, Eigen et al., NIPS 2014, with lambda 1);
        "delta < 1.25": the share of pixels within a factor of 1.25; nan where all is sky.
    """
    if pair.truth is None:
        raise ValueError("there is no true depth to compare with")
    ground = torch.isfinite(pair.truth)
    if not ground.any():
        return {"log error": math.nan, "delta < 1.25": math.nan}
    ratio = pair.depth[ground].clamp_max(FARTHEST).log() - pair.truth[ground].log()
    close = (ratio - ratio.median()).abs() < math.log(1.25)
    return {"log error": float(ratio.std(correction=0)), "delta < 1.25": float(close.float().mean())}
