"""Render, refine, repeat: the loop that turns one RGB-D image into a flight of any length.

    move    -> where the camera is at the next keyframe, and on the way there
    render  -> the memory as that camera sees it, with holes and magnified surfaces
    refine  -> a complete frame within bounds, and detail like the photo's upon it
    write   -> what was not known goes into the memory; the rest stays as it was
    repeat  -> the frames up to the keyframe are views of the memory, and of the photo itself

The original (Liu et al. 2021) keeps only the last frame, so it forgets, and copies of copies blur. Here
the memory is written once and read for ever; what the photo shows is looked up in the photo, in every frame, and the
memory tells what was drawn upon it; and detail that was made up is a layer of its own, upon which nothing is built.
`forgetful_flight` is the original's loop, for comparison.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from infinite_view.moves import Move
from infinite_view.photo import Photo
from infinite_view.refiner import Refiner, ViewBatch, without_drift
from infinite_view.texture import PhotoTexture, blurred, strength
from infinite_view.watchdog import Bounds
from render_refine.camera import Camera
from render_refine.fill import weighted_mean
from render_refine.memory import View, WorldMemory
from render_refine.precision import autocast

KEYFRAME_EVERY = 8  # frames
MAGNIFIED = 0.45  # points per pixel below which a surface is drawn again, finer
ENOUGH = 0.02  # share of the picture that is so magnified, from which on it is drawn again
WORTH = 0.9  # points per pixel of what goes along then: what is drawn at once looks like one piece
BLOCKY = 0.15  # points per pixel below which a pixel is drawn again alone
PLACE = 3  # radius in pixels over which points are counted
GUARD = 16  # pixels around the picture that are drawn with it
NEGLIGIBLE = 0.003  # share of the picture; smaller holes between keyframes take the first guess
BLOCKS = 0.45  # pixels of blur that take away the blocks of magnified points
FADED = 1.0  # the same for detail that was made up
KEPT = 0.5  # of the detail that was made up for a surface, when it is drawn again
MADE_UP = 1.05  # of the detail that new ground lacks beside the photo, once nothing is left of that
LEFT = 0.3  # points per pixel that are left of the photo, from which downwards detail is made up
NONE_LEFT = 0.085  # and from which downwards all of it is
HELD = 1.35  # times the mean strength of detail of the keyframes that the photo filled
REMEMBERED = 50  # of these keyframes, the last
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
        self.photo = Photo(rgb, depth, camera)
        if refiner is not None:
            self.texture = PhotoTexture(rgb, depth, camera)
            self.strengths = [strength(rgb)]
            self.bounds = Bounds.of(rgb)
            # Sky is where the photo has it, and down to the horizon once the photo has any.
            sky = torch.isinf(depth)
            self.lowest_sky = _fall(camera)[sky].max().clamp_min(0) if sky.any() else -torch.inf
            with torch.no_grad(), autocast(rgb.device):
                self.z = refiner.style(rgb[None], depth[None])[0].float()

    @torch.no_grad()
    def complete(self, view: View, source: Photo | None = None) -> View:
        """The view without holes and with detail on magnified surfaces; ``known`` still says what was known.

        Args:
            source: what else than the photo surfaces are enlarged from.
        """
        if self.refiner is None:
            return view
        new = needed(view)
        # Detail that was made up stays, but fades, as finer detail comes; tints are found anew.
        again = (new & view.known)[None, None].to(view.rgb.dtype)
        detail = without_drift(blurred(view.rgb - view.plain, FADED)[None], again)
        detail = KEPT * (again * detail)[0]
        guess, enlarged = to_draw_upon(view, new, source or self.photo)
        # What is no more than a copy may not take a tint: that would add up.
        free = enlarged & (source is None)
        for _ in range(ATTEMPTS):
            # The noise depends on the seed and on how much was drawn before, never on global state.
            # (Only the low 32 bits of a seed count on the CPU.)
            generator = torch.Generator().manual_seed((self.seed * 1_000_003 + self.drawn) % 2**32)
            self.drawn += 1
            done = self._draw(self.refiner, guess, free, generator)
            if self.bounds.hold(guess, done, new, free):
                break
            self.refused += 1
        else:
            done = guess
        shown = replace(done, rgb=torch.where(new, (done.rgb + detail).clamp(0, 1), view.rgb))
        # What is made up is wrong, pixel by pixel; but once nothing is left of the photo it is all the detail there is.
        left = self.sharp(view)
        rgb = shown.rgb
        if left >= LEFT:
            self.strengths = [*self.strengths, strength(rgb)][-REMEMBERED:]
        else:
            level = HELD * torch.stack(self.strengths).mean(dim=0)
            made_up = MADE_UP * ((LEFT - left) / (LEFT - NONE_LEFT)).clamp_max(1)
            rgb = torch.lerp(rgb, self.texture.detailed(shown, new, level, generator), made_up)
        # Where the photo was drawn upon, the photo is the plain picture: `Photo.shown_in` puts it there again.
        return replace(done, rgb=rgb, plain=torch.where(enlarged, guess.rgb, done.rgb))

    def sharp(self, view: View) -> Tensor:
        """Points per pixel of ground that the photo has of a view, at most 1 in each: what is left of it."""
        _, _, seen, scale = self.photo.shared(view)
        points = torch.where(seen, scale.clamp_min(1) ** -2, 0.0)
        return points.sum() / torch.isfinite(view.depth).sum().clamp_min(1)

    def _draw(self, refiner: Refiner, view: View, from_photo: Tensor, generator: torch.Generator) -> View:
        noise = torch.randn(1, 1, view.camera.height, view.camera.width, generator=generator)
        with autocast(view.rgb.device):
            batch = ViewBatch.of([view], [from_photo])
            out = refiner(batch, self.z, noise.to(view.rgb.device))
        depth = out.depth(batch)[0]
        underground = torch.isinf(depth) & ~view.known & (_fall(view.camera) > self.lowest_sky)
        ground = torch.where(view.sky, batch.far(), view.depth)
        return replace(view, rgb=out.rgb[0], depth=torch.where(underground, ground, depth))


def needed(view: View) -> Tensor:
    """(H, W) bool: what of a view is to be drawn, holes and surfaces that are seen from nearer than they were made."""
    # Points lie unevenly, so they are counted over a neighbourhood.
    density = weighted_mean(view.density, view.known.to(view.density.dtype), PLACE)
    # Everything that is worth it is drawn at once: detail that was drawn bit by bit is noise. And no seam shows, since
    # what is hardly magnified hardly changes.
    due = (view.known & (density < MAGNIFIED)).float().mean() > ENOUGH
    return ~view.known | (due & (density < WORTH)) | (view.density < BLOCKY)


def to_draw_upon(view: View, new: Tensor, photo: Photo) -> tuple[View, Tensor]:
    """A view as the refiner is given it.

    What the photo shows is enlarged from the photo, with as many points per pixel as that has: a copy of copies would
    be softer, and out of place. What else is drawn again goes out from what was drawn, not from detail that was made up
    for it: errors do not add up. Points seen from too near show as blocks; drawn upon and stored, these would grow with
    every keyframe.

    Args:
        view: what is known.
        new: (H, W) bool, what is to be drawn, see ``needed``.
        photo: what the flight began with.

    Returns:
        the view, and (H, W) bool, what of it is enlarged from the photo.
    """
    view, places, seen, scale = photo.shared(view)
    rgb = photo.at(places, seen)
    seen = seen & new
    drawn = torch.where(new & view.known, blurred(view.plain, BLOCKS), view.plain)
    density = torch.where(seen, scale.clamp_min(1) ** -3, view.density)
    return replace(view, rgb=torch.where(seen, rgb, drawn), density=torch.minimum(density, view.density)), seen


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
                view = painter.photo.shown_in(view)
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
            view = painter.complete(memory.render(asked), Photo(view.rgb, view.depth, view.camera))
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


def _fall(camera: Camera) -> Tensor:
    """(H, W) sine of the angle by which each pixel's ray goes downwards."""
    rays = camera.rays()
    return rays[..., 1] / rays.norm(dim=-1)


def _without_border(image: Tensor, border: int) -> Tensor:
    return image[..., border:-border, border:-border]


def _cropped(view: View, camera: Camera) -> View:
    parts = (_without_border(image, GUARD) for image in (view.rgb, view.depth, view.density, view.known, view.plain))
    return View(camera, *parts)
