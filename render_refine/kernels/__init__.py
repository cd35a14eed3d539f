"""The renderer's two functions, faster, per device. `render_refine.splat` is their reference and chooses among them.

Nothing here is imported before it is needed, so that importing the package costs nothing.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from importlib import import_module

import torch
from torch import Tensor

log = logging.getLogger(__name__)

MODULES = {
    ("alpha_splat", "cpu"): "alpha_cpu",
    ("soft_splat", "cpu"): "soft_cpu",
    ("alpha_splat", "cuda"): "alpha_gpu",
    ("soft_splat", "cuda"): "soft_gpu",
}
TYPES = (torch.float32, torch.float64)


@functools.cache
def _load(name: str, device: str) -> Callable | None:
    """A kernel that was seen to compile, or None."""
    try:
        kernel = getattr(import_module(f"render_refine.kernels.{MODULES[name, device]}"), name)
        kernel(*(torch.ones(shape, device=device) for shape in ((1, 1, 2), (1, 1), (1, 1, 1))), 1, 1)
    except Exception as reason:  # whatever a compiler may raise on a machine that it does not know
        line = str(reason).strip().partition("\n")[0]
        log.warning("%s runs in plain torch on %s, which is slower: %s", name, device, line)
        return None
    return kernel


def find(name: str, *tensors: Tensor) -> Callable | None:
    """The kernel of this name for the device and type of these tensors, or None: then plain torch must do."""
    device, dtype = tensors[0].device.type, tensors[0].dtype
    alike = all(t.device.type == device and t.dtype == dtype for t in tensors)
    return _load(name, device) if (name, device) in MODULES and alike and dtype in TYPES else None
