"""Drawing what the restyler learns from: a place in one light, the same in another, and what was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from pipelines.training.augment import chance, grade, jpeg, sensor, uniform
from pipelines.training.light_set import HOURS, Lights, LightSet

CHANGES = (0.44, 0.36, 0.1)  # shares of: the hour alone, the season alone, both; the rest asks for no change
FROM_HOURS, FROM_SEASONS = (0.76, 0.16, 0.08), (0.74, 0.1, 0.16)
TO_HOURS, TO_SEASONS = (1.0, 1.0, 2.0), (1.0, 1.0, 1.0)  # of those that it is not: night has the most to learn
TOLD_ALL = 0.5  # share in which also what does not change is told


class Example(NamedTuple):
    """Two frames of a place (first, second), batched or not.

    Attributes:
        source: (2, 3, H, W) in [0, 1]; target: the same in the wished light.
        labels: (2, H, W) int64 ids of CLASSES of the source.
        flow: (2, H, W) pixels from the second frame to the first; visible: (1, H, W) in [0, 1].
        hour, season: () what is told of the target; nan for "as it is".
        reference: (3, H, W) another part of the place in the target's light.
    """

    source: Tensor
    target: Tensor
    labels: Tensor
    flow: Tensor
    visible: Tensor
    hour: Tensor
    season: Tensor
    reference: Tensor


@dataclass(frozen=True)
class LightPairs:
    """Examples of height x width from a set of lit places."""

    lights: LightSet
    height: int = 128
    width: int = 192

    def batch(self, count: int, generator: torch.Generator) -> Example:
        """``count`` examples, each field with a first dimension of ``count``."""
        drawn = [self.example(generator) for _ in range(count)]
        return Example(*(torch.stack(parts) for parts in zip(*drawn, strict=True)))

    def example(self, generator: torch.Generator) -> Example:
        """One example, made photographic."""
        item = self.lights[int(torch.randint(len(self.lights), (), generator=generator))]
        before, after = draw_change(generator)
        hour, season = told(item, before, after, generator)
        window = self.window(generator, item.rgb.shape[-2:])
        source, target = (self.cut(item.rgb[k], window) for k in (before, after))
        other = self.window(generator, item.rgb.shape[-2:])
        reference = self.cut(item.rgb[after, 1:], other)[0].flip(-1)
        labels = self.cut(item.labels[before][:, None].float(), window, nearest=True)[:, 0].long()
        flow = self.cut(item.flow[None], window)[0] * (self.width / window[3])
        visible = self.cut(item.visible[None, None].float(), window)[0]
        # One camera takes all pictures; its grading, and the air, are drawn anew.
        camera = int(torch.randint(2**31, (), generator=generator))
        strength = uniform(generator, 0, 0.8)
        source, target, reference = (
            torch.lerp(p, torch.stack([grade(f, torch.Generator().manual_seed(camera)) for f in p]), strength)
            for p in (source, target, reference[None])
        )
        if chance(generator, 0.5):
            source, target, labels, visible = (x.flip(-1) for x in (source, target, labels, visible))
            flow = flow.flip(-1) * flow.new_tensor([-1.0, 1.0])[:, None, None]
        if chance(generator, 0.5):
            source = torch.stack([jpeg(sensor(frame, generator), generator) for frame in source])
        return Example(source, target, labels, flow, (visible > 0.99).float(), hour, season, reference[0])

    def window(self, generator: torch.Generator, size: Sequence[int]) -> tuple[int, int, int, int]:
        """Top, left, height and width of a part of a picture of ``size``, of the examples' aspect."""
        largest = min(size[0] / self.height, size[1] / self.width)
        scale = uniform(generator, min(0.9, largest), largest)
        height, width = int(scale * self.height), int(scale * self.width)
        top, left = (int(uniform(generator, 0, a - b + 1)) for a, b in zip(size, (height, width), strict=True))
        return top, left, height, width

    def cut(self, images: Tensor, window: tuple[int, int, int, int], nearest: bool = False) -> Tensor:
        """A window of images (T, C, H, W) at the examples' size."""
        top, left, height, width = window
        part = images[..., top : top + height, left : left + width]
        if nearest:
            return F.interpolate(part, (self.height, self.width), mode="nearest-exact")
        return F.interpolate(part, (self.height, self.width), mode="bilinear", antialias=True, align_corners=False)


def draw_change(generator: torch.Generator) -> tuple[int, int]:
    """Indices into the nine lights of a place: before and after."""

    def pick(shares: tuple[float, ...]) -> int:
        return int(torch.multinomial(torch.tensor(shares), 1, generator=generator))

    def other(index: int, shares: tuple[float, ...]) -> int:
        return pick((*shares[:index], 0.0, *shares[index + 1 :]))

    hour, season = pick(FROM_HOURS), pick(FROM_SEASONS)
    change = pick((*CHANGES, 1 - sum(CHANGES)))
    new_hour = other(hour, TO_HOURS) if change in (0, 2) else hour
    new_season = other(season, TO_SEASONS) if change in (1, 2) else season
    return season * len(HOURS) + hour, new_season * len(HOURS) + new_hour


def told(item: Lights, before: int, after: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Hour and season of the target as they are told: what does not change is often left out."""
    said = []
    for values in (item.hours, item.seasons):
        stays = bool(values[before] == values[after])
        said.append(torch.tensor(torch.nan) if stays and not chance(generator, TOLD_ALL) else values[after])
    return said[0], said[1]
