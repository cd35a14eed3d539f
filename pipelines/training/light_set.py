"""Training data for restyling: the same two frames of one place under every mix of three hours and three seasons.

Item k is drawn from seed + k alone, so a set can be made by several processes, interrupted and continued. Even items
are streets, odd ones landscapes. Held-out items are those of ``HELD_OUT_SEED``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from pipelines.training.clip_paths import STEP, landscape_path, street_path
from pipelines.training.clip_set import visible_between
from pipelines.training.rendering import RenderedSet
from pipelines.training.world_set import TRAINING_SEED
from pipelines.worlds import Frame, Light, Street, World, flow_between
from pipelines.worlds.sky import Sky
from pipelines.worlds.world import lit_world
from render_refine.camera import Camera

FRAMES = 2
HOURS, SEASONS = ("day", "dusk", "night"), ("green", "autumn", "winter")
# Hours of the models are those of the equinox, when the sun rises at 6 and sets at 18; the latitude says how steeply.
LATITUDE, SUNRISE = 48.0, 6.0
NIGHT_EXPOSURE = 0.45  # cameras that follow the light all the way would make a day of the night


@dataclass(frozen=True, eq=False)
class Lights:
    """L = 9 lights of one place, hours within seasons.

    Attributes:
        rgb: (L, 2, 3, H, W) sRGB in [0, 1].
        labels: (L, 2, H, W) int64 ids of CLASSES; snow lies in winter.
        hours: (L,) in [0, 24); seasons: (L,) in [0, 4), see ``Light``; hours are those of the equinox.
        flow: (2, H, W) pixels from the second frame to the first.
        visible: (H, W) bool, the point of the second frame is also seen in the first.
    """

    rgb: Tensor
    labels: Tensor
    hours: Tensor
    seasons: Tensor
    flow: Tensor
    visible: Tensor


def solar_hour(hour: float, season: float, latitude: float = LATITUDE) -> float:
    """The sun's hour on a day of ``season`` for an hour of the equinox: both days' sunrises and sunsets coincide."""
    declination = -math.radians(23.44) * math.cos(math.pi / 2 * season)
    half_day = math.degrees(math.acos(-math.tan(math.radians(latitude)) * math.tan(declination))) / 15
    since_noon = (hour - 12 + 12) % 24 - 12
    if abs(since_noon) <= 6:
        return 12 + since_noon * half_day / 6
    return 12 + math.copysign(half_day + (abs(since_noon) - 6) * (12 - half_day) / 6, since_noon)


def light_at(light: Light, hour: float, season: float) -> Light:
    """The same weather and camera at an hour of the equinox and in a season."""
    light = replace(light, latitude=LATITUDE).at(solar_hour(hour, season), season)
    dark = min(1.0, max(0.0, -math.degrees(light.elevation) / 8))
    return replace(light, exposure=light.exposure * NIGHT_EXPOSURE**dark)


def render_lights(seed: int, index: int, height: int, width: int) -> Lights:
    """Item ``index`` of the set ``seed``."""
    generator = torch.Generator().manual_seed(seed + index)

    def uniform(low: float, high: float) -> float:
        return low + (high - low) * torch.rand((), generator=generator).item()

    relight, cameras = (_street if index % 2 == 0 else _landscape)(generator, height, width)
    evening = uniform(0, 1) < 0.7
    low_sun = uniform(-0.8, 0.7)  # hours after sunset
    hours = (uniform(8, 16), 18 + low_sun if evening else SUNRISE - low_sun, uniform(19.6, 28.4) % 24)
    seasons = (uniform(0.9, 2.6), uniform(2.8, 3.25), uniform(-0.25, 0.25) % 4)
    moments = [(hour, season) for season in seasons for hour in hours]
    frames: list[list[Frame]] = []
    for hour, season in moments:
        render = relight(hour, season)
        frames.append([render(camera, k) for k, camera in enumerate(cameras)])
    first, second = frames[0]
    moved = torch.zeros_like(first.rgb) if second.velocity is None else -STEP * second.velocity
    flow = flow_between(second.depth, cameras[1], cameras[0], moved)
    return Lights(
        torch.stack([torch.stack([f.rgb for f in row]) for row in frames]),
        torch.stack([torch.stack([f.labels for f in row]) for row in frames]),
        torch.tensor([hour for hour, _ in moments]),
        torch.tensor([season for _, season in moments]),
        flow,
        visible_between(second, first, moved),
    )


Relight = Callable[[float, float], Callable[[Camera, int], Frame]]


def _street(generator: torch.Generator, height: int, width: int) -> tuple[Relight, list[Camera]]:
    # Snow in every winter, and most windows lit by night: who asks for these wants to see them.
    street = replace(Street.random(generator), frost=1.0, awake=0.9)

    def relight(hour: float, season: float) -> Callable[[Camera, int], Frame]:
        lit = replace(street, sky=Sky.of(light_at(street.sky.light, hour, season), street.sky.noise))
        return lambda camera, k: lit.render(camera, STEP * k)

    return relight, street_path(street, generator, FRAMES, height, width)


def _landscape(generator: torch.Generator, height: int, width: int) -> tuple[Relight, list[Camera]]:
    world = World.random(generator)
    line = 900 + 250 * torch.rand((), generator=generator).item()  # low enough for snow at the sea in winter
    palette = replace(world.palette, snowline=line, turning=1.0, larches=1.0)

    def relight(hour: float, season: float) -> Callable[[Camera, int], Frame]:
        lit = lit_world(world.terrain, palette, light_at(world.sky.light, hour, season), world.sky.noise)
        return lambda camera, k: lit.render(camera)

    return relight, landscape_path(world, generator, FRAMES, height, width)


class LightSet(RenderedSet):
    """A folder of rendered items."""

    def __init__(
        self, folder: Path, count: int, *, height: int = 240, width: int = 384, seed: int = TRAINING_SEED
    ) -> None:
        super().__init__(folder, count, f"lights_{seed}_{height}x{width}", "rendering lights", "place")
        self.height, self.width, self.seed = height, width, seed

    def render(self, index: int) -> dict[str, Tensor]:
        """Item ``index`` as it is kept."""
        lights = render_lights(self.seed, index, self.height, self.width)
        tensors = {
            "rgb": (lights.rgb * 255).round().to(torch.uint8),
            "labels": lights.labels.to(torch.uint8),
            "hours": lights.hours,
            "seasons": lights.seasons,
            "flow": lights.flow.to(torch.float16),
            "visible": lights.visible,
        }
        return tensors

    def __getitem__(self, index: int) -> Lights:
        tensors = load_file(self.path(index))
        return Lights(
            tensors["rgb"].float() / 255,
            tensors["labels"].long(),
            tensors["hours"],
            tensors["seasons"],
            tensors["flow"].float(),
            tensors["visible"],
        )
