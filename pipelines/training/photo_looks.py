"""Photographs as examples for the restyler: a photo whose look was taken away is to get it back from a part of itself.

Worlds alone would leave the network a stranger to real grass and real walls. Nothing is known of a photo under another
light, but its own look is: exposure, colours and contrast are changed at random, and the picture by which they are to
be restored is another part of the photo. One in four is to stay as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from pipelines.media.images import read_image
from pipelines.training.augment import chance, grade, jpeg, sensor, uniform
from pipelines.training.light_pairs import Example
from vid2vid.classes import NO_LABEL

SHORT_SIDE = 320  # pixels, kept in memory
UNCHANGED = 0.25
FARTHEST = 6  # pixels that the second frame is shifted against the first


class PhotoLooks:
    """Examples of height x width from photographs."""

    def __init__(self, photos: Sequence[Path], height: int = 128, width: int = 192) -> None:
        self.height, self.width = height, width
        self.photos = [self._reduced(read_image(photo)) for photo in photos]

    def batch(self, count: int, generator: torch.Generator) -> Example:
        """``count`` examples; their labels are unknown (255), the second frame is the first one shifted."""
        drawn = [self.example(generator) for _ in range(count)]
        return Example(*(torch.stack(parts) for parts in zip(*drawn, strict=True)))

    def example(self, generator: torch.Generator) -> Example:
        """One example; hour and season are nan, "as it is", and mean it when source and target are alike."""
        photo = self.photos[int(torch.randint(len(self.photos), (), generator=generator))]
        if chance(generator, 0.5):
            photo = photo.flip(-1)
        right, down = (int(uniform(generator, -FARTHEST, FARTHEST + 1)) for _ in range(2))
        frames = self.crop(photo, generator, FARTHEST)
        rows, columns = ((FARTHEST, FARTHEST + step) for step in (down, right))
        target = torch.stack(
            [frames[:, i : i + self.height, j : j + self.width] for i, j in zip(rows, columns, strict=True)]
        )
        source = target
        if not chance(generator, UNCHANGED):
            camera = int(torch.randint(2**31, (), generator=generator))
            source = torch.stack([grade(frame, torch.Generator().manual_seed(camera)) for frame in target])
            if chance(generator, 0.5):
                source = torch.stack([jpeg(sensor(frame, generator), generator) for frame in source])
        flow = torch.tensor([float(right), float(down)]).view(2, 1, 1).expand(2, self.height, self.width)
        keep = torch.tensor(torch.nan)
        return Example(
            source,
            target,
            torch.full((2, self.height, self.width), NO_LABEL),
            flow,
            torch.ones(1, self.height, self.width),
            keep,
            keep,
            self.crop(photo, generator, 0),
        )

    def crop(self, photo: Tensor, generator: torch.Generator, margin: int) -> Tensor:
        """A part of a photo (3, H, W), resized, with ``margin`` pixels more on all sides."""
        height, width = self.height + 2 * margin, self.width + 2 * margin
        largest = min(photo.shape[-2] / height, photo.shape[-1] / width)
        scale = uniform(generator, min(0.9, largest), largest)
        size = [int(scale * height), int(scale * width)]
        top, left = (int(uniform(generator, 0, a - b + 1)) for a, b in zip(photo.shape[-2:], size, strict=True))
        part = photo[None, :, top : top + size[0], left : left + size[1]].float() / 255
        return F.interpolate(part, (height, width), mode="bilinear", antialias=True, align_corners=False)[0].clamp(0, 1)

    @staticmethod
    def _reduced(photo: Tensor) -> Tensor:
        scale = min(1.0, SHORT_SIDE / min(photo.shape[-2:]))
        size = [round(side * scale) for side in photo.shape[-2:]]
        photo = F.interpolate(photo[None], size=size, mode="bilinear", antialias=True, align_corners=False)[0]
        return (photo.clamp(0, 1) * 255).round().to(torch.uint8)
