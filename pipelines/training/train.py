"""``viewsynth train RECIPE``: make a bundled model again, or one's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from pipelines.cli import parse
from pipelines.models import load_depth, usable_device
from pipelines.options import Count
from pipelines.training.run import Budget, Kit, Recipe, run

EXAMPLES = """Train a model, resumable after a kill at any moment: run the same command again.

recipes:
  depth      depth of landscapes from one photo, on procedural worlds
  refiner    what a flyover draws where its memory has holes, on worlds and, with --photos, on photographs

examples:
  viewsynth train depth --minutes 60
  viewsynth train refiner --minutes 120 --photos photos/ -o runs/refiner
  viewsynth flyover photo.jpg --weights runs/refiner/model

The worlds are rendered first, once, on all cores. The run's folder holds log.jsonl, samples/*.png (look at
them), checkpoint.pt and at the end model/."""


@dataclass(frozen=True)
class TrainOptions:
    recipe: tyro.conf.Positional[Literal["depth", "refiner"]]
    """depth or refiner"""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """folder of the run; runs/RECIPE when left out"""
    minutes: float | None = None
    """how long to train"""
    steps: Count | None = None
    """how many steps to train"""
    worlds: Path = Path("runs/worlds")
    """folder for the rendered worlds"""
    pairs: Count = 2000
    """how many pairs of frames to render"""
    photos: Path | None = None
    """folder of photographs with a manifest.csv (columns file, licence), for the refiner"""
    device: str = "cpu"
    """cpu, cuda or cuda:N"""
    seed: int = 0
    """of everything random"""


def main(argv: Sequence[str]) -> None:
    """Parse the options and train."""
    options = parse(TrainOptions, argv, prog="viewsynth train", description=EXAMPLES)
    usable_device(options.device)
    budget = Budget(options.steps, options.minutes)
    build = BUILDERS[options.recipe](options)
    run(build, options.output or Path("runs") / options.recipe, budget, device=options.device, seed=options.seed)


def depth(options: TrainOptions):
    """Builder of the depth recipe."""
    from pipelines.training.depth import DepthConfig, DepthRecipe
    from pipelines.training.world_set import WorldSet

    config = DepthConfig(pairs=options.pairs)
    worlds = WorldSet(options.worlds, config.pairs, height=config.height, width=config.width)
    worlds.make()

    def build(kit: Kit) -> Recipe:
        return DepthRecipe(kit, worlds, config)

    return build


def refiner(options: TrainOptions):
    """Builder of the refiner recipe."""
    from pipelines.training.photo_set import PhotoSet, free_photos, split
    from pipelines.training.refiner import RefinerRecipe, RefinerTraining
    from pipelines.training.world_set import WorldSet

    config = RefinerTraining(pairs=options.pairs)
    worlds = WorldSet(options.worlds, config.pairs)
    worlds.make()
    photos = None
    if options.photos is not None:
        photos = PhotoSet(split(free_photos(options.photos))[0], load_depth(options.device))

    def build(kit: Kit) -> Recipe:
        return RefinerRecipe(kit, worlds, photos, config)

    return build


BUILDERS = {"depth": depth, "refiner": refiner}
