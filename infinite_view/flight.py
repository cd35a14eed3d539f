"""Render, refine, repeat: the loop that turns one RGB-D image into a flight of any length.

    move    -> where the camera is at the next keyframe, and on the way there
    render  -> the memory as that camera sees it, with holes and magnified surfaces
    refine  -> a complete frame within bounds, and detail like the photo's upon it
    write   -> what was not known goes into the memory; the rest stays as it was
    repeat  -> the frames up to the keyframe are views of the memory

The original (Liu et al. 2021) keeps only the last frame, so it forgets, and copies of copies blur. Here
the memory is written once and read for ever, and detail that was made up is a layer of its own, upon which nothing is
built; `forgetful_flight` is the original's loop, for comparison.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from infinite_view.moves import Move
from infinite_view.refiner import Refiner, ViewBatch
from infinite_view.texture import PhotoTexture, blurred
from infinite_view.watchdog import Bounds
from render_refine.camera import Camera
from render_refine.fill import box_mean
from render_refine.memory import View, WorldMemory
from render_refine.precision import autocast

KEYFRAME_EVERY = 8  # frames
MAGNIFIED = 0.65  # points per pixel below which a surface is drawn again, finer
GUARD = 16  # pixels around the picture that are drawn with it
NEGLIGIBLE = 0.003  # share of the picture; smaller holes between keyframes take the first guess
BLOCKY = 0.5  # the same for a pixel alone
PLACE = 3  # radius in pixels of what is drawn again at once
BLOCKS = 0.45  # pixels of blur that take away the blocks of magnified points
KEPT = 0.5  # of the detail that was made up for a surface, when it is drawn again
MADE_UP = 0.5  # of the detail that new ground lacks beside the photo: what is made up is wrong, pixel by pixel
ATTEMPTS = 3  # drawings of a keyframe before it takes the first guess


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame of a flight: rgb (3, H, W) in [0, 1], depth (H, W) with inf in the sky, its camera."""

    rgb: Tensor
    depth: Tensor
    camera: Camera


class Painter:
    """Completes views: the refiner with the start image's style and detail, or smooth guesses without a refiner.

    Attributes:
        drawn: how many drawings were made; refused: how many of these left their bounds.
    """

    def __init__(self, refiner: Refiner | None, rgb: Tensor, depth: Tensor, camera: Camera, seed: int) -> None:
        self.refiner = refiner
        self.seed = seed
        self.drawn = self.refused = 0
        if refiner is not None:
            self.texture = PhotoTexture(rgb, depth, camera)
            self.bounds = Bounds.of(rgb)
            with torch.no_grad(), autocast(rgb.device):
                self.z = refiner.style(rgb[None], depth[None])[0].float()

    @torch.no_grad()
    def complete(self, view: View) -> View:
        """The view without holes and with detail on magnified surfaces; ``known`` still says what was known."""
        if self.refiner is None:
            return view
        new = needed(view)
        # Detail that was made up stays, but fades, as finer detail comes.
        detail = KEPT * (new & view.known) * blurred(view.rgb - view.plain, BLOCKS)
        guess = to_draw_upon(view, new)
        for _ in range(ATTEMPTS):
            # The noise depends on the seed and on how much was drawn before, never on global state.
            # (Only the low 32 bits of a seed count on the CPU.)
            generator = torch.Generator().manual_seed((self.seed * 1_000_003 + self.drawn) % 2**32)
            self.drawn += 1
            done = self._draw(self.refiner, guess, generator)
            if self.bounds.hold(guess, done, new):
                break
            self.refused += 1
        else:
            done = guess
        shown = replace(done, rgb=torch.where(new, (done.rgb + detail).clamp(0, 1), view.rgb))
        rgb = torch.lerp(shown.rgb, self.texture.detailed(shown, new, generator), MADE_UP)
        return replace(done, rgb=rgb, plain=done.rgb)

    def _draw(self, refiner: Refiner, view: View, generator: torch.Generator) -> View:
        noise = torch.randn(1, 1, view.camera.height, view.camera.width, generator=generator)
        with autocast(view.rgb.device):
            batch = ViewBatch.of([view])
            out = refiner(batch, self.z, noise.to(view.rgb.device))
        return replace(view, rgb=out.rgb[0], depth=out.depth(batch)[0])


def needed(view: View) -> Tensor:
    """(H, W) bool: what of a view is to be drawn, holes and surfaces that are seen from nearer than they were made."""
    # Points lie unevenly, so they are counted over a neighbourhood: places are drawn, not pixels here and there.
    known = view.known[None, None].to(view.density.dtype)
    density = box_mean(known * view.density, PLACE) / box_mean(known, PLACE).clamp_min(1e-6)
    return ~view.known | (density[0, 0] < MAGNIFIED) | (view.density < BLOCKY)


def to_draw_upon(view: View, new: Tensor) -> View:
    """A view as the refiner is given it.

    What is drawn again goes out from what was drawn, not from detail that was made up for it: errors do not add up.
    Points seen from too near show as blocks; drawn upon and stored, these would grow with every keyframe.

    Args:
        view: what is known.
        new: (H, W) bool, what is to be drawn, see ``needed``.
    """
    return replace(view, rgb=torch.where(new & view.known, blurred(view.plain, BLOCKS), view.plain))


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
    painter = Painter(refiner, rgb, depth, camera, seed)
    memory = WorldMemory(rgb.device, layers=2)
    memory.write(rgb, depth, camera)
    memory.witness(camera, depth)
    view = photo = memory.render(camera)
    shown = 0
    while shown < frames:
        # A move that looks ahead is shown the photo first.
        cameras = _ask(move, shown, min(KEYFRAME_EVERY, frames - shown) if shown else 1, view)
        open_holes = 0.0
        if not same_view(cameras[-1], camera):
            _, open_holes = _synthesise(memory, painter, cameras[-1])
        for asked in cameras:
            if same_view(asked, camera):
                view = photo  # whatever was drawn since
            else:
                view = memory.render(asked)
                # Holes that stay open because nothing may stand there keep their first guess.
                if (~view.known).float().mean() > open_holes + NEGLIGIBLE:
                    view, open_holes = _synthesise(memory, painter, asked)
            yield Frame(view.rgb, view.depth, asked)
        shown += len(cameras)


def forgetful_flight(
    rgb: Tensor, depth: Tensor, camera: Camera, move: Move, frames: int, *, refiner: Refiner | None, seed: int = 0
) -> Generator[Frame, None, None]:
    """The loop of Infinite Nature: as `flight`, but all that is kept is the last frame."""
    painter = Painter(refiner, rgb, depth, camera, seed)
    view = View(camera, rgb, depth, torch.ones_like(depth), torch.ones_like(depth, dtype=torch.bool), rgb)
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


def _synthesise(memory: WorldMemory, painter: Painter, camera: Camera) -> tuple[View, float]:
    """Draw a keyframe and write what is new into the memory.

    Returns:
        the complete frame, and the share of it that could not be remembered.
    """
    # A network sees less at the border of its picture, and what it draws there is what the next keyframe
    # continues. So the picture is drawn with a margin, the outer half of which is thrown away.
    view = memory.render(camera.crop(-GUARD, -GUARD, camera.height + 2 * GUARD, camera.width + 2 * GUARD))
    new, hole = needed(view), ~view.known
    if _without_border(new, GUARD).float().mean() <= NEGLIGIBLE:
        return _cropped(view, camera), float(_without_border(hole, GUARD).float().mean())
    done = painter.complete(view)
    # What is invented may not hide what was shown: it moves back, and where that does not help it is shown but not
    # remembered.
    depth, hides = memory.behind_seen(done.depth, view.camera, hole)
    inner = torch.zeros_like(hole)
    _without_border(inner, GUARD // 2).fill_(True)
    memory.write(done.rgb, depth, view.camera, inner & new & ~hides, done.plain)
    done = _cropped(replace(done, depth=depth), camera)
    hides = _without_border(hides, GUARD)
    memory.witness(camera, torch.where(hides, 0.0, done.depth))
    return done, float(hides.float().mean())


def _without_border(image: Tensor, border: int) -> Tensor:
    return image[..., border:-border, border:-border]


def _cropped(view: View, camera: Camera) -> View:
    parts = (_without_border(image, GUARD) for image in (view.rgb, view.depth, view.density, view.known, view.plain))
    return View(camera, *parts)
