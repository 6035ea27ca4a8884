"""The declaration of an operator: one decorator gives PyTorch everything it must know about it."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar, cast

import torch
from torch._functorch.utils import enable_single_level_autograd_function
from torch.autograd import forward_ad

from sscn_triton.ops.plain import plain
from sscn_triton.ops.pytorch import any_requires_grad, infer_schema

Function = TypeVar("Function", bound=Callable[..., Any])
LIBRARY = torch.library.Library("sscn", "DEF")
_NOTHING = contextlib.nullcontext()


class Engines(NamedTuple):
    """The functions that an operator runs on the tensors of each device."""

    cpu: Callable[..., Any]
    gpu: Callable[..., Any]


ENGINES: dict[str, Engines] = {}
"""The engines of every operator, by its name."""
ON_CPU: dict[str, Callable[..., Any]] = {}
"""The engine that every operator runs on CPU tensors: `Engines.cpu`, or what `sscn_triton.ops.triton.interpreted` puts
in its place."""
_NUMBERS = {
    "int": (int,),
    "float": (float, int),
    "bool": (bool,),
    "Optional[float]": (float, int, type(None)),
    "Optional[ScalarType]": (torch.dtype, type(None)),
}
"""The types that the engines take without PyTorch's conversions, by the type in an operator's schema."""
_BEYOND = torch._C._after_ADInplaceOrView_keyset.raw_repr()
_PLAIN = torch._C.DispatchKeySet(torch._C.DispatchKey.CPU).raw_repr()
"""The dispatch keys of plain CPU tensors among those that come after autograd and version counters (`_BEYOND`)."""


def operator(
    *,
    check: Callable[..., Any],
    cpu: Callable[..., Any] | None = None,
    fake: Callable[..., Any] | None = None,
    setup_context: Callable[..., Any] | None = None,
    backward: Callable[..., Any] | None = None,
    mutates: tuple[str, ...] = (),
) -> Callable[[Function], Function]:
    """Declare ``torch.ops.sscn.<name of the function>``, which takes the function's place.

    The decorated function runs on GPU tensors (PyTorch built for ROCm uses CUDA's key too). Its annotations define
    the schema: an ``int`` may be symbolic in a compiled graph, and no result may share memory with an argument.

    Args:
        check: called before the engines with a flag, whether the GPU's code runs, and with the arguments; raises unless
            the arguments fit each other (`sscn_triton.ops.checks`).
        cpu: the implementation for CPU tensors; None if the decorated function also handles them.
        fake: returns results without values, for the meta device and for tracing. None if shapes depend on values: such
            an operator runs before a graph is compiled, never inside it.
        setup_context, backward: as for `torch.library.register_autograd`. None if nothing has a derivative; a backward
            pass through the operator then raises. Lists of tensors have no derivative.
        mutates: names of the arguments that the operator writes to.
    """

    def declare(gpu: Function) -> Function:
        name = gpu.__name__
        schema = infer_schema(gpu, mutates)
        LIBRARY.define(name + schema, tags=(torch.Tag.pt2_compliant_tag,))
        guarded = _after(check, True, gpu)
        engines = Engines(guarded if cpu is None else _after(check, False, cpu), guarded)
        ON_CPU[name] = engines.cpu
        LIBRARY.impl(name, lambda *arguments: ON_CPU[name](*arguments), "CPU")
        LIBRARY.impl(name, engines.gpu, "CUDA")
        overload = getattr(torch.ops.sscn, name).default
        if fake is not None:
            torch.library.register_fake(overload, fake, lib=LIBRARY)
        record = _record(overload, setup_context, backward or _no_backward(name), mutates)
        LIBRARY.impl(name, _recording(overload, record, mutates), "Autograd", with_keyset=True)
        _DIRECT[overload] = _direct(overload, record, mutates)
        if fake is not None:
            torch.library.register_vmap(overload, _by_slices(overload, mutates), lib=LIBRARY)
        if mutates:
            LIBRARY.impl(name, _counting_versions(overload, mutates), "ADInplaceOrView", with_keyset=True)
        ENGINES[name] = engines
        overload.__doc__ = gpu.__doc__
        return cast(Function, overload)

    return declare


def _after(check: Callable[..., Any], on_gpu: bool, engine: Callable[..., Any]) -> Callable[..., Any]:
    def checked(*arguments: Any) -> Any:
        check(on_gpu, *arguments)
        return engine(*arguments)

    return checked


def direct(overload: Function) -> Function:
    """The operator as a Python function that calls the engine itself where PyTorch's dispatcher would do nothing else:
    for plain CPU tensors, outside of modes, transforms, compilers and profilers. Everything else is dispatched.
    """
    return cast(Function, _DIRECT[overload])


_DIRECT: dict[Any, Callable[..., Any]] = {}


def _record(overload: Any, setup_context: Any, backward: Any, mutates: tuple[str, ...]) -> Callable[..., Any]:
    """The operator with its derivative, as `torch.library.register_autograd` makes it, but in a third of the time per
    call and with support for the transforms of `torch.func`. Forward mode raises; that function returns zeros for it.

    The function takes all arguments of the operator and the dispatch keys; None calls the engine of CPU tensors.
    """
    name = overload._schema.name.split("::")[1]
    run = _below_autograd(name, overload, mutates)
    written = _places(overload, mutates)

    def forward(ctx: Any, *given: Any) -> Any:
        *arguments, keys = given
        if keys is None:
            _count_versions(written, arguments)
            output = ON_CPU[name](*arguments)
        else:
            with _recorded_around():
                output = run(keys, arguments)
        if setup_context is not None:
            setup_context(ctx, arguments, output)
        return output

    def back(ctx: Any, *gradients: Any) -> tuple[Any, ...]:
        return *backward(ctx, *gradients), None

    _hide_from_compiler(back)
    # PyTorch's own operators behave like this: each transform of torch.func records them itself, at its own level.
    members = {"forward": staticmethod(forward), "backward": staticmethod(back)}
    kind: Any = type(f"sscn_{name}", (torch.autograd.function._SingleLevelFunction,), members)
    return cast(Callable[..., Any], kind.apply)


def _recording(overload: Any, record: Callable[..., Any], mutates: tuple[str, ...]) -> Callable[..., Any]:
    """The operator at the dispatch key Autograd."""
    name = overload._schema.name.split("::")[1]
    defaults = _defaults(overload)
    run = _below_autograd(name, overload, mutates)

    def recording(keys: Any, *arguments: Any) -> Any:
        if forward_ad._current_level >= 0:
            _refuse_tangents(name, arguments)
        if torch._C.is_grad_enabled() and any_requires_grad(*arguments):
            arguments = (*arguments, *defaults[len(arguments) :])
            if torch._C._functorch.peek_interpreter_stack() is None:
                return record(*arguments, keys)
            with enable_single_level_autograd_function():
                return record(*arguments, keys)
        return run(keys, arguments)

    _hide_from_compiler(recording)
    return recording


def _direct(overload: Any, record: Callable[..., Any], mutates: tuple[str, ...]) -> Callable[..., Any]:
    """The operator as `direct` returns it."""
    name = overload._schema.name.split("::")[1]
    defaults, written = _defaults(overload), _places(overload, mutates)
    tensors = [place for place, one in enumerate(overload._schema.arguments) if "Tensor" in str(one.type)]
    find, count = itemgetter(*tensors, tensors[0]), len(defaults)  # the first twice, so that a single one is a tuple
    numbers = {place: _NUMBERS.get(str(one.real_type)) for place, one in enumerate(overload._schema.arguments)}
    allowed = {place: kinds for place, kinds in numbers.items() if kinds is not None}
    read = itemgetter(*allowed, tensors[0]) if allowed else find
    known: set[tuple[type, ...]] = set()  # kinds of numbers and of the first tensor that the engine has seen

    def call(*arguments: Any) -> Any:
        if torch.compiler.is_compiling():
            return overload(*arguments)
        if len(arguments) < count:
            arguments = (*arguments, *defaults[len(arguments) :])
        kinds = tuple(map(type, read(arguments)))
        if kinds not in known:
            if not all(kind in fit for kind, fit in zip(kinds, allowed.values(), strict=False)):
                return overload(*arguments)  # its error names the argument, even if there is nothing to compute
            known.add(kinds)
        if not plain(find(arguments)):
            return overload(*arguments)
        try:
            if torch._C.is_grad_enabled() and any_requires_grad(*arguments):
                return record(*arguments, None)
            _count_versions(written, arguments)
            return ON_CPU[name](*arguments)
        except struct.error:  # an integer of more than 64 bits
            return overload(*arguments)

    return call


def _defaults(overload: Any) -> list[Any]:
    return [a.default_value if a.has_default_value() else None for a in overload._schema.arguments]


def _below_autograd(name: str, overload: Any, mutates: tuple[str, ...]) -> Callable[[Any, Any], Any]:
    """The operator without its derivative. On plain CPU tensors, where the dispatcher would do nothing but call the
    engine, the engine is called directly, because PyTorch converts all arguments for each of its calls.
    """
    below = torch._C._after_autograd_keyset
    written = _places(overload, mutates)

    def run(keys: Any, arguments: Any) -> Any:
        with torch._C._AutoDispatchBelowAutograd():
            if keys.raw_repr() & _BEYOND != _PLAIN:
                return overload.redispatch(keys & below, *arguments)
            _count_versions(written, arguments)
            return ON_CPU[name](*arguments)

    return run


def _no_backward(name: str) -> Callable[..., Any]:
    def backward(ctx: Any, *gradients: Any) -> Any:
        raise NotImplementedError(f"sscn::{name} has no derivative: detach its arguments")

    return backward


def _recorded_around() -> contextlib.AbstractContextManager[Any]:
    """Let the outer transforms, and the plain backward pass outside all of them, record the operator too.

    For use inside the forward of an autograd function, which PyTorch runs with gradients off. The outer transforms
    know themselves whether they record.
    """
    if torch._C._functorch.peek_interpreter_stack() is None:
        return _NOTHING
    around = contextlib.ExitStack()
    around.enter_context(torch.enable_grad())
    around.enter_context(forward_ad._set_fwd_grad_enabled(True))
    return around


def _hide_from_compiler(function: Callable[..., Any]) -> None:
    """Keep `torch.compile` from tracing a function, and the functions it calls, after a graph break.

    `torch.compiler.disable` does the same, but imports the whole compiler.
    """
    frames: Any = torch._C._dynamo.eval_frame
    if hasattr(frames, "set_code_exec_strategy"):
        skip = frames._FrameAction.SKIP
        frames.set_code_exec_strategy(function.__code__, frames._FrameExecStrategy(skip, skip))


def _refuse_tangents(name: str, arguments: tuple[Any, ...]) -> None:
    for argument in arguments:
        if isinstance(argument, torch.Tensor) and forward_ad.unpack_dual(argument).tangent is not None:
            raise NotImplementedError(
                f"sscn::{name} has no forward-mode derivative (torch.func.jvp, jacfwd, torch.autograd.forward_ad): use "
                "reverse mode, torch.func.vjp, jacrev or backward()"
            )


def _by_slices(overload: Any, mutates: tuple[str, ...]) -> Callable[..., Any]:
    """The operator under `torch.vmap`: one call per slice, the results stacked."""
    names = [argument.name for argument in overload._schema.arguments]

    def mapped(info: Any, in_dims: tuple[Any, ...], *arguments: Any) -> Any:
        for name, dim, argument in zip(names, in_dims, arguments, strict=False):
            if name in mutates and argument is not None and dim is None:
                raise RuntimeError(
                    f"{overload._schema.name} writes to {name}, which torch.vmap does not map over: map over it too "
                    "(torch.func.stack_module_state), or do without (eval, or track_running_stats=False)"
                )
        calls = [
            overload(*(_slice(argument, dim, place) for argument, dim in zip(arguments, in_dims, strict=True)))
            for place in range(info.batch_size)
        ]
        if isinstance(calls[0], torch.Tensor):
            return torch.stack(calls), 0
        return tuple(map(torch.stack, zip(*calls, strict=True))), (0,) * len(calls[0])

    return mapped


def _slice(argument: Any, dim: Any, place: int) -> Any:
    if isinstance(argument, (list, tuple)):
        return [_slice(one, of_one, place) for one, of_one in zip(argument, dim, strict=True)] if dim else argument
    return argument if dim is None else argument.select(dim, place)


def _counting_versions(overload: Any, mutates: tuple[str, ...]) -> Callable[..., Any]:
    """The operator with version counters for its writes, so that a backward pass refuses overwritten tensors."""
    written = _places(overload, mutates)

    def noted(keys: Any, *arguments: Any) -> Any:
        _count_versions(written, arguments)
        return overload.redispatch(keys & torch._C._after_ADInplaceOrView_keyset, *arguments)

    return noted


def _places(overload: Any, names: tuple[str, ...]) -> list[int]:
    return [place for place, argument in enumerate(overload._schema.arguments) if argument.name in names]


def _count_versions(written: list[int], arguments: Any) -> None:
    for place in written:
        if arguments[place] is not None:
            torch.autograd.graph.increment_version(arguments[place])
