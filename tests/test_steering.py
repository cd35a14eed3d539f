"""The autopilot in worlds of plain geometry, loops, and flights along files."""

import json
import math
from itertools import pairwise
from typing import NamedTuple

import pytest
import torch

from infinite_view.autopilot import Autopilot
from infinite_view.flight import flight
from infinite_view.moves import PRESETS, make_move
from infinite_view.scene import Scene, horizon_row
from pipelines.cli import main
from pipelines.flyover import CAMERAS, DEMO, FlyoverPipeline, preview_size
from pipelines.media.camera_files import Track, read_cameras, write_cameras
from pipelines.media.images import read_image
from render_refine.camera import Camera, pose_from
from render_refine.metrics import psnr

FOV = math.radians(60)
SIZE = (40, 64)


class Flown(NamedTuple):
    cameras: list[Camera]
    depths: torch.Tensor
    scene: Scene

    @property
    def crowding(self):
        """The largest share of a picture nearer than the near bound."""
        return float((self.depths < self.scene.near).float().mean(dim=(1, 2)).max())


class World:
    """Ground one unit below the origin and boxes (low corner, high corner) on it, as exact depth."""

    def __init__(self, *boxes):
        self.boxes = torch.tensor(boxes).reshape(-1, 2, 1, 1, 3).float()

    def depth(self, camera):
        rays, centre = camera.rays(), camera.centre
        down = rays[..., 1]
        depth = torch.where(down > 1e-4, (1 - centre[1]) / down.clamp_min(1e-4), torch.inf)
        depth = torch.where(depth < 60, depth, torch.inf)
        a, b = ((self.boxes[:, k] - centre) / rays for k in (0, 1))
        enter, leave = torch.minimum(a, b).amax(dim=-1), torch.maximum(a, b).amin(dim=-1)
        met = torch.where((enter < leave) & (enter > 0), enter, torch.inf)
        return torch.cat([met, depth[None]]).amin(dim=0)

    def fly(self, frames, *, size=SIZE, pitch=0.0, **options):
        """An autopilot's flight: its cameras, the depths (N, H, W) at its looks ahead, the scene that it began with."""
        lens = Camera.from_fov(*size, FOV)
        begin = Camera.from_fov(*SIZE, FOV).at(pose_from(torch.zeros(3), pitch=pitch))
        scene = Scene.of(self.depth(begin), FOV)
        move = Autopilot(scene, frames, **options)
        camera = lens.at(move.photo_pose)
        depths, flown = [self.depth(camera)], []
        for start in [0, *range(1, frames, 8)]:
            count = min(8, frames - start) if start else 1
            flown += move.next_cameras(start, count, camera, depths[-1])
            camera = flown[-1]
            depths.append(self.depth(camera))
        return Flown(flown, torch.stack(depths), scene)


def yaw_pitch(camera):
    forward = camera.world_from_cam[:3, 2]
    return math.degrees(math.atan2(float(forward[0]), float(forward[2]))), math.degrees(math.asin(-float(forward[1])))


WORLDS = {
    "a long wall": World([[-60, -0.6, 5], [60, 1, 7]]),
    "a pillar": World([[-0.5, -40, 5], [0.3, 1, 6]]),
    "a gate": World([[-60, -40, 6], [0.6, 1, 7]], [[4.5, -40, 6], [60, 1, 7]]),
    "boxes everywhere": World(
        *(
            [[x, 0.4 - 0.35 * ((x * 7 + z) % 4), z], [x + 1, 1, z + 1]]
            for x in range(-12, 12, 4)
            for z in range(5, 40, 4)
        )
    ),
}


@pytest.mark.parametrize("name", WORLDS)
@pytest.mark.parametrize("turns", [True, False])
def test_nothing_is_flown_into(name, turns):
    world = WORLDS[name]
    flown = world.fly(500, turns=turns)
    scene, cameras = flown.scene, flown.cameras
    assert flown.crowding < 0.4
    for camera in cameras:
        centre = camera.centre
        assert centre[1] < 1 - 0.5 * scene.clearance
        assert not ((world.boxes[:, 0] < centre) & (centre < world.boxes[:, 1])).all(dim=-1).any()
        assert abs(float(camera.world_from_cam[1, 0])) < 1e-6  # no roll
    steps = torch.stack([(b.centre - a.centre).norm() for a, b in pairwise(cameras)])
    assert (steps.diff().abs() < 0.15 * scene.travel / 240).all()
    if turns and name != "a gate":
        assert cameras[-1].centre[2] > 8  # and it has passed


def test_it_stops_before_what_it_cannot_pass():
    flown = World([[-90, -90, 6], [90, 1, 7]]).fly(500, turns=False)
    assert flown.crowding < 0.4
    assert flown.cameras[-1].centre[2] < 6 - flown.scene.clearance


def test_it_climbs_a_wall_and_comes_down_again():
    flown = WORLDS["a long wall"].fly(1400, turns=False)
    heights = [1 - float(camera.centre[1]) for camera in flown.cameras]
    assert max(heights) > 1.6 + 0.2
    assert heights[-1] < 0.5 * (max(heights) + heights[0])


def test_speed_follows_depth():
    low = World(*([[x, -0.2, 4], [x + 0.6, 1, 60]] for x in (-1.4, 0.8))).fly(200, turns=False)
    high = World().fly(200, turns=False)

    def pace(flown, a, b):
        return float((flown.cameras[b].centre - flown.cameras[a].centre).norm()) / (b - a)

    assert pace(low, 150, 199) < 0.85 * pace(low, 0, 20)
    assert pace(high, 150, 199) == pytest.approx(pace(high, 0, 20), rel=0.2)


@pytest.mark.parametrize("side", [-1, 1])
def test_it_turns_to_the_open_side_and_from_nothing_but_sky_to_the_ground(side):
    camera = Camera.from_fov(*SIZE, FOV)
    plane = World().depth(camera)
    pilot = Autopilot(Scene.of(plane, FOV), 100)
    here = camera.at(pilot.photo_pose)
    there = (torch.arange(SIZE[1]) - 31.5) * side > 0
    turns = [
        pilot.look(here, torch.where(there, plane, other), 8).turn * side for other in (plane, 3 * plane, torch.inf)
    ]
    assert turns[0] == pytest.approx(0, abs=1e-6)
    assert turns[1] < -1e-4
    assert turns[2] > 1e-3


@pytest.mark.parametrize("tilt", [-6.0, 0.0, 9.0])
def test_the_horizon_is_kept_in_its_place(tilt):
    flown = World().fly(300, pitch=math.radians(tilt))
    level = math.degrees(flown.scene.heading_pitch)
    assert level == pytest.approx(-tilt, abs=2)
    pitches = [yaw_pitch(camera)[1] for camera in flown.cameras]
    assert pitches[0] == pytest.approx(-level, abs=1e-3)
    assert max(abs(b - a) for a, b in pairwise(pitches)) < 0.3
    for camera in flown.cameras[200:]:
        _, pitch = yaw_pitch(camera)
        row = 0.5 + float(camera.K[1, 1]) * math.tan(math.radians(pitch)) / camera.height
        assert 0.2 < row < 0.56


def test_meander():
    def yaws(meander):
        return [yaw_pitch(camera)[0] for camera in World().fly(480, meander=meander).cameras]

    straight, gentle, wide = (yaws(meander) for meander in (0.0, 1.0, 2.0))
    assert max(map(abs, straight)) < 1
    assert 8 < max(gentle) - min(gentle) < 16
    assert max(wide) - min(wide) > 1.5 * (max(gentle) - min(gentle))
    assert max(abs(a - 2 * b + c) for a, b, c in zip(gentle, gentle[1:], gentle[2:], strict=False)) < 0.03
    assert yaws(1.0) == gentle


def test_the_pilot_flies_alike_at_any_size():
    small, large = (WORLDS["a long wall"].fly(200, size=size).cameras[-1] for size in (SIZE, (120, 192)))
    assert (small.centre - large.centre).norm() < 0.15
    assert abs(yaw_pitch(small)[0] - yaw_pitch(large)[0]) < 3


@pytest.mark.parametrize("frames", [1, 2, 7, 8, 60])
def test_a_pilots_loop_comes_back_by_the_same_poses(frames):
    world = World()
    lens = Camera.from_fov(*SIZE, FOV)
    scene = Scene.of(world.depth(lens), FOV)
    move = Autopilot(scene, frames, loop=True)
    camera, flown = lens.at(move.photo_pose), []
    for start in range(frames + 2):
        flown += move.next_cameras(start, 1, camera, world.depth(camera))
        camera = flown[-1]
    poses = [c.cam_from_world for c in flown]
    assert all(torch.equal(poses[k], poses[(frames - k) % frames]) for k in range(frames))
    assert torch.equal(poses[frames], poses[0]) and torch.equal(poses[frames + 1], poses[1 % frames])
    if frames == 60:
        steps = torch.stack([(b.centre - a.centre).norm() for a, b in pairwise(flown)])
        assert steps.max() > 0.8 * scene.travel / 240
        assert steps[:1].max() < 0.15 * steps.max() and steps[29:31].max() < 0.15 * steps.max()


def test_the_horizon_of_a_picture():
    """Sea to the row 20, a mountain before it up to the row 5, sky."""
    rows = torch.arange(40.0)[:, None].expand(40, 60)
    depth = torch.where(rows >= 20, 30 / (rows - 19), torch.inf)
    depth[5:25, 10:30] = 12.0
    assert horizon_row(depth) == pytest.approx(20.5)


@pytest.fixture(scope="module")
def pipeline():
    return FlyoverPipeline.from_pretrained()


@pytest.mark.parametrize("name", ["autopilot", "rise", "orbit"])
def test_the_frame_after_the_last_is_the_first_byte_for_byte(pipeline, name):
    frames = 24
    rgb, depth = pipeline.take(read_image(DEMO), None, 96, 168)
    move = make_move(name, Scene.of(depth, FOV), frames, loop=True)
    start = Camera.from_fov(96, 168, FOV).at(move.photo_pose)
    flown = list(flight(rgb, depth, start, move, frames + 1, refiner=pipeline.refiner))
    assert torch.equal(flown[0].rgb, flown[-1].rgb)
    assert torch.equal((flown[0].rgb * 255).round(), (rgb * 255).round())
    assert torch.equal(flown[0].camera.cam_from_world, flown[-1].camera.cam_from_world)
    # Nor is there a jump: the last step is no larger than the others.
    steps = [float(psnr(a.rgb[None], b.rgb[None])) for a, b in pairwise(flown)]
    assert steps[-1] > min(steps[:-1]) - 1
    assert max(steps[: frames // 2 - 1]) < 60  # it did move


@pytest.fixture(scope="module")
def plain():
    return FlyoverPipeline.from_pretrained(refine=False)


@pytest.mark.parametrize("name", [name for name in PRESETS if name != "static"])
def test_a_path_does_not_depend_on_the_size_of_the_frames(plain, name):
    photo = read_image(DEMO)

    def poses(size, **options):
        frames = plain.stream(photo, frames=4, size=size, camera=name, **options)
        return torch.stack([frame.camera.cam_from_world for frame in frames])

    full = poses((192, 336))
    assert (full[1] - full[0]).abs().max() > 1e-3
    assert torch.equal(full, poses((96, 168)))
    assert preview_size(250, 450) == (94, 170)
    assert torch.equal(poses((250, 450)), poses(preview_size(250, 450), planned_for=(250, 450)))


def run(*words):
    return main(["flyover", *map(str, words)])


def cameras_of(file, height=64, width=112):
    return torch.stack([camera.cam_from_world for camera in read_cameras(file, height, width).cameras])


COMMON = ["--size", "64x112", "--no-refine"]


def test_a_flight_flies_its_own_cameras_again(tmp_path):
    words = ["--frames", 12, "--cameras-out", tmp_path / "path.json"]
    assert run("-o", tmp_path / "a/%02d.png", *COMMON, *words) == 0
    again = ["--camera", tmp_path / "path.json", "--scale", 1, "--cameras-out", tmp_path / "again.txt"]
    assert run("-o", tmp_path / "b/%02d.png", *COMMON, *again) == 0
    one, other = cameras_of(tmp_path / "path.json"), cameras_of(tmp_path / "again.txt")
    first = torch.linalg.inv(one[0])
    assert one.shape == (12, 4, 4)
    torch.testing.assert_close(one @ first, other, atol=2e-5, rtol=0)
    for name in ("00", "11"):
        a, b = (read_image(tmp_path / k / f"{name}.png") for k in "ab")
        assert psnr(a[None], b[None]) > 35


def test_keyframes_and_waypoints_fly(tmp_path):
    keys = [{"time": 0}, {"time": 1, "position": [0.1, 0, 0.3], "yaw_deg": 5, "fov_deg": 40, "easing": "smooth"}]
    (tmp_path / "keys.json").write_text(json.dumps({"keyframes": keys}))
    (tmp_path / "way.json").write_text('{"waypoints": [[0.1, 0, 0.3], [-0.1, -0.1, 0.6]]}')
    for name, words, count in (
        ("keys", ["--fps", 8], 9),
        ("keys", ["--fps", 8, "--loop"], 8),
        ("keys", ["--preview", "--frames", 3], 3),
        ("way", ["--frames", 10], 10),
    ):
        out, cameras = tmp_path / "o/%d.png", tmp_path / "c.json"
        words = [*COMMON, *words, "--camera", tmp_path / f"{name}.json", "--cameras-out", cameras, "--overwrite"]
        assert run("-o", out, *words) == 0
        flown = read_cameras(cameras, 64, 112).cameras
        assert len(flown) == count
        torch.testing.assert_close(flown[0].cam_from_world, torch.eye(4, dtype=torch.float64), atol=1e-6, rtol=0)
        end = flown[count // 2] if "--loop" in words else flown[-1]
        expected = [0.1, 0, 0.3] if name == "keys" else [-0.1, -0.1, 0.6]
        torch.testing.assert_close(end.centre, torch.tensor(expected, dtype=torch.float64), atol=1e-5, rtol=0)
        if name == "keys":
            assert float(end.focal) == pytest.approx(56 / math.tan(math.radians(20)), rel=0.01)


def test_the_scale_of_a_camera_file_is_chosen_and_said(tmp_path, capsys):
    lens = Camera.from_fov(64, 112, 1.0, pose_from(torch.zeros(3, dtype=torch.float64)))
    poses = [pose_from(torch.tensor([0.0, 0, z], dtype=torch.float64)) for z in (50, 60, 70, 80)]
    write_cameras(tmp_path / "dolly.txt", Track([lens.at(pose) for pose in poses]))
    words = ["--camera", tmp_path / "dolly.txt", "--cameras-out", tmp_path / "out.txt"]
    assert run("-o", tmp_path / "o.mp4", *COMMON, *words) == 0
    assert "4 cameras; scale 0.001, so that they go on by 0.01 units a frame" in capsys.readouterr().out
    depths = -cameras_of(tmp_path / "out.txt")[:, 2, 3]
    assert depths.tolist() == pytest.approx([0, 0.01, 0.02, 0.03], abs=1e-6)


def bad_inputs(folder):
    (folder / "keys.json").write_text('{"keyframes": [{"time": 0}, {"time": 1e5}]}')
    (folder / "way.json").write_text('{"waypoints": [[0, 0, 0]]}')
    write_cameras(folder / "three.txt", Track([Camera.from_fov(64, 112, 1.0)] * 3))
    yield "did you mean orbit", ["--camera", "orbti"]
    yield "presets: autopilot, forward", ["--camera", "qqqq"]
    yield "no such file", ["--camera", "missing.json"]
    yield "somewhere to go", ["--camera", folder / "way.json"]
    yield "frames; at most", ["--camera", folder / "keys.json"]
    yield "--loop is for", ["--camera", folder / "three.txt", "--loop"]
    yield "found 3 cameras, wanted 5", ["--camera", folder / "three.txt", "--frames", 5]
    yield "--scale is for files", ["--scale", 2]
    yield "expected 0 to", ["--camera", folder / "three.txt", "--scale", -1]
    yield "--meander is for the autopilot", ["--camera", "orbit", "--meander", 1]
    yield "expected 0 to 5", ["--meander", -1]
    yield "finite", ["--meander", "nan"]
    yield "--loop needs the memory", ["--loop", "--no-memory"]
    yield "ending in .txt", ["--cameras-out", folder / "c.csv"]
    yield "exists", ["--cameras-out", folder / "three.txt"]
    yield "no folder", ["--cameras-out", folder / "no/c.txt"]
    yield "one name", ["--cameras-out", folder / "x.mp4"]


def test_bad_input_gives_one_line_and_leaves_everything_as_it_was(tmp_path, capsys):
    before = None
    for wanted, words in bad_inputs(tmp_path):
        before = before or {p.name for p in tmp_path.iterdir()}
        assert run("-o", tmp_path / "x.mp4", *COMMON, *words) == 2, words
        error = capsys.readouterr().err.strip()
        assert error.startswith("viewsynth flyover: error: ") and "\n" not in error, words
        assert wanted in error, (wanted, error)
        assert {p.name for p in tmp_path.iterdir()} == before, words


def test_the_help_names_every_camera(capsys):
    assert run("--help") == 0
    text = capsys.readouterr().out
    assert all(f"\n  {name} " in text for name in CAMERAS)
