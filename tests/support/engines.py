"""The engines under test by name, each behind one small interface. A new engine joins by an entry in ENGINES.

build       the rulebook of a case: sites of the input and output rows, and the rules as sets, tap by tap
convolve    forward, [N_out, C_out]
gradients   of sum(grad_output * output) by features, weight and bias
pool        over the rules of a strided case: how is "max", "active", "volume" (the two means) or "unpool", their way
            back; pool_gradient is that of sum(grad_output * output) by features
global_pool over whole events: how is "max", "mean" or "sum"
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cached_property
from types import ModuleType
from typing import Any, Protocol

import numpy as np
import pytest
import torch
from torch import Tensor

import sscn_ref
import sscn_ref.jit
from sscn_triton import SparseTensor, functional
from sscn_triton.core.grid import Grid, Step
from sscn_triton.core.rulebook import Rulebook
from sscn_triton.ops.triton.interpreted import interpreted
from tests.support import oracle
from tests.support.cases import Case

Arrays = tuple[np.ndarray, ...]
ON_GPU = torch.cuda.is_available() and os.environ.get("TRITON_INTERPRET") != "1"


class Rules:
    """A rulebook as an engine built it, in the oracle's terms; `handle` is the engine's own."""

    def __init__(self, inputs: np.ndarray, outputs: np.ndarray, pairs: list[tuple[Any, Any]], handle: Any) -> None:
        self.inputs, self.outputs, self.pairs, self.handle = inputs, outputs, pairs, handle
        self.taps = len(pairs)

    @cached_property
    def input_sites(self) -> list[oracle.Site]:
        return oracle.as_sites(self.inputs)

    @cached_property
    def output_sites(self) -> list[oracle.Site]:
        return oracle.as_sites(self.outputs)

    @cached_property
    def rules(self) -> oracle.Rules:
        """Rows by tap as sets of pairs; a duplicate rule is an error, because a set would hide it."""
        sets = {}
        for tap, (rows_in, rows_out) in enumerate(self.pairs):
            pairs = list(zip(rows_in.tolist(), rows_out.tolist(), strict=True))
            assert len(set(pairs)) == len(pairs), f"tap {tap} has a rule twice"
            sets[tap] = set(pairs)
        return sets


class Engine(Protocol):
    name: str

    def build(self, case: Case) -> Rules: ...

    def convolve(
        self, rules: Rules, features: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None
    ) -> np.ndarray: ...

    def gradients(self, rules: Rules, grad_output: np.ndarray, features: np.ndarray, weight: np.ndarray) -> Arrays: ...

    def pool(self, rules: Rules, features: np.ndarray, how: str) -> np.ndarray: ...

    def pool_gradient(self, rules: Rules, grad_output: np.ndarray, features: np.ndarray, how: str) -> np.ndarray: ...

    def global_pool(self, features: np.ndarray, coordinates: np.ndarray, batch_size: int, how: str) -> np.ndarray: ...

    def global_pool_gradient(
        self, grad_output: np.ndarray, features: np.ndarray, coordinates: np.ndarray, how: str
    ) -> np.ndarray: ...

    def batch_norm(self, features: np.ndarray, weight: np.ndarray, bias: np.ndarray, eps: float) -> np.ndarray: ...

    def batch_norm_gradients(
        self, grad_output: np.ndarray, features: np.ndarray, weight: np.ndarray, eps: float
    ) -> Arrays: ...

    def reduce_duplicates(self, coordinates: np.ndarray, features: np.ndarray, how: str) -> Arrays: ...


class Reference:
    """sscn_ref, in NumPy or as its Numba twins: the same names in two modules."""

    def __init__(self, name: str, module: ModuleType) -> None:
        self.name, self.module = name, module

    def build(self, case: Case) -> Rules:
        if case.kind == "submanifold":
            book = self.module.submanifold_rulebook(case.coordinates, case.kernel_size, case.dilation)
        elif case.kind == "transposed":
            arguments = (*case.window, case.spatial_shape, case.output_padding or 0)
            book = self.module.transposed_rulebook(case.coordinates, *arguments)
        else:
            book = self.module.strided_rulebook(case.coordinates, *case.window, case.spatial_shape)
            book = book.transposed() if case.kind == "inverse" else book
        return Rules(book.input_coordinates, book.output_coordinates, book.rules, book)

    def convolve(
        self, rules: Rules, features: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None
    ) -> np.ndarray:
        return self.module.convolve(features, weight, rules.handle, bias)

    def gradients(self, rules: Rules, grad_output: np.ndarray, features: np.ndarray, weight: np.ndarray) -> Arrays:
        return self.module.convolve_backward(grad_output, features, weight, rules.handle)

    def pool(self, rules: Rules, features: np.ndarray, how: str) -> np.ndarray:
        if how == "unpool":
            return self.module.unpool(features, rules.handle)
        if how == "max":
            return self.module.max_pool(features, rules.handle)
        return self.module.average_pool(features, rules.handle, how)

    def pool_gradient(self, rules: Rules, grad_output: np.ndarray, features: np.ndarray, how: str) -> np.ndarray:
        if how == "unpool":
            return self.module.sum_pool(grad_output, rules.handle)
        if how == "max":
            return self.module.max_pool_backward(grad_output, features, rules.handle)
        return self.module.average_pool_backward(grad_output, rules.handle, how)

    def global_pool(self, features: np.ndarray, coordinates: np.ndarray, batch_size: int, how: str) -> np.ndarray:
        return self.module.global_pool(features, coordinates, batch_size, how)

    def global_pool_gradient(
        self, grad_output: np.ndarray, features: np.ndarray, coordinates: np.ndarray, how: str
    ) -> np.ndarray:
        return self.module.global_pool_backward(grad_output, features, coordinates, how)

    def batch_norm(self, features: np.ndarray, weight: np.ndarray, bias: np.ndarray, eps: float) -> np.ndarray:
        return self.module.batch_norm(features, weight, bias, eps)

    def batch_norm_gradients(
        self, grad_output: np.ndarray, features: np.ndarray, weight: np.ndarray, eps: float
    ) -> Arrays:
        return self.module.batch_norm_backward(grad_output, features, weight, eps)

    def reduce_duplicates(self, coordinates: np.ndarray, features: np.ndarray, how: str) -> Arrays:
        return self.module.reduce_duplicates(coordinates, features, how)


class Library:
    """sscn_triton on the tensors of a device, through its grids, functions and autograd."""

    def __init__(self, name: str, device: str) -> None:
        self.name, self.device = name, device

    def build(self, case: Case) -> Rules:
        book, ends, path = self.rulebook(case)
        sides = [end.coordinates.cpu().numpy() for end in ends]
        return Rules(*sides, book.pairs(), (case, ends[0], path))

    def rulebook(self, case: Case) -> tuple[Rulebook, tuple[Grid, Grid], tuple[Any, ...]]:
        """The rulebook, its source and target grids, and the path of a tensor on the first."""
        sites = torch.tensor(case.coordinates, device=self.device)
        grid = SparseTensor(self.tensor(np.zeros((len(sites), 1))), sites, case.spatial_shape).grid
        if case.kind == "submanifold":
            book, ends, path = grid.submanifold(case.kernel_size, case.dilation), (grid, grid), ()
        else:
            kind = "transposed" if case.kind == "transposed" else "strided"
            step = Step(kind, *case.window, case.output_padding or (0,) * case.ndim)
            book, reached = grid.step(step)
            ends, path = (grid, reached), ()
            if case.kind == "inverse":
                book, ends, path = book.transposed(), (reached, grid), ((grid, step),)
        return book, ends, path

    def forward(self, rules: Rules, features: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        case, grid, path = rules.handle
        x = SparseTensor.on(features, grid, path)
        window = {"kernel_size": case.kernel_size, "dilation": case.dilation}
        if case.kind == "submanifold":
            return functional.submanifold_conv(x, weight, bias, **window).features
        window |= {"stride": case.stride, "padding": case.padding}
        if case.kind == "transposed":
            extra = case.output_padding or 0
            return functional.transposed_conv(x, weight, bias, **window, output_padding=extra).features
        function = {"strided": functional.sparse_conv, "inverse": functional.inverse_conv}[case.kind]
        return function(x, weight, bias, **window).features

    def convolve(
        self, rules: Rules, features: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None
    ) -> np.ndarray:
        moved = None if bias is None else self.tensor(bias.astype(features.dtype))
        return self.forward(rules, self.tensor(features), self.tensor(weight), moved).cpu().numpy()

    def gradients(self, rules: Rules, grad_output: np.ndarray, features: np.ndarray, weight: np.ndarray) -> Arrays:
        bias = np.zeros(grad_output.shape[1], features.dtype)
        return self.differentiated(lambda *leaves: self.forward(rules, *leaves), grad_output, features, weight, bias)

    def pooled(self, rules: Rules, features: Tensor, how: str) -> Tensor:
        case, grid, _ = rules.handle
        if how == "unpool":
            step = functional.strided_step(case.ndim, *case.window)
            return functional.unpool(
                SparseTensor.on(features, grid.step(step)[1], ((grid, step),)), **case.pooling
            ).features
        x = SparseTensor.on(features, grid, ())
        if how == "max":
            return functional.max_pool(x, **case.pooling).features
        return functional.average_pool(x, **case.pooling, count=how).features

    def pool(self, rules: Rules, features: np.ndarray, how: str) -> np.ndarray:
        return self.pooled(rules, self.tensor(features), how).cpu().numpy()

    def pool_gradient(self, rules: Rules, grad_output: np.ndarray, features: np.ndarray, how: str) -> np.ndarray:
        (gradient,) = self.differentiated(lambda leaf: self.pooled(rules, leaf, how), grad_output, features)
        return gradient

    def pooled_events(self, features: Tensor, coordinates: np.ndarray, batch_size: int, how: str) -> Tensor:
        x = SparseTensor(features, torch.tensor(coordinates, device=self.device), batch_size=batch_size)
        return functional.global_pool(x, how)

    def global_pool(self, features: np.ndarray, coordinates: np.ndarray, batch_size: int, how: str) -> np.ndarray:
        return self.pooled_events(self.tensor(features), coordinates, batch_size, how).cpu().numpy()

    def global_pool_gradient(
        self, grad_output: np.ndarray, features: np.ndarray, coordinates: np.ndarray, how: str
    ) -> np.ndarray:
        def function(leaf: Tensor) -> Tensor:
            return self.pooled_events(leaf, coordinates, len(grad_output), how)

        (gradient,) = self.differentiated(function, grad_output, features)
        return gradient

    def batch_norm(self, features: np.ndarray, weight: np.ndarray, bias: np.ndarray, eps: float) -> np.ndarray:
        return self.normalized(eps)(*map(self.tensor, (features, weight, bias))).cpu().numpy()

    def batch_norm_gradients(
        self, grad_output: np.ndarray, features: np.ndarray, weight: np.ndarray, eps: float
    ) -> Arrays:
        return self.differentiated(self.normalized(eps), grad_output, features, weight, np.zeros_like(weight))

    def reduce_duplicates(self, coordinates: np.ndarray, features: np.ndarray, how: str) -> Arrays:
        sites = torch.tensor(coordinates, device=self.device)
        joined = SparseTensor.from_points(self.tensor(features), sites, duplicates=how)
        return joined.coordinates.cpu().numpy(), joined.features.cpu().numpy()

    def tensor(self, array: np.ndarray) -> Tensor:
        return torch.tensor(array, device=self.device)

    def normalized(self, eps: float) -> Callable[..., Tensor]:
        return lambda x, w, b: functional.batch_norm(x, None, None, w, b, training=True, momentum=0.1, eps=eps)

    def differentiated(self, function: Callable[..., Tensor], grad_output: np.ndarray, *leaves: np.ndarray) -> Arrays:
        tensors = [self.tensor(leaf).requires_grad_() for leaf in leaves]
        found = torch.autograd.grad(function(*tensors), tensors, self.tensor(grad_output))
        return tuple(gradient.cpu().numpy() for gradient in found)


class Interpreted(Library):
    """sscn_triton on CPU tensors with its Triton kernels, under Triton's interpreter."""

    def rulebook(self, case: Case) -> tuple[Rulebook, tuple[Grid, Grid], tuple[Any, ...]]:
        with interpreted():
            return super().rulebook(case)

    def forward(self, rules: Rules, features: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        with interpreted():
            return super().forward(rules, features, weight, bias)

    def differentiated(self, function: Callable[..., Tensor], grad_output: np.ndarray, *leaves: np.ndarray) -> Arrays:
        with interpreted():
            return super().differentiated(function, grad_output, *leaves)

    def batch_norm(self, features: np.ndarray, weight: np.ndarray, bias: np.ndarray, eps: float) -> np.ndarray:
        with interpreted():
            return super().batch_norm(features, weight, bias, eps)

    def reduce_duplicates(self, coordinates: np.ndarray, features: np.ndarray, how: str) -> Arrays:
        with interpreted():
            return super().reduce_duplicates(coordinates, features, how)


ENGINES: dict[str, Engine] = {
    "numpy": Reference("numpy", sscn_ref),
    "numba": Reference("numba", sscn_ref.jit),
    "cpu": Library("cpu", "cpu"),
    "triton": Library("triton", "cuda") if ON_GPU else Interpreted("triton", "cpu"),
}

every_engine = pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES.keys())
REFERENCES = {"numpy": sscn_ref, "numba": sscn_ref.jit}
every_reference = pytest.mark.parametrize("reference", REFERENCES.values(), ids=REFERENCES.keys())
