"""Every way to watch a module's calls or to replace its forward.

Each is a context: given a module and a list, it yields the module to use instead, usually the same one. Every call
that must not be skipped leaves an entry in the list: what it was, how many positional arguments came, and which
keywords. Forwards that are replaced also give another result, so that a skipped one is seen in the output.
"""

from __future__ import annotations

import contextlib
import functools
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.nn.utils import parametrize, prune

from sscn_triton import SparseTensor

Seen = list[tuple[str, int, tuple[str, ...]]]
Watch = Callable[[torch.nn.Module, Seen], contextlib.AbstractContextManager[torch.nn.Module]]


def changed(y: Any) -> Any:
    """Different numbers, whatever container they are in."""
    return y.map(lambda features: features * 2 + 1) if isinstance(y, SparseTensor) else y * 2 + 1


def recorded(name: str, seen: Seen, function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that leaves an entry and changes the result."""

    def forward(*args: Any, **kwargs: Any) -> Any:
        seen.append((name, len(args), tuple(kwargs)))
        return changed(function(*args, **kwargs))

    return forward


@contextlib.contextmanager
def forward_on_the_module(module: torch.nn.Module, seen: Seen) -> Iterator[torch.nn.Module]:
    module.forward = recorded("forward", seen, module.forward)
    yield module


@contextlib.contextmanager
def forward_wrapped_by_accelerate(module: torch.nn.Module, seen: Seen) -> Iterator[torch.nn.Module]:
    """As accelerate's ``add_hook_to_module`` does it: a partial that looks like the forward that it replaces."""
    old = module.forward

    def new_forward(module: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
        seen.append(("accelerate", len(args), tuple(kwargs)))
        return changed(old(*args, **kwargs))

    module.forward = functools.update_wrapper(functools.partial(new_forward, module), old)
    yield module


@contextlib.contextmanager
def method_on_the_module(module: torch.nn.Module, seen: Seen) -> Iterator[torch.nn.Module]:
    """A bound method of a function that has the name and the module of the class's own."""
    kind = type(module)

    @functools.wraps(kind.forward)
    def forward(self: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
        seen.append(("method", len(args), tuple(kwargs)))
        return changed(kind.forward(self, *args, **kwargs))

    module.forward = types.MethodType(forward, module)
    yield module


@contextlib.contextmanager
def forward_of_a_subclass(module: torch.nn.Module, seen: Seen) -> Iterator[torch.nn.Module]:
    kind = type(module)

    def forward(self: torch.nn.Module, *args: Any) -> Any:
        seen.append(("subclass", len(args), ()))
        return changed(kind.forward(self, *args))

    module.__class__ = type("Own", (kind,), {"forward": forward})
    yield module


@contextlib.contextmanager
def call_of_a_subclass(module: torch.nn.Module, seen: Seen) -> Iterator[torch.nn.Module]:
    kind = type(module)

    def __call__(self: torch.nn.Module, *args: Any) -> Any:
        seen.append(("call", len(args), ()))
        return changed(kind.__call__(self, *args))

    module.__class__ = type("Own", (kind,), {"__call__": __call__})
    yield module


@contextlib.contextmanager
def call_impl_of_a_subclass(module: torch.nn.Module, seen: Seen) -> Iterator[torch.nn.Module]:
    kind = type(module)

    def _call_impl(self: torch.nn.Module, *args: Any) -> Any:
        seen.append(("_call_impl", len(args), ()))
        return changed(kind._call_impl(self, *args))

    module.__class__ = type("Own", (kind,), {"_call_impl": _call_impl})
    yield module


@contextlib.contextmanager
def call_on_the_module(module: torch.nn.Module, seen: Seen) -> Iterator[torch.nn.Module]:
    module._call_impl = recorded("_call_impl", seen, module._call_impl)
    yield module


@contextlib.contextmanager
def forward_patched_on_the_class(module: torch.nn.Module, seen: Seen) -> Iterator[torch.nn.Module]:
    kind = type(module)
    old = kind.forward

    def forward(self: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
        if self is not module:
            return old(self, *args, **kwargs)
        seen.append(("class", len(args), tuple(kwargs)))
        return changed(old(self, *args, **kwargs))

    with mock.patch.object(kind, "forward", forward):
        yield module


@contextlib.contextmanager
def forward_pre_hook(module: torch.nn.Module, seen: Seen) -> Iterator[torch.nn.Module]:
    def hook(_: torch.nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        seen.append(("pre", len(args), ()))
        return changed(args[0]), *args[1:]

    module.register_forward_pre_hook(hook)
    yield module


@contextlib.contextmanager
def forward_pre_hook_with_keywords(module: torch.nn.Module, seen: Seen) -> Iterator[torch.nn.Module]:
    def hook(_: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        seen.append(("pre", len(args), tuple(kwargs)))
        return (changed(args[0]), *args[1:]), kwargs

    module.register_forward_pre_hook(hook, with_kwargs=True)
    yield module


@contextlib.contextmanager
def forward_hook(module: torch.nn.Module, seen: Seen) -> Iterator[torch.nn.Module]:
    def hook(_: torch.nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        seen.append(("hook", len(args), ()))
        return changed(output)

    module.register_forward_hook(hook)
    yield module


@contextlib.contextmanager
def forward_hook_always_called(module: torch.nn.Module, seen: Seen) -> Iterator[torch.nn.Module]:
    def hook(_: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        seen.append(("hook", len(args), tuple(kwargs)))
        return changed(output)

    module.register_forward_hook(hook, with_kwargs=True, always_call=True)
    yield module


@contextlib.contextmanager
def told_of_hooks(seen: Seen) -> Iterator[None]:
    """PyTorch runs backward hooks only for tensors and warns about anything else; this warning must not be skipped
    either."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        yield
    seen.extend(("told", 0, ()) for warning in told if "hook" in str(warning.message))


@contextlib.contextmanager
def backward_hook(module: torch.nn.Module, seen: Seen) -> Iterator[torch.nn.Module]:
    module.register_full_backward_hook(lambda *_: seen.append(("backward", 0, ())))
    with told_of_hooks(seen):
        yield module


@contextlib.contextmanager
def backward_pre_hook(module: torch.nn.Module, seen: Seen) -> Iterator[torch.nn.Module]:
    module.register_full_backward_pre_hook(lambda *_: seen.append(("backward pre", 0, ())))
    with told_of_hooks(seen):
        yield module


@contextlib.contextmanager
def global_hooks(module: torch.nn.Module, seen: Seen) -> Iterator[torch.nn.Module]:
    """These hooks see the calls of every module; only those of ``module`` are changed."""
    name = type(module).__name__

    def before(called: torch.nn.Module, args: tuple[Any, ...]) -> None:
        seen.append((f"before {type(called).__name__}", len(args), ()))

    def after(called: torch.nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        seen.append((f"after {type(called).__name__}", len(args), ()))
        return changed(output) if type(called).__name__ == name else None

    handles = [
        torch.nn.modules.module.register_module_forward_pre_hook(before),
        torch.nn.modules.module.register_module_forward_hook(after),
    ]
    try:
        yield module
    finally:
        for handle in handles:
            handle.remove()


@contextlib.contextmanager
def features_written_in_place(module: torch.nn.Module, seen: Seen) -> Iterator[torch.nn.Module]:
    """By writing where no version counter notices. Gradients are not compared: others may have kept these rows."""

    def hook(_: torch.nn.Module, args: tuple[Any, ...]) -> None:
        seen.append(("in place", len(args), ()))
        args[0].features.data.mul_(3).add_(1)

    module.register_forward_pre_hook(hook)
    yield module


@contextlib.contextmanager
def features_replaced(module: torch.nn.Module, seen: Seen) -> Iterator[torch.nn.Module]:
    """By assigning new features to the same sparse tensor."""

    def hook(_: torch.nn.Module, args: tuple[Any, ...]) -> None:
        seen.append(("replaced", len(args), ()))
        args[0].features = args[0].features * 3 + 1

    module.register_forward_pre_hook(hook)
    yield module


class Twice(torch.nn.Module):
    """A parametrization."""

    def __init__(self, seen: Seen) -> None:
        super().__init__()
        self.seen = seen

    def forward(self, weight: Tensor) -> Tensor:
        self.seen.append(("parametrization", 1, ()))
        return 2 * weight


@contextlib.contextmanager
def parametrization(module: torch.nn.Module, seen: Seen) -> Iterator[torch.nn.Module]:
    for name in [name for name, _ in module.named_parameters(recurse=False)]:
        parametrize.register_parametrization(module, name, Twice(seen), unsafe=True)
    del seen[:]  # registering also calls it
    yield module
    seen[:] = seen[:1]  # a layer may read its parameters any number of times


@contextlib.contextmanager
def pruning(module: torch.nn.Module, seen: Seen) -> Iterator[torch.nn.Module]:
    """PyTorch's own use of hooks: the parameter becomes an attribute that a hook sets."""
    for name in [name for name, _ in module.named_parameters(recurse=False)]:
        prune.random_unstructured(module, name, 0.5)
    module.register_forward_pre_hook(lambda _, args: seen.append(("pre", len(args), ())))
    yield module


@contextlib.contextmanager
def compiled_wrapper(module: torch.nn.Module, seen: Seen) -> Iterator[torch.nn.Module]:
    """The result of `torch.compile`, told to run eagerly, because the test only asks what is called."""
    wrapper = torch.compile(module, backend="eager")
    wrapper.forward = recorded("compiled", seen, wrapper.forward)
    with torch.compiler.set_stance("force_eager"):
        yield wrapper


@contextlib.contextmanager
def compiled_in_place(module: torch.nn.Module, seen: Seen) -> Iterator[torch.nn.Module]:
    module.compile(backend="eager")
    module._compiled_call_impl = recorded("compiled", seen, module._compiled_call_impl)
    with torch.compiler.set_stance("force_eager"):
        yield module


WATCHES: dict[str, Watch] = {
    watch.__name__: watch
    for watch in (
        forward_on_the_module,
        forward_wrapped_by_accelerate,
        method_on_the_module,
        forward_of_a_subclass,
        call_of_a_subclass,
        call_impl_of_a_subclass,
        call_on_the_module,
        forward_patched_on_the_class,
        forward_pre_hook,
        forward_pre_hook_with_keywords,
        forward_hook,
        forward_hook_always_called,
        backward_hook,
        backward_pre_hook,
        global_hooks,
        features_replaced,
        parametrization,
        pruning,
        # PyTorch 2.5 cannot run a compiled module eagerly
        *((compiled_wrapper, compiled_in_place) if hasattr(torch.compiler, "set_stance") else ()),
    )
}
NEED_PARAMETERS = ("parametrization", "pruning")
