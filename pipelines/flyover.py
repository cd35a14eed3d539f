"""``viewsynth flyover``: one photo to a flight into it.

photo -> depth -> (infinite_view.flight: memory -> camera -> render -> refine -> write back -> repeat) -> video
"""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal

import torch
import tyro
from torch import Tensor

from infinite_view.flight import Frame, flight, forgetful_flight
from infinite_view.moves import MOVES, Scene
from infinite_view.refiner import Refiner
from pipelines.cli import parse
from pipelines.media.depth_files import read_depth, resize_depth
from pipelines.media.framing import FIELD_OF_VIEW, crop_to_aspect, default_size, fit
from pipelines.media.images import read_image
from pipelines.media.video import open_sink
from pipelines.models import load_depth, load_refiner, usable_device
from pipelines.options import Count, Rate, Size
from pipelines.perception.depth import DepthEstimator
from pipelines.progress import progress
from render_refine.camera import Camera

DEMO = Path(__file__).parent / "demo" / "demo.png"

EXAMPLES = """Fly into a photograph: one photo in, a video out. Without a photo: a demo view.

examples:
  viewsynth flyover
  viewsynth flyover coast.jpg -o coast.mp4
  viewsynth flyover coast.jpg -o frames/%06d.png --camera out-and-back --frames 101
  viewsynth flyover coast.jpg --size 384x640 --frames 600 --fps 30 --camera forward
  viewsynth flyover coast.jpg --depth coast_depth.npy --camera orbit

cameras:
  autopilot     flies into the view, keeps clear of the ground, turns to where it is open
  forward       flies straight into the view, keeps clear of the ground
  out-and-back  goes a little way in and returns: frame k equals the k-th from the end
  orbit, rise   around the middle of the view; up, looking down
  static        does not move"""

CameraName = Literal["autopilot", "forward", "out-and-back", "orbit", "rise", "static"]


@dataclass(frozen=True)
class FlyoverOptions:
    photo: tyro.conf.Positional[Path | None] = None
    """JPEG, PNG, WebP, BMP or TIFF; the demo view when left out"""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("flyover.mp4")
    """.mp4, or a pattern such as out/%06d.png"""
    frames: Count = 240
    """how many frames"""
    fps: Rate = Fraction(24)
    """frames per second"""
    size: Size | None = None
    """of a frame; the photo is cropped to this aspect. Left out: the photo's aspect at about 256x448 pixels"""
    camera: CameraName = "autopilot"
    """where the camera goes"""
    seed: int = 0
    """of what is drawn where the photo does not say: same seed, same video"""
    weights: Path | None = None
    """folder of a refiner of your own (config.json, model.safetensors)"""
    depth: Path | None = None
    """depth of the photo, instead of estimating it: .npy, .pfm, .exr (depth) or 16-bit .png (inverse depth)"""
    device: str = "cpu"
    """cpu, cuda or cuda:N"""
    memory: bool = True
    """--no-memory keeps only the last frame, as Infinite Nature does (for comparison)"""
    refine: bool = True
    """--no-refine fills holes smoothly, without the network (for comparison)"""
    overwrite: bool = False
    """replace an existing output"""


def main(argv: Sequence[str]) -> None:
    """Parse the options, fly, write the video."""
    options = parse(FlyoverOptions, argv, prog="viewsynth flyover", description=EXAMPLES)
    began = time.monotonic()
    device = usable_device(options.device)
    photo = read_image(options.photo or DEMO)
    depth = None if options.depth is None else read_depth(options.depth, *photo.shape[-2:])
    height, width = options.size or default_size(photo)
    with open_sink(options.output, options.fps, height, width, options.overwrite) as sink:
        pipeline = FlyoverPipeline.from_pretrained(options.weights, device=device, refine=options.refine)
        stream = pipeline.stream(
            photo,
            frames=options.frames,
            size=(height, width),
            camera=options.camera,
            seed=options.seed,
            depth=depth,
            memory=options.memory,
        )
        with closing(stream):
            for frame in progress(stream, options.frames, "flyover"):
                sink.write(frame.rgb)
    seconds = time.monotonic() - began
    print(f"{options.output}: {options.frames} frames of {height}x{width} in {seconds:.0f} s")


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
        frames: int = 240,
        size: tuple[int, int] | None = None,
        camera: str = "autopilot",
        seed: int = 0,
        depth: Tensor | None = None,
        memory: bool = True,
    ) -> Generator[Frame, None, None]:
        """Fly into a photo; frame 0 is the photo itself.

        Args:
            photo: (3, H, W) sRGB in [0, 1].
            frames: how many.
            size: (height, width) of the frames; the photo is cropped to that aspect.
            camera: a name of `infinite_view.moves.MOVES`.
            seed: of what is drawn.
            depth: (H, W) z of the photo in any unit, inf in the sky; estimated when left out.
            memory: False keeps only the last frame.

        Yields:
            frames with rgb (3, height, width) in [0, 1], depth and camera.

        Raises:
            InputError: a photo that cannot be flown into at this size.
        """
        height, width = size or default_size(photo)
        rgb = fit(photo, height, width).to(self.device)
        if depth is None:
            z = self.estimate_depth(rgb)
        else:
            z = resize_depth(crop_to_aspect(depth, height, width), height, width).to(self.device)
        lens = Camera.from_fov(height, width, FIELD_OF_VIEW)
        move = MOVES[camera](Scene.of(z.cpu(), lens), frames)
        fly = flight if memory else forgetful_flight
        return fly(rgb, z, lens.to(self.device), move, frames, refiner=self.refiner, seed=seed)
