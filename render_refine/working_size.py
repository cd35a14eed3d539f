"""The size at which a network looks at a picture of any size."""

from __future__ import annotations

LARGEST_RATIO = 4.0  # of a picture's sides, where the shorter one is still brought to the working size


def working_size(height: int, width: int, side: int) -> tuple[int, int]:
    """The even size at which a network looks at a picture: the aspect kept, the shorter side ``side``."""
    scale = side / max(min(height, width), max(height, width) / LARGEST_RATIO)
    return max(16, 2 * round(scale * height / 2)), max(16, 2 * round(scale * width / 2))
