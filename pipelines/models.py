"""The bundled models, by what they do. They lie in ``pipelines/weights``, each with its model card."""

from __future__ import annotations

from pathlib import Path

import torch

from infinite_view.refiner import Refiner
from pipelines.errors import InputError
from pipelines.perception.depth import DepthEstimator
from pipelines.perception.segmentation import Segmenter
from render_refine.label_modulation import accelerate
from render_refine.unet import UNet
from vid2vid.generator import FootageGenerator
from vid2vid.motion import MotionNetwork

WEIGHTS = Path(__file__).parent / "weights"


def load_depth(device: torch.device | str = "cpu") -> DepthEstimator:
    """The bundled landscape depth estimator."""
    return DepthEstimator(UNet.from_pretrained(WEIGHTS / "depth", device=device).to(memory_format=torch.channels_last))


def load_refiner(folder: Path | None = None, device: torch.device | str = "cpu") -> Refiner:
    """The bundled flyover refiner, or one from a folder that ``viewsynth train`` or ``save_pretrained`` wrote.

    Raises:
        InputError: the folder is not a refiner.
    """
    try:
        model = Refiner.from_pretrained(folder or WEIGHTS / "refiner", device=device)
    except (ValueError, OSError) as error:
        raise InputError(str(error)) from None
    return model.eval().to(memory_format=torch.channels_last)


def load_footage(
    folder: Path | None = None, device: torch.device | str = "cpu"
) -> tuple[FootageGenerator, MotionNetwork]:
    """The generator of footage, bundled or from a folder, and the bundled network that predicts motion.

    Raises:
        InputError: the folder is not a generator.
    """
    try:
        generator = FootageGenerator.from_pretrained(folder or WEIGHTS / "footage", device=device)
    except (ValueError, OSError) as error:
        raise InputError(str(error)) from None
    generator = generator.eval().to(memory_format=torch.channels_last)
    accelerate(generator.spade)
    return generator, load_motion(device)


def load_motion(device: torch.device | str = "cpu") -> MotionNetwork:
    """The bundled network that predicts how label maps move."""
    return MotionNetwork.from_pretrained(WEIGHTS / "motion", device=device).eval().to(memory_format=torch.channels_last)


def load_segmenter(folder: Path | None = None, device: torch.device | str = "cpu") -> Segmenter:
    """The bundled segmenter of landscapes and streets, or one from a folder.

    Raises:
        InputError: the folder is not a segmenter.
    """
    try:
        model = Segmenter.from_pretrained(folder or WEIGHTS / "segmenter", device=device)
    except (ValueError, OSError) as error:
        raise InputError(str(error)) from None
    return model.eval().to(memory_format=torch.channels_last)


def usable_device(name: str) -> torch.device:
    """A device by name, checked.

    Raises:
        InputError: no such device here.
    """
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"--device {name}: not available ({reason}); cpu always is") from None
    return device
