"""Logarithm and exponential function of lanes, to the last digit or two of either type."""

from __future__ import annotations

import math

from numba.core import types
from numba.core.cgutils import ir  # llvmlite's

from render_refine.kernels.compiled import inner, instruction
from render_refine.kernels.lanes import WIDTH, fma

LOG_2 = math.log(2)
FRACTION_BITS = {32: 23, 64: 52}  # of a floating-point number of so many bits
STEEPEST = 8  # exp(x) is taken as exp(x / 8)^8


@instruction
def _split(typing, lanes):
    """Positive numbers as m 2^e: m in [1, 2) and e, both in the lanes' own type."""
    size = lanes.dtype.bitwidth
    fraction = FRACTION_BITS[size]
    one = (1 << size - fraction - 2) - 1  # the exponent of 1 as it is stored

    def generate(context, builder, sig, args):
        integers = ir.VectorType(ir.IntType(size), WIDTH)

        def constant(number: int) -> ir.Constant:
            return ir.Constant(integers, [number] * WIDTH)

        bits = builder.bitcast(args[0], integers)
        exponent = builder.sub(builder.lshr(bits, constant(fraction)), constant(one))
        mantissa = builder.or_(builder.and_(bits, constant((1 << fraction) - 1)), constant(one << fraction))
        parts = builder.bitcast(mantissa, args[0].type), builder.sitofp(exponent, args[0].type)
        return context.make_tuple(builder, sig.return_type, parts)

    return types.UniTuple(lanes, 2)(lanes), generate


@inner
def log(x):
    """Natural logarithm of positive numbers; about 1024 log 2 (float32: 128 log 2) for inf."""
    mantissa, exponent = _split(x)
    # log m = 2 artanh((m - s) / (m + s)) + log s with s in the middle of [1, 2): the argument stays below 0.172.
    s = 1.4142135623730951
    y = (mantissa - s) / (mantissa + s)
    y2 = y * y
    total = y2 * (1 / 19) + 1 / 17
    for odd in range(15, 0, -2):
        total = fma(total, y2, 1 / odd)
    return fma(exponent + 0.5, LOG_2, (y + y) * total)


@inner
def exp(x):
    """Exponential function of numbers in [-3, 3]."""
    x = x * (1 / STEEPEST)
    total = x * (1 / 13) + 1.0
    for factor in range(12, 0, -1):
        total = fma(total * (1 / factor), x, 1.0)
    total = total * total
    total = total * total
    return total * total
