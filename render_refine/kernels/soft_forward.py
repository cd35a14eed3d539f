"""The forward pass of `soft_cpu`: points are added to the cells around them, a vector instruction for all channels.

Of every cell a row is summed: the channels, then the sums of weights, of weights / z, and of weights without
preference, which are the density.
"""

from __future__ import annotations

import numpy as np

from render_refine.kernels.compiled import claim, compiled, inner
from render_refine.kernels.exponentials import log
from render_refine.kernels.lanes import WIDTH, fma, load, store, transpose, where
from render_refine.kernels.soft_tile import CELLS, CORNERS, LEAST, LINE, NOBODY, fall_off, gather, surface
from render_refine.kernels.tiles import COLUMNS, POINT, ROWS, place_of


@compiled
def forward(
    counter, points, start, entries, softness, size, results,
    places, cells, shares, falloffs, depths, nearest, sums, row, planes,
):  # fmt: skip
    _, height, width, _, channels = size
    features = points[2]
    length = len(row) // 3
    front, log_front = depths
    tile = claim(counter)
    while tile < len(start) - 1:
        begin, end = start[tile], start[tile + 1]
        image, top, left = place_of(tile, height, width)
        if begin == end:
            _leave_empty(image, top, left, size, results)
            tile = claim(counter)
            continue
        padded = gather(begin, end, entries, points, top, left, places, cells, shares)
        surface(padded, places, cells, shares, depths)
        for i in range(0, CELLS, WIDTH):
            store(log_front, i, log(load(front, i)))
        fall_off(padded, softness[0], places[4], cells, log_front, falloffs)
        _find_nearest(padded, places[2], cells, shares, front, nearest)
        for i in range(0, CELLS * length, WIDTH):
            store(sums, i, 0.0)
        for n in range(end - begin):
            p = np.intp(entries[begin + n] & POINT)
            preference = places[3, n]
            for channel in range(channels):
                row[channel] = preference * features[p * channels + channel]
            row[channels] = preference
            row[channels + 1] = preference / places[2, n]
            row[channels + 2] = 1
            for i in range(0, length, WIDTH):
                part = load(row, i)
                for corner in range(4):
                    at = (cells[n] + CORNERS[corner]) * length + i
                    store(sums, at, fma(part, shares[corner, n] * falloffs[corner, n], load(sums, at)))
        _finish(image, top, left, begin, entries, size, sums, length, log_front, nearest, planes, results)
        tile = claim(counter)


@inner
def _find_nearest(padded, zs, cells, shares, front, nearest):
    """The first point at the front depth of each cell that touches it."""
    nearest[:] = NOBODY
    for n in range(padded):
        for corner in range(4):
            at = cells[n] + CORNERS[corner]
            candidate = n if (zs[n] == front[at]) & (shares[corner, n] > LEAST) else NOBODY
            nearest[at] = candidate if candidate < nearest[at] else nearest[at]


@inner
def _finish(image, top, left, begin, entries, size, sums, length, log_front, nearest, planes, results):
    """Means and depths of the tile's pixels."""
    count, height, _, across, channels = size
    out, depth, density, total, front, ids = results
    for y in range(top, min(top + ROWS, height)):
        for x in range(left, min(left + COLUMNS, across), WIDTH):
            cell, pixel = (y - top + 1) * LINE + x - left + 1, (image * height + y) * across + x
            for i in range(0, length, WIDTH):
                transpose(sums, cell * length + i, length, planes, i * WIDTH, WIDTH)
            weight = load(planes, channels * WIDTH)
            covered = weight > 0
            scale = where(covered, 1.0 / weight, 0.0)
            for channel in range(channels):
                at = ((image * channels + channel) * height + y) * across + x
                store(out, at, where(covered, load(planes, channel * WIDTH) * scale, 0.0))
            store(depth, pixel, where(covered, weight / load(planes, (channels + 1) * WIDTH), np.inf))
            store(density, pixel, load(planes, (channels + 2) * WIDTH))
            store(total, pixel, weight)
            store(front, pixel, load(log_front, cell))
            for i in range(WIDTH):
                n = nearest[cell + i]
                ids[pixel + i] = np.int64(entries[begin + n] & POINT) - image * count if n < NOBODY else -1


@inner
def _leave_empty(image, top, left, size, results):
    """A tile that no point touches."""
    _, height, _, across, channels = size
    out, depth, density, total, front, ids = results
    for y in range(top, min(top + ROWS, height)):
        for x in range(left, min(left + COLUMNS, across), WIDTH):
            pixel = (image * height + y) * across + x
            for channel in range(channels):
                store(out, ((image * channels + channel) * height + y) * across + x, 0.0)
            store(depth, pixel, np.inf)
            store(density, pixel, 0.0)
            store(total, pixel, 0.0)
            store(front, pixel, np.inf)
            ids[pixel : pixel + WIDTH] = -1
