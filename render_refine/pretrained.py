"""Models in files: a folder with ``config.json`` (what to build) and ``model.safetensors`` (its weights).

Nothing in such a folder is executed, and the weights' shapes are checked before memory is taken for them.
"""

from __future__ import annotations

import json
import shutil
import types
import typing
import uuid
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, Union

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

FORMAT_VERSION = 1
CONFIG, WEIGHTS = "config.json", "model.safetensors"
MAX_CONFIG_BYTES = 1 << 20


class Pretrained(nn.Module):
    """A module that is built from one frozen dataclass.

    The class sets ``config_type``, takes a config as its only argument and keeps it as ``self.config``.
    Fields are int, float, bool, str, Literal, None, tuples of these, or frozen dataclasses. Buffers are
    persistent, since loading fills a model that was built without memory.
    """

    config_type: ClassVar[type]
    config: Any

    def save_pretrained(
        self, directory: str | Path, *, dtype: torch.dtype | None = None, overwrite: bool = False
    ) -> None:
        """Write the model folder ``directory``; it appears whole or not at all.

        Args:
            directory: the folder to make; its parent exists.
            dtype: floating type on disk, such as torch.bfloat16 to halve the size; None keeps each weight's own.
            overwrite: replace a model folder that is already there. Other files in it are kept.

        Raises:
            FileExistsError: ``directory`` exists, and ``overwrite`` is off or it is not a model folder.
            FileNotFoundError: its parent does not exist.
        """
        target = Path(directory).resolve()
        if not target.parent.is_dir():
            raise FileNotFoundError(f"{target.parent} is not a folder to make {target.name} in")
        exists = target.exists()
        if exists and not (overwrite and (target / CONFIG).is_file()):
            hint = "it is not a model folder" if overwrite else "overwriting was not asked for"
            raise FileExistsError(f"{target} exists and {hint}")
        settings = {"class": type(self).__name__, "format_version": FORMAT_VERSION, "config": asdict(self.config)}
        unique = uuid.uuid4().hex
        temporary, retired = (target.with_name(f".{target.name}.{unique}.{kind}") for kind in ("new", "old"))
        try:
            if exists:
                shutil.copytree(target, temporary, ignore=shutil.ignore_patterns(CONFIG, WEIGHTS))
            else:
                temporary.mkdir()
            # Written through Python, so that the file gets the permissions that the user's files have.
            (temporary / WEIGHTS).write_bytes(save(_on_disk(self, dtype), metadata={"format": "pt"}))
            (temporary / CONFIG).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
            if exists:
                target.rename(retired)
            temporary.rename(target)
        except BaseException:
            if retired.exists() and not target.exists():
                retired.rename(target)
            raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            shutil.rmtree(retired, ignore_errors=True)

    @classmethod
    def from_pretrained(
        cls, directory: str | Path, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
    ) -> Self:
        """Build the model of a folder written by ``save_pretrained``, in eval mode.

        Args:
            directory: the model folder.
            device, dtype: where the weights go and which floating type they get.

        Raises:
            ValueError: a file is missing, unreadable, of another class or version, or does not fit the
                model; the message names the file, what was found and what was wanted.
        """
        folder = Path(directory)
        config = cls._read_config(folder / CONFIG)
        # Without memory and without drawing random numbers; assign=True puts the file's tensors in place.
        with torch.device("meta"):
            model = cls(config)
        weights = _read_weights(folder / WEIGHTS, model.state_dict())
        model.load_state_dict(weights, assign=True)
        return model.to(device=device, dtype=dtype).eval()

    @classmethod
    def _read_config(cls, path: Path) -> Any:
        if not path.is_file():
            raise ValueError(f"{path}: no such file; a {cls.__name__} folder holds {CONFIG} and {WEIGHTS}")
        try:
            if path.stat().st_size > MAX_CONFIG_BYTES:
                raise ValueError(f"{path.stat().st_size} bytes, too long for a config")
            settings = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(settings, dict) or set(settings) != {"class", "format_version", "config"}:
                raise ValueError("expected an object with the keys class, format_version and config")
            if settings["class"] != cls.__name__:
                raise ValueError(f"it describes a {settings['class']!r}, wanted {cls.__name__!r}")
            if settings["format_version"] != FORMAT_VERSION:
                raise ValueError(f"format version {settings['format_version']!r}, wanted {FORMAT_VERSION}")
            return _parse(cls.config_type, settings["config"], "config")
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise ValueError(f"{path}: {error}") from error


def _on_disk(module: nn.Module, dtype: torch.dtype | None) -> dict[str, Tensor]:
    tensors = {}
    for name, tensor in module.state_dict().items():
        wanted = dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype
        tensors[name] = tensor.detach().to("cpu", wanted).contiguous()
    return tensors


def _read_weights(path: Path, wanted: dict[str, Tensor]) -> dict[str, Tensor]:
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    try:
        with safe_open(path, framework="pt") as file:
            found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            expected = {name: tuple(tensor.shape) for name, tensor in wanted.items()}
            for name in sorted(found.keys() | expected.keys()):
                if found.get(name) != expected.get(name):
                    raise ValueError(
                        f"tensor {name!r} is {found.get(name, 'missing')}, "
                        f"the model of {CONFIG} wants {expected.get(name, 'no such tensor')}"
                    )
            tensors = {name: file.get_tensor(name) for name in found}
    except (OSError, SafetensorError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error
    for name, tensor in tensors.items():
        if tensor.is_floating_point() != wanted[name].is_floating_point():
            raise ValueError(f"{path}: tensor {name!r} is {tensor.dtype}, wanted {wanted[name].dtype}")
    return tensors


def _parse(hint: Any, value: Any, where: str) -> Any:
    """``value`` from JSON as the type ``hint``; ValueError says where it does not fit."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if is_dataclass(hint):
        return _parse_dataclass(hint, value, where)
    if origin in (Union, types.UnionType):
        for option in arguments:
            try:
                return _parse(option, value, where)
            except ValueError:
                continue
    elif origin is Literal:
        if value in arguments:
            return value
    elif origin is tuple:
        if isinstance(value, list):
            items = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
            if len(items) == len(value):
                pairs = enumerate(zip(items, value, strict=True))
                return tuple(_parse(item, v, f"{where}[{i}]") for i, (item, v) in pairs)
    elif hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    elif type(value) is (type(None) if hint is None else hint):
        return value
    name = hint.__name__ if isinstance(hint, type) else hint
    raise ValueError(f"{where} is {value!r}, wanted {name}")


def _parse_dataclass(cls: Any, value: Any, where: str) -> Any:
    names = {field.name for field in fields(cls)}
    if not isinstance(value, dict):
        raise ValueError(f"{where} is {value!r}, wanted the fields of {cls.__name__}")
    if unknown := sorted(value.keys() - names):
        raise ValueError(f"{where} has unknown fields {unknown}")
    if missing := sorted(names - value.keys()):
        raise ValueError(f"{where} lacks the fields {missing}")
    hints = typing.get_type_hints(cls)
    return cls(**{name: _parse(hints[name], value[name], f"{where}.{name}") for name in names})
