"""The engines under test by name, each behind one small interface. A new engine joins by an entry in ENGINES.

build       the rulebook of a case: sites of the input and output rows, and the rules as sets, tap by tap
convolve    forward, [N_out, C_out]
gradients   of sum(grad_output * output) by features, weight and bias
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any, Protocol

import numpy as np
import oracle
import pytest
from cases import Case

import sscn_ref
import sscn_ref.jit

Arrays = tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Rules:
    """A rulebook as an engine built it, in the oracle's terms; `handle` is the engine's own."""

    input_sites: list[oracle.Site]
    output_sites: list[oracle.Site]
    rules: oracle.Rules
    handle: Any


class Engine(Protocol):
    name: str

    def build(self, case: Case) -> Rules: ...

    def convolve(
        self, rules: Rules, features: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None
    ) -> np.ndarray: ...

    def gradients(self, rules: Rules, grad_output: np.ndarray, features: np.ndarray, weight: np.ndarray) -> Arrays: ...

    def batch_norm(self, features: np.ndarray, weight: np.ndarray, bias: np.ndarray, eps: float) -> np.ndarray: ...

    def batch_norm_gradients(
        self, grad_output: np.ndarray, features: np.ndarray, weight: np.ndarray, eps: float
    ) -> Arrays: ...

    def reduce_duplicates(self, coordinates: np.ndarray, features: np.ndarray, how: str) -> Arrays: ...


class Reference:
    """sscn_ref, in NumPy or its Numba twins: the same names in two modules."""

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
        sides = oracle.as_sites(book.input_coordinates), oracle.as_sites(book.output_coordinates)
        return Rules(*sides, as_sets(book.rules), book)

    def convolve(
        self, rules: Rules, features: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None
    ) -> np.ndarray:
        return self.module.convolve(features, weight, rules.handle, bias)

    def gradients(self, rules: Rules, grad_output: np.ndarray, features: np.ndarray, weight: np.ndarray) -> Arrays:
        return self.module.convolve_backward(grad_output, features, weight, rules.handle)

    def batch_norm(self, features: np.ndarray, weight: np.ndarray, bias: np.ndarray, eps: float) -> np.ndarray:
        return self.module.batch_norm(features, weight, bias, eps)

    def batch_norm_gradients(
        self, grad_output: np.ndarray, features: np.ndarray, weight: np.ndarray, eps: float
    ) -> Arrays:
        return self.module.batch_norm_backward(grad_output, features, weight, eps)

    def reduce_duplicates(self, coordinates: np.ndarray, features: np.ndarray, how: str) -> Arrays:
        return self.module.reduce_duplicates(coordinates, features, how)


def as_sets(rules: list[tuple[Any, Any]]) -> oracle.Rules:
    """Rows by tap as sets of pairs; a rule given twice is an error that a set would hide."""
    sets = {}
    for tap, (rows_in, rows_out) in enumerate(rules):
        pairs = list(zip(rows_in.tolist(), rows_out.tolist(), strict=True))
        assert len(set(pairs)) == len(pairs), f"tap {tap} has a rule twice"
        sets[tap] = set(pairs)
    return sets


ENGINES: dict[str, Engine] = {
    "numpy": Reference("numpy", sscn_ref),
    "numba": Reference("numba", sscn_ref.jit),
}

every_engine = pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES.keys())
REFERENCES = {"numpy": sscn_ref, "numba": sscn_ref.jit}
every_reference = pytest.mark.parametrize("reference", REFERENCES.values(), ids=REFERENCES.keys())
