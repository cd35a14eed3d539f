"""Segmenters: what they answer, how they are scored, and that the recipe learns."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from pipelines.cli import main
from pipelines.errors import InputError
from pipelines.models import load_segmenter
from pipelines.perception.agreement import confusion, iou, mean_iou, pixel_accuracy
from pipelines.perception.segmentation import (
    CELL,
    SegmenterConfig,
    TransformersSegmenter,
    classes_by_name,
)
from pipelines.training.pictures import Together, WorldFrames
from pipelines.training.run import Budget, Kit, run
from pipelines.training.segmenter import (
    LARGEST_WEIGHT,
    SegmenterRecipe,
    SegmenterTraining,
    StreetFrames,
    class_weights,
    mix,
    photographic,
    recolour,
)
from render_refine.working_size import working_size
from vid2vid.classes import CLASSES, NO_LABEL

SKY, ROAD, GRASS, CAR = (CLASSES.index(name) for name in ("sky", "road", "grass", "car"))


def drawn(generator, height=72, width=96):
    """A sky over a road or over grass, with a car on it at times."""
    labels = torch.full((height, width), ROAD if torch.rand((), generator=generator) < 0.5 else GRASS)
    labels[: height // 3 + int(torch.randint(height // 3, (), generator=generator))] = SKY
    colours = torch.zeros(256, 3)
    colours[SKY], colours[ROAD], colours[GRASS] = (
        torch.tensor(c) for c in ([0.6, 0.75, 0.95], [0.4, 0.4, 0.42], [0.3, 0.6, 0.2])
    )
    rgb = colours[labels].permute(2, 0, 1) + 0.03 * torch.randn(3, height, width, generator=generator)
    labels[-4:] = NO_LABEL  # the bonnet
    return rgb.clamp(0, 1), labels


class Drawn:
    def __init__(self, count):
        self.items = [drawn(torch.Generator().manual_seed(k)) for k in range(count)]

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The recipe after a few seconds on drawn pictures, and its log."""
    folder = tmp_path_factory.mktemp("segmenter") / "run"
    network = SegmenterConfig(("sky", "road", "grass"), 64, (8, 16, 16))
    config = SegmenterTraining(network, "drawn", 4, 64, 80, recolour=0.1, mixed=0.2, learning_rate=3e-3)
    run(lambda kit: SegmenterRecipe(kit, Drawn(12), config), folder, Budget(steps=140), log_every=1)
    return folder


def test_the_recipe_learns_and_its_model_answers_at_every_size(trained):
    lines = [json.loads(line) for line in (trained / "log.jsonl").read_text().splitlines()]
    first, last = (sum(line["cross_entropy"] for line in part) for part in (lines[:20], lines[-20:]))
    assert last < 0.5 * first
    segmenter = load_segmenter(trained / "model")
    assert segmenter.config.classes == ("sky", "road", "grass")
    for seed, size in ((900, (72, 96)), (901, (101, 203)), (902, (300, 260))):
        rgb, labels = drawn(torch.Generator().manual_seed(seed))
        rgb = F.interpolate(rgb[None], size, mode="bilinear")[0]
        labels = F.interpolate(labels[None, None].float(), size, mode="nearest-exact")[0, 0].long()
        table = confusion(labels, segmenter.segment(rgb))
        assert pixel_accuracy(table) > 0.85, (seed, size)


def test_streets_and_landscapes_have_equal_parts():
    class Clips:
        frames = 3

        def __len__(self):
            return 4

        def __getitem__(self, index):
            assert index % 2 == 0, "a landscape"
            return SimpleNamespace(rgb=torch.arange(3) + 10 * index, labels=torch.arange(3) + 10 * index + 100)

    class Worlds:
        count = 1

        def __getitem__(self, index):
            target, source = (SimpleNamespace(rgb=torch.tensor(k), labels=torch.tensor(k + 100)) for k in (-1, -2))
            return SimpleNamespace(target=target, source=source)

    both = Together(StreetFrames(Clips()), WorldFrames(Worlds(), "labels"))
    pairs = [both[k] for k in range(len(both))]
    assert [int(rgb) for rgb, _ in pairs] == [0, -1, 1, -2, 2, -1, 20, -2, 21, -1, 22, -2]
    assert all(label == rgb + 100 for rgb, label in pairs)


def test_what_is_not_learnt_does_not_count(trained):
    """A car among the true labels, which this network does not know, changes nothing."""
    config = SegmenterTraining(SegmenterConfig(("sky", "road", "grass"), 64, (8, 16)), "drawn", 2, 32, 32)

    class Same:
        def __init__(self, with_car):
            rgb, labels = drawn(torch.Generator().manual_seed(3))
            labels[40:60, 20:70] = CAR if with_car else NO_LABEL
            self.item = rgb, labels

        def __len__(self):
            return 1

        def __getitem__(self, index):
            return self.item

    losses = []
    for with_car in (True, False):
        torch.manual_seed(0)
        recipe = SegmenterRecipe(Kit(torch.device("cpu")), Same(with_car), config)
        losses.append(recipe.step(0, torch.Generator().manual_seed(1))["cross_entropy"])
    assert losses[0] == losses[1]


def test_weights_follow_one_over_the_square_root_of_the_share():
    class Shares:
        def __len__(self):
            return 3

        def __getitem__(self, index):
            labels = torch.full((10, 10), NO_LABEL)
            labels[0, :8], labels[0, 8:] = SKY, ROAD
            return torch.zeros(3, 10, 10), labels

    sky, road, car = class_weights(Shares(), torch.tensor([SKY, ROAD, CAR])).tolist()
    assert road / sky == pytest.approx(2.0)
    assert 0.8 * sky + 0.2 * road == pytest.approx(1.0)
    assert car == LARGEST_WEIGHT


def test_mixing_takes_half_of_the_classes_with_their_pixels():
    labels = torch.full((8, 8), GRASS)
    other = torch.cat([torch.full((4, 8), SKY), torch.full((4, 8), CAR)])
    generator = torch.Generator().manual_seed(0)
    seen = set()
    for _ in range(20):
        rgb, mixed = mix(torch.zeros(3, 8, 8), labels, torch.ones(3, 8, 8), other, generator)
        assert torch.equal(rgb, (mixed != GRASS).float().expand(3, 8, 8))
        assert torch.equal(mixed[mixed != GRASS], other[mixed != GRASS])
        seen.add(tuple(mixed.unique().tolist()))
    assert seen == {tuple(sorted((SKY, GRASS))), tuple(sorted((CAR, GRASS)))}


def test_augmentation_keeps_the_range_and_tells_classes_apart():
    generator = torch.Generator().manual_seed(0)
    rgb, _ = drawn(generator)
    for _ in range(10):
        made = photographic(rgb, generator)
        assert made.shape == rgb.shape
        assert made.min() >= 0
        assert made.max() <= 1
    grey = torch.full((3, 40, 40), 0.4)
    halves = torch.zeros(40, 40, dtype=torch.int64)
    halves[20:] = ROAD
    means = [[part.mean() for part in recolour(grey, halves, 0.3, generator).split(20, dim=1)] for _ in range(8)]
    assert sum(abs(a - b) > 0.02 for a, b in means) >= 6
    torch.testing.assert_close(recolour(grey, halves, 0.0, generator), grey)


@pytest.mark.parametrize("size", [(360, 480), (480, 360), (1, 1), (3, 4000), (2160, 3840), (500, 501)])
def test_the_working_size_is_even_and_bounded(size):
    height, width = working_size(*size, 256)
    assert height % CELL == width % CELL == 0
    assert min(height, width) >= 16
    assert max(height, width) <= 1024
    if min(size) > 300:
        assert height / width == pytest.approx(size[0] / size[1], rel=0.02)


def test_a_config_names_classes_that_exist():
    for classes in (("sky", "ocean"), ("sky",), ("sky", "sky")):
        with pytest.raises(ValueError, match="classes"):
            SegmenterConfig(classes)


ids = st.sampled_from([0, 1, 2, NO_LABEL])


@given(st.lists(st.tuples(ids, ids), min_size=1, max_size=60))
def test_scores_equal_counting_by_hand(pairs):
    truth, answer = (torch.tensor(x) for x in zip(*pairs, strict=True))
    table = confusion(truth, answer, 3)
    known = [(t, p) for t, p in pairs if t != NO_LABEL]
    assert table.sum() == len(known)
    expected = []
    for k in range(3):
        of_truth, of_answer = ({i for i, x in enumerate(known) if x[j] == k} for j in (0, 1))
        expected.append(len(of_truth & of_answer) / len(of_truth | of_answer) if of_truth else math.nan)
    np.testing.assert_allclose(iou(table).numpy(), expected)
    shown = [value for value in expected if not math.isnan(value)]
    if shown:
        assert mean_iou(table) == pytest.approx(sum(shown) / len(shown))
        assert pixel_accuracy(table) == pytest.approx(sum(t == p for t, p in known) / len(known))
    else:
        assert math.isnan(mean_iou(table))
        assert math.isnan(pixel_accuracy(table))


def test_scores_refuse_what_they_cannot_count():
    zeros = torch.zeros(2, 3, dtype=torch.int64)
    with pytest.raises(ValueError, match="shape"):
        confusion(zeros, zeros.T)
    with pytest.raises(ValueError, match="outside"):
        confusion(zeros, zeros + 3, 3)


def test_names_of_other_sets_become_ours():
    def mapped(*names):
        table, without = classes_by_name(dict(enumerate(names)))
        return [None if k == NO_LABEL else CLASSES[k] for k in table.tolist()], without

    assert mapped("sky", "bed ", "sea", "earth, ground") == (["sky", None, "water", "field"], ["bed"])
    # A wall of a room, which is a building's; a wall along a street, which is a fence.
    assert mapped("wall", "windowpane", "ceiling")[0][0] == "building"
    assert mapped("wall", "traffic light", "rider") == (["fence", "sign", "person"], [])
    assert mapped("Traffic_Light", "SIDEWALK") == (["sign", "pavement"], [])
    assert mapped("LABEL_0", "LABEL_1") == ([None, None], ["LABEL_0", "LABEL_1"])


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """A tiny Segformer that was never trained, in a folder as the hub has them."""
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("segformer")
    names = {0: "sky", 1: "road", 2: "bed ", 3: "tree"}
    config = transformers.SegformerConfig(
        depths=[1, 1, 1, 1], hidden_sizes=[8, 8, 16, 16], decoder_hidden_size=16, num_attention_heads=[1, 1, 2, 2]
    )
    config.id2label, config.label2id = names, {name: k for k, name in names.items()}
    transformers.SegformerForSemanticSegmentation(config).save_pretrained(folder)
    transformers.SegformerImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)
    return folder


def test_a_model_of_transformers_answers_in_our_classes(foreign):
    segmenter = TransformersSegmenter.from_pretrained(str(foreign))
    assert segmenter.without_class == ["bed"]
    rgb = torch.rand(3, 50, 70, generator=torch.Generator().manual_seed(0))
    labels = segmenter.segment(rgb)
    assert labels.shape == (50, 70)
    for wanted, ours in ((1, CLASSES.index("road")), (2, NO_LABEL)):
        with torch.no_grad():
            bias = segmenter.model.decode_head.classifier.bias
            bias.zero_()
            bias[wanted] = 1e4
        assert (segmenter.segment(rgb) == ours).all()


def test_a_model_of_transformers_sees_the_whole_picture():
    transformers = pytest.importorskip("transformers")

    class Bright(torch.nn.Module):
        """Bright is sky, dark is road."""

        config = SimpleNamespace(id2label={0: "sky", 1: "road"})
        device = torch.device("cpu")

        def forward(self, pixel_values):
            red = pixel_values[:, :1]
            return SimpleNamespace(logits=torch.cat([red, -red], dim=1))

    segmenter = TransformersSegmenter(Bright(), transformers.MobileNetV2ImageProcessor(size={"shortest_edge": 40}))
    rgb = torch.zeros(3, 40, 120)
    rgb[..., :30] = 1
    labels = segmenter.segment(rgb)
    assert (labels[:, :28] == SKY).all()
    assert (labels[:, 32:] == ROAD).all()


def test_a_model_of_transformers_that_cannot_be_used_is_refused(foreign, tmp_path):
    for name in (str(tmp_path), str(tmp_path / "missing")):
        with pytest.raises(InputError, match="not loaded as a semantic-segmentation model"):
            TransformersSegmenter.from_pretrained(name)
    config = json.loads((foreign / "config.json").read_text())
    config["id2label"] = {str(k): f"LABEL_{k}" for k in range(4)}
    for file in foreign.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="none of its classes is known here"):
        TransformersSegmenter.from_pretrained(str(tmp_path))


def test_a_folder_that_is_no_segmenter_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"config\.json"):
        load_segmenter(tmp_path)


def test_training_without_data_is_refused_in_one_line(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for words in ([], ["--steps", "1", "--camvid", str(tmp_path / "none")]):
        assert main(["train", "segmenter", *words]) == 2
        assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
