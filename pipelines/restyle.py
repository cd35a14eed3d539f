"""``viewsynth restyle``: the same shot at another time of day, in another season, or in the look of a picture.

clip (-> labels, looks) -> (vid2vid.restyle: reduce -> follow -> restyle -> lift -> repeat) -> clip
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import Annotated

import torch
import tyro
from torch import Tensor

from pipelines.cli import parse
from pipelines.errors import InputError
from pipelines.looks import FULL, HOURS, Look, Span, Strength, clock, looks, parse_season, parse_strength, parse_time
from pipelines.media.clip_sink import open_clip_sink
from pipelines.media.clips import Clip, open_clip
from pipelines.media.images import read_image
from pipelines.media.label_video import LabelSource, open_labels
from pipelines.models import load_lights, load_restyler, load_segmenter, load_snow, usable_device
from pipelines.options import Rate, value
from pipelines.perception.segmentation import Segmenter
from pipelines.progress import progress
from render_refine.working_size import reduced
from vid2vid.classes import NO_LABEL
from vid2vid.detector import Detector
from vid2vid.label_sets import VOID
from vid2vid.restyle import Source, restyle
from vid2vid.restyler import Restyler

EXAMPLES = f"""Give a clip another time of day or another season. The shot stays: its edges, motion and objects.

examples:
  viewsynth restyle drive.mp4 -o night.mp4 --time night
  viewsynth restyle drive.mp4 -o lapse.mp4 --time 05:00..22:00
  viewsynth restyle valley.mp4 -o year.mp4 --season summer..winter
  viewsynth restyle drive.mp4 -o dusk.mp4 --reference dusk.jpg --strength 0.7
  viewsynth restyle drive.mp4 -o fade.mp4 --time night --strength 0:0,2.5:1
  viewsynth restyle frames/%06d.jpg -o frames_winter/%06d.png --season winter
  viewsynth restyle valley.jpg -o valley_winter.png --season winter --time dusk

What is left out stays as in the clip.
Times are HH:MM, or {", ".join(f"{name} {clock(hour)}" for name, hour in HOURS.items())}.
The sun rises at 6:00 and sets at 18:00 in every season.
A range runs evenly over the clip, and forward: 22:00..05:00 goes through midnight, autumn..spring through the winter.

An MP4 keeps the clip's sound, frame rate, length and size; PNG pictures keep the size."""


@dataclass(frozen=True)
class RestyleOptions:
    clip: tyro.conf.Positional[Path]
    """a video, a folder of pictures, a pattern such as in/%06d.jpg, or one photo"""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """.mp4, a pattern such as out/%06d.png, or for a photo a .png"""
    time: Annotated[Span, value("TIME", parse_time)] | None = None
    """dawn, day, dusk, night, HH:MM, or two of them: FROM..TO"""
    season: Annotated[Span, value("SEASON", parse_season)] | None = None
    """spring, summer, autumn, winter, or two of them: FROM..TO"""
    reference: Path | None = None
    """a picture whose light and season the clip takes, instead of --time and --season"""
    strength: Annotated[Strength, value("STRENGTH", parse_strength, lambda full: "1")] = FULL
    """from 0 (the clip as it is) to 1, or SECONDS:STRENGTH pairs such as 0:0,2.5:1 with straight lines between"""
    labels: Path | None = None
    """label maps of the clip, as viewsynth footage takes them; found by the bundled segmenter when left out"""
    labels_set: str | None = None
    """name of their label set, or a JSON file; found out when left out"""
    fps: Rate | None = None
    """of pictures, 24 when left out; a video keeps its own"""
    weights: Path | None = None
    """folder of another restyler (config.json, model.safetensors)"""
    device: str = "cpu"
    """cpu, cuda or cuda:N"""
    overwrite: bool = False
    """replace an existing output"""


def main(argv: Sequence[str]) -> None:
    """Parse the options, restyle, write the clip."""
    options = parse(RestyleOptions, argv, prog="viewsynth restyle", description=EXAMPLES)
    began = time.monotonic()
    check_wishes(options)
    leave_a_core()
    clip = open_clip(options.clip, options.fps)
    if clip.timing.varies:
        print(f"{clip.path}: the frame rate varies; in an MP4 every frame keeps its time")
    if clip.hdr:
        print(f"{clip.path}: HDR; its values are taken for ordinary ones, which look pale (convert it to SDR before)")
    with open_clip_sink(options.output, clip, options.overwrite) as sink:
        pipeline = RestylePipeline.from_pretrained(options.weights, device=usable_device(options.device))
        styles = style_over(clip, options, pipeline)
        wanted = looks(clip.timing.seconds, styles, options.strength, options.time, options.season)
        labels = None if options.labels is None else labels_of(clip, options.labels, options.labels_set)
        look_through(clip)
        stream = pipeline.stream(clip, wanted, labels)
        with closing(stream):
            for frame in progress(stream, clip.frames, "restyle"):
                sink.write(frame)
    seconds = time.monotonic() - began
    print(f"{options.output}: {clip.frames} frames of {clip.height}x{clip.width} in {seconds:.0f} s")


class RestylePipeline:
    """The models that restyle, ready to be shown frames.

    pipeline = RestylePipeline.from_pretrained()
    night = Look.at(pipeline.style(hour=23.5), strength=1.0, hour=23.5)
    for frame in pipeline.stream(open_clip("drive.mp4"), itertools.repeat(night)):
        show(frame)
    """

    def __init__(
        self, restyler: Restyler, segmenter: Segmenter, lights: Detector, snow: Detector, device: torch.device
    ) -> None:
        self.restyler = restyler
        self.segmenter = segmenter
        self.lights = lights
        self.snow = snow
        self.device = device

    @staticmethod
    def from_pretrained(weights: Path | None = None, *, device: torch.device | str = "cpu") -> RestylePipeline:
        """The bundled models, or a restyler of your own.

        Raises:
            InputError: the folder is not a restyler.
        """
        models = load_restyler(weights, device), load_segmenter(device=device), load_lights(device), load_snow(device)
        return RestylePipeline(*models, torch.device(device))

    @torch.no_grad()
    def style(
        self, hour: float | None = None, season: float | None = None, reference: Tensor | Path | None = None
    ) -> Tensor:
        """A style code (1, D): that of a moment, or that of a picture.

        Args:
            hour: in [0, 24), of the equinox; None keeps that of the clip.
            season: in [0, 4), 0 midwinter, 2 midsummer; None keeps that of the clip.
            reference: (3, H, W) sRGB in [0, 1] or a picture's file, instead of a moment.

        Raises:
            InputError: the picture cannot be read.
        """
        if reference is None:
            parts = [[nan if part is None else float(part)] for part in (hour, season)]
            return self.restyler.moment_style(*torch.tensor(parts, device=self.device))
        image = reference if isinstance(reference, Tensor) else read_image(reference)
        return self.restyler.reference_style(reduced(image[None].to(self.device), self.restyler.config.side))

    def stream(
        self,
        frames: Iterable[Tensor],
        looks: Iterable[Look],
        labels: Iterable[Tensor] | None = None,
        *,
        temporal: bool = True,
    ) -> Generator[Tensor, None, None]:
        """Restyle frames, one look each; see `vid2vid.restyle.restyle`.

        Args:
            frames: (3, H, W) sRGB in [0, 1], of one size.
            looks: one per frame, or an endless number.
            labels: (h, w) int64 ids of ``CLASSES``, 255 none, one per frame; found by the segmenter when left out.
            temporal: False restyles every frame by itself.

        Yields:
            (3, H, W) in [0, 1].
        """
        sources = self.sources(frames, looks, labels)
        yield from restyle(self.restyler, sources, self.lights, self.snow, temporal=temporal)

    def sources(
        self, frames: Iterable[Tensor], looks: Iterable[Look], labels: Iterable[Tensor] | None = None
    ) -> Iterator[Source]:
        """Frames with their labels and looks, as ``stream`` takes them."""
        labelled = ((frame, None) for frame in frames) if labels is None else zip(frames, labels, strict=True)
        for (frame, ids), look in zip(labelled, looks, strict=False):
            yield Source(frame, self.labels(frame, look) if ids is None else ids, *look)

    def labels(self, frame: Tensor, look: Look) -> Tensor:
        """What a frame (3, H, W) shows, (h, w) at the segmenter's working size; nothing where nothing will change."""
        if look.strength == 0:
            return torch.full((1, 1), NO_LABEL)
        return self.segmenter.segment(reduced(frame[None].to(self.device), self.segmenter.config.side)[0])


def leave_a_core() -> None:
    """Keep one core for those who read, label and write frames: they would hold up what takes all cores."""
    torch.set_num_threads(min(torch.get_num_threads(), max(1, (os.cpu_count() or 1) - 1)))


def check_wishes(options: RestyleOptions) -> None:
    """Refuse a command line that wants nothing, or two things at once."""
    moment = options.time is not None or options.season is not None
    if not moment and options.reference is None:
        raise InputError("nothing to change: give --time, --season or --reference (such as --time night)")
    if moment and options.reference is not None:
        raise InputError("--reference decides time and season together; give it, or --time and --season")
    if options.labels is None and options.labels_set is not None:
        raise InputError("--labels-set is of use only together with --labels")


def look_through(clip: Clip) -> None:
    """Find damage in a video before any work is done, and say what can be lived with.

    Raises:
        InputError: some frames cannot be decoded.
    """
    if clip.files:
        return
    damaged = [index for index, bad in enumerate(progress(clip.check(), clip.frames, "check")) if bad]
    if damaged:
        print(f"{clip.path}: {len(damaged)} damaged frames, from {damaged[0]} on; used as their decoder patched them")


def style_over(clip: Clip, options: RestyleOptions, pipeline: RestylePipeline) -> Callable[[float], Tensor]:
    """The style code that is wanted at a progress in [0, 1] over the clip.

    Raises:
        InputError: a range for a single frame, or a reference that cannot be read.
    """
    if options.reference is not None:
        style = pipeline.style(reference=options.reference)
        return lambda progress: style
    for name, span in (("--time", options.time), ("--season", options.season)):
        if span is not None and span.start != span.end and clip.frames == 1:
            raise InputError(f"{clip.path}: one picture has one moment, and {name} is a range")
    hour, season = (span.at if span is not None else lambda progress: None for span in (options.time, options.season))
    return lambda progress: pipeline.style(hour(progress), season(progress))


def labels_of(clip: Clip, path: Path, labels_set: str | None) -> LabelSource:
    """The label maps of a clip, checked to be its own. What has no class here counts as no label.

    Raises:
        InputError: they cannot be read, or are of another number or aspect than the frames.
    """
    labels = open_labels(path, labels_set, unmapped=VOID)
    if labels.frames != clip.frames:
        raise InputError(f"{path}: found {labels.frames} label maps, wanted {clip.frames}, one per frame")
    sizes = (labels.height, labels.width), (clip.height, clip.width)
    off = abs(labels.width * clip.height - labels.height * clip.width)
    if off > max(map(max, sizes)):  # sides are rounded to whole pixels
        found, wanted = (f"{height}x{width}" for height, width in sizes)
        raise InputError(f"{path}: found label maps of {found}, wanted the aspect of the clip's {wanted}")
    without = 1 - float(labels.counts.sum()) / (labels.frames * labels.height * labels.width)
    print(f"{labels.describe()}, {without:.1%} without a class")
    return labels
