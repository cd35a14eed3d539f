"""Images and video: right values for right files, one clear error for wrong ones."""

from __future__ import annotations

import io
import struct
import time
import zlib
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from pipelines.errors import InputError
from pipelines.media.images import read_image, to_pixels, upright, write_png
from pipelines.media.sequences import numbered_files
from pipelines.media.video import open_sink, read_rate, read_video_frames

RNG = np.random.default_rng(0)
SMALL = RNG.integers(0, 256, (12, 17, 3), dtype=np.uint8)


def smooth(height: int, width: int, seed: int = 0) -> torch.Tensor:
    noise = torch.rand(1, 3, 5, 7, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(noise, (height, width), mode="bicubic", align_corners=False)[0].clamp(0, 1)


def pixels_of(image: torch.Tensor) -> np.ndarray:
    return image.mul(255).permute(1, 2, 0).numpy()


def message(function, *arguments, **options) -> str:
    with pytest.raises(InputError) as caught:
        function(*arguments, **options)
    text = str(caught.value)
    assert "\n" not in text
    return text


# ---- images ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tiff", "a.webp"])
def test_lossless_formats_come_back_exactly(tmp_path, name):
    Image.fromarray(SMALL).save(tmp_path / name, lossless=True)
    image = read_image(tmp_path / name)
    assert image.dtype == torch.float32 and image.shape == (3, 12, 17)
    np.testing.assert_allclose(pixels_of(image), SMALL, atol=1e-4)


def test_png_survives_the_round_trip_and_repeats_its_bytes(tmp_path):
    image = smooth(9, 14)
    write_png(tmp_path / "a.png", image)
    write_png(tmp_path / "b.png", image)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert (read_image(tmp_path / "a.png") - image).abs().max() <= 0.5 / 255 + 1e-6
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.png", "b.png"]


@pytest.mark.parametrize("extension", ["png", "tiff"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bits_are_kept(tmp_path, extension, channels):
    pixels = RNG.integers(0, 65536, (6, 5, channels), dtype=np.uint16)
    path = tmp_path / f"deep.{extension}"
    cv2.imwrite(str(path), pixels[..., 0] if channels == 1 else pixels)
    scaled = pixels.astype(np.float64) / 65535
    expected = np.repeat(scaled, 3, axis=2) if channels == 1 else scaled[..., 2::-1]
    if channels == 4:
        expected = expected * scaled[..., 3:] + 1 - scaled[..., 3:]
    np.testing.assert_allclose(read_image(path).permute(1, 2, 0), expected, atol=1.1 / 65535)


def test_transparency_lies_over_white(tmp_path):
    rgba = np.array([[[200, 100, 50, 255], [200, 100, 50, 0], [200, 100, 50, 128]]], np.uint8)
    Image.fromarray(rgba).save(tmp_path / "a.png")
    grey_alpha = Image.fromarray(np.array([[[80, 0]]], np.uint8), mode="LA")
    grey_alpha.save(tmp_path / "la.png")
    got = pixels_of(read_image(tmp_path / "a.png"))[0]
    np.testing.assert_allclose(got[0], [200, 100, 50], atol=0.01)
    np.testing.assert_allclose(got[1], [255, 255, 255], atol=0.01)
    np.testing.assert_allclose(got[2], 255 + (np.array([200, 100, 50]) - 255) * 128 / 255, atol=1)
    np.testing.assert_allclose(pixels_of(read_image(tmp_path / "la.png"))[0, 0], 255, atol=0.01)


def test_grey_palette_bilevel_and_cmyk(tmp_path):
    rgb = Image.fromarray(np.kron(SMALL[:2, :3], np.ones((8, 8, 1), np.uint8)))
    rgb.convert("L").save(tmp_path / "grey.png")
    rgb.quantize(6).save(tmp_path / "palette.png")
    rgb.convert("1", dither=Image.Dither.NONE).save(tmp_path / "bilevel.png")
    rgb.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=100, subsampling=0)
    for name in ("grey.png", "palette.png", "bilevel.png"):
        expected = np.asarray(Image.open(tmp_path / name).convert("RGB"))
        np.testing.assert_allclose(pixels_of(read_image(tmp_path / name)), expected, atol=1e-3)
    assert np.abs(pixels_of(read_image(tmp_path / "cmyk.jpg")) - np.asarray(rgb)).max() < 12


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(SMALL).save(tmp_path / "a.png", exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / "a.png")))
    np.testing.assert_allclose(pixels_of(read_image(tmp_path / "a.png")), expected, atol=1e-3)
    np.testing.assert_array_equal(upright(SMALL, orientation), expected)


def test_another_colour_profile_is_converted(tmp_path):
    """A profile whose red and blue primaries are exchanged turns red into blue."""
    from PIL import ImageCms

    plain = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = plain.replace(b"rXYZ", b"tmpX").replace(b"bXYZ", b"rXYZ").replace(b"tmpX", b"bXYZ")
    swapped = swapped.replace("sRGB".encode("utf-16-be"), "BRGs".encode("utf-16-be"))
    red = Image.new("RGB", (4, 4), (255, 0, 0))
    red.save(tmp_path / "plain.png", icc_profile=plain)
    red.save(tmp_path / "swapped.png", icc_profile=swapped)
    red.save(tmp_path / "broken.png", icc_profile=b"junk")
    np.testing.assert_allclose(pixels_of(read_image(tmp_path / "plain.png"))[0, 0], [255, 0, 0], atol=0.01)
    np.testing.assert_allclose(pixels_of(read_image(tmp_path / "broken.png"))[0, 0], [255, 0, 0], atol=0.01)
    np.testing.assert_allclose(pixels_of(read_image(tmp_path / "swapped.png"))[0, 0], [0, 0, 255], atol=3)


@pytest.mark.parametrize("shape", [(1, 1), (10, 20_000), (20_000, 10), (1, 333)])
def test_extreme_shapes(tmp_path, shape):
    Image.new("RGB", shape[::-1], (10, 20, 30)).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").shape == (3, *shape)


@pytest.mark.parametrize("extension", ["jpg", "png", "webp", "bmp", "tiff"])
@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.95])
def test_truncated_images_are_refused(tmp_path, extension, share):
    whole = io.BytesIO()
    kind = {"jpg": "JPEG", "tiff": "TIFF"}.get(extension, extension.upper())
    Image.fromarray(RNG.integers(0, 256, (90, 120, 3), dtype=np.uint8)).save(whole, format=kind)
    path = tmp_path / f"cut.{extension}"
    path.write_bytes(whole.getvalue()[: max(1, int(share * len(whole.getvalue())))])
    assert str(path) in message(read_image, path)


def test_damaged_bytes_never_raise_anything_else(tmp_path):
    for kind in ("JPEG", "PNG", "WEBP", "BMP", "TIFF"):
        whole = io.BytesIO()
        Image.fromarray(SMALL).save(whole, format=kind)
        for _ in range(60):
            data = bytearray(whole.getvalue())
            for place in RNG.integers(0, len(data), 5):
                data[place] = RNG.integers(0, 256)
            (tmp_path / "a").write_bytes(data)
            try:
                image = read_image(tmp_path / "a")
            except InputError:
                continue
            assert image.shape[0] == 3 and bool(torch.isfinite(image).all())


def test_what_is_no_photo_is_named(tmp_path):
    missing, empty, text, gif = (tmp_path / name for name in ("missing.jpg", "empty.jpg", "text.jpg", "anim.jpg"))
    empty.touch()
    text.write_text("hello")
    Image.fromarray(SMALL).save(gif, format="GIF")
    Image.fromarray(np.zeros((4, 4), np.float32)).save(tmp_path / "float.tiff")
    assert message(read_image, missing) == f"{missing}: no such file"
    assert "empty" in message(read_image, empty)
    assert "found a folder" in message(read_image, tmp_path)
    assert "found text, expected a JPEG, PNG" in message(read_image, text)
    assert "found a GIF animation" in message(read_image, gif)
    assert "32-bit" in message(read_image, tmp_path / "float.tiff")


def test_a_huge_image_is_refused_from_its_header(tmp_path):
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    for side in (11_000, 60_000):
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
        (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
        began = time.monotonic()
        assert "pixels" in message(read_image, tmp_path / "a.png")
        assert time.monotonic() - began < 1


def test_to_pixels_clips_rounds_and_refuses():
    frame = torch.tensor([-0.5, 0.0, 0.499 / 255, 0.501 / 255, 1.0, 2.0]).expand(3, 1, 6)
    np.testing.assert_array_equal(to_pixels(frame)[0, :, 0], [0, 0, 0, 1, 255, 255])
    with pytest.raises(ValueError, match="finite"):
        to_pixels(torch.full((3, 2, 2), float("nan")))
    with pytest.raises(ValueError, match="expected a frame"):
        to_pixels(torch.zeros(1, 3, 2, 2))


def test_real_photos_open(data_dir):
    files = sorted((data_dir / "landscape_photos").glob("*.jpg"))[:3]
    for file in files:
        expected = ImageOps.exif_transpose(Image.open(file).convert("RGB"))
        image = read_image(file)
        assert image.shape == (3, expected.height, expected.width)
        assert 0.02 < image.std() < 0.5


# ---- video ----------------------------------------------------------------------------------------------


def write(output: Path, frames, fps=Fraction(30), **options) -> None:
    with open_sink(output, fps, *frames[0].shape[-2:], **options) as sink:
        for frame in frames:
            sink.write(frame)


def test_mp4_keeps_colours_rate_and_count_and_is_tagged(tmp_path):
    colours = torch.tensor([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1], [0, 0, 0], [0.8, 0.6, 0.2], [0.1, 0.4, 0.7]])
    frame = colours.T.repeat_interleave(16, dim=1)[:, None].expand(3, 32, 112)
    path = tmp_path / "a.mp4"
    write(path, [frame] * 7, Fraction(30000, 1001))
    assert read_rate(path) == Fraction(30000, 1001)
    decoded = list(read_video_frames(path))
    assert len(decoded) == 7
    for got in decoded:
        middle = got[:, 8:24].reshape(3, 16, 7, 16)[..., 5:11].mean(dim=(1, 3)).T
        assert (middle - colours).abs().max() < 2.5 / 255
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        assert (context.color_primaries, context.color_trc, context.colorspace, context.color_range) == (1, 1, 1, 1)
    data = path.read_bytes()
    assert data.find(b"moov") < data.find(b"mdat")  # plays while it downloads


def test_mp4_is_faithful_and_repeats_its_bytes(tmp_path):
    wide = smooth(64, 120)
    frames = [wide[:, :, 2 * k : 2 * k + 96] for k in range(12)]
    write(tmp_path / "a.mp4", frames)
    for _ in range(12):  # an encoder that repeats itself only mostly has been seen
        write(tmp_path / "b.mp4", frames, overwrite=True)
        assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    for want, got in zip(frames, read_video_frames(tmp_path / "a.mp4"), strict=True):
        assert 10 * torch.log10(1 / (want - got).square().mean()) > 36  # what 4:2:0 chroma leaves
        assert (got - want).mean().abs() < 0.5 / 255  # no shift of brightness


def test_sequence_is_numbered_from_zero_and_read_back_in_order(tmp_path):
    frames = [smooth(5, 7, seed) for seed in range(12)]  # odd sizes are fine here
    pattern = tmp_path / "new" / "deep" / "f_%d.png"
    write(pattern, frames)
    assert sorted(numbered_files(pattern)) == list(range(12))
    for want, got in zip(frames, read_video_frames(pattern), strict=True):
        assert (want - got).abs().max() <= 0.5 / 255 + 1e-6


def test_uint8_frames_and_frames_that_are_changed_after_writing(tmp_path):
    frame = torch.from_numpy(SMALL).permute(2, 0, 1).clone()
    with open_sink(tmp_path / "%d.png", Fraction(30), 12, 17) as sink:
        for _ in range(5):
            sink.write(frame)
            frame += 1
    for index, got in enumerate(read_video_frames(tmp_path / "%d.png")):
        np.testing.assert_allclose(pixels_of(got), SMALL + np.uint8(index), atol=1e-3)


@pytest.mark.parametrize("name", ["a.mp4", "%03d.png"])
def test_an_exception_leaves_what_was_there(tmp_path, name):
    old, new = [smooth(16, 16, 1)] * 3, smooth(16, 16, 2)
    write(tmp_path / name, old)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(KeyError), open_sink(tmp_path / name, Fraction(30), 16, 16, overwrite=True) as sink:
        if name == "a.mp4":
            sink.write(new)
        raise KeyError("stop")
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
    with pytest.raises(KeyError), open_sink(tmp_path / f"other_{name}", Fraction(30), 16, 16):
        raise KeyError("stop")
    assert {file.name for file in tmp_path.iterdir()} == set(before)


@pytest.mark.parametrize("name", ["a.mp4", "%03d.png"])
def test_existing_output_is_refused_before_any_work_and_replaced_when_asked(tmp_path, name):
    write(tmp_path / name, [smooth(16, 16, 1)] * 5)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert "--overwrite" in message(open_sink, tmp_path / name, Fraction(30), 16, 16)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
    write(tmp_path / name, [smooth(16, 16, 2)] * 3, overwrite=True)
    assert len(list(read_video_frames(tmp_path / name))) == 3  # no tail of the longer sequence


def test_outputs_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "folder.mp4").mkdir()
    cases = {
        "absent/a.mp4": "there is no folder",
        "file/a.mp4": "cannot write",
        "file/%d.png": "cannot write",
        "folder.mp4": "found a folder",
        "a.avi": "expected an output named like",
        "absent/a.png": "there is no folder",
        "%d_%d.png": "expected an output named like",
        "%s.png": "expected an output named like",
        "%d/a%d.png": "in the file name only",
    }
    for name, part in cases.items():
        assert part in message(open_sink, tmp_path / name, Fraction(30), 16, 16)
    assert "use 16x18" in message(open_sink, tmp_path / "a.mp4", Fraction(30), 15, 17)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "folder.mp4"]


def test_a_still_is_one_png(tmp_path):
    path = tmp_path / "a.png"
    frame = torch.rand(3, 16, 18)
    with open_sink(path, Fraction(24), 16, 18) as sink:
        sink.write(frame)
    assert torch.equal((read_image(path) * 255).round(), (frame * 255).round())
    assert "exists" in message(open_sink, path, Fraction(24), 16, 18)
    with pytest.raises(InputError, match="more than one frame"), open_sink(path, Fraction(24), 16, 18, True) as sink:
        sink.write(frame)
        sink.write(frame)
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]


def test_an_mp4_without_frames_is_an_error_and_leaves_nothing(tmp_path):
    with pytest.raises(InputError, match="no frames"), open_sink(tmp_path / "a.mp4", Fraction(30), 16, 16):
        pass
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_the_encoder_reaches_the_caller(tmp_path, monkeypatch):
    sink = open_sink(tmp_path / "a.mp4", Fraction(30), 16, 16)

    def full(pixels: np.ndarray) -> None:
        raise InputError("cannot write a.mp4: No space left on device")

    monkeypatch.setattr(sink._writer, "add", full)
    with pytest.raises(InputError, match="No space left"), sink:
        for _ in range(1000):  # far more than the queue holds: it must not block
            sink.write(smooth(16, 16))
    assert list(tmp_path.iterdir()) == []


def test_frames_of_another_size_are_refused(tmp_path):
    with (
        pytest.raises(ValueError, match="expected frames"),
        open_sink(tmp_path / "a.mp4", Fraction(30), 16, 16) as sink,
    ):
        sink.write(torch.zeros(3, 16, 18))
    assert list(tmp_path.iterdir()) == []


def test_videos_that_cannot_be_read(tmp_path):
    (tmp_path / "junk.mp4").write_bytes(b"junk" * 100)
    (tmp_path / "empty.mp4").touch()
    for name in ("junk.mp4", "empty.mp4", "missing.mp4", "%d.png"):
        assert str(tmp_path / name) in message(lambda path: list(read_video_frames(path)), tmp_path / name)
