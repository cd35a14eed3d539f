"""Clips in and out: every frame upright and at its time, the sound as it was, damaged files refused before any work."""

from __future__ import annotations

import struct
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import InputError
from pipelines.media.clip_sink import open_clip_sink
from pipelines.media.clips import Timing, is_even, open_clip
from pipelines.media.images import read_image
from pipelines.media.video import read_rate

HEIGHT, WIDTH, FRAMES, HERTZ = 48, 64, 30, 44_100
NTSC = Fraction(30000, 1001)
TRANSFERS = {1: "bt709", 2: "undef", 16: "smpte2084", 18: "arib-std-b67"}


def shoot(path, rate=NTSC, *, frames=FRAMES, pts=None, base=None, delay=0.0, sound="aac", sound_delay=0.0, **stream):
    """A clip like a camera's: frame k is a grey of 8 k; beside it a tone of 440 Hz (``sound`` is its codec)."""
    with av.open(str(path), "w", options={"movflags": "+faststart"} if path.suffix == ".mp4" else {}) as container:
        video = container.add_stream("libx264", rate=rate)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.options = {"crf": "10", "g": "10", **stream}
        base = base or 1 / Fraction(rate)
        video.codec_context.time_base = base
        tone = container.add_stream(sound, rate=HERTZ, layout="stereo") if sound else None
        for k in range(frames):
            frame = av.VideoFrame.from_ndarray(np.full((HEIGHT, WIDTH, 3), 8 * k % 256, np.uint8), format="rgb24")
            frame.pts, frame.time_base = (k if pts is None else pts[k]) + round(delay / base), base
            container.mux(video.encode(frame))
        container.mux(video.encode())
        if tone is not None:
            wave = 0.3 * np.sin(2 * np.pi * 440 / HERTZ * np.arange(HERTZ)).astype(np.float32)
            for start in range(0, HERTZ, 1024):
                part = np.ascontiguousarray(np.stack([wave, wave])[:, start : start + 1024])
                samples = av.AudioFrame.from_ndarray(part, format="fltp", layout="stereo")
                samples.sample_rate, samples.pts = HERTZ, start + round(sound_delay * HERTZ)
                samples.time_base = Fraction(1, HERTZ)
                container.mux(tone.encode(samples))
            container.mux(tone.encode())
    return path


def copied(source, target):
    """Pass a clip through: what comes out is what would surround other pictures."""
    clip = open_clip(source)
    with open_clip_sink(target, clip) as sink:
        for frame in clip:
            sink.write(frame)
    return clip


def shown(path):
    """The times of the frames and the end of the last one [s], and their greys."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        greys = [int(np.median(frame.to_ndarray(format="rgb24"))) for frame in frames]
    times = [frame.pts * frame.time_base for frame in frames]
    return [*times, times[-1] + frames[-1].duration * frames[-1].time_base], greys


def packets(path):
    """The sound as it is stored: its codec and the bytes of its packets."""
    with av.open(str(path)) as container:
        name = container.streams.audio[0].codec_context.name
        return name, [bytes(packet) for packet in container.demux(audio=0) if packet.size]


def heard(path):
    """When the tone begins [s], and its samples (channels, N) from there on."""
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
    samples = np.concatenate([frame.to_ndarray() for frame in frames], axis=1)
    onset = int(np.argmax(np.abs(samples[0]) > 0.1))
    return float(frames[0].pts * frames[0].time_base) + onset / HERTZ, samples[:, onset:]


def message(path, **options):
    with pytest.raises(InputError) as caught:
        list(open_clip(path, **options))
    assert "\n" not in str(caught.value) and path.name in str(caught.value)
    return str(caught.value)


# ---- out again as it came -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "aac"), ("a.mkv", "aac"), ("a.mkv", "ac3"), ("a.mkv", "flac")])
def test_rate_length_frames_and_sound_are_kept_exactly(tmp_path, name, codec):
    source = shoot(tmp_path / name, sound=codec)
    clip = copied(source, tmp_path / "out.mp4")
    assert (clip.frames, clip.height, clip.width, clip.timing.rate) == (FRAMES, HEIGHT, WIDTH, NTSC)
    assert not clip.timing.varies
    times, greys = shown(tmp_path / "out.mp4")
    assert times == [k / NTSC for k in range(FRAMES + 1)] and read_rate(tmp_path / "out.mp4") == NTSC
    np.testing.assert_allclose(greys, shown(source)[1], atol=1)
    assert packets(tmp_path / "out.mp4") == packets(source)
    assert heard(tmp_path / "out.mp4")[0] == pytest.approx(heard(source)[0], abs=0.001)


def test_sound_that_mp4_does_not_take_becomes_aac(tmp_path):
    source = shoot(tmp_path / "a.mkv", sound="pcm_s16le")
    copied(source, tmp_path / "out.mp4")
    assert packets(tmp_path / "out.mp4")[0] == "aac"
    wave = 0.3 * np.sin(2 * np.pi * 440 / HERTZ * np.arange(HERTZ))
    onset = int(np.argmax(wave > 0.1))
    start, samples = heard(tmp_path / "out.mp4")
    assert start == pytest.approx(onset / HERTZ, abs=0.001) and abs(samples.shape[1] - (HERTZ - onset)) <= 1024
    assert np.abs(samples[0, 4000:40_000] - wave[onset:][4000:40_000]).max() < 0.05  # in phase, as loud


def test_without_sound_there_is_none(tmp_path):
    copied(shoot(tmp_path / "a.mp4", sound=None), tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert not container.streams.audio
    assert shown(tmp_path / "out.mp4")[0] == [k / NTSC for k in range(FRAMES + 1)]


@pytest.mark.parametrize(("delay", "sound_delay"), [(0.4, 0.0), (0.0, 0.4)])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_sound_and_pictures_that_begin_at_different_times_stay_together(tmp_path, name, delay, sound_delay):
    source = shoot(tmp_path / name, Fraction(25), delay=delay, sound_delay=sound_delay)
    copied(source, tmp_path / "out.mp4")
    lead = [heard(path)[0] - float(shown(path)[0][0]) for path in (source, tmp_path / "out.mp4")]
    assert lead[0] == pytest.approx(sound_delay - delay, abs=0.03)
    assert lead[1] == pytest.approx(lead[0], abs=0.002)
    assert read_rate(tmp_path / "out.mp4") == 25


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_a_varying_rate_keeps_every_frame_at_its_time(tmp_path, name):
    pts = np.cumsum([0, *np.random.default_rng(0).integers(15, 90, FRAMES - 1)]).tolist()
    clip = copied(shoot(tmp_path / name, Fraction(25), pts=pts, base=Fraction(1, 1000)), tmp_path / "out.mp4")
    assert clip.timing.varies
    np.testing.assert_allclose(clip.timing.seconds, np.array(pts) / 1000, atol=1e-9)
    times, greys = shown(tmp_path / "out.mp4")
    wanted, greys_before = shown(tmp_path / name)
    assert times == wanted and len(greys) == FRAMES
    np.testing.assert_allclose(greys, greys_before, atol=1)


def test_a_dropped_frame_is_no_constant_rate(tmp_path):
    pts = [k + (k > 10) for k in range(FRAMES)]
    clip = copied(shoot(tmp_path / "a.mp4", Fraction(30), pts=pts), tmp_path / "out.mp4")
    assert clip.timing.varies
    assert shown(tmp_path / "out.mp4")[0][:-1] == [Fraction(k, 30) for k in pts]


def test_a_real_clip_keeps_its_odd_rate_and_its_sound(tmp_path, data_dir):
    source = data_dir / "clips/annarbor_field_sky.mp4"
    if not source.is_file():
        pytest.skip(f"no {source}")
    clip = open_clip(source)
    assert (clip.frames, clip.height, clip.width) == (206, 544, 960) and not clip.timing.varies
    with open_clip_sink(tmp_path / "out.mp4", clip) as sink:
        for _ in range(clip.frames):
            sink.write(torch.zeros(3, clip.height, clip.width))
    assert read_rate(tmp_path / "out.mp4") == read_rate(source)
    assert float(shown(tmp_path / "out.mp4")[0][0]) == pytest.approx(6398 / 90_000, abs=0.001)  # after the sound
    assert packets(tmp_path / "out.mp4") == packets(source)


# ---- as it is shown -------------------------------------------------------------------------------------------


def turned(path, a, b, c, d):
    """Change the display matrix that an MP4's header (tkhd) states: x' = a x + c y, y' = b x + d y."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 44
    data[at : at + 36] = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


# From stored to shown: the right edge goes down (a phone held upright), to the left, and up.
@pytest.mark.parametrize(
    ("matrix", "edge"),
    [((0, 1, -1, 0), np.s_[:, -8:, :]), ((-1, 0, 0, -1), np.s_[:, :, :8]), ((0, -1, 1, 0), np.s_[:, :8, :])],
)
def test_a_phones_frames_are_upright(tmp_path, matrix, edge):
    stored = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    stored[:, -8:] = 255
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(stored, format="rgb24")))
        container.mux(stream.encode())
    turned(tmp_path / "a.mp4", *matrix)
    clip = copied(tmp_path / "a.mp4", tmp_path / "out.mp4")
    size = (HEIGHT, WIDTH) if matrix[0] else (WIDTH, HEIGHT)
    for path in ("a.mp4", "out.mp4"):
        (frame,) = open_clip(tmp_path / path)
        assert frame.shape == (3, *size) == (3, clip.height, clip.width)
        bright = torch.zeros_like(frame)
        bright[edge] = 1
        assert (frame - bright).abs().mean() < 0.02
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert next(container.decode(video=0)).rotation == 0


def test_pixels_that_are_not_square_stay_so(tmp_path):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((HEIGHT, WIDTH, 3), np.uint8))))
        container.mux(stream.encode())
    copied(path, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(4, 3)


@pytest.mark.parametrize(("transfer", "hdr"), [(1, False), (2, False), (16, True), (18, True)])
def test_hdr_is_known(tmp_path, transfer, hdr):
    shoot(tmp_path / "a.mp4", frames=2, sound=None, **{"x264-params": f"transfer={TRANSFERS[transfer]}"})
    assert open_clip(tmp_path / "a.mp4").hdr == hdr


def test_what_was_trimmed_away_stays_away(tmp_path):
    """An editor that cuts without encoding leaves the frames in the file and states where to begin."""
    path = shoot(tmp_path / "a.mp4", Fraction(30), sound=None)
    data = bytearray(path.read_bytes())
    at = data.index(b"elst") + 12  # version and flags, count, then duration, media time, rate
    duration, begin = struct.unpack(">Ii", data[at : at + 8])
    data[at : at + 8] = struct.pack(">Ii", duration - 500, begin + 15 * 512)  # 15 frames of a clock of 15,360
    path.write_bytes(data)
    clip = copied(path, tmp_path / "out.mp4")
    assert clip.frames == 15
    assert shown(tmp_path / "out.mp4")[0] == [Fraction(k, 30) for k in range(16)]
    np.testing.assert_allclose(shown(tmp_path / "out.mp4")[1], [8 * k for k in range(15, 30)], atol=2)


def test_a_recording_cut_into_its_middle_begins_at_a_key_frame(tmp_path):
    data = shoot(tmp_path / "whole.ts", Fraction(30), sound=None).read_bytes()
    path = tmp_path / "a.ts"
    path.write_bytes(data[: 3 * 188] + data[len(data) // 3 // 188 * 188 :])  # the tables, then the last two thirds
    clip = copied(path, tmp_path / "out.mp4")
    assert clip.frames in (10, 20)
    np.testing.assert_allclose(shown(tmp_path / "out.mp4")[1], [8 * k for k in range(30 - clip.frames, 30)], atol=2)


# ---- files that are not as they should be ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
@pytest.mark.parametrize("share", [0.9, 0.6])
def test_a_file_that_is_cut_short_is_refused_before_any_work(tmp_path, name, share):
    path = shoot(tmp_path / name, frames=200)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(InputError, match="cut short"):
        open_clip(path)


def test_a_download_that_never_came_to_its_end_is_found_before_any_work(tmp_path):
    path = shoot(tmp_path / "a.mp4", sound=None)
    assert list(open_clip(path).check()) == [False] * FRAMES
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 3 // 4] + bytes(len(data) - len(data) * 3 // 4))  # the length is right
    with pytest.raises(InputError, match="damaged"):
        list(open_clip(path).check())


def test_frames_that_a_decoder_patched_are_known(tmp_path, data_dir):
    source = data_dir / "clips/annarbor_field_sky.mp4"
    if not source.is_file():
        pytest.skip(f"no {source}")
    data = bytearray(source.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 40] = b"\xff" * 40
    (tmp_path / "a.mp4").write_bytes(data)
    damaged = list(open_clip(tmp_path / "a.mp4").check())
    assert len(damaged) == 206 and [index for index, bad in enumerate(damaged) if bad] == [90]


def test_a_clip_that_goes_away_leaves_nothing(tmp_path):
    source = shoot(tmp_path / "a.mkv", frames=2)
    clip = open_clip(source)
    source.unlink()
    with pytest.raises(InputError, match="no such file"):
        open_clip_sink(tmp_path / "out.mp4", clip)
    assert list(tmp_path.iterdir()) == []


def test_no_clips(tmp_path):
    (tmp_path / "junk.mp4").write_bytes(b"junk" * 100)
    assert "cannot be read as a video" in message(tmp_path / "junk.mp4")
    assert "no such file" in message(tmp_path / "none.mp4")
    assert "no such files" in message(tmp_path / "none/%d.jpg")
    (tmp_path / "empty").mkdir()
    assert "there are no pictures" in message(tmp_path / "empty")
    assert "--fps is for pictures" in message(shoot(tmp_path / "a.mp4", frames=2), fps=Fraction(30))


# ---- pictures -------------------------------------------------------------------------------------------------


def save(path, grey, size=(20, 30)):
    path.parent.mkdir(exist_ok=True)
    cv2.imwrite(str(path), np.full((*size, 3), grey, np.uint8))


def test_pictures_by_pattern_folder_and_name(tmp_path):
    for k in range(12):
        save(tmp_path / f"in/{k}.jpg", 10 * k)
    (tmp_path / "in/notes.txt").write_text("not a picture")
    for path in (tmp_path / "in", tmp_path / "in/%d.jpg"):
        clip = open_clip(path, Fraction(15))
        assert (clip.frames, clip.height, clip.width, clip.timing.rate) == (12, 20, 30, 15)
        assert clip.timing.seconds == pytest.approx([k / 15 for k in range(12)])
        assert [round(float(frame.mean()) * 255) for frame in clip] == [10 * k for k in range(12)]
    photo = open_clip(tmp_path / "in/3.jpg")
    (frame,) = photo
    assert photo.frames == 1 and torch.equal(frame, read_image(tmp_path / "in/3.jpg"))
    (tmp_path / "in/5.jpg").unlink()
    with pytest.raises(InputError, match=r"5\.jpg: missing between 0\.jpg and 11\.jpg"):
        open_clip(tmp_path / "in/%d.jpg")
    save(tmp_path / "in/6.jpg", 0, (30, 20))
    assert "frame 5 is 30x20, the first is 20x30" in message(tmp_path / "in")


# ---- times ----------------------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(
    st.fractions(1, 240, max_denominator=1001),
    st.sampled_from([Fraction(1, 1000), Fraction(1, 90_000), Fraction(1, 12_288)]),
    st.integers(2, 400),
    st.fractions(0, 100, max_denominator=1000),
    st.sampled_from([round, int]),
)
def test_rounded_times_are_told_from_uneven_ones(rate, tick, frames, start, rounded):
    times = [rounded((start + k / rate) / tick) for k in range(frames)]
    assert is_even(times, tick, rate)
    late = [time + (k >= frames // 2) * round(1 / rate / tick) for k, time in enumerate(times)]
    assert not is_even(late, tick, rate)  # a frame was dropped


@given(st.fractions(1, 240, max_denominator=1001), st.integers(1, 100), st.fractions(0, 10, max_denominator=1000))
def test_even_times_are_exact(rate, frames, start):
    timing = Timing.even(rate, frames, start)
    assert len(timing.ticks) == frames + 1 and timing.rate == rate
    assert {(b - a) * timing.tick for a, b in zip(timing.ticks, timing.ticks[1:], strict=False)} == {1 / rate}
    assert abs(timing.ticks[0] * timing.tick - start) <= Fraction(1, 20_000)
