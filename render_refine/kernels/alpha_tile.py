"""A tile of the image: its points side by side, and lists of those that touch each of its blocks of 4 x 4 pixels.

A block is as many pixels as a vector has lanes, so all that belongs to its pixels stays in registers while points pass
by, and a small disc touches few blocks.
"""

from __future__ import annotations

import numpy as np

from render_refine.kernels.compiled import inner
from render_refine.kernels.lanes import WIDTH, load, prefetch, store, where
from render_refine.kernels.tiles import COLUMNS, POINT, ROWS, reach

SIDE = 4  # of a block, pixels
ACROSS, BLOCKS = COLUMNS // SIDE, ROWS // SIDE * (COLUMNS // SIDE)
LINE = 8  # numbers: half a cache line in float32
FEW = 16  # up to so many channels are summed with a vector's lanes for pixels, more with its lanes for channels
LEAST = 1e-3  # the squared distance, of the radius squared, at which a disc is cut off
TINY = 1e-12
# What stands behind this transmittance is left out: it cannot change the sum in this precision.
OPAQUE = {np.dtype(np.float32): 1e-6, np.dtype(np.float64): 1e-15}
# Where things stand in an array of numbers (in the type of the data).
SQUARE, INVERSE, TAU, CLOSED, CENTRE_U, CENTRE_V = 0, 1, 2, 3, WIDTH, 2 * WIDTH
# Where a block's planes begin: sums of weights and of weight / z, T before the last point; then what the channels need.
WEIGHT, DISPARITY, BEFORE, SHADES = range(0, 4 * WIDTH, WIDTH)


def formula(dtype: np.dtype, radius: float, tau: float) -> np.ndarray:
    """The numbers of the formula, and the centres of a block's pixels."""
    numbers = np.zeros(3 * WIDTH, dtype)
    numbers[[SQUARE, INVERSE, TAU, CLOSED]] = radius * radius, 1 / (radius * radius), tau, OPAQUE[dtype]
    numbers[CENTRE_U : CENTRE_U + WIDTH] = np.arange(WIDTH) % SIDE + 0.5
    numbers[CENTRE_V : CENTRE_V + WIDTH] = np.arange(WIDTH) // SIDE + 0.5
    return numbers


@inner
def copy(source, at, target, to, count):
    """Copy so many numbers."""
    vectors = count // WIDTH * WIDTH
    for i in range(0, vectors, WIDTH):
        store(target, to + i, load(source, at + i))
    for i in range(vectors, count):
        target[to + i] = source[at + i]


@inner
def gather(begin, end, entries, points, channels, places, rows, shades):
    """Copy what is needed of a tile's points, in its order: u, v and 1 / z; and features, padded with zeros, unless
    these are used where they lie. ``rows`` says where in either place they begin."""
    uv, z, features = points
    us, vs, inverses = places
    for n in range(end - begin):
        p = np.intp(entries[begin + n] & POINT)
        us[n], vs[n], inverses[n], rows[n] = uv[2 * p], uv[2 * p + 1], z[p], channels * p
    for n in range(0, end - begin, WIDTH):
        store(inverses, n, 1.0 / load(inverses, n))
    if len(shades):
        padded = len(shades) // len(rows)
        for n in range(end - begin):
            for channel in range(channels):
                shades[padded * n + channel] = features[rows[n] + channel]
            rows[n] = padded * n
    else:
        for n in range(end - begin):
            for channel in range(0, channels, LINE):
                prefetch(features, rows[n] + channel)


@inner
def share_out(count, places, top, left, radius, boxes, filled, members):
    """List the points that may touch each block, in order: the first ``filled[b]`` of ``members[b]``."""
    us, vs, _ = places
    firsts, downs, acrosses = boxes
    for n in range(0, count, WIDTH):
        left_side, right_side = reach(load(us, n) - left, radius, COLUMNS)
        upper_side, lower_side = reach(load(vs, n) - top, radius, ROWS)
        row, column = upper_side >> 2, left_side >> 2
        down, across = (lower_side >> 2) - row, (right_side >> 2) - column
        none = (left_side > right_side) | (upper_side > lower_side)
        store(firsts, n, where(none, BLOCKS, row * ACROSS + column))
        store(downs, n, where(none, 0, down))
        store(acrosses, n, where(none, 0, across))
    filled[:] = 0
    most_blocks = min((int(2 * radius + 0.02) - 1) // SIDE + 2, ACROSS)
    for n in range(count):
        first, down, across = firsts[n], downs[n], acrosses[n]
        # Without branches, which nobody could predict: what lies beyond is written once more, but not counted.
        for i in range(most_blocks):
            for j in range(most_blocks):
                block = first + min(i, down) * ACROSS + min(j, across)
                members[block, filled[block]] = n
                filled[block] += (i <= down) & (j <= across)
