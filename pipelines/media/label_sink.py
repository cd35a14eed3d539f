"""Label maps out: a PNG per frame with our colours as its palette, or a lossless video in our colours.

    with open_label_sink("labels/%06d.png", Fraction(24), height=256, width=448) as sink:
        for labels in maps:
            sink.write(labels)

Both are read back exactly, as the set `viewsynth`, and both look like label maps in any viewer.
"""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pipelines.errors import InputError
from pipelines.media.images import write_whole
from pipelines.media.video import PATTERN, FrameSink, Mp4Writer, PngWriter, claim, writing
from vid2vid.classes import CLASSES, NO_LABEL
from vid2vid.label_sets import palette


def open_label_sink(output: Path | str, fps: Fraction, height: int, width: int, overwrite: bool = False) -> LabelSink:
    """Where label maps go, checked before any work is done.

    Args:
        output: a pattern such as ``labels/%06d.png`` (its folder is made), a name ending in ``.mkv``, or one in
            ``.png`` for a single map.
        fps: frames per second; PNGs do not keep it.
        height, width: of every map, in pixels; any size.
        overwrite: as in ``open_sink``.

    Raises:
        InputError: another kind of name, output that exists, a folder that is missing or cannot be written.
    """
    path = Path(output)
    if PATTERN.fullmatch(path.name):
        return LabelSink(LabelPngWriter(path, overwrite), height, width)
    if path.suffix.lower() == ".mkv" and "%" not in path.name:
        return LabelSink(Ffv1Writer(path, fps, height, width, overwrite), height, width)
    if path.suffix.lower() == ".png" and "%" not in path.name:
        return LabelSink(LabelStillWriter(path, overwrite), height, width)
    raise InputError(f"{path}: expected an output named like labels/%06d.png or labels.mkv, because MP4 changes labels")


def colourise(labels: Tensor) -> Tensor:
    """A label map (H, W), indices of ``CLASSES`` or 255, as a picture (3, H, W) float32 in [0, 1]; 255 is black."""
    colours = torch.from_numpy(palette()).to(labels.device)
    return colours[labels.long()].permute(2, 0, 1).float() / 255


class LabelSink(FrameSink):
    """A FrameSink for label maps: the numbers travel to the writer as three equal channels."""

    def write(self, labels: Tensor) -> None:
        """Append a map (H, W) of indices of ``CLASSES``, 255 for no label.

        Raises:
            ValueError: another shape, a number that is no class.
        """
        if labels.ndim != 2 or labels.is_floating_point():
            raise ValueError(f"expected whole numbers (H, W), got {labels.dtype} {tuple(labels.shape)}")
        wrong = ((labels < 0) | (labels >= len(CLASSES))) & (labels != NO_LABEL)
        if bool(wrong.any()):
            raise ValueError(f"{int(labels[wrong][0])} is no class")
        super().write(labels.to(torch.uint8).expand(3, -1, -1))


def encode_png(pixels: np.ndarray) -> bytes:
    """A map that came as (H, W, 3) as a palette PNG: the indices are those of ``CLASSES``."""
    image = Image.fromarray(np.ascontiguousarray(pixels[..., 0]))
    image.putpalette(palette().tobytes())
    encoded = io.BytesIO()
    image.save(encoded, "PNG", compress_level=6)
    return encoded.getvalue()


class LabelPngWriter(PngWriter):
    """A numbered palette PNG per map."""

    def add(self, pixels: np.ndarray) -> None:
        write_whole(self.folder / (self.name % self.count), encode_png(pixels))
        self.count += 1


class LabelStillWriter:
    """One palette PNG."""

    def __init__(self, path: Path, overwrite: bool) -> None:
        claim(path, overwrite)
        self.path = path
        self.encoded = b""

    def add(self, pixels: np.ndarray) -> None:
        if self.encoded:
            raise InputError(f"{self.path}: one PNG takes one map; for more, name a pattern such as labels/%06d.png")
        self.encoded = encode_png(pixels)

    def finish(self) -> None:
        if not self.encoded:
            raise InputError(f"{self.path}: there are no frames to write")
        write_whole(self.path, self.encoded)

    def abort(self) -> None:
        """Nothing was written yet."""


class Ffv1Writer(Mp4Writer):
    """FFV1 in Matroska, in our colours, without YUV: lossless. Every frame stands alone and has a checksum."""

    def __init__(self, path: Path, fps: Fraction, height: int, width: int, overwrite: bool) -> None:
        if min(height, width) < 2:  # FFmpeg's FFV1 takes no columns of one pixel
            raise InputError(f"{path}: a video needs sides of 2 pixels or more, got {height}x{width}; write PNGs")
        self.path, self.partial, self.count = path, claim(path, overwrite), 0
        self.container = av.open(str(self.partial), "w", format="matroska", options={"fflags": "+bitexact"})
        self.stream = self.container.add_stream("ffv1", rate=fps)
        self.stream.height, self.stream.width, self.stream.pix_fmt = height, width, "bgr0"
        self.stream.options = {"level": "3", "slicecrc": "1", "g": "1"}
        self.stream.codec_context.thread_count = self.THREADS
        self.stream.codec_context.flags |= av.codec.context.Flags.bitexact

    def add(self, pixels: np.ndarray) -> None:
        frame = av.VideoFrame.from_ndarray(palette()[pixels[..., 0]], format="rgb24").reformat(format="bgr0")
        frame.pts, frame.time_base = self.count, 1 / self.stream.codec_context.framerate
        self.count += 1
        with writing(self.path):
            self.container.mux(self.stream.encode(frame))
