"""Places under nine lights, and the examples that are cut from them."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.training.light_pairs import CHANGES, LightPairs, draw_change, told
from pipelines.training.light_set import HOURS, LATITUDE, SEASONS, LightSet, light_at, render_lights, solar_hour
from pipelines.worlds import Light
from pipelines.worlds.light import sun_angles
from render_refine.warp import backward_warp
from vid2vid.classes import CLASSES

HEIGHT, WIDTH = 48, 72


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    found = LightSet(tmp_path_factory.mktemp("lights"), 4, height=HEIGHT, width=WIDTH, seed=20)
    found.make(processes=1)
    return found


@given(st.floats(0, 4))
@settings(deadline=None)
def test_the_sun_rises_at_six_and_sets_at_eighteen_in_every_season(season):
    for hour in (6.0, 18.0):
        assert abs(sun_angles(solar_hour(hour, season), season, LATITUDE)[0]) < 1e-6
    assert solar_hour(12.0, season) == 12.0
    assert solar_hour(0.0, season) % 24 == pytest.approx(0.0, abs=1e-9)
    hours = [solar_hour(h / 4, season) for h in range(4 * 12, 4 * 24)]
    assert all(a < b for a, b in pairwise(hours))


def test_at_the_equinox_hours_are_the_suns_own():
    for hour in (1.0, 5.5, 9.0, 12.0, 17.25, 21.0):
        assert solar_hour(hour, 1.0) % 24 == pytest.approx(hour)


def test_nights_are_dark():
    light = light_at(Light.random(torch.Generator().manual_seed(1)), 23.5, 2.0)
    noon = light_at(light, 12.0, 2.0)
    assert light.elevation < math.radians(-10) < noon.elevation
    assert light.exposure < 0.5 * Light.random(torch.Generator().manual_seed(1)).exposure


@pytest.mark.parametrize("index", range(4))
def test_a_place_keeps_its_things_and_changes_its_light(places, index):
    item = places[index]
    day, night = 0, 2
    assert item.rgb.shape == (len(HOURS) * len(SEASONS), 2, 3, HEIGHT, WIDTH)
    assert torch.equal(item.labels[day], item.labels[night])  # the hour changes no label
    snow = item.labels == CLASSES.index("snow")
    assert torch.equal(item.labels[0][~snow[6]], item.labels[6][~snow[6]]) or index % 2 == 0  # nor the season, but snow
    mean = item.rgb.mean(dim=(1, 2, 3, 4))
    assert mean[night] < 0.75 * mean[day] and mean[6 + night] < 0.75 * mean[6 + day]  # fog is bright by night too
    assert item.hours[:3].tolist() == item.hours[6:].tolist() and item.seasons[0] == item.seasons[2]
    assert abs((item.seasons[6] + 2) % 4 - 2) < 0.3 and 2.7 < item.seasons[3] < 3.3


def test_landscapes_are_white_in_winter(places):
    for index in (1, 3):
        item = places[index]
        white = (item.labels[6] == CLASSES.index("snow")).float().mean()
        assert white > 0.1 and white > 2 * (item.labels[0] == CLASSES.index("snow")).float().mean()


@pytest.mark.parametrize("index", range(4))
def test_the_flow_leads_to_the_first_frame(places, index):
    item = places[index]
    for light in (0, 8):
        first, second = item.rgb[light]
        moved, _ = backward_warp(first[None], item.flow[None].nan_to_num(0))
        error = (moved[0] - second).abs().mean(dim=0)[item.visible]
        assert item.visible.float().mean() > 0.5 and float(error.median()) < 0.03


def test_a_place_follows_from_its_number(places):
    again = render_lights(20, 1, HEIGHT, WIDTH)
    torch.testing.assert_close(places[1].rgb, again.rgb, atol=0.5 / 255 + 1e-6, rtol=0)
    assert torch.equal(places[1].labels, again.labels)


def test_changes_are_of_the_hour_the_season_or_both():
    generator = torch.Generator().manual_seed(0)
    kinds = {"hour": 0, "season": 0, "both": 0, "none": 0}
    from_day = [0, 0, 0]
    for _ in range(600):
        before, after = draw_change(generator)
        from_day[after % 3] += before % 3 == 0
        hour, season = before % 3 != after % 3, before // 3 != after // 3
        kinds["both" if hour and season else "hour" if hour else "season" if season else "none"] += 1
    wanted = (*CHANGES, 1 - sum(CHANGES))
    assert [count / 600 for count in kinds.values()] == pytest.approx(wanted, abs=0.05)
    assert from_day[2] / (from_day[1] + from_day[2]) == pytest.approx(2 / 3, abs=0.06)  # night has more to learn


def test_what_changes_is_always_told(places):
    generator = torch.Generator().manual_seed(0)
    item = places[0]
    quiet = 0
    for _ in range(200):
        hour, season = told(item, 0, 2, generator)  # day to night, one season
        assert hour == item.hours[2] and (season.isnan() or season == item.seasons[2])
        quiet += int(season.isnan())
    assert 70 < quiet < 130


@pytest.mark.parametrize("seed", range(4))
def test_examples_agree_with_themselves(places, seed):
    """Mirrored, cut and resized: the flow still leads from the second frame to the first."""
    pairs = LightPairs(places, 32, 48)
    example = pairs.example(torch.Generator().manual_seed(seed))
    for frames in (example.source, example.target):
        moved, inside = backward_warp(frames[:1], example.flow[None].nan_to_num(0))
        seen = (inside[0] & (example.visible > 0))[0]
        still = (frames[0] - frames[1]).abs().mean(dim=0)[seen]
        error = (moved[0] - frames[1]).abs().mean(dim=0)[seen]
        assert float(error.mean()) < float(still.mean()) + 0.02 and float(error.median()) < 0.08
    assert example.source.min() >= 0 and example.source.max() <= 1 and example.reference.shape == (3, 32, 48)
