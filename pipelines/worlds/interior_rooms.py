"""Groups of furniture that make a room a living room, a bedroom, a kitchen, a bathroom or an office."""

from __future__ import annotations

import itertools
import math

from pipelines.worlds import interior_clutter as small
from pipelines.worlds import interior_decor as decor
from pipelines.worlds import interior_furniture as pieces
from pipelines.worlds import interior_wet as wet
from pipelines.worlds.interior_builder import PAINT, Maker, step
from pipelines.worlds.interior_floor import Floor
from pipelines.worlds.interior_palette import Taste


def living(b: Maker, taste: Taste, floor: Floor) -> None:
    """A sofa with a table, armchairs, a screen or a fireplace opposite."""
    dice, room = b.dice, floor.room
    if dice.chance(0.3):
        spot = floor.along(1.9, 0.6, 2.4, gap=0.0)
        if spot:
            decor.fireplace(b, taste, spot, room.height)
    if dice.chance(0.75):
        wide = dice.uniform(1.1, 1.9)
        spot = floor.along(wide, 0.45, 1.3, 0.03)
        if spot:
            pieces.chest(b, taste, spot, wide, 0.4, dice.uniform(0.4, 0.7), 3, 1)
            decor.screen(b, step(spot, 0, 0), dice.uniform(0.8, 1.4), dice.uniform(0.72, 0.9), 0.2)
    for _ in range(dice.pick((1, 1, 2))):
        seats = int(dice.uniform(2, 4.6))
        wide = 0.68 * seats + 0.5
        gap = dice.uniform(0.05, 0.25)
        spot = floor.along(wide, 1.0, 0.9, gap) if dice.chance(0.75) else floor.amid(wide, 1.0)
        if spot is None:
            continue
        pieces.sofa(b, taste, spot, seats)
        ahead = step(spot, dice.uniform(-0.2, 0.2), 1.35)
        if dice.chance(0.7):
            decor.rug(b, taste, step(spot, 0, 1.5), wide + 0.5, dice.uniform(1.5, 2.4))
        size = (dice.uniform(0.8, 1.3), dice.uniform(0.5, 0.7))
        if floor.claim(ahead, *size, force=False):
            tall = dice.uniform(0.35, 0.48)
            pieces.table(b, taste, ahead, *size, tall)
            small.clutter(b, taste, ahead, *size, tall, 3)
        for way in (-1, 1):
            beside = step(spot, way * (wide / 2 + 0.35), 0.1)
            if dice.chance(0.6) and floor.claim(beside, 0.5, 0.5, force=False):
                if dice.chance(0.5):
                    decor.lamp(b, taste, step(beside, 0, 0.25), dice.uniform(1.35, 1.7))
                else:
                    pieces.table(b, taste, beside, 0.48, 0.48, 0.55)
                    decor.lamp(b, taste, step(beside, 0, 0.24), dice.uniform(0.5, 0.7), 0.55)
    for _ in range(int(dice.uniform(0, 3))):
        spot = floor.amid(1.0, 1.0)
        if spot:
            pieces.sofa(b, taste, step(spot, 0, 0.05, dice.uniform(-0.4, 0.4)), 1)
    if dice.chance(0.2):
        spot = floor.amid(0.7, 0.7)
        if spot:
            decor.pouf(b, taste, step(spot, 0, 0.35))


def bedroom(b: Maker, taste: Taste, floor: Floor) -> None:
    """A bed between night tables, chests, a wardrobe."""
    dice = b.dice
    wide = dice.pick((0.95, 1.45, 1.65, 1.85))
    spot = floor.along(wide, 2.15, 0.7, 0.01, tries=24)
    if spot:
        pieces.bed(b, taste, spot, wide)
        for way in (-1, 1):
            beside = step(spot, way * (wide / 2 + 0.34), 0)
            if floor.claim(beside, 0.5, 0.45, force=False):
                pieces.chest(b, taste, beside, 0.46, 0.4, 0.52, 1, 2)
                if dice.chance(0.7):
                    decor.lamp(b, taste, step(beside, 0, 0.2), dice.uniform(0.45, 0.65), 0.54)
        if dice.chance(0.4):
            decor.rug(b, taste, step(spot, 0, 1.6), wide + 1.2, 1.9)
        bench = step(spot, 0, 2.2)
        if dice.chance(0.25) and floor.claim(bench, wide * 0.8, 0.45, force=False):
            pieces.table(b, taste, bench, wide * 0.8, 0.4, 0.46)
    for _ in range(int(dice.uniform(1, 3.5))):
        if dice.chance(0.4):
            wide, tall = dice.uniform(0.9, 1.8), dice.uniform(1.9, 2.2)
            spot = floor.along(wide, 0.62, tall)
            if spot:
                pieces.chest(b, taste, spot, wide, 0.58, tall, max(2, round(wide / 0.5)), 1)
        else:
            wide, tall = dice.uniform(0.8, 1.5), dice.uniform(0.7, 1.2)
            spot = floor.along(wide, 0.5, tall)
            if spot:
                pieces.chest(b, taste, spot, wide, 0.46, tall, 2, 3)
                if dice.chance(0.35):
                    decor.screen(b, spot, 0.9, tall + 0.05, 0.2)
                else:
                    small.clutter(b, taste, spot, wide, 0.4, tall + 0.02, 4)


def kitchen(b: Maker, taste: Taste, floor: Floor) -> None:
    """Worktops on one to three sides, a fridge, an island."""
    dice, room = b.dice, floor.room
    first = int(dice.uniform(0, 4))
    runs = 0
    for side in (first, (first + 1) % 4, (first + 3) % 4, (first + 2) % 4):
        if runs >= dice.pick((1, 2, 2, 3)):
            break
        span = room.length(side)
        cut = [(o.low - 0.12, o.high + 0.12) for o in room.openings[side] if o.sill < 1.0]
        edges = sorted([(-span / 2 - 1, -span / 2 + 0.02), (span / 2 - 0.02, span / 2 + 1), *cut])
        low, high = max(((a[1], c[0]) for a, c in itertools.pairwise(edges)), key=lambda p: p[1] - p[0])
        ends = [(0.0, 0.0), (0.0, 0.66), (0.66, 0.0), (0.66, 0.66)]
        for left, right in ends if runs else ends[:1]:
            one, other = low + left, min(high - right, low + left + dice.uniform(2.4, 4.5))
            if other - one > 1.0 and floor.claim(room.at(side, (one + other) / 2), other - one, 0.66, force=False):
                wet.counter(b, taste, room, side, one, other)
                runs += 1
                break
    spot = floor.along(0.95, 0.8, 1.9, 0.03, tries=16)
    if spot:
        wet.fridge(b, taste, spot)
    wide = dice.uniform(1.1, 2.4)
    spot = floor.amid(wide + 1.0, 2.6) if dice.chance(0.65) else None
    if spot:
        wet.island(b, taste, room, step(spot, 0, 0.75), wide)


def dining(b: Maker, taste: Taste, floor: Floor) -> None:
    """A table with chairs."""
    dice = b.dice
    wide, deep = dice.uniform(0.85, 2.0), dice.uniform(0.8, 1.0)
    spot = floor.amid(wide + 1.0, deep + 1.2)
    if spot is None:
        return
    at = step(spot, 0, 0.6)
    if dice.chance(0.3):
        decor.rug(b, taste, step(at, 0, deep / 2), wide + 1.0, deep + 1.1)
    pieces.table(b, taste, at, wide, deep, 0.75)
    kind = int(dice.uniform(0, 3))
    count = max(1, round(wide / 0.65))
    for k in range(count):
        right = ((k + 0.5) / count - 0.5) * wide
        for ahead, turn in ((-0.32, 0.0), (deep + 0.32, math.pi)):
            if dice.chance(0.85):
                jitter = dice.uniform(-0.12, 0.12)
                pieces.chair(b, taste, step(at, right, ahead + dice.uniform(-0.1, 0.1), turn + jitter), kind)
    if wide > 1.3:
        for way in (-1, 1):
            if dice.chance(0.6):
                pieces.chair(b, taste, step(at, way * (wide / 2 + 0.32), deep / 2, -way * math.pi / 2), kind)
    if dice.chance(0.55):
        decor.pendant(b, taste, step(at, 0, deep / 2), floor.room.height, dice.uniform(1.5, 1.75))
    small.clutter(b, taste, at, 0.8 * wide, deep, 0.75, 4)
    if dice.chance(0.3):
        decor.plant(b, taste, step(at, 0, deep / 2), 0.35, 0.75)


def bathroom(b: Maker, taste: Taste, floor: Floor) -> None:
    """A bath, a basin, a toilet, towels."""
    dice = b.dice
    spot = floor.along(1.7, 0.8, 0.6, 0.0, tries=20)
    if spot:
        wet.bath(b, taste, spot, 1.68)
    wide = dice.uniform(0.6, 1.3)
    spot = floor.along(wide, 0.55, 1.9, 0.0, tries=20)
    if spot:
        wet.vanity(b, taste, spot, wide)
    spot = floor.along(0.6, 0.75, 0.8, 0.0, tries=20)
    if spot:
        wet.toilet(b, spot)
    spot = floor.along(0.7, 0.15, 1.4, 0.0)
    if spot:
        wet.towel(b, taste, spot)
    if dice.chance(0.5):
        spot = floor.amid(0.9, 0.6)
        if spot:
            decor.rug(b, taste, step(spot, 0, 0.3), 0.8, 0.5)


def office(b: Maker, taste: Taste, floor: Floor) -> None:
    """A desk with screens and a chair."""
    dice = b.dice
    wide = dice.uniform(1.0, 1.6)
    spot = floor.along(wide, 1.3, 1.1, 0.04, tries=20)
    if spot is None:
        return
    pieces.table(b, taste, spot, wide, 0.65, 0.74)
    for k in range(dice.pick((1, 1, 2))):
        decor.screen(b, step(spot, (k - 0.3) * 0.55, 0), dice.uniform(0.4, 0.6), 0.86, 0.2)
    b.add(spot, (0, 0.75, 0.45), (0.2, 0.01, 0.07), PAINT, (0.03, 0.03, 0.03))
    if dice.chance(0.5):
        decor.lamp(b, taste, step(spot, -wide / 2 + 0.15, 0.2), 0.45, 0.74)
    small.thing(b, taste, spot, (wide / 2 - 0.15, 0.74, 0.25))
    pieces.desk_chair(b, taste, step(spot, dice.uniform(-0.2, 0.2), 0.95, math.pi + dice.uniform(-1, 1)))
