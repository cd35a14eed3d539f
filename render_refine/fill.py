"""Filling what a splat leaves open: cracks in magnified surfaces, and first guesses for real holes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def box_mean(x: Tensor, radius: int) -> Tensor:
    """Mean of (B, C, H, W) over a square window, at the border over what lies inside; rows, then columns."""
    for dim in (-2, -1):
        count = F.pad(x.new_ones(x.shape[dim]), (radius, radius)).unfold(0, 2 * radius + 1, 1).sum(dim=1)
        # Sums of shifted copies: the same numbers as pooling, several times faster.
        padded = F.pad(x, (0, 0, radius, radius) if dim == -2 else (radius, radius))
        total = padded.narrow(dim, 0, x.shape[dim]).clone()
        for shift in range(1, 2 * radius + 1):
            total += padded.narrow(dim, shift, x.shape[dim])
        x = total / (count[:, None] if dim == -2 else count)
    return x


def box_max(x: Tensor, radius: int) -> Tensor:
    """Largest value of (B, C, H, W) in a square window; rows, then columns."""
    size = 2 * radius + 1
    x = F.max_pool2d(x, (size, 1), stride=1, padding=(radius, 0))
    return F.max_pool2d(x, (1, size), stride=1, padding=(0, radius))


def closing(x: Tensor, reach: int) -> Tensor:
    """Grey-scale closing of (B, C, H, W) by a square: fills what is lower than its surroundings on both sides.

    Beyond the border counts as filled, so that the closing does not eat into the picture's edge.
    """
    grown = F.pad(box_max(x, reach), (reach,) * 4, value=torch.inf)
    return -F.max_pool2d(-grown, 2 * reach + 1, stride=1)


def pull_push(values: Tensor, weight: Tensor) -> Tensor:
    """Fill an image smoothly from its weighted pixels (pull-push, Gortler et al. 1996, section 3.4.1).

    Averages go down a pyramid until everything is covered and come back up where weight is missing, so
    that each hole takes the smooth colours of its surroundings, whatever its size.

    Args:
        values: (B, C, H, W).
        weight: (B, 1, H, W) in [0, 1]; 1 keeps the value as it is, 0 is a hole.

    Returns:
        (B, C, H, W); zero everywhere if no pixel has weight.
    """
    height, width = values.shape[-2:]
    if height == 1 and width == 1:
        return values * (weight > 0)
    padded_weight = F.pad(weight, (0, width % 2, 0, height % 2))
    padded = F.pad(values * weight, (0, width % 2, 0, height % 2))
    total = 4 * F.avg_pool2d(padded_weight, 2)
    coarse = 4 * F.avg_pool2d(padded, 2) / total.clamp_min(1e-8)
    coarse = pull_push(coarse, total.clamp_max(1))
    up = F.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)[..., :height, :width]
    return weight * values + (1 - weight) * up


def fill_far(values: Tensor, disparity: Tensor, known: Tensor, near_weight: float = 1e-5) -> Tensor:
    """Fill holes from their far side: what appears behind an edge belongs to the background.

    Known pixels count the less, the nearer they are compared with what else borders the hole.

    Args:
        values: (B, C, H, W); disparity: (B, 1, H, W) >= 0; known: (B, 1, H, W) bool.
        near_weight: of pixels at the local front, where those far behind it have 1. Where nothing is far behind, as at
            most borders of a picture, they are all there is.
    """
    near = box_max(torch.where(known, disparity, torch.zeros_like(disparity)), 8)
    nearness = disparity / near.clamp_min(1e-8)
    weight = torch.where(known, (1 - nearness).clamp(0, 1) ** 2 + near_weight, torch.zeros_like(disparity))
    filled = pull_push(values, weight.clamp_max(1))
    return torch.where(known, values, filled)


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
    size = 2 * reach + 1
    disparity = (1 / depth)[:, None]
    closed = closing(disparity, reach)
    on_surface = ((disparity > 0.9 * closed) & (disparity > 0)).to(rgb.dtype)
    weight = on_surface * density[:, None]
    blur = _gaussian(size, rgb)

    def around(x: Tensor) -> Tensor:
        return F.conv2d(x, blur.expand(x.shape[1], 1, -1, -1), padding=reach, groups=x.shape[1])

    sums = around(torch.cat([rgb * weight, disparity * weight, weight * density[:, None], weight], dim=1))
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
    density = (around(weight) / around(surface).clamp_min(1e-8))[:, 0]
    return rgb, depth, torch.where(torch.isfinite(depth), density, torch.zeros_like(density))


def _gaussian(size: int, like: Tensor) -> Tensor:
    x = torch.arange(size, device=like.device, dtype=like.dtype) - size // 2
    g = torch.exp(-0.5 * (x / (0.3 * size)) ** 2)
    g = g / g.sum()
    return g[:, None] * g
