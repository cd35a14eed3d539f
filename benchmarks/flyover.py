"""What a flyover costs and whether it remembers, on real photos, beside its baselines in the same run.

    python benchmarks/flyover.py PHOTO [PHOTO ...] [--json FILE] [--sheet FILE]

For each photo: the loop closure of an out-and-back flight of 101 frames with memory, without memory (the
loop of Infinite Nature) and without refinement; then the speed of the autopilot at 256x448 and its share of
rendering, as seconds. With --sheet, five frames of each autopilot flight go into one picture.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from pathlib import Path

import torch

from pipelines.flyover import FlyoverPipeline
from pipelines.media.images import read_image, write_png
from render_refine.metrics import loop_closure

CLOSURE_FRAMES = 101
SPEED_FRAMES = 97
SHEET_WIDTH = 224


def closure(pipeline: FlyoverPipeline, photo: torch.Tensor, memory: bool) -> dict[str, float]:
    """Loop closure of one out-and-back flight, as it would be shown (8 bits)."""
    stream = pipeline.stream(photo, frames=CLOSURE_FRAMES, camera="out-and-back", memory=memory)
    frames = [(f.rgb * 255).round() / 255 for f in stream]
    return {name: float(value) for name, value in loop_closure(frames).items()}


def speed(pipeline: FlyoverPipeline, photo: torch.Tensor) -> tuple[dict[str, float], list[torch.Tensor]]:
    """Seconds to the first frame and frames per second after it; and the frames for the sheet."""
    began = time.perf_counter()
    kept: list[torch.Tensor] = []
    first = 0.0
    for index, frame in enumerate(pipeline.stream(photo, frames=SPEED_FRAMES, size=(256, 448))):
        if index == 0:
            first = time.perf_counter() - began
        if index % ((SPEED_FRAMES - 1) // 4) == 0:
            kept.append(frame.rgb)
    seconds = time.perf_counter() - began - first
    return {"first_frame_s": first, "frames_per_s": (SPEED_FRAMES - 1) / seconds}, kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--sheet", type=Path)
    options = parser.parse_args()
    refined = FlyoverPipeline.from_pretrained()
    smooth = FlyoverPipeline.from_pretrained(refine=False)
    rows, sheet = [], []
    print(f"{'photo':40} {'memory':>14} {'no memory':>14} {'no refinement':>14} {'first s':>8} {'fps':>6}")
    for path in options.photos:
        photo = read_image(path)
        row = {
            "photo": path.name,
            "memory": closure(refined, photo, memory=True),
            "no_memory": closure(refined, photo, memory=False),
            "no_refinement": closure(smooth, photo, memory=True),
        }
        timing, frames = speed(refined, photo)
        row |= timing
        rows.append(row)
        small = torch.nn.functional.interpolate(torch.stack(frames), scale_factor=SHEET_WIDTH / 448, mode="area")
        sheet.append(torch.cat(list(small), dim=2))
        cells = [f"{row[k]['psnr']:6.1f} / {row[k]['ssim']:.3f}" for k in ("memory", "no_memory", "no_refinement")]
        print(
            f"{path.name[:40]:40} {' '.join(cells)} {row['first_frame_s']:8.2f} {row['frames_per_s']:6.2f}", flush=True
        )
    for key in ("memory", "no_memory", "no_refinement"):
        psnr, ssim = (statistics.mean(r[key][m] for r in rows) for m in ("psnr", "ssim"))
        print(f"mean {key}: PSNR {psnr:.2f} dB, SSIM {ssim:.4f}")
    print(f"median frames per second: {statistics.median(r['frames_per_s'] for r in rows):.2f}")
    if options.json:
        machine = {"processor": platform.processor() or platform.machine(), "threads": torch.get_num_threads()}
        report = {"torch": torch.__version__, **machine, "rows": rows}
        options.json.write_text(json.dumps(report, indent=2))
    if options.sheet:
        write_png(options.sheet, torch.cat(sheet, dim=1).clamp(0, 1))


if __name__ == "__main__":
    main()
