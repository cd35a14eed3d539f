"""The gradient of `alpha_cpu`: discs taken off blocks of pixels from back to front.

With transmittance T

    dL/dalpha_k = T_k (e_k - R_{k+1}),    R_k = alpha_k e_k + (1 - alpha_k) R_{k+1},    e_k = <dL/dout, f_k>,

which subtracts no large sums; T_k is T_{k+1} / (1 - alpha_k). A pixel remembers the last point that it took and T
before that one, so nothing need be kept of the pairs of points and pixels.
"""

from __future__ import annotations

import numpy as np

from render_refine.kernels.alpha_tile import (
    ACROSS,
    BEFORE,
    BLOCKS,
    CENTRE_U,
    CENTRE_V,
    DISPARITY,
    FEW,
    INVERSE,
    LEAST,
    LINE,
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
from render_refine.kernels.compiled import compiled, finish, inner
from render_refine.kernels.lanes import (
    WIDTH,
    add_totals,
    bits,
    fma,
    least,
    load,
    load_square,
    most,
    power,
    prefetch,
    spread,
    sqrt,
    store,
    transpose,
    where,
)
from render_refine.kernels.tiles import POINT, claim_apart, place_of


@compiled
def backward(
    counter, points, start, entries, numbers, size, source, images, results, apart,
    places, rows, shades, boxes, filled, members, taken, weights, planes, marks, many, along, by_shades,
):  # fmt: skip
    grad_uv, grad_z, grad_features = results
    count, height, width, _, _, channels, radius, _ = size
    batch = len(points[1]) // max(count, 1)
    padded = (len(planes) - SHADES) // WIDTH
    table, by_table = (shades, by_shades) if len(shades) else (points[2], grad_features)
    tile = claim_apart(counter, batch, height, width, apart)
    while tile >= 0:
        begin, end = start[tile], start[tile + 1]
        image, top, left = place_of(tile, height, width)
        gather(begin, end, entries, points, channels, places, rows, shades)
        share_out(end - begin, places, top, left, radius, boxes, filled, members)
        along[: 4 * (end - begin)] = 0
        if not len(shades):
            for n in range(end - begin):
                for channel in range(0, channels, LINE):
                    prefetch(grad_features, rows[n] + channel)
        if len(shades):
            by_shades[: padded * (end - begin)] = 0
        for block in range(BLOCKS):
            y, x = top + block // ACROSS * SIDE, left + block % ACROSS * SIDE
            if y >= height or x >= width:
                continue
            at = (tile * BLOCKS + block) * WIDTH
            _load_upstream(image, y, x, at, size, source, images, padded, planes, marks, many)
            used = _find(x, y, members[block, : filled[block]], places, numbers, marks, taken)
            _errors(used, taken, table, rows, padded, planes, weights)
            _uncover(x, y, used, taken, places, rows, padded, numbers, planes, marks, weights, along, by_shades)
            if len(many):
                _pull_many(used, taken, weights, rows, padded, many, by_table)
        for n in range(end - begin):
            p = np.intp(entries[begin + n] & POINT)
            grad_uv[2 * p] += along[4 * n]
            grad_uv[2 * p + 1] += along[4 * n + 1]
            grad_z[p] -= along[4 * n + 2] * places[2, n] * places[2, n]
            if len(shades):
                for channel in range(channels):
                    grad_features[channels * p + channel] += by_shades[padded * n + channel]
        finish(counter)
        tile = claim_apart(counter, batch, height, width, apart)


@inner
def _load_upstream(image, y, x, at, size, source, images, padded, planes, marks, many):
    """dL/dout of a block, (padded, WIDTH), and if there are many (WIDTH, padded); dL/d(sum of weights) and dL/d(sum of
    weight / z); transmittance before the last point, and that point."""
    upstream, strides = source
    grad_depth, grad_opacity, kept, last = images
    _, _, _, down, across, channels, _, _ = size
    start = image * strides[0] + y * strides[2] + x * strides[3]
    if strides[3] == 1:
        for channel in range(channels):
            store(planes, SHADES + channel * WIDTH, load_square(upstream, start + channel * strides[1], strides[2]))
        for channel in range(0, padded if len(many) else 0, WIDTH):
            transpose(planes, SHADES + channel * WIDTH, WIDTH, many, channel, padded)
    else:
        for i in range(WIDTH):
            place = start + i // SIDE * strides[2] + i % SIDE * strides[3]
            if len(many) and strides[1] == 1:
                copy(upstream, place, many, padded * i, channels)
            elif len(many):
                for channel in range(channels):
                    many[padded * i + channel] = upstream[place + channel * strides[1]]
            else:
                for channel in range(channels):
                    planes[SHADES + channel * WIDTH + i] = upstream[place + channel * strides[1]]
        for channel in range(0, padded if len(many) else 0, WIDTH):
            transpose(many, channel, padded, planes, SHADES + channel * WIDTH, WIDTH)
    seen = load(last, at)
    store(marks, WIDTH, seen)
    weight, disparity = load(kept, 3 * at), load(kept, 3 * at + WIDTH)
    store(planes, BEFORE, load(kept, 3 * at + 2 * WIDTH))
    nothing = weight * 0.0
    by_weight, by_disparity = nothing, nothing
    pixel = (image * down + y) * across + x
    if len(grad_opacity):
        by_weight = load_square(grad_opacity, pixel, across)
    if len(grad_depth):
        share = where(seen >= 0, load_square(grad_depth, pixel, across) / most(disparity, TINY), 0.0)
        by_weight = by_weight + share
        by_disparity = where(disparity > TINY, -1.0 * share * weight / most(disparity, TINY), 0.0)
    store(planes, WEIGHT, by_weight)
    store(planes, DISPARITY, by_disparity)


@inner
def _find(x, y, members, places, numbers, marks, taken):
    """The points that hit a block, from front to back; how many."""
    us, vs, _ = places
    centre_u, centre_v, square = load(numbers, CENTRE_U) + x, load(numbers, CENTRE_V) + y, numbers[SQUARE]
    last = load(marks, WIDTH)
    behind = -1
    for i in range(WIDTH, 2 * WIDTH):
        behind = max(behind, marks[i])
    used = 0
    for n in members:
        if n > behind:
            break
        du, dv = centre_u - us[n], centre_v - vs[n]
        taken[used] = n
        used += 1 if bits((du * du + dv * dv < square) & (last >= n)) else 0
    for i in range(used, used + SIDE):  # for those who take four at a time
        taken[i] = taken[0]
    return used


@inner
def _errors(used, taken, table, rows, padded, planes, errors):
    """<dL/dout, features> of each point in each pixel."""
    nothing = load(planes, WEIGHT) * 0.0
    for i in range(0, used, SIDE):
        at, bt, ct, dt = rows[taken[i]], rows[taken[i + 1]], rows[taken[i + 2]], rows[taken[i + 3]]
        a, b, c, d = nothing, nothing, nothing, nothing
        for channel in range(padded):
            up = load(planes, SHADES + WIDTH * channel)
            a = fma(up, table[at + channel], a)
            b = fma(up, table[bt + channel], b)
            c = fma(up, table[ct + channel], c)
            d = fma(up, table[dt + channel], d)
        store(errors, WIDTH * i, a)
        store(errors, WIDTH * i + WIDTH, b)
        store(errors, WIDTH * i + 2 * WIDTH, c)
        store(errors, WIDTH * i + 3 * WIDTH, d)


@inner
def _uncover(x, y, used, taken, places, rows, padded, numbers, planes, marks, weights, along, by_shades):
    """Take the discs off a block, from back to front. Adds to the gradients of u, v and 1 / z, and of few features;
    weights take the place of errors."""
    us, vs, inverses = places
    inverse, square, tau = numbers[INVERSE], numbers[SQUARE], numbers[TAU]
    centre_u, centre_v = load(numbers, CENTRE_U) + x, load(numbers, CENTRE_V) + y
    by_weight, by_disparity = load(planes, WEIGHT), load(planes, DISPARITY)
    before, last = load(planes, BEFORE), load(marks, WIDTH)
    light = before
    nothing = light * 0.0
    rest = nothing
    for i in range(used - 1, -1, -1):
        n = taken[i]
        du, dv = centre_u - us[n], centre_v - vs[n]
        distance2 = du * du + dv * dv
        hit = (distance2 < square) & (last >= n)
        q = distance2 * inverse
        root = sqrt(least(most(q, LEAST), 1.0))
        opacity, through, steep = 1.0 - root, root, 1.0 / root
        if tau != 1:
            opacity = power(opacity, tau)
            through = 1.0 - opacity
            steep = steep * tau * opacity / most(1.0 - root, TINY)
        light = where(hit, where(last == n, before, light / through), light)
        error = load(weights, WIDTH * i) + fma(by_disparity, inverses[n], by_weight)
        change = where(hit, error - rest, 0.0)
        opacity = where(hit, opacity, 0.0)
        rest = fma(opacity, change, rest)
        weight = light * opacity
        slope = where((q >= LEAST) & (q <= 1.0), light * change * steep * inverse, 0.0)
        add_totals(along, 4 * n, slope * du, slope * dv, weight * by_disparity, nothing)
        store(weights, WIDTH * i, weight)
        if padded <= FEW:
            for channel in range(0, padded, SIDE):
                at = SHADES + WIDTH * channel
                add_totals(
                    by_shades,
                    rows[n] + channel,
                    where(hit, weight * load(planes, at), 0.0),
                    where(hit, weight * load(planes, at + WIDTH), 0.0),
                    where(hit, weight * load(planes, at + 2 * WIDTH), 0.0),
                    where(hit, weight * load(planes, at + 3 * WIDTH), 0.0),
                )


@inner
def _pull_many(used, taken, weights, rows, padded, many, by_table):
    """Add to the gradients of many features."""
    for i in range(used):
        for channel in range(0, padded, 2 * WIDTH):
            at = rows[taken[i]] + channel
            one, two = load(by_table, at), load(by_table, at + WIDTH)
            for pixel in range(WIDTH):
                weight = spread(weights[WIDTH * i + pixel])
                hit = weight > 0
                up = padded * pixel + channel
                one = where(hit, fma(weight, load(many, up), one), one)
                two = where(hit, fma(weight, load(many, up + WIDTH), two), two)
            store(by_table, at, one)
            store(by_table, at + WIDTH, two)
