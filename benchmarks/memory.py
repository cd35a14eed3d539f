"""What a frame from the world memory costs, as the world grows and as the view does.

    python benchmarks/memory.py [--points 1e6 1e7 5e7] [--resident 16e6] [--repeats 9] [--json FILE]

The world is a strip of rough ground, written piece by piece as a flight goes on. The camera at its end sees half a
million points in its picture, whatever was seen before: 1 % of 50 million. Beside the time of a frame
(`WorldMemory.look`, 256x448) stand that of reading all points, as a memory without chunks must do, and that of copying
the bytes of the points in view. Every size runs in a process of its own, so that its peak memory is its own (Linux).

Then the other way round: one piece of ground of 10^4 to 10^7 points, all of it in front of the camera.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from pipelines.evaluation.report import surroundings, table, write_json
from pipelines.evaluation.speed import reset_peak, resident
from render_refine.camera import Camera, pose_from
from render_refine.chunks import ChunkedCloud
from render_refine.memory import WorldMemory
from render_refine.points import PointCloud

HEIGHT, WIDTH = 256, 448
PIECE = 900_000  # points in front of one camera, half a million of them in its picture
REACH, HALF_WIDTH = 10.0, 12.0  # of a piece, units
MOST_AT_ONCE = 10_000_000  # points that the memory without chunks is timed with
IN_VIEW = tuple(10**exponent for exponent in range(4, 8))


def strip(first: float, count: int, generator: torch.Generator) -> PointCloud:
    """``count`` points of ground between ``first`` and ``first + REACH`` along z, a unit below the camera."""
    place = torch.rand(count, 3, generator=generator)
    xyz = torch.stack([HALF_WIDTH * (2 * place[:, 0] - 1), 1 + 0.1 * place[:, 1], first + REACH * place[:, 2]], dim=1)
    colours = torch.randint(0, 256, (count, 3), generator=generator, dtype=torch.uint8)
    # As large as the pixels through which a flight sees them: the cameras see the ground from 2 to 5 units away.
    return PointCloud(xyz, colours, 0.008 * (1 + 0.5 * torch.rand(count, generator=generator)))


def camera_at(first: float) -> Camera:
    """A camera that looks ahead over the ground from ``first`` on."""
    return Camera.from_fov(HEIGHT, WIDTH, 1.9, pose_from(torch.tensor([0.0, 0.0, first]), pitch=-0.5))


def in_picture(cloud: PointCloud, camera: Camera) -> int:
    """How many points lie within the borders of the camera's picture."""
    uv, z = camera.project(cloud.xyz)
    size = uv.new_tensor([camera.width, camera.height])
    return int(((z > 0) & (uv > 0).all(-1) & (uv < size).all(-1)).sum())


def milliseconds(call: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Median and spread (between the quartiles) of the wall time, after one call that does not count."""
    call()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        call()
        times.append(1e3 * (time.perf_counter() - began))
    low, _, high = statistics.quantiles(times, n=4)
    return statistics.median(times), high - low


def frame(memory: WorldMemory, camera: Camera, repeats: int) -> dict[str, Any]:
    """Figures of one view; the peak is what the views took beyond what the memory held."""
    memory.look(camera)  # compiles, and fills caches
    reset_peak()
    held = resident()
    median, spread = milliseconds(lambda: memory.look(camera), repeats)
    row = {"frame ms": median, "spread ms": spread, "MiB held": held, "MiB more": resident("VmHWM") - held}
    seen = memory.surface.seen_by(camera)
    copying, _ = milliseconds(lambda: seen.map(torch.clone), repeats)
    return {"looked at": len(seen), "in the picture": in_picture(seen, camera), **row, "copy ms": copying}


def grown(points: int, limit: int, repeats: int) -> dict[str, Any]:
    """Figures of a memory of ``points`` points, of which ``limit`` may be in memory."""
    generator = torch.Generator().manual_seed(0)
    memory = WorldMemory()
    memory.surface = ChunkedCloud(resident=limit)
    pieces = max(1, points // PIECE)
    writing = 0.0
    for k in range(pieces):
        piece = strip(REACH * k, PIECE, generator)
        began = time.perf_counter()
        memory.surface.append(piece)
        writing += time.perf_counter() - began
    # At the end of the strip, looking ahead: the last piece is in view, all others lie behind.
    camera = camera_at(REACH * (pieces - 1))
    row = {
        "stored": len(memory),
        "in memory": memory.surface.in_memory,
        f"write ms per {PIECE:,}": 1e3 * writing / pieces,
        **frame(memory, camera, repeats),
    }
    if points <= MOST_AT_ONCE:
        generator = torch.Generator().manual_seed(0)
        everything = PointCloud.cat([strip(REACH * k, PIECE, generator) for k in range(pieces)])
        row["all points ms"], _ = milliseconds(lambda: memory._splat(everything, camera), max(3, repeats // 3))
    return row


def seen(points: int, repeats: int) -> dict[str, Any]:
    """Figures of a view of ``points`` points."""
    memory = WorldMemory()
    memory.surface.append(strip(0.0, points, torch.Generator().manual_seed(0)))
    row = frame(memory, camera_at(0.0), repeats)
    return {**row, "ns per point": 1e6 * row["frame ms"] / row["looked at"]}


def alone(measure: Callable[..., dict[str, Any]], *arguments: int) -> dict[str, Any]:
    """What ``measure`` returns, in a new process with as many threads as this one."""
    with multiprocessing.get_context("spawn").Pool(1, torch.set_num_threads, (torch.get_num_threads(),)) as pool:
        return pool.apply(measure, arguments)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=float, nargs="+", default=[1e6, 1e7, 5e7])
    parser.add_argument("--resident", type=float, default=16e6)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    worlds = {f"{n:,.0f}": alone(grown, int(n), int(options.resident), options.repeats) for n in options.points}
    print(table(f"by points stored: one frame of {HEIGHT}x{WIDTH}, {torch.get_num_threads()} threads", worlds))
    views = {f"{n:,}": alone(seen, n, options.repeats) for n in IN_VIEW}
    print(table("by points in front of the camera", views))
    if options.json:
        write_json(
            options.json, {**surroundings(), "command": ["python", *sys.argv], "stored": worlds, "in view": views}
        )


if __name__ == "__main__":
    main()
