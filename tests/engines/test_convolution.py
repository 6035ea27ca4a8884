"""Every engine computes the sums over the rules, and their derivatives."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import sscn_ref
from tests.support import oracle
from tests.support.cases import KINDS, NAMED, Case, block, expected, line
from tests.support.engines import ENGINES, ON_GPU, Engine, Rules, every_engine, every_reference
from tests.support.strategies import cases, groups, seeds, values

TIGHT = {"rtol": 1e-10, "atol": 1e-10}  # float64 sums of a few hundred terms, in any order


def numbers(case: Case, seed: int, groups: int, width_in: int, width_out: int) -> tuple[np.ndarray, ...]:
    """features, weight, bias and grad_output of a case; without groups, the weight has three axes."""
    right = expected(case)
    x = values(seed, len(right.input_sites), groups * width_in)
    w = values(seed + 1, len(right.rules), groups, width_in, width_out)
    b, g = values(seed + 2, groups * width_out), values(seed + 3, len(right.output_sites), groups * width_out)
    return x, w[:, 0] if groups == 1 else w, b, g


def check(engine: Engine, case: Case, seed: int, groups: int, width_in: int, width_out: int) -> None:
    x, w, b, g = numbers(case, seed, groups, width_in, width_out)
    right, built = expected(case), engine.build(case)
    outputs = len(right.output_sites)
    np.testing.assert_allclose(engine.convolve(built, x, w, b), oracle.convolve(x, w, right.rules, outputs, b), **TIGHT)
    np.testing.assert_allclose(engine.convolve(built, x, w), oracle.convolve(x, w, right.rules, outputs), **TIGHT)
    for mine, theirs in zip(engine.gradients(built, g, x, w), oracle.gradients(g, x, w, right.rules), strict=True):
        assert mine.shape == theirs.shape
        np.testing.assert_allclose(mine, theirs, **TIGHT)


@every_engine
@pytest.mark.parametrize("name", NAMED)
def test_chosen_cases_equal_the_oracle(engine: Engine, name: str) -> None:
    check(engine, NAMED[name], seed=0, groups=2, width_in=2, width_out=1)


@every_engine
@given(case=cases(at_most=8), seed=seeds, groups=groups, width_in=st.integers(1, 3), width_out=st.integers(1, 3))
def test_outputs_and_gradients_equal_the_oracles(
    engine: Engine, case: Case, seed: int, groups: int, width_in: int, width_out: int
) -> None:
    check(engine, case, seed, groups, width_in, width_out)


def cloud_case(kind: str, count: int = 4000) -> Case:
    """`count` sites, more than the oracle accepts, in a box of which they fill about a tenth."""
    spread = round((count / 0.3) ** (1 / 3) / 2)
    drawn = np.random.default_rng(5).integers(-spread, spread, (count, 4))
    drawn[:, 0] %= 3
    sites = np.unique(drawn, axis=0).astype(np.int32)
    window = (
        ((3, 3, 3), (1, 1, 1), (1, 1, 1), (1, 1, 1))
        if kind == "submanifold"
        else ((3, 2, 2), (2, 2, 1), (1, 0, 0), (1, 1, 2))
    )
    return Case(kind, sites, *window)


def turned(w: np.ndarray) -> np.ndarray:
    """The weight of the transposed convolution: input and output channels swapped."""
    return np.swapaxes(w, -1, -2)


@every_engine
def test_strided_and_inverse_convolutions_are_adjoint(engine: Engine) -> None:
    """<conv(x, w), y> = <x, inverse(y, w transposed)>, for any x and y."""
    there, back = engine.build(cloud_case("strided")), engine.build(cloud_case("inverse"))
    x, y = values(1, len(there.inputs), 6), values(2, len(there.outputs), 4)
    w = values(3, 12, 2, 3, 2)
    left = (engine.convolve(there, x, w) * y).sum()
    np.testing.assert_allclose(left, (x * engine.convolve(back, y, turned(w))).sum(), rtol=1e-10)


@every_engine
def test_an_odd_submanifold_convolution_is_adjoint_to_its_mirror_image(engine: Engine) -> None:
    """<conv(x, w), y> = <x, conv(y, w transposed, taps reversed)>."""
    built = engine.build(cloud_case("submanifold"))
    x, y, w = values(1, len(built.inputs), 3), values(2, len(built.inputs), 5), values(3, 27, 3, 5)
    left = (engine.convolve(built, x, w) * y).sum()
    np.testing.assert_allclose(left, (x * engine.convolve(built, y, turned(w)[::-1].copy())).sum(), rtol=1e-10)


@every_engine
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_the_output_in_any_direction(engine: Engine, kind: str) -> None:
    """The output is linear in x, w and b, so <g, y(x + dx, w) - y(x, w)> equals <gradient, dx> exactly; likewise for w
    and b."""
    built = engine.build(cloud_case(kind))
    inputs, outputs, taps = len(built.inputs), len(built.outputs), built.taps
    x, dx, g = values(1, inputs, 4), values(2, inputs, 4), values(3, outputs, 6)
    w, dw, b, db = values(4, taps, 2, 2, 3), values(5, taps, 2, 2, 3), values(6, 6), values(7, 6)
    by_x, by_w, by_b = engine.gradients(built, g, x, w)
    y = engine.convolve(built, x, w, b)
    for changed, direction, gradient in (
        (engine.convolve(built, x + dx, w, b), dx, by_x),
        (engine.convolve(built, x, w + dw, b), dw, by_w),
        (engine.convolve(built, x, w, b + db), db, by_b),
    ):
        np.testing.assert_allclose((g * (changed - y)).sum(), (gradient * direction).sum(), rtol=1e-9, atol=1e-9)


WIDTHS = [(1, 1), (1, 16), (3, 5), (7, 8), (16, 16), (17, 33), (40, 96), (80, 1), (100, 72)]  # channels in, out


def check_against_float64(
    engine: Engine, case: Case, dtype: type, groups: int, width_in: int, width_out: int, slack: float = 1
) -> None:
    """Compare outputs and gradients in a precision with NumPy's in float64, by the root mean square of the error."""
    built, book = engine.build(case), ENGINES["numpy"].build(case).handle
    w = values(2, built.taps, groups, width_in, width_out).astype(dtype)
    x = values(1, len(built.inputs), groups * width_in).astype(dtype)
    g = values(3, len(built.outputs), groups * width_out).astype(dtype)
    wide = [a.astype(np.float64) for a in (g, x, w)]
    mine = engine.convolve(built, x, w), *engine.gradients(built, g, x, w)
    right = sscn_ref.convolve(*wide[1:], book), *sscn_ref.convolve_backward(*wide, book)
    tolerance = slack * {np.float32: 2e-6, np.float64: 1e-14}[dtype]
    for one, other in zip(mine[:3], right[:3], strict=True):
        assert one.dtype == dtype
        assert np.sqrt(((one - other) ** 2).mean() / (other**2).mean()) < tolerance


@every_engine
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("widths", WIDTHS, ids=str)
def test_channels_of_any_number_and_precision(
    engine: Engine, dtype: type, groups: int, widths: tuple[int, int]
) -> None:
    check_against_float64(engine, cloud_case("strided", 300), dtype, groups, *widths)


@every_engine
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_convolution_is_right_with_thousands_of_rules_per_tap(engine: Engine, dtype: type, kind: str) -> None:
    check_against_float64(engine, cloud_case(kind), dtype, 1, 16, 16)


@every_engine
def test_more_rules_of_one_tap_than_are_summed_at_once(engine: Engine) -> None:
    """The interpreted kernel adds the parts of the sum 8 at a time, and has 79 of them in a fiftieth of the sites."""
    track = line(20_000 if engine.name == "triton" and not ON_GPU else 400_000, ndim=1)
    check_against_float64(engine, Case("submanifold", track, (2,), (1,), (0,), (1,)), np.float32, 1, 3, 2, slack=30)


@every_engine
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_bits_twice(engine: Engine, kind: str) -> None:
    case = cloud_case(kind)
    first, second = engine.build(case), engine.build(case)
    assert first.rules == second.rules
    x, w = values(1, len(first.inputs), 8), values(2, first.taps, 8, 8)
    g = values(3, len(first.outputs), 8)
    assert (engine.convolve(first, x, w) == engine.convolve(second, x, w)).all()
    for one, two in zip(engine.gradients(first, g, x, w), engine.gradients(second, g, x, w), strict=True):
        assert (one == two).all()


WINDOWS = [  # extent, kernel, stride, padding, dilation, groups, output padding
    ((7,), (3,), (2,), (1,), (2,), 1, (1,)),
    ((6, 5), (3, 2), (1, 2), (2, 0), (1, 3), 2, (0, 1)),
    ((5, 6), (4, 5), (5, 4), (3, 2), (1, 1), 1, (0, 0)),
    ((5, 4, 4), (3, 3, 3), (2, 2, 2), (1, 1, 1), (1, 1, 1), 3, (1, 0, 1)),
    ((4, 3, 5), (2, 1, 6), (1, 3, 1), (0, 1, 2), (2, 1, 1), 1, (0, 0, 0)),
]


@every_engine
@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_on_a_full_block_a_strided_convolution_equals_torchs(engine: Engine, window) -> None:
    extent, kernel, stride, padding, dilation, groups, _ = window
    built = engine.build(Case("strided", block(*extent, batches=2), kernel, stride, padding, dilation, extent))
    x, w = values(1, len(built.inputs), 2 * groups), values(2, built.taps, groups, 2, 3)
    image = torch.tensor(x).reshape(2, *extent, -1).movedim(-1, 1)
    conv = getattr(torch.nn.functional, f"conv{len(extent)}d")
    y = conv(image, torch_weight(w, kernel), None, stride, padding, dilation, groups).movedim(1, -1)
    np.testing.assert_allclose(written_into_zeros(y.shape, built, engine.convolve(built, x, w)), y.numpy(), **TIGHT)


@every_engine
@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_on_a_full_block_a_transposed_convolution_equals_torchs(engine: Engine, window) -> None:
    extent, kernel, stride, padding, dilation, groups, extra = window
    case = Case("transposed", block(*extent, batches=2), kernel, stride, padding, dilation, extent, extra)
    built = engine.build(case)
    x, w = values(1, len(built.inputs), 2 * groups), values(2, built.taps, groups, 2, 3)
    image = torch.tensor(x).reshape(2, *extent, -1).movedim(-1, 1)
    conv = getattr(torch.nn.functional, f"conv_transpose{len(extent)}d")
    kernels = torch_weight(np.swapaxes(w, 2, 3), kernel)  # torch: [C_in, C_out / groups, *kernel]
    y = conv(image, kernels, None, stride, padding, extra, groups, dilation).movedim(1, -1)
    np.testing.assert_allclose(written_into_zeros(y.shape, built, engine.convolve(built, x, w)), y.numpy(), **TIGHT)


@every_engine
@pytest.mark.parametrize("kernel", [(3,), (4,), (2, 5), (3, 3, 2)], ids=str)
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
def test_on_a_full_block_a_submanifold_convolution_equals_torchs_with_same_padding(
    engine: Engine, kernel, dilation: int
) -> None:
    ndim = len(kernel)
    extent, ones = (7, 6, 5)[:ndim], (1,) * ndim
    built = engine.build(Case("submanifold", block(*extent), kernel, ones, ones, (dilation,) * ndim, extent))
    x, w = values(1, len(built.inputs), 2), values(2, built.taps, 1, 2, 3)
    image = torch.tensor(x).reshape(1, *extent, 2).movedim(-1, 1)
    conv = getattr(torch.nn.functional, f"conv{ndim}d")
    y = conv(image, torch_weight(w, kernel), padding="same", dilation=dilation).movedim(1, -1)
    np.testing.assert_allclose(engine.convolve(built, x, w), y.reshape(-1, 3).numpy(), **TIGHT)


def torch_weight(w: np.ndarray, kernel: tuple[int, ...]) -> torch.Tensor:
    """[V, G, I, O] in torch's layout: [G * O, I, *kernel]."""
    _, groups, width_in, width_out = w.shape
    return torch.tensor(w).permute(1, 3, 2, 0).reshape(groups * width_out, width_in, *kernel)


def written_into_zeros(shape: Sequence[int], built: Rules, y: np.ndarray) -> np.ndarray:
    """Output rows at their positions in a dense image; positions that no input reaches are zero."""
    dense = np.zeros(tuple(shape))
    dense[tuple(built.outputs.T)] = y
    return dense


@every_reference
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_results_have_the_type_of_the_inputs(reference, dtype: type) -> None:
    book = reference.submanifold_rulebook(block(3, 3), 3)
    x, w, b = (values(1, *shape).astype(dtype) for shape in ((9, 2), (9, 2, 4), (4,)))
    y = reference.convolve(x, w, book, b)
    assert {a.dtype for a in (y, *reference.convolve_backward(y, x, w, book))} == {np.dtype(dtype)}


@every_reference
def test_numbers_that_are_not_contiguous_in_memory_give_the_same(reference) -> None:
    book = reference.submanifold_rulebook(block(3, 3), 3)
    x, w, g = values(1, 9, 4)[:, ::2], values(2, 3, 2, 9).T, values(3, 9, 6)[::-1, ::2]
    assert not any(a.flags.c_contiguous for a in (x, w, g))
    packed = [np.ascontiguousarray(a) for a in (g, x, w)]
    np.testing.assert_allclose(reference.convolve(x, w, book), reference.convolve(*packed[1:], book), **TIGHT)
    backward = reference.convolve_backward
    for mine, right in zip(backward(g, x, w, book), backward(*packed, book), strict=True):
        np.testing.assert_allclose(mine, right, **TIGHT)


def ones(*shape: int) -> np.ndarray:
    return np.ones(shape)


BAD = {
    r"weight must have shape \[9, C_in, C_out\]": lambda r, book: r.convolve(ones(9, 2), ones(8, 2, 3), book),
    r"weight must have shape .* not \[9, 2\]": lambda r, book: r.convolve(ones(9, 2), ones(9, 2), book),
    "features have 4 channels, but weight takes 2": lambda r, book: r.convolve(ones(9, 4), ones(9, 2, 3), book),
    r"features must have shape \[9, C\]": lambda r, book: r.convolve(ones(7, 2), ones(9, 2, 3), book),
    r"bias must have shape \[3\], not \[2\]": lambda r, book: r.convolve(ones(9, 2), ones(9, 2, 3), book, ones(2)),
    r"grad_output must have the output's shape \[9, 3\], not \[9, 2\]": (
        lambda r, book: r.convolve_backward(ones(9, 2), ones(9, 2), ones(9, 2, 3), book)
    ),
}


@every_reference
@pytest.mark.parametrize("message", BAD)
def test_shapes_that_do_not_fit_are_refused(reference, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BAD[message](reference, reference.submanifold_rulebook(block(3, 3), 3))


@every_reference
def test_values_that_are_not_real_numbers_are_refused(reference) -> None:
    book = reference.submanifold_rulebook(block(3, 3), 3)
    with pytest.raises(TypeError, match="features must be real numbers, not <U1"):
        reference.convolve(np.full((9, 2), "a"), ones(9, 2, 3), book)
    with pytest.raises(TypeError, match="weight must be real numbers, not complex128"):
        reference.convolve(ones(9, 2), 1j * ones(9, 2, 3), book)


@given(case=cases(at_most=6), groups=groups)
def test_counted_operations_equal_those_of_the_oracle(case: Case, groups: int) -> None:
    book = sscn_ref.strided_rulebook(case.coordinates, *case.window)
    rules = {tap: set(zip(a.tolist(), b.tolist(), strict=True)) for tap, (a, b) in enumerate(book.rules)}
    weight = values(0, len(rules), groups, 2, 3)
    products = sum(1 for _ in oracle._each_product(rules, weight))
    assert sscn_ref.count_operations(book, 2 * groups, 3 * groups, groups) == (book.number_of_rules, products)


def test_a_dense_convolution_costs_every_tap_at_every_position() -> None:
    book = sscn_ref.submanifold_rulebook([[0, 5, 5]], 3)
    assert sscn_ref.count_operations(book, 16, 32) == (1, 512)
    assert sscn_ref.count_dense_operations((10, 10), 3, 16, 32, batch_size=2) == (1800, 1800 * 512)
    with pytest.raises(ValueError, match="groups must divide in_channels 3 and out_channels 4, not 2"):
        sscn_ref.count_operations(book, 3, 4, groups=2)
