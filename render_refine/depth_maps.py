"""Depth maps of single photos: their unit, and their edges, which a network draws soft and slightly misplaced."""

from __future__ import annotations

import torch
from torch import Tensor

from render_refine.fill import box_max, box_mean

NEAREST_SHARE = 0.1


def near_depth(depth: Tensor) -> Tensor:
    """The unit of length of a photo: z of its nearest tenth, (...) of depths (..., H, W); 1 where all is sky (inf)."""
    values = torch.where(torch.isfinite(depth), depth, torch.nan).flatten(-2)
    return values.nanquantile(NEAREST_SHARE, dim=-1).nan_to_num(1.0)


def guided_filter(guide: Tensor, values: Tensor, radius: int, eps: float = 1e-3) -> Tensor:
    """Smooth ``values`` so that they follow the edges of ``guide`` (He, Sun, Tang 2010, grey guide).

    Args:
        guide: (B, 3, H, W); values: (B, C, H, W).
        radius: of the window in pixels.
        eps: contrast below which the guide does not count, squared.
    """
    grey = guide.mean(dim=1, keepdim=True)
    mean_grey, mean_values = box_mean(grey, radius), box_mean(values, radius)
    variance = box_mean(grey * grey, radius) - mean_grey**2
    slope = (box_mean(grey * values, radius) - mean_grey * mean_values) / (variance + eps)
    return box_mean(slope, radius) * grey + box_mean(mean_values - slope * mean_grey, radius)


def sharpen_edges(depth: Tensor, reach: int = 3) -> Tensor:
    """Turn ramps between near and far into steps: each pixel goes to the nearer end of its neighbourhood's range.

    A blurred edge of depth would become a rubber sheet in flight. Gentle slopes stay.

    Args:
        depth: (..., H, W) z, finite.
        reach: half-width of the widest ramp in pixels.
    """
    log_depth = depth.log().reshape(-1, 1, *depth.shape[-2:])
    high, low = box_max(log_depth, reach), -box_max(-log_depth, reach)
    stepped = torch.where(log_depth - low < high - log_depth, low, high)
    return torch.where(high - low > 0.35, stepped, log_depth).reshape(depth.shape).exp()
