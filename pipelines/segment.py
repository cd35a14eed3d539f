"""``viewsynth segment``: a clip or a photo to the labels of every pixel.

video, pictures or photo -> a segmenter, frame by frame -> PNG files or a lossless video of ids
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import tyro
from torch import Tensor

from pipelines.cli import parse
from pipelines.errors import InputError
from pipelines.media.clips import PICTURE_FPS, open_clip
from pipelines.media.label_video import open_label_sink
from pipelines.models import load_segmenter, usable_device
from pipelines.perception.segmentation import Segments, TransformersSegmenter
from pipelines.progress import progress
from vid2vid.classes import CLASSES, NO_LABEL

EXAMPLES = f"""Say what every pixel of a clip shows: a video or a photo in, a label map of the same size per frame out.

examples:
  viewsynth segment drive.mp4 -o labels/%06d.png
  viewsynth segment drive.mp4 -o labels.mkv
  viewsynth segment frames/%06d.png -o labels/%06d.png --weights runs/segmenter/model
  viewsynth segment street.jpg -o street_labels.png
  viewsynth segment drive.mp4 -o labels.mkv --model nvidia/segformer-b0-finetuned-ade-512-512

The labels are what viewsynth footage takes. Their values are places in this list, from 0; 255 is no label:
  {", ".join(CLASSES[:9])},
  {", ".join(CLASSES[9:])}
A .mkv keeps the rate of the video exactly, and is lossless (FFV1); pictures count as {PICTURE_FPS} a second."""


@dataclass(frozen=True)
class SegmentOptions:
    clip: tyro.conf.Positional[Path]
    """a video, a folder of pictures, a pattern such as in/%06d.jpg, or one photo"""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """a pattern such as out/%06d.png, a .mkv, or for a photo a .png"""
    weights: Path | None = None
    """folder of a segmenter of your own (config.json, model.safetensors), instead of the bundled one"""
    model: str | None = None
    """a semantic-segmentation model of transformers instead, by its name on the hub or its folder"""
    device: str = "cpu"
    """cpu, cuda or cuda:N"""
    overwrite: bool = False
    """replace an existing output"""


def main(argv: Sequence[str]) -> None:
    """Parse the options, segment, write the labels."""
    options = parse(SegmentOptions, argv, prog="viewsynth segment", description=EXAMPLES)
    if options.weights is not None and options.model is not None:
        raise InputError("--weights and --model both name a segmenter; give one of them")
    began = time.monotonic()
    device = usable_device(options.device)
    clip = open_clip(options.clip)
    with open_label_sink(options.output, clip.timing.rate, clip.height, clip.width, options.overwrite) as sink:
        segmenter = chosen_segmenter(options, device)
        pixels = torch.zeros(256, dtype=torch.int64)
        for labels in progress(stream(segmenter, clip, device), clip.frames, "segment"):
            sink.write(labels)
            pixels += torch.bincount(labels.flatten(), minlength=256)
    seconds = time.monotonic() - began
    print(f"{options.output}: {clip.frames} frames of {clip.height}x{clip.width} in {seconds:.0f} s; {shares(pixels)}")


def stream(segmenter: Segments, frames: Iterable[Tensor], device: torch.device) -> Generator[Tensor, None, None]:
    """Labels (H, W) int64, on the CPU, of frames (3, H, W) sRGB in [0, 1], one by one."""
    for frame in frames:
        yield segmenter.segment(frame.to(device)).cpu()


def chosen_segmenter(options: SegmentOptions, device: torch.device) -> Segments:
    """The segmenter that the options name."""
    if options.model is None:
        return load_segmenter(options.weights, device)
    segmenter = TransformersSegmenter.from_pretrained(options.model, device)
    if segmenter.without_class:
        print(f"{options.model}: no label for its classes {', '.join(segmenter.without_class)}")
    return segmenter


def shares(pixels: Tensor) -> str:
    """The classes by their share of the pixels (256,), largest first: "road 38.2%, sky 20.1%"."""
    names = {**dict(enumerate(CLASSES)), NO_LABEL: "no label"}
    percent = {names[k]: 100 * float(pixels[k] / pixels.sum()) for k in names if pixels[k] > 0}
    return ", ".join(f"{name} {share:.1f}%" for name, share in sorted(percent.items(), key=lambda item: -item[1]))
