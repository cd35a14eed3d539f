"""Training data for finding where snow would lie: places in summer and autumn, and where they are white in winter."""

from __future__ import annotations

import torch
from torch import Tensor

from pipelines.training.detector import Place
from pipelines.training.light_set import HOURS, SEASONS, LightSet
from vid2vid.classes import class_ids

# Brightness by which the darkest colour of a pixel rises: from here on it is snow, and by so much more all snow.
RISE, MORE = 0.12, 0.25
NOT_GROUND = class_ids(("sky", "water"))


# Lights in which a place is looked at: mostly by day in summer; hours within seasons.
LIGHTS = (0, 0, 0, 0, 0, 1, 1, 2, 3, 4)


class SnowPlaces:
    """Places of a set in lights without snow, as pictures and the share of snow that winter brings."""

    def __init__(self, lights: LightSet) -> None:
        self.lights = lights

    def __len__(self) -> int:
        return len(self.lights) * len(LIGHTS)

    def __getitem__(self, index: int) -> Place:
        place, light = index // len(LIGHTS), LIGHTS[index % len(LIGHTS)]
        item = self.lights[place]
        frame = place % item.rgb.shape[1]
        share = snow_share(item.rgb[:, frame], item.labels[0, frame])
        return Place(item.rgb[light, frame], item.labels[light, frame], share)


def snow_share(rgb: Tensor, labels: Tensor) -> Tensor:
    """Where winter is white and the other seasons are not, by day: (1, H, W) in [0, 1].

    Args:
        rgb: (9, 3, H, W) one place in all lights, hours within seasons; labels: (H, W) in summer.
    """
    green, autumn, winter = (rgb[season * len(HOURS)].amin(dim=0) for season in range(len(SEASONS)))
    risen = (winter - torch.maximum(green, autumn) - RISE) / MORE
    return (risen.clamp(0, 1) * ~torch.isin(labels, labels.new_tensor(NOT_GROUND)))[None]
