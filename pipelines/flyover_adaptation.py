"""A refiner that knows one photo better: fine-tuned on ways out of it and back, before the flight.

What is trained is a copy; it is the recipe's own step (`pipelines.training.refiner`), with the photo, as it is, in the
place of all data (InfiniteNature-Zero, Li et al. 2022, section 3.1, for a single picture).
"""

from __future__ import annotations

import time
from copy import deepcopy

import torch
from torch import Tensor

from infinite_view.refiner import Refiner
from pipelines.progress import Meter
from pipelines.training.journeys import Journey, way_home
from pipelines.training.refiner import RefinerRecipe, RefinerTraining
from pipelines.training.run import Kit
from render_refine.camera import Camera

LEARNING_RATE = 1e-4  # a quarter of the recipe's, since it goes on from what was learned
WINDOW = (128, 192)  # pixels, at most, of what is drawn in training


class Adaptation(RefinerRecipe):
    """The refiner's recipe for one photo, going on from a trained refiner.

    Args:
        kit: where to train.
        refiner: what to go on from; it stays as it is.
        rgb: (3, H, W) in [0, 1]; depth: (H, W), whose nearest tenth is at 1; camera: of the photo.
    """

    def __init__(self, kit: Kit, refiner: Refiner, rgb: Tensor, depth: Tensor, camera: Camera) -> None:
        height, width = (min(most, side) for most, side in zip(WINDOW, depth.shape, strict=True))
        config = RefinerTraining(
            refiner.config, long=0, short=2, leaps=0, height=height, width=width, learning_rate=LEARNING_RATE
        )
        super().__init__(kit, None, None, config, start=deepcopy(refiner))
        self.photo = rgb.cpu(), depth.cpu(), camera.to("cpu")

    def short_journey(self, generator: torch.Generator) -> Journey:
        return way_home(*self.photo, self.config.height, self.config.width, generator)


def adapted(
    refiner: Refiner, rgb: Tensor, depth: Tensor, camera: Camera, seconds: float, device: torch.device, seed: int = 0
) -> Refiner:
    """A copy of a refiner, fine-tuned on one photo for some seconds; how many steps that is depends on the machine.

    Args:
        refiner: what to go on from.
        rgb: (3, H, W) in [0, 1]; depth: (H, W), whose nearest tenth is at 1; camera: of the photo.
        seconds: how long.
        device: where to train.
        seed: of the ways out and back.
    """
    kit = Kit(device)
    recipe = Adaptation(kit, refiner, rgb, depth, camera)
    generator = torch.Generator().manual_seed(seed % 2**32)
    step, began = 0, time.monotonic()
    with Meter(seconds, "adapting to the photo", "s") as meter:
        while (spent := time.monotonic() - began) < seconds:
            kit.progress = spent / seconds
            recipe.step(step, generator)
            recipe.ema["refiner"].update(recipe.refiner, step)
            step += 1
            meter.reach(min(time.monotonic() - began, seconds), f"{step} steps")
    return deepcopy(recipe.ema["refiner"].module).to(memory_format=torch.channels_last)
