"""Houses: storeys of windows over doors and shops, and tiled roofs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pipelines.worlds.noise import Torus, hashed, smoothstep
from pipelines.worlds.shading import mix
from pipelines.worlds.street_ground import grain, share_within, stripes
from pipelines.worlds.street_look import Hits, Look, Mood, snowed


def roof(hits: Hits, noise: Torus, mood: Mood) -> Look:
    """Rows of tiles; the gable ends are walls."""
    m = hits.metres
    ridge = hits.solids.axes[:, 1].abs().argmin(1)  # the half axis that does not rise runs along the ridge
    along = m.gather(0, ridge[None])[0]
    across = torch.where(hits.face == 0, m[1], m[0])
    texture = grain(noise, along + 30 * hits.solids.seed, across, hits.pixel, (3.0, 0.5, 0.12))
    rows = stripes(across / 0.33, 0.2, hits.sideways / 0.33)
    tiles = hits.solids.colour.T * (1 + 0.13 * texture).clamp(0.3, 2) * (1 - 0.35 * rows)
    wall = hits.solids.accent.T * (1 + 0.06 * texture)
    return Look.matt(torch.where(hits.face == ridge, wall, snowed(tiles, hits, mood, texture)))


@dataclass(frozen=True, eq=False)
class Wall:
    """N points on walls: ``u`` metres along the wall from its middle, ``v`` above the ground, ``long`` its length.

    ``wu`` and ``wv`` are the metres that a pixel covers in both directions, ``ground`` and ``storey`` heights,
    ``key`` a whole number per house, ``paint`` (3, N) the colour of its door or its shop sign.
    """

    u: Tensor
    v: Tensor
    long: Tensor
    wu: Tensor
    wv: Tensor
    front: Tensor
    shop: Tensor
    ground: Tensor
    storey: Tensor
    seed: Tensor
    key: Tensor
    paint: Tensor

    @staticmethod
    def of(hits: Hits) -> Wall:
        """The walls that were hit."""
        m, size, seed = hits.metres, hits.size, hits.solids.seed
        front, ground = hits.face == 0, hits.solids.shape[:, 0]
        key = (seed * 4096).floor()
        hue = hashed(key + 11, key)
        return Wall(
            u=torch.where(front, m[2], m[0]),
            v=m[1] + size[1],
            long=2 * torch.where(front, size[2], size[0]),
            wu=hits.sideways.clamp_min(4e-3),
            wv=hits.pixel.clamp_min(4e-3),
            front=front,
            shop=(ground > 0) & front,
            ground=ground.abs(),
            storey=hits.solids.shape[:, 1],
            seed=seed,
            key=key,
            paint=torch.stack([(hue * k).frac() ** 2 for k in (3.1, 7.7, 13.3)]) * 0.45 + 0.02,
        )


@dataclass(frozen=True, eq=False)
class Windows:
    """Shares (N,) of pane, of pane and frame, and of door; colour (3, N), mirrored share (N,) and light of panes."""

    pane: Tensor
    frame: Tensor
    door: Tensor
    colour: Tensor
    gloss: Tensor
    glow: Tensor


def facade(hits: Hits, noise: Torus, mood: Mood) -> Look:
    """Storeys of windows over a ground floor with doors or shops."""
    wall, trim = Wall.of(hits), hits.solids.accent.T
    v, seed, top = wall.v, wall.seed, hits.face == 1
    texture = grain(noise, wall.u + 90 * seed, v + 0.7 * (~wall.front), hits.pixel, (5.0, 0.8, 0.12))
    colour = hits.solids.colour.T * (1 + 0.07 * texture).clamp(0.4, 1.6)
    courses = stripes(v / 0.09, 0.16, wall.wv / 0.09) * (hits.solids.colour[:, 0] > 1.7 * hits.solids.colour[:, 2])
    stained = smoothstep(0.6, -0.2, v) * 0.25 + 0.10 * smoothstep(-1.2, 0.0, v - 2 * hits.size[1])
    colour = colour * (1 - 0.3 * courses) * (1 - stained)

    sash = mix(trim, (0.60, 0.60, 0.58), (seed * 11.3).frac())
    windows = windows_in(wall, sash, hits, mood)
    colour = colour + (sash - colour) * windows.frame
    above = (v - wall.ground) / wall.storey
    ledge = share_within(above.frac() * wall.storey, -1.0, 0.12, wall.wv) * (v >= wall.ground)
    colour = colour + (trim - colour) * (0.7 * ledge * ((seed * 23.1).frac() < 0.5))
    colour = colour + (windows.colour - colour) * windows.pane
    colour = colour + (wall.paint - colour) * windows.door
    colour, show, glow = shop_front(wall, colour, trim)
    colour = torch.where(top, snowed((0.16 + 0.02 * texture).expand(3, -1), hits, mood, texture), colour)
    gloss = (windows.pane * windows.gloss + 0.3 * show) * ~top
    return Look(colour, gloss, (windows.glow * windows.pane + glow) * (mood.night * ~top))


def windows_in(wall: Wall, sash: Tensor, hits: Hits, mood: Mood) -> Windows:
    """Windows in a grid, each with its curtain and its hour of sleep, and one door."""
    bay, glassy = hits.solids.shape[:, 2:].T
    u, v, long, ground, seed, key = wall.u, wall.v, wall.long, wall.ground, wall.seed, wall.key
    bays = (long / bay).round().clamp_min(1)
    column = (u / long + 0.5) * bays
    level = (v - ground) / wall.storey
    upper = v >= ground
    row = torch.where(upper, level, (v - 0.12) / ground.clamp_min(1))
    upright = 0.34 + 0.3 * (seed * 7.3).frac() + 0.28 * (glassy > 0.9)
    tall = 0.46 + 0.18 * (seed * 13.7).frac() + 0.14 * (glassy > 0.9)
    sill = torch.where(upper, 0.26, 0.30)
    cu, cv = bays / long, 1 / torch.where(upper, wall.storey, ground.clamp_min(1))
    wu, wv = wall.wu * cu, wall.wv * cv

    ix, iy = column.floor(), torch.where(upper, level.floor() + 1, torch.zeros_like(level))
    entry = (ix == (hashed(key, key + 3) * bays).floor()) & ~upper & wall.front & ~wall.shop & (row >= 0)
    door = share_within((column.frac() - 0.5) / cu, -0.5, 0.5, wall.wu) * share_within(v, 0.1, 2.15, wall.wv) * entry
    blind = ~wall.front & ((seed * 31.7).frac() < 0.6)
    allowed = smoothstep(0.0, 0.02, 2 * hits.size[1] - 0.35 - v) * ((~wall.shop | upper) & ~blind & ~entry)

    def opening(grow: float) -> Tensor:
        across = stripes(column - 0.5 + (upright / 2 + grow * cu), upright + 2 * grow * cu, wu)
        down = stripes(row - sill + grow * cv, tall + 2 * grow * cv, wv)
        return across * down * allowed

    dice = hashed(ix + 57 * key, iy + 131 * key)
    # A cross of glazing bars, and the shadow of the lintel.
    inner_u, inner_v = (column - 0.5 + upright / 2).frac() / upright, (row - sill).frac() / tall
    bars = share_within(inner_u, 0.47, 0.53, wu / upright) * ((seed * 5.1).frac() < 0.7)
    bars = torch.maximum(bars, share_within(inner_v, 0.6, 0.65, wv / tall) * ((seed * 3.7).frac() < 0.5))
    lintel = share_within(inner_v, 0.86, 1.0, wv / tall)
    curtain = (dice < 0.35).float() * (0.25 + 0.75 * smoothstep(0.25, 0.0, (inner_u - 0.5).abs() - 0.2))
    colour = (0.030 + 0.04 * dice).expand(3, -1) * u.new_tensor([0.9, 1.0, 1.1])[:, None]
    colour = mix(colour, (0.42, 0.40, 0.36), 0.8 * curtain) * (1 - 0.6 * lintel)
    colour = colour + (sash - colour) * bars
    lit = (hashed(ix + 91 * key, iy + 17) < mood.awake).float()
    warm = torch.stack([0.95 + 0.1 * dice, 0.62 + 0.25 * dice, 0.28 + 0.45 * dice * dice])
    glow = warm * ((1 - 0.7 * bars) * lit * (0.55 + 0.45 * dice) * (1 - 0.35 * lintel))
    gloss = 0.75 * (1 - 0.6 * curtain) * (1 - bars)
    return Windows(opening(0.0), opening(0.09), door, colour, gloss, glow)


def shop_front(wall: Wall, colour: Tensor, trim: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """``colour`` with the panes and lettered boards of shops, the share of pane, and their light."""
    u, v, long, wu, wv = wall.u, wall.v, wall.long, wall.wu, wall.wv
    bays = (long / 2.6).round().clamp_min(1)
    across = stripes((u / long + 0.5) * bays - 0.05, 0.9, wu * bays / long)
    show = across * share_within(v, 0.45, 2.75, wv) * wall.shop
    board = share_within(v, 2.85, 3.5, wv) * wall.shop * share_within(u.abs(), -1.0, long / 2 - 0.3, wu)
    letters = stripes(u / 0.31, 0.55, wu / 0.31) * share_within(v, 3.03, 3.32, wv) * board
    letters = letters * (hashed((u / 0.31).floor(), wall.key) > 0.25) * share_within(u.abs(), -1.0, 0.3 * long, wu)
    goods = 0.03 + 0.2 * hashed((u / 0.5).floor() + 7 * wall.key, (v / 0.6).floor()) * smoothstep(1.6, 1.0, v)
    contrast = torch.where(wall.paint.mean(0) > 0.25, 0.03, 0.65)
    colour = colour + (trim * 0.6 + 0.02 - colour) * ((v < wall.ground - 0.35) & wall.shop)
    colour = colour + (goods - colour) * show
    colour = colour + (wall.paint - colour) * board
    colour = colour + (contrast - colour) * letters
    glow = u.new_tensor([1.0, 0.86, 0.66])[:, None] * (show * (0.3 + 1.5 * goods.clamp(0, 0.3)))
    return colour, show, glow + (0.35 * wall.paint + 0.8 * letters) * board
