"""What restyling costs: frames a second from video to video, milliseconds by part, and memory."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle, islice, repeat
from pathlib import Path
from typing import Any

from torch import Tensor

from pipelines.evaluation.speed import FPS, LONG, WARM_UP, encode, held, profile, reset_peak, resident
from pipelines.looks import Look
from pipelines.media.images import to_pixels
from pipelines.media.video import open_sink, read_video_frames
from pipelines.restyle import RestylePipeline
from vid2vid.lights import Lights
from vid2vid.local_colour import lift
from vid2vid.restyle import looked_at
from vid2vid.restyler import Restyler
from vid2vid.snow import Snow

FILM = 48  # frames
PARTS: dict[str, Callable[..., Any]] = {
    "network": Restyler.forward,
    "lift to full size": lift,
    "find snow": Snow.follow,
    "lay snow": Snow.lay,
    "find lights": Lights.follow,
    "draw lights": Lights.draw,
}


def speed(pipeline: RestylePipeline, frames: Sequence[Tensor], look: Look) -> dict[str, Any]:
    """Restyle a video three times: to warm up, to another video against the clock, and under a profiler.

    Args:
        frames: (3, H, W) each, even sides, played again and again.

    Returns:
        frames, height, width; frames per second from video to video, with looking and encoding beside
        the work as in ``viewsynth restyle``; ms per frame, by part; peak MiB, of the process while it worked.
    """
    height, width = frames[0].shape[-2:]
    shown = []
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source.mp4"
        encode(source, [to_pixels(frame) for frame in islice(cycle(frames), FILM)])

        def stream() -> Iterator[Tensor]:
            return pipeline.stream(read_video_frames(source), repeat(look, FILM))

        for _ in islice(stream(), WARM_UP):
            pass
        reset_peak()
        began = time.perf_counter()
        with open_sink(Path(folder) / "result.mp4", FPS, height, width) as sink:
            for frame in stream():
                sink.write(frame)
                shown.append(to_pixels(frame))
        seconds, peak = time.perf_counter() - began, resident("VmHWM")
        began = time.perf_counter()
        for _ in looked_at(pipeline.sources(read_video_frames(source), repeat(look)), pipeline.restyler.config.side):
            pass
        looking = time.perf_counter() - began
        encoder = encode(Path(folder) / "encoder.mp4", shown)
        cost = {name: 1000 * spent / FILM for name, spent in profile(stream, PARTS).items()}
    return {
        "frames": FILM,
        "height": height,
        "width": width,
        "frames per second": FILM / seconds,
        "ms per frame": cost
        | {"decoder, segmenter, optical flow (their own thread)": 1000 * looking / FILM}
        | {"encoder (its own thread)": 1000 * encoder / FILM, "from video to video": 1000 * seconds / FILM},
        "peak MiB": peak,
    }


def growth(pipeline: RestylePipeline, frames: Sequence[Tensor], look: Look) -> dict[str, float]:
    """How memory grows over a long clip, see ``speed.held``; the frames are played again and again."""
    return held(pipeline.stream(islice(cycle(frames), LONG), repeat(look, LONG)))
