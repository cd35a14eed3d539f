"""Snow that lies on a clip: on the ground, on roofs, cars and trees.

Where snow would lie is found in the frame by a detector that learnt it from places seen in summer and in winter; asked
for the likeliest picture instead, a network lays a thin haze on all of them. It is laid on the frame before that is
restyled, so that it takes the light of every hour like all else.
"""

from __future__ import annotations

import torch
from kornia.color import linear_rgb_to_rgb, rgb_to_linear_rgb
from torch import Tensor
from torch.nn import functional as F

from render_refine.depth_maps import guided_filter
from render_refine.fill import box_max, box_mean
from render_refine.warp import carried_along
from render_refine.working_size import reduced
from vid2vid.classes import CLASSES, class_ids
from vid2vid.detector import Detector

SNOW = CLASSES.index("snow")
EVERY = 4  # frames from one look of the detector to the next
KEPT = 0.6  # of what was known, where the detector looks again: its mistakes come and go
NEVER = class_ids(("sky", "water", "road", "marking", "person", "bicycle"))  # and a rim of `RIM` pixels around them
HARDLY, DOUBTED = class_ids(("building", "pole", "sign")), 0.6  # walls look like ground; only roofs are sure enough
LAWN = class_ids(("grass", "field"))  # here it lies whatever the detector thinks
RIM = 1
EDGE, CONTRAST = 6, 1e-3  # pixels by which the edge of snow may be off, and squared contrast of an edge
BARE, WHITE = 0.3, 1.0  # shares of snow below which there is none, and from which nothing else is seen

LUMINANCE = (0.2126, 0.7152, 0.0722)
# Linear luminance of snow = BRIGHTNESS * (mean of the frame)^FOLLOWS, about as in rendered winters (1.15 there, which
# outshines the edges of a real wood): a camera shows snow brighter in a bright frame, but by less.
BRIGHTNESS, FOLLOWS = 1.0, 0.37
TINT = (0.97, 1.0, 1.06)
RELIEF = 0.7  # power of the ground's own light and shadow that shows in the snow on it
RELIEF_SIZE = 0.04  # of the height, over which the ground is usually as bright
DARKEST, BRIGHTEST = 0.2, 2.5  # parts of that
OPEN = 0.3  # share of snow that a place has more of which is twice as bright as those around
STEADY = 0.5  # of both is that of the frame before: where dark ground turns white, the camera's noise is strong


class Snow:
    """Where snow lies in one clip; the same for the same frames, and of constant size."""

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        self.start()

    def start(self) -> None:
        """Forget everything: a shot begins."""
        self.age = 0
        self.cover: Tensor | None = None  # (1, h, w) share of snow
        self.laid: Tensor | None = None  # (2, H, W) share and relief of snow in the frame before
        self.motion: tuple[Tensor, Tensor] | None = None

    def follow(self, frame: Tensor, labels: Tensor, motion: tuple[Tensor, Tensor] | None) -> None:
        """Take in the next frame.

        Args:
            frame: (3, H, W) of the clip itself, in [0, 1].
            labels: (h, w) ids of ``CLASSES``.
            motion: flow (2, h, w) in pixels, from this frame to the one before, and visibility (h, w), the point is
                seen there too; None where a shot begins.
        """
        if motion is None:
            self.start()
        self.motion = motion
        carried = None
        if self.cover is not None and motion is not None:
            self.cover, carried, _ = carried_along(self.cover, *motion)
        if self.age % EVERY == 0:
            small = reduced(frame[None], self.detector.config.side)
            found = cover(small[0], self.detector.shares(small[0]), labels)
            known = None if carried is None or self.cover is None else (self.cover, KEPT * carried)
            self.cover = found if known is None else torch.lerp(found, *known)
        self.age += 1

    def lay(self, frame: Tensor, labels: Tensor, amount: float) -> tuple[Tensor, Tensor]:
        """Let snow lie.

        Args:
            frame: (3, H, W) sRGB in [0, 1], the last that was followed; labels: (h, w) its ids of ``CLASSES``.
            amount: from 0, none, over a little where it lies longest, to 1.

        Returns:
            the frame and the labels with snow.
        """
        assert self.cover is not None
        luminance = torch.tensordot(frame.new_tensor(LUMINANCE), rgb_to_linear_rgb(frame), 1)[None, None]
        share = F.interpolate(self.cover[None], size=frame.shape[-2:], mode="bilinear", align_corners=False)
        # Light and shadow on the ground, as far as they are its own and not of what lies beside.
        around = box_mean(torch.cat([luminance * share, share], dim=1), round(RELIEF_SIZE * frame.shape[-2]))
        usual = around[:, :1] / around[:, 1:].clamp_min(1e-3)
        relief = ((luminance + 0.02) / (usual + 0.02)).clamp(DARKEST, BRIGHTEST)
        # Where it does not lie everywhere, what is open to the sky is bright, and takes the snow first.
        share = share + OPEN * (relief - 1).clamp(-1, 1) * 4 * share * (1 - share)
        share, relief = self._steadied(torch.cat([share, relief**RELIEF], dim=1)[0])
        bare = BARE + (1 - amount) * (1 - BARE)
        share = ((share - bare) / (WHITE - BARE)).clamp(0, 1)
        there = F.interpolate(share[None, None], size=labels.shape[-2:], mode="area")[0, 0] > 0.5
        level = BRIGHTNESS * float(luminance.mean()) ** FOLLOWS
        white = linear_rgb_to_rgb((level * relief * frame.new_tensor(TINT)[:, None, None]).clamp(0, 1))
        return torch.lerp(frame, white, share), torch.where(there, SNOW, labels)

    def _steadied(self, laid: Tensor) -> Tensor:
        """Share and relief (2, H, W) of this frame, with those of the frame before in them."""
        if self.laid is not None and self.motion is not None:
            before, seen, _ = carried_along(self.laid, *self.motion)
            laid = torch.lerp(laid, before, STEADY * seen)
        self.laid = laid
        return laid


def cover(frame: Tensor, shares: Tensor, labels: Tensor) -> Tensor:
    """Where snow would lie, (1, h, w) in [0, 1].

    Args:
        frame: (3, h, w) sRGB in [0, 1]; shares: (1, h, w) as the detector found them in it.
        labels: ids of ``CLASSES``, of any size.
    """
    most, least = torch.ones(256, device=labels.device), torch.zeros(256, device=labels.device)
    most[list(NEVER)], most[list(HARDLY)] = 0.0, DOUBTED
    least[list(LAWN)] = 1.0
    limits = torch.stack([most[labels], least[labels]])[None]
    limits = F.interpolate(-box_max(-limits, RIM), size=shares.shape[-2:], mode="bilinear", align_corners=False)[0]
    believed = torch.maximum(shares * limits[:1], limits[1:])
    return guided_filter(frame[None], believed[None], EDGE, CONTRAST)[0].clamp(0, 1)
