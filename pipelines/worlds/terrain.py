"""The shape of the land: a height map with its slopes, forests and roughness, and a tile of small shapes.

The surface is ``base(x, z) + roughness(x, z) * bumps(x, z) + trees(x, z)``. The base covers many kilometres in
cells of about 12 m; bumps and trees come from a finer tile that repeats every few hundred metres. What is smaller
than a pixel fades out with the pixel's footprint, so that the far land is smooth and free of aliasing.
Heights are metres above the water level (up is positive here; world axes have y down).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pipelines.worlds.noise import Torus, blur, fbm, octave, ridged, slopes, smoothstep

BASE, TILE = 1024, 512
TILE_PERIOD, LITTER_PERIOD = 384.0, 51.2
LUMP_HEIGHT = 0.8
FADES = (8.0, 5.0, 0.35)  # footprints in metres at which bumps, trees and shrubs have half vanished


@dataclass(frozen=True)
class Relief:
    """The parameters of the land; amplitudes in metres, fractions in [0, 1]."""

    seed: int
    period: float
    mountains: float
    hills: float
    plateaus: float
    dunes: float
    roughness: float
    water: float
    beach: float
    warp: float
    forest: float
    scrub: float
    tree_height: float
    conifer: float
    treeline: float

    @staticmethod
    def random(generator: torch.Generator) -> Relief:
        """One of many kinds of land: alpine, rolling, mesa, coast, lake district, plains."""

        def uniform(low: float, high: float) -> float:
            return low + (high - low) * torch.rand((), generator=generator).item()

        kind = int(torch.multinomial(torch.tensor([0.34, 0.14, 0.11, 0.28, 0.06, 0.07]), 1, generator=generator))
        mountains, hills, plateaus, water = (
            (uniform(900, 2200), uniform(40, 160), 0.0, uniform(-0.1, 0.25)),
            (uniform(0, 350), uniform(60, 180), 0.0, uniform(-0.15, 0.3)),
            (uniform(300, 900), uniform(30, 100), uniform(0.6, 1.0), uniform(-0.2, 0.2)),
            (uniform(200, 1300), uniform(40, 120), 0.0, uniform(0.35, 0.6)),
            (uniform(0, 1200), uniform(8, 30), 0.0, uniform(-0.1, 0.3)),
            (uniform(0, 500), uniform(10, 40), 0.0, -0.1),
        )[kind]
        return Relief(
            seed=int(torch.randint(2**62, (), generator=generator)),
            period=uniform(10e3, 15e3),
            mountains=mountains,
            hills=hills,
            plateaus=plateaus,
            dunes=uniform(25, 90) if kind == 5 else 0.0,
            roughness=uniform(0.05, 0.15) if kind == 5 else uniform(0.6, 1.6),
            water=water,
            beach=uniform(3, 25),
            warp=uniform(0.2, 1.0),
            forest=0.0 if kind == 5 else uniform(0.0, 0.75) ** 0.8,
            scrub=0.0 if kind == 5 else uniform(0.1, 1.0),
            tree_height=uniform(9, 22),
            conifer=min(max(uniform(-0.3, 1.3), 0.0), 1.0),
            treeline=uniform(500, 1500),
        )


@dataclass(frozen=True)
class Ground:
    """What one lookup of the surface gives; every field has the shape of the query."""

    height: Tensor
    slope: Tensor  # (2, ...) dh/dx, dh/dz of everything
    tree: Tensor  # how much of the surface is canopy, [0, 1]
    tree_id: Tensor  # random per tree, [0, 1]
    crown: Tensor  # height within the canopy, [0, 1]
    forest: Tensor  # density of the forest here, [0, 1]
    scrub: Tensor  # how much of the surface is a shrub or a stone, [0, 1]
    scrub_id: Tensor  # random per shrub or stone, [0, 1]
    scrub_crown: Tensor  # height within it, [0, 1]
    openness: Tensor  # how much sky the place sees, [0, 1]: low in valleys, high on crests


@dataclass(frozen=True)
class Terrain:
    """Baked land.

    Attributes:
        base: height, roughness, forest density, scrub density.
        base_more: slope x, slope z, openness.
        tile: bump height, tree profile, tree id; tile_more: slopes of bump and tree.
        litter: profile and id of shrubs and stones; litter_more: slope of the profile.
        crown_mean: mean tree profile, what is left of the trees far away.
    """

    relief: Relief
    base: Torus
    base_more: Torus
    tile: Torus
    tile_more: Torus
    litter: Torus
    litter_more: Torus
    crown_mean: float

    def height(self, x: Tensor, z: Tensor, footprint: Tensor) -> Tensor:
        """Surface height in metres at x, z (S) seen by pixels of ``footprint`` metres (S)."""
        height, rough, forest, scrub = self.base.at(x, z)
        bump, crown, tree_id = self.tile.at(x, z)
        lump, lump_id = self.litter.at(x, z)
        near_bump, near_tree, near_lump = (fade(footprint, size) for size in FADES)
        crown = self.crown_mean + (crown - self.crown_mean) * near_tree
        height = height + rough * bump * near_bump + cover(forest, tree_id, near_tree) * crown * self.tree_height
        return height + cover(scrub, lump_id, 1.0) * near_lump * lump * LUMP_HEIGHT

    @property
    def tree_height(self) -> float:
        return self.relief.tree_height

    def ground(self, x: Tensor, z: Tensor, footprint: Tensor) -> Ground:
        """Everything about the surface at x, z (S) seen by pixels of ``footprint`` metres (S)."""
        height, rough, forest, scrub = self.base.at(x, z)
        base_x, base_z, openness = self.base_more.at(x, z)
        bump, crown, tree_id = self.tile.at(x, z)
        bump_x, bump_z, crown_x, crown_z = self.tile_more.at(x, z)
        lump, lump_id = self.litter.at(x, z)
        near_bump, near_tree, near_lump = (fade(footprint, size) for size in FADES)
        crown = self.crown_mean + (crown - self.crown_mean) * near_tree
        tree, scrub = cover(forest, tree_id, near_tree), cover(scrub, lump_id, 1.0) * near_lump
        rough, tall, low = rough * near_bump, tree * self.tree_height, scrub * LUMP_HEIGHT
        slope = torch.stack([base_x + rough * bump_x, base_z + rough * bump_z])
        slope = slope + tall * near_tree * torch.stack([crown_x, crown_z]) + low * self.litter_more.at(x, z)
        height = height + rough * bump + tall * crown + low * lump
        scrub = scrub * (lump > 0.02)
        return Ground(height, slope, tree, tree_id, crown, forest, scrub, lump_id, lump, openness)


def fade(footprint: Tensor, size: float) -> Tensor:
    """How much of shapes of ``size`` metres is left in pixels of ``footprint`` metres."""
    return 1 / (1 + (footprint / size) ** 2)


def cover(density: Tensor, identity: Tensor, near: Tensor | float) -> Tensor:
    """Plants stand where their id is below the density; far away only the density is left."""
    single = ((density - identity) * 8).clamp(0, 1)
    return density + (single - density) * near


def bake(relief: Relief, device: str = "cpu") -> Terrain:
    """Draw the maps of a land; about a quarter of a second on one core."""
    generator = torch.Generator().manual_seed(relief.seed)
    height = base_height(relief, generator, device)
    slope = slopes(height, relief.period)
    steep = slope.square().sum(0).sqrt()
    relative = height - blur(height, 12.0)
    relative = relative / relative.abs().mean().clamp_min(1.0)
    openness = (0.72 + 0.16 * relative).clamp(0.35, 1.0)

    land = smoothstep(-4.0, 6.0, height)
    rough = relief.roughness * (0.4 + 6.0 * smoothstep(0.25, 0.9, steep)) * land
    patches = fbm(generator, BASE, 16, 5, 0.6, device)
    woods = smoothstep(-0.25, 0.6, patches - 0.35 * relative + math.erf(relief.forest - 0.5) * 2.2)
    woods = woods * smoothstep(0.95, 0.6, steep) * smoothstep(3.0, 9.0, height)
    woods = woods * smoothstep(1.0, 0.75, height / relief.treeline + 0.08 * patches) * min(1.0, 8 * relief.forest)
    scrub = smoothstep(-0.3, 2.4, fbm(generator, BASE, 64, 4, 0.7, device) + 0.8 * steep) * relief.scrub
    scrub = scrub * smoothstep(0.8, 3.0, height) * smoothstep(1.3, 0.7, steep)

    bump = fbm(generator, TILE, 8, 7, 0.55, device)
    crown, tree_id = scattered(generator, TILE, 60, relief.conifer, 0.12, device)
    lump, lump_id = scattered(generator, TILE, 32, 0.0, 0.05, device)
    return Terrain(
        relief,
        Torus.of(torch.stack([height, rough, woods, scrub]), relief.period),
        Torus.of(torch.cat([slope, openness[None]]), relief.period),
        Torus.of(torch.stack([bump, crown, tree_id]), TILE_PERIOD),
        Torus.of(torch.cat([slopes(bump, TILE_PERIOD), slopes(crown, TILE_PERIOD)]), TILE_PERIOD),
        Torus.of(torch.stack([lump, lump_id]), LITTER_PERIOD),
        Torus.of(slopes(lump, LITTER_PERIOD), LITTER_PERIOD),
        crown.mean().item(),
    )


def base_height(relief: Relief, generator: torch.Generator, device: str) -> Tensor:
    """(n, n) metres above the water: ranges, hills, terraces, warped, cut by valleys, with beaches at the shore."""
    continent = fbm(generator, BASE, 2, 4, 0.5, device)
    ranges = ridged(generator, BASE, 4, 8, 0.56, device)
    rolling = fbm(generator, BASE, 8, 6, 0.42, device)
    height = relief.mountains * (ranges * 1.3 * smoothstep(-0.9, 1.3, continent) + 0.12 * continent)
    height = height + relief.hills * rolling * (0.4 + 0.6 * smoothstep(1.0, -0.5, continent))
    valley = octave(generator, BASE, 8, device).abs()
    height = height - 0.25 * relief.hills * torch.exp(-((valley / 0.12) ** 2))
    if relief.dunes:
        crests = octave(generator, BASE, 16, device) + 0.5 * octave(generator, BASE, 64, device)
        height = height + relief.dunes * (1.2 - crests.abs())
    height = warped(height, relief, generator, device)
    if relief.plateaus:
        height = terraced(height, relief)
    sand = torch.sort(height.flatten()[::61]).values
    level = sand[int(max(relief.water, 0.0) * (len(sand) - 1))].item() if relief.water > 0 else sand[0].item() - 30.0
    height = height - level
    # A shore is flat: waves and rivers level the first metres on both sides of the water line.
    return height * (1 - 0.85 * torch.exp(-height.abs() / relief.beach))


def warped(height: Tensor, relief: Relief, generator: torch.Generator, device: str) -> Tensor:
    """Shift the map by smooth noise, which bends straight ridges (domain warping)."""
    shift = torch.stack([fbm(generator, BASE, 4, 4, 0.5, device) for _ in range(2)]) * relief.warp * 0.022 * BASE
    index = torch.arange(BASE, device=device, dtype=height.dtype)
    return Torus.of(height[None], BASE).at(index + shift[0], index[:, None] + shift[1])[0]


def terraced(height: Tensor, relief: Relief) -> Tensor:
    """Mesas: flat steps with steep walls, blended with the land as it was."""
    step = 0.28 * relief.mountains
    level = height / step
    inner = level - level.floor()
    wall = level.floor() + smoothstep(0.55, 0.8, inner) + 0.12 * inner
    return height + (wall * step - height) * relief.plateaus


def scattered(
    generator: torch.Generator, size: int, cells: int, cones: float, ragged: float, device: str
) -> tuple[Tensor, Tensor]:
    """Plants on a jittered grid of ``cells`` per side: their profile [0, 1] and id [0, 1], both (size, size).

    A share ``cones`` of them is pointed like conifers, the rest round; ``ragged`` is the size of leaves and cracks.
    """
    jitter = torch.rand(2, cells, cells, generator=generator).to(device)
    ids, girth, draw = torch.rand(3, cells, cells, generator=generator).to(device)
    pointed = (draw < cones).float()
    index = torch.arange(size, device=device) * (cells / size)
    cell, inner = index.floor().long(), index - index.floor()
    profile, owner = torch.zeros(size, size, device=device), torch.zeros(size, size, device=device)
    for row in (-1, 0, 1):
        for column in (-1, 0, 1):
            i, j = (cell[:, None] + row) % cells, (cell[None, :] + column) % cells
            dz = inner[:, None] - row - jitter[1][i, j]
            dx = inner[None, :] - column - jitter[0][i, j]
            distance = (dx * dx + dz * dz).sqrt() / (0.35 + 0.4 * girth[i, j])
            dome = (1 - distance * distance).clamp_min(0).sqrt()
            shape = (dome + (1 - distance - dome) * pointed[i, j]).clamp_min(0) * (0.55 + 0.45 * girth[i, j])
            owner = torch.where(shape > profile, ids[i, j], owner)
            profile = torch.maximum(profile, shape)
    leaves = octave(generator, size, size // 4, device) * ragged
    return (profile + leaves * (profile > 0)).clamp(0, 1), owner
