"""Procedural streets: ray tests against brute force, the floor against planes, motion, agreement between cameras."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from pipelines.worlds import Street, flow_between
from pipelines.worlds.solids import BALL, BOX, Solids, first_hit, interval, length, sun_share
from pipelines.worlds.street_builder import PLAIN, Builder, Dice
from pipelines.worlds.street_ground import KERB, MARKING, ROAD, Floor, share_within, stripes
from pipelines.worlds.street_movers import car
from pipelines.worlds.street_plan import draw_floor
from render_refine.camera import Camera, pose_from
from render_refine.warp import backward_warp
from vid2vid.classes import CLASSES

SKY, CAR, BUILDING = (CLASSES.index(n) for n in ("sky", "car", "building"))


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def streets() -> list[Street]:
    # By day: lamps and lit windows would hide what the sun does.
    return [Street.random(generator(seed)).with_light(hour=12.0, season=2.0) for seed in (3, 4, 5)]


@pytest.fixture(scope="module")
def floor() -> Floor:
    return replace(draw_floor(Dice(generator(0)), 0.5), curvature=1 / 250)


def look(position: list[float], yaw: float = 0.0, pitch: float = 0.0, size: tuple[int, int] = (48, 64)) -> Camera:
    return Camera.from_fov(*size, math.radians(60), pose_from(torch.tensor(position), yaw, pitch))


def few(floor: Floor, *rows: dict) -> Solids:
    """Plain solids of given ``offset``, ``half`` and further arguments."""
    builder = Builder(Dice(generator(0)))
    for row in rows:
        builder.put((0.0, 0.0, 0.0), name="building", material=PLAIN, colour=(0.5, 0.5, 0.5), **row)
    return builder.solids(floor)


def empty(street: Street, solids: Solids) -> Street:
    return replace(street, solids=solids, lamps=torch.zeros(0, 3))


# --- rays and solids -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("radius", [BALL, 1.3, BOX])
def test_interval_agrees_with_a_dense_march(radius: float):
    g = generator(1)
    origin = 3 * torch.randn(3, 300, generator=g)
    ray = torch.randn(3, 300, generator=g) - 0.5 * origin
    enter, leave = interval(origin, ray, torch.full((300,), radius))
    t = torch.linspace(-8, 8, 32001)
    along = origin[..., None] + ray[..., None] * t
    inside = (along.abs() <= 1).all(0) & (along.square().sum(0) <= radius**2)
    found = inside.any(1)
    clear = found & ((leave - enter) > 0.01) & (enter > -7.9) & (leave < 7.9)
    assert clear.sum() > 40
    first = t[inside.float().argmax(1)]
    last = t[t.numel() - 1 - inside.flip(1).float().argmax(1)]
    torch.testing.assert_close(first[clear], enter[clear], atol=2e-3, rtol=0)
    torch.testing.assert_close(last[clear], leave[clear], atol=2e-3, rtol=0)
    assert ((leave - enter)[~found & (enter.abs() < 8) & (leave.abs() < 8)] < 0.01).all()


def test_a_thin_pole_far_away_keeps_its_width(floor: Floor):
    pole = few(floor, {"offset": (0.0, 2.0, 180.0), "half": (0.05, 2.0, 0.05), "radius": 1.5})
    camera = Camera.from_fov(9, 401, math.radians(0.2), pose_from(torch.tensor([0.0, -2.0, 0.0])))
    rays = camera.rays().reshape(-1, 3).T.contiguous()
    pixels = torch.arange(rays.shape[1])
    depth, _ = first_hit(pole, camera, rays, pixels, lambda s, *_: torch.zeros_like(s).bool())
    seen = depth.isfinite().reshape(9, 401).sum(1) / camera.focal * 180
    torch.testing.assert_close(seen, torch.full((9,), 0.1), atol=5e-3, rtol=0)


def test_screen_bounds_lose_no_hit(streets: list[Street]):
    def solid(s, *_):
        return torch.zeros_like(s).bool()

    for seed, street in enumerate(streets):
        camera = street.random_camera(generator(seed), 12, 20)
        rays = camera.rays().reshape(-1, 3).T.contiguous()
        depth, _ = first_hit(street.solids, camera, rays, torch.arange(240), solid)
        inverse = torch.linalg.inv(street.solids.axes)
        n = len(street.solids)
        origin = torch.einsum("nij,nj->in", inverse, camera.centre - street.solids.centre)
        local = torch.einsum("nij,jp->inp", inverse, rays)
        enter, leave = interval(
            origin[..., None].expand(3, n, 240).reshape(3, -1),
            local.reshape(3, -1),
            street.solids.radius[:, None].expand(n, 240).reshape(-1),
        )
        brute = torch.where((enter <= leave) & (enter > 0.05), enter, torch.inf).reshape(n, 240).amin(0)
        torch.testing.assert_close(depth, brute, rtol=1e-4, atol=1e-4)


def test_fewer_pixels_give_the_same_hits(streets: list[Street]):
    street = streets[0]
    camera = street.random_camera(generator(1), 30, 40)
    every = torch.arange(1200)
    some = torch.tensor([3, 77, 500, 811, 1199])
    all_of_them, part = (street.trace(camera, street.solids, p) for p in (every, some))
    torch.testing.assert_close(part[1], all_of_them[1][some])
    assert torch.equal(part[2], all_of_them[2][some])


def test_a_wall_shades_what_lies_behind_it_and_a_crown_lets_some_light_through(floor: Floor):
    wall = few(floor, {"offset": (0.0, 5.0, 0.0), "half": (0.1, 5.0, 20.0)})
    sun = torch.tensor([math.sqrt(0.5), -math.sqrt(0.5), 0.0])  # to the right, 45 degrees up
    x = torch.tensor([-12.0, -9.0, -5.0, -0.5, 0.5, 5.0])
    points = torch.stack([x, torch.full_like(x, -KERB - 1e-3), torch.zeros_like(x)])
    lit = sun_share(points, wall, sun, torch.tensor([30.0]))
    torch.testing.assert_close(lit, torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0, 1.0]), atol=1e-6, rtol=0)
    thin = sun_share(points, wall, sun, torch.tensor([math.log(2)]))
    torch.testing.assert_close(thin, torch.tensor([1.0, 0.5, 0.5, 0.5, 1.0, 1.0]))


# --- the floor -----------------------------------------------------------------------------------------------------


def test_street_coordinates_invert_places_on_any_bend(floor: Floor):
    for bend in (0.0, 1e-9, 1 / 200, -1 / 160):
        bent = replace(floor, curvature=bend)
        for s, t in ((0.0, 0.0), (55.0, -7.0), (210.0, 12.0), (-40.0, 3.0)):
            x, z, heading = bent.place(s, t)
            found = bent.coordinates(torch.tensor(x), torch.tensor(z))
            assert torch.stack(found).tolist() == pytest.approx([s, t], abs=1e-3)
            ahead = bent.place(s + 0.01, t)
            assert math.atan2(ahead[0] - x, ahead[1] - z) == pytest.approx(heading, abs=1e-3)


def test_road_and_pavement_are_planes_and_the_kerb_stands_between(streets: list[Street]):
    far = {"offset": (0.0, 1.0, -500.0), "half": (1.0, 1.0, 1.0)}
    for street in streets:
        bare = empty(street, few(street.floor, far))
        x, z, heading = street.floor.place(10.0, 0.0)
        camera = look([x, -1.5, z], heading + 0.9, pitch=-0.2, size=(200, 300))
        frame = bare.render(camera)
        down = camera.rays()[..., 1]
        points = camera.unproject(torch.where(frame.depth.isinf(), torch.ones(()), frame.depth))
        s, t = street.floor.coordinates(points[..., 0], points[..., 2])
        side = street.floor.beyond_kerb(s, t)
        ground = frame.depth.isfinite() & (frame.depth < 100)
        road, walk = ground & (side < -0.02), ground & (side > 0.02)
        torch.testing.assert_close(frame.depth[road], 1.5 / down[road], rtol=1e-4, atol=0)
        torch.testing.assert_close(frame.depth[walk], (1.5 - KERB) / down[walk], rtol=1e-4, atol=0)
        on_road = (frame.labels == ROAD) | (frame.labels == MARKING)
        assert on_road[road].all() and not on_road[walk].any()
        face = ground & (side.abs() <= 0.02)
        assert (-points[..., 1][face]).min() > -1e-3 and (-points[..., 1][face]).max() < KERB + 1e-3
        assert (frame.labels == MARKING).any()


def test_filtered_stripes_are_the_mean_of_stripes():
    g = generator(2)
    x, width = 20 * torch.rand(400, generator=g) - 10, 0.02 + 2 * torch.rand(400, generator=g)
    fine = x[:, None] + (torch.linspace(0, 1, 4001)[:-1] + 1 / 8000 - 0.5) * width[:, None]
    on = 0.3
    torch.testing.assert_close(stripes(x, on, width), ((fine % 1) < on).float().mean(1), atol=2e-3, rtol=0)
    within = ((fine > -1.2) & (fine < 3.4)).float().mean(1)
    torch.testing.assert_close(share_within(x, -1.2, 3.4, width), within, atol=2e-3, rtol=0)


# --- motion --------------------------------------------------------------------------------------------------------


def test_a_driving_car_moves_by_its_velocity(streets: list[Street]):
    builder = Builder(Dice(generator(0)))
    car(builder, (0.0, 12.0, math.pi / 2), speed=8.0)  # to the right, across the view
    street = empty(
        replace(streets[0], floor=replace(streets[0].floor, curvature=0.0)), builder.solids(streets[0].floor)
    )
    camera = look([0.0, -1.5, 0.0], size=(120, 160))
    before, after = street.render(camera, 0.0), street.render(camera, 0.25)
    is_car, was_car = (f.labels == CAR for f in (after, before))
    assert before.velocity is not None and is_car.sum() > 200
    velocity = before.velocity[:, was_car]
    torch.testing.assert_close(velocity, torch.tensor([8.0, 0.0, 0.0])[:, None].expand_as(velocity), atol=1e-4, rtol=0)
    assert (before.velocity[:, ~was_car] == 0).all()
    # The flow of two metres brings the mask of the car onto itself.
    flow = flow_between(before.depth, camera, camera, 0.25 * before.velocity)
    assert flow[:, ~was_car].abs().max() < 1e-2
    row, column = was_car.nonzero().T
    u = column + 0.5 + flow[0, row, column]
    inside = u < camera.width - 1
    assert inside.sum() > 100
    assert is_car[row[inside], u[inside].long()].float().mean() > 0.95
    still, moved = was_car.nonzero()[:, 1].float().min(), is_car.nonzero()[:, 1].float().min()
    assert moved - still == pytest.approx(camera.focal.item() * 2.0 / 11.1, abs=2.0)


def test_warp_by_exact_flow_gives_the_same_colours(streets: list[Street]):
    for seed, street in enumerate(streets):
        a = street.random_camera(generator(seed), 96, 144)
        b = a.at(pose_from(torch.tensor([0.1, -0.05, 0.3]), 0.01) @ a.cam_from_world)
        one, two = street.render(a, 1.0, antialias=True), street.render(b, 1.1, antialias=True)
        assert one.velocity is not None
        shift = 0.1 * one.velocity
        flow = flow_between(one.depth, a, b, shift)
        warped, valid = backward_warp(two.rgb[None], flow[None])
        disparity, _ = backward_warp((1 / two.depth)[None, None], flow[None])
        points = a.unproject(torch.where(one.depth.isinf(), torch.ones(()), one.depth)) + shift.permute(1, 2, 0)
        z = b.project(points.reshape(-1, 3))[1].reshape(96, 144)
        expected = torch.where(one.depth.isinf(), torch.zeros(()), 1 / z)
        seen = valid[0, 0] & ((disparity[0, 0] - expected).abs() <= 0.02 * expected)
        assert seen.float().mean() > 0.75
        error = (warped[0] - one.rgb).square().mean(0)[seen].mean()
        assert -10 * error.log10() > 27


# --- streets -------------------------------------------------------------------------------------------------------


def test_same_seed_same_bytes_other_seed_other_street():
    def shot(seed: int) -> torch.Tensor:
        g = generator(seed)
        street = Street.random(g)
        return street.render(street.random_camera(g, 24, 36), 0.5).rgb

    assert torch.equal(shot(3), shot(3))
    assert not torch.equal(shot(3), shot(4))


def test_light_changes_colour_and_little_of_the_geometry(streets: list[Street]):
    street = streets[1]
    camera = street.random_camera(generator(5), 48, 72)
    noon = street.render(camera)
    for hour, season in ((18.5, 2.0), (1.0, 2.0), (12.0, 0.0), (12.0, 3.0)):
        other = street.with_light(hour=hour, season=season).render(camera)
        assert (noon.rgb - other.rgb).abs().mean() > 0.01
        # Only crowns change their shape over the year.
        same = noon.depth == other.depth
        assert same.float().mean() > 0.8 if season != 2.0 else same.all()


def test_nights_are_dark_and_their_windows_are_lit(streets: list[Street]):
    for street in streets:
        camera = street.random_camera(generator(2), 60, 90)
        day, night = street.render(camera), street.with_light(hour=21.5, season=0.0).render(camera)
        above = (night.labels == SKY) & (day.labels == SKY)
        assert night.rgb[:, above].mean() < 0.75 * day.rgb[:, above].mean()
        walls = night.labels == BUILDING
        brightest = night.rgb[:, walls].amax(0)
        assert brightest.quantile(0.995) > 0.55 > 1.5 * brightest.median()


def test_streets_have_what_a_street_has_and_consistent_frames():
    found = torch.zeros(len(CLASSES))
    for seed in range(12):
        g = generator(1000 + seed)
        street = Street.random(g)
        camera = street.random_camera(g, 48, 72)
        assert street.clear(camera.centre[None], 0.0)
        frame = street.render(camera)
        assert frame.rgb.isfinite().all() and frame.rgb.min() >= 0 and frame.rgb.max() <= 1
        assert not frame.depth.isnan().any() and (frame.depth > 0).all()
        assert torch.equal(frame.depth.isinf(), frame.labels == SKY)
        assert frame.labels.dtype == torch.int64
        found[frame.labels.unique()] += 1
    share = dict(zip(CLASSES, (found / 12).tolist(), strict=True))
    assert all(share[name] == 0 for name in ("water", "sand", "field", "rock"))
    assert all(share[name] > 0.8 for name in ("sky", "road", "marking", "pavement", "building", "vegetation", "car"))
    assert all(share[name] > 0.2 for name in ("fence", "pole", "sign", "grass", "person"))


def test_clear_refuses_the_inside_of_things(streets: list[Street]):
    street = streets[0]
    house = street.solids.label == BUILDING
    assert not street.clear(street.solids.centre[house][:1], 0.0)
    assert not street.clear(torch.tensor([[0.0, 0.2, 0.0]]), 0.0)
    assert street.clear(torch.tensor([[0.0, -400.0, 0.0]]), 0.0)
    assert length(torch.tensor([[3.0], [4.0]])).item() == 5.0


@pytest.mark.parametrize("pitch", [-1.5, 0.3, 1.4])
def test_any_attitude_renders(streets: list[Street], pitch: float):
    frame = streets[2].render(look([0.5, -30.0, 20.0], 2.8, pitch, (17, 33)), 3.0, antialias=True)
    assert frame.rgb.isfinite().all()
    assert torch.equal(frame.depth.isinf(), frame.labels == SKY)
