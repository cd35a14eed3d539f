"""Detail for new ground, from the photo that the flight began with.

A network that never saw the place draws it softer than a photo would, and each keyframe is drawn beside the one before:
in the long run all is soft. So the fine bands of what is new are held at the strength that they have in the photo on
surfaces of the same colours: each patch of new ground finds patches of the photo that look like it but for detail, and
takes from one of them as much as it lacks (Freeman, Jones & Pasztor 2002, "Example-based super-resolution"). Patches
side by side take theirs side by side where they can (Ashikhmin 2001, "Synthesizing natural textures"): otherwise the
sum of patches that know nothing of each other would be noise. What is drawn with detail of its own stays as it is.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from kornia.filters import gaussian_blur2d
from torch import Tensor

from render_refine.camera import Camera
from render_refine.fill import weighted_mean
from render_refine.memory import View

SOFTNESS = (1.0, 2.5)  # pixels of blur: detail is the bands from the picture to the softest of these
CELL, CELLS = 4, 4  # pixels of a cell and cells of a patch, to a side; patches are compared cell by cell
PATCH, STEP = CELL * CELLS, CELL * CELLS // 2
FAR_ROW = 0.15  # difference of colour that weighs as much as one in slope of 1: what is lower is seen more steeply
ALIKE = 6  # patches of the photo of which one is drawn by lot, so that detail does not repeat itself
MOST = 2048  # patches of a photo that are compared with each patch
# A patch goes on beside its neighbour's if its squared difference of keys is at most so many times its own, and a bit.
COHERENT, TOLERANCE = 2.0, 1e-3
NEARBY = 8  # radius in pixels within which strengths are compared
PULL = 16.0  # times that of the alike, at most, and its inverse at least, to make up for the rest of the picture
STRONGEST = 3.0  # times the photo's detail


class PhotoTexture:
    """What surfaces look like from nearby, by the example of a photo.

    Args:
        rgb: (3, H, W) in [0, 1], each side at least `PATCH` pixels; depth: (H, W), inf in the sky; camera: of both.
    """

    def __init__(self, rgb: Tensor, depth: Tensor, camera: Camera) -> None:
        soft, bands = split(rgb)
        self.keys = _keys(soft, torch.isinf(depth), camera, CELL)
        # (6, rows, columns, PATCH, PATCH), a view of the bands.
        self.detail = bands.flatten(0, 1).unfold(1, PATCH, CELL).unfold(2, PATCH, CELL)
        self.rows, self.columns = self.detail.shape[1:3]
        some = torch.linspace(0, len(self.keys) - 1, min(len(self.keys), MOST), device=rgb.device)
        self.compared = some.round().long()

    def detailed(self, view: View, new: Tensor, level: Tensor, generator: torch.Generator) -> Tensor:
        """The picture (3, H, W) of a complete view, with as much detail as it lacks where it is ``new``, (H, W) bool.

        Its blur beyond the softest of `SOFTNESS` stays as it is. The lots are drawn on the CPU.

        Args:
            level: (2,) the `strength` at which the whole picture is held.
        """
        height, width = new.shape
        # Every pixel lies in four patches.
        pad = (STEP, STEP + -width % STEP, STEP, STEP + -height % STEP)
        grid = (height + pad[2] + pad[3], width + pad[0] + pad[1])
        soft, bands = split(view.rgb)
        padded = F.pad(torch.cat([soft, view.sky[None].to(soft.dtype)])[None], pad, mode="replicate")[0]
        keys = _keys(padded[:3], padded[3] > 0.5, view.camera.crop(-STEP, -STEP, *grid), STEP)
        wanted = F.max_pool2d(F.pad(new[None].to(soft.dtype), pad), PATCH, stride=STEP).flatten() > 0
        distance = torch.cdist(keys[wanted], self.keys[self.compared])
        found = distance.topk(min(ALIKE, len(self.compared)), largest=False).indices
        lots = torch.randint(found.shape[1], (len(found), 1), generator=generator).to(found.device)
        sources = torch.full((len(keys),), -1, device=keys.device)
        sources[wanted] = self.compared[found.gather(1, lots)[:, 0]]
        rows = grid[0] // STEP - 1
        sources = self._side_by_side(sources.unflatten(0, (rows, -1)), keys.unflatten(0, (rows, -1))).flatten()
        taken = self.detail[:, sources[wanted] // self.columns, sources[wanted] % self.columns]
        patches = keys.new_zeros(len(keys), self.detail[:, 0, 0].numel())
        patches[wanted] = taken.transpose(0, 1).flatten(1)
        # Weights of the patches over a pixel add up to one.
        ramp = torch.sin(math.pi * (torch.arange(PATCH, device=keys.device) + 0.5) / PATCH).square()
        window = (ramp[:, None] * ramp).flatten()

        def put_together(pieces: Tensor) -> Tensor:
            whole = F.fold(pieces.flatten(1).T[None], grid, PATCH, stride=STEP)[0]
            return whole[:, pad[2] : pad[2] + height, pad[0] : pad[0] + width]

        patches = patches.unflatten(1, (len(bands) * 3, -1))
        drawn = put_together(patches * window).unflatten(0, bands.shape[:2])
        strength = patches.unflatten(1, bands.shape[:2]).square().mean(dim=(2, 3))
        strength = put_together(strength[..., None] * window)

        mask = new.to(soft.dtype)
        have, got = (weighted_mean(x.square().mean(dim=1), mask, NEARBY) for x in (bands, drawn))
        # The whole picture is held near the level: what is new makes up, in part, for what is left behind.
        energy = energies(bands)
        pull = (level / energy.clamp_min(1e-12)).square().clamp(1 / PULL, PULL)
        want = pull[:, None, None] * weighted_mean(strength, mask, NEARBY)
        gain = ((want - have).clamp_min(0) / got.clamp_min(1e-12)).sqrt().clamp_max(STRONGEST)
        drawn = mask * gain[:, None] * drawn
        # No more is added than there is room for below the level.
        room = (level - energy).clamp_min(0) / energies(drawn).clamp_min(1e-12)
        return (view.rgb + (room.clamp_max(1).sqrt()[:, None, None, None] * drawn).sum(dim=0)).clamp(0, 1)

    def _side_by_side(self, sources: Tensor, keys: Tensor) -> Tensor:
        """Sources (h, w) of patches, -1 for none, of which each may have become the one beside its neighbour's.

        From left to right and then downwards, if the key (h, w, D) of a patch fits that one nearly as well.
        """
        sources = sources.clone()
        apart = STEP // CELL
        for dim, step, size in ((1, apart, self.columns), (0, apart * self.columns, self.rows)):
            for (before, own), key in zip(pairwise(sources.unbind(dim)), keys.unbind(dim)[1:], strict=True):
                place = before % self.columns if dim else before // self.columns
                possible = (before >= 0) & (own >= 0) & (place + apart < size)
                offered = torch.where(possible, before + step, 0)
                worse = (self.keys[offered] - key).square().sum(dim=-1)
                limit = COHERENT * (self.keys[own.clamp_min(0)] - key).square().sum(dim=-1) + TOLERANCE
                own.copy_(torch.where(possible & (worse < limit), offered, own))
        return sources


def blurred(rgb: Tensor, sigma: float) -> Tensor:
    """A picture (3, H, W) under a Gaussian of so many pixels."""
    size = 2 * math.ceil(2.5 * sigma) + 1
    return gaussian_blur2d(rgb[None], (size, size), (sigma, sigma))[0]


def split(rgb: Tensor) -> tuple[Tensor, Tensor]:
    """A picture (3, H, W) without its detail, and the bands (2, 3, H, W) of that, finest first."""
    levels = [rgb, *(blurred(rgb, sigma) for sigma in SOFTNESS)]
    return levels[-1], torch.stack([fine - soft for fine, soft in pairwise(levels)])


def strength(rgb: Tensor) -> Tensor:
    """(2,) mean energy of the bands of detail of a picture (3, H, W), finest first."""
    return energies(split(rgb)[1])


def energies(bands: Tensor) -> Tensor:
    """(B,) mean square of each of some bands (B, 3, H, W)."""
    return bands.square().mean(dim=(1, 2, 3))


def _keys(soft: Tensor, sky: Tensor, camera: Camera, step: int) -> Tensor:
    """(N, D) what patches are compared by: colours of their cells, how much is sky, and how far down they look.

    Args:
        soft: (3, H, W); sky: (H, W) bool.
        step: pixels from patch to patch, a multiple of `CELL`.
    """
    cells = F.avg_pool2d(torch.cat([soft, sky[None].to(soft.dtype)])[None], CELL)
    colours = F.unfold(cells, CELLS, stride=step // CELL)[0].T / CELLS
    rows = (torch.arange(camera.height, device=soft.device) + 0.5 - camera.K[1, 2]) / camera.K[1, 1]
    slope = F.avg_pool1d(rows[None, None], PATCH, stride=step)[0, 0]
    return torch.cat([colours, FAR_ROW * slope.repeat_interleave(len(colours) // len(slope))[:, None]], dim=1)
