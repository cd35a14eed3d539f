"""What a keyframe must not do: bounds beyond which it is drawn again.

A flight is written once and read for ever, so a bad drawing would be seen for ever, and the next one would be drawn
beside it. The bounds are relative to the first guess, which is smooth but never far off, and to the photo.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from infinite_view.texture import split
from render_refine.memory import View

TINT = 0.1  # mean change of the colours of what goes on from what was drawn, of the full range
SKY = 0.3  # share of what is new that may become sky, or ground, against the first guess
CLOSER = 0.5  # times the least depth of what is known
NEAR = 0.05  # share of the new ground that may be closer still
DETAIL = 2.0  # times the photo's strongest


@dataclass(frozen=True)
class Bounds:
    """What is allowed.

    Attributes:
        detail: mean square of the finest band of what is new, at most.
    """

    detail: float

    @staticmethod
    def of(rgb: Tensor) -> Bounds:
        """Bounds from the start picture (3, H, W)."""
        finest = split(rgb)[1][0].square().mean(dim=0)
        # The strongest of eight by eight tiles.
        return Bounds(DETAIL * float(torch.nn.functional.adaptive_avg_pool2d(finest[None], 8).max()))

    def hold(self, guess: View, drawn: View, new: Tensor, free: Tensor) -> bool:
        """Whether a drawing may be shown, given its first guess.

        Args:
            new: (H, W) bool, the pixels that were drawn.
            free: (H, W) bool, those of them that may take any tint, since it will be found anew each time.
        """
        if not new.any():
            return True
        depth = drawn.depth
        if not drawn.rgb.isfinite().all() or depth.isnan().any() or (depth <= 0).any():
            return False
        locked = new & ~free
        tint = (drawn.rgb - guess.rgb)[:, locked].mean(dim=1).abs().max() if locked.any() else guess.rgb.new_tensor(0.0)
        sky = (drawn.sky[new].float().mean() - guess.sky[new].float().mean()).abs()
        solid = guess.depth[guess.known & ~guess.sky]
        hole = new & ~guess.known
        closest = CLOSER * solid.min() if len(solid) else depth.new_tensor(0.0)
        near = (depth[hole] < closest).float().mean() if hole.any() else depth.new_tensor(0.0)
        finest = split(drawn.rgb)[1][0].square().mean(dim=0)[new].mean()
        return bool(tint <= TINT and sky <= SKY and near <= NEAR and finest <= self.detail)
