"""Camera files: what is written reads back as it was, and real files agree with their pictures."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import cv2
import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings

from pipelines.errors import InputError
from pipelines.media.camera_files import Track, read_cameras, write_cameras
from render_refine.camera import Camera, pose_from

NAMES = ("cameras.txt", "transforms.json", "camera_path.json", "cameras.json", "colmap")


def random_track(seed: int, frames: int, square: bool, scale: float, fps: Fraction | None) -> Track:
    generator = torch.Generator().manual_seed(seed)
    cameras = []
    for _ in range(frames):
        yaw, pitch, roll = ((torch.rand(3, generator=generator) - 0.5) * 6).tolist()
        position = torch.randn(3, generator=generator, dtype=torch.float64) * scale
        camera = Camera.from_fov(90, 161, 0.3 + 2 * float(torch.rand((), generator=generator)))
        K = camera.K.double()
        if not square:
            K[:2] *= 1 + 0.2 * torch.rand(2, 3, generator=generator)
        cameras.append(Camera(90, 161, K, pose_from(position, yaw, pitch, roll)))
    return Track(cameras, [f"rgb/{n:04d}.png" for n in range(frames)], fps)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 2**31),
    frames=st.integers(1, 4),
    scale=st.sampled_from([1e-2, 1.0, 1e6]),
    fps=st.sampled_from([None, Fraction(24), Fraction(30000, 1001)]),
)
@pytest.mark.parametrize("name", NAMES)
def test_written_cameras_read_back_as_they_were(tmp_path, name, seed, frames, scale, fps):
    track = random_track(seed, frames, name == "camera_path.json", scale, fps)
    write_cameras(tmp_path / name, track)
    again = read_cameras(tmp_path / name, 90, 161)
    assert reprojection(track, again) < 1e-3
    if name in ("transforms.json", "cameras.json", "colmap"):
        assert again.names == track.names
    if name in ("transforms.json", "cameras.json") or (name == "cameras.txt" and frames == 4):
        assert again.fps == fps


def reprojection(first: Track, second: Track) -> float:
    """The largest shift in pixels of a grid of points, in front of each camera, between two tracks."""
    assert len(first.cameras) == len(second.cameras)
    shifts = []
    for one, other in zip(first.cameras, second.cameras, strict=True):
        coarse = one.to(torch.float64).resize(8, 8)
        points = coarse.unproject(torch.full((8, 8), 3.0, dtype=torch.float64)).flatten(0, 1)
        shifts.append((one.to(torch.float64).project(points)[0] - other.project(points)[0]).abs().max())
    return float(max(shifts))


def test_float32_cameras_can_be_written_too(tmp_path):
    track = random_track(1, 3, True, 1.0, None)
    single = Track([camera.to(torch.float32) for camera in track.cameras])
    for name in NAMES:
        write_cameras(tmp_path / name, single)
        assert reprojection(track, read_cameras(tmp_path / name, 90, 161)) < 0.01


def test_around_the_first_camera_float32_is_exact_far_from_the_origin():
    track = random_track(3, 4, True, 1.0, None)
    shift = torch.eye(4, dtype=torch.float64)
    shift[:3, 3] = torch.tensor([4e6, -6e6, 100.0])
    far = Track([camera.at(camera.cam_from_world @ shift) for camera in track.cameras])
    near, distant = track.from_first(), far.from_first()
    for one, other in zip(near, distant, strict=True):
        assert other.cam_from_world.dtype == other.K.dtype == torch.float32
        torch.testing.assert_close(one.cam_from_world, other.cam_from_world, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(near[0].cam_from_world, torch.eye(4), atol=1e-6, rtol=0)
    expected = track.cameras[2].cam_from_world @ track.cameras[0].world_from_cam
    torch.testing.assert_close(near[2].cam_from_world.double(), expected, atol=1e-6, rtol=1e-6)


def test_a_camera_path_says_what_it_cannot_hold(tmp_path):
    track = random_track(2, 1, False, 1.0, None)
    with pytest.raises(InputError, match="square pixels and a centred principal point only"):
        write_cameras(tmp_path / "camera_path.json", track)
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match=r"ending in \.txt or \.json"):
        write_cameras(tmp_path / "cameras.csv", track)
    with pytest.raises(InputError, match="cannot write"):
        write_cameras(tmp_path / "none" / "cameras.txt", track)


def test_real_estate_cameras_agree_with_their_pictures(data_dir, tmp_path):
    clips = sorted((data_dir / "posed" / "re10k_clips").glob("*/cameras.txt"))
    assert clips
    for clip in clips:
        track = read_cameras(clip, 320, 576)
        assert len(track.cameras) == 25 == len(list((clip.parent / "images").iterdir()))
        write_cameras(tmp_path / "again.txt", track)
        again = read_cameras(tmp_path / "again.txt", 320, 576)
        assert reprojection(track, again) < 1e-3 and again.fps == track.fps
        pictures = [clip.parent / "images" / f"{n:03d}.jpg" for n in (5, 9)]
        # 0.2 to 0.7 pixels; with camera-to-world or other axes it would be 5 and more.
        assert epipolar_error(pictures, [track.cameras[5], track.cameras[9]]) < 1


def test_transforms_of_a_real_capture(data_dir, tmp_path):
    folder = data_dir / "posed" / "fox"
    with pytest.raises(InputError, match=r"frame 0: found lens distortion \(k1 = 0\.0578421"):
        read_cameras(folder / "transforms.json", 1024, 576)
    table = json.loads((folder / "transforms.json").read_text())
    for name in ("k1", "k2", "p1", "p2"):
        del table[name]  # small in the middle of the picture
    (tmp_path / "transforms.json").write_text(json.dumps(table))
    track = read_cameras(tmp_path / "transforms.json", 1024, 576)
    assert len(track.cameras) == 50 and track.names is not None and track.names[0] == "images/0001.jpg"
    pictures = [folder / track.names[n] for n in (0, 5)]
    assert epipolar_error(pictures, [track.cameras[n] for n in (0, 5)]) < 1
    for name in ("transforms.json", "cameras.json", "colmap", "cameras.txt"):
        write_cameras(tmp_path / name, track)
        assert reprojection(track, read_cameras(tmp_path / name, 1024, 576)) < 1e-3


def epipolar_error(pictures: list[Path], cameras: list[Camera]) -> float:
    """Median distance in pixels of SIFT matches from the epipolar lines that the cameras give."""
    sift = cv2.SIFT_create(1500)
    keys, descriptors = zip(
        *(sift.detectAndCompute(cv2.imread(str(p), cv2.IMREAD_GRAYSCALE), None) for p in pictures), strict=True
    )
    pairs = cv2.BFMatcher().knnMatch(*descriptors, k=2)
    good = [a for a, b in pairs if a.distance < 0.7 * b.distance]
    assert len(good) > 30
    # OpenCV's pixel centres are whole numbers.
    u, v = (
        np.array([[k[at].pt[0] + 0.5, k[at].pt[1] + 0.5, 1] for at in indices])
        for k, indices in zip(keys, ([m.queryIdx for m in good], [m.trainIdx for m in good]), strict=True)
    )
    T = (cameras[1].cam_from_world @ cameras[0].world_from_cam).double().numpy()
    x, y, z = T[:3, 3]
    essential = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ T[:3, :3]
    K0, K1 = (np.linalg.inv(camera.K.double().numpy()) for camera in cameras)
    lines = u @ (K1.T @ essential @ K0).T
    return float(np.median(np.abs((lines * v).sum(1)) / np.linalg.norm(lines[:, :2], axis=1)))
