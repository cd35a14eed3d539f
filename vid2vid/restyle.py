"""The same shot in another light, frame after frame: reduce, follow the motion, restyle, lift to the full size.

reduce   -> the frame at the network's working size
follow   -> what the frame before became, moved along by the clip's own optical flow
snow     -> it is laid on the frame
restyle  -> the network says how the colours change
lift     -> the change is carried over to the full frame, whose detail survives
stars    -> they come out, fixed to the sky
lights   -> windows and lamps come on
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

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
    last: tuple[Tensor, Restyled] | None = None
    style: Tensor | None = None
    stars = Stars()
    lights = None if lights_detector is None else Lights(lights_detector)
    snow = None if snow_detector is None else Snow(snow_detector)
    for source in sources:
        if source.strength == 0:
            last = None
            yield source.rgb
            continue
        device = source.style.device
        full = source.rgb[None].to(device)
        small = reduced(full, restyler.config.side)
        ids = _at_size(source.labels, small.shape[-2:]).to(device)
        known, motion = (None, None) if last is None or not temporal else follow(small, *last)
        if known is not None and float(known.validity.mean()) < CUT:
            known = motion = None
        if motion is None:
            stars.start()
        elif source.stars > 0:
            stars.follow(small[0], ids, *motion)
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
        seen = small if white is full else reduced(white, restyler.config.side)
        labels = one_hot(named[None]).contiguous(memory_format=torch.channels_last)
        with autocast(device):
            if known is not None and style is not None and not torch.equal(source.style, style):
                known = relit(seen, known, restyler(seen, labels, None, source.style))
            restyled = restyler(seen, labels, known, source.style)
        last, style = (small, restyled), source.style
        lifted = lift(white, seen, restyled.rgb).clamp(0, 1)
        shown = torch.lerp(full, lifted, source.strength)[0]
        shown = stars.draw(shown, small[0], ids, source.stars * source.strength)
        yield shown if lights is None else lights.draw(shown, full[0], source.awake, source.lights * source.strength)


def follow(small: Tensor, before: Tensor, restyled: Restyled) -> tuple[Known, tuple[Tensor, Tensor]]:
    """What the frame ``before`` became, as the pixels of the frame ``small`` (1, 3, h, w) see it; flow, visibility."""
    flow, visible = optical_flow(small[0], before[0])
    return carried(small, before, restyled, flow[None], visible[None, None]), (flow, visible)


def carried(frame: Tensor, before: Tensor, restyled: Restyled, flow: Tensor, visible: Tensor) -> Known:
    """A restyled frame moved along known motion.

    Args:
        frame, before: (B, 3, h, w) this frame and the one before; restyled: what that one became.
        flow: (B, 2, h, w) pixels from this frame to that one; visible: (B, 1, h, w), the point is seen there too.
    """
    both = torch.cat([restyled.rgb, restyled.maps], dim=1)
    moved, _ = backward_warp(both, flow)
    return Known(moved[:, :3], moved[:, 3:], trust(frame, before, flow, visible))


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
