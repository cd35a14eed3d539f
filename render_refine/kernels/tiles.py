"""Which points touch which tile of the image, from front to back.

The image is cut into tiles. A counting sort lists, for every tile, the points whose footprint may touch it, in order of
id; a stable radix sort on the bits of the depth (positive floats order like integers) then puts each list in order of
(depth, id). Both are linear in the number of points.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor

from render_refine.kernels.compiled import compiled, inner, pieces, share

ROWS, COLUMNS = 16, 16  # of a tile; a row is one vector of 512 bits


def flat(*tensors: Tensor) -> tuple[np.ndarray, ...]:
    """All points of a batch, one after the other: (B, N, ...) as (B N, ...)."""
    return tuple(t.detach().flatten(0, 1).numpy() for t in tensors)


def memory(tensor: Tensor) -> tuple[np.ndarray, tuple[int, ...]]:
    """The memory under a tensor and its strides: kernels read any layout where it lies."""
    extent = 1 + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return tensor.detach().as_strided((extent,), (1,)).numpy(), tensor.stride()


def share_in_groups(kernel: Callable, room: Callable[[], tuple], radius: float, *arguments: Any) -> None:
    """Run a kernel that adds to its points' gradients: tiles that may share a point never at the same time.

    So every gradient is summed in one order, whatever the number of threads. The kernel gets ``(group, apart)`` after
    its arguments and finds its tiles by `tile_of_group`.
    """
    reach = 2 * radius + 1
    apart = math.ceil(reach / ROWS) + 1, math.ceil(reach / COLUMNS) + 1
    for group in np.ndindex(*apart):
        share(kernel, room, *arguments, group, apart)


@inner
def tile_of_group(n, batch, height, width, group, apart):
    """The n-th tile, through all images, in rows group[0], group[0] + apart[0], ... and such columns; -1: no more."""
    down, across = -(-height // ROWS), -(-width // COLUMNS)
    group_down = max(-(-(down - group[0]) // apart[0]), 0)
    group_across = max(-(-(across - group[1]) // apart[1]), 0)
    if n >= batch * group_down * group_across:
        return -1
    image, cell = n // (group_down * group_across), n % (group_down * group_across)
    row, column = group[0] + cell // group_across * apart[0], group[1] + cell % group_across * apart[1]
    return (image * down + row) * across + column


def tile_lists(
    uv: np.ndarray, z: np.ndarray, radius: float, height: int, width: int, near: float
) -> tuple[np.ndarray, np.ndarray]:
    """Points of each tile in order of id.

    Args:
        uv: (B, N, 2).
        z: (B, N).
        radius: points reach every pixel centre nearer than this.
        height, width: of the image.
        near: points at or before this depth do not count.

    Returns:
        (tiles + 1,) int64 where each tile's list starts, tiles in order of (image, row, column);
        (entries,) int32 of points, counted through the batch.
    """
    tiles = uv.shape[0] * math.ceil(height / ROWS) * math.ceil(width / COLUMNS)
    workers = pieces()
    counts = np.zeros((workers, tiles), np.int64)
    share(_count, tuple, uv, z, radius, height, width, near, counts)
    ends = np.cumsum(counts.T).reshape(tiles, workers).T
    start = np.zeros(tiles + 1, np.int64)
    start[1:] = ends[-1]
    points = np.empty(int(start[-1]), np.int32)
    share(_place, tuple, uv, z, radius, height, width, near, np.ascontiguousarray(ends - counts), points)
    return start, points


@inner
def _reach(u, v, z, radius, height, width, near):
    """First and last tile row and column that a point may touch; an empty range where it touches none."""
    if not (near < z < np.inf and -radius < u < width + radius and -radius < v < height + radius):
        return 0, 0, 0, 0
    # (With a little slack: kernels test every pixel exactly.)
    left = max(math.ceil(u - radius - 0.501), 0)
    right = min(math.floor(u + radius - 0.499), width - 1)
    top = max(math.ceil(v - radius - 0.501), 0)
    bottom = min(math.floor(v + radius - 0.499), height - 1)
    if left > right or top > bottom:
        return 0, 0, 0, 0
    return top // ROWS, bottom // ROWS + 1, left // COLUMNS, right // COLUMNS + 1


@compiled
def _count(worker, workers, uv, z, radius, height, width, near, counts):
    batch, points = z.shape
    down, across = -(-height // ROWS), -(-width // COLUMNS)
    for image in range(batch):
        for point in range(points * worker // workers, points * (worker + 1) // workers):
            u, v = np.float64(uv[image, point, 0]), np.float64(uv[image, point, 1])
            top, bottom, left, right = _reach(u, v, z[image, point], radius, height, width, near)
            for row in range(top, bottom):
                for column in range(left, right):
                    counts[worker, (image * down + row) * across + column] += 1


@compiled
def _place(worker, workers, uv, z, radius, height, width, near, cursor, entries):
    batch, points = z.shape
    down, across = -(-height // ROWS), -(-width // COLUMNS)
    for image in range(batch):
        for point in range(points * worker // workers, points * (worker + 1) // workers):
            u, v = np.float64(uv[image, point, 0]), np.float64(uv[image, point, 1])
            top, bottom, left, right = _reach(u, v, z[image, point], radius, height, width, near)
            for row in range(top, bottom):
                for column in range(left, right):
                    tile = (image * down + row) * across + column
                    entries[cursor[worker, tile]] = image * points + point
                    cursor[worker, tile] += 1


def sorting_room(start: np.ndarray, bits: np.dtype) -> tuple[np.ndarray, ...]:
    """Arrays in which `sort_by_depth` sorts the longest list."""
    longest = int(np.diff(start).max(initial=0))
    return np.empty((2, longest), bits), np.empty((2, longest), np.int32), np.empty((bits.itemsize, 256), np.int32)


@inner
def sort_by_depth(entries, begin, end, bits, room):
    """Stable radix sort of ``entries[begin:end]``, points, by ``bits[point]``, unsigned integers."""
    keys, points, histogram = room
    passes, count = histogram.shape[0], end - begin
    histogram[:] = 0
    for i in range(count):
        point = entries[begin + i]
        key = bits[point]
        keys[0, i], points[0, i] = key, point
        for digit in range(passes):
            histogram[digit, (key >> np.uint8(8 * digit)) & np.uint8(255)] += 1
    here = 0
    for digit in range(passes):
        shift = np.uint8(8 * digit)
        if count == 0 or histogram[digit, (keys[here, 0] >> shift) & np.uint8(255)] == count:
            continue  # all alike in this digit
        total = 0
        for bucket in range(256):
            size = histogram[digit, bucket]
            histogram[digit, bucket] = total
            total += size
        for i in range(count):
            bucket = (keys[here, i] >> shift) & np.uint8(255)
            to = histogram[digit, bucket]
            keys[1 - here, to], points[1 - here, to] = keys[here, i], points[here, i]
            histogram[digit, bucket] += 1
        here = 1 - here
    for i in range(count):
        entries[begin + i] = points[here, i]
