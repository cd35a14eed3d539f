"""The z-buffered soft splat on the CPU: `render_refine.splat.soft_splat_reference`, compiled.

Each tile of the image reads its points in order of id: once for the depth of the front surface, once for the sums
(`soft_forward`). Tiles are computed at the same time; for the gradient (`soft_backward`) only those whose points cannot
overlap, so gradients are summed in one order whatever the number of threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from render_refine.kernels.compiled import share
from render_refine.kernels.lanes import WIDTH
from render_refine.kernels.soft_backward import backward
from render_refine.kernels.soft_forward import forward
from render_refine.kernels.soft_tile import room
from render_refine.kernels.tiles import flat, memory, tile_lists, tiles_apart

REACH = 1.0  # pixels: how far a point spreads


def soft_splat(
    uv: Tensor,
    z: Tensor,
    features: Tensor,
    height: int,
    width: int,
    weights: Tensor | None = None,
    softness: float = 0.02,
    near: float = 0.0,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(B, H, W, C) features, and (B, H, W) depth, density and id of the nearest point, int64.

    Arguments as `render_refine.splat.soft_splat`, all of the same type, float32 or float64; ``near`` is the depth
    from which points count.
    """
    return _SoftSplat.apply(uv, z, features, weights, height, width, softness, near)


class _SoftSplat(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, uv, z, features, weights, height, width, softness, near):
        uv, z, features = uv.contiguous(), z.contiguous(), features.contiguous()
        # An empty array stands for weights that are all one.
        weights = z.new_empty(0, 0) if weights is None else weights.contiguous()
        batch, count, channels = features.shape
        start, entries = tile_lists(uv, z, REACH, height, width, near)
        across = -(-width // WIDTH) * WIDTH
        out = features.new_empty(batch, channels, height, across)
        depth, density, total, front = features.new_empty(4, batch, height, across)
        nearest = torch.empty(batch, height, across, dtype=torch.int64)
        numbers, size = np.array([softness], z.numpy().dtype), (count, height, width, across, channels)
        share(
            forward, lambda: room(start, numbers.dtype, channels), flat(uv, z, features, weights), start, entries,
            numbers, size, flat(out, depth, density, total, front, nearest),
        )  # fmt: skip
        ctx.save_for_backward(uv, z, features, weights, out, depth, total, front)
        ctx.passed = start, entries, numbers, size
        ctx.set_materialize_grads(False)
        images = tuple(image[:, :, :width] for image in (out.permute(0, 2, 3, 1), depth, density, nearest))
        ctx.mark_non_differentiable(*images[2:])
        return images

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_out, grad_depth, *_):
        uv, z, features, weights, *images = ctx.saved_tensors
        start, entries, numbers, size = ctx.passed
        if grad_out is None:
            grad_out = z.new_zeros(()).expand(len(z), *size[1:3], size[-1])
        grad_depth = z.new_empty(0) if grad_depth is None else F.pad(grad_depth, (0, size[3] - size[2])).contiguous()
        gradients = tuple(torch.zeros_like(t) for t in (uv, z, features, weights))
        share(
            backward, lambda: room(start, numbers.dtype, size[-1]), flat(uv, z, features, weights), start, entries,
            numbers, size, memory(grad_out), flat(grad_depth, *images), flat(*gradients), tiles_apart(REACH),
        )  # fmt: skip
        return *gradients[:3], gradients[3] if weights.numel() else None, None, None, None, None
