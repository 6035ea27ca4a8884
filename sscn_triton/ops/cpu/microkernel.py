"""Register-blocked inner products of gathered rows, as two Numba intrinsics.

A strip is some columns of the result, cut into tiles: as many rows as the registers hold, and single rows for the rest.
A block of ``rows`` x ``vectors`` sums stays in vector registers during the whole inner loop. The kernels read and write
rows in place, without buffers for gather or scatter. LLVM's vector types are portable; only the size of the register
file depends on the machine. Every tile sums an element in the same order, so results do not depend on how rows are
split into tiles, or tiles into threads.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


def _register_file() -> tuple[int, int]:
    """The size of a vector register of this machine in bytes, and the number of such registers."""
    if platform.machine().lower() in ("arm64", "aarch64"):
        return 16, 32
    features = llvm.get_host_cpu_features()
    if features.get("avx512f"):
        return 64, 32
    return (32 if features.get("avx2") else 16), 16


VECTOR_BYTES, REGISTERS = _register_file()
HALF_BYTES = 16  # size of a narrow vector, for channels that do not fill a register
MAX_VECTORS = 5 if REGISTERS == 32 else 3
STRIPS = ((1, 0), (1, HALF_BYTES), *((vectors, VECTOR_BYTES) for vectors in range(1, MAX_VECTORS + 1)))
"""The strips that are compiled: a number of vectors, and the size of each in bytes; 0 for one number."""
_CONTRACT = ("contract",)  # lets LLVM fuse a product and a sum
_I64 = ir.IntType(64)


def product_rows(vectors: int) -> int:
    """Rows of a tile of `multiply_tile`: its sums, one row of the weight and one feature fit into the registers."""
    return min(8 if vectors == 1 else 6, (REGISTERS - 2 - vectors) // vectors)


def outer_rows(vectors: int) -> int:
    """Rows of a tile of `outer_tile`: a power of two, because most channel counts are multiples of one."""
    return next(rows for rows in (16, 8, 4, 2, 1) if (rows + 1) * vectors + 1 <= REGISTERS)


class _Matrix:
    """A C-contiguous array in LLVM terms."""

    def __init__(self, context: Any, builder: Any, kind: Any, value: Any) -> None:
        array = context.make_array(kind)(context, builder, value)
        self.builder, self.element = builder, context.get_data_type(kind.dtype)
        self.data, self.shape = array.data, cgutils.unpack_tuple(builder, array.shape)

    def at(self, *index: Any) -> Any:
        """Pointer to an element."""
        offset = index[0]
        for extent, i in zip(self.shape[1:], index[1:], strict=True):
            offset = self.builder.add(self.builder.mul(offset, extent), i)
        return self.builder.gep(self.data, [offset])


class _Vectors:
    """Reads, writes and multiplies vectors of ``lanes`` elements."""

    def __init__(self, builder: Any, element: Any, itemsize: int, nbytes: int) -> None:
        self.builder, self.itemsize, self.lanes = builder, itemsize, max(1, nbytes // itemsize)
        self.kind = ir.VectorType(element, self.lanes)

    def _pointer(self, pointer: Any, vector: int) -> Any:
        moved = self.builder.gep(pointer, [_I64(vector * self.lanes)])
        return self.builder.bitcast(moved, self.kind.as_pointer())

    def load(self, pointer: Any, vector: int) -> Any:
        value = self.builder.load(self._pointer(pointer, vector))
        value.align = self.itemsize
        return value

    def store(self, value: Any, pointer: Any, vector: int) -> None:
        self.builder.store(value, self._pointer(pointer, vector)).align = self.itemsize

    def broadcast(self, scalar: Any) -> Any:
        undefined = ir.Constant(self.kind, ir.Undefined)
        first = self.builder.insert_element(undefined, scalar, ir.IntType(32)(0))
        lanes = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(first, undefined, lanes)

    def multiply_add(self, a: Any, b: Any, total: Any) -> Any:
        return self.builder.fadd(self.builder.fmul(a, b, flags=_CONTRACT), total, flags=_CONTRACT)

    def zero(self) -> Any:
        return ir.Constant(self.kind, [0.0] * self.lanes)


def _accumulate(
    builder: Any, totals: list[Any], start: Any, stop: Any, step: Callable[[Any, list[Any]], list[Any]]
) -> list[Any]:
    """``for i in range(start, stop): totals = step(i, totals)``, with the totals in registers; start < stop."""
    before = builder.block
    loop, after = builder.append_basic_block("sum"), builder.append_basic_block("summed")
    builder.branch(loop)
    builder.position_at_end(loop)
    index = builder.phi(_I64)
    index.add_incoming(start, before)
    carried = []
    for total in totals:
        carried.append(builder.phi(total.type))
        carried[-1].add_incoming(total, before)
    results = step(index, list(carried))
    following = builder.add(index, _I64(1))
    index.add_incoming(following, builder.block)
    for phi, result in zip(carried, results, strict=True):
        phi.add_incoming(result, builder.block)
    builder.cbranch(builder.icmp_signed("<", following, stop), loop, after)
    builder.position_at_end(after)
    return results


def _in_tiles(builder: Any, start: Any, stop: Any, sizes: tuple[int, ...], tile: Callable[[Any, int], None]) -> None:
    """Cover start:stop by calls of ``tile(first, size)`` of the first size, as far as it fits, then of the next."""
    for size in sizes:
        before = builder.block
        blocks = [builder.append_basic_block(name) for name in ("next", "tile", "done")]
        following, inside, after = blocks
        builder.branch(following)
        builder.position_at_end(following)
        first = builder.phi(_I64)
        first.add_incoming(start, before)
        last = builder.add(first, _I64(size))
        builder.cbranch(builder.icmp_signed("<=", last, stop), inside, after)
        builder.position_at_end(inside)
        tile(first, size)
        first.add_incoming(last, builder.block)
        builder.branch(following)
        builder.position_at_end(after)
        start = first


def _row_number(builder: Any, rows: Any, rule: Any) -> Any:
    return builder.sext(builder.load(builder.gep(rows, [rule])), _I64)


def _product_strip(builder: Any, itemsize: int, count: int, nbytes: int, *given: Any) -> None:
    """``y[o, j] += sum_k x[i, k] * w[k, j]`` for the rules (i, o) from start to stop and ``count`` vectors of j."""
    x, x_stride, w, w_stride, depth, y, y_stride, inputs, outputs, start, stop = given
    v = _Vectors(builder, x.type.pointee, itemsize, nbytes)

    def tile(rule: Any, rows: int) -> None:
        rules = [builder.add(rule, _I64(r)) for r in range(rows)]
        sources = [builder.gep(x, [builder.mul(_row_number(builder, inputs, r), x_stride)]) for r in rules]
        targets = [builder.gep(y, [builder.mul(_row_number(builder, outputs, r), y_stride)]) for r in rules]

        def step(k: Any, totals: list[Any]) -> list[Any]:
            line = builder.gep(w, [builder.mul(k, w_stride)])
            weights = [v.load(line, j) for j in range(count)]
            sums = []
            for r, source in enumerate(sources):
                feature = v.broadcast(builder.load(builder.gep(source, [k])))
                sums += [v.multiply_add(feature, weights[j], totals[r * count + j]) for j in range(count)]
            return sums

        totals = [v.load(target, j) for target in targets for j in range(count)]
        for position, total in enumerate(_accumulate(builder, totals, _I64(0), depth, step)):
            v.store(total, targets[position // count], position % count)

    _in_tiles(builder, start, stop, (product_rows(count), 1), tile)


def _outer_strip(builder: Any, itemsize: int, count: int, nbytes: int, *given: Any) -> None:
    """``w[k, j] += sum x[i, k] * g[o, j]`` over the rules (i, o) from start to stop (at least one), for k from first to
    last - 1 and for ``count`` vectors of j."""
    x, x_stride, g, g_stride, w, w_stride, first, last, inputs, outputs, start, stop = given
    v = _Vectors(builder, x.type.pointee, itemsize, nbytes)

    def tile(row: Any, rows: int) -> None:
        here = builder.gep(x, [row])

        def step(rule: Any, totals: list[Any]) -> list[Any]:
            source = builder.gep(here, [builder.mul(_row_number(builder, inputs, rule), x_stride)])
            gradient = builder.gep(g, [builder.mul(_row_number(builder, outputs, rule), g_stride)])
            gradients = [v.load(gradient, j) for j in range(count)]
            sums = []
            for r in range(rows):
                feature = v.broadcast(builder.load(builder.gep(source, [_I64(r)])))
                sums += [v.multiply_add(feature, gradients[j], totals[r * count + j]) for j in range(count)]
            return sums

        totals = _accumulate(builder, [v.zero()] * (rows * count), start, stop, step)
        for position, total in enumerate(totals):
            line = builder.mul(builder.add(row, _I64(position // count)), w_stride)
            target, vector = builder.gep(w, [line]), position % count
            v.store(builder.fadd(v.load(target, vector), total), target, vector)

    _in_tiles(builder, first, last, (outer_rows(count), 1), tile)


def _strip_type(strip: Any, element: Any) -> Any:
    rows, number = element.as_pointer(), ir.IntType(32).as_pointer()
    if strip is _product_strip:
        kinds = [rows, _I64, rows, _I64, _I64, rows, _I64, number, number, _I64, _I64]
    else:
        kinds = [rows, _I64, rows, _I64, rows, _I64, _I64, _I64, number, number, _I64, _I64]
    return ir.FunctionType(ir.VoidType(), kinds)


def _writer(strip: Any) -> Any:
    """An intrinsic that puts the addresses of a kernel's strips for elements of one type, in the order of `STRIPS`,
    into an int64 array.

    Strips are functions that only the outermost kernel contains, and that are called by their addresses: Numba compiles
    a function three times if its caller has a caller, and each strip as a function of Numba's own costs more than all
    the passes of LLVM over it.
    """

    def write(typingctx: Any, addresses: Any, kind: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            into = _Matrix(context, builder, signature.args[0], args[0])
            element = context.get_data_type(kind.dtype)
            for place, (count, nbytes) in enumerate(STRIPS):
                name = f"{strip.__name__} {element} {count} {nbytes}"
                function = builder.module.globals.get(name)
                if function is None:  # where vectors are narrow, two strips are the same
                    function = ir.Function(builder.module, _strip_type(strip, element), name)
                    function.linkage = "internal"
                    inside = ir.IRBuilder(function.append_basic_block())
                    strip(inside, kind.dtype.bitwidth // 8, count, nbytes, *function.args)
                    inside.ret_void()
                builder.store(builder.ptrtoint(function, _I64), into.at(_I64(place)))
            return context.get_dummy_value()

        return types.void(addresses, kind), generate

    return intrinsic(write)


write_product_strips: Any = _writer(_product_strip)
write_outer_strips: Any = _writer(_outer_strip)


def _call(context: Any, builder: Any, strip: Any, address: Any, element: Any, given: list[Any]) -> Any:
    function = builder.inttoptr(address, _strip_type(strip, element).as_pointer())
    builder.call(function, given)
    return context.get_dummy_value()


def _signature(*kinds: Any) -> Any:
    """Of an intrinsic without a result; integers are words."""
    return types.void(*(types.intp if isinstance(kind, types.Integer) else kind for kind in kinds))


def _multiply_strip(
    typingctx: Any, strip: Any, x: Any, x_column: Any, w: Any, block: Any, column: Any, y: Any, y_column: Any,
    inputs: Any, outputs: Any, start: Any, stop: Any,
) -> Any:  # fmt: skip
    """``y[o, y_column + column + j] += sum_k x[i, x_column + k] * w[block, k, column + j]`` for the rules
    ``(i, o) = inputs[rule], outputs[rule]`` from start to stop and the columns j of a strip."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        x, w, y, inputs, outputs = (_Matrix(context, builder, signature.args[i], args[i]) for i in (1, 3, 6, 8, 9))
        strip, x_column, block, column, y_column, start, stop = (args[i] for i in (0, 2, 4, 5, 7, 10, 11))
        given = [
            x.at(_I64(0), x_column), x.shape[1], w.at(block, _I64(0), column), w.shape[2], w.shape[1],
            y.at(_I64(0), builder.add(y_column, column)), y.shape[1], inputs.data, outputs.data, start, stop,
        ]  # fmt: skip
        return _call(context, builder, _product_strip, strip, x.element, given)

    return _signature(strip, x, x_column, w, block, column, y, y_column, inputs, outputs, start, stop), generate


def _add_outer_strip(
    typingctx: Any, strip: Any, x: Any, x_column: Any, g: Any, g_column: Any, w: Any, block: Any, first: Any, last: Any,
    column: Any, inputs: Any, outputs: Any, start: Any, stop: Any,
) -> Any:  # fmt: skip
    """``w[block, k, column + j] += sum x[i, x_column + k] * g[o, g_column + column + j]`` over the rules
    ``(i, o) = inputs[rule], outputs[rule]`` from start to stop (at least one), for k from first to last - 1 and the
    columns j of a strip."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        x, g, w, inputs, outputs = (_Matrix(context, builder, signature.args[i], args[i]) for i in (1, 3, 5, 10, 11))
        strip, x_column, g_column, block, first, last, column, start, stop = (
            args[i] for i in (0, 2, 4, 6, 7, 8, 9, 12, 13)
        )
        given = [
            x.at(_I64(0), x_column), x.shape[1], g.at(_I64(0), builder.add(g_column, column)), g.shape[1],
            w.at(block, _I64(0), column), w.shape[2], first, last, inputs.data, outputs.data, start, stop,
        ]  # fmt: skip
        return _call(context, builder, _outer_strip, strip, x.element, given)

    signature = _signature(strip, x, x_column, g, g_column, w, block, first, last, column, inputs, outputs, start, stop)
    return signature, generate


multiply_strip: Any = intrinsic(_multiply_strip)
add_outer_strip: Any = intrinsic(_add_outer_strip)
