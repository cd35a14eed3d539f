"""Light in rooms: daylight through openings, lamps, sun patches, what walls throw back, and what is hidden from it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pipelines.worlds.interior_builder import Bulb
from pipelines.worlds.interior_openings import Openings
from pipelines.worlds.interior_plan import THICK, Room
from pipelines.worlds.interior_shadow import Shade
from pipelines.worlds.noise import smoothstep
from pipelines.worlds.solids import Solids, into, length, plane_pairs, sun_share
from pipelines.worlds.street_builder import Dice

REFLECTED = 0.55  # mean albedo of a furnished room
AMBIENT, BOUNCE = 0.55, 0.2  # shares of thrown back light that are everywhere alike, and that come from close by
REACH = 7.0  # metres that lamps shine
SAMPLES = ((-0.7, -0.3), (-0.25, 0.55), (0.25, -0.6), (0.7, 0.25))  # places in an opening, in half sizes
MANY = 9  # lamps, above which they cast no shadows
SKY_COLOUR = (0.92, 1.0, 1.10)


@dataclass(frozen=True, eq=False)
class RoomLight:
    """What shines in a home.

    Attributes:
        boxes: (R, 5) x0, x1, z0, z1 and height of the rooms; openings; bulbs.
        shades: one tuple for each opening, then for each bulb.
        sun: (3,) unit vector to the sun; sunlight: (3,) its irradiance; thrown: (R, 3) irradiance of light that
            surfaces throw back; view: brightness of the outdoors in the picture; gain: exposure (3,).
    """

    boxes: Tensor
    openings: Openings
    bulbs: tuple[Bulb, ...]
    shades: tuple[tuple[Shade, ...], ...]
    sun: Tensor
    sunlight: Tensor
    thrown: Tensor
    view: float
    gain: Tensor

    @staticmethod
    def of(rooms: tuple[Room, ...], bulbs: tuple[Bulb, ...], solids: Solids, dice: Dice) -> RoomLight:
        """Daylight or evening, balanced for the main room; ``solids`` cast soft shadows."""
        night = dice.chance(0.06) and bool(bulbs)
        day = 0.03 if night else 1.0
        boxes = torch.tensor([[r.x0, r.x1, r.z0, r.z1, r.height] for r in rooms])
        openings = Openings.of(rooms, day)
        turn, rise = dice.uniform(0, 2 * math.pi), dice.uniform(0.3, 1.0)
        sun = torch.tensor([math.cos(rise) * math.sin(turn), -math.sin(rise), math.cos(rise) * math.cos(turn)])
        bright = 0.0 if night or dice.chance(0.45) else dice.uniform(2.0, 9.0)
        sunlight = bright * torch.tensor([1.0, 0.90, 0.74])
        thrown = thrown_back(boxes, openings, bulbs)
        # Passages shine as their rooms do.
        for k in range(len(openings)):
            if not openings.outdoors[k]:
                behind = openings.centre[k] - (THICK + 0.3) * openings.inward[k]
                other = room_of(behind[:, None], boxes)[0]
                openings.radiance[k] = thrown[other] * REFLECTED / math.pi
        thrown = thrown_back(boxes, openings, bulbs) + 0.02 * day
        # No room is as dark as one without windows would be: light finds its way.
        thrown = torch.maximum(thrown, dice.uniform(0.25, 0.6) * thrown[:1])
        view = 0.05 if night else 10 ** dice.uniform(-0.2, 0.55)
        shades = (*window_shades(openings, solids), *bulb_shades(bulbs, solids))
        light = RoomLight(boxes, openings, bulbs, shades, sun, sunlight, thrown, view, torch.ones(3))
        return replace(light, gain=light.exposed(dice))

    def exposed(self, dice: Dice) -> Tensor:
        """(3,) gain at which white walls of the main room look about white."""
        x0, x1, z0, z1, top = self.boxes[0].tolist()
        points = torch.tensor(
            [[dice.uniform(x0, x1), -dice.uniform(0.2, 0.9) * top, dice.uniform(z0, z1)] for _ in range(64)]
        ).T
        total = torch.zeros(3)
        for normal in ((1, 0, 0), (-1, 0, 0), (0, 0, 1), (0, 0, -1), (0, -1, 0)):
            n = torch.tensor(normal, dtype=torch.float32)[:, None].expand(3, 64)
            direct, around = self.direct(points, n, torch.zeros(64, dtype=torch.long))
            total += (direct + BOUNCE * around).clamp_max(4.0).mean(1) / 5
        usual = total + AMBIENT * self.thrown[0]
        target = 0.42 * 2 ** dice.uniform(-0.7, 0.8)
        # The camera balances white half way.
        balance = (usual / usual.mean()) ** dice.uniform(0.4, 0.95)
        return math.pi * target / (0.75 * usual.mean()) / balance

    def to(self, device: str) -> RoomLight:
        """The same on another device."""
        tensors = {k: getattr(self, k).to(device) for k in ("boxes", "openings", "sun", "sunlight", "thrown", "gain")}
        return replace(self, shades=tuple(tuple(s.to(device) for s in one) for one in self.shades), **tensors)

    def direct(self, point: Tensor, normal: Tensor, room: Tensor) -> tuple[Tensor, Tensor]:
        """Irradiance (3, N) from openings and lamps of the points' rooms (N,), and (3, N) what passes close by.

        The second is the light from all sides, which the surroundings of a point throw back at it.
        """
        total, around = torch.zeros_like(point), torch.zeros_like(point)
        for k in range(len(self.openings)):
            own = (room == self.openings.room[k]).nonzero()[:, 0]
            if len(own):
                vector = self.openings.vector(k, point[:, own])
                share = (vector * normal[:, own]).sum(0).clamp_min(0)
                # Seen from beside, a part of the opening counts only.
                seen = torch.stack([s.lit(point[:, own]) for s in self.shades[k]]).mean(0)
                total[:, own] += self.openings.radiance[k][:, None] * (share * seen)
                around[:, own] += self.openings.radiance[k][:, None] * (length(vector) * (0.3 + 0.7 * seen))
        for bulb, shades in zip(self.bulbs, self.shades[len(self.openings) :], strict=True):
            place = point.new_tensor(bulb.place)
            home = room_of(place[:, None], self.boxes)[0]
            near = ((room == home) & (length(point - place[:, None]) < REACH)).nonzero()[:, 0]
            if len(near):
                way = place[:, None] - point[:, near]
                square = way.square().sum(0)
                unit = way * square.clamp_min(1e-4).rsqrt()
                # Lamps have a size, and light goes round things a little.
                cosine = ((unit * normal[:, near]).sum(0) * 0.9 + 0.1).clamp_min(0)
                power = bulb.power * smoothstep(REACH, 0.6 * REACH, square.sqrt()) / (square + 0.03)
                if bulb.down:
                    power = 3 * power * smoothstep(0.35, 0.95, -unit[1])
                for shade in shades:
                    power = power * shade.lit(point[:, near])
                colour = point.new_tensor(bulb.colour)[:, None]
                total[:, near] += colour * (power * cosine)
                around[:, near] += 0.5 * colour * power
        return total, around

    def sun_patches(self, point: Tensor, normal: Tensor, room: Tensor, solids: Solids) -> Tensor:
        """(N,) share of sunlight that comes through windows onto surfaces, times the cosine."""
        out = torch.zeros_like(point[0])
        if self.sunlight.max() == 0:
            return out
        facing = (normal * self.sun[:, None]).sum(0).clamp_min(0)
        asked = torch.zeros_like(facing, dtype=torch.bool)
        for k in self.openings.outdoors.nonzero()[:, 0]:
            if (self.openings.inward[k] * self.sun).sum() < -0.02:
                own = (room == self.openings.room[k]) & (facing > 0)
                asked |= own & (self.through(k, point, self.sun[:, None].expand_as(point), 0.0) > 0.5)
        found = asked.nonzero()[:, 0]
        if len(found):
            start = point[:, found] + 0.01 * normal[:, found]
            density = torch.full((len(solids),), 30.0, device=point.device)
            out[found] = facing[found] * sun_share(start, solids, self.sun, density)
        return out

    def through(self, k: int | Tensor, point: Tensor, way: Tensor, soft: float) -> Tensor:
        """(N,) share of rays (3, N) from points that leave by opening k, blurred by ``soft`` metres per metre."""
        o = self.openings
        speed = (way * o.inward[k][:, None]).sum(0)
        t = ((o.centre[k][:, None] - point) * o.inward[k][:, None]).sum(0) / torch.where(speed < -1e-3, speed, -1e-3)
        place = point + t * way - o.centre[k][:, None]
        half = o.right[k].norm()
        blur = (soft * t + 1e-3).clamp_min(1e-3)
        across = half - ((place * o.right[k][:, None]).sum(0) / half).abs()
        up = o.tall[k] - place[1].abs()
        share = (across / blur + 0.5).clamp(0, 1) * (up / blur + 0.5).clamp(0, 1)
        return share * (speed < -1e-3)

    def mirrored(self, point: Tensor, way: Tensor, room: Tensor, soft: float) -> Tensor:
        """(3, N) radiance that comes along ``-way`` to glossy points: dim walls, bright windows."""
        total = self.thrown[room].T * (REFLECTED / math.pi * (0.8 + 0.35 * smoothstep(-0.3, 0.9, -way[1])))
        outside = self.view / self.gain.mean().item()
        for k in range(len(self.openings)):
            if self.openings.outdoors[k]:
                own = room == self.openings.room[k]
                light = min(outside, 3.0)
                total = total + light * (self.through(k, point, way, soft) * own)
        return total


def room_of(point: Tensor, boxes: Tensor) -> Tensor:
    """(N,) the room that each point (3, N) is in or nearest to."""
    x0, x1, z0, z1 = boxes[:, :4, None].unbind(1)
    away = torch.maximum(torch.maximum(x0 - point[0], point[0] - x1), torch.maximum(z0 - point[2], point[2] - z1))
    return away.argmin(0)


def window_shades(openings: Openings, solids: Solids) -> list[tuple[Shade, ...]]:
    """What the openings see: windows from several places, passages from one."""
    shades = []
    for k in range(len(openings)):
        inward = openings.inward[k]
        heading = math.atan2(inward[0].item(), inward[2].item())
        start = openings.centre[k] + (0.5 * THICK * openings.outdoors[k] + 0.03) * inward
        places = SAMPLES if openings.outdoors[k] else SAMPLES[::2]
        up = openings.tall[k] * inward.new_tensor([0.0, -1.0, 0.0])
        shades.append(tuple(Shade.of(solids, start + a * openings.right[k] + b * up, heading, 0.0) for a, b in places))
    return shades


def bulb_shades(bulbs: tuple[Bulb, ...], solids: Solids) -> list[tuple[Shade, ...]]:
    """What lamps at the ceiling see; those on tables and floors, and very many, cast no shadow."""
    high = [b.place[1] < -1.9 for b in bulbs]
    if sum(high) > MANY:
        return [()] * len(bulbs)
    down = -math.pi / 2
    return [
        (Shade.of(solids, torch.tensor(b.place), 0.0, down),) if h else () for b, h in zip(bulbs, high, strict=True)
    ]


def thrown_back(boxes: Tensor, openings: Openings, bulbs: tuple[Bulb, ...]) -> Tensor:
    """(R, 3) irradiance after many reflections in each room: flux x albedo / (surface x (1 - albedo))."""
    wide, deep, top = boxes[:, 1] - boxes[:, 0], boxes[:, 3] - boxes[:, 2], boxes[:, 4]
    walls = 2 * (wide * deep + wide * top + deep * top)
    flux = boxes.new_zeros(len(boxes), 3)
    flux.index_add_(0, openings.room, math.pi * openings.area[:, None] * openings.radiance)
    for bulb in bulbs:
        home = room_of(boxes.new_tensor(bulb.place)[:, None], boxes)[0]
        flux[home] += 4 * math.pi * bulb.power * boxes.new_tensor(bulb.colour) * (0.6 if bulb.down else 1.0)
    return flux * REFLECTED / (1 - REFLECTED) / walls[:, None]


def openness(point: Tensor, normal: Tensor, room: Tensor, boxes: Tensor) -> Tensor:
    """(N,) share of a room's light left in its corners."""
    x0, x1, z0, z1, top = boxes[room].T
    left = torch.ones_like(point[0])
    gaps = (
        (point[0] - x0, normal[0]),
        (x1 - point[0], -normal[0]),
        (point[2] - z0, normal[2]),
        (z1 - point[2], -normal[2]),
        (-point[1], -normal[1]),
        (top + point[1], normal[1]),
    )
    for gap, along in ((g.clamp_min(0), a) for g, a in gaps):
        left = left * (1 - (1 - along.clamp_min(0)) * (0.24 * torch.exp(-gap / 0.14) + 0.16 * torch.exp(-gap / 0.6)))
    return left


def nearness(point: Tensor, normal: Tensor, solids: Solids) -> Tensor:
    """(N,) share of light left by things close to points: contact shadows below and behind furniture."""
    up = point.new_tensor([0.0, -1.0, 0.0])
    owner, solid = plane_pairs(point, solids, up, margin=0.35)
    size = solids.axes.norm(dim=1)
    turn = (solids.axes / size[:, None]).transpose(1, 2).reshape(-1, 9).T.contiguous()
    size = size.T
    local = into(turn[:, solid], point[:, owner] - solids.centre.T[:, solid])
    gap = (local.abs() - size[:, solid]).clamp_min(0)
    away = length(gap)
    reach = 0.07 + 0.35 * size.sort(0).values[1].clamp_max(0.8)[solid]
    close = ((away < 3 * reach) & (away > 4e-3)).nonzero()[:, 0]
    owner, solid, away, reach = owner[close], solid[close], away[close], reach[close]
    to = -gap[:, close] * local[:, close].sign() / away
    facing = (into(turn[:, solid], normal[:, owner]) * to).sum(0)
    taken = 0.62 * torch.exp(-away / reach) * (0.3 + 0.7 * facing).clamp(0, 1)
    return torch.exp(torch.zeros_like(point[0]).index_add(0, owner, torch.log1p(-taken)))
