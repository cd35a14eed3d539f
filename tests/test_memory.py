"""Points and the world memory."""

import math

import pytest
import torch

from render_refine.camera import Camera, pose_from
from render_refine.memory import WorldMemory, without_specks
from render_refine.points import PointCloud, lift, lift_sky


def image(height, width, seed=0):
    rgb = torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed))
    return (rgb * 255).round() / 255


def smooth_image(height, width):
    v, u = torch.meshgrid(torch.linspace(0, 3, height), torch.linspace(0, 4, width), indexing="ij")
    return 0.5 + 0.4 * torch.stack([u.sin() * v.cos(), (u + v).cos(), (u - v).sin()])


@pytest.fixture
def landscape():
    """A ground plane one unit below the camera, under a sky."""
    camera = Camera.from_fov(64, 96, math.radians(60))
    down = camera.rays()[..., 1]
    depth = torch.where(down > 0.02, 1 / down.clamp_min(1e-6), torch.inf)
    return smooth_image(64, 96), depth, camera


def test_lifting_keeps_colours_sizes_and_places():
    camera = Camera.from_fov(3, 4, 1.0, pose_from(torch.tensor([0.5, 0, 0])))
    depth = torch.full((3, 4), 2.0)
    depth[0, 0] = math.inf
    cloud = lift(image(3, 4), depth, camera)
    assert len(cloud) == 11
    uv, z = camera.project(cloud.xyz)
    torch.testing.assert_close(uv[0], torch.tensor([1.5, 0.5]))
    torch.testing.assert_close(z, torch.full((11,), 2.0))
    torch.testing.assert_close(cloud.footprint * camera.focal, torch.full((11,), 2.0))
    sky = lift_sky(image(3, 4), camera, torch.isinf(depth))
    torch.testing.assert_close(sky.xyz.norm(dim=-1), torch.ones(1))


def test_clouds_move_and_thin():
    cloud = PointCloud(torch.tensor([[0.1, 0, 0], [0.2, 0, 0], [1.1, 0, 0]]), torch.eye(3), torch.ones(3))
    assert cloud.thin(1.0).features.tolist() == [[1, 0, 0], [0, 0, 1]]
    pose = pose_from(torch.tensor([1.0, 2, 3]), yaw=0.4)
    moved = cloud.transform(pose)
    torch.testing.assert_close(moved.transform(torch.linalg.inv(pose)).xyz, cloud.xyz, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(moved.xyz[0], (pose @ torch.tensor([0.1, 0, 0, 1]))[:3])


def test_what_is_written_is_read_back_to_the_bit(landscape):
    rgb, depth, camera = landscape
    rgb = (rgb * 255).round() / 255
    memory = WorldMemory()
    memory.write(rgb, depth, camera)
    view = memory.render(camera)
    assert torch.equal((view.rgb * 255).round(), (rgb * 255).round())
    assert torch.equal(view.sky, torch.isinf(depth))
    torch.testing.assert_close(view.depth, depth, rtol=1e-4, atol=1e-4)
    assert view.known.all()
    assert (view.density > 0.95).all()


def test_a_nearer_view_is_magnified_but_whole(landscape):
    rgb, depth, camera = landscape
    memory = WorldMemory()
    memory.write(rgb, depth, camera)
    forward = camera.at(pose_from(torch.tensor([0.0, 0, 1.0])))
    view = memory.render(forward)
    ground = forward.rays()[..., 1] > 0.1
    assert view.known[ground].float().mean() > 0.99
    assert view.density[ground].mean() < 0.6
    # The plane is still where it was: one unit below.
    height = forward.unproject(torch.where(view.sky, 1.0, view.depth))[..., 1]
    assert (height[ground & ~view.sky] - 1).abs().median() < 0.03


def test_new_detail_does_not_change_the_old_view(landscape):
    rgb, depth, camera = landscape
    memory = WorldMemory()
    memory.write(rgb, depth, camera)
    before = memory.render(camera).rgb
    near = camera.at(pose_from(torch.tensor([0.0, 0, 1.0])))
    view = memory.render(near)
    noise = 0.2 * (image(64, 96, seed=5) - 0.5)
    coarse = view.known & (view.density < 0.5)
    assert coarse.float().mean() > 0.08
    memory.write((view.rgb + noise).clamp(0, 1), view.depth, near, coarse)
    after = memory.render(camera).rgb
    assert (after - before).square().mean() < 1e-4  # 40 dB
    # ... and from nearby it is the new detail that is seen.
    change = (memory.render(near).rgb - view.rgb)[:, coarse]
    assert (change - noise[:, coarse]).square().mean() < 0.3 * noise.square().mean()


def test_the_sky_turns_but_does_not_move(landscape):
    rgb, depth, camera = landscape
    memory = WorldMemory()
    memory.write(rgb, depth, camera)
    start = memory.render(camera)
    moved = memory.render(camera.at(pose_from(torch.tensor([3.0, 0, 5.0]))))
    both = start.sky & moved.sky
    assert both.float().mean() > 0.2
    torch.testing.assert_close(moved.rgb[:, both], start.rgb[:, both], atol=1e-4, rtol=0)
    turned = memory.render(camera.at(pose_from(torch.zeros(3), yaw=0.2)))
    assert (turned.rgb - start.rgb)[:, both & turned.sky].abs().mean() > 0.01


def test_what_would_hide_a_witnessed_view_moves_behind_it(landscape):
    _, depth, camera = landscape
    memory = WorldMemory()
    memory.witness(camera, depth)
    everywhere = torch.ones_like(depth, dtype=torch.bool)
    # Seen from its own place nothing moves, even at the horizon where neighbours differ twofold.
    same, hides = memory.behind_seen(depth, camera, everywhere)
    assert torch.equal(same, depth)
    assert not hides.any()
    beside = camera.at(pose_from(torch.tensor([0.3, 0, 0])))
    some = everywhere.clone()
    some[:, 48:] = False
    moved, hides = memory.behind_seen(torch.full_like(depth, 0.5), beside, some)
    assert (moved[:, 48:] == 0.5).all()
    # On the way down to the ground what stood in the air goes on until it is there, or where nobody looked.
    rays = beside.rays()[..., 1]
    ground = some & (rays > 0.15)
    point = beside.unproject(moved)
    seen = (camera.project(point.flatten(0, 1))[0] - torch.tensor([48.0, 32.0])).abs() < torch.tensor([46.0, 30.0])
    looked_at = ground & seen.all(dim=-1).view(64, 96)
    assert not hides[ground].any()
    assert looked_at.sum() > 300
    assert (point[looked_at][:, 1] - 1).abs().quantile(0.9) < 0.25
    # Before the sky there is no place to stand.
    assert hides[some & (rays < -0.05)].float().mean() > 0.9
    assert not memory.behind_seen(torch.full_like(depth, math.inf), beside, some)[1].any()


def test_a_view_that_says_nothing_forbids_nothing(landscape):
    _, depth, camera = landscape
    memory = WorldMemory()
    memory.witness(camera, torch.zeros_like(depth))
    near = torch.full_like(depth, 0.2)
    moved, hides = memory.behind_seen(near, camera, torch.ones_like(depth, dtype=torch.bool))
    assert torch.equal(moved, near)
    assert not hides.any()


def test_holes_take_the_colours_of_ground_or_of_sky_but_not_both():
    """White sky over black ground with a hole across both: a guess in grey would be ground in the sky's colour."""
    camera = Camera.from_fov(40, 60, 1.0)
    depth = torch.full((40, 60), 5.0)
    depth[:20] = math.inf
    rgb = torch.zeros(3, 40, 60)
    rgb[:, :20] = 1
    mask = torch.ones(40, 60, dtype=torch.bool)
    mask[:, 25:40] = False
    memory = WorldMemory()
    memory.write(rgb, depth, camera, mask)
    view = memory.render(camera)
    assert not view.known[:, 27:38].any()
    assert (view.rgb[:, view.sky] > 0.99).all()
    assert (view.rgb[:, ~view.sky] < 0.01).all()
    torch.testing.assert_close(view.depth[~view.sky], torch.full_like(view.depth[~view.sky], 5.0))


def test_a_hill_goes_on_beside_the_picture_and_a_peak_does_not_go_on_above_it():
    camera = Camera.from_fov(40, 60, 1.0)
    depth = torch.full((40, 60), 5.0)
    depth[:20] = math.inf
    depth[4:20, 20:30] = 5.0  # a peak that the upper border of what is known cuts off
    mask = torch.ones(40, 60, dtype=torch.bool)
    mask[:, 45:] = mask[:4] = False
    memory = WorldMemory()
    memory.write(torch.rand(3, 40, 60, generator=torch.Generator().manual_seed(0)), depth, camera, mask)
    sky = memory.render(camera).sky
    assert sky[:18, 48:].all()
    assert not sky[22:, 48:].any()
    assert sky[:3].all()


def test_a_sky_goes_on_in_its_rows():
    """A sky brightens towards the horizon; beside what was seen of it, it does so too."""
    camera = Camera.from_fov(40, 60, 1.0)
    bright = torch.linspace(0.2, 0.9, 40)[:, None].expand(3, 40, 60)
    mask = torch.ones(40, 60, dtype=torch.bool)
    mask[:, 40:] = False
    mask[:6] = False
    memory = WorldMemory()
    memory.write(bright, torch.full((40, 60), math.inf), camera, mask)
    view = memory.render(camera)
    assert not view.known[:, 45:].any()
    assert view.sky.all()
    assert (view.rgb - bright)[:, 6:].abs().max() < 0.01
    assert (view.rgb[:, :4] - view.rgb[:, 6:7]).abs().max() < 0.15


def test_single_gaps_between_points_close_and_a_picture_at_full_density_stays():
    depth = torch.full((9, 9), 1.0)
    depth[4, 4], depth[1:3, 5:7], depth[6, 2:5] = 8.0, 8.0, 8.0
    rgb = torch.zeros(3, 9, 9)
    rgb[:, 4, 4], rgb[:, 1:3, 5:7], rgb[:, 6, 2:5] = 1.0, 1.0, 1.0
    density, loose = torch.full((9, 9), 0.9), torch.full((9, 9), 0.9)
    closed, closed_depth, _ = without_specks(rgb, depth, density, loose)
    assert closed[:, 4, 4].eq(0).all()
    assert closed_depth[4, 4] == 1
    assert closed[:, 6, 2:5].eq(0).all() and closed_depth[6, 2:5].eq(1).all()  # a crack along the points
    assert closed[:, 1:3, 5:7].eq(1).all()  # two by two pixels are a view
    kept, kept_depth, kept_density = without_specks(rgb, depth, density, torch.ones(9, 9))
    assert torch.equal(kept, rgb)
    assert torch.equal(kept_depth, depth)
    assert torch.equal(kept_density, density)


@pytest.mark.parametrize(("away", "error"), [(30.0, 0.0005), (1000.0, 0.01)])
def test_the_world_is_as_precise_far_from_its_origin(landscape, away, error):
    """Ten thousand frames of flight are some 100 units; positions are float32."""
    rgb, depth, camera = landscape

    def seen(origin):
        memory = WorldMemory()
        memory.write(rgb, depth, camera.at(pose_from(origin)))
        return memory.render(camera.at(pose_from(origin + torch.tensor([0.1, 0.0, 0.3]), yaw=0.05)))

    here, there = seen(torch.zeros(3)), seen(torch.tensor([0.8, -0.1, 0.6]) * away)
    assert (here.rgb - there.rgb).abs().mean() < error
    assert (here.known == there.known).float().mean() > 0.999


def test_an_empty_memory_has_nothing_but_holes():
    view = WorldMemory().render(Camera.from_fov(8, 12, 1.0))
    assert not view.known.any()
    assert view.rgb.isfinite().all()


def test_a_rough_far_surface_lacks_no_detail():
    """Neighbours that hide each other lower the count of points, but nothing is magnified there."""
    camera = Camera.from_fov(32, 48, 1.0)
    depth = 100 + 40 * torch.rand(32, 48, generator=torch.Generator().manual_seed(0))
    memory = WorldMemory()
    memory.write(image(32, 48), depth, camera)
    view = memory.render(camera.at(pose_from(torch.tensor([0.4, 0.3, 1.0]))))
    assert view.density[2:-2, 2:-2].min() > 0.8


def test_magnified_points_do_not_show_as_blocks():
    """Twice as near, a smooth picture must stay smooth: compared with the same picture, interpolated."""
    camera = Camera.from_fov(40, 60, 1.0)
    rgb = smooth_image(40, 60)
    memory = WorldMemory()
    memory.write(rgb, torch.full((40, 60), 2.0), camera)
    view = memory.render(camera.at(pose_from(torch.tensor([0.0, 0, 1.2]))))
    window = rgb[:, 12:28, 18:42]
    wanted = torch.nn.functional.interpolate(window[None], size=(40, 60), mode="bilinear")[0]
    inner = (slice(None), slice(4, -4), slice(4, -4))
    assert (view.rgb - wanted)[inner].abs().mean() < 0.01
    assert (view.rgb[inner].diff(dim=2).abs().amax()) < 0.06


def test_two_layers_are_kept_apart_and_at_the_same_places(landscape):
    rgb, depth, camera = landscape
    plain = (0.5 * rgb * 255).round() / 255
    one, two, both = WorldMemory(), WorldMemory(), WorldMemory(layers=2)
    one.write(rgb, depth, camera)
    two.write(plain, depth, camera)
    both.write(rgb, depth, camera, plain=plain)
    aside = camera.at(pose_from(torch.tensor([0.4, 0.0, 0.6]), yaw=0.3))
    shown, bare, view = (memory.render(aside) for memory in (one, two, both))
    assert (~view.known).any()
    torch.testing.assert_close(view.rgb, shown.rgb, rtol=0, atol=1e-5)
    torch.testing.assert_close(view.plain, bare.rgb, rtol=0, atol=1e-5)
    assert torch.equal(view.known, shown.known)
    torch.testing.assert_close(view.depth, shown.depth)
    assert torch.equal(shown.plain, shown.rgb)


def test_what_has_no_plain_picture_is_plain_itself(landscape):
    rgb, depth, camera = landscape
    memory = WorldMemory(layers=2)
    memory.write(rgb, depth, camera)
    view = memory.render(camera)
    assert torch.equal(view.plain, view.rgb)
    assert WorldMemory(layers=2).render(camera).plain.shape == rgb.shape
