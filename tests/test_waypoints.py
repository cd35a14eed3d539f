"""Paths through waypoints, and the files that hold them."""

import json
import math
from itertools import pairwise

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from pipelines.errors import InputError
from pipelines.media.keyframe_files import is_keyframes, read_path, read_waypoints
from render_refine.waypoints import waypoint_path

FOV = math.radians(60)
POINTS = st.lists(st.tuples(*[st.floats(-3, 3)] * 3), min_size=1, max_size=6)


def positions(path, count):
    views = [path.view(k / (count - 1)) for k in range(count)]
    return torch.stack([-v.cam_from_world[:3, :3].T @ v.cam_from_world[:3, 3] for v in views]), views


@settings(max_examples=12, deadline=None)
@given(POINTS)
def test_waypoints_are_passed_at_constant_speed(points):
    gaps = [math.dist(a, b) for a, b in pairwise([(0.0, 0.0, 0.0), *points])]
    if min(gaps) < 0.3:
        return
    path = waypoint_path(points, FOV)
    passed, views = positions(path, 120)
    speed = passed.diff(dim=0).norm(dim=1)
    assert speed.max() < 1.1 * speed.mean()  # chords are shorter in bends
    nearest = torch.cdist(torch.tensor(points, dtype=torch.float64), passed).amin(dim=1)
    assert nearest.max() <= 1.1 * speed.mean()
    for view in views:
        assert abs(float(view.cam_from_world[1, 0])) < 1e-9 and abs(float(view.cam_from_world[1, 2])) < 1e-9  # level
    torch.testing.assert_close(views[0].cam_from_world, torch.eye(4, dtype=torch.float64))


def test_the_camera_looks_along_its_waypoints():
    path = waypoint_path([(0.0, 0.0, 2.0), (2.0, -0.5, 4.0), (5.0, -0.5, 4.0)], FOV)
    passed, views = positions(path, 300)
    way = torch.nn.functional.normalize(passed.diff(dim=0)[:, [0, 2]], dim=1)
    looks = torch.stack([view.cam_from_world[2, [0, 2]] for view in views[:-1]])
    angles = torch.rad2deg(torch.acos((way * looks).sum(dim=1).clamp(-1, 1)))
    assert angles[75:].max() < 12 and angles.mean() < 6
    turns = torch.atan2(looks[:, 0], looks[:, 1]).diff()
    assert turns.diff().abs().max() < 4e-3


def test_closed_waypoints():
    path = waypoint_path([(0.0, 0.0, 0.0), (1.0, 0.0, 2.0), (0.0, 0.0, 4.0), (-1.0, 0.0, 2.0), (0.0, 0.0, 0.0)], FOV)
    assert path.closed
    passed, views = positions(path, 60)
    torch.testing.assert_close(passed[-1], passed[0], atol=1e-6, rtol=0)
    torch.testing.assert_close(views[-1].cam_from_world, views[0].cam_from_world, atol=1e-6, rtol=0)
    assert not waypoint_path([(0.0, 0.0, 1.0)], FOV).closed
    for wrong in ([], [(0.0, 0.0, 0.0)], [(0.0, 0.0, 1.0), (0.0, 0.0, 1.0)]):
        with pytest.raises(ValueError, match="away from the origin"):
            waypoint_path(wrong, FOV)


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ({"waypoints": []}, "an empty list"),
        ({"waypoints": 3}, "found a number"),
        ({"waypoints": [[0, 0, 1], [1, 2]]}, "waypoint 1: found 2 numbers"),
        ({"waypoints": [[0, 0, 1], [1, 2, None]]}, "waypoint 1: found nothing"),
        ({"waypoints": [[0, 0, 1e9]]}, "at most 1e.06"),
        ({"waypoints": [[0, 0, 0]]}, "somewhere to go"),
        ({"waypoints": [[0, 0, 1], [0, 0, 1]]}, "waypoint 1: it is the place before"),
        ({"waypoints": [[0, 0, 1]], "keyframes": []}, 'found "keyframes", expected "waypoints" only'),
        ({"waypoints": [[0, 0, 1]] * 10_001}, "at most 10,000"),
    ],
)
def test_wrong_waypoints_are_named(tmp_path, values, wanted):
    file = tmp_path / "path.json"
    file.write_text(json.dumps(values))
    assert is_keyframes(file)
    with pytest.raises(InputError, match=wanted) as caught:
        read_waypoints(file)
    assert str(file) in str(caught.value) and "\n" not in str(caught.value)


def test_waypoints_are_scaled(tmp_path):
    file = tmp_path / "path.json"
    file.write_text('{"waypoints": [[0, 0, 1], [1, 0, 2]]}')
    path, seconds = read_path(file, FOV, 0.5)
    assert seconds is None
    torch.testing.assert_close(positions(path, 2)[0][-1], torch.tensor([0.5, 0, 1.0], dtype=torch.float64))
