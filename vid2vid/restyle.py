"""The same shot in another light, frame after frame: look, follow the motion, restyle, lift to the full size.

look     -> the frame at the network's working size, and its optical flow, while the last one is being restyled
snow     -> it is laid on the frame
follow   -> what the frame before became, moved along by that flow
restyle  -> the network says how the colours change
lift     -> the change is carried over to the full frame, whose detail survives
stars    -> they come out, fixed to the sky
lights   -> windows and lamps come on
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from render_refine.ahead import ahead
from render_refine.precision import autocast
from render_refine.warp import backward_warp
from render_refine.working_size import reduced
from vid2vid.detector import Detector
from vid2vid.generator import one_hot
from vid2vid.lights import Lights
from vid2vid.local_colour import lift
from vid2vid.optical_flow import optical_flow, trust
from vid2vid.restyler import Known, Restyled, Restyler, coloured
from vid2vid.snow import Snow
from vid2vid.stars import Stars

CUT = 0.05  # share of a frame that must be found in the one before, or else a new shot begins
BROAD = 16  # pixels of the working size over which light counts as one


@dataclass(frozen=True, eq=False)
class Source:
    """One frame of a clip and what is wanted of it.

    Attributes:
        rgb: (3, H, W) sRGB in [0, 1].
        labels: (h, w) int64 ids of CLASSES, 255 for none; of any size, the same aspect.
        style: (1, D) style code.
        strength: 0 gives the frame as it is, bit for bit, 1 the full look.
        stars: how far they are out, from 0 to 1.
        lights: how bright windows, lamps, shops and cars' lights are, from 0 to 1.
        awake: share of the windows that is lit.
        snow: how much of it lies, from 0 to 1.
    """

    rgb: Tensor
    labels: Tensor
    style: Tensor
    strength: float = 1.0
    stars: float = 0.0
    lights: float = 0.0
    awake: float = 0.0
    snow: float = 0.0


@torch.no_grad()
def restyle(
    restyler: Restyler,
    sources: Iterable[Source],
    lights_detector: Detector | None = None,
    snow_detector: Detector | None = None,
    *,
    temporal: bool = True,
) -> Iterator[Tensor]:
    """Restyle a clip; what is kept from frame to frame does not grow with its length.

    Args:
        restyler: in eval mode.
        sources: one per frame, all of one size.
        lights_detector: of what can light up, in eval mode; without it nothing does.
        snow_detector: of where snow would lie, in eval mode; without it none is laid.
        temporal: False treats every frame by itself (for comparison).

    Yields:
        (3, H, W) sRGB in [0, 1] per frame, on the device of the style.
    """
    last: Restyled | None = None
    style: Tensor | None = None
    stars = Stars()
    lights = None if lights_detector is None else Lights(lights_detector)
    snow = None if snow_detector is None else Snow(snow_detector)
    for source, seen in ahead(looked_at(sources, restyler.config.side, temporal)):
        if seen is None:
            yield source.rgb
            continue
        full, ids = seen.full, seen.ids
        motion = None if seen.match is None else (seen.match.flow[0], seen.match.visible[0, 0])
        if motion is None:
            stars.start()
        elif source.stars > 0:
            stars.follow(seen.small[0], ids, *motion)
        if lights is not None:
            if source.lights > 0:
                lights.follow(full[0], ids, motion)
            else:
                lights.start()
        white, named = full, ids
        if snow is not None:
            if source.snow > 0:
                snow.follow(full[0], ids, motion)
                laid, named = snow.lay(full[0], ids, source.snow)
                white = laid[None]
            else:
                snow.start()
        small = seen.small if white is full else reduced(white, restyler.config.side)
        labels = one_hot(named[None]).contiguous(memory_format=torch.channels_last)
        known = None if last is None or seen.match is None else carried(last, seen.match.flow, seen.match.trust)
        with autocast(full.device):
            if known is not None and style is not None and not torch.equal(source.style, style):
                known = relit(small, known, restyler(small, labels, None, source.style))
            last, style = restyler(small, labels, known, source.style), source.style
        lifted = lift(white, small, last.rgb).clamp(0, 1)
        shown = torch.lerp(full, lifted, source.strength)[0]
        shown = stars.draw(shown, seen.small[0], ids, source.stars * source.strength)
        yield shown if lights is None else lights.draw(shown, full[0], source.awake, source.lights * source.strength)


class Match(NamedTuple):
    """Where the pixels of a frame were in the one before.

    Attributes:
        flow: (1, 2, h, w) pixels, from this frame to that one.
        visible: (1, 1, h, w) bool, the point is seen there too; trust: the same in [0, 1], and by its colour.
    """

    flow: Tensor
    visible: Tensor
    trust: Tensor


@dataclass(frozen=True, eq=False)
class Seen:
    """What a frame shows, before it is restyled.

    Attributes:
        full: (1, 3, H, W) the frame, small: (1, 3, h, w) at the working size.
        ids: (h, w) of ``CLASSES``.
        match: to the frame before; None where a shot begins.
    """

    full: Tensor
    small: Tensor
    ids: Tensor
    match: Match | None


@torch.no_grad()
def looked_at(sources: Iterable[Source], side: int, temporal: bool = True) -> Iterator[tuple[Source, Seen | None]]:
    """All that can be known of frames without restyling them, so that it is found out while the last one is restyled.

    Args:
        sources: as in ``restyle``; side: of the working size.
        temporal: False calls every frame the beginning of a shot.

    Yields:
        source, and what it shows, or None where nothing is asked for.
    """
    last: Tensor | None = None
    for source in sources:
        if source.strength == 0:
            last = None
            yield source, None
            continue
        full = source.rgb[None].to(source.style.device)
        small = reduced(full, side)
        ids = _at_size(source.labels, small.shape[-2:]).to(full.device)
        match = None
        if last is not None and temporal:
            flow, visible = (x[None] for x in optical_flow(small[0], last[0]))
            match = Match(flow, visible[None], trust(small, last, flow, visible[None]))
            if float(match.trust.mean()) < CUT:
                match = None
        last = small
        yield source, Seen(full, small, ids, match)


def carried(restyled: Restyled, flow: Tensor, validity: Tensor) -> Known:
    """A restyled frame moved along known motion.

    Args:
        restyled: what the frame before became.
        flow: (B, 2, h, w) pixels from this frame to that one; validity: (B, 1, h, w) in [0, 1].
    """
    moved, _ = backward_warp(torch.cat([restyled.rgb, restyled.maps], dim=1), flow)
    return Known(moved[:, :3], moved[:, 3:], validity)


def relit(frame: Tensor, known: Known, anew: Restyled) -> Known:
    """What is known under a wish that has changed since: its detail stays, its light in the large becomes the new one.

    Otherwise what is known would lag behind, and what a pan uncovers would stand out in the light of the moment.

    Args:
        frame: (B, 3, h, w) this frame; known: as the frame before saw it; anew: this frame by itself.
    """
    changes = torch.cat([(anew.maps - known.maps) * known.validity, known.validity], dim=1)
    broad = F.interpolate(_coarse(changes), size=frame.shape[-2:], mode="bilinear", align_corners=False)
    maps = known.maps + broad[:, :-1] / broad[:, -1:].clamp_min(1e-3)
    return Known(coloured(maps, frame), maps, known.validity)


def _coarse(image: Tensor) -> Tensor:
    """Means over squares of `BROAD` pixels."""
    size = [max(1, side // BROAD) for side in image.shape[-2:]]
    return F.interpolate(image, size=size, mode="area")


def _at_size(labels: Tensor, size: Sequence[int]) -> Tensor:
    ids = labels[None, None].to(torch.uint8)
    return F.interpolate(ids, size=tuple(size), mode="nearest-exact")[0, 0].long()
