"""Whether a flight remembers: it comes back the same way, comes round in a loop, and comes to one place by two ways."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass

from torch import Tensor

from infinite_view.flight import Frame, flight
from infinite_view.moves import Move, Planned, make_move
from infinite_view.scene import Scene
from pipelines.evaluation.takes import levels, mean
from pipelines.flyover import FlyoverPipeline
from pipelines.media.framing import FIELD_OF_VIEW, default_size
from render_refine.camera import Camera
from render_refine.keyframes import View
from render_refine.metrics import loop_closure, psnr

OUT_AND_BACK = 101  # frames
LOOP = 96  # frames of a loop
AGAIN = 8  # frames of its second round
LEG, SHARED = 41, 8  # frames of each of two ways to a place, and of these in common at the end
MEMORY, NO_MEMORY, NO_REFINEMENT = "memory", "no memory", "no refinement"
LOOP_GAP, TWO_WAYS = "loop, gap in levels", "two ways, PSNR"


def returns(refined: FlyoverPipeline, smooth: FlyoverPipeline, photo: Tensor) -> dict[str, float]:
    """All figures of a photo (3, H, W), in flights as they would be shown (8 bits).

    Args:
        smooth: the same without a refiner.
    """
    row: dict[str, float] = {}
    for name, pipeline, memory in ((MEMORY, refined, True), (NO_MEMORY, refined, False), (NO_REFINEMENT, smooth, True)):
        stream = pipeline.stream(photo, frames=OUT_AND_BACK, camera="out-and-back", memory=memory)
        found = loop_closure([eight_bits(frame) for frame in stream])
        row |= {f"PSNR, {name}": found["psnr"], f"SSIM, {name}": found["ssim"]}
    start = Start.of(refined, photo)
    return row | looped(refined, start) | two_ways(refined, start)


def looped(pipeline: FlyoverPipeline, start: Start) -> dict[str, float]:
    """The autopilot's loop, flown on into its second round: the largest difference, in levels of 255, between the
    frame after the last and the first, and the PSNR of those after it against the first round's.
    """
    move = make_move("autopilot", start.scene, LOOP, loop=True, meander=0.0)
    frames = [eight_bits(frame) for frame in start.fly(pipeline, move, LOOP + 1 + AGAIN)]
    first, second = frames[: AGAIN + 1], frames[LOOP:]
    return {
        LOOP_GAP: 255 * float((first[0] - second[0]).abs().max()),
        "loop, PSNR of round two": mean([float(psnr(a, b)) for a, b in zip(first[1:], second[1:], strict=True)]),
    }


def two_ways(pipeline: FlyoverPipeline, start: Start) -> dict[str, float]:
    """PSNR of the `SHARED` last frames of two ways in one memory; their cameras are the same, so both see the same."""
    move = Planned(lambda frame, *size: on_the_way(start.scene, *divmod(frame, LEG)).camera(*size))
    frames = [eight_bits(frame) for frame in start.fly(pipeline, move, 2 * LEG)]
    pairs = zip(frames[LEG - SHARED : LEG], frames[-SHARED:], strict=True)
    return {TWO_WAYS: mean([float(psnr(a, b)) for a, b in pairs])}


def on_the_way(scene: Scene, way: int, frame: int) -> View:
    """Where the camera is on way 0 (by the left) or 1 (by the right): aside, turned inwards, and back in the middle."""
    reach = 0.2 * scene.travel * frame / (LEG - 1)
    aside = (-1) ** (way + 1) * math.sin(math.pi * min(frame / (LEG - SHARED), 1.0))
    place = (0.06 * scene.travel * aside, -math.sin(scene.heading_pitch) * reach, reach)
    return View.at(place, scene.fov, yaw=-0.12 * aside)


@dataclass(frozen=True, eq=False)
class Start:
    """A photo (3, H, W) with its depth (H, W), the camera that took it, and what moves need to know of it."""

    rgb: Tensor
    depth: Tensor
    camera: Camera
    scene: Scene

    @staticmethod
    def of(pipeline: FlyoverPipeline, photo: Tensor) -> Start:
        """At the photo's own aspect, as the pipeline would start."""
        height, width = default_size(photo)
        rgb, depth = pipeline.take(photo, None, height, width)
        lens = Camera.from_fov(height, width, FIELD_OF_VIEW)
        return Start(rgb, depth, lens, Scene.of(depth, FIELD_OF_VIEW))

    def fly(self, pipeline: FlyoverPipeline, move: Move, frames: int) -> Generator[Frame, None, None]:
        """A flight by a move that the pipeline has no name for."""
        camera = self.camera.at(move.photo_pose)
        return flight(self.rgb, self.depth, camera, move, frames, refiner=pipeline.refiner)


def eight_bits(frame: Frame) -> Tensor:
    """The picture (3, H, W) as it would be shown, in [0, 1]."""
    return levels(frame.rgb).cpu().float() / 255
