"""Depth maps from files, for people whose engine or scanner knows better than a network.

| file        | the numbers are                                                    | sky          |
| ----------- | ------------------------------------------------------------------ | ------------ |
| `.npy`      | depth z, any float type, (H, W)                                    | `inf`        |
| `.pfm`      | depth z, one channel                                               | `inf`        |
| `.exr`      | depth z in channel Z (or the only one); Blender's 1e10 is sky too  | `inf`, ≥ 1e9 |
| 16-bit PNG  | inverse depth 1/z, 65535 = nearest; relative: z = 65535 / number   | 0            |

z is the distance along the viewing axis, in any unit, not along the pixel's ray. A map of another size than
the photo is resized, when its aspect is the same within 1 %. (A sequence of PNGs, one per frame of a clip, is
depth, not inverse depth: see `depth_sequences.py`.)
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pipelines.errors import InputError
from pipelines.media.images import LARGEST_FILE, LARGEST_IMAGE, read_bytes

EXR_SKY = 1e9

# From a file's name and bytes to depth z, float64.
Reader = Callable[[Path, bytes], np.ndarray]


def read_depth(path: Path | str, height: int, width: int) -> Tensor:
    """Read a depth map for a photo of ``height`` × ``width`` pixels.

    Returns:
        (height, width) float32 depth z > 0, ``inf`` where the sky is.

    Raises:
        InputError: unreadable, another format or shape, another aspect, NaN, zero or negative depth, only sky.
    """
    depth = read_map(Path(path), READERS, height, width)
    if not bool(torch.isfinite(depth).any()):
        raise InputError(f"{path}: every pixel is sky (inf); at least one must have a depth")
    return depth


def read_map(path: Path, readers: dict[str, Reader], height: int, width: int) -> Tensor:
    """`read_depth` with a choice of readers, by suffix, and with the sky alone allowed."""
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path}: expected a depth map named .npy, .pfm, .exr or .png (16 bits)")
    depth = reader(path, read_bytes(path, "a depth map", LARGEST_FILE))
    if depth.ndim != 2 or depth.size == 0:
        raise InputError(f"{path}: found an array of shape {depth.shape}, expected (height, width)")
    if depth.size > LARGEST_IMAGE:
        raise InputError(f"{path}: {depth.size:,} pixels are more than the {LARGEST_IMAGE:,} that are read")
    check(path, depth)
    if not same_aspect((depth.shape[0], depth.shape[1]), (height, width)):
        found, wanted = "{}x{}".format(*depth.shape), f"{height}x{width}"
        raise InputError(f"{path}: the depth map is {found} and the picture {wanted}: their aspects differ")
    return resize_depth(torch.from_numpy(depth.astype(np.float32)), height, width)


def same_aspect(found: tuple[int, int], wanted: tuple[int, int]) -> bool:
    """Whether two sizes (height, width) have one aspect, within 1 %."""
    return abs(math.log(found[1] / found[0] * wanted[0] / wanted[1])) <= math.log(1.01)


def check(path: Path, depth: np.ndarray) -> None:
    """Refuse numbers that are no depth; name how many there are."""
    for wrong, name in (
        (np.isnan(depth), "NaN"),
        (depth < 0, "negative depth"),
        (depth == 0, "zero depth (the sky is inf)"),
    ):
        if count := int(wrong.sum()):
            raise InputError(f"{path}: {count:,} of {depth.size:,} pixels have {name}")
    finite = depth[np.isfinite(depth)]
    if finite.size and (finite.min() < 1e-30 or finite.max() > 1e30):
        raise InputError(f"{path}: depths from {finite.min():g} to {finite.max():g}; expected 1e-30 to 1e30")


def resize_depth(depth: Tensor, height: int, width: int) -> Tensor:
    """Resize a depth map (H, W) with ``inf`` sky, bilinear in 1/z, which is what is linear in the image.

    The sky takes no part in the average, so that ridges keep their depth; a pixel is sky where most of it is.
    """
    if tuple(depth.shape) == (height, width):
        return depth
    solid = torch.isfinite(depth).to(depth.dtype)
    stacked = torch.stack([1 / depth, solid])[None]  # 1 / inf = 0
    disparity, share = F.interpolate(stacked, (height, width), mode="bilinear", antialias=True)[0]
    return torch.where(share >= 0.5, share / disparity, torch.inf)


def read_npy(path: Path, data: bytes) -> np.ndarray:
    """A NumPy array of floats; never a pickle."""
    try:
        depth = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, OSError, MemoryError) as error:
        raise InputError(f"{path}: not a NumPy array that can be read ({error})") from None
    if not isinstance(depth, np.ndarray) or not np.issubdtype(depth.dtype, np.floating):
        raise InputError(f"{path}: found {getattr(depth, 'dtype', 'an archive')}, expected an array of floats")
    return depth.astype(np.float64)


def read_inverse_png16(path: Path, data: bytes) -> np.ndarray:
    """Inverse depth in 16 bits."""
    with np.errstate(divide="ignore"):
        return 65535 / decode_png16(path, data).astype(np.float64)


def decode_png16(path: Path, data: bytes) -> np.ndarray:
    """The numbers (H, W), uint16, of a grey PNG of 16 bits."""
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
    if data[:4] == b"\x89PNG" and width * height > LARGEST_IMAGE:
        raise InputError(f"{path}: {width}x{height} pixels are more than the {LARGEST_IMAGE:,} that are read")
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or b"IEND" not in data[-12:]:
        raise InputError(f"{path}: not a PNG that can be read, or one cut short")
    if pixels.dtype != np.uint16 or pixels.ndim != 2:
        channels = 1 if pixels.ndim == 2 else pixels.shape[2]
        found = f"{8 * pixels.itemsize}-bit pixels with {channels} channel(s)"
        raise InputError(f"{path}: found {found}, expected 16-bit grey pixels")
    return pixels


def read_pfm(path: Path, data: bytes) -> np.ndarray:
    """A portable float map: rows from the bottom up, the sign of the scale gives the byte order."""
    header = re.match(rb"(P[Ff])\s+(\d{1,9})\s+(\d{1,9})\s+([-+.\deE]{1,32})\s", data)
    if header is None or header[1] == b"PF":
        raise InputError(f"{path}: not a portable float map with one channel")
    width, height = int(header[2]), int(header[3])
    values = data[header.end() :]
    if len(values) < 4 * width * height:
        raise InputError(f"{path}: the map is cut short: {width}x{height} pixels need {4 * width * height} bytes")
    order = "<f4" if header[4].startswith(b"-") else ">f4"
    pixels = np.frombuffer(values, order, width * height).reshape(height, width)
    return pixels[::-1].astype(np.float64)


def read_exr(path: Path, data: bytes) -> np.ndarray:
    """Channel Z, or the only channel there is, of an OpenEXR file."""
    try:
        import OpenEXR
    except ModuleNotFoundError:
        raise InputError(f'{path}: reading EXR needs an extra: pip install "viewsynth[exr]"') from None
    if data[:4] != b"v/1\x01":
        raise InputError(f"{path}: not an EXR image")
    try:
        with OpenEXR.File(str(path), separate_channels=True) as file:
            channels = {name: channel.pixels for name, channel in file.channels().items()}
    except Exception as error:  # the binding raises bare RuntimeError and worse
        raise InputError(f"{path}: cannot be read ({error})") from None
    name = "Z" if "Z" in channels else next(iter(channels)) if len(channels) == 1 else None
    if name is None:
        raise InputError(f"{path}: found the channels {', '.join(sorted(channels))}, expected Z")
    depth = np.asarray(channels[name], np.float64)
    return np.where(depth >= EXR_SKY, np.inf, depth)


READERS: dict[str, Reader] = {".npy": read_npy, ".pfm": read_pfm, ".exr": read_exr, ".png": read_inverse_png16}
