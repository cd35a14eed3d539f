"""A path through points, at constant speed, with the eyes on the way ahead and the horizon level."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from render_refine.keyframes import CameraPath, View

FINE = 64  # samples from one point to the next, on average


def waypoint_path(points: Sequence[tuple[float, float, float]], fov: float) -> CameraPath:
    """The path from the origin through points (x right, y down, z forward), as flown by a camera.

    The curve is a centripetal Catmull-Rom spline (Yuksel et al. 2011), which has no loops or cusps between points
    that follow each other. Progress is proportional to its length. The camera looks along its way, level (pitch and
    roll are 0), and smoothly: turns begin before a bend. It starts looking along z, and a path that returns to the
    origin is closed: it ends as it starts.

    Args:
        points: the origin may be the first of them, and need not.
        fov: field of view along the longer side, radians.

    Raises:
        ValueError: no point away from the origin, or one twice in a row.
    """
    origin = (0.0, 0.0, 0.0)
    passed = torch.tensor([*([] if points and tuple(points[0]) == origin else [origin]), *points], dtype=torch.float64)
    gaps = passed.diff(dim=0).norm(dim=1)
    if not len(gaps) or gaps.min() <= 0:
        raise ValueError("expected points away from the origin, and none twice in a row")
    closed = len(passed) > 2 and bool((passed[0] == passed[-1]).all())
    steps = gaps.sqrt()
    slopes = tangents(passed, steps, closed)
    segments = len(steps)

    def position(u: Tensor) -> Tensor:
        """(N, 3) on the curve, at u (N,) in [0, segments]."""
        index = u.floor().long().clamp(0, segments - 1)
        t, h = (u - index)[:, None], steps[index][:, None]
        a, b, m, n = passed[index], passed[index + 1], h * slopes[index], h * slopes[index + 1]
        return a + t * (m + t * (3 * (b - a) - 2 * m - n + t * (2 * (a - b) + m + n)))

    u = torch.linspace(0, segments, FINE * segments + 1, dtype=torch.float64)
    length = F.pad(position(u).diff(dim=0).norm(dim=1).cumsum(0), (1, 0))
    length = length / length[-1]
    even = torch.linspace(0, 1, len(u), dtype=torch.float64)
    headings = steady_headings(position(between(even, length, u)), closed)

    def view(progress: float) -> View:
        at = torch.tensor([progress], dtype=torch.float64)
        x, y, z = position(between(at, length, u))[0].tolist()
        return View.at((x, y, z), fov, float(between(at, even, headings)))

    return CameraPath(view, closed)


def tangents(points: Tensor, steps: Tensor, closed: bool) -> Tensor:
    """Derivatives (N, 3) of the spline at points (N, 3) whose parameters are ``steps`` (N - 1,) apart."""
    rates = points.diff(dim=0) / steps[:, None]
    h, k = steps[:-1, None], steps[1:, None]
    inner = (k * rates[:-1] + h * rates[1:]) / (h + k)
    if closed:
        h, k = steps[-1], steps[0]
        ends = ((k * rates[-1] + h * rates[0]) / (h + k))[None].expand(2, 3)
    elif len(rates) == 1:
        ends = rates.expand(2, 3)
    else:
        # The curvature of the first and of the last piece vanishes at its end.
        ends = torch.stack([1.5 * rates[0] - 0.5 * inner[0], 1.5 * rates[-1] - 0.5 * inner[-1]])
    return torch.cat([ends[:1], inner, ends[1:]])


def steady_headings(positions: Tensor, closed: bool) -> Tensor:
    """Yaw (N,) along positions (N, 3) that are evenly spaced: smooth, 0 at the start, whole turns where it closes."""
    way = positions.diff(dim=0)
    flat = way[:, [0, 2]]
    # Straight up or down there is no way ahead: the camera goes on looking where it looked.
    raw, last = [], 0.0
    for (x, z), size in zip(flat.tolist(), way.norm(dim=1).tolist(), strict=True):
        if math.hypot(x, z) > 0.05 * size:
            last += math.remainder(math.atan2(x, z) - last, 2 * math.pi)
        raw.append(last)
    yaw = torch.tensor([*raw, raw[-1]], dtype=torch.float64)
    for _ in range(2):
        padded = F.pad(yaw[None], (FINE // 4, FINE // 4), mode="replicate")[None]
        yaw = F.avg_pool1d(padded, FINE // 2 + 1, stride=1)[0, 0]
    t = (torch.arange(len(yaw), dtype=torch.float64) / FINE).clamp_max(1)
    ease = t * t * (3 - 2 * t)
    yaw = ease * yaw
    if closed:
        home = 2 * math.pi * round(float(yaw[-1]) / (2 * math.pi))
        yaw = home + ease.flip(0) * (yaw - home)
    return yaw


def between(x: Tensor, known: Tensor, values: Tensor) -> Tensor:
    """Linear interpolation of ``values`` (N,) at increasing ``known`` (N,), at x (M,)."""
    right = torch.searchsorted(known, x).clamp(1, len(known) - 1)
    low, high = known[right - 1], known[right]
    t = ((x - low) / (high - low).clamp_min(1e-12)).clamp(0, 1)
    return values[right - 1] + t * (values[right] - values[right - 1])
