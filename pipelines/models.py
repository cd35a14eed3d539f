"""The bundled models, by what they do. They lie in ``pipelines/weights``, each with its model card."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import torch

from infinite_view.refiner import Refiner
from pipelines.errors import InputError
from pipelines.perception.depth import DepthEstimator
from pipelines.perception.segmentation import Segmenter
from render_refine.label_modulation import accelerate
from render_refine.pretrained import Pretrained
from render_refine.unet import UNet
from synsin.model import ViewSynthesizer
from vid2vid.detector import Detector
from vid2vid.generator import FootageGenerator
from vid2vid.motion import MotionNetwork
from vid2vid.restyler import Restyler

Model = TypeVar("Model", bound=Pretrained)
WEIGHTS = Path(__file__).parent / "weights"


def load_depth(device: torch.device | str = "cpu") -> DepthEstimator:
    """The bundled landscape depth estimator."""
    return DepthEstimator(loaded(UNet, WEIGHTS / "depth", device), load_segmenter(device=device))


def load_refiner(folder: Path | None = None, device: torch.device | str = "cpu") -> Refiner:
    """The bundled flyover refiner, or one from a folder that ``viewsynth train`` or ``save_pretrained`` wrote.

    Raises:
        InputError: the folder is not a refiner.
    """
    return loaded(Refiner, folder or WEIGHTS / "refiner", device)


def load_footage(
    folder: Path | None = None, device: torch.device | str = "cpu"
) -> tuple[FootageGenerator, MotionNetwork]:
    """The generator of footage, bundled or from a folder, and the bundled network that predicts motion.

    Raises:
        InputError: the folder is not a generator.
    """
    generator = loaded(FootageGenerator, folder or WEIGHTS / "footage", device)
    accelerate(generator.spade)
    return generator, load_motion(device)


def load_lights(device: torch.device | str = "cpu") -> Detector:
    """The bundled detector of windows and lamps that light up at night."""
    return loaded(Detector, WEIGHTS / "lights", device)


def load_snow(device: torch.device | str = "cpu") -> Detector:
    """The bundled detector of where snow would lie."""
    return loaded(Detector, WEIGHTS / "snow", device)


def load_motion(device: torch.device | str = "cpu") -> MotionNetwork:
    """The bundled network that predicts how label maps move."""
    return loaded(MotionNetwork, WEIGHTS / "motion", device)


def load_restyler(folder: Path | None = None, device: torch.device | str = "cpu") -> Restyler:
    """The bundled network that gives clips another light or season, or one from a folder.

    Raises:
        InputError: the folder is not a restyler.
    """
    return loaded(Restyler, folder or WEIGHTS / "restyle", device)


def load_segmenter(folder: Path | None = None, device: torch.device | str = "cpu") -> Segmenter:
    """The bundled segmenter of landscapes and streets, or one from a folder.

    Raises:
        InputError: the folder is not a segmenter.
    """
    return loaded(Segmenter, folder or WEIGHTS / "segmenter", device)


def load_views(folder: Path | None = None, device: torch.device | str = "cpu") -> ViewSynthesizer:
    """The bundled synthesizer of new views, or one from a folder.

    Raises:
        InputError: the folder is not a synthesizer of views.
    """
    return loaded(ViewSynthesizer, folder or WEIGHTS / "views", device)


def loaded(kind: type[Model], folder: Path, device: torch.device | str) -> Model:
    """A model of ``kind`` from its folder, ready to be used.

    Raises:
        InputError: the folder holds none.
    """
    try:
        model = kind.from_pretrained(folder, device=device)
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
