"""Filling what a splat leaves open: cracks in magnified surfaces, and first guesses for real holes."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

REACH = 24  # pixels about a hole within which what stands before its far side counts next to nothing
WIDE = 3  # levels of a pyramid in which ground goes on in its rows: what lies in one row is about as far away
# Of a pixel's disparity that what is behind it lacks: up to SLOPE there is no edge, from EDGE on there is one.
SLOPE, EDGE = 0.2, 0.7
IN_FRONT = 1e-4  # weight of what stands in front of an edge


def box_mean(x: Tensor, radius: int) -> Tensor:
    """Mean of (..., H, W) over a square window, at the border over what lies inside; rows, then columns."""
    for dim in (-2, -1):
        count = F.pad(x.new_ones(x.shape[dim]), (radius, radius)).unfold(0, 2 * radius + 1, 1).sum(dim=1)
        # Sums of shifted copies: the same numbers as pooling, several times faster.
        padded = F.pad(x, (0, 0, radius, radius) if dim == -2 else (radius, radius))
        total = padded.narrow(dim, 0, x.shape[dim]).clone()
        for shift in range(1, 2 * radius + 1):
            total += padded.narrow(dim, shift, x.shape[dim])
        x = total / (count[:, None] if dim == -2 else count)
    return x


def weighted_mean(x: Tensor, weight: Tensor, radius: int) -> Tensor:
    """Mean of (..., H, W) over a square window, each pixel as often as its weight says; 0 where all weights are 0."""
    return box_mean(weight * x, radius) / box_mean(weight, radius).clamp_min(1e-6)


def box_max(x: Tensor, radius: int) -> Tensor:
    """Largest value of (B, C, H, W) in a square window; rows, then columns."""
    return _extreme(torch.maximum, F.pad(x, (radius,) * 4, value=-torch.inf), 2 * radius + 1)


def closing(x: Tensor, reach: int) -> Tensor:
    """Grey-scale closing of (B, C, H, W) by a square: fills what is lower than its surroundings on both sides.

    Beyond the border counts as filled, so that the closing does not eat into the picture's edge.
    """
    grown = F.pad(box_max(x, reach), (reach,) * 4, value=torch.inf)
    return _extreme(torch.minimum, grown, 2 * reach + 1)


def _extreme(larger_or_smaller: Callable[[Tensor, Tensor], Tensor], x: Tensor, size: int) -> Tensor:
    """The extreme value in each window of size x size that lies within (B, C, H, W); (B, C, H - size + 1, ...)."""
    for dim in (-2, -1):
        # Windows of 2, 4, 8 ... pixels, each from two of half the size: many times faster than pooling.
        reached = 1
        while reached < size:
            step = min(reached, size - reached)
            count = x.shape[dim] - step
            x = larger_or_smaller(x.narrow(dim, 0, count), x.narrow(dim, step, count))
            reached += step
    return x


def pull_push(values: Tensor, weight: Tensor, wide: int = 0) -> Tensor:
    """Fill an image smoothly from its weighted pixels (pull-push, Gortler et al. 1996, section 3.4.1).

    Averages go down a pyramid until everything is covered and come back up where weight is missing, so
    that each hole takes the smooth colours of its surroundings, whatever its size.

    Args:
        values: (B, C, H, W).
        weight: (B, 1, H, W) in [0, 1]; 1 keeps the value as it is, 0 is a hole.
        wide: levels that are halved in width alone: what lies 2 ** wide pixels aside is as near as one pixel up.

    Returns:
        (B, C, H, W); zero everywhere if no pixel has weight.
    """
    height, width = values.shape[-2:]
    if height == 1 and width == 1:
        return values * (weight > 0)
    aside = wide > 0 and width > 1
    padded = (F.pad(x, (0, width % 2, 0, 0 if aside else height % 2)) for x in (weight, values * weight))
    total, coarse = (x[..., ::2] + x[..., 1::2] if aside else binned(x) for x in padded)
    coarse = pull_push(coarse / total.clamp_min(1e-8), total.clamp_max(1), wide - 1)
    up = F.interpolate(coarse, scale_factor=(1 if aside else 2, 2), mode="bilinear", align_corners=False)
    return torch.lerp(up[..., :height, :width], values, weight)


def binned(x: Tensor) -> Tensor:
    """(B, C, H / 2, W / 2) sums over every 2 x 2 pixels of (B, C, H, W); faster than pooling."""
    x = x[..., ::2, :] + x[..., 1::2, :]
    return x[..., ::2] + x[..., 1::2]


def fill_behind(values: Tensor, disparity: Tensor, known: Tensor, holes: Tensor) -> Tensor:
    """Fill holes from around them, rather in their rows, but not from what stands before an edge.

    Where a hole lies between something near and something far, the far one goes on behind the near one, which counts
    next to nothing. Elsewhere, as at the borders of a picture, everything goes on where it is.

    Args:
        values: (B, C, H, W); disparity: (B, 1, H, W) >= 0; known: (B, 1, H, W) bool, the pixels to fill from.
        holes: (B, 1, H, W) bool; what is neither a hole nor known is no side of a hole either.
    """
    nothing = torch.zeros_like(disparity)
    depth = torch.where(known, 1 / disparity.clamp_min(1e-8), nothing)
    far_side = nothing
    for dim in (-1, -2):
        one, other = beside(depth, ~holes, dim, beyond=0.0)
        between = holes & (one > 0) & (other > 0)
        far_side = torch.maximum(far_side, torch.where(between, torch.maximum(one, other), nothing))
    lacking = 1 - 1 / (box_max(far_side, REACH) * disparity).clamp_min(1e-8)
    # Ground that runs away from the camera is no edge.
    front = ((lacking - SLOPE) / (EDGE - SLOPE)).clamp(0, 1)
    weight = torch.where(known, 1 - (1 - IN_FRONT) * front, nothing)
    return choose(known, values, pull_push(values, weight, WIDE))


def beside(x: Tensor, known: Tensor, dim: int, beyond: float) -> tuple[Tensor, Tensor]:
    """The nearest known values before and after each pixel along its row or column.

    Args:
        x: (..., H, W); known: (..., H, W) bool.
        dim: -1 looks left and right, -2 up and down.
        beyond: what stands where nothing is known up to the border.

    Returns:
        (..., H, W) twice; at known pixels their own value.
    """
    last = x.shape[dim] - 1
    places = torch.arange(last + 1, device=x.device)
    places = (places if dim == -1 else places[:, None]).expand(x.shape)
    before = torch.where(known, places, -1).cummax(dim).values
    after = last - torch.where(known, last - places, -1).flip(dim).cummax(dim).values.flip(dim)
    return (
        torch.where(before >= 0, x.gather(dim, before.clamp_min(0)), beyond),
        torch.where(after <= last, x.gather(dim, after.clamp_max(last)), beyond),
    )


def fill_far(values: Tensor, disparity: Tensor, known: Tensor, near_weight: float) -> Tensor:
    """Fill holes from their far side, the more so, the farther: where a sky is no more than a far surface.

    Args:
        values: (B, C, H, W); disparity: (B, 1, H, W) >= 0; known: (B, 1, H, W) bool.
        near_weight: of pixels at the local front, where those far behind it have 1. Where nothing is far behind, as at
            most borders of a picture, they are all there is.
    """
    near = box_max(torch.where(known, disparity, torch.zeros_like(disparity)), 8)
    nearness = disparity / near.clamp_min(1e-8)
    weight = torch.where(known, (1 - nearness).clamp(0, 1) ** 2 + near_weight, torch.zeros_like(disparity))
    return choose(known, values, pull_push(values, weight.clamp_max(1)))


def choose(first: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """``a`` where ``first``, else ``b``, which are finite: `torch.where`, many times faster on the CPU."""
    return torch.lerp(b, a, first.to(a.dtype))


def close_cracks(rgb: Tensor, depth: Tensor, density: Tensor, reach: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    """Make magnified surfaces whole: gaps of up to ``2 * reach`` pixels between their points, and blocks.

    A surface seen from nearer than it was stored opens up between its points, and shows what lies behind or
    nothing. A grey-scale closing of disparity finds such gaps: pixels that lie behind the surface on both
    sides. They take the weighted mean of the surface around them, and so do, gradually, the pixels of the
    surface itself, which would show each point as a block. Surfaces at full density stay as they are, so a
    thin view between two branches remains one.

    Args:
        rgb: (B, C, H, W); depth: (B, H, W), inf where nothing is; density: (B, H, W) points per pixel.
        reach: radius of the closing in pixels.

    Returns:
        rgb and depth with the gaps filled, and density as a local mean over the surface (gaps counted).
    """
    disparity = (1 / depth)[:, None]
    closed = closing(disparity, reach)
    on_surface = ((disparity > 0.9 * closed) & (disparity > 0)).to(rgb.dtype)
    weight = on_surface * density[:, None]
    sums = _blurred(torch.cat([rgb * weight, disparity * weight, weight * density[:, None], weight], dim=1), reach)
    means = sums[:, :-1] / sums[:, -1:].clamp_min(1e-8)
    mean_rgb, mean_disparity, mean_density = means.split([rgb.shape[1], 1, 1], dim=1)
    crack = (disparity < 0.9 * closed) & (sums[:, -1:] > 1e-4) & (mean_density < 0.8)
    # Where points are sparse, one point to a pixel would show as blocks.
    smooth = ((0.7 - mean_density) / 0.3).clamp(0, 1) * on_surface
    smooth = torch.where(crack, torch.ones_like(smooth), smooth)
    rgb = torch.lerp(rgb, mean_rgb, smooth)
    smoothed = 1 / torch.lerp(disparity, mean_disparity, smooth).clamp_min(1e-12)
    depth = torch.where(smooth > 0, smoothed, depth[:, None])[:, 0]
    surface = torch.maximum(on_surface, crack.to(rgb.dtype))
    density = (_blurred(weight, reach) / _blurred(surface, reach).clamp_min(1e-8))[:, 0]
    return rgb, depth, torch.where(torch.isfinite(depth), density, torch.zeros_like(density))


def _blurred(x: Tensor, reach: int) -> Tensor:
    """(B, C, H, W) under a Gaussian of 2 * reach + 1 pixels, nothing beyond the border; rows, then columns."""
    taps = [math.exp(-0.5 * (step / (0.3 * (2 * reach + 1))) ** 2) for step in range(-reach, reach + 1)]
    for dim in (-2, -1):
        padded = F.pad(x, (0, 0, reach, reach) if dim == -2 else (reach, reach))
        count = x.shape[dim]
        x = torch.zeros_like(x)
        for step, tap in enumerate(taps):
            x.add_(padded.narrow(dim, step, count), alpha=tap / sum(taps))
    return x
