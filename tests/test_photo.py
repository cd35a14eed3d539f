"""The photo looked up where a view shows it, beside true pictures of a plane whose texture is known."""

import math
from dataclasses import replace

import pytest
import torch

from infinite_view.photo import Photo
from render_refine.camera import Camera, pose_from
from render_refine.memory import WorldMemory
from render_refine.metrics import psnr

HEIGHT, WIDTH = 60, 80


def seen(camera, finest):
    """A wall at depth 4 with waves of at least ``finest`` units, above ground one unit below the origin."""
    rays, centre = camera.rays(), camera.centre
    wall = (4 - centre[2]) / rays[..., 2]
    ground = torch.where(rays[..., 1] > 1e-3, (1 - centre[1]) / rays[..., 1], torch.inf)
    depth = torch.minimum(wall, ground)
    x, y, z = (centre + depth[..., None] * rays).unbind(dim=-1)
    waves = [torch.sin(2 * math.pi * (a * x + b * (y - z)) / finest) for a, b in ((1, 0.3), (-0.6, 0.8), (0.2, 1))]
    return 0.5 + 0.3 * torch.stack(waves), depth


@pytest.fixture
def camera():
    return Camera.from_fov(HEIGHT, WIDTH, 1.0)


def remembered(photo, nearer, layers=1):
    memory = WorldMemory(layers=layers)
    memory.write(photo.rgb, photo.depth, photo.camera)
    return memory.render(nearer)


def test_the_photo_is_sharper_than_its_points(camera):
    photo = Photo(*seen(camera, 0.5), camera)
    nearer = camera.at(pose_from(torch.tensor([0.13, 0.05, 0.31]), yaw=0.02))
    truth, depth = seen(nearer, 0.5)
    view = remembered(photo, nearer)
    shown = photo.shown_in(view)
    # The wall: on the ground the waves are too fine for either.
    inner = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    inner[6:34, 6:-6] = True
    gain = psnr(shown.rgb, truth, inner[None]) - psnr(view.rgb, truth, inner[None])
    assert gain > 6
    both = inner & torch.isfinite(depth)
    assert (shown.depth / depth - 1)[both].abs().mean() < 0.2 * (view.depth / depth - 1)[both].abs().mean() + 1e-5


def test_at_its_own_camera_the_photo_is_itself(camera):
    photo = Photo(*seen(camera, 0.5), camera)
    shown = photo.shown_in(remembered(photo, camera))
    torch.testing.assert_close(shown.rgb, photo.rgb.clamp(0, 1), atol=5e-3, rtol=0)


def test_what_was_drawn_upon_the_photo_stays_upon_it(camera):
    photo = Photo(*seen(camera, 0.5), camera)
    nearer = camera.at(pose_from(torch.tensor([0.0, 0.0, 0.3])))
    view = remembered(photo, nearer, layers=2)
    drawn = replace(view, rgb=view.rgb + 0.1, plain=view.plain)
    added = photo.shown_in(drawn).rgb - photo.shown_in(view).rgb
    inside = (photo.shown_in(view).rgb > 0.02) & (photo.shown_in(drawn).rgb < 0.98)
    torch.testing.assert_close(added[inside], torch.full_like(added[inside], 0.1))


def test_from_farther_away_points_are_averaged_and_not_looked_up(camera):
    photo = Photo(*seen(camera, 0.3), camera)
    farther = camera.at(pose_from(torch.tensor([0.0, 0.0, -4.0])))
    view = remembered(photo, farther)
    assert torch.equal(photo.shown_in(view).rgb, view.rgb)


def test_what_hides_the_photo_keeps_its_colours(camera):
    photo = Photo(*seen(camera, 0.5), camera)
    view = remembered(photo, camera)
    depth = view.depth.clone()
    depth[:, 30:50] = 0.5  # something that the photo never saw
    hidden = replace(view, depth=depth, rgb=torch.zeros_like(view.rgb), plain=torch.zeros_like(view.rgb))
    assert photo.shown_in(hidden).rgb[:, :, 32:48].eq(0).all()


def test_ground_is_as_fine_in_width_as_in_height(camera):
    """Enlarged four times in height alone, noise would be upright streaks."""
    noise = torch.rand(3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    photo = Photo(noise, torch.full((HEIGHT, WIDTH), 3.0), camera)
    everywhere = torch.ones(HEIGHT, WIDTH, dtype=torch.bool)
    places = camera.pixel_centres()
    torch.testing.assert_close(photo.at(places, everywhere), noise)

    tall = torch.stack([places[..., 0], 20 + places[..., 1] / 4], dim=-1)
    grain = photo.at(tall, everywhere)[:, 8:-8, 8:-8]
    grain = grain - grain.mean()
    across, down = ((grain.roll(4, dim) * grain).mean() / grain.square().mean() for dim in (2, 1))
    # Four pixels on, each looks as much like itself in both directions; unblurred it is 0 across.
    assert across > 0.1
    assert abs(float(across - down)) < 0.3
    assert grain.square().mean() < 0.5 * noise.var()
