"""Label sets: the published numbers and colours, what they become, sets of one's own, and telling sets apart."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import InputError
from pipelines.media.label_video import label_set
from vid2vid.classes import CLASSES, NO_LABEL
from vid2vid.label_detection import Tally, detect, read_as
from vid2vid.label_sets import (
    BUILT_IN,
    PALETTE,
    UNKNOWN,
    VOID,
    built_in,
    class_number,
    from_json,
    pack_colour,
    palette,
    unpack_colour,
)

# From the public tables: cityscapesscripts labels.py, CamVid label_colors.txt, CARLA CityScapesPalette.h, the
# SceneParsing objectInfo150 and colours, COCO-Stuff labels.txt (its numbers less one).
PUBLISHED = [
    ("cityscapes", 7, "road", (128, 64, 128), "road"),
    ("cityscapes", 8, "sidewalk", (244, 35, 232), "pavement"),
    ("cityscapes", 22, "terrain", (152, 251, 152), "grass"),
    ("cityscapes", 33, "bicycle", (119, 11, 32), "bicycle"),
    ("cityscapes", 4, "static", (0, 0, 0), VOID),
    ("cityscapes", 255, "no label", (0, 0, 0), VOID),
    ("cityscapes-train", 0, "road", (128, 64, 128), "road"),
    ("cityscapes-train", 10, "sky", (70, 130, 180), "sky"),
    ("cityscapes-train", 12, "rider", (255, 0, 0), "person"),
    ("cityscapes-train", 18, "bicycle", (119, 11, 32), "bicycle"),
    ("camvid", 5, "Tree", (128, 128, 0), "vegetation"),
    ("camvid", 11, "Unlabelled", (0, 0, 0), VOID),
    ("camvid32", 10, "LaneMkgsDriv", (128, 0, 192), "marking"),
    ("camvid32", 30, "Void", (0, 0, 0), VOID),
    ("carla", 14, "Car", (0, 0, 142), "car"),
    ("carla", 24, "road line", (157, 234, 50), "marking"),
    ("carla", 28, "guard rail", (180, 165, 180), "fence"),
    ("ade20k", 2, "sky", (6, 230, 230), "sky"),
    ("ade20k", 7, "bed", (204, 5, 255), None),
    ("ade20k", 149, "flag", (92, 0, 255), None),
    ("ade20k-raw", 3, "sky", (6, 230, 230), "sky"),
    ("ade20k-raw", 0, "void", (0, 0, 0), VOID),
    ("coco-stuff", 0, "person", None, "person"),
    ("coco-stuff", 105, "clouds", None, "sky"),
    ("coco-stuff", 168, "tree", None, "vegetation"),
    ("coco-stuff", 181, "wood", None, None),
]
SIZES = {
    "viewsynth": 19,
    "cityscapes": 35,
    "cityscapes-train": 20,
    "camvid": 12,
    "camvid32": 32,
    "carla": 30,
    "ade20k": 151,
    "ade20k-raw": 151,
    "coco-stuff": 183,
}


@pytest.mark.parametrize("name, number, label, colour, target", PUBLISHED)
def test_published_entries(name, number, label, colour, target):
    entry = built_in(name).by_id()[number]
    assert (entry.name, entry.colour, entry.target) == (label, colour, target)


def test_sets_are_complete():
    assert {name: len(built_in(name).entries) for name in BUILT_IN} == SIZES
    for name in BUILT_IN:
        ids = sorted(built_in(name).by_id())
        assert ids[:-1] == list(range(len(ids) - 1))  # no gaps; the last may be 255
        assert ids[-1] in (len(ids) - 1, 255)


def test_targets_make_sense():
    """What has the name of one of our classes is that class, in every set."""
    for name in BUILT_IN:
        for entry in built_in(name).entries:
            same = entry.name.lower()
            if same in CLASSES:
                assert entry.target == same, (name, entry)


def test_colours_of_two_street_sets_agree():
    """So that it does not matter which one is detected: same colour, same class."""
    city, carla = built_in("cityscapes").by_colour(), built_in("carla").by_colour()
    shared = city.keys() & carla.keys()
    assert len(shared) > 20
    assert all(city[colour].target == carla[colour].target for colour in shared)


def test_our_palette_is_well_separated():
    assert set(PALETTE) == set(CLASSES)
    colours = np.array([(0, 0, 0), *PALETTE.values()], float)
    apart = np.linalg.norm(colours[:, None] - colours, axis=-1)
    assert apart[~np.eye(len(colours), dtype=bool)].min() >= 65
    lab = cv2.cvtColor((colours[None] / 255).astype(np.float32), cv2.COLOR_RGB2LAB)[0]
    assert np.linalg.norm(lab[:, None] - lab, axis=-1)[~np.eye(len(lab), dtype=bool)].min() > 20
    assert tuple(palette()[CLASSES.index("road")]) == PALETTE["road"]
    assert tuple(palette()[NO_LABEL]) == (0, 0, 0)


@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_packed_colours_come_back(colour):
    assert unpack_colour(pack_colour(colour)) == colour


def own(*entries: dict) -> dict:
    return {"name": "mine", "entries": list(entries)}


STREET = {"id": 1, "name": "street", "colour": [128, 64, 128], "class": "road"}


def test_own_set(tmp_path):
    file = tmp_path / "mine.json"
    tree = {"colour": [0, 255, 0], "class": "vegetation"}
    sofa = {"id": 65535, "name": "sofa", "class": None}
    file.write_text(json.dumps(own(STREET, tree, sofa, {"id": 3, "class": "void"})))
    mine = label_set(file)
    assert mine.name == "mine"
    assert {number: class_number(entry.target) for number, entry in mine.by_id().items()} == {
        1: CLASSES.index("road"),
        65535: UNKNOWN,
        3: NO_LABEL,
    }
    assert {unpack_colour(colour) for colour in mine.by_colour()} == {(128, 64, 128), (0, 255, 0)}


@pytest.mark.parametrize(
    "data, said",
    [
        ([], "entries"),
        ({"name": "x"}, "entries"),
        (own(), "no entries"),
        (own(STREET, {**STREET, "colour": [1, 2, 3]}), "same id 1"),
        (own(STREET, {**STREET, "id": 2, "class": "pole"}), "same colour"),
        (own({**STREET, "class": "raod"}), "did you mean 'road'"),
        (own({"id": 1, "name": "x"}), 'no "class"'),
        (own({**STREET, "color": [1, 2, 3]}), "did you mean 'colour'"),
        (own({**STREET, "id": -1}), "from 0 to 65535"),
        (own({**STREET, "id": 65536}), "from 0 to 65535"),
        (own({**STREET, "id": True}), "from 0 to 65535"),
        (own({**STREET, "id": 1.5}), "from 0 to 65535"),
        (own({**STREET, "colour": [0, 0, 256]}), "from 0 to 255"),
        (own({**STREET, "colour": [0, 0]}), "[red, green, blue]"),
        (own({**STREET, "colour": "red"}), "[red, green, blue]"),
        (own({"name": "x", "class": "road"}), "neither an id nor a colour"),
        (own({**STREET, "name": 5}), "must be text"),
        (own("road"), "expected an object"),
    ],
)
def test_own_set_refuses(tmp_path, data, said):
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(data))
    with pytest.raises(InputError) as error:
        label_set(file)
    assert said in str(error.value) and str(file) in str(error.value)
    assert "\n" not in str(error.value)


def test_unknown_names_are_refused(tmp_path):
    with pytest.raises(InputError, match="did you mean 'cityscapes'"):
        label_set("cityscape")
    with pytest.raises(InputError, match="no such file"):
        label_set(tmp_path / "absent.json")
    file = tmp_path / "broken.json"
    for text in ("{", "\xff", "[" * 100000, ""):
        file.write_text(text, encoding="latin-1")
        with pytest.raises(InputError, match="broken"):
            label_set(file)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "colour", "class"]), inner),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None)
@given(st.lists(json_values, max_size=3))
def test_any_json_is_a_set_or_one_line(entries):
    try:
        assert from_json({"entries": entries}).entries
    except ValueError as error:
        assert str(error) and "\n" not in str(error).replace("\\n", "")


def summary(*maps: np.ndarray):
    tally = Tally()
    for values in maps:
        tally.add(values)
    return tally.summary()


def test_tally_is_exact():
    generator = np.random.default_rng(0)
    maps = [generator.integers(0, 5, (7, 11)) ** 3 for _ in range(3)]
    seen = summary(*maps)
    stacked = np.stack(maps)
    rows = np.broadcast_to(((np.arange(7) + 0.5) / 7)[:, None], stacked.shape)
    assert list(seen.values) == list(np.unique(stacked))
    for value, count, row, square in zip(seen.values, seen.counts, seen.row, seen.square, strict=True):
        at = rows[stacked == value]
        assert count == at.size
        assert row == pytest.approx(at.mean())
        assert square == pytest.approx((at**2).mean())


def street_scene(height: int = 60, width: int = 90) -> np.ndarray:
    """A street in our classes, about as a car's camera sees one."""
    names = np.full((height, width), "building", dtype=object)
    names[: height // 4] = "sky"
    names[height // 4 : height // 2, width // 2 : width // 2 + 20] = "sky"
    names[height // 5 : height // 2, :20] = "vegetation"
    names[height // 2 :] = "road"
    names[height // 2 :, :15] = names[height // 2 :, -12:] = "pavement"
    names[height // 2 - 6 : height // 2 + 4, 40:52] = "car"
    names[height // 2 - 6 : height // 2 + 5, 20:23] = "person"
    names[height // 4 : height // 2 + 2, 28:29] = "pole"
    names[height // 4 : height // 4 + 4, 26:31] = "sign"
    names[height // 2 - 3 : height // 2, 70:85] = "fence"
    return names


def in_set(names: np.ndarray, name: str, generator: np.random.Generator) -> np.ndarray:
    """A scene in the ids of a set, one of those that mean the class for each class."""
    values = np.zeros(names.shape, np.int32)
    for wanted in np.unique(names):
        ids = [number for number, entry in built_in(name).by_id().items() if entry.target == wanted]
        values[names == wanted] = generator.choice(ids[:5])
    return values


@pytest.mark.parametrize("name", list(BUILT_IN))
def test_ids_of_every_set_are_told_apart(name):
    scene = street_scene()
    for seed in range(4):
        values = summary(in_set(scene, name, np.random.default_rng(seed)))
        found = detect(values, None)
        # Another set is as good if every pixel becomes the same.
        assert np.array_equal(found.classes, read_as(built_in(name), "ids", values).classes), found


def test_what_could_be_several_sets_is_refused():
    """Sky, houses, trees and road of one set are sky, water, trees and grass of another."""
    values = np.zeros((20, 20), np.int32)
    values[7:, :5], values[7:, 5:], values[12:] = 5, 1, 3
    with pytest.raises(ValueError, match=r"not clear: the values fit .* by ids, .* by ids"):
        detect(summary(values), None)


def test_values_of_no_set_are_refused():
    with pytest.raises(ValueError, match="no built-in label set"):
        detect(summary(np.arange(600).reshape(20, 30) + 1000), None)
