"""Pictures of random worlds: the contact sheet of the docs, and the demo view.

python -m pipelines.worlds.sheet docs/images/worlds.png pipelines/demo/demo.png
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator

import torch
from torch import Tensor

from pipelines.media.images import write_png
from pipelines.worlds.world import World

SHEET_SEED = 8
DEMO_TILE = 5  # of that sheet


def random_views(seed: int) -> Iterator[tuple[World, torch.Generator]]:
    """Random worlds without end, each with the generator that draws its camera."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        world = World.random(generator)
        camera_generator = torch.Generator()
        camera_generator.set_state(generator.get_state())
        yield world, camera_generator
        world.random_camera(generator, 160, 256)


def world_sheet(seed: int = SHEET_SEED, rows: int = 6, columns: int = 4, height: int = 160, width: int = 256) -> Tensor:
    """(3, rows * height, columns * width) sRGB sheet of random worlds, each seen by a random camera."""
    tiles = []
    for world, generator in itertools.islice(random_views(seed), rows * columns):
        tiles.append(world.render(world.random_camera(generator, height, width), antialias=True).rgb)
    return torch.cat([torch.cat(tiles[r * columns : (r + 1) * columns], dim=2) for r in range(rows)], dim=1)


def demo_view(height: int = 256, width: int = 448) -> Tensor:
    """(3, height, width) the view that a flyover without a photo flies into."""
    world, generator = next(itertools.islice(random_views(SHEET_SEED), DEMO_TILE, None))
    return world.render(world.random_camera(generator, height, width), antialias=True).rgb


if __name__ == "__main__":
    sheet_path, demo_path = sys.argv[1:]
    write_png(sheet_path, world_sheet())
    write_png(demo_path, demo_view())
