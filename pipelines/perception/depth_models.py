"""Depth from the models of ``transformers``, by name or folder, in the terms of this project."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pipelines.errors import InputError
from render_refine.depth_maps import NEAREST_SHARE, sharpen_edges

FARTHEST = 100.0  # times the nearest tenth: what an inverse depth puts beyond it is sky
# What the numbers are that a model of each type predicts.
INVERSE = {"glpn": False, "zoedepth": False, "dpt": True, "depth_pro": True}


class TransformersDepth:
    """A depth model of ``transformers``, asked as `pipelines.perception.depth.DepthEstimator` is."""

    def __init__(self, model: Any, processor: Any, inverse: bool) -> None:
        self.model, self.processor, self.inverse = model.eval(), processor, inverse
        # The model shall see the whole picture, and nothing besides.
        processor.do_center_crop = processor.do_pad = False

    @staticmethod
    def from_pretrained(name: str, device: torch.device | str = "cpu") -> TransformersDepth:
        """A model by its name on the hub or its folder. Nothing that comes with it is executed, and no pickle read.

        Raises:
            InputError: ``transformers`` is not installed, there is no such model, or what it predicts is not known.
        """
        try:
            from transformers import AutoImageProcessor, AutoModelForDepthEstimation
        except ImportError:
            raise InputError("--depth-model needs the library transformers: pip install 'viewsynth[models]'") from None
        try:
            processor = AutoImageProcessor.from_pretrained(name, trust_remote_code=False)
            model = AutoModelForDepthEstimation.from_pretrained(name, trust_remote_code=False, use_safetensors=True)
        except Exception as error:  # whatever the library, the network or a damaged file may raise
            reason = " ".join(str(error).split()) or type(error).__name__
            raise InputError(f"--depth-model {name}: not loaded as a depth model ({reason})") from None
        inverse = predicts_inverse(name, model.config)
        return TransformersDepth(model.to(device), processor, inverse)

    @torch.no_grad()
    def __call__(self, rgb: Tensor) -> Tensor:
        """Depth (H, W) of a photo (3, H, W) in [0, 1]: z with the nearest tenth at 1, inf in the sky."""
        pixels = (rgb.clamp(0, 1) * 255).round().to(torch.uint8).cpu()
        inputs = self.processor(images=pixels, return_tensors="pt").to(self.model.device)
        predicted = self.model(**inputs).predicted_depth.float()
        if not bool(predicted.isfinite().all()):
            raise InputError("--depth-model: it predicted depths that are not finite for this photo")
        height, width = rgb.shape[-2:]
        return near_units(predicted.reshape(1, 1, *predicted.shape[-2:]), height, width, self.inverse)


def predicts_inverse(name: str, config: Any) -> bool:
    """Whether the numbers of a model are inverse depth, by its config.

    Raises:
        InputError: a type of model that does not say.
    """
    if config.model_type == "depth_anything":
        return config.depth_estimation_type == "relative"
    if config.model_type not in INVERSE:
        known = ", ".join(sorted([*INVERSE, "depth_anything"]))
        raise InputError(f"--depth-model {name}: found a model of type {config.model_type!r}, expected one of {known}")
    return INVERSE[config.model_type]


def near_units(predicted: Tensor, height: int, width: int, inverse: bool) -> Tensor:
    """Depth z (height, width), its nearest tenth at 1, from depth or inverse depth (1, 1, h, w) in any unit.

    Inverse depth has a zero, the sky; beyond ``FARTHEST`` everything is. Depth knows no sky.
    """
    disparity = predicted.clamp_min(0) if inverse else 1 / predicted.clamp_min(1e-6)
    near = disparity.quantile(1 - NEAREST_SHARE)
    if near <= 0:
        return torch.ones(height, width, device=predicted.device)
    disparity = F.interpolate(disparity / near, (height, width), mode="bilinear", align_corners=False)[0, 0]
    depth = sharpen_edges(1 / disparity.clamp_min(1 / FARTHEST))
    return torch.where(disparity < 1 / FARTHEST, torch.inf, depth) if inverse else depth
