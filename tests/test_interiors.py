"""Procedural interiors: planes and cylinders against formulas, light against sampling, agreement between cameras."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from pipelines.worlds import Interior, flow_between
from pipelines.worlds.interior_builder import NO_LABEL, PAINT, Maker
from pipelines.worlds.interior_light import Openings, room_of
from pipelines.worlds.interior_palette import Taste
from pipelines.worlds.interior_plan import DOORWAY, WINDOW, Opening, Room, draw_rooms
from pipelines.worlds.interior_shadow import Shade
from pipelines.worlds.interior_surface import touched
from pipelines.worlds.solids import CYLINDER, first_hit, interval
from pipelines.worlds.street_builder import Dice
from render_refine.camera import Camera, pose_from
from render_refine.warp import backward_warp
from vid2vid.classes import CLASSES

SKY = CLASSES.index("sky")


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def homes() -> list[Interior]:
    return [Interior.random(generator(seed)) for seed in range(6)]


def maker() -> Maker:
    return Maker(Dice(generator(0)))


def bare_room(*openings: Opening) -> Room:
    """4 x 6 x 2.5 metres around the origin with openings in the wall at z = 3."""
    dice = Dice(generator(1))
    lining = Taste.random(dice).lining(dice, "living")
    return Room("living", -2.0, 2.0, -3.0, 3.0, 2.5, lining, ((), (), openings, ()))


# --- solids --------------------------------------------------------------------------------------------------------


def test_rays_meet_cylinders_where_a_dense_march_does():
    g = generator(1)
    origin = 3 * torch.randn(3, 300, generator=g)
    ray = torch.randn(3, 300, generator=g) - 0.5 * origin
    enter, leave = interval(origin, ray, torch.full((300,), CYLINDER))
    t = torch.linspace(-8, 8, 32001)
    along = origin[..., None] + ray[..., None] * t
    inside = (along[1].abs() <= 1) & (along[0].square() + along[2].square() <= 1)
    found = inside.any(1)
    clear = found & ((leave - enter) > 0.01) & (enter > -7.9) & (leave < 7.9)
    assert clear.sum() > 40
    torch.testing.assert_close(t[inside.float().argmax(1)][clear], enter[clear], atol=2e-3, rtol=0)
    assert ((leave - enter)[~found & (enter.abs() < 8) & (leave.abs() < 8)] < 0.01).all()


@pytest.mark.parametrize("ends", [((0.0, 0.0, 0.0), (0.0, 2.0, 0.0)), ((-1.0, 0.5, 0.3), (1.0, 1.5, -0.2))])
def test_a_rod_is_as_thick_as_told_and_its_normals_point_away_from_its_axis(ends: tuple):
    b = maker()
    b.rod((0.0, 4.0, 0.0), *ends, 0.2, PAINT, (0.5, 0.5, 0.5))
    rod = b.things()
    camera = Camera.from_fov(90, 120, math.radians(50), pose_from(torch.tensor([0.0, -1.0, 0.0])))
    rays = camera.rays().reshape(-1, 3).T.contiguous()
    depth, index = first_hit(rod, camera, rays, torch.arange(rays.shape[1]), lambda s, *_: torch.zeros_like(s).bool())
    seen = index >= 0
    assert seen.sum() > 200
    point = camera.centre[:, None] + depth[seen] * rays[:, seen]
    hits = touched(rod.take(index[seen]), point, rays[:, seen], torch.full_like(depth[seen], 0.01))
    one, other = (torch.tensor([e[0], -e[1], 4 + e[2]]) for e in ends)
    axis = (other - one) / (other - one).norm()
    from_axis = (point.T - one) - ((point.T - one) @ axis)[:, None] * axis
    side = hits.face == 3
    assert side.float().mean() > 0.8
    torch.testing.assert_close(from_axis[side].norm(dim=1), torch.full((int(side.sum()),), 0.2), atol=1e-4, rtol=0)
    torch.testing.assert_close(hits.normal.T[side], from_axis[side] / 0.2, atol=2e-3, rtol=0)


# --- plans ---------------------------------------------------------------------------------------------------------


def test_rooms_do_not_overlap_and_passages_match_on_both_sides():
    for seed in range(60):
        dice = Dice(generator(seed))
        rooms = draw_rooms(dice, Taste.random(dice))
        for i, a in enumerate(rooms):
            assert a.x1 - a.x0 > 1 and a.z1 - a.z0 > 1 and 2.3 <= a.height <= 3.5
            for b in rooms[i + 1 :]:
                assert min(a.x1, b.x1) - max(a.x0, b.x0) < 1e-6 or min(a.z1, b.z1) - max(a.z0, b.z0) < 1e-6
            for side in range(4):
                for o in a.openings[side]:
                    assert -a.length(side) / 2 < o.low < o.high < a.length(side) / 2
                    assert 0 <= o.sill < o.head <= a.height
        places = [
            (room.at(side, o.middle), o.width)
            for room in rooms
            for side in range(4)
            for o in room.openings[side]
            if o.kind == DOORWAY
        ]
        assert len(places) == 2 * (len(rooms) - 1)
        for (x, z, heading), width in places:
            partners = [
                p
                for p, w in places
                if math.hypot(p[0] - x, p[1] - z) < 0.15 and math.cos(p[2] - heading) < -0.99 and abs(w - width) < 1e-6
            ]
            assert len(partners) == 1


def test_room_of_finds_the_room_around_a_point(homes: list[Interior]):
    for home in homes:
        for k, room in enumerate(home.rooms):
            middle = torch.tensor([[(room.x0 + room.x1) / 2], [-1.0], [(room.z0 + room.z1) / 2]])
            assert room_of(middle, home.light.boxes).item() == k


# --- light ---------------------------------------------------------------------------------------------------------


def test_light_of_a_window_agrees_with_sampling():
    openings = Openings.of((bare_room(Opening(WINDOW, -0.8, 0.9, 0.8, 2.1)),), 1.0)
    g = generator(3)
    point = torch.stack(
        [4 * torch.rand(40, generator=g) - 2, -2.4 * torch.rand(40, generator=g), torch.rand(40, generator=g) * 4 - 3]
    )
    normal = torch.tensor([0.0, 0.0, 1.0])
    share = (openings.vector(0, point) * normal[:, None]).sum(0)
    a, b = (2 * torch.rand(40000, generator=g) - 1 for _ in range(2))
    up = torch.tensor([0.0, -1.0, 0.0]) * openings.tall[0]
    place = openings.centre[0] + a[:, None] * openings.right[0] + b[:, None] * up
    way = place[None] - point.T[:, None]
    square = way.square().sum(-1)
    expected = (way @ normal) * (-way @ openings.inward[0]) / square.square()
    torch.testing.assert_close(share, expected.mean(1) * openings.area[0], rtol=0.03, atol=1e-4)


def test_a_screen_shades_what_lies_behind_it_and_nothing_else():
    b = maker()
    b.add((0.0, 2.0, 0.0), (0, 1.5, 0), (0.5, 0.5, 0.05), PAINT, (0.5, 0.5, 0.5))
    shade = Shade.of(b.things(), torch.tensor([0.0, -1.5, 0.0]), 0.0, 0.0)
    x = torch.tensor([0.0, 0.4, 2.0, -2.0, 0.0])
    z = torch.tensor([4.0, 4.0, 4.0, 4.0, 1.0])
    lit = shade.lit(torch.stack([x, torch.full_like(x, -1.5), z]))
    torch.testing.assert_close(lit, torch.tensor([0.0, 0.0, 1.0, 1.0, 1.0]), atol=0.02, rtol=0)


# --- frames --------------------------------------------------------------------------------------------------------


def test_floor_and_ceiling_are_planes(homes: list[Interior]):
    home = homes[0]
    room = home.rooms[0]
    empty = replace(home, solids=home.solids.take(home.solids.material != PAINT))
    pose = pose_from(torch.tensor([(room.x0 + room.x1) / 2, -1.4, (room.z0 + room.z1) / 2]), 0.3, -0.1)
    camera = Camera.from_fov(60, 90, math.radians(80), pose)
    _, depth, index = empty.trace(camera, torch.arange(5400))
    indoors, down = index >= 0, camera.rays()[..., 1].reshape(-1)
    heights = 1.4 - depth * down
    assert heights[indoors].min() > -1e-3 and heights[indoors].max() < room.height + 1e-3
    for height in (0.0, room.height):
        plane = indoors & ((heights - height).abs() < 2e-3)
        assert plane.sum() > 40
        torch.testing.assert_close(depth[plane], (1.4 - height) / down[plane], rtol=2e-3, atol=0)


def test_warp_by_exact_depth_gives_the_same_colours(homes: list[Interior]):
    total = 0.0
    for seed, home in enumerate(homes):
        a = home.random_camera(generator(seed), 96, 144)
        b = a.at(pose_from(torch.tensor([0.08, -0.04, 0.12]), 0.01) @ a.cam_from_world)
        one, two = home.render(a, antialias=True), home.render(b, antialias=True)
        flow = flow_between(one.depth, a, b)
        warped, valid = backward_warp(two.rgb[None], flow[None])
        disparity, _ = backward_warp((1 / two.depth)[None, None], flow[None])
        points = a.unproject(torch.where(one.depth.isinf(), torch.ones(()), one.depth))
        z = b.project(points.reshape(-1, 3))[1].reshape(96, 144)
        expected = torch.where(one.depth.isinf(), torch.zeros(()), 1 / z)
        seen = valid[0, 0] & ((disparity[0, 0] - expected).abs() <= 0.02 * expected)
        assert seen.float().mean() > 0.6
        error = (warped[0] - one.rgb).square().mean(0)[seen].mean()
        psnr = -10 * error.log10().item()
        assert psnr > 24
        total += psnr / len(homes)
    assert total > 28


def test_same_seed_same_bytes_other_seed_other_home():
    def shot(seed: int) -> torch.Tensor:
        g = generator(seed)
        home = Interior.random(g)
        return home.render(home.random_camera(g, 24, 36)).rgb

    assert torch.equal(shot(3), shot(3))
    assert not torch.equal(shot(3), shot(4))


def test_frames_are_sound_and_cameras_stand_clear():
    near, far = [], []
    for seed in range(16):
        g = generator(500 + seed)
        home = Interior.random(g)
        camera = home.random_camera(g, 30, 48)
        assert home.clear(camera.centre[None])
        assert 0.8 <= -camera.centre[1] <= 1.9
        assert math.radians(55) <= 2 * math.atan(24 / camera.focal.item()) <= math.radians(95)
        frame = home.render(camera)
        assert frame.rgb.isfinite().all() and frame.rgb.min() >= 0 and frame.rgb.max() <= 1
        assert not frame.depth.isnan().any() and (frame.depth > 0.05).all()
        assert frame.labels.dtype == torch.int64
        assert torch.equal(frame.labels == SKY, frame.depth.isinf())
        assert ((frame.labels == SKY) | (frame.labels == NO_LABEL)).all()
        assert 0.08 < frame.rgb.mean() < 0.97
        near.append((frame.depth < 0.6).float().mean().item())
        far.append(frame.depth.median().item())
    assert max(near) < 0.25
    assert 1.2 < sorted(far)[8] < 7


def test_exact_pixels_do_not_depend_on_which_others_are_asked(homes: list[Interior]):
    home = homes[1]
    camera = home.random_camera(generator(1), 30, 40)
    some = torch.tensor([3, 77, 500, 811, 1199])
    every, part = home.trace(camera, torch.arange(1200)), home.trace(camera, some)
    torch.testing.assert_close(part[1], every[1][some])
    assert torch.equal(part[2], every[2][some])
    # A pixel's light may depend on others only through rounding.
    torch.testing.assert_close(part[0], every[0][:, some], atol=2e-3, rtol=0)


def test_clear_refuses_walls_things_and_the_outdoors(homes: list[Interior]):
    for home in homes:
        room = home.rooms[0]
        assert not home.clear(home.solids.centre[:1])
        for side in range(4):
            if all(o.kind != DOORWAY for o in room.openings[side]):
                x, z, _ = room.at(side, forward=0.1)
                assert not home.clear(torch.tensor([[x, -1.5, z]]))
        for pane in home.light.openings.centre[home.light.openings.outdoors]:
            assert not home.clear(pane[None])
        assert not home.clear(torch.tensor([[1000.0, -1.5, 0.0]]))
        assert not home.clear(torch.tensor([[0.0, 0.3, 0.0]]))
        eye = home.random_camera(generator(2), 12, 20).centre
        assert home.clear(eye[None]) and not home.clear(torch.stack([eye, eye + 1000]))


@pytest.mark.parametrize("pitch", [-1.5, 0.3, 1.4])
def test_any_attitude_renders(homes: list[Interior], pitch: float):
    home = homes[2]
    eye = home.random_camera(generator(4), 12, 20).centre
    camera = Camera.from_fov(17, 33, math.radians(70), pose_from(eye, 2.8, pitch))
    frame = home.render(camera, antialias=True)
    assert frame.rgb.isfinite().all() and (frame.depth > 0).all()
