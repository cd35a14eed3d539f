"""What every pixel shows: a small network of our own, or any semantic-segmentation model of ``transformers``.

Both answer with ids of ``vid2vid.classes.CLASSES`` at the size of the picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipelines.errors import InputError
from render_refine.precision import autocast
from render_refine.pretrained import Pretrained
from render_refine.unet import UNet, UNetConfig
from render_refine.working_size import reduced
from vid2vid.classes import CLASSES, NO_LABEL
from vid2vid.label_sets import BUILT_IN, built_in, class_number

CELL = 2  # pixels a side that become one cell of the network's finest level


class Segments(Protocol):
    """Whatever says what a picture shows."""

    def segment(self, rgb: Tensor) -> Tensor:
        """rgb (3, H, W) sRGB in [0, 1] to labels (H, W) int64: ids of ``CLASSES``, or 255 for "no answer"."""


@dataclass(frozen=True)
class SegmenterConfig:
    """Shape of a ``Segmenter``.

    Attributes:
        classes: the names of ``CLASSES`` that it tells apart.
        side: pixels of the shorter side of a picture at the size that the network looks at, about as in training.
        widths: channels per level, fine to coarse.
    """

    classes: tuple[str, ...] = CLASSES
    side: int = 192
    widths: tuple[int, ...] = (32, 64, 96, 128, 128)

    def __post_init__(self) -> None:
        if unknown := [name for name in self.classes if name not in CLASSES]:
            raise ValueError(f"unknown classes {unknown}")
        if len(self.classes) < 2 or len(set(self.classes)) != len(self.classes):
            raise ValueError(f"expected two or more different classes, got {self.classes}")
        if self.side < 32:
            raise ValueError(f"expected a side of 32 pixels or more, got {self.side}")


class Segmenter(Pretrained):
    """A U-Net on cells of 2x2 pixels (Shi et al. 2016, space to depth), which sees finely at a quarter of the cost."""

    config_type = SegmenterConfig

    def __init__(self, config: SegmenterConfig) -> None:
        super().__init__()
        self.config = config
        self.cells = nn.PixelUnshuffle(CELL)
        self.network = UNet(UNetConfig(3 * CELL**2, len(config.classes), config.widths, "group"))

    def forward(self, rgb: Tensor) -> Tensor:
        """rgb (B, 3, H, W) in [0, 1], even sides, to logits (B, classes, H / 2, W / 2)."""
        return self.network(self.cells(rgb * 2 - 1))

    @torch.no_grad()
    def segment(self, rgb: Tensor) -> Tensor:
        """rgb (3, H, W) sRGB in [0, 1], of any size, to labels (H, W) int64, ids of ``CLASSES``."""
        return self.ids(rgb.device)[self._logits(rgb[None])[0].argmax(dim=0)]

    @torch.no_grad()
    def evidence(self, rgb: Tensor, name: str) -> Tensor:
        """Log odds (B, 1, H, W) of the class ``name`` in pictures (B, 3, H, W)."""
        log_p = self._logits(rgb).log_softmax(dim=1)[:, self.config.classes.index(name)][:, None]
        return log_p - torch.log1p(-log_p.exp().clamp_max(1 - 1e-7))

    def _logits(self, rgb: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, classes, H, W)."""
        small = reduced(rgb, self.config.side)
        with autocast(rgb.device):
            logits = self(small.contiguous(memory_format=torch.channels_last)).float()
        return F.interpolate(logits, rgb.shape[-2:], mode="bilinear", align_corners=False)

    def ids(self, device: torch.device | str = "cpu") -> Tensor:
        """The id in ``CLASSES`` of each of the network's classes, (classes,) int64."""
        return torch.tensor([CLASSES.index(name) for name in self.config.classes], device=device)


class TransformersSegmenter:
    """A semantic-segmentation model of ``transformers``; its classes become ours by their names.

    Attributes:
        without_class: names of its classes that nothing in ``CLASSES`` fits; their pixels get 255.
    """

    def __init__(self, model: Any, processor: Any) -> None:
        self.model, self.processor = model.eval(), processor
        # Some processors look at the middle of a picture alone; its edges want labels too.
        processor.do_center_crop = False
        self.table, self.without_class = classes_by_name(model.config.id2label)

    @staticmethod
    def from_pretrained(name: str, device: torch.device | str = "cpu") -> TransformersSegmenter:
        """A model by its name on the hub or its folder. Nothing that comes with it is executed, and no pickle read.

        Raises:
            InputError: ``transformers`` is not installed, there is no such model, or no name of its classes is known.
        """
        try:
            from transformers import AutoImageProcessor, AutoModelForSemanticSegmentation
        except ImportError:
            raise InputError("--model needs the library transformers: pip install 'viewsynth[models]'") from None
        try:
            processor = AutoImageProcessor.from_pretrained(name, trust_remote_code=False)
            model = AutoModelForSemanticSegmentation.from_pretrained(
                name, trust_remote_code=False, use_safetensors=True
            )
        except Exception as error:  # whatever the library, the network or a damaged file may raise
            reason = " ".join(str(error).split()) or type(error).__name__
            raise InputError(f"--model {name}: not loaded as a semantic-segmentation model ({reason})") from None
        names = list(model.config.id2label.values())
        segmenter = TransformersSegmenter(model.to(device), processor)
        if len(segmenter.without_class) == len(names):
            raise InputError(f"--model {name}: none of its classes is known here ({', '.join(names[:4])}, ...)")
        return segmenter

    @torch.no_grad()
    def segment(self, rgb: Tensor) -> Tensor:
        """rgb (3, H, W) sRGB in [0, 1] to labels (H, W) int64, ids of ``CLASSES``, or 255 where none fits."""
        pixels = (rgb.clamp(0, 1) * 255).round().to(torch.uint8).cpu()
        inputs = self.processor(images=pixels, return_tensors="pt").to(self.model.device)
        logits = self.model(**inputs).logits.float()
        logits = F.interpolate(logits, rgb.shape[-2:], mode="bilinear", align_corners=False)
        return self.table.to(logits.device)[logits[0].argmax(dim=0)]


def classes_by_name(names: Mapping[int, str]) -> tuple[Tensor, list[str]]:
    """What a foreign model's classes are in ours, by the names that published label sets use.

    A name may mean different things in different sets (a wall of a room, a wall in a street): the sets that know
    more of the names decide first.

    Args:
        names: by the model's index.

    Returns:
        table (largest index + 1,) int64 of our ids, 255 where none fits; and the names that none fits.
    """
    wanted = {index: plain(name) for index, name in names.items()}
    sets = [{plain(entry.name): entry.target for entry in built_in(name).entries} for name in BUILT_IN]
    sets.sort(key=lambda known: -len(known.keys() & set(wanted.values())))
    table, without = torch.full((max(names) + 1,), NO_LABEL), []
    for index, name in wanted.items():
        target = next((known[name] for known in sets if name in known), None)
        if target in CLASSES:
            table[index] = class_number(target)
        else:
            without.append(names[index].strip())
    return table, without


def plain(name: str) -> str:
    """A name of a class as all spell it: lower case, its first synonym, letters and digits only."""
    return "".join(c for c in name.lower().replace(",", ";").split(";")[0] if c.isalnum())
