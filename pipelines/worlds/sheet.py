"""Contact sheets of random worlds."""

from __future__ import annotations

from pathlib import Path

import cv2
import torch
from torch import Tensor

from pipelines.worlds.world import World


def world_sheet(seed: int = 0, rows: int = 6, columns: int = 4, height: int = 160, width: int = 256) -> Tensor:
    """(3, rows * height, columns * width) sRGB sheet of random worlds, each seen by a random camera."""
    generator = torch.Generator().manual_seed(seed)
    tiles = []
    for _ in range(rows * columns):
        world = World.random(generator)
        tiles.append(world.render(world.random_camera(generator, height, width), antialias=True).rgb)
    return torch.cat([torch.cat(tiles[r * columns : (r + 1) * columns], dim=2) for r in range(rows)], dim=1)


def save_sheet(path: str | Path, sheet: Tensor) -> None:
    """Write a sheet (3, H, W) as an image file."""
    image = (sheet.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    if not cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 9]):
        raise OSError(f"{path}: cannot be written")
