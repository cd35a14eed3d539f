"""What a frame from the world memory costs, as the world grows and what is visible stays the same.

    python benchmarks/memory.py [--points 1e6 1e7 5e7] [--resident 16e6] [--repeats 9] [--json FILE]

The world is a strip of rough ground, written frame by frame as a flight writes it, so that the camera at its end sees
half a million points whatever was seen before. Beside the time of a frame (`WorldMemory.look`, 256x448) stand that of
reading all points, as a memory without chunks must do, and that of copying the bytes of the visible points.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from pipelines.evaluation.report import surroundings, table, write_json
from render_refine.camera import Camera, pose_from
from render_refine.chunks import ChunkedCloud
from render_refine.memory import WorldMemory
from render_refine.points import PointCloud

HEIGHT, WIDTH = 256, 448
VISIBLE = 500_000  # points in front of the last camera
REACH, HALF_WIDTH = 10.0, 12.0  # of the ground that one camera sees, units
MOST_AT_ONCE = 10_000_000  # points that the memory without chunks is timed with


def strip(first: float, count: int, generator: torch.Generator) -> PointCloud:
    """``count`` points of ground between ``first`` and ``first + REACH`` along z, a unit below the camera."""
    place = torch.rand(count, 3, generator=generator)
    xyz = torch.stack([HALF_WIDTH * (2 * place[:, 0] - 1), 1 + 0.1 * place[:, 1], first + REACH * place[:, 2]], dim=1)
    colours = torch.randint(0, 256, (count, 3), generator=generator, dtype=torch.uint8)
    # As large as the pixels through which a flight sees them: the cameras see the ground from 2 to 5 units away.
    return PointCloud(xyz, colours, 0.008 * (1 + 0.5 * torch.rand(count, generator=generator)))


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


def measure(points: int, resident: int, repeats: int) -> dict[str, Any]:
    """Figures of a memory of ``points`` points."""
    generator = torch.Generator().manual_seed(0)
    memory = WorldMemory()
    memory.surface = ChunkedCloud(resident=resident)
    parts = max(1, points // VISIBLE)
    began = time.perf_counter()
    for k in range(parts):
        memory.surface.append(strip(REACH * k, VISIBLE, generator))
    writing = 1e3 * (time.perf_counter() - began) / parts
    # At the end of the strip, looking ahead: the last part is in view, all others lie behind.
    camera = Camera.from_fov(HEIGHT, WIDTH, 1.9, pose_from(torch.tensor([0.0, 0.0, REACH * (parts - 1)]), pitch=-0.5))
    seen = memory.surface.seen_by(camera)
    median, spread = milliseconds(lambda: memory.look(camera), repeats)
    copying, _ = milliseconds(lambda: [t.clone() for t in (seen.xyz, seen.features, seen.footprint)], repeats)
    row = {
        "visible": len(seen),
        "in memory": memory.surface.in_memory,
        "write ms per 500,000": writing,
        "frame ms": median,
        "spread ms": spread,
        "copy ms": copying,
        "peak MiB of the process": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    if points <= MOST_AT_ONCE:
        generator = torch.Generator().manual_seed(0)
        everything = PointCloud.cat([strip(REACH * k, VISIBLE, generator) for k in range(parts)])
        whole, _ = milliseconds(lambda: memory._splat(everything, camera), max(3, repeats // 3))
        row["all points ms"] = whole
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=float, nargs="+", default=[1e6, 1e7, 5e7])
    parser.add_argument("--resident", type=float, default=16e6)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = {f"{int(n):,} points": measure(int(n), int(options.resident), options.repeats) for n in options.points}
    print(table(f"one frame of {HEIGHT}x{WIDTH}, {torch.get_num_threads()} threads", rows))
    if options.json:
        write_json(options.json, {**surroundings(), "rows": rows})


if __name__ == "__main__":
    main()
