"""Label maps from files: every kind of PNG and video, and what must stop a run."""

from __future__ import annotations

import io
import json
import re
import struct
import zlib
from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from pipelines.errors import InputError
from pipelines.media.label_video import colourise, open_label_sink, open_labels
from pipelines.media.video import open_sink
from vid2vid.classes import CLASSES, NO_LABEL
from vid2vid.label_sets import built_in

RATE = Fraction(30000, 1001)
SKY, ROAD, CAR, BUILDING, TREE = (CLASSES.index(name) for name in ("sky", "road", "car", "building", "vegetation"))


def clip(frames: int = 6, height: int = 61, width: int = 83) -> list[torch.Tensor]:
    """A street in which things move, in our classes; odd sizes; a hole without a label."""
    maps = []
    for k in range(frames):
        labels = torch.full((height, width), BUILDING)
        labels[: height // 3] = SKY
        labels[height // 2 :] = ROAD
        labels[height // 2 :, : width // 6] = CLASSES.index("pavement")
        labels[height // 4 : height // 2, 5 + k : 21 + k] = TREE
        labels[height // 2 - 6 : height // 2 + 6, 40 - 2 * k : 58 - 2 * k] = CAR
        labels[height // 2 - 5 : height // 2 + 4, 66:72] = CLASSES.index("person")
        labels[-4:, 30:36] = NO_LABEL
        maps.append(labels)
    return maps


def write_clip(output, maps) -> None:
    with open_label_sink(output, RATE, *maps[0].shape) as sink:
        for labels in maps:
            sink.write(labels)


def write_video(path, frames, codec: str, pix_fmt: str, source: str = "rgb24", **options: str) -> None:
    """Frames (H, W, 3) or (H, W) with any codec."""
    container = av.open(str(path), "w")
    stream = container.add_stream(codec, rate=RATE, options=options)
    stream.height, stream.width, stream.pix_fmt = *frames[0].shape[:2], pix_fmt
    for frame in frames:
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format=source)))
    container.mux(stream.encode())
    container.close()


def same(source, maps) -> bool:
    return all(torch.equal(found, wanted) for found, wanted in zip(source, maps, strict=True))


def message(path, labels_set=None, **options) -> str:
    """The one line that refuses an input."""
    with pytest.raises(InputError) as error:
        list(open_labels(path, labels_set, **options))
    assert "\n" not in str(error.value)
    return str(error.value)


# ---- kinds of PNG

CITY = {SKY: 23, ROAD: 7, CAR: 26, BUILDING: 11, TREE: 21, 10: 8, 16: 24, NO_LABEL: 0}


def city_ids(labels: torch.Tensor) -> np.ndarray:
    """Our classes as labelIds of Cityscapes."""
    table = np.zeros(256, np.uint8)
    table[list(CITY)] = list(CITY.values())
    return table[labels.numpy()]


def city_colours(ids: np.ndarray) -> np.ndarray:
    table = np.zeros((256, 3), np.uint8)
    for number, entry in built_in("cityscapes").by_id().items():
        table[number] = entry.colour
    return table[ids]


def with_palette(ids: np.ndarray, colours: np.ndarray) -> Image.Image:
    image = Image.fromarray(ids)
    image.putpalette(colours.astype(np.uint8).tobytes())
    return image


def shuffled(ids: np.ndarray) -> Image.Image:
    """Colours as an optimiser stores them: the indices are no ids any more."""
    present = np.unique(ids)
    return with_palette(np.searchsorted(present, ids).astype(np.uint8), city_colours(present))


KINDS = {
    "grey": (lambda ids: Image.fromarray(ids), "ids"),
    "grey with alpha": (lambda ids: Image.fromarray(np.stack([ids, np.full_like(ids, 255)], -1), "LA"), "ids"),
    "16-bit grey": (lambda ids: Image.fromarray(ids.astype(np.uint16)), "ids"),
    "three equal channels": (lambda ids: Image.fromarray(np.repeat(ids[..., None], 3, -1)), "ids"),
    "red alone": (lambda ids: Image.fromarray(np.stack([ids, 0 * ids, 0 * ids], -1)), "ids"),
    "palette of strange colours": (lambda ids: with_palette(ids, np.arange(768)[::-1].reshape(256, 3) % 256), "ids"),
    "palette": (lambda ids: with_palette(ids, city_colours(np.arange(256))), "colours"),
    "optimised palette": (shuffled, "colours"),
    "colours": (lambda ids: Image.fromarray(city_colours(ids)), "colours"),
    "colours with alpha": (lambda ids: Image.fromarray(city_colours(ids)).convert("RGBA"), "colours"),
}


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("labels_set", [None, "cityscapes"])
def test_every_kind_of_png(tmp_path, kind, labels_set):
    maps = clip(2)
    make, how = KINDS[kind]
    for k, labels in enumerate(maps):
        make(city_ids(labels)).save(tmp_path / f"{k}.png")
    source = open_labels(tmp_path, labels_set)
    assert source.how == how
    if labels_set or how == "ids":
        assert source.set.name == "cityscapes"
    assert same(source, maps)


def png(ids: np.ndarray, bits: int) -> bytes:
    """Grey of 1, 2, 4 bits; widths that fill whole bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = ids.shape
    spread = (ids[..., None] >> np.arange(bits - 1, -1, -1) & 1).reshape(height, -1)
    rows = b"".join(b"\0" + np.packbits(row.astype(np.uint8)).tobytes() for row in spread)
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    packed = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + packed


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_small_greys_are_numbers_not_shades(tmp_path, bits):
    ids = np.arange(64).reshape(4, 16) % min(2**bits, 11)
    (tmp_path / "map.png").write_bytes(png(ids, bits))
    found = next(iter(open_labels(tmp_path / "map.png", "cityscapes-train")))
    wanted = {number: entry.target for number, entry in built_in("cityscapes-train").by_id().items()}
    assert [CLASSES[k] for k in found.flatten()] == [wanted[int(k)] for k in ids.flatten()]


def test_natural_order_and_strange_files(tmp_path):
    maps = clip(12)
    for k, labels in enumerate(maps):
        Image.fromarray(city_ids(labels)).save(tmp_path / f"frame{k}.png")
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / ".hidden.png").write_text("hello")
    assert same(open_labels(tmp_path), maps)
    (tmp_path / "frame5.png").unlink()
    assert "frame5.png: missing between frame0.png and frame11.png" in message(tmp_path / "frame%d.png")
    assert open_labels(tmp_path).frames == 11


# ---- values without a class


def test_unmapped_values_stop_with_a_list(tmp_path):
    labels = city_colours(city_ids(clip(1)[0]))
    labels[0, :12] = 1, 2, 3
    labels[1, :5] = 9, 9, 9
    Image.fromarray(labels).save(tmp_path / "a.png")
    for labels_set in ("cityscapes", None):
        text = message(tmp_path / "a.png", labels_set)
        assert re.search(r"2 colours are not in cityscapes\S*: \(1,2,3\) 12 px, \(9,9,9\) 5 px; say --unmapped", text)
    found = next(iter(open_labels(tmp_path / "a.png", "cityscapes", unmapped="void")))
    assert (found[0, :12] == NO_LABEL).all() and found[0, 12] == SKY
    source = open_labels(tmp_path / "a.png", "cityscapes", unmapped="rock")
    assert (next(iter(source))[1, :5] == CLASSES.index("rock")).all()
    assert source.counts[CLASSES.index("rock")] == 17


def test_what_a_set_knows_and_we_do_not(tmp_path):
    ids = np.full((40, 60), 2, np.uint8)  # sky, trees, road, and a bed on it
    ids[10:20], ids[20:], ids[30:32, 10:20] = 4, 6, 7
    Image.fromarray(ids).save(tmp_path / "a.png")
    assert "1 id of ade20k is without a class here: 7 bed 20 px" in message(tmp_path / "a.png", "ade20k")
    with pytest.raises(InputError, match="did you mean 'road'"):
        open_labels(tmp_path / "a.png", "ade20k", unmapped="rode")


def test_many_unknown_values_are_cut_short(tmp_path):
    Image.fromarray((np.arange(60 * 80) % 90 + 100).astype(np.uint8).reshape(60, 80)).save(tmp_path / "a.png")
    text = message(tmp_path / "a.png", "cityscapes")
    assert "90 ids are not in cityscapes" in text and "and 84 more" in text and len(text) < 300


def test_own_set_from_a_file(tmp_path):
    entries = [{"id": 3, "class": "sky"}, {"id": 900, "colour": [1, 1, 2], "class": "road"}]
    (tmp_path / "mine.json").write_text(json.dumps({"name": "mine", "entries": entries}))
    ids = np.full((8, 8), 3, np.uint16)
    ids[4:] = 900
    Image.fromarray(ids).save(tmp_path / "a.png")
    found = open_labels(tmp_path / "a.png", tmp_path / "mine.json")
    assert found.describe() == "labels: mine, by ids, 1 frame of 8x8"
    assert next(iter(found)).unique().tolist() == [SKY, ROAD]


# ---- video


@pytest.mark.parametrize(
    "codec, pix_fmt, suffix",
    [("ffv1", "bgr0", "mkv"), ("ffv1", "bgr0", "avi"), ("png", "rgb24", "mov"), ("qtrle", "rgb24", "mov")],
)
def test_lossless_colour_video(tmp_path, codec, pix_fmt, suffix):
    maps = clip(4)
    write_video(tmp_path / f"a.{suffix}", [city_colours(city_ids(labels)) for labels in maps], codec, pix_fmt)
    source = open_labels(tmp_path / f"a.{suffix}")
    assert source.how == "colours" and source.fps == RATE and source.frames == 4
    assert same(source, maps)


@pytest.mark.parametrize("codec, pix_fmt", [("ffv1", "gray"), ("ffv1", "gray16le")])
def test_grey_video_holds_ids(tmp_path, codec, pix_fmt):
    maps = clip(4)
    ids = [city_ids(labels).astype(np.uint16 if "16" in pix_fmt else np.uint8) for labels in maps]
    write_video(tmp_path / "a.mkv", ids, codec, pix_fmt, pix_fmt)
    source = open_labels(tmp_path / "a.mkv")
    assert (source.set.name, source.how) == ("cityscapes", "ids") and same(source, maps)


def test_rounded_grey_video_is_refused(tmp_path):
    """Limited-range YUV has 220 greys for 256 numbers: some ids would come back as their neighbours."""
    write_video(tmp_path / "a.mkv", [city_ids(labels) for labels in clip(3, 60, 80)], "libx264", "yuv420p", "gray")
    assert "h264 yuv420p, where numbers are rounded" in message(tmp_path / "a.mkv", "cityscapes")


def test_lossy_colours_need_a_word(tmp_path):
    maps = clip(12, 96, 160)
    with open_sink(tmp_path / "a.mp4", RATE, 96, 160) as sink:
        for labels in maps:
            sink.write(colourise(labels))
    for labels_set in (None, "viewsynth"):
        assert "look lossy" in (text := message(tmp_path / "a.mp4", labels_set)) and "--nearest-colour" in text
        source = open_labels(tmp_path / "a.mp4", labels_set, nearest_colour=True)
        right = [float((found == wanted).float().mean()) for found, wanted in zip(source, maps, strict=True)]
        assert np.mean(right) >= 0.99
        assert re.search(r"viewsynth, by colours, .* \d+\.\d% of the pixels moved to the nearest", source.describe())


def test_untagged_yuv_is_bt601(tmp_path):
    """As FFmpeg writes it; read by the matrix of HD video the colours would be 20 to 40 levels off."""
    maps = clip(6, 96, 160)
    colours = [city_colours(city_ids(labels)) for labels in maps]
    write_video(tmp_path / "a.mp4", colours, "libx264", "yuv420p", crf="10")
    assert "look lossy" in message(tmp_path / "a.mp4")
    source = open_labels(tmp_path / "a.mp4", nearest_colour=True)
    assert source.set.name.startswith("cityscapes")
    assert np.mean([float((found == wanted).float().mean()) for found, wanted in zip(source, maps, strict=True)]) > 0.98


def test_footage_is_no_label_video(tmp_path):
    generator = torch.Generator().manual_seed(0)
    with open_sink(tmp_path / "a.mp4", RATE, 64, 96) as sink:
        for _ in range(4):
            coarse = torch.rand(1, 3, 8, 12, generator=generator)
            sink.write(torch.nn.functional.interpolate(coarse, (64, 96), mode="bicubic")[0].clamp(0, 1))
    assert "no built-in label set" in message(tmp_path / "a.mp4")
    assert "near no built-in label set" in message(tmp_path / "a.mp4", nearest_colour=True)
    assert "at most 16 is a label video" in message(tmp_path / "a.mp4", "camvid", nearest_colour=True)
    assert "no colours to take the nearest of" in message(tmp_path / "a.mp4", "coco-stuff", nearest_colour=True)


# ---- bad files


def test_nearest_colour_changes_nothing_exact(tmp_path):
    write_clip(tmp_path / "a.mkv", clip())
    source = open_labels(tmp_path / "a.mkv", nearest_colour=True)
    assert same(source, clip()) and "0.0% of the pixels" in source.describe()


def test_bad_inputs(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_text("x")
    (tmp_path / "a.jpg").write_text("x")
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.mkv").write_text("hello")
    for name, said in {
        "absent.png": "no such file",
        "absent.mkv": "no such file",
        "absent": "no such file",
        "absent/%d.png": "no such files",
        "empty": "it is empty",
        "photos": "only .jpg",
        "a.jpg": "found a .jpg picture",
        "text.png": "found text",
        "empty.png": "empty",
        "text.mkv": "cannot be read as a video",
    }.items():
        text = message(tmp_path / name)
        assert said in text and str(tmp_path / name) in text


def test_sizes_must_agree(tmp_path):
    for k, size in enumerate([(60, 80), (60, 80), (60, 81)]):
        Image.fromarray(city_ids(clip(1, *size)[0])).save(tmp_path / f"{k}.png")
    assert message(tmp_path).startswith(f"{tmp_path / '2.png'}: found 60x81 pixels, the frames before have 60x80")


def test_transparent_and_deep_colours_are_refused(tmp_path):
    rgba = np.zeros((8, 8, 4), np.uint8)
    Image.fromarray(rgba).save(tmp_path / "a.png")
    assert "transparent" in message(tmp_path / "a.png")
    header = struct.pack(">IIBBBBB", 4000000, 4000000, 8, 0, 0, 0, 0)
    huge = (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + b"IHDR"
        + header
        + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    )
    (tmp_path / "b.png").write_bytes(huge + b"\0" * 64)
    assert "b.png" in message(tmp_path / "b.png")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damaged_png_is_refused_or_exact(tmp_path, data):
    """A flipped byte is found by the checksums, or lies where it does not matter."""
    stored = io.BytesIO()
    Image.fromarray(city_ids(clip(1)[0])).save(stored, "PNG")
    whole = stored.getvalue()
    at = data.draw(st.integers(0, len(whole) - 1))
    broken = bytearray(whole)
    broken[at] ^= data.draw(st.integers(1, 255))
    for content in (bytes(broken), whole[:at]):
        (tmp_path / "a.png").write_bytes(content)
        try:
            assert same(open_labels(tmp_path / "a.png", "cityscapes"), clip(1))
        except InputError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.99])
def test_video_cut_short_is_refused(tmp_path, share):
    write_clip(tmp_path / "a.mkv", clip(20))
    whole = (tmp_path / "a.mkv").read_bytes()
    (tmp_path / "b.mkv").write_bytes(whole[: int(len(whole) * share)])
    assert "damaged or cut short" in message(tmp_path / "b.mkv")


def test_damaged_video_is_refused(tmp_path):
    """A decoder would show the frame before instead."""
    write_clip(tmp_path / "a.mkv", clip(20))
    whole = (tmp_path / "a.mkv").read_bytes()
    for share in (0.3, 0.5, 0.7):
        broken = bytearray(whole)
        broken[int(len(whole) * share)] ^= 0x55
        (tmp_path / "b.mkv").write_bytes(bytes(broken))
        assert "damaged" in message(tmp_path / "b.mkv")


def test_a_file_that_changes_is_noticed(tmp_path):
    Image.fromarray(city_ids(clip(1)[0])).save(tmp_path / "a.png")
    source = open_labels(tmp_path / "a.png")
    Image.fromarray(np.full((61, 83), 99, np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="has changed"):
        list(source)


# ---- real data


@pytest.mark.parametrize("clip_name", ["0016E5_c_15Hz", "0001TP_1Hz", "0006R0_1Hz"])
def test_camvid_is_camvid(data_dir, clip_name):
    source = open_labels(data_dir / "camvid" / clip_name / "labels")
    frames = {"0016E5_c_15Hz": 101, "0001TP_1Hz": 124, "0006R0_1Hz": 101}[clip_name]
    assert source.describe() == f"labels: camvid, by ids, {frames} frames of 360x480"
    first = next(iter(source))
    assert first[:30].mode().values.mode().values == SKY or (first[:60] == SKY).any()
    assert (first[-40:] == ROAD).float().mean() > 0.4


def test_coco_stuff_is_coco_stuff(data_dir):
    files = sorted((data_dir / "coco_stuff" / "label").glob("*.png"))
    assert files
    for file in files:
        source = open_labels(file, unmapped="void")
        assert (source.set.name, source.how, source.frames) == ("coco-stuff", "ids", 1)
    assert "18 horse 2,305 px" in message(data_dir / "coco_stuff" / "label" / "000000138805.png")
