"""Register-blocked inner products of gathered rows, as two Numba intrinsics.

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

    def row_number(self, index: Any) -> Any:
        """Load an element that is itself an index."""
        return self.builder.sext(self.builder.load(self.at(index)), _I64)


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


def _multiply_tile(
    typingctx: Any, rows: Any, vectors: Any, nbytes: Any, x: Any, x_column: Any, w: Any, block: Any, w_column: Any,
    y: Any, y_column: Any, input_rows: Any, output_rows: Any, rule: Any,
) -> Any:  # fmt: skip
    """``y[o, y_column + j] += sum_k x[i, x_column + k] * w[block, k, w_column + j]`` for ``rows`` rules from ``rule``
    on, ``(i, o) = input_rows[rule], output_rows[rule]``, and for ``vectors`` vectors of ``nbytes`` bytes of j."""
    constants = (rows.literal_value, vectors.literal_value, nbytes.literal_value)
    kinds = (x, x_column, w, block, w_column, y, y_column, input_rows, output_rows, rule)
    signature = types.void(rows, vectors, nbytes, *(types.intp if isinstance(k, types.Integer) else k for k in kinds))

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        rows, vectors, nbytes = constants
        matrix = {i: _Matrix(context, builder, signature.args[i], args[i]) for i in (3, 5, 8, 10, 11)}
        x, w, y, inputs, outputs = matrix.values()
        x_column, block, w_column, y_column, rule = (args[i] for i in (4, 6, 7, 9, 12))
        v = _Vectors(builder, x.element, signature.args[3].dtype.bitwidth // 8, nbytes)
        rules = [builder.add(rule, _I64(r)) for r in range(rows)]
        sources = [x.at(inputs.row_number(r), x_column) for r in rules]
        targets = [y.at(outputs.row_number(r), y_column) for r in rules]

        def step(k: Any, totals: list[Any]) -> list[Any]:
            weights = [v.load(w.at(block, k, w_column), j) for j in range(vectors)]
            sums = []
            for r, source in enumerate(sources):
                feature = v.broadcast(builder.load(builder.gep(source, [k])))
                sums += [v.multiply_add(feature, weights[j], totals[r * vectors + j]) for j in range(vectors)]
            return sums

        totals = [v.load(target, j) for target in targets for j in range(vectors)]
        totals = _accumulate(builder, totals, _I64(0), w.shape[1], step)
        for position, total in enumerate(totals):
            v.store(total, targets[position // vectors], position % vectors)
        return context.get_dummy_value()

    return signature, generate


multiply_tile: Any = intrinsic(prefer_literal=True)(_multiply_tile)


def _outer_tile(
    typingctx: Any, rows: Any, vectors: Any, nbytes: Any, x: Any, x_column: Any, g: Any, g_column: Any, w: Any,
    block: Any, w_row: Any, w_column: Any, inputs: Any, outputs: Any, start: Any, stop: Any,
) -> Any:  # fmt: skip
    """``w[block, w_row + r, w_column + j] += sum x[i, x_column + r] * g[o, g_column + j]`` over the rules
    ``start:stop`` (at least one), for ``rows`` values of r and ``vectors`` vectors of ``nbytes`` bytes of j."""
    constants = (rows.literal_value, vectors.literal_value, nbytes.literal_value)
    kinds = (x, x_column, g, g_column, w, block, w_row, w_column, inputs, outputs, start, stop)
    signature = types.void(rows, vectors, nbytes, *(types.intp if isinstance(k, types.Integer) else k for k in kinds))

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        rows, vectors, nbytes = constants
        matrix = {i: _Matrix(context, builder, signature.args[i], args[i]) for i in (3, 5, 7, 11, 12)}
        x, g, w, inputs, outputs = matrix.values()
        x_column, g_column, block, w_row, w_column, start, stop = (args[i] for i in (4, 6, 8, 9, 10, 13, 14))
        v = _Vectors(builder, x.element, signature.args[3].dtype.bitwidth // 8, nbytes)

        def step(rule: Any, totals: list[Any]) -> list[Any]:
            source = x.at(inputs.row_number(rule), x_column)
            gradient = g.at(outputs.row_number(rule), g_column)
            gradients = [v.load(gradient, j) for j in range(vectors)]
            sums = []
            for r in range(rows):
                feature = v.broadcast(builder.load(builder.gep(source, [_I64(r)])))
                sums += [v.multiply_add(feature, gradients[j], totals[r * vectors + j]) for j in range(vectors)]
            return sums

        totals = _accumulate(builder, [v.zero()] * (rows * vectors), start, stop, step)
        for position, total in enumerate(totals):
            target = w.at(block, builder.add(w_row, _I64(position // vectors)), w_column)
            column = position % vectors
            v.store(builder.fadd(v.load(target, column), total), target, column)
        return context.get_dummy_value()

    return signature, generate


outer_tile: Any = intrinsic(prefer_literal=True)(_outer_tile)
