"""What new views of a photo cost: milliseconds by part, the time of a film, and memory."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

from torch import Tensor

from pipelines.evaluation.speed import profile, reset_peak, resident
from pipelines.media.video import open_sink
from pipelines.perception.depth import DepthEstimator
from pipelines.view_cameras import preset_cameras
from pipelines.views import ViewsPipeline
from synsin.model import ViewSynthesizer

FILM = 96  # frames of an orbit
TIMED = 12  # of these, evenly spaced
ONCE = ("depth", "lift")  # parts that come once for a photo
PARTS: dict[str, Callable[..., Any]] = {
    "depth": DepthEstimator.__call__,
    "lift": ViewSynthesizer.lift,
    "render": ViewSynthesizer.render,
    "refine": ViewSynthesizer.refine,
}


def speed(pipeline: ViewsPipeline, rgb: Tensor) -> dict[str, Any]:
    """Make an orbit of a photo (3, H, W), both sides even: to a video against the clock, and under a profiler.

    Returns:
        height, width; frames per second after the first frame; seconds for ``FILM`` frames with all that comes
        before them, reckoned from ``TIMED``; ms by part, for each frame or (``ONCE``) for the photo; peak MiB, of
        the process while it worked.
    """
    height, width = rgb.shape[-2:]
    photo = pipeline.take(rgb, size=(height, width))
    cameras = preset_cameras("orbit", photo.depth, FILM, loop=True)[:: FILM // TIMED]
    for _ in pipeline.stream(photo, cameras[:2]):  # in which libraries choose their kernels
        pass
    reset_peak()
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        frames = pipeline.stream(pipeline.take(rgb, size=(height, width)), cameras)
        with open_sink(Path(folder) / "orbit.mp4", Fraction(24), height, width) as sink:
            sink.write(next(frames))
            first = time.perf_counter()
            for frame in frames:
                sink.write(frame)
            last = time.perf_counter()
        done = time.perf_counter()
    peak = resident("VmHWM")
    each = (last - first) / (len(cameras) - 1)
    spent = profile(lambda: pipeline.stream(pipeline.take(rgb, size=(height, width)), cameras), PARTS)
    return {
        "height": height,
        "width": width,
        "frames per second": 1 / each,
        "seconds": (first - began) + (FILM - 1) * each + (done - last),
        "ms": {part: 1000 * seconds / (1 if part in ONCE else len(cameras)) for part, seconds in spent.items()},
        "peak MiB": peak,
    }
