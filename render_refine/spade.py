"""The refiner: a generator that is told at every layer, and at every pixel, what to draw (SPADE).

Park, Liu, Wang, Zhu: "Semantic Image Synthesis with Spatially-Adaptive Normalization", CVPR 2019.
A normalisation layer forgets the scale and offset of each channel; SPADE gives them back as functions
of a condition image, so that the condition cannot be washed away by the layers below. With several
conditions in sequence it is the Multi-SPADE of Mallya et al. (world-consistent vid2vid), ECCV 2020.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from render_refine.fill import binned
from render_refine.pretrained import Pretrained
from render_refine.spectral import spectral_conv

EPS = 1e-5


class Shortcut(Protocol):
    """A condition at one level that knows a faster way to what it means for a norm (``label_modulation``)."""

    def modulation(self, norm: SpadeNorm, k: int) -> tuple[Tensor, Tensor]:
        """What ``norm.modulation`` gives for condition k."""


# One image per condition; None for one that is not there, which then leaves the norms as they are.
Conditions = Sequence[Tensor | None]
Level = Sequence[Tensor | Shortcut | None]


def instance_norm(x: Tensor) -> Tensor:
    """Every channel of every image (B, C, H, W) shifted to mean 0 and scaled to variance 1.

    Statistics are accumulated in float32 also for half-precision input. A single pixel becomes 0.
    """
    if x.shape[-2] * x.shape[-1] == 1:
        return x * 0
    # PyTorch rounds the statistics to the type of the weights, so these are float32 for half-precision x.
    one = x.new_ones(x.shape[1], dtype=torch.promote_types(x.dtype, torch.float32))
    if x.shape[0] == 1:
        # The same numbers, but several times faster: batch norm keeps the channels-last layout.
        return F.batch_norm(x, None, None, one, one * 0, training=True, eps=EPS)
    return F.instance_norm(x, weight=one, bias=one * 0, eps=EPS)


class InstanceNorm(nn.Module):
    """``instance_norm`` as a layer; it has neither parameters nor buffers."""

    def forward(self, x: Tensor) -> Tensor:
        return instance_norm(x)


@dataclass(frozen=True)
class SpadeConfig:
    """Shape of a ``SpadeGenerator``.

    Attributes:
        condition_channels: channels of each condition image; the norms apply them in this order.
        out_channels: channels of the output.
        widths: channels per level, coarse to fine; each level doubles the grid of the one before.
        hidden: channels of the hidden layer between a condition and its gamma and beta.
        style_dim: length of the style code; 0 for a generator without one.
        style_grid: rows and columns of the learned grid that the style code is mapped to.
        norm: "instance", or "batch" (running statistics) as in the published SPADE.
        spectral: spectral normalisation of the main convolutions (training); see ``fuse_spectral_norm``.
        resize: how conditions reach the coarse levels: "area" averages, "nearest" keeps one-hot labels hard.
        middle_blocks: residual blocks of the second level, 2 in most published models; other levels have one.
        upscale: the finest level works on a grid that is this many times coarser than the output; its features
            are enlarged bilinearly and sharpened by two plain convolutions. (Sub-pixel convolution is no faster,
            and leaves a fine grid in the picture.)
        enlarge: how features go up a level; "nearest" as published, "bilinear" leaves no squares in flat skies.
        style_modulation: the style code also scales and shifts every channel of every norm, after the conditions.
    """

    condition_channels: tuple[int, ...]
    out_channels: int
    widths: tuple[int, ...] = (128, 128, 96, 64, 32, 24)
    hidden: int = 32
    style_dim: int = 0
    style_grid: tuple[int, int] = (4, 7)
    norm: Literal["instance", "batch"] = "instance"
    spectral: bool = True
    resize: Literal["area", "nearest"] = "area"
    middle_blocks: int = 1
    upscale: int = 1
    enlarge: Literal["nearest", "bilinear"] = "nearest"
    style_modulation: bool = False

    def __post_init__(self) -> None:
        sizes = (*self.condition_channels, self.out_channels, *self.widths, self.hidden, *self.style_grid)
        counts = (*sizes, self.middle_blocks, self.upscale)
        if min(counts) < 1 or self.style_dim < 0 or not self.condition_channels or not self.widths:
            raise ValueError(f"every size must be positive: {self}")
        if self.style_modulation and not self.style_dim:
            raise ValueError(f"style_modulation needs a style code, but style_dim is 0: {self}")


class SpadeNorm(nn.Module):
    """Normalise, then scale and shift every pixel as the conditions say.

    out = norm(x), then for each condition k in order out = out * (1 + gamma_k) + beta_k, where gamma_k
    and beta_k are 3x3 convolutions of relu(conv3x3(condition_k)) (SPADE, equation 1). With ``style_dim``,
    out = out * (1 + a) + b comes last, a and b per channel and linear in the style code; both start as 0.
    """

    def __init__(
        self,
        channels: int,
        condition_channels: Sequence[int],
        hidden: int = 128,
        norm: Literal["instance", "batch"] = "instance",
        style_dim: int = 0,
    ) -> None:
        super().__init__()
        self.param_free_norm = nn.BatchNorm2d(channels, eps=EPS, affine=False) if norm == "batch" else InstanceNorm()
        self.mlp_shared = nn.ModuleList(nn.Conv2d(c, hidden, 3, padding=1) for c in condition_channels)
        self.mlp_gamma = nn.ModuleList(nn.Conv2d(hidden, channels, 3, padding=1) for _ in condition_channels)
        self.mlp_beta = nn.ModuleList(nn.Conv2d(hidden, channels, 3, padding=1) for _ in condition_channels)
        self.style: nn.Linear | None = None
        if style_dim:
            self.style = nn.Linear(style_dim, 2 * channels)
            nn.init.zeros_(self.style.weight)
            nn.init.zeros_(self.style.bias)

    def forward(self, x: Tensor, conditions: Level, z: Tensor | None = None) -> Tensor:
        """x (B, C, H, W), one (B or 1, C_k, H, W) per condition, z (B, style_dim) if any, to (B, C, H, W)."""
        return self.modulate(self.param_free_norm(x), conditions, z)

    def modulate(self, normed: Tensor, conditions: Level, z: Tensor | None = None) -> Tensor:
        """The second half of ``forward``, for callers that share one normalisation between two layers."""
        out = normed
        for k, condition in zip(range(len(self.mlp_shared)), conditions, strict=True):
            if condition is None:
                continue
            if isinstance(condition, Tensor):
                scale, shift = self.modulation(k, condition)
            else:
                scale, shift = condition.modulation(self, k)
            out = torch.addcmul(shift, out.to(scale.dtype), scale)
        if self.style is not None:
            a, b = self.style(z).to(out.dtype)[..., None, None].chunk(2, dim=1)
            out = torch.addcmul(b, out, 1 + a)
        return out

    def modulation(self, k: int, condition: Tensor) -> tuple[Tensor, Tensor]:
        """1 + gamma_k and beta_k, (B, C, H, W) each, of condition k (B, C_k, H, W)."""
        hidden = F.relu(self.mlp_shared[k](condition), inplace=True)
        # 1 + gamma costs nothing when the 1 is part of the bias.
        weight, bias = self.mlp_gamma[k].parameters()
        return F.conv2d(hidden, weight, bias + 1, padding=1), self.mlp_beta[k](hidden)


class SpadeResBlock(nn.Module):
    """Two rounds of SPADE, LeakyReLU(0.2), 3x3 convolution, added to the input (SPADE, figure 4).

    Where the number of channels changes, the input passes through SPADE and a 1x1 convolution first.
    """

    def __init__(self, in_channels: int, out_channels: int, config: SpadeConfig) -> None:
        super().__init__()
        middle = min(in_channels, out_channels)
        style_dim = config.style_dim if config.style_modulation else 0
        condition = (config.condition_channels, config.hidden, config.norm, style_dim)
        self.norm_0 = SpadeNorm(in_channels, *condition)
        self.conv_0 = spectral_conv(in_channels, middle, 3, config.spectral)
        self.norm_1 = SpadeNorm(middle, *condition)
        self.conv_1 = spectral_conv(middle, out_channels, 3, config.spectral)
        self.norm_s: SpadeNorm | None = None
        self.conv_s: nn.Module | None = None
        if in_channels != out_channels:
            self.norm_s = SpadeNorm(in_channels, *condition)
            self.conv_s = spectral_conv(in_channels, out_channels, 1, config.spectral, bias=False)

    def forward(self, x: Tensor, conditions: Level, z: Tensor | None = None) -> Tensor:
        """As ``SpadeNorm.forward``, but x has ``in_channels`` and the result ``out_channels``."""
        normed = self.norm_0.param_free_norm(x)
        main = self.conv_0(F.leaky_relu(self.norm_0.modulate(normed, conditions, z), 0.2))
        main = self.conv_1(F.leaky_relu(self.norm_1(main, conditions, z), 0.2))
        if self.norm_s is None or self.conv_s is None:
            return x + main
        # Batch statistics that are tracked per layer cannot be shared between norm_0 and norm_s.
        if not isinstance(self.norm_s.param_free_norm, InstanceNorm):
            normed = self.norm_s.param_free_norm(x)
        return self.conv_s(self.norm_s.modulate(normed, conditions, z)) + main


class SpadeGenerator(Pretrained):
    """Condition images (and a style code) to an image of the same size.

    Residual blocks, and between levels the grid doubles. Any height and
    width work: conditions are padded by replication to a multiple of upscale * 2^(levels - 1), the output is cropped.
    The coarsest grid follows the input size. Its features are a convolution of the conditions or, with a
    style code z, a linear map of z to ``config.style_grid`` (as in the papers), resized bilinearly to the
    coarsest grid, so that one model serves every aspect. The style enters there, and with
    ``config.style_modulation`` in every norm. ``shortcuts`` belongs to ``label_modulation.accelerate``.
    """

    config_type = SpadeConfig

    def __init__(self, config: SpadeConfig) -> None:
        super().__init__()
        self.config = config
        self.shortcuts: Callable[[Sequence[Level]], Sequence[Level]] | None = None
        coarsest = config.widths[0]
        if config.style_dim:
            rows, columns = config.style_grid
            self.fc: nn.Module = nn.Linear(config.style_dim, coarsest * rows * columns)
        else:
            self.fc = nn.Conv2d(sum(config.condition_channels), coarsest, 3, padding=1)
        repeats = [config.middle_blocks if level == 1 else 1 for level in range(len(config.widths))]
        self.level_of_block = [level for level, count in enumerate(repeats) for _ in range(count)]
        widths = [coarsest, *(config.widths[level] for level in self.level_of_block)]
        self.blocks = nn.ModuleList(SpadeResBlock(i, o, config) for i, o in pairwise(widths))
        last = config.widths[-1]
        self.conv_up: nn.Conv2d | None = None
        if config.upscale > 1:
            self.conv_up = nn.Conv2d(last, max(last // 2, 1), 3, padding=1)
            last = max(last // 2, 1)
        self.conv_img = nn.Conv2d(last, config.out_channels, 3, padding=1)

    @property
    def multiple(self) -> int:
        """Pixels of the output, each way, to a pixel of the coarsest grid."""
        return self.config.upscale * 2 ** (len(self.config.widths) - 1)

    @property
    def skip_channels(self) -> list[int]:
        """Channels of the features that may join what enters each level, and last the enlarged features."""
        channels = [self.config.widths[0], *self.config.widths[:-1]]
        return channels if self.conv_up is None else [*channels, self.conv_up.out_channels]

    def forward(
        self, *conditions: Tensor | None, z: Tensor | None = None, skips: Sequence[Tensor] | None = None
    ) -> Tensor:
        """Draw the image.

        Args:
            conditions: (B, C_k, H, W) each, C_k as in ``config.condition_channels``; about [-1, 1]. One with
                batch 1 serves the whole batch, and what depends on it alone is computed once. With a style code
                all but the first may be None: then they modulate nothing.
            z: style code (B, style_dim); given exactly when ``config.style_dim`` is not 0.
            skips: features of an encoder to add to what enters each level, (B, C_l, h_l, w_l), coarse to fine with
                C_l of ``skip_channels``, on the grids of the padded conditions.

        Returns:
            (B, out_channels, H, W), the linear output of the last convolution; the caller bounds it.

        Raises:
            ValueError: a condition or z is missing, superfluous or of another shape than configured.
        """
        given = self._check(conditions, z)
        height, width = given[0].shape[-2:]
        pyramid = self.pyramid(conditions)
        levels = pyramid if self.shortcuts is None or torch.is_grad_enabled() else self.shortcuts(pyramid)
        if z is None:
            batch = max(len(c) for c in given)
            x = self.fc(torch.cat([c.expand(batch, -1, -1, -1) for c in pyramid[0] if c is not None], dim=1))
        else:
            grid = self.fc(z).unflatten(1, (self.config.widths[0], *self.config.style_grid))
            size = [-(-side // self.multiple) for side in (height, width)]
            x = F.interpolate(grid, size=size, mode="bilinear", align_corners=False)
        at = 0
        x = x if skips is None else x + skips[0]
        for block, level in zip(self.blocks, self.level_of_block, strict=True):
            if level > at:
                x, at = F.interpolate(x, scale_factor=2, mode=self.config.enlarge), level
                x = x if skips is None else x + skips[level]
            x = block(x, levels[level], z)
        x = F.leaky_relu(x, 0.2)
        if self.conv_up is not None:
            x = F.interpolate(x, scale_factor=self.config.upscale, mode="bilinear", align_corners=False)
            x = self.conv_up(x)
            x = F.leaky_relu(x if skips is None else x + skips[-1], 0.2)
        return self.conv_img(x)[..., :height, :width]

    def pyramid(self, conditions: Conditions) -> list[list[Tensor | None]]:
        """The conditions, padded, at the grid of every level, coarse to fine; all norms share it."""
        padded = [c if c is None else pad_to_multiple(c, self.multiple) for c in conditions]
        levels = [[self._coarser(c, self.config.upscale) for c in padded]]
        for _ in self.config.widths[1:]:
            levels.append([self._coarser(c, 2) for c in levels[-1]])
        return levels[::-1]

    def _coarser(self, condition: Tensor | None, factor: int) -> Tensor | None:
        if condition is None or factor == 1:
            return condition
        if self.config.resize == "area":
            return binned(condition) / 4 if factor == 2 else F.avg_pool2d(condition, factor)
        return condition[..., ::factor, ::factor]

    def _check(self, conditions: Conditions, z: Tensor | None) -> list[Tensor]:
        """The conditions that are there."""
        wanted_channels = self.config.condition_channels
        given = [c for c in conditions if c is not None]
        fits = len(conditions) == len(wanted_channels) and all(
            c is None or c.shape[1] == channels for c, channels in zip(conditions, wanted_channels, strict=True)
        )
        batches = {len(c) for c in given} - {1}
        complete = len(given) == len(conditions) if z is None else bool(conditions) and conditions[0] is not None
        if not (fits and complete) or len({c.shape[2:] for c in given}) != 1 or len(batches) > 1:
            raise ValueError(
                f"expected conditions of one size with {wanted_channels} channels, "
                f"and of one batch (or batch 1, shared), got {[c if c is None else tuple(c.shape) for c in conditions]}"
            )
        found = None if z is None else tuple(z.shape)
        # Conditions that are all shared leave the batch to the style codes.
        batch = batches.pop() if batches else found[0] if found else 1
        wanted = (batch, self.config.style_dim) if self.config.style_dim else None
        if found != wanted:
            raise ValueError(f"expected a style code of shape {wanted}, got {found}")
        return given


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Replicate the last row and column of (B, C, H, W) until both sides divide by ``multiple``."""
    bottom, right = -x.shape[-2] % multiple, -x.shape[-1] % multiple
    return F.pad(x, (0, right, 0, bottom), mode="replicate") if bottom or right else x


@dataclass(frozen=True)
class StyleConfig:
    """Shape of a ``StyleEncoder``: input channels, channels of each stride-2 convolution, length of z."""

    in_channels: int = 3
    widths: tuple[int, ...] = (16, 32, 64, 128, 128, 128)
    style_dim: int = 64
    grid: tuple[int, int] = (4, 4)
    spectral: bool = True

    def __post_init__(self) -> None:
        if min(self.in_channels, *self.widths, self.style_dim, *self.grid) < 1:
            raise ValueError(f"every size must be positive: {self}")


class StyleEncoder(Pretrained):
    """An image of any size to the mean and log-variance of its style code (SPADE, appendix A).

    Stride-2 3x3 convolutions with instance norm and LeakyReLU(0.2), average-pooled to a fixed grid.
    Images too small to fill that grid are enlarged first.
    """

    config_type = StyleConfig

    def __init__(self, config: StyleConfig) -> None:
        super().__init__()
        self.config = config
        in_widths = (config.in_channels, *config.widths[:-1])
        self.layers = nn.ModuleList(
            spectral_conv(i, o, 3, config.spectral, bias=False, stride=2)
            for i, o in zip(in_widths, config.widths, strict=True)
        )
        features = config.widths[-1] * config.grid[0] * config.grid[1]
        self.fc_mu = nn.Linear(features, config.style_dim)
        self.fc_var = nn.Linear(features, config.style_dim)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """image (B, in_channels, H, W), about [-1, 1], to mu and logvar, (B, style_dim) each."""
        stride = 2 ** len(self.layers)
        size = [max(side, cells * stride) for side, cells in zip(image.shape[-2:], self.config.grid, strict=True)]
        if tuple(size) != tuple(image.shape[-2:]):
            image = F.interpolate(image, size=size, mode="bilinear", align_corners=False)
        for layer in self.layers:
            image = F.leaky_relu(instance_norm(layer(image)), 0.2)
        features = F.adaptive_avg_pool2d(image, self.config.grid).flatten(1)
        return self.fc_mu(features), self.fc_var(features)

    @staticmethod
    def sample(mu: Tensor, logvar: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw z ~ N(mu, exp(logvar)) (Kingma & Welling 2014, the reparametrisation trick)."""
        noise = torch.empty_like(mu).normal_(generator=generator)
        return mu + noise * torch.exp(0.5 * logvar)
