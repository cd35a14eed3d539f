"""Lights that come on: which windows, how much light, where, and that they stay as they are while the camera moves."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from kornia.color import rgb_to_linear_rgb

from pipelines.looks import Look, awake, lamplight
from pipelines.media.images import read_image
from pipelines.models import load_lights
from render_refine.working_size import reduced
from vid2vid.classes import CLASSES
from vid2vid.detector import Detector, DetectorConfig
from vid2vid.lights import COLOURS, DIMMEST, KINDS, WARM, Lights, numbered, potential, window_light
from vid2vid.restyle import Source, restyle
from vid2vid.restyler import Restyled

BUILDING, SKY, ROAD = (CLASSES.index(name) for name in ("building", "sky", "road"))
HEIGHT, WIDTH = 80, 120


class Reads:
    """Takes what is red for windows, what is blue for lamps, and counts how often it looked."""

    config = SimpleNamespace(side=HEIGHT)

    def __init__(self):
        self.looked = 0

    def shares(self, small):
        self.looked += 1
        shares = torch.zeros(len(KINDS), *small.shape[-2:])
        shares[KINDS.index("window")] = (small[0] - small[1]).clamp(0, 1)
        shares[KINDS.index("lamp")] = (small[2] - small[0]).clamp(0, 1)
        return shares


class Keeps:
    """A restyler that darkens everything and knows no time."""

    config = SimpleNamespace(side=HEIGHT)

    def __call__(self, frame, labels, known, z):
        maps = torch.zeros(1, 12, *frame.shape[-2:])
        return Restyled(0.2 * frame, maps, 0.2 * frame)


def wall(windows=(), lamps=(), width=WIDTH):
    """A grey, slightly textured frame with red windows and blue lamps, each (top, left, height, width)."""
    rgb = 0.4 + 0.05 * torch.rand(1, HEIGHT, width, generator=torch.Generator().manual_seed(0)).repeat(3, 1, 1)
    for boxes, colour in ((windows, (1.0, 0.0, 0.0)), (lamps, (0.0, 0.0, 1.0))):
        for top, left, height, wide in boxes:
            rgb[:, top : top + height, left : left + wide] = torch.tensor(colour)[:, None, None]
    return rgb


GRID = [(top, left, 5, 4) for top in (10, 22, 34) for left in range(8, 110, 9)]
HOUSE = torch.full((HEIGHT, WIDTH), BUILDING)


def shown(frame, labels=HOUSE, share=1.0, amount=1.0):
    """A dark frame with the lights of ``frame`` on, less without: linear light."""
    lights, dark = Lights(Reads()), torch.full_like(frame, 0.1)
    lights.follow(frame, labels, None)
    return rgb_to_linear_rgb(lights.draw(dark, frame, share, amount)) - rgb_to_linear_rgb(dark)


def test_a_window_is_lit_from_its_hour_on():
    numbers = torch.tensor([[0.0, 0.2, 0.6, 0.6]])
    light = window_light(torch.tensor([[1.0, 1.0, 1.0, 0.5]]), numbers, 0.5)
    assert light[:, 0, 0].eq(0).all() and light[:, 0, 2].eq(0).all()
    assert float(light[:, 0, 1].amax()) >= DIMMEST * max(WARM) - 1e-6
    later = window_light(torch.ones(1, 4), numbers, 0.7)
    assert torch.equal(later[:, :, :2], light[:, :, :2])  # a window does not change as others come on
    half = window_light(torch.tensor([[1.0, 1.0, 1.0, 0.5]]), numbers, 0.7)
    torch.testing.assert_close(half[:, 0, 3], later[:, 0, 2] / 2)


def test_every_window_draws_a_number_and_keeps_it():
    window = torch.zeros(40, 60)
    window[5:9, 5:8] = window[5:9, 12:15] = 1.0
    first = numbered(window, torch.zeros(40, 60), torch.Generator().manual_seed(0))
    left, right = first[5:9, 5:8], first[5:9, 12:15]
    assert (left == left[0, 0]).all() and (right == right[0, 0]).all() and left[0, 0] != right[0, 0]
    assert 0 < float(left[0, 0]) < 1 and 0 < float(right[0, 0]) < 1
    # The left one is seen anew, the right one has changed its outline, a third one is new.
    window[5:12, 12:16] = 1.0
    window[20:24, 30:33] = 1.0
    known = torch.where(first == left[0, 0], 0, first)
    again = numbered(window, known, torch.Generator().manual_seed(9))
    assert (again[5:12, 12:16] == right[0, 0]).all()
    assert float(again[6, 6]) not in (0.0, float(left[0, 0])) and float(again[21, 31]) not in (0.0, float(again[6, 6]))
    assert float(again[30, 50]) == 0


def test_what_is_too_long_for_a_window_is_several():
    window = torch.zeros(40, 60)
    window[5:9, 5:55] = 1.0
    found = numbered(window, torch.zeros(40, 60), torch.Generator().manual_seed(0))[5:9, 5:55]
    assert found.unique().numel() == 5 and (found == found[:1]).all()


def test_the_share_of_lit_windows_is_the_wish_and_windows_go_out_one_by_one():
    frame = wall(GRID)
    lit = []
    for share in (1.0, 0.75, 0.5, 0.25, 0.1):
        light = shown(frame, share=share)
        lit.append({box for box in GRID if float(light[0, box[0] + 2, box[1] + 2]) > 0.1})
    assert len(lit[0]) == len(GRID)
    for share, now in zip((0.75, 0.5, 0.25), lit[1:], strict=False):
        assert abs(len(now) / len(GRID) - share) < 0.2
    assert all(later < earlier for earlier, later in itertools.pairwise(lit))


def test_lamps_shine_in_their_colour_and_only_nearby():
    frame = wall(lamps=[(30, 20, 4, 4)])
    light = shown(frame, share=0.0)
    there = light[:, 32, 22]
    assert there[0] > there[1] > there[2] > 0.2  # as in COLOURS
    assert COLOURS["lamp"][0] > COLOURS["lamp"][1] > COLOURS["lamp"][2]
    halo = [float(light[0, 32, column]) for column in (26, 30, 34)]
    assert there[0] > halo[0] > halo[1] > halo[2] >= 0
    assert (light[..., 90:] == 0).all()
    assert float(light.min()) >= -1e-6
    assert float(shown(frame, amount=0.3)[0, 32, 22]) < float(there[0])
    bus = wall(lamps=[(30, 20, 20, 40)])
    assert float(shown(bus, share=0.0)[0, 36:44, 26:54].max()) < 0.01  # no lamp is that large


def test_the_sky_and_the_road_give_no_light():
    boxes = [(10, 20, 6, 6), (40, 60, 6, 6), (60, 90, 6, 6)]
    frame, labels = wall(boxes), HOUSE.clone()
    labels[:25], labels[55:] = SKY, ROAD
    light = shown(frame, labels)
    assert float(light[0, 43, 63]) > 0.1
    assert float(light[0, 13, 23]) < 0.01 and float(light[0, 63, 93]) < 0.01


def test_leaves_are_no_panes():
    frame = wall([(30, 20, 6, 6), (30, 60, 6, 6)])
    frame[:, 20:50, 50:80] = torch.tensor([0.3, 0.5, 0.2])[:, None, None]  # nothing red is left of the second
    shares = torch.zeros(len(KINDS), HEIGHT, WIDTH)
    shares[0, 30:36, 20:26] = shares[0, 30:36, 60:66] = 0.9
    window = potential(frame, shares, HOUSE)[0]
    assert float(window[32, 22]) > 0.9 and float(window[32, 62]) < 0.01


def pan(frames, step=2, moves=True):
    """A view that moves right over a long wall, with its true motion."""
    long = wall([(top, left, 5, 4) for top in (10, 22, 34) for left in range(8, 300, 9)], width=320)
    for k in range(frames):
        flow = torch.zeros(2, HEIGHT, WIDTH)
        flow[0] = step
        motion = None if k == 0 else (flow, torch.ones(HEIGHT, WIDTH, dtype=torch.bool))
        yield long[..., step * k : step * k + WIDTH], motion


def test_windows_stay_as_they_are_while_the_camera_pans():
    lights, states = Lights(Reads()), {}
    for k, (frame, motion) in enumerate(pan(24)):
        lights.follow(frame, HOUSE, motion)
        light = window_light(lights.light[0], lights.numbers, 0.5)
        for top, left in itertools.product((10, 22, 34), range(8, 300, 9)):
            column = left - 2 * k
            if 6 < column < WIDTH - 16:  # well inside: seen for longer than between two looks
                states.setdefault((top, left), []).append(light[:, top + 2, column + 2])
    long = [torch.stack(seen) for seen in states.values() if len(seen) > 10]
    assert len(long) > 30
    assert 0.25 < sum(float(seen[0].amax()) > 0 for seen in long) / len(long) < 0.75
    for seen in long:
        assert float((seen - seen[0]).abs().max()) < 0.02


def test_the_same_clip_has_the_same_lights():
    def run():
        lights = Lights(Reads())
        for frame, motion in pan(7):
            lights.follow(frame, HOUSE, motion)
        return lights.draw(0.1 * frame, frame, 0.5, 1.0)

    assert torch.equal(run(), run())


def test_no_hour_no_strength_no_light():
    frame, detector = wall(GRID), Reads()
    style = torch.zeros(1, 4)

    def made(*looks):
        sources = [Source(frame, HOUSE, *look) for look in looks]
        return list(restyle(Keeps(), sources, detector))

    day, none, plain = made(Look.at(style, 1.0, 13.0), Look.at(style, 0.0, 23.0), Look(style, 1.0))
    assert detector.looked == 0
    assert torch.equal(none, frame) and torch.equal(day, plain)
    (night,) = made(Look.at(style, 1.0, 21.0))
    assert detector.looked == 1
    assert (night - plain).min() >= -1e-6 and float((night - plain)[:, 10:40].mean()) > 0.02
    without = next(restyle(Keeps(), [Source(frame, HOUSE, *Look.at(style, 1.0, 21.0))]))
    assert torch.equal(without, plain)


def test_a_frame_without_lights_stays_bit_exact():
    frame = wall()
    lights = Lights(Reads())
    lights.follow(frame, HOUSE, None)
    assert lights.draw(frame, frame, 1.0, 1.0) is frame
    assert Lights(Reads()).draw(frame, frame, 1.0, 1.0) is frame


def test_the_evening_lights_up_and_the_night_goes_to_sleep():
    assert [lamplight(hour) for hour in (6.5, 12.0, 17.9, 18.0)] == [0, 0, 0, 0]
    assert 0 < lamplight(18.2) < lamplight(18.4) < 1
    assert all(lamplight(hour) == 1 for hour in (19, 23.5, 0.0, 3.0, 5.0))
    assert awake(19.0) >= 0.7 and awake(23.99) == pytest.approx(awake(0.0), abs=0.01)
    assert awake(23.5) > 0.4 > awake(0.5) > awake(2.0) > 0 and awake(3.5) < 0.1
    hours = [h / 10 for h in range(190, 240)]
    assert all(awake(a) >= awake(b) for a, b in itertools.pairwise(hours))


def test_the_detector_answers_for_every_pixel():
    torch.manual_seed(0)
    detector = Detector(DetectorConfig(KINDS, 32, (4, 8))).eval()
    for size in ((32, 48), (34, 50)):
        shares = detector.shares(torch.rand(3, *size))
        assert shares.shape == (len(KINDS), *size)
        assert 0 <= float(shares.min()) < float(shares.max()) <= 1
    with pytest.raises(ValueError, match="32"):
        DetectorConfig(KINDS, side=16)


def test_windows_of_real_houses_are_found(data_dir):
    path = data_dir / "multiview/lund_street/images/23.jpg"
    if not path.is_file():
        pytest.skip(f"no {path}")
    photo = read_image(path)
    shares = load_lights().shares(reduced(photo[None], 320)[0])
    shares = F.interpolate(shares[None], photo.shape[-2:], mode="bilinear")[0]

    def mean(kind, top, bottom, left, right):
        return float(shares[KINDS.index(kind), top:bottom, left:right].mean())

    windows = ((38, 112, 68, 80), (220, 285, 81, 93), (182, 260, 540, 560))
    walls, sky, stones = ((100, 150, 595, 635), (130, 200, 10, 60)), (20, 120, 200, 380), (330, 470, 200, 500)
    assert min(mean("window", *box) for box in windows) > 0.2
    assert max(mean(kind, *box) for kind in KINDS for box in (*walls, sky, stones)) < 0.02
