"""A clip as a user brings it: a video, numbered pictures, or one photo; upright, with the exact time of every frame.

    clip = open_clip("drive.mp4")
    for frame in clip:          # (3, H, W) in [0, 1]
        ...

A first pass over the packets of a video, which decodes nothing, counts the frames, reads their times and finds out
whether the file is cut short, before any work is done.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from torch import Tensor

from pipelines.errors import InputError
from pipelines.media.images import read_image
from pipelines.media.sequences import NUMBER, sequence_files
from pipelines.media.video import decoded_frames, frame_to_tensor, open_video, read_video_frames
from render_refine.ahead import ahead

PHOTOS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
PICTURE_FPS = Fraction(24)  # of pictures, which do not say
FINEST_TICK = 10_000  # per second, at least, for the times of evenly spaced frames
HDR = (16, 18)  # FFmpeg's codes of the transfer curves PQ and HLG
SPARE = 0.25  # seconds that a file may end before the length its header states


@dataclass(frozen=True)
class Timing:
    """When the frames of a clip are shown.

    Attributes:
        rate: frames per second; the average, if it varies.
        ticks: when every frame begins, and when the last one ends; increasing, from the beginning of the clip's sound
            or pictures, whichever is first.
        tick: seconds.
        origin: seconds, what the clip itself calls that beginning.
    """

    rate: Fraction
    ticks: Sequence[int]
    tick: Fraction
    origin: Fraction = Fraction(0)

    @staticmethod
    def even(rate: Fraction, frames: int, start: Fraction = Fraction(0), origin: Fraction = Fraction(0)) -> Timing:
        """Frames at a constant rate, from ``start`` seconds on."""
        finer = -(-FINEST_TICK // rate.numerator)
        tick = Fraction(1, rate.numerator * finer)
        first, step = round(start / tick), rate.denominator * finer
        return Timing(rate, range(first, first + (frames + 1) * step, step), tick, origin)

    @property
    def varies(self) -> bool:
        """Whether the rate is not constant."""
        return not isinstance(self.ticks, range)

    @property
    def seconds(self) -> list[float]:
        """When every frame begins, the first at 0."""
        return [float((tick - self.ticks[0]) * self.tick) for tick in self.ticks[:-1]]


@dataclass(frozen=True)
class Clip:
    """Iterate for the frames (3, H, W) float32 sRGB in [0, 1], as often as wanted; one is in memory at a time.

    Attributes:
        path: as it was named.
        files: the pictures; empty for a video.
        timing: of the frames.
        height, width: of every frame as it is shown.
        pixel_aspect: width of a pixel by its height.
        hdr: a video brighter than sRGB can be (HLG, PQ), whose values are taken as they are.
    """

    path: Path
    files: tuple[Path, ...]
    timing: Timing
    height: int
    width: int
    pixel_aspect: Fraction = Fraction(1)
    hdr: bool = False

    @property
    def frames(self) -> int:
        """How many there are."""
        return len(self.timing.ticks) - 1

    def __iter__(self) -> Iterator[Tensor]:
        return ahead(self._shown())

    def check(self) -> Iterator[bool]:
        """Decode a video to its end, which costs little beside its use, so that damage is known before hours of work.

        Yields:
            Per frame, whether it is damaged, and was patched by its decoder; nothing for pictures.

        Raises:
            InputError: some frames cannot be decoded.
        """
        return iter(()) if self.files else (frame.is_corrupt for frame in self._stored())

    def _shown(self) -> Iterator[Tensor]:
        frames = map(read_image, self.files) if self.files else map(frame_to_tensor, self._stored())
        for index, frame in enumerate(frames):
            if tuple(frame.shape[-2:]) != (self.height, self.width):
                found = "x".join(map(str, frame.shape[-2:]))
                raise InputError(
                    f"{self.path}: frame {index} is {found}, the first is {self.height}x{self.width}; wanted one size"
                )
            yield frame

    def _stored(self) -> Iterator[av.VideoFrame]:
        count = 0
        for frame in decoded_frames(self.path):
            count += 1
            yield frame
        if count != self.frames:
            raise InputError(f"{self.path}: the video is damaged: {count} of {self.frames} frames can be decoded")


def open_clip(path: Path | str, fps: Fraction | None = None) -> Clip:
    """Open a clip and look it through.

    Args:
        path: a video; a folder of pictures (in the natural order of their names), a pattern such as
            ``in/%06d.jpg`` (its numbers must be complete), or one photo.
        fps: of pictures; 24 when left out.

    Raises:
        InputError: missing, no pictures, a missing number, no video, cut short, or ``fps`` for a video.
    """
    path = Path(path)
    if NUMBER.search(path.name) or path.is_dir():
        files = sequence_files(path, PHOTOS, "pictures")
    elif path.suffix.lower() in PHOTOS:
        files = [path]
    else:
        clip = open_video_clip(path)
        if fps is not None:
            raise InputError(f"{path}: --fps is for pictures; this video has {float(clip.timing.rate):g} of its own")
        return clip
    height, width = read_image(files[0]).shape[-2:]
    return Clip(path, tuple(files), Timing.even(fps or PICTURE_FPS, len(files)), height, width)


def open_video_clip(path: Path) -> Clip:
    """Open a video; see ``open_clip``."""
    timing = read_timing(path)
    first = next(iter(read_video_frames(path)), None)
    if first is None:
        raise InputError(f"{path}: there are no frames in it")
    height, width = first.shape[-2:]
    with open_video(path) as container:
        stream = container.streams.video[0]
        aspect = Fraction(stream.sample_aspect_ratio or 1)
        turned = (stream.height, stream.width) != (height, width)
        hdr = stream.codec_context.color_trc in HDR
    return Clip(path, (), timing, height, width, 1 / aspect if turned else aspect, hdr)


def read_timing(path: Path) -> Timing:
    """The times of a video's frames, from its packets alone.

    Raises:
        InputError: no video, no frames, cut short.
    """
    with open_video(path) as container:
        stream = container.streams.video[0]
        rates = [Fraction(rate) for rate in (stream.average_rate, stream.base_rate, stream.guessed_rate) if rate]
        if not rates or stream.time_base is None:
            raise InputError(f"{path}: the video states no frame rate")
        tick, origin = stream.time_base, Fraction(container.start_time or 0, av.time_base)
        frames, times, end = read_times(container, stream, path)
    if not frames:
        raise InputError(f"{path}: there are no frames in it")
    if len(set(times)) < frames:  # raw streams and old formats: one picture after the other
        return Timing.even(rates[0], frames)
    rate = next((rate for rate in rates if is_even(times, tick, rate)), None)
    if rate is not None:
        return Timing.even(rate, frames, times[0] * tick - origin, origin)
    times.append(max(end, times[-1] + 1))
    shift = round(origin / tick)
    return Timing(rates[0], array("q", (time - shift for time in times)), tick, origin)


def read_times(
    container: av.container.InputContainer, stream: av.VideoStream, path: Path
) -> tuple[int, array[int], int]:
    """How many frames a video shows, when each begins where that is known, in order, and when the last one ends.

    Raises:
        InputError: cut short.
    """
    times, packets, untimed, first_key, end, file_end, cut = array("q"), 0, 0, None, 0, 0.0, False
    try:
        for packet in container.demux():
            if not packet.size:
                continue
            begin, duration = packet.pts, packet.duration or 0
            if begin is not None:
                file_end = max(file_end, float((begin + duration) * (packet.time_base or 0)))
            if packet.stream is not stream:
                continue
            packets, cut = packets + 1, packet.is_corrupt
            if begin is None:
                untimed += 1
                continue
            first_key = begin if first_key is None and packet.is_keyframe else first_key
            if not packet.is_discard:  # what an editor trimmed away is still in the file
                times.append(begin)
                end = max(end, begin + duration)
    except av.error.FFmpegError as error:
        raise InputError(f"{path}: the video is damaged or cut short ({error.strerror})") from None
    # What the index of an MP4 lists; less than its header counts where the beginning was trimmed away.
    listed = min(stream.frames, len(stream.index_entries))
    if cut or packets < listed:
        of = f" of {listed}" if listed else ""
        raise InputError(f"{path}: the video is cut short: {packets - cut}{of} frames are whole")
    # Matroska counts no frames, but its header states the length.
    stated = ((container.start_time or 0) + (container.duration or 0)) / av.time_base
    if "matroska" in container.format.name and file_end < stated - SPARE:
        raise InputError(f"{path}: the video is cut short: it ends at {file_end:.1f} of {stated:.1f} s")
    # What precedes the first key frame, in a clip cut without care, cannot be decoded.
    shown = sorted(time for time in times if first_key is None or time >= first_key)
    return len(shown) + untimed, array("q", shown), end


def is_even(times: Sequence[int], tick: Fraction, rate: Fraction) -> bool:
    """Whether times are those of a constant rate, but for less than a tick or a hundredth of a frame."""
    # (t - t0) tick and k / rate, times both denominators: whole numbers, because a film has many frames.
    one, step = tick.numerator * rate.numerator, tick.denominator * rate.denominator
    near = max(one, step / 100)
    return all(abs((time - times[0]) * one - index * step) < near for index, time in enumerate(times))
