"""Walls, floors and ceilings: paint, wallpaper, tiles, bricks, boards, parquet, carpet."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pipelines.worlds.interior_builder import CEILING, WALL
from pipelines.worlds.interior_palette import (
    BOARDED,
    BRICK,
    CARPET,
    CONCRETE,
    FLOWERED,
    PANELLED,
    PARQUET,
    PLANKS,
    STRIPED,
    TILED,
    Lining,
)
from pipelines.worlds.interior_plan import Room
from pipelines.worlds.noise import Torus, hashed, smoothstep
from pipelines.worlds.shading import mix
from pipelines.worlds.street_builder import Colour
from pipelines.worlds.street_ground import grain, share_within, stripes
from pipelines.worlds.street_look import Hits, Look


def lining_look(room: Room, hits: Hits, point: Tensor, noise: Torus) -> Look:
    """The look of points (3, N) on walls, floor and ceiling of a room."""
    out = Look.matt(torch.zeros_like(point))
    up = hits.normal[1] < -0.7
    walls = (hits.solids.material == WALL) & (hits.normal[1].abs() < 0.7)
    ceiling = ((hits.solids.material == CEILING) | (hits.normal[1] > 0.7)) & ~walls
    for mask, look_of in ((walls, wall_look), (ceiling, ceiling_look), (up & ~walls & ~ceiling, floor_look)):
        if mask.any():
            look = look_of(room, hits.take(mask), point[:, mask], noise)
            out.albedo[:, mask], out.gloss[mask] = look.albedo, look.gloss
    return out


def tinted(point: Tensor, colour: Colour) -> Tensor:
    """(3, N) of one colour."""
    return point.new_tensor(colour)[:, None].expand(3, point.shape[1])


def ceiling_look(room: Room, hits: Hits, point: Tensor, noise: Torus) -> Look:
    """Plaster."""
    texture = grain(noise, point[0], point[2], hits.pixel, (1.5, 0.2, 0.03))
    return Look.matt(tinted(point, room.lining.ceiling) * (1 + 0.012 * texture))


def wall_look(room: Room, hits: Hits, point: Tensor, noise: Torus) -> Look:
    """The wall's kind, with one side in another colour."""
    lining = room.lining
    across = hits.normal[0].abs() > 0.7
    u, v = torch.where(across, point[2], point[0]), -point[1]
    side = torch.where(across, torch.where(hits.normal[0] > 0, 1, 3), torch.where(hits.normal[2] > 0, 0, 2))
    wu, wv = hits.sideways.clamp_min(1e-3), hits.pixel.clamp_min(1e-3)
    mottle = grain(noise, u + 3.0 * side, v, hits.pixel, (2.0, 0.3, 0.03, 0.01))
    colour = tinted(point, lining.wall)
    gloss = torch.full_like(u, 0.02)
    second = tinted(point, lining.second)
    if lining.walls == STRIPED:
        unit = 0.12 + lining.unit
        colour = mix(colour, second, stripes(u / unit, 0.5, wu / unit))
    elif lining.walls == FLOWERED:
        unit = 0.15 + lining.unit
        a, b = (u / unit).frac() - 0.5, (v / unit + 0.5 * (u / unit).floor()).frac() - 0.5
        petals = 0.24 + 0.12 * torch.cos(5 * torch.atan2(b, a))
        fade = 1 / (1 + (wu / (0.3 * unit)) ** 2)
        colour = mix(colour, second, smoothstep(0.03, -0.03, (a * a + b * b).sqrt() - petals) * fade * 0.8)
    elif lining.walls in (TILED, BRICK):
        tall = 0.075 if lining.walls == BRICK else lining.unit * 0.7
        wide = 0.24 if lining.walls == BRICK else lining.unit * (0.7 if lining.turned else 1.4)
        row = v / tall
        along = u / wide + (0.5 * (row.floor() % 2) if lining.walls == BRICK or lining.turned else 0.0)
        joint = 0.012 if lining.walls == BRICK else 0.004
        joints = torch.maximum(stripes(row, joint / tall, wv / tall), stripes(along, joint / wide, wu / wide))
        tone = hashed(row.floor(), along.floor() + 77 * side)
        rough = 0.25 if lining.walls == BRICK else 0.05
        colour = mix(colour * (1 + rough * (2 * tone - 1) + rough * 0.4 * mottle), second, joints)
        gloss = gloss if lining.walls == BRICK else 0.4 * (1 - joints)
    elif lining.walls == PANELLED:
        colour = wainscot(colour, second, u, v, wu, wv)
    elif lining.walls == BOARDED:
        colour = colour * (1 - 0.5 * stripes(v / 0.16, 0.03, wv / 0.16))
    feature = (side == lining.feature) & (lining.walls not in (TILED, BRICK))
    colour = torch.where(feature, tinted(point, lining.third), colour)
    return Look(colour * (1 + 0.02 * mottle), gloss, torch.zeros_like(colour))


def wainscot(colour: Tensor, second: Tensor, u: Tensor, v: Tensor, wu: Tensor, wv: Tensor) -> Tensor:
    """Framed panels below a rail at 0.95 m."""
    low = v < 0.95
    wide = 0.55
    across, up = (0.5 - ((u / wide).frac() - 0.5).abs()) * wide, torch.minimum(v - 0.14, 0.88 - v)
    edge = torch.minimum(across - 0.05, up - 0.05)
    line = share_within(edge, 0.0, 0.018, torch.maximum(wu, wv))
    upper = torch.where(up < across, torch.where(v > 0.5, -1.0, 1.0), 0.3)
    rail = share_within(v, 0.93, 0.95, wv)
    framed = second * (1 - 0.16 * line * (1 + upper)) * (1 - 0.3 * rail)
    return torch.where(low, framed, colour)


def floor_look(room: Room, hits: Hits, point: Tensor, noise: Torus) -> Look:
    """The floor's kind; boards and tiles have joints and tones of their own."""
    lining = room.lining
    a, b = (point[0], point[2]) if lining.turned else (point[2], point[0])
    pixel, wide = hits.pixel.clamp_min(1e-3), hits.sideways.clamp_min(1e-3)
    colour = tinted(point, lining.ground)
    gloss = torch.full_like(a, lining.gloss)
    if lining.floor == PLANKS:
        colour, joints = boards(lining, noise, a, b, 1.3, lining.unit, pixel, wide)
        gloss = gloss * (1 - joints)
    elif lining.floor == PARQUET:
        n = 5
        block = n * lining.unit
        turned = ((a / block).floor() + (b / block).floor()) % 2 > 0
        p, q = torch.where(turned, b, a), torch.where(turned, a, b)
        colour, joints = boards(lining, noise, p, q, block, lining.unit, pixel, wide, aligned=True)
        gloss = gloss * (1 - joints)
    elif lining.floor == CARPET:
        pile = grain(noise, a, b, pixel, (0.07, 0.025, 0.01))
        worn = grain(noise, a, b, pixel, (1.6,))
        colour = colour * (1 + 0.10 * pile + 0.02 * worn).clamp(0.5, 1.5)
    elif lining.floor == CONCRETE:
        colour = colour * (1 + 0.10 * grain(noise, a, b, pixel, (2.0, 0.5, 0.1))).clamp(0.5, 1.5)
    else:
        colour, gloss = tiles(lining, noise, a, b, pixel, wide)
    return Look(colour, gloss, torch.zeros_like(colour))


def boards(
    lining: Lining,
    noise: Torus,
    a: Tensor,
    b: Tensor,
    long: float,
    unit: float,
    pixel: Tensor,
    wide: Tensor,
    aligned: bool = False,
) -> tuple[Tensor, Tensor]:
    """Albedo (3, N) of boards of ``long`` (along a) by ``unit`` metres, and the share of joints."""
    row = (b / unit).floor()
    along = a / long + (0.0 if aligned else 1.0) * hashed(row, torch.full_like(row, 5.0))
    tone = hashed(row, along.floor())
    fine = grain(noise, 0.06 * a + 3 * tone, b + 5 * tone, pixel, (0.11, 0.03, 0.008))
    joints = torch.maximum(stripes(b / unit, 0.003 / unit, wide / unit), stripes(along, 0.003 / long, wide / long))
    # Far away single boards merge.
    fade = 1 / (1 + (wide / unit) ** 2)
    base = a.new_tensor(lining.ground)[:, None]
    colour = base * (1 + (0.42 * (tone - 0.5) * fade + 0.09 * fine)).clamp(0.4, 1.7)
    return mix(colour, lining.joint, 0.8 * joints), joints


def tiles(lining: Lining, noise: Torus, a: Tensor, b: Tensor, pixel: Tensor, wide: Tensor) -> tuple[Tensor, Tensor]:
    """Albedo (3, N) and gloss (N,) of square tiles, at times laid diagonally or as a chessboard."""
    unit = lining.unit
    if lining.turned and unit < 0.4:
        c = math.sqrt(0.5)
        a, b = c * (a + b), c * (a - b)
    row, column = (a / unit).floor(), (b / unit).floor()
    joints = torch.maximum(stripes(a / unit, 0.006 / unit, wide / unit), stripes(b / unit, 0.006 / unit, wide / unit))
    tone = hashed(row, column)
    cloud = grain(noise, a + 9 * tone, b, pixel, (0.5, 0.09, 0.02))
    colour = a.new_tensor(lining.ground)[:, None] * (1 + 0.16 * (tone - 0.5) + 0.07 * cloud).clamp(0.4, 1.6)
    if unit == 0.3:
        fade = 1 / (1 + (wide / unit) ** 2)
        colour = mix(colour, (0.04, 0.04, 0.045), ((row + column) % 2) * fade + 0.5 * (1 - fade))
    return mix(colour, lining.joint, joints), lining.gloss * (1 - joints)
