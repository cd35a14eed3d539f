"""The sky: light scattered by the air, the sun and its glow, cumulus, cirrus and overcast.

Single scattering in a plane-parallel air (Rayleigh and Mie with optical depths per channel, Kasten-Young air mass);
what several scatterings add is approximated by a paler sun path towards the zenith and a blue twilight term.
Radiance is in units of the sun's irradiance above the air.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pipelines.worlds.light import Light
from pipelines.worlds.noise import Torus, hashed, smoothstep

RAYLEIGH = (0.041, 0.097, 0.235)
MIE_ANISOTROPY = 0.76
CLOUD_HEIGHT, CLOUD_THICKNESS, CLOUD_SLABS, CLOUD_PERIOD = 1500.0, 700.0, 6, 27e3
CIRRUS_HEIGHT = 7000.0
STAR_CELL, STAR_SHARE = 0.025, 0.2  # radians a side, and the share of the cells that have a star
STAR_SIZE, STAR_RADIANCE = 0.0022, 0.03  # radians, and that of the brightest


@dataclass(frozen=True)
class Sky:
    """The sky of one light. ``noise`` is band-limited noise of unit variance in a torus of period 1."""

    light: Light
    noise: Torus
    sun: Tensor  # (3,) unit vector to the sun
    sunlight: Tensor  # (3,) direct irradiance at the ground
    ambient: Tensor  # (3,) irradiance of the whole sky
    gain: Tensor  # (3,) automatic exposure and white balance

    @staticmethod
    def of(light: Light, noise: Torus) -> Sky:
        """Prepare the sky: sunlight through the air, mean sky light, exposure."""
        device = noise.padded.device
        sun = torch.tensor(light.sun, device=device)
        depth = optical_depth(light, device)
        up = math.sin(light.elevation)
        above = min(1.0, max(0.0, (math.degrees(light.elevation) + 0.8) / 1.6))
        sunlight = torch.exp(-depth[0] * 0.9 * air_mass(torch.tensor(max(up, 0.0), device=device)) - depth[1] * 3)
        sunlight = sunlight * above * (1 - 0.97 * light.overcast)
        bare = Sky(light, noise, sun, sunlight, sunlight, sunlight)
        angles = torch.arange(8, device=device) * (math.pi / 4)
        rings = [
            torch.stack([angles.sin() * math.cos(e), torch.full_like(angles, -math.sin(e)), angles.cos() * math.cos(e)])
            for e in (0.25, 0.7, 1.2)
        ]
        mean = torch.cat([bare.air(ring) * weight for ring, weight in zip(rings, (0.5, 1.3, 0.9), strict=True)], dim=1)
        ambient = math.pi * mean.mean(1) * (2.5 + 0.6 * light.clouds)
        # What the ground and the clouds send back makes the light from above less blue than the sky.
        ambient = ambient + (ambient.mean() - ambient) * 0.25
        falling = sunlight * max(up, 0.06) + ambient
        brightness = falling.mean()
        # Cameras follow the light, but not all the way: dusk stays a little dark and a little coloured.
        gain = 6.5 * (0.35 / brightness) ** 0.88 * (brightness / falling) ** 0.4
        return Sky(light, noise, sun, sunlight, ambient, gain)

    def air(self, rays: Tensor) -> Tensor:
        """Radiance (3, ...) of the clear or overcast air along unit rays (3, ...)."""
        light = self.light
        shape = (3, *[1] * (rays.dim() - 1))
        rayleigh, mie = (d.view(shape) for d in optical_depth(light, rays.device))
        up = (-rays[1]).clamp_min(0.0)
        cosine = (rays * self.sun.view(shape)).sum(0)
        mass = air_mass(up)
        g = MIE_ANISOTROPY
        phase_r = 3 / (16 * math.pi) * (1 + cosine * cosine)
        phase_m = (1 - g * g) / (4 * math.pi * (1 + g * g - 2 * g * cosine).clamp_min(1e-4) ** 1.5)
        total = rayleigh + mie
        scattered = (rayleigh * phase_r * 1.5 + mie * phase_m) / total * (1 - torch.exp(-total * mass))
        sun_up = max(math.sin(light.elevation), 0.0)
        sun_mass = air_mass(torch.tensor(sun_up, device=rays.device))
        path = sun_mass * (0.14 + 0.62 * torch.exp(-up * 5.0))
        radiance = scattered * torch.exp(-(rayleigh + 0.5 * mie) * path)
        degrees = math.degrees(light.elevation)
        dusk = 1.0 if degrees > 0 else math.exp(degrees / 2.6)
        radiance = radiance * dusk
        night = rays.new_tensor([0.0010, 0.0016, 0.0034]).view(shape) * (0.5 + 0.5 * torch.exp(-3 * up))
        twilight = rays.new_tensor([0.006, 0.011, 0.021]).view(shape) * dusk * math.exp(-max(degrees, 0.0) / 8)
        radiance = radiance + night + twilight
        grey_level = 0.055 * max(sun_up, 0.02) ** 0.8 * dusk + 0.0012
        lid = rays.new_tensor([0.95, 0.99, 1.06]).view(shape) * (grey_level * (0.75 + 0.6 * up))
        return radiance + (lid - radiance) * (0.96 * light.overcast)

    def radiance(self, rays: Tensor, spread: Tensor | float) -> Tensor:
        """What is seen along unit rays (3, N) that each cover ``spread`` radians: air, sun, clouds."""
        light = self.light
        up = -rays[1]
        colour = self.air(rays)
        cosine = (rays * self.sun[:, None]).sum(0)
        clear = 1 - light.overcast
        disc = smoothstep(math.cos(0.020), math.cos(0.012), cosine) * 6.0
        glow = 0.10 * torch.exp((cosine - 1) * 220) + 0.02 * torch.exp((cosine - 1) * 28)
        colour = colour + self.sunlight[:, None] * (disc + glow) * clear
        colour = self.with_stars(colour, rays, up, spread)
        colour = self.with_cirrus(colour, rays, up, cosine)
        return self.with_cumulus(colour, rays, up, cosine, spread)

    def with_stars(self, colour: Tensor, rays: Tensor, up: Tensor, spread: Tensor | float) -> Tensor:
        """Add stars, at most one in each cell of height and azimuth; they come out when the sun is 6 degrees down."""
        dark = min(1.0, max(0.0, (-6 - math.degrees(self.light.elevation)) / 6)) * (1 - self.light.overcast)
        if dark == 0:
            return colour
        height, azimuth = torch.asin(up.clamp(-1, 1)), torch.atan2(rays[0], rays[2])
        row = (height / STAR_CELL).floor()
        ring = torch.cos((row + 0.5) * STAR_CELL)  # cells stay square towards the zenith
        column = (azimuth * ring / STAR_CELL).floor()
        right, down, dice = (hashed(row + k, column) for k in (0, 1013, 2027))
        # A star keeps clear of its cell's border, beyond which nothing is looked for.
        away_up = height - (row + 0.3 + 0.4 * down) * STAR_CELL
        away_right = azimuth * ring - (column + 0.3 + 0.4 * right) * STAR_CELL
        size = 0.6 * torch.as_tensor(spread) + 0.0004
        shape = torch.exp(-(away_up.square() + away_right.square()) / size**2)
        brightness = (1 - dice / STAR_SHARE).clamp_min(0) ** 2 * smoothstep(0.0, 0.25, up)
        # A pixel that covers more sky than a star needs shows less of it.
        thinned = (STAR_SIZE / size).clamp_max(1.0) ** 2
        return colour + STAR_RADIANCE * dark * thinned * brightness * shape

    def with_cirrus(self, colour: Tensor, rays: Tensor, up: Tensor, cosine: Tensor) -> Tensor:
        distance = CIRRUS_HEIGHT / (up + 0.06).clamp_min(0.02)
        x, z = rays[0] * distance / 38e3, rays[2] * distance / 38e3
        turn = self.light.north
        along, side = x * math.cos(turn) + z * math.sin(turn), z * math.cos(turn) - x * math.sin(turn)
        bend = self.noise.at(along * 0.31, side * 0.31)[0] * 0.05
        streaks = (
            self.noise.at(along * 0.22 + 0.3, side * 0.9 + bend)[1]
            + 0.6 * self.noise.at(along * 0.6, side * 2.7 + 2 * bend)[0]
            + 0.35 * self.noise.at(along * 1.7, side * 6.1 + 3 * bend)[1]
        )
        veil = smoothstep(0.1, 2.2, streaks) * self.light.cirrus * smoothstep(0.0, 0.22, up) * 0.75
        lit = self.lit_cloud(cosine, 0.5)
        return colour + (lit - colour) * veil

    def with_cumulus(self, colour: Tensor, rays: Tensor, up: Tensor, cosine: Tensor, spread: Tensor | float) -> Tensor:
        """Add the cumulus layer: flat slabs from its base upwards, each smaller and brighter than the one below."""
        cover = max(self.light.clouds, self.light.overcast)
        if cover < 0.08:
            return colour
        high = up > 0.004
        if not high.any():
            return colour
        rays, up, cosine = rays[:, high], up[high], cosine[high]
        fade = smoothstep(0.004, 0.09, up) * (1 - 0.4 * self.light.overcast)
        # The earth is round: towards the horizon the layer comes nearer to the ground.
        distance = 1 / (up + 0.035)
        footprint = CLOUD_HEIGHT * distance * distance * spread
        flat = self.sun[[0, 2]] / self.sun[[0, 2]].norm().clamp_min(1e-3)
        through, gathered = torch.ones_like(up), torch.zeros_like(rays)
        for k in range(CLOUD_SLABS):
            level = k / (CLOUD_SLABS - 1)
            reach = CLOUD_HEIGHT * distance + CLOUD_THICKNESS * level * distance.clamp_max(3.0)
            x, z = rays[0] * reach, rays[2] * reach
            density = self.cloud_density(x, z, footprint, 0.9 * level**1.5, 0.03 * level)
            towards = self.cloud_density(x + 350 * flat[0], z + 350 * flat[1], footprint + 200, 0.9 * level**1.5)
            alpha = smoothstep(0.0, 0.55, density)
            lit = self.lit_cloud(cosine, 0.9 * towards + 0.5 * density + 0.7 * (1 - level))
            gathered = gathered + lit * (through * alpha)
            through = through * (1 - alpha)
        behind = colour[:, high]
        colour[:, high] = behind + (gathered - behind * (1 - through)) * fade
        return colour

    def cloud_density(self, x: Tensor, z: Tensor, footprint: Tensor, lack: float = 0.0, shift: float = 0.0) -> Tensor:
        """Density (N,) of cumulus above x, z in metres, less ``lack``; 0 between clouds, about 1 within."""
        x, z = x / CLOUD_PERIOD, z / CLOUD_PERIOD
        total = torch.zeros_like(x)
        values = Torus(self.noise.padded[:, :2], 1.0)
        for k in range(7):
            scale = 2.07**k
            # What is finer than the footprint is left out; the tile holds 16 waves.
            left = 1 / (1 + (footprint * (16 * scale / CLOUD_PERIOD / 0.4)) ** 2)
            if k > 2 and left.max() < 0.05:
                break
            c, s = math.cos(1.3 * k), math.sin(1.3 * k)
            found = values.at((c * x + s * z) * scale + shift * k, (c * z - s * x) * scale + 0.31 * k)[k % 2]
            total = total + (found.abs() - 0.6 if k > 2 else found) * left * 0.58**k
        cover = max(self.light.clouds, self.light.overcast)
        return (total / 1.2 + (cover - 0.6) * 3.0 - lack).clamp(0, 2.5)

    def lit_cloud(self, cosine: Tensor, depth: Tensor | float) -> Tensor:
        """Radiance of cloud whose light has passed ``depth`` of cloud: silver towards the sun, grey below."""
        depth = torch.as_tensor(depth, device=cosine.device)
        forward = 0.20 + 0.5 * torch.exp((cosine - 1) * 9) * torch.exp(-2.0 * depth)
        through = 0.12 + 0.88 * torch.exp(-1.2 * depth)
        return self.sunlight[:, None] * (forward * through) + self.ambient[:, None] * (0.30 * (0.5 + 0.5 * through))

    def cloud_shadow(self, x: Tensor, z: Tensor) -> Tensor:
        """Share of sunlight (N,) that the cumulus layer lets through to the ground at x, z."""
        if self.light.clouds < 0.08:
            return torch.ones_like(x)
        reach = CLOUD_HEIGHT / max(-self.sun[1].item(), 0.15)
        density = self.cloud_density(x + self.sun[0] * reach, z + self.sun[2] * reach, torch.full_like(x, 150.0))
        return 1 - 0.75 * smoothstep(0.0, 0.9, density)


def optical_depth(light: Light, device: torch.device | str) -> tuple[Tensor, Tensor]:
    """(3,) vertical optical depths of the clean air and of its aerosol."""
    mie = light.turbidity * torch.tensor([0.95, 1.0, 1.08], device=device)
    return torch.tensor(RAYLEIGH, device=device), mie


def air_mass(up: Tensor) -> Tensor:
    """Relative length of the path through the air at sine of elevation ``up`` >= 0 (Kasten and Young, 1989)."""
    degrees = torch.rad2deg(torch.asin(up.clamp(0, 1)))
    return 1 / (up + 0.50572 * (degrees + 6.07995) ** -1.6364)
