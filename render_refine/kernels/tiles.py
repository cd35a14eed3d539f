"""Which points touch which tile of the image, from front to back.

The image is cut into tiles. A counting sort lists, for every tile, the points whose footprint may touch it, in order of
id; a stable radix sort on the bits of the depth (positive floats order like integers) then puts each list in order of
(depth, id). Both are linear in the number of points.

An entry of a list holds both, so that neither step has to look anything up: the depth's bits, as float32, above the
point's number.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from render_refine.kernels.compiled import claim, compiled, finished, inner, share
from render_refine.kernels.lanes import WIDTH, least, load, load_pairs, most, store, where, whole

SHIFT = 5
ROWS = COLUMNS = 1 << SHIFT  # of a tile
POINT = np.uint64(0xFFFFFFFF)  # the part of an entry that is the point's number
SHARED = 100_000  # points from which several threads list them: to wake a thread takes as long as some ten thousand
DIGIT = 10  # bits that are sorted at once, at most


def flat(*tensors: Tensor) -> tuple[np.ndarray, ...]:
    """The numbers of contiguous tensors, one after the other."""
    return tuple(t.detach().view(-1).numpy() for t in tensors)


def memory(tensor: Tensor) -> tuple[np.ndarray, tuple[int, ...]]:
    """The memory under a tensor and its strides: kernels read any layout where it lies."""
    extent = 1 + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return tensor.detach().as_strided((extent,), (1,)).numpy(), tensor.stride()


def tiles_apart(radius: float) -> tuple[int, int]:
    """How many rows and columns of tiles lie between tiles that cannot share a point."""
    reach = 2 * radius + 1
    return math.ceil(reach / ROWS) + 1, math.ceil(reach / COLUMNS) + 1


@inner
def claim_apart(counter, batch, height, width, apart):
    """The next tile for a kernel that adds to its points' gradients, or -1; after each tile goes a `finish`.

    Tiles come in groups that lie ``apart``, and a group waits for the one before, so that every gradient is summed in
    one order, whatever the number of threads.
    """
    down, across = -(-height // ROWS), -(-width // COLUMNS)
    n, earlier = claim(counter), 0
    for group in range(apart[0] * apart[1]):
        top, left = group // apart[1], group % apart[1]
        group_down, group_across = max(-(-(down - top) // apart[0]), 0), max(-(-(across - left) // apart[1]), 0)
        size = batch * group_down * group_across
        if n - earlier < size:
            while finished(counter) < earlier:  # others are at work on them
                pass
            n -= earlier
            image, cell = n // (group_down * group_across), n % (group_down * group_across)
            row, column = top + cell // group_across * apart[0], left + cell % group_across * apart[1]
            return (image * down + row) * across + column
        earlier += size
    return -1


@inner
def place_of(tile, height, width):
    """Image, top row and left column of a tile."""
    down, across = -(-height // ROWS), -(-width // COLUMNS)
    return tile // (down * across), tile // across % down * ROWS, tile % across * COLUMNS


def tile_lists(
    uv: Tensor, z: Tensor, radius: float, height: int, width: int, near: float
) -> tuple[np.ndarray, np.ndarray]:
    """Points of each tile in order of id.

    Args:
        uv: (B, N, 2), contiguous.
        z: (B, N), contiguous.
        radius: points reach every pixel centre nearer than this.
        height, width: of the image.
        near: points at or before this depth do not count.

    Returns:
        (tiles + 1,) int64 where each tile's list starts, tiles in order of (image, row, column);
        (entries,) uint64 of entries; points are counted through the batch.
    """
    batch, points = z.shape
    tiles = batch * math.ceil(height / ROWS) * math.ceil(width / COLUMNS)
    threads = torch.get_num_threads() if batch * points >= SHARED else 1
    chunks = 1 if threads == 1 else 4 * threads
    dtype = uv.numpy().dtype
    view = np.array([radius, near, height, width], dtype)
    bits = z.detach().float().view(-1).numpy().view(np.uint32)
    spans = np.empty((2, batch * points + WIDTH), np.int32)
    counts = np.zeros((chunks, tiles), np.int64)
    share(
        _count, lambda: (np.full(3 * WIDTH, np.nan, dtype),), *flat(uv, z), view, points, spans, counts, threads=threads
    )
    ends = np.cumsum(counts.T).reshape(tiles, chunks).T
    start = np.zeros(tiles + 1, np.int64)
    start[1:] = ends[-1]
    entries = np.empty(int(start[-1]), np.uint64)
    share(_place, tuple, bits, spans, view, points, np.ascontiguousarray(ends - counts), entries, threads=threads)
    return start, entries


@inner
def reach(at, radius, size):
    """First and last pixel of a row or column that points may touch, as int32 lanes; the last is before the first
    where they touch none, or where ``at`` is not a number.

    With a slack of a hundredth of a pixel for what rounding may change: kernels test every pixel.
    """
    at = least(most(at, -radius - 1), size + radius + 1)
    return whole(most(at - radius + 0.49, 0)), whole(least(at + radius + 0.51, size)) - 1


@inner
def _chunk(chunk, chunks, total):
    """Where a chunk of points begins; whole vectors."""
    return total if chunk == chunks else total * chunk // chunks // WIDTH * WIDTH


@compiled
def _count(counter, uv, z, view, points, spans, counts, spare):
    """The first and the last tile of each point, row << 16 | column; and how many points of a chunk touch each tile."""
    radius, near, height, width = view[0], view[1], view[2], view[3]
    down, across = -(-int(height) // ROWS), -(-int(width) // COLUMNS)
    firsts, lasts = spans
    chunks, total = len(counts), len(z)
    chunk = claim(counter)
    while chunk < chunks:
        begin, end = _chunk(chunk, chunks, total), _chunk(chunk + 1, chunks, total)
        for p in range(begin, end, WIDTH):
            if p + WIDTH <= total:
                u, v = load_pairs(uv, 2 * p)
                depth = load(z, p)
            else:
                for i in range(total - p):
                    spare[2 * i], spare[2 * i + 1] = uv[2 * (p + i)], uv[2 * (p + i) + 1]
                    spare[2 * WIDTH + i] = z[p + i]
                u, v = load_pairs(spare, 0)
                depth = load(spare, 2 * WIDTH)
            left, right = reach(u, radius, width)
            top, bottom = reach(v, radius, height)
            seen = (depth > near) & (depth < np.inf) & (left <= right) & (top <= bottom)
            store(firsts, p, where(seen, (top >> SHIFT << 16) | (left >> SHIFT), 1 << 16))
            store(lasts, p, where(seen, (bottom >> SHIFT << 16) | (right >> SHIFT), 0))
        for p in range(begin, end):
            first, last = firsts[p], lasts[p]
            for row in range(first >> 16, (last >> 16) + 1):
                for column in range(first & 65535, (last & 65535) + 1):
                    counts[chunk, (p // points * down + row) * across + column] += 1
        chunk = claim(counter)


@compiled
def _place(counter, bits, spans, view, points, cursors, entries):
    """Enter each point in the lists of its tiles."""
    down, across = -(-int(view[2]) // ROWS), -(-int(view[3]) // COLUMNS)
    firsts, lasts = spans
    chunks, total = len(cursors), len(bits)
    chunk = claim(counter)
    while chunk < chunks:
        for p in range(_chunk(chunk, chunks, total), _chunk(chunk + 1, chunks, total)):
            first, last = firsts[p], lasts[p]
            for row in range(first >> 16, (last >> 16) + 1):
                for column in range(first & 65535, (last & 65535) + 1):
                    tile = (p // points * down + row) * across + column
                    entries[cursors[chunk, tile]] = np.uint64(bits[p]) << np.uint64(32) | np.uint64(p)
                    cursors[chunk, tile] += 1
        chunk = claim(counter)


def sorting_room(start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Arrays in which `sort_by_depth` sorts the longest list."""
    return np.empty(int(np.diff(start).max(initial=0)), np.uint64), np.empty(1 << DIGIT, np.int64)


@inner
def sort_by_depth(entries, begin, end, z, other, histogram):
    """Put ``entries[begin:end]`` in order of (depth, id)."""
    if end - begin < 2:
        return
    low = high = entries[begin] >> np.uint64(32)
    for i in range(begin, end):
        key = entries[i] >> np.uint64(32)
        low, high = min(low, key), max(high, key)
    width = 0
    while high - low >> np.uint64(width):
        width += 1
    passes = -(-width // DIGIT)
    digit = -(-width // max(passes, 1))
    last = np.uint64((1 << digit) - 1)
    for turn in range(passes):
        shift = np.uint64(turn * digit)
        histogram[: 1 << digit] = 0
        for i in range(begin, end):
            histogram[((entries[i] >> np.uint64(32)) - low >> shift) & last] += 1
        total = 0
        for bucket in range(1 << digit):
            size = histogram[bucket]
            histogram[bucket] = total
            total += size
        for i in range(begin, end):
            bucket = ((entries[i] >> np.uint64(32)) - low >> shift) & last
            other[histogram[bucket]] = entries[i]
            histogram[bucket] += 1
        for i in range(begin, end):
            entries[i] = other[i - begin]
    if z.itemsize > 4:  # what is alike as float32
        for i in range(begin + 1, end):
            entry = entries[i]
            j = i
            while j > begin and z[entries[j - 1] & POINT] > z[entry & POINT]:
                entries[j] = entries[j - 1]
                j -= 1
            entries[j] = entry
