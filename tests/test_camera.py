"""Cameras: known values, round trips, gradients."""

import math

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from render_refine.camera import Camera, perspective, pose_from, rigid_inverse

angles = st.floats(-1.2, 1.2)


def some_pose(yaw=0.3, pitch=-0.2, roll=0.1, position=(1.0, -2.0, 3.0)):
    return pose_from(torch.tensor(position, dtype=torch.float64), yaw, pitch, roll)


def test_a_point_straight_ahead_lands_in_the_middle():
    camera = Camera.from_fov(40, 60, math.radians(90))
    uv, z = camera.project(torch.tensor([[0.0, 0, 5], [5, 0, 5], [0, 2, 4]]))
    # 90 degrees along 60 pixels: focal length 30.
    torch.testing.assert_close(uv, torch.tensor([[30.0, 20], [60, 20], [30, 35]]))
    torch.testing.assert_close(z, torch.tensor([5.0, 5, 4]))


def test_angles_turn_the_way_their_names_say():
    ahead = torch.tensor([[0.0, 0, 10]])
    camera = Camera.from_fov(100, 100, 1.0)
    right, _ = camera.at(pose_from(torch.zeros(3), yaw=0.1)).project(ahead)
    assert right[0, 0] < 50  # the camera turned right, so what was ahead is to the left
    up, _ = camera.at(pose_from(torch.zeros(3), pitch=0.1)).project(ahead)
    assert up[0, 1] > 50
    above = torch.tensor([[0.0, -3, 10]])
    clockwise, _ = camera.at(pose_from(torch.zeros(3), roll=0.1)).project(above)
    assert clockwise[0, 0] < 50


@settings(max_examples=25, deadline=None)
@given(angles, angles, angles)
def test_unproject_and_project_are_inverse(yaw, pitch, roll):
    camera = Camera.from_fov(5, 8, 1.1, some_pose(yaw, pitch, roll))
    depth = 1 + torch.arange(40, dtype=torch.float64).view(5, 8)
    uv, z = camera.project(camera.unproject(depth).flatten(0, 1))
    torch.testing.assert_close(uv.view(5, 8, 2), camera.pixel_centres())
    torch.testing.assert_close(z.view(5, 8), depth)


@settings(max_examples=25, deadline=None)
@given(angles, angles, angles)
def test_poses_are_rigid(yaw, pitch, roll):
    pose = some_pose(yaw, pitch, roll)
    torch.testing.assert_close(pose[:3, :3] @ pose[:3, :3].T, torch.eye(3, dtype=torch.float64))
    torch.testing.assert_close(rigid_inverse(pose) @ pose, torch.eye(4, dtype=torch.float64))
    torch.testing.assert_close(rigid_inverse(pose), torch.linalg.inv(pose))
    assert torch.linalg.det(pose[:3, :3]) > 0


def test_resize_and_crop_see_the_same_rays():
    camera = Camera.from_fov(6, 10, 1.0, some_pose())
    coarse = camera.resize(3, 5).rays()
    mean_of_four = camera.rays().view(3, 2, 5, 2, 3).mean(dim=(1, 3))
    torch.testing.assert_close(coarse, mean_of_four)
    torch.testing.assert_close(camera.crop(2, 3, 4, 5).rays(), camera.rays()[2:6, 3:8])


def test_position_is_the_centre():
    camera = Camera.from_fov(4, 4, 1.0, some_pose())
    torch.testing.assert_close(camera.centre, torch.tensor([1.0, -2, 3], dtype=torch.float64))


def test_batches_of_cameras():
    poses = torch.stack([some_pose(), some_pose(0.0)])
    cameras = Camera.from_fov(4, 6, 1.0, poses)
    points = torch.randn(2, 7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    uv, _ = cameras.project(points)
    for i in range(2):
        one, _ = Camera.from_fov(4, 6, 1.0, poses[i]).project(points[i])
        torch.testing.assert_close(uv[i], one)


def test_projection_has_exact_and_finite_gradients():
    K = Camera.from_fov(4, 6, 1.0, some_pose()).K
    points = torch.tensor([[0.2, -0.3, 2.0], [1.0, 0.4, -1.5]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda p: perspective(p, K), points)
    at_the_camera = torch.zeros(1, 3, requires_grad=True)
    uv, _ = perspective(at_the_camera, K.float())
    uv.sum().backward()
    assert at_the_camera.grad.isfinite().all()


@pytest.mark.parametrize(("size", "fov"), [((0, 4), 1.0), ((4, -1), 1.0), ((4, 4), 0.0), ((4, 4), math.pi)])
def test_impossible_cameras_are_refused(size, fov):
    with pytest.raises(ValueError, match=r"size|field of view"):
        Camera.from_fov(*size, fov)
