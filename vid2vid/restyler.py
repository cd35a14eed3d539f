"""The network that gives a frame another time of day or another season, at a small working size.

A SPADE generator, modulated by labels, by the frame itself and by what the frame before became, and driven by a style
code; an encoder shows each of its levels the frame once more, as in a U-Net. It does not draw a picture: it says for
every pixel by which affine map its colour changes,

    restyled = M rgb + b,

starting from the map of its class (of a night sky, of a tree in autumn). So detail is the frame's own, and a map that
only shifts (M near 0) draws what is new: another sky, snow, a lit window. The maps of the frame before are carried
along by the motion and blended in, which keeps the look steady while every frame keeps its own detail.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from render_refine.fill import box_mean
from render_refine.pretrained import Pretrained
from render_refine.spade import SpadeConfig, SpadeGenerator, pad_to_multiple
from vid2vid.classes import CLASSES
from vid2vid.local_colour import apply

MAP_CHANNELS = 12  # 3x3 matrix and offset
BLEND_BIAS = 1.0  # what is known from the frame before is kept unless the network objects
# Slopes and places of steps in the height of the sun: full day, low sun, sunset, dusk, nightfall, night.
STEPS = ((3.0, -0.5), (8.0, -0.2), (16.0, 0.0), (16.0, 0.1), (12.0, 0.25), (6.0, 0.5))
MARGIN = 8  # pixels by which the frame goes on for the network, whose zero padding would draw lines along the border
SOFT = 2  # pixels by which the map of a class reaches over its border
FACTS = 15  # numbers that describe a moment, see ``moment_facts``


@dataclass(frozen=True)
class RestylerConfig:
    """Shape of a ``Restyler``.

    Attributes:
        spade: conditions are one-hot labels with the frame, and the warped frame before with its validity; outputs
            are the maps and a blend logit.
        encoder: channels of the encoder on the frame's grid and on grids twice, four times ... coarser.
        hidden: width of the layer between the facts of a moment and its style code.
        reference_widths: channels of the stride-2 convolutions that look at a reference picture.
        side: pixels of the shorter side of a frame at the working size, as in training.
    """

    spade: SpadeConfig = field(
        default_factory=lambda: SpadeConfig(
            condition_channels=(len(CLASSES) + 3, 4),
            out_channels=MAP_CHANNELS + 1,
            widths=(96, 96, 80, 64, 48, 32),
            hidden=32,
            style_dim=32,
            style_grid=(1, 1),
            # Statistics of the frame itself would let one thing in it change all others, and grow bright spots.
            norm="batch",
            enlarge="bilinear",
            spectral=False,  # it is told the true picture at every pixel, and learns that several times faster so
            upscale=2,
            style_modulation=True,
        )
    )
    encoder: tuple[int, ...] = (16, 24, 32, 48, 64, 80, 96)
    hidden: int = 64
    reference_widths: tuple[int, ...] = (16, 32, 64, 96)
    side: int = 160

    def __post_init__(self) -> None:
        wanted = (len(CLASSES) + 3, 4)
        if self.spade.condition_channels != wanted or self.spade.out_channels != MAP_CHANNELS + 1:
            raise ValueError(f"expected conditions of {wanted} channels and {MAP_CHANNELS + 1} outputs: {self.spade}")
        if self.spade.upscale > 2 or len(self.encoder) != len(self.spade.widths) + self.spade.upscale - 1:
            raise ValueError(f"expected an encoder with as many levels as the generator and its output have: {self}")
        if self.side < 32 or min(self.hidden, *self.encoder) < 1 or not self.reference_widths:
            raise ValueError(f"every size must be positive, and the side at least 32 pixels: {self}")


class Known(NamedTuple):
    """What the frame before became, seen from this frame.

    Attributes:
        rgb: (B, 3, h, w) its restyled picture in [0, 1]; maps: (B, 12, h, w) its maps.
        validity: (B, 1, h, w) in [0, 1].
    """

    rgb: Tensor
    maps: Tensor
    validity: Tensor


class Restyled(NamedTuple):
    """A frame and how it came about: rgb (B, 3, h, w) in [0, 1]; maps (B, 12, h, w); drawn, rgb before blending."""

    rgb: Tensor
    maps: Tensor
    drawn: Tensor


class Restyler(Pretrained):
    """SPADE generator of colour maps, and two ways to a style code: from a moment, and from a picture."""

    config_type = RestylerConfig

    def __init__(self, config: RestylerConfig) -> None:
        super().__init__()
        self.config = config
        size = config.spade.style_dim
        self.spade = SpadeGenerator(config.spade)
        self.encoder = SkipEncoder(sum(config.spade.condition_channels), config.encoder, self.spade.skip_channels)
        self.class_maps = nn.Linear(size, (len(CLASSES) + 1) * MAP_CHANNELS)
        self.moment = nn.Sequential(nn.Linear(FACTS, config.hidden), nn.ReLU(), nn.Linear(config.hidden, size))
        layers: list[nn.Module] = []
        # No norm: how bright a reference is, and how blue, is what it is asked for.
        for before, after in zip((3, *config.reference_widths), config.reference_widths, strict=False):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.LeakyReLU(0.2)]
        self.reference = nn.Sequential(*layers)
        self.reference_head = nn.Linear(config.reference_widths[-1], size)
        # At first the frame stays as it is.
        with torch.no_grad():
            for weight in (*self.spade.conv_img.parameters(), *self.class_maps.parameters()):
                weight.mul_(0.1)

    def forward(self, frame: Tensor, labels: Tensor, known: Known | None, z: Tensor) -> Restyled:
        """Restyle one frame of each clip.

        Args:
            frame: (B, 3, h, w) sRGB in [0, 1] at about ``config.side``.
            labels: one-hot (B, 18, h, w), all zero where there is no label.
            known: what the frame before became; None for a first frame.
            z: (B, D) style codes.
        """
        shown, before = beyond(torch.cat([labels, frame * 2 - 1], dim=1)), None
        if known is not None:
            before = beyond(torch.cat([(known.rgb * 2 - 1) * known.validity, known.validity], dim=1))
        seen = torch.cat([shown, torch.zeros_like(shown[:, :4]) if before is None else before], dim=1)
        skips = self.encoder(pad_to_multiple(seen, self.spade.multiple))
        out = self.spade(shown, before, z=z, skips=skips).float()[..., MARGIN:-MARGIN, MARGIN:-MARGIN]
        identity = torch.eye(3, 4, device=out.device).T.reshape(1, MAP_CHANNELS, 1, 1)
        maps = out[:, :MAP_CHANNELS] + self.maps_of_classes(labels, z) + identity
        drawn = coloured(maps, frame)
        if known is None:
            return Restyled(drawn, maps, drawn)
        share = torch.sigmoid(out[:, MAP_CHANNELS:] + BLEND_BIAS) * known.validity
        maps = torch.lerp(maps, known.maps, share)
        return Restyled(coloured(maps, frame), maps, drawn)

    def maps_of_classes(self, labels: Tensor, z: Tensor) -> Tensor:
        """The maps (B, 12, h, w), less the identity, that each pixel gets for its class, with soft borders."""
        maps = self.class_maps(z).float().unflatten(1, (len(CLASSES) + 1, MAP_CHANNELS))
        unlabelled = maps[:, -1:]
        maps = unlabelled + labels.flatten(2).mT.float() @ (maps[:, :-1] - unlabelled)
        maps = maps.float().mT.unflatten(2, labels.shape[-2:])
        return box_mean(maps, SOFT)

    def moment_style(self, hour: Tensor, season: Tensor) -> Tensor:
        """Style codes (B, D) of moments: hours of the equinox in [0, 24) and seasons in [0, 4), (B,); nan keeps."""
        return self.moment(moment_facts(hour, season))

    def reference_style(self, image: Tensor) -> Tensor:
        """Style codes (B, D) of pictures (B, 3, H, W) in [0, 1], about ``config.side`` pixels high."""
        return self.reference_head(self.reference(image * 2 - 1).mean(dim=(2, 3)))


class SkipEncoder(nn.Module):
    """The features of a U-Net's way down, as they join a generator's levels on the way up; none at first."""

    def __init__(self, in_channels: int, widths: tuple[int, ...], out_channels: list[int]) -> None:
        super().__init__()
        self.stem = nn.Conv2d(in_channels, widths[0], 3, padding=1)
        self.down = nn.ModuleList(nn.Conv2d(i, o, 3, stride=2, padding=1) for i, o in pairwise(widths))
        self.refine = nn.ModuleList(nn.Conv2d(o, o, 3, padding=1) for o in widths[1:])
        self.out = nn.ModuleList(nn.Conv2d(i, o, 1) for i, o in zip(widths, out_channels[::-1], strict=True))
        for conv in self.out.parameters():
            nn.init.zeros_(conv)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, C, H, W) to features on ever finer grids, from H / 2^levels to H."""
        features = [F.leaky_relu(self.stem(x), 0.2)]
        for down, refine in zip(self.down, self.refine, strict=True):
            features.append(F.leaky_relu(refine(F.leaky_relu(down(features[-1]), 0.2)), 0.2))
        return [out(feature) for out, feature in zip(self.out, features, strict=True)][::-1]


def beyond(condition: Tensor) -> Tensor:
    """A condition (B, C, h, w) that goes on for ``MARGIN`` pixels beyond the border."""
    return F.pad(condition, (MARGIN,) * 4, mode="replicate")


def coloured(maps: Tensor, frame: Tensor) -> Tensor:
    """A frame (B, 3, h, w) under colour maps (B, 12, h, w): 9 numbers of the matrix by rows of output, 3 offsets."""
    return apply(maps[:, :9].unflatten(1, (3, 3)), maps[:, 9:], frame).clamp(0, 1)


def moment_facts(hour: Tensor, season: Tensor) -> Tensor:
    """What the network is told of moments, (B, 15), all within [-1, 1], continuous around the clock and the year.

    The height of the sun at an equinox on the equator is cos(2 pi (hour - 12) / 24); steep functions of it tell dusk
    from night. A nan hour or season gives zeros and a 1 among the last two numbers.

    Args:
        hour: (B,) in [0, 24); season: (B,) in [0, 4), see ``Restyler.moment_style``.
    """
    turn, year = (hour - 12) * (math.pi / 12), season * (math.pi / 2)
    height = torch.cos(turn)
    day = [height, torch.sin(turn), torch.sin(2 * turn), *(torch.tanh(k * (height + d)) for k, d in STEPS)]
    of_year = [torch.sin(year), torch.cos(year), torch.sin(2 * year), torch.cos(2 * year)]
    facts = []
    for kept, values in ((hour.isnan(), day), (season.isnan(), of_year)):
        facts += [torch.where(kept, 0.0, value) for value in values]
    return torch.stack([*facts, hour.isnan().float(), season.isnan().float()], dim=1)
