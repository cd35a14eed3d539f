"""The look of what stands in rooms: wood, cloth, panels, stone, metal, pictures, books, curtains, leaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from pipelines.worlds import interior_builder as materials
from pipelines.worlds.noise import Torus, hashed, smoothstep
from pipelines.worlds.shading import mix
from pipelines.worlds.solids import Solids, into, length
from pipelines.worlds.street_ground import grain, share_within, stripes
from pipelines.worlds.street_look import Hits, Look


def touched(solids: Solids, point: Tensor, unit: Tensor, pixel: Tensor) -> Hits:
    """``Hits.of`` for cylinders too: points (3, N) of one solid each."""
    hits = Hits.of(solids, point, unit, pixel)
    tube = solids.radius < 0
    if not tube.any():
        return hits
    x, y, z = hits.local
    cap = y.abs() >= (x * x + z * z).sqrt() - 1e-4
    bent = torch.stack([torch.where(cap, 0 * x, x), torch.where(cap, y.sign(), 0 * y), torch.where(cap, 0 * z, z)])
    transposed = torch.linalg.inv(solids.axes).transpose(1, 2).reshape(-1, 9).T
    normal = into(transposed, bent)
    normal = normal / length(normal).clamp_min(1e-9)
    normal = torch.where((normal * unit).sum(0) > 0, -normal, normal)
    face = torch.where(cap, torch.ones_like(hits.face), 3 * torch.ones_like(hits.face))
    return replace(hits, normal=torch.where(tube, normal, hits.normal), face=torch.where(tube, face, hits.face))


def paint(hits: Hits, noise: Torus, day: float) -> Look:
    """Lacquer, plastic, china: one colour."""
    m = hits.metres
    texture = grain(noise, m[0] + m[2] + 9 * hits.solids.seed, m[1] + 0.5 * m[2], hits.pixel, (0.3, 0.05))
    colour = hits.solids.colour.T * (1 + 0.03 * texture).clamp(0.5, 1.5)
    return Look(colour, hits.solids.shape[:, 0], torch.zeros_like(colour))


def fibres(hits: Hits, noise: Torus) -> Tensor:
    """(N,) noise that runs along the longest side."""
    m, long = hits.metres, hits.size.argmax(0)
    along = m.gather(0, long[None])[0]
    across = m.sum(0) - along
    shift = 7 * hits.solids.seed
    return grain(noise, 0.07 * along + shift, across + shift, hits.pixel, (0.09, 0.022, 0.007))


def wood(hits: Hits, noise: Torus, day: float) -> Look:
    """Boards with fibres along the longest side."""
    colour = hits.solids.colour.T * (1 + 0.11 * fibres(hits, noise)).clamp(0.4, 1.7)
    return Look(colour, 0.12 + hits.solids.shape[:, 0], torch.zeros_like(colour))


def fabric(hits: Hits, noise: Torus, day: float) -> Look:
    """Cloth: plain (shape 0), striped (1), flowered (2) or quilted (3)."""
    m, kind, solids = hits.metres, hits.solids.shape[:, 0], hits.solids
    flat = torch.where(hits.normal[1].abs() > 0.6, m[2], m[1])
    shift = 5 * solids.seed
    weave = grain(noise, m[0] + shift, flat + 0.3 * m[2], hits.pixel, (0.25, 0.03, 0.008))
    colour = solids.colour.T * (1 + 0.09 * weave).clamp(0.4, 1.6)
    lines = stripes(m[0] / 0.07, 0.4, hits.sideways / 0.07) * (kind == 1)
    spots = grain(noise, m[0] + shift, flat + shift, hits.pixel, (0.06, 0.025))
    flowers = smoothstep(0.5, 0.9, spots) * (kind == 2)
    colour = colour + (solids.accent.T - colour) * (0.65 * torch.maximum(lines, flowers))
    seams = torch.maximum(stripes(m[0] / 0.2, 0.06, hits.pixel / 0.2), stripes(flat / 0.2, 0.06, hits.pixel / 0.2))
    return Look.matt(colour * (1 - 0.25 * seams * (kind == 3)))


def panels(hits: Hits, noise: Torus, day: float) -> Look:
    """Fronts in columns and rows: flat (shape 2: 0), framed (1), raised (2); shape 3 > 0.05: panels within a door."""
    m, size, solids = hits.metres, hits.size, hits.solids
    columns, rows, kind, inset = solids.shape.T
    door, front = inset > 0.05, hits.face == 2
    u, v = (hits.local[0] + 1) / 2, (hits.local[1] + 1) / 2
    wide, tall = 2 * size[0] / columns, 2 * size[1] / rows
    cu, cv = (u * columns).frac(), (v * rows).frac()
    across, up = (0.5 - (cu - 0.5).abs()) * wide, (0.5 - (cv - 0.5).abs()) * tall
    edge = torch.minimum(across, up)
    width = hits.sideways.clamp_min(1e-3)
    gap = share_within(edge, -1.0, 0.003, width) * ~door
    rim = torch.where(door, 0.07, 0.06)
    bevel = share_within(edge, rim, rim + 0.016, width) * (kind > 0)
    raised = share_within(edge, rim + 0.03, rim + 0.05, width) * (kind > 1)
    # Edges that face up catch the light, those that face down lie in shade.
    low = torch.where(up < across, torch.where(cv < 0.5, -1.0, 1.0), 0.4 * (cu - 0.5).sign())
    texture = fibres(hits, noise) * (solids.colour.amax(1) < 0.5)
    colour = solids.colour.T * (1 + 0.10 * texture).clamp(0.4, 1.7)
    relief = bevel * (-0.22 * low - 0.10) + raised * (0.16 * low)
    colour = torch.where(front, colour * (1 + relief) * (1 - 0.75 * gap), colour)
    handle = share_within(across, 0.035, 0.05, width) * share_within((m[1] - 0.3 * size[1]).abs(), -1.0, 0.07, width)
    wide_handle = share_within((cu - 0.5).abs() * wide, -1.0, 0.06, width) * share_within(up, 0.05, 0.065, width)
    grip = torch.where(rows > 1.5, wide_handle * (cv > 0.5), handle * (cu > 0.5)) * (front & ~door)
    colour = colour + (solids.accent.T - colour) * grip
    return Look(colour, torch.full_like(u, 0.18) + 0.3 * grip, torch.zeros_like(colour))


def stone(hits: Hits, noise: Torus, day: float) -> Look:
    """Granite or marble."""
    m = hits.metres
    shift = 3 * hits.solids.seed
    fine = grain(noise, m[0] + shift, m[2] + m[1], hits.pixel, (0.4, 0.03, 0.012, 0.006))
    veins = smoothstep(0.12, 0.0, grain(noise, m[0] + m[1], m[2] + shift, hits.pixel, (0.7, 0.2)).abs())
    colour = hits.solids.colour.T * (1 + 0.22 * fine).clamp(0.2, 2.5)
    colour = mix(colour, hits.solids.accent.T, 0.35 * veins)
    return Look(colour, 0.1 + hits.solids.shape[:, 0], torch.zeros_like(colour))


def metal(hits: Hits, noise: Torus, day: float) -> Look:
    """Brushed metal."""
    m = hits.metres
    texture = grain(noise, m[0] + m[2], 0.03 * m[1] + hits.solids.seed, hits.pixel, (0.3, 0.02))
    colour = hits.solids.colour.T * (1 + 0.06 * texture).clamp(0.5, 1.5)
    return Look(colour, torch.full_like(texture, 0.6), torch.zeros_like(colour))


def picture(hits: Hits, noise: Torus, day: float) -> Look:
    """A frame (shape 0 metres), a mount (shape 1 metres) and a landscape or shapes within."""
    m, size, solids = hits.metres, hits.size, hits.solids
    edge = torch.minimum(size[0] - m[0].abs(), size[1] - m[1].abs())
    frame, mount = solids.shape[:, 0], solids.shape[:, 0] + solids.shape[:, 1]
    width = hits.sideways.clamp_min(1e-3)
    shift = 40 * solids.seed
    scale = size[1].clamp_min(0.1)
    one = grain(noise, m[0] / scale + shift, m[1] / scale, hits.pixel / scale, (1.2, 0.35, 0.1))
    two = grain(noise, m[0] / scale, m[1] / scale + shift, hits.pixel / scale, (0.8, 0.2))
    hill = smoothstep(-0.1, 0.1, 0.35 * one - hits.local[1])
    abstract = smoothstep(-0.2, 0.2, two)
    share = torch.where(solids.seed < 0.5, hill, abstract)
    sky = hits.local.new_tensor([0.55, 0.60, 0.62])[:, None]
    art = sky + (solids.accent.T * (1 + 0.4 * two).clamp(0.2, 2) - sky) * share
    art = mix(art, (0.05, 0.05, 0.05), smoothstep(0.7, 1.1, one) * 0.7)
    colour = torch.where(edge < mount, 0.74, art)
    rim = share_within(edge, -1.0, frame, width) * (hits.face == 2) + (hits.face != 2)
    colour = colour + (solids.colour.T - colour) * rim
    return Look(colour, 0.25 * (1 - rim), torch.zeros_like(colour))


def books(hits: Hits, noise: Torus, day: float) -> Look:
    """Spines of many colours and heights."""
    m, size, solids = hits.metres, hits.size, hits.solids
    key = (solids.seed * 4096).floor()
    u = m[0] / 0.032 + 0.4 * (m[0] / 0.05 + 9 * solids.seed).sin()
    spine = u.floor()
    dice, tone, third = (hashed(spine + k, key) for k in (0, 57, 131))
    colour = torch.stack([dice, (dice * 7.3).frac(), (dice * 13.7).frac()]) ** 1.6 * 0.5 + 0.03
    colour = torch.where(tone < 0.35, solids.colour.T, colour)
    colour = torch.where((tone > 0.35) & (tone < 0.5), 0.6, colour)
    line = stripes(u, 0.12, hits.sideways / 0.032)
    label = share_within((hits.local[1] - 0.4 * dice).abs(), -1.0, 0.1, hits.pixel / size[1]) * (third > 0.5)
    colour = mix(colour, (0.6, 0.55, 0.4), 0.6 * label) * (1 - 0.6 * line)
    top = (m[1] > size[1] * (1 - 0.5 * third * tone)) & (hits.face == 2)
    pages = hits.local.new_tensor([0.55, 0.5, 0.42])[:, None]
    colour = torch.where(hits.face == 1, pages, colour * torch.where(top, 0.12, 1.0))
    return Look.matt(colour)


def glow(hits: Hits, noise: Torus, day: float) -> Look:
    """Lamp glass and shades, as bright as shape 0 says."""
    warm = hits.local.new_tensor([1.25, 1.0, 0.68])[:, None]
    ends = 0.75 + 0.25 * hits.local[1].abs()
    light = warm * (hits.solids.shape[:, 0] * ends)
    return Look(hits.solids.colour.T.contiguous(), torch.zeros_like(hits.pixel), light)


def curtain(hits: Hits, noise: Torus, day: float) -> Look:
    """Folds of width shape 0; daylight passes by shape 1; shape 2: striped in the second colour."""
    m, solids = hits.metres, hits.solids
    fold, sheer, striped = solids.shape[:, 0], solids.shape[:, 1], solids.shape[:, 2]
    wander = grain(noise, 0.3 * m[1] + 5 * solids.seed, m[0], hits.pixel, (0.5,))
    phase = 2 * torch.pi * m[0] / fold + 1.2 * wander + 6 * solids.seed
    fade = 1 / (1 + (hits.sideways / (0.4 * fold)) ** 2)
    wave = (phase.sin() + 0.35 * (2.3 * phase + 1).sin()) * fade
    lines = stripes(m[0] / 0.05, 0.3, hits.sideways / 0.05) * striped
    colour = solids.colour.T + (solids.accent.T - solids.colour.T) * lines
    colour = colour * (0.82 + 0.2 * wave).clamp(0.3, 1.3)
    through = solids.colour.T * (sheer * 0.55 * day * (1 - 0.25 * wave))
    return Look(colour, torch.zeros_like(fold), through)


def slats(hits: Hits, noise: Torus, day: float) -> Look:
    """Slats or folds of height shape 0; daylight passes by shape 1; shape 2: upright ribs."""
    m, solids = hits.metres, hits.solids
    period, sheer, upright = solids.shape[:, 0], solids.shape[:, 1], solids.shape[:, 2]
    at = torch.where(upright > 0, m[0], m[1]) / period
    width = torch.where(upright > 0, hits.sideways, hits.pixel) / period
    dark = stripes(at, 0.28, width)
    soft = (at.frac() - 0.5) / (1 + (width / 0.4) ** 2)
    colour = solids.colour.T * (1 - 0.45 * dark) * (1 + 0.2 * soft)
    through = solids.colour.T * (sheer * 0.7 * day * (1 - 0.4 * dark))
    return Look(colour, torch.full_like(at, 0.1), through)


def rug(hits: Hits, noise: Torus, day: float) -> Look:
    """Plain (0), striped (1), in lozenges (2) or oriental (3), with a border; shape 1 is the size of the pattern."""
    m, size, solids = hits.metres, hits.size, hits.solids
    kind, unit = solids.shape[:, 0], solids.shape[:, 1]
    width = hits.sideways / unit
    lines = stripes(m[0] / unit, 0.35, width) * (kind == 1)
    lozenge = stripes((m[0] + m[2]) / unit, 0.15, 1.4 * width) + stripes((m[0] - m[2]) / unit, 0.15, 1.4 * width)
    ornament = grain(noise, m[0].abs() / 0.8, m[2].abs() / 0.8, hits.pixel, (0.16, 0.05))
    share = lines + lozenge * (kind == 2) + smoothstep(0.1, 0.5, ornament) * (kind == 3)
    edge = torch.minimum(size[0] - m[0].abs(), size[2] - m[2].abs())
    border = share_within(edge, 0.08, 0.16, hits.sideways) * (kind >= 2)
    pile = grain(noise, m[0], m[2], hits.pixel, (0.4, 0.02))
    colour = solids.colour.T + (solids.accent.T - solids.colour.T) * torch.maximum(share.clamp(0, 1), border)
    return Look.matt(colour * (1 + 0.10 * pile).clamp(0.4, 1.6))


def leaf(hits: Hits, noise: Torus, day: float) -> Look:
    """Leaves of one plant, each a little different."""
    tone = 0.6 + 0.8 * hits.solids.seed
    vein = share_within(hits.local[0].abs(), -1.0, 0.08, hits.pixel / hits.size[0])
    colour = hits.solids.colour.T * tone * (1 + 0.35 * vein)
    return Look(colour, torch.full_like(tone, 0.15), torch.zeros_like(colour))


def tile(hits: Hits, noise: Torus, day: float) -> Look:
    """Tiles or bricks of shape 0 by shape 1 metres, in bond."""
    m, solids = hits.metres, hits.solids
    wide, tall = solids.shape[:, :2].T
    along = torch.where(hits.face == 0, m[2], m[0])
    row = m[1] / tall
    shifted = along / wide + 0.5 * (row.floor() % 2)
    joints = torch.maximum(
        stripes(row, 0.004 / tall, hits.pixel / tall), stripes(shifted, 0.004 / wide, hits.sideways / wide)
    )
    tone = hashed(row.floor() + (99 * solids.seed).floor(), shifted.floor())
    colour = solids.colour.T * (0.8 + 0.35 * tone)
    colour = mix(colour, solids.accent.T, joints)
    return Look(colour, torch.full_like(tone, 0.35) * (1 - joints), torch.zeros_like(colour))


MATERIALS: dict[int, Callable[[Hits, Torus, float], Look]] = {
    materials.PAINT: paint,
    materials.WOOD: wood,
    materials.FABRIC: fabric,
    materials.PANELS: panels,
    materials.STONE: stone,
    materials.METAL: metal,
    materials.PICTURE: picture,
    materials.BOOKS: books,
    materials.GLOW: glow,
    materials.CURTAIN: curtain,
    materials.SLATS: slats,
    materials.RUG: rug,
    materials.LEAF: leaf,
    materials.TILE: tile,
}
