"""A world: land, light and palette, and the renderer that turns a camera into an exact frame."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pipelines.worlds.composition import compose
from pipelines.worlds.light import Light, develop
from pipelines.worlds.march import FAR, cast, cast_up
from pipelines.worlds.noise import Torus
from pipelines.worlds.shading import SKY, WATER, Palette, detail_noise, land_colour
from pipelines.worlds.shadow import sun_shadow
from pipelines.worlds.sky import Sky
from pipelines.worlds.terrain import FADES, LITTER_PERIOD, LUMP_HEIGHT, TILE_PERIOD, Relief, Terrain, bake, fade
from pipelines.worlds.water import water_colour
from render_refine.camera import Camera


@dataclass(frozen=True)
class Frame:
    """One exact picture.

    Attributes:
        rgb: (3, H, W) sRGB in [0, 1].
        depth: (H, W) z in metres, inf for sky.
        labels: (H, W) int64 indices of ``vid2vid.classes.CLASSES``.
        camera: the camera that took it.
        velocity: (3, H, W) of each point in m/s along the world's axes, or None where nothing moves.
    """

    rgb: Tensor
    depth: Tensor
    labels: Tensor
    camera: Camera
    velocity: Tensor | None = None


@dataclass(frozen=True)
class World:
    """A place at a time. Build one with ``World.random`` or ``World.build``."""

    terrain: Terrain
    palette: Palette
    sky: Sky
    shade: Torus  # sunlight that reaches the base surface, [0, 1]
    tree_shade: Torus  # the same within the tile of trees
    scrub_shade: Torus  # the same among shrubs and stones

    @staticmethod
    def random(generator: torch.Generator, device: str = "cpu") -> World:
        """A world drawn from ``generator`` (a CPU generator), baked on ``device``."""
        relief = Relief.random(generator)
        palette = Palette.random(generator, float(relief.dunes > 0))
        return World.build(relief, palette, Light.random(generator), device)

    @staticmethod
    def build(relief: Relief, palette: Palette, light: Light, device: str = "cpu") -> World:
        """The world of given parameters."""
        noise = detail_noise(torch.Generator().manual_seed(relief.seed ^ 0x5EED), device)
        return lit_world(bake(relief, device), palette, light, noise)

    def with_light(self, hour: float | None = None, season: float | None = None) -> World:
        """The same place and weather at another hour of the day and time of the year."""
        return lit_world(self.terrain, self.palette, self.sky.light.at(hour, season), self.sky.noise)

    def ground_height(self, x: Tensor, z: Tensor) -> Tensor:
        """Height in metres (up) of the surface, trees and water included, at x, z of one shape."""
        return self.terrain.height(x, z, torch.zeros_like(x)).clamp_min(0.0)

    def random_camera(self, generator: torch.Generator, height: int, width: int) -> Camera:
        """A believable viewpoint above the ground, mostly with the horizon in frame."""
        return compose(self, generator, height, width)

    def render(self, camera: Camera, antialias: bool = False) -> Frame:
        """Colour, depth and labels of what ``camera`` sees; ``antialias`` averages 2x2 colour samples per pixel."""
        rgb, depth, labels = self.trace(camera)
        if antialias:
            fine, _, _ = self.trace(camera.resize(2 * camera.height, 2 * camera.width))
            rgb = F.avg_pool2d(fine, 2)
        return Frame(rgb, depth, labels, camera)

    def trace(self, camera: Camera) -> tuple[Tensor, Tensor, Tensor]:
        """(3, H, W) colour, (H, W) depth and (H, W) labels at the pixel centres."""
        camera = camera.to(self.sky.sun.device)
        eye, shape = camera.centre, (camera.height, camera.width)
        rays = camera.rays().reshape(-1, 3)
        length = rays.norm(dim=-1)
        unit = (rays / length[:, None]).T
        pixel = 1 / camera.focal.item()
        land = cast(self.terrain, eye, rays, pixel)
        sea = torch.where(rays[:, 1] > 1e-6, -eye[1] / rays[:, 1].clamp_min(1e-6), math.inf)
        sea = torch.where(sea * length < FAR, sea, math.inf)
        depth = torch.minimum(land, sea)
        is_sky, is_water = depth.isinf(), sea < land
        labels = torch.where(is_sky, SKY, WATER).long()
        radiance = torch.empty(3, len(rays), device=rays.device)
        radiance[:, is_sky] = self.sky.radiance(unit[:, is_sky], pixel)
        for mask, shade in ((~is_sky & ~is_water, self.land), (is_water, self.water)):
            if mask.any():
                point = eye + depth[mask, None] * rays[mask]
                distance = (depth * length)[mask]
                colour, labels[mask] = shade(point, unit[:, mask], distance, distance * pixel)
                radiance[:, mask] = through_air(self.sky, colour, unit[:, mask], distance, eye)
        rgb = develop(radiance, self.sky.light, self.sky.gain)
        return rgb.reshape(3, *shape), depth.reshape(shape), labels.reshape(shape)

    def land(self, point: Tensor, unit: Tensor, distance: Tensor, footprint: Tensor) -> tuple[Tensor, Tensor]:
        """Radiance (3, N) and labels (N) of land at points (N, 3)."""
        x, z = point[:, 0], point[:, 2]
        ground = self.terrain.ground(x, z, footprint)
        near_tree, near_lump = fade(footprint, FADES[1]), fade(footprint, FADES[2])
        tree = 1 - (1 - self.tree_shade.at(x, z)[0]) * near_tree * (ground.forest * 1.6).clamp(0, 1)
        tree = tree - 0.25 * (1 - near_tree) * ground.tree
        scrub = 1 - (1 - self.scrub_shade.at(x, z)[0]) * near_lump * self.terrain.base.at(x, z)[3]
        shadow = self.shade.at(x, z)[0] * tree * scrub * self.sky.cloud_shadow(x, z)
        return land_colour(self.palette, self.sky, ground, x, z, footprint, shadow)

    def water(self, point: Tensor, unit: Tensor, distance: Tensor, footprint: Tensor) -> tuple[Tensor, Tensor]:
        """Radiance (3, N) and labels (N) of the water surface at points (N, 3)."""
        label = torch.full_like(distance, WATER, dtype=torch.long)
        return water_colour(self, point, unit, footprint), label

    def reflected(self, point: Tensor, unit: Tensor, footprint: Tensor) -> Tensor:
        """Radiance (3, N) that arrives at water points (N, 3) along unit directions (3, N): mirrored land or sky."""
        t = cast_up(self.terrain, point, unit.T, footprint)
        colour = self.sky.radiance(unit, 0.01)
        hit = t.isfinite()
        if hit.any():
            place = point[hit] + t[hit, None] * unit[:, hit].T
            seen, _ = self.land(place, unit[:, hit], t[hit], footprint[hit] + 0.03 * t[hit])
            colour[:, hit] = through_air(self.sky, seen, unit[:, hit], t[hit], point[0])
        return colour


def through_air(sky: Sky, colour: Tensor, unit: Tensor, distance: Tensor, eye: Tensor) -> Tensor:
    """Aerial perspective: light lost and gained on the way (3, N) through haze and through low mist."""
    light, rise = sky.light, -unit[1] * distance
    haze = light.haze * distance * mean_density(eye, rise, 1800.0)
    mist = light.mist * distance * mean_density(eye, rise, light.mist_height)
    kept = torch.exp(-unit.new_tensor([0.82, 1.0, 1.28])[:, None] * haze - mist)
    level = torch.stack([unit[0], -torch.full_like(unit[1], 0.035), unit[2]])
    air = sky.air(F.normalize(level, dim=0))
    # Drops scatter all colours alike, so mist is paler than haze.
    air = air + (air.mean(0) - air) * (0.6 * mist / (mist + haze + 1e-9))
    return colour * kept + air * (1 - kept)


def mean_density(eye: Tensor, rise: Tensor, scale: float) -> Tensor:
    """Mean of exp(-height / scale) on the way from ``eye`` to points ``rise`` metres above it (N)."""
    start = math.exp(min(eye[1].item() / scale, 0.0))
    drop = (rise / scale).clamp(-60.0, 60.0)
    flat = drop.abs() < 1e-3
    safe = torch.where(flat, torch.ones_like(drop), drop)
    # Points lie above the water, so the density at the far end is at most 1.
    return torch.where(flat, start, (start - (start * torch.exp(-safe)).clamp_max(1.0)) / safe)


def lit_world(terrain: Terrain, palette: Palette, light: Light, noise: Torus) -> World:
    """Bake what depends on the sun."""
    sky = Sky.of(light, noise)
    height = terrain.base.padded[0, 0, :-1:2, :-1:2]
    period = terrain.relief.period
    shade = sun_shadow(height, period, sky.sun, 5000.0, 0.04)
    crown = terrain.tile.padded[0, 1, :-1, :-1] * terrain.tree_height
    tree_shade = sun_shadow(crown, TILE_PERIOD, sky.sun, 70.0, 0.3, 14)
    lump = terrain.litter.padded[0, 0, :-1, :-1] * LUMP_HEIGHT
    scrub_shade = sun_shadow(lump, LITTER_PERIOD, sky.sun, 6.0, 0.3, 12)
    return World(
        terrain,
        palette,
        sky,
        Torus.of(shade[None], period),
        Torus.of(tree_shade[None], TILE_PERIOD),
        Torus.of(scrub_shade[None], LITTER_PERIOD),
    )
