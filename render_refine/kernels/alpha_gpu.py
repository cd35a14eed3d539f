"""Exact alpha compositing on a GPU, in Triton: the same function as `alpha_cpu`.

A program composites one tile and up to `CHANNELS` channels, all pixels side by side, front to back. The gradient walks
the same way, with P the sum of w e so far and S its end, which is <dL/dout, out>:

    dL/dalpha_k = T_k e_k - (S - P_k) / (1 - alpha_k),    e_k = <dL/dout, f_k>.

It is linear in e, so blocks of channels are independent; every tile writes what it has to say about a point into a
place of its own, and these are summed by point in a fixed order.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from render_refine.kernels.lists_gpu import SIDE, place_of, sums_by_point, tile_lists

CHANNELS = {torch.float32: 64, torch.float64: 16}  # of one program
OPAQUE = {torch.float32: 1e-6, torch.float64: 0.0}  # as on the CPU


def alpha_splat(
    uv: Tensor,
    z: Tensor,
    features: Tensor,
    height: int,
    width: int,
    radius: float = 1.0,
    k: int = 1,
    tau: float = 1.0,
    near: float = 0.0,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(B, H, W, C) features, and (B, H, W) depth, opacity and id of the nearest point, int64.

    Arguments as `render_refine.splat.alpha_splat`, all of the same type, float32 or float64; ``near`` is the depth
    from which points count.
    """
    return _AlphaSplat.apply(uv, z, features, height, width, radius, k, tau, near)


class _AlphaSplat(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, uv, z, features, height, width, radius, k, tau, near):
        uv, z, features = uv.contiguous(), z.contiguous(), features.contiguous()
        batch, points, channels = features.shape
        start, entries = tile_lists(uv, z, radius, height, width, near)
        out = features.new_empty(batch, height, width, channels)
        depth, opacity, disparity = (features.new_empty(batch, height, width) for _ in range(3))
        nearest = torch.empty(batch, height, width, dtype=torch.int64, device=z.device)
        # Python numbers would reach a kernel as float32; constants keep their value.
        formula = {"RADIUS": radius, "TAU": tau, "OPAQUE": OPAQUE[z.dtype], "SIDE": SIDE, "num_warps": 8}
        block = min(CHANNELS[z.dtype], triton.next_power_of_2(max(channels, 1)))
        grid = len(start) - 1, max(triton.cdiv(channels, block), 1)
        # (No fused multiply-add: whether a pixel is hit must be decided as the reference decides it.)
        _forward[grid](
            uv, z, features, start, entries, out, depth, opacity, disparity, nearest,
            height, width, points, channels, k, BLOCK=block, **formula, enable_fp_fusion=False,
        )  # fmt: skip
        ctx.save_for_backward(uv, z, features, start, entries, out, depth, opacity, disparity)
        ctx.k, ctx.formula, ctx.block, ctx.grid = k, formula, block, grid
        ctx.mark_non_differentiable(nearest)
        ctx.set_materialize_grads(False)
        return out, depth, opacity, nearest

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_out, grad_depth, grad_opacity, _):
        uv, z, features, start, entries, out, depth, opacity, disparity = ctx.saved_tensors
        channels = features.shape[-1]
        grad_out = torch.zeros_like(out) if grad_out is None else grad_out.contiguous()
        by_opacity = torch.zeros_like(depth) if grad_opacity is None else grad_opacity
        by_disparity = torch.zeros_like(depth)
        if grad_depth is not None:
            # depth = opacity / max(disparity, 1e-12), where something was hit
            share = torch.where(depth.isinf(), 0, grad_depth / disparity.clamp_min(1e-12))
            by_opacity = by_opacity + share
            by_disparity = torch.where(disparity > 1e-12, -share * torch.where(depth.isinf(), 0, depth), 0)
        blocks = ctx.grid[1]
        partial = out.new_zeros(blocks, len(entries), ctx.block)
        place = out.new_zeros(blocks, len(entries), 3)
        _backward[ctx.grid](
            uv, z, features, start, entries, out, opacity, disparity,
            grad_out, by_opacity.contiguous(), by_disparity.contiguous(), partial, place,
            *depth.shape[1:], len(entries), channels, ctx.k, BLOCK=ctx.block, **ctx.formula, enable_fp_fusion=False,
        )  # fmt: skip
        of_place, of_features = sums_by_point(place, partial, entries, z.numel(), channels)
        return (
            of_place[:, :2].reshape(uv.shape),
            of_place[:, 2].reshape(z.shape),
            of_features.reshape(features.shape),
            *(None,) * 6,
        )


@triton.jit
def _disc(u, v, row, column, open_, RADIUS: tl.constexpr, TAU: tl.constexpr):
    """Of one point, at each pixel: opacity, whether it is hit, and for the gradient (du, dv, root, inside)."""
    du = column.to(u.dtype) + 0.5 - u
    dv = row.to(u.dtype) + 0.5 - v
    square = du * du + dv * dv
    hit = (square < RADIUS * RADIUS) & open_
    q = square / (RADIUS * RADIUS)
    root = tl.sqrt(tl.minimum(tl.maximum(q, 1e-3), 1.0))
    alpha = 1.0 - root
    if TAU != 1.0:
        alpha = tl.where(alpha > 0, tl.exp(TAU * tl.log(tl.where(alpha > 0, alpha, 1.0))), 0.0)
    return tl.where(hit, alpha, 0.0), hit, du, dv, root, q >= 1e-3


@triton.jit
def _forward(
    uv, z, features, start, entries, out, depth, opacity, disparity, nearest,
    height, width, points, channels, k,
    BLOCK: tl.constexpr, RADIUS: tl.constexpr, TAU: tl.constexpr, OPAQUE: tl.constexpr, SIDE: tl.constexpr,
):  # fmt: skip
    tile, block = tl.program_id(0), tl.program_id(1)
    image, row, column, inside, pixel = place_of(tile, height, width, SIDE)
    channel = block * BLOCK + tl.arange(0, BLOCK)
    real = out.dtype.element_ty
    total = tl.zeros([SIDE * SIDE, BLOCK], real)
    weights, inverses = tl.zeros([SIDE * SIDE], real), tl.zeros([SIDE * SIDE], real)
    through = tl.full([SIDE * SIDE], 1.0, real)
    count = tl.zeros([SIDE * SIDE], tl.int32)
    first = tl.full([SIDE * SIDE], -1, tl.int64)
    for n in range(tl.load(start + tile), tl.load(start + tile + 1)):
        p = tl.load(entries + n)
        u, v, inverse = tl.load(uv + 2 * p), tl.load(uv + 2 * p + 1), 1.0 / tl.load(z + p)
        colour = tl.load(features + p * channels + channel, mask=channel < channels, other=0.0)
        open_ = inside & (count < k) & (through > OPAQUE)
        alpha, hit, _, _, _, _ = _disc(u, v, row, column, open_, RADIUS, TAU)
        weight = alpha * through
        # (Not weight * colour where there is no weight: the colour may be NaN.)
        total += tl.where(weight[:, None] > 0, weight[:, None] * colour[None, :], 0.0)
        weights += weight
        inverses += weight * inverse
        first = tl.where(hit & (count == 0), p - image * points, first)
        count += hit.to(tl.int32)
        through -= weight
    at = pixel[:, None] * channels + channel[None, :]
    tl.store(out + at, total, mask=inside[:, None] & (channel < channels)[None, :])
    if block == 0:
        tl.store(opacity + pixel, weights, mask=inside)
        tl.store(disparity + pixel, inverses, mask=inside)
        z_mean = tl.where(count > 0, weights / tl.maximum(inverses, 1e-12), float("inf"))
        tl.store(depth + pixel, z_mean, mask=inside)
        tl.store(nearest + pixel, first, mask=inside)


@triton.jit
def _backward(
    uv, z, features, start, entries, out, opacity, disparity, grad_out, by_opacity, by_disparity, partial, place,
    height, width, count_entries, channels, k,
    BLOCK: tl.constexpr, RADIUS: tl.constexpr, TAU: tl.constexpr, OPAQUE: tl.constexpr, SIDE: tl.constexpr,
):  # fmt: skip
    tile, block = tl.program_id(0), tl.program_id(1)
    _, row, column, inside, pixel = place_of(tile, height, width, SIDE)
    lane = tl.arange(0, BLOCK)
    channel = block * BLOCK + lane
    at = pixel[:, None] * channels + channel[None, :]
    valid = inside[:, None] & (channel < channels)[None, :]
    real = out.dtype.element_ty
    up = tl.load(grad_out + at, mask=valid, other=0.0)
    # The two sums belong to the first block of channels only.
    up_weight = tl.where(block == 0, tl.load(by_opacity + pixel, mask=inside, other=0.0), 0.0)
    up_inverse = tl.where(block == 0, tl.load(by_disparity + pixel, mask=inside, other=0.0), 0.0)
    final = tl.load(out + at, mask=valid, other=0.0)
    rest = tl.sum(tl.where(final != 0, up * final, 0.0), axis=1)
    rest += up_weight * tl.load(opacity + pixel, mask=inside, other=0.0)
    rest += up_inverse * tl.load(disparity + pixel, mask=inside, other=0.0)
    through = tl.full([SIDE * SIDE], 1.0, real)
    count = tl.zeros([SIDE * SIDE], tl.int32)
    for n in range(tl.load(start + tile), tl.load(start + tile + 1)):
        p = tl.load(entries + n)
        u, v, inverse = tl.load(uv + 2 * p), tl.load(uv + 2 * p + 1), 1.0 / tl.load(z + p)
        colour = tl.load(features + p * channels + channel, mask=channel < channels, other=0.0)
        open_ = inside & (count < k) & (through > OPAQUE)
        alpha, hit, du, dv, root, slopes = _disc(u, v, row, column, open_, RADIUS, TAU)
        weight = alpha * through
        seen = weight > 0
        error = tl.sum(tl.where(seen[:, None], up * colour[None, :], 0.0), axis=1)
        error = tl.where(seen, error + up_weight + up_inverse * inverse, 0.0)
        rest -= weight * error
        by_alpha = tl.where(seen, through * error - rest / (1.0 - alpha), 0.0)
        slope = tl.where(seen & slopes, by_alpha / root, 0.0)
        if TAU != 1.0:
            slope *= TAU * alpha / tl.maximum(1.0 - root, 1e-12)
        entry = block.to(tl.int64) * count_entries + n
        tl.store(place + 3 * entry, tl.sum(slope * du, axis=0) / (RADIUS * RADIUS))
        tl.store(place + 3 * entry + 1, tl.sum(slope * dv, axis=0) / (RADIUS * RADIUS))
        by_inverse = tl.sum(tl.where(seen, weight * up_inverse, 0.0), axis=0)
        tl.store(place + 3 * entry + 2, -by_inverse * inverse * inverse)
        by_colour = tl.sum(tl.where(seen[:, None], weight[:, None] * up, 0.0), axis=0)
        tl.store(partial + entry * BLOCK + lane, by_colour)
        count += hit.to(tl.int32)
        through -= weight
