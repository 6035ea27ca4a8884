"""The oracle itself, on examples small enough to check by hand."""

import numpy as np
import pytest

from tests.support import oracle


def test_submanifold_rules_of_three_sites_and_a_kernel_of_three() -> None:
    built = oracle.submanifold(np.array([[0, 4], [0, 5], [0, 7]]), (3,), (1,))
    assert built.output_sites == [(0, 4), (0, 5), (0, 7)]
    assert built.rules == {0: {(0, 1)}, 1: {(0, 0), (1, 1), (2, 2)}, 2: {(1, 0)}}


def test_an_even_kernel_reaches_one_site_to_the_right() -> None:
    built = oracle.submanifold(np.array([[0, 0], [0, 1]]), (2,), (1,))
    assert built.rules == {0: {(0, 0), (1, 1)}, 1: {(1, 0)}}


def test_a_halving_assigns_every_site_to_one_parent() -> None:
    built = oracle.strided(np.array([[0, -1], [0, 0], [0, 1], [1, 0]]), (2,), (2,), (0,), (1,))
    assert built.output_sites == [(0, -1), (0, 0), (1, 0)]
    assert built.rules == {0: {(1, 1), (3, 2)}, 1: {(0, 0), (2, 1)}}


def test_a_kernel_of_three_with_stride_two_reaches_two_outputs_from_an_odd_site() -> None:
    built = oracle.strided(np.array([[0, 1]]), (3,), (2,), (1,), (1,))
    assert built.output_sites == [(0, 0), (0, 1)]
    assert built.rules == {0: {(0, 1)}, 1: set(), 2: {(0, 0)}}


def test_a_transposed_convolution_spreads_one_site() -> None:
    built = oracle.transposed(np.array([[0, 3]]), (3,), (2,), (0,), (1,))
    assert built.output_sites == [(0, 6), (0, 7), (0, 8)]
    assert built.rules == {0: {(0, 0)}, 1: {(0, 1)}, 2: {(0, 2)}}


def test_sizes_are_those_of_a_dense_convolution() -> None:
    assert [oracle.size_after(n, 3, 2, 1, 1) for n in (1, 2, 3, 4, 5)] == [1, 1, 2, 2, 3]
    assert oracle.size_after(2, 3, 1, 0, 1) == 0
    assert oracle.size_before(3, 3, 2, 1, 1, 0) == 5
    assert oracle.size_before(3, 3, 2, 1, 1, 1) == 6


def test_convolution_and_gradients_of_two_sites() -> None:
    rules = {0: {(0, 1)}, 1: {(0, 0), (1, 1)}}
    x, w, g = np.array([[2.0], [3.0]]), np.array([[[10.0]], [[1.0]]]), np.array([[5.0], [7.0]])
    assert oracle.convolve(x, w, rules, 2, np.array([0.5])).tolist() == [[2.5], [23.5]]
    by_features, by_weight, by_bias = oracle.gradients(g, x, w, rules)
    assert by_features.tolist() == [[75.0], [7.0]]
    assert by_weight.tolist() == [[[14.0]], [[31.0]]]
    assert by_bias.tolist() == [12.0]


def test_groups_do_not_mix() -> None:
    x, w = np.array([[2.0, 3.0]]), np.array([[[[1.0]], [[10.0]]]])
    assert oracle.convolve(x, w, {0: {(0, 0)}}, 1).tolist() == [[2.0, 30.0]]


def test_a_case_over_budget_is_refused() -> None:
    with pytest.raises(oracle.OverBudget, match="its budget is 2000000"):
        oracle.submanifold(np.argwhere(np.ones((1, 60))), (40_000,), (1,))
