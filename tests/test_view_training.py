"""Training pairs for new views, and the recipe that learns from them."""

import math
from dataclasses import replace
from pathlib import Path

import hypothesis.strategies as st
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings

from pipelines.media.images import write_png
from pipelines.training.posed_set import PosedClip
from pipelines.training.run import Budget, Kit, run
from pipelines.training.view_pairs import PosedPairs, RenderedPairs, TurnedPhotos, ViewPair, in_unit, mirrored
from pipelines.training.view_set import KINDS, ViewSet, kind_of, render_views
from pipelines.training.views import PairBatch, ViewsRecipe, ViewsTraining
from render_refine.camera import Camera, pose_from
from render_refine.depth_maps import near_depth
from render_refine.discriminator import DiscriminatorConfig
from render_refine.spade import SpadeConfig
from render_refine.unet import UNetConfig
from render_refine.warp import backward_warp, visible_motion
from synsin.model import SynsinConfig

HEIGHT, WIDTH = 40, 56
SMALL = ViewsTraining(
    network=SynsinConfig(
        features=8,
        encoder=(8,),
        regressor=UNetConfig(3, 2, (8, 16, 24)),
        refiner=SpadeConfig((9, 6), 4, (16, 16), 8),
        radius=2.0,
        points_per_pixel=16,
    ),
    critic=DiscriminatorConfig(3, width=8, num_scales=1),
    batch=2,
    height=HEIGHT,
    width=WIDTH,
)


def look_up(image: torch.Tensor, uv: torch.Tensor) -> torch.Tensor:
    """Colours (3, N) of an image (3, H, W) at pixel positions (N, 2)."""
    grid = 2 * uv / torch.tensor([WIDTH, HEIGHT]) - 1
    return F.grid_sample(image[None], grid[None, None], align_corners=False)[0, :, 0]


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    found = ViewSet(tmp_path_factory.mktemp("places"), len(KINDS), height=HEIGHT, width=WIDTH, seed=7)
    found.make(processes=1)
    return found


@pytest.mark.parametrize("index", range(len(KINDS)))
def test_the_views_of_a_place_show_the_same_moment(places, index):
    views = places[index]
    assert len(views.cameras) == 3
    for other in (1, 2):
        flow, visible = visible_motion(views.depth[other], views.cameras[other], views.depth[0], views.cameras[0])
        warped, _ = backward_warp(views.rgb[:1], torch.where(visible, flow.nan_to_num(), 0.0)[None])
        still, moved = ((image - views.rgb[other]).abs().mean(dim=0)[visible] for image in (views.rgb[0], warped[0]))
        assert len(moved) > 0.2 * HEIGHT * WIDTH
        # Edges of things and reflections differ, most of the picture does not.
        assert float(moved.median()) < 0.03, kind_of(index)
        assert float(moved.mean()) < 0.8 * float(still.mean())


def test_a_place_follows_from_its_number(places):
    again = render_views(7, 0, HEIGHT, WIDTH)
    torch.testing.assert_close(places[0].rgb, again.rgb, atol=0.5 / 255 + 1e-6, rtol=0)
    assert torch.equal(places[0].depth, again.depth)


@settings(max_examples=30, deadline=None)
@given(
    angles=st.tuples(*[st.floats(-0.5, 0.5)] * 3),
    position=st.tuples(*[st.floats(-1, 1)] * 3),
    point=st.tuples(st.floats(-2, 2), st.floats(-2, 2), st.floats(3, 6)),
    shift=st.floats(-9, 9),
)
def test_a_mirrored_camera_sees_the_mirrored_world(angles, position, point, shift):
    camera = Camera.from_fov(HEIGHT, WIDTH, 1.0, pose_from(torch.tensor(position, dtype=torch.float64), *angles))
    camera = camera.crop(0, 0, HEIGHT, WIDTH)
    camera.K[0, 2] += shift
    world = torch.tensor([point], dtype=torch.float64)
    uv, z = camera.project(world)
    uv_mirror, z_mirror = mirrored(camera).project(world * torch.tensor([-1.0, 1.0, 1.0]))
    torch.testing.assert_close(z, z_mirror)
    torch.testing.assert_close(uv_mirror, torch.stack([WIDTH - uv[:, 0], uv[:, 1]], dim=-1))


def test_rendered_pairs_fit_their_cameras(places):
    generator = torch.Generator().manual_seed(1)
    pairs = RenderedPairs(places)
    better = 0
    for _ in range(8):
        pair = pairs.draw(HEIGHT, WIDTH, generator)
        assert float(near_depth(pair.depth)) == pytest.approx(1, rel=1e-3)
        known = torch.where(pair.depth.isinf(), 1e4, pair.depth)
        grid = torch.stack(torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij"), -1).reshape(-1, 2)
        uv, z = pair.other.project(pair.camera.unproject(known).reshape(-1, 3))
        sample = F.grid_sample(
            pair.target[None], (2 * uv / torch.tensor([WIDTH, HEIGHT]) - 1)[None, None], align_corners=False
        )[0, :, 0]
        inside = (uv > 1).all(-1) & (uv[:, 0] < WIDTH - 1) & (uv[:, 1] < HEIGHT - 1) & (z > 0)
        source = pair.source[:, grid[:, 0], grid[:, 1]]
        moved = (sample - source)[:, inside].abs().mean()
        still = (pair.target - pair.source).flatten(1)[:, inside].abs().mean()
        better += bool(moved < still)
    assert better >= 6


def test_turned_photos_are_one_photo(tmp_path):
    generator = torch.Generator().manual_seed(2)
    photo = F.interpolate(torch.rand(1, 3, 12, 18, generator=generator), (120, 180), mode="bicubic")[0].clamp(0, 1)
    write_png(tmp_path / "p.png", photo)
    pairs = TurnedPhotos([tmp_path / "p.png"])
    for _ in range(5):
        pair = pairs.draw(HEIGHT, WIDTH, generator)
        # No parallax: any depth maps the target's pixels to the source's.
        points = pair.other.unproject(torch.full((HEIGHT, WIDTH), 2.0))
        uv, _ = pair.camera.project(points.reshape(-1, 3))
        sample = F.grid_sample(
            pair.source[None], (2 * uv / torch.tensor([WIDTH, HEIGHT]) - 1)[None, None], align_corners=False
        )[0, :, 0]
        seen = (uv > 1).all(-1) & (uv[:, 0] < WIDTH - 1) & (uv[:, 1] < HEIGHT - 1) & pair.inside.flatten()
        assert seen.any()
        assert float((sample - pair.target.flatten(1))[:, seen].abs().mean()) < 0.02
        assert pair.depth.isnan().all()


def test_posed_pairs_are_as_far_apart_as_asked(places):
    def clip(number: int) -> PosedClip:
        # Frame k is all of brightness k, and its camera stands k units to the right.
        rgb = torch.arange(4, dtype=torch.uint8)[:, None, None, None].expand(4, 3, 50, 80).contiguous() * 20
        poses = [pose_from(torch.tensor([float(k), 0.0, 0.0])) for k in range(4)]
        cameras = [Camera.from_fov(50, 80, 1.0, pose) for pose in poses]
        return PosedClip(Path(f"clip{number}"), rgb, cameras, [f"{k}.png" for k in range(4)])

    pairs = PosedPairs([clip(0), clip(1)], gaps=(1, 3, 9))
    seen = set()
    for k in range(120):
        pair = pairs.draw(HEIGHT, WIDTH, torch.Generator().manual_seed(k))
        a, b = (round(255 / 20 * float(image.mean())) for image in (pair.source, pair.target))
        # Mirrored or not, the cameras belong to their frames.
        assert [abs(float(c.centre[0])) for c in (pair.camera, pair.other)] == pytest.approx([a, b], abs=1e-5)
        assert pair.depth.isnan().all()
        seen.add((pair.clip, a, b))
    near = {(a, b) for a in range(4) for b in range(4) if abs(a - b) in (1, 3)}
    assert seen == {(number, *frames) for number in (0, 1) for frames in near}
    with pytest.raises(ValueError, match="at least two frames"):
        PosedPairs([])


def test_a_unit_divides_translations_only():
    pose = pose_from(torch.tensor([1.0, 2.0, 3.0]), 0.2, 0.1)
    scaled = in_unit(pose, torch.tensor(2.0))
    assert torch.equal(scaled[:3, :3], pose[:3, :3])
    torch.testing.assert_close(scaled[:3, 3], pose[:3, 3] / 2)


class OnePair:
    """Always the same pair, of a clip whose unit of length is not known."""

    def __init__(self, pair: ViewPair) -> None:
        self.pair = pair

    def draw(self, height: int, width: int, generator: torch.Generator) -> ViewPair:
        return self.pair


def test_the_recipe_learns_and_goes_on(places, tmp_path):
    def build(kit: Kit) -> ViewsRecipe:
        return ViewsRecipe(kit, [(1.0, RenderedPairs(places))], SMALL)

    recipe = run(build, tmp_path / "run", Budget(steps=3), log_every=1)
    first = recipe.network.state_dict()
    again = run(build, tmp_path / "other", Budget(steps=3), log_every=1)
    assert all(torch.equal(a, b) for a, b in zip(first.values(), again.network.state_dict().values(), strict=True))
    assert (tmp_path / "run" / "model" / "model.safetensors").exists()
    assert list((tmp_path / "run" / "samples").glob("*.png"))


def test_one_pair_is_learned_by_heart(places):
    torch.manual_seed(0)
    pair = RenderedPairs(places).draw(HEIGHT, WIDTH, torch.Generator().manual_seed(3))
    recipe = ViewsRecipe(Kit(torch.device("cpu")), [(1.0, OnePair(pair))], replace(SMALL, adversarial_weight=0.0))
    generator = torch.Generator().manual_seed(0)
    losses = [recipe.step(step, generator) for step in range(60)]
    assert float(losses[-1]["l1"]) < 0.7 * float(losses[0]["l1"])
    assert float(losses[-1]["depth"]) < 0.7 * float(losses[0]["depth"])


def test_an_unknown_scale_gets_a_gradient_of_the_right_sign():
    generator = torch.Generator().manual_seed(5)
    smooth = F.interpolate(torch.rand(1, 3, 5, 7, generator=generator), (HEIGHT, WIDTH + 8), mode="bicubic")[0]
    lens = Camera.from_fov(HEIGHT, WIDTH, 1.0)
    # A wall at depth 1; a step of four pixels to the right.
    step = 4 / float(lens.focal)
    torch.manual_seed(0)
    recipe = ViewsRecipe(Kit(torch.device("cpu")), [(1.0, TurnedPhotos([]))], SMALL)
    signs = []
    for wrong in (0.5, 1.5):
        other = lens.at(pose_from(torch.tensor([wrong * step, 0.0, 0.0])))
        inside = torch.ones(HEIGHT, WIDTH, dtype=torch.bool)
        wall = torch.ones(HEIGHT, WIDTH)
        pair = ViewPair(smooth[..., 4:-4], smooth[..., 8:], wall, lens, other, inside, clip=0)
        batch = PairBatch.of([pair])
        view = recipe._view(recipe.network, batch, wall[None])
        seen = view.rendering.visible.expand_as(batch.target)
        loss = (view.rendering.rgb - batch.target)[seen].square().mean()
        (slope,) = torch.autograd.grad(loss, recipe.scales.weight)
        signs.append(math.copysign(1, float(slope)))
    assert signs == [-1, 1]  # too short a way wants to grow, too long a one to shrink
