"""Fly into every given picture at its own aspect and report whatever is wrong with a frame.

    python benchmarks/every_photo.py PHOTO [PHOTO ...] [--frames 48] [--sheet FILE]

Checked: the number of frames, their size, NaN, values outside [0, 1], depth that is not positive. A pixel that
nothing covers would have no depth. With --sheet, the first and the last frame of each flight go into one picture.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

from pipelines.flyover import FlyoverPipeline
from pipelines.media.framing import default_size
from pipelines.media.images import read_image, write_png

TILE = (96, 168)  # height and width in the sheet


def faults(frame_rgb: torch.Tensor, depth: torch.Tensor, size: tuple[int, int]) -> list[str]:
    """What is wrong with a frame."""
    found = []
    if tuple(frame_rgb.shape) != (3, *size):
        found.append(f"size {tuple(frame_rgb.shape)}")
    if not torch.isfinite(frame_rgb).all() or frame_rgb.min() < 0 or frame_rgb.max() > 1:
        found.append("colours not in [0, 1]")
    if torch.isnan(depth).any() or not (depth > 0).all():
        found.append("pixels without depth")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--sheet", type=Path)
    options = parser.parse_args()
    pipeline = FlyoverPipeline.from_pretrained()
    tiles, bad = [], 0
    for path in options.photos:
        photo = read_image(path)
        size = default_size(photo)
        began = time.perf_counter()
        found: set[str] = set()
        ends = []
        for index, frame in enumerate(pipeline.stream(photo, frames=options.frames)):
            found.update(faults(frame.rgb, frame.depth, size))
            if index in (0, options.frames - 1):
                ends.append(frame.rgb)
        if index != options.frames - 1:
            found.add(f"{index + 1} frames")
        bad += bool(found)
        rate = options.frames / (time.perf_counter() - began)
        print(f"{path.parent.name}/{path.name}: {size[0]}x{size[1]} {rate:.1f} frames/s {found or 'ok'}", flush=True)
        tiles.append(torch.nn.functional.interpolate(torch.stack(ends), size=TILE, mode="area"))
    print(f"{len(options.photos)} pictures, {bad} with faults")
    if options.sheet:
        rows = [torch.cat([t for pair in tiles[i : i + 4] for t in pair], dim=2) for i in range(0, len(tiles), 4)]
        widest = rows[0].shape[2]
        rows = [torch.nn.functional.pad(row, (0, widest - row.shape[2])) for row in rows]
        write_png(options.sheet, torch.cat(rows, dim=1).clamp(0, 1))


if __name__ == "__main__":
    main()
