"""spconv's functions on sizes and sites, and its hash table, give the documented results.

`test_real.py` compares them with spconv's own.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import sscn_triton.compat.spconv.pytorch as spconv
from sscn_triton.compat.spconv.pytorch import functional, ops
from sscn_triton.compat.spconv.pytorch.hash import HashTable
from tests.support import oracle
from tests.support.clouds import random_sites

NATIVE = spconv.ConvAlgo.Native


def test_a_kernel_size_of_minus_1_covers_the_whole_axis():
    assert ops.get_conv_output_size([13, 7], [-1, 3], [1, 1], [0, 0], [1, 1]) == [1, 5]
    assert ops.get_conv_output_size([13, 7], [3, -1], [2, 3], [1, 1], [2, 1]) == [6, 1]
    with pytest.raises(ValueError, match="must not be -1"):
        ops.get_deconv_output_size([13, 7], [-1, 3], [1, 1], [0, 0], [1, 1], [0, 0])


def test_sizes_are_counted_by_axis():
    assert ops.get_conv_output_size(torch.Size([9, 7]), [3, 2, 5], [2, 3, 1], [1, 0, 0], [2, 1, 1]) == [4, 2]
    with pytest.raises(ValueError, match="2 numbers"):
        ops.get_conv_output_size([9, 7], [3], [2, 3], [1, 0], [2, 1])
    with pytest.raises(ValueError, match="2 numbers"):
        ops.get_deconv_output_size([9, 7], [3, 3], [2, 3], [1, 0], [2, 1], [0])


@pytest.mark.parametrize("dimension", [1, 2, 3])
@pytest.mark.parametrize("kind", ["submanifold", "strided", "transposed"])
def test_pairs_equal_the_rules_of_the_oracle(kind, dimension):
    sites = random_sites(14, dimension, 6, 2)
    kernel, stride, padding, dilation = (
        [n] * dimension for n in ((3, 1, 1, 2) if kind == "submanifold" else (3, 2, 1, 1))
    )
    own, none = oracle.as_sites(sites.numpy()), [0] * dimension
    if kind == "submanifold":
        wanted, reached = oracle.rules_between(own, own, kernel, stride, [2] * dimension, dilation), own
    elif kind == "strided":
        built = oracle.strided(sites.numpy(), kernel, stride, padding, dilation, [6] * dimension)
        wanted, reached = built.rules, built.output_sites
    else:
        every = oracle.transposed(sites.numpy(), kernel, stride, padding, dilation).output_sites
        reached = [site for site in every if all(0 <= c < 11 for c in site[1:])]
        wanted = oracle.turned(oracle.rules_between(reached, own, kernel, stride, padding, dilation))
    geometry = (kernel, stride, padding, dilation, none, kind == "submanifold", kind == "transposed")
    found, pairs, counts = ops.get_indice_pairs(sites.int(), 2, [6] * dimension, NATIVE, *geometry)
    np.testing.assert_array_equal(found, np.array(reached))
    assert (pairs.dtype, counts.dtype, pairs.shape[:2]) == (torch.int32, torch.int32, (2, 3**dimension))
    for tap, count in enumerate(counts.tolist()):
        assert set(zip(*pairs[:, tap, :count].tolist(), strict=True)) == set(wanted.get(tap, ()))
        assert (pairs[:, tap, count:] == -1).all()
    with pytest.raises(ValueError, match="num_out_act_bound"):
        ops.get_indice_pairs(sites.int(), 2, [6] * dimension, NATIVE, *geometry, num_out_act_bound=5)


def test_global_pool_rearrange_lists_the_rows_of_every_event():
    coords = torch.tensor([[2, 0], [0, 1], [2, 3], [0, 2], [2, 1]], dtype=torch.int32)
    rows, counts = ops.global_pool_rearrange(coords, 4)
    assert counts.tolist() == [2, 0, 3, 0]
    assert rows.tolist() == [[1, 3, -1, -1, -1], [-1] * 5, [0, 2, 4, -1, -1], [-1] * 5]
    with pytest.raises(ValueError, match="batch_size is 2"):
        ops.global_pool_rearrange(coords, 2)
    assert functional._indice_to_scalar(coords, [3, 4]).tolist() == [8, 1, 11, 2, 9]
    most = torch.tensor([3], dtype=torch.int32)
    ops.maximum_value_int_(most, 2)
    assert most.tolist() == [3]
    ops.maximum_value_int_(most, 5)
    assert most.tolist() == [5]


keys = st.lists(st.integers(-5, 5), max_size=6)
steps = st.lists(st.tuples(st.sampled_from(["insert", "insert_exist_keys", "keys alone", "number"]), keys), max_size=6)


@settings(max_examples=60, deadline=None)
@given(steps=steps, kind=st.sampled_from([torch.int32, torch.int64]), value=st.sampled_from([torch.int32, torch.int64]))
def test_a_hash_table_behaves_like_a_dictionary(steps, kind, value):
    table, known, count = HashTable(torch.device("cpu"), kind, value), {}, 0
    for what, chosen in steps:
        given_keys = torch.tensor(chosen, dtype=kind)
        values = torch.arange(count, count + len(chosen), dtype=value)
        count += len(chosen)
        pairs = list(zip(chosen, values.tolist(), strict=True))
        if what == "insert":
            table.insert(given_keys, values)
            known = {**dict(reversed(pairs)), **known}
        elif what == "keys alone":
            table.insert(given_keys)
            known = {**dict.fromkeys(chosen, 0), **known}
        elif what == "insert_exist_keys":
            failed = table.insert_exist_keys(given_keys, values)
            assert failed.tolist() == [int(key not in known) for key in chosen]
            known.update({key: number for key, number in pairs if key in known})
        else:
            assert table.assign_arange_().tolist() == [len(known)]
            known = {key: number for number, key in enumerate(sorted(known))}
        found, values, number = table.items()
        assert dict(zip(found.tolist(), values.tolist(), strict=True)) == known
        assert found.tolist() == sorted(known)
        assert number.tolist() == [len(known)]
        asked = torch.arange(-6, 7, dtype=kind)
        values, missing = table.query(asked)
        assert missing.tolist() == [key not in known for key in asked.tolist()]
        assert values.tolist() == [known.get(key, 0) for key in asked.tolist()]


def test_a_hash_table_refuses_overflow_and_wrong_types():
    table = HashTable(torch.device("cpu"), torch.int64, torch.float32, max_size=2)
    table.insert(torch.tensor([4, 4, 5]), torch.tensor([0.5, 1.5, 2.5]))
    with pytest.raises(ValueError, match="max_size = 2"):
        table.insert(torch.tensor([6]))
    assert [part.tolist() for part in table.items()] == [[4, 5], [0.5, 2.5], [2]]
    assert table.items(1)[0].tolist() == [4]
    given_values = torch.tensor([9.0, 9.0])
    assert table.query(torch.tensor([5, 6]), given_values)[0].tolist() == [2.5, 9.0]
    for call in (
        lambda: HashTable(torch.device("cpu"), torch.float32, torch.int32),
        lambda: HashTable(torch.device("cpu"), torch.int32, torch.bool),
        lambda: table.insert(torch.tensor([1], dtype=torch.int32)),
        lambda: table.insert(torch.tensor([1]), torch.tensor([1])),
        table.assign_arange_,
    ):
        with pytest.raises(TypeError, match=r"torch\.|integer"):
            call()
