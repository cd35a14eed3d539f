"""Metrics: known values, naive references, and the order that a viewer would give."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from render_refine.metrics import laplacian_energy, loop_closure, psnr, sliced_wasserstein, ssim, warp_error


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def smooth(*shape: int, seed: int = 0) -> Tensor:
    """Images with structure at every scale, in [0, 1]."""
    image = torch.zeros(shape)
    for level in range(1, 6):
        coarse = noise(*shape[:2], 2**level, 2**level, seed=seed + level)
        image = image + F.interpolate(coarse, size=shape[2:], mode="bicubic") / level
    return (image / 3).clamp(0, 1)


def test_psnr_known_values() -> None:
    a = torch.full((2, 3, 4, 5), 0.5)
    b = a.clone()
    b[0] += 0.1
    torch.testing.assert_close(psnr(a, b), torch.tensor([20.0, 100.0]))
    assert psnr(a[1], b[1]).item() == 100
    black_white = psnr(torch.zeros(3, 2, 2), torch.ones(3, 2, 2))
    assert black_white.item() == 0


def test_psnr_mask_hides_everything_else() -> None:
    a, b = torch.zeros(1, 3, 4, 4), torch.full((1, 3, 4, 4), 0.1)
    mask = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    mask[..., :2] = True
    b[..., 2:] = math.nan
    assert psnr(a, b, mask).item() == pytest.approx(20, abs=1e-4)
    assert psnr(a, b, ~mask).isnan() and psnr(a, b, torch.zeros_like(mask)).isnan()


def naive_ssim(a: Tensor, b: Tensor) -> float:
    """Wang et al. 2004, window by window, one (H, W) channel."""
    offsets = torch.arange(11, dtype=torch.float64) - 5
    row = torch.exp(-(offsets**2) / (2 * 1.5**2))
    window = torch.outer(row, row) / row.sum() ** 2
    values = []
    for i in range(a.shape[0] - 10):
        for j in range(a.shape[1] - 10):
            x, y = a[i : i + 11, j : j + 11].double(), b[i : i + 11, j : j + 11].double()
            mx, my = (window * x).sum(), (window * y).sum()
            vx, vy = (window * (x - mx) ** 2).sum(), (window * (y - my) ** 2).sum()
            cov = (window * (x - mx) * (y - my)).sum()
            c1, c2 = 0.01**2, 0.03**2
            values.append((2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2)))
    return torch.stack(values).mean().item()


def test_ssim_is_the_naive_one() -> None:
    a = smooth(1, 3, 19, 23)
    b = (a + 0.2 * noise(1, 3, 19, 23, seed=9)).clamp(0, 1)
    wanted = sum(naive_ssim(a[0, c], b[0, c]) for c in range(3)) / 3
    assert ssim(a, b).item() == pytest.approx(wanted, abs=1e-5)
    assert ssim(a[0], a[0]).item() == pytest.approx(1, abs=1e-6)


def test_ssim_mask_and_size() -> None:
    a = smooth(1, 3, 40, 40)
    b = a.clone()
    b[..., 20:] = noise(1, 3, 40, 20)
    left = torch.zeros(1, 1, 40, 40, dtype=torch.bool)
    left[..., :15] = True
    assert ssim(a, b, left).item() == pytest.approx(1, abs=1e-6) and ssim(a, b, ~left).item() < 0.8
    with pytest.raises(ValueError, match="11x11"):
        ssim(noise(3, 10, 40), noise(3, 10, 40))


def swd(a: Tensor, b: Tensor) -> dict[str, float]:
    return sliced_wasserstein(a, b, torch.Generator().manual_seed(0))


def test_swd_of_one_set_is_near_zero_and_grows_with_blur() -> None:
    images = smooth(16, 3, 64, 80) + 0.2 * noise(16, 3, 64, 80, seed=50)
    floor = swd(images, images)
    assert list(floor) == ["64", "32", "16", "mean"]
    assert floor["mean"] == pytest.approx((floor["64"] + floor["32"] + floor["16"]) / 3)
    blurred, values = images, []
    for _ in range(3):
        blurred = F.avg_pool2d(F.pad(blurred, (1, 1, 1, 1), mode="replicate"), 3, 1)
        values.append(swd(images, blurred))
    fine = [floor["64"], *(v["64"] for v in values)]
    assert fine == sorted(fine) and fine[1] > 1.4 * fine[0]
    assert floor["64"] < 0.7 * swd(images[:2], images[:2])["64"]  # the floor falls with the number of images
    assert swd(images, images) == floor  # the same generator, the same value


def test_swd_ignores_where_things_are_and_sees_texture() -> None:
    images = smooth(16, 3, 64, 64)
    floor = swd(images, images)["mean"]
    assert swd(images, images.flip(0))["mean"] < 1.3 * floor  # another order is the same set
    assert swd(images, noise(16, 3, 64, 64))["mean"] > 3 * floor


def test_swd_of_gaussians_is_the_known_distance() -> None:
    """One 7x7 patch of constants per image: after normalisation, a set of +-1 against a Gaussian set.

    The projection of a constant patch on a direction is the constant times the sum of its components, a
    Gaussian of variance 1; and W1 between a fair +-1 coin and N(0, 1) is 2 (E|x - 1| over x > 0), below.
    """
    coin = torch.tensor([0.0, 1.0]).repeat(32).view(-1, 1, 1, 1).expand(64, 1, 16, 16)
    quantiles = torch.special.ndtri((torch.arange(64) + 0.5) / 64)
    gauss = quantiles.view(-1, 1, 1, 1).expand(64, 1, 16, 16)
    normal = quantiles / quantiles.std(correction=0)
    distance = (normal.sort().values - torch.tensor([-1.0] * 32 + [1.0] * 32)).abs().mean()
    found = swd(coin, gauss)["16"]
    assert found == pytest.approx(1000 * distance.item() * math.sqrt(2 / math.pi), rel=0.1)


def test_swd_refuses_what_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="one shape"):
        swd(noise(2, 3, 32, 32), noise(3, 3, 32, 32))
    with pytest.raises(ValueError, match="16 pixels"):
        swd(noise(2, 3, 15, 32), noise(2, 3, 15, 32))


def translating(count: int = 4, step: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    wide = noise(3, 24, 40 + step * count)
    frames = torch.stack([wide[:, :, step * t : step * t + 40] for t in range(count)])
    flow = torch.zeros(count - 1, 2, 24, 40)
    flow[:, 0] = -step
    return frames, flow, -flow


def test_warp_error_of_an_exact_translation_is_zero() -> None:
    frames, flow, back = translating()
    assert warp_error(frames, flow, back).item() < 1e-9
    assert warp_error(frames, 0 * flow, 0 * back).item() > 0.05


def test_warp_error_of_flicker_is_its_square() -> None:
    frames, flow, back = translating()
    frames = 0.5 * frames + torch.tensor([0.0, 0.2, 0.0, 0.2]).view(4, 1, 1, 1)
    assert warp_error(frames, flow, back).item() == pytest.approx(0.04, rel=1e-3)


def test_warp_error_leaves_out_occlusions() -> None:
    frames, flow, back = translating(2)
    back = back.clone()
    back[:, :, :12] = 30  # inconsistent in the upper half
    frames = frames.clone()
    frames[1, :, :12] = 0.5
    assert warp_error(frames, flow, back).item() < 1e-9
    assert warp_error(frames, flow, back + 40).isnan()
    with pytest.raises(ValueError, match="one flow less"):
        warp_error(frames, flow[:0], back)


def test_loop_closure_compares_first_and_last_visit() -> None:
    out = [smooth(1, 3, 16, 16, seed=s)[0] for s in range(3)]
    assert loop_closure([*out, *out[1::-1]]) == pytest.approx({"psnr": 100, "ssim": 1, "l1": 0, "max": 0})
    found = loop_closure([out[0], out[1], out[1], out[0] + 0.1])
    assert found["psnr"] == pytest.approx((20 + 100) / 2, abs=1e-3)
    assert found["l1"] == pytest.approx(0.05, abs=1e-6) and found["max"] == pytest.approx(0.1, abs=1e-6)
    with pytest.raises(ValueError, match="at least 2"):
        loop_closure(out[:1])


def test_laplacian_energy_tells_blurred_from_sharp() -> None:
    image = noise(2, 3, 32, 32)
    blurred = F.avg_pool2d(image, 3, 1, 1, count_include_pad=False)
    assert (laplacian_energy(blurred) < 0.3 * laplacian_energy(image)).all()
    assert laplacian_energy(torch.ones(1, 3, 9, 9)).item() < 1e-12
    torch.testing.assert_close(laplacian_energy(2 * image), 4 * laplacian_energy(image))
