"""A home from within: rooms, what stands in them and their light, and the renderer that makes exact frames of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pipelines.worlds.interior_builder import CEILING, FLOOR, METAL, NO_LABEL, WALL, Bulb, Maker
from pipelines.worlds.interior_furnish import furnish
from pipelines.worlds.interior_garden import draw_garden, garden_colour, sky_colour
from pipelines.worlds.interior_light import AMBIENT, BOUNCE, RoomLight, nearness, openness, room_of
from pipelines.worlds.interior_lining import lining_look
from pipelines.worlds.interior_palette import Taste
from pipelines.worlds.interior_plan import Room, draw_rooms
from pipelines.worlds.interior_shell import build_shell
from pipelines.worlds.interior_surface import MATERIALS, touched
from pipelines.worlds.light import Light, develop
from pipelines.worlds.noise import Torus
from pipelines.worlds.shading import SKY, detail_noise
from pipelines.worlds.solids import Solids, first_hit, length
from pipelines.worlds.street import edges
from pipelines.worlds.street_builder import Dice
from pipelines.worlds.street_look import Hits, Look, surface
from pipelines.worlds.world import Frame
from render_refine.camera import Camera, pose_from


@dataclass(frozen=True, eq=False)
class Interior:
    """Rooms with their furniture. Build one with ``Interior.random``.

    Attributes:
        rooms: the main room first; solids: shell and furniture; garden: what is seen through windows.
        light: of the rooms; grade: how the photograph is graded; veil: share of glare in windows, [0, 1].
        noise: the tile that all fine texture is made of.
    """

    rooms: tuple[Room, ...]
    solids: Solids
    garden: Solids
    light: RoomLight
    grade: Light
    veil: float
    noise: Torus

    @staticmethod
    def random(generator: torch.Generator, device: str = "cpu") -> Interior:
        """Rooms drawn from ``generator`` (a CPU generator)."""
        dice = Dice(generator)
        taste = Taste.random(dice)
        rooms = tuple(draw_rooms(dice, taste))
        maker = Maker(dice)
        inwards = dice.chance(0.5)
        for room in rooms:
            build_shell(maker, taste, room, inwards == (room is rooms[0]))
            furnish(maker, taste, room)
        bulbs: tuple[Bulb, ...] = tuple(maker.bulbs)
        solids = maker.things()
        light = RoomLight.of(rooms, bulbs, solids.take(bulky(solids)), dice)
        reach = max(max(-r.x0, r.x1, -r.z0, r.z1) for r in rooms) * 1.4
        garden = draw_garden(dice, reach)
        grade = replace(
            Light.random(generator),
            exposure=1.0,
            contrast=dice.uniform(0.92, 1.18),
            saturation=dice.uniform(0.9, 1.5),
            warmth=dice.uniform(-0.05, 0.14),
        )
        noise = detail_noise(generator, device)
        return Interior(
            rooms,
            solids.to(device),
            garden.to(device),
            light.to(device),
            grade,
            dice.uniform(0.0, 0.5) ** 2,
            noise,
        )

    def random_camera(self, generator: torch.Generator, height: int, width: int) -> Camera:
        """A visitor's view across a room, mostly the main one."""
        dice = Dice(generator)
        wanted = int(dice.uniform(1, 6))
        best: tuple[float, Camera | None] = (-math.inf, None)
        found = 0
        for _ in range(80):
            room = self.rooms[0] if dice.chance(0.8) else dice.pick(self.rooms)
            x, z = (dice.uniform(a + 0.3, b - 0.3) for a, b in ((room.x0, room.x1), (room.z0, room.z1)))
            eye = torch.tensor([x, -min(dice.uniform(0.8, 1.9), room.height - 0.5), z])
            # Towards where there is most room.
            ways = [(room.x1 - x, math.pi / 2), (x - room.x0, -math.pi / 2), (room.z1 - z, 0.0), (z - room.z0, math.pi)]
            ways.sort(reverse=True)
            heading = ways[0 if dice.chance(0.7) else 1][1] + dice.uniform(-0.75, 0.75)
            pose = pose_from(eye, heading, dice.uniform(-0.24, 0.06), dice.uniform(-0.03, 0.03))
            camera = Camera.from_fov(height, width, math.radians(dice.uniform(55, 95)), pose)
            if self.clear(eye[None], 0.32):
                best = max(best, (self.worth(camera), camera), key=lambda pair: pair[0])
                found += 1
            if found >= wanted and best[0] > 0:
                break
        if best[1] is None:
            raise RuntimeError("no room to stand in")
        return best[1]

    def worth(self, camera: Camera) -> float:
        """How much of a view shows things; negative where too much is too close, or nothing far."""
        small = camera.resize(12, 20).to(self.solids.centre.device)
        rays = small.rays().reshape(-1, 3).T.contiguous()
        depth, index = first_hit(self.solids, small, rays, torch.arange(240, device=rays.device), nothing)
        close, far = (depth < 0.6).float().mean().item(), (depth > 2.0).float().mean().item()
        if close > 0.1 or far < 0.35:
            return min(0.1 - close, far - 0.35)
        things = movable(self.solids)[index] & (index >= 0)
        return 0.02 + things.float().mean().item() + 0.01 * len(index.unique())

    def clear(self, points: Tensor, room: float = 0.3) -> bool:
        """Whether points (N, 3) lie within the rooms, ``room`` metres away from walls and things."""
        solids, points = self.solids, points.to(self.solids.centre.device)
        size = solids.axes.norm(dim=1)
        turn = solids.axes / size[:, None]
        away = torch.einsum("nji,pnj->pni", turn, points[:, None] - solids.centre)
        gap = (away.abs() - size).clamp_min(0).norm(dim=-1)
        boxes = self.light.boxes
        x, y, z = points.T[:, :, None]
        inside = (x > boxes[:, 0] - 0.2) & (x < boxes[:, 1] + 0.2) & (z > boxes[:, 2] - 0.2) & (z < boxes[:, 3] + 0.2)
        inside &= (y < 0) & (y > -boxes[:, 4])
        panes = self.light.openings.distance(points)
        return bool((gap > room).all() and inside.any(1).all() and (panes > room).all())

    def render(self, camera: Camera, antialias: bool = False) -> Frame:
        """Colour, depth and labels of what ``camera`` sees.

        ``antialias`` averages 2x2 colour samples in all pixels that differ from their neighbours; the others' textures
        are filtered as they are drawn.
        """
        camera = camera.to(self.solids.centre.device)
        height, width = camera.height, camera.width
        every = torch.arange(height * width, device=self.solids.centre.device)
        rgb, depth, index = self.trace(camera, every)
        rgb, index = rgb.reshape(3, height, width), index.reshape(height, width)
        if antialias:
            row, column = edges(rgb, index).nonzero().T
            first = 4 * width * row + 2 * column
            fine = torch.stack([first, first + 1, first + 2 * width, first + 2 * width + 1]).reshape(-1)
            if len(fine):
                samples = self.trace(camera.resize(2 * height, 2 * width), fine)[0]
                rgb[:, row, column] = samples.reshape(3, 4, -1).mean(1)
        depth = depth.reshape(height, width)
        labels = torch.where(depth.isinf(), SKY, NO_LABEL)
        return Frame(rgb, depth, labels, camera)

    def trace(self, camera: Camera, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(3, P) colour, (P,) depth and indices of solids (-1: outdoors) at the centres of ``pixels`` (P,)."""
        eye = camera.centre
        rays = camera.rays().reshape(-1, 3)[pixels].T.contiguous()
        stretch = length(rays)
        unit = rays / stretch
        angle = 1 / camera.focal.item()
        depth, index = first_hit(self.solids, camera, rays, pixels, nothing)
        seen = (index >= 0).nonzero()[:, 0]
        radiance = torch.empty_like(rays)
        out = (index < 0).nonzero()[:, 0]
        if len(out):
            radiance[:, out], depth[out] = self.outdoors(camera, rays[:, out], pixels[out], unit[:, out], angle)
        if len(seen):
            point = eye[:, None] + depth[seen] * rays[:, seen]
            radiance[:, seen] = self.indoors(index[seen], point, unit[:, seen], (depth * stretch)[seen] * angle)
        return develop(radiance, self.grade, self.light.gain), depth, index

    def outdoors(
        self, camera: Camera, rays: Tensor, pixels: Tensor, unit: Tensor, angle: float
    ) -> tuple[Tensor, Tensor]:
        """Radiance (3, N) and depth (N,) of what lies behind the windows."""
        depth, index = first_hit(self.garden, camera, rays, pixels, nothing)
        bright = 1.4 * sky_colour(unit, self.noise)
        found = (index >= 0).nonzero()[:, 0]
        if len(found):
            point = camera.centre[:, None] + depth[found] * rays[:, found]
            pixel = depth[found] * length(rays[:, found]) * angle
            hits = touched(self.garden.take(index[found]), point, unit[:, found], pixel)
            bright[:, found] = garden_colour(hits, point, self.noise)
        bright = bright + self.veil * (1 - bright)
        return bright * (self.light.view / self.light.gain[:, None]), depth

    def indoors(self, index: Tensor, point: Tensor, unit: Tensor, pixel: Tensor) -> Tensor:
        """Radiance (3, N) of points (3, N) on solids (N,)."""
        hits = touched(self.solids.take(index), point, unit, pixel)
        light, normal = self.light, hits.normal
        room = room_of(point + 0.05 * normal, light.boxes)
        look = self.look(hits, point, room)
        direct, around = light.direct(point, normal, room)
        things = self.solids.take(bulky(self.solids))
        corners, close = openness(point, normal, room, light.boxes), nearness(point, normal, things)
        thrown = AMBIENT * light.thrown[room].T * (0.9 - 0.1 * normal[1]) + BOUNCE * around
        falling = direct * (0.35 + 0.65 * corners) * close + thrown * corners * close**1.3
        sun = light.sun_patches(point, normal, room, self.solids.take(movable(self.solids).nonzero()[:, 0]))
        falling = falling + light.sunlight[:, None] * sun
        radiance = look.albedo / math.pi * falling
        glossy = (look.gloss > 0.05).nonzero()[:, 0]
        if len(glossy):
            way, n = unit[:, glossy], normal[:, glossy]
            cosine = -(way * n).sum(0)
            mirrored = light.mirrored(point[:, glossy], way + 2 * cosine * n, room[glossy], 0.12)
            share = look.gloss[glossy] * (0.06 + 0.6 * (1 - cosine.clamp(0, 1)) ** 3)
            metal = hits.solids.material[glossy] == METAL
            share = torch.where(metal, 0.55, share)
            tint = torch.where(metal, 1.6 * look.albedo[:, glossy], 1.0)
            close_by = (close * corners)[glossy]
            radiance[:, glossy] = radiance[:, glossy] * (1 - share) + share * tint * mirrored * close_by
        return radiance + look.glow / light.gain[:, None]

    def look(self, hits: Hits, point: Tensor, room: Tensor) -> Look:
        """Albedo, gloss and glow of points: of the shell by their room, of things by their material."""
        day = min(self.light.view, 1.8)
        look = surface(hits, MATERIALS, self.noise, day)
        material = hits.solids.material
        shell = (material == WALL) | (material == FLOOR) | (material == CEILING)
        for k, place in enumerate(self.rooms):
            mask = shell & (room == k)
            if mask.any():
                lining = lining_look(place, hits.take(mask), point[:, mask], self.noise)
                look.albedo[:, mask], look.gloss[mask] = lining.albedo, lining.gloss
        return look


def movable(solids: Solids) -> Tensor:
    """(N,) bool: all that is no wall, floor or ceiling."""
    material = solids.material
    return (material != WALL) & (material != FLOOR) & (material != CEILING)


def bulky(solids: Solids) -> Tensor:
    """Indices of things large enough to shade what is close."""
    size = solids.axes.norm(dim=1).sort(dim=1).values
    return (movable(solids) & (size[:, 1] > 0.06)).nonzero()[:, 0]


def nothing(solid: Tensor, *_: Tensor) -> Tensor:
    """No holes in anything."""
    return torch.zeros_like(solid, dtype=torch.bool)
