"""What restyled pictures are judged by: whether the shot is kept, and how near a set of pictures is to another.

Pictures are float in [0, 1], sRGB; distances are in levels of 255. Where there is nothing to measure the result is nan.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from kornia.filters import gaussian_blur2d
from torch import Tensor

from render_refine.metrics import ssim

LUMA = (0.299, 0.587, 0.114)
STEEPEST = 127.5  # levels a pixel: what Sobel's operator finds at an upright border between black and white
NEIGHBOURHOOD = 16.0  # pixels, the deviation of the window in which one factor may tell all edges' new contrast
PIXELS, DIRECTIONS = 2**15, 32  # drawn of a set of pictures, and through the cube of colours
GRID = 4096  # strengths of edges that are told apart


def luma(rgb: Tensor) -> Tensor:
    """(..., 3, H, W) to (..., H, W)."""
    return torch.einsum("c,...chw->...hw", torch.tensor(LUMA), rgb)


def edges(rgb: Tensor) -> Tensor:
    """How steep luma is, the magnitude of Sobel's gradient: (..., 3, H, W) to (..., H, W) in levels of 255 a pixel."""
    grey = 255 * luma(rgb)
    padded = F.pad(grey.reshape(-1, 1, *grey.shape[-2:]), (1, 1, 1, 1), mode="replicate")
    across = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]) / 8
    gradient = F.conv2d(padded, torch.stack([across, across.T])[:, None])
    return gradient.norm(dim=1).reshape(grey.shape)


def edge_similarity(source: Tensor, result: Tensor, mask: Tensor, same_light: bool = False) -> float:
    """Whether edges are where they were: SSIM between ``edges`` in units of the steepest.

    Less light makes all edges of a place weaker, and that alone takes nothing from the shot. So the edges of the result
    are first brought to the contrast of the source's by one factor for each place, that of least squares over a
    Gaussian window, which varies too slowly to invent or to remove an edge. Halving all levels gives 1; a shift by one
    pixel about 0.8 to 0.9, a blur of 1.5 pixels 0.6 to 0.9, another picture 0.3 to 0.5.

    Args:
        source, result: (3, H, W), both sides at least 11 pixels.
        mask: (H, W) bool, the pixels to compare.
        same_light: leave the factor out, so that lower contrast counts as a loss.
    """
    before, after = edges(source) / STEEPEST, edges(result) / STEEPEST
    if not same_light:
        after = after * around(before * after) / around(after * after).clamp_min(1e-9)
    return float(ssim(before[None], after[None], mask[None]))


def around(values: Tensor) -> Tensor:
    """The mean of (H, W) near each pixel, in a Gaussian window."""
    # Reflection wants less than a side's length of the border.
    size = [min(2 * round(3 * NEIGHBOURHOOD) + 1, 2 * ((side - 1) // 2) + 1) for side in values.shape]
    return gaussian_blur2d(values[None, None], (size[0], size[1]), (NEIGHBOURHOOD, NEIGHBOURHOOD))[0, 0]


def colour_distance(a: Tensor, b: Tensor, generator: torch.Generator) -> float:
    """How far all colours of one set of pictures are from those of another, wherever they are.

    Sliced Wasserstein distance of the two clouds in the cube of colours: along random directions, the mean difference
    of the sorted projections. Sets with the same colours give less than 1, for ``PIXELS`` are drawn of each.

    Args:
        a, b: (N, 3, H, W) in [0, 1].
        generator: draws the pixels and the directions.
    """
    directions = F.normalize(torch.randn(3, DIRECTIONS, generator=generator), dim=0)
    clouds = []
    for pictures in (a, b):
        colours = pictures.movedim(1, -1).reshape(-1, 3)
        drawn = colours[torch.randint(len(colours), (PIXELS,), generator=generator)]
        clouds.append((drawn @ directions).sort(dim=0).values)
    return 255 * float((clouds[0] - clouds[1]).abs().mean())


def gradient_distance(a: Tensor, b: Tensor) -> float:
    """How far the strengths of all edges of one set are from those of another: the 1-Wasserstein distance.

    It is the area between the two cumulative distributions, here on a grid of ``GRID`` strengths.

    Args:
        a, b: (N, 3, H, W) in [0, 1].

    Returns:
        levels of 255 a pixel.
    """
    top = math.sqrt(2) * STEEPEST
    shares = []
    for pictures in (a, b):
        counts = torch.histc(edges(pictures), GRID, 0, top).double()
        shares.append(counts.cumsum(0) / counts.sum())
    return float((shares[0] - shares[1]).abs().sum()) * top / GRID
