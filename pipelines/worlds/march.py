"""Where does a ray meet the land? Sorted search in a polar table of horizons, then bracketing root search.

All rays of one image start at one point. Seen from there, land at azimuth a and distance r rises to the tangent
(h(a, r) - eye) / r, and the first land that a ray of slope s meets is the first r whose tangent reaches s. The running
maximum of the tangents along r is sorted, so a binary search finds that r for every pixel at once; false position
along the pixel's own azimuth then makes the depth exact. (Occlusion horizons: Max, "Horizon mapping", 1988.)
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from pipelines.worlds.terrain import Terrain

NEAR, FAR, GROWTH = 0.25, 40e3, 1.007


def cast(terrain: Terrain, eye: Tensor, rays: Tensor, pixel: float) -> Tensor:
    """Distance along each ray, in multiples of its length, to the land; inf where it meets none.

    Args:
        eye: (3,) world position (y down) above the land.
        rays: (N, 3) world directions of any length.
        pixel: angle between neighbouring rays, radians; the footprint at distance r is r * pixel.
    """
    across = rays[:, [0, 2]].norm(dim=-1).clamp_min(1e-5)
    slope = -rays[:, 1] / across
    azimuth = torch.atan2(rays[:, 0], rays[:, 2])
    # Azimuths relative to the mean view, so that the range does not break at the back of the compass.
    forward = rays.mean(0)
    middle = torch.atan2(forward[0], forward[2])
    azimuth = torch.remainder(azimuth - middle + math.pi, 2 * math.pi) - math.pi
    low, high = azimuth.min().item(), azimuth.max().item()
    count = min(max(int((high - low) / (0.7 * pixel)), 2), 900)
    steps = int(math.log(FAR / NEAR) / math.log(GROWTH)) + 1
    radius = NEAR * GROWTH ** torch.arange(steps, device=rays.device, dtype=rays.dtype)
    angles = torch.linspace(low, high, count, device=rays.device, dtype=rays.dtype) + middle
    x = eye[0] + radius * angles.sin()[:, None]
    z = eye[2] + radius * angles.cos()[:, None]
    tangent = (terrain.height(x, z, (radius * pixel).expand_as(x)) + eye[1]) / radius
    horizon = torch.cummax(tangent, dim=1).values

    row = ((azimuth - low) / max(high - low, 1e-6) * (count - 1)).round().long().clamp(0, count - 1)
    first = first_reaching(horizon, row, slope)
    sky = first >= steps
    outer = radius[first.clamp_max(steps - 1)]
    inner = torch.where(first > 0, radius[(first - 1).clamp(0, steps - 1)], torch.zeros_like(outer))

    def above(t: Tensor) -> Tensor:
        point_x, point_z = eye[0] + t * rays[:, 0], eye[2] + t * rays[:, 2]
        return -eye[1] - t * rays[:, 1] - terrain.height(point_x, point_z, t * across * pixel)

    distance = root(above, inner / across / GROWTH, outer / across * GROWTH)
    return torch.where(sky, torch.full_like(distance, math.inf), distance)


def first_reaching(sorted_rows: Tensor, row: Tensor, value: Tensor) -> Tensor:
    """Index of the first entry of ``sorted_rows[row]`` that is at least ``value``; the row length when none is."""
    length = sorted_rows.shape[1]
    flat, start = sorted_rows.reshape(-1), row * length
    low, high = torch.zeros_like(row), torch.full_like(row, length)
    for _ in range(length.bit_length()):
        middle = (low + high) // 2
        reached = flat[start + middle.clamp_max(length - 1)] >= value
        high = torch.where(reached & (middle < high), middle, high)
        low = torch.where(reached, low, (middle + 1).minimum(high))
    return high


def root(above: Callable[[Tensor], Tensor], low: Tensor, high: Tensor, iterations: int = 8) -> Tensor:
    """Zero of ``above`` between ``low`` (positive there) and ``high`` (negative): bisection, then false position.

    Where the bracket holds no sign change (a silhouette between two azimuths) the end nearer to zero is returned.
    """
    value_low, value_high = above(low), above(high)
    for k in range(iterations):
        share = (value_low / (value_low - value_high)).nan_to_num(0.5).clamp(0.02, 0.98) if k % 3 else 0.5
        middle = low + (high - low) * share
        value = above(middle)
        is_above = value > 0
        low, value_low = torch.where(is_above, middle, low), torch.where(is_above, value, value_low)
        high, value_high = torch.where(is_above, high, middle), torch.where(is_above, value_high, value)
    share = (value_low / (value_low - value_high)).nan_to_num(0.5).clamp(0, 1)
    return low + (high - low) * share


def cast_up(terrain: Terrain, start: Tensor, rays: Tensor, footprint: Tensor, steps: int = 40) -> Tensor:
    """First hit of reflected rays that each start at their own point (N, 3): (N,) in ray lengths, inf for sky.

    A plain march with geometric steps; a reflection needs no more precision than its ripples leave.
    """
    t = 6.0 + 2 * footprint
    growth = (FAR / 4 / t) ** (1 / steps)
    hit = torch.full_like(t, math.inf)
    for _ in range(steps):
        point = start + t[:, None] * rays
        below = -point[:, 1] < terrain.height(point[:, 0], point[:, 2], footprint + 0.03 * t)
        hit = torch.where(below & hit.isinf(), t, hit)
        t = t * growth
    low, high = hit / growth, hit
    for _ in range(4):
        middle = 0.5 * (low + high)
        safe = torch.where(middle.isinf(), torch.ones_like(middle), middle)
        point = start + safe[:, None] * rays
        below = -point[:, 1] < terrain.height(point[:, 0], point[:, 2], footprint + 0.03 * safe)
        low, high = torch.where(below, low, middle), torch.where(below, middle, high)
    return high
