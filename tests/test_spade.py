"""SPADE layers against a loop over pixels, and the generator's promises."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from render_refine.spade import (
    SpadeConfig,
    SpadeGenerator,
    SpadeNorm,
    SpadeResBlock,
    StyleConfig,
    StyleEncoder,
    instance_norm,
    pad_to_multiple,
)
from render_refine.spectral import fuse_spectral_norm


def images(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def small(**changes: object) -> SpadeConfig:
    settings: dict = {"condition_channels": (3,), "out_channels": 2, "widths": (8, 8, 6), "hidden": 4}
    return SpadeConfig(**(settings | changes))


def naive_conv(x: Tensor, conv: nn.Conv2d, row: int, column: int) -> Tensor:
    """One output pixel of a zero-padded 3x3 convolution of (C, H, W)."""
    total = conv.bias.clone()
    for i in range(3):
        for j in range(3):
            r, c = row + i - 1, column + j - 1
            if 0 <= r < x.shape[1] and 0 <= c < x.shape[2]:
                total = total + conv.weight[:, :, i, j] @ x[:, r, c]
    return total


def naive_spade(norm: SpadeNorm, x: Tensor, conditions: list[Tensor]) -> Tensor:
    """(C, H, W): the paper's definition, pixel by pixel."""
    _, height, width = x.shape
    out = torch.stack([(c - c.mean()) / math.sqrt(c.var(correction=0) + 1e-5) for c in x])
    for k, condition in enumerate(conditions):
        hidden = torch.stack(
            [
                torch.stack([naive_conv(condition, norm.mlp_shared[k], i, j).clamp(min=0) for j in range(width)], -1)
                for i in range(height)
            ],
            dim=1,
        )
        result = torch.empty_like(out)
        for i in range(height):
            for j in range(width):
                gamma = naive_conv(hidden, norm.mlp_gamma[k], i, j)
                beta = naive_conv(hidden, norm.mlp_beta[k], i, j)
                result[:, i, j] = out[:, i, j] * (1 + gamma) + beta
        out = result
    return out


@pytest.mark.parametrize("channels", [(3,), (2, 5)])
@pytest.mark.parametrize("batch", [1, 2])
@torch.no_grad()
def test_spade_norm_is_the_papers_formula(channels: tuple[int, ...], batch: int) -> None:
    norm = SpadeNorm(4, channels, hidden=6).double()
    x = 3 + 2 * images(batch, 4, 5, 7, dtype=torch.float64)
    conditions = [images(batch, c, 5, 7, seed=c, dtype=torch.float64) for c in channels]
    wanted = torch.stack([naive_spade(norm, x[b], [c[b] for c in conditions]) for b in range(batch)])
    torch.testing.assert_close(norm(x, conditions), wanted, rtol=1e-10, atol=1e-10)


def test_order_of_the_conditions_matters() -> None:
    norm = SpadeNorm(4, (2, 2), hidden=6)
    x, a, b = images(1, 4, 5, 5), images(1, 2, 5, 5, seed=1), images(1, 2, 5, 5, seed=2)
    assert (norm(x, [a, b]) - norm(x, [b, a])).abs().max() > 1e-3


@torch.no_grad()
def test_zero_gamma_and_beta_leave_the_plain_norm() -> None:
    norm = SpadeNorm(4, (3, 1), hidden=6)
    for conv in (*norm.mlp_gamma, *norm.mlp_beta):
        nn.init.zeros_(conv.weight)
        nn.init.zeros_(conv.bias)
    x = images(2, 4, 6, 5)
    torch.testing.assert_close(norm(x, [images(2, 3, 6, 5), images(2, 1, 6, 5)]), F.instance_norm(x))


def test_instance_norm_keeps_float32_statistics_in_bfloat16() -> None:
    x = 40 + images(1, 2, 128, 128)
    rounded = x.bfloat16()
    wanted = instance_norm(rounded.double())
    for batch in (rounded, torch.cat([rounded, rounded])):
        error = (instance_norm(batch)[:1].double() - wanted).abs()
        assert error.max() < 2**-8 * wanted.abs().max() and error.mean() < 2e-3  # the rounding of the result
    assert torch.equal(instance_norm(images(2, 3, 1, 1)), torch.zeros(2, 3, 1, 1))


def test_batch_norm_tracks_its_own_statistics_in_every_layer() -> None:
    block = SpadeResBlock(4, 6, small(norm="batch", spectral=False))
    block(5 + images(4, 4, 6, 6), [images(4, 3, 6, 6)])
    for norm in (block.norm_0, block.norm_s):
        torch.testing.assert_close(norm.param_free_norm.running_mean, torch.full((4,), 0.5), atol=0.1, rtol=0)
    block.eval()
    first = block(images(1, 4, 6, 6), [images(1, 3, 6, 6)])
    pair = torch.cat([images(1, 4, 6, 6), 9 * images(1, 4, 6, 6, seed=5)])
    both = block(pair, [images(1, 3, 6, 6).repeat(2, 1, 1, 1)])
    torch.testing.assert_close(both[:1], first)  # in eval mode an image does not see its neighbours


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 5), (12, 16), (33, 2)])
@pytest.mark.parametrize("style_dim", [0, 5])
@torch.no_grad()
def test_any_size_is_the_padded_image_cropped(size: tuple[int, int], style_dim: int) -> None:
    generator = SpadeGenerator(small(style_dim=style_dim)).eval()
    condition = images(2, 3, *size)
    z = images(2, style_dim) if style_dim else None
    out = generator(condition, z=z)
    assert out.shape == (2, 2, *size) and out.isfinite().all()
    assert torch.equal(out, generator(pad_to_multiple(condition, 4), z=z)[..., : size[0], : size[1]])


def test_published_layouts() -> None:
    """Parameter counts of NVlabs SPADE, without buffers and spectral vectors: COCO-Stuff and Cityscapes."""
    shared: dict = {"out_channels": 3, "hidden": 128, "norm": "batch", "resize": "nearest"}
    with torch.device("meta"):
        coco = SpadeConfig((184,), widths=(1024, 1024, 512, 256, 128, 64), middle_blocks=2, **shared)
        streets = SpadeConfig((36,), widths=(1024, 1024, 1024, 512, 256, 128, 64), **shared)
        counts = [sum(p.numel() for p in SpadeGenerator(c).parameters()) for c in (coco, streets)]
        out = SpadeGenerator(coco)(torch.empty(1, 184, 256, 256))
    assert counts == [97_480_899, 93_048_003]
    assert out.shape == (1, 3, 256, 256)


@torch.no_grad()
def test_style_changes_the_output_and_each_image_has_its_own() -> None:
    generator = SpadeGenerator(small(style_dim=5)).eval()
    condition, z = images(1, 3, 16, 20).repeat(2, 1, 1, 1), images(2, 5)
    out = generator(condition, z=z)
    assert (out[0] - out[1]).abs().mean() > 1e-3
    torch.testing.assert_close(generator(condition, z=z.flip(0)), out.flip(0))


@torch.no_grad()
def test_a_changed_corner_of_the_condition_acts_locally() -> None:
    """With batch norm (no statistics across the image) the condition reaches only its neighbourhood."""
    generator = SpadeGenerator(small(style_dim=5, norm="batch")).eval()
    condition, z = images(1, 3, 96, 96), images(1, 5)
    changed = condition.clone()
    changed[..., :4, :4] += 1
    change = (generator(changed, z=z) - generator(condition, z=z)).abs().amax(dim=(0, 1))
    assert change[:4, :4].max() > 1e-3
    assert change[64:].max() == 0 and change[:, 64:].max() == 0


@torch.no_grad()
def test_features_enlarged_bilinearly_leave_no_squares() -> None:
    """Over a flat condition the picture varies at its border alone, in squares of the coarse grid or smoothly."""
    condition, z = torch.full((1, 3, 64, 64), 0.5), images(1, 5)
    jumps = {}
    for enlarge in ("nearest", "bilinear"):
        torch.manual_seed(0)
        settings = {"widths": (8, 8, 8, 8), "style_dim": 5, "norm": "batch", "enlarge": enlarge}
        out = SpadeGenerator(small(**settings)).eval()(condition, z=z)[..., 4:-4, 4:-4]
        jumps[enlarge] = out.diff(dim=-1).abs().amax() / out.std()
    assert jumps["bilinear"] < 0.6 * jumps["nearest"]


@torch.no_grad()
def test_pyramid_averages_or_keeps_labels_hard() -> None:
    labels = (images(1, 3, 8, 12) > 0).float()
    soft = SpadeGenerator(small()).pyramid([labels])
    hard = SpadeGenerator(small(resize="nearest")).pyramid([labels])
    assert [tuple(level[0].shape[-2:]) for level in soft] == [(2, 3), (4, 6), (8, 12)]
    torch.testing.assert_close(soft[0][0], labels.reshape(1, 3, 2, 4, 3, 4).mean(dim=(3, 5)))
    for level, size in zip(hard, [(2, 3), (4, 6), (8, 12)], strict=True):
        assert torch.equal(level[0], F.interpolate(labels, size=size, mode="nearest"))


def test_fusing_spectral_norm_changes_nothing_but_the_cost() -> None:
    generator = SpadeGenerator(small(style_dim=5))
    encoder = StyleEncoder(StyleConfig(widths=(4, 8), style_dim=5))
    condition, z, photo = images(2, 3, 17, 22), images(2, 5), images(2, 3, 40, 50)
    for _ in range(2):  # training moves the power iteration
        generator(condition, z=z).sum().backward()
    generator.eval(), encoder.eval()
    before, style = generator(condition, z=z), encoder(photo)
    generator.train()
    fuse_spectral_norm(generator), fuse_spectral_norm(encoder)
    assert generator.training and generator.blocks[0].training
    assert not generator.config.spectral and not encoder.config.spectral
    generator.eval()
    torch.testing.assert_close(generator(condition, z=z), before, rtol=0, atol=1e-5)
    torch.testing.assert_close(encoder(photo), style, rtol=0, atol=1e-5)
    assert generator.state_dict().keys() == SpadeGenerator(generator.config).state_dict().keys()


def test_spectral_norm_bounds_the_main_convolutions() -> None:
    block = SpadeResBlock(8, 8, small())
    with torch.no_grad():
        block.conv_0.parametrizations.weight.original.mul_(50)
    for _ in range(30):
        weight = block.conv_0.weight
    assert torch.linalg.matrix_norm(weight.flatten(1), 2).item() == pytest.approx(1, abs=0.02)


def test_autocast_and_channels_last_agree_with_float32() -> None:
    generator = fuse_spectral_norm(SpadeGenerator(small(style_dim=5)).eval())
    condition, z = images(1, 3, 32, 48), images(1, 5)
    with torch.inference_mode():
        wanted = generator(condition, z=z)
        generator.to(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            half = generator(condition.to(memory_format=torch.channels_last), z=z)
    assert half.dtype == torch.bfloat16
    assert (half.float() - wanted).abs().mean() < 0.03 * wanted.std()


def test_all_parameters_get_gradients() -> None:
    generator = SpadeGenerator(small(condition_channels=(3, 2), style_dim=5))
    generator(images(2, 3, 8, 8), images(2, 2, 8, 8), z=images(2, 5)).square().mean().backward()
    dead = [name for name, p in generator.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert dead == []


def test_wrong_inputs_are_named() -> None:
    generator = SpadeGenerator(small(style_dim=5))
    with pytest.raises(ValueError, match="style code"):
        generator(images(1, 3, 8, 8))
    with pytest.raises(ValueError, match="style code"):
        generator(images(2, 3, 8, 8), z=images(1, 5))
    with pytest.raises(ValueError, match="3,"):
        generator(images(1, 4, 8, 8), z=images(1, 5))
    with pytest.raises(ValueError, match="one size"):
        SpadeGenerator(small(condition_channels=(3, 3)))(images(1, 3, 8, 8), images(1, 3, 8, 9))
    with pytest.raises(ValueError, match="positive"):
        small(widths=(8, 0))


@pytest.mark.parametrize("size", [(1, 1), (3, 70), (64, 64)])
@torch.no_grad()
def test_style_encoder_tells_images_of_any_size_apart(size: tuple[int, int]) -> None:
    encoder = StyleEncoder(StyleConfig(widths=(4, 8, 8), style_dim=6, grid=(2, 2))).eval()
    mu, logvar = encoder(images(2, 3, *size))
    assert mu.shape == logvar.shape == (2, 6) and mu.isfinite().all()
    if size != (1, 1):  # instance norm removes what a uniform image has
        assert (mu[0] - mu[1]).abs().mean() > 1e-3


def test_sampled_styles_have_the_asked_distribution() -> None:
    mu, logvar = torch.full((20000, 1), 2.0), torch.full((20000, 1), math.log(0.25))
    z = StyleEncoder.sample(mu, logvar, torch.Generator().manual_seed(0))
    assert z.mean().item() == pytest.approx(2, abs=0.02) and z.std().item() == pytest.approx(0.5, abs=0.02)
    assert torch.equal(z, StyleEncoder.sample(mu, logvar, torch.Generator().manual_seed(0)))
