"""How good a result is, measured without any pretrained network.

Images are float in [0, 1], (..., C, H, W); results are one number per image unless said otherwise.
Where there is nothing to measure (an empty mask) the result is nan, never a good mark.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from kornia.metrics import ssim as kornia_ssim
from torch import Tensor
from torch.nn import functional as F

from render_refine.losses import laplacian_pyramid
from render_refine.warp import backward_warp, motion_boundary, occluded

PATCH, PATCHES_PER_IMAGE, DIRECTIONS, COARSEST = 7, 128, 512, 16
WINDOW = 11


def psnr(a: Tensor, b: Tensor, mask: Tensor | None = None) -> Tensor:
    """Peak signal-to-noise ratio -10 log10(mean squared error) in dB, at most 100.

    Args:
        a, b: (..., C, H, W) in [0, 1].
        mask: (..., 1, H, W) bool, the pixels to compare.

    Returns:
        (...).
    """
    error = _masked_mean((a.double() - b.double()).square(), mask)
    return (-10 * error.log10()).clamp(max=100.0).to(torch.float32)


def ssim(a: Tensor, b: Tensor, mask: Tensor | None = None) -> Tensor:
    """Structural similarity (Wang et al., TIP 2004): 11x11 Gaussian window of sigma 1.5, K = (0.01, 0.03).

    Means over channels and over all windows that lie inside the image and, with a mask, are centred on it.

    Args:
        a, b: (..., C, H, W) in [0, 1], both sides at least 11 pixels.
        mask: (..., 1, H, W) bool.

    Returns:
        (...).
    """
    if min(a.shape[-2:]) < WINDOW:
        raise ValueError(f"SSIM wants images of at least {WINDOW}x{WINDOW} pixels, got {tuple(a.shape[-2:])}")
    flat_a, flat_b = (x.double().reshape(-1, *a.shape[-3:]) for x in (a, b))
    similarity = kornia_ssim(flat_a, flat_b, WINDOW, padding="valid")
    half = WINDOW // 2
    centres = None if mask is None else mask[..., half:-half, half:-half]
    return _masked_mean(similarity.reshape(*a.shape[:-2], *similarity.shape[-2:]), centres).to(torch.float32)


def sliced_wasserstein(a: Tensor, b: Tensor, generator: torch.Generator) -> dict[str, float]:
    """Sliced Wasserstein distance between the local textures of two sets of images, per scale.

    Karras et al., "Progressive Growing of GANs", ICLR 2018, section 5: Laplacian pyramid down to 16 pixels,
    128 random 7x7 patches per image and level, each channel normalised over its set, 512 random
    directions, mean absolute difference of the sorted projections, times 1000. Fine levels tell texture,
    coarse ones layout. Two draws from one set do not give 0 but a noise floor that falls with the number of
    images; report it beside the value.

    Args:
        a, b: (N, C, H, W), the same N, C, H and W; the smaller side at least 16 pixels.
        generator: draws patches and directions; on the CPU.

    Returns:
        the distance by level, named by the smaller side in pixels, and their "mean".
    """
    if a.shape != b.shape:
        raise ValueError(f"both sets want one shape, got {tuple(a.shape)} and {tuple(b.shape)}")
    if min(a.shape[-2:]) < COARSEST:
        raise ValueError(f"images want at least {COARSEST} pixels on each side, got {tuple(a.shape[-2:])}")
    levels = 1 + int(math.log2(min(a.shape[-2:]) / COARSEST))
    result = {}
    for band_a, band_b in zip(*(laplacian_pyramid(x.float(), levels) for x in (a, b)), strict=True):
        left, right = (_descriptors(band, generator) for band in (band_a, band_b))
        directions = torch.randn(left.shape[1], DIRECTIONS, generator=generator)
        directions = F.normalize(directions, dim=0).to(left.device)
        gaps = [
            ((left @ part).sort(dim=0).values - (right @ part).sort(dim=0).values).abs().mean()
            for part in directions.split(128, dim=1)
        ]
        result[str(min(band_a.shape[-2:]))] = 1000 * torch.stack(gaps).mean().item()
    return result | {"mean": sum(result.values()) / len(result)}


def warp_error(frames: Tensor, flow: Tensor, flow_back: Tensor) -> Tensor:
    """Flicker: how much a frame differs from the next one, moved back along the flow.

    Lai et al., "Learning Blind Video Temporal Consistency", ECCV 2018: the mean squared
    difference over pixels that are neither occluded nor at a motion boundary, averaged over pairs of frames
    (here also over channels).

    Args:
        frames: (T, C, H, W) in [0, 1].
        flow: (T-1, 2, H, W), from frame t to t+1, in pixels of frame t.
        flow_back: (T-1, 2, H, W), from frame t+1 to t.

    Returns:
        a scalar; pairs without a visible pixel are left out, nan if that leaves none.
    """
    if not len(frames) - 1 == len(flow) == len(flow_back):
        raise ValueError(f"{len(frames)} frames want one flow less, got {len(flow)} and {len(flow_back)}")
    warped, _ = backward_warp(frames[1:], flow)
    visible = ~(occluded(flow, flow_back) | motion_boundary(flow))
    return _masked_mean((warped - frames[:-1]).square(), visible).nanmean()


def loop_closure(frames: Sequence[Tensor]) -> dict[str, float]:
    """Out and back: frames k and N-1-k show one pose, so they ought to be one picture.

    Args:
        frames: N >= 2 images (C, H, W) in [0, 1].

    Returns:
        the means over all pairs of "psnr" (dB), "ssim" and "l1", and "max", the largest absolute difference.
    """
    if len(frames) < 2:
        raise ValueError(f"a loop has at least 2 frames, got {len(frames)}")
    pairs = [(frames[k], frames[len(frames) - 1 - k]) for k in range(len(frames) // 2)]
    differences = [(a - b).abs() for a, b in pairs]
    return {
        "psnr": sum(psnr(a, b).item() for a, b in pairs) / len(pairs),
        "ssim": sum(ssim(a, b).item() for a, b in pairs) / len(pairs),
        "l1": sum(d.mean().item() for d in differences) / len(pairs),
        "max": max(d.max().item() for d in differences),
    }


def laplacian_energy(image: Tensor) -> Tensor:
    """Mean square of the finest Laplacian band: falls with blur, grows with ringing and noise.

    Args:
        image: (B, C, H, W).

    Returns:
        (B,).
    """
    return laplacian_pyramid(image.float(), 2)[0].square().mean(dim=(1, 2, 3))


def _masked_mean(values: Tensor, mask: Tensor | None) -> Tensor:
    if mask is None:
        return values.mean(dim=(-3, -2, -1))
    mask = mask.expand_as(values)
    return torch.where(mask, values, 0).sum(dim=(-3, -2, -1)) / mask.sum(dim=(-3, -2, -1))


def _descriptors(images: Tensor, generator: torch.Generator) -> Tensor:
    """Random patches of (N, C, H, W), each channel to mean 0 and deviation 1: (N * 128, C * 49)."""
    count, _, height, width = images.shape
    drawn = (count, PATCHES_PER_IMAGE, 1, 1)
    top = torch.randint(height - PATCH + 1, drawn, generator=generator)
    left = torch.randint(width - PATCH + 1, drawn, generator=generator)
    step = torch.arange(PATCH)
    image = torch.arange(count).view(-1, 1, 1, 1)
    patches = images[image, :, top + step.view(-1, 1), left + step].flatten(0, 1)  # (N * 128, 7, 7, C)
    deviation, mean = torch.std_mean(patches, dim=(0, 1, 2), correction=0)
    return ((patches - mean) / deviation.clamp_min(1e-8)).flatten(1)
