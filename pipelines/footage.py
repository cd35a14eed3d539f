"""``viewsynth footage``: a segmentation video to footage.

labels (-> depth, cameras) -> (vid2vid.footage: warp -> memory -> paint -> write back -> repeat) -> video
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated

import torch
import tyro
from torch import Tensor

from pipelines.cli import parse
from pipelines.errors import InputError
from pipelines.media.camera_files import read_cameras
from pipelines.media.depth_sequences import open_depths
from pipelines.media.images import read_image
from pipelines.media.label_video import LabelSource, open_labels
from pipelines.media.video import open_sink
from pipelines.models import load_footage, usable_device
from pipelines.options import Rate, Size
from pipelines.progress import progress
from vid2vid.classes import CLASSES
from vid2vid.footage import Frame, Geometry, Shot, footage
from vid2vid.generator import FootageGenerator
from vid2vid.motion import MotionNetwork

STYLE_SIDE = 192  # pixels of a reference's shorter side: the size of the training frames

EXAMPLES = """Paint a segmentation video: label maps in, footage out. One label map gives one picture.

examples:
  viewsynth footage labels/ -o street.mp4 --fps 15
  viewsynth footage labels.mkv -o frames/%06d.png --style-seed 7
  viewsynth footage labels/ -o dusk.mp4 --reference dusk.jpg
  viewsynth footage labels/ --depth depth/%04d.exr --cameras cameras.json -o walk.mp4
  viewsynth footage painted.png -o picture.png

With --depth and --cameras (as an engine writes them) the painted world is remembered: what the camera has seen
looks the same when it comes back. Without them each frame continues the one before.

labels: a folder of PNGs, a pattern such as labels/%06d.png, one PNG, or a lossless video; ids or colours of
cityscapes, cityscapes-train, camvid, camvid32, ade20k, ade20k-raw, coco-stuff, carla, viewsynth, or your own set
(--labels-set FILE.json)."""


@dataclass(frozen=True)
class FootageOptions:
    labels: tyro.conf.Positional[Path]
    """folder, pattern, PNG or video of labels"""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("footage.mp4")
    """.mp4, a pattern such as out/%06d.png, or for one label map a .png"""
    labels_set: str | None = None
    """name of a label set, or a JSON file; found out when left out"""
    unmapped: str = "stop"
    """labels that mean nothing here: stop, void (draw what fits around them), or the name of a class"""
    nearest_colour: bool = False
    """repair colours that a lossy video changed: each pixel takes the set's nearest colour"""
    depth: Path | None = None
    """depth of every frame: folder or pattern of .exr, .npy, .pfm or 16-bit .png"""
    depth_scale: float = 0.001
    """scene units per number of a 16-bit .png depth"""
    cameras: Path | None = None
    """camera of every frame: .json (nerfstudio, or plain matrices), RealEstate10K .txt, or a COLMAP text folder"""
    reference: Path | None = None
    """an image whose look (light, season, colours) the footage takes"""
    style_seed: int | None = None
    """draws a look instead; 0 when there is no reference"""
    size: Size | None = None
    """of the frames; that of the labels when left out"""
    fps: Rate | None = None
    """frames per second; that of a label video, else 24"""
    weights: Path | None = None
    """folder of another generator (config.json, model.safetensors)"""
    guidance: bool = True
    """--no-guidance forgets the world in spite of depth and cameras (for comparison)"""
    device: str = "cpu"
    """cpu, cuda or cuda:N"""
    overwrite: bool = False
    """replace an existing output"""


def main(argv: Sequence[str]) -> None:
    """Parse the options, paint, write the video."""
    options = parse(FootageOptions, argv, prog="viewsynth footage", description=EXAMPLES)
    began = time.monotonic()
    if options.reference is not None and options.style_seed is not None:
        raise InputError("--reference and --style-seed both choose the look; give one of them")
    pipeline = FootagePipeline.from_pretrained(options.weights, device=usable_device(options.device))
    labels = open_labels(
        options.labels, options.labels_set, unmapped=options.unmapped, nearest_colour=options.nearest_colour
    )
    print(labels.describe())
    pipeline.check_classes(labels.counts, str(options.labels))
    height, width = options.size or (labels.height, labels.width)
    geometry = open_geometry(options, labels, height, width)
    style = pipeline.style(options.reference, options.style_seed or 0)
    fps = options.fps or labels.fps or Fraction(24)
    with open_sink(options.output, fps, height, width, options.overwrite) as sink:
        shots = (Shot(resized(ids, height, width), known) for ids, known in zip(labels, geometry, strict=True))
        stream = pipeline.stream(shots, style, guided=options.guidance)
        with closing(stream):
            for frame in progress(stream, labels.frames, "footage"):
                sink.write(frame.rgb)
    seconds = time.monotonic() - began
    print(f"{options.output}: {labels.frames} frames of {height}x{width} in {seconds:.0f} s")


class FootagePipeline:
    """The models of the footage, ready to be shown labels.

    pipeline = FootagePipeline.from_pretrained()
    for frame in pipeline.stream((Shot(ids) for ids in open_labels("labels/")), pipeline.style(seed=7)):
        show(frame.rgb)
    """

    def __init__(self, generator: FootageGenerator, motion: MotionNetwork, device: torch.device) -> None:
        self.generator = generator
        self.motion = motion
        self.device = device

    @staticmethod
    def from_pretrained(weights: Path | None = None, *, device: torch.device | str = "cpu") -> FootagePipeline:
        """The bundled models, or a generator of your own.

        Raises:
            InputError: the folder is not a generator.
        """
        return FootagePipeline(*load_footage(weights, device), torch.device(device))

    @torch.no_grad()
    def style(self, reference: Path | Tensor | None = None, seed: int = 0) -> Tensor:
        """A style code (1, D): that of a reference image (3, H, W) in [0, 1], or one drawn from the seed.

        Raises:
            InputError: the reference cannot be read.
        """
        if reference is None:
            return self.generator.random_style(torch.Generator().manual_seed(seed % 2**32))
        image = reference if isinstance(reference, Tensor) else read_image(reference)
        scale = STYLE_SIDE / min(image.shape[-2:])
        size = [round(side * scale) for side in image.shape[-2:]]
        image = torch.nn.functional.interpolate(image[None], size=size, mode="bilinear", antialias=True)
        return self.generator.encode(image.to(self.device))[0]

    def check_classes(self, counts: Tensor, name: str) -> None:
        """Refuse labels that the weights have not learnt to draw.

        Args:
            counts: pixels per class of ``CLASSES``.
            name: of the labels, for the message.

        Raises:
            InputError: with the classes and how often they occur.
        """
        learnt = self.generator.config.classes
        missing = [f"{c} ({int(n):,} px)" for c, n in zip(CLASSES, counts, strict=True) if n and c not in learnt]
        if missing:
            raise InputError(
                f"{name}: these weights have not learnt {', '.join(missing)}; they know {', '.join(learnt)}. "
                "Use other weights, or map these labels to other classes with --labels-set FILE.json"
            )

    def stream(self, shots: Iterable[Shot], style: Tensor, *, guided: bool = True) -> Generator[Frame, None, None]:
        """Paint shots, one frame each, in a style from ``style``; see `vid2vid.footage.footage`."""
        yield from footage(self.generator, self.motion, shots, style, guided=guided)


def open_geometry(options: FootageOptions, labels: LabelSource, height: int, width: int) -> Iterable[Geometry | None]:
    """Depth and camera of every frame, or None for every frame.

    Raises:
        InputError: only one of the two was given, or their counts differ from that of the labels.
    """
    if (options.depth is None) != (options.cameras is None):
        given, other = ("--depth", "--cameras") if options.cameras is None else ("--cameras", "--depth")
        raise InputError(f"{given} is of use only together with {other}")
    if options.depth is None or options.cameras is None:
        return [None] * labels.frames
    depths = open_depths(options.depth, height, width, options.depth_scale)
    cameras = read_cameras(options.cameras, height, width).from_first()
    for path, found in ((options.depth, depths.frames), (options.cameras, len(cameras))):
        if found != labels.frames:
            raise InputError(f"{path}: found {found} frames, wanted {labels.frames}, as many as the labels have")
    return (Geometry(depth, camera) for depth, camera in zip(depths, cameras, strict=True))


def resized(ids: Tensor, height: int, width: int) -> Tensor:
    """Labels (H, W) at another size; every pixel keeps one label."""
    if tuple(ids.shape) == (height, width):
        return ids
    image = ids[None, None].to(torch.uint8)
    return torch.nn.functional.interpolate(image, size=(height, width), mode="nearest-exact")[0, 0].long()
