"""Line charts as pictures, drawn with what is installed anyway."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from pipelines.evaluation.report import number

WIDTH, HEIGHT = 480, 240  # of one chart, pixels
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 28, 24  # margins
SMOOTH = 2  # drawn so many times larger, then reduced
PAPER, INK, GREY, LIMIT = (255, 255, 255), (30, 30, 30), (205, 205, 205), (214, 69, 65)
LINES = ((31, 90, 166), (240, 140, 30), (60, 150, 80), (140, 80, 170), (120, 120, 120))
Curve = Sequence[float]


def chart(
    title: str, x: Curve, curves: Mapping[str, Curve], *, faint: Sequence[Curve] = (), limits: Curve = ()
) -> Tensor:
    """A line chart, from zero up (or from the lowest value, where that is below).

    Args:
        title: written above it.
        x: places of the points, the same for all curves, increasing.
        curves: by name; nan leaves a gap. Names are written only if there are several.
        faint: more curves, thin and grey.
        limits: heights of red lines.

    Returns:
        (3, HEIGHT, WIDTH) uint8.
    """
    values = [v for curve in (*curves.values(), *faint, limits) for v in curve if math.isfinite(v)] or [0.0]
    low, high = min(0.0, *values), max(0.0, *values)
    high += 0.06 * (high - low) or 1.0
    image = Image.new("RGB", (SMOOTH * WIDTH, SMOOTH * HEIGHT), PAPER)
    draw = ImageDraw.Draw(image)

    def place(a: float, b: float) -> tuple[float, float]:
        across = (a - x[0]) / ((x[-1] - x[0]) or 1)
        up = (b - low) / (high - low)
        return (
            SMOOTH * (LEFT + across * (WIDTH - LEFT - RIGHT)),
            SMOOTH * (HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)),
        )

    def line(curve: Curve, colour: tuple[int, int, int], width: float) -> None:
        run: list[tuple[float, float]] = []
        for a, b in zip([*x, x[-1]], [*curve, math.nan], strict=True):
            if math.isfinite(b):
                run.append(place(a, b))
            else:
                draw.line(run, fill=colour, width=round(SMOOTH * width), joint="curve")
                run = []

    ticks = nice_ticks(low, high)
    for tick in ticks:
        draw.line([place(x[0], tick), place(x[-1], tick)], fill=GREY, width=1)
    for limit in limits:
        draw.line([place(x[0], limit), place(x[-1], limit)], fill=LIMIT, width=SMOOTH)
    for curve in faint:
        line(curve, GREY, 1)
    for k, curve in enumerate(curves.values()):
        line(curve, LINES[k % len(LINES)], 2)
    image = image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
    pen = ImageDraw.Draw(image)  # letters are drawn at their own size
    pen.text((LEFT, 8), title, fill=INK)
    for tick in ticks:
        pen.text((LEFT - 6, place(x[0], tick)[1] / SMOOTH), number(tick), fill=INK, anchor="rm")
    for tick in nice_ticks(x[0], x[-1]):
        pen.text((place(tick, low)[0] / SMOOTH, HEIGHT - BOTTOM + 4), number(tick), fill=INK, anchor="ma")
    for k, name in enumerate(curves if len(curves) > 1 else ()):
        pen.text((WIDTH - RIGHT - 4, TOP + 4 + 13 * k), name, fill=LINES[k % len(LINES)], anchor="ra")
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def nice_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers between two, at most ``most``."""
    span = (high - low) or 1.0
    power = 10.0 ** math.floor(math.log10(span / most))
    step = next(k * power for k in (1, 2, 2.5, 5, 10, 20) if span / (k * power) <= most - 1)
    return [round(k * step, 12) for k in range(math.ceil(low / step), math.floor(high / step + 1e-9) + 1)]


def page(charts: Sequence[Tensor], columns: int = 2) -> Tensor:
    """Charts side by side, row by row, (3, H, W) uint8."""
    blank = torch.full_like(charts[0], 255)
    filled = [*charts, *[blank] * (-len(charts) % columns)]
    rows = [torch.cat(filled[k : k + columns], dim=2) for k in range(0, len(filled), columns)]
    return torch.cat(rows, dim=1)
