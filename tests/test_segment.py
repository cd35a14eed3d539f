"""``viewsynth segment`` as a person uses it: videos, pictures and photos in, exact label maps out, bad input."""

from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from pipelines.cli import main
from pipelines.media.images import read_image
from pipelines.media.label_video import open_labels
from pipelines.media.video import open_sink, read_rate, read_video_frames
from pipelines.models import load_segmenter
from pipelines.perception.segmentation import Segmenter, SegmenterConfig
from pipelines.segment import shares
from vid2vid.classes import CLASSES, NO_LABEL

FRAMES, HEIGHT, WIDTH = 5, 48, 64
FPS = Fraction(30000, 1001)


def segment(*words):
    return main(["segment", *map(str, words)])


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A segmenter that answers by colour alone: blue is sky, green is grass. It needs no training."""
    segmenter = Segmenter(SegmenterConfig(("grass", "sky"), 64, (8, 8)))
    with torch.no_grad():
        for parameter in segmenter.parameters():
            parameter.zero_()
        network = segmenter.network
        # Channels of the cells: red of its 4 pixels, then green, then blue. Channel 0 of the stem is blue - green.
        network.stem.weight[0, 8:, 1, 1], network.stem.weight[0, 4:8, 1, 1] = 0.25, -0.25
        network.stem.weight[1] = -network.stem.weight[0]
        # The encoder passes it on (its branch is zero, so that only the sum's ReLU stays), and so does the decoder,
        # whose projection takes the skipped half of its input.
        network.decoder[0].conv_s.weight[0, 8], network.decoder[0].conv_s.weight[1, 9] = 1, 1
        network.head.weight[0, 1, 1, 1], network.head.weight[1, 0, 1, 1] = 1, 1
    folder = tmp_path_factory.mktemp("weights") / "model"
    segmenter.save_pretrained(folder)
    return folder


def read_ids(path):
    """The numbers in a PNG with a palette."""
    with Image.open(path) as image:
        assert image.mode == "P"
        return torch.from_numpy(np.array(image)).long()


def picture(k):
    """Sky above, grass below; the horizon falls from frame to frame."""
    rgb = torch.zeros(3, HEIGHT, WIDTH)
    rgb[2, : 16 + 4 * k] = 0.9
    rgb[1, 16 + 4 * k :] = 0.7
    return rgb


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    with open_sink(path, FPS, HEIGHT, WIDTH) as sink:
        for k in range(FRAMES):
            sink.write(picture(k))
    return path


def check(frames):
    """The labels of ``picture``, up to the line of pixels at the horizon."""
    frames = list(frames)
    assert len(frames) == FRAMES
    for k, labels in enumerate(frames):
        assert labels.shape == (HEIGHT, WIDTH)
        horizon = 16 + 4 * k
        assert (labels[: horizon - 1] == CLASSES.index("sky")).all()
        assert (labels[horizon + 1 :] == CLASSES.index("grass")).all()


def test_a_video_becomes_a_lossless_video_of_the_same_rate(tmp_path, clip, weights, capsys):
    out = tmp_path / "labels.mkv"
    assert segment(clip, "-o", out, "--weights", weights) == 0
    with av.open(str(out)) as container:
        assert container.streams.video[0].codec_context.name == "ffv1"
    assert read_rate(out) == FPS
    check(open_labels(out, None))
    said = capsys.readouterr().out.strip()
    assert len(said.splitlines()) == 1
    assert f"{FRAMES} frames of {HEIGHT}x{WIDTH}" in said
    assert "sky 50.0%, grass 50.0%" in said


def test_a_video_becomes_pictures_of_ids(tmp_path, clip, weights):
    assert segment(clip, "-o", tmp_path / "labels/%06d.png", "--weights", weights) == 0
    files = sorted((tmp_path / "labels").iterdir())
    assert [file.name for file in files] == [f"{k:06d}.png" for k in range(FRAMES)]
    check(read_ids(file) for file in files)


def test_pictures_become_what_the_model_says(tmp_path, weights):
    with open_sink(tmp_path / "in/%03d.png", FPS, HEIGHT, WIDTH) as sink:
        for k in range(FRAMES):
            sink.write(picture(k))
    assert segment(tmp_path / "in/%03d.png", "-o", tmp_path / "out.mkv", "--weights", weights) == 0
    made = list(open_labels(tmp_path / "out.mkv", None))
    segmenter = load_segmenter(weights)
    for labels, frame in zip(made, read_video_frames(tmp_path / "in/%03d.png"), strict=True):
        assert torch.equal(labels, segmenter.segment(frame))


def test_a_photo_becomes_one_picture(tmp_path, weights):
    cv2.imwrite(str(tmp_path / "photo.jpg"), (picture(2).permute(1, 2, 0).numpy()[..., ::-1] * 255).astype(np.uint8))
    assert segment(tmp_path / "photo.jpg", "-o", tmp_path / "labels.png", "--weights", weights) == 0
    labels = read_ids(tmp_path / "labels.png")
    assert torch.equal(labels, load_segmenter(weights).segment(read_image(tmp_path / "photo.jpg")))
    assert segment(tmp_path / "photo.jpg", "-o", tmp_path / "labels.png", "--weights", weights) == 2
    assert segment(tmp_path / "photo.jpg", "-o", tmp_path / "labels.png", "--weights", weights, "--overwrite") == 0


def test_the_bundled_segmenter_knows_a_street(tmp_path, data_dir):
    photo = data_dir / "camvid/0016E5_c_15Hz/images/0016E5_07959.jpg"
    if not photo.is_file():
        pytest.skip(f"no {photo}")
    assert segment(photo, "-o", tmp_path / "labels.png") == 0
    labels = read_ids(tmp_path / "labels.png").numpy()
    assert labels.shape == (360, 480)
    assert np.isin(labels[-40:, 100:380], [CLASSES.index("road"), CLASSES.index("marking")]).mean() > 0.5


def test_shares_are_said_in_order():
    pixels = torch.zeros(256, dtype=torch.int64)
    pixels[CLASSES.index("road")], pixels[CLASSES.index("sky")], pixels[NO_LABEL] = 30, 60, 10
    assert shares(pixels) == "sky 60.0%, road 30.0%, no label 10.0%"


def mixed(tmp_path, clip):
    for k, size in enumerate(((20, 30), (20, 30), (30, 20))):
        cv2.imwrite(str(tmp_path / f"{k}.png"), np.zeros((*size, 3), np.uint8))
    return [tmp_path / "%d.png", "-o", tmp_path / "out/%d.png"]


def cut(tmp_path, clip):
    (tmp_path / "cut.mp4").write_bytes(clip.read_bytes()[:200])
    return [tmp_path / "cut.mp4", "-o", tmp_path / "out.mkv"]


BAD = {
    "no clip": (lambda tmp, clip: [tmp / "none.mp4", "-o", tmp / "out.mkv"], "no such file"),
    "no pictures": (lambda tmp, clip: [tmp / "none/%d.png", "-o", tmp / "out.mkv"], "no such files"),
    "a cut video": (cut, "cut.mp4"),
    "pictures of two sizes": (mixed, "frame 2 is 30x20, the first is 20x30"),
    "no output": (lambda tmp, clip: [clip], "output"),
    "a lossy output": (lambda tmp, clip: [clip, "-o", tmp / "out.mp4"], "out.mp4"),
    "a video into one picture": (lambda tmp, clip: [clip, "-o", tmp / "out.png"], "out.png"),
    "two models": (
        lambda tmp, clip: [clip, "-o", tmp / "o.mkv", "--model", "x", "--weights", tmp],
        "give one of them",
    ),
    "other weights": (lambda tmp, clip: [clip, "-o", tmp / "out.mkv", "--weights", tmp], "config.json"),
    "another device": (lambda tmp, clip: [clip, "-o", tmp / "out.mkv", "--device", "abacus"], "abacus"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_in_one_line_and_leaves_nothing(tmp_path, clip, weights, capsys, case):
    words, message = BAD[case]
    words = words(tmp_path, clip)
    if not {"--weights", "--model"} & set(map(str, words)):
        words += ["--weights", weights]
    assert segment(*words) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert message in said[-1]
    assert not any("Traceback" in line for line in said)
    assert not {"out.mkv", "out.png", "out.mp4"} & {file.name for file in tmp_path.iterdir()}


def test_the_help_has_examples(capsys):
    assert segment("--help") == 0
    said = capsys.readouterr().out
    assert "viewsynth segment drive.mp4 -o labels.mkv" in said
    assert "bicycle" in said
