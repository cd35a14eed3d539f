"""Depth from a single photo, for landscapes: a small U-Net, trained on procedural worlds alone.

The network says how far each pixel is, up to an unknown scale, and whether it is sky; on the sky a segmenter, which has
seen real ones, has the greater say. One unit of depth is set to the nearest tenth of the picture, so that every photo
comes in like units.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pipelines.perception.segmentation import Segmenter
from render_refine.depth_maps import NEAREST_SHARE, guided_filter, sharpen_edges
from render_refine.fill import pull_push
from render_refine.precision import autocast
from render_refine.unet import UNet

WORKING_AREA = 192 * 320  # pixels that the network looks at
LARGEST_RATIO = 300.0  # of the farthest to the nearest depth
SMALL_SKY = 0.05  # of the picture
LEAST_GROUND = 0.01  # of the picture; with less, nothing is sky
SURE = 4.0  # log odds beyond which neither network says more about the sky
OWN_SHARE = 0.2  # of the depth network's opinion on the sky, beside a segmenter's


class DepthEstimator:
    """A network and what it takes to ask it about a photo of any size; and a segmenter, which knows skies."""

    def __init__(self, network: UNet, segmenter: Segmenter | None = None) -> None:
        self.network = network.eval()
        self.segmenter = segmenter

    @torch.no_grad()
    def __call__(self, rgb: Tensor) -> Tensor:
        """Depth (H, W) of a photo (3, H, W) in [0, 1]: z with the nearest tenth at 1, inf in the sky."""
        height, width = rgb.shape[-2:]
        scale = min(1.0, math.sqrt(WORKING_AREA / (height * width)))
        size = [max(16, round(side * scale)) for side in (height, width)]
        small = F.interpolate(rgb[None], size=size, mode="bilinear", antialias=True, align_corners=False)
        # The mean over the mirrored photo is steadier than either.
        both = torch.cat([small, small.flip(-1)]).contiguous(memory_format=torch.channels_last)
        with autocast(rgb.device):
            out = self.network(both * 2 - 1).float()
        if self.segmenter is not None:
            says = self.segmenter.evidence(both, "sky").clamp(-SURE, SURE)
            out = torch.cat([out, torch.lerp(says, out[:, 1:].clamp(-SURE, SURE), OWN_SHARE)], dim=1)
        out = 0.5 * (out[:1] + out[1:].flip(-1))
        out = F.interpolate(out, size=(height, width), mode="bilinear", align_corners=False)
        out = guided_filter(rgb[None], out, radius=max(2, round(0.01 * max(height, width))))[0]
        log_depth, unseen = out[0], out[1] > 0
        sky = tidy_sky(out[-1] > 0)
        # Where the network took ground for sky it has no opinion on its depth: that comes from around.
        log_depth = pull_push(log_depth[None, None], (~unseen | sky)[None, None].to(log_depth.dtype))[0, 0]
        if sky.float().mean() > 1 - LEAST_GROUND:
            # Clouds from edge to edge, say. Into a sky at infinity one could fly for ever and see nothing move.
            return torch.ones_like(log_depth)
        nearest = log_depth[~sky].quantile(NEAREST_SHARE)
        depth = (log_depth - nearest).clamp(-1.5, math.log(LARGEST_RATIO)).exp()
        return torch.where(sky, torch.full_like(depth, math.inf), sharpen_edges(depth))


def tidy_sky(sky: Tensor) -> Tensor:
    """A sky without islands: (H, W) bool to the same.

    Ground that does not reach down to the lower edge of the picture is cloud, aurora or glare, so it is sky;
    small patches of sky that do not reach the upper edge are water or snow, so they are ground.
    """

    def parts(mask: np.ndarray, edge: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        _, label, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
        at_edge = np.zeros(len(stats), bool)
        at_edge[np.unique(label[edge])] = True
        return label, at_edge, stats[:, cv2.CC_STAT_AREA]

    mask = sky.cpu().numpy()
    label, grounded, _ = parts(~mask, -1)
    if (grounded[label] & ~mask).any():
        mask = mask | ~grounded[label]
    label, open_above, area = parts(mask, 0)
    lake = ~open_above & (area < SMALL_SKY * mask.size)
    return torch.from_numpy(mask & ~lake[label]).to(sky.device)
