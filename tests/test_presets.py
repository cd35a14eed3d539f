"""Camera presets: where they go, that loops close exactly, and how little they ask to be invented."""

import math

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given

from render_refine.camera import Camera
from render_refine.keyframes import EASINGS, View
from render_refine.splat import soft_splat
from synsin.presets import PRESETS, Scene, preset_path

FOV = math.radians(60)
SCENE = Scene(subject=3.0, near=1.0, fov=FOV, aspect=1.5)
CLOSED = ["orbit", "spiral", "sway", "static"]


def same(one: View, other: View) -> bool:
    return torch.equal(one.cam_from_world, other.cam_from_world) and one.fov == other.fov


def numbers(view: View) -> torch.Tensor:
    return torch.cat([view.cam_from_world.flatten(), torch.tensor([view.fov], dtype=torch.float64)])


def centre(view: View) -> torch.Tensor:
    return view.camera(100, 150).to(torch.float64).centre


def seen(view: View, *points: tuple[float, float, float]) -> torch.Tensor:
    """Pixels (N, 2), from the middle of the picture, where points are seen."""
    camera = view.camera(200, 300)
    return camera.project(torch.tensor(points))[0] - torch.tensor([150.0, 100.0])


def test_the_presets_that_were_promised():
    promised = "orbit arc dolly-in dolly-out truck pedestal pan tilt roll zoom dolly-zoom spiral ken-burns sway static"
    assert set(promised.split()) <= set(PRESETS)
    assert [name for name in PRESETS if PRESETS[name].closed] == CLOSED


@given(
    name=st.sampled_from(sorted(PRESETS)),
    frames=st.integers(1, 500),
    amount=st.floats(-10, 10),
    subject=st.floats(0.5, 100),
)
def test_a_loop_closes_exactly_and_without_a_jerk(name, frames, amount, subject):
    path = preset_path(name, Scene(subject, 1.0, FOV, 1.5), amount)

    def at(frame: int, count: int) -> View:
        return path.view(path.progress(frame, count, loop=True))

    views = path.views(frames, loop=True)
    assert len(views) == frames
    assert all(numbers(view).isfinite().all() and 0 < view.fov < math.pi for view in views)
    assert same(at(frames, frames), views[0]) and same(at(3 * frames, frames), views[0])
    # Through the seam the speed changes as little as within the path.
    count = 2000
    steps = [numbers(at(k + 1, count)) - numbers(at(k, count)) for k in (count - 1, 0)]
    fastest = max(float((numbers(at(k + 1, count)) - numbers(at(k, count))).norm()) for k in range(0, count, 97))
    assert float((steps[1] - steps[0]).norm()) <= 0.03 * fastest + 1e-12


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_move_begins_with_the_photo_and_one_that_comes_round_ends_with_it(name):
    path = preset_path(name, SCENE)
    identity = torch.eye(4, dtype=torch.float64)
    if name != "arc":
        torch.testing.assert_close(path.view(0.0).cam_from_world, identity)
        assert path.view(0.0).fov == pytest.approx(FOV)
    if name in CLOSED:
        torch.testing.assert_close(path.view(1.0).cam_from_world, identity)
    one_way_loop = [preset_path(name, SCENE).views(10, loop=True) for _ in range(2)]
    assert all(same(a, b) for a, b in zip(*one_way_loop, strict=True))  # pure
    if name not in CLOSED:
        assert same(one_way_loop[0][3], one_way_loop[0][7])  # the same way back


def test_easings_and_stills():
    path = preset_path("truck", SCENE)
    for name, easing in EASINGS.items():
        x = [float(centre(view)[0]) / SCENE.reach for view in path.views(11, name)]
        assert x == pytest.approx([easing(k / 10) for k in range(11)], abs=1e-6)
        assert x == sorted(x) and x[-1] == pytest.approx(1)
    assert same(path.views(1)[0], path.view(1.0))
    round_path = preset_path("orbit", SCENE)
    assert same(round_path.views(1)[0], round_path.view(0.25))
    with pytest.raises(ValueError, match="neither beginning nor end"):
        path.views(10, "smooth", loop=True)


@pytest.mark.parametrize("amount", [1.0, -1.0, 5.0])
def test_dolly_zoom_keeps_the_size_of_the_subject(amount):
    path = preset_path("dolly-zoom", SCENE, amount)
    edge = [(0.5, 0.2, SCENE.subject), (-0.5, -0.2, SCENE.subject)]
    first = seen(path.view(0.0), *edge)
    for t in (0.2, 0.5, 1.0):
        torch.testing.assert_close(seen(path.view(t), *edge), first, atol=1e-3, rtol=0)
    behind = (3.0, 1.2, 4 * SCENE.subject)
    assert (seen(path.view(1.0), behind) - seen(path.view(0.0), behind)).abs().max() > 2


@pytest.mark.parametrize("name", ["orbit", "arc", "spiral", "sway"])
def test_the_subject_stays_in_the_middle(name):
    for t in (0.1, 0.25, 0.6, 0.9):
        middle = seen(preset_path(name, SCENE, 2.0).view(t), (0, 0, SCENE.subject))
        torch.testing.assert_close(middle, torch.zeros(1, 2), atol=1e-3, rtol=0)


def test_directions():
    end = {name: preset_path(name, SCENE).view(1.0) for name in PRESETS}
    ahead, above = (0.0, 0.0, 2.0), (0.0, -1.0, 2.0)
    assert centre(end["dolly-in"])[2] > 0 > centre(end["dolly-out"])[2]
    assert centre(end["truck"])[0] > 0
    assert centre(end["pedestal"])[1] < 0
    assert seen(end["pan"], ahead)[0, 0] < 0
    assert seen(end["tilt"], ahead)[0, 1] > 0
    assert seen(end["roll"], above)[0, 0] < 0
    assert end["zoom"].fov < FOV < end["dolly-zoom"].fov
    for name in ("pan", "tilt", "roll", "zoom", "static"):
        assert torch.equal(centre(end[name]), torch.zeros(3, dtype=torch.float64))


@given(name=st.sampled_from(sorted(set(PRESETS) - {"arc", "static"})), t=st.floats(0.05, 0.45))
def test_a_negative_amount_goes_the_other_way(name, t):
    if name in ("spiral", "ken-burns", "dolly-zoom", "zoom"):  # depth and lens have no mirror image
        one, other = (preset_path(name, SCENE, a).view(t) for a in (1.0, -1.0))
        changes = [float(centre(v)[2]) + (FOV - v.fov) * (name != "dolly-zoom") for v in (one, other)]
        assert changes[0] > 0 > changes[1]
        return
    one, other = (preset_path(name, SCENE, a).view(t) for a in (1.0, -1.0))
    mirrored = -centre(other)
    if name == "orbit":  # both sides of a circle lie ahead
        mirrored[2] *= -1
    torch.testing.assert_close(centre(one), mirrored, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(one.cam_from_world[:3, :3], other.cam_from_world[:3, :3].T, atol=1e-3, rtol=0)


def test_scenes_are_measured_and_moves_are_scaled_by_them():
    depth = torch.cat([torch.full((10, 20), torch.inf), torch.linspace(1, 9, 200).view(10, 20)])
    scene = Scene.of(depth, FOV)
    assert scene.subject == pytest.approx(5, abs=0.05) and scene.near == pytest.approx(1.8, abs=0.05)
    assert Scene.of(torch.full((4, 4), torch.inf), FOV) == Scene(1.0, 1.0, FOV, 1.0)
    large = Scene.of(depth.repeat_interleave(60, 0).repeat_interleave(50, 1), FOV)
    assert large.subject == pytest.approx(scene.subject, rel=0.05)
    small, twice = (preset_path("spiral", Scene(3 * s, s, FOV, 1.5)).view(0.3) for s in (1.0, 2.0))
    torch.testing.assert_close(2 * centre(small), centre(twice))
    assert math.degrees(Scene(1.0, 1.0, FOV, 1.5).swing) < 8.01


@pytest.mark.parametrize("size", [(60, 90), (90, 60), (40, 160)])
def test_little_has_to_be_invented(size):
    """A photo of a plain with a tree on it: the holes that every preset tears, on its way and at its end."""
    camera = Camera.from_fov(*size, FOV)
    rays = camera.rays()
    depth = torch.where(rays[..., 1] > 0, 0.5 / rays[..., 1].clamp_min(1e-6), 100.0).clamp_max(100)
    depth[size[0] // 4 :, size[1] // 3 : size[1] // 3 + 5] = depth[size[0] * 3 // 4, 0]
    scene = Scene.of(torch.where(depth < 100, depth, torch.inf), FOV)
    xyz = camera.unproject(depth).flatten(0, 1)[None]
    for name in PRESETS:
        path = preset_path(name, scene)
        for t in (0.25, 0.5, 1.0):
            uv, z = path.view(t).camera(*size).project(xyz)
            holes = (soft_splat(uv, z, xyz, *size).coverage == 0).float().mean()
            assert holes <= 0.2, (name, t, float(holes))
