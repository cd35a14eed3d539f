"""The size at which a network looks at a picture of any size."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

LARGEST_RATIO = 4.0  # of a picture's sides, where the shorter one is still brought to the working size


def working_size(height: int, width: int, side: int) -> tuple[int, int]:
    """The even size at which a network looks at a picture: the aspect kept, the shorter side ``side``."""
    scale = side / max(min(height, width), max(height, width) / LARGEST_RATIO)
    return max(16, 2 * round(scale * height / 2)), max(16, 2 * round(scale * width / 2))


def reduced(image: Tensor, side: int) -> Tensor:
    """An image (B, C, H, W) in [0, 1] at the working size for ``side``, averaged where it becomes smaller."""
    size = working_size(image.shape[-2], image.shape[-1], side)
    return F.interpolate(image, size, mode="bilinear", antialias=True, align_corners=False).clamp(0, 1)
