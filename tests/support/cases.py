"""One convolution to build (kind, sites, window), the oracle's result for it, and hand-picked cases."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tests.support import oracle
from tests.support.oracle import Built, Site

KINDS = ("submanifold", "strided", "inverse", "transposed")

Axes = tuple[int, ...]


@dataclass(frozen=True)
class Case:
    """A rulebook to build. For "inverse", `coordinates` and `spatial_shape` are those of the fine sites."""

    kind: str
    coordinates: np.ndarray
    kernel_size: Axes
    stride: Axes
    padding: Axes
    dilation: Axes
    spatial_shape: Axes | None = None
    output_padding: Axes | None = None

    @property
    def ndim(self) -> int:
        return len(self.kernel_size)

    @property
    def window(self) -> tuple[Axes, Axes, Axes, Axes]:
        return self.kernel_size, self.stride, self.padding, self.dilation

    @property
    def pooling(self) -> dict[str, Axes]:
        """The window as the arguments of a pooling."""
        return dict(zip(("kernel_size", "stride", "padding", "dilation"), self.window, strict=True))

    def __repr__(self) -> str:
        window = f"kernel {self.kernel_size} stride {self.stride} padding {self.padding} dilation {self.dilation}"
        shape = f"shape {self.spatial_shape} output_padding {self.output_padding}"
        return f"Case({self.kind}, {window}, {shape}, sites {self.coordinates.tolist()})"


@dataclass(frozen=True)
class Expected:
    """The oracle's answer: the sites of the input and output rows, and the rules."""

    input_sites: list[Site]
    output_sites: list[Site]
    rules: oracle.Rules


def expected(case: Case) -> Expected:
    """What every engine must build for a case."""
    given = oracle.as_sites(case.coordinates)
    if case.kind == "submanifold":
        built = oracle.submanifold(case.coordinates, case.kernel_size, case.dilation)
    elif case.kind == "strided":
        built = oracle.strided(case.coordinates, *case.window, case.spatial_shape)
    elif case.kind == "inverse":
        built, coarse = oracle.inverse(case.coordinates, *case.window, case.spatial_shape)
        return Expected(coarse, built.output_sites, built.rules)
    else:
        built = oracle.transposed(case.coordinates, *case.window, case.spatial_shape, case.output_padding)
    return Expected(given, built.output_sites, built.rules)


def block(*extent: int, batches: int = 1) -> np.ndarray:
    """Every site of a box that starts at 0, in lexicographic order."""
    return np.argwhere(np.ones((batches, *extent), bool)).astype(np.int32)


def line(length: int, ndim: int = 3) -> np.ndarray:
    """A straight track along the diagonal, from negative to positive coordinates."""
    steps = np.arange(length) - length // 2
    return np.column_stack([np.zeros(length), *[steps] * ndim]).astype(np.int32)


def _named() -> dict[str, Case]:
    ones = {d: (1,) * d for d in range(1, 5)}
    empty = np.zeros((0, 4), np.int32)
    site = np.array([[2, -3, 7, 0]], np.int32)
    far = np.array([[0, 2**31 - 2, 0], [0, 2**31 - 1, 0], [0, 2**31 - 2, 1], [5, 2**31 - 1, -1]], np.int32)
    built = {}
    for kind in KINDS:
        built[f"{kind}-no-sites"] = Case(kind, empty, (3, 3, 3), ones[3], (0, 0, 0), ones[3])
        built[f"{kind}-one-site"] = Case(kind, site, (3, 3, 3), ones[3], (1, 1, 1), ones[3])
        built[f"{kind}-block"] = Case(
            kind, block(4, 4, 4, batches=2), (3, 2, 1), ones[3], (0, 1, 0), ones[3], (4, 4, 4)
        )
        built[f"{kind}-line"] = Case(kind, line(9), (2, 2, 2), ones[3], (0, 0, 0), ones[3])
        built[f"{kind}-line-kernel-6"] = Case(kind, line(5, 2), (6, 5), ones[2], (3, 2), (1, 3))
        built[f"{kind}-four-axes"] = Case(kind, line(4, 4), (2, 1, 3, 2), ones[4], (1, 0, 2, 1), ones[4])
        built[f"{kind}-at-the-end-of-int32"] = Case(kind, far, (2, 3), ones[2], (0, 2), ones[2])
    built["submanifold-odd"] = Case("submanifold", line(9)[::-1].copy(), (3, 3, 3), ones[3], (1, 1, 1), ones[3])
    for kind in KINDS[1:]:
        built[f"{kind}-halving"] = Case(kind, block(4, 5), (2, 2), (2, 2), (0, 0), ones[2], (4, 5))
        built[f"{kind}-gaps"] = Case(kind, line(12, 2), (1, 2), (3, 5), (0, 0), ones[2])
        built[f"{kind}-overlap"] = Case(kind, line(7, 2), (3, 3), (2, 2), (1, 1), ones[2])
    del built["transposed-at-the-end-of-int32"]  # its outputs would exceed int32, which is refused
    wide = Case("transposed", block(3, 3), (2, 3), (3, 2), (0, 1), (2, 1), (3, 3), (2, 1))
    return {**built, "transposed-output-padding": wide}


NAMED = _named()

__all__ = ["KINDS", "NAMED", "Built", "Case", "Expected", "block", "expected", "line"]
