"""The hour, the season and the air: where the sun stands and how photographs are exposed and graded."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Light:
    """Time and weather of a world.

    Attributes:
        hour: solar time in [0, 24); 12 is noon.
        season: part of the year in [0, 4): 0 midwinter, 1 mid-spring, 2 midsummer, 3 mid-autumn.
        latitude: degrees north; sets the sun's path.
        north: azimuth of north in world axes, radians (0 is +z).
        haze: extinction per metre at the water level; mist: the same of the mist that fills low places, up to
            about ``mist_height`` metres; turbidity: Mie optical depth of the whole air.
        clouds: cumulus cover in [0, 1]; cirrus: high thin cloud in [0, 1]; overcast: grey lid in [0, 1].
        ripples: slope of the water's waves.
        exposure, contrast, saturation, warmth: photographic grading, 1, 1, 1 and 0 are neutral.
    """

    hour: float
    season: float
    latitude: float
    north: float
    haze: float
    mist: float
    mist_height: float
    turbidity: float
    clouds: float
    cirrus: float
    overcast: float
    ripples: float
    exposure: float
    contrast: float
    saturation: float
    warmth: float

    @staticmethod
    def random(generator: torch.Generator) -> Light:
        """Mostly day, often a low sun, sometimes dusk or a grey sky."""

        def uniform(low: float, high: float) -> float:
            return low + (high - low) * torch.rand((), generator=generator).item()

        season, latitude = uniform(0, 4), uniform(25, 58)
        pick = uniform(0, 1)
        wanted = uniform(16, 65) if pick < 0.45 else uniform(1, 16) if pick < 0.83 else uniform(-6, 1)
        hours = [uniform(0, 24) for _ in range(48)]
        hour = min(hours, key=lambda h: abs(math.degrees(sun_angles(h, season, latitude)[0]) - wanted))
        overcast = max(0.0, uniform(-2.2, 1.0))
        return Light(
            hour=hour,
            season=season,
            latitude=latitude,
            north=uniform(0, 2 * math.pi),
            haze=10 ** uniform(-5.0, -3.8),
            mist=10 ** uniform(-3.8, -2.9) if uniform(0, 1) < 0.3 else 0.0,
            mist_height=uniform(40, 220),
            turbidity=10 ** uniform(-1.7, -0.7),
            clouds=uniform(0.0, 0.75),
            cirrus=max(0.0, uniform(-0.6, 1.0)),
            overcast=min(1.0, overcast * 1.3),
            ripples=10 ** uniform(-2.7, -1.2),
            exposure=2 ** uniform(-0.5, 0.3),
            contrast=uniform(0.95, 1.45),
            saturation=uniform(0.8, 1.3),
            warmth=uniform(-0.14, 0.16),
        )

    def at(self, hour: float | None = None, season: float | None = None) -> Light:
        """The same weather at another time."""
        return replace(
            self,
            hour=self.hour if hour is None else hour % 24,
            season=self.season if season is None else season % 4,
        )

    @property
    def elevation(self) -> float:
        """Height of the sun above the horizon, radians."""
        return sun_angles(self.hour, self.season, self.latitude)[0]

    @property
    def sun(self) -> tuple[float, float, float]:
        """Unit vector to the sun in world axes (y down)."""
        elevation, azimuth = sun_angles(self.hour, self.season, self.latitude)
        azimuth += self.north
        flat = math.cos(elevation)
        return flat * math.sin(azimuth), -math.sin(elevation), flat * math.cos(azimuth)


def sun_angles(hour: float, season: float, latitude: float) -> tuple[float, float]:
    """(elevation, azimuth from north towards east) of the sun in radians; the usual equatorial formulas."""
    declination = -math.radians(23.44) * math.cos(math.pi / 2 * season)
    turn, phi = math.radians(15 * (hour - 12)), math.radians(latitude)
    up = math.sin(phi) * math.sin(declination) + math.cos(phi) * math.cos(declination) * math.cos(turn)
    east = -math.cos(declination) * math.sin(turn)
    north = math.cos(phi) * math.sin(declination) - math.sin(phi) * math.cos(declination) * math.cos(turn)
    return math.asin(max(-1.0, min(1.0, up))), math.atan2(east, north)


def develop(radiance: Tensor, light: Light, gain: Tensor) -> Tensor:
    """Linear radiance (3, ...) to a graded sRGB photograph in [0, 1]: exposure, white balance, filmic curve.

    The curve is Narkowicz's fit of the ACES reference tone map (2015).
    """
    balance = radiance.new_tensor([1 + light.warmth, 1.0, 1 - light.warmth])
    x = radiance * (gain * light.exposure * balance).view(3, *[1] * (radiance.dim() - 1))
    x = (x * (2.51 * x + 0.03) / (x * (2.43 * x + 0.59) + 0.14)).clamp(0, 1)
    x = torch.where(x < 0.0031308, 12.92 * x, 1.055 * x.clamp_min(1e-6) ** (1 / 2.4) - 0.055)
    grey = (x * x.new_tensor([0.299, 0.587, 0.114]).view(3, *[1] * (x.dim() - 1))).sum(0)
    x = grey + (x - grey) * light.saturation
    return ((x - 0.45) * light.contrast + 0.45).clamp(0, 1)
