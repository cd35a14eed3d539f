"""Trees and hedges: the colour of leaves over the year, and the gaps between them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pipelines.worlds.noise import Torus, smoothstep
from pipelines.worlds.shading import bell, mix
from pipelines.worlds.solids import Solids, length
from pipelines.worlds.street_builder import LEAVES
from pipelines.worlds.street_ground import grain
from pipelines.worlds.street_look import Hits, Look, Mood, snowed


def bark(hits: Hits, noise: Torus, mood: Mood) -> Look:
    """Streaks along the trunk."""
    m = hits.metres
    texture = grain(noise, 3 * (m[0] + m[2]), 0.5 * m[1] + 9 * hits.solids.seed, hits.pixel, (0.6, 0.12))
    return Look.matt(snowed(hits.solids.colour.T * (1 + 0.25 * texture).clamp(0.3, 2), hits, mood, texture))


def leaf_colour(hits: Hits, mood: Mood) -> Tensor:
    """(3, N) albedo of leaves: fresh in spring, dark in summer, fire in autumn, brown twigs in winter."""
    pick = (hits.solids.seed * 7.31).frac()
    like = hits.local.new_tensor
    spring, autumn, winter = bell(mood.season, 1.0, 0.8), bell(mood.season, 3.0, 0.85), bell(mood.season, 0.0, 0.95)
    leaf = like([0.062, 0.112, 0.026])[:, None].expand(3, len(pick))
    leaf = mix(leaf, (0.10, 0.17, 0.03), 0.85 * spring * torch.ones_like(pick))
    fire = mix(like([0.33, 0.20, 0.03])[:, None].expand(3, len(pick)), (0.27, 0.07, 0.02), smoothstep(0.5, 0.9, pick))
    leaf = mix(leaf, fire, min(1.0, 1.4 * autumn) * smoothstep(0.12, 0.4, pick))
    leaf = mix(leaf, (0.15, 0.12, 0.10), min(1.0, 1.3 * winter) * torch.ones_like(pick))
    return leaf * hits.solids.colour.T


def leaves(hits: Hits, noise: Torus, mood: Mood) -> Look:
    """Clumps of leaves, dark between them."""
    # Two projections of the same noise: the streaks of one are broken by the other.
    first, second = (
        grain(noise, a + 40 * hits.solids.seed, b, hits.pixel, (0.9, 0.36, 0.15, 0.06))
        for a, b in (crown_map(hits.metres), crown_map(-hits.metres[[1, 2, 0]]))
    )
    clumps = 0.75 * (first + second)
    tone = (1 + 0.38 * clumps).clamp(0.22, 2.2) * (0.78 + 0.3 * hits.local[1])
    return Look.matt(snowed(leaf_colour(hits, mood) * tone, hits, mood, clumps))


def hedge(hits: Hits, noise: Torus, mood: Mood) -> Look:
    """Evergreen, small-leaved."""
    m = hits.metres
    clumps = grain(noise, m[2] + 0.7 * m[0] + 40 * hits.solids.seed, m[1] + 0.5 * m[0], hits.pixel, (1.2, 0.3, 0.09))
    green = hits.local.new_tensor([0.045, 0.08, 0.024])[:, None] * hits.solids.colour.T
    brown = mix(green, (0.09, 0.07, 0.035), torch.full_like(clumps, 0.5 * bell(mood.season, 0.0, 1.0)))
    return Look.matt(snowed(brown * (1 + 0.4 * clumps).clamp(0.3, 2), hits, mood, clumps))


def crown_map(metres: Tensor) -> tuple[Tensor, Tensor]:
    """Two coordinates (N,) on which a noise pattern covers a ball without visible direction."""
    x, y, z = metres
    return x + 0.6 * y - 0.35 * z, z + 0.55 * y + 0.4 * x


def holes_in(
    solids: Solids, noise: Torus, mood: Mood, eye: Tensor, pixel: float
) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """The rule by which crowns are ragged, and sparse in winter; see ``solids.first_hit``."""
    bare = min(1.0, 1.3 * bell(mood.season, 0.0, 0.95) + 0.35 * bell(mood.season, 3.5, 0.5))
    is_crown = solids.material == LEAVES
    inverse = torch.linalg.inv(solids.axes)

    def holed(solid: Tensor, point: Tensor, depth: Tensor) -> Tensor:
        hole = torch.zeros_like(depth, dtype=torch.bool)
        crown = is_crown[solid].nonzero()[:, 0]
        which = solid[crown]
        away = point[:, crown].T - solids.centre[which]
        a, b = crown_map(away.T)
        shift = 40 * solids.seed[which]
        rough = grain(noise, a + shift, b, depth[crown] * pixel, (0.6, 0.24, 0.1))
        local = torch.einsum("nij,nj->ni", inverse[which], away)
        sight = point[:, crown].T - eye
        rim = 1 - ((sight * away).sum(1) / (length(sight.T) * length(away.T)).clamp_min(1e-6)).abs()
        hole[crown] = rough > 1.9 - 2.2 * rim - 0.5 * (local[:, 1] < -0.4) - 2.2 * bare
        return hole

    return holed
