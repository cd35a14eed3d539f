"""Critics of single images and of short clips: patch discriminators at several scales.

Isola et al., CVPR 2017 (PatchGAN: one logit per patch); Wang et al., "pix2pixHD", CVPR 2018 (several
scales, feature matching); Park et al., SPADE, CVPR 2019, appendix A (spectral and instance norm);
Wang et al., "vid2vid", NeurIPS 2018 (the same network over stacked frames).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from render_refine.spade import instance_norm


@dataclass(frozen=True)
class DiscriminatorConfig:
    """Shape of a discriminator.

    Attributes:
        in_channels: channels of one frame, with those of its condition when it has one.
        width: channels of the first layer; each layer doubles them, up to 8 times.
        layers: convolutions before the logit; all but the last of them halve the grid.
        num_scales: how many networks, each on half the size of the one before.
        frames: length of the clips of a ``TemporalDiscriminator``.
        spectral: spectral normalisation of the inner convolutions.
    """

    in_channels: int
    width: int = 64
    layers: int = 4
    num_scales: int = 2
    frames: int = 1
    spectral: bool = True

    def __post_init__(self) -> None:
        if min(self.in_channels, self.width, self.num_scales, self.frames) < 1 or self.layers < 2:
            raise ValueError(f"every size must be positive, and layers at least 2: {self}")


class PatchDiscriminator(nn.Module):
    """4x4 convolutions; the first has no norm, the last gives the logits."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        widths = [config.width * min(2**i, 8) for i in range(config.layers)]
        self.first = nn.Conv2d(config.in_channels * config.frames, widths[0], 4, stride=2, padding=2)
        self.inner = nn.ModuleList()
        for i in range(1, config.layers):
            stride = 1 if i == config.layers - 1 else 2
            conv = nn.Conv2d(widths[i - 1], widths[i], 4, stride=stride, padding=2, bias=False)
            self.inner.append(spectral_norm(conv) if config.spectral else conv)
        self.logit = nn.Conv2d(widths[-1], 1, 4, padding=2)

    def forward(self, x: Tensor) -> list[Tensor]:
        """x (B, C, H, W) to the feature map of every layer, fine to coarse; the last is the logit map."""
        features = [F.leaky_relu(self.first(x), 0.2)]
        for conv in self.inner:
            features.append(F.leaky_relu(instance_norm(conv(features[-1])), 0.2))
        return [*features, self.logit(features[-1])]


class MultiScaleDiscriminator(nn.Module):
    """``PatchDiscriminator`` on the image and on its repeated 3x3 average-pooled halves; any H x W."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.config = config
        self.scales = nn.ModuleList(PatchDiscriminator(config) for _ in range(config.num_scales))

    def forward(self, x: Tensor) -> list[list[Tensor]]:
        """x (B, in_channels * frames, H, W) to one list of feature maps per scale, the last the logits."""
        outputs = []
        for i, network in enumerate(self.scales):
            if i:
                x = F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)
            outputs.append(network(x))
        return outputs


class TemporalDiscriminator(MultiScaleDiscriminator):
    """``MultiScaleDiscriminator`` over clips of ``config.frames`` frames, stacked along the channels."""

    def forward(self, clip: Tensor) -> list[list[Tensor]]:
        """clip (B, T, C, H, W), T = frames and C = in_channels, to feature maps as of a single image."""
        wanted = (self.config.frames, self.config.in_channels)
        if clip.dim() != 5 or tuple(clip.shape[1:3]) != wanted:
            raise ValueError(f"expected (B, {wanted[0]}, {wanted[1]}, H, W), got {tuple(clip.shape)}")
        return super().forward(clip.flatten(1, 2))
