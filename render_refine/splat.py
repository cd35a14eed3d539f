"""The differentiable point renderer: two functions, one meaning.

Both turn projected points into an image of their features, with depth and coverage:

* `alpha_splat` is SynSin's renderer (Wiles et al. 2020, section 3.2), exact: every point is a soft disc,
  each pixel composites its K nearest discs front to back. For learning, where gradients must reach
  everything that a disc touches.
* `soft_splat` is the fast one: every point spreads bilinearly over the 2x2 pixels around it, a z-buffer
  finds the front surface, and what lies on that surface is averaged (the surface test of Infinite
  Nature's z-buffer with the weights of softmax splatting, Niklaus & Liu 2020). A point at a pixel centre
  fills that pixel exactly, so an identity camera returns the image it was made from. For the memory,
  where each frame draws hundreds of thousands of points.

Symbols: u, v pixel coordinates with centres at +0.5; z depth; f features; w weight; B batch, N points,
C channels. Points at or behind `NEAR`, outside the image or not finite contribute nothing and get no
gradient. Empty pixels are zero, with infinite depth.

`alpha_splat_reference` and `soft_splat_reference` say it in plain torch, for every device and type. Where
`render_refine.kernels` has a compiled kernel for the tensors at hand, that computes the same instead.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from render_refine import kernels

NEAR = 1e-4  # scene units


@dataclass(frozen=True, eq=False)
class Splat:
    """What a renderer returns.

    Attributes:
        features: (B, C, H, W), differentiable in positions and features.
        depth: (B, H, W) z of the visible surface, inf where nothing was hit; differentiable. A weighted mean
            of 1 / z, which is what varies linearly across the image of a plane.
        coverage: (B, H, W) >= 0. `alpha_splat`: opacity in [0, 1). `soft_splat`: density, the number of
            front points a pixel received (1 where points lie one to a pixel, 0.25 where the surface is
            magnified twofold); not differentiable there.
        nearest: (B, H, W) int64 id of the front-most point of each pixel (equal depths: the lower id), -1 where
            nothing was hit.
    """

    features: Tensor
    depth: Tensor
    coverage: Tensor
    nearest: Tensor


def _check(uv: Tensor, z: Tensor, features: Tensor) -> None:
    if uv.ndim != 3 or uv.shape[-1] != 2 or z.shape != uv.shape[:2] or features.shape[:2] != uv.shape[:2]:
        raise ValueError(
            "expected uv (B, N, 2), z (B, N), features (B, N, C), "
            f"got {tuple(uv.shape)}, {tuple(z.shape)}, {tuple(features.shape)}"
        )


def alpha_splat(
    uv: Tensor,
    z: Tensor,
    features: Tensor,
    height: int,
    width: int,
    *,
    radius: float = 4.0,
    k: int = 128,
    tau: float = 1.0,
) -> Splat:
    """Exact K-nearest alpha compositing of soft discs.

    alpha = (1 - sqrt(clamp((d / r)^2, 1e-3, 1)))^tau for the K nearest points with d < r, then
    out = sum_k alpha_k f_k prod_{l<k} (1 - alpha_l); equal depths are ordered by point id.

    Args:
        uv: (B, N, 2) pixel positions.
        z: (B, N) depths.
        features: (B, N, C).
        height, width: output size.
        radius: of the discs, in pixels.
        k: points composited per pixel.
        tau: sharpness of the discs.
    """
    _check(uv, z, features)
    kernel = kernels.find("alpha_splat", uv, z, features)
    if kernel is None:
        return alpha_splat_reference(uv, z, features, height, width, radius=radius, k=k, tau=tau)
    composited, depth, opacity, nearest = kernel(uv, z, features, height, width, radius, k, tau, NEAR)
    return Splat(composited.permute(0, 3, 1, 2), depth, opacity, nearest)


def alpha_splat_reference(
    uv: Tensor, z: Tensor, features: Tensor, height: int, width: int, *, radius: float, k: int, tau: float
) -> Splat:
    """`alpha_splat` in plain torch."""
    batch, count, channels = features.shape
    pixels = batch * height * width
    uv, z, features = uv.flatten(0, 1), z.flatten(), features.flatten(0, 1)
    with torch.no_grad():
        # Sorting the points by depth once, then the pairs stably by pixel, leaves each pixel's list in order
        # of (depth, id) without a sort on two keys.
        order = torch.argsort(z, stable=True)
        reach = math.ceil(radius)
        steps = torch.arange(-reach, reach + 1, device=uv.device)
        du, dv = torch.meshgrid(steps, steps, indexing="xy")
        inside = (z > NEAR) & torch.isfinite(z) & torch.isfinite(uv).all(dim=-1)
        order = order[inside[order]]
        column = uv[order, 0].floor().long()[:, None] + du.flatten()
        row = uv[order, 1].floor().long()[:, None] + dv.flatten()
        centre = torch.stack([column, row], dim=-1).to(uv.dtype) + 0.5
        hit = ((centre - uv[order, None]) ** 2).sum(dim=-1) < radius * radius
        hit &= (column >= 0) & (column < width) & (row >= 0) & (row < height)
        image = torch.div(order, count, rounding_mode="floor")[:, None]
        pixel = ((image * height + row) * width + column)[hit]
        point = order[:, None].expand_as(hit)[hit]
        centre = centre[hit]
        pixel, by_pixel = torch.sort(pixel, stable=True)
        point, centre = point[by_pixel], centre[by_pixel]
        start = torch.searchsorted(pixel, torch.arange(pixels + 1, device=uv.device))
        rank = torch.arange(len(pixel), device=uv.device) - start[pixel]
        kept = rank < k
        point, centre, pixel, rank = point[kept], centre[kept], pixel[kept], rank[kept]
        start = torch.searchsorted(pixel, torch.arange(pixels + 1, device=uv.device))

    distance2 = ((centre - uv[point]) ** 2).sum(dim=-1) / radius**2
    alpha = (1 - distance2.clamp(1e-3, 1).sqrt()) ** tau
    # Transmittance: a running product within each pixel's list, as a difference of running sums of logs.
    # (In float64, since the sum runs over the whole image.)
    absorbed = torch.log1p(-alpha.double()).cumsum(0)
    before = F.pad(absorbed, (1, 0))[:-1] if len(alpha) else absorbed
    first = (torch.arange(len(pixel), device=uv.device) - rank).clamp_min(0)
    transmittance = torch.exp(before - before[first]).to(alpha.dtype)
    weight = alpha * transmittance

    composited = F.embedding_bag(point, features, start[:-1], mode="sum", per_sample_weights=weight)
    opacity = torch.zeros(pixels, dtype=weight.dtype, device=uv.device).index_add(0, pixel, weight)
    disparity = torch.zeros_like(opacity).index_add(0, pixel, weight / z[point])
    hit = start[1:] > start[:-1]
    depth = torch.where(hit, opacity / disparity.clamp_min(1e-12), math.inf)
    nearest = torch.full_like(start[:-1], -1)
    nearest[hit] = point[start[:-1][hit]] % count
    return Splat(
        composited.view(batch, height, width, channels).permute(0, 3, 1, 2),
        depth.view(batch, height, width),
        opacity.view(batch, height, width),
        nearest.view(batch, height, width),
    )


def soft_splat(
    uv: Tensor,
    z: Tensor,
    features: Tensor,
    height: int,
    width: int,
    *,
    weights: Tensor | None = None,
    softness: float = 0.02,
) -> Splat:
    """Z-buffered bilinear splat: sum w f / sum w over the points of each pixel's front surface.

    w = bilinear weight * `weights` * (z_front / z)^(1 / softness), and nothing more than ~3 softness behind
    the front. The power makes the result independent of z_front, so gradients are exact although the
    z-buffer is a constant to autograd.

    Args:
        uv: (B, N, 2) pixel positions.
        z: (B, N) depths.
        features: (B, N, C).
        height, width: output size.
        weights: (B, N) >= 0, how much a point counts among others on its surface (the memory prefers
            points whose detail fits the view); all ones when left out. Coverage does not count them.
        softness: relative thickness of the front surface.
    """
    _check(uv, z, features)
    kernel = kernels.find("soft_splat", uv, z, features, *(() if weights is None else (weights,)))
    if kernel is None:
        return soft_splat_reference(uv, z, features, height, width, weights=weights, softness=softness)
    mean, depth, density, nearest = kernel(uv, z, features, height, width, weights, softness, NEAR)
    return Splat(mean.permute(0, 3, 1, 2), depth, density, nearest)


def soft_splat_reference(
    uv: Tensor, z: Tensor, features: Tensor, height: int, width: int, *, weights: Tensor | None, softness: float
) -> Splat:
    """`soft_splat` in plain torch."""
    batch, count, channels = features.shape
    pixels = batch * height * width
    with torch.no_grad():
        corner = (uv.detach() - 0.5).floor()
        column, row = corner[..., 0], corner[..., 1]
        # NaN fails every comparison, so bad points drop out here.
        seen = (column >= -1) & (column < width) & (row >= -1) & (row < height) & (z > NEAR) & (z < math.inf)
        point = seen.flatten().nonzero().squeeze(1)
        corner = corner.flatten(0, 1)[point].long()
        origin = torch.div(point, count, rounding_mode="floor") * (height * width)
    uv, z, features = uv.flatten(0, 1)[point], z.flatten()[point], features.flatten(0, 1)[point]
    fraction = uv - 0.5 - corner
    near_and_far = torch.stack([1 - fraction, fraction])  # (2, M, 2): weight of the lower and of the upper pixel

    taps = []
    for step_v in (0, 1):
        for step_u in (0, 1):
            column, row = corner[:, 0] + step_u, corner[:, 1] + step_v
            inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            # Pixels outside go to one spare cell at the end.
            pixel = torch.where(inside, origin + row * width + column, pixels)
            taps.append((pixel, near_and_far[step_u, :, 0] * near_and_far[step_v, :, 1]))

    with torch.no_grad():
        front = _front_depth(taps, z, pixels)
        nearest = _nearest(taps, z, front, point % max(count, 1), pixels)
    log_z = z.log()
    log_front = front.log()
    sums = [torch.zeros(pixels + 1, dtype=z.dtype, device=z.device) for _ in range(channels + 2)]
    density = torch.zeros_like(front)
    channels_of_points = features.unbind(dim=-1)
    weights = None if weights is None else weights.flatten()[point]
    for pixel, bilinear in taps:
        behind = log_z - log_front[pixel]
        # (The clamp keeps what is masked from overflowing: 0 * inf would be NaN.)
        falloff = torch.exp(-behind.clamp(-3 * softness, 3 * softness) / softness)
        on_surface = bilinear * falloff * (behind.abs() < 3 * softness)
        density.index_add_(0, pixel, on_surface.detach())
        weight = on_surface if weights is None else on_surface * weights
        # One channel at a time: faster than rows for the few channels of a picture.
        for i, value in enumerate((torch.ones_like(z), 1 / z, *channels_of_points)):
            sums[i] = sums[i].index_add(0, pixel, weight * value)
    total, disparity, *colours = (s[:-1] for s in sums)
    density = density[:-1]
    covered = total > 0
    safe = torch.where(covered, total, torch.ones_like(total))
    colour = torch.stack([c / safe for c in colours], dim=0).view(channels, batch, height, width)
    depth = torch.where(covered, safe / torch.where(covered, disparity, 1.0), math.inf)
    return Splat(
        colour.transpose(0, 1),
        depth.view(batch, height, width),
        density.view(batch, height, width),
        nearest.view(batch, height, width),
    )


def _front_depth(taps: list[tuple[Tensor, Tensor]], z: Tensor, pixels: int) -> Tensor:
    """Depth of the front surface per pixel, (pixels + 1,).

    A point claims a pixel only where it covers a fair part of it, so that silhouettes do not grow by a
    pixel; where nobody has such a claim (magnified surfaces), any touch counts.
    """
    firm = torch.full((pixels + 1,), math.inf, dtype=z.dtype, device=z.device)
    any_touch = firm.clone()
    for pixel, bilinear in taps:
        any_touch.scatter_reduce_(0, torch.where(bilinear > 1e-3, pixel, pixels), z, "amin")
        firm.scatter_reduce_(0, torch.where(bilinear > 0.2, pixel, pixels), z, "amin")
    return torch.where(torch.isinf(firm), any_touch, firm)


def _nearest(taps: list[tuple[Tensor, Tensor]], z: Tensor, front: Tensor, ids: Tensor, pixels: int) -> Tensor:
    """Lowest id among the points at the front depth of each pixel, (pixels,); -1 where there is none."""
    none = torch.iinfo(torch.int64).max
    nearest = torch.full((pixels + 1,), none, device=z.device)
    for pixel, bilinear in taps:
        at_front = (z == front[pixel]) & (bilinear > 1e-3)
        nearest.scatter_reduce_(0, torch.where(at_front, pixel, pixels), ids, "amin")
    return torch.where(nearest == none, -1, nearest)[:-1]
