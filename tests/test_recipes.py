"""The bundled recipes, on two tiny worlds: exact data in, losses that fall, models out that load."""

import json
from dataclasses import replace

import pytest
import torch

from infinite_view.refiner import Refiner, RefinerConfig
from infinite_view.virtual_views import seen_from
from pipelines.cli import main
from pipelines.errors import InputError
from pipelines.perception.depth import DepthEstimator, tidy_sky
from pipelines.training.augment import another_sky, grade, haze, sensor
from pipelines.training.depth import DepthConfig, DepthRecipe
from pipelines.training.flight_set import TRUTHS, FlightSet
from pipelines.training.journeys import LAST_STEPS, drawn_before, pair_journey, photo_journey, world_journey
from pipelines.training.photo_set import PhotoSet, free_photos, split
from pipelines.training.pictures import WorldFrames
from pipelines.training.refiner import RefinerRecipe, RefinerTraining
from pipelines.training.run import Budget, run
from pipelines.training.world_set import HELD_OUT_SEED, WorldSet, render_pair
from render_refine.depth_maps import guided_filter, sharpen_edges
from render_refine.memory import WorldMemory
from render_refine.spade import SpadeConfig, StyleConfig
from render_refine.unet import UNet, UNetConfig

HEIGHT, WIDTH = 48, 64


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    made = WorldSet(tmp_path_factory.mktemp("worlds"), 2, height=HEIGHT, width=WIDTH)
    made.make(processes=1)
    return made


def test_a_set_is_the_same_however_it_was_made(worlds):
    again = render_pair(worlds.seed, 1, HEIGHT, WIDTH)
    stored = worlds[1]
    assert (again.target.rgb - stored.target.rgb).abs().max() <= 0.5 / 255 + 1e-6
    assert torch.equal(again.source.depth, stored.source.depth)
    assert torch.equal(again.source.labels, stored.source.labels)
    other = render_pair(HELD_OUT_SEED, 1, HEIGHT, WIDTH)
    assert not torch.equal(other.target.depth, stored.target.depth)


def test_the_two_frames_of_a_pair_show_one_place(worlds):
    for index in range(2):
        pair = worlds[index]
        everywhere = torch.ones_like(pair.source.depth, dtype=torch.bool)
        view = seen_from(pair.source.rgb, pair.source.depth, everywhere, pair.source.camera, pair.target.camera)
        both = view.known & ~view.sky & pair.target.depth.isfinite()
        if both.float().mean() < 0.1:
            continue
        error = (view.depth / pair.target.depth - 1).abs()[both]
        assert error.median() < 0.03


def test_the_depth_recipe_learns(worlds, tmp_path):
    config = DepthConfig(UNetConfig(3, 2, (8, 16, 16)), batch=4, height=HEIGHT, width=WIDTH, learning_rate=3e-3)
    pictures = WorldFrames(worlds, "depth")
    recipe = run(lambda kit: DepthRecipe(kit, pictures, config), tmp_path / "run", Budget(steps=60), log_every=1)
    lines = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert len(lines) == 60
    first, last = (sum(line["shape"] + line["sky"] for line in part) for part in (lines[:10], lines[-10:]))
    assert last < 0.8 * first
    estimate = DepthEstimator(UNet.from_pretrained(tmp_path / "run/model"))
    depth = estimate(worlds[0].target.rgb)
    assert depth.shape == (HEIGHT, WIDTH)
    assert (depth > 0).all()
    assert recipe.name == "depth"


@pytest.fixture(scope="module")
def flights(tmp_path_factory):
    made = FlightSet(tmp_path_factory.mktemp("flights"), 1, height=HEIGHT, width=WIDTH)
    made.make(processes=1)
    return made


@pytest.fixture(scope="module")
def photos(worlds):
    made = PhotoSet.__new__(PhotoSet)
    frame = worlds[0].target
    made.items = [((frame.rgb * 255).to(torch.uint8), frame.depth)]
    return made


TINY = RefinerConfig(SpadeConfig((11,), 8, (16, 16, 8), 8, style_dim=4), StyleConfig(4, (8, 8), 4, (1, 1)))


def test_the_refiner_recipe_learns_from_a_pair(worlds, tmp_path):
    config = RefinerTraining(TINY, pairs=1, long=0, short=3, leaps=0, height=HEIGHT, width=WIDTH, learning_rate=2e-3)
    run(lambda kit: RefinerRecipe(kit, worlds, None, config), tmp_path / "run", Budget(steps=80), log_every=1)
    lines = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    first, last = ({name: sum(line[name] for line in part) for name in lines[0]} for part in (lines[:10], lines[-10:]))
    assert last["square"] < 0.85 * first["square"]
    assert last["sky"] < 0.4 * first["sky"]


def test_the_refiner_recipe_goes_on_all_kinds_of_journeys(worlds, flights, photos, tmp_path):
    config = RefinerTraining(TINY, pairs=2, long=1, short=2, leaps=2, height=HEIGHT, width=WIDTH)
    recipe = run(lambda kit: RefinerRecipe(kit, worlds, photos, config, flights), tmp_path / "run", Budget(steps=4))
    assert recipe.flying[0].reached > 0  # the long one is still on its way
    assert (tmp_path / "run/samples/000004.png").is_file()
    assert Refiner.from_pretrained(tmp_path / "run/model").config.generator.spectral is False


def test_a_run_goes_on_from_a_refiner(worlds, tmp_path):
    config = RefinerTraining(TINY, pairs=1, long=0, short=0, leaps=1, height=HEIGHT, width=WIDTH, learning_rate=1e-9)
    start = Refiner(replace(TINY, generator=replace(TINY.generator, spectral=False)))
    config = replace(config, network=start.config)
    before = {name: weight.clone() for name, weight in start.named_parameters()}
    recipe = run(lambda kit: RefinerRecipe(kit, worlds, None, config, start=start), tmp_path / "run", Budget(steps=1))
    for name, weight in recipe.refiner.named_parameters():
        torch.testing.assert_close(weight, before[name], atol=1e-6, rtol=0)


def test_a_leap_shows_at_once_what_a_journey_comes_to(flights):
    journey = world_journey(flights, 0, torch.Generator().manual_seed(0))
    end = max(journey.truths)
    leap = journey.leap()
    assert torch.equal(leap.truths[0][0], journey.truths[end][0])
    expected = journey.memory.render(journey.cameras[end])
    view = leap.look()
    kept = ~leap.new
    assert torch.equal(view.rgb[:, kept], expected.rgb[:, kept])
    assert (leap.from_photo <= leap.new).all()
    leap.write(view, view.rgb, view.depth)
    assert leap.over


def test_a_flight_of_the_set_shows_one_place(flights):
    item = flights[0]
    assert len(item.cameras) == TRUTHS[-1] + 1
    ahead = item.cameras[TRUTHS[1]]
    view = seen_from(item.rgb[0], item.depth[0], torch.ones(HEIGHT, WIDTH, dtype=torch.bool), item.cameras[0], ahead)
    both = view.known & ~view.sky & item.depth[1].isfinite()
    assert both.float().mean() > 0.1
    assert (view.depth / item.depth[1] - 1).abs()[both].median() < 0.03


def test_journeys_end_at_their_truth(worlds, flights, photos):
    generator = torch.Generator().manual_seed(0)
    made = [
        world_journey(flights, 0, generator),
        pair_journey(worlds, 0, generator),
        photo_journey(photos, 0, 32, 48, generator),
    ]
    for journey in made:
        end = len(journey.cameras) - 1
        rgb, depth = journey.truths[end]
        # What the true frame shows lies where the last camera sees it: seen from there, it is itself.
        memory = WorldMemory()
        memory.write(rgb, depth, journey.cameras[end])
        assert (memory.render(journey.cameras[end]).rgb - rgb).abs().flatten().quantile(0.999) < 2e-2
        assert min(journey.truths) >= LAST_STEPS - 1
    home = made[2]
    while not home.over:
        view = home.look()
        home.write(view, view.rgb, view.depth)
    memory_of_all = home.memory.render(home.cameras[-1])
    assert memory_of_all.known.float().mean() > 0.9


def test_gradients_pass_from_a_keyframe_to_the_one_before(photos):
    journeys = (photo_journey(photos, 0, 32, 48, torch.Generator().manual_seed(seed)) for seed in range(20))
    journey = next(journey for journey in journeys if (~journey.look().known).float().mean() > 0.05)
    first = journey.look()
    painted = (first.rgb * 0 + 0.5).requires_grad_()
    journey.write(first, painted, first.depth)
    second = journey.look()
    copied = second.known & ~journey.from_photo
    rgb, drawn = drawn_before(second, copied, first, painted)
    assert torch.equal(rgb, second.rgb)
    assert drawn.any()
    (gradient,) = torch.autograd.grad(rgb[:, drawn].sum(), painted)
    # Bilinear weights add up to one: each pixel that shows a stroke hands all of its gradient to it.
    assert abs(float(gradient.sum()) - 3 * int(drawn.sum())) < 1e-2 * 3 * int(drawn.sum())
    (elsewhere,) = torch.autograd.grad(drawn_before(second, copied, first, painted)[0][:, ~drawn].sum(), painted)
    assert elsewhere.abs().max() == 0


def test_photos_are_chosen_by_licence(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"")
    (tmp_path / "b.jpg").write_bytes(b"")
    with pytest.raises(InputError, match=r"manifest\.csv"):
        free_photos(tmp_path)
    (tmp_path / "manifest.csv").write_text("file,licence\na.jpg,CC0-1.0\nb.jpg,all rights reserved\nc.jpg,CC0\n")
    assert free_photos(tmp_path) == [tmp_path / "a.jpg"]
    names = [tmp_path / f"{k}.jpg" for k in range(10)]
    training, held_out = split(names)
    assert held_out == [names[0], names[5]]
    assert not set(training) & set(held_out)


def test_augmentation_stays_in_range_and_leaves_the_sky():
    generator = torch.Generator().manual_seed(0)
    rgb = torch.rand(3, 20, 30, generator=generator)
    depth = torch.rand(20, 30, generator=generator) + 1
    depth[:8] = torch.inf
    for _ in range(10):
        made = [f(rgb, depth, generator) for f in (haze, another_sky)]
        for image in (grade(rgb, generator), *made, sensor(rgb, generator)):
            assert image.min() >= 0
            assert image.max() <= 1
    assert torch.equal(haze(rgb, depth, generator)[:, :8], rgb[:, :8])


def test_a_sky_has_no_islands():
    sky = torch.zeros(40, 60, dtype=torch.bool)
    sky[:20] = True
    wanted = sky.clone()
    sky[3:9, 10:30] = False  # a cloud that was taken for ground
    sky[30:33, 20:26] = True  # a pond that was taken for sky
    sky[:10, 55:] = False  # a cloud at the border
    assert torch.equal(tidy_sky(sky), wanted)
    large = torch.zeros(40, 60, dtype=torch.bool)
    large[5:25, 10:50] = True  # the sky through an arch
    assert torch.equal(tidy_sky(large), large)
    for flat in (torch.ones(4, 5, dtype=torch.bool), torch.zeros(4, 5, dtype=torch.bool)):
        assert torch.equal(tidy_sky(flat), flat)


def test_edges_become_steps_and_slopes_stay():
    ramp = torch.cat([torch.ones(10, 10), torch.linspace(1, 8, 6).expand(10, 6), torch.full((10, 10), 8.0)], dim=1)
    sharp = sharpen_edges(ramp)
    assert (
        set(sharp.unique().tolist()) <= {1.0, 8.0}
        or ((sharp - 1).abs() < 1e-3).logical_or((sharp - 8).abs() < 1e-3).all()
    )
    slope = torch.linspace(1, 2, 60).expand(10, 60)
    torch.testing.assert_close(sharpen_edges(slope), slope)


def test_the_guided_filter_follows_the_guide():
    guide = torch.zeros(1, 3, 16, 32)
    guide[..., 16:] = 1
    blurred = torch.linspace(0, 1, 32).expand(1, 1, 16, 32)
    filtered = guided_filter(guide, blurred, radius=6)
    step = filtered[0, 0, 8, 16] - filtered[0, 0, 8, 15]
    assert step > 0.15
    constant = torch.full((1, 1, 16, 32), 0.3)
    torch.testing.assert_close(guided_filter(guide, constant, 6), constant)


@pytest.mark.parametrize(
    "words",
    [["nonsense", "--steps", "1"], ["depth"], ["depth", "--steps", "0"], ["depth", "--minutes", "-1"], []],
)
def test_train_refuses_bad_input_in_one_line(words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["train", *words]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
