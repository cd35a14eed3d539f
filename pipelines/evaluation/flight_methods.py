"""One photo flown along known cameras by the loop and by what it must be better than, and how they are judged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import cv2
import torch
from torch import Tensor, nn

from infinite_view.flight import KEYFRAME_EVERY, Frame, flight, forgetful_flight
from infinite_view.moves import Move, Planned
from infinite_view.refiner import Refined, Refiner, RefinerConfig, ViewBatch
from pipelines.evaluation.flight_worlds import STEPS, TrueFlight
from pipelines.evaluation.takes import levels
from pipelines.evaluation.view_methods import INPAINTERS, Pair, inpainted, seen_from
from pipelines.evaluation.view_scores import Judged, judge
from pipelines.flyover import FlyoverPipeline
from render_refine.camera import Camera
from render_refine.depth_maps import near_depth
from render_refine.memory import WorldMemory
from render_refine.metrics import psnr
from render_refine.warp import visible_motion

METHODS = ("warp", "warp + inpaint", "loop + inpaint", "no memory", "flyover")
WARP, INPAINT, LOOP, FORGETFUL, FLYOVER = METHODS
BASELINES = (WARP, INPAINT, LOOP)  # without a network


class Inpainter(Refiner):
    """OpenCV (Telea 2004) in the refiner's place: colours in holes; their depth is the first guess."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.config = RefinerConfig()

    def style(self, rgb: Tensor, depth: Tensor) -> tuple[Tensor, Tensor]:
        return torch.zeros(len(rgb), 1), torch.zeros(len(rgb), 1)

    def forward(self, view: ViewBatch, z: Tensor, noise: Tensor) -> Refined:
        filled = [
            inpainted(rgb, known[None], cv2.INPAINT_TELEA) for rgb, known in zip(view.rgb, view.known, strict=True)
        ]
        sky = torch.where(torch.isinf(view.depth), 1.0, -1.0)
        finite = torch.where(torch.isinf(view.depth), 1.0, view.depth)
        return Refined(torch.where(view.known[:, None], view.rgb, torch.stack(filled)), finite.log(), sky)


@dataclass(frozen=True, eq=False)
class Sight(Pair):
    """A pair of which both true depths are known, so that what the photo shows of the target is exact.

    Attributes:
        seen: (1, H, W) bool, the pixels of the target that the photo shows.
    """

    seen: Tensor = field(kw_only=True)

    def visible(self) -> Tensor:
        return self.seen


def judged_steps(pipeline: FlyoverPipeline, item: TrueFlight) -> list[Judged]:
    """Fly a true flight's cameras by all methods and compare after each of `STEPS`.

    All are given the photo's true depth: an estimated one misplaces the picture of all methods alike, and then the
    softest is the best. The unit of length is the photo's nearest tenth.
    """
    photo, unit = item.rgb[0], float(near_depth(item.depth[0]))
    depth, camera = item.depth[0] / unit, item.cameras[0].at(torch.eye(4))
    cameras = [camera, *(seen_from(item.cameras[0], other, unit)[1] for other in item.cameras[1:])]
    rounds = cameras[::KEYFRAME_EVERY]
    memory = WorldMemory()
    memory.write(photo, depth, camera)
    flown = {
        LOOP: at_steps(flight(photo, depth, camera, along(cameras), len(cameras), refiner=Inpainter()), KEYFRAME_EVERY),
        FORGETFUL: at_steps(
            forgetful_flight(photo, depth, camera, along(rounds), len(rounds), refiner=pipeline.refiner), 1
        ),
        FLYOVER: at_steps(
            flight(photo, depth, camera, along(cameras), len(cameras), refiner=pipeline.refiner), KEYFRAME_EVERY
        ),
    }
    found = []
    for k, (step, target, there) in enumerate(zip(STEPS, item.rgb[1:], item.depth[1:], strict=True)):
        view = memory.look(rounds[step])
        warp = torch.where(view.known, view.rgb, 0.0)
        filled = [inpainted(warp, view.known[None], way) for way in INPAINTERS.values()]
        shown = {
            WARP: warp,
            INPAINT: max(filled, key=lambda rgb: float(psnr(rgb, target))),
            **{method: frames[k] for method, frames in flown.items()},
        }
        _, seen = visible_motion(there / unit, rounds[step], depth, camera)
        pair = Sight(photo, target, camera, rounds[step], depth, seen=seen[None])
        found.append(judge(pair, {method: levels(rgb) for method, rgb in shown.items()}))
    return found


def along(cameras: Sequence[Camera]) -> Move:
    """The move through known cameras, the first of which took the photo and is at the origin."""
    return Planned(lambda frame, height, width: cameras[frame])


def at_steps(frames: Iterable[Frame], each: int) -> list[Tensor]:
    """The pictures (3, H, W) after `STEPS` rounds of so many frames."""
    wanted = {each * step for step in STEPS}
    return [frame.rgb for index, frame in enumerate(frames) if index in wanted]
