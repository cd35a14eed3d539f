"""Patch discriminators: receptive field, scales, clips, and that they learn to tell."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from render_refine.discriminator import DiscriminatorConfig, MultiScaleDiscriminator, TemporalDiscriminator
from render_refine.losses import hinge_d


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_published_layout() -> None:
    """The sizes of NVlabs SPADE for Cityscapes: 39 channels at 256x512 give logits of 35x67 and 19x35."""
    with torch.device("meta"):
        outputs = MultiScaleDiscriminator(DiscriminatorConfig(39))(torch.empty(1, 39, 256, 512))
    assert [tuple(scale[-1].shape) for scale in outputs] == [(1, 1, 35, 67), (1, 1, 19, 35)]
    assert [f.shape[1] for f in outputs[0]] == [64, 128, 256, 512, 1]


@pytest.mark.parametrize("size", [(1, 1), (2, 33), (37, 21)])
@torch.no_grad()
def test_any_size_gives_finite_logits(size: tuple[int, int]) -> None:
    outputs = MultiScaleDiscriminator(DiscriminatorConfig(3, width=4, num_scales=3))(noise(2, 3, *size))
    assert len(outputs) == 3 and all(f.isfinite().all() for scale in outputs for f in scale)


@torch.no_grad()
def test_the_second_scale_sees_the_pooled_image() -> None:
    model = MultiScaleDiscriminator(DiscriminatorConfig(3, width=4)).eval()
    image = noise(1, 3, 32, 40)
    # 3x3 means of every second pixel, one by one; at the border of what lies inside.
    pooled = torch.empty(1, 3, 16, 20)
    for row in range(16):
        for column in range(20):
            window = image[..., max(2 * row - 1, 0) : 2 * row + 2, max(2 * column - 1, 0) : 2 * column + 2]
            pooled[..., row, column] = window.mean(dim=(-2, -1))
    for found, wanted in zip(model(image)[1], model.scales[1](pooled), strict=True):
        torch.testing.assert_close(found, wanted)


@torch.no_grad()
def test_an_input_pixel_reaches_only_its_patches() -> None:
    model = MultiScaleDiscriminator(DiscriminatorConfig(1, width=4, layers=2, num_scales=1)).eval()
    image = noise(1, 1, 64, 64)
    changed = image.clone()
    changed[..., 0, 0] += 1e-3
    first_a, first_b = model(image)[0][0], model(changed)[0][0]
    assert (first_a != first_b).nonzero()[:, 2:].max() == 1  # 4x4, stride 2, padding 2: outputs 0 and 1


@torch.no_grad()
def test_temporal_discriminator_sees_the_order_of_frames() -> None:
    model = TemporalDiscriminator(DiscriminatorConfig(2, width=4, frames=3)).eval()
    clip = noise(2, 3, 2, 20, 24)
    assert (model(clip)[0][-1] - model(clip.flip(1))[0][-1]).abs().max() > 1e-4
    stacked = super(TemporalDiscriminator, model).forward(clip.reshape(2, 6, 20, 24))
    assert torch.equal(model(clip)[1][-1], stacked[1][-1])
    with pytest.raises(ValueError, match=r"\(B, 3, 2, H, W\)"):
        model(noise(2, 4, 2, 20, 24))


def test_it_learns_to_tell_sharp_from_blurred() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = MultiScaleDiscriminator(DiscriminatorConfig(1, width=8, layers=3))
    optimiser = torch.optim.Adam(model.parameters(), lr=2e-3, betas=(0.0, 0.9))
    for step in range(30):
        real = noise(4, 1, 32, 32, seed=step)
        fake = torch.nn.functional.avg_pool2d(real, 3, 1, 1)
        loss = hinge_d(model(real), model(fake))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() < 1.0  # 2 for a discriminator that says 0


def test_wrong_configs_are_named() -> None:
    for changes in ({"in_channels": 0}, {"layers": 1}, {"num_scales": 0}):
        with pytest.raises(ValueError, match="positive"):
            DiscriminatorConfig(**({"in_channels": 3} | changes))
