"""``viewsynth views``: one photo to the views that a camera nearby would have had.

photo -> depth -> (synsin.model: lift once -> per camera: render -> refine) -> video
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated

import torch
import tyro
from torch import Tensor

from pipelines.camera_plans import claim_cameras
from pipelines.cli import parse
from pipelines.errors import InputError
from pipelines.media.camera_files import Track, write_cameras
from pipelines.media.depth_files import read_depth, resize_depth, same_aspect
from pipelines.media.depth_writers import check_depth_name, write_depth
from pipelines.media.framing import FIELD_OF_VIEW, crop_to_aspect, default_size, fit
from pipelines.media.images import read_image
from pipelines.media.point_files import write_points
from pipelines.media.video import claim, open_sink
from pipelines.models import load_views, usable_device
from pipelines.options import Count, Rate, Size
from pipelines.perception.depth import DepthEstimator
from pipelines.perception.depth_models import TransformersDepth
from pipelines.progress import progress
from pipelines.view_cameras import Wish, chosen_flight
from render_refine.camera import Camera
from render_refine.depth_maps import near_depth
from render_refine.precision import autocast
from synsin.model import ViewSynthesizer
from synsin.presets import PRESETS

PRESET_LINES = "\n".join(f"  {name:<11} {preset.summary}" for name, preset in PRESETS.items())
EXAMPLES = f"""Look at a photograph from nearby places: one photo in, a video out.

examples:
  viewsynth views coast.jpg -o coast.mp4 --camera orbit
  viewsynth views coast.jpg -o coast.mp4 --camera sway --loop --amount 1.5
  viewsynth views coast.jpg -o frames/%06d.png --camera dolly-in --easing smooth --frames 48
  viewsynth views coast.jpg -o aside.png --camera truck --amount -1
  viewsynth views coast.jpg -o coast.mp4 --camera path.json --cameras-out transforms.json
  viewsynth views coast.jpg -o coast.mp4 --camera cameras.txt --scale 0.1
  viewsynth views coast.jpg -o coast.mp4 --depth coast.npy --save-points coast.ply

cameras:
{PRESET_LINES}
  FILE        keyframes or waypoints (.json), or a track of cameras: RealEstate10K .txt, transforms.json,
              camera_path.json, plain .json, or a COLMAP text folder; its first camera takes the photo

One unit of length is the depth of the photo's nearest tenth. A still shows the end of a move, or a quarter of one
that comes round."""


@dataclass(frozen=True)
class ViewsOptions:
    photo: tyro.conf.Positional[Path]
    """JPEG, PNG, WebP, BMP or TIFF"""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("views.mp4")
    """.mp4, a pattern such as out/%06d.png, or a .png for a single view"""
    camera: str = "orbit"
    """a preset, a file of keyframes, or a camera file"""
    frames: Count | None = None
    """how many frames; left out: 96, as many as a camera file has or keyframes last, 1 for a .png"""
    fps: Rate | None = None
    """frames per second; left out: that of a camera file, else 24"""
    size: Size | None = None
    """of a frame; the photo is cropped to this aspect. Left out: the photo's aspect at about 256x448 pixels"""
    amount: float | None = None
    """how far a preset goes: 1 is its default, 2 twice as far, a negative amount the other way"""
    easing: str | None = None
    """of a preset: linear, smooth, in (starts gently) or out (stops gently); left out: linear"""
    loop: bool = False
    """for endless repetition: the last frame leads exactly into the first. A one-way move goes there and back"""
    scale: float | None = None
    """of a file: units (depths of the photo's nearest tenth) per unit of its positions; left out: 1 for keyframes,
    and for a camera file such that its path reaches 0.2 units from its first camera"""
    depth: Path | None = None
    """depth of the photo, instead of estimating it: .npy, .pfm, .exr (depth) or 16-bit .png (inverse depth)"""
    depth_model: str | None = None
    """a depth model of transformers instead, by its name on the hub or its folder"""
    save_depth: Path | None = None
    """write the depth used, at the frames' size: .npy, .pfm, .exr or 16-bit .png (inverse depth)"""
    save_points: Path | None = None
    """write the photo as coloured points in space, without the sky: .ply"""
    cameras_out: Path | None = None
    """write the cameras flown: .txt (RealEstate10K), transforms.json, camera_path.json, other .json, or a folder
    (COLMAP)"""
    weights: Path | None = None
    """folder of a model of your own (config.json, model.safetensors)"""
    device: str = "cpu"
    """cpu, cuda or cuda:N"""
    overwrite: bool = False
    """replace existing outputs"""


def main(argv: Sequence[str]) -> None:
    """Parse the options, find the cameras, show the photo to them, write the video."""
    options = parse(ViewsOptions, argv, prog="viewsynth views", description=EXAMPLES)
    began = time.monotonic()
    device = usable_device(options.device)
    check_besides(options)
    photo = read_image(options.photo)
    height, width = options.size or default_size(photo)
    still = options.output.suffix.lower() == ".png" and "%" not in options.output.name
    wish = Wish(options.camera, options.frames, options.amount, options.easing, options.loop, options.scale, still)
    flight = chosen_flight(wish, options.fps, height, width)
    depth = None if options.depth is None else own_depth(options.depth, photo, height, width)
    with open_sink(options.output, flight.fps, height, width, options.overwrite) as sink:
        pipeline = ViewsPipeline.from_pretrained(options.weights, device=device, depth_model=options.depth_model)
        taken = pipeline.take(photo, size=(height, width), lens=flight.lens, depth=depth)
        cameras = flight.cameras(taken.depth)
        write_besides(options, taken, cameras, flight.fps)
        with closing(pipeline.stream(taken, cameras)) as stream:
            for frame in progress(stream, len(cameras), "views"):
                sink.write(frame)
    seconds = time.monotonic() - began
    print(f"{options.output}: {len(cameras)} frames of {height}x{width} in {seconds:.0f} s")


@dataclass(frozen=True, eq=False)
class Taken:
    """A photo as its camera took it.

    Attributes:
        rgb: (3, H, W) in [0, 1]; depth: (H, W) z with the nearest tenth at 1, inf in the sky; both on the device.
        camera: of size H x W, at the origin.
    """

    rgb: Tensor
    depth: Tensor
    camera: Camera


class ViewsPipeline:
    """The models of new views, ready to be shown photos.

    pipeline = ViewsPipeline.from_pretrained()
    photo = pipeline.take(read_image("coast.jpg"))
    for frame in pipeline.stream(photo, preset_cameras("orbit", photo.depth, 96)):
        show(frame)
    """

    def __init__(
        self, model: ViewSynthesizer, device: torch.device, estimate_depth: Callable[[Tensor], Tensor] | None = None
    ) -> None:
        self.model = model
        self.device = device
        self.estimate_depth = estimate_depth or DepthEstimator(model.regressor)

    @staticmethod
    def from_pretrained(
        weights: Path | None = None, *, device: torch.device | str = "cpu", depth_model: str | None = None
    ) -> ViewsPipeline:
        """The bundled model, or one of your own.

        Args:
            weights: folder of a model; the bundled one when left out.
            device: where to compute.
            depth_model: a depth model of transformers, by name or folder, instead of the model's own depth.

        Raises:
            InputError: the folder is not a model of views, or there is no such depth model.
        """
        model = load_views(weights, device)
        other = None if depth_model is None else TransformersDepth.from_pretrained(depth_model, device)
        return ViewsPipeline(model, torch.device(device), other)

    def take(
        self,
        photo: Tensor,
        *,
        size: tuple[int, int] | None = None,
        lens: Camera | None = None,
        depth: Tensor | None = None,
    ) -> Taken:
        """A photo and its depth, at the size of the frames.

        Args:
            photo: (3, H, W) sRGB in [0, 1].
            size: (height, width) of the frames; the photo is cropped to that aspect.
            lens: the camera that took it, of that size; one with a usual field of view when left out.
            depth: (H, W) z of the photo in any unit, inf in the sky; estimated when left out.

        Raises:
            InputError: a photo that is too small or too narrow.
        """
        height, width = size or default_size(photo)
        rgb = fit(photo, height, width).to(self.device)
        if depth is None:
            z = self.estimate_depth(rgb)
        else:
            z = resize_depth(crop_to_aspect(depth, height, width), height, width).to(self.device)
            z = z / near_depth(z)
        camera = lens or Camera.from_fov(height, width, FIELD_OF_VIEW)
        return Taken(rgb, z, camera.at(torch.eye(4)).to(self.device))

    @torch.inference_mode()
    def stream(self, photo: Taken, cameras: Sequence[Camera]) -> Generator[Tensor, None, None]:
        """The views of cameras, one by one.

        Args:
            photo: what `take` gives.
            cameras: of the photo's size; poses relative to its camera, in units of its depth.

        Yields:
            (3, H, W) sRGB in [0, 1].
        """
        with autocast(self.device):
            cloud = self.model.lift(photo.rgb[None], photo.depth[None], photo.camera)
        last, frame = None, photo.rgb
        for camera in cameras:
            # A camera that rests sees the same.
            if last is None or not same_camera(camera, last):
                with autocast(self.device):
                    view = self.model.synthesize(cloud, camera.to(self.device))
                last, frame = camera, view.rgb[0].float().clamp(0, 1)
            yield frame


def same_camera(one: Camera, other: Camera) -> bool:
    """Whether two cameras see exactly the same."""
    return torch.equal(one.K, other.K) and torch.equal(one.cam_from_world, other.cam_from_world)


def own_depth(path: Path, photo: Tensor, height: int, width: int) -> Tensor:
    """The depth in a file, of the whole photo or, as ``--save-depth`` writes it, of the part that the frames show."""
    try:
        return read_depth(path, *photo.shape[-2:])
    except InputError:
        if same_aspect((photo.shape[-2], photo.shape[-1]), (height, width)):
            raise
        return read_depth(path, height, width)


def check_besides(options: ViewsOptions) -> None:
    """Refuse two depths, and outputs besides the video that cannot be written, before any work is done."""
    if options.depth is not None and options.depth_model is not None:
        raise InputError("--depth and --depth-model both name a depth; give one of them")
    named = [path for path in (options.output, options.save_depth, options.save_points, options.cameras_out) if path]
    if len({path.resolve() for path in named}) < len(named):
        raise InputError("two outputs have one name; give each its own")
    if options.save_depth is not None:
        check_depth_name(options.save_depth)
        claim(options.save_depth, options.overwrite)
    if options.save_points is not None:
        if options.save_points.suffix.lower() != ".ply":
            raise InputError(f"cannot write {options.save_points}: expected a name ending in .ply")
        claim(options.save_points, options.overwrite)
    if options.cameras_out is not None:
        claim_cameras(options.cameras_out, options.overwrite)


def write_besides(options: ViewsOptions, photo: Taken, cameras: list[Camera], fps: Fraction) -> None:
    """Write the depth, the points and the cameras, where asked for."""
    if options.save_depth is not None:
        write_depth(options.save_depth, photo.depth)
    if options.save_points is not None:
        solid = torch.isfinite(photo.depth)
        points = photo.camera.unproject(photo.depth)[solid]
        write_points(options.save_points, points, photo.rgb.permute(1, 2, 0)[solid])
    if options.cameras_out is not None:
        write_cameras(options.cameras_out, Track(cameras, fps=fps))
