"""The renderer against naive loops, a PyTorch3D reference case, finite differences and its own properties."""

import math

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from render_refine.camera import Camera
from render_refine.splat import NEAR, alpha_splat, alpha_splat_reference, soft_splat, soft_splat_reference

ALPHA = pytest.mark.parametrize("render", [alpha_splat, alpha_splat_reference])


def scene(seed: int, count: int = 60, height: int = 7, width: int = 9, channels: int = 3, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    uv = torch.rand(2, count, 2, generator=generator, dtype=dtype) * torch.tensor([width + 4.0, height + 4.0]) - 2
    z = 1 + 3 * torch.rand(2, count, generator=generator, dtype=dtype)
    features = torch.randn(2, count, channels, generator=generator, dtype=dtype)
    return uv, z, features, height, width


def naive_alpha(uv, z, f, height, width, radius, k, tau):
    out = torch.zeros(uv.shape[0], f.shape[-1], height, width, dtype=uv.dtype)
    for b in range(uv.shape[0]):
        for i in range(height):
            for j in range(width):
                d2 = (uv[b, :, 0] - j - 0.5) ** 2 + (uv[b, :, 1] - i - 0.5) ** 2
                hits = [n for n in range(uv.shape[1]) if d2[n] < radius**2 and z[b, n] > NEAR]
                hits = sorted(hits, key=lambda n: (float(z[b, n]), n))[:k]
                through = 1.0
                for n in hits:
                    alpha = (1 - math.sqrt(min(max(float(d2[n]) / radius**2, 1e-3), 1))) ** tau
                    out[b, :, i, j] += through * alpha * f[b, n]
                    through *= 1 - alpha
    return out


def naive_soft(uv, z, f, height, width, softness):
    """Per pixel: gather every touching point, find the front, average what lies on it."""
    batch, count, channels = f.shape
    colour = torch.zeros(batch, channels, height, width, dtype=uv.dtype)
    depth = torch.full((batch, height, width), math.inf, dtype=uv.dtype)
    density = torch.zeros(batch, height, width, dtype=uv.dtype)
    for b in range(batch):
        for i in range(height):
            for j in range(width):
                touch = []
                for n in range(count):
                    wu = 1 - abs(float(uv[b, n, 0]) - j - 0.5)
                    wv = 1 - abs(float(uv[b, n, 1]) - i - 0.5)
                    if wu > 0 and wv > 0 and z[b, n] > NEAR:
                        touch.append((n, wu * wv))
                claims = [n for n, w in touch if w > 0.2] or [n for n, w in touch if w > 1e-3]
                if not claims:
                    continue
                front = min(float(z[b, n]) for n in claims)
                total = inverse = 0.0
                value = torch.zeros(channels, dtype=uv.dtype)
                for n, w in touch:
                    behind = math.log(float(z[b, n]) / front)
                    if abs(behind) >= 3 * softness:
                        continue
                    w *= math.exp(-behind / softness)
                    total, inverse, value = total + w, inverse + w / float(z[b, n]), value + w * f[b, n]
                colour[b, :, i, j], depth[b, i, j], density[b, i, j] = value / total, total / inverse, total
    return colour, depth, density


@ALPHA
@pytest.mark.parametrize(("radius", "k", "tau"), [(1.5, 3, 1.0), (2.5, 100, 0.7)])
def test_alpha_splat_equals_a_naive_loop(render, radius, k, tau):
    uv, z, f, height, width = scene(0)
    got = render(uv, z, f, height, width, radius=radius, k=k, tau=tau)
    torch.testing.assert_close(got.features, naive_alpha(uv, z, f, height, width, radius, k, tau), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("render", [soft_splat, soft_splat_reference])
def test_soft_splat_equals_a_naive_loop(render):
    uv, z, f, height, width = scene(1, count=120)
    z[:, ::3] = 2.0 + 0.01 * z[:, ::3]  # a surface that several points share
    got = render(uv, z, f, height, width, weights=None, softness=0.02)
    colour, depth, density = naive_soft(uv, z, f, height, width, 0.02)
    torch.testing.assert_close(got.features, colour, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(got.depth, depth, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(got.coverage, density, rtol=1e-9, atol=1e-9)


@ALPHA
def test_alpha_splat_agrees_with_pytorch3d(data_dir, render):
    """Values and gradients of one case computed with PyTorch3D (float32, 40,960 points)."""
    case = np.load(data_dir.parent / "reference/renderer/pytorch3d_160x256.npz", allow_pickle=False)
    points = torch.from_numpy(case["pts_cam"]).requires_grad_()
    features = torch.from_numpy(case["feat"]).requires_grad_()
    height, width, focal = int(case["H"]), int(case["W"]), float(case["f"])
    centre = torch.tensor([float(case["cx"]), float(case["cy"])])
    uv = focal * points[:, :2] / points[:, 2:] + centre
    settings = {"radius": float(case["r_px"]), "k": int(case["K"]), "tau": 1.0}
    got = render(uv[None], points[None, :, 2], features.T[None], height, width, **settings)
    expected = torch.from_numpy(case["out"])
    assert (got.features[0] - expected).abs().max() <= 2e-5 * expected.abs().max()
    got.features[0].backward(torch.from_numpy(case["grad_out"]))
    for grad, key, tolerance in ((features.grad, "grad_feat", 2e-5), (points.grad, "grad_pts_cam", 5e-3)):
        reference = torch.from_numpy(case[key])
        # The clamp at (d/r)^2 = 1e-3 makes position gradients jump, so they are compared by norm.
        assert (grad - reference).norm() <= tolerance * reference.norm(), key


def test_gradients_of_the_references_match_finite_differences():
    uv, z, f, height, width = scene(2, count=12, height=3, width=4, channels=2)
    uv, z, f = (t[:1].requires_grad_() for t in (uv, z, f))
    torch.autograd.gradcheck(
        lambda uv, f: alpha_splat_reference(uv, z.detach(), f, height, width, radius=1.7, k=5, tau=1.0).features,
        (uv, f),
        atol=1e-6,
    )

    def soft(uv, z, f):
        out = soft_splat_reference(uv, z, f, height, width, weights=None, softness=0.3)
        return out.features, torch.where(out.depth.isinf(), 0, out.depth)

    torch.autograd.gradcheck(soft, (uv, z, f), atol=1e-6)


def test_identity_camera_returns_the_image():
    generator = torch.Generator().manual_seed(3)
    image = torch.rand(3, 11, 17, generator=generator)
    depth = 1 + 9 * torch.rand(11, 17, generator=generator)
    camera = Camera.from_fov(11, 17, 1.0)
    uv, z = camera.project(camera.unproject(depth).flatten(0, 1))
    out = soft_splat(uv[None], z[None], image.flatten(1).T[None], 11, 17)
    torch.testing.assert_close(out.features[0], image, atol=2e-5, rtol=0)
    torch.testing.assert_close(out.depth[0], depth, atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(out.coverage[0], torch.ones(11, 17), atol=2e-5, rtol=0)


def test_coverage_counts_points_per_pixel():
    v, u = torch.meshgrid(torch.arange(0.5, 32, 2), torch.arange(0.5, 32, 2), indexing="ij")
    uv = torch.stack([u, v], dim=-1).flatten(0, 1)[None]
    out = soft_splat(uv, torch.ones(1, 256), torch.ones(1, 256, 1), 32, 32)
    assert out.coverage.mean() == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize("render", [alpha_splat, soft_splat])
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_order_of_points_does_not_matter(render, seed):
    uv, z, f, height, width = scene(seed, count=40)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(seed))
    one, two = render(uv, z, f, height, width), render(uv[:, order], z[:, order], f[:, order], height, width)
    torch.testing.assert_close(one.features, two.features)
    torch.testing.assert_close(one.depth, two.depth)


@pytest.mark.parametrize("render", [alpha_splat, soft_splat])
def test_bad_points_contribute_nothing_and_get_finite_gradients(render):
    uv, z, f, height, width = scene(4)
    clean = render(uv, z, f, height, width).features
    bad_uv = torch.tensor([[3.0, 3], [3, 3], [math.nan, 3], [1e30, 3], [-0.4, -0.4]], dtype=uv.dtype)
    bad_z = torch.tensor([-1.0, 0, 1, 1, math.inf], dtype=z.dtype)
    uv = torch.cat([uv, bad_uv.expand(2, 5, 2)], dim=1).requires_grad_()
    z = torch.cat([z, bad_z.expand(2, 5)], dim=1).requires_grad_()
    f = torch.cat([f, torch.ones(2, 5, 3, dtype=f.dtype)], dim=1).requires_grad_()
    out = render(uv, z, f, height, width)
    torch.testing.assert_close(out.features, clean)
    out.features.sum().backward()
    for grad in (uv.grad, z.grad, f.grad):
        if grad is not None:
            assert grad.isfinite().all()


@pytest.mark.parametrize("render", [alpha_splat, soft_splat])
def test_no_points_give_an_empty_image(render):
    out = render(torch.zeros(1, 0, 2), torch.zeros(1, 0), torch.zeros(1, 0, 3), 1, 1)
    assert out.features.abs().sum() == 0
    assert out.coverage.sum() == 0
    assert out.depth.isinf().all()


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"\(1, 4, 2\)"):
        soft_splat(torch.zeros(1, 4, 2), torch.zeros(1, 3), torch.zeros(1, 4, 3), 2, 2)
