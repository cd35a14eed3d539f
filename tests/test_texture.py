"""Detail taken from the photo, and the bounds of a keyframe."""

import math
from dataclasses import replace

import pytest
import torch

from infinite_view.flight import ATTEMPTS, Painter
from infinite_view.refiner import Refined, Refiner
from infinite_view.texture import PhotoTexture, blurred, split, strength
from infinite_view.watchdog import Bounds
from render_refine.camera import Camera
from render_refine.memory import View

HEIGHT, WIDTH = 64, 96


@pytest.fixture(scope="module")
def photo():
    """Green grass over brown sand under a smooth sky; grass is twice as rough as sand."""
    camera = Camera.from_fov(HEIGHT, WIDTH, 1.0)
    noise = torch.randn(3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    grain = noise - blurred(noise, 2.0)
    rgb = torch.zeros(3, HEIGHT, WIDTH)
    rgb[:, :20] = torch.tensor([0.5, 0.7, 0.9])[:, None, None]
    rgb[:, 20:42] = torch.tensor([0.2, 0.5, 0.2])[:, None, None] + 0.1 * grain[:, 20:42]
    rgb[:, 42:] = torch.tensor([0.6, 0.5, 0.3])[:, None, None] + 0.05 * grain[:, 42:]
    depth = torch.full((HEIGHT, WIDTH), 3.0)
    depth[:20] = math.inf
    return rgb.clamp(0, 1), depth, camera


def view_of(rgb, depth, camera, known):
    return View(camera, rgb, depth, torch.ones_like(depth), known, rgb)


def energy(rgb, rows, columns=slice(0, WIDTH)):
    return float(split(rgb)[1][:, :, rows, columns].square().mean())


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_bands_and_what_is_left_make_up_the_picture(photo):
    soft, bands = split(photo[0])
    torch.testing.assert_close(soft + bands.sum(dim=0), photo[0])


def test_soft_ground_takes_the_detail_of_its_like(photo):
    rgb, depth, camera = photo
    new = torch.zeros_like(depth, dtype=torch.bool)
    new[:, 66:] = True
    soft = torch.where(new, blurred(rgb, 2.5), rgb)
    out = PhotoTexture(rgb, depth, camera).detailed(view_of(soft, depth, camera, ~new), new, strength(rgb), seeded())
    assert torch.equal(out[:, ~new], rgb[:, ~new])
    inner = slice(74, 92)
    for rows in (slice(26, 36), slice(48, 60)):
        before, wanted = energy(soft, rows, inner), energy(rgb, rows, inner)
        assert before < 0.3 * wanted
        assert 0.5 < energy(out, rows, inner) / wanted < 2.5
    assert energy(out, slice(2, 14), inner) < 0.05 * energy(rgb, slice(48, 60), inner)  # the sky stays smooth
    # Detail it is, and no tint.
    assert (blurred(out, 4.0) - blurred(soft, 4.0)).abs().mean() < 0.01


def test_what_has_detail_of_its_own_stays_nearly_as_it_is(photo):
    rgb, depth, camera = photo
    new = torch.ones_like(depth, dtype=torch.bool)
    texture = PhotoTexture(rgb, depth, camera)
    view = view_of(rgb, depth, camera, ~new)
    added = energy(texture.detailed(view, new, strength(rgb), seeded()) - rgb, slice(20, HEIGHT))
    soft = replace(view, rgb=blurred(rgb, 2.5))
    assert added < 0.25 * energy(texture.detailed(soft, new, strength(rgb), seeded()) - soft.rgb, slice(20, HEIGHT))
    rough = replace(view, rgb=(rgb + 2 * (rgb - blurred(rgb, 2.5))).clamp(0, 1))
    assert energy(texture.detailed(rough, new, strength(rgb), seeded()) - rough.rgb, slice(24, HEIGHT)) < 1e-9


def test_no_more_is_added_than_the_level_has_room_for(photo):
    rgb, depth, camera = photo
    new = torch.ones_like(depth, dtype=torch.bool)
    texture, soft = PhotoTexture(rgb, depth, camera), blurred(rgb, 6.0)
    for share in (0.1, 0.5):
        level = share * strength(rgb)
        done = strength(texture.detailed(view_of(soft, depth, camera, ~new), new, level, seeded()))
        assert (done < 1.3 * level).all()
        assert (done > 0.3 * level).all()


def test_nothing_new_takes_nothing(photo):
    rgb, depth, camera = photo
    nothing = torch.zeros_like(depth, dtype=torch.bool)
    view = view_of(blurred(rgb, 2.5), depth, camera, ~nothing)
    assert torch.equal(PhotoTexture(rgb, depth, camera).detailed(view, nothing, strength(rgb), seeded()), view.rgb)


def test_patches_go_on_where_their_neighbours_end():
    """Slanting stripes keep their phase from patch to patch."""
    camera, depth = Camera.from_fov(HEIGHT, WIDTH, 1.0), torch.full((HEIGHT, WIDTH), 3.0)
    slant = torch.arange(HEIGHT)[:, None] + torch.arange(WIDTH)
    rgb = (0.5 + 0.2 * torch.sin(2 * math.pi * slant / 5)).expand(3, -1, -1)
    new = torch.ones_like(depth, dtype=torch.bool)
    view = view_of(torch.full_like(rgb, 0.5), depth, camera, ~new)
    stripes = (PhotoTexture(rgb, depth, camera).detailed(view, new, strength(rgb), seeded()) - 0.5)[0, 8:-8, 8:-8]
    apart = 10  # two periods of the stripes, and more than the step from patch to patch
    alike = (stripes[:, apart:] * stripes[:, :-apart]).mean() / stripes.square().mean()
    assert alike > 0.6  # 0.1 with patches that know nothing of each other


def test_detail_depends_on_the_lot_alone(photo):
    rgb, depth, camera = photo
    new = torch.ones_like(depth, dtype=torch.bool)
    view, texture = view_of(blurred(rgb, 2.5), depth, camera, ~new), PhotoTexture(rgb, depth, camera)
    one, two, other = (texture.detailed(view, new, strength(rgb), seeded(k)) for k in (1, 1, 2))
    assert torch.equal(one, two)
    assert (one - other).abs().max() > 0.01


@pytest.mark.parametrize("size", [(16, 16), (33, 50), (64, 97)])
def test_any_size_of_photo_and_view(photo, size):
    rgb, depth, camera = photo
    texture = PhotoTexture(rgb[:, : size[0], : size[1]], depth[: size[0], : size[1]], camera.crop(0, 0, *size))
    for height, width in ((17, 31), (64, 96)):
        cut = blurred(rgb, 2.5)[:, -height:, :width]
        new = torch.ones(height, width, dtype=torch.bool)
        view = view_of(cut, depth[-height:, :width], camera.crop(HEIGHT - height, 0, height, width), ~new)
        out = texture.detailed(view, new, strength(rgb), seeded())
        assert out.shape == cut.shape
        assert out.isfinite().all()


def test_the_photo_itself_keeps_its_bounds_and_faults_do_not(photo):
    rgb, depth, camera = photo
    hole = torch.zeros_like(depth, dtype=torch.bool)
    hole[10:50, 30:70] = True
    guess = view_of(torch.where(hole, blurred(rgb, 2.5), rgb), depth, camera, ~hole)
    bounds = Bounds.of(rgb)
    assert bounds.hold(guess, replace(guess, rgb=rgb), hole, ~hole)
    assert bounds.hold(guess, guess, hole, ~hole)
    noise = torch.rand(3, HEIGHT, WIDTH, generator=seeded())
    all_sky = torch.where(hole, math.inf, depth)
    no_sky = torch.where(hole, 3.0, depth)
    at_the_nose = torch.where(hole & torch.isfinite(depth), 0.1, depth)
    invalid = torch.where(hole, math.nan, depth)
    faults = {
        "tint": replace(guess, rgb=rgb + 0.2 * hole),
        "noise": replace(guess, rgb=torch.where(hole, noise - noise.mean() + rgb.mean(), rgb)),
        "sky": replace(guess, depth=all_sky),
        "ground": replace(guess, depth=torch.where(hole, math.inf, depth)),
        "near": replace(guess, depth=at_the_nose),
        "nan": replace(guess, depth=invalid),
        "colour": replace(guess, rgb=torch.where(hole, math.nan, rgb)),
    }
    assert [name for name, drawn in faults.items() if bounds.hold(guess, drawn, hole, ~hole)] == []
    # A tint is no fault where it is found anew each time.
    assert bounds.hold(guess, faults["tint"], hole, hole)
    # A sky of which a part becomes ground is no fault.
    assert bounds.hold(guess, replace(guess, depth=no_sky), hole, ~hole)


class Moody(Refiner):
    """Paints holes red as often as told, and then leaves them as guessed."""

    def __init__(self, bad):
        torch.nn.Module.__init__(self)
        self.left = bad

    def style(self, rgb, depth):
        return torch.zeros(1, 1), torch.zeros(1, 1)

    def forward(self, view, z, noise):
        bad, self.left = self.left > 0, self.left - 1
        red = torch.tensor([1.0, 0, 0])[:, None, None]
        rgb = torch.where(view.known[:, None] | (not bad), view.rgb, red)
        return Refined(
            rgb, torch.where(torch.isinf(view.depth), 1.0, view.depth).log(), torch.isinf(view.depth).float() - 0.5
        )


@pytest.mark.parametrize("bad", [0, 1, ATTEMPTS])
def test_a_bad_keyframe_is_drawn_again_and_then_guessed(photo, bad):
    rgb, depth, camera = photo
    known = torch.ones_like(depth, dtype=torch.bool)
    known[25:55, 30:70] = False
    view = view_of(torch.where(known, rgb, blurred(rgb, 2.5)), depth, camera, known)
    painter = Painter(Moody(bad), rgb, depth, camera, seed=0)
    done = painter.complete(view)
    assert painter.drawn == min(bad + 1, ATTEMPTS)
    assert painter.refused == bad
    assert torch.equal(done.rgb[:, known], rgb[:, known])
    assert (done.rgb - view.rgb).mean(dim=(1, 2)).abs().max() < 0.01
    assert torch.equal(done.depth, depth)
