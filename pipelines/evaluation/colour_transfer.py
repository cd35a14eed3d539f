"""The usual ways to give a picture the colours of another: what restyling must be better than.

Neither knows what a picture shows; both need a photograph that has the wished light.
"""

from __future__ import annotations

import torch
from kornia.color import linear_rgb_to_rgb, rgb_to_linear_rgb
from torch import Tensor

# Linear RGB to the responses of the eye's cones, and their logarithms to l, alpha, beta (Reinhard et al., eqs. 4, 6).
CONES = ((0.3811, 0.5783, 0.0402), (0.1967, 0.7244, 0.0782), (0.0241, 0.1288, 0.8444))
OPPONENT = ((3**-0.5, 3**-0.5, 3**-0.5), (6**-0.5, 6**-0.5, -2 * 6**-0.5), (2**-0.5, -(2**-0.5), 0.0))
DARKEST = 1 / 255 / 12.92  # the logarithm of black is taken as that of the first level above it, in linear light


def reinhard(source: Tensor, reference: Tensor) -> Tensor:
    """Colour transfer in l-alpha-beta (Reinhard, Ashikhmin, Gooch, Shirley, IEEE CG&A 2001).

    Each axis gets the mean and the standard deviation of the reference. The paper's matrices speak of light, so sRGB is
    decoded before and encoded after; with the encoded values, as some take them, rendered places in another light
    came out up to 1.7 dB farther from the truth.

    Args:
        source: (3, H, W) sRGB in [0, 1]; reference: (3, h, w).

    Returns:
        (3, H, W), clipped to [0, 1].
    """
    axes, wanted = opponent_axes(source), opponent_axes(reference)
    deviation, mean = torch.std_mean(axes, dim=1, correction=0, keepdim=True)
    wanted_deviation, wanted_mean = torch.std_mean(wanted, dim=1, correction=0, keepdim=True)
    # An axis without any variation has nothing to stretch.
    scale = torch.where(deviation > 1e-9, wanted_deviation / deviation.clamp_min(1e-9), 0.0)
    light = from_opponent_axes((axes - mean) * scale + wanted_mean).reshape(source.shape).clamp(0, 1)
    return linear_rgb_to_rgb(light).float().clamp(0, 1)


def opponent_axes(rgb: Tensor) -> Tensor:
    """sRGB (3, H, W) in [0, 1] to l, alpha, beta of every pixel, (3, N) float64."""
    light = rgb_to_linear_rgb(rgb.double()).flatten(1).clamp_min(DARKEST)
    cones = matrix(CONES) @ light
    return matrix(OPPONENT) @ cones.log10()


def from_opponent_axes(axes: Tensor) -> Tensor:
    """l, alpha, beta (3, N) to linear RGB (3, N), not clipped."""
    return torch.linalg.inv(matrix(CONES)) @ 10 ** (matrix(OPPONENT).T @ axes)


def matrix(rows: tuple[tuple[float, ...], ...]) -> Tensor:
    """(3, 3) float64."""
    return torch.tensor(rows, dtype=torch.float64)


def match_histograms(source: Tensor, reference: Tensor) -> Tensor:
    """Give each channel the distribution of the reference's (Gonzalez and Woods, "Digital Image Processing", 3.3.2).

    A value becomes the reference's value of the same rank. Many pixels of one value, such as a white sky, hold many
    ranks; the middle one counts (with the highest, as some take it, a white sky stays white in the darkest night).
    Ranks are compared as whole numbers, so a picture matched to itself stays as it is.

    Args:
        source: (3, H, W); reference: (3, h, w).

    Returns:
        (3, H, W), values of the reference alone.
    """
    return torch.stack([match_channel(a, b) for a, b in zip(source, reference, strict=True)])


def match_channel(source: Tensor, reference: Tensor) -> Tensor:
    """``match_histograms`` of one channel, (H, W) and (h, w)."""
    _, where, counts = source.unique(return_inverse=True, return_counts=True)
    known, known_counts = reference.unique(return_counts=True)
    # Doubled, so that the middle of some ranks is whole, too; times the other's size, so that both count alike.
    rank = (2 * counts.cumsum(0) - counts) * reference.numel()
    known_rank = 2 * known_counts.cumsum(0) * source.numel()
    return known[torch.searchsorted(known_rank, rank)][where].to(source.dtype)
