"""Every job end to end, from files to files, as its command does it.

    python benchmarks/jobs.py [--jobs flyover footage ...] [--repeats 5] [--json FILE]

flyover: the demo view by autopilot, at two sizes. views: an orbit of the demo view. footage: a rendered street at
256x512, from its labels, and from labels, depth and cameras. restyle: a clip of 360x640, panned over the demo view.
What the jobs take is made first, with nothing but what the package holds.

Each job has a process of its own, in which its command runs again and again; the first run, in which libraries load
and kernels are found, is given apart. Where points are rendered, the command takes turns with itself on the renderer in
plain torch. "frames per second" counts from the first frame on, encoding included; "copy ms" is a copy of the bytes
of a frame. Last, one run under a profiler says where the time goes: what comes once for a photo per run, all else per
frame; the rest holds the start, decoding and waiting for the encoder.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from pipelines import cli
from pipelines.evaluation import flight_speed, restyle_speed, view_speed
from pipelines.evaluation.report import Rows, surroundings, table, write_json
from pipelines.evaluation.speed import profile, reset_peak, resident
from pipelines.flyover import DEMO
from pipelines.media.camera_files import Track, write_cameras
from pipelines.media.depth_writers import write_depth
from pipelines.media.images import read_image
from pipelines.media.label_sink import open_label_sink
from pipelines.media.video import FrameSink, open_sink
from pipelines.training.clip_set import render_clip
from pipelines.training.world_set import HELD_OUT_SEED
from render_refine import kernels
from render_refine.memory import WorldMemory
from render_refine.warp import visible_motion
from vid2vid.generator import FootageGenerator, one_hot
from vid2vid.motion import MotionNetwork, warp_previous

FPS = Fraction(24)
STREET, DRIVEN = 4, 16  # number of the held-out street, and frames of the drive, which is played there and back
FOOTAGE_PARTS: dict[str, Callable[..., Any]] = {
    "labels to one-hot": one_hot,
    "motion network": MotionNetwork.forward,
    "exact motion": visible_motion,
    "warp": warp_previous,
    "memory, read": WorldMemory.look,
    "generator": FootageGenerator.forward,
    "memory, write": WorldMemory.write,
}
ONCE = ("depth", "depth, once", "lift")  # parts that come once for a photo


@dataclass(frozen=True)
class Job:
    """A command, without its output.

    Attributes:
        frames: how many it makes; height, width: their size.
        renders: whether it renders points.
        parts: functions whose time is of interest.
    """

    command: tuple[str, ...]
    frames: int
    height: int
    width: int
    renders: bool
    parts: dict[str, Callable[..., Any]] = field(default_factory=dict)


def jobs(folder: Path) -> dict[str, Job]:
    """All jobs by name; what they take lies in ``folder``, see ``make``."""
    flights = {
        f"flyover {h}x{w}": Job(
            ("flyover", str(DEMO), "--frames", "49", "--size", f"{h}x{w}"), 49, h, w, True, flight_speed.PARTS
        )
        for h, w in ((160, 256), (256, 448))
    }
    labels = ("footage", str(folder / "labels"), "--labels-set", "viewsynth")
    known = ("--depth", str(folder / "depth"), "--cameras", str(folder / "cameras.json"))
    driven = 2 * DRIVEN - 1
    clip = ("restyle", str(folder / "clip.mp4"), "--time", "night")
    orbit = ("views", str(DEMO), "--camera", "orbit", "--frames", "24", "--size", "256x384")
    return flights | {
        "views": Job(orbit, 24, 256, 384, True, view_speed.PARTS),
        "footage, labels": Job(labels, driven, 256, 512, False, FOOTAGE_PARTS),
        "footage, depth and cameras": Job((*labels, *known), driven, 256, 512, True, FOOTAGE_PARTS),
        "restyle": Job(clip, 48, 360, 640, False, restyle_speed.PARTS),
    }


def make(folder: Path) -> None:
    """The labels, depth and cameras of a drive through a street, and a clip that pans over the demo view."""
    drive = render_clip(HELD_OUT_SEED, STREET, DRIVEN, 256, 512)
    order = [*range(DRIVEN), *range(DRIVEN - 1)[::-1]]
    (folder / "depth").mkdir()
    with open_label_sink(folder / "labels" / "%06d.png", FPS, 256, 512) as sink:
        for k, source in enumerate(order):
            sink.write(drive.labels[source])
            write_depth(folder / "depth" / f"{k:06d}.npy", drive.depth[source])
    write_cameras(folder / "cameras.json", Track([drive.cameras[source] for source in order], fps=FPS))
    still = torch.nn.functional.interpolate(read_image(DEMO)[None], (400, 700), mode="bicubic")[0].clamp(0, 1)
    with open_sink(folder / "clip.mp4", FPS, 360, 640) as film:
        for k in range(48):
            film.write(still[:, k // 2 : k // 2 + 360, k : k + 640])


def run(job: Job, output: Path) -> dict[str, float]:
    """Give the command once; seconds in all, frames per second from the first frame on, and peak MiB."""
    handed: list[float] = []
    write = FrameSink.write

    def noted(sink: FrameSink, frame: torch.Tensor) -> None:
        handed.append(time.perf_counter())
        write(sink, frame)

    reset_peak()
    with mock.patch.object(FrameSink, "write", noted), quiet() as said:
        began = time.perf_counter()
        code = cli.main([*job.command, "-o", str(output), "--overwrite"])
        done = time.perf_counter()
    if code or len(handed) != job.frames:
        raise SystemExit(f"viewsynth {' '.join(job.command)}: {len(handed)} of {job.frames} frames\n{said.getvalue()}")
    rate = (job.frames - 1) / (done - handed[0])
    return {"seconds": done - began, "frames per second": rate, "peak MiB": resident("VmHWM")}


@contextlib.contextmanager
def quiet() -> Iterator[io.StringIO]:
    """Catch what a command says."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        yield said


def plain_torch() -> Any:
    """Inside of this context no compiled kernel is found, so the renderer runs in plain torch."""
    return mock.patch.object(kernels, "find", return_value=None)


def measure(name: str, folder: Path, repeats: int) -> dict[str, Any]:
    """Figures of a job, its runs taking turns with those in plain torch, and its parts."""
    job, output = jobs(folder)[name], folder / "output.mp4"
    first = run(job, output)["seconds"]
    found: dict[str, list[dict[str, float]]] = {"kernels": [], "plain torch": []}
    for _ in range(repeats):
        found["kernels"].append(run(job, output))
        if job.renders:
            with plain_torch():
                found["plain torch"].append(run(job, output))
    rates = [figures["frames per second"] for figures in found["kernels"]]
    plain = [figures["frames per second"] for figures in found["plain torch"]]
    low, _, high = statistics.quantiles(rates, n=4) if repeats > 1 else rates * 3
    row = {
        "frames": job.frames,
        "frames per second": statistics.median(rates),
        "spread": high - low,
        **({"in plain torch": statistics.median(plain)} if plain else {}),
        "seconds": statistics.median(figures["seconds"] for figures in found["kernels"]),
        "first run": first,
        "peak MiB": max(figures["peak MiB"] for figures in found["kernels"]),
        "copy ms": copying(job),
    }
    spent = profile(lambda: [run(job, output)], job.parts)
    parts = {part: 1e3 * seconds / (1 if part in ONCE else job.frames) for part, seconds in spent.items()}
    return {"row": row, "parts": parts, "runs": found}


def copying(job: Job) -> float:
    """Milliseconds to copy the bytes of one frame."""
    pixels = torch.zeros(job.height, job.width, 3, dtype=torch.uint8)
    times = []
    for _ in range(20):
        began = time.perf_counter()
        pixels.clone()
        times.append(1e3 * (time.perf_counter() - began))
    return statistics.median(times)


def show(title: str, rows: Rows) -> None:
    print(table(title, rows), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", nargs="+", help="those whose names begin so; all when left out")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results: dict[str, Any] = {}
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        make(folder)
        for name in jobs(folder):
            if options.jobs is None or name.startswith(tuple(options.jobs)):
                with spawn.Pool(1, torch.set_num_threads, (torch.get_num_threads(),)) as alone:
                    results[name] = alone.apply(measure, (name, folder, options.repeats))
                show(f"{name}, ms per frame", {"": results[name]["parts"]})
    show(f"{torch.get_num_threads()} threads", {name: result["row"] for name, result in results.items()})
    if options.json:
        write_json(options.json, {**surroundings(), "command": ["python", *sys.argv], "jobs": results})


if __name__ == "__main__":
    main()
