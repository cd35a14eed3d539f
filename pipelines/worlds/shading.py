"""What the land is made of and how it looks in the light: labels, colours, detail, sun, shade."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pipelines.worlds.noise import Torus, hashed, octave, slopes, smoothstep
from pipelines.worlds.sky import Sky
from pipelines.worlds.terrain import Ground

SKY, WATER, SAND, GRASS, FIELD, VEGETATION, ROCK, SNOW = range(8)  # of vid2vid.classes.CLASSES
DETAIL_CELLS, DETAIL_SIZE = 16, 256


@dataclass(frozen=True)
class Palette:
    """Linear colours and cover of one place; drawn once, mixed by the season."""

    rock: tuple[float, ...]
    sand: tuple[float, ...]
    grass_tint: tuple[float, ...]
    dryness: float
    strata: float
    fields: float
    field_turn: float
    field_size: float
    snowline: float
    turning: float
    desert: float
    larches: float = 0.0  # share of the conifers, whose needles turn in autumn

    @staticmethod
    def random(generator: torch.Generator, desert: float) -> Palette:
        """Colours of a place that is sand as far as ``desert`` in [0, 1] says."""

        def uniform(low: float, high: float) -> float:
            return low + (high - low) * torch.rand((), generator=generator).item()

        rocks = ((0.17, 0.16, 0.15), (0.30, 0.17, 0.10), (0.09, 0.085, 0.085), (0.24, 0.21, 0.16), (0.20, 0.15, 0.11))
        rock = rocks[int(torch.randint(len(rocks), (), generator=generator))]
        light = uniform(0.8, 1.35)
        return Palette(
            rock=tuple(c * light * uniform(0.93, 1.07) for c in rock),
            sand=tuple(c * uniform(0.8, 1.2) for c in (0.42, 0.33, 0.21)),
            grass_tint=tuple(uniform(0.85, 1.15) for _ in range(3)),
            dryness=max(0.0, uniform(-0.6, 1.0)),
            strata=uniform(0.0, 0.8),
            fields=max(0.0, uniform(-0.6, 1.0)),
            field_turn=uniform(0, math.pi),
            field_size=uniform(90, 260),
            snowline=uniform(700, 2600),
            turning=uniform(0.3, 1.0),
            desert=desert,
        )


def detail_noise(generator: torch.Generator, device: str) -> Torus:
    """The noise tile of period 1 that all small detail is made of: two values, and the slopes of the first."""
    first, second = (octave(generator, DETAIL_SIZE, DETAIL_CELLS, device) for _ in range(2))
    return Torus.of(torch.cat([torch.stack([first, second]), slopes(first, 1.0)]), 1.0)


def detail(noise: Torus, x: Tensor, z: Tensor, footprint: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Fractal detail at x, z (N), without what is finer than the footprint.

    Returns: two independent values (2, N), fine grain (N), and a slope (2, N) of unit size per octave.
    """
    values, grain, bump = (
        torch.zeros(2, *x.shape, device=x.device),
        torch.zeros_like(x),
        torch.zeros(2, *x.shape, device=x.device),
    )
    wave = 90.0
    for k in range(10):
        c, s = math.cos(2.4 * k), math.sin(2.4 * k)
        size = DETAIL_CELLS * wave
        found = noise.at((c * x + s * z) / size + 0.37 * k, (c * z - s * x) / size + 0.61 * k)
        left = 1 / (1 + (footprint / (0.35 * wave)) ** 2)
        values = values + found[:2] * (left * 0.72**k)
        if k >= 3:  # from waves of 8 m down; larger shapes are in the height map
            grain = grain + found[0] * left * (0.35 * 1.35 ** (k - 3))
            gx, gz = found[2:] * (left * (0.4 + 0.12 * (k - 3)) / DETAIL_CELLS)
            bump = bump + torch.stack([c * gx - s * gz, s * gx + c * gz])
        wave *= 0.45
    return values, grain, bump


def mix(colour: Tensor, other: Tensor | tuple[float, float, float], share: Tensor) -> Tensor:
    """(3, N) towards another colour by share (N)."""
    if not isinstance(other, Tensor):
        other = colour.new_tensor(other)[:, None]
    return colour + (other - colour) * share


def bell(season: float, centre: float, width: float) -> float:
    """1 at ``centre`` of the year in [0, 4), falling to 0 at ``width`` from it."""
    away = abs((season - centre + 2) % 4 - 2)
    return max(0.0, 1 - (away / width) ** 2)


def land_colour(
    palette: Palette, sky: Sky, ground: Ground, x: Tensor, z: Tensor, footprint: Tensor, shadow: Tensor
) -> tuple[Tensor, Tensor]:
    """Radiance (3, N) that leaves the land, and its labels (N)."""
    season = sky.light.season
    spring, autumn, winter = bell(season, 1.1, 0.9), bell(season, 3.0, 0.9), bell(season, 0.0, 1.0)
    # Sheared by the height, so that detail does not stretch into vertical streaks on cliffs and trees.
    (broad, moist), grain, bump = detail(sky.noise, x + 0.6 * ground.height, z + 0.8 * ground.height, footprint)
    steep = ground.slope.square().sum(0).sqrt() * (1 - 0.9 * torch.maximum(ground.tree, ground.scrub))
    altitude = ground.height

    grass = mix(
        x.new_tensor([0.085, 0.112, 0.036])[:, None].expand(3, x.shape[0]),
        (0.10, 0.16, 0.03),
        torch.full_like(x, spring),
    )
    grass = mix(
        grass, (0.25, 0.20, 0.095), (palette.dryness * 0.9 + 0.10 * moist + 0.4 * max(autumn, winter)).clamp(0, 1)
    )
    grass = mix(grass, (0.15, 0.14, 0.07), smoothstep(300.0, 1100.0, altitude + 120 * broad) * 0.7)
    grass = grass * x.new_tensor(palette.grass_tint)[:, None] * (1.4 * (1 + 0.2 * grain + 0.06 * broad)).clamp(0.3, 2.5)
    colour, label = grass, torch.full_like(x, GRASS, dtype=torch.long)

    field, is_field = fields(palette, season, x, z, footprint, ground, steep, grain)
    colour, label = mix(colour, field, is_field), torch.where(is_field > 0.5, FIELD, label)

    shore = smoothstep(5.0, 1.5, altitude + 0.8 * moist + 6 * steep).clamp_min(palette.desert)
    wet = smoothstep(1.0, 0.0, altitude)
    sand = x.new_tensor(palette.sand)[:, None] * (1 + 0.05 * grain + 0.05 * broad) * (1 - 0.45 * wet)
    colour, label = mix(colour, sand, shore), torch.where(shore > 0.5, SAND, label)

    layers = torch.sin(altitude * 0.19 + 1.3 * broad + 0.4 * moist) + 0.6 * torch.sin(altitude * 0.53 + 1.7 * broad)
    fine = 1 / (1 + (footprint / 5) ** 2)
    rock = x.new_tensor(palette.rock)[:, None] * (
        1 + 0.22 * grain + 0.10 * broad + 0.16 * palette.strata * layers * fine
    ).clamp(0.3, 2)
    rock = mix(rock, (0.14, 0.13, 0.12), 0.15 * smoothstep(0.3, 1.5, moist))
    bare = smoothstep(0.55, 0.85, steep + 0.10 * moist + 0.08 * grain + 0.25 * smoothstep(900.0, 1700.0, altitude))
    bare = bare * (1 - ground.tree)
    colour, label = mix(colour, rock, bare), torch.where(bare > 0.5, ROCK, label)

    trees = tree_colour(palette, ground, spring, autumn, winter, moist, grain)
    colour, label = mix(colour, trees, ground.tree), torch.where(ground.tree > 0.5, VEGETATION, label)

    stone = ((ground.scrub_id * 17.3).frac() < 0.3).float()
    shrub = mix(
        grass * 0.6, tree_colour(palette, ground, spring, autumn, winter, moist, grain), torch.full_like(x, 0.6)
    )
    lump = mix(shrub, rock * 1.15, stone) * (0.6 + 0.5 * ground.scrub_crown)
    lump_share = ground.scrub * (1 - bare) * (1 - ground.tree)
    colour, label = mix(colour, lump, lump_share), torch.where(lump_share * stone > 0.5, ROCK, label)

    line = palette.snowline + 1000 * math.cos(math.pi / 2 * (season - 2.25)) - 300
    lying = smoothstep(-60.0, 60.0, altitude - line + 110 * broad + 40 * moist - 160 * (steep - 0.5))
    lying = lying * smoothstep(1.15, 0.75, steep + 0.1 * grain)
    lying = lying * (1 - ground.tree * (0.35 + 0.5 * smoothstep(0.6, -0.8, grain + 0.8 * (ground.crown - 0.6))))
    lying = lying * smoothstep(0.5, 2.0, altitude)
    snow = x.new_tensor([0.80, 0.83, 0.88])[:, None] * (1 + 0.03 * grain)
    colour, label = mix(colour, snow, lying), torch.where(lying > 0.5, SNOW, label)

    strength = 0.03 + 0.10 * bare + 0.06 * ground.tree
    strength = strength + (0.02 - strength) * torch.maximum(lying, shore)
    slope = ground.slope * (1 - 0.5 * ground.tree) + bump * strength
    return lit(colour, slope, sky, ground, shadow), label


def lit(colour: Tensor, slope: Tensor, sky: Sky, ground: Ground, shadow: Tensor) -> Tensor:
    """Radiance (3, N) of albedo ``colour`` on a surface of ``slope`` under sun and sky (Lambert)."""
    up = (1 + slope.square().sum(0)).rsqrt()
    facing = (-sky.sun[1] - slope[0] * sky.sun[0] - slope[1] * sky.sun[2]) * up
    # Leaves let light through and hide their shades from the sun: forests are lit less abruptly than rock.
    facing = facing + ground.tree * 0.15
    inner = 1 - 0.4 * ground.tree * (1 - ground.crown)
    direct = facing.clamp_min(0) * shadow * (0.4 + 0.6 * inner)
    open_sky = (0.5 + 0.5 * up) * ground.openness * inner
    bounce = 0.12 * (1 - up) * shadow
    return colour / math.pi * (sky.sunlight[:, None] * (direct + bounce) + sky.ambient[:, None] * open_sky)


def tree_colour(
    palette: Palette, ground: Ground, spring: float, autumn: float, winter: float, moist: Tensor, grain: Tensor
) -> Tensor:
    """(3, N) albedo of the canopy: conifers stay dark, broadleaf trees turn with the year."""
    pick = (ground.tree_id * 7.31).frac()
    like = moist.new_tensor
    leaf = like([0.060, 0.105, 0.026])[:, None].expand(3, moist.shape[0])
    leaf = mix(leaf, (0.085, 0.14, 0.025), torch.full_like(pick, 0.8 * spring))
    fire = mix(
        like([0.26, 0.17, 0.03])[:, None].expand_as(leaf),
        (0.24, 0.065, 0.02),
        smoothstep(0.45, 0.9, pick + 0.15 * moist),
    )
    leaf = mix(leaf, fire, (autumn * palette.turning * smoothstep(0.1, 0.5, pick + 0.2 * moist)))
    leaf = mix(leaf, (0.085, 0.070, 0.055), torch.full_like(pick, 0.85 * winter))
    needle = like([0.034, 0.060, 0.030])[:, None].expand_as(leaf)
    needle = mix(needle, fire, torch.full_like(pick, autumn * palette.larches))
    kind = smoothstep(-0.4, 0.4, moist * 0.5 + (ground.forest - 0.5) * 1.4 + 0.4 * (pick - 0.5))
    return mix(leaf, needle, kind) * (1 + 0.35 * (pick - 0.5) + 0.15 * grain) * (0.7 + 0.5 * ground.crown)


def fields(
    palette: Palette,
    season: float,
    x: Tensor,
    z: Tensor,
    footprint: Tensor,
    ground: Ground,
    steep: Tensor,
    grain: Tensor,
) -> tuple[Tensor, Tensor]:
    """Albedo (3, N) of farmland and where it lies (N): strips of unequal length, each with its crop, between hedges."""
    c, s = math.cos(palette.field_turn), math.sin(palette.field_turn)
    u, v = (c * x + s * z) / palette.field_size, (c * z - s * x) / palette.field_size
    row = v.floor()
    along = u * 0.6 + hashed(row, torch.zeros_like(row))
    column = along.floor()
    crop, tone, rest = hashed(row, column), hashed(row + 57, column), hashed(row, column + 131)
    ripe = bell(season, 2.3, 0.6)
    green, gold, soil, bloom = (0.085, 0.13, 0.03), (0.33, 0.25, 0.09), (0.15, 0.10, 0.065), (0.42, 0.36, 0.03)
    colour = x.new_tensor(green)[:, None].expand(3, x.shape[0])
    colour = mix(colour, gold, (crop < 0.3 + 0.35 * ripe).float() * (0.35 + 0.65 * ripe))
    colour = mix(colour, soil, (rest < 0.25 + 0.3 * bell(season, 3.6, 1.2)).float())
    colour = mix(colour, bloom, ((crop > 0.88) & (rest > 0.3)).float() * bell(season, 1.4, 0.5))
    rows = torch.sin(v * palette.field_size * (2 * math.pi / 1.6)) / (1 + (footprint / 0.4) ** 2)
    colour = colour * (0.8 + 0.4 * tone + 0.1 * grain + 0.10 * rows)
    edge = torch.minimum((v - row).minimum(1 - v + row), ((along - column).minimum(1 - along + column)) / 0.6)
    hedge = smoothstep(0.035, 0.015, edge) / (1 + (footprint / 12) ** 2)
    colour = mix(colour, (0.03, 0.05, 0.015), hedge * 0.8)
    where = (
        smoothstep(0.16, 0.10, steep) * smoothstep(3.0, 6.0, ground.height) * smoothstep(420.0, 300.0, ground.height)
    )
    wild = hashed((row / 3).floor(), (column / 3).floor())
    return colour, where * (wild < palette.fields * 1.2).float() * (1 - ground.tree)
