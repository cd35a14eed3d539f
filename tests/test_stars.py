"""Stars over a clip: how much light, where, and how they move."""

import math
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from kornia.color import rgb_to_linear_rgb

from pipelines.media.images import read_image
from render_refine.working_size import reduced
from vid2vid import stars as module
from vid2vid.classes import CLASSES
from vid2vid.optical_flow import optical_flow
from vid2vid.stars import SKY, Stars, disc, far_motion, unit

LAND = CLASSES.index("building")
BLUE = torch.tensor([0.2, 0.4, 0.8])[:, None, None]


def noise(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def night(height, width, level=0.1):
    """An even dark frame, the blue day it was, and labels that are sky everywhere."""
    rgb = torch.full((3, height, width), level)
    return rgb, BLUE.expand(3, 90, 160), torch.full((90, 160), SKY)


def one_star(x, y, brightness=1e-5):
    """A field of a single white star, at units from the middle of the frame."""
    field = Stars()
    field.places = torch.tensor([complex(x, y)], dtype=torch.complex128)
    field.light = torch.full((3, 1), brightness, dtype=torch.float64)
    return field


def added_light(field, rgb, frame, labels):
    return (rgb_to_linear_rgb(field.draw(rgb, frame, labels, 1.0)) - rgb_to_linear_rgb(rgb)).double()


def scene(seed=0, height=90, width=160, skyline=45):
    """A textured frame with sky above ``skyline``."""
    frame = F.interpolate(noise(1, 3, height // 3, width // 3, seed=seed), (height, width), mode="bicubic")[0].clamp(
        0, 1
    )
    labels = torch.full((height, width), SKY)
    labels[skyline:] = LAND
    return frame, labels


def moving(labels, land, sky=None):
    """Flow, the same over the land and over the sky, or not, and full visibility."""
    flow = torch.tensor(land)[:, None, None].expand(2, *labels.shape).clone()
    if sky is not None:
        flow[:, labels == SKY] = torch.tensor(sky)[:, None]
    return flow, torch.ones(labels.shape, dtype=torch.bool)


@pytest.mark.parametrize("size", [(180, 320), (360, 640), (1080, 1920)])
@pytest.mark.parametrize("x", [0.0, 0.0007, 0.0013])
def test_a_star_has_its_light_wherever_it_falls_on_the_pixels_and_at_any_size(size, x):
    brightness = 1e-5 * min(1, 360 / size[0]) ** 2  # below what a pixel can hold
    light = added_light(one_star(x, -0.1 + 2 * x, brightness), *night(*size))
    wanted = brightness * unit(*size) ** 2
    for channel in light.sum(dim=(1, 2)).tolist():
        assert channel == pytest.approx(wanted, rel=0.01)


def test_the_middle_of_its_light_is_where_the_star_is():
    light = added_light(one_star(0.21, -0.13), *night(360, 640))[0]
    middle = [float((light.sum(dim=k) * (torch.arange(light.shape[1 - k]) + 0.5)).sum() / light.sum()) for k in (0, 1)]
    assert middle == pytest.approx([320 + 0.21 * 360, 180 - 0.13 * 360], abs=0.05)


def test_a_disc_is_the_integral_of_a_gaussian():
    steps = torch.arange(-3, 4).double()
    fine = (torch.arange(7000).double() + 0.5) / 1000 - 3 - 0.3
    bell = torch.exp(-0.5 * (fine / 0.7) ** 2).reshape(7, 1000).sum(dim=1)
    torch.testing.assert_close(disc(steps[None] - 0.3, 0.7)[0], bell / bell.sum(), atol=1e-6, rtol=0)


def test_few_are_bright_and_many_faint():
    """With every magnitude, 2.512 times less light, there are 3.2 times as many; within the errors of counting."""
    light = Stars().light[1]
    counts = [int((light > light.max() * 0.9 / 2.512**k).sum()) for k in range(4)]
    for brighter, fainter in pairwise(counts[1:]):
        assert fainter / brighter == pytest.approx(2.512**1.25, rel=0.25)
    assert counts[0] < len(light) / 50


def test_without_any_amount_the_frame_is_the_same_bit_for_bit():
    _, frame, labels = night(360, 640)
    rgb = noise(3, 360, 640)
    assert torch.equal(Stars().draw(rgb, frame, labels, 0.0), rgb)


def test_they_come_out_in_proportion():
    rgb, frame, labels = night(360, 640)
    half, full = (
        rgb_to_linear_rgb(one_star(0, 0).draw(rgb, frame, labels, a)) - rgb_to_linear_rgb(rgb) for a in (0.5, 1)
    )
    torch.testing.assert_close(half, full / 2, atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [(270, 480), (360, 640)])
def test_nothing_but_sky_changes(size):
    frame = BLUE.expand(3, 90, 160)
    labels = torch.full((90, 160), SKY)
    labels[50:] = LAND
    labels[10:50, 40:43] = LAND  # a tower
    rgb = 0.1 + 0.01 * noise(3, *size)
    drawn = Stars().draw(rgb, frame, labels, 1.0)
    changed = (drawn != rgb).any(dim=0)
    sky = F.interpolate((labels == SKY).byte()[None, None], size, mode="nearest-exact")[0, 0] == 1
    inner = -F.max_pool2d(-sky.float()[None], 5, stride=1, padding=2)[0] == 1
    assert changed.sum() > 500
    assert not (changed & ~inner).any()


def test_clouds_and_wires_and_bright_skies_hide_them():
    rgb, frame, labels = night(360, 640)
    field = one_star(0.3, -0.2)
    x, y = round(320 + 0.3 * 360), round(180 - 0.2 * 360)
    assert not torch.equal(field.draw(rgb, frame, labels, 1.0), rgb)
    assert torch.equal(field.draw(rgb, torch.full_like(frame, 0.7), labels, 1.0), rgb)
    wire, bright = rgb.clone(), torch.full_like(rgb, 0.6)
    wire[:, :, x + 1] = 0.02
    assert torch.equal(field.draw(wire, frame, labels, 1.0), wire)
    assert torch.equal(field.draw(bright, frame, labels, 1.0), bright)
    far = rgb.clone()
    far[:, y + 20 :] = 0.9
    assert not torch.equal(field.draw(far, frame, labels, 1.0), far)


def test_the_same_seed_gives_the_same_stars():
    assert torch.equal(Stars(4).positions(360, 640), Stars(4).positions(360, 640))
    assert not torch.equal(Stars(4).places, Stars(5).places)


@pytest.mark.parametrize("step", [(1.5, -0.5), (0.1, 0.0), (-6.0, 2.0)])
def test_they_go_with_the_land(step):
    """What was at p + flow is at p: after k frames a star has gone -k flow, here in pixels of twice the size."""
    frame, labels = scene()
    flow, visible = moving(labels, step)
    field = one_star(0.0, 0.0)
    for _ in range(20):
        field.follow(frame, labels, flow, visible)
    wanted = torch.tensor([160 - 20 * 2 * step[0], 90 - 20 * 2 * step[1]]).double()
    wanted = (wanted - torch.tensor([160, 90]) + 450) % 900 - 450 + torch.tensor([160, 90])  # the field repeats
    assert (field.positions(180, 320)[:, 0] - wanted).abs().max() < 20 * 0.1 * 2


def test_they_turn_with_a_rolling_camera():
    frame, labels = scene()
    y, x = torch.meshgrid(torch.arange(90) + 0.5 - 45, torch.arange(160) + 0.5 - 80, indexing="ij")
    angle = 0.01
    flow = torch.stack(
        [x * (math.cos(angle) - 1) - y * math.sin(angle), x * math.sin(angle) + y * (math.cos(angle) - 1)]
    )
    found = far_motion(frame, labels, flow, torch.ones(90, 160, dtype=torch.bool))
    torch.testing.assert_close(found, torch.tensor([0, 0, angle]).double(), atol=3e-4, rtol=0)


def test_a_fixed_camera_leaves_every_star_in_its_place():
    """Noise of the flow moves nothing at all, however long it goes on."""
    frame, labels = scene()
    field = Stars()
    before = field.positions(180, 320)
    for k in range(60):
        flow = 0.3 * (noise(2, 90, 160, seed=k) - 0.5)
        field.follow(frame, labels, flow, torch.ones(90, 160, dtype=torch.bool))
    assert torch.equal(field.positions(180, 320), before)


def test_clouds_that_drift_do_not_take_them_along():
    frame, labels = scene()
    field = Stars()
    before = field.positions(180, 320)
    for _ in range(20):
        field.follow(frame, labels, *moving(labels, land=(0.0, 0.0), sky=(2.0, 0.5)))
    assert torch.equal(field.positions(180, 320), before)


def test_what_passes_before_the_skyline_does_not_take_them_along():
    """A third of the skyline goes another way."""
    frame, labels = scene()
    flow, visible = moving(labels, (1.0, 0.0))
    flow[:, 40:, 20:70] = torch.tensor([-7.0, 3.0])[:, None, None]
    found = far_motion(frame, labels, flow, visible) * 90
    assert found[:2].tolist() == pytest.approx([1.0, 0.0], abs=0.1)


def test_driving_on_does_not_make_the_sky_grow():
    """All flows out of a point on the skyline: stars stay."""
    frame, labels = scene()
    y, x = torch.meshgrid(torch.arange(90) + 0.5 - 52, torch.arange(160) + 0.5 - 80, indexing="ij")
    found = far_motion(frame, labels, -0.02 * torch.stack([x, y]), torch.ones(90, 160, dtype=torch.bool)) * 90
    assert found.abs().max() < 0.1


def test_where_nothing_is_known_they_stay():
    frame, labels = scene()
    flow, visible = moving(labels, (3.0, 1.0))
    assert far_motion(frame, labels, flow, ~visible).abs().max() == 0
    assert far_motion(torch.full_like(frame, 0.5), labels, flow, visible).abs().max() == 0
    # An even skyline, stripes along it, tells nothing of left and right.
    stripes = noise(1, 90, 1).expand(3, 90, 160)
    found = far_motion(stripes, labels, flow, visible) * 90
    assert found[1] == pytest.approx(1.0, abs=0.1)
    assert abs(found[0]) < 0.1


def test_without_land_the_sky_itself_is_asked():
    frame, labels = scene(skyline=90)
    found = far_motion(frame, labels, *moving(labels, (2.0, -1.0))) * 90
    assert found[:2].tolist() == pytest.approx([2.0, -1.0], abs=0.05)


def test_a_cut_starts_anew():
    frame, labels = scene()
    field = Stars()
    field.follow(frame, labels, *moving(labels, (5.0, 1.0)))
    assert not torch.equal(field.positions(90, 160), Stars().positions(90, 160))
    field.start()
    assert torch.equal(field.positions(90, 160), Stars().positions(90, 160))


def test_they_follow_a_real_pan(data_dir):
    """Against the shift of the land that phase correlation finds between frames, at the working size."""
    import cv2

    files = sorted((data_dir / "clips" / "annarbor_field_sky_7fps").glob("*.jpg"))[:6]
    if len(files) < 6:
        pytest.skip("no clip annarbor_field_sky_7fps")
    small = [reduced(read_image(file)[None], 160)[0] for file in files]
    labels = torch.full(small[0].shape[-2:], SKY)
    labels[88:] = LAND
    field, wanted = Stars(), 0.0
    for before, frame in pairwise(small):
        field.follow(frame, labels, *optical_flow(frame, before))
        bands = [image.mean(dim=0)[86:114].double().numpy() for image in (frame, before)]
        (right, _), _ = cv2.phaseCorrelate(*bands, cv2.createHanningWindow(bands[0].shape[::-1], cv2.CV_64F))
        wanted += right
    assert abs(wanted) > 10
    assert field.shift.real * 160 == pytest.approx(wanted, rel=0.15)


def test_what_is_kept_does_not_grow():
    frame, labels = scene()
    field = Stars()
    kept = {name: getattr(value, "shape", type(value)) for name, value in vars(field).items()}
    for _ in range(5):
        field.follow(frame, labels, *moving(labels, (40.0, -30.0)))
    assert {name: getattr(value, "shape", type(value)) for name, value in vars(field).items()} == kept
    assert abs(field.turn) == pytest.approx(1)
    seen = field.positions(90, 160)
    inside = ((seen > 0) & (seen < torch.tensor([[160.0], [90.0]]))).all(dim=0)
    assert int(inside.sum()) == pytest.approx(module.DENSITY * 160 / 90, rel=0.25)  # the field has no end
