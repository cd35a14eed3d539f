"""Times of day, seasons and strengths as a person types them, and the look that they give to every frame.

A range runs evenly over the clip and always forward: ``22:00..05:00`` goes through midnight, ``autumn..spring`` through
the winter, and a range that ends where it begins goes once round the clock or the year.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from torch import Tensor

from pipelines.cli import suggestion
from pipelines.errors import InputError
from pipelines.options import parse_number

DAY, YEAR = 24.0, 4.0  # hours; seasons
# Hours of the equinox, in every season: the sun rises at 6 and sets at 18.
HOURS = {"dawn": 6.0, "day": 12.5, "dusk": 18 + 10 / 60, "night": 23.5}
# Shares of windows that are lit at some hours, with straight lines between.
AWAKE_HOURS = (0.0, 1.0, 2.5, 4.5, 6.5, 9.0, 16.0, 19.0, 21.5, 23.0, 24.0)
AWAKE = (0.38, 0.18, 0.08, 0.06, 0.4, 0.2, 0.2, 0.75, 0.75, 0.55, 0.38)
SEASONS = {"winter": 0.0, "spring": 1.0, "summer": 2.0, "autumn": 3.0}


class Look(NamedTuple):
    """What is wanted of one frame.

    Attributes:
        style: code (1, D); strength: how much of it, from 0 (the frame itself) to 1.
        stars: how far they are out, from 0 to 1.
        lights: how bright lamps and windows are, from 0 to 1; awake: share of the windows that is lit.
        snow: how much of it lies, from 0 to 1.
    """

    style: Tensor
    strength: float
    stars: float = 0.0
    lights: float = 0.0
    awake: float = 0.0
    snow: float = 0.0

    @staticmethod
    def at(style: Tensor, strength: float, hour: float | None = None, season: float | None = None) -> Look:
        """A look with what an hour and a season bring, as far as they are known."""
        night = (0.0, 0.0, 0.0) if hour is None else (starlight(hour), lamplight(hour), awake(hour))
        return Look(style, strength, *night, 0.0 if season is None else snowfall(season))


@dataclass(frozen=True)
class Span:
    """A moment, or a way forward from one to another, in hours or seasons; ``period`` is once round."""

    start: float
    end: float
    period: float

    def at(self, progress: float) -> float:
        """The moment in [0, period) at ``progress`` in [0, 1]."""
        return (self.start + progress * (self.end - self.start)) % self.period


@dataclass(frozen=True)
class Strength:
    """Strengths in [0, 1] at increasing seconds; straight lines between them, constant before and after."""

    seconds: tuple[float, ...]
    values: tuple[float, ...]

    def at(self, second: float) -> float:
        """The strength at a time."""
        after = bisect.bisect_right(self.seconds, second)
        if after in (0, len(self.seconds)):
            return self.values[min(after, len(self.values) - 1)]
        (start, end), (a, b) = (row[after - 1 : after + 1] for row in (self.seconds, self.values))
        return a + (b - a) * (second - start) / (end - start)


FULL = Strength((0.0,), (1.0,))  # the whole look, all the time


def starlight(hour: float) -> float:
    """How far the stars are out at an hour of the equinox: from 0, with the sun 6 degrees down, to 1, with 14."""
    below = 15 * abs(hour - 12) - 90  # degrees of the sun on the equator
    return min(1.0, max(0.0, (below - 6) / 8))


def lamplight(hour: float) -> float:
    """How far lights are on at an hour of the equinox: from 0, with the sun setting, to 1, with it 8 degrees down."""
    below = 15 * abs(hour - 12) - 90
    return min(1.0, max(0.0, (below - 0.5) / 7.5))


def awake(hour: float) -> float:
    """The share of windows that is lit at an hour in [0, 24), were it dark: most in the evening, few after midnight."""
    after = bisect.bisect_right(AWAKE_HOURS, hour)
    (start, end), (a, b) = (row[after - 1 : after + 1] for row in (AWAKE_HOURS, AWAKE))
    return a + (b - a) * (hour - start) / (end - start)


def snowfall(season: float) -> float:
    """How much snow lies at a season in [0, 4): all in the middle of winter, none from early spring to late autumn."""
    away = min(season, YEAR - season)
    return min(1.0, max(0.0, (0.75 - away) / 0.4))


def looks(
    seconds: Sequence[float],
    style: Callable[[float], Tensor],
    strength: Strength,
    time: Span | None = None,
    season: Span | None = None,
) -> Iterator[Look]:
    """A look for every frame.

    Args:
        seconds: when each frame is shown, increasing from 0.
        style: from progress in [0, 1] over the clip to a style code (1, D).
        strength: over the seconds.
        time: hours over the clip, where it gets another time of day; it brings out stars and lights.
        season: over the clip, where it gets another one; winter brings snow.
    """
    for second in seconds:
        progress = second / (seconds[-1] or 1.0)
        moment = (None if span is None else span.at(progress) for span in (time, season))
        yield Look.at(style(progress), strength.at(second), *moment)


def parse_time(word: str) -> Span:
    """``"dusk"``, ``"18:30"`` or ``"05:00..night"``.

    Raises:
        InputError: none of these.
    """
    return parse_span(word, hour, DAY)


def parse_season(word: str) -> Span:
    """``"winter"`` or ``"summer..winter"``.

    Raises:
        InputError: none of these.
    """
    return parse_span(word, season, YEAR)


def parse_span(word: str, moment: Callable[[str], float], period: float) -> Span:
    """One moment, or two with ``..`` between them."""
    ends = [moment(part.strip().lower()) for part in word.split("..", 1)]
    if len(ends) == 1:
        return Span(ends[0], ends[0], period)
    start, end = ends
    return Span(start, end if end > start else end + period, period)


def hour(word: str) -> float:
    """A name of ``HOURS``, or a time from 0:00 to 24:00, in hours."""
    digits = re.fullmatch(r"([0-9]{1,2}):([0-5][0-9])", word)
    if digits is None:
        return named(word, HOURS, "or a time such as 18:30")
    hours = int(digits[1]) + int(digits[2]) / 60
    if hours > DAY:
        raise InputError(f"expected a time from 0:00 to 24:00, got {word!r}")
    return hours


def clock(hours: float) -> str:
    """Hours as a clock shows them: 18.5 is "18:30"."""
    minutes = round(hours * 60)
    return f"{minutes // 60}:{minutes % 60:02}"


def season(word: str) -> float:
    """A name of ``SEASONS``, as its middle."""
    return named(word, SEASONS, "or two of them such as summer..winter")


def named(word: str, names: Mapping[str, float], other: str) -> float:
    """What a name stands for."""
    if word not in names:
        listed = ", ".join(names)
        raise InputError(f"expected {listed}, {other}, got {word!r}{suggestion(word, list(names))}")
    return names[word]


def parse_strength(word: str) -> Strength:
    """``"0.6"`` for the whole clip, or ``"0:0,2.5:1"``: strengths at seconds.

    Raises:
        InputError: not of that form, strengths outside 0..1, times that do not increase.
    """
    if ":" not in word:
        return Strength((0.0,), (share(word),))
    pairs = [key.partition(":") for key in word.split(",")]
    if not all(colon for _, colon, _ in pairs):
        raise InputError(f"expected SECONDS:STRENGTH pairs such as 0:0,2.5:1, got {word!r}")
    seconds = tuple(parse_number(second) for second, _, _ in pairs)
    for sooner, later in pairwise(seconds):
        if later <= sooner:
            raise InputError(f"found {later:g} after {sooner:g} seconds, expected times that increase")
    return Strength(seconds, tuple(share(strength) for _, _, strength in pairs))


def share(word: str) -> float:
    """A number from 0 to 1."""
    number = parse_number(word)
    if not 0 <= number <= 1:
        raise InputError(f"expected a strength from 0 to 1, got {word.strip()!r}")
    return number
