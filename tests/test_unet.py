"""The dense-prediction network: sizes, reach, and that it can learn."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from render_refine.spade import pad_to_multiple
from render_refine.unet import UNet, UNetConfig


def small(norm: str = "group") -> UNet:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return UNet(UNetConfig(widths=(8, 16, 16), norm=norm))


def noise(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("size", [(1, 1), (1, 30), (13, 7), (16, 24)])
@torch.no_grad()
def test_any_size_is_the_padded_image_cropped(size: tuple[int, int]) -> None:
    model, image = small().eval(), noise(2, 3, *size)
    out = model(image)
    assert out.shape == (2, 1, *size) and out.isfinite().all()
    assert torch.equal(out, model(pad_to_multiple(image, 4))[..., : size[0], : size[1]])


@torch.no_grad()
def test_context_carries_one_corner_to_the_other() -> None:
    model = small("batch").eval()  # batch norm in eval mode mixes no pixels, so only the context can
    image = noise(1, 3, 128, 128)
    changed = image.clone()
    changed[..., :16, :16] = 1 - changed[..., :16, :16]

    def far_change() -> float:
        return (model(changed) - model(image))[..., 100:, 100:].abs().max().item()

    model.context.mlp[2].weight.mul_(1e3)  # at its first, random values the context only whispers
    assert far_change() > 1e-5
    model.context.mlp[2].weight.zero_()
    assert far_change() == 0


@torch.no_grad()
def test_group_norm_keeps_the_images_of_a_batch_apart() -> None:
    model, a, b = small().train(), noise(1, 3, 16, 16), noise(2, 3, 16, 16)[1:]
    torch.testing.assert_close(model(torch.cat([a, b]))[:1], model(a), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("norm", ["group", "batch"])
def test_it_learns_a_gradient_that_no_local_filter_knows(norm: str) -> None:
    """Depth that depends on the row alone, in an image that is noise: position must come through."""
    model, image = small(norm), noise(2, 3, 24, 24)
    target = torch.linspace(-1, 1, 24).view(1, 1, 24, 1).expand(2, 1, 24, 24)
    optimiser = torch.optim.Adam(model.parameters(), lr=5e-3)
    first = None
    for _ in range(80):
        loss = F.mse_loss(model(image), target)
        first = loss.item() if first is None else first
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.05 < first


def test_wrong_configs_and_inputs_are_named() -> None:
    with pytest.raises(ValueError, match="divide by 8"):
        UNetConfig(widths=(12, 16))
    with pytest.raises(ValueError, match="positive"):
        UNetConfig(in_channels=0)
    with pytest.raises(ValueError, match="expected"):
        small()(noise(1, 4, 8, 8))
