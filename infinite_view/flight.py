"""Render, refine, repeat: the loop that turns one RGB-D image into a flight of any length.

    move    -> where the camera is at the next keyframe, and on the way there
    render  -> the memory as that camera sees it, with holes and magnified surfaces
    refine  -> a complete frame
    write   -> what was not known goes into the memory; the rest stays as it was
    repeat  -> the frames up to the keyframe are views of the memory

The original (Liu et al. 2021) keeps only the last frame, so it forgets, and copies of copies blur. Here
the memory is written once and read for ever; `forgetful_flight` is the original's loop, for comparison.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import torch
from torch import Tensor

from infinite_view.moves import Move
from infinite_view.refiner import Refiner, ViewBatch
from render_refine.camera import Camera
from render_refine.memory import View, WorldMemory
from render_refine.precision import autocast

KEYFRAME_EVERY = 8  # frames
MAGNIFIED = 0.6  # points per pixel below which a surface is drawn again, finer
GUARD = 16  # pixels around the picture that are drawn with it
NEGLIGIBLE = 0.003  # share of the picture; smaller holes between keyframes take the first guess


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame of a flight: rgb (3, H, W) in [0, 1], depth (H, W) with inf in the sky, its camera."""

    rgb: Tensor
    depth: Tensor
    camera: Camera


class Painter:
    """Completes views: the refiner with the start image's style, or smooth guesses without one."""

    def __init__(self, refiner: Refiner | None, rgb: Tensor, depth: Tensor, seed: int) -> None:
        self.refiner = refiner
        self.seed = seed
        self.drawn = 0
        if refiner is not None:
            with torch.no_grad(), autocast(rgb.device):
                self.z = refiner.style(rgb[None], depth[None])[0].float()

    @torch.no_grad()
    def complete(self, view: View) -> View:
        """The view without holes and with detail on magnified surfaces; ``known`` still says what was known."""
        if self.refiner is None:
            return view
        # The noise depends on the seed and on how much was drawn before, never on global state.
        # (Only the low 32 bits of a seed count on the CPU.)
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + self.drawn) % 2**32)
        self.drawn += 1
        noise = torch.randn(1, 1, view.camera.height, view.camera.width, generator=generator)
        with autocast(view.rgb.device):
            batch = ViewBatch.of([view])
            out = self.refiner(batch, self.z, noise.to(view.rgb.device))
        return View(view.camera, out.rgb[0], out.depth(batch)[0], view.density, view.known)


def flight(
    rgb: Tensor, depth: Tensor, camera: Camera, move: Move, frames: int, *, refiner: Refiner | None, seed: int = 0
) -> Generator[Frame, None, None]:
    """Fly into an RGB-D image; wherever the move sees what its camera saw, as in frame 0, a frame is the image itself.

    Args:
        rgb: (3, H, W) in [0, 1]; depth: (H, W) in scene units, inf in the sky; camera: of that image.
        move: where to go, and through which lens.
        frames: how many frames to make.
        refiner: draws what is not known; None takes smooth guesses.
        seed: of what is drawn.

    Yields:
        frames, the memory growing only with what is new.
    """
    painter = Painter(refiner, rgb, depth, seed)
    memory = WorldMemory(rgb.device)
    memory.write(rgb, depth, camera)
    memory.witness(camera, depth)
    view = photo = memory.render(camera)
    shown = 0
    while shown < frames:
        # A move that looks ahead is shown the photo first.
        cameras = _ask(move, shown, min(KEYFRAME_EVERY, frames - shown) if shown else 1, view)
        if not same_view(cameras[-1], camera):
            _synthesise(memory, painter, cameras[-1])
        for asked in cameras:
            if same_view(asked, camera):
                view = photo  # whatever was drawn since
            else:
                view = memory.render(asked)
                if (~view.known).float().mean() > NEGLIGIBLE:
                    view = _synthesise(memory, painter, asked)
            yield Frame(view.rgb, view.depth, asked)
        shown += len(cameras)


def forgetful_flight(
    rgb: Tensor, depth: Tensor, camera: Camera, move: Move, frames: int, *, refiner: Refiner | None, seed: int = 0
) -> Generator[Frame, None, None]:
    """The loop of Infinite Nature: as `flight`, but all that is kept is the last frame."""
    painter = Painter(refiner, rgb, depth, seed)
    view = View(camera, rgb, depth, torch.ones_like(depth), torch.ones_like(depth, dtype=torch.bool))
    for shown in range(frames):
        (asked,) = _ask(move, shown, 1, view)
        if not same_view(asked, view.camera):
            memory = WorldMemory(rgb.device)
            memory.write(view.rgb, view.depth, view.camera)
            view = painter.complete(memory.render(asked))
        yield Frame(view.rgb, view.depth, view.camera)


def same_view(one: Camera, other: Camera) -> bool:
    """Whether two cameras of one size see the same, but for rounding."""
    lens = (one.K - other.K).abs().max() <= 1e-6 * max(one.height, one.width)
    return bool(lens and (one.cam_from_world - other.cam_from_world).abs().max() <= 1e-6)


def _ask(move: Move, start: int, count: int, view: View) -> list[Camera]:
    """The next cameras; moves think on the CPU, wherever the pictures are."""
    cameras = move.next_cameras(start, count, view.camera.to("cpu"), view.depth.cpu())
    return [camera.to(view.depth.device) for camera in cameras]


def _synthesise(memory: WorldMemory, painter: Painter, camera: Camera) -> View:
    """Draw a keyframe and write what is new into the memory; returns the complete frame."""
    # A network sees less at the border of its picture, and what it draws there is what the next keyframe
    # continues. So the picture is drawn with a margin, the outer half of which is thrown away.
    view = memory.render(camera.crop(-GUARD, -GUARD, camera.height + 2 * GUARD, camera.width + 2 * GUARD))
    coarse = view.known & (view.density < MAGNIFIED)
    hole = ~view.known
    if _without_border(hole | coarse, GUARD).float().mean() <= NEGLIGIBLE:
        return _cropped(view, camera)
    done = painter.complete(view)
    # What is invented may not hide what was shown: such pixels move back to the far side of their hole, and
    # if that does not help either they are shown but not remembered.
    hides = memory.occludes_seen(done.depth, view.camera, hole)
    depth = torch.where(hides, view.depth, done.depth)
    hides = memory.occludes_seen(depth, view.camera, hides)
    inner = torch.zeros_like(hole)
    _without_border(inner, GUARD // 2).fill_(True)
    memory.write(done.rgb, depth, view.camera, inner & ((hole & ~hides) | coarse))
    done = _cropped(View(view.camera, done.rgb, depth, view.density, view.known), camera)
    memory.witness(camera, done.depth)
    return done


def _without_border(image: Tensor, border: int) -> Tensor:
    return image[..., border:-border, border:-border]


def _cropped(view: View, camera: Camera) -> View:
    parts = (_without_border(image, GUARD) for image in (view.rgb, view.depth, view.density, view.known))
    return View(camera, *parts)
