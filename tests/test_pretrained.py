"""Model folders: exact round trips, whole or nothing, and one clear error for whatever is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from render_refine import pretrained
from render_refine.pretrained import Pretrained
from render_refine.spade import SpadeConfig, SpadeGenerator, StyleConfig, StyleEncoder
from render_refine.unet import UNet, UNetConfig


@dataclass(frozen=True)
class PairConfig:
    unet: UNetConfig
    kind: Literal["a", "b"] = "a"
    scale: float = 1.0
    name: str | None = None


class Pair(Pretrained):
    config_type = PairConfig

    def __init__(self, config: PairConfig) -> None:
        super().__init__()
        self.config = config
        self.unet = UNet(config.unet)


def models() -> list[nn.Module]:
    return [
        SpadeGenerator(SpadeConfig((3, 2), 4, widths=(8, 6), hidden=4, style_dim=3, norm="batch")),
        StyleEncoder(StyleConfig(widths=(4, 4))),
        Pair(PairConfig(UNetConfig(widths=(8, 16), norm="batch"), kind="b", scale=0.1)),
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    UNet(UNetConfig(widths=(8, 16))).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("model", models(), ids=lambda model: type(model).__name__)
def test_round_trip_is_bit_exact(model: nn.Module, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path / "model")
    state = torch.random.get_rng_state()
    loaded = type(model).from_pretrained(tmp_path / "model")
    assert torch.equal(torch.random.get_rng_state(), state)  # loading draws no random numbers
    assert loaded.config == model.config and not loaded.training
    assert loaded.state_dict().keys() == model.state_dict().keys()
    for name, tensor in model.state_dict().items():
        found = loaded.state_dict()[name]
        assert found.dtype == tensor.dtype and torch.equal(found, tensor), name
    assert all(p.requires_grad for p in loaded.parameters())


def test_loaded_model_computes_the_same(tmp_path: Path) -> None:
    model = models()[0].eval()
    model.save_pretrained(tmp_path / "model")
    loaded = SpadeGenerator.from_pretrained(tmp_path / "model")
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randn(1, c, 9, 7, generator=generator) for c in (3, 2)]
    z = torch.randn(1, 3, generator=generator)
    assert torch.allclose(model(*inputs, z=z), loaded(*inputs, z=z), atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_on_disk(dtype: torch.dtype, tmp_path: Path) -> None:
    model = UNet(UNetConfig(widths=(8, 16), norm="batch"))
    model.save_pretrained(tmp_path / "full")
    model.save_pretrained(tmp_path / "half", dtype=dtype)
    loaded = UNet.from_pretrained(tmp_path / "half")
    for name, tensor in model.state_dict().items():
        wanted = tensor.to(dtype).float() if tensor.is_floating_point() else tensor
        assert torch.equal(loaded.state_dict()[name], wanted), name
    sizes = [(tmp_path / kind / "model.safetensors").stat().st_size for kind in ("half", "full")]
    assert sizes[0] < 0.6 * sizes[1]
    assert UNet.from_pretrained(tmp_path / "half", dtype=dtype).head.weight.dtype == dtype


def test_nothing_is_overwritten_unasked(folder: Path) -> None:
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    with pytest.raises(FileExistsError, match="model exists"):
        UNet(UNetConfig(widths=(8,))).save_pretrained(folder)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    (folder / "README.md").write_text("card")
    UNet(UNetConfig(widths=(8,))).save_pretrained(folder, overwrite=True)
    assert UNet.from_pretrained(folder).config.widths == (8,)
    assert (folder / "README.md").read_text() == "card"
    assert [p.name for p in folder.parent.iterdir()] == ["model"]


def test_a_folder_of_something_else_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"x")
    with pytest.raises(FileExistsError, match="not a model folder"):
        UNet(UNetConfig(widths=(8,))).save_pretrained(tmp_path / "photos", overwrite=True)
    assert (tmp_path / "photos" / "a.jpg").read_bytes() == b"x"


def test_a_link_stays_a_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    UNet(UNetConfig(widths=(8,))).save_pretrained(tmp_path / "link", overwrite=True)
    assert (tmp_path / "link").is_symlink() and UNet.from_pretrained(folder).config.widths == (8,)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "model"]
    with pytest.raises(FileNotFoundError, match="absent is not a folder"):
        UNet(UNetConfig(widths=(8,))).save_pretrained(tmp_path / "absent" / "model")


@pytest.mark.parametrize("existing", [False, True])
def test_a_failed_save_leaves_what_was_there(
    existing: bool, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = folder if existing else tmp_path / "new"
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}

    def fail(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pretrained.json, "dumps", fail)  # the weights are written by then, the config is not
    with pytest.raises(KeyboardInterrupt):
        UNet(UNetConfig(widths=(8,))).save_pretrained(target, overwrite=True)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    assert (tmp_path / "new").exists() is False


def edit(**changes: object) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        settings = json.loads((folder / "config.json").read_text())
        for key, value in changes.items():
            (settings if key in settings else settings["config"])[key] = value
        (folder / "config.json").write_text(json.dumps(settings))

    return apply


def drop(key: str) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        settings = json.loads((folder / "config.json").read_text())
        del settings["config"][key]
        (folder / "config.json").write_text(json.dumps(settings))

    return apply


def write(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(content) and None


def add_tensor(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    save_file(tensors | {"extra": torch.zeros(1)}, folder / "model.safetensors")


def cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


BROKEN = {
    "no config": (lambda folder: (folder / "config.json").unlink(), "config.json: no such file"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors: no such file"),
    "not json": (write("config.json", b"{"), "config.json: "),
    "empty json": (write("config.json", b""), "config.json: "),
    "not utf-8": (write("config.json", b"\xff\xfe\x00"), "config.json: "),
    "nested json": (write("config.json", b"[" * 100_000), "config.json: "),
    "huge json": (write("config.json", b" " * (2 << 20)), "config.json: .*too long"),
    "a list": (write("config.json", b"[1, 2]"), "config.json: expected an object"),
    "wrong class": (edit(**{"class": "SpadeGenerator"}), "'SpadeGenerator', wanted 'UNet'"),
    "wrong version": (edit(format_version=99), "format version 99, wanted 1"),
    "config is no object": (edit(config=3), "wanted the fields of UNetConfig"),
    "unknown field": (edit(depth=3), r"unknown fields \['depth'\]"),
    "missing field": (drop("widths"), r"lacks the fields \['widths'\]"),
    "wrong type": (edit(in_channels="3"), "config.in_channels is '3', wanted int"),
    "bool for int": (edit(in_channels=True), "config.in_channels is True, wanted int"),
    "wrong item": (edit(widths=[8, None]), r"config.widths\[1\] is None"),
    "wrong choice": (edit(norm="layer"), "config.norm is 'layer'"),
    "refused by the config": (edit(out_channels=0), "config.json: every size must be positive"),
    "other shape": (edit(in_channels=4), r"'stem.weight' is \(8, 3, 3, 3\).*wants \(8, 4, 3, 3\)"),
    "absurd size": (edit(widths=[8, 8_000_000]), "model.safetensors: tensor"),
    "missing tensor": (edit(widths=[8, 16, 16]), "missing"),
    "superfluous tensor": (add_tensor, "'extra'.*wants no such tensor"),
    "empty weights": (write("model.safetensors", b""), "model.safetensors: "),
    "random weights": (write("model.safetensors", bytes(range(256)) * 8), "model.safetensors: "),
    "truncated weights": (cut, "model.safetensors: "),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_folders_give_one_clear_error(case: str, folder: Path) -> None:
    damage, message = BROKEN[case]
    damage(folder)
    with pytest.raises(ValueError, match=message) as caught:
        UNet.from_pretrained(folder)
    assert str(folder) in str(caught.value) and "\n" not in str(caught.value)


def test_integer_weights_are_refused(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    save_file({name: tensor.int() for name, tensor in tensors.items()}, folder / "model.safetensors")
    with pytest.raises(ValueError, match="int32, wanted"):
        UNet.from_pretrained(folder)
