"""SynSin: a photo's features, lifted by its depth, seen from another camera, and made a picture again.

Wiles, Gkioxari, Szeliski, Johnson: "SynSin: End-to-end View Synthesis from a Single Image", CVPR 2020. As there,
features and depth come from networks, a differentiable renderer of soft discs draws the features at the new camera, a
refiner turns them into a picture, and all of it learns from pairs of views. What differs:

* The refiner is told the coverage, so that it need not guess what is a hole.
* Beside the features the photo's own colours are rendered, sharply (``soft_splat``). The refiner says at each pixel how
  far it trusts them, so that what the photo shows stays as sharp as it is; without motion the photo itself comes out.
* Any height and width; pixel centres at +0.5 throughout.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from render_refine.camera import Camera
from render_refine.depth_maps import near_depth, sharpen_edges
from render_refine.fill import box_mean, close_cracks, fill_far
from render_refine.precision import full_precision
from render_refine.pretrained import Pretrained
from render_refine.spade import SpadeConfig, SpadeGenerator
from render_refine.splat import alpha_splat, soft_splat
from render_refine.unet import ResBlock, UNet, UNetConfig

COLOUR_CHANNELS = 6  # first guess (rgb), hole, density, disparity
TRUST_BIAS = 2.0  # a network that has learnt nothing believes what it is shown
HOLE_BLUR = 6  # radius in pixels of the box that smooths what is drawn into holes
COVERED = 0.05  # points per pixel from which a pixel counts as covered
NEAR_WEIGHT = 0.05  # of the front in what fills holes: most of them lie beyond the photo's border, not behind things
FARTHEST = 1000.0  # depth of the sky: beyond it nothing has parallax


@dataclass(frozen=True)
class SynsinConfig:
    """Networks and renderer of a ``ViewSynthesizer``.

    Attributes:
        features: channels of the learned features.
        encoder: channels of the encoder's residual blocks, all at full resolution.
        regressor: depth; 2 output channels (log depth, sky).
        refiner: conditions (features and their coverage; ``COLOUR_CHANNELS``), 4 output channels (rgb, trust).
        radius, points_per_pixel: of the soft discs, in pixels; as in the paper.
    """

    features: int = 16
    encoder: tuple[int, ...] = (24, 24, 24)
    regressor: UNetConfig = field(default_factory=lambda: UNetConfig(3, 2))
    refiner: SpadeConfig = field(
        default_factory=lambda: SpadeConfig((16 + 1, COLOUR_CHANNELS), 4, (128, 96, 64, 48, 32), 32, upscale=2)
    )
    radius: float = 4.0
    points_per_pixel: int = 128

    def __post_init__(self) -> None:
        wanted = ((self.features + 1, COLOUR_CHANNELS), 4, 2)
        found = (tuple(self.refiner.condition_channels), self.refiner.out_channels, self.regressor.out_channels)
        if found != wanted:
            raise ValueError(f"conditions, outputs of the refiner and of the regressor: expected {wanted}, got {found}")


@dataclass(frozen=True, eq=False)
class FeatureCloud:
    """Photos lifted into the world, one point a pixel.

    Attributes:
        xyz: (B, N, 3); features: (B, N, C); rgb: (B, N, 3).
        centre: (B, 3) or (3,), where the photos were taken.
    """

    xyz: Tensor
    features: Tensor
    rgb: Tensor
    centre: Tensor


@dataclass(frozen=True, eq=False)
class Rendering:
    """A cloud seen by a camera.

    Attributes:
        features: (B, C, H, W), composited; coverage: (B, 1, H, W) their opacity.
        rgb: (B, 3, H, W) sharp colours, holes filled from their far side; depth: (B, H, W), inf in holes.
        density: (B, 1, H, W) points per pixel, at most 1; 0 in holes.
        parallax: (B, 1, 1, 1) or (1, 1, 1), pixels by which the camera's way moves what is nearest.
    """

    features: Tensor
    coverage: Tensor
    rgb: Tensor
    depth: Tensor
    density: Tensor
    parallax: Tensor

    @property
    def visible(self) -> Tensor:
        """(B, 1, H, W) bool: the photo shows what is here."""
        return torch.isfinite(self.depth)[:, None]


@dataclass(frozen=True, eq=False)
class Synthesis:
    """A new view.

    Attributes:
        rgb: (B, 3, H, W), about [0, 1]; drawn: the same without the photo's own colours.
        trust: (B, 1, H, W) share of the photo's own colours in ``rgb``, 0 in holes.
        rendering: what it was made from.
    """

    rgb: Tensor
    drawn: Tensor
    trust: Tensor
    rendering: Rendering


class Encoder(nn.Sequential):
    """A photo (B, 3, H, W), about [-1, 1], to features (B, C, H, W): residual blocks at full resolution."""

    def __init__(self, widths: tuple[int, ...], features: int) -> None:
        stem = nn.Conv2d(3, widths[0], 3, padding=1)
        blocks = (ResBlock(i, o, "group") for i, o in zip((widths[0], *widths[:-1]), widths, strict=True))
        super().__init__(stem, *blocks, nn.Conv2d(widths[-1], features, 1))


class ViewSynthesizer(Pretrained):
    """The model of the paper: ``synthesize(lift(photo, depth, camera), other_camera)``."""

    config_type = SynsinConfig

    def __init__(self, config: SynsinConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config.encoder, config.features)
        self.regressor = UNet(config.regressor)
        self.refiner = SpadeGenerator(config.refiner)

    def depth(self, rgb: Tensor) -> Tensor:
        """Depth (B, H, W) of photos (B, 3, H, W) in [0, 1]: nearest tenth at 1, sky at ``FARTHEST``."""
        return finite_depth(*self.regressor(rgb * 2 - 1).float().unbind(dim=1))

    def lift(self, rgb: Tensor, depth: Tensor, camera: Camera) -> FeatureCloud:
        """Photos as points in the world.

        Args:
            rgb: (B, 3, H, W) in [0, 1].
            depth: (B, H, W) z in scene units, the nearest parts about 1; beyond ``FARTHEST``, and inf, is sky.
            camera: of size H x W, one or B.
        """
        features = self.encoder(rgb * 2 - 1).float()
        with full_precision(rgb.device):
            points = camera.unproject(depth.clamp_max(FARTHEST))
        features, colours = (image.flatten(2).transpose(1, 2) for image in (features, rgb))
        return FeatureCloud(points.flatten(1, 2), features, colours, camera.centre)

    def render(self, cloud: FeatureCloud, camera: Camera) -> Rendering:
        """The cloud as a camera (one or B) sees it."""
        size = (camera.height, camera.width)
        k, radius = self.config.points_per_pixel, self.config.radius
        with full_precision(cloud.xyz.device):
            uv, z = camera.project(cloud.xyz)
            discs = alpha_splat(uv, z, cloud.features, *size, radius=radius, k=k)
            sharp = soft_splat(uv, z, cloud.rgb, *size)
            depth = torch.where(sharp.coverage > COVERED, sharp.depth, torch.inf)
            rgb, depth, density = close_cracks(sharp.features, depth, sharp.coverage.clamp_max(1))
            visible = torch.isfinite(depth)[:, None]
            guess = fill_far(rgb, 1 / depth[:, None], visible, NEAR_WEIGHT)
            parallax = ((camera.centre - cloud.centre).norm(dim=-1) * camera.focal)[..., None, None, None]
        return Rendering(discs.features, discs.coverage[:, None], guess, depth, density[:, None], parallax)

    def refine(self, rendering: Rendering) -> Synthesis:
        """Renderings made pictures.

        A camera that only turns or zooms sees the photo's colours in their right places whatever their depth, so doubt
        comes with parallax. What is drawn into holes is low in frequency: finer invention would be noise.
        """
        hole = (~rendering.visible).to(rendering.rgb.dtype)
        maps = [
            rendering.rgb * 2 - 1,
            hole,
            rendering.density,
            1 / rendering.depth[:, None].clamp_min(0.1),
        ]
        features = torch.cat([rendering.features, rendering.coverage], dim=1)
        out = self.refiner(features, torch.cat(maps, dim=1)).float()
        drawn = rendering.rgb + torch.lerp(out[:, :3], box_mean(out[:, :3], HOLE_BLUR), hole)
        doubt = torch.sigmoid(-out[:, 3:] - TRUST_BIAS) * rendering.parallax.clamp_max(1)
        trust = (1 - doubt) * (1 - hole)
        return Synthesis(torch.lerp(drawn, rendering.rgb, trust), drawn, trust, rendering)

    def synthesize(self, cloud: FeatureCloud, camera: Camera) -> Synthesis:
        """The picture that a camera (one or B) takes of a cloud."""
        return self.refine(self.render(cloud, camera))

    def forward(self, rgb: Tensor, camera: Camera, other: Camera, depth: Tensor | None = None) -> Synthesis:
        """Photos (B, 3, H, W) of ``camera`` as ``other`` would see them, by their own depth when none is given."""
        return self.synthesize(self.lift(rgb, self.depth(rgb) if depth is None else depth, camera), other)


def finite_depth(log_depth: Tensor, sky_logit: Tensor) -> Tensor:
    """One depth (B, H, W) from the regressor's two maps, its nearest tenth at 1, with steps at its edges.

    Disparities fade to that of ``FARTHEST`` as the sky gets likely, so that both maps learn from images.
    """
    z = torch.exp(log_depth.clamp(-8, 8))
    near = near_depth(torch.where(sky_logit > 0, torch.inf, z).detach())[:, None, None]
    disparity = near / z * torch.sigmoid(-sky_logit)
    return sharpen_edges(1 / (disparity + 1 / FARTHEST))
