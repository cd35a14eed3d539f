"""Photographs in, PNG out.

Every image becomes (3, H, W) float32 sRGB in [0, 1], the way a viewer would show it: EXIF orientation
applied, colour profile converted, grey repeated, transparency over white (as when saved as JPEG), 16 bits
kept. Of an animation or a multi-page file the first picture counts.
"""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image, ImageCms, UnidentifiedImageError
from torch import Tensor

from pipelines.errors import InputError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
WANTED = "a JPEG, PNG, WebP, BMP or TIFF image"
LARGEST_FILE = 512 * 2**20  # bytes
LARGEST_IMAGE = 100_000_000  # pixels

# What people try to open besides, by the first bytes.
OTHER_FORMATS = [
    (0, b"GIF8", "a GIF animation"),
    (4, b"ftypheic", "a HEIC photo"),
    (4, b"ftypmif1", "a HEIF photo"),
    (4, b"ftypavif", "an AVIF image"),
    (4, b"ftyp", "a video"),
    (0, b"\x1a\x45\xdf\xa3", "a video"),
    (0, b"v/1\x01", "an EXR image"),
    (0, b"%PDF", "a PDF document"),
    (0, b"<svg", "an SVG drawing"),
]


def read_image(path: Path | str) -> Tensor:
    """Read one picture.

    Returns:
        (3, H, W) float32, sRGB in [0, 1].

    Raises:
        InputError: missing, empty, a folder, another format, damaged or cut short, larger than 100 megapixels
            (known from the header, before decoding), or of a kind with no meaning as a photo (float pixels).
    """
    path = Path(path)
    data = read_bytes(path, WANTED, LARGEST_FILE)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's remarks on odd metadata
            image = Image.open(io.BytesIO(data), formats=FORMATS)
            if image.width * image.height > LARGEST_IMAGE:
                raise InputError(
                    f"{path}: {image.width}x{image.height} pixels are more than the {LARGEST_IMAGE:,} that are read"
                )
            image.load()  # Pillow, unlike OpenCV, refuses a file that ends early
            return to_tensor(decode(image, data, path))
    except UnidentifiedImageError:
        raise InputError(f"{path}: found {describe(data)}, expected {WANTED}") from None
    except Image.DecompressionBombError as error:
        raise InputError(f"{path}: {error}") from None
    except InputError:
        raise
    except Exception as error:  # a decoder may fall over a damaged file in any way
        raise InputError(f"{path}: the image is damaged or cut short ({error})") from None


def decode(image: Image.Image, data: bytes, path: Path) -> np.ndarray:
    """Pixels (H, W, 3), uint8 or uint16, of a loaded Pillow image and the file it came from."""
    orientation = image.getexif().get(0x0112, 1)
    if bits_per_sample(image, data) == 16:
        # Pillow keeps 8 of 16 bits of a colour image; OpenCV keeps all.
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        if pixels is None or pixels.dtype != np.uint16:
            raise InputError(f"{path}: this kind of 16-bit {image.format} cannot be read; save it as a 16-bit PNG")
        return upright(opaque(pixels), orientation)
    if image.mode in ("F", "I"):
        raise InputError(f"{path}: found 32-bit pixels, expected a photo with 8 or 16 bits per channel")
    image = in_srgb(image)
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return upright(np.asarray(image.convert("RGB")), orientation)


def in_srgb(image: Image.Image) -> Image.Image:
    """Convert an RGB or CMYK image that carries a colour profile (phones write Display P3) to sRGB."""
    profile = image.info.get("icc_profile")
    if not profile or image.mode not in ("RGB", "CMYK"):
        return image
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(source):
            return image  # a conversion would only round
        target = ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):
        return image  # viewers show a picture with a broken profile as it is
    return converted if converted is not None else image


def bits_per_sample(image: Image.Image, data: bytes) -> int:
    """Bits of one channel as stored in a PNG or TIFF; 8 for the other formats, which know nothing else."""
    if image.format == "PNG":
        return data[24]
    if image.format == "TIFF":
        return max(image.tag_v2.get(258, (1,)))  # type: ignore[attr-defined]
    return 8


def opaque(pixels: np.ndarray) -> np.ndarray:
    """OpenCV's uint16 grey (H, W), BGR or BGRA as RGB (H, W, 3), transparency over white."""
    if pixels.ndim == 2:
        return np.repeat(pixels[..., None], 3, axis=-1)
    colour = pixels[..., 2::-1]
    if pixels.shape[-1] == 3:
        return colour
    alpha = pixels[..., 3:].astype(np.float64) / 65535
    return np.round(colour * alpha + 65535 * (1 - alpha)).astype(np.uint16)


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn and mirror pixels (H, W, 3) as the EXIF orientation 1..8 asks."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels


def to_tensor(pixels: np.ndarray) -> Tensor:
    """(H, W, 3) uint8 or uint16 as (3, H, W) float32 in [0, 1]."""
    scaled = np.ascontiguousarray(pixels.transpose(2, 0, 1), dtype=np.float32)
    return torch.from_numpy(scaled).div_(np.iinfo(pixels.dtype).max)


def to_pixels(frame: Tensor) -> np.ndarray:
    """A frame (3, H, W), float in [0, 1] or uint8, as contiguous uint8 (H, W, 3). Values outside are clipped.

    Raises:
        ValueError: another shape, or values that are not finite.
    """
    if frame.ndim != 3 or frame.shape[0] != 3:
        raise ValueError(f"expected a frame (3, H, W), got {tuple(frame.shape)}")
    frame = frame.detach()
    if frame.dtype != torch.uint8:
        low, high = frame.float().aminmax()
        if not bool(torch.isfinite(high - low)):  # one pass, where isfinite of every pixel takes several
            raise ValueError("the frame holds values that are not finite")
        frame = frame.float().clamp(0, 1).mul_(255).round_().to(torch.uint8)
    return frame.permute(1, 2, 0).contiguous().cpu().numpy()


def write_png(path: Path | str, image: Tensor) -> None:
    """Write (3, H, W), float sRGB in [0, 1] or uint8, as an 8-bit PNG: the whole file appears at once.

    Raises:
        InputError: the file cannot be written.
    """
    # Filter and level chosen for speed; the same pixels always give the same bytes.
    settings = [cv2.IMWRITE_PNG_COMPRESSION, 3]
    done, encoded = cv2.imencode(".png", to_pixels(image)[..., ::-1], settings)
    if not done:
        raise ValueError(f"cannot encode an image of shape {tuple(image.shape)}")
    write_whole(Path(path), encoded.tobytes())


def write_whole(path: Path, data: bytes) -> None:
    """Write a file beside its place and rename it, so that it is never seen half written.

    Raises:
        InputError: the file cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_bytes(data)
        os.replace(partial, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise InputError(f"cannot write {path}: {error.strerror or error}") from None
        raise


def read_bytes(path: Path, wanted: str, limit: int) -> bytes:
    """The bytes of a file that was named by the user.

    Raises:
        InputError: missing, a folder, not a plain file, empty, unreadable, or larger than ``limit`` bytes.
    """
    try:
        if path.is_dir():
            raise InputError(f"{path}: found a folder, expected {wanted}")
        if not path.exists():
            raise InputError(f"{path}: no such file")
        if not path.is_file():
            raise InputError(f"{path}: not a plain file, expected {wanted}")
        size = path.stat().st_size
        if size == 0:
            raise InputError(f"{path}: the file is empty, expected {wanted}")
        if size > limit:
            raise InputError(f"{path}: {size:,} bytes are more than the {limit:,} that are read")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None


def describe(data: bytes) -> str:
    """What a file seems to be, for a message."""
    for offset, magic, name in OTHER_FORMATS:
        if data[offset : offset + len(magic)].lower() == magic.lower():
            return name
    if data[:2] == b"\xff\xd8" or data[:4] in (b"\x89PNG", b"RIFF", b"II*\0", b"MM\0*"):
        return "a damaged image, or one cut short"
    if b"\0" not in data[:512]:
        return "text"
    return f"something else (it begins with {data[:4].hex(' ')})"
