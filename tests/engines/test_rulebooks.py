"""Every engine builds the rules of the relation on the sites that the kind of convolution determines."""

import numpy as np
import pytest
from hypothesis import given

from sscn_ref import Rulebook
from tests.support.cases import NAMED, Case, expected
from tests.support.engines import Engine, every_engine, every_reference
from tests.support.strategies import cases, sites


def check(engine: Engine, case: Case) -> None:
    built, right = engine.build(case), expected(case)
    assert built.input_sites == right.input_sites
    assert built.output_sites == right.output_sites
    assert built.rules == right.rules


@every_engine
@pytest.mark.parametrize("name", NAMED)
def test_rules_of_chosen_cases_equal_the_oracles(engine: Engine, name: str) -> None:
    check(engine, NAMED[name])


@every_engine
@given(case=cases(kind="submanifold"))
def test_submanifold_rules_equal_the_oracles(engine: Engine, case: Case) -> None:
    check(engine, case)


@every_engine
@given(case=cases(kind="strided"))
def test_strided_rules_equal_the_oracles(engine: Engine, case: Case) -> None:
    check(engine, case)


@every_engine
@given(case=cases(kind="inverse"))
def test_inverse_rules_equal_the_oracles(engine: Engine, case: Case) -> None:
    check(engine, case)


@every_engine
@given(case=cases(kind="transposed"))
def test_transposed_rules_equal_the_oracles(engine: Engine, case: Case) -> None:
    check(engine, case)


def cloud(count: int, ndim: int, spread: int, seed: int = 0) -> np.ndarray:
    """Distinct sites of two batches, of any sign, in random order."""
    drawn = np.random.default_rng(seed).integers(-spread, spread, (count, 1 + ndim))
    drawn[:, 0] %= 2
    return np.random.default_rng(seed).permutation(np.unique(drawn, axis=0)).astype(np.int32)


LARGE = {
    "submanifold": Case("submanifold", cloud(20_000, 3, 20), (3, 3, 3), (1, 1, 1), (1, 1, 1), (1, 1, 1)),
    "strided": Case("strided", cloud(20_000, 3, 20), (3, 2, 4), (2, 2, 3), (1, 0, 2), (1, 2, 1)),
    "inverse": Case("inverse", cloud(20_000, 2, 150), (3, 4), (2, 3), (1, 1), (2, 1)),
    "transposed": Case("transposed", cloud(3_000, 3, 30), (3, 2, 2), (2, 2, 1), (1, 0, 0), (1, 2, 1)),
}


@every_engine
@pytest.mark.parametrize("kind", LARGE)
def test_on_many_sites_every_rule_obeys_the_relation_and_none_is_missing(engine: Engine, kind: str) -> None:
    """Each rule obeys the relation, and none is missing: every tap has as many rules as sites with a partner."""
    case = LARGE[kind]
    built = engine.build(case)
    backwards = kind in ("inverse", "transposed")
    inputs, outputs = built.inputs, built.outputs
    fine, coarse = (outputs, inputs) if backwards else (inputs, outputs)
    present = {tuple(site) for site in fine.tolist()}
    for tap, index in zip(np.ndindex(*case.kernel_size), built.rules, strict=True):
        pairs = np.array(sorted(built.rules[index]), dtype=np.int64).reshape(-1, 2)
        rows_fine, rows_coarse = (pairs[:, 1], pairs[:, 0]) if backwards else (pairs[:, 0], pairs[:, 1])
        wanted = coarse.astype(np.int64)
        wanted[:, 1:] = wanted[:, 1:] * case.stride + np.array(tap) * case.dilation - case.padding
        assert (fine[rows_fine] == wanted[rows_coarse]).all()
        assert len(pairs) == sum(tuple(site) in present for site in wanted.tolist())


@every_engine
@given(case=cases(at_most=8))
def test_moving_all_sites_by_strides_moves_the_outputs_and_keeps_the_rules(engine: Engine, case: Case) -> None:
    free = Case(case.kind, case.coordinates, *case.window)
    moved = case.coordinates.copy()
    step = {"submanifold": 1, "transposed": 1}.get(case.kind, case.stride)
    moved[:, 1:] += 7 * np.array(step, np.int32)
    before, after = engine.build(free), engine.build(Case(case.kind, moved, *case.window))
    assert after.rules == before.rules


@every_engine
@given(case=cases(at_most=8))
def test_batches_do_not_influence_each_other(engine: Engine, case: Case) -> None:
    """The rules of one batch alone equal those among its rows in the whole rulebook."""
    whole = engine.build(case)
    for batch in np.unique(case.coordinates[:, 0]).tolist():
        alone = case.coordinates[case.coordinates[:, 0] == batch]
        part = engine.build(Case(case.kind, alone, *case.window, case.spatial_shape, case.output_padding))
        for tap, pairs in whole.rules.items():
            joined = {(whole.input_sites[i], whole.output_sites[o]) for i, o in pairs}
            assert {site[0] for pair in joined for site in pair if pair[0][0] == batch} <= {batch}
            mine = {pair for pair in joined if pair[0][0] == batch}
            assert mine == {(part.input_sites[i], part.output_sites[o]) for i, o in part.rules[tap]}


@every_reference
@given(case=cases())
def test_rules_are_ordered_by_output_row_without_duplicates(reference, case: Case) -> None:
    book: Rulebook = reference.strided_rulebook(case.coordinates, *case.window[:4])
    for one in (book, book.transposed()):
        assert one.number_of_rules == sum(len(rows) for rows, _ in one.rules)
        for rows_in, rows_out in one.rules:
            assert rows_in.dtype == rows_out.dtype == np.int64
            assert (np.diff(rows_out) > 0).all()
            assert len(np.unique(rows_in)) == len(rows_in)


@every_reference
@given(coordinates=sites(3))
def test_an_odd_submanifold_rulebook_is_its_own_mirror_image(reference, coordinates: np.ndarray) -> None:
    """If i feeds j through a tap, j feeds i through the opposite one."""
    rules = reference.submanifold_rulebook(coordinates, (3, 1, 5)).rules
    for (rows_in, rows_out), (mirror_in, mirror_out) in zip(rules, reversed(rules), strict=True):
        assert set(zip(rows_in.tolist(), rows_out.tolist(), strict=True)) == set(
            zip(mirror_out.tolist(), mirror_in.tolist(), strict=True)
        )


@every_reference
def test_a_rulebook_keeps_coordinates_as_int32_in_the_given_order(reference) -> None:
    given_sites = np.array([[1, 5], [0, 9], [0, -3]], np.int64)
    book = reference.submanifold_rulebook(given_sites, 3)
    assert book.input_coordinates.dtype == book.output_coordinates.dtype == np.int32
    assert book.input_coordinates.tolist() == book.output_coordinates.tolist() == given_sites.tolist()


SITES = np.array([[0, 1, 2], [0, 3, 4]])
BAD = {
    "kernel_size must be at least 1": lambda r: r.submanifold_rulebook(SITES, 0),
    r"kernel_size must be one integer or 2 \(one per axis\), got 3": lambda r: r.submanifold_rulebook(SITES, (3, 3, 3)),
    "stride must be at least 1": lambda r: r.strided_rulebook(SITES, 2, 0),
    "padding must be at least 0": lambda r: r.strided_rulebook(SITES, 2, 2, -1),
    "dilation must be at least 1": lambda r: r.transposed_rulebook(SITES, 2, 2, 0, 0),
    r"the output shape would be \(0, 4\)": lambda r: r.strided_rulebook(SITES, (9, 2), 1, spatial_shape=(8, 5)),
    r"site \[0, 3, 4\] \(batch first\) lies outside spatial_shape \(4, 4\)": (
        lambda r: r.strided_rulebook(SITES, 2, 2, spatial_shape=4)
    ),
    r"output_padding \(1, 1\) requires spatial_shape": (lambda r: r.transposed_rulebook(SITES, 2, 2, output_padding=1)),
    r"output_padding must be smaller than stride or dilation on every axis, got \(2, 2\)": (
        lambda r: r.transposed_rulebook(SITES, 2, 2, spatial_shape=8, output_padding=2)
    ),
    r"spatial_shape \(5, 5\) is too small for .*padding \(4, 4\)": (
        lambda r: r.transposed_rulebook(SITES, 2, 1, 4, spatial_shape=5)
    ),
    r"rows 0 and 2 of coordinates are the same site \[0, 1, 2\]": (
        lambda r: r.submanifold_rulebook(np.concatenate([SITES, SITES]), 3)
    ),
    r"coordinates from 0 to 4000000000 do not fit in int32": (
        lambda r: r.transposed_rulebook(np.array([[0, 2 * 10**9]]), 1, 2)
    ),
    r"axis 0 -2147483648\.\.2147483647, axis 1 .* positions, but int64 numbers 9\.2e18": (
        lambda r: r.submanifold_rulebook(np.array([[0, -(2**31), -(2**31)], [1, 2**31 - 1, 2**31 - 1]]), 3)
    ),
}


@every_reference
@pytest.mark.parametrize("message", BAD)
def test_bad_arguments_are_refused_with_what_is_allowed(reference, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BAD[message](reference)
