"""The generator of footage, the motion network's warp, and the loop: what is kept, and what is remembered."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from render_refine.camera import Camera, pose_from
from render_refine.spade import SpadeConfig, StyleConfig
from vid2vid.classes import CLASSES
from vid2vid.footage import Geometry, Shot, footage
from vid2vid.generator import FootageGenerator, GeneratorConfig, Painted, one_hot
from vid2vid.motion import Motion, MotionConfig, MotionNetwork, correlation, warp_previous

SKY, ROAD, BUILDING, CAR = (CLASSES.index(name) for name in ("sky", "road", "building", "car"))


def small_config(**changes) -> GeneratorConfig:
    spade = SpadeConfig(
        (len(CLASSES), 4, 4), 6, (8, 8, 8), 8, style_dim=4, style_grid=(2, 2), upscale=2, style_modulation=True
    )
    return GeneratorConfig(spade=spade, style=StyleConfig(3, (8, 8), 4, (2, 2)), **changes)


def small_generator(seed: int = 0) -> FootageGenerator:
    torch.manual_seed(seed)
    return FootageGenerator(small_config()).eval()


class Still(nn.Module):
    """A motion network that sees no motion."""

    def forward(self, labels, previous, last_flow):
        return Motion(torch.zeros_like(last_flow), torch.full_like(last_flow[:, :1], 10.0))


class Counting(nn.Module):
    """A generator that draws another colour in every frame, and keeps all that is valid: guidance first."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, labels, warped, guidance, z):
        self.calls += 1
        rgb = torch.full((1, 3, *labels.shape[-2:]), self.calls / 20)
        for kept in (warped, guidance):
            if kept is not None:
                rgb = torch.where(kept[:, 3:] > 0.5, kept[:, :3], rgb)
        return Painted(rgb, rgb, torch.ones_like(rgb[:, :1]))


def test_one_hot_is_zero_without_a_label():
    hot = one_hot(torch.tensor([[[0, 255], [17, 3]]]))
    assert hot.shape == (1, 18, 2, 2)
    assert hot.sum(dim=1).tolist() == [[[1, 0], [1, 1]]]
    assert hot[0, 17, 1, 0] == 1 and hot[0, 3, 1, 1] == 1


def test_a_frame_is_the_weighted_sum_of_what_is_there():
    torch.manual_seed(0)
    network = small_generator()
    labels = one_hot(torch.randint(0, 18, (2, 24, 30)))
    warped, guidance = torch.rand(2, 4, 24, 30), torch.rand(2, 4, 24, 30)
    out = network(labels, warped, guidance, torch.randn(2, 4))
    assert torch.allclose(out.weights.sum(dim=1), torch.ones(2, 24, 30), atol=1e-6)
    sources = torch.stack([out.drawn, warped[:, :3], guidance[:, :3]], dim=1)
    assert torch.allclose(out.rgb, (sources * out.weights[:, :, None]).sum(dim=1), atol=1e-6)


def test_what_is_not_valid_does_not_show():
    network = small_generator()
    labels, z = one_hot(torch.randint(0, 18, (1, 16, 16))), torch.randn(1, 4)
    nothing = torch.cat([torch.rand(1, 3, 16, 16), torch.zeros(1, 1, 16, 16)], dim=1)
    out = network(labels, nothing, nothing, z)
    assert (out.rgb - out.drawn).abs().max() < 5e-3
    other = torch.cat([1 - nothing[:, :3], nothing[:, 3:]], dim=1)
    assert (network(labels, other, other, z).rgb - out.rgb).abs().max() < 5e-3


def test_a_missing_condition_leaves_the_norms_alone():
    network = small_generator()
    labels, z = one_hot(torch.randint(0, 18, (1, 16, 16))), torch.randn(1, 4)
    first = network(labels, None, None, z)
    assert first.weights.shape[1] == 1 and torch.equal(first.rgb, first.drawn)
    with torch.no_grad():
        for norm in (m for m in network.modules() if hasattr(m, "mlp_gamma")):
            for k in (1, 2):
                norm.mlp_gamma[k].weight.normal_()
    assert torch.equal(network(labels, None, None, z).rgb, first.rgb)


def test_random_styles_have_the_statistics_of_the_fitted_ones():
    network = small_generator()
    torch.manual_seed(1)
    mixing = torch.randn(4, 4)
    codes = torch.randn(4000, 4) @ mixing.T + torch.tensor([1.0, -2.0, 3.0, 0.5])
    network.fit_styles(codes)
    drawn = torch.cat([network.random_style(torch.Generator().manual_seed(k)) for k in range(4000)])
    assert torch.allclose(drawn.mean(dim=0), codes.mean(dim=0), atol=0.25)
    assert torch.allclose(torch.cov(drawn.T), torch.cov(codes.T), atol=1.0)
    assert torch.equal(network.random_style(torch.Generator().manual_seed(5)), drawn[5:6])


def test_weights_survive_a_round_trip(tmp_path):
    network = small_generator()
    network.fit_styles(torch.randn(50, 4))
    network.save_pretrained(tmp_path / "model")
    again = FootageGenerator.from_pretrained(tmp_path / "model").eval()
    labels, z = one_hot(torch.randint(0, 18, (1, 16, 16))), torch.randn(1, 4)
    assert torch.allclose(again(labels, None, None, z).rgb, network(labels, None, None, z).rgb, atol=1e-6)
    assert torch.equal(again.style_factor, network.style_factor)


def test_unknown_classes_are_refused():
    with pytest.raises(ValueError, match="sofa"):
        small_config(classes=("sky", "sofa"))


def test_motion_is_in_pixels_whatever_the_size():
    torch.manual_seed(0)
    network = MotionNetwork(MotionConfig(features=8, reach=1, widths=(8, 16))).eval()
    labels = one_hot(torch.randint(0, 18, (1, 30, 42)))
    motion = network(labels, labels, torch.zeros(1, 2, 30, 42))
    assert motion.flow.shape == (1, 2, 30, 42) and motion.logit.shape == (1, 1, 30, 42)


def test_correlation_peaks_at_the_displacement():
    torch.manual_seed(0)
    a = torch.randn(2, 16, 12, 15)
    b = torch.roll(a, (1, -2), dims=(2, 3))  # what is at (y, x) in a is at (y + 1, x - 2) in b
    found = correlation(a, b, 3)
    assert found.shape == (2, 49, 12, 15)
    inner = found[:, :, 3:-3, 3:-3]
    assert (inner.argmax(dim=1) == (3 + 1) * 7 + (3 - 2)).all()
    assert torch.allclose(inner.amax(dim=1), torch.ones(()), atol=1e-3)
    a64, b64 = a.double(), b.double()
    one = [(x - x.mean(1, keepdim=True)) / (x.var(1, unbiased=False, keepdim=True) + 1e-5).sqrt() for x in (a64, b64)]
    naive = (one[0][0, :, 5, 5] * one[1][0, :, 5 - 3, 5 + 2]).mean()
    assert abs(float(correlation(a64, b64, 3)[0, 0 * 7 + 5, 5, 5]) - float(naive)) < 1e-12


def test_a_pixel_whose_label_is_another_one_is_no_match():
    before = torch.full((1, 4, 8), ROAD)
    before[..., 4:] = CAR
    now = torch.full((1, 4, 8), ROAD)
    rgb = torch.rand(1, 3, 4, 8)
    flow = torch.zeros(1, 2, 4, 8)
    flow[:, 0] = 1.0  # each pixel was one to the right
    warped = warp_previous(rgb, now, before, flow, torch.full((1, 1, 4, 8), 0.9))
    assert torch.allclose(warped[0, 3, :, :3], torch.tensor(0.9))
    assert (warped[0, 3, :, 3:7] == 0).all()  # a car was there
    assert (warped[0, 3, :, 7] == 0).all()  # outside
    assert torch.allclose(warped[0, :3, :, :3], rgb[0, :, :, 1:4])


def geometry(x: float = 0.0, height: int = 24, width: int = 32) -> Geometry:
    """A wall at 5 m, half of the picture, before the sky; the camera looks at it from x metres to the right."""
    camera = Camera.from_fov(height, width, 1.2, pose_from(torch.tensor([x, 0.0, 0.0]), 0.0, 0.0))
    depth = torch.full((height, width), 5.0)
    depth[: height // 2] = torch.inf
    return Geometry(depth, camera)


def wall(height: int = 24, width: int = 32) -> torch.Tensor:
    labels = torch.full((height, width), BUILDING)
    labels[: height // 2] = SKY
    return labels


def test_the_world_looks_the_same_when_the_camera_is_back():
    path = [0.0, 1.0, 2.5, 12.0, 2.5, 1.0, 0.0]
    shots = [Shot(wall(), geometry(x)) for x in path]
    frames = list(footage(Counting(), Still(), shots, torch.zeros(1, 4)))
    assert (frames[0].rgb - frames[-1].rgb).abs().max() < 1.5 / 255
    assert frames[-1].guidance is not None and frames[-1].guidance[3].mean() > 0.9
    # At x = 12 m nothing of the wall is known, so it is drawn anew.
    assert frames[3].rgb[:, 12:].mean() > frames[0].rgb[:, 12:].mean() + 2.5 / 20


def test_without_guidance_the_world_is_forgotten():
    shots = [Shot(wall(), geometry(x)) for x in (0.0, 12.0, 0.0)]
    frames = list(footage(Counting(), Still(), shots, torch.zeros(1, 4), guided=False))
    assert all(frame.guidance is None for frame in frames)


def test_what_moves_is_not_remembered():
    labels = wall()
    labels[12:, :10] = CAR
    shots = [Shot(labels, geometry()), Shot(wall(), geometry(20.0)), Shot(labels, geometry())]
    frames = list(footage(Counting(), Still(), shots, torch.zeros(1, 4)))
    assert frames[2].guidance is not None
    assert (frames[2].guidance[3, 12:, :10] == 0).all()
    assert (frames[2].guidance[3, 14:, 12:] > 0.5).all()


def test_a_sky_on_an_engines_far_plane_counts_as_infinite():
    far = geometry()
    finite = Geometry(far.depth.nan_to_num(posinf=1000.0), far.camera)
    shots = [Shot(wall(), finite), Shot(wall(), Geometry(finite.depth, geometry(5.0).camera))]
    frames = list(footage(Counting(), Still(), shots, torch.zeros(1, 4)))
    assert torch.allclose(frames[1].rgb[:, :10], frames[0].rgb[:, :10], atol=1.5 / 255)


def test_without_geometry_what_is_there_is_carried_along():
    frames = list(footage(Counting(), Still(), [Shot(wall())] * 3, torch.zeros(1, 4)))
    assert torch.allclose(frames[0].rgb, frames[2].rgb, atol=1e-4)
    assert frames[1].flow.shape == (2, 24, 32)
