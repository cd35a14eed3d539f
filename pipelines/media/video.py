"""Frames out to an MP4 or an image sequence, and back in.

    with open_sink("flight.mp4", Fraction(30), height=256, width=448, overwrite=False) as sink:
        for frame in frames:
            sink.write(frame)

An MP4 appears whole, when the last frame is in, or not at all. Of a sequence each PNG appears whole; those
that are finished stay when the run is interrupted. The same frames give the same bytes.
"""

from __future__ import annotations

import contextlib
import os
import queue
import re
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import av
import numpy as np
import torch
from av.video.reformatter import ColorRange, Colorspace, Interpolation
from torch import Tensor

from pipelines.errors import InputError
from pipelines.media.images import read_image, to_pixels, write_png
from pipelines.media.sequences import NUMBER, complete_files, numbered_files

# A sequence's file name holds one printf number: %d, %04d, %06d.
PATTERN = re.compile(r"(?P<head>[^%]*)%(?:0(?P<digits>\d))?d(?P<tail>[^%]*\.png)", re.IGNORECASE)
# Without these flags the conversions are faster, and darken the picture by one level in 255.
EXACT = (
    Interpolation.BICUBIC
    | Interpolation.ACCURATE_RND
    | Interpolation.BITEXACT
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
)
QUEUE_LENGTH = 8  # frames that may wait for the encoder, so that memory stays flat


class Writer(Protocol):
    """Takes frames in order, in the encoder's thread; ends in exactly one of ``finish`` and ``abort``."""

    def add(self, pixels: np.ndarray) -> None:
        """Append one frame, uint8 (H, W, 3) sRGB."""

    def finish(self) -> None:
        """Make the output complete and visible."""

    def abort(self) -> None:
        """Remove what is incomplete."""


def open_sink(output: Path | str, fps: Fraction, height: int, width: int, overwrite: bool = False) -> FrameSink:
    """Where frames go, checked before any work is done.

    Args:
        output: a name ending in ``.mp4``, a pattern such as ``out/%06d.png`` (its folder is made), or a name
            ending in ``.png`` for a single frame.
        fps: frames per second; an image sequence does not keep it.
        height, width: of every frame, in pixels; even for MP4.
        overwrite: replace an existing file or sequence. The old one stays until the new is complete, or, in a
            sequence, until its own turn comes.

    Raises:
        InputError: another kind of name, an odd size for MP4, output that exists, a folder that is missing or
            cannot be written.
    """
    path = Path(output)
    if path.suffix.lower() == ".mp4" and "%" not in path.name:
        return FrameSink(Mp4Writer(path, fps, height, width, overwrite), height, width)
    if PATTERN.fullmatch(path.name):
        return FrameSink(PngWriter(path, overwrite), height, width)
    if path.suffix.lower() == ".png" and "%" not in path.name:
        return FrameSink(StillWriter(path, overwrite), height, width)
    raise InputError(f"{path}: expected an output named like flight.mp4, out/%06d.png or, for a still, picture.png")


class FrameSink:
    """A context manager that hands frames to a writer in a thread of its own.

    Encoding leaves Python's lock, so it runs beside the work that makes the next frame. An error in the thread
    is raised by the next ``write`` or at the end of the ``with`` block.
    """

    def __init__(self, writer: Writer, height: int, width: int) -> None:
        self._writer = writer
        self._size = (height, width)
        self._waiting: queue.Queue[np.ndarray | None] = queue.Queue(QUEUE_LENGTH)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._encode, name="encoder", daemon=True)

    def __enter__(self) -> FrameSink:
        self._thread.start()
        return self

    def write(self, frame: Tensor) -> None:
        """Append a frame (3, H, W), float sRGB in [0, 1] or uint8. The tensor may be changed afterwards."""
        if self._error is not None:
            raise self._error
        if tuple(frame.shape[-2:]) != self._size:
            raise ValueError(f"expected frames of {self._size}, got {tuple(frame.shape)}")
        pixels = to_pixels(frame)
        self._waiting.put(pixels.copy() if frame.dtype == torch.uint8 else pixels)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        failed = True
        try:
            self._waiting.put(None)
            self._thread.join()
            failed = kind is not None or self._error is not None
            if not failed:
                self._writer.finish()
        except BaseException:
            failed = True
            raise
        finally:
            if failed:
                self._writer.abort()
        if kind is None and self._error is not None:
            raise self._error

    def _encode(self) -> None:
        while (pixels := self._waiting.get()) is not None:
            if self._error is None:  # after an error the queue is only emptied, so that write() never blocks
                try:
                    self._writer.add(pixels)
                except BaseException as error:
                    self._error = error


class Mp4Writer:
    """H.264, 8 bits 4:2:0, BT.709 limited range, playable while it downloads."""

    # One count of threads for every machine: x264's output depends on it.
    THREADS = 2

    def __init__(self, path: Path, fps: Fraction, height: int, width: int, overwrite: bool) -> None:
        if height % 2 or width % 2:
            even = f"{height + height % 2}x{width + width % 2}"
            raise InputError(f"{path}: MP4 needs even sides, got {height}x{width}; use {even} or write PNG frames")
        self.path, self.partial = path, claim(path, overwrite)
        options = {"movflags": "+faststart", "fflags": "+bitexact"}
        self.container = av.open(str(self.partial), "w", format="mp4", options=options)
        stream = self.container.add_stream("libx264", rate=fps)
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        # x264's macroblock tree gives other bytes from run to run on processors with AVX-512 (22 kinds in 60
        # runs of one short clip); without it they repeat.
        stream.options = {"crf": "17", "preset": "fast", "x264-params": "mbtree=0"}
        stream.codec_context.thread_count = self.THREADS
        stream.codec_context.flags |= av.codec.context.Flags.bitexact
        # Players take sRGB video for BT.709 with its transfer curve; ITU709 = 1 in all four tables.
        stream.codec_context.color_primaries = stream.codec_context.color_trc = 1
        stream.codec_context.colorspace, stream.codec_context.color_range = 1, ColorRange.MPEG
        self.stream = stream
        self.count = 0

    def add(self, pixels: np.ndarray) -> None:
        self.encode(pixels, self.count, 1, 1 / self.stream.codec_context.framerate)

    def encode(self, pixels: np.ndarray, pts: int, duration: int, time_base: Fraction) -> None:
        """Append a frame that is shown from ``pts`` on for ``duration``, both in ``time_base`` seconds."""
        rgb = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        frame = rgb.reformat(
            format="yuv420p",
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.MPEG,
            dst_colorspace=Colorspace.ITU709,
            interpolation=EXACT,
            threads=1,
        )
        frame.pts, frame.duration, frame.time_base = pts, duration, time_base
        self.count += 1
        with writing(self.path):
            self.container.mux(self.stream.encode(frame))

    def finish(self) -> None:
        with writing(self.path):
            if self.count == 0:
                raise InputError(f"{self.path}: there are no frames to write")
            self.container.mux(self.stream.encode())
            self.container.close()
            os.replace(self.partial, self.path)

    def abort(self) -> None:
        with contextlib.suppress(Exception):
            self.container.close()
        self.partial.unlink(missing_ok=True)


class StillWriter:
    """One PNG for the only frame."""

    def __init__(self, path: Path, overwrite: bool) -> None:
        claim(path, overwrite)
        self.path = path
        self.pixels: np.ndarray | None = None

    def add(self, pixels: np.ndarray) -> None:
        if self.pixels is not None:
            raise InputError(f"{self.path}: there is more than one frame; name the output like out.mp4 or out/%06d.png")
        self.pixels = pixels

    def finish(self) -> None:
        if self.pixels is None:
            raise InputError(f"{self.path}: there are no frames to write")
        write_png(self.path, torch.from_numpy(self.pixels).permute(2, 0, 1))

    def abort(self) -> None:
        """Nothing was written."""


class PngWriter:
    """A numbered PNG per frame, counted from 0."""

    def __init__(self, pattern: Path, overwrite: bool) -> None:
        self.folder, self.name = pattern.parent, pattern.name
        self.count = 0
        if "%" in str(self.folder):
            raise InputError(f"{pattern}: the number may stand in the file name only, not in a folder's")
        existing = numbered_files(pattern)
        if existing and not overwrite:
            first = existing[min(existing)]
            raise InputError(
                f"{first} exists ({len(existing)} such files match {pattern}); choose another name or give --overwrite"
            )
        with writing(pattern):
            self.folder.mkdir(parents=True, exist_ok=True)
            probe = self.folder / f".{self.name.replace('%', '')}.partial"
            probe.write_bytes(b"")
            probe.unlink()

    def add(self, pixels: np.ndarray) -> None:
        write_png(self.folder / (self.name % self.count), torch.from_numpy(pixels).permute(2, 0, 1))
        self.count += 1

    def finish(self) -> None:
        # The rest of a longer sequence that this one replaces would be played after it: it goes too.
        index = self.count
        while (stale := self.folder / (self.name % index)).is_file():
            stale.unlink()
            index += 1

    def abort(self) -> None:
        """Finished frames stay; a folder without any goes."""
        if self.count == 0:
            with contextlib.suppress(OSError):
                self.folder.rmdir()


def claim(path: Path, overwrite: bool) -> Path:
    """Find out before any work whether a file can be written; returns the place of its unfinished form."""
    if path.is_dir():
        raise InputError(f"{path}: found a folder, expected a file name")
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists; choose another name or give --overwrite")
    partial = path.with_name(f".{path.name}.partial")
    with writing(path):
        partial.write_bytes(b"")
        partial.unlink()
    return partial


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an operating system's refusal into an InputError that names the output."""
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"cannot write {path}: there is no folder {path.parent}") from None
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from None


def read_rate(path: Path | str) -> Fraction:
    """The frame rate of a video file, exact."""
    with open_video(Path(path)) as container:
        rate = container.streams.video[0].average_rate
    if not rate:
        raise InputError(f"{path}: the video states no frame rate")
    return Fraction(rate)


def read_video_frames(path: Path | str) -> Iterator[Tensor]:
    """The frames (3, H, W), float32 sRGB in [0, 1], of a video file or a pattern such as ``out/%06d.png``.

    One frame is in memory at a time, upright. Untagged video counts as BT.709.

    Raises:
        InputError: missing, a gap in the numbers, without a picture, or damaged.
    """
    path = Path(path)
    if NUMBER.search(path.name):
        yield from map(read_image, complete_files(path))
        return
    yield from map(frame_to_tensor, decoded_frames(path))


def decoded_frames(path: Path) -> Iterator[av.VideoFrame]:
    """The frames of a video file as they are stored.

    Raises:
        InputError: missing, without a picture, or damaged.
    """
    with open_video(path) as container:
        # A frame per thread; slices of one frame in several threads would lose the marks of damage.
        container.streams.video[0].thread_type = "FRAME"
        try:
            yield from container.decode(video=0)
        except av.error.FFmpegError as error:
            raise InputError(f"{path}: the video is damaged or cut short ({error.strerror})") from None


def open_video(path: Path) -> av.container.InputContainer:
    """Open a video for reading, or say why not."""
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        container = av.open(str(path))
    except (av.error.FFmpegError, OSError) as error:
        raise InputError(f"{path}: cannot be read as a video ({error.strerror})") from None
    if not container.streams.video:
        container.close()
        raise InputError(f"{path}: there is no picture in this file")
    return container


def frame_to_tensor(frame: av.VideoFrame) -> Tensor:
    """A decoded frame as (3, H, W) float32 sRGB, with the matrix and range that its tags state, turned upright."""
    # FFmpeg's code 2 is "unspecified"; 0 is RGB, where no matrix applies.
    source = frame.colorspace if frame.colorspace not in (0, 2) else Colorspace.ITU709
    rgb = frame.reformat(
        format="rgb24", src_colorspace=source, dst_color_range=ColorRange.JPEG, interpolation=EXACT, threads=1
    )
    # A phone held upright stores its pictures on their side; the angle is counter-clockwise.
    pixels = np.rot90(rgb.to_ndarray(), round(frame.rotation / 90))
    return torch.from_numpy(pixels.transpose(2, 0, 1).copy()).float().div_(255)
