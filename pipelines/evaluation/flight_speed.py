"""What a flight costs: frames a second from photo to video, milliseconds by part, and memory."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from torch import Tensor

from infinite_view.autopilot import Autopilot
from infinite_view.flight import Frame
from infinite_view.refiner import Refiner
from infinite_view.texture import PhotoTexture
from pipelines.evaluation.speed import FPS, WARM_UP, profile, reset_peak, resident
from pipelines.flyover import FlyoverPipeline
from pipelines.media.video import open_sink
from pipelines.perception.depth import DepthEstimator
from render_refine.memory import WorldMemory

FLOWN = 97  # frames of an autopilot flight
PARTS: dict[str, Callable[..., Any]] = {
    "depth, once": DepthEstimator.__call__,
    "autopilot": Autopilot.next_cameras,
    "memory, read": WorldMemory.look,
    "refiner": Refiner.forward,
    "texture": PhotoTexture.detailed,
    "occlusion test": WorldMemory.behind_seen,
    "memory, write": WorldMemory.write,
}


def speed(pipeline: FlyoverPipeline, photo: Tensor, size: tuple[int, int]) -> dict[str, Any]:
    """Fly by autopilot three times: to warm up, to a video against the clock, and under a profiler.

    Args:
        photo: (3, H, W), cropped to the aspect of ``size``, (height, width), both even.

    Returns:
        frames, height, width; seconds to the first frame, depth included; frames per second after it, with the
        encoder beside the flight as in ``viewsynth flyover``; ms per frame, by part; peak MiB, of the process.
    """

    def stream() -> Iterator[Frame]:
        return pipeline.stream(photo, frames=FLOWN, size=size)

    for _ in islice(stream(), 1 + WARM_UP):  # the second frame is the first that is drawn
        pass
    reset_peak()
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        frames = stream()
        with open_sink(Path(folder) / "flight.mp4", FPS, *size) as sink:
            sink.write(next(frames).rgb)
            first = time.perf_counter()
            for frame in frames:
                sink.write(frame.rgb)
        last = time.perf_counter()
    peak = resident("VmHWM")
    cost = {name: 1000 * spent / FLOWN for name, spent in profile(stream, PARTS).items()}
    return {
        "frames": FLOWN,
        "height": size[0],
        "width": size[1],
        "first frame, s": first - began,
        "frames per second": (FLOWN - 1) / (last - first),
        "ms per frame": cost,
        "peak MiB": peak,
    }
