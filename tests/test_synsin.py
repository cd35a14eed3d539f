"""The model of SynSin on scenes whose answer is known."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from render_refine.camera import Camera, pose_from
from render_refine.losses import laplacian_l1, masked_l1
from render_refine.metrics import psnr
from render_refine.spade import SpadeConfig
from render_refine.unet import UNetConfig
from synsin.model import FARTHEST, SynsinConfig, ViewSynthesizer, finite_depth

HEIGHT, WIDTH = 32, 48
SMALL = SynsinConfig(
    features=8,
    encoder=(8,),
    regressor=UNetConfig(3, 2, (16, 32, 48)),
    refiner=SpadeConfig((9, 6), 4, (16, 16), 8),
    radius=3.0,
    points_per_pixel=32,
)
NEAR, FAR = 1.0, 3.0


def model(seed: int = 0) -> ViewSynthesizer:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return ViewSynthesizer(SMALL)


def texture(cells: tuple[int, int], generator: torch.Generator) -> torch.Tensor:
    return F.interpolate(torch.rand(1, 3, *cells, generator=generator), (64, 96), mode="bicubic")[0].clamp(0, 1)


class Toy:
    """A square that floats before a wall, both textured, traced exactly."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(1)
        self.wall = 0.5 * texture((18, 26), generator) + 0.5 * texture((8, 11), generator)
        self.square = texture((23, 34), generator) * torch.tensor([1.0, 0.5, 0.3])[:, None, None]

    def shoot(self, camera: Camera) -> tuple[torch.Tensor, torch.Tensor]:
        """(3, H, W) colour and (H, W) depth for a camera that looks along z."""
        far, _ = self._plane(camera, FAR, self.wall)
        near, point = self._plane(camera, NEAR, self.square)
        hit = (point[..., 0].abs() < 0.25) & (point[..., 1].abs() < 0.2)
        return torch.where(hit, near, far), torch.where(hit, NEAR, FAR)

    @staticmethod
    def _plane(camera: Camera, z: float, picture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        point = camera.centre + z * camera.rays()
        grid = 0.9 * point[..., :2] / z / torch.tensor([1.8, 1.2])
        return F.grid_sample(picture[None], grid[None], padding_mode="border", align_corners=False)[0], point


def test_depth_is_learned_from_images_alone():
    toy, lens = Toy(), Camera.from_fov(HEIGHT, WIDTH, math.radians(60))
    poses = [pose_from(torch.tensor([x, y, 0.0])) for x, y in ((0.12, 0), (-0.12, 0), (0, 0.1), (0, -0.1))]
    photo, true = toy.shoot(lens)
    targets = torch.stack([toy.shoot(lens.at(pose))[0] for pose in poses])
    network = model()
    optimiser = torch.optim.Adam(network.parameters(), 2e-3, betas=(0.5, 0.99))
    generator = torch.Generator().manual_seed(2)

    def log_error() -> float:
        with torch.no_grad():
            log_ratio = (network.depth(photo[None])[0] / true).log()
        return float((log_ratio - log_ratio.median()).abs().mean())

    before = log_error()
    for _ in range(200):
        pick = torch.randint(len(poses), (2,), generator=generator)
        home, other = (lens.at(p) for p in (torch.eye(4).expand(2, 4, 4), torch.stack(poses)[pick]))
        view = network(photo.expand(2, -1, -1, -1), home, other)
        loss = masked_l1(view.rgb, targets[pick]) + laplacian_l1(view.rgb, targets[pick])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        depth = network.depth(photo[None])[0]
    assert before > 0.4
    assert log_error() < 0.2
    # The unit is the baseline's, so not only the ratio but the depths themselves are found.
    assert float(depth[true == NEAR].median()) == pytest.approx(NEAR, rel=0.15)
    assert float(depth[true == FAR].median()) == pytest.approx(FAR, rel=0.2)


def test_without_motion_the_photo_comes_out():
    toy, lens = Toy(), Camera.from_fov(HEIGHT, WIDTH, math.radians(60))
    photo, depth = toy.shoot(lens)
    network = model()
    with torch.no_grad():
        cloud = network.lift(photo[None], depth[None], lens)
        rendering = network.render(cloud, lens)
    torch.testing.assert_close(rendering.rgb[0], photo, atol=1e-4, rtol=0)
    torch.testing.assert_close(rendering.depth[0], depth, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(rendering.density, torch.ones_like(rendering.density), atol=1e-3, rtol=0)


def test_half_precision_leaves_the_geometry_alone():
    toy, lens = Toy(), Camera.from_fov(HEIGHT, WIDTH, math.radians(60))
    photo, depth = toy.shoot(lens)
    other = lens.at(pose_from(torch.tensor([0.1, 0.05, 0.2]), 0.1))
    network = model()
    with torch.no_grad():
        exact = network.render(network.lift(photo[None], depth[None], lens), other)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            fast = network.render(network.lift(photo[None], depth[None], lens), other)
    torch.testing.assert_close(fast.depth, exact.depth)
    torch.testing.assert_close(fast.rgb, exact.rgb)


def test_a_shift_of_the_lens_by_whole_pixels_shifts_the_picture():
    toy, lens = Toy(), Camera.from_fov(HEIGHT, WIDTH, math.radians(60))
    photo, depth = toy.shoot(lens)
    shifted = lens.crop(-3, 5, HEIGHT, WIDTH)
    network = model()
    with torch.no_grad():
        rendering = network.render(network.lift(photo[None], depth[None], lens), shifted)
    torch.testing.assert_close(rendering.rgb[0, :, 3:, :-5], photo[:, :-3, 5:], atol=1e-4, rtol=0)
    assert not rendering.visible[0, 0, :3].any()
    assert not rendering.visible[0, 0, :, -5:].any()


def test_with_true_depth_the_other_view_is_found_where_it_is_visible():
    toy, lens = Toy(), Camera.from_fov(HEIGHT, WIDTH, math.radians(60))
    photo, depth = toy.shoot(lens)
    other = lens.at(pose_from(torch.tensor([0.1, 0.05, 0.0])))
    network = model()
    with torch.no_grad():
        rendering = network.render(network.lift(photo[None], depth[None], lens), other)
    seen = rendering.visible.float()
    found = psnr(rendering.rgb * seen, toy.shoot(other)[0][None] * seen)
    still = psnr(photo[None] * seen, toy.shoot(other)[0][None] * seen)
    assert float(found) > float(still) + 6


def test_holes_are_never_trusted_and_the_sky_does_not_move():
    lens = Camera.from_fov(HEIGHT, WIDTH, math.radians(60))
    photo = torch.rand(1, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(3))
    sky = torch.full((1, HEIGHT, WIDTH), torch.inf)
    network = model()
    with torch.no_grad():
        cloud = network.lift(photo, sky, lens)
        moved = network.render(cloud, lens.at(pose_from(torch.tensor([0.3, 0.0, 0.5]))))
        turned = network.synthesize(cloud, lens.at(pose_from(torch.zeros(3), yaw=0.3)))
    # 0.3 units before a sky at FARTHEST are a hundredth of a pixel.
    torch.testing.assert_close(moved.rgb, photo, atol=0.03, rtol=0)
    hole = ~turned.rendering.visible
    assert hole.any()
    assert float(turned.trust[hole].max()) == 0
    torch.testing.assert_close(turned.rgb.masked_select(hole), turned.drawn.masked_select(hole))


def test_a_camera_that_only_turns_is_trusted_and_one_that_moves_is_not():
    lens = Camera.from_fov(HEIGHT, WIDTH, math.radians(60))
    photo = torch.rand(1, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(6))
    network = model()
    with torch.no_grad():
        cloud = network.lift(photo, torch.ones(1, HEIGHT, WIDTH), lens)
        turned = network.synthesize(cloud, lens.at(pose_from(torch.zeros(3), yaw=0.1)))
        moved = network.synthesize(cloud, lens.at(pose_from(torch.tensor([0.1, 0.0, 0.0]))))
        still = network.synthesize(cloud, lens)
    visible = turned.rendering.visible
    assert torch.equal(turned.trust[visible], torch.ones(int(visible.sum())))
    assert float(moved.trust[moved.rendering.visible].max()) < 0.99
    torch.testing.assert_close(moved.rendering.parallax.flatten(), 0.1 * lens.focal[None])
    torch.testing.assert_close(still.rgb, photo, atol=1e-4, rtol=0)


def test_a_batch_is_its_parts():
    lens = Camera.from_fov(HEIGHT, WIDTH, math.radians(60))
    photos = torch.rand(2, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(4))
    poses = torch.stack([pose_from(torch.tensor([0.1, 0.0, 0.2])), pose_from(torch.zeros(3), yaw=0.1)])
    home = lens.at(torch.eye(4).expand(2, 4, 4))
    network = model().eval()
    with torch.no_grad():
        both = network(photos, home, lens.at(poses)).rgb
        each = [network(photos[k : k + 1], lens, lens.at(poses[k])).rgb for k in range(2)]
    torch.testing.assert_close(both, torch.cat(each), atol=1e-4, rtol=1e-4)


def test_finite_depth_has_a_unit_and_a_farthest_sky():
    ramp = torch.linspace(0, 2, HEIGHT * WIDTH).reshape(1, HEIGHT, WIDTH)
    below = torch.full_like(ramp, -20.0)
    depth = finite_depth(ramp + 3, below)
    assert float(depth.quantile(0.1)) == pytest.approx(1, rel=0.02)
    assert float(depth.amax() / depth.amin()) == pytest.approx(math.exp(2), rel=0.05)
    assert float(finite_depth(ramp, -below).amin()) == pytest.approx(FARTHEST, rel=0.01)


def test_networks_that_do_not_fit_together_are_refused():
    with pytest.raises(ValueError, match="expected"):
        replace(SMALL, features=9)


def test_what_is_saved_is_loaded(tmp_path):
    network = model().eval()
    network.save_pretrained(tmp_path / "m")
    lens = Camera.from_fov(HEIGHT, WIDTH, math.radians(60))
    photo = torch.rand(1, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(5))
    again = ViewSynthesizer.from_pretrained(tmp_path / "m").eval()
    with torch.no_grad():
        torch.testing.assert_close(network(photo, lens, lens).rgb, again(photo, lens, lens).rgb, atol=1e-4, rtol=0)
