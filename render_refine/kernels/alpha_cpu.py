"""Exact alpha compositing on the CPU: `render_refine.splat.alpha_splat_reference`, compiled.

Each tile of the image walks its points from front to back. A point's footprint is treated as a few whole rows of the
tile, so that the geometry of a row is one vector instruction per step; its features are then added row by row where
the image has few channels (vectors along the row) or pixel by pixel where it has many (vectors along the channels).

The gradient walks the same list forth, to store alpha and transmittance of all pairs, and back, where

    dL/dalpha_k = T_k (e_k - R_{k+1}),    R_k = alpha_k e_k + (1 - alpha_k) R_{k+1},    e_k = <dL/dout, f_k>,

which neither divides nor subtracts large sums. Tiles whose points cannot overlap are computed at the same time, the
others one after the other, so gradients are summed in one order whatever the number of threads.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from render_refine.kernels.alpha_tile import (
    BEHIND,
    BY_DISPARITY,
    BY_WEIGHT,
    CENTRE_U,
    CENTRE_V,
    COUNT,
    DISPARITY,
    ERROR,
    FEW,
    NEAREST,
    OPAQUE,
    WEIGHT,
    add_pixels,
    add_rows,
    closed,
    cover,
    gather,
    open_tile,
)
from render_refine.kernels.compiled import compiled, inner, share
from render_refine.kernels.tiles import (
    COLUMNS,
    ROWS,
    flat,
    memory,
    share_in_groups,
    sort_by_depth,
    sorting_room,
    tile_lists,
    tile_of_group,
)


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
        batch, _, channels = features.shape
        start, entries = tile_lists(uv.numpy(), z.numpy(), radius, height, width, near)
        out = features.new_empty(batch, height, width, channels)
        depth, opacity, disparity = (features.new_empty(batch, height, width) for _ in range(3))
        nearest = torch.empty(batch, height, width, dtype=torch.int64)
        numbers = _numbers(uv.numpy().dtype, radius, tau)
        results = tuple(t.numpy() for t in (out, depth, opacity, disparity, nearest))
        bits = z.numpy().ravel().view(np.uint32 if z.dtype == torch.float32 else np.uint64)

        def room() -> tuple:
            return *_room(start, numbers, channels, ROWS * COLUMNS), sorting_room(start, bits.dtype)

        share(_forward, room, flat(uv, z, features), bits, start, entries, numbers, np.int32(k), results)
        ctx.save_for_backward(uv, z, features, depth, disparity)
        ctx.lists, ctx.numbers, ctx.k = (start, entries), numbers, np.int32(k)
        ctx.mark_non_differentiable(nearest)
        ctx.set_materialize_grads(False)
        return out, depth, opacity, nearest

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_out, grad_depth, grad_opacity, _):
        uv, z, features, depth, disparity = ctx.saved_tensors
        none = depth.new_zeros(())
        grad_out = none.expand(*depth.shape, features.shape[-1]) if grad_out is None else grad_out
        upstream = [none.expand(depth.shape) if grad is None else grad for grad in (grad_depth, grad_opacity)]
        planes = tuple(t.contiguous().numpy() for t in (*upstream, depth, disparity))
        gradients = tuple(torch.zeros_like(t) for t in (uv, z, features))
        points, results = flat(uv, z, features), flat(*gradients)
        # Every point that counts hits one of a tile's pixels at least, so not more than this are kept of a list.
        start, radius = ctx.lists[0], math.sqrt(ctx.numbers[2])
        most = min(int(np.diff(start).max(initial=0)), ROWS * COLUMNS * int(ctx.k))
        box = min(ROWS, math.floor(2 * radius) + 2) * COLUMNS

        def room() -> tuple:
            return *_room(start, ctx.numbers, features.shape[-1], most * box), np.empty((2, most), np.int64)

        share_in_groups(
            _backward, room, radius, points, *ctx.lists, ctx.numbers, ctx.k, memory(grad_out), planes,
            results,
        )  # fmt: skip
        return *gradients, None, None, None, None, None, None


def _room(start: np.ndarray, numbers: np.ndarray, channels: int, pairs: int) -> tuple:
    """Arrays for one thread: the longest list's points; a tile's planes and pixels (arrays of their own, for the
    compiler must see that they do not overlap); pairs; weights; and a tile of all channels."""
    size, dtype, longest = ROWS * COLUMNS, numbers.dtype, int(np.diff(start).max(initial=0))
    few = channels if channels <= FEW else 0
    return (
        (
            tuple(np.empty(longest, dtype) for _ in range(3)),
            np.empty((longest, 4), np.int64),
            np.empty((longest, few), dtype),
        ),
        tuple(np.empty(size, dtype) for _ in range(9)),
        (np.empty(size, np.int32), np.empty(size, np.int32)),
        np.empty((2, pairs), dtype),
        np.empty(size, dtype),
        np.zeros((channels, size) if channels <= FEW else (size, channels), dtype),
    )


def _numbers(dtype: np.dtype, radius: float, tau: float) -> np.ndarray:
    """The numbers of the formula in the type of the data (a literal would turn all arithmetic into float64)."""
    return np.array([0, 1, radius * radius, 1 / (radius * radius), 1e-3, tau, OPAQUE[dtype], 1e-12], dtype)


@compiled
def _forward(piece, pieces, points, bits, start, entries, numbers, k, results, *room):
    gathered, planes, pixels, pairs, weights, colours, sorting = room
    for tile in range(piece, len(start) - 1, pieces):
        sort_by_depth(entries, start[tile], start[tile + 1], bits, sorting)
        _composite(
            tile,
            points,
            start,
            entries,
            numbers,
            k,
            results,
            gathered,
            planes,
            pixels,
            pairs[0],
            pairs[1],
            weights,
            colours,
        )


@inner
def _composite(
    tile, points, start, entries, numbers, k, results, gathered, planes, pixels, alpha, before, weights, colours
):
    """One tile of the image."""
    _, z, features = points
    out, depth, opacity, disparity, nearest = results
    batch, height, width, channels = out.shape
    per_image = len(z) // batch
    few = channels <= FEW
    image, top, left, rows, columns = open_tile(tile, height, width, numbers, planes, pixels)
    if few:
        colours[:] = numbers[0]
    else:
        for row in range(rows):
            for column in range(columns):
                out[image, top + row, left + column] = numbers[0]
    (us, vs, inverses), boxes, shades = gathered
    begin, end = start[tile], start[tile + 1]
    gather(begin, end, entries, points, top, left, rows, columns, numbers, gathered)
    for n in range(end - begin):
        if n % 32 == 31 and closed(planes, pixels, k, numbers):
            break
        p = np.int64(entries[begin + n])
        box = boxes[n, 0], boxes[n, 1], boxes[n, 2], boxes[n, 3]
        first, size = box[0] * COLUMNS, max(box[1] - box[0], 0) * COLUMNS
        if not cover(
            first, size, p, us[n], vs[n], inverses[n], k, numbers, planes, pixels,
            0, alpha, before, weights,
        ):  # fmt: skip
            continue
        if few:
            add_rows(first, size, n, shades, weights, colours, numbers)
        else:
            add_pixels(first, box, p, features, weights, out, image, top, left, numbers)
    for row in range(rows):
        for column in range(columns):
            i, y, x = row * COLUMNS + column, top + row, left + column
            if few:
                for channel in range(channels):
                    out[image, y, x, channel] = colours[channel, i]
            weight, inverse = planes[WEIGHT][i], planes[DISPARITY][i]
            hit = pixels[COUNT][i] > 0
            opacity[image, y, x] = weight
            disparity[image, y, x] = inverse
            depth[image, y, x] = weight / max(inverse, numbers[7]) if hit else np.inf
            nearest[image, y, x] = pixels[NEAREST][i] - image * per_image if hit else -1


@inner(fastmath={"reassoc", "contract", "nsz"})
def _pull_rows(first, size, n, shades, offset, alpha, before, upstream, planes, numbers):
    """ERROR[j] += <upstream, features>; the gradient of the features takes their place. By rows of the tile."""
    zero = numbers[0]
    for channel in range(shades.shape[1]):
        value = shades[n, channel]
        total = zero
        for j in range(size):
            at = np.uintp(offset + j)
            up = upstream[channel, np.uintp(first + j)]
            weight = alpha[at] * before[at]
            planes[ERROR][j] += up * value
            total += weight * up if weight > zero else zero
        shades[n, channel] = total


@inner(fastmath={"reassoc", "contract", "nsz"})
def _pull_pixels(first, box, row, features, offset, alpha, before, upstream, planes, gradient, numbers):
    """The same pixel by pixel, all channels at once."""
    row = np.uintp(row)
    for y in range(box[0], box[1]):
        for x in range(box[2], box[3]):
            i = np.uintp(y * COLUMNS + x)
            j = i - np.uintp(first)
            weight = alpha[np.uintp(offset) + j] * before[np.uintp(offset) + j]
            if weight > numbers[0]:
                total = numbers[0]
                for channel in range(features.shape[1]):
                    up = upstream[i, channel]
                    total += up * features[row, channel]
                    gradient[row, channel] += weight * up
                planes[ERROR][j] += total


@inner(fastmath={"reassoc", "contract", "nsz"})
def _pull_position(first, size, u, v, numbers, offset, alpha, before, planes):
    """Gradients of u, v and of 1 / z; ``behind`` becomes R_k."""
    zero, one, inverse, least, tau = numbers[0], numbers[1], numbers[3], numbers[4], numbers[5]
    half = one / (one + one)
    along_u, along_v, along_disparity = zero, zero, zero
    for j in range(size):
        i = np.uintp(first + j)
        at = np.uintp(offset + j)
        opacity, light, rest = alpha[at], before[at], planes[BEHIND][i]
        hit = opacity > zero
        change = planes[ERROR][j] - rest if hit else zero
        planes[BEHIND][i] = rest + opacity * change
        du = planes[CENTRE_U][i] - u
        dv = planes[CENTRE_V][i] - v
        q = (du * du + dv * dv) * inverse
        root = math.sqrt(min(max(q, least), one))
        slope = light * change * half / root
        if tau != one:
            slope *= tau * opacity / max(one - root, numbers[7])
        slope = slope if hit & (q >= least) else zero
        along_u += slope * du
        along_v += slope * dv
        along_disparity += opacity * light * planes[BY_DISPARITY][i] if hit else zero
    scale = (one + one) * inverse
    return along_u * scale, along_v * scale, along_disparity


@inner
def _load_upstream(image, top, left, rows, columns, memory_and_strides, images, upstream, planes, numbers):
    """dL/dout of a tile, and dL/d(sum of weights), dL/d(sum of weight / z)."""
    source, strides = memory_and_strides
    grad_depth, grad_opacity, depth, disparity = images
    few = upstream.shape[0] <= FEW
    channels = upstream.shape[0] if few else upstream.shape[1]
    for row in range(rows):
        for column in range(columns):
            i, y, x = row * COLUMNS + column, top + row, left + column
            at = image * strides[0] + y * strides[1] + x * strides[2]
            if few:
                for channel in range(channels):
                    upstream[channel, i] = source[at + channel * strides[3]]
            else:
                for channel in range(channels):
                    upstream[i, channel] = source[at + channel * strides[3]]
            planes[BY_WEIGHT][i] = grad_opacity[image, y, x]
            if depth[image, y, x] < np.inf:
                share = grad_depth[image, y, x] / max(disparity[image, y, x], numbers[7])
                planes[BY_WEIGHT][i] += share
                if disparity[image, y, x] > numbers[7]:
                    planes[BY_DISPARITY][i] = -share * depth[image, y, x]


@compiled
def _backward(piece, pieces, points, start, entries, numbers, k, source, images, results, group, apart, *room):
    gathered, planes, pixels, pairs, weights, upstream, steps = room
    batch, height, width = images[0].shape
    n = piece
    tile = tile_of_group(n, batch, height, width, group, apart)
    while tile >= 0:
        begin, end = start[tile], start[tile + 1]
        image, top, left, rows, columns = open_tile(tile, height, width, numbers, planes, pixels)
        _load_upstream(image, top, left, rows, columns, source, images, upstream, planes, numbers)
        gather(begin, end, entries, points, top, left, rows, columns, numbers, gathered)
        taken = _walk(end - begin, gathered, numbers, k, planes, pixels, pairs[0], pairs[1], weights, steps)
        _walk_back(
            taken, begin, entries, points[2], gathered, numbers, steps, pairs[0], pairs[1], upstream, planes, results
        )
        n += pieces
        tile = tile_of_group(n, batch, height, width, group, apart)


@inner
def _walk(count, gathered, numbers, k, planes, pixels, alpha, before, weights, steps):
    """Front to back through a tile's list; notes the points that hit something, and where their pairs are."""
    (us, vs, inverses), boxes, _ = gathered
    taken, used = 0, 0
    for n in range(count):
        if n % 32 == 31 and closed(planes, pixels, k, numbers):
            break
        first, size = boxes[n, 0] * COLUMNS, max(boxes[n, 1] - boxes[n, 0], 0) * COLUMNS
        if cover(
            first, size, -1, us[n], vs[n], inverses[n], k, numbers, planes, pixels,
            used, alpha, before, weights,
        ):  # fmt: skip
            steps[0, taken], steps[1, taken] = n, used
            taken += 1
            used += size
    return taken


@inner
def _walk_back(taken, begin, entries, features, gathered, numbers, steps, alpha, before, upstream, planes, results):
    """Back to front: add up the gradients."""
    grad_uv, grad_z, grad_features = results
    (us, vs, inverses), boxes, shades = gathered
    few = shades.shape[1] > 0
    for step in range(taken - 1, -1, -1):
        n, offset = steps[0, step], steps[1, step]
        p = np.int64(entries[begin + n])
        u, v, disparity = us[n], vs[n], inverses[n]
        box = boxes[n, 0], boxes[n, 1], boxes[n, 2], boxes[n, 3]
        first, size = box[0] * COLUMNS, (box[1] - box[0]) * COLUMNS
        for j in range(size):
            i = np.uintp(first + j)
            planes[ERROR][j] = planes[BY_WEIGHT][i] + planes[BY_DISPARITY][i] * disparity
        if few:
            _pull_rows(first, size, n, shades, offset, alpha, before, upstream, planes, numbers)
        else:
            _pull_pixels(first, box, p, features, offset, alpha, before, upstream, planes, grad_features, numbers)
        along_u, along_v, along_disparity = _pull_position(first, size, u, v, numbers, offset, alpha, before, planes)
        us[n], vs[n], inverses[n] = along_u, along_v, along_disparity * disparity * disparity
    for step in range(taken):
        n = steps[0, step]
        p = np.int64(entries[begin + n])
        grad_uv[p, 0] += us[n]
        grad_uv[p, 1] += vs[n]
        grad_z[p] -= inverses[n]
    for step in range(taken):
        n = steps[0, step]
        p = np.int64(entries[begin + n])
        for channel in range(shades.shape[1]):
            grad_features[p, channel] += shades[n, channel]
