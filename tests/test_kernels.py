"""The compiled renderer against its reference in plain torch: values, gradients, determinism, edges, fallback."""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from render_refine import kernels
from render_refine.splat import NEAR, Splat, alpha_splat, alpha_splat_reference, soft_splat, soft_splat_reference

pytest.importorskip("numba")

EXACT = {torch.float64: 1e-9, torch.float32: 2e-5}  # relative to the largest value


def scene(seed: int, count: int, size: tuple[int, int], channels: int, dtype: torch.dtype):
    """Points in and around the view, many at equal depth, some behind the camera; and gradients of all outputs."""
    generator = torch.Generator().manual_seed(seed)
    extent = torch.tensor([size[1] + 10.0, size[0] + 10.0], dtype=dtype)
    uv = torch.rand(2, count, 2, generator=generator, dtype=dtype) * extent - 5
    z = 0.5 + (40 * torch.rand(2, count, generator=generator, dtype=dtype)).round() / 10
    z[:, ::50] = -1
    features = torch.randn(2, count, channels, generator=generator, dtype=dtype)
    shapes = ((2, channels, *size), (2, *size), (2, *size))
    return (uv, z, features), [torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes]


def outputs_and_gradients(render, inputs, upstream, size, **settings):
    """Outputs, gradients of inputs (a fourth one is `weights`), ids of the nearest points."""
    inputs = [t.clone().requires_grad_() for t in inputs]
    if len(inputs) == 4:
        settings["weights"] = inputs[3]
    out = render(*inputs[:3], *size, **settings)
    outputs = [out.features, torch.where(out.depth.isinf(), 0, out.depth), out.coverage]
    sum((a * b).sum() for a, b in zip(outputs, upstream, strict=True) if a.requires_grad).backward()
    return [t.detach() for t in outputs], [t.grad for t in inputs], out.nearest


# Of either function: itself, its reference, settings that all arguments matter to.
RENDERERS = [
    pytest.param(alpha_splat, alpha_splat_reference, {"radius": 2.5, "k": 16, "tau": 0.8}, id="alpha"),
    pytest.param(soft_splat, soft_splat_reference, {"softness": 0.05}, id="soft"),
]


@pytest.mark.parametrize("dtype", EXACT)
@pytest.mark.parametrize("channels", [3, 17, 64])
@pytest.mark.parametrize(("radius", "k", "tau"), [(1.5, 3, 1.0), (4.0, 128, 1.0), (2.5, 100, 0.7), (17.0, 7, 1.0)])
def test_alpha_kernel_equals_the_reference(dtype, channels, radius, k, tau):
    size = (35, 51)  # tiles are cut at the border
    inputs, upstream = scene(0, 1500, size, channels, dtype)
    assert kernels.find("alpha_splat", *inputs) is not None
    settings = {"radius": radius, "k": k, "tau": tau}
    got = outputs_and_gradients(alpha_splat, inputs, upstream, size, **settings)
    expected = outputs_and_gradients(alpha_splat_reference, inputs, upstream, size, **settings)
    for a, b in zip(got[0], expected[0], strict=True):
        assert (a - b).abs().max() <= EXACT[dtype] * b.abs().max()
    for a, b, name in zip(got[1], expected[1], ("uv", "z", "features"), strict=True):
        # Position gradients jump at (d/r)^2 = 1e-3, so they are compared by norm.
        assert (a - b).norm() <= (5e-3 if name == "uv" and dtype == torch.float32 else EXACT[dtype]) * b.norm(), name
    assert (got[2] == expected[2]).all()


@pytest.mark.parametrize("dtype", EXACT)
@pytest.mark.parametrize("channels", [3, 17])
@pytest.mark.parametrize("weighted", [False, True])
def test_soft_kernel_equals_the_reference(dtype, channels, weighted):
    size = (35, 51)
    inputs, upstream = scene(5, 4000, size, channels, dtype)
    weights = 0.1 + torch.rand(2, 4000, generator=torch.Generator().manual_seed(6), dtype=dtype)
    inputs = (*inputs, weights) if weighted else inputs
    assert kernels.find("soft_splat", *inputs) is not None
    settings = {"softness": 0.05} if weighted else {"softness": 0.05, "weights": None}
    got = outputs_and_gradients(soft_splat, inputs, upstream, size, **settings)
    expected = outputs_and_gradients(soft_splat_reference, inputs, upstream, size, **settings)
    for a, b in zip([*got[0], *got[1]], [*expected[0], *expected[1]], strict=True):
        assert (a - b).abs().max() <= EXACT[dtype] * b.abs().max()
    assert (got[2] == expected[2]).all()


@pytest.mark.parametrize(("render", "reference", "settings"), RENDERERS)
def test_kernels_have_the_gradient_of_finite_differences(render, reference, settings):
    inputs, _ = scene(1, 14, (4, 5), 2, torch.float64)
    uv, z, features = (t[:1].clone() for t in inputs)
    uv = (uv + 5) * torch.tensor([5 / 15, 4 / 14]) - 0.2  # all in view
    # No equal depths, since their order would change with z; for the soft splat, all on one surface.
    z = 2 + 0.003 * torch.arange(14, dtype=z.dtype).flip(0)[None]

    def differentiable(uv, z, features):
        out = render(uv, z, features, 4, 5, **settings)
        outputs = [out.features, torch.where(out.depth.isinf(), 0, out.depth), out.coverage]
        return tuple(t for t in outputs if t.requires_grad)

    assert render(uv, z, features, 4, 5, **settings).coverage.count_nonzero() > 15
    torch.autograd.gradcheck(differentiable, [t.requires_grad_() for t in (uv, z, features)], atol=1e-6)


@pytest.mark.parametrize("channels", [4, 40])
@pytest.mark.parametrize(("render", "reference", "settings"), RENDERERS)
def test_kernels_give_the_same_bytes_on_any_number_of_threads(render, reference, settings, channels):
    size = (70, 90)
    inputs, upstream = scene(2, 20_000, size, channels, torch.float32)
    before = torch.get_num_threads()
    runs = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        runs.append(outputs_and_gradients(render, inputs, upstream, size, **settings))
    torch.set_num_threads(before)
    for run in runs[1:]:
        for a, b in zip([*runs[0][0], *runs[0][1], runs[0][2]], [*run[0], *run[1], run[2]], strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize("channels", [4, 40])
@pytest.mark.parametrize(("render", "reference", "settings"), RENDERERS)
def test_bad_points_neither_show_nor_get_gradients(render, reference, settings, channels):
    size = (20, 20)
    inputs, upstream = scene(3, 300, size, channels, torch.float32)
    bad_uv = torch.tensor([[3.0, 3], [3, 3], [math.nan, 3], [3, math.inf], [1e30, 3], [3, -1e30], [3, 3], [3, 3]])
    bad_z = torch.tensor([-1.0, 0, 1, 1, 1, 1, math.inf, math.nan])
    bad = (bad_uv, bad_z, torch.full((8, channels), math.nan))
    with_bad = [torch.cat([b.expand(2, *b.shape), t], dim=1) for t, b in zip(inputs, bad, strict=True)]
    clean = outputs_and_gradients(render, inputs, upstream, size, **settings)
    got = outputs_and_gradients(render, with_bad, upstream, size, **settings)
    for a, b in zip(got[0], clean[0], strict=True):
        assert torch.equal(a, b)
    for a, b in zip(got[1], clean[1], strict=True):
        assert (a[:, :8] == 0).all()
        assert torch.equal(a[:, 8:], b)
    assert torch.equal(got[2], torch.where(clean[2] < 0, -1, clean[2] + 8))


@pytest.mark.parametrize("channels", [3, 20, 32])
@pytest.mark.parametrize(("render", "reference", "settings"), RENDERERS)
def test_any_layout_of_inputs_and_gradients_will_do(render, reference, settings, channels):
    size = (24, 40)
    (uv, z, features), upstream = scene(4, 900, size, channels, torch.float32)
    plain = outputs_and_gradients(render, (uv, z, features), upstream, size, **settings)
    turned = features.transpose(1, 2).contiguous().transpose(1, 2)
    upstream = [upstream[0].contiguous(memory_format=torch.channels_last), *upstream[1:]]
    other = outputs_and_gradients(render, (uv, z, turned), upstream, size, **settings)
    for a, b in zip([*plain[0], *plain[1]], [*other[0], *other[1]], strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("channels", [3, 32])
def test_a_feature_that_is_no_number_stays_where_its_disc_is(channels):
    size = (20, 24)
    (uv, z, features), upstream = scene(7, 200, size, channels, torch.float32)
    features[:, 3] = math.nan
    got = outputs_and_gradients(alpha_splat, (uv, z, features), upstream, size, radius=1.5, k=8, tau=1.0)
    expected = outputs_and_gradients(alpha_splat_reference, (uv, z, features), upstream, size, radius=1.5, k=8, tau=1.0)
    assert (got[0][0].isnan() == expected[0][0].isnan()).all()
    assert 0 < got[0][0].isnan().sum() < got[0][0].numel() / 10


def test_points_that_differ_less_than_float32_are_ordered_by_depth():
    z = torch.tensor([[1 + 2e-12, 1 + 1e-12, 1.0, 1 + 3e-12]], dtype=torch.float64)
    features = torch.arange(4.0, dtype=torch.float64)[None, :, None]
    uv = torch.full((1, 4, 2), 0.5, dtype=torch.float64)
    out = alpha_splat(uv, z, features, 1, 1, radius=1.0, k=2)
    assert out.nearest.item() == 2
    alpha = 1 - 1e-3**0.5
    assert out.features.item() == pytest.approx(alpha * 2 + (1 - alpha) * alpha * 1)


def test_lanes_move_numbers_as_slices_would():
    numba = pytest.importorskip("numba")
    numpy = pytest.importorskip("numpy")
    from render_refine.kernels import lanes

    @numba.njit
    def move(source, turned, square, pairs, sums):
        lanes.transpose(source, 3, 17, turned, 5, 20)
        lanes.store_square(square, 2, 7, lanes.load_square(source, 1, 30))
        one, two = lanes.load_pairs(source, 4)
        lanes.store(pairs, 0, lanes.where(one + 2 * two < 100, one, 0 - two))
        lanes.add_totals(sums, 1, one, two, lanes.load(source, 0), one * 0.0)
        return lanes.bits(one > 12)

    rng = numpy.random.default_rng(0)
    for dtype in (numpy.float32, numpy.float64):
        source = rng.integers(0, 60, 300).astype(dtype)
        turned, square, pairs, sums = (numpy.ones(size, dtype) for size in (325, 40, 16, 6))
        above = move(source, turned, square, pairs, sums)
        for i in range(16):
            assert (turned[5 + i : 5 + 16 * 20 : 20] == source[3 + 17 * i : 3 + 17 * i + 16]).all()
        for row in range(4):
            assert (square[2 + 7 * row : 6 + 7 * row] == source[1 + 30 * row : 5 + 30 * row]).all()
        one, two = source[4:36:2], source[5:36:2]
        assert (pairs == numpy.where(one + 2 * two < 100, one, -two)).all()
        assert sums.tolist() == [1, 1 + one.sum(), 1 + two.sum(), 1 + source[:16].sum(), 1, 1]
        assert above == sum(1 << i for i in range(16) if one[i] > 12)


def compare_triton() -> None:
    """Triton's kernels against the reference, for a process in which its interpreter runs them on the CPU."""
    from render_refine.kernels import alpha_gpu, soft_gpu

    torch.set_num_threads(1)
    alpha_gpu.CHANNELS = soft_gpu.CHANNELS = dict.fromkeys(EXACT, 2)  # so that three channels take two blocks
    size = (14, 20)
    for module, reference, settings, dtype in (
        (alpha_gpu.alpha_splat, alpha_splat_reference, {"radius": 2.5, "k": 5, "tau": 0.8}, torch.float64),
        (alpha_gpu.alpha_splat, alpha_splat_reference, {"radius": 1.5, "k": 50, "tau": 1.0}, torch.float32),
        (soft_gpu.soft_splat, soft_splat_reference, {"softness": 0.05}, torch.float32),
        (soft_gpu.soft_splat, soft_splat_reference, {"softness": 0.05}, torch.float64),
    ):

        def render(*arguments, module=module, **settings):
            out, *others = module(*arguments, **settings, near=NEAR)
            return Splat(out.permute(0, 3, 1, 2), *others)

        (uv, z, features), upstream = scene(8, 30, size, 3, dtype)
        inputs = (uv * 0.4 + 8, z, features, *([z.abs() / 5] if reference is soft_splat_reference else []))
        got = outputs_and_gradients(render, inputs, upstream, size, **settings)
        expected = outputs_and_gradients(reference, inputs, upstream, size, **settings)
        for a, b in zip(got[0], expected[0], strict=True):
            assert (a - b).abs().max() <= EXACT[dtype] * b.abs().max(), (module, dtype)
        for a, b in zip(got[1], expected[1], strict=True):
            assert (a - b).norm() <= (1e-9 if dtype == torch.float64 else 1e-3) * b.norm(), (module, dtype)
        assert (got[2] == expected[2]).all()


def test_triton_kernels_equal_the_reference_in_the_interpreter():
    pytest.importorskip("triton", reason="Triton comes with torch for CUDA only")
    code = "import test_kernels; test_kernels.compare_triton()"
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent, env=environment, check=True)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(("render", "reference", "settings"), RENDERERS)
def test_gpu_kernels_equal_the_reference_and_give_the_same_bytes_again(render, reference, settings):
    size = (70, 90)
    inputs, upstream = scene(2, 20_000, size, 40, torch.float32)
    inputs, upstream = [t.cuda() for t in inputs], [t.cuda() for t in upstream]
    assert kernels.find(render.__name__, *inputs) is not None
    one, two = (outputs_and_gradients(render, inputs, upstream, size, **settings) for _ in range(2))
    settings = settings if render is alpha_splat else {**settings, "weights": None}
    expected = outputs_and_gradients(reference, inputs, upstream, size, **settings)
    for a, b, c in zip([*one[0], *one[1]], [*two[0], *two[1]], [*expected[0], *expected[1]], strict=True):
        assert torch.equal(a, b)
        assert (a - c).norm() <= 5e-3 * c.norm()
    assert torch.equal(one[2], two[2])


def test_without_numba_plain_torch_renders_and_says_so():
    code = """
import sys, torch
sys.modules["numba"] = None
from render_refine.splat import alpha_splat
for _ in range(2):
    out = alpha_splat(torch.full((1, 1, 2), 1.5), torch.ones(1, 1), torch.ones(1, 1, 3), 3, 3, radius=1.0)
assert out.nearest[0, 1, 1] == 0 and (out.nearest >= 0).sum() == 1, out.nearest
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stderr.count("\n") == 1
    assert "plain torch" in run.stderr


def test_importing_the_renderer_does_not_import_the_compiler():
    code = "import sys, render_refine.splat; assert 'numba' not in sys.modules and 'triton' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_points_beyond_the_near_plane_count():
    z = torch.tensor([[NEAR / 2, 2 * NEAR]])
    out = alpha_splat(torch.full((1, 2, 2), 0.5), z, torch.ones(1, 2, 1), 1, 1, radius=1.0)
    assert out.nearest.item() == 1
    assert out.depth.item() == pytest.approx(2 * NEAR)
