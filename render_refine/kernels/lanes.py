"""Vectors of sixteen numbers for the CPU kernels, as values that the compiler keeps in registers.

Left to itself the compiler finds some loops that it can turn into vector instructions, after a long search. Kernels
that say in which vectors they compute run faster and compile in a fraction of the time. `Lanes` have + - * / and
comparisons, also with a single number, which then counts for all lanes and takes their type; comparisons give lanes of
truths, which have & and |. Nothing is fused that does not say so: `a * b + c` rounds twice, `fma(a, b, c)` may round
once. LLVM cuts sixteen lanes to the vectors of the machine, whatever their size.

(The functions build LLVM's instructions, since numba has no vectors of its own.)
"""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any

from numba.core import cgutils, types
from numba.core.cgutils import ir  # llvmlite's
from numba.core.typing import signature
from numba.core.typing.templates import AbstractTemplate, infer_global
from numba.extending import lower_builtin, models, register_model

from render_refine.kernels.compiled import instruction

WIDTH = 16


class Lanes(types.Type):
    """The type of a vector of `WIDTH` numbers of ``dtype``, or truths."""

    def __init__(self, dtype: types.Type) -> None:
        self.dtype = dtype
        super().__init__(name=f"Lanes({dtype})")


TRUTHS = Lanes(types.boolean)


@register_model(Lanes)
class _Model(models.PrimitiveModel):
    def __init__(self, manager: Any, lanes: Lanes) -> None:
        truth = lanes.dtype == types.boolean
        element = ir.IntType(1) if truth else manager.lookup(lanes.dtype).get_value_type()
        super().__init__(manager, lanes, ir.VectorType(element, WIDTH))


def _splat(builder: Any, value: Any) -> Any:
    """An LLVM value in all lanes."""
    vector = ir.VectorType(value.type, WIDTH)
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [0] * WIDTH))


def _cast(context: Any, builder: Any, value: Any, given: types.Type, wanted: Lanes) -> Any:
    """A value as lanes: a number goes to each."""
    if isinstance(given, Lanes):
        return value
    return _splat(builder, context.cast(builder, value, given, wanted.dtype))


def _operate(builder: Any, function: Any, dtype: types.Type, a: Any, b: Any) -> Any:
    """The LLVM instruction of an operator."""
    real = isinstance(dtype, types.Float)
    if function in _COMPARISONS:
        return (builder.fcmp_ordered if real else builder.icmp_signed)(_COMPARISONS[function], a, b)
    return getattr(builder, ("f" if real else "") + _ARITHMETIC[function])(a, b)


_COMPARISONS = {operator.lt: "<", operator.le: "<=", operator.gt: ">", operator.ge: ">=", operator.eq: "=="}
_ARITHMETIC = {
    operator.add: "add",
    operator.sub: "sub",
    operator.mul: "mul",
    operator.truediv: "div",
    operator.and_: "and_",
    operator.or_: "or_",
    operator.lshift: "shl",
    operator.rshift: "ashr",
}


def _lanes_of(*arguments: types.Type) -> Any:
    """The type that the lanes among the arguments have if they agree, else None."""
    lanes = {a for a in arguments if isinstance(a, Lanes)}
    return lanes.pop() if len(lanes) == 1 else None


def _define(function: Any) -> None:
    @infer_global(function)
    class _Template(AbstractTemplate):
        def generic(self, args: Any, kws: Any) -> Any:
            lanes = _lanes_of(*args)
            if lanes is None or len(args) != 2:
                return None
            return signature(TRUTHS if function in _COMPARISONS else lanes, *args)

    for kinds in ((Lanes, Lanes), (Lanes, types.Number), (types.Number, Lanes)):

        @lower_builtin(function, *kinds)
        def _lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            lanes = _lanes_of(*sig.args)
            a, b = (_cast(context, builder, value, given, lanes) for value, given in zip(args, sig.args, strict=True))
            return _operate(builder, function, lanes.dtype, a, b)


for _function in (*_COMPARISONS, *_ARITHMETIC):
    _define(_function)


def _pointer(context: Any, builder: Any, kind: Any, array: Any, at: Any, size: int = WIDTH) -> Any:
    """Pointer to ``size`` numbers of a flat array."""
    data = context.make_array(kind)(context, builder, array).data
    element = context.get_data_type(kind.dtype)
    return builder.bitcast(builder.gep(data, [at], inbounds=True), ir.VectorType(element, size).as_pointer())


def _index(numbers: Iterable[int]) -> Any:
    """What `shuffle_vector` takes, of two vectors side by side."""
    numbers = list(numbers)
    return ir.Constant(ir.VectorType(ir.IntType(32), len(numbers)), numbers)


def _join(builder: Any, a: Any, b: Any) -> Any:
    return builder.shuffle_vector(a, b, _index(range(2 * a.type.count)))


def _place(context: Any, builder: Any, start: Any, step: Any, row: int) -> Any:
    """``start + step * row``."""
    return builder.add(start, builder.mul(step, context.get_constant(types.intp, row)))


def _bytes(kind: Any) -> int:
    return kind.dtype.bitwidth // 8


@instruction
def load(typing, array, at):
    """``array[at : at + WIDTH]`` of a flat, contiguous array."""

    def generate(context, builder, sig, args):
        return builder.load(_pointer(context, builder, array, *args), align=_bytes(array))

    return Lanes(array.dtype)(array, types.intp), generate


@instruction
def store(typing, array, at, lanes):
    """``array[at : at + WIDTH] = lanes``."""

    def generate(context, builder, sig, args):
        value = _cast(context, builder, args[2], lanes, Lanes(array.dtype))
        builder.store(value, _pointer(context, builder, array, *args[:2]), align=_bytes(array))
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes), generate


@instruction
def prefetch(typing, array, at):
    """Ask for the numbers about ``array[at]``, which will be needed soon."""

    def generate(context, builder, sig, args):
        pointer = builder.gep(context.make_array(array)(context, builder, args[0]).data, [args[1]])
        whole, integer = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [whole, integer, integer, integer])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        read, keep, data = (ir.Constant(integer, i) for i in (0, 2, 1))
        builder.call(function, [builder.bitcast(pointer, whole), read, keep, data])
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


@instruction
def load_square(typing, array, at, step):
    """Lanes of 4 x 4 pixels: four numbers from ``at``, from ``at + step`` and so on."""

    def generate(context, builder, sig, args):
        rows = []
        for row in range(4):
            place = _place(context, builder, args[1], args[2], row)
            rows.append(builder.load(_pointer(context, builder, array, args[0], place, 4), align=_bytes(array)))
        halves = (_join(builder, *rows[:2]), _join(builder, *rows[2:]))
        return _join(builder, *halves)

    return Lanes(array.dtype)(array, types.intp, types.intp), generate


@instruction
def store_square(typing, array, at, step, lanes):
    """The same way back."""

    def generate(context, builder, sig, args):
        for row in range(4):
            place = _place(context, builder, args[1], args[2], row)
            part = builder.shuffle_vector(args[3], args[3], _index(range(4 * row, 4 * row + 4)))
            builder.store(part, _pointer(context, builder, array, args[0], place, 4), align=_bytes(array))
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, lanes), generate


@instruction
def load_pairs(typing, array, at):
    """Of 16 pairs from ``at`` the first numbers and the second numbers."""

    def generate(context, builder, sig, args):
        pairs = builder.load(_pointer(context, builder, array, args[0], args[1], 2 * WIDTH), align=_bytes(array))
        parts = [builder.shuffle_vector(pairs, pairs, _index(range(i, 2 * WIDTH, 2))) for i in (0, 1)]
        return context.make_tuple(builder, sig.return_type, parts)

    return types.UniTuple(Lanes(array.dtype), 2)(array, types.intp), generate


@instruction
def transpose(typing, source, at, step, target, to, pace):
    """Sixteen rows of sixteen numbers, from ``source[at]``, ``source[at + step]``, ..., become the columns of those at
    ``target[to]``, ``target[to + pace]``, ..."""

    def generate(context, builder, sig, args):
        rows = [
            builder.load(
                _pointer(context, builder, source, args[0], _place(context, builder, args[1], args[2], i)),
                align=_bytes(source),
            )
            for i in range(WIDTH)
        ]
        # Interleaving row i with row i + 8, four times, turns the square over.
        order = [_index(i // 2 + WIDTH * (i % 2) + up for i in range(WIDTH)) for up in (0, WIDTH // 2)]
        for _ in range(4):
            pairs = zip(rows[: WIDTH // 2], rows[WIDTH // 2 :], strict=True)
            rows = [builder.shuffle_vector(a, b, index) for a, b in pairs for index in order]
        for i, row in enumerate(rows):
            pointer = _pointer(context, builder, target, args[3], _place(context, builder, args[4], args[5], i))
            builder.store(row, pointer, align=_bytes(target))
        return context.get_dummy_value()

    return types.void(source, types.intp, types.intp, target, types.intp, types.intp), generate


@instruction
def whole(typing, lanes):
    """As int32, towards zero; numbers must lie in its range."""

    def generate(context, builder, sig, args):
        return builder.fptosi(args[0], ir.VectorType(ir.IntType(32), WIDTH))

    return Lanes(types.int32)(lanes), generate


@instruction
def spread(typing, number):
    """A number in all lanes."""

    def generate(context, builder, sig, args):
        return _splat(builder, args[0])

    return Lanes(number)(number), generate


@instruction
def where(typing, truths, a, b):
    """``a`` where ``truths``, else ``b``; one of them may be a number."""
    lanes = _lanes_of(a, b)

    def generate(context, builder, sig, args):
        return builder.select(args[0], *(_cast(context, builder, args[i], sig.args[i], lanes) for i in (1, 2)))

    return lanes(truths, a, b), generate


def _of_llvm(builder: Any, name: str, lanes: Any, *values: Any) -> Any:
    """A function that LLVM has for vectors."""
    vector = values[0].type
    kind = ir.FunctionType(vector, [vector] * len(values))
    name = f"llvm.{name}.v{WIDTH}f{lanes.dtype.bitwidth}"
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), values)


@instruction
def sqrt(typing, lanes):
    """Square roots."""

    def generate(context, builder, sig, args):
        return _of_llvm(builder, "sqrt", lanes, *args)

    return lanes(lanes), generate


@instruction
def floor(typing, lanes):
    """The whole numbers at or below."""

    def generate(context, builder, sig, args):
        return _of_llvm(builder, "floor", lanes, *args)

    return lanes(lanes), generate


@instruction
def power(typing, lanes, exponent):
    """Lanes to the power of one number (slow: a call for each lane)."""

    def generate(context, builder, sig, args):
        return _of_llvm(builder, "pow", lanes, args[0], _cast(context, builder, args[1], exponent, lanes))

    return lanes(lanes, exponent), generate


@instruction
def fma(typing, a, b, c):
    """``a * b + c``, rounded once where that is fast; one or two of them may be numbers."""
    lanes = _lanes_of(a, b, c)

    def generate(context, builder, sig, args):
        values = (_cast(context, builder, value, given, lanes) for value, given in zip(args, sig.args, strict=True))
        return _of_llvm(builder, "fmuladd", lanes, *values)

    return lanes(a, b, c), generate


def _chosen(comparison: Any, lanes: Lanes) -> Any:
    """What builds, of two values, the one for which the comparison with the other holds."""

    def generate(context, builder, sig, args):
        one, other = (_cast(context, builder, value, given, lanes) for value, given in zip(args, sig.args, strict=True))
        return builder.select(_operate(builder, comparison, lanes.dtype, one, other), one, other)

    return generate


@instruction
def least(typing, a, b):
    """The smaller one, lane by lane; one of them may be a number."""
    lanes = _lanes_of(a, b)
    return lanes(a, b), _chosen(operator.lt, lanes)


@instruction
def most(typing, a, b):
    """The larger one, lane by lane; one of them may be a number."""
    lanes = _lanes_of(a, b)
    return lanes(a, b), _chosen(operator.gt, lanes)


@instruction
def bits(typing, truths):
    """An integer whose bit i is the truth in lane i."""

    def generate(context, builder, sig, args):
        return builder.zext(builder.bitcast(args[0], ir.IntType(WIDTH)), ir.IntType(64))

    return types.int64(truths), generate


@instruction
def add_totals(typing, array, at, a, b, c, d):
    """Add the sums of the lanes of ``a`` to ``array[at]``, of ``b`` to ``array[at + 1]``, and so on."""

    def halves(builder: Any, x: Any, y: Any, groups: int) -> Any:
        """Of x and y, side by side in so many groups of lanes, the sums of the two halves of each group."""
        width = 2 * x.type.count // groups
        low = [start + i for start in range(0, groups * width, width) for i in range(width // 2)]
        parts = [builder.shuffle_vector(x, y, _index(i + up for i in low)) for up in (0, width // 2)]
        return builder.fadd(*parts)

    def generate(context, builder, sig, args):
        a, b, c, d = args[2:]
        quarters = halves(builder, halves(builder, a, b, 2), halves(builder, c, d, 2), 4)  # four lanes of each
        sums = quarters
        while sums.type.count > 4:
            low, high = (
                builder.shuffle_vector(sums, sums, _index(i for i in range(sums.type.count) if i // step % 2 == up))
                for step in [sums.type.count // 8]
                for up in (0, 1)
            )
            sums = builder.fadd(low, high)
        pointer = _pointer(context, builder, array, args[0], args[1], 4)
        builder.store(builder.fadd(builder.load(pointer, align=_bytes(array)), sums), pointer, align=_bytes(array))
        return context.get_dummy_value()

    return types.void(array, types.intp, a, b, c, d), generate
