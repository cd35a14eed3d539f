"""The gradient of `soft_cpu`. That of a weighted mean needs no second look at the sums: with S the sum of the weights,

    dL/dw_i = <dL/dout, f_i - out> / S + dL/ddepth depth (1 - depth / z_i) / S,

the product of a row of the cell, (dL/dout / S, A, -B), and a row of the point, (f_i, 1, 1 / z_i).
"""

from __future__ import annotations

import numpy as np

from render_refine.kernels.compiled import compiled, finish, inner
from render_refine.kernels.lanes import WIDTH, add_totals, fma, load, store
from render_refine.kernels.soft_tile import LINE, fall_off, gather
from render_refine.kernels.tiles import COLUMNS, POINT, ROWS, claim_apart, place_of


@compiled
def backward(
    counter, points, start, entries, softness, size, source, images, results, apart,
    places, cells, shares, falloffs, depths, nearest, sums, row, planes,
):  # fmt: skip
    count, height, width, _, channels = size
    batch = len(points[1]) // max(count, 1)
    length = len(row) // 3
    log_front = depths[0]
    tile = claim_apart(counter, batch, height, width, apart)
    while tile >= 0:
        begin, end = start[tile], start[tile + 1]
        image, top, left = place_of(tile, height, width)
        padded = gather(begin, end, entries, points, top, left, places, cells, shares)
        log_front[:] = np.inf  # who is not of the tile gets no weight
        sums[:] = 0
        _load_upstream(image, top, left, size, source, images, log_front, sums, length)
        fall_off(padded, softness[0], places[4], cells, log_front, falloffs)
        for n in range(end - begin):
            p = np.intp(entries[begin + n] & POINT)
            _pull(n, p, channels, points[2], places, cells, shares, falloffs, softness[0], sums, row, length, results)
        finish(counter)
        tile = claim_apart(counter, batch, height, width, apart)


@inner
def _load_upstream(image, top, left, size, source, images, log_front, sums, length):
    """A row of every cell that is a pixel of the tile."""
    _, height, width, across, channels = size
    upstream, strides = source
    by_depth, out, depth, total, front = images
    for y in range(top, min(top + ROWS, height)):
        for x in range(left, min(left + COLUMNS, width)):
            cell, pixel = (y - top + 1) * LINE + x - left + 1, (image * height + y) * across + x
            log_front[cell] = front[pixel]
            if total[pixel] > 0:
                at, place = cell * length, image * strides[0] + y * strides[1] + x * strides[2]
                scale, error = 1 / total[pixel], 0 * total[pixel]
                for channel in range(channels):
                    slope = upstream[place + channel * strides[3]] * scale
                    sums[at + channel] = slope
                    error -= slope * out[((image * channels + channel) * height + y) * across + x]
                if len(by_depth):
                    slope = by_depth[pixel] * depth[pixel] * scale
                    error += slope
                    sums[at + channels + 1] = -slope * depth[pixel]
                sums[at + channels] = error


@inner
def _pull(n, p, channels, features, places, cells, shares, falloffs, softness, sums, row, length, results):
    """Add to the gradients of a point. ``row`` holds the point's row, the sum of its cells' rows, and four numbers."""
    grad_uv, grad_z, grad_features, grad_weights = results
    u, v, z, preference = places[0, n] - 0.5, places[1, n] - 0.5, places[2, n], places[3, n]
    du, dv = u - np.floor(u), v - np.floor(v)
    inverse = 1 / z
    for channel in range(channels):
        row[channel] = features[p * channels + channel]
    row[channels], row[channels + 1] = 1, inverse
    errors = 2 * length
    row[errors : errors + 4] = 0
    at = cells[n] * length
    for i in range(0, length, WIDTH):
        part = load(row, i)
        a, b = load(sums, at + i), load(sums, at + length + i)
        c, d = load(sums, at + LINE * length + i), load(sums, at + (LINE + 1) * length + i)
        add_totals(row, errors, part * a, part * b, part * c, part * d)
        both = fma(a, shares[0, n] * falloffs[0, n], b * (shares[1, n] * falloffs[1, n]))
        both = fma(c, shares[2, n] * falloffs[2, n], fma(d, shares[3, n] * falloffs[3, n], both))
        store(row, length + i, both * preference)
    for channel in range(channels):
        grad_features[p * channels + channel] += row[length + channel]
    one, two = row[errors] * falloffs[0, n], row[errors + 1] * falloffs[1, n]
    three, four = row[errors + 2] * falloffs[2, n], row[errors + 3] * falloffs[3, n]
    total = one * shares[0, n] + two * shares[1, n] + three * shares[2, n] + four * shares[3, n]
    grad_uv[2 * p] += preference * ((two - one) * (1 - dv) + (four - three) * dv)
    grad_uv[2 * p + 1] += preference * ((three - one) * (1 - du) + (four - two) * du)
    grad_z[p] -= inverse * (inverse * row[length + channels + 1] + preference * total / softness)
    if len(grad_weights):
        grad_weights[p] += total
