"""Lights that come on in a clip that was given the night: windows, shops, street lamps, cars.

Which windows are lit is chance, so a network that is asked for the likeliest picture lights none of them. Here they are
found in the frame by day, each draws a number, its hour of sleep, which the clip's motion carries along, and those that
are awake are drawn as light on top of the frame.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from kornia.color import linear_rgb_to_rgb, rgb_to_linear_rgb
from torch import Tensor
from torch.nn import functional as F

from render_refine.depth_maps import guided_filter
from render_refine.fill import box_max, box_mean
from render_refine.warp import carried_along
from render_refine.working_size import reduced
from vid2vid.classes import class_ids
from vid2vid.detector import Detector

EVERY = 5  # frames from one look of the detector to the next
KEPT = 0.6  # of what was known, where the detector looks again: its mistakes come and go
# How far the labels speak for lights, but for a rim of pixels of their size.
IMPOSSIBLE = class_ids(("sky", "water", "sand", "snow", "road", "marking", "person", "bicycle"))
UNLIKELY, DOUBTED = class_ids(("grass", "field", "vegetation", "rock", "fence")), 0.8
RIM = 2
GREEN = (0.07, 0.14)  # excess green (Woebbecke et al. 1995) from which on leaves are suspected, and certain

# A signal is the lit disc of a traffic light.
KINDS = ("window", "shop", "lamp", "headlight", "tail light", "signal")
AREAS = 2  # of KINDS, the first, may be large: windows and shops
LARGEST = 0.03  # of the shorter side: half the size of a lamp
EDGE, CONTRAST = 3, 1e-3  # pixels by which the edge of a light may be off, and squared contrast of an edge
NOISE = 0.06  # brightness below which differences are the camera's
DARKEST, BRIGHTEST = 0.25, 1.3  # light of what is seen in a pane, beside its usual light
SURE = (0.3, 0.6)  # shares between which the edge of a light lies
PANE = 0.35  # share from which a pixel belongs to a window
SPLIT = 0.3  # of the shorter side: what is longer is more than one window
FADE = 0.01  # of the numbers, over which a window comes on

# Linear light, of a picture that is white at 1.
COLOURS = {
    "shop": (0.9, 0.58, 0.3),
    "lamp": (3.0, 1.9, 0.9),
    "headlight": (2.2, 2.0, 1.6),
    "tail light": (1.5, 0.06, 0.03),
}
WARM, WHITE, COOL = (1.7, 0.75, 0.2), (1.7, 1.15, 0.6), (0.7, 0.9, 1.25)
FEW = 0.06  # of the windows are cool: a screen, an office
DIMMEST = 0.35  # of the windows, in parts of the brightest

GRAIN = 4  # pixels a side of the detector's size that are one of the glow's
GLOWS = ((1, 0.10), (5, 0.10))  # radius in such pixels and strength: close around a light, and further
AIR, SHINE = 0.35, 1.0  # of the glow: seen in the air itself, and on what it falls on, by its colour
FAINTEST = 2e-3  # glow that is drawn


class Lights:
    """All that can give light in one clip; the same for the same frames, and of constant size."""

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        self.start()

    def start(self) -> None:
        """Forget everything: a shot begins."""
        self.age = 0
        self.generator = torch.Generator().manual_seed(0)
        # (5, h, w): share of window, linear light of all else, usual brightness around; (h, w) number of the window,
        # 0 for none.
        self.light: Tensor | None = None
        self.numbers = torch.zeros(0)

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
        carried = None if self.light is None or motion is None else self._carry(*motion)
        if self.age % EVERY == 0:
            self._look(frame, labels, carried)
        self.age += 1

    def _carry(self, flow: Tensor, visible: Tensor) -> Tensor:
        """Move along with the clip. Returns where what is known was seen before, (1, h, w)."""
        assert self.light is not None
        # What comes into sight goes on like what is next to it, until the detector looks.
        self.light, seen, flow = carried_along(self.light, flow.cpu(), visible.cpu())
        # A number is nobody's mean: the nearest one.
        height, width = self.numbers.shape
        y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
        at = torch.stack([(x + flow[0, 0]) * (2 / width) - 1, (y + flow[0, 1]) * (2 / height) - 1], dim=-1)
        numbers = self.numbers[None, None]
        numbers = F.grid_sample(numbers, at[None], mode="nearest", padding_mode="border", align_corners=False)
        self.numbers = numbers[0, 0]
        return seen

    def _look(self, frame: Tensor, labels: Tensor, carried: Tensor | None) -> None:
        """Find the lights of a frame anew, and let them keep their numbers."""
        small = reduced(frame[None], self.detector.config.side)
        light = potential(small[0], self.detector.shares(small[0]), labels).cpu()
        if carried is None or self.light is None:
            self.light, self.numbers = light, torch.zeros(light.shape[-2:])
        else:
            self.light = torch.lerp(light, self.light, KEPT * carried)
        self.numbers = numbered(self.light[0], self.numbers, self.generator)

    def draw(self, rgb: Tensor, frame: Tensor, awake: float, amount: float) -> Tensor:
        """Switch lights on.

        Args:
            rgb: (3, H, W) sRGB in [0, 1], the frame at night; frame: the same of the clip itself.
            awake: share of the windows that is lit.
            amount: how bright all lights are, from 0, the frame as it is, bit for bit, to 1.

        Returns:
            (3, H, W), changed only around lights.
        """
        if self.light is None or amount == 0:
            return rgb
        light = amount * (self.light[1:4] + window_light(self.light[0], self.numbers, awake))
        glow = glowing(light)
        rows, columns = within(glow.amax(dim=0) > FAINTEST, rgb.shape[-2:])
        if rows.start == rows.stop:
            return rgb
        size = rgb.shape[-2:]
        light = torch.cat([light, self.light[4:]])
        light, glow = (enlarged(x.to(rgb.device), size)[:, rows, columns] for x in (light, glow))
        frame = frame[:, rows, columns]
        # What is seen in a pane by day, its bars and what stands behind it, is seen at night.
        detail = ((frame.mean(dim=0) + NOISE) / (light[3] + NOISE)).clamp(DARKEST, BRIGHTEST)
        light = light[:3].mul_(detail).addcmul_(glow, frame, value=SHINE).add_(glow, alpha=AIR)
        # The brighter it is already, the less is added, as on film.
        dark = rgb_to_linear_rgb(rgb[:, rows, columns]).neg_().add_(1)
        shown = rgb.clone()
        shown[:, rows, columns] = linear_rgb_to_rgb(dark.mul_(light.neg_().exp_()).neg_().add_(1))
        return shown


def potential(frame: Tensor, shares: Tensor, labels: Tensor) -> Tensor:
    """All light that a frame could give.

    Args:
        frame: (3, h, w) sRGB in [0, 1]; shares: (K, h, w) as the detector found them in it.
        labels: ids of ``CLASSES``, of any size.

    Returns:
        (5, h, w): share of window, linear light of all else, and how bright the frame usually is where light is.
    """
    # Lamps are small; what is large and red is a bus.
    reach = round(LARGEST * min(shares.shape[-2:]))
    small = shares[None, AREAS:]
    small = small - box_max(-box_max(-small, reach), reach)
    shares = torch.cat([shares[:AREAS], small[0]])
    belief = torch.ones(256, device=labels.device)
    belief[list(IMPOSSIBLE)], belief[list(UNLIKELY)] = 0.0, DOUBTED
    light = shares.sum(dim=0, keepdim=True).clamp_max(1)
    light = light * enlarged(box_max(belief[labels][None, None], RIM)[0], light.shape[-2:])
    green = box_mean((3 * frame[1] - frame.sum(dim=0))[None, None], EDGE)
    light = light * ((GREEN[1] - green[0]) / (GREEN[1] - GREEN[0])).clamp(0, 1)
    # Panes end where the frame has an edge.
    light = guided_filter(frame[None], light[None], EDGE, CONTRAST)
    light = ((light - SURE[0]) / (SURE[1] - SURE[0])).clamp(0, 1)
    grey = frame.mean(dim=0)[None, None]
    usual, weight = box_mean(torch.cat([grey * light, light], dim=1), 2 * EDGE).split(1, dim=1)
    usual = (usual + 1e-4 * grey) / (weight + 1e-4)
    # Of two kinds that are likely here, mostly the likelier one.
    shares = shares.square()
    own = frame / frame.amax(dim=0).clamp_min(0.03)
    colours = shares.new_tensor([COLOURS.get(kind, (0.0, 0.0, 0.0)) for kind in KINDS])
    lamps = torch.tensordot(colours.mT, shares, 1) + shares[KINDS.index("signal")] * own.square()  # about linear
    found = torch.cat([shares[:1], lamps]) * (light[0] / shares.sum(dim=0).clamp_min(1e-6))
    return torch.cat([found, usual[0]])


def window_light(window: Tensor, numbers: Tensor, awake: float) -> Tensor:
    """Linear light (3, h, w) of the windows whose number is below ``awake``.

    Args:
        window: (h, w) share of window; numbers: (h, w) of the window there, 0 for none.
    """
    on = ((awake - numbers) / FADE).clamp(0, 1) * (numbers > 0) * window
    light = window.new_zeros(3, *window.shape)
    lit = on > 0
    number = numbers[lit].double()
    strength, warmth, kind = ((number * factor).frac().float() for factor in (7919.0, 104729.0, 1299709.0))
    warm, white, cool = (window.new_tensor(c)[:, None] for c in (WARM, WHITE, COOL))
    colour = torch.where(kind < FEW, cool, torch.lerp(warm, white, warmth))
    light[:, lit] = colour * (on[lit] * (DIMMEST + (1 - DIMMEST) * strength))
    return light


def numbered(window: Tensor, known: Tensor, generator: torch.Generator) -> Tensor:
    """Give every window a number in (0, 1): the one that most of it had before, or a new one.

    Args:
        window: (h, w) share of window; known: (h, w) numbers as carried along, 0 for none.

    Returns:
        (h, w), 0 where no window is, nor a neighbouring pixel's.
    """
    height, width = window.shape
    _, ids, boxes, _ = cv2.connectedComponentsWithStats((window > PANE).numpy().astype(np.uint8), connectivity=4)
    rows, columns = np.nonzero(ids)
    ids = ids[rows, columns]
    longest = SPLIT * min(height, width)
    parts = np.zeros_like(ids)
    for at, edge, side in ((rows, cv2.CC_STAT_TOP, cv2.CC_STAT_HEIGHT), (columns, cv2.CC_STAT_LEFT, cv2.CC_STAT_WIDTH)):
        pieces = np.ceil(boxes[:, side] / longest).astype(np.int64)[ids]
        parts = parts * 64 + (at - boxes[ids, edge]) * pieces // boxes[ids, side]
    _, ids = np.unique(ids.astype(np.int64) * 4096 + parts, return_inverse=True)
    before = known.numpy()[rows, columns]
    # By window, and in it by number: those without come first, then the middle one of the rest is the commonest.
    order = np.lexsort((before, ids))
    ends = np.cumsum(np.bincount(ids))
    with_number = np.bincount(ids, before > 0).astype(np.int64)
    drawn = torch.rand(len(ends), generator=generator).clamp(1e-4).numpy()
    if len(ends):
        drawn = np.where(with_number > 0, before[order][ends - 1 - with_number // 2], drawn)
    numbers = np.zeros((height, width), np.float32)
    numbers[rows, columns] = drawn[ids]
    found = torch.from_numpy(numbers)
    return torch.where(found > 0, found, box_max(found[None, None], 1)[0, 0])


def glowing(light: Tensor) -> Tensor:
    """Light (3, h, w) that spreads around where it is, by blurs that are nearly Gaussian, on a coarse grid."""
    coarse = F.avg_pool2d(light[None], GRAIN, ceil_mode=True, count_include_pad=False)
    spread = [strength * box_mean(box_mean(coarse, radius), radius) for radius, strength in GLOWS]
    return torch.stack(spread).sum(dim=0)[0]


def within(mask: Tensor, size: Sequence[int]) -> tuple[slice, slice]:
    """Rows and columns of a picture of ``size`` that hold all that a coarse mask (h, w) marks."""
    found = []
    for dim in (1, 0):
        marked = mask.any(dim=dim).nonzero()[:, 0]
        scale = size[1 - dim] / mask.shape[1 - dim]
        first, last = (int(marked[0]), int(marked[-1])) if len(marked) else (1, -2)
        found.append(slice(max(0, math.floor((first - 1) * scale)), min(size[1 - dim], math.ceil((last + 2) * scale))))
    return found[0], found[1]


def enlarged(image: Tensor, size: Sequence[int]) -> Tensor:
    """(C, h, w) to (C, H, W)."""
    return F.interpolate(image[None], size=tuple(size), mode="bilinear", align_corners=False)[0]
