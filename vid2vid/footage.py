"""Labels to footage, frame after frame: warp what was painted, look at the world so far, paint, remember.

    warp    -> the last frame where this frame's pixels were
    render  -> the painted world seen by this frame's camera (the guidance image)
    paint   -> the generator, told labels, warped frame and guidance
    write   -> what was not known goes into the memory; what moves by itself never does

Without depth and cameras there is no memory, and the warped last frame alone holds the footage together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from render_refine.camera import Camera
from render_refine.memory import WorldMemory
from render_refine.precision import autocast
from render_refine.warp import visible_motion
from vid2vid.classes import CLASSES, NO_LABEL, moves
from vid2vid.generator import FootageGenerator, one_hot
from vid2vid.motion import MotionNetwork, warp_previous

SAME_SURFACE = 0.05  # relative depth by which two views of one surface may differ
SKY = CLASSES.index("sky")
# Points per pixel from which the memory of a surface counts in full, and below which it does not count: it was seen
# from too far away, and is painted again, finer.
FULL_DETAIL, NO_DETAIL = 0.8, 0.5


@dataclass(frozen=True, eq=False)
class Geometry:
    """What an engine knows of a frame: depth (H, W) z in scene units, inf in the sky, and the camera."""

    depth: Tensor
    camera: Camera


@dataclass(frozen=True, eq=False)
class Shot:
    """What is to be painted: labels (H, W), ids of ``CLASSES`` with 255 for none, and maybe the geometry."""

    labels: Tensor
    geometry: Geometry | None = None


@dataclass(frozen=True, eq=False)
class Frame:
    """A painted frame.

    Attributes:
        rgb: (3, H, W) in [0, 1].
        guidance: (4, H, W) what the memory showed here, rgb and validity; None without geometry, and at first.
        flow: (2, H, W) pixels to the previous frame; zeros in the first.
    """

    rgb: Tensor
    guidance: Tensor | None
    flow: Tensor


@torch.no_grad()
def footage(
    generator: FootageGenerator, motion: MotionNetwork, shots: Iterable[Shot], z: Tensor, *, guided: bool = True
) -> Iterator[Frame]:
    """Paint a clip; what is kept from frame to frame does not grow with its length, but for the world's points.

    Args:
        generator, motion: the networks, in eval mode.
        shots: one per frame, all of one size.
        z: style code (1, style_dim) of the whole clip.
        guided: False keeps no memory even when the geometry is known (plain vid2vid, for comparison).

    Yields:
        one frame per shot.
    """
    memory = WorldMemory(z.device)
    last: _Last | None = None
    for shot in shots:
        ids = shot.labels[None].to(z.device)
        labels = one_hot(ids).contiguous(memory_format=torch.channels_last)
        warped, guidance, flow = None, None, labels.new_zeros(1, 2, *labels.shape[-2:])
        known = _trusted(shot, z.device) if guided else None
        still = _still(shot).to(z.device)
        if last is not None:
            flow, trust = _motion(motion, labels, last, known, still)
            warped = warp_previous(last.rgb, ids, last.ids, flow, trust)
        if known is not None and len(memory):
            guidance = _guidance(memory, known, still)
            if warped is not None:
                # The memory holds colours as they were painted; those of the last frame were resampled since.
                warped[:, 3:] *= 1 - guidance[:, 3:]
        with autocast(z.device):
            rgb = generator(labels, warped, guidance, z).rgb.float().clamp(0, 1)
        if known is not None:
            fresh = still if guidance is None else still & (guidance[0, 3] < 0.5)
            memory.write(rgb[0], known.depth, known.camera, fresh)
        last = _Last(ids, labels, rgb, flow, known)
        yield Frame(rgb[0], None if guidance is None else guidance[0], flow[0])


@dataclass(frozen=True, eq=False)
class _Last:
    """The frame before, as the next one needs it: batches of one."""

    ids: Tensor
    labels: Tensor
    rgb: Tensor
    flow: Tensor
    geometry: Geometry | None


def _motion(
    motion: MotionNetwork, labels: Tensor, last: _Last, known: Geometry | None, still: Tensor
) -> tuple[Tensor, Tensor]:
    """Flow to the last frame (1, 2, H, W) and its trust (1, 1, H, W): exact where the geometry tells, or predicted."""
    exact = None
    if known is not None and last.geometry is not None:
        before = last.geometry
        exact, seen = visible_motion(known.depth, known.camera, before.depth, before.camera, SAME_SURFACE)
        if still.all():
            return exact[None], seen[None, None].to(exact)
    with autocast(labels.device):
        flow, logit = motion(labels, last.labels, last.flow)
    flow, trust = flow.float(), torch.sigmoid(logit.float())
    if exact is not None:
        flow, trust = torch.where(still, exact, flow), torch.where(still, seen.to(trust), trust)
    return flow, trust


def _still(shot: Shot) -> Tensor:
    """(H, W) bool: what does not move by itself, and whose depth can be believed where there is depth."""
    still = (shot.labels != NO_LABEL) & ~moves(shot.labels)
    if shot.geometry is not None:
        still &= torch.isfinite(shot.geometry.depth) | (shot.labels == SKY)
    return still


def _trusted(shot: Shot, device: torch.device) -> Geometry | None:
    """The geometry, with the sky at infinity: engines often give it the depth of their far plane."""
    if shot.geometry is None:
        return None
    depth = torch.where(shot.labels == SKY, torch.inf, shot.geometry.depth)
    return Geometry(depth.to(device), shot.geometry.camera.to(device))


def _guidance(memory: WorldMemory, known: Geometry, still: Tensor) -> Tensor:
    """The memory seen from here (1, 4, H, W), valid where it shows the surface that is really there."""
    view = memory.look(known.camera)
    nearness = (view.depth / known.depth - 1).abs() <= SAME_SURFACE
    same = torch.where(torch.isinf(known.depth), torch.isinf(view.depth), nearness)
    detail = ((view.density - NO_DETAIL) / (FULL_DETAIL - NO_DETAIL)).clamp(0, 1)
    validity = detail * (view.known & same & still)
    return torch.cat([view.rgb, validity[None]])[None]
