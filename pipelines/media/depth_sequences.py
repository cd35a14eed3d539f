"""A depth map per frame of a clip, as an engine writes them beside its labels.

A folder, or a printf pattern such as ``depth/%04d.exr``, of `.exr`, `.npy` or `.pfm` files as `depth_files.py`
describes them (depth z in scene units), or of 16-bit grey PNGs. A PNG of a sequence is depth itself:

    z = number * scale;  0 (nothing there) and 65535 (beyond the range) are sky

so that 0.001 reads millimetres into metres, as depth cameras and engines write them. This differs on purpose
from the single PNG that `depth_files.read_depth` takes for a photo, which holds inverse depth without a unit,
as networks predict it: that has no scale to share with a camera's path, and a sequence must have one.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from pipelines.errors import InputError
from pipelines.media.depth_files import READERS, Reader, decode_png16, read_map
from pipelines.media.images import write_whole
from pipelines.media.sequences import sequence_files

SKY = (0, 65535)


@dataclass(frozen=True)
class DepthSource:
    """The depth maps of a clip; one is in memory at a time.

    Attributes:
        files: one per frame, in order.
        height, width: of every map given out, in pixels.
        scale: scene units per number of a 16-bit PNG.
    """

    files: tuple[Path, ...]
    height: int
    width: int
    scale: float

    @property
    def frames(self) -> int:
        """How many there are."""
        return len(self.files)

    def read(self, index: int) -> Tensor:
        """Depth z (height, width) of frame ``index``, float32, in scene units; ``inf`` where the sky is.

        Raises:
            InputError: as `depth_files.read_depth`; but a frame of sky alone is none.
        """
        readers: dict[str, Reader] = {**READERS, ".png": partial(read_linear_png16, scale=self.scale)}
        return read_map(self.files[index], readers, self.height, self.width)

    def __iter__(self) -> Iterator[Tensor]:
        return (self.read(index) for index in range(self.frames))


def open_depths(path: Path | str, height: int, width: int, scale: float = 0.001) -> DepthSource:
    """Find the depth maps of a clip, and read the first one to see that it fits.

    Args:
        path: a folder, or a pattern such as ``depth/%04d.exr`` that may count from any number.
        height, width: of the frames; a map of another size is resized when its aspect is the same within 1 %.
        scale: scene units per number of a 16-bit PNG.

    Raises:
        InputError: nothing there, several formats in one folder, a number missing from the pattern, a scale that
            is not positive, or a first map that cannot be read.
    """
    if not 0 < scale < float("inf"):
        raise InputError(f"{path}: the scale of depth must be above 0 and finite, got {scale:g}")
    source = DepthSource(tuple(sequence_files(Path(path), tuple(READERS), "depth maps")), height, width, scale)
    source.read(0)
    return source


def read_linear_png16(path: Path, data: bytes, scale: float) -> np.ndarray:
    """Depth in 16 bits, in steps of ``scale``."""
    numbers = decode_png16(path, data)
    return np.where(np.isin(numbers, SKY), np.inf, numbers * scale)


def write_depth_png16(path: Path | str, depth: Tensor, scale: float = 0.001) -> None:
    """Write depth z (H, W) as a 16-bit PNG in steps of ``scale`` units, the sky as 0: the whole file at once.

    Raises:
        InputError: depths that this scale cannot hold, or a file that cannot be written.
        ValueError: another shape, NaN.
    """
    z = checked(depth)
    numbers = np.round(z / scale)
    solid = np.isfinite(z)
    if solid.any() and (numbers[solid].min() < 1 or numbers[solid].max() > 65534):
        found = f"depths from {z[solid].min():g} to {z[solid].max():g}"
        fits = f"a scale of {scale:g} holds {0.5 * scale:g} to {65534.5 * scale:g}"
        raise InputError(f"cannot write {path}: {found}, and in 16 bits {fits}")
    pixels = np.where(solid, numbers, 0).astype(np.uint16)
    _, encoded = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 3])
    write_whole(Path(path), encoded.tobytes())


def write_depth_npy(path: Path | str, depth: Tensor) -> None:
    """Write depth z (H, W) as float32, the sky as ``inf``: the whole file at once.

    Raises:
        InputError: a file that cannot be written.
        ValueError: another shape, NaN.
    """
    stream = io.BytesIO()
    np.save(stream, checked(depth).astype(np.float32))
    write_whole(Path(path), stream.getvalue())


def checked(depth: Tensor) -> np.ndarray:
    """Depth (H, W) as float64."""
    if depth.ndim != 2 or bool(torch.isnan(depth).any()):
        raise ValueError(f"expected depth (H, W) without NaN, got {tuple(depth.shape)}")
    return depth.detach().cpu().double().numpy()
