"""How figures are shown: tables, targets that are met or missed, a JSON file, a contact sheet."""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor

from pipelines import __version__
from pipelines.errors import InputError
from pipelines.media.images import write_whole
from render_refine.precision import supports_bf16

Rows = Mapping[str, Mapping[str, float]]
HEADER = 16  # pixels of a sheet's first line


@dataclass(frozen=True)
class Target:
    """A figure that was wished for.

    Attributes:
        name: what is measured; value: what was found, nan for nothing; limit: the worst that will do.
        at_least: whether more is better.
    """

    name: str
    value: float
    limit: float
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether the value is there and good enough."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def line(self) -> str:
        """For people: "met      warp error ...: 1.13 (wanted <= 1.3)"."""
        verdict = "not measured" if math.isnan(self.value) else "met" if self.met else "MISSED"
        sign = ">=" if self.at_least else "<="
        return f"  {verdict:<12}  {self.name}: {number(self.value)} (wanted {sign} {number(self.limit)})"


def table(title: str, rows: Rows) -> str:
    """A title, a line of the columns' names, and a line for each row; "-" where a row has no such figure."""
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    cells = [["", *columns]]
    cells += [[name, *(number(row.get(column, math.nan)) for column in columns)] for name, row in rows.items()]
    widths = [max(len(line[k]) for line in cells) for k in range(len(cells[0]))]
    lines = [
        "  ".join(
            [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))]
        )
        for line in cells
    ]
    return "\n".join([title, *(f"  {line.rstrip()}" for line in lines)])


def number(value: float) -> str:
    """About three figures; "-" for nan."""
    if math.isnan(value):
        return "-"
    if float(value).is_integer() and abs(value) < 1e6:
        return str(int(value))
    return f"{value:.{0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3}f}"


def surroundings() -> dict[str, Any]:
    """What the figures depend on besides the code: the command, the versions, the machine."""
    return {
        "command": ["viewsynth", *sys.argv[1:]],
        "versions": {
            "viewsynth": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "opencv": cv2.__version__,
            "av": av.__version__,
        },
        "hardware": {
            "system": f"{platform.system()} {platform.machine()}",
            "processor": processor(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "bfloat16": supports_bf16("cpu"),
            "load before": load(),
        },
    }


def load() -> float:
    """How many programs wanted to compute during the last minute; nan where the system does not tell."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else math.nan


def fingerprint(folder: Path) -> str:
    """Which weights a folder holds: the SHA-256 of its tensors, or "none"."""
    file = folder / "model.safetensors"
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else "none"


def processor() -> str:
    """The name of the processor, as far as the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def as_json(report: Mapping[str, Any]) -> bytes:
    """The report as text; figures that could not be measured become null, which JSON has and nan it has not."""

    def plain(value: Any) -> Any:
        if isinstance(value, Target):
            return asdict(value) | {"met": None if math.isnan(value.value) else value.met}
        if isinstance(value, Mapping):
            return {str(key): plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [plain(item) for item in value]
        if isinstance(value, float) and not math.isfinite(value):
            return None
        return str(value) if isinstance(value, Path) else value

    return json.dumps(plain(report), indent=2).encode() + b"\n"


def check_outputs(paths: Sequence[Path | None], overwrite: bool) -> None:
    """Find out before the work whether its results may be written.

    Raises:
        InputError: a file exists, or its folder does not.
    """
    for path in paths:
        if path is None:
            continue
        if not path.parent.is_dir():
            raise InputError(f"cannot write {path}: there is no folder {path.parent}")
        if path.exists() and (path.is_dir() or not overwrite):
            raise InputError(f"{path} exists; choose another name or give --overwrite")


def write_json(path: Path, report: Mapping[str, Any]) -> None:
    """Write ``as_json``, whole or not at all.

    Raises:
        InputError: the file cannot be written.
    """
    write_whole(path, as_json(report))


def sheet(columns: Sequence[str], rows: Sequence[Sequence[Tensor | None]], height: int, width: int) -> Tensor:
    """A contact sheet.

    Args:
        columns: names, written above.
        rows: pictures (3, h, w) uint8 of any size, scaled to fit tiles of height x width; None leaves one black.

    Returns:
        (3, H, W) uint8.
    """
    title = Image.new("RGB", (width * len(columns), HEADER))
    for index, name in enumerate(columns):
        ImageDraw.Draw(title).text((width * index + 4, 2), name, fill="white")
    bands = [torch.from_numpy(np.array(title)).permute(2, 0, 1)]
    for row in rows:
        band = torch.zeros(3, height, width * len(columns), dtype=torch.uint8)
        for index, picture in enumerate(row):
            if picture is not None:
                scale = min(height / picture.shape[-2], width / picture.shape[-1])
                h, w = (round(scale * side) for side in picture.shape[-2:])
                small = F.interpolate(picture[None].float(), (h, w), mode="bilinear", antialias=True)[0]
                band[:, :h, index * width : index * width + w] = small.round().clamp(0, 255).to(torch.uint8)
        bands.append(band)
    return torch.cat(bands, dim=1)
