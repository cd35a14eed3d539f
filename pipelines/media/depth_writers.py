"""Depth maps to files, in the formats and with the meanings that `depth_files.py` reads."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from torch import Tensor

from pipelines.errors import InputError
from pipelines.media.depth_sequences import checked, write_depth_npy
from pipelines.media.images import write_whole

EXR_BACKGROUND = 1e10  # what Blender writes where nothing is


def check_depth_name(path: Path) -> None:
    """Refuse names that `write_depth` would refuse, before any work is done.

    Raises:
        InputError: another suffix, or the library for EXR is missing.
    """
    if path.suffix.lower() not in WRITERS:
        raise InputError(f"cannot write {path}: expected a name ending in {', '.join(WRITERS)}")
    if path.suffix.lower() == ".exr":
        exr_library(path)


def write_depth(path: Path | str, depth: Tensor) -> None:
    """Write depth z (H, W) > 0, the sky as ``inf``, in the format that the name asks for; the whole file at once.

    A 16-bit PNG holds inverse depth, relative to the nearest pixel: it keeps no unit.

    Raises:
        InputError: another suffix, or a file that cannot be written.
        ValueError: another shape, NaN.
    """
    path = Path(path)
    check_depth_name(path)
    WRITERS[path.suffix.lower()](path, depth)


def write_inverse_png16(path: Path, depth: Tensor) -> None:
    """65535 at the nearest pixel, 0 in the sky."""
    z = checked(depth)
    numbers = np.round(65535 * z.min() / z)
    # However far it is, what is not sky stays apart from it.
    pixels = np.where(np.isfinite(z), numbers.clip(1), 0).astype(np.uint16)
    _, encoded = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 3])
    write_whole(path, encoded.tobytes())


def write_pfm(path: Path, depth: Tensor) -> None:
    """One channel, little endian, rows from the bottom up."""
    z = checked(depth)
    header = f"Pf\n{z.shape[1]} {z.shape[0]}\n-1.0\n".encode()
    write_whole(path, header + z[::-1].astype("<f4").tobytes())


def write_exr(path: Path, depth: Tensor) -> None:
    """Channel Z in 32 bits."""
    library = exr_library(path)
    z = checked(depth)
    pixels = np.where(np.isfinite(z), z, EXR_BACKGROUND).astype(np.float32)
    header = {"compression": library.ZIP_COMPRESSION, "type": library.scanlineimage}
    partial = path.with_name(f".{path.name}.partial")
    try:
        library.File(header, {"Z": pixels}).write(str(partial))
        os.replace(partial, path)
    except Exception as error:  # the binding raises bare RuntimeError and worse
        raise InputError(f"cannot write {path}: {error}") from None
    finally:
        partial.unlink(missing_ok=True)


def exr_library(path: Path):
    """The binding of OpenEXR."""
    try:
        import OpenEXR
    except ModuleNotFoundError:
        raise InputError(f'{path}: writing EXR needs an extra: pip install "viewsynth[exr]"') from None
    return OpenEXR


WRITERS: dict[str, Callable[[Path, Tensor], None]] = {
    ".npy": write_depth_npy,
    ".png": write_inverse_png16,
    ".pfm": write_pfm,
    ".exr": write_exr,
}
