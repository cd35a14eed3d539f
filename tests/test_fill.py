"""Filling: means and maxima over boxes, pull-push, cracks and holes."""

import itertools
from functools import partial

import pytest
import torch

from render_refine.fill import (
    WIDE,
    beside,
    box_max,
    box_mean,
    close_cracks,
    fill_behind,
    fill_far,
    pull_push,
    weighted_mean,
)


def image(height, width, seed=0):
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed))


def test_boxes_equal_a_naive_loop():
    x = image(6, 9)[None]
    mean, high = box_mean(x, 2), box_max(x, 2)
    for i in range(6):
        for j in range(9):
            window = x[..., max(0, i - 2) : i + 3, max(0, j - 2) : j + 3]
            torch.testing.assert_close(mean[..., i, j], window.mean(dim=(-2, -1)))
            assert torch.equal(high[..., i, j], window.amax(dim=(-2, -1)))


def test_weighted_means_equal_a_naive_loop():
    x = image(12, 9)
    weight = image(12, 9, seed=1)[0] * (torch.arange(12)[:, None] < 8)
    mean = weighted_mean(x, weight, 1)
    for i in range(12):
        for j in range(9):
            part = (..., slice(max(0, i - 1), i + 2), slice(max(0, j - 1), j + 2))
            total = weight[part].sum()
            wanted = (x * weight)[part].sum(dim=(-2, -1)) / total if total > 0 else torch.zeros(3)
            torch.testing.assert_close(mean[..., i, j], wanted)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 3), (16, 16), (17, 30)])
def test_pull_push_keeps_what_is_known_and_stays_within_its_range(size):
    values = image(*size)[None]
    weight = (torch.rand(1, 1, *size, generator=torch.Generator().manual_seed(1)) > 0.6).float()
    weight[..., 0, 0] = 1
    filled = pull_push(values, weight)
    torch.testing.assert_close(filled * weight, values * weight)
    known = values[0][:, weight[0, 0] > 0]
    for channel in range(3):
        assert filled[0, channel].min() >= known[channel].min() - 1e-5
        assert filled[0, channel].max() <= known[channel].max() + 1e-5


def test_pull_push_continues_a_constant():
    weight = torch.zeros(1, 1, 9, 20)
    weight[..., 4, 3] = 1
    torch.testing.assert_close(
        pull_push(torch.full((1, 2, 9, 20), 0.7) * weight, weight), torch.full((1, 2, 9, 20), 0.7)
    )


def filled_behind(values, disparity, known):
    return fill_behind(values, disparity, known, ~known)


@pytest.mark.parametrize("fill", [filled_behind, partial(fill_far, near_weight=1e-5)])
def test_holes_are_filled_from_their_far_side(fill):
    """Left a near red wall, right a far blue one, a hole between: the hole belongs to the blue wall."""
    values = torch.zeros(1, 2, 8, 30)
    values[:, 0, :, :12], values[:, 1, :, 18:] = 1, 1
    disparity = torch.zeros(1, 1, 8, 30)
    disparity[..., :12], disparity[..., 18:] = 1.0, 0.1
    known = torch.ones(1, 1, 8, 30, dtype=torch.bool)
    known[..., 12:18] = False
    filled = fill(values, disparity, known)
    assert filled[0, 1, :, 12:18].min() > 0.9
    torch.testing.assert_close(filled[:, :, :, :12], values[:, :, :, :12])


def test_what_runs_away_from_the_camera_is_no_edge():
    """Beside a hole at the picture's border lies ground, whose near end counts as much as its far one."""
    down = torch.arange(40.0)[:, None].expand(40, 60)
    values, disparity = down[None, None], (1 + down / 160)[None, None]
    known = torch.ones(1, 1, 40, 60, dtype=torch.bool)
    known[:, :, 32:] = False
    filled = filled_behind(values, disparity, known)
    torch.testing.assert_close(filled[:, :, 32:], pull_push(values, known.float(), WIDE)[:, :, 32:])
    assert torch.equal(filled[:, :, :32], values[:, :, :32])


def test_beside_a_picture_near_and_far_go_on_in_their_rows():
    """A near hill before a far one, both cut off by the right border: neither goes behind the other there."""
    hill = (torch.arange(40) >= 20).float()[:, None].expand(40, 60)
    values, disparity = hill[None, None], (0.1 + 0.9 * hill)[None, None]
    known = torch.ones(1, 1, 40, 60, dtype=torch.bool)
    known[..., 44:] = False
    filled = filled_behind(values, disparity, known)[0, 0, :, 44:]
    assert (filled - hill[:, 44:]).abs().mean() < 0.1  # 0.5 if the far one went on everywhere
    assert filled[:14].max() < 0.2
    assert filled[26:].min() > 0.8


def test_values_beside_equal_a_naive_loop():
    generator = torch.Generator().manual_seed(3)
    x, known = torch.rand(2, 7, 9, generator=generator), torch.rand(2, 7, 9, generator=generator) < 0.3
    for dim in (-1, -2):
        found = beside(x, known, dim, beyond=-5.0)
        for b, row, column in itertools.product(range(2), range(7), range(9)):
            line, seen = (t[b, row] if dim == -1 else t[b, :, column] for t in (x, known))
            at = column if dim == -1 else row
            before = [k for k in range(at + 1) if seen[k]]
            after = [k for k in range(at, len(line)) if seen[k]]
            assert found[0][b, row, column] == (line[before[-1]] if before else -5.0)
            assert found[1][b, row, column] == (line[after[0]] if after else -5.0)


def test_cracks_close_only_in_thin_surfaces():
    depth = torch.full((12, 12), 1.0)
    depth[:, 6] = 10.0  # a far column behind a near wall
    rgb = torch.zeros(3, 12, 12)
    rgb[0] = 1.0
    rgb[:, :, 6] = torch.tensor([0.0, 0, 1])[:, None]
    sparse, full = torch.full((12, 12), 0.3), torch.ones(12, 12)
    filled, filled_depth, density = (x[0] for x in close_cracks(rgb[None], depth[None], sparse[None]))
    torch.testing.assert_close(filled[:, :, 6], torch.tensor([1.0, 0, 0])[:, None].expand(3, 12))
    torch.testing.assert_close(filled_depth, torch.ones(12, 12))
    assert density[6, 6] < 0.35
    kept, kept_depth, _ = (x[0] for x in close_cracks(rgb[None], depth[None], full[None]))
    assert torch.equal(kept, rgb)
    assert torch.equal(kept_depth, depth)
