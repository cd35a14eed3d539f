"""Places by day with all that lights up at night, and the detector that learns from them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from pipelines.evaluation.restyle_lights import measured_lights
from pipelines.models import load_segmenter
from pipelines.training.detector import DetectorRecipe, DetectorTraining, Place, glaze, shade
from pipelines.training.light_set import light_at
from pipelines.training.lit_places import LitPlaces, light_shares, natural_places, render_place
from pipelines.training.photo_set import free_photos
from pipelines.training.run import Budget, run
from pipelines.worlds import Street
from pipelines.worlds.sky import Sky
from pipelines.worlds.street_builder import CAR, FACADE, GLOW
from vid2vid.detector import Detector, DetectorConfig
from vid2vid.lights import KINDS

HEIGHT, WIDTH = 48, 72
WINDOW, LAMP, TAIL = (KINDS.index(kind) for kind in ("window", "lamp", "tail light"))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    made = LitPlaces(tmp_path_factory.mktemp("lit"), 5, height=HEIGHT, width=WIDTH, seed=40)
    made.make(processes=1)
    return made


@pytest.mark.parametrize("seed", range(3))
def test_windows_are_where_a_night_with_them_differs_from_one_without(seed):
    generator = seeded(seed)
    street = Street.random(generator)
    camera = street.random_camera(generator, HEIGHT, WIDTH)
    night = replace(street, sky=Sky.of(light_at(street.sky.light, 22.0, 2.0), street.sky.noise))
    awake, asleep = (replace(night, awake=share).render(camera, antialias=True).rgb for share in (1.0, 0.0))
    more = (awake - asleep).amax(dim=0)
    window = light_shares(street, camera)[WINDOW]
    assert (more > 0.3).sum() > 20
    assert (window[more > 0.3] > 0.15).float().mean() > 0.97
    assert float(more[window == 0].max()) < 0.25
    assert float(more[window > 0.8].min()) > 0.3


def test_own_light_is_told_by_what_sends_it():
    generator = seeded(3)
    street = Street.random(generator)
    camera = street.random_camera(generator, 96, 144)
    light, material = street.own_light(camera)
    lit = light.amax(dim=0) > 0.3
    assert set(material[lit].tolist()) >= {FACADE, CAR, GLOW}
    assert light[:, material < 0].eq(0).all()
    dark, same = street.own_light(camera, awake=0.0)
    assert torch.equal(same, material)
    assert (dark <= light).all() and torch.equal(dark[:, material != FACADE], light[:, material != FACADE])
    shares = light_shares(street, camera)
    assert float(shares[TAIL].max()) > 0.5 and float(shares[LAMP].max()) > 0.4
    assert ((shares >= 0) & (shares <= 1)).all()


def test_places_are_by_day_and_landscapes_have_no_lights(places):
    for index in range(len(places)):
        place = places[index]
        again = render_place(places.seed, index, HEIGHT, WIDTH)
        assert (again.rgb - place.rgb).abs().max() <= 0.5 / 255 + 1e-6
        assert (again.shares - place.shares).abs().max() <= 0.5 / 255 + 1e-6
        assert torch.equal(again.labels, place.labels)
        if index % 4 == 3:
            assert place.shares.eq(0).all()
    assert sum(float(places[index].shares[WINDOW].mean()) > 0.002 for index in (0, 1, 2, 4)) >= 3


def test_panes_and_shadows_change_nothing_else():
    rgb = torch.full((3, HEIGHT, WIDTH), 0.5)
    panes = torch.zeros(HEIGHT, WIDTH)
    panes[10:20, 10:20] = panes[10:20, 40:50] = 1.0
    glazed = glaze(rgb, panes, seeded(1))
    assert torch.equal(glazed[:, panes == 0], rgb[:, panes == 0])
    left, right = glazed[:, 10:20, 10:20], glazed[:, 10:20, 40:50]
    assert (left.mean(dim=(1, 2)) - right.mean(dim=(1, 2))).abs().max() > 0.005
    shaded = shade(rgb, seeded(2))
    assert (shaded <= rgb).all() and float(shaded.min()) < 0.48


def test_photographs_of_nature_count_as_dark_and_cities_do_not(data_dir):
    photos = {path.name: path for path in free_photos(data_dir / "landscape_photos")}
    chosen = [photos[name] for name in ("deepin_jeremy-bishop-2e3hgvDnCpM-unsplash.jpg", "hidtstyle_9897964.jpg")]
    (dunes,) = natural_places(chosen, load_segmenter(), side=160)
    assert dunes.rgb.shape[-2] == 160 and dunes.shares.eq(0).all()
    assert dunes.labels.shape == dunes.rgb.shape[-2:]


def test_the_recipe_learns(places, tmp_path):
    config = DetectorTraining(DetectorConfig(KINDS, 32, (8, 16)), 4, HEIGHT, WIDTH, 0.8, natural=0.2)
    nature = [Place(places[3].rgb, places[3].labels, places[3].shares)]
    recipe = run(
        lambda kit: DetectorRecipe(kit, "lights", places, nature, config),
        tmp_path / "run",
        Budget(steps=120),
        log_every=1,
    )
    lines = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    first, last = (sum(line["cross_entropy"] for line in part) for part in (lines[:10], lines[-10:]))
    assert last < 0.75 * first
    loaded = Detector.from_pretrained(tmp_path / "run/model").eval()
    mine = recipe.ema["network"].module(places[0].rgb[None])
    assert float((torch.sigmoid(mine)[0] - loaded.shares(places[0].rgb)).abs().max()) < 0.05


def test_light_found_is_counted_in_pixels(places):
    class Half:
        """Finds the upper half of what is there, and nothing that is not."""

        def shares(self, rgb):
            place = next(p for p in map(places.__getitem__, range(len(places))) if torch.equal(p.rgb, rgb))
            found = place.shares.clone()
            found[:, found.shape[1] // 2 :] = 0
            return found

    rows = measured_lights(Half(), places)
    true = torch.stack([places[k].shares[WINDOW] > 0.5 for k in range(len(places))])
    assert rows["window"]["precision"] == 1
    assert rows["window"]["recall"] == pytest.approx(float(true[:, : HEIGHT // 2].sum() / true.sum()))
    assert rows["window"]["IoU"] == rows["window"]["recall"]
