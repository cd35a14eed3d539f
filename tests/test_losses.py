"""Losses: known values, gradients, masks that hide anything, and what makes them small."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from render_refine.losses import (
    edge_aware_smoothness,
    expand,
    feature_matching,
    gradient_matching,
    hinge_d,
    hinge_g,
    kl_divergence,
    laplacian_l1,
    laplacian_pyramid,
    masked_l1,
    scale_invariant_log,
)


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def logits(*values: float) -> list[list[Tensor]]:
    return [[torch.zeros(1, 2, 3, 3), torch.full((1, 1, 2, 2), value)] for value in values]


def test_hinge_values() -> None:
    assert hinge_d(logits(0.0), logits(0.0)).item() == 2
    assert hinge_d(logits(3.0), logits(-1.5)).item() == 0
    assert hinge_d(logits(0.5, 2.0), logits(-1.0, 0.0)).item() == pytest.approx((0.5 + 1) / 2)
    assert hinge_g(logits(0.5, -2.0)).item() == pytest.approx(0.75)


def test_feature_matching_values() -> None:
    real = [[torch.ones(1, 2, 4, 4), torch.full((1, 1, 2, 2), 3.0), torch.zeros(1)]]
    fake = [[torch.zeros(1, 2, 4, 4), torch.full((1, 1, 2, 2), 5.0), torch.full((1,), 99.0)]]
    assert feature_matching(real, fake).item() == 3
    assert feature_matching(real * 2, [fake[0], real[0]]).item() == 1.5
    source, drawn = torch.ones(1, 2, 4, 4, requires_grad=True), torch.zeros(1, 2, 4, 4, requires_grad=True)
    feature_matching([[source, real[0][2]]], [[drawn, real[0][2]]]).backward()
    assert source.grad is None
    torch.testing.assert_close(drawn.grad, torch.full((1, 2, 4, 4), -1 / 32))


def test_masked_l1_is_normalised_by_what_is_valid() -> None:
    a, b = torch.zeros(1, 3, 2, 2), torch.full((1, 3, 2, 2), 2.0)
    mask = torch.tensor([[[[True, False], [False, False]]]])
    b[..., 1, :] = math.inf
    assert masked_l1(a, b, mask).item() == 2
    assert masked_l1(a, torch.full_like(a, 4.0)).item() == 4
    weights = torch.tensor([3.0, 1.0]).view(2, 1, 1, 1).expand(2, 1, 2, 2)
    values = torch.tensor([1.0, 5.0]).view(2, 1, 1, 1).expand(2, 3, 2, 2)
    assert masked_l1(values, torch.zeros(2, 3, 2, 2), weights).item() == pytest.approx((3 * 1 + 1 * 5) / 4)


def test_kl_values() -> None:
    assert kl_divergence(torch.zeros(3, 4), torch.zeros(3, 4)).item() == 0
    mu, logvar = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, math.log(4)]])
    assert kl_divergence(mu, logvar).item() == pytest.approx(0.5 + 0.5 * (4 - 1 - math.log(4)))


def test_scale_invariant_log_values() -> None:
    target = 1 + noise(2, 4, 5)
    log2 = math.log(2)
    assert scale_invariant_log(2 * target, target).item() == pytest.approx(log2**2 / 2)
    assert scale_invariant_log(2 * target, target, variance_weight=1.0).item() == pytest.approx(0, abs=1e-12)
    half = target.clone()
    half[:, :, :2] = math.inf  # sky is left out
    doubled = 2 * target
    doubled[:, 0] *= 7
    mask = torch.ones(2, 4, 5)
    mask[:, 0] = 0
    assert scale_invariant_log(doubled, half, mask).item() == pytest.approx(log2**2 / 2)


def test_gradient_matching_values() -> None:
    ramp = torch.arange(8.0).expand(1, 8, 8)
    assert gradient_matching(ramp + 5, ramp).item() == 0
    # Slope 1 per pixel: every second pixel doubles the step, 1 + 2 + 4; one pixel is left of the last scale.
    assert gradient_matching(ramp, torch.zeros(1, 8, 8)).item() == pytest.approx(1 + 2 + 4)
    hole = ramp.clone()
    hole[:, 2:4, 2:4] = math.inf
    assert gradient_matching(hole, ramp, hole.isfinite()).item() == 0


def test_smoothness_spares_edges_of_the_image() -> None:
    disparity = torch.ones(1, 6, 6)
    disparity[:, :, 3:] = 3
    flat, edge = torch.zeros(1, 3, 6, 6), torch.zeros(1, 3, 6, 6)
    edge[..., 3:] = 4
    assert edge_aware_smoothness(torch.ones(1, 6, 6), flat).item() == 0
    assert edge_aware_smoothness(disparity, flat).item() == pytest.approx(1 / 5)  # a step of 2 / mean 2, in 1 of 5
    assert edge_aware_smoothness(disparity, edge).item() == pytest.approx(math.exp(-4) / 5)
    torch.testing.assert_close(edge_aware_smoothness(9 * disparity, flat), edge_aware_smoothness(disparity, flat))


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (17, 8), (32, 33)])
def test_pyramid_collapses_to_the_image(size: tuple[int, int]) -> None:
    image = noise(2, 3, *size)
    bands = laplacian_pyramid(image, 4)
    result = bands[-1]
    for band in bands[-2::-1]:
        result = band + expand(result, band.shape[-2:])
    torch.testing.assert_close(result, image)
    for band in laplacian_pyramid(torch.ones(1, 1, *size), 4)[:-1]:
        assert band.abs().max() < 1e-6  # a constant has no detail, not even at the border


def test_pyramid_is_burt_and_adelsons() -> None:
    """In the interior: 5x5 binomial, every second pixel; zeros between, binomial times 4."""
    image = noise(1, 1, 16, 16)
    row = torch.tensor([1.0, 4, 6, 4, 1], dtype=torch.float64) / 16
    kernel = torch.outer(row, row)[None, None]
    coarse = F.conv2d(F.pad(image, (2, 2, 2, 2), mode="reflect"), kernel)[..., ::2, ::2]
    spread = torch.zeros_like(image)
    spread[..., ::2, ::2] = coarse
    band = image - 4 * F.conv2d(spread, kernel, padding=2)
    torch.testing.assert_close(laplacian_pyramid(image, 2)[0][..., 4:-4, 4:-4], band[..., 4:-4, 4:-4])


def test_laplacian_l1_is_the_l1_of_all_bands_where_the_mask_is() -> None:
    image = noise(1, 3, 32, 32)
    blurred = F.avg_pool2d(image, 3, 1, 1, count_include_pad=False)
    assert laplacian_l1(image, image).item() == 0
    bands = zip(laplacian_pyramid(blurred, 5), laplacian_pyramid(image, 5), strict=True)
    wanted = sum(F.l1_loss(a, b) for a, b in bands)
    torch.testing.assert_close(laplacian_l1(blurred, image), wanted)
    masked = torch.zeros(1, 1, 32, 32)
    masked[..., :16] = 1
    broken = image.clone()
    broken[..., 16:] = math.nan
    assert laplacian_l1(broken, image, masked).item() == 0
    half = laplacian_l1(blurred, image, masked)
    assert half.item() == pytest.approx(wanted.item(), rel=0.25)


MASKED = {
    "masked_l1": (masked_l1, (2, 3, 5, 6)),
    "laplacian_l1": (laplacian_l1, (2, 3, 5, 6)),
    "scale_invariant_log": (scale_invariant_log, (2, 5, 6)),
    "gradient_matching": (gradient_matching, (2, 5, 6)),
}


@pytest.mark.parametrize("name", MASKED)
def test_masked_losses(name: str) -> None:
    loss, shape = MASKED[name]
    a, b = 1 + noise(*shape), 1 + noise(*shape, seed=1)
    mask = noise(*(shape if len(shape) == 3 else (2, 1, 5, 6)), seed=2) > 0.3
    assert torch.autograd.gradcheck(lambda x: loss(x, b, mask), (a.clone().requires_grad_(),))
    assert torch.autograd.gradcheck(lambda x: loss(x, b), (a.clone().requires_grad_(),))

    hidden_b, hidden_a = b.masked_fill(~mask, math.inf), a.masked_fill(~mask, math.nan).requires_grad_()
    value = loss(hidden_a, hidden_b, mask)
    torch.testing.assert_close(value, loss(a, b, mask))
    value.backward()
    assert hidden_a.grad.isfinite().all() and hidden_a.grad.masked_select(~mask).abs().sum() == 0

    empty = a.clone().requires_grad_()
    nothing = loss(empty, torch.full_like(b, math.inf), torch.zeros_like(mask))
    nothing.backward()
    assert nothing.item() == 0 and empty.grad.abs().sum() == 0


def test_other_gradients() -> None:
    mu, logvar = noise(2, 3).requires_grad_(), noise(2, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(kl_divergence, (mu, logvar))
    disparity = (1 + noise(1, 4, 5)).requires_grad_()
    assert torch.autograd.gradcheck(lambda d: edge_aware_smoothness(d, noise(1, 3, 4, 5)), (disparity,))
    real, fake = 3 * noise(1, 1, 3, 3) - 1.4, (3 * noise(1, 1, 3, 3, seed=1) - 1.4).requires_grad_()
    assert torch.autograd.gradcheck(lambda f: hinge_d([[real]], [[f]]) + hinge_g([[f]]), (fake,))


def test_half_precision_is_reduced_in_float32() -> None:
    a = torch.full((1, 3, 256, 256), 1.0, dtype=torch.bfloat16)
    b = torch.full((1, 3, 256, 256), 1.0 + 2**-7, dtype=torch.bfloat16)
    value = masked_l1(a, b)
    assert value.dtype == torch.float32 and value.item() == pytest.approx(2**-7, rel=1e-5)
