"""The look of every material of a street: paint, glass, fences, plates and lamps here, houses and leaves elsewhere."""

from __future__ import annotations

from collections.abc import Callable

import torch

from pipelines.worlds import street_builder as materials
from pipelines.worlds.noise import Torus, smoothstep
from pipelines.worlds.shading import mix
from pipelines.worlds.solids import length
from pipelines.worlds.street_facade import facade, roof
from pipelines.worlds.street_ground import grain, share_within, stripes
from pipelines.worlds.street_leaves import bark, hedge, leaves
from pipelines.worlds.street_look import Hits, Look, Mood, snowed


def plain(hits: Hits, noise: Torus, mood: Mood) -> Look:
    """One colour with a little dirt."""
    m = hits.metres
    texture = grain(noise, m[0] + m[2] + 50 * hits.solids.seed, m[1] + 0.5 * m[2], hits.pixel, (0.8, 0.1))
    return Look.matt(hits.solids.colour.T * (1 + 0.10 * texture).clamp(0.3, 2))


def car_paint(hits: Hits, noise: Torus, mood: Mood) -> Look:
    """Sheet metal: windows on vans and buses, lights and plates at both ends, dark sills."""
    m, size, solids = hits.metres, hits.size, hits.solids
    kind = solids.shape[:, 0]
    width = hits.pixel.clamp_min(3e-3)
    v = m[1] + size[1]  # above the lower edge
    colour = solids.colour.T * torch.ones_like(v)
    colour = mix(colour, (0.03, 0.03, 0.03), share_within(v, -1.0, 0.13, width))
    end = m[2].abs() > 0.86 * size[2]
    flank = ~end & (m[0].abs() > 0.6 * size[0])
    large = kind > 1.5
    tall = 2 * size[1]
    band = share_within(
        v / tall, torch.where(kind > 2.5, 0.42, 0.58), torch.where(kind > 2.5, 0.82, 0.88), width / tall
    )
    panes = 1 - stripes((m[2] + 0.04) / 1.45, 0.06, hits.sideways / 1.45)
    # Vans have glass at the cab only, buses all along.
    where = (kind > 2.5) | (m[2] > 0.35 * size[2])
    glass = band * large * torch.where(flank, panes * where, (end & (m[2] > 0)).float() + (kind > 2.5) * end)
    glass = glass.clamp(0, 1)
    seam = share_within((m[2] - 0.1 * size[2]).abs(), 0.45, 0.47, hits.sideways.clamp_min(3e-3)) * flank * ~large
    colour = colour * (1 - 0.5 * seam)
    colour = mix(colour, (0.02, 0.022, 0.025), glass)
    ahead = m[2] > 0
    lamp_height = torch.where(large, 0.55 + 0 * v, size[1] * 1.15)
    lamp = share_within(v, lamp_height - 0.09, lamp_height + 0.09, width)
    lamp = lamp * share_within(m[0].abs(), 0.62 * size[0], 0.95 * size[0], width) * end
    head, tail = (lamp * ahead), (lamp * ~ahead)
    colour = mix(mix(colour, (0.75, 0.75, 0.72), head), (0.35, 0.02, 0.02), tail)
    plate = share_within(v, 0.2, 0.31, width) * share_within(m[0].abs(), -1.0, 0.26, width) * end
    colour = mix(colour, (0.6, 0.6, 0.55), plate)
    grille = share_within(v, 0.24, 0.42, width) * share_within(m[0].abs(), -1.0, 0.55 * size[0], width) * (end & ahead)
    colour = mix(colour, (0.03, 0.03, 0.03), grille * (1 - plate))
    moving = solids.velocity.abs().amax(1) > 0
    glow = (
        hits.local.new_tensor([1.5, 1.4, 1.15])[:, None] * head
        + hits.local.new_tensor([1.1, 0.05, 0.03])[:, None] * tail
    )
    gloss = 0.10 + 0.65 * glass
    return Look(snowed(colour, hits, mood, 0 * v) if mood.snow > 0.5 else colour, gloss, glow * (moving * mood.night))


def car_glass(hits: Hits, noise: Torus, mood: Mood) -> Look:
    """The cabin of a car: dark windows between pillars, the roof in the car's colour."""
    m, size, solids = hits.metres, hits.size, hits.solids
    top = smoothstep(0.60, 0.70, hits.local[1])
    low = hits.local[1] < -0.2
    pillar = stripes((m[2] + 0.06) / (0.95 * size[2]), 0.1, hits.sideways / size[2]) * (m[0].abs() > 0.6 * size[0])
    corner = smoothstep(0.80, 0.86, hits.local[0].abs()) * smoothstep(0.5, 0.56, hits.local[2].abs())
    paint = torch.maximum(torch.maximum(top, 0.9 * corner), 0.85 * pillar).clamp(0, 1) * ~low
    colour = mix(solids.colour.T * torch.ones_like(top), (0.018, 0.020, 0.022), 1 - paint)
    return Look(snowed(colour, hits, mood, 0 * top), 0.12 + 0.55 * (1 - paint), torch.zeros_like(colour))


def fence(hits: Hits, noise: Torus, mood: Mood) -> Look:
    """Masonry with a cap, boards with gaps, or railings before a dark hedge."""
    m, solids = hits.metres, hits.solids
    along = torch.where(hits.face == 2, m[0], m[2]) + 20 * solids.seed
    v = m[1] + hits.size[1]
    kind, wide = solids.shape[:, 0], hits.sideways.clamp_min(3e-3)
    texture = grain(noise, along, v, hits.pixel, (2.5, 0.5, 0.1))
    colour = solids.colour.T * (1 + 0.12 * texture).clamp(0.3, 2)
    bricks = torch.maximum(stripes(v / 0.1, 0.12, hits.pixel / 0.1), 0.7 * stripes(along / 0.26, 0.06, wide / 0.26))
    gaps = stripes(along / 0.14, 0.16, wide / 0.14)
    bars = stripes(along / 0.13, 0.75, wide / 0.13) * share_within(v, 0.15, 2 * hits.size[1] - 0.1, hits.pixel)
    dark = torch.where(kind == 0, 0.35 * bricks, torch.where(kind == 1, 0.75 * gaps, 0 * gaps))
    colour = colour * (1 - dark)
    behind = hits.local.new_tensor([0.06, 0.07, 0.04])[:, None]
    colour = torch.where(kind == 2, colour + (behind - colour) * bars, colour)
    return Look.matt(snowed(colour, hits, mood, texture))


def plate(hits: Hits, noise: Torus, mood: Mood) -> Look:
    """A sign: a border and a bar or a dot; the back is bare metal."""
    m, size, solids = hits.metres, hits.size, hits.solids
    radial = torch.where(solids.shape[:, 0] > 0.5, length(hits.local[:2]), hits.local[:2].abs().amax(0))
    width = hits.pixel / size[:2].amin(0)
    border = 1 - share_within(radial, -2.0, 0.78, width)
    bar = share_within(hits.local[1].abs(), -1.0, 0.16, width) * share_within(hits.local[0].abs(), -1.0, 0.55, width)
    dot = share_within(radial, -1.0, 0.3, width)
    mark = torch.where(solids.seed < 0.5, bar, dot)
    colour = solids.colour.T + (solids.accent.T - solids.colour.T) * torch.maximum(border, mark).clamp(0, 1)
    back = m[2] > 0
    metal = torch.full_like(colour, 0.2)
    return Look.matt(torch.where(back, metal, colour))


def lamp(hits: Hits, noise: Torus, mood: Mood) -> Look:
    """The head of a street lamp."""
    warm = hits.local.new_tensor([1.6, 1.3, 0.85])[:, None]
    return Look(
        hits.solids.colour.T.contiguous(),
        torch.full_like(hits.pixel, 0.1),
        warm * mood.night * torch.ones_like(hits.pixel),
    )


def traffic_light(hits: Hits, noise: Torus, mood: Mood) -> Look:
    """Three discs, one of them lit by day and night."""
    m = hits.metres
    state = hits.solids.shape[:, 0]
    width = hits.pixel.clamp_min(3e-3)
    glow = torch.zeros_like(hits.local)
    discs = ((1.2, 0.06, 0.04), (1.2, 0.7, 0.05), (0.08, 1.1, 0.35))
    for k, colour in enumerate(discs):
        away = (m[0].square() + (m[1] - 0.29 * (1 - k)).square()).sqrt()
        disc = share_within(away, -1.0, 0.11, width) * (m[2] < 0)
        glow = glow + hits.local.new_tensor(colour)[:, None] * (disc * torch.where(state == k, 1.0, 0.06))
    return Look(hits.solids.colour.T.contiguous(), torch.zeros_like(width), glow)


MATERIALS: dict[int, Callable[[Hits, Torus, Mood], Look]] = {
    materials.PLAIN: plain,
    materials.FACADE: facade,
    materials.ROOF: roof,
    materials.LEAVES: leaves,
    materials.HEDGE: hedge,
    materials.CAR: car_paint,
    materials.GLASS: car_glass,
    materials.FENCE: fence,
    materials.PLATE: plate,
    materials.GLOW: lamp,
    materials.TRAFFIC: traffic_light,
    materials.BARK: bark,
}
