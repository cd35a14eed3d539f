"""The taste of a household: colours, woods and cloths that its rooms share, and what lines each room."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.worlds.street_builder import Colour, Dice

PALE: tuple[Colour, ...] = ((0.78, 0.77, 0.74), (0.74, 0.71, 0.64), (0.70, 0.70, 0.69), (0.62, 0.63, 0.63))
WARM: tuple[Colour, ...] = ((0.70, 0.62, 0.47), (0.60, 0.50, 0.36), (0.66, 0.55, 0.32), (0.52, 0.42, 0.30))
COOL: tuple[Colour, ...] = ((0.44, 0.48, 0.50), (0.34, 0.40, 0.45), (0.38, 0.45, 0.36), (0.28, 0.28, 0.29))
STRONG: tuple[Colour, ...] = (
    (0.05, 0.08, 0.15),
    (0.07, 0.13, 0.10),
    (0.42, 0.20, 0.12),
    (0.24, 0.05, 0.05),
    (0.55, 0.38, 0.36),
    (0.12, 0.12, 0.13),
    (0.15, 0.33, 0.40),
)
WOODS: tuple[Colour, ...] = (
    (0.56, 0.42, 0.27),
    (0.42, 0.28, 0.15),
    (0.46, 0.23, 0.08),
    (0.27, 0.09, 0.035),
    (0.15, 0.08, 0.045),
    (0.05, 0.03, 0.022),
    (0.34, 0.30, 0.26),
    (0.24, 0.14, 0.07),
)
CLOTHS: tuple[Colour, ...] = (
    (0.60, 0.57, 0.52),
    (0.30, 0.29, 0.28),
    (0.12, 0.12, 0.13),
    (0.42, 0.33, 0.23),
    (0.13, 0.16, 0.22),
    (0.22, 0.09, 0.06),
    (0.16, 0.20, 0.13),
    (0.70, 0.69, 0.67),
    (0.10, 0.055, 0.035),
    (0.45, 0.36, 0.12),
    (0.08, 0.20, 0.24),
)
STONES: tuple[Colour, ...] = ((0.70, 0.69, 0.67), (0.05, 0.05, 0.05), (0.20, 0.17, 0.14), (0.45, 0.40, 0.33))

PLAIN, STRIPED, FLOWERED, TILED, BRICK, PANELLED, BOARDED = range(7)  # walls
PLANKS, TILES, CARPET, PARQUET, CONCRETE = range(5)  # floors


@dataclass(frozen=True)
class Lining:
    """What lines a room.

    Attributes:
        walls: kind of wall; wall, second: its colours; feature: the side (0 to 3, -1 for none) in ``third``.
        floor: kind; ground, joint: its colours; unit: size of a board or tile in metres; turned: boards along x;
            gloss: of the floor, [0, 1].
        ceiling: colour; skirting, cornice: heights of the mouldings in metres, 0 for none.
    """

    walls: int
    wall: Colour
    second: Colour
    feature: int
    third: Colour
    floor: int
    ground: Colour
    joint: Colour
    unit: float
    turned: bool
    gloss: float
    ceiling: Colour
    skirting: float
    cornice: float


@dataclass(frozen=True)
class Taste:
    """What the rooms of a household share.

    Attributes:
        trim: of frames, doors and skirting boards; boards: wooden floors; wood: furniture; cupboard: kitchen fronts;
            stone: worktops; cloths: sofa, cushions, curtains; metal: handles and lamps.
        panel: kind of the fronts of doors and cupboards (0 flat, 1 framed, 2 raised); paints: of the walls,
            of which ``paint`` is the usual one.
        planks: width of floor boards in metres; shine: gloss of floors, [0, 1].
    """

    trim: Colour
    boards: Colour
    wood: Colour
    cupboard: Colour
    stone: Colour
    cloths: tuple[Colour, ...]
    metal: Colour
    panel: float
    paints: tuple[Colour, ...]
    paint: Colour
    planks: float
    shine: float

    @staticmethod
    def random(dice: Dice) -> Taste:
        """From Scandinavian white to dark wood."""
        dark = dice.uniform()
        paints = dice.pick((PALE, PALE, WARM, WARM, WARM, COOL, PALE + WARM, STRONG))
        wood = dice.tint(dice.pick(WOODS), 0.15)
        boards = wood if dice.chance(0.4) else dice.tint(dice.pick(WOODS), 0.15)
        white = dice.tint((0.76, 0.75, 0.72), 0.05)
        cupboard = dice.pick((wood, wood, white, white, dice.tint(dice.pick(COOL + STRONG))))
        return Taste(
            trim=white if dice.chance(0.86) else wood,
            boards=boards,
            wood=dice.pick((wood, wood, wood, white, (0.03, 0.03, 0.032))),
            cupboard=cupboard,
            stone=dice.tint(dice.pick(STONES), 0.15),
            cloths=tuple(dice.tint(dice.pick(CLOTHS), 0.15) for _ in range(4)),
            metal=dice.pick(((0.42, 0.42, 0.43), (0.50, 0.36, 0.15), (0.03, 0.03, 0.03))),
            panel=float(int(dice.uniform(0, 3))),
            paints=paints,
            paint=dice.tint(dice.pick(paints), 0.06),
            planks=dice.uniform(0.07, 0.2),
            shine=dice.uniform(0.05, 0.5) if dark < 0.7 else dice.uniform(0.4, 0.9),
        )

    def lining(self, dice: Dice, kind: str) -> Lining:
        """Walls, floor and ceiling of a room of a ``kind``."""
        wall = self.paint if dice.chance(0.6) else dice.tint(dice.pick(self.paints), 0.08)
        wet, cooking = kind == "bath", kind == "kitchen"
        pick = dice.uniform()
        if wet and pick < 0.5:
            walls = TILED
        elif pick < 0.72:
            walls = PLAIN
        else:
            walls = dice.pick(
                (STRIPED, STRIPED, FLOWERED, PANELLED, PANELLED, PANELLED, BOARDED, BOARDED, BRICK, PLAIN)
            )
        pick = dice.uniform()
        if wet or (cooking and pick < 0.5):
            floor = TILES
        elif kind in ("bedroom", "office") and pick < 0.5:
            floor = CARPET
        else:
            floor = PLANKS if pick < 0.78 else dice.pick((PARQUET, TILES, CARPET, CONCRETE))
        grounds: dict[int, Colour] = {
            PLANKS: self.boards,
            PARQUET: self.boards,
            TILES: dice.tint(
                dice.pick(((0.58, 0.55, 0.50), (0.45, 0.37, 0.27), (0.22, 0.22, 0.22), (0.66, 0.65, 0.63)))
            ),
            CARPET: dice.tint(
                dice.pick(((0.52, 0.46, 0.38), (0.36, 0.34, 0.33), (0.60, 0.57, 0.52), (0.25, 0.2, 0.16)))
            ),
            CONCRETE: dice.tint((0.36, 0.35, 0.34)),
        }
        gloss = {CARPET: 0.0, TILES: dice.uniform(0.1, 0.8), CONCRETE: 0.2}.get(floor, self.shine)
        accents = self.cloths + self.paints + STRONG
        share = dice.uniform(0.0, 0.35) if dice.chance(0.75) else 1.0
        other = dice.pick(accents)
        r, g, blue = (0.88 * (1 - share) * a + share * o for a, o in zip(wall, other, strict=True))
        second: Colour = (r, g, blue)
        if walls == PANELLED:
            second = self.trim
        if walls == BRICK:
            wall, second = dice.pick((((0.30, 0.13, 0.08), (0.45, 0.42, 0.38)), (wall, wall)))
        if walls == TILED:
            second = (0.55, 0.54, 0.52)
        ceiling = dice.tint((0.80, 0.79, 0.77), 0.03)
        return Lining(
            walls=walls,
            wall=wall,
            second=second,
            feature=int(dice.uniform(0, 4)) if dice.chance(0.2) else -1,
            third=dice.tint(dice.pick(accents)),
            floor=floor,
            ground=grounds[floor],
            joint=dice.pick(((0.5, 0.48, 0.45), (0.2, 0.19, 0.18))) if floor == TILES else (0.03, 0.02, 0.015),
            unit={TILES: dice.pick((0.2, 0.3, 0.33, 0.45, 0.6)), PARQUET: 0.07}.get(floor, self.planks),
            turned=dice.chance(0.5),
            gloss=gloss,
            ceiling=ceiling if dice.chance(0.97) else self.wood,
            skirting=0.0 if walls == TILED else dice.uniform(0.06, 0.16),
            cornice=dice.uniform(0.05, 0.13) if dice.chance(0.4) else 0.0,
        )
