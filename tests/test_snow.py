"""Snow that is laid on a clip, and the pictures from which its detector learns."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from kornia.color import linear_rgb_to_rgb, rgb_to_linear_rgb

from pipelines.training.snow_places import LIGHTS, SnowPlaces, snow_share
from vid2vid.classes import CLASSES
from vid2vid.detector import Detector, DetectorConfig
from vid2vid.snow import BRIGHTNESS, EVERY, FOLLOWS, SNOW, TINT, Snow, cover

GRASS, ROAD, SKY, BUILDING = (CLASSES.index(name) for name in ("grass", "road", "sky", "building"))
SIZE = (48, 64)


class Told:
    """A detector that says what it was told, and counts how often it is asked."""

    def __init__(self, share: torch.Tensor) -> None:
        self.share, self.asked, self.config = share, 0, SimpleNamespace(side=SIZE[0])

    def shares(self, small):
        self.asked += 1
        return self.share[None]


def told(share: torch.Tensor) -> Snow:
    return Snow(Told(share))  # type: ignore[arg-type]


def test_no_snow_changes_nothing():
    frame, labels = torch.rand(3, *SIZE), torch.full(SIZE, GRASS)
    snow = told(torch.ones(SIZE))
    snow.follow(frame, labels, None)
    white, named = snow.lay(frame, labels, 0.0)
    assert torch.equal(white, frame) and torch.equal(named, labels)


def test_snow_on_even_ground_has_the_stated_brightness():
    frame, labels = torch.full((3, *SIZE), 0.4), torch.full(SIZE, GRASS)
    snow = told(torch.ones(SIZE))
    snow.follow(frame, labels, None)
    white, named = snow.lay(frame, labels, 1.0)
    level = BRIGHTNESS * float(rgb_to_linear_rgb(frame).mean()) ** FOLLOWS
    expected = linear_rgb_to_rgb((level * torch.tensor(TINT))[:, None, None].clamp(0, 1))
    assert torch.allclose(white, expected.expand_as(white), atol=2e-3)
    assert (named == SNOW).all()


def test_snow_comes_first_where_it_is_surest():
    share = torch.linspace(0, 1, SIZE[1]).expand(SIZE)
    frame, labels = torch.full((3, *SIZE), 0.4), torch.full(SIZE, GRASS)
    snow = told(share)
    snow.follow(frame, labels, None)
    before = frame
    for amount in (0.2, 0.5, 1.0):
        white, _ = snow.lay(frame, labels, amount)
        rows = white.mean(dim=(0, 1))
        assert (rows.diff() > -1e-4).all()  # more to the right
        assert (white >= before - 1e-6).all() and white.mean() > before.mean()
        before = white


@pytest.mark.parametrize("label", [SKY, ROAD])
def test_no_snow_lies_on_sky_or_road_whatever_is_found(label):
    labels = torch.full(SIZE, GRASS)
    labels[:, 32:] = label
    found = cover(torch.full((3, *SIZE), 0.4), torch.ones(1, *SIZE), labels)[0]
    assert (found[:, 44:] < 0.02).all() and (found[:, :20] > 0.98).all()


def test_walls_are_doubted():
    walls = torch.full(SIZE, BUILDING)
    likely, sure = (cover(torch.full((3, *SIZE), 0.4), torch.full((1, *SIZE), s), walls).mean() for s in (0.5, 1.0))
    assert likely < 0.35 < sure  # below which there is none


def test_snow_moves_with_the_clip_between_looks():
    share = torch.zeros(SIZE)
    share[:, 20:40] = 1.0
    frame, labels = torch.full((3, *SIZE), 0.4), torch.full(SIZE, GRASS)
    snow = told(share)
    snow.follow(frame, labels, None)
    assert snow.cover is not None
    first = snow.cover.clone()
    flow, seen = torch.zeros(2, *SIZE), torch.ones(SIZE, dtype=torch.bool)
    flow[0] = -2.0  # what is here was two pixels to the left: the picture moves to the right
    for _ in range(EVERY - 1):
        snow.follow(frame, labels, (flow, seen))
    assert snow.detector.asked == 1  # type: ignore[attr-defined]
    shift = 2 * (EVERY - 1)
    assert torch.allclose(snow.cover[..., shift + 4 : -4], first[..., 4 : -4 - shift], atol=1e-4)
    snow.follow(frame, labels, (flow, seen))
    assert snow.detector.asked == 2  # type: ignore[attr-defined]


def test_snow_on_dark_ground_flickers_less_than_the_cameras_noise_would_have_it():
    torch.manual_seed(0)
    frames, labels = 0.2 + 0.05 * torch.randn(8, 3, *SIZE), torch.full(SIZE, GRASS)
    still = torch.zeros(2, *SIZE), torch.ones(SIZE, dtype=torch.bool)

    def flicker(motion) -> float:
        snow, shown = told(torch.ones(SIZE)), []
        for k, frame in enumerate(frames):
            snow.follow(frame, labels, motion if k else None)
            shown.append(snow.lay(frame, labels, 1.0)[0])
        return float(torch.stack(shown).diff(dim=0)[3:].abs().mean())

    hidden = still[0], ~still[1]
    assert flicker(still) < 0.6 * flicker(None)
    assert flicker(hidden) == pytest.approx(flicker(None), rel=0.1)  # where nothing was seen before, nothing is kept


def test_the_same_frames_give_the_same_snow():
    torch.manual_seed(0)
    detector = Detector(DetectorConfig(("snow",), 48, (8, 8))).eval()
    frames = torch.rand(6, 3, *SIZE)
    motion = torch.rand(2, *SIZE), torch.ones(SIZE, dtype=torch.bool)
    found = []
    for _ in range(2):
        snow = Snow(detector)
        for k, frame in enumerate(frames):
            snow.follow(frame, torch.full(SIZE, GRASS), motion if k else None)
        found.append(snow.lay(frames[-1], torch.full(SIZE, GRASS), 0.8)[0])
    assert torch.equal(*found)


def test_snow_is_where_only_winter_is_white():
    rgb = torch.zeros(9, 3, 2, 4)
    rgb[0] = rgb[3] = torch.tensor([0.2, 0.4, 0.1])[:, None, None]  # grass by day in summer and autumn
    rgb[6] = 0.9
    rgb[:, :, :, 1] = 0.9  # white in every season
    rgb[6, :, :, 2] = torch.tensor([0.9, 0.4, 0.1])[:, None]  # brighter, but of a colour
    labels = torch.full((2, 4), GRASS)
    labels[:, 3] = SKY
    share = snow_share(rgb, labels)
    assert torch.equal(share[0], torch.tensor([[1.0, 0.0, 0.0, 0.0]]).expand(2, 4))


def test_places_are_looked_at_without_snow():
    rgb = torch.arange(9.0)[:, None, None, None, None].expand(9, 2, 3, 2, 2) / 9
    item = SimpleNamespace(rgb=rgb, labels=torch.full((9, 2, 2, 2), GRASS))
    places = SnowPlaces([item, item])  # type: ignore[arg-type]
    assert len(places) == 2 * len(LIGHTS)
    seen = {round(9 * float(places[k].rgb.mean())) for k in range(len(places))}
    assert seen == set(LIGHTS) and max(seen) < 6  # the lights from 6 on are winter's
