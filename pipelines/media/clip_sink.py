"""A clip out again: new pictures at the old one's times, with its sound.

clip = open_clip("drive.mp4")
with open_clip_sink("night.mp4", clip) as sink:
    for frame in clip:
        sink.write(night(frame))
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from pipelines.errors import InputError
from pipelines.media.clips import Clip
from pipelines.media.video import FrameSink, Mp4Writer, open_sink, open_video, writing

COPIED = {"aac", "mp3", "ac3", "eac3", "opus", "flac", "alac"}  # codecs that players take in an MP4
LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}  # by their channels, for sound that is encoded anew
AAC_RATE = 48_000  # where AAC does not know the rate of the sound


def open_clip_sink(output: Path | str, clip: Clip, overwrite: bool = False) -> FrameSink:
    """Where the frames of a changed clip go, one for each of its own.

    Args:
        output: as in ``open_sink``. An MP4 keeps the clip's sound and the time of every frame; pictures keep neither.
        clip: whose frames have the size of the output.
        overwrite: as in ``open_sink``.

    Raises:
        InputError: as in ``open_sink``.
    """
    path = Path(output)
    if path.suffix.lower() == ".mp4" and "%" not in path.name:
        return FrameSink(ClipWriter(path, clip, overwrite), clip.height, clip.width)
    return open_sink(path, clip.timing.rate, clip.height, clip.width, overwrite)


class ClipWriter(Mp4Writer):
    """An MP4 whose frames have a clip's times, and with them its sound."""

    def __init__(self, path: Path, clip: Clip, overwrite: bool) -> None:
        super().__init__(path, clip.timing.rate, clip.height, clip.width, overwrite)
        self.timing = clip.timing
        self.stream.codec_context.time_base = clip.timing.tick
        self.stream.codec_context.flags |= av.codec.context.Flags.frame_duration
        self.stream.codec_context.sample_aspect_ratio = clip.pixel_aspect
        try:
            self.sound = None if clip.files else Soundtrack(clip, self.container)
        except BaseException:
            self.abort()
            raise

    def add(self, pixels: np.ndarray) -> None:
        pts, end = self.timing.ticks[self.count], self.timing.ticks[self.count + 1]
        self.encode(pixels, pts, end - pts, self.timing.tick)
        if self.sound is not None:
            self.sound.advance(self.path, float(pts * self.timing.tick))

    def finish(self) -> None:
        if self.count and self.sound is not None:
            self.sound.advance(self.path)
        super().finish()


class Soundtrack:
    """The sound of a video on its way into an MP4, in step with the pictures, so that little of it waits in memory.

    Packets of the usual codecs are copied as they are; other sound is encoded anew as AAC. Of several tracks the
    first counts.
    """

    def __init__(self, clip: Clip, target: av.container.OutputContainer) -> None:
        self.clip, self.target = clip.path, target
        self.source = open_video(clip.path)
        self.packets: Iterator[av.Packet] = iter(())
        self.waiting: av.Packet | None = None
        stream = next((stream for stream in self.source.streams.audio if stream.codec_context is not None), None)
        if stream is None:
            return
        if stream.codec_context.name in COPIED:
            self.packets = self.copied(stream, target.add_stream_from_template(stream), clip.timing.origin)
        else:
            rate = stream.rate if stream.rate in (av.Codec("aac", "w").audio_rates or ()) else AAC_RATE
            anew = target.add_stream("aac", rate=rate, layout=LAYOUTS.get(stream.channels, "stereo"))
            self.packets = self.encoded(stream, anew, clip.timing.origin)

    def advance(self, path: Path, until: float = math.inf) -> None:
        """Hand over the packets that begin before ``until`` seconds; ``path`` is where they go, for messages."""
        while True:
            if self.waiting is None:
                self.waiting = self.fetch()
            if self.waiting is None or begin(self.waiting) >= until:
                return
            with writing(path):
                self.target.mux(self.waiting)
            self.waiting = None

    def fetch(self) -> av.Packet | None:
        """The next packet, None after the last."""
        try:
            return next(self.packets, None)
        except av.error.FFmpegError as error:
            raise InputError(f"{self.clip}: the sound is damaged or cut short ({error.strerror})") from None

    def copied(self, stream: av.AudioStream, target: av.AudioStream, origin: Fraction) -> Iterator[av.Packet]:
        """The packets as they are, on the new clock."""
        for packet in self.source.demux(stream):
            if packet.size and packet.pts is not None:
                packet.pts = packet.dts = packet.pts - round(origin / (packet.time_base or 1))
                packet.stream = target
                yield packet

    def encoded(self, stream: av.AudioStream, target: av.AudioStream, origin: Fraction) -> Iterator[av.Packet]:
        """The sound as AAC, on the new clock."""
        for frame in self.source.decode(stream):
            if frame.pts is not None:
                frame.pts -= round(origin / (frame.time_base or 1))
            yield from target.encode(frame)
        yield from target.encode(None)


def begin(packet: av.Packet) -> float:
    """When a packet begins, in seconds."""
    return float((packet.pts or 0) * (packet.time_base or 1))
