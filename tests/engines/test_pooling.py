"""Every engine pools by the rules, passes gradients to the inputs that determined the output, and agrees with the
oracle."""

import numpy as np
import pytest
import torch
from hypothesis import given

import sscn_ref
from tests.support import oracle
from tests.support.cases import NAMED, Case, block, expected
from tests.support.engines import Engine, every_engine, every_reference
from tests.support.strategies import cases, seeds, sites, values

TIGHT = {"rtol": 1e-11, "atol": 1e-11}
STRIDED = [name for name in NAMED if name.startswith("strided")]


def few_values(seed: int, *shape: int) -> np.ndarray:
    """Integers from -2 to 2, so that the maximum often occurs several times."""
    return np.random.default_rng(seed).integers(-2, 3, shape).astype(float)


def check(engine: Engine, case: Case, seed: int) -> None:
    right, built = expected(case), engine.build(case)
    inputs, outputs = len(right.input_sites), len(right.output_sites)
    x, g = few_values(seed, inputs, 2), values(seed, outputs, 2)
    for how in ("max", "active", "volume"):
        wanted = oracle.pool(x, right.rules, outputs, how), oracle.pool_gradient(g, x, right.rules, how)
        np.testing.assert_allclose(engine.pool(built, x, how), wanted[0], **TIGHT)
        np.testing.assert_allclose(engine.pool_gradient(built, g, x, how), wanted[1], **TIGHT)
    back = oracle.turned(right.rules)
    y, h = values(seed + 1, outputs, 3), values(seed + 2, inputs, 3)
    np.testing.assert_allclose(engine.pool(built, y, "unpool"), oracle.pool(y, back, inputs, "sum"), **TIGHT)
    wanted = oracle.pool_gradient(h, y, back, "sum")
    np.testing.assert_allclose(engine.pool_gradient(built, h, y, "unpool"), wanted, **TIGHT)


@every_engine
@pytest.mark.parametrize("name", STRIDED)
def test_chosen_cases_equal_the_oracle(engine: Engine, name: str) -> None:
    check(engine, NAMED[name], seed=0)


@every_engine
@given(case=cases(kind="strided", at_most=8), seed=seeds)
def test_pooling_unpooling_and_their_gradients_equal_the_oracles(engine: Engine, case: Case, seed: int) -> None:
    check(engine, case, seed)


@every_engine
@pytest.mark.parametrize("how", ["max", "mean", "sum"])
@given(coordinates=sites(2), seed=seeds)
def test_pooling_over_events_equals_the_oracles(engine: Engine, how: str, coordinates: np.ndarray, seed: int) -> None:
    rules, events = oracle.of_events(coordinates), 4
    x, g = few_values(seed, len(coordinates), 2), values(seed, events, 2)
    name = {"mean": "active"}.get(how, how)
    y, by_x = oracle.pool(x, rules, events, name), oracle.pool_gradient(g, x, rules, name)
    np.testing.assert_allclose(engine.global_pool(x, coordinates, events, how), y, **TIGHT)
    np.testing.assert_allclose(engine.global_pool_gradient(g, x, coordinates, how), by_x, **TIGHT)


@every_engine
@pytest.mark.parametrize("window", [((2, 2), (2, 2), (0, 0)), ((3, 2), (1, 2), (1, 1)), ((4, 3), (3, 2), (2, 1))])
def test_on_a_full_block_pooling_equals_torchs(engine: Engine, window) -> None:
    case = Case("strided", block(7, 6, batches=2), *window, (1, 1), (7, 6))
    built, x = engine.build(case), few_values(0, 84, 3)
    image = torch.tensor(x).reshape(2, 7, 6, 3).permute(0, 3, 1, 2).requires_grad_()
    dense = torch.nn.functional
    for how, y in {
        "max": dense.max_pool2d(image, *window),
        "active": dense.avg_pool2d(image, *window, count_include_pad=False),
        "volume": dense.avg_pool2d(image, *window),
    }.items():
        batch, row, column = built.outputs.T
        np.testing.assert_allclose(engine.pool(built, x, how), y.detach().numpy()[batch, :, row, column], **TIGHT)
        g = torch.tensor(values(1, *y.shape))
        (by_x,) = torch.autograd.grad(y, image, g)
        mine = engine.pool_gradient(built, g.numpy()[batch, :, row, column], x, how)
        np.testing.assert_allclose(mine, by_x.permute(0, 2, 3, 1).reshape(84, 3).numpy(), **TIGHT)


@every_engine
def test_not_a_number_is_the_maximum(engine: Engine) -> None:
    x = np.array([[0.0], [1.0], [np.nan], [3.0], [5.0], [4.0]])
    built = engine.build(Case("strided", block(6), (3,), (3,), (0,), (1,)))
    np.testing.assert_array_equal(engine.pool(built, x, "max"), [[np.nan], [5]])
    np.testing.assert_array_equal(
        engine.pool_gradient(built, np.array([[7.0], [8.0]]), x, "max").T, [[0, 0, 7, 0, 8, 0]]
    )
    np.testing.assert_array_equal(engine.global_pool(x, block(6), 1, "max"), [[np.nan]])


@every_reference
def test_a_row_that_no_rule_reaches_is_zero(reference) -> None:
    book = sscn_ref.strided_rulebook(block(5), 1, 2)
    assert reference.unpool([[1.0], [2.0], [3.0]], book).T.tolist() == [[1, 0, 2, 0, 3]]
    assert reference.max_pool([[-1.0], [-2.0], [-3.0]], book.transposed()).T.tolist() == [[-1, 0, -2, 0, -3]]
    assert reference.average_pool([[-1.0], [-2.0], [-3.0]], book.transposed()).T.tolist() == [[-1, 0, -2, 0, -3]]


@every_reference
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_results_have_the_type_of_the_inputs_and_means_are_not_rounded(reference, dtype: type) -> None:
    sites, x = block(4, batches=2), np.arange(8)[:, np.newaxis].astype(dtype)
    book = sscn_ref.strided_rulebook(sites, 2, 2)
    mean = np.result_type(dtype, np.float32)
    assert {reference.max_pool(x, book).dtype, reference.sum_pool(x, book).dtype} == {np.dtype(dtype)}
    assert reference.global_pool(x, sites, how="max").dtype == reference.global_pool(x, sites, how="sum").dtype == dtype
    for one, wanted in (
        (reference.average_pool(x, book), [0.5, 2.5, 4.5, 6.5]),
        (reference.global_pool(x, sites), [1.5, 5.5]),
    ):
        assert one.dtype == mean
        assert one[:, 0].tolist() == wanted


@every_reference
def test_numbers_that_are_not_contiguous_in_memory_give_the_same(reference) -> None:
    sites = block(6, batches=2)
    book = sscn_ref.strided_rulebook(sites, 3, 2, 1, spatial_shape=6)
    x, g, h = values(0, 12, 4)[:, ::2], values(1, 2, 6).T, values(2, 2, 2).T
    packed = [np.ascontiguousarray(a) for a in (x, g, h)]
    assert not any(a.flags.c_contiguous for a in (x, g, h))
    for how in ("max", "mean", "sum"):
        results = [reference.global_pool_backward(c, a, sites, how) for a, _, c in ((x, g, h), packed)]
        np.testing.assert_array_equal(*results)
        np.testing.assert_array_equal(*(reference.global_pool(a, sites, how=how) for a in (x, packed[0])))
    for function in (reference.max_pool, reference.average_pool):
        np.testing.assert_array_equal(*(function(a, book) for a in (x, packed[0])))
    np.testing.assert_array_equal(*(reference.unpool(b, book) for b in (g, packed[1])))
    np.testing.assert_array_equal(*(reference.average_pool_backward(b, book) for b in (g, packed[1])))
    np.testing.assert_array_equal(*(reference.max_pool_backward(b, a, book) for a, b, _ in ((x, g, h), packed)))


def ones(*shape: int) -> np.ndarray:
    return np.ones(shape)


SITES = block(3, batches=2)
BAD = {
    "count must be one of active, volume, not 'all'": lambda r, book: r.average_pool(ones(6, 1), book, "all"),
    "how must be one of max, mean, sum, not 'min'": lambda r, _: r.global_pool(ones(6, 1), SITES, how="min"),
    "batch_size 1 is too small for batch index 1": lambda r, _: r.global_pool(ones(6, 1), SITES, 1),
    r"features must have shape \[6, C\]": lambda r, book: r.max_pool(ones(5, 1), book),
    r"features must have shape \[4, C\], a row for each row of the rulebook's output sites": lambda r, book: r.unpool(
        ones(6, 1), book
    ),
    r"output's shape \[4, 1\], not \[4, 2\]": lambda r, book: r.max_pool_backward(ones(4, 2), ones(6, 1), book),
    r"output's shape \[2, 1\], not \[2, 3\]": lambda r, _: r.global_pool_backward(ones(2, 3), ones(6, 1), SITES),
}


@every_reference
@pytest.mark.parametrize("message", BAD)
def test_bad_arguments_are_refused(reference, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BAD[message](reference, sscn_ref.strided_rulebook(SITES, 2, 2))
