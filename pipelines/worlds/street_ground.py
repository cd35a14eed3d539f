"""The floor of a street: an arc of road with kerbs, pavements, verges, gardens, junctions and painted markings.

Street coordinates: s metres along the middle of the road, t metres to the right of it. Road lies at height 0, all
else ``KERB`` above it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pipelines.worlds.noise import Torus, hashed, smoothstep
from pipelines.worlds.shading import DETAIL_CELLS, bell, mix
from pipelines.worlds.solids import length
from vid2vid.classes import CLASSES

ROAD, MARKING, PAVEMENT, GRASS, SNOW = (CLASSES.index(n) for n in ("road", "marking", "pavement", "grass", "snow"))
KERB = 0.12
REACH = 4000.0  # metres; beyond it the ground is below the horizon's haze
CROSS_PAVEMENT = 3.0


@dataclass(frozen=True)
class Floor:
    """Measures in metres, colours linear.

    Attributes:
        curvature: 1 / radius of the road's arc, positive bends to the right.
        lanes: 2 or 4; lane: width of one; parking: width of the parking strip at each side, 0 for none.
        verge: width of the grass between kerb and pavement, 0 for none; pavement: its width; garden: from the
            pavement to the houses; lawn: whether that is grass.
        junctions: (s, half width) of crossing roads; zebras: s of further crossings; solid: an unbroken middle line.
        asphalt, slab: colours; wear: how patched the road is; paving: size of the slabs; green: colour of grass.
    """

    curvature: float
    lanes: int
    lane: float
    parking: float
    verge: float
    pavement: float
    garden: float
    lawn: bool
    junctions: tuple[tuple[float, float], ...]
    zebras: tuple[float, ...]
    solid: bool
    asphalt: float
    slab: tuple[float, ...]
    wear: float
    paving: float
    green: tuple[float, ...]

    @property
    def half(self) -> float:
        """Middle of the road to the kerb."""
        return 0.5 * self.lanes * self.lane + self.parking

    @property
    def front(self) -> float:
        """Middle of the road to the far edge of the pavement."""
        return self.half + self.verge + self.pavement

    def place(self, s: float, t: float) -> tuple[float, float, float]:
        """World x, z and heading (radians to the right of +z) at street coordinates."""
        k = self.curvature
        if k == 0:
            return t, s, 0.0
        angle = k * s
        return (1 - math.cos(angle)) / k + t * math.cos(angle), math.sin(angle) / k - t * math.sin(angle), angle

    def coordinates(self, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Street coordinates s, t of world x, z."""
        k = self.curvature
        if k == 0:
            return z, x
        square = x * x + z * z
        # t = (1 - |1 - k p|) / k, written so that a nearly straight road loses no digits.
        t = (2 * x - k * square) / (1 + (1 - 2 * k * x + k * k * square).clamp_min(0).sqrt())
        return torch.atan2(k * z, 1 - k * x) / k, t

    def beyond_kerb(self, s: Tensor, t: Tensor) -> Tensor:
        """Metres beyond the nearest kerb, negative on the road."""
        distance = t.abs() - self.half
        for at, half in self.junctions:
            distance = torch.minimum(distance, (s - at).abs() - half)
        return distance

    def cast(self, eye: Tensor, rays: Tensor) -> Tensor:
        """(P,) multiples of rays (3, P) at which they meet the floor from above; inf where they do not."""
        down = rays[1].clamp_min(1e-6)
        low, high = -eye[1] / down, (-eye[1] - KERB) / down

        def beyond(t: Tensor) -> Tensor:
            return self.beyond_kerb(*self.coordinates(eye[0] + t * rays[0], eye[2] + t * rays[2]))

        above, below = beyond(high), beyond(low)
        # Between the two planes a ray that comes down over the road may meet the face of a kerb.
        start, end, at_start, at_end = high, low, above, below
        face = low
        for _ in range(3):
            share = (at_start / (at_start - at_end)).nan_to_num(0.5).clamp(0, 1)
            face = start + (end - start) * share
            value = beyond(face)
            road = value < 0
            start, at_start = torch.where(road, face, start), torch.where(road, value, at_start)
            end, at_end = torch.where(road, end, face), torch.where(road, at_end, value)
        hit = torch.where(above >= 0, high, torch.where(below < 0, low, face))
        seen = (rays[1] > 1e-6) & (hit > 0) & (hit * length(rays[[0, 2]]) < REACH)
        return torch.where(seen, hit, torch.full_like(hit, torch.inf))


def share_within(x: Tensor, low: float | Tensor, high: float | Tensor, width: Tensor) -> Tensor:
    """Share of a window of ``width`` around x that lies between ``low`` and ``high``."""
    return ((torch.clamp_max(x + width / 2, high) - torch.clamp_min(x - width / 2, low)) / width).clamp(0, 1)


def stripes(x: Tensor, on: float | Tensor, width: Tensor) -> Tensor:
    """Share of a window around x that lies in [k, k + on) for any integer k: stripes without aliasing."""
    width = width.clamp_min(2e-3)

    def integral(at: Tensor) -> Tensor:
        whole = at.floor()
        return whole * on + torch.clamp_max(at - whole, on)

    return ((integral(x + width / 2) - integral(x - width / 2)) / width).clamp(0, 1)


def grain(noise: Torus, a: Tensor, b: Tensor, footprint: Tensor, waves: tuple[float, ...]) -> Tensor:
    """(N,) noise of unit variance per wave length (metres), without what is finer than the footprint."""
    total = torch.zeros_like(a)
    for k, wave in enumerate(waves):
        size = DETAIL_CELLS * wave
        found = noise.at(a / size + 0.37 * k, b / size + 0.61 * k)[k % 2]
        total = total + found / (1 + (footprint / (0.35 * wave)) ** 2)
    return total


def floor_colour(
    floor: Floor, noise: Torus, season: float, snow: float, point: Tensor, unit: Tensor, pixel: Tensor
) -> tuple[Tensor, Tensor]:
    """Albedo (3, N) and labels (N) of the floor.

    Args:
        point: (3, N) on the floor; unit: (3, N) directions they are seen along; pixel: (N,) metres that a pixel
            covers across the line of sight.
    """
    s, t = floor.coordinates(point[0], point[2])
    heading = floor.curvature * s
    flat = length(unit[[0, 2]]).clamp_min(1e-4)
    long = pixel / (-unit[1]).abs().clamp_min(0.01)
    along = ((unit[0] * heading.sin() + unit[2] * heading.cos()) / flat).abs()
    across = (1 - along * along).clamp_min(0).sqrt()
    ws, wt = long * along + pixel * across, long * across + pixel * along
    ws, wt = ws.clamp_min(5e-3), wt.clamp_min(5e-3)
    footprint = (ws * wt).sqrt()
    side, beyond = t.abs(), floor.beyond_kerb(s, t)
    fine = grain(noise, s, t, footprint, (6.0, 0.9, 0.16, 0.03))
    broad = grain(noise, s + 40, t - 30, footprint, (28.0, 9.0))

    # Wheels polish two tracks in each lane; patches of other asphalt lie where pipes were laid.
    track = torch.cos(side / floor.lane * (4 * math.pi))
    patch = hashed((s / 11).floor(), (t / 2.4).floor())
    patched = (patch < 0.25 * floor.wear).float() * (hashed((s / 11).floor() + 9, (t / 2.4).floor()) - 0.6) * 0.5
    tone = 1 + 0.10 * fine + 0.09 * broad * (0.5 + floor.wear) + 0.05 * track + patched
    colour = (floor.asphalt * tone.clamp(0.3, 2)) * point.new_tensor([1.0, 1.0, 1.03])[:, None]
    label = torch.full_like(s, ROAD, dtype=torch.long)

    paint = markings(floor, s, t, ws, wt) * (beyond < 0)
    worn = (paint * (1 - 0.25 * floor.wear * smoothstep(0.2, 1.8, fine + broad))).clamp(0, 1)
    colour, label = mix(colour, (0.62, 0.62, 0.60), worn), torch.where(paint > 0.5, MARKING, label)

    raised = beyond >= -1e-3
    slab = point.new_tensor(floor.slab)[:, None]
    joint = 1 - (1 - stripes(s / floor.paving, 0.03, ws / floor.paving)) * (
        1 - stripes(t / floor.paving, 0.03, wt / floor.paving)
    )
    each = hashed((s / floor.paving).floor(), (t / floor.paving).floor()) - 0.5
    near = 1 / (1 + (footprint / (0.5 * floor.paving)) ** 2)
    paved = slab * (1 + 0.06 * fine + 0.05 * broad + 0.14 * each * near).clamp(0.3, 2) * (1 - 0.35 * joint)
    stone = slab * (1.12 + 0.05 * fine)
    kerb = share_within(beyond, -1.0, 0.16, wt.minimum(ws))
    paved = paved + (stone - paved) * kerb
    colour, label = torch.where(raised, paved, colour), torch.where(raised, PAVEMENT, label)

    crossing = torch.zeros_like(raised)
    for at, half in floor.junctions:
        crossing |= (s - at).abs() < half + CROSS_PAVEMENT
    strip = (side > floor.half + 0.2) & (side < floor.half + floor.verge) & (hashed((s / 9).floor(), t.sign()) > 0.12)
    yard = side > floor.front + (0.0 if floor.lawn else floor.garden + 4.0)
    lawn = raised & ~crossing & (strip | yard)
    summer = bell(season, 2.0, 1.6)
    green = point.new_tensor(floor.green)[:, None] * (1 + 0.22 * fine + 0.16 * broad).clamp(0.3, 2)
    green = mix(green, (0.17, 0.13, 0.07), (0.55 * (1 - summer) + 0.12 * broad).clamp(0, 0.8))
    white = smoothstep(0.0, 0.6, snow * 1.6 - 0.6 + 0.15 * fine)
    green = mix(green, (0.78, 0.81, 0.86), white)
    grass = torch.where(white > 0.5, SNOW, GRASS)
    return torch.where(lawn, green, colour), torch.where(lawn, grass, label)


def markings(floor: Floor, s: Tensor, t: Tensor, ws: Tensor, wt: Tensor) -> Tensor:
    """Share of paint (N,) at street coordinates."""
    side = t.abs()
    drive = 0.5 * floor.lanes * floor.lane
    dashes = stripes(s / 9.0, 0.4, ws / 9.0)
    middle = share_within(side, 0.08, 0.2, wt) if floor.solid else share_within(side, -1.0, 0.07, wt) * dashes
    paint = torch.maximum(middle, share_within(side, drive - 0.08, drive + 0.08, wt) * (1.0 if floor.parking else 0.0))
    if floor.lanes == 4:
        paint = torch.maximum(paint, share_within(side, floor.lane - 0.07, floor.lane + 0.07, wt) * dashes)
    if floor.parking:
        bay = stripes((s + 0.05) / 6.0, 0.1 / 6.0, ws / 6.0) * share_within(side, drive, floor.half, wt)
        paint = torch.maximum(paint, bay)
    else:
        paint = torch.maximum(paint, share_within(side, floor.half - 0.4, floor.half - 0.28, wt))
    crossings = [(at, 0.0) for at in floor.zebras]
    for at, half in floor.junctions:
        crossings += [(at - half - 3.0, -1.0), (at + half + 3.0, 1.0)]
        # Nothing is painted where two roads meet.
        paint = paint * (1 - share_within(s, at - half - 5.6, at + half + 5.6, ws))
    bars = stripes((t + 0.25) / 1.0, 0.5, wt)
    for at, way in crossings:
        paint = paint * (1 - share_within(s, at - 2.2, at + 2.2, ws))
        paint = torch.maximum(paint, bars * share_within(s, at - 1.6, at + 1.6, ws) * share_within(side, -1, drive, wt))
        if way:
            stop = share_within(s, at + 2.3 * way - 0.2, at + 2.3 * way + 0.2, ws)
            paint = torch.maximum(paint, stop * share_within(-way * t, 0.2, drive, wt))
    return paint.clamp(0, 1)
