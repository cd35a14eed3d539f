"""Warps against exact translations, hand-projected points and a loop over pixels."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from render_refine.camera import Camera, pose_from
from render_refine.warp import (
    backward_warp,
    depth_met,
    flow_from_depth,
    motion_boundary,
    occluded,
    sample,
    warp_by_depth,
)


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def constant_flow(u: float, v: float, height: int, width: int) -> Tensor:
    return torch.tensor([u, v]).view(1, 2, 1, 1).expand(1, 2, height, width)


@pytest.mark.parametrize("size", [(1, 1), (5, 9), (33, 1), (270, 481)])
def test_zero_flow_is_the_identity(size: tuple[int, int]) -> None:
    image = noise(2, 3, *size)
    for padding in ("border", "zeros"):
        warped, valid = backward_warp(image, torch.zeros(2, 2, *size), padding)
        torch.testing.assert_close(warped, image, rtol=0, atol=1e-4)
        assert valid.all()


def test_integer_flow_moves_pixels_exactly() -> None:
    image = noise(1, 3, 12, 17, dtype=torch.float64)
    flow = constant_flow(3, -2, 12, 17).double()
    warped, valid = backward_warp(image, flow)
    torch.testing.assert_close(warped[..., 2:, :-3], image[..., :-2, 3:])
    assert valid[..., 2:, :-3].all() and valid.sum() == 10 * 14
    torch.testing.assert_close(warped[..., 5, -3:], image[..., 3, -1:].expand(1, 3, 3))  # border
    assert backward_warp(image, flow, "zeros")[0][..., :1, :].abs().max() == 0


def test_bilinear_lookup_is_the_naive_one() -> None:
    image, flow = noise(1, 2, 6, 7, dtype=torch.float64), 4 * noise(1, 2, 6, 7, seed=1, dtype=torch.float64) - 2
    warped, valid = backward_warp(image, flow)
    for i in range(6):
        for j in range(7):
            x, y = j + flow[0, 0, i, j].item(), i + flow[0, 1, i, j].item()
            assert valid[0, 0, i, j] == (-0.01 <= x <= 6.01 and -0.01 <= y <= 5.01)
            x, y = min(max(x, 0), 6), min(max(y, 0), 5)
            x0, y0 = min(int(x), 5), min(int(y), 4)
            a, b = x - x0, y - y0
            top = (1 - a) * image[0, :, y0, x0] + a * image[0, :, y0, x0 + 1]
            bottom = (1 - a) * image[0, :, y0 + 1, x0] + a * image[0, :, y0 + 1, x0 + 1]
            torch.testing.assert_close(warped[0, :, i, j], (1 - b) * top + b * bottom)


def test_a_flow_that_is_not_finite_is_not_valid() -> None:
    flow = torch.zeros(1, 2, 4, 4)
    flow[0, 0, 1, 2], flow[0, 1, 3, 3] = math.nan, math.inf
    warped, valid = backward_warp(noise(1, 3, 4, 4), flow)
    assert warped.isfinite().all() and valid.sum() == 14 and not valid[0, 0, 1, 2] and not valid[0, 0, 3, 3]


def test_half_precision_images_keep_precise_positions() -> None:
    image = noise(1, 1, 4, 2000).bfloat16()
    warped, valid = backward_warp(image, constant_flow(0, 0, 4, 2000))
    assert warped.dtype == torch.bfloat16 and valid.all()
    torch.testing.assert_close(warped, image, rtol=2**-7, atol=1e-3)  # one unit in the last place


def test_gradients() -> None:
    image = noise(1, 2, 5, 6, dtype=torch.float64).requires_grad_()
    flow = (2.7 * noise(1, 2, 5, 6, seed=1, dtype=torch.float64) - 1.31).requires_grad_()
    assert torch.autograd.gradcheck(lambda i, f: backward_warp(i, f)[0], (image, flow))


def cameras() -> tuple[Camera, Camera]:
    pose = pose_from(torch.tensor([0.3, -0.2, 0.5], dtype=torch.float64), yaw=0.1, pitch=-0.05, roll=0.2)
    first = Camera.from_fov(20, 30, 1.2, pose)
    second = Camera.from_fov(24, 26, 1.0, pose_from(torch.tensor([0.1, 0.1, 0.9], dtype=torch.float64), yaw=-0.1))
    return first, second


def test_flow_is_where_unprojected_points_project() -> None:
    first, second = cameras()
    depth = 2 + 3 * noise(1, 20, 30, dtype=torch.float64)
    uv, _ = second.project(first.unproject(depth[0]).reshape(-1, 3))
    wanted = uv.reshape(20, 30, 2) - first.pixel_centres()
    torch.testing.assert_close(flow_from_depth(depth, first, second)[0].permute(1, 2, 0), wanted)


def test_sky_follows_the_rotation_only() -> None:
    first, second = cameras()
    sky = torch.full((1, 20, 30), math.inf, dtype=torch.float64)
    flow = flow_from_depth(sky, first, second)
    far = flow_from_depth(torch.full_like(sky, 1e9), first, second)
    torch.testing.assert_close(flow, far, rtol=0, atol=1e-5)
    moved = second.at(pose_from(torch.tensor([5.0, 7.0, -3.0], dtype=torch.float64), yaw=-0.1))
    torch.testing.assert_close(flow_from_depth(sky, first, moved), flow)
    turned = pose_from(torch.zeros(3), yaw=0.1)
    camera = Camera.from_fov(20, 30, 1.2)
    flow = flow_from_depth(torch.full((1, 20, 30), math.inf), camera, camera.at(turned))
    # The ray at angle a from the axis appears at a - 0.1.
    angle = math.atan((29.5 - 15) / camera.focal.item())
    wanted = 15 + camera.focal.item() * math.tan(angle - 0.1) - 29.5
    assert ((flow[0, 0, 10, 29].item() - wanted) / wanted) == pytest.approx(0, abs=0.02)


def test_points_behind_and_without_depth_are_nowhere() -> None:
    camera = Camera.from_fov(6, 8, 1.2)
    ahead = camera.at(pose_from(torch.tensor([0.0, 0.0, 2.0])))
    depth = torch.full((1, 6, 8), 1.0)
    depth[:, 3:] = 5.0
    depth[:, 5] = math.nan
    flow = flow_from_depth(depth, camera, ahead)
    assert flow.isfinite().all()
    valid = backward_warp(noise(1, 3, 6, 8), flow)[1][0, 0]
    assert not valid[:3].any() and not valid[5].any() and valid[3, 2:6].all()


def test_a_plane_moved_sideways_shifts_by_focal_times_disparity() -> None:
    camera = Camera.from_fov(8, 16, 2 * math.atan(0.5))  # focal length 16
    right = camera.at(pose_from(torch.tensor([0.5, 0.0, 0.0])))
    flow = flow_from_depth(torch.full((1, 8, 16), 4.0), camera, right)
    torch.testing.assert_close(flow, constant_flow(-16 * 0.5 / 4, 0, 8, 16), atol=1e-5, rtol=0)
    image = noise(1, 3, 8, 16)
    warped, valid = warp_by_depth(image, torch.full((1, 8, 16), 4.0), right, camera)
    torch.testing.assert_close(warped[..., :-2], image[..., 2:], atol=1e-4, rtol=0)
    assert valid.sum() == 8 * 14


def test_sizes_may_differ_between_cameras() -> None:
    """The same view with twice the pixels: sampling it at the small camera's centres is a 2x2 mean."""
    small = Camera.from_fov(6, 9, 1.0)
    image = noise(1, 3, 12, 18)
    warped, valid = warp_by_depth(image, torch.full((1, 6, 9), 3.0), small, small.resize(12, 18))
    torch.testing.assert_close(warped, torch.nn.functional.avg_pool2d(image, 2), atol=1e-5, rtol=0)
    assert valid.all()


def test_flow_gradients() -> None:
    first, second = cameras()
    first, second = first.resize(3, 4), second.resize(3, 4)
    depth = (2 + noise(1, 3, 4, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(lambda d: flow_from_depth(d, first, second), (depth,))
    depth = torch.full((1, 3, 4), math.inf, dtype=torch.float64, requires_grad=True)
    flow_from_depth(depth, first, second).sum().backward()
    assert depth.grad.isfinite().all()


def test_a_moving_square_occludes_what_it_covers() -> None:
    flow, back = torch.zeros(1, 2, 20, 30), torch.zeros(1, 2, 20, 30)
    flow[:, 0, 5:15, 5:15] = 6  # the square moves 6 to the right
    back[:, 0, 5:15, 11:21] = -6
    hidden = occluded(flow, back)[0, 0]
    wanted = torch.zeros(20, 30, dtype=torch.bool)
    wanted[5:15, 15:21] = True
    assert torch.equal(hidden, wanted)
    edges = motion_boundary(flow)[0, 0]
    assert edges[8, 4] and edges[8, 14] and edges[4, 8] and edges[14, 8]
    assert not edges[8, 8] and not edges[0, 0] and edges.sum() < 60


def test_what_leaves_the_image_is_occluded() -> None:
    flow = constant_flow(4, 0, 5, 10)
    assert torch.equal(occluded(flow, -flow)[0, 0], (torch.arange(10) >= 6).expand(5, 10))


def test_wrong_sizes_are_named() -> None:
    camera = Camera.from_fov(6, 8, 1.2)
    with pytest.raises(ValueError, match="does not fit"):
        backward_warp(noise(1, 3, 6, 8), torch.zeros(1, 2, 6, 7))
    with pytest.raises(ValueError, match="6x8"):
        flow_from_depth(noise(1, 8, 6), camera, camera)
    with pytest.raises(ValueError, match="6x8"):
        warp_by_depth(noise(1, 3, 5, 8), noise(1, 6, 8), camera, camera)


def test_sample_reads_pixel_centres() -> None:
    image = noise(1, 3, 5, 7)
    value, _ = sample(image, torch.tensor([[[[4.5, 2.5]]]]))
    torch.testing.assert_close(value[0, :, 0, 0], image[0, :, 2, 4])


def test_bicubic_keeps_more_detail_than_bilinear():
    image = torch.rand(1, 1, 40, 40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    half = torch.full((1, 2, 40, 40), 0.5, dtype=torch.float64)
    there = {}
    for interpolation in ("bilinear", "bicubic"):
        moved = image
        for flow in (half, -half) * 4:  # back at the start after every second step
            moved, _ = backward_warp(moved, flow, interpolation=interpolation)
        there[interpolation] = (moved - image)[..., 8:-8, 8:-8].abs().mean()
    assert there["bicubic"] < 0.8 * there["bilinear"]
    still, _ = backward_warp(image, 0 * half, interpolation="bicubic")
    assert torch.allclose(still, image, atol=1e-12)


def ground_seen_by(camera: Camera) -> torch.Tensor:
    """Depth of a plane one unit below the origin, inf above the horizon."""
    down = camera.rays()[..., 1]
    return torch.where(down > 1e-3, (1 - camera.centre[1]) / down, torch.inf)


def test_rays_meet_a_plane_where_it_is() -> None:
    camera = Camera.from_fov(48, 64, 1.0)
    nearer = camera.at(pose_from(torch.tensor([0.1, 0.2, 0.8]), yaw=0.1))
    photo, true = ground_seen_by(camera), ground_seen_by(nearer)
    seen = torch.isfinite(true)
    flow = flow_from_depth(true[None], nearer, camera)[0].permute(1, 2, 0) + nearer.pixel_centres()
    # Clear of the border and of the horizon, where a pixel has no neighbours to be joined to.
    u, v = flow.unbind(dim=-1)
    seen &= (u > 1) & (u < 63) & (v > 30) & (v < 47)
    assert seen.sum() > 300
    generator = torch.Generator().manual_seed(0)
    off = true * (1 + 0.06 * (torch.rand(48, 64, generator=generator) - 0.5))
    depth, met = depth_met(off, nearer, photo, camera)
    assert met[seen].all()
    assert (depth / true - 1)[seen].abs().max() < 2e-3
    assert (off / true - 1)[seen].abs().mean() > 0.01


def test_rays_meet_a_wavy_surface_where_a_fine_search_finds_it() -> None:
    camera = Camera.from_fov(32, 40, 1.0)
    v, u = torch.meshgrid(torch.arange(32.0), torch.arange(40.0), indexing="ij")
    photo = (2 + 0.2 * torch.sin(u / 6) + 0.15 * torch.cos(v / 5)).double()
    camera = camera.to(torch.float64)
    other = camera.at(pose_from(torch.tensor([0.15, -0.1, 0.4], dtype=torch.float64)))
    depth, met = depth_met(torch.full_like(photo, 1.6), other, photo, camera, steps=6)

    tries = torch.linspace(1.6 * 0.9, 1.6 * 1.1, 4001, dtype=torch.float64)
    rays, centre = other.rays(), other.centre
    checked = 0
    for row, column in itertools.product(range(4, 28, 3), range(4, 36, 3)):
        uv, z = camera.project(centre + tries[:, None] * rays[row, column])
        found, inside = sample((1 / photo)[None, None], uv[None, None])
        off = found[0, 0, 0] * z - 1
        crossings = (off[1:].sign() != off[:-1].sign()).nonzero()[:, 0]
        if len(crossings) == 1 and inside.all() and 1.46 < tries[crossings[0]] < 1.74:
            checked += 1
            assert met[row, column]
            assert abs(float(depth[row, column] - tries[crossings[0]])) < 2e-3
    assert checked > 30


def test_what_no_ray_meets_stays_where_it_was() -> None:
    camera = Camera.from_fov(16, 20, 1.0)
    photo = torch.full((16, 20), 3.0)
    thought = torch.full((16, 20), 2.0)
    thought[:4] = math.inf
    depth, met = depth_met(thought, camera, photo, camera)
    assert not met.any()
    assert torch.equal(depth, thought)
