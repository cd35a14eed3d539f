"""A tile of the image, and the discs that `alpha_cpu` lays over it from front to back."""

from __future__ import annotations

import math

import numpy as np

from render_refine.kernels.compiled import inner
from render_refine.kernels.tiles import COLUMNS, ROWS

# Of a tile, (PLANES, pixels): centres, transmittance, sums of weight and weight / z; in the gradient also R, dL/dout
# times the features, and the derivatives by the two sums.
CENTRE_U, CENTRE_V, THROUGH, WEIGHT, DISPARITY, BEHIND, ERROR, BY_WEIGHT, BY_DISPARITY = range(9)
COUNT, NEAREST = range(2)

FEW = 12  # up to so many channels are added row by row
# What stands behind this transmittance is left out: it cannot change the sum in this precision.
OPAQUE = {np.dtype(np.float32): 1e-6, np.dtype(np.float64): 0.0}


@inner
def cover(first, size, point, u, v, inverse_z, k, numbers, planes, pixels, offset, alpha, before, weights):
    """Lay one disc over pixels ``first`` to ``first + size`` of a tile; how many it hits.

    Stores alpha and the transmittance before it from ``offset`` on. No fused multiply-add in here: whether a pixel is
    hit must be decided as the reference decides it.
    """
    zero, one, square, inverse, least, tau, opaque = (
        numbers[0],
        numbers[1],
        numbers[2],
        numbers[3],
        numbers[4],
        numbers[5],
        numbers[6],
    )
    hits = 0
    for j in range(size):
        i = np.uintp(first + j)
        at = np.uintp(offset + j)
        du = planes[CENTRE_U][i] - u
        dv = planes[CENTRE_V][i] - v
        distance2 = du * du + dv * dv
        hit = (distance2 < square) & (pixels[COUNT][i] < k) & (planes[THROUGH][i] > opaque)
        opacity = one - math.sqrt(min(max(distance2 * inverse, least), one))
        alpha[at] = opacity if hit else zero
        pixels[NEAREST][i] = point if hit & (pixels[COUNT][i] == 0) else pixels[NEAREST][i]
        pixels[COUNT][i] += np.int32(hit)
        hits += int(hit)
    if tau != one:
        for j in range(offset, offset + size):
            if alpha[j] > zero:
                alpha[j] **= tau
    for j in range(size):
        i = np.uintp(first + j)
        at = np.uintp(offset + j)
        light = planes[THROUGH][i]
        weight = alpha[at] * light
        before[at] = light
        weights[j] = weight
        planes[THROUGH][i] = light - weight
        planes[WEIGHT][i] += weight
        planes[DISPARITY][i] += weight * inverse_z
    return hits


@inner
def gather(begin, end, entries, points, top, left, rows, columns, numbers, gathered):
    """What the walk needs of a tile's points, in its order: u, v, 1 / z, the box in the tile and, if few, features.

    The walk itself would wait for each point's memory in turn; in short loops many loads are under way together.
    """
    uv, z, features = points
    places, boxes, shades = gathered
    us, vs, inverses = places
    for n in range(end - begin):
        p = np.int64(entries[begin + n])
        us[n], vs[n], inverses[n] = uv[p, 0], uv[p, 1], z[p]
    for n in range(end - begin):
        p = np.int64(entries[begin + n])
        for channel in range(shades.shape[1]):
            shades[n, channel] = features[p, channel]
    radius = math.sqrt(np.float64(numbers[2]))
    for n in range(end - begin):
        u, v = np.float64(us[n]), np.float64(vs[n])
        inverses[n] = numbers[1] / inverses[n]
        boxes[n, 0] = max(math.ceil(v - radius - 0.501) - top, 0)
        boxes[n, 1] = min(math.floor(v + radius - 0.499) - top + 1, rows)
        boxes[n, 2] = max(math.ceil(u - radius - 0.501) - left, 0)
        boxes[n, 3] = min(math.floor(u + radius - 0.499) - left + 1, columns)


@inner(fastmath={"reassoc", "contract", "nsz"})
def add_rows(first, size, row, features, weights, sums, numbers):
    """sums[c, i] += weights[i] features[row, c], whole rows of the tile at once."""
    for channel in range(features.shape[1]):
        value = features[row, channel]
        for j in range(size):
            if weights[j] > numbers[0]:
                sums[channel, np.uintp(first + j)] += weights[j] * value


@inner(fastmath={"reassoc", "contract", "nsz"})
def add_pixels(first, box, row, features, weights, out, image, top, left, numbers):
    """The same pixel by pixel, all channels at once, where the image lies."""
    row = np.uintp(row)
    for y in range(box[0], box[1]):
        for x in range(box[2], box[3]):
            weight = weights[np.uintp(y * COLUMNS + x - first)]
            if weight > numbers[0]:
                v, u = np.uintp(top + y), np.uintp(left + x)
                for channel in range(features.shape[1]):
                    out[image, v, u, channel] += weight * features[row, channel]


@inner
def open_tile(tile, height, width, numbers, planes, pixels):
    """Start a tile: its image, top, left and size. Pixels beyond the border are closed."""
    down, across = -(-height // ROWS), -(-width // COLUMNS)
    image, top, left = tile // (down * across), tile // across % down * ROWS, tile % across * COLUMNS
    rows, columns = min(ROWS, height - top), min(COLUMNS, width - left)
    for i in range(ROWS * COLUMNS):
        row, column = i // COLUMNS, i % COLUMNS
        planes[CENTRE_U][i] = left + column + 0.5
        planes[CENTRE_V][i] = top + row + 0.5
        planes[THROUGH][i] = numbers[1] if row < rows and column < columns else numbers[0]
        pixels[COUNT][i] = 0
        pixels[NEAREST][i] = -1
    for plane in planes[WEIGHT:]:
        plane[:] = numbers[0]
    return image, top, left, rows, columns


@inner
def closed(planes, pixels, k, numbers):
    """Whether no pixel of the tile can take another point."""
    opaque = numbers[6]
    alive = 0
    for i in range(ROWS * COLUMNS):
        alive += int((planes[THROUGH][i] > opaque) & (pixels[COUNT][i] < k))
    return alive == 0
