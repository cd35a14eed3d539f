"""SPADE modulation of label maps, exactly and faster: once per class, and in full only near borders.

The scale 1 + gamma and the shift beta of a ``SpadeNorm`` come from two 3x3 convolutions of the condition, so
they follow from its 5x5 neighbourhood. Most neighbourhoods of a label map show one class (or no label) alone:
there they are constants of the norm, read from a table. The others ("mixed": near borders of labels, and
within 2 pixels of the image's edge, where the zero padding is seen) are gathered as patches, and each
convolution becomes one matrix product over them. Nothing is approximated; only the order of sums differs.

It holds for any condition: areas where the guidance is empty are constant as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from render_refine.spade import Level, SpadeGenerator, SpadeNorm

# Above this share of mixed pixels the dense convolutions are faster (measured: benchmarks/spade.py).
MOST_MIXED = 0.6
# On grids with fewer pixels than this, finding the mixed ones costs more than it saves.
FEWEST_PIXELS = 1024
# Patches gathered at once: few enough for the cache, and memory does not grow with the image.
CHUNK = 4096
# oneDNN takes float32 convolutions of this batch at full speed on any number of threads, where plain matrix
# products go to a library (MKL) that is half as fast on AMD processors. See ``_linear``.
BATCH = 16


def accelerate(generator: SpadeGenerator) -> SpadeGenerator:
    """Let ``generator`` take the shortcut wherever it pays, without gradients; in place, and returned.

    The first call without gradients fills tables from the weights: call this again whenever they have changed.
    """
    generator.shortcuts = Shortcuts()
    return generator


class Shortcuts:
    """Replaces conditions by ``ConstantAreas`` in the levels where these are faster, and keeps the norms' tables."""

    def __init__(self) -> None:
        self._tables: dict[tuple[SpadeNorm, int, torch.dtype], NormTable] = {}

    def __call__(self, pyramid: Sequence[Level]) -> list[Level]:
        """Levels as ``SpadeGenerator.pyramid`` gives them, coarse to fine."""
        columns = [self._column(condition) for condition in zip(*pyramid, strict=True)]
        return list(zip(*columns, strict=True))

    def table(self, norm: SpadeNorm, k: int, dtype: torch.dtype) -> NormTable:
        """The table of condition k of a norm, for arithmetic in ``dtype``; made at the first use."""
        key = (norm, k, dtype)
        if key not in self._tables:
            self._tables[key] = NormTable.of(norm, k, dtype)
        return self._tables[key]

    def _column(self, levels: Level) -> Level:
        """One condition at all levels. The coarser the grid, the more of it is mixed."""
        # What stays an image is converted here, once, instead of by every convolution of every norm.
        out = [c.to(_compute_dtype(c)) if isinstance(c, Tensor) else c for c in levels]
        for index, condition in reversed(list(enumerate(levels))):
            if not isinstance(condition, Tensor) or condition[:, 0].numel() < FEWEST_PIXELS:
                break
            areas = ConstantAreas.of(condition, self, MOST_MIXED)
            if areas is None:
                break
            out[index] = areas
        return out


@dataclass(frozen=True, eq=False)
class NormTable:
    """What one norm makes of one condition, ready for lookup; N = C_k + 1 constants, the last one is "nothing".

    Attributes:
        shared: weight (hidden, 9 C_k) and bias of the first convolution, for patches in row-major order.
        both: weight (2 C, 9 hidden) and bias of the second, for the scale above the shift.
        hidden: (N + 1, hidden): the hidden layer in constant areas, and 0, which is what lies outside the image.
        values: (N, 2 C): scale and shift in constant areas.
    """

    shared: tuple[Tensor, Tensor]
    both: tuple[Tensor, Tensor]
    hidden: Tensor
    values: Tensor

    @staticmethod
    def of(norm: SpadeNorm, k: int, dtype: torch.dtype) -> NormTable:
        """Run the norm's own layers on constant images; their centres see no padding."""
        weight, bias = norm.mlp_shared[k].parameters()
        gamma, beta = (tuple(layer[k].parameters()) for layer in (norm.mlp_gamma, norm.mlp_beta))
        channels = weight.shape[1]
        constants = torch.eye(channels + 1, channels, dtype=weight.dtype, device=weight.device)[..., None, None]
        hidden = F.relu(norm.mlp_shared[k](constants.expand(-1, -1, 3, 3))[..., 1, 1])
        modulation = norm.modulation(k, constants.expand(-1, -1, 5, 5))
        return NormTable(
            (_rows(weight).to(dtype), bias.to(dtype)),
            (_rows(torch.cat([gamma[0], beta[0]])).to(dtype), torch.cat([gamma[1] + 1, beta[1]]).to(dtype)),
            F.pad(hidden, (0, 0, 0, 1)).to(dtype),
            torch.cat([m[..., 2, 2] for m in modulation], dim=1).to(dtype),
        )


@dataclass(frozen=True, eq=False)
class ConstantAreas:
    """A condition at the grid of one level, split into constant areas and mixed pixels; all its norms share it.

    Attributes:
        owner: keeps the tables.
        shape: (B, H, W).
        patches: (M1, 9 C_k): 3x3 patches of the condition, where they are not constant.
        neighbours: (9 M2): rows of ``NormTable.hidden`` followed by the M1 others, for the 3x3 patches of the
            hidden layer around every mixed pixel.
        source: (B H W): for every pixel its row in ``NormTable.values`` followed by the M2 others.

    M1 and M2 are padded to multiples of ``BATCH``.
    """

    owner: Shortcuts
    shape: tuple[int, int, int]
    patches: Tensor
    neighbours: Tensor
    source: Tensor

    @staticmethod
    def of(condition: Tensor, owner: Shortcuts, most_mixed: float = 1.0) -> ConstantAreas | None:
        """Split a condition (B, C_k, H, W); None when more than the share ``most_mixed`` of it is mixed."""
        batch, channels, height, width = condition.shape
        nothing, outside = channels, channels + 1
        ids = _constants(condition)
        first = _same_as_neighbours(ids)
        second = _same_as_neighbours(torch.where(first, ids, -1))
        mixed = (~second).flatten().nonzero()[:, 0]
        if len(mixed) > most_mixed * ids.numel():
            return None
        mixed = _padded(mixed)
        varied = _padded((~first).flatten().nonzero()[:, 0])
        rows = torch.where(first, ids.long(), _rank(~first) + outside + 1)
        rows = F.pad(rows, (1, 1, 1, 1), value=outside).flatten()
        pixels = F.pad(condition.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1)).flatten(0, 2)
        patches = pixels.index_select(0, _around(varied, height, width)).view(len(varied), -1)
        return ConstantAreas(
            owner,
            (batch, height, width),
            patches.to(_compute_dtype(condition)),
            rows.index_select(0, _around(mixed, height, width)),
            torch.where(second, ids.long(), _rank(~second) + nothing + 1).flatten(),
        )

    def modulation(self, norm: SpadeNorm, k: int) -> tuple[Tensor, Tensor]:
        """``norm.modulation`` of this condition: 1 + gamma_k and beta_k, (B, C, H, W), channels last in memory."""
        table = self.owner.table(norm, k, self.patches.dtype)
        hidden = torch.cat([table.hidden, F.relu_(_linear(self.patches, *table.shared))])
        chunks = self.neighbours.split(9 * CHUNK)
        mixed = [_linear(hidden.index_select(0, chunk).view(len(chunk) // 9, -1), *table.both) for chunk in chunks]
        # As rows of C numbers, scale and shift take turns.
        values = torch.cat([table.values, *mixed]).view(-1, table.values.shape[1] // 2)
        scale, shift = (values.index_select(0, 2 * self.source + n).view(*self.shape, -1) for n in (0, 1))
        return scale.permute(0, 3, 1, 2), shift.permute(0, 3, 1, 2)


def _constants(condition: Tensor) -> Tensor:
    """(B, H, W) int16: k where channel k is 1 and all others are 0, C_k where all are 0, else -1."""
    channels = condition.shape[1]
    wide = condition.to(torch.promote_types(condition.dtype, torch.float32))
    counts = torch.arange(channels, device=wide.device, dtype=wide.dtype)
    with torch.autocast(wide.device.type, enabled=False):
        total, index = torch.einsum("bkhw,nk->nbhw", wide, torch.stack([torch.ones_like(counts), counts]))
    size = wide.abs().sum(dim=1)
    # Not negative and of sum 1; then the squares sum to 1 only if a single channel is not 0.
    one_hot = (size == 1) & (total == 1) & ((wide * wide).sum(dim=1) == 1)
    return torch.where(one_hot, index, torch.where(size == 0, float(channels), -1.0)).to(torch.int16)


def _same_as_neighbours(ids: Tensor) -> Tensor:
    """(B, H, W) bool: inside the image, and all 9 ids of the 3x3 neighbourhood are the same and not negative."""
    padded = F.pad(ids, (1, 1, 1, 1), value=-2)
    middle = padded[..., 1:-1]
    row = (middle == padded[..., :-2]) & (middle == padded[..., 2:])
    rows = row[:, :-2] & row[:, 1:-1] & row[:, 2:]
    return rows & (ids == middle[:, :-2]) & (ids == middle[:, 2:]) & (ids >= 0)


def _rank(mask: Tensor) -> Tensor:
    """For every element that is set, how many are set before it."""
    return (mask.flatten().cumsum(0) - 1).view(mask.shape)


def _padded(indices: Tensor) -> Tensor:
    return F.pad(indices, (0, -len(indices) % BATCH))


def _around(indices: Tensor, height: int, width: int) -> Tensor:
    """(9 N,): the 3x3 neighbourhoods of pixels (N,) of (B, H, W), as indices into (B, H + 2, W + 2)."""
    image_row = indices // width
    corner = indices + 2 * image_row + image_row // height * 2 * (width + 2)
    steps = torch.arange(3, device=indices.device)
    return (corner[:, None] + ((width + 2) * steps[:, None] + steps).flatten()).flatten()


def _rows(weight: Tensor) -> Tensor:
    """The weight (O, I, 3, 3) of a convolution, for patches (9 I) with the channels last."""
    return weight.permute(0, 2, 3, 1).flatten(1)


def _linear(rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """``F.linear`` of (N, I), N a multiple of ``BATCH``, on the fastest way there."""
    if rows.is_cuda or rows.dtype != torch.float32:
        return F.linear(rows, weight, bias)
    images = rows.view(BATCH, -1, 1, rows.shape[1]).permute(0, 3, 1, 2)
    return F.conv2d(images, weight[..., None, None], bias).permute(0, 2, 3, 1).reshape(len(rows), -1)


def _compute_dtype(condition: Tensor) -> torch.dtype:
    device = condition.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else condition.dtype
