"""Periodic noise on square grids, and the lookup that tiles the endless plane with such a grid.

Everything in a world lives on tori: maps whose right edge continues at their left. So a world has no border,
a flight never leaves it, and all filters are circular. Random numbers are drawn on the CPU from an explicit
generator and then moved, so that the same seed gives the same world on every device.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Torus:
    """Maps (C, n, n) that repeat every ``period`` metres; row is z, column is x, texel (i, j) lies at (j, i) n-ths.

    ``padded`` is the texture with its first row and column repeated at the end, so that bilinear lookups wrap.
    """

    padded: Tensor
    period: float

    @staticmethod
    def of(maps: Tensor, period: float) -> Torus:
        """Wrap maps (C, n, n) whose side is ``period`` metres."""
        return Torus(F.pad(maps[None], (0, 1, 0, 1), mode="circular"), period)

    def at(self, x: Tensor, z: Tensor) -> Tensor:
        """Bilinear lookup at world positions x, z of one shape S: (C, *S)."""
        grid = torch.stack([x, z], dim=-1) / self.period
        grid = (grid - grid.floor()) * 2 - 1
        found = F.grid_sample(self.padded, grid.reshape(1, 1, -1, 2), padding_mode="border", align_corners=True)
        return found.reshape(self.padded.shape[1], *x.shape)


def octave(generator: torch.Generator, size: int, cells: int, device: str = "cpu") -> Tensor:
    """(size, size) smooth periodic noise with ``cells`` random values per side; zero mean, unit variance.

    Lattice noise (Perlin, "An image synthesizer", 1985) under a uniform cubic B-spline, so that slopes are smooth.
    ``cells`` must divide ``size``.
    """
    fine = torch.randn(cells, cells, generator=generator).to(device)
    ratio = size // cells
    if ratio > 1:
        t = torch.arange(ratio, device=device) / ratio
        weights = torch.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, 3 * (t + t**2 - t**3) + 1, t**3]) / 6
        for _ in range(2):
            # Rows become finer, then the map turns over: after two rounds both axes are done.
            near = torch.stack([fine.roll(1 - k, 0) for k in range(4)])
            fine = torch.einsum("kcm,kr->mcr", near, weights).reshape(fine.shape[1], size)
    return fine / fine.std()


def fbm(
    generator: torch.Generator, size: int, cells: int, octaves: int, gain: float = 0.5, device: str = "cpu"
) -> Tensor:
    """(size, size) fractional Brownian motion: octaves of doubling frequency, amplitude times ``gain``; std 1."""
    total = torch.zeros(size, size, device=device)
    for k in range(octaves):
        if cells << k > size:
            break
        total += gain**k * octave(generator, size, cells << k, device)
    return total / total.std()


def ridged(
    generator: torch.Generator, size: int, cells: int, octaves: int, gain: float = 0.5, device: str = "cpu"
) -> Tensor:
    """(size, size) ridged multifractal in about [0, 1] (Musgrave in "Texturing and Modeling", ch. 16).

    Each octave is weighted by the one below it, so that crests are rough and valley floors smooth, as after erosion.
    """
    total, weight, norm = torch.zeros(size, size, device=device), torch.ones((), device=device), 0.0
    for k in range(octaves):
        if cells << k > size // 2:
            break
        crest = (1 - 0.8 * octave(generator, size, cells << k, device).abs()).clamp_min(0)
        crest = crest * crest * weight
        total += gain**k * crest
        norm += gain**k
        weight = (crest * 1.6).clamp(0, 1)
    return total / norm


def blur(maps: Tensor, sigma: float) -> Tensor:
    """Circular Gaussian blur of maps (..., n, n); sigma in texels."""
    n = maps.shape[-1]
    frequency = torch.fft.fftfreq(n, device=maps.device)
    gain = torch.exp(-2 * (torch.pi * sigma * frequency) ** 2)
    spectrum = torch.fft.rfft2(maps) * gain[:, None] * gain[: n // 2 + 1]
    return torch.fft.irfft2(spectrum, s=maps.shape[-2:])


def slopes(height: Tensor, period: float) -> Tensor:
    """(2, n, n) central differences dh/dx, dh/dz of a periodic map whose side is ``period`` metres."""
    scale = height.shape[-1] / (2 * period)
    dx = (height.roll(-1, -1) - height.roll(1, -1)) * scale
    dz = (height.roll(-1, -2) - height.roll(1, -2)) * scale
    return torch.stack([dx, dz])


def smoothstep(low: float | Tensor, high: float | Tensor, x: Tensor) -> Tensor:
    """0 below ``low``, 1 above ``high``, cubic between."""
    t = ((x - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def hashed(i: Tensor, j: Tensor) -> Tensor:
    """Uniform [0, 1) from integer-valued positions; the same on every device (xorshift-multiply on 32 bits)."""
    mask = 0xFFFFFFFF
    n = (i.long() * 374761393 + j.long() * 668265263) & mask
    n = ((n ^ (n >> 13)) * 1274126177) & mask
    return (((n ^ (n >> 16)) & 0xFFFFFF).float()) / 2**24
