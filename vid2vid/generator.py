"""The generator of footage: one network for every frame, told labels, the last frame and the world so far.

World-consistent vid2vid (Mallya, Wang, Sapra, Liu, ECCV 2020) modulates a SPADE generator by three conditions
in order: the labels, the previous frame warped by flow, and the guidance image, which is the world painted
so far seen by the current camera. The original switches between a network for first frames and one for the
rest; here the first frame is a frame without a previous one and with empty guidance. As in vid2vid (Wang et
al., NeurIPS 2018) what is already painted is blended in by weights that the network predicts:

    frame = w_0 drawn + w_1 warped + w_2 guidance,   w = softmax(logits + bias + log(validity))
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from render_refine.pretrained import Pretrained
from render_refine.spade import SpadeConfig, SpadeGenerator, StyleConfig, StyleEncoder
from vid2vid.classes import CLASSES, NO_LABEL

# What is already painted is kept unless the network objects.
BLEND_BIAS = (0.0, 2.5, 8.0)
NOT_VALID = 1e-9  # instead of log(0)
# Rows that go on below the picture. The worlds had them in training, their height being no multiple of the
# coarsest grid; without them a network that never saw a lower edge draws lines there.
EDGE = 16
# Networks draw softer than what they learned from, since detail that is not in its place costs more than none.
SHARPEN = 0.25


@dataclass(frozen=True)
class GeneratorConfig:
    """Shape of a ``FootageGenerator``.

    Attributes:
        classes: names of ``CLASSES`` that the weights have learnt to draw.
        spade: conditions are one-hot labels, warped frame + validity, guidance + validity; outputs are a
            colour and three blend logits.
        style: of the encoder that turns a reference image into a style code.
    """

    classes: tuple[str, ...] = CLASSES
    spade: SpadeConfig = field(
        default_factory=lambda: SpadeConfig(
            condition_channels=(len(CLASSES), 4, 4),
            out_channels=6,
            widths=(128, 128, 96, 64, 48, 32),
            hidden=32,
            style_dim=32,
            style_grid=(1, 1),
            upscale=2,
            style_modulation=True,
        )
    )
    style: StyleConfig = field(default_factory=lambda: StyleConfig(3, (16, 32, 64, 96, 128), 32, (3, 4)))

    def __post_init__(self) -> None:
        unknown = set(self.classes) - set(CLASSES)
        if unknown:
            raise ValueError(f"not in the vocabulary: {', '.join(sorted(unknown))}")
        if self.spade.condition_channels != (len(CLASSES), 4, 4) or self.spade.out_channels != 6:
            raise ValueError(f"expected conditions of {(len(CLASSES), 4, 4)} channels and 6 outputs: {self.spade}")
        if self.spade.style_dim != self.style.style_dim:
            raise ValueError(f"style codes of {self.spade.style_dim} and {self.style.style_dim} numbers")


class Painted(NamedTuple):
    """A frame and how it came about; every image is (B, C, H, W) in [0, 1].

    Attributes:
        rgb: the frame.
        drawn: what the network drew, before anything was blended in.
        weights: shares of what was drawn, and of the warped frame and the guidance if given, in this order, as
            (B, 1 to 3, H, W); they sum to 1.
    """

    rgb: Tensor
    drawn: Tensor
    weights: Tensor


class FootageGenerator(Pretrained):
    """Multi-SPADE generator and style encoder, with the distribution of the styles it was trained on."""

    config_type = GeneratorConfig

    style_mean: Tensor
    style_factor: Tensor

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        self.spade = SpadeGenerator(config.spade)
        self.encoder = StyleEncoder(config.style)
        size = config.style.style_dim
        self.register_buffer("style_mean", torch.zeros(size))
        self.register_buffer("style_factor", torch.eye(size))

    def forward(self, labels: Tensor, warped: Tensor | None, guidance: Tensor | None, z: Tensor) -> Painted:
        """Paint one frame of each clip.

        Args:
            labels: one-hot (B, 18, H, W), see ``one_hot``.
            warped: (B, 4, H, W): the previous frame seen from here, rgb [0, 1], and its validity [0, 1]; None
                for a first frame.
            guidance: (B, 4, H, W): the same of the painted world; None when nothing of it is seen.
            z: (B, style_dim) style codes.
        """
        conditions = [labels, _condition(warped), _condition(guidance)]
        height = labels.shape[-2]
        multiple = self.config.spade.upscale * 2 ** (len(self.config.spade.widths) - 1)
        if not self.training and -height % multiple < EDGE:
            conditions = [c if c is None else F.pad(c, (0, 0, 0, EDGE), mode="replicate") for c in conditions]
        out = self.spade(*conditions, z=z)[..., :height, :].float()
        drawn = torch.sigmoid(out[:, :3])
        if not self.training:
            drawn = sharpened(drawn)
        logits, colours = [out[:, 3:4]], [drawn]
        for k, painted in ((1, warped), (2, guidance)):
            if painted is not None:
                logits.append(out[:, 3 + k : 4 + k] + BLEND_BIAS[k] + painted[:, 3:].clamp_min(NOT_VALID).log())
                colours.append(painted[:, :3])
        weights = torch.softmax(torch.cat(logits, dim=1), dim=1)
        rgb = (torch.stack(colours, dim=1) * weights[:, :, None]).sum(dim=1)
        return Painted(rgb, drawn, weights)

    def encode(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance, (B, style_dim) each, of the style of images (B, 3, H, W) in [0, 1]."""
        mu, logvar = self.encoder(image * 2 - 1)
        return mu.float(), logvar.float().clamp(-8, 4)

    def random_style(self, generator: torch.Generator) -> Tensor:
        """A style code (1, style_dim) like those of the images that the generator was trained on."""
        noise = torch.randn(1, len(self.style_mean), generator=generator).to(self.style_mean)
        return self.style_mean + noise @ self.style_factor.T

    @torch.no_grad()
    def fit_styles(self, codes: Tensor) -> None:
        """Remember mean and covariance of style codes (N, style_dim) for ``random_style``."""
        self.style_mean.copy_(codes.mean(dim=0))
        covariance = torch.cov(codes.double().T) + 1e-6 * torch.eye(codes.shape[1], dtype=torch.float64)
        self.style_factor.copy_(torch.linalg.cholesky(covariance))


def one_hot(labels: Tensor) -> Tensor:
    """Labels (B, H, W), ids of ``CLASSES``, as (B, 18, H, W) float; all zero where there is no label (255)."""
    known = labels != NO_LABEL
    hot = torch.zeros(*labels.shape, len(CLASSES), device=labels.device)
    hot.scatter_(-1, torch.where(known, labels, 0)[..., None], known[..., None].to(hot.dtype))
    return hot.permute(0, 3, 1, 2)


def sharpened(image: Tensor) -> Tensor:
    """An image (B, 3, H, W) with its finest band (what a 3x3 binomial filter takes away) made ``SHARPEN`` stronger."""
    row = image.new_tensor([0.25, 0.5, 0.25])
    kernel = (row[:, None] * row).expand(3, 1, 3, 3)
    soft = F.conv2d(F.pad(image, (1, 1, 1, 1), mode="replicate"), kernel, groups=3)
    return (image + SHARPEN * (image - soft)).clamp(0, 1)


def _condition(image: Tensor | None) -> Tensor | None:
    """Colours around 0, and 0 where they do not count."""
    if image is None:
        return None
    validity = image[:, 3:]
    return torch.cat([(image[:, :3] * 2 - 1) * validity, validity], dim=1)
