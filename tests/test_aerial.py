"""Colours by distance: what is learned of a start image's air, and what is not."""

import math
from itertools import pairwise

import numpy as np
import torch

from infinite_view.aerial import STEPS, change_on_approach, colours_at, colours_by_distance, weighted_median
from render_refine.camera import Camera

HEIGHT, WIDTH = 96, 128


def plain(haze=0.0, air=(0.8, 0.85, 0.9), ground=(0.2, 0.4, 0.1)):
    """Flat ground below an empty sky, behind air that thickens with depth: rgb (1, 3, H, W), depth (1, H, W)."""
    camera = Camera.from_fov(HEIGHT, WIDTH, math.radians(60))
    down = camera.rays()[..., 1]
    depth = torch.where(down > 0.01, 1 / down.clamp_min(0.01), torch.inf)
    through = torch.where(depth.isfinite(), torch.exp(-haze * depth), 0.0)
    colour, white = (torch.tensor(c)[:, None, None] for c in (ground, air))
    return (colour * through + white * (1 - through))[None], depth[None]


def test_haze_is_taken_off_what_comes_nearer():
    haze = 0.05
    rgb, depth = plain(haze)
    colours = colours_by_distance(rgb, depth)
    near = torch.full((1, 1, 1), 4.0)
    for magnification in (1.2, 2.0):
        change = change_on_approach(colours, near, torch.full_like(near, magnification))[0, :, 0, 0]
        less = math.exp(-haze * 4 * magnification) - math.exp(-haze * 4)
        true = (torch.tensor([0.8, 0.85, 0.9]) - torch.tensor([0.2, 0.4, 0.1])) * less
        torch.testing.assert_close(change, true, atol=0.01, rtol=0.25)


def test_clear_air_changes_nothing_even_where_one_ground_follows_another():
    rgb, depth = plain()
    rgb[..., : HEIGHT * 3 // 4, :] = torch.where(
        depth[:, None, : HEIGHT * 3 // 4].isfinite(),
        torch.tensor([0.1, 0.2, 0.6])[:, None, None],
        rgb[..., : HEIGHT * 3 // 4, :],
    )
    assert colours_by_distance(rgb, depth).abs().max() < 0.02


def test_where_grounds_change_either_way_there_is_no_air():
    """Darker with distance on one side and lighter on the other."""
    rgb, depth = plain()
    octaves = depth.clamp_max(64).log2()[:, None]

    def steepest(share):
        sign = torch.where(torch.arange(WIDTH) < share * WIDTH, 1.0, -1.0)
        return float(colours_by_distance(rgb + 0.05 * octaves * sign, depth).abs().max())

    assert steepest(0.6) < 0.3 * steepest(1.0)
    assert 0.7 * steepest(1.0) < steepest(0.9) < steepest(1.0)


def test_changes_on_the_way_add_up():
    colours = torch.rand(1, 3, STEPS, generator=torch.Generator().manual_seed(0))
    depths = torch.tensor([8.0, 5.0, 2.5, 1.0]).view(4, 1, 1, 1)
    parts = [change_on_approach(colours, b, a / b) for a, b in pairwise(depths)]
    whole = change_on_approach(colours, depths[3], depths[0] / depths[3])
    torch.testing.assert_close(torch.stack(parts).sum(dim=0), whole)
    assert torch.equal(colours_at(colours, torch.full((1, 1, 1), 1e9)), colours_at(colours, torch.full((1, 1, 1), 1e6)))


def test_a_sky_alone_has_no_ground_to_learn_from():
    assert colours_by_distance(torch.rand(1, 3, 32, 48), torch.full((1, 32, 48), torch.inf)).abs().max() == 0


def test_weighted_medians_equal_a_naive_search():
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(2, 3, 31, generator=generator)
    weight = torch.rand(2, 4, 31, generator=generator)
    found = weighted_median(values, weight)
    for b, c, s in np.ndindex(2, 3, 4):
        pairs = sorted(zip(values[b, c].tolist(), weight[b, s].tolist(), strict=True))
        half = sum(w for _, w in pairs) / 2
        below = [value for k, (value, _) in enumerate(pairs) if sum(w for _, w in pairs[:k]) < half]
        assert abs(found[b, c, s] - below[-1]) < 1e-6
