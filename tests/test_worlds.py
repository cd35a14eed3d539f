"""Procedural worlds: geometry against analytic and brute-force truth, agreement between cameras, determinism."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from pipelines.flyover import DEMO
from pipelines.media.images import read_image
from pipelines.worlds import World, flow_between
from pipelines.worlds.light import Light, sun_angles
from pipelines.worlds.march import cast, first_reaching
from pipelines.worlds.noise import Torus, blur, hashed, octave, slopes
from pipelines.worlds.shading import detail_noise, tree_colour
from pipelines.worlds.shadow import sun_shadow
from pipelines.worlds.sheet import demo_view, world_sheet
from pipelines.worlds.sky import Sky
from render_refine.camera import Camera, pose_from
from render_refine.metrics import psnr
from vid2vid.classes import CLASSES

SKY, WATER = CLASSES.index("sky"), CLASSES.index("water")


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def worlds() -> list[World]:
    g = generator(7)
    return [World.random(g) for _ in range(4)]


def flat_world(world: World, height: float) -> World:
    """The same world with a level surface without trees."""
    level = torch.zeros_like(world.terrain.base.padded)
    level[:, 0] = height
    return replace(world, terrain=replace(world.terrain, base=Torus(level, world.terrain.base.period)))


def look(position: list[float], yaw: float = 0.0, pitch: float = 0.0, size: tuple[int, int] = (48, 64)) -> Camera:
    return Camera.from_fov(*size, math.radians(60), pose_from(torch.tensor(position), yaw, pitch))


# --- noise ---------------------------------------------------------------------------------------------------------


def test_octave_is_periodic_standardised_and_smooth():
    noise = octave(generator(0), 256, 16)
    assert abs(noise.std() - 1) < 1e-5 and abs(noise.mean()) < 0.2
    inside = (noise[:, 1:] - noise[:, :-1]).abs().max()
    assert (noise[:, 0] - noise[:, -1]).abs().max() <= inside


def test_torus_returns_texels_and_wraps():
    maps = torch.rand(2, 8, 8)
    torus = Torus.of(maps, 80.0)
    index = torch.arange(8) * 10.0
    z, x = torch.meshgrid(index, index, indexing="ij")
    torch.testing.assert_close(torus.at(x, z), maps, atol=1e-5, rtol=0)
    torch.testing.assert_close(torus.at(x + 160, z - 240), maps, atol=1e-4, rtol=0)
    torch.testing.assert_close(torus.at(x[:, 7] + 5, z[:, 7]), (maps[:, :, 7] + maps[:, :, 0]) / 2, atol=1e-4, rtol=0)


def test_slopes_and_blur_of_a_wave():
    n, period = 128, 100.0
    x = torch.arange(n) * period / n
    wave = torch.sin(2 * math.pi * x / period).expand(n, n)
    expected = 2 * math.pi / period * torch.cos(2 * math.pi * x / period)
    found = slopes(wave, period)
    torch.testing.assert_close(found[0, 3], expected, atol=1e-3, rtol=0)
    assert found[1].abs().max() < 1e-6
    gain = math.exp(-2 * (math.pi * 5.0 / n) ** 2)
    torch.testing.assert_close(blur(wave, 5.0), wave * gain, atol=1e-5, rtol=0)


def test_hash_is_uniform_and_position_dependent():
    i, j = torch.meshgrid(torch.arange(-100, 100), torch.arange(-100, 100), indexing="ij")
    values = hashed(i.float(), j.float())
    assert values.min() >= 0 and values.max() < 1
    assert abs(values.mean() - 0.5) < 0.01 and abs(values.var() - 1 / 12) < 0.005
    assert torch.corrcoef(torch.stack([values[1:].flatten(), values[:-1].flatten()]))[0, 1].abs() < 0.03


# --- sun -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("season", "declination"), [(0.0, -23.44), (1.0, 0.0), (2.0, 23.44), (3.0, 0.0)])
def test_noon_sun_stands_in_the_south_at_the_textbook_height(season: float, declination: float):
    elevation, azimuth = sun_angles(12.0, season, 50.0)
    assert math.degrees(elevation) == pytest.approx(90 - 50 + declination, abs=1e-3)
    assert abs(azimuth) == pytest.approx(math.pi)


def test_equinox_sun_rises_in_the_east_at_six():
    elevation, azimuth = sun_angles(6.0, 1.0, 40.0)
    assert elevation == pytest.approx(0, abs=1e-6) and azimuth == pytest.approx(math.pi / 2)


def test_a_wall_casts_a_shadow_of_its_height_at_45_degrees():
    height = torch.zeros(64, 64)
    height[:, 32:34] = 10.0
    sun = torch.tensor([math.sqrt(0.5), -math.sqrt(0.5), 0.0])  # in the east (+x), 45 degrees up
    lit = sun_shadow(height, 64.0, sun, reach=20.0, softness=0.01, steps=60)[5]
    assert lit[26] == 0 and lit[24] == 0 and lit[19] == 1 and lit[36] == 1


# --- geometry ------------------------------------------------------------------------------------------------------


def test_first_reaching_matches_searchsorted():
    rows = torch.rand(5, 37, generator=generator(1)).cummax(1).values
    row = torch.randint(5, (200,), generator=generator(2))
    value = torch.rand(200, generator=generator(3)) * 1.2
    expected = torch.stack([torch.searchsorted(rows[r], v) for r, v in zip(row, value, strict=True)])
    torch.testing.assert_close(first_reaching(rows, row, value), expected)


@pytest.mark.parametrize("height", [12.0, -50.0])
def test_depth_of_level_land_and_water_is_analytic(worlds: list[World], height: float):
    world = flat_world(worlds[0], height)
    camera = look([300.0, -40.0, -900.0], yaw=1.2, pitch=-0.2)
    frame = world.render(camera)
    plane = max(height, 0.0)
    expected = (40.0 - plane) / camera.rays()[..., 1]
    seen = (expected > 0) & (expected < 5000)
    torch.testing.assert_close(frame.depth[seen], expected[seen], rtol=1e-3, atol=0)
    assert frame.depth[expected < 0].isinf().all()
    assert (frame.labels[seen] == WATER).all() == (height < 0)


def test_cast_agrees_with_a_dense_march(worlds: list[World]):
    errors, silhouettes, total = [], 0, 0
    for seed, world in enumerate(worlds):
        camera = world.random_camera(generator(seed), 20, 30)
        rays, eye, pixel = camera.rays().reshape(-1, 3), camera.centre, 1 / 400.0
        found = cast(world.terrain, eye, rays, pixel)
        across = rays[:, [0, 2]].norm(dim=1)
        t = torch.logspace(math.log10(0.2), math.log10(2e4), 6000)[None] / across[:, None]
        height = world.terrain.height(eye[0] + t * rays[:, :1], eye[2] + t * rays[:, 2:], t * across[:, None] * pixel)
        below = -eye[1] - t * rays[:, 1:2] < height
        dense = torch.where(below.any(1), t.gather(1, below.float().argmax(1, keepdim=True))[:, 0], torch.inf)
        both = found.isfinite() & dense.isfinite() & (dense < 1.5e4)
        errors.append(((found - dense) / dense)[both].abs())
        silhouettes += int(((found < 1.5e4) != (dense < 1.5e4)).sum())
        total += len(rays)
    error = torch.cat(errors)
    assert error.median() < 2e-3
    assert error.quantile(0.9) < 1e-2
    assert silhouettes / total < 0.01


def test_depth_is_on_the_surface(worlds: list[World]):
    for seed, world in enumerate(worlds):
        camera = world.random_camera(generator(seed), 40, 60)
        frame = world.render(camera)
        land = frame.depth.isfinite() & (frame.labels != WATER) & (frame.depth < 3000)
        point = camera.unproject(torch.where(land, frame.depth, torch.ones(())))[land]
        footprint = (point - camera.centre)[:, [0, 2]].norm(dim=1) / camera.focal
        off = (-point[:, 1] - world.terrain.height(point[:, 0], point[:, 2], footprint)).abs()
        assert (off / footprint.clamp_min(0.05)).quantile(0.97) < 0.5
        assert (off / footprint.clamp_min(0.05)).median() < 1e-2


def moved(camera: Camera, step: list[float], yaw: float) -> Camera:
    """The camera, one step along its own axes and a turn to the right."""
    turn = pose_from(torch.tensor(step), yaw)
    return camera.at(turn @ camera.cam_from_world)


def test_two_cameras_agree_on_depth_and_colour(worlds: list[World]):
    depth_error, colour_error = [], []
    for seed, world in enumerate(worlds):
        a = world.random_camera(generator(seed), 96, 144)
        b = moved(a, [0.3, -0.1, 0.5], 0.01)
        frame_a, frame_b = world.render(a), world.render(b)
        solid = frame_a.depth.isfinite() & (frame_a.labels != WATER)
        points = a.unproject(torch.where(solid, frame_a.depth, torch.ones(())))[solid]
        uv, z = b.project(points)
        grid = uv / torch.tensor([b.width, b.height]) * 2 - 1
        inside = (grid.abs() < 0.98).all(-1)

        def sample(image: torch.Tensor, at: torch.Tensor = grid) -> torch.Tensor:
            return torch.nn.functional.grid_sample(image[None], at[None, None], align_corners=False)[0, :, 0]

        inverse = sample((1 / frame_b.depth)[None])[0]
        error = (inverse * z - 1).abs()
        visible = inside & (error < 0.1)
        assert visible.sum() > 0.7 * inside.sum()
        depth_error.append(error[visible])
        colour_error.append((sample(frame_b.rgb) - frame_a.rgb[:, solid]).abs().mean(0)[visible])
    assert torch.cat(depth_error).median() < 5e-3
    assert torch.cat(colour_error).median() < 0.02
    assert torch.cat(colour_error).mean() < 0.05


# --- flow ----------------------------------------------------------------------------------------------------------


def test_flow_is_reprojection_and_sky_only_turns(worlds: list[World]):
    a = look([0.0, -300.0, 0.0], pitch=-0.05)
    b = moved(a, [5.0, -2.0, 8.0], 0.05)
    depth = worlds[0].render(a).depth
    flow = flow_between(depth, a, b)
    row, column = 40, 20
    assert depth[row, column].isfinite() and depth[0, column].isinf()
    point = a.unproject(depth)[row, column]
    uv, _ = b.project(point[None])
    torch.testing.assert_close(flow[:, row, column] + a.pixel_centres()[row, column], uv[0], atol=1e-2, rtol=0)
    far, _ = b.project((b.centre + 1e3 * a.rays()[0, column])[None])
    torch.testing.assert_close(flow[:, 0, column] + a.pixel_centres()[0, column], far[0], atol=1e-2, rtol=0)
    assert flow_between(depth, a, a).abs().max() < 5e-2


def test_flow_behind_the_camera_is_not_a_number():
    a = look([0.0, 0.0, 0.0])
    b = look([0.0, 0.0, 100.0])
    assert flow_between(torch.full((48, 64), 10.0), a, b).isnan().all()


# --- worlds --------------------------------------------------------------------------------------------------------


def test_same_seed_same_bytes_other_seed_other_world():
    def shot(seed: int) -> torch.Tensor:
        g = generator(seed)
        world = World.random(g)
        return world.render(world.random_camera(g, 24, 36)).rgb

    assert torch.equal(shot(3), shot(3))
    assert not torch.equal(shot(3), shot(4))


def test_light_changes_colour_and_nothing_of_the_geometry(worlds: list[World]):
    world = worlds[1]
    camera = world.random_camera(generator(5), 32, 48)
    noon, winter = world.with_light(hour=12.0, season=2.0), world.with_light(hour=12.0, season=0.0)
    dusk = world.with_light(hour=18.5, season=1.0)
    first = noon.render(camera)
    for other in (winter, dusk):
        frame = other.render(camera)
        assert torch.equal(first.depth, frame.depth)
        assert (first.rgb - frame.rgb).abs().mean() > 0.01
    x, z = torch.rand(2, 100, generator=generator(0)) * 5000
    assert torch.equal(noon.ground_height(x, z), winter.ground_height(x, z))
    assert noon.sky.light.season == 2.0 and dusk.sky.light.hour == 18.5


def test_frames_of_30_cameras_are_finite_and_consistent(worlds: list[World]):
    g = generator(11)
    for world in [*worlds, *(World.random(g) for _ in range(3))]:
        for _ in range(5):
            camera = world.random_camera(g, 30, 45)
            x, y, z = camera.centre
            assert -y > world.ground_height(x, z)
            frame = world.render(camera)
            assert frame.rgb.isfinite().all() and frame.rgb.min() >= 0 and frame.rgb.max() <= 1
            assert not frame.depth.isnan().any() and (frame.depth > 0).all()
            assert torch.equal(frame.depth.isinf(), frame.labels == SKY)
            assert frame.labels.dtype == torch.int64 and frame.labels.max() < len(CLASSES)


@pytest.mark.parametrize("pitch", [-1.5, 0.0, 1.2])
def test_any_attitude_renders(worlds: list[World], pitch: float):
    world = worlds[2]
    x, z = torch.tensor(100.0), torch.tensor(-50.0)
    camera = look([100.0, -world.ground_height(x, z).item() - 60.0, -50.0], 2.8, pitch, (17, 33))
    frame = world.render(camera, antialias=True)
    assert frame.rgb.isfinite().all()
    assert torch.equal(frame.depth.isinf(), frame.labels == SKY)


def test_sheet_has_its_tiles():
    sheet = world_sheet(seed=1, rows=1, columns=2, height=16, width=24)
    assert sheet.shape == (3, 16, 48)
    assert (sheet[..., :24] - sheet[..., 24:]).abs().mean() > 0.01


def test_the_shipped_demo_is_a_world():
    shipped = read_image(DEMO)
    # Another processor may round a few pixels at a silhouette otherwise.
    assert psnr(demo_view(), shipped) > 40


def test_stars_come_out_at_night_and_give_the_same_light_at_any_size():
    light = replace(Light.random(torch.Generator().manual_seed(2)), overcast=0.0, latitude=48.0, season=2.0)
    noise = detail_noise(torch.Generator().manual_seed(0), "cpu")
    right, up = torch.meshgrid(torch.linspace(-0.2, 0.2, 400), torch.linspace(0.4, 0.7, 400), indexing="xy")
    rays = torch.stack([right, -up, torch.ones_like(up)]).flatten(1)
    rays = rays / rays.norm(dim=0)
    dark = torch.zeros_like(rays)
    day, night = (Sky.of(replace(light, hour=hour), noise) for hour in (12.0, 0.0))
    assert day.with_stars(dark, rays, -rays[1], 0.001).max() == 0
    fine, coarse = (night.with_stars(dark, rays, -rays[1], spread) for spread in (0.003, 0.006))
    assert fine.max() > 0.005 and fine.median() < 1e-4  # few, and bright
    assert 0.8 < float(coarse.mean() / fine.mean()) < 1.25


def test_larches_turn_in_autumn_and_are_like_other_conifers_in_summer(worlds: list[World]):
    count = 50
    noise = torch.rand(2, count, generator=generator(0))
    deep = SimpleNamespace(tree_id=noise[0], forest=torch.full((count,), 2.0), crown=noise[1])
    conifers, larches = (replace(worlds[0].palette, larches=share) for share in (0.0, 1.0))

    def trees(palette, autumn):
        return tree_colour(palette, deep, 0.0, autumn, 0.0, torch.zeros(count), torch.zeros(count))

    assert torch.equal(trees(larches, 0.0), trees(conifers, 0.0))
    red, green, _ = trees(conifers, 1.0)
    assert (red < green).all()
    red, green, _ = trees(larches, 1.0)
    assert (red > 1.3 * green).all()
