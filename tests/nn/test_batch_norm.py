"""Batch norm computes its statistics over active rows, and its gradient includes their dependence on the rows."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sscn_triton import functional, nn
from sscn_triton.ops.triton.interpreted import interpreted
from tests.support import oracle
from tests.support.clouds import random_cloud
from tests.support.engines import Engine, every_engine, every_reference
from tests.support.strategies import seeds, values

TIGHT = {"rtol": 1e-9, "atol": 1e-9}
EPS = 1e-4


@every_engine
@given(rows=st.integers(0, 20), channels=st.integers(1, 4), seed=seeds)
def test_outputs_equal_the_oracles(engine: Engine, rows: int, channels: int, seed: int) -> None:
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
def test_outputs_and_gradients_equal_torchs(engine: Engine) -> None:
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
def test_batch_norm_of_no_rows_returns_no_rows(engine: Engine) -> None:
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
def test_float32_sums_of_many_rows_keep_their_precision(reference) -> None:
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


TYPES = {torch.float32: 2e-6, torch.float16: 1e-3, torch.bfloat16: 8e-3, torch.float64: 1e-13}


def normed(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor, r: torch.Tensor, leakiness: float) -> torch.Tensor:
    """The definition, written with differentiable operators of PyTorch."""
    mean = x.sum(0) / max(len(x), 1)
    variance = (x - mean).square().sum(0) / max(len(x), 1)
    return torch.nn.functional.leaky_relu((x - mean) / (variance + EPS).sqrt() * w + b + r, leakiness)


@pytest.mark.newest
@pytest.mark.parametrize("channels", [1, 5, 16, 48, 160])
@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_kernels_are_right_in_every_type_on_both_sides_of_a_tile(dtype: torch.dtype, channels: int) -> None:
    """Outputs, and gradients of rows, weight, bias and residual; 128 or 256 rows per tile, and a sum over 128 tiles."""
    sizes = [0, 1, 127, 257] + ([128 * 256 + 1] if channels == 1 and dtype == torch.float32 else [])
    for rows, leakiness in zip(sizes, (0.0, 1.0, 0.0, 0.2, 0.0), strict=False):
        shapes = (rows, channels), (channels,), (channels,), (rows, channels), (rows, channels)
        x, w, b, r, g = (torch.from_numpy(values(seed, *shape)) for seed, shape in enumerate(shapes))
        low = [t.to(dtype).requires_grad_() for t in (x * 2 + 3, w, b, r)]
        high = [t.detach().double().requires_grad_() for t in low]
        wanted = normed(*high, leakiness)
        slopes = torch.autograd.grad(wanted, high, g.to(dtype).double())
        with interpreted():
            y = functional.batch_norm(
                low[0], None, None, *low[1:3], training=True, momentum=0.1, eps=EPS, leakiness=leakiness,
                residual=low[3],
            )  # fmt: skip
            found = torch.autograd.grad(y, low, g.to(dtype))
        for mine, right in zip([y, *found], [wanted.detach(), *slopes], strict=True):
            assert mine.dtype == dtype
            assert mine.shape == right.shape
            error = float((mine.detach().double() - right).norm())
            assert error <= 2 * TYPES[dtype] * float(right.norm()) + 1e-7 * rows, (rows, error, float(right.norm()))


@pytest.mark.newest
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("leakiness", [0.0, 0.3, 1.0])
def test_kernels_have_right_first_and_second_derivatives(leakiness: float, training: bool) -> None:
    x, w, b, r = (torch.from_numpy(values(seed, *shape)) for seed, shape in enumerate([(6, 2), (2,), (2,), (6, 2)]))
    leaves = [t.requires_grad_() for t in (x, w, b, r)]
    mean, variance = torch.tensor([0.1, 0.2]).double(), torch.tensor([1.5, 0.5]).double()

    def function(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor, r: torch.Tensor) -> torch.Tensor:
        given = (None, None) if training else (mean, variance)
        return functional.batch_norm(x, *given, w, b, training, 0.1, EPS, leakiness, r)

    with interpreted():
        assert torch.autograd.gradcheck(function, leaves)
        assert torch.autograd.gradgradcheck(function, leaves, fast_mode=True)


@pytest.mark.newest
@pytest.mark.parametrize("momentum", [0.3, None])
@pytest.mark.parametrize("layer", [nn.BatchNorm, nn.BatchNormReLU])
def test_kernels_update_running_statistics_like_pytorch(layer: type, momentum: float | None) -> None:
    """Batches of many rows, one row and none, then evaluation. Without affine parameters, the results are otherwise
    equal."""
    for affine in (True, False):
        mine = layer(3, momentum=momentum, affine=affine)
        plain = copy.deepcopy(mine)
        for step, rows in enumerate((300, 0, 1, 40)):
            x = random_cloud(rows, channels=3, size=12, seed=step, dtype=torch.float32)
            wanted = plain(x).features
            with interpreted():
                found = mine(x).features
            torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
        assert mine.num_batches_tracked == 3
        for name, value in plain.state_dict().items():
            torch.testing.assert_close(mine.state_dict()[name], value, rtol=1e-5, atol=1e-6)
        wanted = plain.eval()(x).features
        with interpreted():
            torch.testing.assert_close(mine.eval()(x).features, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.newest
def test_kernels_keep_the_precision_of_a_large_mean_and_repeat_to_the_bit() -> None:
    x = torch.from_numpy(1000 + values(0, 3000, 2)).float()
    with interpreted():
        y, again = (functional.batch_norm(x, None, None, None, None, True, 0.1, EPS) for _ in range(2))
    wanted = torch.nn.functional.batch_norm(x.double(), None, None, training=True, eps=EPS)
    torch.testing.assert_close(y.double(), wanted, rtol=1e-4, atol=3e-4)  # the mean is kept in float32
    assert torch.equal(y, again)


@pytest.mark.newest
def test_a_backward_pass_refuses_running_statistics_that_moved_since() -> None:
    norm, x = nn.BatchNorm(2).double().eval(), random_cloud(5, channels=2)
    with interpreted():
        y = norm(x.replace(x.features.requires_grad_())).features
        norm.train()(x)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            y.sum().backward()


def test_a_mean_of_all_batches_needs_their_count() -> None:
    mean, x = torch.zeros(2), torch.ones(3, 2)
    with pytest.raises(ValueError, match="requires batches, their count"):
        functional.batch_norm(x, mean, mean + 1, None, None, True, None, EPS)
