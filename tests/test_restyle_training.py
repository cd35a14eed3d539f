"""The recipe of the restyler learns a change of light, and resumes."""

import json
from dataclasses import replace

import pytest
import torch

from pipelines.media.images import write_png
from pipelines.models import load_segmenter
from pipelines.training.light_pairs import LightPairs
from pipelines.training.light_set import LightSet
from pipelines.training.photo_looks import PhotoLooks
from pipelines.training.restyle import RestyleRecipe, RestyleTraining, unasked
from pipelines.training.run import Budget, Kit, run
from render_refine.discriminator import DiscriminatorConfig
from render_refine.spade import SpadeConfig
from render_refine.warp import backward_warp
from vid2vid.classes import CLASSES
from vid2vid.restyler import FACTS, Restyler, RestylerConfig

SMALL = RestyleTraining(
    network=RestylerConfig(
        SpadeConfig((len(CLASSES) + 3, 4), 13, (16, 16, 16), 8, style_dim=8, style_grid=(1, 1), style_modulation=True),
        encoder=(8, 8, 16),
        hidden=16,
        reference_widths=(8, 16),
        side=32,
    ),
    critic=DiscriminatorConfig(3 + len(CLASSES) + FACTS, width=8, num_scales=1),
    batch=2,
)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    places = LightSet(tmp_path_factory.mktemp("lights"), 2, height=36, width=52, seed=20)
    places.make(processes=1)
    return LightPairs(places, 32, 48)


def train(folder, pairs, photos, steps):
    run(lambda kit: RestyleRecipe(kit, pairs, photos, load_segmenter(), SMALL), folder, Budget(steps), log_every=1)
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def photos(pairs, tmp_path_factory):
    path = tmp_path_factory.mktemp("photos") / "photo.png"
    write_png(path, pairs.lights[1].rgb[0, 0])
    return PhotoLooks([path], 16, 24)


def test_a_photo_gets_its_own_look_back(photos):
    """The target is the photo, shifted as the flow says; the source has other colours, or none other."""
    unchanged = 0
    for seed in range(24):
        example = photos.example(torch.Generator().manual_seed(seed))
        moved, inside = backward_warp(example.target[:1], example.flow[None])
        assert torch.equal(
            moved[0][:, inside[0, 0]].round(decimals=4), example.target[1][:, inside[0, 0]].round(decimals=4)
        )
        assert example.hour.isnan() and example.season.isnan()
        unchanged += int(torch.equal(example.source, example.target))
    assert 1 <= unchanged <= 14


def test_what_is_not_asked_for_is_told_as_nothing(photos):
    batch = photos.batch(12, torch.Generator().manual_seed(0))
    same = torch.tensor([torch.equal(a, b) for a, b in zip(batch.source, batch.target, strict=True)])
    assert torch.equal(unasked(batch), same) and 0 < same.sum() < 12


def test_a_run_goes_through_its_stages_and_leaves_a_model(pairs, photos, tmp_path):
    lines = train(tmp_path, pairs, photos, 24)
    early, late = (set().union(*part) for part in (lines[:6], lines[-12:]))
    assert not {"steady", "critic"} & early
    assert {"steady", "critic", "adversarial", "features"} <= late
    assert not any(line["skipped"] for line in lines)
    model = Restyler.from_pretrained(tmp_path / "model")
    assert not model.config.spade.spectral
    assert (tmp_path / "samples" / "000024.png").is_file()


def test_night_is_learned_as_dark_and_noon_as_light(pairs):
    """Two places, many steps: what is asked for by the hour is what comes out."""
    torch.manual_seed(0)
    recipe = RestyleRecipe(
        Kit(torch.device("cpu")), pairs, None, load_segmenter(), replace(SMALL, learning_rate_g=4e-3)
    )
    for step in range(120):
        recipe.step(step, torch.Generator().manual_seed(step))
    model = recipe.network.eval()
    day = pairs.lights[1].rgb[0, :1, :, :32, :48]
    with torch.no_grad():
        found = [
            model(day, torch.zeros(1, len(CLASSES), 32, 48), None, model.moment_style(hour, torch.tensor([torch.nan])))
            for hour in (torch.tensor([23.5]), torch.tensor([12.0]))
        ]
    assert found[0].rgb.mean() < 0.75 * found[1].rgb.mean()
