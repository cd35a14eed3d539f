"""A picture that was changed at a small size, at its full size: detail from the original, colours from the change.

Around every pixel the change is explained by an affine map of colours (the guided filter with a colour guide, He, Sun,
Tang, ECCV 2010, computed at the small size as in "Fast Guided Filter", 2015). These maps vary smoothly, and are applied
to the full picture, so that its edges and textures survive. What no such map explains, lit windows say, is added.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from render_refine.fill import box_mean

RADIUS = 3  # of the window in small pixels
EPS = 3e-5  # variance of colour below which the original does not count


def lift(full: Tensor, small: Tensor, changed: Tensor) -> Tensor:
    """Carry a change of colours over to the full size.

    Args:
        full: (B, 3, H, W) the original in [0, 1].
        small: (B, 3, h, w) the same, reduced.
        changed: (B, 3, h, w) the reduced picture after the change. A global affine change is carried over exactly.

    Returns:
        (B, 3, H, W), not bounded.
    """
    matrix, offset = affine_maps(small, changed)
    rest = changed - apply(matrix, offset, small)
    maps = torch.cat([matrix.flatten(1, 2), offset + rest], dim=1)
    maps = F.interpolate(maps, size=full.shape[-2:], mode="bilinear", align_corners=False)
    return apply(maps[:, :9].unflatten(1, (3, 3)), maps[:, 9:], full)


def affine_maps(small: Tensor, changed: Tensor) -> tuple[Tensor, Tensor]:
    """The affine maps of colour that turn ``small`` into ``changed`` (B, 3, h, w) each, smooth over the picture.

    Ridge regression in every window, towards no dependence on the original (He et al., equations 14 and 15), then
    averaged over the windows that hold a pixel.

    Returns:
        matrix (B, 3, 3, h, w), indices: colour out, colour in; and offset (B, 3, h, w).
    """
    mean, mean_changed = box_mean(small, RADIUS), box_mean(changed, RADIUS)
    pairs = torch.cat([small[:, :, None] * small[:, None], changed[:, :, None] * small[:, None]], dim=1)
    moments = box_mean(pairs.flatten(1, 2), RADIUS).unflatten(1, (6, 3))
    spread = moments[:, :3] - mean[:, :, None] * mean[:, None]
    joint = moments[:, 3:] - mean_changed[:, :, None] * mean[:, None]
    inverted = inverse(spread, EPS)
    # joint times inverted, pixel by pixel; a matrix product would first move the pixels to the front.
    matrix = sum((joint[:, :, k, None] * inverted[:, None, k] for k in range(3)), start=torch.zeros_like(joint))
    offset = mean_changed - apply(matrix, 0, mean)
    smooth = box_mean(torch.cat([matrix.flatten(1, 2), offset], dim=1), RADIUS)
    return smooth[:, :9].unflatten(1, (3, 3)), smooth[:, 9:]


def apply(matrix: Tensor, offset: Tensor | float, colours: Tensor) -> Tensor:
    """matrix (B, 3, 3, H, W) times colours (B, 3, H, W) plus offset, pixel by pixel."""
    red, green, blue = colours[:, None].unbind(dim=2)
    return matrix[:, :, 0] * red + matrix[:, :, 1] * green + matrix[:, :, 2] * blue + offset


def inverse(symmetric: Tensor, ridge: float) -> Tensor:
    """Inverses of symmetric matrices (B, 3, 3, h, w) with ``ridge`` added to their diagonals, by cofactors."""
    a, b, c = symmetric[:, 0, 0] + ridge, symmetric[:, 0, 1], symmetric[:, 0, 2]
    d, e, f = symmetric[:, 1, 1] + ridge, symmetric[:, 1, 2], symmetric[:, 2, 2] + ridge
    rows = [d * f - e * e, c * e - b * f, b * e - c * d, a * f - c * c, b * c - a * e, a * d - b * b]
    determinant = a * rows[0] + b * rows[1] + c * rows[2]
    first, second, third, fourth, fifth, sixth = (row / determinant for row in rows)
    columns = [first, second, third, second, fourth, fifth, third, fifth, sixth]
    return torch.stack(columns, dim=1).unflatten(1, (3, 3))
