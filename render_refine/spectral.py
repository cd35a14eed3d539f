"""Spectral normalisation: it keeps generators steady in training, and is baked into plain weights afterwards.

Miyato, Kataoka, Koyama, Yoshida: "Spectral Normalization for Generative Adversarial Networks", ICLR 2018.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import spectral_norm

Network = TypeVar("Network", bound=nn.Module)


def spectral_conv(
    in_channels: int, out_channels: int, kernel: int, spectral: bool, bias: bool = True, stride: int = 1
) -> nn.Module:
    """A padded convolution whose weights are, with ``spectral``, divided by their largest singular value."""
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride=stride, padding=kernel // 2, bias=bias)
    return spectral_norm(conv) if spectral else conv


def fuse_spectral_norm(module: Network) -> Network:
    """Bake spectral normalisation into plain weights, in place, and return ``module``.

    The module computes what it computed in eval mode, but no longer divides by a spectral norm at every
    call; its ``config`` (and those of its parts) then says ``spectral=False``, so it saves and loads plainly.
    """
    for part in module.modules():
        if parametrize.is_parametrized(part, "weight"):
            was_training = part.training
            part.eval()  # in training mode, reading the weight would advance the power iteration
            parametrize.remove_parametrizations(part, "weight")
            part.train(was_training)
        if is_dataclass(getattr(part, "config", None)):
            part.config = _without_spectral(part.config)
    return module


def _without_spectral(config: Any) -> Any:
    changes: dict[str, Any] = {}
    for field in fields(config):
        value = getattr(config, field.name)
        if field.name == "spectral":
            changes["spectral"] = False
        elif is_dataclass(value):
            changes[field.name] = _without_spectral(value)
    return replace(config, **changes)
