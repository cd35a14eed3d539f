"""The restyler: what it is told of a moment, what it does to a frame, and the loop over a clip."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from render_refine.spade import SpadeConfig, pad_to_multiple
from vid2vid.classes import CLASSES
from vid2vid.optical_flow import optical_flow, trust
from vid2vid.restyle import Source, carried, relit, restyle
from vid2vid.restyler import FACTS, Known, Restyled, Restyler, RestylerConfig, coloured, moment_facts

SMALL = RestylerConfig(
    SpadeConfig((len(CLASSES) + 3, 4), 13, (8, 8, 8), 8, style_dim=6, style_grid=(1, 1), style_modulation=True),
    encoder=(8, 8, 8),
    hidden=8,
    reference_widths=(8, 8),
    side=32,
)


def facts(hour, season):
    return moment_facts(torch.tensor([float(hour)]), torch.tensor([float(season)]))[0]


@pytest.fixture(scope="module")
def restyler():
    torch.manual_seed(3)
    made = Restyler(SMALL).eval()
    with torch.no_grad():  # a look that can be seen
        made.spade.conv_img.weight.mul_(20)
        made.moment[-1].weight.mul_(10)
    return made


def picture(height, width, seed=0, channels=3):
    small = torch.rand(1, channels, height // 6, width // 6, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(small, (height, width), mode="bicubic").clamp(0, 1)


@settings(deadline=None)
@given(st.floats(0, 24), st.floats(0, 4))
def test_facts_are_bounded_and_turn_with_the_clock_and_the_year(hour, season):
    found = facts(hour, season)
    assert found.shape == (FACTS,) and found.abs().max() <= 1 + 1e-6
    torch.testing.assert_close(facts(hour + 24, season + 4), found, atol=2e-4, rtol=0)
    assert (facts(hour + 0.01, season + 0.002) - found).abs().max() < 0.05


def test_facts_tell_moments_apart_and_what_is_not_told():
    assert (facts(6, 2) - facts(18, 2)).abs().max() > 0.5  # dawn and dusk
    assert (facts(18, 2) - facts(18.8, 2)).abs().max() > 0.5  # sunset and nightfall
    assert (facts(12, 1) - facts(12, 3)).abs().max() > 0.5  # spring and autumn
    no_hour, no_season = facts(math.nan, 2), facts(13, math.nan)
    assert no_hour[:9].abs().max() == 0 and no_hour[-2:].tolist() == [1, 0]
    assert no_season[9:13].abs().max() == 0 and no_season[-2:].tolist() == [0, 1]
    assert torch.equal(no_hour[9:13], facts(5, 2)[9:13]) and torch.equal(no_season[:9], facts(13, 0)[:9])


def test_colour_maps():
    frame = picture(12, 18)
    maps = torch.zeros(1, 12, 12, 18)
    maps[:, [1, 5, 6]] = 1.0  # red from green, green from blue, blue from red
    maps[:, 9] = 0.25
    wanted = frame[:, [1, 2, 0]] + torch.tensor([0.25, 0, 0]).view(1, 3, 1, 1)
    torch.testing.assert_close(coloured(maps, frame), wanted.clamp(0, 1))


def test_a_network_that_says_nothing_keeps_the_frame():
    network = Restyler(SMALL).eval()
    with torch.no_grad():
        for weight in (*network.spade.conv_img.parameters(), *network.class_maps.parameters()):
            weight.zero_()
        frame, labels = picture(32, 48), torch.zeros(1, len(CLASSES), 32, 48)
        out = network(frame, labels, None, network.moment_style(torch.tensor([20.0]), torch.tensor([0.0])))
    torch.testing.assert_close(out.rgb, frame)


def test_a_class_has_its_map_and_what_has_no_label_too(restyler):
    z = restyler.moment_style(torch.tensor([23.0]), torch.tensor([math.nan])).detach()
    labels = torch.zeros(1, len(CLASSES), 20, 30)
    labels[:, 3, :10] = 1
    with torch.no_grad():
        table = restyler.class_maps(z)[0].unflatten(0, (len(CLASSES) + 1, 12))
        maps = restyler.maps_of_classes(labels, z)[0]
    torch.testing.assert_close(maps[:, 2, 5], table[3])
    torch.testing.assert_close(maps[:, 17, 5], table[-1])
    torch.testing.assert_close(maps[:, 10, 5], 0.4 * table[3] + 0.6 * table[-1])  # a soft border, over 5 pixels


def test_at_first_the_encoder_says_nothing_and_then_it_is_heard():
    torch.manual_seed(0)
    made = Restyler(SMALL).eval()
    frame, labels, z = picture(40, 60), torch.zeros(1, len(CLASSES), 40, 60), torch.zeros(1, 6)
    with torch.no_grad():
        first = made(frame, labels, None, z).maps
        torch.nn.init.normal_(made.encoder.stem.weight)
        assert torch.equal(made(frame, labels, None, z).maps, first)
        for k, out in enumerate(made.encoder.out):
            torch.nn.init.normal_(out.weight)
            assert (made(frame, labels, None, z).maps - first).abs().max() > 1e-3, f"level {k} is not heard"
            torch.nn.init.zeros_(out.weight)


@torch.no_grad()
def test_what_is_known_is_blended_in_where_it_is_valid(restyler):
    frame, labels = picture(32, 48), torch.zeros(1, len(CLASSES), 32, 48)
    z = restyler.moment_style(torch.tensor([20.0]), torch.tensor([0.0]))
    validity = torch.zeros(1, 1, 32, 48)
    validity[..., 24:] = 1
    known = Known(picture(32, 48, 1), torch.full((1, 12, 32, 48), 0.3), validity)
    out = restyler(frame, labels, known, z)
    assert torch.equal(out.rgb[..., :24], out.drawn[..., :24])
    raw = maps_before_blending(restyler, frame, labels, known, z)
    share = (out.maps - raw) / (0.3 - raw)
    certain = (raw - 0.3).abs() > 0.05
    assert (share[certain] > -1e-3).all() and (share[certain] < 1).all()
    # All twelve numbers of a pixel move by the same share, and by more than half unless the network objects.
    assert (share.where(certain, torch.nan).nanmedian(dim=1, keepdim=True).values - share)[certain].abs().max() < 1e-2
    assert share[..., 24:][certain[..., 24:]].median() > 0.5


def maps_before_blending(restyler, frame, labels, known, z):
    """The maps before blending, from a second look with nothing to blend but the same condition."""
    seen = torch.cat([(known.rgb * 2 - 1) * known.validity, known.validity], dim=1)
    conditions = (
        torch.nn.functional.pad(c, (8,) * 4, "replicate") for c in (torch.cat([labels, frame * 2 - 1], 1), seen)
    )
    shown, before = conditions
    skips = restyler.encoder(pad_to_multiple(torch.cat([shown, before], 1), restyler.spade.multiple))
    out = restyler.spade(shown, before, z=z, skips=skips)[:, :12, 8:-8, 8:-8] + restyler.maps_of_classes(labels, z)
    return out + torch.tensor([1.0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0]).view(1, 12, 1, 1)


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match="conditions"):
        RestylerConfig(SpadeConfig((3,), 13))
    with pytest.raises(ValueError, match="side"):
        RestylerConfig(side=8)
    with pytest.raises(ValueError, match="encoder"):
        RestylerConfig(encoder=(8, 8))


def test_flow_finds_a_shift_and_says_where_it_cannot():
    large = picture(90, 130, 5)[0]
    now, before = large[:, 10:74, 10:106], large[:, 6:70, 13:109]
    flow, visible = optical_flow(now, before)
    middle = (slice(None), slice(16, 48), slice(16, 80))
    assert (flow[middle] - torch.tensor([-3.0, 4.0]).view(2, 1, 1)).abs().max() < 0.3
    assert visible[16:48, 16:80].float().mean() > 0.95
    assert not visible[:, :2].any()  # came in from the left


def test_trust_falls_with_the_difference_of_colours():
    grey = torch.full((1, 3, 8, 8), 0.5)
    still, seen = torch.zeros(1, 2, 8, 8), torch.ones(1, 1, 8, 8)
    assert torch.equal(trust(grey, grey, still, seen), seen)
    torch.testing.assert_close(trust(grey, grey + 0.08, still, seen), 0.5 * seen)
    assert trust(grey, grey + 0.4, still, seen).max() < 1e-6
    assert trust(grey, grey, still, 0 * seen).max() == 0
    assert trust(grey, grey, still + 100, seen).max() == 0  # outside


def test_what_became_of_a_frame_moves_with_it(restyler):
    now, before = picture(40, 48), picture(40, 48)
    flow = torch.zeros(1, 2, 40, 48)
    flow[:, 0] = 2.0
    before[..., 2:] = now[..., :-2]
    with torch.no_grad():
        z = restyler.moment_style(torch.tensor([20.0]), torch.tensor([0.0]))
        became = restyler(before, torch.zeros(1, len(CLASSES), 40, 48), None, z)
    known = carried(became, flow, trust(now, before, flow, torch.ones(1, 1, 40, 48)))
    inner = (..., slice(0, 45))
    torch.testing.assert_close(known.maps[inner], became.maps[..., 2:47])
    assert known.validity[inner].min() > 0.99 and known.validity[..., -1].max() == 0


def test_what_is_known_takes_the_new_light_and_keeps_its_detail():
    """The light of the moment is 0.2 lower everywhere; what is known has texture of its own, and ends in the middle."""
    frame, rgb = picture(64, 96), torch.rand(1, 3, 64, 96)
    identity = torch.eye(3, 4).T.reshape(1, 12, 1, 1)
    texture = 0.05 * (torch.arange(96) % 2 * 2 - 1).float().expand(1, 12, 64, 96)
    validity = torch.ones(1, 1, 64, 96)
    validity[..., 48:] = 0
    anew = Restyled(rgb, (identity - 0.2).expand(1, 12, 64, 96), rgb)
    known = relit(frame, Known(rgb, identity + texture, validity), anew)
    torch.testing.assert_close(known.maps[..., :48], (anew.maps + texture)[..., :48])
    torch.testing.assert_close(known.rgb, coloured(known.maps, frame))
    assert torch.equal(known.validity, validity)


class Dimmer:
    """In the restyler's place: multiplies by the style, and keeps nine tenths of what is known."""

    config = RestylerConfig(side=72)

    def __call__(self, frame, labels, known, z):
        maps = z * torch.eye(3, 4).T.reshape(1, 12, 1, 1).expand(1, 12, *frame.shape[-2:])
        if known is not None:
            maps = torch.lerp(maps, known.maps, 0.9 * known.validity)
        return Restyled(coloured(maps, frame), maps, frame)


def test_a_pan_under_a_changing_light_shows_no_border():
    """What comes into view is drawn in the light of the moment: what was in view before must not lag behind."""
    wide = picture(72, 200, 4)[0]
    labels = torch.full((20, 30), CLASSES.index("building"))
    sources = [Source(wide[:, :, 4 * k : 4 * k + 96], labels, torch.full((1, 1), 1 - 0.2 * k)) for k in range(4)]
    for source, shown in zip(sources, restyle(Dimmer(), sources), strict=True):
        assert (shown - source.style[0] * source.rgb).abs().max() < 0.02


def clip(restyler, frames=3, strength=1.0, hour=20.0):
    style = restyler.moment_style(torch.tensor([hour]), torch.tensor([math.nan])).detach()
    large = picture(72, 120, 9)[0]
    labels = torch.full((20, 30), CLASSES.index("building"))
    return [Source(large[:, :66, k : k + 96], labels, style, strength) for k in range(frames)]


def test_strength_mixes_with_the_frame_and_none_leaves_it_alone(restyler):
    full = list(restyle(restyler, clip(restyler)))
    half = list(restyle(restyler, clip(restyler, strength=0.5)))
    for source, frame, mixed in zip(clip(restyler), full, half, strict=True):
        assert (frame - source.rgb).abs().mean() > 0.02
        torch.testing.assert_close(mixed, (frame + source.rgb) / 2)
    untouched = restyle(restyler, clip(restyler, strength=0.0))
    assert all(torch.equal(a, b.rgb) for a, b in zip(untouched, clip(restyler), strict=True))


def test_frames_by_themselves_and_after_one_another(restyler):
    alone = list(restyle(restyler, clip(restyler), temporal=False))
    first = next(iter(restyle(restyler, clip(restyler)[1:2])))
    assert torch.equal(alone[1], first)
    after = list(restyle(restyler, clip(restyler)))
    assert torch.equal(after[0], alone[0]) and not torch.equal(after[1], alone[1])


def test_a_shot_begins_anew_where_nothing_is_the_same(restyler):
    """A cut: no pixel finds its colour again, so nothing of the old look is kept."""
    sources = clip(restyler, 2)
    other = Source(1 - sources[1].rgb.round(), sources[1].labels, sources[1].style)
    alone = next(iter(restyle(restyler, [other])))
    after = list(restyle(restyler, [sources[0], other]))[1]
    assert torch.equal(after, alone)
