"""Whether what lights up at night is found by day: places that were rendered by day, with all light that they hold."""

from __future__ import annotations

import math
from pathlib import Path

import torch

from pipelines.evaluation.takes import Rows
from pipelines.progress import progress
from pipelines.training.lit_places import LitPlaces
from pipelines.training.world_set import HELD_OUT_SEED
from vid2vid.detector import Detector
from vid2vid.lights import KINDS

HALF = 0.5  # share of a pixel from which it counts as light


def held_out_lit(cache: Path, places: int) -> LitPlaces:
    """``places`` with the light that they could give, rendered when they are not in the cache."""
    lit = LitPlaces(cache, places, seed=HELD_OUT_SEED)
    lit.make()
    return lit


def measured_lights(detector: Detector, places: LitPlaces) -> Rows:
    """Precision, recall and intersection over union of the pixels that give light, by kind and of any kind."""
    both, found, true = (torch.zeros(len(KINDS) + 1) for _ in range(3))
    for index in progress(range(len(places)), len(places), "light found", "place"):
        place = places[index]
        answer, truth = (with_any(shares > HALF) for shares in (detector.shares(place.rgb), place.shares))
        for total, mask in ((both, answer & truth), (found, answer), (true, truth)):
            total += mask.flatten(1).sum(dim=1)
    ratios = {"precision": both / found, "recall": both / true, "IoU": both / (found + true - both)}
    return {
        kind: {name: float(ratio[k]) if true[k] > 0 else math.nan for name, ratio in ratios.items()}
        for k, kind in enumerate((*KINDS, "any"))
    }


def with_any(masks: torch.Tensor) -> torch.Tensor:
    """Masks (K, H, W) and the union of all, (K + 1, H, W)."""
    return torch.cat([masks, masks.any(dim=0, keepdim=True)])
