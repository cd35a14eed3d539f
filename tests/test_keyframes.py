"""Camera paths through keyframes, and the files that hold them."""

import json
import math
from itertools import pairwise

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given

from pipelines.errors import InputError
from pipelines.media.keyframe_files import is_keyframes, read_keyframes
from render_refine.camera import pose_from
from render_refine.keyframes import EASINGS, CameraPath, Keyframe, View, keyframe_path

FOV = math.radians(60)
ANGLES = st.floats(-3, 3)
EXAMPLE = [
    Keyframe(0.0, (0.0, 0.0, 0.0), FOV),
    Keyframe(2.0, (1.0, -0.5, 0.2), 0.7, yaw=0.4, pitch=-0.1),
    Keyframe(3.0, (1.2, 0.5, 0.6), 0.9, yaw=0.5, roll=0.3),
    Keyframe(6.0, (3.0, 0.0, 0.7), FOV, yaw=1.0),
]


def position(view: View) -> torch.Tensor:
    pose = view.cam_from_world
    return -pose[:3, :3].T @ pose[:3, 3]


def numbers(view: View) -> torch.Tensor:
    return torch.cat([view.cam_from_world.flatten(), torch.tensor([view.fov], dtype=torch.float64)])


@given(
    st.lists(st.tuples(st.floats(0.1, 5), ANGLES, ANGLES, st.floats(0.2, 2.5)), min_size=1, max_size=6),
    st.sampled_from([*EASINGS, "spline"]),
)
def test_a_path_passes_its_keyframes(steps, easing):
    keys, time = [], 0.0
    for step, x, yaw, fov in steps:
        time += step
        keys.append(Keyframe(time, (x, 2 * x, yaw), fov, yaw, 0.5 * x, -x, easing))
    path = keyframe_path(keys)
    for key in keys:
        span = keys[-1].time - keys[0].time
        view = path.view((key.time - keys[0].time) / span if span else 0.7)
        expected = pose_from(torch.tensor(key.position, dtype=torch.float64), key.yaw, key.pitch, key.roll)
        torch.testing.assert_close(view.cam_from_world, expected, atol=1e-6, rtol=1e-6)
        assert view.fov == pytest.approx(key.fov, rel=1e-6)


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=7))
def test_splines_stay_between_their_keyframes(values):
    keys = [Keyframe(float(k), (x, 0.0, 0.0), FOV) for k, x in enumerate(values)]
    path = keyframe_path(keys)
    count = 20 * (len(values) - 1)
    for k in range(count + 1):
        left = min(k // 20, len(values) - 2)
        low, high = sorted(values[left : left + 2])
        assert low - 1e-9 <= float(position(path.view(k / count))[0]) <= high + 1e-9


def test_splines_run_through_keyframes_and_rest_at_the_ends():
    path = keyframe_path(EXAMPLE)
    h = 1e-5

    def speed(a: float, b: float) -> torch.Tensor:
        return (numbers(path.view(b)) - numbers(path.view(a))) / (b - a)

    for key in EXAMPLE[1:-1]:
        t = key.time / 6
        torch.testing.assert_close(speed(t - h, t), speed(t, t + h), atol=1e-2, rtol=1e-2)
    assert speed(2 / 6 - h, 2 / 6)[3].abs() > 0.1  # it does not stop there
    for t in (0.0, 1 - h):
        assert speed(t, t + h).abs().max() < 1e-2


def test_known_values_between_keyframes():
    keys = [Keyframe(1.0, (0, 0, 0), 2 * math.atan(1), easing="linear"), Keyframe(3.0, (4, 0, 0), 2 * math.atan(0.25))]
    middle = keyframe_path(keys).view(0.5)
    assert float(position(middle)[0]) == pytest.approx(2)
    assert middle.fov == pytest.approx(2 * math.atan(0.5))  # half the way of a zoom by 4 is a zoom by 2
    for name, easing in EASINGS.items():
        eased = keyframe_path([Keyframe(0.0, (0, 0, 0), FOV, easing=name), Keyframe(1.0, (4, 0, 0), FOV)])
        assert float(position(eased.view(0.3))[0]) == pytest.approx(4 * easing(0.3))
    turns = [Keyframe(0.0, (0, 0, 0), FOV, yaw=0.0, easing="linear"), Keyframe(1.0, (0, 0, 0), FOV, yaw=4 * math.pi)]
    quarter = keyframe_path(turns).view(0.125).cam_from_world
    torch.testing.assert_close(quarter, pose_from(torch.zeros(3, dtype=torch.float64), yaw=0.5 * math.pi))


def loop_steps(path: CameraPath, count: int = 2000) -> list[torch.Tensor]:
    frames = (count - 2, count - 1, count, count + 1, count + 2)
    views = [numbers(path.view(path.progress(frame, count, loop=True))) for frame in frames]
    return [b - a for a, b in pairwise(views)]


def test_loops():
    circle = [Keyframe(k / 4, (math.cos(a), math.sin(a), 0.0), FOV, yaw=a) for k in range(5) for a in [k * math.pi / 2]]
    path = keyframe_path(circle)
    assert path.closed
    # A full turn of the head: x and y rest where the circle turns back, and yaw keeps its speed through the seam.
    before, _, after, _ = loop_steps(path)
    assert before.norm() > 1e-3
    assert (after - before).norm() < 0.03 * before.norm()
    path = keyframe_path(EXAMPLE)
    assert not path.closed
    assert max(float(step.norm()) for step in loop_steps(path)) < 1e-4  # at rest where it turns
    for frames in (1, 2, 7, 96):
        first = path.view(path.progress(0, frames, loop=True))
        again = path.view(path.progress(frames, frames, loop=True))
        assert torch.equal(numbers(first), numbers(again))


@pytest.mark.parametrize(
    "keys",
    [
        [],
        [Keyframe(1.0, (0, 0, 0), FOV), Keyframe(1.0, (0, 0, 0), FOV)],
        [Keyframe(0.0, (0, 0, 0), 4.0)],
        [Keyframe(0.0, (0, 0, 0), FOV, easing="bounce")],
    ],
)
def test_impossible_keyframes(keys):
    with pytest.raises(ValueError, match=r"expected|must lie"):
        keyframe_path(keys)


def test_keyframes_from_a_file(tmp_path):
    file = tmp_path / "path.json"
    keys = [
        {"time": 0},
        {"time": 1.5, "position": [1, -2, 0.5], "yaw_deg": 90, "pitch_deg": -45, "roll_deg": 180, "fov_deg": 90},
        {"time": 2, "easing": "smooth"},
    ]
    file.write_text(json.dumps({"keyframes": keys}))
    assert is_keyframes(file)
    pi = math.pi
    assert read_keyframes(file, FOV) == [
        Keyframe(0.0, (0.0, 0.0, 0.0), FOV),
        Keyframe(1.5, (1.0, -2.0, 0.5), pi / 2, pi / 2, -pi / 4, pi),
        Keyframe(2.0, (0.0, 0.0, 0.0), FOV, easing="smooth"),
    ]


def test_camera_files_are_not_taken_for_keyframes(tmp_path):
    file = tmp_path / "camera_path.json"
    file.write_text(json.dumps({"keyframes": [{"fov": 50}], "camera_path": []}))
    assert not is_keyframes(file)
    (tmp_path / "broken.json").write_text('{"keyframes": [')
    assert not is_keyframes(tmp_path / "broken.json")
    assert not is_keyframes(tmp_path / "none.json") and not is_keyframes(tmp_path)


@pytest.mark.parametrize(
    ("keys", "wanted"),
    [
        ([], "expected a list that is not empty"),
        ({"time": 0}, "found an object"),
        ([3], "keyframe 0: found a number, expected an object"),
        ([{}], 'keyframe 0: there is no "time"'),
        ([{"time": 0, "yaw": 3}], 'keyframe 0: found "yaw", expected some of easing, fov_deg'),
        ([{"time": "now"}], "found text"),
        ([{"time": 0, "position": [1, 2]}], "found 2 numbers"),
        ([{"time": 0, "position": 3}], "found a number"),
        ([{"time": 0, "position": [1, 2, 1e9]}], "expected at most 1e.06"),
        ([{"time": 0, "position": [1, 2, None]}], "found nothing"),
        ([{"time": 0, "yaw_deg": 1e12}], "expected at most 1e.06"),
        ([{"time": 0, "fov_deg": 180}], "expected 1 to 170"),
        ([{"time": 0, "easing": "bounce"}], "expected one of spline, linear, smooth, in, out"),
        ([{"time": 0, "easing": 4}], "expected text"),
        ([{"time": 0}, {"time": 2}, {"time": 1}], "keyframe 2: found the .time. 1 after 2"),
    ],
)
def test_wrong_keyframes_are_named(tmp_path, keys, wanted):
    file = tmp_path / "path.json"
    file.write_text(json.dumps({"keyframes": keys}))
    with pytest.raises(InputError, match=wanted) as caught:
        read_keyframes(file, FOV)
    assert str(file) in str(caught.value) and "\n" not in str(caught.value)


def test_wrong_files_are_named(tmp_path):
    file = tmp_path / "path.json"
    for text, wanted in (
        ("[1]", "found a list, expected an object"),
        ("{", "not a JSON file"),
        ("", "empty"),
        ('{"keyframes": [{"time": 0}], "fps": 24}', 'found "fps"'),
        ('{"keyframes": [{"time": NaN}]}', "not finite"),
    ):
        file.write_text(text)
        with pytest.raises(InputError, match=wanted):
            read_keyframes(file, FOV)
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not text"):
        read_keyframes(file, FOV)
