"""How a start image's colours change with distance: what its air, its light and its waves do to what comes nearer.

A surface that was stored from far away keeps the haze that was in front of it; water seen from above is darker than the
same water towards the horizon. The start image itself shows how ground changes along the line of sight, so that is what
a surface is expected to change on its way towards the camera. Where one ground ends and another begins colours jump,
but such places are few: at each distance the median over what is about that far counts, as far as slopes agree on its
sign (rock beside snow changes one way here and the other way there: that is no air). Summed over a flight the
expected changes telescope into differences of one curve, so they are bounded however long it is.
"""

from __future__ import annotations

import torch
from torch import Tensor

from render_refine.fill import weighted_mean

STEPS = 16  # distances at which the curve is kept
NEAREST, FARTHEST = -2.0, 6.0  # octaves of scene units
BREADTH = 2.0  # steps to either side from where slopes are taken
BASELINE = 1 / 16  # of the picture's height, over which slopes are measured
STEEPEST = 1.0  # octaves over the baseline; more is no ground, but an edge
FLATTEST = 0.03  # less says nothing


def colours_by_distance(rgb: Tensor, depth: Tensor) -> Tensor:
    """Curves of colour (B, 3, STEPS) at distances in equal steps of log depth, up to a constant.

    Args:
        rgb: (B, 3, H, W) in [0, 1]; depth: (B, H, W) in scene units, inf in the sky, which does not count.
    """
    apart = max(1, round(BASELINE * rgb.shape[-2]))
    ground = torch.isfinite(depth)[:, None].float()
    soft = weighted_mean(rgb, ground, apart // 2)
    steps = torch.where(torch.isfinite(depth), _steps(depth), torch.nan)
    farther, nearer = steps[:, :-apart], steps[:, apart:]
    rise = farther - nearer
    octave = (STEPS - 1) / (FARTHEST - NEAREST)
    counts = (rise > FLATTEST * octave) & (rise < STEEPEST * octave)
    slope = (soft[..., :-apart, :] - soft[..., apart:, :]) / torch.where(counts, rise, 1.0)[:, None]
    place = torch.where(counts, (farther + nearer) / 2, -1e3)
    at = torch.arange(STEPS, device=rgb.device) + 0.5
    weight = torch.exp(-0.5 * ((place.flatten(1)[:, None] - at[:, None]) / BREADTH) ** 2)
    weight = weight * torch.where(counts, rise, 0.0).flatten(1)[:, None]
    slope = slope.flatten(2)
    total = weight.sum(dim=2)[:, None]
    agreement = torch.einsum("bcn,bsn->bcs", slope.sign(), weight).abs() / total.clamp_min(1e-12)
    # A slope that next to nothing speaks for is none.
    slopes = weighted_median(slope, weight) * agreement * (total > 1e-4 * depth[0].numel())
    return slopes.cumsum(dim=2).roll(1, dims=2).index_fill(2, torch.zeros(1, dtype=torch.long, device=rgb.device), 0.0)


def weighted_median(values: Tensor, weight: Tensor) -> Tensor:
    """Medians (B, C, S) of values (B, C, N), each with S sets of weights (B, S, N) >= 0; any value where all are 0."""
    ordered, order = values.sort(dim=2)
    found = []
    for channel in range(values.shape[1]):
        total = weight.gather(2, order[:, channel, None].expand_as(weight)).cumsum(dim=2)
        middle = torch.searchsorted(total, total[..., -1:] / 2).clamp_max(values.shape[2] - 1)
        found.append(ordered[:, channel, None].expand_as(weight).gather(2, middle)[..., 0])
    return torch.stack(found, dim=1)


def colours_at(colours: Tensor, depth: Tensor) -> Tensor:
    """The ``colours_by_distance`` (B, 3, STEPS) at depths (B, H, W), interpolated: (B, 3, H, W)."""
    place = _steps(depth).clamp_max(STEPS - 1 - 1e-4)
    below = place.floor().long()

    def gather(index: Tensor) -> Tensor:
        picked = colours.gather(2, index.flatten(1)[:, None].expand(-1, 3, -1))
        return picked.reshape(len(colours), 3, *depth.shape[-2:])

    return torch.lerp(gather(below), gather(below + 1), (place - below)[:, None])


def change_on_approach(colours: Tensor, depth: Tensor, magnification: Tensor) -> Tensor:
    """What surfaces at ``depth`` (B, H, W) change since they were ``magnification`` times as far away: (B, 3, H, W)."""
    depth = torch.where(torch.isfinite(depth), depth, torch.ones_like(depth))
    return colours_at(colours, depth) - colours_at(colours, depth * magnification)


def _steps(depth: Tensor) -> Tensor:
    octaves = depth.clamp(2**NEAREST, 2**FARTHEST).log2()
    return (octaves - NEAREST) / (FARTHEST - NEAREST) * (STEPS - 1)
