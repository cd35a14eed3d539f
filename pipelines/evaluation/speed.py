"""What footage costs: frames a second from labels to video, milliseconds by part, and memory."""

from __future__ import annotations

import cProfile
import inspect
import math
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from pipelines.footage import FootagePipeline
from pipelines.media.images import to_pixels
from pipelines.media.video import Mp4Writer, open_sink
from pipelines.progress import progress
from render_refine.memory import WorldMemory
from render_refine.warp import visible_motion
from vid2vid.footage import Frame, Shot
from vid2vid.generator import one_hot
from vid2vid.motion import warp_previous

FPS = Fraction(24)
WARM_UP = 3  # frames in which libraries choose their kernels
LONG, SETTLED = 2000, 200  # frames of the long run, and those after which its memory should have settled


def speed(
    pipeline: FootagePipeline, shots: Callable[[], Iterable[Shot]], style: Tensor, size: tuple[int, int], guided: bool
) -> dict[str, Any]:
    """Paint a clip three times: to warm up, to a video against the clock, and under a profiler.

    Args:
        shots: gives the clip anew; what it does then, such as reading labels, counts.
        size: (height, width) of the frames, even.
        guided: with the memory, if the shots have geometry.

    Returns:
        frames, height, width; frames per second, from labels to video, with the encoder beside the painting as in
        ``viewsynth footage``; ms per frame, by part; peak MiB, of the process while it painted.
    """

    def stream() -> Iterator[Frame]:
        return pipeline.stream(shots(), style, guided=guided)

    for _ in islice(stream(), WARM_UP):
        pass
    pixels = []
    with tempfile.TemporaryDirectory() as folder:
        reset_peak()
        began = time.perf_counter()
        with open_sink(Path(folder) / "whole.mp4", FPS, *size) as sink:
            for frame in stream():
                sink.write(frame.rgb)
                pixels.append(to_pixels(frame.rgb))
        seconds, peak = time.perf_counter() - began, resident("VmHWM")
        encoder = encode(Path(folder) / "encoder.mp4", pixels)
    count = len(pixels)
    parts: dict[str, Callable[..., Any]] = {
        "labels to one-hot": one_hot,
        "motion network": type(pipeline.motion).forward,
        "exact motion": visible_motion,
        "warp": warp_previous,
        "memory, read": WorldMemory.look,
        "generator": type(pipeline.generator).forward,
        "memory, write": WorldMemory.write,
    }
    cost = {name: 1000 * spent / count for name, spent in profile(stream, parts).items()}
    return {
        "frames": count,
        "height": size[0],
        "width": size[1],
        "frames per second": count / seconds,
        "ms per frame": cost
        | {"encoder (its own thread)": 1000 * encoder / count, "from labels to video": 1000 * seconds / count},
        "peak MiB": peak,
    }


def encode(path: Path, pixels: Sequence[np.ndarray]) -> float:
    """Write frames, uint8 (H, W, 3) with even sides, to a new MP4; the seconds that took."""
    began = time.perf_counter()
    height, width, _ = pixels[0].shape
    writer = Mp4Writer(path, FPS, height, width, overwrite=False)
    for picture in pixels:
        writer.add(picture)
    writer.finish()
    return time.perf_counter() - began


def profile(stream: Callable[[], Iterable[Any]], parts: dict[str, Callable[..., Any]]) -> dict[str, float]:
    """Seconds that functions take while a stream runs dry, as a profiler sees them: nothing is wrapped or switched.

    Args:
        stream: makes the iterable.
        parts: functions by name; none may call another. Those that are not called are left out.

    Returns:
        seconds by name, and of "rest of the loop".
    """
    profiler = cProfile.Profile()
    began = time.perf_counter()
    profiler.enable()
    for _ in stream():
        pass
    profiler.disable()
    total = time.perf_counter() - began
    spent = {entry.code: entry.totaltime for entry in profiler.getstats()}
    codes = {name: inspect.unwrap(function).__code__ for name, function in parts.items()}
    seconds = {name: spent[code] for name, code in codes.items() if code in spent}
    return seconds | {"rest of the loop": total - sum(seconds.values())}


def growth(pipeline: FootagePipeline, labels: Iterable[Tensor], style: Tensor) -> dict[str, float]:
    """Resident memory (MiB) after the first frames and at the end of a long clip without geometry.

    Args:
        labels: (H, W) maps, played again and again.
    """
    shots = (Shot(ids) for ids in islice(cycle(labels), LONG))
    return held(pipeline.stream(shots, style))


def held(stream: Iterable[Any]) -> dict[str, float]:
    """Resident memory (MiB) after the first of ``LONG`` frames and at their end, before the stream lets go of it."""
    found = {}
    for done, _ in enumerate(progress(stream, LONG, "long run"), start=1):
        if done in (SETTLED, LONG):
            found[done] = resident()
    early, late = found[SETTLED], found[LONG]
    return {"frames": LONG, "MiB early": early, "MiB at the end": late, "MiB more": late - early}


def resident(what: str = "VmRSS") -> float:
    """Memory of this process in MiB: "VmRSS" now, "VmHWM" at most since ``reset_peak``; nan where no /proc tells."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(f"{what}:"):
                return int(line.split()[1]) / 1024
    return math.nan


def reset_peak() -> None:
    """Let the peak of resident memory start from now, where the system can."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
