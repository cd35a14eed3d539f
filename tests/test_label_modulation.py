"""The shortcut through constant areas gives what the plain convolutions give; and the generator's extensions."""

from __future__ import annotations

import cv2
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from render_refine import label_modulation
from render_refine.label_modulation import ConstantAreas, Shortcuts, accelerate
from render_refine.spade import SpadeConfig, SpadeGenerator, SpadeNorm

CLASSES = 5


def images(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def label_map(batch: int, height: int, width: int, cell: int = 9, seed: int = 0) -> Tensor:
    """(B, H, W) rectangles of random labels; ``CLASSES`` is no label."""
    grid = (batch, -(-height // cell), -(-width // cell))
    labels = torch.randint(CLASSES + 1, grid, generator=torch.Generator().manual_seed(seed))
    return labels.repeat_interleave(cell, 1).repeat_interleave(cell, 2)[:, :height, :width]


def one_hot(labels: Tensor, classes: int = CLASSES) -> Tensor:
    return F.one_hot(labels, classes + 1)[..., :-1].permute(0, 3, 1, 2).float()


def network(**changes: object) -> SpadeGenerator:
    """A small one whose modulation is as strong as what it modulates."""
    shape: dict = {"condition_channels": (CLASSES, 2), "out_channels": 3, "widths": (12, 10, 8), "hidden": 7}
    generator = SpadeGenerator(SpadeConfig(**(shape | {"style_dim": 4, "spectral": False} | changes))).eval()
    with torch.no_grad():
        for index, parameter in enumerate(generator.parameters()):
            parameter.copy_(images(*parameter.shape, seed=index) / max(1, parameter[0].numel()) ** 0.5)
    return generator


@pytest.fixture
def everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shortcut on every level, whether it pays or not, in several chunks."""
    monkeypatch.setattr(label_modulation, "MOST_MIXED", 2.0)
    monkeypatch.setattr(label_modulation, "FEWEST_PIXELS", 1)
    monkeypatch.setattr(label_modulation, "CHUNK", 64)


def error(found: Tensor, wanted: Tensor) -> float:
    return ((found - wanted).abs().max() / wanted.abs().max()).item()


def naive_areas(condition: Tensor) -> Tensor:
    """(H, W) bool: pixels of (C, H, W) whose 5x5 neighbourhood is inside the image and one constant."""
    _, height, width = condition.shape
    out = torch.zeros(height, width, dtype=torch.bool)
    for i in range(2, height - 2):
        for j in range(2, width - 2):
            patch = condition[:, i - 2 : i + 3, j - 2 : j + 3].flatten(1)
            middle = condition[:, i, j]
            simple = bool((middle == 0).all()) or sorted(middle.tolist()) == [0] * (len(middle) - 1) + [1]
            out[i, j] = simple and bool((patch == middle[:, None]).all())
    return out


@pytest.mark.parametrize("pooled", [False, True])
def test_constant_areas_are_found_pixel_for_pixel(pooled: bool) -> None:
    condition = one_hot(label_map(2, 40, 48, cell=14, seed=3))
    condition[1, :, 4:12, 20:30] = torch.tensor([-1.0, 1.0, 1.0, 0.0, 0.0])[:, None, None]  # sums to 1, not one-hot
    if pooled:
        condition = F.avg_pool2d(F.pad(condition, (1, 0)), (2, 1))
    areas = ConstantAreas.of(condition, Shortcuts())
    assert areas is not None
    found = (areas.source <= CLASSES).view(areas.shape)
    wanted = torch.stack([naive_areas(c) for c in condition])
    assert torch.equal(found, wanted) and 0.1 < wanted.float().mean() < 0.9
    assert ConstantAreas.of(condition, Shortcuts(), most_mixed=0.05) is None


@settings(max_examples=40, deadline=None)
@given(
    size=st.tuples(st.integers(1, 23), st.integers(1, 23)),
    batch=st.integers(1, 3),
    cell=st.integers(1, 12),
    kind=st.sampled_from(["labels", "none", "one class", "any numbers"]),
    seed=st.integers(0, 1000),
)
@torch.no_grad()
def test_any_labels_of_any_size_are_modulated_as_by_the_plain_layers(
    size: tuple[int, int], batch: int, cell: int, kind: str, seed: int
) -> None:
    labels = label_map(batch, *size, cell, seed)
    labels = {"none": torch.full_like(labels, CLASSES), "one class": torch.full_like(labels, 2)}.get(kind, labels)
    condition = images(batch, CLASSES, *size, seed=seed) if kind == "any numbers" else one_hot(labels)
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-6)):
        norm = SpadeNorm(6, (2, CLASSES), hidden=9).to(dtype)
        areas = ConstantAreas.of(condition.to(dtype), Shortcuts())
        assert areas is not None
        found, wanted = areas.modulation(norm, 1), norm.modulation(1, condition.to(dtype))
        assert max(error(f, w) for f, w in zip(found, wanted, strict=True)) <= tolerance


@pytest.mark.usefixtures("everywhere")
@pytest.mark.parametrize("resize", ["area", "nearest"])
@pytest.mark.parametrize("upscale", [1, 2])
@pytest.mark.parametrize("norm", ["instance", "batch"])
@torch.no_grad()
def test_an_accelerated_generator_draws_the_same(resize: str, upscale: int, norm: str) -> None:
    generator = network(resize=resize, upscale=upscale, norm=norm, style_modulation=True).double()
    guidance = images(2, 2, 45, 70, dtype=torch.float64)
    guidance[..., 20:] = 0  # as where nothing was seen before
    conditions, z = [one_hot(label_map(2, 45, 70)).double(), guidance], images(2, 4, dtype=torch.float64)
    plain, without = generator(*conditions, z=z), generator(conditions[0], None, z=z)
    accelerate(generator)
    assert error(generator(*conditions, z=z), plain) <= 1e-12
    assert error(generator(conditions[0], None, z=z), without) <= 1e-12
    wide = conditions[0].to(memory_format=torch.channels_last)
    assert error(generator.to(memory_format=torch.channels_last)(wide, guidance, z=z), plain) <= 1e-12


def test_gradients_take_the_plain_way_and_new_weights_want_a_new_call() -> None:
    generator = accelerate(network())
    conditions, z = [one_hot(label_map(1, 80, 80, cell=40)), torch.zeros(1, 2, 80, 80)], images(1, 4)
    with torch.no_grad():
        first = generator(*conditions, z=z)
    generator(*conditions, z=z).sum().backward()
    shared = generator.blocks[-1].norm_0.mlp_shared[0].weight
    assert shared.grad is not None and shared.grad.abs().sum() > 0
    with torch.no_grad():
        shared.mul_(-1)
        found = accelerate(generator)(*conditions, z=z)
        generator.shortcuts = None
        wanted = generator(*conditions, z=z)
    assert error(first, wanted) > 1e-3 and error(found, wanted) < 1e-5
    assert accelerate(network()).state_dict().keys() == network().state_dict().keys()


def test_half_precision_is_as_near_as_the_plain_layers_are() -> None:
    generator = network()
    conditions, z = [one_hot(label_map(1, 96, 128, cell=30)), images(1, 2, 96, 128)], images(1, 4)
    with torch.inference_mode():
        exact = generator(*conditions, z=z)
        with torch.autocast("cpu", torch.bfloat16):
            plain = generator(*conditions, z=z)
            fast = accelerate(generator)(*conditions, z=z)
        assert generator.shortcuts._tables  # it was taken
        assert fast.dtype == torch.bfloat16
        assert (fast - exact).abs().mean() < 1.1 * (plain - exact).abs().mean()
        # The same model in float32 afterwards has tables of its own.
        assert error(generator(*conditions, z=z), exact) < 2e-5


@torch.no_grad()
def test_real_label_maps(data_dir) -> None:
    files = sorted((data_dir / "camvid" / "0016E5_c_15Hz" / "labels").glob("*.png"))
    if not files:
        pytest.skip("the data folder has no CamVid labels")
    image = cv2.imread(str(files[len(files) // 2]), cv2.IMREAD_UNCHANGED)
    labels = torch.from_numpy(cv2.resize(image, (256, 128), interpolation=cv2.INTER_NEAREST)).long()[None]
    condition = one_hot(labels.clamp(max=11), 11)  # 11 is CamVid's "unlabelled"
    norm = SpadeNorm(16, (11,), hidden=32)
    areas = ConstantAreas.of(condition, Shortcuts())
    assert areas is not None
    assert (areas.source <= 11).float().mean() > 0.5
    for found, wanted in zip(areas.modulation(norm, 0), norm.modulation(0, condition), strict=True):
        assert error(found, wanted) <= 1e-6


@pytest.mark.parametrize("fast", [False, True])
@torch.no_grad()
def test_one_label_map_serves_many_styles(fast: bool) -> None:
    generator = network(style_modulation=True).double()
    if fast:
        accelerate(generator)
    labels, z = one_hot(label_map(1, 64, 80, cell=30)).double(), images(3, 4, dtype=torch.float64)
    guidance = images(3, 2, 64, 80, dtype=torch.float64)
    together = generator(labels, guidance, z=z)
    assert error(together, generator(labels.expand(3, -1, -1, -1), guidance, z=z)) <= 1e-12
    alone = torch.cat([generator(labels, guidance[k : k + 1], z=z[k : k + 1]) for k in range(3)])
    assert error(together, alone) <= 1e-12
    assert (together[0] - together[1]).abs().mean() > 1e-2
    with pytest.raises(ValueError, match=r"style code of shape \(3, 4\)"):
        generator(labels, guidance, z=z[:2])
    with pytest.raises(ValueError, match="of one batch"):
        generator(labels.expand(2, -1, -1, -1), guidance, z=z)


@pytest.mark.parametrize("resize", ["area", "nearest"])
@torch.no_grad()
def test_upscale_is_the_generator_on_a_coarser_grid_with_two_convolutions_at_full_size(resize: str) -> None:
    generator = network(upscale=2, resize=resize)
    conditions, z = [images(2, c, 32, 48, seed=c) for c in (CLASSES, 2)], images(2, 4)
    small = [F.avg_pool2d(c, 2) if resize == "area" else c[..., ::2, ::2] for c in conditions]
    coarse = network(resize=resize)
    coarse.conv_img = nn.Identity()  # what is left are the features of the finest level
    coarse.load_state_dict(generator.state_dict(), strict=False)
    features = F.interpolate(coarse(*small, z=z), scale_factor=2, mode="bilinear", align_corners=False)
    wanted = generator.conv_img(F.leaky_relu(generator.conv_up(features), 0.2))
    assert torch.allclose(generator(*conditions, z=z), wanted, atol=1e-6)
    cropped = [c[..., :31, :43] for c in conditions]
    padded = [F.pad(c, (0, 5, 0, 1), mode="replicate") for c in cropped]
    assert torch.equal(generator(*cropped, z=z), generator(*padded, z=z)[..., :31, :43])


@torch.no_grad()
def test_style_modulation_starts_as_nothing_and_then_acts_per_channel() -> None:
    norm, plain = SpadeNorm(4, (3,), hidden=5, style_dim=2), SpadeNorm(4, (3,), hidden=5)
    plain.load_state_dict(norm.state_dict(), strict=False)
    x, condition, z = images(2, 4, 6, 7), images(2, 3, 6, 7, seed=1), images(2, 2, seed=2)
    before = plain(x, [condition])
    assert torch.equal(norm(x, [condition], z), before)
    assert isinstance(norm.style, nn.Linear)
    norm.style.weight.copy_(images(8, 2, seed=3))
    norm.style.bias.copy_(images(8, seed=4))
    for b in range(2):
        numbers = norm.style.weight @ z[b] + norm.style.bias
        for c in range(4):
            wanted = before[b, c] * (1 + numbers[c]) + numbers[4 + c]
            torch.testing.assert_close(norm(x, [condition], z)[b, c], wanted)


def test_old_configurations_keep_their_keys() -> None:
    old = SpadeGenerator(SpadeConfig((3,), 2, widths=(8, 6), hidden=4, style_dim=5)).state_dict().keys()
    new = SpadeGenerator(SpadeConfig((3,), 2, widths=(8, 6), hidden=4, style_dim=5, style_modulation=True))
    assert not any("style" in key for key in old)
    added = new.state_dict().keys() - old
    assert added == {
        f"blocks.{b}.norm_{n}.style.{p}"
        for b, n in ((0, 0), (0, 1), (1, 0), (1, 1), (1, "s"))
        for p in ("weight", "bias")
    }
    with pytest.raises(ValueError, match="style_modulation needs"):
        SpadeConfig((3,), 2, style_modulation=True)
    with pytest.raises(ValueError, match="positive"):
        SpadeConfig((3,), 2, upscale=0)
