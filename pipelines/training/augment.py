"""Making exact pictures as imperfect as photographs: the cameras, air and light that worlds do not vary enough."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.io import decode_jpeg, encode_jpeg


def uniform(generator: torch.Generator, low: float, high: float) -> float:
    """A number drawn evenly from [low, high)."""
    return low + (high - low) * float(torch.rand((), generator=generator))


def chance(generator: torch.Generator, probability: float) -> bool:
    """True with the given probability."""
    return float(torch.rand((), generator=generator)) < probability


def grade(rgb: Tensor, generator: torch.Generator) -> Tensor:
    """Another exposure, contrast, white balance and saturation of an image (3, H, W) in [0, 1]."""
    rgb = rgb.clamp(0, 1) ** (2 ** uniform(generator, -0.7, 0.7))
    balance = torch.tensor([uniform(generator, 0.8, 1.2) for _ in range(3)])
    rgb = rgb * balance[:, None, None].to(rgb.device) * uniform(generator, 0.75, 1.2)
    mean = rgb.mean()
    rgb = (rgb - mean) * uniform(generator, 0.6, 1.3) + mean
    grey = rgb.mean(dim=0, keepdim=True)
    return (grey + (rgb - grey) * uniform(generator, 0.2, 1.4)).clamp(0, 1)


def haze(rgb: Tensor, depth: Tensor, generator: torch.Generator) -> Tensor:
    """Air in front of an image (3, H, W) by its depth (H, W): exponential, of one colour; the sky is left."""
    finite = torch.isfinite(depth)
    if not finite.any():
        return rgb
    reach = depth[finite].quantile(0.7) * 2 ** uniform(generator, -0.5, 4)
    air = torch.tensor([uniform(generator, 0.4, 1.0) for _ in range(3)], device=rgb.device)
    air = (0.7 * air.mean() + 0.3 * air)[:, None, None]
    through = torch.where(finite, torch.exp(-depth / reach), torch.ones_like(depth))
    return rgb * through + air * (1 - through)


def another_sky(rgb: Tensor, depth: Tensor, generator: torch.Generator) -> Tensor:
    """Any other sky over an image (3, H, W) with depth (H, W): day, dusk, night, aurora; and light to match.

    Worlds have skies as the weather makes them; photographs also have black ones with a glow at the horizon.
    """

    def colour() -> Tensor:
        tint = torch.tensor([uniform(generator, 0.3, 1.0) for _ in range(3)])
        return (tint * uniform(generator, 0.02, 1.0) ** 1.5)[:, None, None].to(rgb.device)

    height, width = depth.shape
    down = torch.linspace(0, 1, height, device=rgb.device)[None, :, None] ** uniform(generator, 0.5, 3)
    sky = torch.lerp(colour(), colour(), down).expand_as(rgb)
    cells = [int(torch.randint(2, 7, (), generator=generator)) for _ in range(2)]
    clouds = torch.rand(1, 1, *cells, generator=generator).to(rgb.device)
    clouds = F.interpolate(clouds, size=(height, width), mode="bicubic", align_corners=False)[0].clamp(0, 1)
    sky = torch.lerp(sky, colour(), clouds * uniform(generator, 0, 1))
    light = uniform(generator, 0.05, 1.0) if chance(generator, 0.6) else 1.0
    return torch.where(torch.isinf(depth), sky, rgb * light)


def sensor(rgb: Tensor, generator: torch.Generator) -> Tensor:
    """Soft focus, noise and 8 bits."""
    if chance(generator, 0.4):
        height, width = rgb.shape[-2:]
        factor = uniform(generator, 0.4, 1.0)
        small = [max(8, round(height * factor)), max(8, round(width * factor))]
        rgb = F.interpolate(rgb[None], size=small, mode="bilinear", antialias=True)
        rgb = F.interpolate(rgb, size=(height, width), mode="bilinear")[0]
    if chance(generator, 0.5):
        noise = torch.randn(rgb.shape, generator=generator).to(rgb.device)
        rgb = rgb + uniform(generator, 0, 0.04) * noise
    return (rgb.clamp(0, 1) * 255).round() / 255


def jpeg(rgb: Tensor, generator: torch.Generator) -> Tensor:
    """At times the marks of compression on an image (3, H, W) in [0, 1]."""
    if not chance(generator, 0.4):
        return rgb
    quality = int(uniform(generator, 30, 95))
    stored = encode_jpeg((rgb * 255).round().to(torch.uint8).cpu(), quality)
    return (decode_jpeg(stored).float() / 255).to(rgb.device)
