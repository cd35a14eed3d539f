"""What the networks are trained to make small.

Images are (B, C, H, W), depths (B, H, W), masks broadcast to them (bool, or weights >= 0). Values where
the mask is 0 are never looked at, so they may be inf or nan; a mask that is 0 everywhere gives a loss
of 0. Half-precision input is reduced in float32.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

Features = Sequence[Sequence[Tensor]]  # of a discriminator: per scale the feature maps, the last the logits


def hinge_d(real: Features, fake: Features) -> Tensor:
    """Discriminator loss max(0, 1 - D(real)) + max(0, 1 + D(fake)), mean over patches and scales.

    Lim & Ye, "Geometric GAN", 2017; Miyato et al., ICLR 2018, equation 16.
    """
    terms = [F.relu(1 - _wide(r[-1])).mean() + F.relu(1 + _wide(f[-1])).mean() for r, f in zip(real, fake, strict=True)]
    return torch.stack(terms).mean()


def hinge_g(fake: Features) -> Tensor:
    """Generator loss -D(fake), mean over patches and scales (Miyato et al., ICLR 2018, equation 17)."""
    return torch.stack([-_wide(f[-1]).mean() for f in fake]).mean()


def feature_matching(real: Features, fake: Features) -> Tensor:
    """L1 between the discriminator's features, logits excepted: sum over layers, mean over scales.

    Wang et al., "pix2pixHD", CVPR 2018, equation 4. No gradient flows into ``real``.
    """
    terms = [
        torch.stack([(_wide(a.detach()) - _wide(b)).abs().mean() for a, b in zip(r[:-1], f[:-1], strict=True)]).sum()
        for r, f in zip(real, fake, strict=True)
    ]
    return torch.stack(terms).mean()


def masked_l1(prediction: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean of |prediction - target| over the pixels (and channels) of the mask, weighted by it."""
    prediction, target, mask = _clean(prediction, target, mask)
    return _masked_mean((prediction - target).abs(), mask)


def laplacian_l1(prediction: Tensor, target: Tensor, mask: Tensor | None = None, levels: int = 5) -> Tensor:
    """L1 in every band of a Laplacian pyramid: texture counts as much as layout, without a pretrained network.

    Bojanowski et al., "Optimizing the Latent Space of Generative Networks", ICML 2018 (the Lap1 loss). The
    pyramid is linear, so that of the difference is taken, with the difference 0 outside the mask.

    Args:
        prediction, target: (B, C, H, W).
        mask: (B, 1, H, W) or None.
        levels: bands, the low-pass image included.
    """
    prediction, target, mask = _clean(prediction, target, mask)
    bands = laplacian_pyramid((prediction - target) * mask, levels)
    share = mask.expand_as(prediction).mean().clamp_min(torch.finfo(prediction.dtype).eps)
    return torch.stack([band.abs().mean() for band in bands]).sum() / share


def laplacian_pyramid(image: Tensor, levels: int) -> list[Tensor]:
    """Band-pass images, fine to coarse, and the low-pass rest (Burt & Adelson, 1983).

    image = band_0 + expand(band_1 + expand(band_2 + ...)), exactly, at any size. The 5x5 binomial filter is
    renormalised at the border.

    Args:
        image: (B, C, H, W).
        levels: length of the result; level k has ceil(H / 2^k) x ceil(W / 2^k) pixels.
    """
    bands = []
    for _ in range(levels - 1):
        coarse = _reduce(image)
        bands.append(image - expand(coarse, image.shape[-2:]))
        image = coarse
    return [*bands, image]


def expand(image: Tensor, size: Sequence[int]) -> Tensor:
    """One level finer in the pyramid: (B, C, h, w) to (B, C, *size), h = ceil(H / 2) and w = ceil(W / 2)."""
    odd = [1 - side % 2 for side in size]
    kernel = _binomial(image)

    def spread(x: Tensor) -> Tensor:
        return F.conv_transpose2d(x, kernel, stride=2, padding=2, output_padding=odd)

    fine = spread(image.flatten(0, 1)[:, None]) / spread(image.new_ones(1, 1, *image.shape[-2:]))
    return fine.view(*image.shape[:2], *size)


def kl_divergence(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mu, exp(logvar)) || N(0, 1)) of style codes (B, D): sum over D, mean over B (Kingma & Welling 2014)."""
    mu, logvar = _wide(mu), _wide(logvar)
    return 0.5 * (mu.square() + logvar.exp() - 1 - logvar).sum(dim=1).mean()


def scale_invariant_log(
    prediction: Tensor, target: Tensor, mask: Tensor | None = None, variance_weight: float = 0.5
) -> Tensor:
    """mean(d^2) - variance_weight * mean(d)^2 with d = log prediction - log target, mean over images.

    Eigen, Puhrsch, Fergus, NeurIPS 2014, equation 4. A weight of 1 ignores the scale of the depth altogether.

    Args:
        prediction: (B, H, W) depth, positive where it counts.
        target: (B, H, W) depth; pixels that are not finite and positive (sky) are left out.
        mask: (B, H, W) or None.
    """
    valid = target.isfinite() & (target > 0)
    valid = valid if mask is None else valid & (mask > 0)
    ones = torch.ones_like(target)
    prediction, target = torch.where(valid, prediction, ones), torch.where(valid, target, ones)
    d = _wide(prediction).log() - _wide(target).log()
    count = valid.sum(dim=(1, 2)).clamp_min(1)
    mean, square = d.sum(dim=(1, 2)) / count, d.square().sum(dim=(1, 2)) / count
    return (square - variance_weight * mean.square()).mean()


def gradient_matching(prediction: Tensor, target: Tensor, mask: Tensor | None = None, scales: int = 4) -> Tensor:
    """L1 of the gradient of the difference, summed over scales: edges of depth where the target has them.

    Ranftl et al., "MiDaS", TPAMI 2020 (the regulariser L_reg), on log-depth or disparity, whichever is passed; each
    scale takes every second pixel of the one before. A difference counts where both its pixels do.

    Args:
        prediction, target: (B, H, W).
        mask: (B, H, W) or None.
    """
    prediction, target, mask = _clean(prediction, target, mask)
    residual, mask = prediction - target, mask.expand_as(prediction)
    total = residual.new_zeros(())
    for scale in range(scales):
        r, m = residual[:, :: 2**scale, :: 2**scale], mask[:, :: 2**scale, :: 2**scale]
        total = total + _masked_mean(r.diff(dim=2).abs(), torch.minimum(m[:, :, 1:], m[:, :, :-1]))
        total = total + _masked_mean(r.diff(dim=1).abs(), torch.minimum(m[:, 1:], m[:, :-1]))
    return total


def edge_aware_smoothness(disparity: Tensor, image: Tensor) -> Tensor:
    """|grad d| exp(-|grad I|) with d the disparity over its mean: depth may jump where the image does.

    Godard, Mac Aodha, Brostow, CVPR 2017, equation 3; the mean as in Godard et al., ICCV 2019.

    Args:
        disparity: (B, H, W), >= 0 (so sky is 0).
        image: (B, C, H, W).
    """
    disparity, image = _wide(disparity), _wide(image)
    d = disparity / disparity.mean(dim=(1, 2), keepdim=True).clamp_min(1e-6)
    across = d.diff(dim=2).abs() * torch.exp(-image.diff(dim=3).abs().mean(dim=1))
    down = d.diff(dim=1).abs() * torch.exp(-image.diff(dim=2).abs().mean(dim=1))
    return sum((term.sum() / max(term.numel(), 1) for term in (across, down)), d.new_zeros(()))


def _wide(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _clean(prediction: Tensor, target: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Both with zeros where the mask is 0: 0 * inf would be nan, also in the gradient."""
    prediction, target = _wide(prediction), _wide(target)
    if mask is None:
        return prediction, target, prediction.new_ones((1,) * prediction.dim())
    zero = prediction.new_zeros(())
    keep = mask > 0
    return torch.where(keep, prediction, zero), torch.where(keep, target, zero), mask.to(prediction.dtype)


def _masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    total = mask.expand_as(values).sum()
    return (values * mask).sum() / total.clamp_min(torch.finfo(values.dtype).eps)


def _binomial(image: Tensor) -> Tensor:
    row = image.new_tensor([1, 4, 6, 4, 1]) / 16
    return (row[:, None] * row)[None, None]


def _reduce(image: Tensor) -> Tensor:
    kernel = _binomial(image)
    weight = F.conv2d(image.new_ones(1, 1, *image.shape[-2:]), kernel, stride=2, padding=2)
    coarse = F.conv2d(image.flatten(0, 1)[:, None], kernel, stride=2, padding=2) / weight
    return coarse.view(*image.shape[:2], *coarse.shape[-2:])
