"""The loop, the moves and the refiner, on small scenes with an untrained network."""

import itertools
import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from infinite_view.aerial import STEPS
from infinite_view.autopilot import FASTEST, SLOWEST, TRAVEL_FRAMES
from infinite_view.flight import (
    KEYFRAME_EVERY,
    LEFT,
    MADE_UP,
    NONE_LEFT,
    Painter,
    flight,
    forgetful_flight,
    needed,
    to_draw_upon,
)
from infinite_view.moves import PRESETS, STEERED, Planned, make_move
from infinite_view.photo import Photo
from infinite_view.refiner import (
    Refined,
    Refiner,
    RefinerConfig,
    ViewBatch,
    magnified,
    normalised_log_depth,
    without_drift,
)
from infinite_view.scene import Scene
from infinite_view.texture import blurred
from infinite_view.virtual_views import out_and_back, random_away
from render_refine.camera import Camera, pose_from
from render_refine.memory import View, WorldMemory
from render_refine.metrics import psnr
from render_refine.spade import SpadeConfig, StyleConfig

FOV = math.radians(60)
TINY = RefinerConfig(
    SpadeConfig((11,), 8, (16, 16, 8), 8, style_dim=4), StyleConfig(4, (8, 8), style_dim=4, grid=(1, 1)), detail=0.4
)


@pytest.fixture(scope="module")
def refiner():
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        network = Refiner(TINY).eval()
        # An untrained network hardly draws; this one paints wildly, so that its strokes can be seen.
        network.generator.conv_img.weight.data.mul_(30)
        return network


@pytest.fixture(scope="module")
def scene():
    """Hills: a ground plane with a bump and a far wall below a sky."""
    camera = Camera.from_fov(48, 72, FOV)
    down = camera.rays()[..., 1]
    depth = torch.where(down > 0.05, 1 / down.clamp_min(1e-6), torch.where(down > -0.1, 20.0, torch.inf))
    u, v = camera.pixel_centres().unbind(-1)
    depth = torch.where((u - 50).abs() + (v - 30).abs() < 8, 3.0, depth)
    rgb = 0.5 + 0.3 * torch.stack([(u / 5).sin(), (v / 4).cos(), ((u + v) / 9).sin()])
    return (rgb * 255).round() / 255, depth, camera


def fly(scene, name, frames, refiner=None, loop=flight, seed=0):
    rgb, depth, camera = scene
    move = make_move(name, Scene.of(depth, FOV), frames)
    return list(loop(rgb, depth, camera.at(move.photo_pose), move, frames, refiner=refiner, seed=seed))


@pytest.mark.parametrize("name", [*PRESETS, *STEERED])
@pytest.mark.parametrize("drawn", [True, False])
def test_every_move_gives_whole_frames(scene, refiner, name, drawn):
    frames = fly(scene, name, 20, refiner if drawn else None)
    assert len(frames) == 20
    assert torch.equal((frames[0].rgb * 255).round(), (scene[0] * 255).round())
    for frame in frames:
        assert frame.rgb.isfinite().all()
        assert frame.rgb.min() >= 0
        assert frame.rgb.max() <= 1
        assert not frame.depth.isnan().any()
        assert (frame.depth > 0).all()


@pytest.mark.parametrize("count", [1, 2, 9])
def test_any_number_of_frames(scene, refiner, count):
    assert len(fly(scene, "forward", count, refiner)) == count
    assert len(fly(scene, "forward", count, refiner, loop=forgetful_flight)) == count


def test_a_static_camera_shows_one_picture(scene, refiner):
    frames = fly(scene, "static", 20, refiner)
    assert all(torch.equal(frame.rgb, frames[0].rgb) for frame in frames)


def test_the_same_seed_gives_the_same_flight(scene, refiner, monkeypatch):
    monkeypatch.setattr("infinite_view.flight.LEFT", 2.0)  # detail is made up from the first keyframe on
    one, two, other = (fly(scene, "orbit", 17, refiner, seed=seed) for seed in (3, 3, 4))
    assert all(torch.equal(a.rgb, b.rgb) for a, b in zip(one, two, strict=True))
    assert any(not torch.equal(a.rgb, b.rgb) for a, b in zip(one, other, strict=True))


def test_places_are_drawn_again_and_not_pixels_here_and_there(scene):
    rgb, depth, camera = scene
    noise = torch.rand(depth.shape, generator=torch.Generator().manual_seed(0))
    known = torch.ones_like(depth, dtype=torch.bool)
    known[:5, :5] = False

    def drawn(density):
        return needed(View(camera, rgb, depth, density, known, rgb))

    enough = drawn(0.4 + 0.35 * noise)  # one pixel in seven is below the threshold
    assert torch.equal(enough, ~known)
    assert drawn(torch.full_like(depth, 0.4)).all()
    block = torch.ones_like(depth)
    block[30, 40] = 0.1
    assert drawn(block).sum() == 26
    # Once enough is magnified all goes along that is worth it.
    place = torch.full_like(depth, 0.7)
    place[:, 60:] = 0.9
    place[20:26, 8:14] = 0.3
    assert not drawn(place)[known].any()
    place[16:30, 8:22] = 0.3
    assert drawn(place)[:, :56].all()
    assert not drawn(place)[:, 64:].any()


def test_what_is_drawn_again_does_not_go_out_from_detail_that_was_made_up(scene, refiner):
    rgb, depth, camera = scene
    known = torch.ones_like(depth, dtype=torch.bool)
    known[:, :8] = False
    magnified_view = View(camera, rgb, depth, torch.full_like(depth, 0.3) * known, known, rgb)
    made_up = blurred(0.3 * torch.randn(rgb.shape, generator=torch.Generator().manual_seed(0)), 1.0)
    without, with_detail = (
        Painter(refiner, rgb, depth, camera, 0).complete(replace(magnified_view, rgb=shown))
        for shown in (rgb, (rgb + made_up).clamp(0, 1))
    )
    assert torch.equal(with_detail.plain, without.plain)
    # It is still to be seen, though fainter.
    seen = (with_detail.rgb - without.rgb)[:, :, 16:]
    alike = torch.nn.functional.cosine_similarity(seen.flatten(), made_up[:, :, 16:].flatten(), dim=0)
    assert alike > 0.5
    assert 0.2 < float(seen.std() / made_up.std()) < 0.7


def test_what_the_photo_shows_is_enlarged_from_the_photo_and_nothing_else(scene):
    rgb, depth, camera = scene
    photo = Photo(rgb, depth, camera)
    nearer = camera.at(pose_from(torch.tensor([0.0, 0.0, 0.5])))
    memory = WorldMemory()
    memory.write(rgb, depth, camera)
    view = memory.render(nearer)
    copy = replace(view, rgb=view.rgb * 0, plain=view.plain * 0)  # a copy of copies that has lost everything
    new = torch.zeros_like(view.known)
    new[:, 20:] = True
    guess, again = to_draw_upon(copy, new, photo)
    assert torch.equal(again, new & photo.shared(view)[2])
    assert again.float().mean() > 0.2
    assert (guess.rgb - view.rgb)[:, again].abs().mean() < 0.03
    assert guess.rgb[:, ~again].eq(0).all()
    # The bump at 3 is seen from 2.5: (2.5 / 3)^3 points per pixel, at its borders fewer.
    bump = again & (view.depth - 2.5).abs().lt(0.01)
    assert bump.sum() > 20
    assert abs(float(guess.density[bump].median()) - (2.5 / 3) ** 3) < 1e-3
    # Where nobody knew how far the photo was, it shows nothing.
    assert not replace(photo, depth=depth * 0).shared(view)[2].any()


def test_detail_is_made_up_the_more_the_less_is_left_of_the_photo(scene, refiner):
    rgb, depth, camera = scene
    painter = Painter(refiner, rgb, depth, camera, 0)
    known = torch.ones_like(depth, dtype=torch.bool)
    view = View(camera, rgb, depth, known.to(depth.dtype), known, rgb)
    assert float(painter.sharp(view)) == 1
    wall = torch.full_like(depth, 20.0)
    half = Painter(refiner, rgb, wall, camera, 0)
    nearer = replace(view, camera=camera.at(pose_from(torch.tensor([0.0, 0.0, 10.0]))), depth=wall / 2)
    quarter = float(half.sharp(nearer))
    assert abs(quarter - 0.25) < 0.01
    elsewhere = replace(view, camera=camera.at(pose_from(torch.zeros(3), yaw=math.pi)), density=0.1 * view.density)
    assert float(painter.sharp(elsewhere)) == 0

    def drawn(painter, seen, added):
        painter.drawn = 0
        painter.texture.detailed = lambda shown, *_: shown.rgb + added
        return painter.complete(seen).rgb

    coarse = 0.1 * view.density
    for one, seen, share in (
        (painter, replace(view, density=coarse), 0.0),
        (half, replace(nearer, density=coarse), (LEFT - quarter) / (LEFT - NONE_LEFT)),
        (painter, elsewhere, 1.0),
    ):
        change = drawn(one, seen, 0.1) - drawn(one, seen, 0.0)
        torch.testing.assert_close(change, torch.full_like(rgb, 0.1 * MADE_UP * share))


def test_there_is_no_sky_below_the_horizon_and_none_where_the_photo_has_none(scene):
    class AllSky(Refiner):
        def __init__(self):
            torch.nn.Module.__init__(self)

        def style(self, rgb, depth):
            return torch.zeros(1, 1), torch.zeros(1, 1)

        def forward(self, view, z, noise):
            finite = torch.where(torch.isinf(view.depth), 1.0, view.depth)
            return Refined(view.rgb, finite.log(), torch.ones_like(view.depth))

    rgb, depth, camera = scene
    known = torch.zeros_like(depth, dtype=torch.bool)
    known[:, :10] = True
    for solid in (depth, torch.full_like(depth, 5.0)):
        painter = Painter(AllSky(), rgb, solid, camera, 0)
        painter.bounds = SimpleNamespace(hold=lambda *_: True)
        done = painter.complete(View(camera, rgb, solid, known.float(), known, rgb))
        sky, holes = done.sky & ~known, ~known
        if torch.isinf(solid).any():
            lowest = max(24, int(torch.isinf(solid).any(dim=1).nonzero().max()) + 1)
            assert sky[:lowest, 10:].all()
            assert not sky[lowest:].any()
        else:
            assert not sky.any()
        assert torch.equal(done.depth[holes & ~sky].isfinite(), torch.ones_like(done.depth[holes & ~sky]).bool())


def test_only_what_is_from_the_photo_may_take_a_tint(scene, refiner):
    _, depth, camera = scene
    rgb = torch.full((3, 48, 72), 0.5)  # far from where colours are cut off
    view = View(camera, rgb, depth, torch.full_like(depth, 0.3), torch.ones_like(depth, dtype=torch.bool), rgb)
    z, noise = torch.zeros(1, 4 + 3 * STEPS), torch.zeros(1, 1, 48, 72)
    anew, copied = (
        refiner(ViewBatch.of([view], [torch.full_like(view.known, from_photo)]), z, noise).rgb[0] - rgb
        for from_photo in (True, False)
    )
    assert (anew - copied).abs().max() > 1e-3
    # Without its local mean the one is the other.
    weight = torch.ones(1, 1, 48, 72)
    expected = without_drift(anew[None], weight).clamp(-0.5, 0.5)
    torch.testing.assert_close(expected, copied[None], atol=1e-4, rtol=0)


def test_what_is_not_drawn_again_keeps_its_detail(scene, refiner):
    rgb, depth, camera = scene
    known = torch.ones_like(depth, dtype=torch.bool)
    known[:, :8] = False
    view = View(camera, rgb, depth, known.to(depth.dtype), known, blurred(rgb, 2.0))
    done = Painter(refiner, rgb, depth, camera, 0).complete(view)
    kept = ~needed(view)
    assert torch.equal(done.rgb[:, kept], rgb[:, kept])


@pytest.mark.parametrize("name", ["forward", "rise"])
def test_only_keyframes_are_drawn_however_long_the_flight(scene, refiner, name, monkeypatch):
    """Holes that cannot be filled for ever must not be drawn anew in every frame."""
    painters = []

    class Counted(Painter):
        def __init__(self, *args):
            super().__init__(*args)
            painters.append(self)

    monkeypatch.setattr("infinite_view.flight.Painter", Counted)
    fly(scene, name, 1 + 12 * KEYFRAME_EVERY, refiner)
    keyframes = painters[0].drawn - painters[0].refused
    assert keyframes <= 18


def test_the_world_is_the_same_on_return_and_only_with_memory(scene, refiner):
    def closure(loop):
        frames = [f.rgb for f in fly(scene, "out-and-back", 33, refiner, loop=loop)]
        return sum(float(psnr(frames[k], frames[32 - k])) for k in range(16)) / 16

    remembered, forgotten = closure(flight), closure(forgetful_flight)
    assert remembered > 30
    assert remembered > forgotten + 6


@pytest.mark.parametrize("name", ["forward", "autopilot"])
def test_flights_travel_and_keep_level_and_clear(scene, name):
    _, depth, _ = scene
    measured = Scene.of(depth, FOV)
    lower = depth[24:][depth[24:].isfinite()].median()
    assert measured.travel >= lower
    frames = fly(scene, name, 49)
    steps = torch.stack([(b.camera.centre - a.camera.centre).norm() for a, b in itertools.pairwise(frames)])
    usual = measured.travel / TRAVEL_FRAMES
    assert (steps > 0.99 * SLOWEST * usual).all() and (steps < 1.01 * FASTEST * usual).all()
    assert (steps.diff().abs() < 0.05 * usual).all()
    down = measured.level_pose[:3, :3]  # the photo's axes in the level world
    for frame in frames:
        across = frame.camera.world_from_cam[:3, 0]
        assert abs(float(across[1])) < 1e-6  # no roll: the camera's x axis is level
        assert (down @ frame.camera.centre)[1] < 1 - 0.5 * measured.clearance  # above the plane
        assert (frame.depth < measured.near).float().mean() < 0.4


@pytest.mark.parametrize("loop", [flight, forgetful_flight])
def test_the_lens_may_change_in_flight(scene, loop):
    rgb, depth, camera = scene

    def zoomed(frame, height, width):
        return Camera.from_fov(height, width, 2 * math.atan(math.tan(FOV / 2) / (1 + frame / 10)))

    frames = list(loop(rgb, depth, camera, Planned(zoomed), 11, refiner=None))
    assert torch.equal((frames[0].rgb * 255).round(), (rgb * 255).round())
    half = torch.nn.functional.interpolate(rgb[None, :, 12:36, 18:54], (48, 72), mode="bilinear")
    assert psnr(frames[-1].rgb[None], half) > (25 if loop is flight else 18)
    assert float(frames[-1].camera.focal) == pytest.approx(2 * float(camera.focal))


def test_known_pixels_are_never_changed(scene, refiner):
    rgb, depth, camera = scene
    view = out_and_back(rgb, depth, camera, camera.at(pose_from(torch.tensor([0.2, 0, -0.5]), yaw=0.15)), camera)
    batch = ViewBatch.of([view])
    z = torch.zeros(1, 4 + 3 * STEPS)  # a start image of one colour at all distances
    noise = torch.randn(1, 1, 48, 72, generator=torch.Generator().manual_seed(0))
    out = refiner(batch, z, noise)
    sharp = view.known & (view.density >= 0.8)
    assert 0.05 < sharp.float().mean() < 1
    assert torch.equal(out.rgb[0][:, sharp], view.rgb[:, sharp])
    solid = view.known & ~view.sky
    torch.testing.assert_close(out.log_depth[0][solid].exp(), view.depth[solid])
    bound = 2 * TINY.detail * magnified(view.density)
    change = (out.rgb[0] - view.rgb).abs().amax(dim=0)
    assert (change[view.known] <= bound[view.known] + 1e-6).all()
    assert change[~view.known].max() > 0


def test_a_tint_is_taken_off_and_detail_is_kept():
    weight = torch.zeros(1, 1, 20, 60)
    weight[..., 20:30] = 1
    detail = torch.zeros(1, 3, 20, 60)
    detail[..., ::2] = 0.1
    change = without_drift(detail + 0.5, weight)
    assert (change * weight).mean().abs() < 1e-3
    assert (change[..., 20:30].std() - detail[..., 20:30].std()).abs() < 5e-3


def test_out_and_back_views_look_like_the_photo_where_known(scene):
    rgb, depth, camera = scene
    for seed in range(6):
        away = random_away(camera, depth, torch.Generator().manual_seed(seed))
        view = out_and_back(rgb, depth, camera, away, camera)
        assert view.known.float().mean() > 0.3
        assert (view.rgb - rgb)[:, view.known].abs().mean() < 0.12


def test_depth_is_normalised_without_a_unit():
    depth = torch.tensor([[[1.0, 2, 4], [math.inf, 8, 16]]])
    one, two = normalised_log_depth(depth), normalised_log_depth(depth * 1000)
    torch.testing.assert_close(one, two)
    assert one[0, 1, 0] == 1
    assert one[0, 0, 2] == 0
    assert normalised_log_depth(torch.full((1, 2, 2), math.inf)).eq(1).all()
