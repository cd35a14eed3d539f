"""What label-constant modulation saves: SPADE generators with and without it, on real label maps.

    python benchmarks/spade.py [--data DIR] [--repeats N] [--threads 1 2] [--json FILE]

Three networks: the one of the footage, the same with its finest level at full size, and the published SPADE (hidden
128), with random weights. "first" is a first frame (labels alone), "next" a later one, with a warped frame and
a guidance image that covers half of the view. The plain path and the shortcut take turns on three frames of a
clip; a row gives the best and the median wall time of each, their ratio (best to best), and with one thread
the ratio of CPU times, which other processes on the machine disturb less. Then, per level, the share of
pixels that are mixed and the time of one norm's modulation on both ways, which is what the threshold
``MOST_MIXED`` of ``render_refine/label_modulation.py`` was chosen by.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import torch
from torch import Tensor
from torch.nn import functional as F

from render_refine.label_modulation import ConstantAreas, Shortcuts, accelerate
from render_refine.precision import supports_bf16
from render_refine.spade import SpadeConfig, SpadeGenerator

UNLABELLED = 11  # CamVid's last id
FOOTAGE = SpadeConfig(
    (18, 4, 4), 6, (128, 128, 96, 64, 48, 32), 32, style_dim=32, spectral=False, upscale=2, style_modulation=True
)
PUBLISHED = SpadeConfig(
    (36,), 3, (1024, 1024, 1024, 512, 256, 128, 64), 128, norm="batch", spectral=False, resize="nearest"
)
SIZES = ((256, 512), (512, 1024))


def label_maps(folder: Path, size: tuple[int, int], channels: int) -> list[Tensor]:
    """One-hot (1, C, H, W), channels last: three frames of the clip."""
    files = sorted(folder.glob("*.png"))
    maps = []
    for file in (files[0], files[len(files) // 2], files[-1]):
        image = cv2.resize(cv2.imread(str(file), cv2.IMREAD_UNCHANGED), size[::-1], interpolation=cv2.INTER_NEAREST)
        ids = torch.from_numpy(image).long()[None]
        hot = F.one_hot(ids, channels) * (ids != UNLABELLED)[..., None]
        maps.append(hot.float().permute(0, 3, 1, 2))
    return maps


def take_turns(ways: dict[str, Callable[[], object]], repeats: int) -> dict[str, dict[str, float]]:
    """Wall and CPU milliseconds of each way, one after the other, over and over."""
    wall: dict[str, list[float]] = {name: [] for name in ways}
    cpu: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(repeats + 1):
        for name, way in ways.items():
            before = time.perf_counter(), time.process_time()
            way()
            if repeat:  # the first fills tables and caches
                wall[name].append(1e3 * (time.perf_counter() - before[0]))
                cpu[name].append(1e3 * (time.process_time() - before[1]))
    return {
        name: {
            "best_ms": min(wall[name]),
            "median_ms": statistics.median(wall[name]),
            "spread_ms": statistics.quantiles(wall[name], n=4)[2] - statistics.quantiles(wall[name], n=4)[0],
            "cpu_best_ms": min(cpu[name]),
        }
        for name in ways
    }


def whole_network(config: SpadeConfig, maps: list[Tensor], later: bool, half: bool, repeats: int) -> dict:
    """Times of both ways and their largest difference relative to the largest output."""
    torch.manual_seed(0)
    plain = SpadeGenerator(config).eval().to(memory_format=torch.channels_last)
    fast = SpadeGenerator(config).eval().to(memory_format=torch.channels_last)
    fast.load_state_dict(plain.state_dict())
    accelerate(fast)
    z = torch.randn(1, config.style_dim) if config.style_dim else None
    others: list[Tensor | None] = [None] * (len(config.condition_channels) - 1)
    if later:
        others = [torch.randn(1, c, *maps[0].shape[-2:]) for c in config.condition_channels[1:]]
        others[-1][..., : maps[0].shape[-1] // 2] = 0
    outputs: dict[str, list[Tensor]] = {"plain": [], "shortcut": []}

    def run(name: str, model: SpadeGenerator) -> None:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=half):
            outputs[name] = [model(labels, *others, z=z) for labels in maps]

    times = take_turns({"plain": lambda: run("plain", plain), "shortcut": lambda: run("shortcut", fast)}, repeats)
    scaled = {way: {name: value / len(maps) for name, value in row.items()} for way, row in times.items()}
    error = max(
        ((a - b).abs().max() / a.abs().max()).item() for a, b in zip(outputs["plain"], outputs["shortcut"], strict=True)
    )
    return {**scaled, "max_relative_error": error}


def levels(config: SpadeConfig, labels: Tensor, half: bool, repeats: int) -> list[dict]:
    """Per level: share of mixed pixels; and one norm's modulation by labels on both ways, the shortcut forced."""
    generator = SpadeGenerator(config).eval().to(memory_format=torch.channels_last)
    owner, rows = Shortcuts(), []
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=half):
        pyramid = generator.pyramid([labels, *[None] * (len(config.condition_channels) - 1)])
        for block, level in zip(generator.blocks, generator.level_of_block, strict=True):
            condition = pyramid[level][0]
            areas = ConstantAreas.of(condition, owner)
            ways = {
                "plain": lambda c=condition, n=block.norm_0: n.modulation(0, c),
                "shortcut": lambda a=areas, n=block.norm_0: a.modulation(n, 0),
                "areas": lambda c=condition: ConstantAreas.of(c, owner),
            }
            times = {name: row["cpu_best_ms"] for name, row in take_turns(ways, repeats).items()}
            mixed = (areas.source > condition.shape[1]).float().mean().item()
            rows.append({"grid": list(condition.shape[-2:]), "mixed": mixed, **times})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    folder = options.data / "camvid" / "0016E5_c_15Hz" / "labels"
    if len(list(folder.glob("*.png"))) < 3:
        parser.error(f"{folder}: expected label maps, found fewer than 3")
    cases = [("footage", FOOTAGE, size, later) for size in SIZES for later in (False, True)]
    cases += [("footage, upscale 1", replace(FOOTAGE, upscale=1), size, True) for size in SIZES]
    cases += [("published SPADE", PUBLISHED, SIZES[0], False)]
    precisions = [False, True] if supports_bf16("cpu") else [False]
    rows, details = [], []
    print(f"{'network':20}{'size':>10}{'frame':>7}{'type':>6}{'threads':>8}{'plain ms':>16}{'shortcut ms':>16}", end="")
    print(f"{'ratio':>7}{'CPU':>6}{'error':>9}   best / median")
    for name, config, size, later in cases:
        maps = label_maps(folder, size, config.condition_channels[0])
        published = config is PUBLISHED
        for half in precisions:
            for threads in options.threads[:1] if published else options.threads:
                torch.set_num_threads(threads)
                row = whole_network(config, maps[:1] if published else maps, later, half, options.repeats)
                row |= {"network": name, "size": size, "frame": "next" if later else "first", "threads": threads}
                row |= {"type": "bf16" if half else "fp32"}
                row["ratio"] = row["plain"]["best_ms"] / row["shortcut"]["best_ms"]
                row["cpu_ratio"] = row["plain"]["cpu_best_ms"] / row["shortcut"]["cpu_best_ms"]
                rows.append(row)
                cells = [f"{row[way]['best_ms']:7.1f} / {row[way]['median_ms']:6.1f}" for way in ("plain", "shortcut")]
                print(
                    f"{name:20}{size[0]:>5}x{size[1]:<4}{row['frame']:>7}{row['type']:>6}{threads:>8}"
                    f"{cells[0]:>16}{cells[1]:>16}{row['ratio']:7.2f}{row['cpu_ratio']:6.2f}"
                    f"{row['max_relative_error']:9.1e}",
                    flush=True,
                )
    torch.set_num_threads(1)
    print(f"\n{'network':20}{'grid':>10}{'type':>6}{'mixed':>7}   one norm's label modulation, CPU ms, one thread")
    for name, config, size in (("footage", FOOTAGE, SIZES[0]), ("footage, upscale 1", cases[5][1], SIZES[1])):
        labels = label_maps(folder, size, config.condition_channels[0])[1]
        for half in precisions:
            for row in levels(config, labels, half, options.repeats):
                details.append({"network": name, "type": "bf16" if half else "fp32", **row})
                print(
                    f"{name:20}{row['grid'][0]:>5}x{row['grid'][1]:<4}{details[-1]['type']:>6}{row['mixed']:7.1%}"
                    f"   plain {row['plain']:7.2f}   shortcut {row['shortcut']:7.2f}"
                    f"   and once per level {row['areas']:6.2f}",
                    flush=True,
                )
    if options.json:
        machine = {"processor": platform.processor() or platform.machine(), "torch": torch.__version__}
        options.json.write_text(json.dumps({**machine, "rows": rows, "levels": details}, indent=2))


if __name__ == "__main__":
    main()
