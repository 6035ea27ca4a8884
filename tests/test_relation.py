"""The reference and the library agree on the one relation: one table of cases for both."""

from __future__ import annotations

import inspect
import itertools
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import sscn_ref.relation
import sscn_triton.relation

every_package = pytest.mark.parametrize("relation", [sscn_ref.relation, sscn_triton.relation], ids=["ref", "triton"])
FUNCTIONS = (
    "coarse_from_fine", "check_output_padding", "fine_from_coarse", "is_mirrored", "output_shape", "per_axis",
    "submanifold_padding", "taps", "transposed_output_shape",
)  # fmt: skip

RESULTS: list[tuple[str, tuple[Any, ...], Any]] = [
    ("fine_from_coarse", (5, 2, 2, 1, 1), 11),
    ("fine_from_coarse", (-3, 0, 2, 1, 1), -7),
    ("fine_from_coarse", (4, 3, 3, 2, 5), 25),
    ("coarse_from_fine", (11, 2, 2, 1, 1), (5, 0)),
    ("coarse_from_fine", (10, 2, 2, 1, 1), (4, 1)),
    ("coarse_from_fine", (-7, 0, 2, 1, 1), (-3, 0)),
    ("coarse_from_fine", (-8, 0, 2, 1, 1), (-4, 1)),
    ("taps", ((2, 2),), [(0, 0), (0, 1), (1, 0), (1, 1)]),
    ("taps", ((1, 1, 3),), [(0, 0, 0), (0, 0, 1), (0, 0, 2)]),
    ("submanifold_padding", ((3, 4, 5), (1, 1, 2)), (1, 1, 4)),
    ("is_mirrored", ((3, 5), (1, 4), (1, 2)), True),
    ("is_mirrored", ((3, 4), (1, 1), (1, 1)), False),
    ("is_mirrored", ((4,), (3,), (2,)), True),
    ("is_mirrored", ((3,), (0,), (1,)), False),
    ("output_shape", ((8, 9), (2, 3), (2, 2), (0, 1), (1, 1)), (4, 5)),
    ("output_shape", ((7,), (3,), (1,), (0,), (3,)), (1,)),
    ("transposed_output_shape", ((4, 5), (2, 3), (2, 2), (0, 1), (1, 1), (0, 1)), (8, 10)),
    ("transposed_output_shape", ((1,), (3,), (1,), (0,), (3,), (2,)), (9,)),
    ("check_output_padding", ((1, 2), (2, 1), (1, 3)), None),
    ("per_axis", (3, 2, "stride", 1), (3, 3)),
    ("per_axis", ([1, np.int64(2)], 2, "stride", 1), (1, 2)),
    ("per_axis", (np.array([4, 5]), 2, "stride", 1), (4, 5)),
    ("per_axis", (2**31 - 1, 1, "padding", 0), (2**31 - 1,)),
]

REFUSALS: list[tuple[str, tuple[Any, ...], type[Exception], str]] = [
    *(
        ("per_axis", (wrong, 2, "stride", 1), TypeError,
         f"stride must be an integer or 2 integers (one per axis), got {wrong!r}")
        for wrong in (1.5, "33", None, True, (1, 2.0))
    ),
    ("per_axis", (0, 2, "stride", 1), ValueError, "stride must be at least 1 on every axis, got 0"),
    ("per_axis", ((0, -1), 2, "padding", 0), ValueError, "padding must be at least 0 on every axis, got (0, -1)"),
    ("per_axis", (2**31, 1, "stride", 1), ValueError,
     "stride must be at most 2147483647 on every axis, got 2147483648"),
    ("per_axis", ((1, 1, 1), 2, "stride", 1), ValueError,
     "stride must be one integer or 2 (one per axis), got 3: (1, 1, 1)"),
    (
        "output_shape", ((8, 5), (9, 2), (1, 1), (0, 0), (1, 1)), ValueError,
        "spatial_shape (8, 5) is too small for kernel_size (9, 2), stride (1, 1), padding (0, 0), dilation (1, 1): "
        "the output shape would be (0, 4)",
    ),
    (
        "transposed_output_shape", ((5,), (2,), (1,), (4,), (1,), (0,)), ValueError,
        "spatial_shape (5,) is too small for kernel_size (2,), stride (1,), padding (4,), dilation (1,), "
        "output_padding (0,): the output shape would be (-2,)",
    ),
    *(
        (name, arguments, ValueError,
         "output_padding must be smaller than stride or dilation on every axis, got (2, 0) with stride (2, 2) and "
         "dilation (1, 2)")
        for name, arguments in (
            ("check_output_padding", ((2, 0), (2, 2), (1, 2))),
            ("transposed_output_shape", ((4, 4), (3, 3), (2, 2), (0, 0), (1, 2), (2, 0))),
        )
    ),
]  # fmt: skip


def plain(value: Any) -> Any:
    """Arrays as lists of tuples, everything else unchanged."""
    return [tuple(row) for row in value.tolist()] if isinstance(value, np.ndarray) else value


@every_package
@pytest.mark.parametrize(("name", "arguments", "result"), RESULTS)
def test_the_relation_gives_what_the_table_says(relation: ModuleType, name: str, arguments: Any, result: Any) -> None:
    assert plain(getattr(relation, name)(*arguments)) == result


@every_package
@pytest.mark.parametrize(("name", "arguments", "kind", "message"), REFUSALS)
def test_the_relation_refuses_in_the_words_of_the_table(
    relation: ModuleType, name: str, arguments: Any, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind) as caught:
        getattr(relation, name)(*arguments)
    assert str(caught.value) == message


@pytest.mark.parametrize("name", FUNCTIONS)
def test_arguments_have_the_same_names_in_both_packages(name: str) -> None:
    of_reference, of_library = (inspect.signature(getattr(r, name)) for r in (sscn_ref.relation, sscn_triton.relation))
    assert list(of_reference.parameters) == list(of_library.parameters)


def test_every_shared_function_is_in_the_table() -> None:
    assert {case[0] for case in [*RESULTS, *REFUSALS]} == set(FUNCTIONS)
    shared = {
        name
        for name, function in inspect.getmembers(sscn_ref.relation, inspect.isfunction)
        if function.__module__ == "sscn_ref.relation" and hasattr(sscn_triton.relation, name)
    }
    assert shared == set(FUNCTIONS)


@every_package
def test_coarse_from_fine_inverts_fine_from_coarse(relation: ModuleType) -> None:
    for coarse, tap, stride, padding, dilation in itertools.product(
        range(-4, 5), range(4), range(1, 4), range(3), range(1, 3)
    ):
        fine = relation.fine_from_coarse(coarse, tap, stride, padding, dilation)
        assert relation.coarse_from_fine(fine, tap, stride, padding, dilation) == (coarse, 0)


@every_package
def test_arrays_are_accepted_as_coordinates(relation: ModuleType) -> None:
    fine = relation.fine_from_coarse(np.array([0, 1, 2]), 1, 2, 1, 1)
    assert fine.tolist() == [0, 2, 4]
    coarse, rest = relation.coarse_from_fine(np.array([0, 1, 2]), 1, 2, 1, 1)
    assert (coarse.tolist(), rest.tolist()) == ([0, 0, 1], [0, 1, 0])


@every_package
@pytest.mark.parametrize("kernel", range(1, 7))
@pytest.mark.parametrize("dilation", range(1, 4))
def test_a_mirrored_kernel_has_opposite_offsets_at_opposite_taps(
    relation: ModuleType, kernel: int, dilation: int
) -> None:
    (padding,) = relation.submanifold_padding((kernel,), (dilation,))
    offsets = [relation.fine_from_coarse(0, tap, 1, padding, dilation) for tap in range(kernel)]
    opposite = offsets == [-offset for offset in reversed(offsets)]
    assert relation.is_mirrored((kernel,), (padding,), (dilation,)) == opposite
