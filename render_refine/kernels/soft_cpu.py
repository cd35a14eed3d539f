"""The z-buffered soft splat on the CPU: `render_refine.splat.soft_splat_reference`, compiled.

Each tile of the image reads its points in order of id: once for the depth of the front surface, once for the sums. The
gradient of a weighted mean needs no second look at the sums: with S the sum of the weights,

    dL/dw_i = <dL/dout, f_i - out> / S + dL/ddepth depth (1 - depth / z_i) / S.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from render_refine.kernels.compiled import claim, compiled, inner, share
from render_refine.kernels.tiles import COLUMNS, POINT, ROWS, memory, share_in_groups, tile_lists, tile_of_group

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
    return _SoftSplat.apply(uv, z, features, weights, height, width, softness, near)


def points_of(*tensors: Tensor) -> tuple[np.ndarray, ...]:
    """All points of a batch, one after the other: (B, N, ...) as (B N, ...)."""
    return tuple(t.detach().flatten(0, 1).numpy() for t in tensors)


class _SoftSplat(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, uv, z, features, weights, height, width, softness, near):
        uv, z, features = uv.contiguous(), z.contiguous(), features.contiguous()
        # An empty array stands for weights that are all one.
        weights = z.new_empty(0, 0) if weights is None else weights.contiguous()
        batch, _, channels = features.shape
        lists = tile_lists(uv, z, REACH, height, width, near)
        out = features.new_empty(batch, height, width, channels)
        depth, density, total, front = (features.new_empty(batch, height, width) for _ in range(4))
        nearest = torch.empty(batch, height, width, dtype=torch.int64)
        numbers = np.array([0, 1, 0.5, softness, 1e-3, 0.2], z.numpy().dtype)
        results = tuple(t.numpy() for t in (out, depth, density, total, front, nearest))
        room = functools.partial(_room, channels, numbers.dtype)
        share(_forward, room, points_of(uv, z, features, weights), *lists, numbers, results)
        ctx.save_for_backward(uv, z, features, weights, out, depth, total, front)
        ctx.lists, ctx.numbers = lists, numbers
        ctx.mark_non_differentiable(density, nearest)
        ctx.set_materialize_grads(False)
        return out, depth, density, nearest

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_out, grad_depth, *_):
        uv, z, features, weights, out, depth, total, front = ctx.saved_tensors
        none = depth.new_zeros(())
        grad_out = none.expand(out.shape) if grad_out is None else grad_out
        grad_depth = none.expand(depth.shape) if grad_depth is None else grad_depth.contiguous()
        gradients = tuple(torch.zeros_like(t) for t in (uv, z, features, weights))
        images = tuple(t.detach().contiguous().numpy() for t in (grad_depth, out, depth, total, front))
        share_in_groups(
            _backward, lambda: _room(out.shape[-1], ctx.numbers.dtype)[::2], REACH,
            points_of(uv, z, features, weights), *ctx.lists, ctx.numbers, memory(grad_out), images,
            points_of(*gradients),
        )  # fmt: skip
        return *gradients[:3], gradients[3] if weights.numel() else None, None, None, None, None


@inner
def _corner(u, v, numbers, top, left):
    """Row and column in the tile of the upper left of a point's four pixels, and how far the point is from it."""
    row, column = np.floor(v - numbers[2]), np.floor(u - numbers[2])
    return int(row) - top, int(column) - left, v - numbers[2] - row, u - numbers[2] - column


@inner
def _surface(tile, points, start, entries, numbers, top, left, rows, columns, firm, front):
    """Depth of the front surface of a tile: see `render_refine.splat._front_depth`."""
    uv, z = points
    one, least, fair = numbers[1], numbers[4], numbers[5]
    for i in range(ROWS * COLUMNS):
        firm[i] = np.inf
        front[i] = np.inf
    for n in range(start[tile], start[tile + 1]):
        p = np.uintp(entries[n] & POINT)
        row, column, dv, du = _corner(uv[p, 0], uv[p, 1], numbers, top, left)
        for step_v in range(2):
            for step_u in range(2):
                y, x = row + step_v, column + step_u
                if 0 <= y < rows and 0 <= x < columns:
                    share = (du if step_u else one - du) * (dv if step_v else one - dv)
                    at = np.uintp(y * COLUMNS + x)
                    if share > least and z[p] < front[at]:
                        front[at] = z[p]
                    if share > fair and z[p] < firm[at]:
                        firm[at] = z[p]
    for i in range(ROWS * COLUMNS):
        if firm[i] < np.inf:
            front[i] = firm[i]


@inner
def _place_of(tile, height, width):
    """Image, first row, first column, rows and columns of a tile."""
    down, across = -(-height // ROWS), -(-width // COLUMNS)
    top, left = tile // across % down * ROWS, tile % across * COLUMNS
    return tile // (down * across), top, left, min(ROWS, height - top), min(COLUMNS, width - left)


def _room(channels: int, dtype: np.dtype) -> tuple:
    """Of a tile: sums of the channels; four planes; density; nearest point."""
    size = ROWS * COLUMNS
    planes = tuple(np.empty(size, dtype) for _ in range(4))
    return np.empty((size, channels), dtype), planes, np.empty(size, dtype), np.empty(size, np.int64)


@compiled
def _forward(counter, points, start, entries, numbers, results, sums, planes, density, nearest):
    tile = claim(counter)
    while tile < len(start) - 1:
        _splat_tile(tile, points, start, entries, numbers, sums, planes, density, nearest, results)
        tile = claim(counter)


@inner
def _splat_tile(tile, points, start, entries, numbers, sums, planes, density, nearest, results):
    uv, z, features, weights = points
    out, depth, density_image, total_image, front_image, nearest_image = results
    firm, front, total, disparity = planes
    batch, height, width, channels = out.shape
    one, softness, least = numbers[1], numbers[3], numbers[4]
    image, top, left, rows, columns = _place_of(tile, height, width)
    _surface(tile, (uv, z), start, entries, numbers, top, left, rows, columns, firm, front)
    for i in range(ROWS * COLUMNS):
        total[i] = disparity[i] = density[i] = numbers[0]
        nearest[i] = -1
        firm[i] = math.log(front[i])
    sums[:] = numbers[0]
    thickness = softness + softness + softness
    for n in range(start[tile], start[tile + 1]):
        p = np.uintp(entries[n] & POINT)
        row, column, dv, du = _corner(uv[p, 0], uv[p, 1], numbers, top, left)
        log_z, inverse = math.log(z[p]), one / z[p]
        for step_v in range(2):
            for step_u in range(2):
                y, x = row + step_v, column + step_u
                if 0 <= y < rows and 0 <= x < columns:
                    at = np.uintp(y * COLUMNS + x)
                    behind = log_z - firm[at]
                    if abs(behind) < thickness:
                        share = (du if step_u else one - du) * (dv if step_v else one - dv)
                        if share > least and z[p] == front[at] and nearest[at] < 0:
                            nearest[at] = p
                        weight = share * math.exp(-behind / softness)
                        density[at] += weight
                        if len(weights):
                            weight *= weights[p]
                        total[at] += weight
                        disparity[at] += weight * inverse
                        for channel in range(channels):
                            sums[at, channel] += weight * features[p, channel]
    first = image * (len(z) // batch)
    for row in range(rows):
        for column in range(columns):
            i, y, x = row * COLUMNS + column, top + row, left + column
            covered = total[i] > numbers[0]
            scale = one / total[i] if covered else numbers[0]
            for channel in range(channels):
                out[image, y, x, channel] = sums[i, channel] * scale if covered else numbers[0]
            depth[image, y, x] = total[i] / disparity[i] if covered else np.inf
            density_image[image, y, x] = density[i]
            total_image[image, y, x] = total[i]
            front_image[image, y, x] = firm[i]
            nearest_image[image, y, x] = nearest[i] - first if nearest[i] >= 0 else -1


@compiled
def _backward(counter, points, start, entries, numbers, upstream, images, results, group, apart, grad, base):
    batch, height, width, _ = images[1].shape
    tile = tile_of_group(claim(counter), batch, height, width, group, apart)
    while tile >= 0:
        _pull_tile(tile, points, start, entries, numbers, upstream, images, results, grad, base)
        tile = tile_of_group(claim(counter), batch, height, width, group, apart)


@inner
def _pull_tile(tile, points, start, entries, numbers, upstream, images, results, grad, base):
    uv, z, features, weights = points
    flat_grad, strides = upstream
    grad_depth, out, depth, total, front = images
    grad_uv, grad_z, grad_features, grad_weights = results
    _, height, width, channels = out.shape
    zero, one, softness = numbers[0], numbers[1], numbers[3]
    image, top, left, rows, columns = _place_of(tile, height, width)
    for row in range(rows):
        for column in range(columns):
            i, y, x = row * COLUMNS + column, top + row, left + column
            at = image * strides[0] + y * strides[1] + x * strides[2]
            base[i] = zero
            if total[image, y, x] > zero:
                for channel in range(channels):
                    grad[i, channel] = flat_grad[at + channel * strides[3]] / total[image, y, x]
                    base[i] += grad[i, channel] * out[image, y, x, channel]
    thickness = softness + softness + softness
    for n in range(start[tile], start[tile + 1]):
        p = np.uintp(entries[n] & POINT)
        row, column, dv, du = _corner(uv[p, 0], uv[p, 1], numbers, top, left)
        log_z, inverse = math.log(z[p]), one / z[p]
        preference = weights[p] if len(weights) else one
        along_u, along_v, along_z, along_weight = zero, zero, zero, zero
        for step_v in range(2):
            for step_u in range(2):
                y, x = row + step_v, column + step_u
                if not (0 <= y < rows and 0 <= x < columns):
                    continue
                i, y, x = y * COLUMNS + x, top + y, left + x
                behind = log_z - front[image, y, x]
                if not (abs(behind) < thickness and total[image, y, x] > zero):
                    continue
                share_u, share_v = du if step_u else one - du, dv if step_v else one - dv
                falloff = math.exp(-behind / softness)
                weight = share_u * share_v * falloff * preference
                by_depth = grad_depth[image, y, x] * depth[image, y, x] / total[image, y, x]
                error = by_depth * (one - depth[image, y, x] * inverse) - base[i]
                for channel in range(channels):
                    error += grad[i, channel] * features[p, channel]
                    grad_features[p, channel] += weight * grad[i, channel]
                slope = error * falloff * preference
                along_u += slope * share_v * (one if step_u else -one)
                along_v += slope * share_u * (one if step_v else -one)
                along_weight += error * share_u * share_v * falloff
                along_z += weight * inverse * (by_depth * depth[image, y, x] * inverse - error / softness)
        grad_uv[p, 0] += along_u
        grad_uv[p, 1] += along_v
        grad_z[p] += along_z
        if len(weights):
            grad_weights[p] += along_weight
