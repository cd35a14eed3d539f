"""The forward pass of `alpha_cpu`: discs laid over blocks of pixels from front to back.

That gives each point's weight in each pixel; features are then summed with these weights.
"""

from __future__ import annotations

import numpy as np

from render_refine.kernels.alpha_tile import (
    ACROSS,
    BEFORE,
    BLOCKS,
    CENTRE_U,
    CENTRE_V,
    CLOSED,
    DISPARITY,
    FEW,
    INVERSE,
    LEAST,
    SHADES,
    SIDE,
    SQUARE,
    TAU,
    TINY,
    WEIGHT,
    copy,
    gather,
    share_out,
)
from render_refine.kernels.compiled import claim, compiled, inner
from render_refine.kernels.lanes import (
    WIDTH,
    bits,
    fma,
    least,
    load,
    most,
    power,
    spread,
    sqrt,
    store,
    store_square,
    where,
)
from render_refine.kernels.tiles import POINT, place_of, sort_by_depth


@compiled
def forward(
    counter, points, start, entries, numbers, size, results,
    places, rows, shades, boxes, filled, members, taken, weights, planes, marks, other, histogram,
):  # fmt: skip
    out, depth, opacity, nearest, kept, last = results
    count, height, width, down, across, channels, radius, k = size
    padded = (len(planes) - SHADES) // WIDTH
    table = shades if len(shades) else points[2]
    tile = claim(counter)
    while tile < len(start) - 1:
        begin, end = start[tile], start[tile + 1]
        sort_by_depth(entries, begin, end, points[1], other, histogram)
        image, top, left = place_of(tile, height, width)
        gather(begin, end, entries, points, channels, places, rows, shades)
        share_out(end - begin, places, top, left, radius, boxes, filled, members)
        for block in range(BLOCKS):
            y, x = top + block // ACROSS * SIDE, left + block % ACROSS * SIDE
            if y >= height or x >= width:
                continue
            used = _cover(
                x, y, height, width, members[block, : filled[block]], places, k, numbers, taken, weights, planes, marks
            )
            weight, disparity, seen = load(planes, WEIGHT), load(planes, DISPARITY), load(marks, WIDTH)
            pixel, at = (image * down + y) * across + x, (tile * BLOCKS + block) * WIDTH
            store(last, at, seen)
            store(kept, 3 * at, weight)
            store(kept, 3 * at + WIDTH, disparity)
            store(kept, 3 * at + 2 * WIDTH, load(planes, BEFORE))
            store_square(opacity, pixel, across, weight)
            store_square(depth, pixel, across, where(seen >= 0, weight / most(disparity, TINY), np.inf))
            for i in range(WIDTH):
                n = marks[i]
                point = np.int64(entries[begin + n] & POINT) - image * count if n >= 0 else -1
                nearest[pixel + i // SIDE * across + i % SIDE] = point
            if channels <= FEW:
                _add_few(used, taken, weights, table, rows, padded, planes)
                for channel in range(channels):
                    lanes = load(planes, SHADES + channel * WIDTH)
                    store_square(out, ((image * channels + channel) * down + y) * across + x, across, lanes)
            else:
                _add_many(used, taken, weights, table, rows, padded, planes)
                for i in range(WIDTH):
                    at = (pixel + i // SIDE * across + i % SIDE) * channels
                    copy(planes, SHADES + i * padded, out, at, channels)
        tile = claim(counter)


@inner
def _cover(x, y, height, width, members, places, k, numbers, taken, weights, planes, marks):
    """Lay discs over a block from front to back; how many hit it. Their numbers go to `taken`, weights to `weights`."""
    square, inverse, tau, closed = numbers[SQUARE], numbers[INVERSE], numbers[TAU], numbers[CLOSED]
    centre_u, centre_v = load(numbers, CENTRE_U) + x, load(numbers, CENTRE_V) + y
    us, vs, inverses = places
    nothing = centre_u * 0.0
    inside = (centre_u < width) & (centre_v < height)
    light = where(inside, nothing + 1.0, 0.0)
    before, total, disparity = light, nothing, nothing
    first = last = spread(np.int32(-1))
    hits = spread(np.int32(0))
    used = 0
    for n in members:
        du, dv = centre_u - us[n], centre_v - vs[n]
        distance2 = du * du + dv * dv
        free = (hits < k) & (light > closed)
        hit = (distance2 < square) & free
        if bits(hit) == 0:
            if bits(free) == 0:
                break
            continue
        through = sqrt(least(most(distance2 * inverse, LEAST), 1.0))
        if tau != 1:
            through = 1.0 - power(1.0 - through, tau)
        through = where(hit, through, 1.0)
        before = where(hit, light, before)
        weight = light * (1.0 - through)
        light = light * through
        store(weights, WIDTH * used, weight)
        taken[used] = n
        used += 1
        total = total + weight
        disparity = fma(weight, inverses[n], disparity)
        first = where(hit & (hits == 0), n, first)
        last = where(hit, n, last)
        hits = where(hit, hits + 1, hits)
    store(planes, WEIGHT, total)
    store(planes, DISPARITY, disparity)
    store(planes, BEFORE, before)
    store(marks, 0, first)
    store(marks, WIDTH, last)
    return used


@inner
def _add_few(used, taken, weights, table, rows, padded, planes):
    """Sum few features with their weights: (padded, WIDTH) planes."""
    nothing = load(planes, WEIGHT) * 0.0
    for channel in range(0, padded, SIDE):
        one, two, three, four = nothing, nothing, nothing, nothing
        for i in range(used):
            weight = load(weights, WIDTH * i)
            hit = weight > 0
            at = rows[taken[i]] + channel
            one = where(hit, fma(weight, table[at], one), one)
            two = where(hit, fma(weight, table[at + 1], two), two)
            three = where(hit, fma(weight, table[at + 2], three), three)
            four = where(hit, fma(weight, table[at + 3], four), four)
        at = SHADES + channel * WIDTH
        store(planes, at, one)
        store(planes, at + WIDTH, two)
        store(planes, at + 2 * WIDTH, three)
        store(planes, at + 3 * WIDTH, four)


@inner
def _add_many(used, taken, weights, table, rows, padded, planes):
    """Sum many features with their weights: (WIDTH, padded), four pixels and two vectors of channels at a time."""
    nothing = load(planes, WEIGHT) * 0.0
    for pixel in range(0, WIDTH, SIDE):
        for channel in range(0, padded, 2 * WIDTH):
            a, b, c, d = nothing, nothing, nothing, nothing
            aa, bb, cc, dd = nothing, nothing, nothing, nothing
            for i in range(used):
                at = rows[taken[i]] + channel
                one, two = load(table, at), load(table, at + WIDTH)
                weight = spread(weights[WIDTH * i + pixel])
                hit = weight > 0
                a, aa = where(hit, fma(weight, one, a), a), where(hit, fma(weight, two, aa), aa)
                weight = spread(weights[WIDTH * i + pixel + 1])
                hit = weight > 0
                b, bb = where(hit, fma(weight, one, b), b), where(hit, fma(weight, two, bb), bb)
                weight = spread(weights[WIDTH * i + pixel + 2])
                hit = weight > 0
                c, cc = where(hit, fma(weight, one, c), c), where(hit, fma(weight, two, cc), cc)
                weight = spread(weights[WIDTH * i + pixel + 3])
                hit = weight > 0
                d, dd = where(hit, fma(weight, one, d), d), where(hit, fma(weight, two, dd), dd)
            at = SHADES + pixel * padded + channel
            store(planes, at, a)
            store(planes, at + WIDTH, aa)
            store(planes, at + padded, b)
            store(planes, at + padded + WIDTH, bb)
            store(planes, at + 2 * padded, c)
            store(planes, at + 2 * padded + WIDTH, cc)
            store(planes, at + 3 * padded, d)
            store(planes, at + 3 * padded + WIDTH, dd)
