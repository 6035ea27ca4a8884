"""Sites: keys that never overflow, a hash table that can be traced, duplicates reduced as requested."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sscn_ref
from sscn_ref import HashTable, capacity_for, key_box, pack_keys, unpack_keys
from sscn_ref.hashtable import Probe
from sscn_ref.loops import build_table, pack_all
from tests.support import oracle
from tests.support.engines import Engine, every_engine, every_reference
from tests.support.strategies import ndims, points, seeds, values

any_points = ndims.flatmap(points)


@given(any_points)
def test_keys_are_unique_ordered_like_the_sites_and_invertible(coordinates: np.ndarray) -> None:
    keys = pack_keys(coordinates)
    assert (unpack_keys(keys, *key_box(coordinates)) == coordinates).all()
    by_key = [tuple(coordinates[row]) for row in np.argsort(keys, kind="stable")]
    assert by_key == sorted(by_key)
    assert len(set(keys.tolist())) == len(set(oracle.as_sites(coordinates)))
    assert pack_all(coordinates, *key_box(coordinates)).tolist() == keys.tolist()


def test_a_site_outside_the_box_is_refused_or_has_no_key() -> None:
    box = np.array([0, -2]), np.array([1, 4])
    with pytest.raises(ValueError, match=r"site \[0, 2\] lies outside the box from \[0, -2\] to \[0, 1\]"):
        pack_keys(np.array([[0, 1], [0, 2]]), *box)
    assert pack_all(np.array([[0, 1], [0, 2], [0, -3], [1, 0]]), *box).tolist() == [3, -1, -1, -1]


def test_the_largest_box_that_fits_is_packed_and_the_next_refused() -> None:
    corners = np.array([[0, 0, 0], [0, 2**31 - 1, 2**31 - 1]])
    assert pack_keys(corners).tolist() == [0, 2**62 - 1]
    wide = np.array([[0, 0, 0], [1, 2**31 - 1, 2**31 - 1]])
    with pytest.raises(ValueError, match=r"batch 0\.\.1, axis 0 0\.\.2147483647, axis 1 .* make 9\.2e\+18"):
        pack_keys(wide)


@given(any_points, any_points, st.floats(0.2, 1))
def test_a_hash_table_finds_exactly_the_inserted_keys(inside: np.ndarray, asked: np.ndarray, load: float) -> None:
    keys = pack_keys(inside).tolist()
    table, known = HashTable(capacity_for(len(keys), load)), {}
    for row, key in enumerate(keys):
        assert table.insert(key, row) == known.setdefault(key, row)
    assert len(table) == len(known)
    assert table.load <= load or not keys
    for key in [*keys, *pack_keys(asked).tolist(), 10**15]:
        assert table.lookup(key) == known.get(key, -1)


def test_a_probe_can_be_followed_slot_by_slot() -> None:
    """Three keys with the same home fill it and the two slots after it, around the end of the table."""
    table = HashTable(4)
    same = [key for key in range(200) if table.home(key) == 3][:4]
    for row, key in enumerate(same[:3]):
        assert table.trace(key) == [Probe((3 + n) % 4, same[n] if n < row else None) for n in range(row + 1)]
        assert table.insert(key, row) == row
    assert table.trace(same[2]) == [Probe(3, same[0]), Probe(0, same[1]), Probe(1, same[2])]
    assert table.trace(same[3])[-1] == Probe(2, None)
    assert table.load == 0.75


def test_a_full_table_refuses_insertion_and_still_finds_keys() -> None:
    table = HashTable(2)
    assert [table.insert(key, row=key) for key in (5, 6)] == [5, 6]
    assert table.lookup(7) == -1
    assert len(table.trace(7)) == 2
    with pytest.raises(OverflowError, match="all 2 slots are taken"):
        table.insert(7, row=0)


def test_fibonacci_hashing_spreads_neighbours() -> None:
    """Keys of a row of neighbours have different homes: no three of a hundred share one of 256 slots."""
    table = HashTable(256)
    homes = [table.home(key) for key in range(100)]
    assert max(homes.count(home) for home in homes) <= 2


def test_bad_tables_are_refused() -> None:
    with pytest.raises(ValueError, match="capacity must be a power of two and at least 2, not 6"):
        HashTable(6)
    with pytest.raises(ValueError, match="load must be above 0 and at most 1, not 0"):
        capacity_for(3, load=0)
    with pytest.raises(ValueError, match="a row number must not be negative: -1"):
        HashTable(2).insert(3, -1)


@given(any_points)
def test_the_compiled_table_equals_the_readable_one_in_every_slot(coordinates: np.ndarray) -> None:
    keys = pack_keys(coordinates)
    table = HashTable(capacity_for(len(keys)))
    first = [table.insert(key, row) for row, key in enumerate(keys.tolist())]
    slot_keys, slot_rows, slot_first = build_table(keys, table.capacity.bit_length() - 1)
    assert slot_rows.tolist() == table.rows.tolist()
    assert slot_keys.tolist() == table.keys.tolist()
    assert slot_first.tolist() == first


@every_reference
@given(coordinates=any_points)
def test_unique_sites_come_in_the_order_of_first_appearance(reference, coordinates: np.ndarray) -> None:
    sites, row_of = reference.unique_sites(coordinates)
    assert oracle.as_sites(sites) == list(dict.fromkeys(oracle.as_sites(coordinates)))
    assert (sites[row_of] == coordinates).all()


@every_engine
@pytest.mark.parametrize("how", ["sum", "mean", "max", "first", "last"])
@given(coordinates=any_points, seed=seeds)
def test_duplicates_are_merged_as_by_the_oracle(engine: Engine, how: str, coordinates: np.ndarray, seed: int) -> None:
    features = values(seed, len(coordinates), 2)
    sites, joined = engine.reduce_duplicates(coordinates, features, how)
    right_sites, right = oracle.reduce_duplicates(coordinates, features, how)
    assert oracle.as_sites(sites) == right_sites
    np.testing.assert_allclose(joined, right, rtol=1e-12, atol=1e-12)


@every_reference
def test_joined_features_keep_their_type_and_a_mean_of_integers_is_not_one(reference) -> None:
    coordinates = [[0, 1], [0, 1], [0, 2]]
    for how in ("sum", "mean", "max", "first", "last"):
        assert reference.reduce_duplicates(coordinates, np.ones((3, 2), np.float32), how)[1].dtype == np.float32
    assert reference.reduce_duplicates(coordinates, [[1], [2], [5]], "sum")[1].tolist() == [[3], [5]]
    assert reference.reduce_duplicates(coordinates, [[1], [2], [5]], "mean")[1].tolist() == [[1.5], [5]]


@every_reference
def test_a_maximum_with_nan_is_nan(reference) -> None:
    for column in ([np.nan, 1.0], [1.0, np.nan]):
        _, joined = reference.reduce_duplicates([[0, 1], [0, 1]], np.array([column]).T, "max")
        assert np.isnan(joined).all()


BAD_COORDINATES = {
    r"shape \[N, 1 \+ D\] with D from 1 to 4, not \[3\]": np.zeros(3, int),
    r"with D from 1 to 4, not \[2, 6\]": np.zeros((2, 6), int),
    r"with D from 1 to 4, not \[2, 1\]": np.zeros((2, 1), int),
    r"batch indices \(column 0 of coordinates\) must not be negative: -1": np.array([[0, 1], [-1, 0]]),
    "coordinates from 0 to 2147483648 do not fit in int32": np.array([[0, 2**31]]),
    "coordinates from -2147483649 to 0 do not fit in int32": np.array([[0, -(2**31) - 1]]),
    "do not fit in int32, -2147483648 to 2147483647": np.array([[0, 2**63]], np.uint64),
}


@every_reference
@pytest.mark.parametrize("message", BAD_COORDINATES)
def test_bad_coordinates_are_refused(reference, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        reference.unique_sites(BAD_COORDINATES[message])


@every_reference
def test_coordinates_and_reductions_of_the_wrong_kind_are_refused(reference) -> None:
    with pytest.raises(TypeError, match="coordinates must be integers, not float64"):
        reference.unique_sites(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="how must be one of sum, mean, max, first, last, not 'median'"):
        reference.reduce_duplicates([[0, 0]], [[1.0]], "median")
    with pytest.raises(ValueError, match=r"shape \[1, C\], a row for each row of coordinates, not \[2, 1\]"):
        reference.reduce_duplicates([[0, 0]], [[1.0], [2.0]], "sum")


def test_a_site_index_finds_rows_and_returns_minus_1_for_other_sites() -> None:
    index = sscn_ref.SiteIndex(np.array([[0, 5, -1], [1, 2, 2], [0, -3, 4]], np.int32))
    wanted = np.array([[0, -3, 4], [0, 5, 0], [1, 2, 2], [9, 9, 9], [0, 5, -1]])
    assert index.find(wanted).tolist() == [2, -1, 1, -1, 0]
    assert sscn_ref.SiteIndex(np.zeros((0, 3), np.int32)).find(wanted).tolist() == [-1] * 5
