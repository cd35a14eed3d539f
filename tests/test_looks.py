"""Times, seasons and strengths as typed: their moments, ranges that go forward, one clear line for a mistake."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import InputError
from pipelines.looks import (
    DAY,
    FULL,
    SEASONS,
    YEAR,
    Span,
    Strength,
    clock,
    looks,
    parse_season,
    parse_strength,
    parse_time,
    snowfall,
    starlight,
)


@pytest.mark.parametrize(
    ("word", "hour"),
    [
        ("dawn", 6),
        ("day", 12.5),
        ("dusk", 18 + 1 / 6),
        ("Night", 23.5),
        ("0:00", 0),
        ("05:30", 5.5),
        ("23:59", 24 - 1 / 60),
        ("24:00", 0),
    ],
)
def test_a_time_is_one_moment(word, hour):
    span = parse_time(word)
    for progress in (0, 0.3, 1):
        assert span.at(progress) == pytest.approx(hour)


@pytest.mark.parametrize(("word", "place"), [("winter", 0), ("spring", 1), ("summer", 2), (" Autumn ", 3)])
def test_a_season_is_one_moment(word, place):
    assert parse_season(word).at(0) == parse_season(word).at(1) == place


@pytest.mark.parametrize(
    ("word", "hours"),
    [
        ("05:00..22:00", [5, 9.25, 13.5, 17.75, 22]),
        ("22:00..04:00", [22, 23.5, 1, 2.5, 4]),  # through midnight
        ("night..dawn", [23.5, 1.125, 2.75, 4.375, 6]),
        ("0:00 .. 24:00", [0, 6, 12, 18, 0]),
        ("12:00..12:00", [12, 18, 0, 6, 12]),  # once round
    ],
)
def test_a_range_of_times_runs_evenly_and_forward(word, hours):
    assert [parse_time(word).at(k / 4) for k in range(5)] == pytest.approx(hours)


@pytest.mark.parametrize(
    ("word", "places"),
    [("summer..winter", [2, 3, 0]), ("spring..autumn", [1, 2, 3]), ("autumn..summer", [3, 0.5, 2])],
)
def test_a_range_of_seasons_goes_through_the_year(word, places):
    assert [parse_season(word).at(k / 2) for k in range(3)] == pytest.approx(places)


@given(st.integers(0, 1439), st.integers(0, 1439), st.floats(0, 1), st.floats(0, 0.01))
def test_ranges_are_continuous_and_never_go_back(start, end, progress, step):
    span = parse_time(f"{clock(start / 60)}..{clock(end / 60)}")
    assert (clock(span.start), span.end > span.start) == (clock(start / 60), True)
    ahead = (span.at(min(progress + step, 1)) - span.at(progress)) % DAY
    assert min(ahead, DAY - ahead) <= DAY * step + 1e-9
    assert 0 <= span.at(progress) < DAY


@pytest.mark.parametrize(
    ("parser", "word", "part"),
    [
        (parse_time, "noon", "expected dawn, day, dusk, night, or a time such as 18:30, got 'noon'"),
        (parse_time, "nigth", "did you mean night?"),
        (parse_time, "25:00", "from 0:00 to 24:00"),
        (parse_time, "24:01", "from 0:00 to 24:00"),
        (parse_time, "12:60", "got '12:60'"),
        (parse_time, "12", "got '12'"),
        (parse_time, "-1:00", "got '-1:00'"),
        (parse_time, "٣:00", "got"),
        (parse_time, "..", "got ''"),
        (parse_time, "dawn..", "got ''"),
        (parse_time, "dawn..day..night", "got 'day..night'"),
        (parse_season, "snow", "expected winter, spring, summer, autumn"),
        (parse_season, "sumer", "did you mean summer?"),
        (parse_season, "summer..", "got ''"),
        (parse_strength, "1.1", "from 0 to 1, got '1.1'"),
        (parse_strength, "-0.1", "from 0 to 1"),
        (parse_strength, "nan", "finite"),
        (parse_strength, "half", "finite number, got 'half'"),
        (parse_strength, "0:0,1", "SECONDS:STRENGTH"),
        (parse_strength, "0:0,,2:1", "SECONDS:STRENGTH"),
        (parse_strength, "0:0,0:1", "0 after 0 seconds"),
        (parse_strength, "2:0,1:1", "1 after 2 seconds"),
        (parse_strength, "0:2", "from 0 to 1, got '2'"),
        (parse_strength, "a:1", "got 'a'"),
    ],
)
def test_what_cannot_be_read_is_one_clear_line(parser, word, part):
    with pytest.raises(InputError) as caught:
        parser(word)
    assert part in str(caught.value) and "\n" not in str(caught.value)


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 1)), min_size=1, max_size=6, unique_by=lambda key: key[0]))
def test_strengths_are_straight_lines_between_keyframes(keys):
    keys.sort()
    strength = parse_strength(",".join(f"{second!r}:{value!r}" for second, value in keys))
    seconds, values = zip(*keys, strict=True)
    for second in [-1, *np.linspace(0, 101, 50), *seconds]:
        assert strength.at(second) == pytest.approx(np.interp(second, seconds, values), abs=1e-9)


def test_one_strength_holds_throughout():
    assert [parse_strength("0.6").at(second) for second in (0, 3.3, 1e9)] == [0.6] * 3
    assert FULL.at(0) == FULL.at(50) == 1


def test_every_frame_gets_the_look_of_its_time():
    span = Span(2.0, 4.0, YEAR)
    seconds = [0.0, 0.1, 0.5, 2.0]  # of a varying rate
    made = list(looks(seconds, lambda p: torch.tensor([[span.at(p)]]), Strength((0.0, 1.0), (0.0, 1.0))))
    assert [float(look.style) for look in made] == pytest.approx([2.0, 2.1, 2.5, 0.0])
    assert [look.strength for look in made] == pytest.approx([0.0, 0.1, 0.5, 1.0])
    (only,) = looks([0.0], lambda p: torch.tensor([[p]]), FULL)
    assert (float(only.style), only.strength) == (0.0, 1.0)


def test_stars_and_lights_come_out_when_it_is_dark_and_only_where_a_time_is_wished():
    assert [starlight(hour) for hour in (12.0, 18.3, 5.7)] == [0, 0, 0]
    assert [starlight(hour) for hour in (19.0, 0.0, 5.0)] == [1, 1, 1]
    assert 0 < starlight(18.5) < starlight(18.7) < 1
    assert starlight(18.6) == pytest.approx(starlight(5.4))  # rises and sets alike
    style = torch.zeros(1, 2)
    evening = list(looks([0.0, 1.0, 2.0], lambda progress: style, FULL, parse_time("12:00..23:59")))
    assert [look.stars for look in evening] == [0, 0, 1]  # noon, sunset, midnight
    assert [look.lights for look in evening] == [0, 0, 1] and evening[2].awake == pytest.approx(0.38, abs=0.01)
    unasked = looks([0.0, 1.0], lambda progress: style, FULL)
    assert [(look.stars, look.lights) for look in unasked] == [(0, 0), (0, 0)]


def test_snow_lies_in_winter_only():
    winter, summer, autumn = (SEASONS[name] for name in ("winter", "summer", "autumn"))
    assert snowfall(winter) == snowfall(0.3) == snowfall(3.7) == 1
    assert snowfall(summer) == snowfall(autumn) == snowfall(SEASONS["spring"]) == 0
    assert 0 < snowfall(0.5) < 1 and snowfall(3.5) == pytest.approx(snowfall(0.5))
    style = torch.zeros(1, 2)
    months = list(looks([0.0, 1.0, 2.0], lambda progress: style, FULL, None, parse_season("summer..winter")))
    assert [look.snow for look in months] == [0, 0, 1] and all(look.lights == 0 for look in months)
