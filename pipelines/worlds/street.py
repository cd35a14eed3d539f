"""A street: floor, things and light, and the renderer that turns a camera and a moment into an exact frame."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pipelines.worlds.light import Light, develop, sun_angles
from pipelines.worlds.noise import smoothstep
from pipelines.worlds.shading import SKY, bell, detail_noise
from pipelines.worlds.sky import Sky
from pipelines.worlds.solids import Solids, closeness, first_hit, length, sun_share
from pipelines.worlds.street_builder import LEAVES
from pipelines.worlds.street_ground import KERB, Floor, floor_colour
from pipelines.worlds.street_leaves import holes_in
from pipelines.worlds.street_look import Hits, Look, Mood, surface
from pipelines.worlds.street_plan import draw_street
from pipelines.worlds.street_surface import MATERIALS
from pipelines.worlds.world import Frame, through_air
from render_refine.camera import Camera, pose_from
from vid2vid.classes import CLASSES

BUILDING = CLASSES.index("building")
SHADOWS_REACH = 160.0  # metres from the camera
CLEARLY = 0.1  # difference of colour that makes an edge
LAMP_LIGHT = (1.0, 0.74, 0.42)


@dataclass(frozen=True, eq=False)
class Street:
    """A street at a time. Build one with ``Street.random``.

    Attributes:
        floor: road, pavements and markings; solids: what stands and moves, at time 0; lamps: (L, 3) street lamps.
        sky: light and air; frost: how easily snow lies, [0, 1]; skyline: usual height of the houses in metres.
        awake: share of the windows that are lit in the evening; before 5 and after 23 it is 0.3 less.
    """

    floor: Floor
    solids: Solids
    lamps: Tensor
    sky: Sky
    frost: float
    skyline: float
    awake: float = 0.5

    @staticmethod
    def random(generator: torch.Generator, device: str = "cpu") -> Street:
        """A street drawn from ``generator`` (a CPU generator); one in five is seen by night."""
        light = Light.random(generator)
        pick, haze, frost = torch.rand(3, generator=generator).tolist()
        # Streets hold sun and shade side by side: less contrast than a landscape bears.
        contrast = 0.9 + 0.5 * (light.contrast - 0.9)
        light = replace(light, haze=10 ** (-4.6 + 1.6 * haze), mist=0.25 * light.mist, mist_height=60.0)
        light = replace(light, contrast=contrast)
        if pick < 0.2:
            light = light.at(hour=night_hour(light, 0.03 + 1.5 * pick))
        floor, builder = draw_street(generator)
        noise = detail_noise(generator, device)
        solids = builder.solids(floor)
        walls = solids.axes[solids.label == BUILDING, 1].norm(dim=1)
        return Street(
            floor,
            solids.to(device),
            builder.lamp_places().to(device),
            Sky.of(light, noise),
            frost,
            2 * walls[walls > 1.5].median().item(),
        )

    def with_light(self, hour: float | None = None, season: float | None = None) -> Street:
        """The same place and weather at another hour of the day and time of the year."""
        return replace(self, sky=Sky.of(self.sky.light.at(hour, season), self.sky.noise))

    @property
    def mood(self) -> Mood:
        """What the light means for windows, lamps and leaves."""
        light = self.sky.light
        degrees = math.degrees(light.elevation)
        night = min(1.0, max(0.0, (3.0 - degrees) / 6))
        late = 0.0 if 5 < light.hour < 23 else 0.3
        snow = self.frost * bell(light.season, 0.0, 0.8) if self.frost > 0.45 else 0.0
        return Mood(light.season, snow, night, self.awake - late)

    def random_camera(self, generator: torch.Generator, height: int, width: int) -> Camera:
        """A driver's or pedestrian's view along the street, at times a raised one or one across a junction."""

        def uniform(low: float, high: float) -> float:
            return low + (high - low) * torch.rand((), generator=generator).item()

        while True:
            kind, fov, s = uniform(0, 1), math.radians(uniform(50, 85)), uniform(0, 60)
            lane = self.floor.lane * (0.5 if uniform(0, 1) < 0.6 or self.floor.lanes == 2 else 1.5)
            walk = self.floor.half + self.floor.verge + uniform(0.5, self.floor.pavement - 0.4)
            side, turn = (1 if uniform(0, 1) < 0.5 else -1), 0 if uniform(0, 1) < 0.7 else math.pi
            if kind < 0.55:
                # Drivers keep to the right of where they go.
                t, eye, yaw, pitch = (
                    lane * math.cos(turn),
                    uniform(1.2, 2.0),
                    uniform(-0.12, 0.12),
                    uniform(-0.08, 0.04),
                )
            elif kind < 0.85:
                t, eye, yaw, pitch = side * walk, uniform(1.5, 1.9), uniform(-0.3, 0.3), uniform(-0.08, 0.06)
                yaw -= 0.2 * side * math.cos(turn)
            elif kind < 0.93:
                t, eye, yaw, pitch = uniform(-3, 3), uniform(3, 9), uniform(-0.25, 0.25), uniform(-0.3, -0.08)
            else:
                t, eye, yaw, pitch = side * walk, uniform(1.5, 2.5), uniform(0.5, 1.1), uniform(-0.06, 0.05)
                yaw *= -side * math.cos(turn)
            s = s if turn == 0 else s + 130
            x, z, heading = self.floor.place(s, t)
            position = torch.tensor([x, -eye, z])
            if self.clear(position[None], 0.0):
                pose = pose_from(position, heading + turn + yaw, pitch, uniform(-0.01, 0.01))
                camera = Camera.from_fov(height, width, fov, pose)
                if self.open_view(camera):
                    return camera

    def open_view(self, camera: Camera) -> bool:
        """Whether little of the picture is close by and some of it far away."""
        small = camera.resize(12, 20).to(self.solids.centre.device)
        rays = small.rays().reshape(-1, 3).T.contiguous()
        floor = self.floor.cast(small.centre, rays)
        every = torch.arange(rays.shape[1], device=rays.device)
        things, _ = first_hit(self.solids, small, rays, every, lambda solid, *_: torch.zeros_like(solid).bool())
        close, far = (things < 4.5) & (things < floor), torch.minimum(floor, things) > 25
        return bool((close.float().mean() < 0.16) & (far.float().mean() > 0.2))

    def clear(self, positions: Tensor, time: float, room: float = 0.7) -> bool:
        """Whether points (P, 3) keep ``room`` metres from every solid at ``time`` and stand above the floor."""
        solids = self.solids.at(time)
        device = solids.centre.device
        grown = 1 + room / solids.axes.norm(dim=1).clamp_min(1e-3)
        away = positions.to(device)[:, None] - solids.centre
        local = torch.einsum("nij,pnj->pni", torch.linalg.inv(solids.axes), away)
        inside = (local.abs() < grown).all(-1) & (local.norm(dim=-1) < solids.radius * grown.amax(1))
        return not bool(inside.any()) and bool((positions[:, 1] < -KERB - 0.3).all())

    def render(self, camera: Camera, time: float = 0.0, antialias: bool = False) -> Frame:
        """Colour, depth, labels and motion of what ``camera`` sees after ``time`` seconds.

        ``antialias`` averages 2x2 colour samples in all pixels that differ from their neighbours; the others' textures
        are filtered as they are drawn.
        """
        camera = camera.to(self.solids.centre.device)
        height, width = camera.height, camera.width
        solids = self.solids.at(time)
        every = torch.arange(height * width, device=solids.centre.device)
        rgb, depth, labels, index = self.trace(camera, solids, every)
        rgb, index = rgb.reshape(3, height, width), index.reshape(height, width)
        if antialias:
            row, column = edges(rgb, index).nonzero().T
            first = 4 * width * row + 2 * column
            fine = torch.stack([first, first + 1, first + 2 * width, first + 2 * width + 1]).reshape(-1)
            if len(fine):
                samples = self.trace(camera.resize(2 * height, 2 * width), solids, fine)[0]
                rgb[:, row, column] = samples.reshape(3, 4, -1).mean(1)
        still = (index < 0)[None]
        velocity = torch.where(still, 0.0, solids.velocity[index.clamp_min(0)].permute(2, 0, 1))
        return Frame(rgb, depth.reshape(height, width), labels.reshape(height, width), camera, velocity)

    def own_light(self, camera: Camera, awake: float = 1.0) -> tuple[Tensor, Tensor]:
        """What windows, shops, lamps and cars would send to ``camera`` at night, if they were on.

        Args:
            awake: the share of the windows that is.

        Returns:
            (3, H, W) linear light as it shall appear in the picture, and (H, W) int64 the material that sends it, -1
            where nothing stands.
        """
        solids = replace(self.solids, velocity=torch.ones_like(self.solids.velocity))  # parked cars have lights too
        rays = camera.rays().reshape(-1, 3).T.contiguous()
        every = torch.arange(rays.shape[1], device=rays.device)
        angle, mood = 1 / camera.focal.item(), replace(self.mood, night=1.0, awake=awake)
        depth, index = first_hit(
            solids, camera, rays, every, holes_in(solids, self.sky.noise, mood, camera.centre, angle)
        )
        index = torch.where(self.floor.cast(camera.centre, rays) < depth, torch.full_like(index, -1), index)
        thing = index >= 0
        point, stretch = camera.centre[:, None] + depth * rays, length(rays)
        hits = Hits.of(
            solids.take(index[thing]),
            point[:, thing],
            (rays / stretch)[:, thing],
            (depth * stretch * angle)[thing],
        )
        glow, material = torch.zeros_like(rays), torch.full_like(index, -1)
        glow[:, thing] = surface(hits, MATERIALS, self.sky.noise, mood).glow
        material[thing] = hits.solids.material
        return glow.reshape(3, camera.height, camera.width), material.reshape(camera.height, camera.width)

    def trace(self, camera: Camera, solids: Solids, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(3, P) colour, (P,) depth, labels and indices of solids (-1: none) at the centres of ``pixels`` (P,)."""
        eye = camera.centre
        rays = camera.rays().reshape(-1, 3)[pixels].T.contiguous()
        stretch = length(rays)
        unit = rays / stretch
        angle = 1 / camera.focal.item()
        mood, noise = self.mood, self.sky.noise
        ground = self.floor.cast(eye, rays)
        depth, index = first_hit(solids, camera, rays, pixels, holes_in(solids, noise, mood, eye, angle))
        index = torch.where(ground < depth, torch.full_like(index, -1), index)
        depth = torch.minimum(depth, ground)
        seen, thing = depth.isfinite(), index >= 0
        labels = torch.full_like(index, SKY)
        radiance = torch.empty_like(rays)
        radiance[:, ~seen] = self.sky.radiance(unit[:, ~seen], angle)
        point, pixel = eye[:, None] + depth * rays, depth * stretch * angle
        colour, glow = torch.zeros_like(rays), torch.zeros_like(rays)
        gloss, normal = torch.zeros_like(depth), torch.zeros_like(rays)
        floor = seen & ~thing
        if floor.any():
            colour[:, floor], labels[floor] = floor_colour(
                self.floor, noise, mood.season, mood.snow, point[:, floor], unit[:, floor], pixel[floor]
            )
            normal[1, floor] = -1.0
        if thing.any():
            hits = Hits.of(solids.take(index[thing]), point[:, thing], unit[:, thing], pixel[thing])
            look = surface(hits, MATERIALS, noise, mood)
            colour[:, thing], gloss[thing], glow[:, thing] = look.albedo, look.gloss, look.glow
            normal[:, thing], labels[thing] = hits.normal, hits.solids.label
        leafy = torch.zeros_like(seen)
        leafy[thing] = solids.material[index[thing]] == LEAVES
        look = Look(colour[:, seen], gloss[seen], glow[:, seen])
        lit = self.lit(look, point[:, seen], normal[:, seen], unit[:, seen], floor[seen], leafy[seen], solids, eye)
        distance = (depth * stretch)[seen]
        radiance[:, seen] = through_air(self.sky, lit, unit[:, seen], distance, eye)
        return develop(radiance, self.sky.light, self.gain), depth, labels, index

    @property
    def gain(self) -> Tensor:
        """(3,) exposure: more than under the open sky by day, less by night, which shall look like night."""
        return self.sky.gain * (1.25 - 0.9 * self.mood.night)

    def lit(
        self,
        look: Look,
        point: Tensor,
        normal: Tensor,
        unit: Tensor,
        floor: Tensor,
        leafy: Tensor,
        solids: Solids,
        eye: Tensor,
    ) -> Tensor:
        """Radiance (3, N) that surfaces send to the eye: sun, sky between houses, lamps, mirrored sky, own light."""
        sky = self.sky
        facing = (normal * sky.sun[:, None]).sum(0)
        # Leaves let some light through.
        facing = torch.where(leafy, 0.25 + 0.75 * facing, facing).clamp_min(0)
        shadow = torch.ones_like(facing)
        near = length(point - eye[:, None]) < SHADOWS_REACH
        if sky.sunlight.max() > 1e-4:
            asked = near & (facing > 0)
            density = torch.where(solids.material == LEAVES, 1.1, 30.0)
            start = point[:, asked] + (0.02 + 0.15 * leafy[asked]) * normal[:, asked]
            shadow[asked] = sun_share(start, solids, sky.sun, density)
        _, t = self.floor.coordinates(point[0], point[2])
        wall = self.floor.front + self.floor.garden
        rise = (self.skyline + point[1]).clamp_min(0.0)
        left, right = (wall + t).clamp_min(0.5), (wall - t).clamp_min(0.5)
        open_sky = 0.5 * (left / (left * left + rise * rise).sqrt() + right / (right * right + rise * rise).sqrt())
        open_sky = (0.4 + 0.8 * open_sky) * (0.68 - 0.32 * normal[1])
        base = floor & near
        up = normal.new_tensor([0.0, -1.0, 0.0])
        low = solids.take((solids.centre[:, 1] > -3.0 - solids.axes[:, 1].norm(dim=1)).nonzero()[:, 0])
        open_sky[base] = open_sky[base] * closeness(point[:, base], low, up)
        # Light that the sunlit side of the street throws back.
        thrown = 0.15 * max(-sky.sun[1].item(), 0.0) + 0.05
        falling = sky.sunlight[:, None] * (facing * shadow + thrown) + sky.ambient[:, None] * open_sky
        radiance = look.albedo / math.pi * falling
        mirrored = unit - 2 * (unit * normal).sum(0) * normal
        grazing = (1 + (unit * normal).sum(0)).clamp(0, 1) ** 4
        above = smoothstep(0.05, 0.55, -mirrored[1])
        seen = sky.ambient[:, None] / math.pi * (0.22 + 0.75 * above)
        glint = ((mirrored * sky.sun[:, None]).sum(0).clamp_min(0) ** 60) * shadow
        share = look.gloss * (0.35 + 0.65 * grazing)
        radiance = radiance * (1 - 0.5 * share) + share * (seen + 0.6 * sky.sunlight[:, None] * glint)
        shown = look.glow
        if self.mood.night > 0:
            shown = shown + look.albedo * self.lamp_light(point, normal) * self.mood.night
        return radiance + shown / (self.gain * sky.light.exposure)[:, None]

    def lamp_light(self, point: Tensor, normal: Tensor) -> Tensor:
        """(3, N) light of the street lamps, in brightness of the picture per albedo."""
        total = torch.zeros_like(point[0])
        for lamp in self.lamps:
            near = ((point[[0, 2]] - lamp[[0, 2], None]).abs().amax(0) < 24).nonzero()[:, 0]
            if len(near):
                way = lamp[:, None] - point[:, near]
                square = way.square().sum(0).clamp_min(0.4)
                cosine = ((way * normal[:, near]).sum(0) * square.rsqrt()).clamp_min(0) + 0.12
                down = smoothstep(-0.6, 0.5, -way[1] * square.rsqrt())
                fade = smoothstep(24.0, 14.0, square.sqrt())
                total[near] = total[near] + 32.0 * cosine * down * fade / (square + 8)
        return point.new_tensor(LAMP_LIGHT)[:, None] * total


def edges(rgb: Tensor, index: Tensor) -> Tensor:
    """(H, W) bool: pixels that show another thing than a neighbour, or clearly another colour."""
    found = torch.zeros_like(index, dtype=torch.bool)
    for step in ((0, 1), (1, 0)):
        other = (slice(None, -step[0] or None), slice(None, -step[1] or None))
        here = (slice(step[0], None), slice(step[1], None))
        differs = index[here] != index[other]
        differs |= (rgb[:, *here] - rgb[:, *other]).abs().amax(0) > CLEARLY
        found[here] |= differs
        found[other] |= differs
    return found


def night_hour(light: Light, below: float) -> float:
    """An hour at which the sun is about ``below`` radians under the horizon, or as deep as it gets."""
    hours = [12 + 0.25 * k for k in range(1, 48)]
    return min(hours, key=lambda h: abs(sun_angles(h, light.season, light.latitude)[0] + below))
