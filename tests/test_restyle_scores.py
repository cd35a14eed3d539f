"""What restyled pictures are judged by: known values, and what each score must not mind."""

from __future__ import annotations

import pytest
import torch
from kornia.filters import gaussian_blur2d
from torch.nn import functional as F

from pipelines.evaluation.restyle_scores import colour_distance, edge_similarity, edges, gradient_distance

HEIGHT, WIDTH = 48, 64
EVERYWHERE = torch.ones(HEIGHT, WIDTH, dtype=torch.bool)


def soft(seed: int, height: int = HEIGHT, width: int = WIDTH) -> torch.Tensor:
    """A picture of soft blobs, (3, H, W) in 8 bits."""
    coarse = torch.rand(1, 3, height // 4, width // 4, generator=torch.Generator().manual_seed(seed))
    rgb = F.interpolate(coarse, (height, width), mode="bicubic", align_corners=False)[0].clamp(0, 1)
    return (rgb * 255).round() / 255


def blurred(rgb: torch.Tensor, sigma: float) -> torch.Tensor:
    return gaussian_blur2d(rgb[None], (15, 15), (sigma, sigma))[0]


def test_edges_are_slopes_in_levels_a_pixel():
    ramp = (torch.arange(20) * 3 / 255).expand(3, 12, 20)
    assert torch.allclose(edges(ramp)[:, 1:-1], torch.tensor(3.0), atol=1e-3)
    assert torch.allclose(edges(ramp.mT)[1:-1], torch.tensor(3.0), atol=1e-3)
    step = torch.zeros(3, 12, 20)
    step[..., 10:] = 1
    assert float(edges(step).max()) == pytest.approx(127.5, abs=1e-3)
    assert edges(step[None].expand(2, -1, -1, -1)).shape == (2, 12, 20)


def test_less_light_takes_no_edges():
    rgb = soft(0)
    assert edge_similarity(rgb, rgb, EVERYWHERE) == pytest.approx(1, abs=1e-6)
    dark = (0.4 * rgb * 255).round() / 255
    assert edge_similarity(rgb, dark, EVERYWHERE) > 0.97
    assert edge_similarity(rgb, dark, EVERYWHERE, same_light=True) < 0.8
    lamp = torch.linspace(0.2, 1.0, WIDTH)  # light that comes from the right
    assert edge_similarity(rgb, rgb * lamp, EVERYWHERE) > 0.9


def test_other_edges_count():
    rgb = soft(0)
    moved, other = rgb.roll(2, dims=-1), soft(1)
    found = [edge_similarity(rgb, result, EVERYWHERE) for result in (blurred(rgb, 2.0), moved, other)]
    assert found[0] < 0.9 and found[1] < 0.8 and found[2] < 0.6
    mixed = torch.cat([rgb[..., : WIDTH // 2], other[..., WIDTH // 2 :]], dim=-1)
    left = torch.zeros_like(EVERYWHERE)
    left[:, : WIDTH // 2 - 8] = True
    assert edge_similarity(rgb, mixed, left) > edge_similarity(rgb, mixed, ~left) + 0.2


def test_colours_are_compared_wherever_they_are():
    rgb = torch.stack([soft(2), soft(3)]) * 0.8
    draws = lambda: torch.Generator().manual_seed(0)  # noqa: E731
    assert colour_distance(rgb, rgb.flip(-1), draws()) < 1.5
    # Along a random direction a shift by v shows by |v| / 2 in the mean.
    assert colour_distance(rgb, rgb + 20 / 255, draws()) == pytest.approx(20 * 3**0.5 / 2, rel=0.25)
    assert colour_distance(rgb, rgb[:1], draws()) < 15
    assert colour_distance(rgb, rgb * 0.2, draws()) == colour_distance(rgb, rgb * 0.2, draws())


def test_gradients_are_compared_wherever_they_are():
    rgb = torch.stack([soft(2), soft(3)])
    assert gradient_distance(rgb, rgb.flip(-1)) < 1e-3
    assert gradient_distance(rgb, 0.5 * rgb) == pytest.approx(float(edges(rgb).mean()) / 2, rel=0.02)
    assert gradient_distance(rgb, torch.cat([rgb, rgb])) == 0
