"""Stars over a clip that was given the night: too small for the network, so drawn on the full frames afterwards.

They are fixed to the sky. Its place in the frame is known from how what is far away moves: of all the clip's flow only
that along the skyline counts, and that of the sky alone where no land is in sight, since clouds drift.
"""

from __future__ import annotations

import math

import torch
from kornia.color import linear_rgb_to_rgb, rgb_to_linear_rgb
from torch import Tensor
from torch.nn import functional as F

from render_refine.fill import box_max, box_mean
from render_refine.warp import sample
from render_refine.working_size import LARGEST_RATIO
from vid2vid.classes import CLASSES, moves

SKY = CLASSES.index("sky")
LUMINANCE = (0.2126, 0.7152, 0.0722)  # Rec. 709, of linear light

# Lengths are in units of a frame's shorter side, so that a star shines alike at any size.
PERIOD = 5.0  # of the star field, which is wider than the longest frame
DENSITY = 150  # stars in a unit square: those over a town, not those over a desert
SIZE, SMALLEST = 0.0013, 0.7  # standard deviation of a disc, and the least one in pixels: smaller ones would flicker
BRIGHTEST = 1.6e-5  # linear light of the brightest star, integrated over its disc
# Stars brighter than b are b^(-1/0.8) in number, as in the sky (3 times as many with every magnitude).
FAINTEST, SLOPE = 0.025, 0.8

MARGIN, SOFT = 0.016, 0.03  # along the skyline and around clouds: without any star, and where they fade
GREY, BLUE = 0.04, 0.14  # saturation of the clip's own sky, averaged over SOFT: clouded, clear
DARK, BRIGHT = 0.05, 0.20  # linear luminance of a sky that shows all its stars, and of one that shows none
SMOOTH, ROUGH = 0.25, 0.6  # the same for the range of luminance around a star over its mean: wires, twigs, clouds

EDGE, BAND = 0.02, 0.12  # what lies below a sky counts as skyline between these: nearer, clouds disturb the flow
ENOUGH = 40.0  # pixels full of contrast at the skyline, from which on the sky itself is not asked
PRIOR = 5.0  # pixels full of contrast that speak for standing still
CONTRAST = 4e-4  # squared slope of luminance that is half trusted
OUTLIER = (3.0, 2.0, 1.0, 0.5, 0.5, 0.5)  # pixels of the flow by which a point may err, round by round
DEADBAND, FORGET = 1e-3, 0.03  # motion too small to be believed, and the share of it that is forgotten per frame


class Stars:
    """The star field over one clip: the same for the same seed, and of constant size.

    It is a plane, repeated endlessly, on which complex numbers are places. The frame's point z, relative to its middle,
    shows the place ``turn * z + shift``.
    """

    def __init__(self, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        x, y, dice, warmth = torch.rand(4, round(DENSITY * PERIOD**2), generator=generator, dtype=torch.float64)
        self.places = torch.complex(x, y) * PERIOD
        brightness = (FAINTEST * (1 - dice) ** -SLOPE).clamp_max(1) * BRIGHTEST
        colour = torch.stack([0.85 + 0.3 * warmth, torch.ones_like(warmth), 1.3 - 0.5 * warmth])
        self.light = brightness * colour  # (3, N)
        self.start()

    def start(self) -> None:
        """Put the field back: a shot begins."""
        self.turn, self.shift = 1 + 0j, 0j
        self.pending = torch.zeros(3, dtype=torch.float64)

    def follow(self, frame: Tensor, labels: Tensor, flow: Tensor, visible: Tensor) -> None:
        """Move on by one frame, along with what is far.

        Args:
            frame: (3, h, w) of the clip itself, in [0, 1].
            labels: (h, w) ids of ``CLASSES``.
            flow: (2, h, w) in pixels, from this frame to the one before; visible: (h, w), the point is seen there too.
        """
        self.pending = self.pending * (1 - FORGET) + far_motion(frame, labels, flow, visible)
        # Slack, as in a gear: errors to and fro move nothing, while a slow pan is late by the slack and no more.
        size = float(self.pending.norm())
        motion = self.pending * (max(size - DEADBAND, 0.0) / max(size, DEADBAND))
        self.pending = self.pending - motion
        right, down, angle = motion.tolist()
        self.shift += self.turn * complex(right, down)
        self.turn *= complex(math.cos(angle), math.sin(angle))

    def positions(self, height: int, width: int) -> Tensor:
        """Where all stars are in a frame of that size, (2, N) pixels across and down; most are outside."""
        away = self.places - self.shift
        away = torch.complex(*(((part + PERIOD / 2) % PERIOD) - PERIOD / 2 for part in (away.real, away.imag)))
        away = away * self.turn.conjugate() * unit(height, width)
        return torch.stack([away.real + width / 2, away.imag + height / 2])

    def draw(self, rgb: Tensor, frame: Tensor, labels: Tensor, amount: float) -> Tensor:
        """Add the stars that are not hidden.

        Args:
            rgb: (3, H, W) sRGB in [0, 1], the frame at night.
            frame, labels: as of ``follow``, of any size.
            amount: from 0, the frame as it is, bit for bit, to 1.

        Returns:
            (3, H, W), changed only where a star is.
        """
        height, width = rgb.shape[-2:]
        at, light = self.positions(height, width).to(rgb.device), self.light.to(rgb.device)
        clearness = clear(frame, labels)
        scale = at.new_tensor([[clearness.shape[-1] / width], [clearness.shape[-2] / height]])
        share, inside = sample(clearness.double(), (at * scale).T[None, None])
        shown = amount * share[0, 0, 0] * inside[0, 0, 0]
        at, light, shown = (x[..., shown > 0] for x in (at, light, shown))
        if shown.numel() == 0:
            return rgb
        # A window of pixels around every star: n stars, k x k pixels.
        spread = max(SIZE * unit(height, width), SMALLEST)
        reach = math.ceil(3 * spread)
        steps = torch.arange(-reach, reach + 1, device=rgb.device)
        columns, rows = (x.floor().long()[:, None] + steps for x in at)
        across, down = (disc(pixels - x[:, None], spread) for pixels, x in zip((columns, rows), at, strict=True))
        kept = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None]
        pixels = rows.clamp(0, height - 1)[:, :, None] * width + columns.clamp(0, width - 1)[:, None]
        behind = rgb_to_linear_rgb(rgb.flatten(1)[:, pixels].movedim(0, -3)).movedim(-3, 0)
        shown = shown * visibility(behind)
        kept = kept & (shown > 0)[:, None, None]
        energy = light * shown * unit(height, width) ** 2
        splat = energy[:, :, None, None] * (down[:, :, None] * across[:, None])
        lit, which = pixels[kept].unique(return_inverse=True)
        total = splat.new_zeros(3, len(lit)).index_add_(1, which, splat[:, kept])
        flat = rgb.flatten(1).clone()
        flat[:, lit] = added(flat[:, lit], total)
        return flat.view_as(rgb)


def unit(height: int, width: int) -> float:
    """Pixels of the unit of length: the shorter side, or more in a very long frame."""
    return max(min(height, width), max(height, width) / LARGEST_RATIO)


def disc(offset: Tensor, spread: float) -> Tensor:
    """Share (n, k) of a Gaussian that falls on the pixels whose near edges are ``offset`` away; a row sums to 1."""
    edges = torch.stack([offset, offset + 1]) / (spread * math.sqrt(2))
    share = torch.erf(edges[1]) - torch.erf(edges[0])
    return share / share.sum(dim=1, keepdim=True)


def added(rgb: Tensor, light: Tensor) -> Tensor:
    """sRGB colours (3, n) with linear light (3, n) on top, in [0, 1]."""
    linear = rgb_to_linear_rgb(rgb[:, None]) + light[:, None].to(rgb.dtype)
    return linear_rgb_to_rgb(linear.clamp(0, 1))[:, 0]


def clear(frame: Tensor, labels: Tensor) -> Tensor:
    """How far a frame (3, h, w) of the clip itself, with labels (h, w), shows a clear sky: (1, 1, h, w) in [0, 1].

    A clear sky has a colour, by day and at dusk; clouds are grey. Along the skyline the result is 0.
    """
    pixels = unit(*labels.shape)
    soft = math.ceil(SOFT * pixels)
    # One pixel more, since the result is read between its pixels.
    hidden = box_max((labels != SKY).float()[None, None], math.ceil(MARGIN * pixels) + 1)
    apart = (1 - 2 * box_mean(hidden, soft)).clamp_min(0)
    strongest = frame.amax(dim=0)
    saturation = (strongest - frame.amin(dim=0)) / strongest.clamp_min(0.05)
    return apart * ((box_mean(saturation[None, None], soft) - GREY) / (BLUE - GREY)).clamp(0, 1)


def visibility(behind: Tensor) -> Tensor:
    """How far stars are seen before linear colours (3, n, k, k) around them, (n,) in [0, 1]: if dark and even."""
    luminance = torch.tensordot(behind.new_tensor(LUMINANCE), behind, 1).flatten(1)
    mean = luminance.mean(dim=1)
    uneven = (luminance.amax(dim=1) - luminance.amin(dim=1)) / mean.clamp_min(1e-3)
    dark = (BRIGHT - mean) / (BRIGHT - DARK)
    even = (ROUGH - uneven) / (ROUGH - SMOOTH)
    return dark.clamp(0, 1) * even.clamp(0, 1)


def far_motion(frame: Tensor, labels: Tensor, flow: Tensor, visible: Tensor) -> Tensor:
    """How the camera's turning moves the picture, from this frame to the one before, by what is far.

    A similarity is fitted to the flow by iteratively reweighted least squares (Geman and McClure's weights). A point
    counts along the directions in which its surroundings have contrast (their structure tensor), so that an even
    skyline tells of up and down only. The change of scale is then left out: it comes from driving on, by which stars
    do not grow, and whose vanishing point lies at the height of the skyline.

    Args:
        as ``Stars.follow``.

    Returns:
        (3,) right and down in units, and the angle, around the middle of the frame; small or 0 where little is known.
    """
    height, width = labels.shape
    scale = unit(height, width)
    sky = (labels == SKY).float()[None, None]
    band = round(BAND * scale)
    below = F.max_pool2d(F.pad(sky, (0, 0, band, 0)), (band + 1, 1), stride=1)
    skyline = (below > box_max(sky, math.ceil(EDGE * scale)))[0, 0]
    grey = torch.tensordot(frame.new_tensor(LUMINANCE), frame, 1)
    slope_y, slope_x = torch.gradient(grey)
    tensor = box_mean(torch.stack([slope_x**2, slope_x * slope_y, slope_y**2])[None], 2)[0]
    strength = tensor[0] + tensor[2]
    tensor = tensor / (strength + CONTRAST) * (visible & ~moves(labels))
    strength = tensor[0] + tensor[2]
    used = skyline if float(strength[skyline].sum()) >= ENOUGH else skyline | (labels == SKY)
    rows, columns = (used & (strength > 0.05)).nonzero(as_tuple=True)
    if rows.numel() == 0:
        return torch.zeros(3, dtype=torch.float64)
    horizon = float((rows + 0.5).mean() - height / 2) / scale
    x, y = (columns + 0.5 - width / 2) / scale, (rows + 0.5 - height / 2) / scale - horizon
    one, none = torch.ones_like(x), torch.zeros_like(x)
    # Flow in units = model @ (right, down, growth, angle).
    model = torch.stack([torch.stack([one, none, x, -y]), torch.stack([none, one, y, x])]).double()  # (2, 4, n)
    moved = flow[:, rows, columns].double() / scale
    xx, xy, yy = tensor[:, rows, columns].double()
    metric = torch.stack([torch.stack([xx, xy]), torch.stack([xy, yy])])  # (2, 2, n)
    weighted = torch.einsum("abn,bin->ain", metric, model)
    squares = torch.einsum("ain,ajn->ijn", model, weighted)
    rights = torch.einsum("ain,an->in", weighted, moved)
    found = torch.cat([moved.median(dim=1).values, moved.new_zeros(2)])
    for error in OUTLIER:
        rest = moved - torch.einsum("ain,i->an", model, found)
        off = torch.einsum("an,abn,bn->n", rest, metric, rest) / (xx + yy) * (scale / error) ** 2
        weight = 1 / (1 + off) ** 2
        found = torch.linalg.solve(squares @ weight + PRIOR * torch.eye(4).to(squares), rights @ weight)
    right, down, growth, angle = found.tolist()
    angle = math.atan2(angle, 1 + growth)
    # Around the middle of the frame instead of the point below it, at the height of the skyline.
    pivot = complex(0, horizon)
    shift = complex(right, down) + pivot - pivot * complex(math.cos(angle), math.sin(angle))
    return torch.tensor([shift.real, shift.imag, angle], dtype=torch.float64)
