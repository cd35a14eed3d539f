"""The renderer's kernels against plain torch and against a memory copy, in the same run.

    python benchmarks/renderer.py [--repeats N] [--threads 1 2] [--device cpu] [--scaling] [--json FILE]

The scene is a relief seen from a little to the side, one point to a pixel. "copy" reads every input once and writes
every output once (forward + backward: that, and the same again for the gradients), which is the least any renderer can
do. The ways take turns; a cell gives the median and the spread (between the quartiles) in milliseconds of wall time.
``--scaling`` renders 10^4 to 10^7 points into 256 x 256 pixels, each count in a process of its own, whose peak memory
is given beyond what it and its points took before (Linux only).
"""

from __future__ import annotations

import argparse
import json
import mmap
import multiprocessing
import statistics
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from pipelines.evaluation.report import surroundings
from render_refine import splat


@dataclass(frozen=True)
class Case:
    """One setting; ``k`` 0 stands for the soft splat."""

    name: str
    height: int
    width: int
    channels: int
    radius: float = 0.0
    k: int = 0
    batch: int = 1


REST, AWAKE = 0.01, 0.02  # seconds without work, then of work before a call counts

CASES = (
    Case("SynSin", 256, 256, 64, 4.0, 128),
    Case("RGB-D", 160, 256, 4, 1.5, 8),
    Case("RGB, large", 512, 512, 3, 1.5, 8),
    Case("SynSin, small batch", 160, 256, 32, 4.0, 64, 4),
    Case("soft, RGB-D", 160, 256, 4),
    Case("soft, memory", 256, 448, 4),
)


def relief(case: Case, points: int, device: str = "cpu") -> tuple[Tensor, Tensor, Tensor]:
    """uv (B, N, 2), z (B, N), features (B, N, C): a surface 2 to 4 units away, seen 0.1 to the side and 0.2 nearer.

    Points lie in rows, as the pixels of an image of about the case's aspect would.
    """
    generator = torch.Generator().manual_seed(0)
    rows = max(round((points * case.height / case.width) ** 0.5), 1)
    columns = -(-points // rows)
    grid = torch.rand(1, 1, rows // 8 + 2, columns // 8 + 2, generator=generator)
    depth = 2 + 2 * F.interpolate(grid, (rows, columns), mode="bilinear")[0, 0].flatten()[:points]
    place = torch.arange(points)
    x = ((place % columns + 0.5) / columns - 0.5) * depth + 0.1
    y = (torch.div(place, columns, rounding_mode="floor") + 0.5).div(rows).sub(0.5) * depth
    z = depth - 0.2
    uv = torch.stack([(x / z + 0.5) * case.width, (y / z + 0.5) * case.height], dim=-1)
    features = torch.randn(case.batch, points, case.channels, generator=generator)
    uv, z = uv.expand(case.batch, -1, -1), z.expand(case.batch, -1)
    return uv.contiguous().to(device), z.contiguous().to(device), features.to(device)


def renderer(case: Case, plain: bool) -> Callable[..., splat.Splat]:
    """The function under test, as ``render(uv, z, features)``."""
    size = case.height, case.width
    if case.k:
        settings = {"radius": case.radius, "k": case.k, "tau": 1.0}
        function: Callable = splat.alpha_splat_reference if plain else splat.alpha_splat
    else:
        settings = {"weights": None, "softness": 0.02}
        function = splat.soft_splat_reference if plain else splat.soft_splat
    return lambda uv, z, features: function(uv, z, features, *size, **settings)


def timed(work: Callable[[], object], device: str) -> float:
    """Milliseconds of a call in the middle of others, as in a loop: caches are warm, the processor has woken up, and no
    thread that another way left behind still spins."""
    time.sleep(REST)
    began = time.perf_counter()
    while True:
        start = time.perf_counter()
        work()
        if device != "cpu":
            torch.cuda.synchronize()
        end = time.perf_counter()
        if start - began > AWAKE:
            return 1e3 * (end - start)


def measure(case: Case, device: str, repeats: int) -> dict[str, dict[str, dict[str, float]]]:
    """Median and spread of each pass and way."""
    inputs = relief(case, case.height * case.width, device)
    shape = case.batch, case.height, case.width, case.channels
    upstream = torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(device).permute(0, 3, 1, 2)
    images = [torch.empty(shape, device=device), *(torch.empty(shape[:3], device=device) for _ in range(2))]
    sources = [*inputs, *images]
    targets = [torch.empty_like(t) for t in sources]

    def forward(render: Callable) -> None:
        with torch.no_grad():
            render(*inputs)

    def both(render: Callable) -> None:
        leaves = [t.detach().requires_grad_() for t in inputs]
        render(*leaves).features.backward(upstream)

    def copy(times: int) -> None:
        for _ in range(times):
            for target, source in zip(targets, sources, strict=True):
                target.copy_(source)

    kernel, plain = renderer(case, plain=False), renderer(case, plain=True)
    passes = {
        "forward": {"kernel": lambda: forward(kernel), "plain": lambda: forward(plain), "copy": lambda: copy(1)},
        "both": {"kernel": lambda: both(kernel), "plain": lambda: both(plain), "copy": lambda: copy(2)},
    }
    times: dict[str, dict[str, list[float]]] = {p: {way: [] for way in ways} for p, ways in passes.items()}
    for repeat in range(repeats + 1):
        for p, ways in passes.items():
            for way, work in ways.items():
                elapsed = timed(work, device)
                if repeat:  # the first compiles
                    times[p][way].append(elapsed)
    return {p: {way: summary(values) for way, values in ways.items()} for p, ways in times.items()}


def summary(values: list[float]) -> dict[str, float]:
    low, _, high = statistics.quantiles(values, n=4)
    return {"median_ms": statistics.median(values), "spread_ms": high - low, "best_ms": min(values)}


def scale(case: Case, points: int, device: str, answer: multiprocessing.Queue) -> None:
    """Time and memory of one forward and one forward + backward pass; runs in a process of its own."""
    render = renderer(case, plain=False)
    render(*(t.requires_grad_() for t in relief(case, 1000, device))).features.sum().backward()
    inputs = relief(case, points, device)
    with Peak(device) as memory, torch.no_grad():
        forward = min(timed(lambda: render(*inputs), device) for _ in range(3))
    row = {"points": points, "forward_ms": forward, "forward_MiB": memory.more}
    leaves = [t.requires_grad_() for t in inputs]
    with Peak(device) as memory:
        both = min(timed(lambda: render(*leaves).features.sum().backward(), device) for _ in range(2))
    answer.put({**row, "both_ms": both, "both_MiB": memory.more})


class Peak:
    """``more``: the most MiB that were held inside of the block beyond those before it (CPU: Linux only)."""

    def __init__(self, device: str) -> None:
        self.device, self.more, self.over = device, 0.0, threading.Event()

    def __enter__(self) -> Peak:
        self.before = self.held()
        if self.device == "cpu":
            self.watcher = threading.Thread(target=self.watch)
            self.watcher.start()
        else:
            torch.cuda.reset_peak_memory_stats()
        return self

    def __exit__(self, *_: object) -> None:
        if self.device == "cpu":
            self.over.set()
            self.watcher.join()
        else:
            self.more = torch.cuda.max_memory_allocated() / 2**20 - self.before

    def watch(self) -> None:
        while not self.over.wait(1e-3):
            self.more = max(self.more, self.held() - self.before)

    def held(self) -> float:
        if self.device != "cpu":
            return torch.cuda.memory_allocated() / 2**20
        return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--scaling", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows, growth = [], []
    print(f"{'case':20}{'threads':>8} {'pass':8}{'kernel ms':>18}{'plain torch ms':>18}{'copy ms':>16}", end="")
    print(f"{'plain/kernel':>14}{'kernel/copy':>12}   median ± spread")
    for case in CASES:
        for threads in options.threads:
            torch.set_num_threads(threads)
            for name, ways in measure(case, options.device, options.repeats).items():
                kernel, plain, copy = (ways[way]["median_ms"] for way in ("kernel", "plain", "copy"))
                cells = [f"{w['median_ms']:.2f} ± {w['spread_ms']:.2f}" for w in ways.values()]
                print(f"{case.name:20}{threads:>8} {name:8}{cells[0]:>18}{cells[1]:>18}{cells[2]:>16}", end="")
                print(f"{plain / kernel:14.1f}{kernel / copy:12.1f}", flush=True)
                rows.append({**asdict(case), "threads": threads, "pass": name, **ways, "ratio": plain / kernel})
    if options.scaling:
        spawn = multiprocessing.get_context("spawn")
        print(f"\n{'points':>10}{'function':>10}{'forward ms':>12}{'+ backward':>12}", end="")
        print(f"{'forward MiB':>13}{'+ backward':>12}")
        for name, case in (("alpha", Case("", 256, 256, 3, 1.5, 8)), ("soft", Case("", 256, 256, 3))):
            for exponent in range(4, 8):
                answer = spawn.Queue()
                process = spawn.Process(target=scale, args=(case, 10**exponent, options.device, answer))
                process.start()
                row = answer.get()
                process.join()
                growth.append({"function": name, **row})
                print(
                    f"{row['points']:>10}{name:>10}{row['forward_ms']:12.1f}{row['both_ms']:12.1f}"
                    f"{row['forward_MiB']:13.0f}{row['both_MiB']:12.0f}",
                    flush=True,
                )
    if options.json:
        about = {**surroundings(), "command": ["python", *sys.argv]}
        options.json.write_text(json.dumps({**about, "rows": rows, "scaling": growth}, indent=2))


if __name__ == "__main__":
    main()
