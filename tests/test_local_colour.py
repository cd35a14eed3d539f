"""Changes of colour carried over to the full size, against regressions done one by one."""

import pytest
import torch
import torch.nn.functional as F

from vid2vid import local_colour
from vid2vid.local_colour import EPS, RADIUS, affine_maps, apply, inverse, lift


def texture(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_inverse_is_that_of_a_general_solver():
    root = texture(2, 3, 3, 4, 5)
    symmetric = torch.einsum("bijhw,bkjhw->bikhw", root, root)
    wanted = torch.linalg.inv(symmetric.permute(0, 3, 4, 1, 2) + 0.1 * torch.eye(3, dtype=torch.float64))
    torch.testing.assert_close(inverse(symmetric, 0.1).permute(0, 3, 4, 1, 2), wanted)


@pytest.mark.parametrize(("row", "column"), [(0, 0), (6, 7), (12, 3)])
def test_maps_are_regressions_in_windows_averaged(row, column):
    """Ridge regression of every window, solved one by one, then the mean over the windows that hold the pixel."""
    height, width = 13, 15
    small, changed = texture(1, 3, height, width), texture(1, 3, height, width, seed=1)

    def window(i, j):
        return slice(max(i - RADIUS, 0), i + RADIUS + 1), slice(max(j - RADIUS, 0), j + RADIUS + 1)

    def solve(i, j):
        x, y = (image[0][:, *window(i, j)].flatten(1) for image in (small, changed))
        mean_x, mean_y = x.mean(dim=1, keepdim=True), y.mean(dim=1, keepdim=True)
        spread = (x - mean_x) @ (x - mean_x).T / x.shape[1] + EPS * torch.eye(3, dtype=torch.float64)
        matrix = (y - mean_y) @ (x - mean_x).T / x.shape[1] @ torch.linalg.inv(spread)
        return torch.cat([matrix, mean_y - matrix @ mean_x], dim=1)

    rows, columns = window(row, column)
    near = [(i, j) for i in range(height)[rows] for j in range(width)[columns]]
    wanted = torch.stack([solve(i, j) for i, j in near]).mean(dim=0)
    matrix, offset = affine_maps(small, changed)
    torch.testing.assert_close(matrix[0, :, :, row, column], wanted[:, :3])
    torch.testing.assert_close(offset[0, :, row, column], wanted[:, 3])


def test_one_map_for_all_colours_is_carried_over_exactly(monkeypatch):
    monkeypatch.setattr(local_colour, "EPS", 0.0)  # the ridge pulls towards no dependence
    full = texture(1, 3, 60, 90)
    small = F.interpolate(full, (20, 30), mode="area")
    matrix, offset = torch.tensor([[0.2, 0.1, 0.0], [0.0, 0.4, -0.1], [0.3, 0.0, 0.5]]).double(), 0.1

    def change(image):
        return torch.einsum("oi,bihw->bohw", matrix, image) + offset

    torch.testing.assert_close(lift(full, small, change(small)), change(full))


def test_at_the_same_size_nothing_is_lost():
    """What no map explains is added back."""
    small, changed = texture(2, 3, 17, 23), texture(2, 3, 17, 23, seed=2)
    torch.testing.assert_close(lift(small, small, changed), changed)


def test_detail_and_edges_of_the_full_picture_survive():
    """Sky above land, darkened unlike each other: an enlarged small picture is blurred, the lifted one is not."""
    full = 0.1 * texture(1, 3, 120, 160)
    full[:, :, :50] += 0.8
    small = F.interpolate(full, (40, 53), mode="area")
    sky = small.mean(dim=1, keepdim=True) > 0.5
    changed = torch.where(sky, 0.1 * small, 0.5 * small)
    wanted = torch.where(full.mean(dim=1, keepdim=True) > 0.5, 0.1 * full, 0.5 * full)
    lifted = lift(full, small, changed)
    plain = F.interpolate(changed, full.shape[-2:], mode="bilinear")
    assert (lifted - wanted).abs().mean() < 0.4 * (plain - wanted).abs().mean()
    at_edge = (slice(None), slice(None), slice(46, 54))
    assert (lifted - wanted)[at_edge].abs().max() < 0.06


def test_apply_is_a_matrix_product():
    matrix, colours = texture(1, 3, 3, 4, 5), texture(1, 3, 4, 5, seed=3)
    torch.testing.assert_close(apply(matrix, 0.5, colours), torch.einsum("boihw,bihw->bohw", matrix, colours) + 0.5)
