"""The z-buffered soft splat on a GPU, in Triton: the same function as `soft_cpu`.

A program works on one tile and up to `CHANNELS` channels. It reads the tile's points twice, for the front surface and
for the sums; in the gradient once, and what a tile has to say about a point goes to a place of its own, to be summed by
point in a fixed order.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from render_refine.kernels.lists_gpu import SIDE, place_of, sums_by_point, tile_lists

CHANNELS = {torch.float32: 64, torch.float64: 16}  # of one program
REACH = 1.0  # pixels: how far a point spreads


def soft_splat(
    uv: Tensor,
    z: Tensor,
    features: Tensor,
    height: int,
    width: int,
    weights: Tensor | None = None,
    softness: float = 0.02,
    near: float = 0.0,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(B, H, W, C) features, and (B, H, W) depth, density and id of the nearest point, int64.

    Arguments as `render_refine.splat.soft_splat`, all of the same type, float32 or float64; ``near`` is the depth
    from which points count.
    """
    weights = torch.ones_like(z) if weights is None else weights
    return _SoftSplat.apply(uv, z, features, weights, height, width, softness, near)


class _SoftSplat(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, uv, z, features, weights, height, width, softness, near):
        uv, z, features, weights = (t.contiguous() for t in (uv, z, features, weights))
        batch, points, channels = features.shape
        start, entries = tile_lists(uv, z, REACH, height, width, near)
        out = features.new_empty(batch, height, width, channels)
        depth, density, total, front = (features.new_empty(batch, height, width) for _ in range(4))
        nearest = torch.empty(batch, height, width, dtype=torch.int64, device=z.device)
        block = min(CHANNELS[z.dtype], triton.next_power_of_2(max(channels, 1)))
        grid = len(start) - 1, max(triton.cdiv(channels, block), 1)
        constants = {"BLOCK": block, "SOFTNESS": softness, "SIDE": SIDE, "num_warps": 8}
        _forward[grid](
            uv, z, features, weights, start, entries, out, depth, density, total, front, nearest,
            height, width, points, channels, **constants,
        )  # fmt: skip
        ctx.save_for_backward(uv, z, features, weights, start, entries, out, depth, total, front)
        ctx.grid, ctx.constants = grid, constants
        ctx.mark_non_differentiable(density, nearest)
        ctx.set_materialize_grads(False)
        return out, depth, density, nearest

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_out, grad_depth, *_):
        uv, z, features, weights, start, entries, out, depth, total, front = ctx.saved_tensors
        channels, blocks = features.shape[-1], ctx.grid[1]
        grad_out = torch.zeros_like(out) if grad_out is None else grad_out.contiguous()
        grad_depth = torch.zeros_like(depth) if grad_depth is None else grad_depth.contiguous()
        partial = out.new_zeros(blocks, len(entries), ctx.constants["BLOCK"])
        place = out.new_zeros(blocks, len(entries), 4)
        _backward[ctx.grid](
            uv, z, features, weights, start, entries, out, depth, total, front, grad_out, grad_depth, partial, place,
            *depth.shape[1:], len(entries), channels, **ctx.constants,
        )  # fmt: skip
        of_place, of_features = sums_by_point(place, partial, entries, z.numel(), channels)
        return (
            of_place[:, :2].reshape(uv.shape),
            of_place[:, 2].reshape(z.shape),
            of_features.reshape(features.shape),
            of_place[:, 3].reshape(z.shape),
            *(None,) * 4,
        )


@triton.jit
def _shares(u, v, row, column, inside):
    """Which pixels are among a point's four, its bilinear shares in them along u and along v, and their slopes."""
    du = column.to(u.dtype) + 0.5 - u
    dv = row.to(u.dtype) + 0.5 - v
    touched = inside & (du > -1) & (du <= 1) & (dv > -1) & (dv <= 1)
    share_u = tl.where(touched, 1.0 - tl.abs(du), 0.0)
    share_v = tl.where(touched, 1.0 - tl.abs(dv), 0.0)
    return touched, share_u, share_v, tl.where(du > 0, 1.0, -1.0), tl.where(dv > 0, 1.0, -1.0)


@triton.jit
def _forward(
    uv, z, features, weights, start, entries, out, depth, density, total, front, nearest,
    height, width, points, channels,
    BLOCK: tl.constexpr, SOFTNESS: tl.constexpr, SIDE: tl.constexpr,
):  # fmt: skip
    tile, block = tl.program_id(0), tl.program_id(1)
    image, row, column, inside, pixel = place_of(tile, height, width, SIDE)
    channel = block * BLOCK + tl.arange(0, BLOCK)
    real = out.dtype.element_ty
    begin, end = tl.load(start + tile), tl.load(start + tile + 1)
    firm = tl.full([SIDE * SIDE], float("inf"), real)
    touched = tl.full([SIDE * SIDE], float("inf"), real)
    for n in range(begin, end):
        p = tl.load(entries + n)
        _, share_u, share_v, _, _ = _shares(tl.load(uv + 2 * p), tl.load(uv + 2 * p + 1), row, column, inside)
        share, distance = share_u * share_v, tl.load(z + p)
        touched = tl.where((share > 1e-3) & (distance < touched), distance, touched)
        firm = tl.where((share > 0.2) & (distance < firm), distance, firm)
    surface = tl.where(firm < float("inf"), firm, touched)
    log_surface = tl.log(surface)

    total_colour = tl.zeros([SIDE * SIDE, BLOCK], real)
    count = tl.zeros([SIDE * SIDE], real)
    weight_sum, inverse_sum = tl.zeros([SIDE * SIDE], real), tl.zeros([SIDE * SIDE], real)
    none = 9223372036854775807
    first = tl.full([SIDE * SIDE], none, tl.int64)
    for n in range(begin, end):
        p = tl.load(entries + n)
        distance = tl.load(z + p)
        four, share_u, share_v, _, _ = _shares(tl.load(uv + 2 * p), tl.load(uv + 2 * p + 1), row, column, inside)
        share = share_u * share_v
        behind = tl.log(distance) - log_surface
        near = four & (tl.abs(behind) < 3 * SOFTNESS)
        falloff = tl.exp(-tl.where(near, behind, 0.0) / SOFTNESS)
        weight = tl.where(near, share * falloff, 0.0)
        count += weight
        weight *= tl.load(weights + p)
        weight_sum += weight
        inverse_sum += weight / distance
        colour = tl.load(features + p * channels + channel, mask=channel < channels, other=0.0)
        total_colour += tl.where(near[:, None], weight[:, None] * colour[None, :], 0.0)
        first = tl.where((share > 1e-3) & (distance == surface) & (p < first), p, first)
    covered = weight_sum > 0
    safe = tl.where(covered, weight_sum, 1.0)
    at = pixel[:, None] * channels + channel[None, :]
    mean = tl.where(covered[:, None], total_colour / safe[:, None], 0.0)
    tl.store(out + at, mean, mask=inside[:, None] & (channel < channels)[None, :])
    if block == 0:
        mean_depth = tl.where(covered, safe / tl.where(covered, inverse_sum, 1.0), float("inf"))
        tl.store(depth + pixel, mean_depth, mask=inside)
        tl.store(density + pixel, count, mask=inside)
        tl.store(total + pixel, weight_sum, mask=inside)
        tl.store(front + pixel, log_surface, mask=inside)
        tl.store(nearest + pixel, tl.where(first == none, -1, first - image * points), mask=inside)


@triton.jit
def _backward(
    uv, z, features, weights, start, entries, out, depth, total, front, grad_out, grad_depth, partial, place,
    height, width, count_entries, channels,
    BLOCK: tl.constexpr, SOFTNESS: tl.constexpr, SIDE: tl.constexpr,
):  # fmt: skip
    tile, block = tl.program_id(0), tl.program_id(1)
    _, row, column, inside, pixel = place_of(tile, height, width, SIDE)
    lane = tl.arange(0, BLOCK)
    channel = block * BLOCK + lane
    at = pixel[:, None] * channels + channel[None, :]
    valid = inside[:, None] & (channel < channels)[None, :]
    weight_sum = tl.load(total + pixel, mask=inside, other=0.0)
    covered = weight_sum > 0
    safe = tl.where(covered, weight_sum, 1.0)
    up = tl.load(grad_out + at, mask=valid, other=0.0) / safe[:, None]
    base = tl.sum(up * tl.load(out + at, mask=valid, other=0.0), axis=1)
    mean = tl.where(covered, tl.load(depth + pixel, mask=covered, other=1.0), 1.0)
    # The depth belongs to the first block of channels only.
    by_depth = tl.load(grad_depth + pixel, mask=covered, other=0.0) * mean / safe
    by_depth = tl.where(block == 0, by_depth, 0.0)
    log_surface = tl.load(front + pixel, mask=inside, other=0.0)
    for n in range(tl.load(start + tile), tl.load(start + tile + 1)):
        p = tl.load(entries + n)
        distance = tl.load(z + p)
        inverse = 1.0 / distance
        four, share_u, share_v, slope_u, slope_v = _shares(
            tl.load(uv + 2 * p), tl.load(uv + 2 * p + 1), row, column, inside
        )
        behind = tl.log(distance) - log_surface
        near = covered & four & (tl.abs(behind) < 3 * SOFTNESS)
        falloff = tl.where(near, tl.exp(-tl.where(near, behind, 0.0) / SOFTNESS), 0.0)
        preference = tl.load(weights + p)
        weight = share_u * share_v * falloff * preference
        colour = tl.load(features + p * channels + channel, mask=channel < channels, other=0.0)
        error = tl.sum(tl.where(near[:, None], up * colour[None, :], 0.0), axis=1)
        error = tl.where(near, error - base + by_depth * (1.0 - mean * inverse), 0.0)
        slope = error * falloff * preference
        along_u = tl.sum(slope * share_v * slope_u, axis=0)
        along_v = tl.sum(slope * share_u * slope_v, axis=0)
        along_z = tl.sum(tl.where(near, weight * (by_depth * mean * inverse - error / SOFTNESS), 0.0), axis=0)
        entry = block.to(tl.int64) * count_entries + n
        tl.store(place + 4 * entry, along_u)
        tl.store(place + 4 * entry + 1, along_v)
        tl.store(place + 4 * entry + 2, along_z * inverse)
        tl.store(place + 4 * entry + 3, tl.sum(error * share_u * share_v * falloff, axis=0))
        tl.store(partial + entry * BLOCK + lane, tl.sum(tl.where(near[:, None], weight[:, None] * up, 0.0), axis=0))
