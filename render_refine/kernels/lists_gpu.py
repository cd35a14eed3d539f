"""What the GPU kernels share: lists of points per tile, and sums over a point's tiles.

All of it is sorted, so nothing needs an atomic addition and every result is the same bytes on every run.
"""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

SIDE = 16  # pixels of a tile's side; a program works on all its SIDE * SIDE pixels


def tile_lists(uv: Tensor, z: Tensor, radius: float, height: int, width: int, near: float) -> tuple[Tensor, Tensor]:
    """Points of each tile in order of (depth, id).

    Args:
        uv: (B, N, 2).
        z: (B, N).
        radius: points reach every pixel centre nearer than this.
        height, width: of the image.
        near: points at or before this depth do not count.

    Returns:
        (tiles + 1,) int64 where each tile's list starts, tiles in order of (image, row, column);
        (entries,) int64 of points, counted through the batch.
    """
    batch, points = z.shape
    down, across = math.ceil(height / SIDE), math.ceil(width / SIDE)
    order = torch.argsort(z.flatten(), stable=True)
    u, v = uv.flatten(0, 1)[order].double().unbind(dim=-1)
    # (With a little slack: kernels test every pixel exactly. NaN fails every comparison.)
    depth = z.flatten()[order]
    seen = (depth > near) & (depth < math.inf)
    seen &= (u > -radius) & (u < width + radius) & (v > -radius) & (v < height + radius)
    order, u, v = order[seen], u[seen], v[seen]
    first_column, first_row = ((t - radius - 0.501).ceil().clamp_min(0) for t in (u, v))
    last_column = (u + radius - 0.499).floor().clamp_max(width - 1)
    last_row = (v + radius - 0.499).floor().clamp_max(height - 1)
    left, top = (torch.div(t, SIDE, rounding_mode="floor").long() for t in (first_column, first_row))
    columns = (torch.div(last_column, SIDE, rounding_mode="floor").long() - left + 1) * (last_column >= first_column)
    rows = (torch.div(last_row, SIDE, rounding_mode="floor").long() - top + 1) * (last_row >= first_row)
    count = rows * columns
    place = torch.repeat_interleave(torch.arange(len(order), device=z.device), count)
    within = torch.arange(len(place), device=z.device) - (count.cumsum(0) - count)[place]
    row = top[place] + torch.div(within, columns[place], rounding_mode="floor")
    column = left[place] + within % columns[place]
    image = torch.div(order[place], max(points, 1), rounding_mode="floor")
    tile, by_tile = torch.sort((image * down + row) * across + column, stable=True)
    start = torch.searchsorted(tile, torch.arange(batch * down * across + 1, device=z.device))
    return start, order[place][by_tile]


def sum_by_point(partial: Tensor, entries: Tensor, points: int) -> Tensor:
    """(points, C): the sum of ``partial`` (blocks, entries, C) over each point's entries, in their order."""
    blocks, count, channels = partial.shape
    order = torch.argsort(entries, stable=True)
    start = torch.searchsorted(entries[order], torch.arange(points + 1, device=partial.device))
    out = partial.new_empty(points, channels)
    if points:
        width = triton.next_power_of_2(channels)
        _sum[(points,)](partial, order, start, out, count, channels, blocks, width)
    return out


def sums_by_point(
    place: Tensor, features: Tensor, entries: Tensor, points: int, channels: int
) -> tuple[Tensor, Tensor]:
    """Gradients (points, P) of what places a point and (points, channels) of its features.

    Args:
        place: (blocks, entries, P), of each block of channels and entry.
        features: (blocks, entries, C), of the channels of each block.
        entries: as from `tile_lists`.
    """
    of_features = torch.cat([sum_by_point(block[None], entries, points) for block in features], dim=-1)
    return sum_by_point(place, entries, points), of_features[:, :channels]


@triton.jit
def _sum(partial, order, start, out, count, channels, blocks, WIDTH: tl.constexpr):
    point = tl.program_id(0).to(tl.int64)
    lane = tl.arange(0, WIDTH)
    inside = lane < channels
    total = tl.zeros([WIDTH], out.dtype.element_ty)
    for n in range(tl.load(start + point), tl.load(start + point + 1)):
        entry = tl.load(order + n)
        for block in range(blocks):
            total += tl.load(partial + (block * count + entry) * channels + lane, mask=inside, other=0)
    tl.store(out + point * channels + lane, total, mask=inside)


@triton.jit
def place_of(tile, height, width, SIDE: tl.constexpr):
    """Image; rows, columns and validity of a tile's pixels; and their index in (B, H, W)."""
    down, across = (height + SIDE - 1) // SIDE, (width + SIDE - 1) // SIDE
    lane = tl.arange(0, SIDE * SIDE)
    row = tile // across % down * SIDE + lane // SIDE
    column = tile % across * SIDE + lane % SIDE
    image = tile // (down * across)
    inside = (row < height) & (column < width)
    return image, row, column, inside, (image.to(tl.int64) * height + row) * width + column
