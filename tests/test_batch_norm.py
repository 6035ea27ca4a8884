"""Batch norm takes its statistics over active rows, and its gradient knows that they move with the rows."""

import numpy as np
import oracle
import pytest
import torch
from engines import Engine, every_engine, every_reference
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds, values

TIGHT = {"rtol": 1e-9, "atol": 1e-9}
EPS = 1e-4


@every_engine
@given(rows=st.integers(0, 20), channels=st.integers(1, 4), seed=seeds)
def test_outputs_are_the_oracles(engine: Engine, rows: int, channels: int, seed: int) -> None:
    x, w, b = 3 + values(seed, rows, channels), values(seed + 1, channels), values(seed + 2, channels)
    np.testing.assert_allclose(engine.batch_norm(x, w, b, EPS), oracle.batch_norm(x, w, b, EPS), **TIGHT)


@every_engine
@given(rows=st.integers(0, 12), seed=seeds)
def test_gradients_are_the_slopes_of_the_oracle(engine: Engine, rows: int, seed: int) -> None:
    """Central differences of <g, y> along random directions of x, weight and bias."""
    x, w, b, g = values(seed, rows, 2), values(seed + 1, 2), values(seed + 2, 2), values(seed + 3, rows, 2)
    h = 1e-5
    for place, gradient in enumerate(engine.batch_norm_gradients(g, x, w, 0.1)):
        direction = values(seed + 4 + place, *gradient.shape)
        ends = []
        for sign in (1, -1):
            moved = [x, w, b]
            moved[place] = moved[place] + sign * h * direction
            ends.append((g * oracle.batch_norm(*moved, 0.1)).sum())
        np.testing.assert_allclose((gradient * direction).sum(), (ends[0] - ends[1]) / (2 * h), rtol=1e-5, atol=1e-6)


@every_engine
def test_outputs_and_gradients_are_torchs(engine: Engine) -> None:
    x, w, b, g = 5 + values(0, 500, 7), values(1, 7), values(2, 7), values(3, 500, 7)
    leaves = [torch.tensor(a, requires_grad=True) for a in (x, w, b)]
    y = torch.nn.functional.batch_norm(leaves[0], None, None, leaves[1], leaves[2], training=True, eps=EPS)
    y.backward(torch.tensor(g))
    np.testing.assert_allclose(engine.batch_norm(x, w, b, EPS), y.detach().numpy(), **TIGHT)
    for mine, leaf in zip(engine.batch_norm_gradients(g, x, w, EPS), leaves, strict=True):
        np.testing.assert_allclose(mine, leaf.grad.numpy(), **TIGHT)


@every_engine
def test_one_row_becomes_the_bias_and_has_no_gradient(engine: Engine) -> None:
    x, w, b, g = values(0, 1, 3), values(1, 3), values(2, 3), values(3, 1, 3)
    np.testing.assert_array_equal(engine.batch_norm(x, w, b, EPS), b[None])
    by_x, by_w, by_b = engine.batch_norm_gradients(g, x, w, EPS)
    assert not by_x.any()
    assert not by_w.any()
    np.testing.assert_array_equal(by_b, g[0])


@every_engine
def test_no_rows_stay_no_rows(engine: Engine) -> None:
    none, w = np.zeros((0, 3)), np.ones(3)
    assert engine.batch_norm(none, w, w, EPS).shape == (0, 3)
    by_x, by_w, by_b = engine.batch_norm_gradients(none, none, w, EPS)
    assert by_x.shape == (0, 3)
    assert by_w.tolist() == by_b.tolist() == [0, 0, 0]


@every_reference
def test_statistics_are_biased_and_evaluation_uses_those_it_is_given(reference) -> None:
    mean, variance = reference.batch_statistics([[1.0, 0.0], [3.0, 0.0]])
    assert mean.tolist() == [2, 0]
    assert variance.tolist() == [1, 0]
    assert [a.tolist() for a in reference.batch_statistics(np.zeros((0, 2)))] == [[0, 0], [0, 0]]
    y = reference.normalize([[5.0]], [1.0], [3.0], [10.0], [0.5], eps=1.0)
    assert y.tolist() == [[20.5]]


@every_reference
def test_float32_sums_of_many_rows_keep_their_digits(reference) -> None:
    x = (1000 + values(0, 200_000, 1)).astype(np.float32)
    mean, variance = reference.batch_statistics(x)
    np.testing.assert_allclose(mean, x.astype(np.float64).mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(variance, x.astype(np.float64).var(axis=0), rtol=1e-5)
    y = reference.batch_norm(x, np.ones(1, np.float32), np.zeros(1, np.float32))
    assert y.dtype == np.float32
    assert abs(float(y.mean(dtype=np.float64))) < 1e-4


@every_reference
def test_bad_arguments_are_refused(reference) -> None:
    x, w = np.ones((4, 2)), np.ones(2)
    with pytest.raises(
        ValueError, match=r"features \[N, C\], weight \[C\] and bias \[C\], not \[4, 2\], \[3\] and \[2\]"
    ):
        reference.batch_norm(x, np.ones(3), w)
    with pytest.raises(ValueError, match="eps must be positive, not 0"):
        reference.batch_norm(x, w, w, eps=0)
    with pytest.raises(ValueError, match=r"features must have shape \[N, C\], not \[4\]"):
        reference.batch_statistics(np.ones(4))
    with pytest.raises(ValueError, match=r"mean and variance must have shape \[2\], not \[\]"):
        reference.normalize(x, 0.0, w, w, w, eps=1.0)
    with pytest.raises(TypeError, match="floating-point numbers, not int64"):
        reference.batch_norm(np.ones((4, 2), np.int64), w, w)
    with pytest.raises(ValueError, match=r"grad_output must have the features' shape \[4, 2\], not \[3, 2\]"):
        reference.batch_norm_backward(np.ones((3, 2)), x, w)
