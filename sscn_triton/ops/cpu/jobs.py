"""Work shared by threads: Numba compiles a kernel once, to an address, and any number of threads call it.

A kernel is a Numba ``cfunc`` of type `JOB`, called with the address of its arguments, the number of its part and the
number of parts. A named tuple declares the arguments of a kernel: `run` writes them in the order of its fields, and the
kernel reads them by name from a record of its `layout`. All kernels share one compiled thread loop. This keeps the
first call short, because Numba compiles a parallel function several times.
"""

from __future__ import annotations

import os
import struct
import threading
from array import array
from collections.abc import Callable
from functools import cache
from typing import Any, get_type_hints

import numba
import numpy as np
import torch
from llvmlite import ir
from numba import prange, types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array
from torch import Tensor

from sscn_triton.common.numba_cache import cfunc, njit

MIN_OPERATIONS = 1_000_000  # about ten microseconds on one core; less work does not justify a second thread
JOB = types.void(types.voidptr, types.intp, types.intp)
NO_MEMORY = -1  # `failed` of a kernel for which there is no memory
REAL: dict[Any, Any] = {torch.float32: types.float32, torch.float64: types.float64}

# With _nrt, Numba would count the references to every array, and LLVM would have to remove the counting again.
_options: dict[str, Any] = {"error_model": "numpy", "_nrt": False}
inner: Any = njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **_options)
compiled: Any = njit(nogil=True, cache=True, error_model="numpy", no_cfunc_wrapper=True)
job: Any = cfunc(JOB, cache=True, **_options)

STEP = (
    3  # words before the arguments of each step: the address of the kernel, the number of parts, the words that follow
)
_MAX_THREADS: int = vars(numba.config)["NUMBA_NUM_THREADS"]
_launch = threading.Lock()  # because Numba's portable thread pool accepts one caller at a time
_forked = False


def _after_fork() -> None:
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _array_at(typingctx: Any, address: Any, shape: Any, dtype: Any) -> Any:
    """The contiguous array of this shape and type at an address, as `numba.carray` makes it from a pointer. Numba
    compiles that function again for each shape and type, and this one as a part of its caller.
    """
    kind = types.Array(dtype.dtype, len(shape), "C")

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array, item = (
            make_array(kind)(context, builder),
            context.get_data_type(kind.dtype),
        )
        size = context.get_constant(types.intp, context.get_abi_sizeof(item))
        extents = cgutils.unpack_tuple(builder, args[1])
        extents = [context.cast(builder, n, given, types.intp) for n, given in zip(extents, shape.types, strict=True)]
        steps = [size]
        for extent in extents[:0:-1]:
            steps.insert(0, builder.mul(steps[0], extent))
        at = builder.bitcast if address == types.voidptr else builder.inttoptr
        data = at(args[0], item.as_pointer())
        populate_array(array, data=data, shape=extents, strides=steps, itemsize=size, meminfo=None)
        return array._getvalue()

    return kind(address, shape, dtype), generate


array_at: Any = intrinsic(_array_at)


_WORD, _BYTES = ir.IntType(64), ir.IntType(8).as_pointer()


def _claim_bytes(typingctx: Any, size: Any) -> Any:
    """Memory of `size` bytes for a kernel's own arrays, at a multiple of 64, or a place that `is_missing`.

    The word before it keeps what C's ``malloc`` returned. LLVM knows that nothing else lies there, so it does not
    compare addresses before it runs a vectorised loop.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(_BYTES, [_WORD])
        malloc = cgutils.get_or_insert_function(builder.module, kind, "malloc")
        malloc.return_value.attributes.add("noalias")
        memory = builder.call(malloc, [builder.add(args[0], _WORD(72))])
        number = builder.ptrtoint(memory, _WORD)
        start = builder.gep(memory, [builder.sub(_WORD(71), builder.and_(builder.add(number, _WORD(71)), _WORD(63)))])
        with builder.if_then(builder.icmp_unsigned("!=", number, _WORD(0)), likely=True):
            builder.store(memory, _before(builder, start))
        return start

    return types.voidptr(types.intp), generate


def _before(builder: Any, start: Any) -> Any:
    return builder.bitcast(builder.gep(start, [_WORD(-8)]), _BYTES.as_pointer())


def _is_missing(typingctx: Any, start: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.icmp_unsigned("<", builder.ptrtoint(args[0], _WORD), _WORD(128))

    return types.boolean(types.voidptr), generate


def _release_bytes(typingctx: Any, start: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        free = cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.VoidType(), [_BYTES]), "free")
        builder.call(free, [builder.load(_before(builder, args[0]))])
        return context.get_dummy_value()

    return types.void(types.voidptr), generate


def _beyond(typingctx: Any, start: Any, offset: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.gep(args[0], [args[1]])

    return types.voidptr(types.voidptr, types.intp), generate


claim: Any = intrinsic(_claim_bytes)
is_missing: Any = intrinsic(_is_missing)
beyond: Any = intrinsic(_beyond)
release: Any = intrinsic(_release_bytes)
"""The memory of a kernel's own arrays: `claim` it, stop if it `is_missing`, make an array `beyond` another, `release`
it. NumPy's own functions that make arrays need the counting of references, which kernels do without."""


def _call_address(typingctx: Any, kernel: Any, arguments: Any, part: Any, parts: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        word = ir.IntType(64)
        kind = ir.FunctionType(ir.VoidType(), [word.as_pointer(), word, word])
        kernel, arguments, part, parts = args
        function = builder.inttoptr(kernel, kind.as_pointer())
        builder.call(function, [builder.inttoptr(arguments, word.as_pointer()), part, parts])
        return context.get_dummy_value()

    return types.void(*[types.intp] * 4), generate


_call: Any = intrinsic(_call_address)


@njit(nogil=True, cache=True)
def _run_alone(steps: int, count: int) -> int:
    failed = 0
    for _ in range(count):
        step = array_at(steps, (STEP,), np.int64)
        arguments = steps + 8 * STEP
        _call(step[0], arguments, 0, 1)
        steps = arguments + 8 * step[2]
        failed = array_at(steps - 8, (1,), np.int64)[0]
        if failed:
            break
    return failed


@njit(nogil=True, cache=True, parallel=True)
def _run_together(steps: int, count: int) -> int:
    failed = 0
    for _ in range(count):
        step = array_at(steps, (STEP,), np.int64)
        kernel, parts, arguments = step[0], step[1], steps + 8 * STEP
        if parts == 1:
            _call(kernel, arguments, 0, 1)
        else:
            for part in prange(parts):
                _call(kernel, arguments, part, parts)
        steps = arguments + 8 * step[2]
        failed = array_at(steps - 8, (1,), np.int64)[0]
        if failed:
            break
    return failed


@cache
def layout(arguments: Any) -> np.dtype:
    """A kernel's arguments as compiled code reads them: floats, addresses of tensors and arrays (0 for None)
    and integers, eight bytes each, and `failed`, which the kernel may set."""
    kinds = get_type_hints(arguments)
    fields = [(name, np.float64 if kinds[name] is float else np.int64) for name in arguments._fields]
    return np.dtype([*fields, ("failed", np.int64)])


@cache
def _packing(kinds: tuple[Any, ...]) -> tuple[struct.Struct, Callable[..., tuple[Any, ...]]]:
    """How the steps of `run` with arguments of these kinds are packed, and a function that turns them into numbers.

    The function takes the number of threads, the least work to share among them, and the steps. It is written out field
    by field, as `collections.namedtuple` writes a constructor: a loop over the fields, which must ask each for its
    kind, takes twice as long.
    """
    form, numbers = "", ""
    for place, kind in enumerate(kinds):
        fields, types = layout(kind), get_type_hints(kind)
        form += "q" * STEP + "".join(fields[name].char for name in fields.names or ())
        numbers += f"k{place}.address, 1 if o{place} < least else threads, {fields.itemsize // 8}, "
        numbers += "".join(_NUMBER[str(types[name])].format(f"a{place}.{name}") + ", " for name in kind._fields) + "0, "
    steps = ", ".join(f"(k{place}, o{place}, a{place})" for place in range(len(kinds)))
    local: dict[str, Any] = {}
    exec(f"def numbers(threads, least, steps):\n    {steps}, = steps\n    return {numbers}", local)
    return struct.Struct(form), local["numbers"]


_NUMBER = {
    str(int): "{0}",
    str(float): "{0}",
    str(bool): "{0}",
    str(Tensor): "{0}.data_ptr()",
    str(Tensor | None): "0 if {0} is None else {0}.data_ptr()",
    str(np.ndarray): "{0}.ctypes.data",
}
"""The number that represents an argument, by its annotation."""


Step = tuple[Any, float, Any]
"""A kernel, the number of operations of its work, and its arguments: the named tuple that its `layout` was made for,
with tensors and arrays that are contiguous."""


def run(*steps: Step) -> int:
    """Call kernels, one step after another, each once for each part of its work. The number of operations decides how
    many of PyTorch's threads run. One call for several steps costs the host less than one for each.

    Returns what a kernel set as `failed`, which ends the run, or 0. Raises MemoryError if that is `NO_MEMORY`.

    A process that was forked from one with threads does not inherit them and runs all parts itself.
    """
    packing, numbers = _packing(tuple([type(arguments) for _, _, arguments in steps]))
    threads = 1
    for _, operations, _ in steps:
        if operations >= MIN_OPERATIONS:
            threads = 1 if _forked else min(torch.get_num_threads(), _MAX_THREADS)
            break
    words = array("q", bytes(packing.size))  # made in half the time of a NumPy array
    packing.pack_into(words, 0, *numbers(threads, MIN_OPERATIONS, steps))
    where = words.buffer_info()[0]
    if threads == 1:
        failed = int(_run_alone(where, len(steps)))
    else:
        with _launch:
            mask = numba.get_num_threads()
            numba.set_num_threads(threads)
            try:
                failed = int(_run_together(where, len(steps)))
            finally:
                numba.set_num_threads(mask)
    if failed == NO_MEMORY:
        raise MemoryError("there is no memory for the arrays of a kernel of the CPU engine")
    return failed
