"""A tile of the image for the soft splat: its points side by side, the front surface, how far behind it points lie.

Every point spreads over four cells, its corners. The tile has a rim of one cell, so that all four are always there;
what falls into the rim belongs to other tiles and is not read. Arrays that say something of a point's corners have the
corners as their first dimension, row by row.
"""

from __future__ import annotations

import numpy as np

from render_refine.kernels.compiled import inner
from render_refine.kernels.exponentials import exp, log
from render_refine.kernels.lanes import WIDTH, floor, load, store, where, whole
from render_refine.kernels.tiles import COLUMNS, POINT, ROWS

LINE = COLUMNS + 2  # cells from one row to the next
CORNERS = (0, 1, LINE, LINE + 1)  # cells from a point's first corner
SPARE = (ROWS + 2) * LINE  # a cell for points that are none of the tile's
CELLS = (SPARE + LINE + 1) // WIDTH * WIDTH + WIDTH  # whole vectors
LEAST, FAIR = 1e-3, 0.2  # shares of a point from which it touches a cell, and from which it claims it
NOBODY = 2**31 - 1


def rows_of(channels: int) -> int:
    """Length of a row of sums: the channels and three numbers more, in whole vectors."""
    return -(-(channels + 3) // WIDTH) * WIDTH


def room(start: np.ndarray, dtype: np.dtype, channels: int) -> tuple:
    """Arrays for one thread: of the longest list's points u, v, z, preference and log z; first cells; of their corners
    the shares and how little they lie behind; of the cells two depths, nearest points and rows of sums; three rows of a
    point; and the rows of a vector of cells, turned over."""
    longest = -(-int(np.diff(start).max(initial=0)) // WIDTH) * WIDTH
    rows = rows_of(channels)
    return (
        np.empty((5, longest), dtype),
        np.empty(longest, np.int32),
        np.empty((4, longest), dtype),
        np.empty((4, longest), dtype),
        np.empty((2, CELLS), dtype),
        np.empty(CELLS, np.int32),
        np.empty(CELLS * rows, dtype),
        np.zeros(3 * rows, dtype),
        np.empty(rows * WIDTH, dtype),
    )


@inner
def gather(begin, end, entries, points, top, left, places, cells, shares):
    """What is needed of a tile's points; how many whole vectors of points there are, in points."""
    uv, z, _, weights = points
    us, vs, zs, preferences, logs = places
    count = end - begin
    for n in range(count):
        p = np.intp(entries[begin + n] & POINT)
        us[n], vs[n], zs[n] = uv[2 * p], uv[2 * p + 1], z[p]
        if len(weights):
            preferences[n] = weights[p]
        else:
            preferences[n] = 1
    padded = -(-count // WIDTH) * WIDTH
    for n in range(count, padded):
        us[n] = vs[n] = left - 2  # outside
        zs[n] = preferences[n] = 1
    for n in range(0, padded, WIDTH):
        u, v = load(us, n) - 0.5, load(vs, n) - 0.5
        column, row = floor(u), floor(v)
        du, dv = u - column, v - row
        across, down = whole(column) - (left - 1), whole(row) - (top - 1)
        inside = (across >= 0) & (across <= COLUMNS) & (down >= 0) & (down <= ROWS)
        store(cells, n, where(inside, down * LINE + across, SPARE))
        store(shares[0], n, (1.0 - du) * (1.0 - dv))
        store(shares[1], n, du * (1.0 - dv))
        store(shares[2], n, (1.0 - du) * dv)
        store(shares[3], n, du * dv)
        store(logs, n, log(load(zs, n)))
    return padded


@inner
def surface(padded, places, cells, shares, depths):
    """Depth of the front surface in every cell: see `render_refine.splat._front_depth`."""
    zs = places[2]
    front, firm = depths
    front[:] = np.inf
    firm[:] = np.inf
    for n in range(padded):
        z = zs[n]
        for corner in range(4):
            at = cells[n] + CORNERS[corner]
            share = shares[corner, n]
            touching, claiming = z if share > LEAST else np.inf, z if share > FAIR else np.inf
            front[at] = touching if touching < front[at] else front[at]
            firm[at] = claiming if claiming < firm[at] else firm[at]
    for i in range(0, CELLS, WIDTH):
        claimed = load(firm, i)
        store(front, i, where(claimed < np.inf, claimed, load(front, i)))


@inner
def fall_off(padded, softness, logs, cells, log_fronts, falloffs):
    """How much less points count in their cells as they lie behind the front: 1 at the front, 0 well behind."""
    for n in range(padded):
        for corner in range(4):
            falloffs[corner, n] = log_fronts[cells[n] + CORNERS[corner]]
    thickness = softness + softness + softness
    for n in range(0, padded, WIDTH):
        log_z = load(logs, n)
        for corner in range(4):
            behind = log_z - load(falloffs[corner], n)
            near = (behind < thickness) & (behind > -thickness)
            store(falloffs[corner], n, where(near, exp(behind * (-1.0 / softness)), 0.0))
