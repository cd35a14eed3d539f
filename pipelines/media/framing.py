"""How a photo becomes the first frame: its size, its cut, and the lens that it was presumably taken with."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional as F

from pipelines.errors import InputError

FIELD_OF_VIEW = math.radians(60)  # along the longer side; photos seldom say
DEFAULT_AREA = 256 * 448  # pixels of a frame when no size is asked for
SMALLEST_SIDE = 16  # pixels
LARGEST_ASPECT = 8.0


def default_size(photo: Tensor) -> tuple[int, int]:
    """The photo's own aspect at about `DEFAULT_AREA` pixels, never enlarged, with even sides.

    Raises:
        InputError: a photo that is too small or too narrow.
    """
    height, width = photo.shape[-2:]
    if min(height, width) < SMALLEST_SIDE:
        raise InputError(f"the photo has {height}x{width} pixels; wanted at least {SMALLEST_SIDE} a side")
    if max(height, width) > LARGEST_ASPECT * min(height, width):
        raise InputError(
            f"the photo is {height}x{width}, more than {LARGEST_ASPECT:.0f} times as long as wide; "
            "crop it, or say --size"
        )
    scale = min(1.0, math.sqrt(DEFAULT_AREA / (height * width)))
    return tuple(2 * max(SMALLEST_SIDE // 2, round(side * scale / 2)) for side in (height, width))  # type: ignore[return-value]


def crop_to_aspect(image: Tensor, height: int, width: int) -> Tensor:
    """The largest centred part of (..., H, W) with the aspect height : width."""
    h, w = image.shape[-2:]
    scale = min(h / height, w / width)
    part_h, part_w = max(1, round(height * scale)), max(1, round(width * scale))
    top, left = (h - part_h) // 2, (w - part_w) // 2
    return image[..., top : top + part_h, left : left + part_w]


def fit(photo: Tensor, height: int, width: int) -> Tensor:
    """A photo (3, H, W) cropped to an aspect and resized, at 8 bits so that frame 0 is exactly this picture."""
    if min(height, width) < SMALLEST_SIDE:
        raise InputError(f"frames of {height}x{width} are too small; wanted at least {SMALLEST_SIDE} pixels a side")
    part = crop_to_aspect(photo, height, width)[None]
    resized = F.interpolate(part, size=(height, width), mode="bilinear", antialias=True, align_corners=False)[0]
    return (resized.clamp(0, 1) * 255).round() / 255
