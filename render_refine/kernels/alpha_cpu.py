"""Exact alpha compositing on the CPU: `render_refine.splat.alpha_splat_reference`, compiled.

Each block of 4 x 4 pixels walks its points from front to back (`alpha_forward`), and for the gradient from back to
front (`alpha_backward`), a vector instruction for all pixels at once. Tiles are computed at the same time; for the
gradient only those whose points cannot overlap, so gradients are summed in one order whatever the number of threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from render_refine.kernels.alpha_backward import backward
from render_refine.kernels.alpha_forward import forward
from render_refine.kernels.alpha_tile import BLOCKS, FEW, SHADES, SIDE, formula
from render_refine.kernels.compiled import share
from render_refine.kernels.lanes import WIDTH
from render_refine.kernels.tiles import flat, memory, sorting_room, tile_lists, tiles_apart


def alpha_splat(
    uv: Tensor,
    z: Tensor,
    features: Tensor,
    height: int,
    width: int,
    radius: float = 1.0,
    k: int = 1,
    tau: float = 1.0,
    near: float = 0.0,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(B, H, W, C) features, and (B, H, W) depth, opacity and id of the nearest point, int64.

    Arguments as `render_refine.splat.alpha_splat`, all of the same type, float32 or float64; ``near`` is the depth
    from which points count.
    """
    return _AlphaSplat.apply(uv, z, features, height, width, radius, k, tau, near)


class _AlphaSplat(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, uv, z, features, height, width, radius, k, tau, near):
        uv, z, features = uv.contiguous(), z.contiguous(), features.contiguous()
        batch, count, channels = features.shape
        start, entries = tile_lists(uv, z, radius, height, width, near)
        # Images of whole blocks; few channels lie one after the other, many side by side.
        down, across = (-(-side // SIDE) * SIDE for side in (height, width))
        planes = (batch, channels, down, across) if channels <= FEW else (batch, down, across, channels)
        dtype = uv.numpy().dtype
        out = np.empty(planes, dtype)
        depth, opacity = (np.empty((batch, down, across), dtype) for _ in range(2))
        nearest = np.empty((batch, down, across), np.int64)
        # What the gradient needs, block by block.
        numbers = formula(dtype, radius, tau)
        kept = np.empty((len(start) - 1) * BLOCKS * 3 * WIDTH, numbers.dtype)
        last = np.empty((len(start) - 1) * BLOCKS * WIDTH, np.int32)
        size = count, height, width, down, across, channels, float(radius), min(int(k), 2**31 - 1)

        def room() -> tuple:
            return *_room(start, numbers.dtype, channels), *sorting_room(start)

        results = *(image.reshape(-1) for image in (out, depth, opacity, nearest)), kept, last
        share(forward, room, flat(uv, z, features), start, entries, numbers, size, results)
        ctx.save_for_backward(uv, z, features)
        ctx.passed = start, entries, numbers, size, kept, last
        ctx.set_materialize_grads(False)
        out = out.transpose(0, 2, 3, 1) if channels <= FEW else out
        images = tuple(torch.from_numpy(image)[:, :height, :width] for image in (out, depth, opacity, nearest))
        ctx.mark_non_differentiable(images[-1])
        return images

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_out, grad_depth, grad_opacity, _):
        uv, z, features = ctx.saved_tensors
        start, entries, numbers, size, kept, last = ctx.passed
        _, height, width, down, across, channels, radius, _ = size
        if grad_out is None:
            grad_out = z.new_zeros(()).expand(len(z), height, width, channels)
        grad_out = _whole_blocks(grad_out.permute(0, 3, 1, 2), down, across)
        rest = [
            z.new_empty(0) if grad is None else _whole_blocks(grad, down, across).contiguous()
            for grad in (grad_depth, grad_opacity)
        ]
        gradients = tuple(torch.from_numpy(np.zeros(t.shape, numbers.dtype)) for t in (uv, z, features))

        def room() -> tuple:
            ours = _room(start, numbers.dtype, channels)
            many = np.zeros(0 if channels <= FEW else len(ours[-2]) - SHADES, numbers.dtype)
            return *ours, many, np.empty(4 * len(ours[1]), numbers.dtype), np.empty_like(ours[2])

        share(
            backward, room, flat(uv, z, features), start, entries, numbers, size, memory(grad_out),
            (*flat(*rest), kept, last), flat(*gradients), tiles_apart(radius),
        )  # fmt: skip
        return *gradients, None, None, None, None, None, None


def _whole_blocks(images: Tensor, down: int, across: int) -> Tensor:
    """(..., H, W) images with zeros up to this size."""
    height, width = images.shape[-2:]
    return images if (height, width) == (down, across) else F.pad(images, (0, across - width, 0, down - height))


def _room(start: np.ndarray, dtype: np.dtype, channels: int) -> tuple:
    """Arrays for one thread: of the longest list's points the place, where features begin, these themselves and which
    blocks they touch; lists of blocks; the points that a block takes and their weights in it; a block's planes and its
    nearest and last points."""
    longest = -(-int(np.diff(start).max(initial=0)) // WIDTH) * WIDTH
    step = SIDE if channels <= FEW else 2 * WIDTH
    padded = -(-channels // step) * step
    copied = channels <= FEW or padded > channels
    return (
        np.empty((3, longest), dtype),
        np.empty(longest, np.int64),
        np.zeros(padded * longest if copied else 0, dtype),
        np.empty((3, longest), np.int32),
        np.empty(BLOCKS + 1, np.int64),
        np.empty((BLOCKS + 1, longest + 1), np.int32),
        np.empty(longest + SIDE, np.int32),
        np.empty((longest + SIDE) * WIDTH, dtype),
        np.zeros(SHADES + WIDTH * padded, dtype),
        np.empty(2 * WIDTH, np.int32),
    )
