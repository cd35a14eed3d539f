"""``viewsynth flyover``: one photo to a flight into it.

photo -> depth -> (infinite_view.flight: memory -> camera -> render -> refine -> write back -> repeat) -> video
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import torch
import tyro
from torch import Tensor

from infinite_view.flight import Frame, flight, forgetful_flight
from infinite_view.moves import PRESETS, STEERED, Move, Planned, make_move
from infinite_view.refiner import Refiner
from infinite_view.scene import Scene
from pipelines.camera_plans import DEFAULT_FPS, Habits, Plan, Wish, claim_cameras, is_preset, plan_from_file
from pipelines.cli import parse
from pipelines.errors import InputError
from pipelines.media.camera_files import Track, write_cameras
from pipelines.media.depth_files import read_depth, resize_depth
from pipelines.media.framing import DEFAULT_AREA, FIELD_OF_VIEW, SMALLEST_SIDE, crop_to_aspect, default_size, fit
from pipelines.media.images import read_image
from pipelines.media.video import open_sink
from pipelines.models import load_depth, load_refiner, usable_device
from pipelines.options import Count, Rate, Size
from pipelines.perception.depth import DepthEstimator
from pipelines.progress import progress
from render_refine.camera import Camera
from render_refine.depth_maps import near_depth

DEMO = Path(__file__).parent / "demo" / "demo.png"

DEFAULT_FRAMES = 240
PREVIEW_AREA = 96 * 168  # pixels of a frame of a preview
FILE_STEP = 0.01  # units that a camera file's path goes on from frame to frame, when its scale is not known
LARGEST_MEANDER = 5.0
CAMERAS = {**STEERED, **{name: preset.summary for name, preset in PRESETS.items()}}

CAMERA_LINES = "\n".join(f"  {name:<13} {summary}" for name, summary in CAMERAS.items())
EXAMPLES = f"""Fly into a photograph: one photo in, a video out. Without a photo: a demo view.

examples:
  viewsynth flyover
  viewsynth flyover coast.jpg -o coast.mp4
  viewsynth flyover coast.jpg -o frames/%06d.png --camera out-and-back --frames 101
  viewsynth flyover coast.jpg --size 384x640 --frames 600 --fps 30 --meander 0.5
  viewsynth flyover coast.jpg -o loop.mp4 --loop --frames 480
  viewsynth flyover coast.jpg --camera path.json --preview
  viewsynth flyover coast.jpg --adapt 120
  viewsynth flyover coast.jpg --depth coast_depth.npy --camera orbit

cameras:
{CAMERA_LINES}
  FILE          keyframes {{"keyframes": [{{"time": 0}}, {{"time": 5, "position": [0, 0, 1], "yaw_deg": 20}}]}},
                waypoints {{"waypoints": [[0.2, 0, 1], [0, -0.2, 3]]}}, passed at constant speed, looking ahead,
                or a track of cameras: RealEstate10K .txt, transforms.json, camera_path.json, plain .json, or a
                COLMAP text folder; its first camera takes the photo

One unit of length is the depth of the photo's nearest tenth; x points right, y down, z forward.

loops: with --loop, the frame after the last is the first. out-and-back, orbit and static come round by themselves,
and so do keyframes and waypoints that end where they began; all others fly out and come back the same way. A camera
file is flown as it is, and cannot loop.

previews: --preview makes small frames of the same flight. Every path but those of autopilot and forward is known
beforehand, and is the same at any size. Those two steer by what has been drawn, which differs with the size. To fly
at full size the path that a preview has shown:
  viewsynth flyover coast.jpg -o small.mp4 --preview --cameras-out path.json
  viewsynth flyover coast.jpg -o coast.mp4 --camera path.json --scale 1"""


@dataclass(frozen=True)
class FlyoverOptions:
    photo: tyro.conf.Positional[Path | None] = None
    """JPEG, PNG, WebP, BMP or TIFF; the demo view when left out"""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("flyover.mp4")
    """.mp4, or a pattern such as out/%06d.png"""
    frames: Count | None = None
    """how many frames; left out: 240, or as many as a camera file has or keyframes last"""
    fps: Rate | None = None
    """frames per second; left out: that of a camera file, else 24"""
    size: Size | None = None
    """of a frame; the photo is cropped to this aspect. Left out: the photo's aspect at about 256x448 pixels"""
    camera: str = "autopilot"
    """where the camera goes: one of the above, a file of keyframes or waypoints, or a camera file"""
    meander: float | None = None
    """size of the autopilot's S-curves: 0 is straight on, 1 gentle; left out: 0"""
    loop: bool = False
    """for endless repetition: the frame after the last is the first"""
    scale: float | None = None
    """of a file: units per unit of its positions; left out: 1 for keyframes and waypoints, and for a camera file such
    that it goes on by 0.01 units a frame"""
    cameras_out: Path | None = None
    """write the cameras flown: .txt (RealEstate10K), transforms.json, camera_path.json, other .json, or a folder
    (COLMAP)"""
    preview: bool = False
    """small frames of the same flight, quickly"""
    seed: int = 0
    """of what is drawn where the photo does not say: same seed, same video"""
    weights: Path | None = None
    """folder of a refiner of your own (config.json, model.safetensors)"""
    adapt: float = 0.0
    """seconds in which a copy of the refiner learns the photo before the flight, on ways out of it and back; how much
    it learns depends on the machine, so that not even the same seed gives the same video"""
    depth: Path | None = None
    """depth of the photo, instead of estimating it: .npy, .pfm, .exr (depth) or 16-bit .png (inverse depth)"""
    device: str = "cpu"
    """cpu, cuda or cuda:N"""
    memory: bool = True
    """--no-memory keeps only the last frame, as Infinite Nature does (for comparison)"""
    refine: bool = True
    """--no-refine fills holes smoothly, without the network (for comparison)"""
    overwrite: bool = False
    """replace existing outputs"""


def main(argv: Sequence[str]) -> None:
    """Parse the options, fly, write the video."""
    options = parse(FlyoverOptions, argv, prog="viewsynth flyover", description=EXAMPLES)
    began = time.monotonic()
    device = usable_device(options.device)
    check(options)
    photo = read_image(options.photo or DEMO)
    depth = None if options.depth is None else read_depth(options.depth, *photo.shape[-2:])
    full = options.size or default_size(photo)
    camera = chosen_camera(options, *full)
    frames = camera.frames if isinstance(camera, Plan) else options.frames or DEFAULT_FRAMES
    fps = camera.fps if isinstance(camera, Plan) else options.fps or DEFAULT_FPS
    height, width = preview_size(*full) if options.preview else full
    flown = []
    with open_sink(options.output, fps, height, width, options.overwrite) as sink:
        pipeline = FlyoverPipeline.from_pretrained(options.weights, device=device, refine=options.refine)
        stream = pipeline.stream(
            photo,
            frames=frames,
            size=(height, width),
            camera=camera,
            meander=options.meander or 0.0,
            loop=options.loop,
            seed=options.seed,
            depth=depth,
            memory=options.memory,
            planned_for=full,
            adapt=options.adapt,
        )
        with closing(stream):
            for frame in progress(stream, frames, "flyover"):
                sink.write(frame.rgb)
                if options.cameras_out is not None:
                    flown.append(frame.camera.to("cpu").resize(*full))
    if options.cameras_out is not None:
        write_cameras(options.cameras_out, Track(flown, fps=fps))
    seconds = time.monotonic() - began
    print(f"{options.output}: {frames} frames of {height}x{width} in {seconds:.0f} s")


def check(options: FlyoverOptions) -> None:
    """Refuse options that contradict each other, and outputs that cannot be written, before any work is done."""
    if options.meander is not None:
        if options.camera != "autopilot":
            raise InputError(f"--meander is for the autopilot, not for --camera {options.camera}")
        if not 0 <= options.meander <= LARGEST_MEANDER:
            raise InputError(f"--meander {options.meander:g}: expected 0 to {LARGEST_MEANDER:g}")
    if options.scale is not None and options.camera in CAMERAS:
        raise InputError(f"--scale is for files, not for --camera {options.camera}")
    if options.adapt < 0:
        raise InputError(f"--adapt {options.adapt:g}: expected seconds, 0 or more")
    if options.adapt and not options.refine:
        raise InputError("--adapt teaches the network that --no-refine leaves out; give one of the two")
    if options.loop and not options.memory:
        raise InputError("--loop needs the memory: without it the way back looks different")
    if options.cameras_out is not None:
        if options.cameras_out.resolve() == options.output.resolve():
            raise InputError("two outputs have one name; give each its own")
        claim_cameras(options.cameras_out, options.overwrite)


def chosen_camera(options: FlyoverOptions, height: int, width: int) -> str | Plan:
    """The name of a move, or the plan in a file for frames of ``height`` x ``width``."""
    if is_preset(options.camera, list(CAMERAS)):
        return options.camera
    wish = Wish(options.camera, options.frames, loop=options.loop, scale=options.scale)
    return plan_from_file(wish, HABITS, options.fps, height, width)


def scale_to_step(cameras: Sequence[Camera]) -> float:
    """The scale at which cameras go on by `FILE_STEP` a frame, in the mean."""
    length = sum(float((b.centre - a.centre).norm()) for a, b in pairwise(cameras))
    return FILE_STEP * (len(cameras) - 1) / length if length > 0 else 1.0


HABITS = Habits(DEFAULT_FRAMES, scale_to_step, f"go on by {FILE_STEP:g} units a frame")


def preview_size(height: int, width: int) -> tuple[int, int]:
    """The size of a preview of frames of a size: about `PREVIEW_AREA` pixels, never enlarged."""
    return of_area(height, width, min(PREVIEW_AREA, height * width))


def of_area(height: int, width: int, area: int) -> tuple[int, int]:
    """A size of that aspect and about that many pixels, with even sides."""
    scale = math.sqrt(area / (height * width))
    return even(height * scale), even(width * scale)


def even(side: float) -> int:
    """The nearest even number of pixels that is not too small for a picture."""
    return max(SMALLEST_SIDE, 2 * round(side / 2))


class FlyoverPipeline:
    """The models of a flight, ready to be shown photos.

    for frame in FlyoverPipeline.from_pretrained().stream(read_image("coast.jpg"), frames=240):
        show(frame.rgb)
    """

    def __init__(self, estimate_depth: DepthEstimator, refiner: Refiner | None, device: torch.device) -> None:
        self.estimate_depth = estimate_depth
        self.refiner = refiner
        self.device = device

    @staticmethod
    def from_pretrained(
        weights: Path | None = None, *, device: torch.device | str = "cpu", refine: bool = True
    ) -> FlyoverPipeline:
        """The bundled models, or a refiner of your own.

        Args:
            weights: folder of a refiner; the bundled one when left out.
            device: where to compute.
            refine: False for smooth guesses instead of the network.

        Raises:
            InputError: the folder is not a refiner.
        """
        refiner = load_refiner(weights, device) if refine else None
        return FlyoverPipeline(load_depth(device), refiner, torch.device(device))

    def stream(
        self,
        photo: Tensor,
        *,
        frames: int = DEFAULT_FRAMES,
        size: tuple[int, int] | None = None,
        camera: str | Plan = "autopilot",
        meander: float = 0.0,
        loop: bool = False,
        seed: int = 0,
        depth: Tensor | None = None,
        memory: bool = True,
        planned_for: tuple[int, int] | None = None,
        adapt: float = 0.0,
    ) -> Generator[Frame, None, None]:
        """Fly into a photo; frame 0 of every move by name is the photo itself.

        Args:
            photo: (3, H, W) sRGB in [0, 1].
            frames: how many.
            size: (height, width) of the frames; the photo is cropped to that aspect.
            camera: a name of `CAMERAS`, or what a file says, which knows about loops by itself.
            meander: size of the autopilot's S-curves.
            loop: frame ``frames`` would equal frame 0.
            seed: of what is drawn.
            depth: (H, W) z of the photo in any unit, inf in the sky; estimated when left out.
            memory: False keeps only the last frame.
            planned_for: size of the frames that these are a preview of.
            adapt: seconds in which a copy of the refiner learns the photo, before this returns.

        Yields:
            frames with rgb (3, height, width) in [0, 1], depth in units of the photo's nearest tenth, and camera.

        Raises:
            InputError: a photo that cannot be flown into at this size.
        """
        height, width = size or default_size(photo)
        full = planned_for or (height, width)
        rgb, z = self.take(photo, depth, height, width)
        lens = Camera.from_fov(height, width, FIELD_OF_VIEW)
        move: Move
        if isinstance(camera, Plan):
            move = Planned(camera.camera_at)
            lens = lens if camera.lens is None else camera.lens.resize(height, width).at(lens.cam_from_world)
        else:
            # Measured at one size, so that the path does not depend on that of the frames.
            measured = of_area(*full, DEFAULT_AREA)
            seen = z if measured == (height, width) else self.take(photo, depth, *measured)[1]
            move = make_move(camera, Scene.of(seen.cpu(), FIELD_OF_VIEW), frames, loop=loop, meander=meander)
        start = lens.at(move.photo_pose).to(self.device)
        fly = flight if memory else forgetful_flight
        refiner = self.refiner
        if refiner is not None and adapt > 0:
            from pipelines.flyover_adaptation import adapted  # training is not loaded for flights without

            refiner = adapted(refiner, rgb, z, lens, adapt, self.device, seed)
        return fly(rgb, z, start, move, frames, refiner=refiner, seed=seed)

    def take(self, photo: Tensor, depth: Tensor | None, height: int, width: int) -> tuple[Tensor, Tensor]:
        """The photo (3, height, width) and its depth (height, width), whose nearest tenth is at 1."""
        rgb = fit(photo, height, width).to(self.device)
        if depth is None:
            return rgb, self.estimate_depth(rgb)
        z = resize_depth(crop_to_aspect(depth, height, width), height, width).to(self.device)
        return rgb, z / near_depth(z)
