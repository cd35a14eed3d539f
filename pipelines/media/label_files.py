"""Files of label maps, decoded to the numbers that they hold; what these mean is for ``label_video.py``."""

from __future__ import annotations

import io
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import av
import av.logging
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from PIL import Image

from pipelines.errors import InputError
from pipelines.media.images import LARGEST_FILE, LARGEST_IMAGE, describe, read_bytes
from pipelines.media.sequences import complete_files, natural_key
from pipelines.media.video import EXACT, PATTERN, open_video, read_rate

WANTED = "a label map as PNG"
PICTURES = (".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".exr")


@dataclass(frozen=True)
class Pixels:
    """One map, (H, W) int32, as numbers and as packed colours; None where it cannot be read so."""

    ids: np.ndarray | None
    colours: np.ndarray | None

    @property
    def shape(self) -> tuple[int, int]:
        values = self.ids if self.ids is not None else self.colours
        assert values is not None
        return values.shape[0], values.shape[1]


class Input(Protocol):
    """A sequence of maps; each is decoded when its turn comes, and carries the name for messages."""

    @property
    def path(self) -> Path:
        """What was named by the user."""

    @property
    def fps(self) -> Fraction | None:
        """Frames per second of a video."""

    @property
    def rounded(self) -> str:
        """The codec and pixel format, if they keep no exact numbers."""

    def frames(self) -> Iterator[tuple[Path, Pixels]]:
        """The maps in order."""

    def checked_frames(self) -> Iterator[tuple[Path, Pixels]]:
        """The same, and at the end an InputError if some were damaged or missing."""


def open_input(path: Path) -> Input:
    """Tell by the name what a path is.

    Raises:
        InputError: nothing there, or nothing that can hold labels.
    """
    if PATTERN.fullmatch(path.name):
        return Pngs(path, complete_files(path))
    if path.is_dir():
        return Pngs(path, folder(path))
    if path.suffix.lower() == ".png":
        return Pngs(path, [path])
    if path.suffix.lower() in PICTURES:
        raise InputError(
            f"{path}: found a {path.suffix.lower()} picture, expected {WANTED}, a folder of them or a video"
        )
    return Video(path)


def folder(path: Path) -> list[Path]:
    """The PNGs of a folder, 2 before 10."""
    found = [file for file in path.iterdir() if file.is_file() and not file.name.startswith(".")]
    maps = [file for file in found if file.suffix.lower() == ".png"]
    if not maps:
        kinds = sorted({file.suffix.lower() or "no suffix" for file in found})
        raise InputError(
            f"{path}: no PNG in this folder" + (f", only {', '.join(kinds)}" if kinds else "; it is empty")
        )
    return sorted(maps, key=lambda file: natural_key(file.name))


@dataclass(frozen=True)
class Pngs:
    """A list of PNG files."""

    path: Path
    files: list[Path]
    fps: Fraction | None = None
    rounded: str = ""

    def frames(self) -> Iterator[tuple[Path, Pixels]]:
        for file in self.files:
            yield file, read_png(file)

    def checked_frames(self) -> Iterator[tuple[Path, Pixels]]:
        return self.frames()


def read_png(path: Path) -> Pixels:
    """Decode one PNG without any colour management.

    Raises:
        InputError: not a PNG, damaged, too large, 16-bit colour, or partly transparent.
    """
    data = read_bytes(path, WANTED, LARGEST_FILE)
    if data[:8] != b"\x89PNG\r\n\x1a\n":
        raise InputError(f"{path}: found {describe(data)}, expected {WANTED}")
    if not intact(data):
        raise InputError(f"{path}: the PNG is damaged or cut short")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=["PNG"])
            if image.width * image.height > LARGEST_IMAGE:
                raise InputError(
                    f"{path}: {image.width}x{image.height} pixels are more than the {LARGEST_IMAGE:,} that are read"
                )
            image.load()
            return from_image(image, data[24], path)
    except InputError:
        raise
    except Exception as error:  # a decoder may fall over a damaged file in any way
        raise InputError(f"{path}: the PNG is damaged or cut short ({error})") from None


def intact(data: bytes) -> bool:
    """Whether all chunks of a PNG are there and agree with their checksums, which Pillow does not ask of pixels."""
    at = 8
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if zlib.crc32(data[at + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            return False
        if data[at + 4 : at + 8] == b"IEND":
            return True
        at = end
    return False


def from_image(image: Image.Image, bits: int, path: Path) -> Pixels:
    """The numbers of a loaded PNG whose header says ``bits`` per sample."""
    mode = image.mode
    if mode in ("LA", "RGBA"):
        pixels = np.asarray(image)
        if bool((pixels[..., -1] != 255).any()):
            raise InputError(f"{path}: some pixels are transparent; a label is there or it is not")
        return from_grey(pixels[..., 0]) if mode == "LA" else from_rgb(pixels[..., :3])
    if mode == "P":
        index = np.asarray(image).astype(np.int32)
        table = np.zeros((256, 3), np.int32)
        colours = np.array(image.getpalette("RGB")).reshape(-1, 3)
        table[: len(colours)] = colours
        return Pixels(index, pack(table)[index])
    if mode.startswith("I"):
        return Pixels(np.asarray(image).astype(np.int32), None)
    if mode in ("1", "L"):
        # Pillow stretches 2 and 4 bits of grey to 0..255; here the numbers count.
        return from_grey(np.asarray(image).astype(np.uint8) // (255 // (2**bits - 1) if bits in (2, 4) else 1))
    if mode == "RGB" and bits == 8:
        return from_rgb(np.asarray(image))
    raise InputError(f"{path}: found {bits}-bit {mode} pixels, expected grey, a palette or 8-bit RGB")


def from_grey(grey: np.ndarray) -> Pixels:
    """8 bits of grey (H, W)."""
    ids = grey.astype(np.int32)
    return Pixels(ids, ids * 0x010101)


def from_rgb(rgb: np.ndarray) -> Pixels:
    """Colours (H, W, 3) uint8; numbers too if the channels are equal, or all but red are zero (as CARLA saves ids)."""
    red, green, blue = (rgb[..., k] for k in range(3))
    equal = np.array_equal(red, green) and np.array_equal(red, blue)
    numbers = equal or not (green.any() or blue.any())
    return Pixels(red.astype(np.int32) if numbers else None, pack(rgb.astype(np.int32)))


def pack(rgb: np.ndarray) -> np.ndarray:
    """(..., 3) int32 colours as one number each, red highest."""
    return rgb[..., 0] << 16 | rgb[..., 1] << 8 | rgb[..., 2]


class Video:
    """A video file. Numbers are read only from formats that keep them: no YUV, no lossy codec."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with open_video(path) as container:
            stream = container.streams.video[0]
            codec, layout = stream.codec_context.codec, stream.codec_context.format
            if layout is None or stream.width * stream.height > LARGEST_IMAGE:
                raise InputError(f"{path}: {stream.width}x{stream.height} pixels, at most {LARGEST_IMAGE:,} are read")
            exact = not codec.lossy and (layout.is_rgb or layout.has_palette or layout.name.startswith("gray"))
            self.rounded = "" if exact else f"{codec.name} {layout.name}"
            # Frames that the file promises: its index says so, or its length (exact to a frame).
            seconds = stream.duration * stream.time_base if stream.duration and stream.time_base else None
            if seconds is None and container.duration and len(container.streams) == 1:
                seconds = Fraction(container.duration, av.time_base)
            length = seconds * stream.average_rate if seconds and stream.average_rate else 0
            self._promised = stream.frames or max(int(length - 1), 0)
        self.fps: Fraction | None = read_rate(path)

    def frames(self) -> Iterator[tuple[Path, Pixels]]:
        with open_video(self.path) as container:
            try:
                for frame in container.decode(video=0):
                    yield self.path, self._pixels(frame)
            except (av.error.FFmpegError, ValueError) as error:
                if isinstance(error, InputError):
                    raise
                raise InputError(f"{self.path}: the video is damaged or cut short ({error})") from None

    def checked_frames(self) -> Iterator[tuple[Path, Pixels]]:
        # The decoders hide damage behind the frame before, and only complain in the log.
        before = av.logging.get_level()
        av.logging.set_level(av.logging.ERROR)
        count = 0
        try:
            with av.logging.Capture(local=False) as complaints:
                for item in self.frames():
                    count += 1
                    yield item
        finally:
            av.logging.set_level(before)
        if complaints:
            text = " ".join(complaints[0][2].split())
            raise InputError(f"{self.path}: the video is damaged or cut short ({text})")
        if count < self._promised:
            raise InputError(f"{self.path}: the video is cut short: {count} of {self._promised} frames")

    def _pixels(self, frame: av.VideoFrame) -> Pixels:
        name = frame.format.name
        if name == "gray" and not self.rounded:
            return from_grey(frame.to_ndarray())
        if name in ("gray16le", "gray16be") and not self.rounded:
            return Pixels(frame.to_ndarray().astype(np.int32), None)
        if any(component.bits > 8 for component in frame.format.components):
            raise InputError(f"{self.path}: found {name} pixels, expected 8 bits, or 16 bits of grey")
        # The tools that make label videos write YUV by BT.601 and say nothing, whatever the size.
        source = frame.colorspace if frame.colorspace not in (0, 2) else Colorspace.ITU601
        rgb = frame.reformat(
            format="rgb24", src_colorspace=source, dst_color_range=ColorRange.JPEG, interpolation=EXACT, threads=1
        ).to_ndarray()
        return from_rgb(rgb) if not self.rounded else Pixels(None, pack(rgb.astype(np.int32)))
