"""Point clouds out: PLY, as MeshLab, Blender and CloudCompare open it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import Tensor

from pipelines.media.images import write_whole

POINT = np.dtype([("xyz", "<f4", 3), ("rgb", "u1", 3)])  # 15 bytes, packed


def write_points(path: Path | str, xyz: Tensor, rgb: Tensor) -> None:
    """Write coloured points as a binary PLY; the whole file appears at once.

    Args:
        path: of the file.
        xyz: (N, 3) positions, x right, y down, z forward.
        rgb: (N, 3) sRGB in [0, 1].

    Raises:
        InputError: the file cannot be written.
        ValueError: other shapes, or a position that is not finite.
    """
    if xyz.ndim != 2 or xyz.shape[1] != 3 or rgb.shape != xyz.shape:
        raise ValueError(f"expected positions and colours (N, 3), got {tuple(xyz.shape)} and {tuple(rgb.shape)}")
    if not bool(xyz.isfinite().all()):
        raise ValueError("expected finite positions")
    points = np.empty(len(xyz), POINT)
    points["xyz"] = xyz.detach().cpu().numpy()
    points["rgb"] = (rgb.detach().clamp(0, 1) * 255).round().cpu().numpy()
    names = [f"property float {axis}" for axis in "xyz"] + [f"property uchar {c}" for c in ("red", "green", "blue")]
    header = [
        "ply",
        "format binary_little_endian 1.0",
        "comment x right, y down, z forward",
        f"element vertex {len(points)}",
        *names,
        "end_header",
    ]
    write_whole(Path(path), "\n".join(header).encode() + b"\n" + points.tobytes())
