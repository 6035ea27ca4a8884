"""How an operator is declared: once, with all that PyTorch has to know of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import torch

Function = TypeVar("Function", bound=Callable[..., Any])
LIBRARY = torch.library.Library("sscn", "DEF")


class Engines(NamedTuple):
    """What an operator runs on the tensors of each device."""

    cpu: Callable[..., Any]
    gpu: Callable[..., Any]


ENGINES: dict[str, Engines] = {}
"""The engines of every operator, by its name."""


def operator(
    *,
    cpu: Callable[..., Any] | None = None,
    fake: Callable[..., Any] | None = None,
    setup_context: Callable[..., Any] | None = None,
    backward: Callable[..., Any] | None = None,
    mutates: tuple[str, ...] = (),
) -> Callable[[Function], Function]:
    """Declare ``torch.ops.sscn.<name of the function>``, which takes the function's place.

    The decorated function is what runs on GPU tensors (PyTorch built for ROCm uses CUDA's key too). Its annotations
    make the schema: an ``int`` may be symbolic in a compiled graph, and no result may share memory with an argument.

    Args:
        cpu: the same on CPU tensors; None where the function does for them too.
        fake: results without values, for the meta device and for tracing. None where shapes depend on values: such an
            operator runs before a graph is compiled, never inside.
        setup_context, backward: as `torch.library.register_autograd` takes them. None where nothing has a derivative.
        mutates: names of the arguments that are written to.
    """

    def declare(gpu: Function) -> Function:
        name = gpu.__name__
        schema = torch.library.infer_schema(gpu, mutates_args=mutates)
        LIBRARY.define(name + schema, tags=(torch.Tag.pt2_compliant_tag,))
        engines = Engines(gpu if cpu is None else cpu, gpu)
        LIBRARY.impl(name, engines.cpu, "CPU")
        LIBRARY.impl(name, engines.gpu, "CUDA")
        overload = getattr(torch.ops.sscn, name).default
        if fake is not None:
            torch.library.register_fake(overload, fake, lib=LIBRARY)
        if backward is not None:
            torch.library.register_autograd(overload, backward, setup_context=setup_context, lib=LIBRARY)
        if mutates:
            LIBRARY.impl(name, _counting_versions(overload, mutates), "ADInplaceOrView", with_keyset=True)
        ENGINES[name] = engines
        overload.__doc__ = gpu.__doc__
        return cast(Function, overload)

    return declare


def _counting_versions(overload: Any, mutates: tuple[str, ...]) -> Callable[..., Any]:
    """The operator with its writes noted, so that a backward pass refuses what was overwritten since."""
    places = [place for place, argument in enumerate(overload._schema.arguments) if argument.name in mutates]

    def noted(keys: Any, *arguments: Any) -> Any:
        for place in places:
            if arguments[place] is not None:
                torch.autograd.graph.increment_version(arguments[place])
        return overload.redispatch(keys & torch._C._after_ADInplaceOrView_keyset, *arguments)

    return noted
