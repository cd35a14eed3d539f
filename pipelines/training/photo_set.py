"""Real photographs as training data: single pictures, with depth from our own network.

Only files that ``manifest.csv`` beside them names with a licence that allows it are taken, and every fifth
of these (by name) is held out for evaluation.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from pipelines.errors import InputError
from pipelines.media.images import read_image
from pipelines.perception.depth import DepthEstimator

# Licences that let a trained model be shared: public domain, attribution, and the stock sites' own.
FREE_LICENCES = ("CC0", "CC BY 2.0", "CC BY 4.0", "Unsplash", "Pexels", "Pixabay", "BSD-3-Clause")
SHORT_SIDE = 288  # pixels


def free_photos(folder: Path) -> list[Path]:
    """The photos of a folder whose licence allows training, by name.

    Raises:
        InputError: no manifest.csv (columns ``file`` and ``licence``), or nothing in it may be used.
    """
    manifest = folder / "manifest.csv"
    if not manifest.is_file():
        raise InputError(f"{manifest}: not found; wanted a table with the columns file and licence")
    with open(manifest, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = sorted(r["file"] for r in rows if any(free in (r.get("licence") or "") for free in FREE_LICENCES))
    photos = [folder / name for name in names if (folder / name).is_file()]
    if not photos:
        raise InputError(f"{manifest}: names no photo with a free licence")
    return photos


def split(photos: list[Path]) -> tuple[list[Path], list[Path]]:
    """Training and held-out photos."""
    return [p for k, p in enumerate(photos) if k % 5], photos[::5]


class PhotoSet:
    """Photos with estimated depth, kept in memory: rgb (3, H, W) in [0, 1] and depth (H, W)."""

    def __init__(self, photos: list[Path], estimate: DepthEstimator) -> None:
        self.items = [self._read(photo, estimate) for photo in photos]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        rgb, depth = self.items[index]
        return rgb.float() / 255, depth

    @staticmethod
    def _read(photo: Path, estimate: DepthEstimator) -> tuple[Tensor, Tensor]:
        rgb = read_image(photo)
        scale = min(1.0, SHORT_SIDE / min(rgb.shape[-2:]))
        size = [math.ceil(side * scale) for side in rgb.shape[-2:]]
        rgb = F.interpolate(rgb[None], size=size, mode="bilinear", antialias=True, align_corners=False)[0]
        return (rgb.clamp(0, 1) * 255).round().to(torch.uint8), estimate(rgb)
