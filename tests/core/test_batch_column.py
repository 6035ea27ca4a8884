"""A missing or last batch index gives one warning; ordinary data gives none."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from sscn_triton import SparseTensor, collate, lartpc
from sscn_triton.core import batch_column


@pytest.fixture(autouse=True)
def _never_warned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_column, "_warned", set())


@pytest.fixture(scope="module")
def events() -> list[lartpc.Event]:
    return [lartpc.simulate(seed=1, index=index, size=48) for index in range(20)]


def sites_of(events: list[lartpc.Event]) -> Tensor:
    return torch.from_numpy(lartpc.collate(events)[0])


def doubts(coordinates: Tensor, batch_size: int | None = None) -> list[str]:
    """The warnings for a tensor with these coordinates."""
    batch_column._warned.clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        SparseTensor.from_points(torch.ones(len(coordinates), 1), coordinates, None, batch_size, "first")
    assert all(one.filename == __file__ for one in caught)
    return [str(one.message) for one in caught]


@pytest.mark.parametrize("count", [1, 2, 5, 10])
def test_a_missing_batch_index_gives_a_warning(events: list[lartpc.Event], count: int) -> None:
    sites = sites_of(events[:count])
    for wrong in (sites[:, 1:], sites[:, [3, 2, 1]]):
        (said,) = doubts(wrong)
        assert (
            f"% of {len(sites)} sites have a neighbour along column 0, the batch index, as along a spatial axis" in said
        )
        assert "Coordinates are [N, 1 + D], batch index first; if these are right, pass batch_size" in said


@pytest.mark.parametrize("count", [2, 5, 20])
def test_a_batch_index_in_the_last_column_gives_a_warning(events: list[lartpc.Event], count: int) -> None:
    sites = sites_of(events[:count])
    (said,) = doubts(sites[:, [1, 2, 3, 0]])
    assert f"the last column ascends from 0 to {count - 1}, as a batch index does" in said


def test_planes_without_a_batch_index_give_a_warning(events: list[lartpc.Event]) -> None:
    sites = sites_of([lartpc.project(event, "u") for event in events[:4]])
    assert not doubts(sites)
    assert "seems to be missing" in doubts(sites_of([lartpc.project(events[0], "u")])[:, 1:])[0]
    assert "the last column ascends from 0 to 3" in doubts(sites[:, [1, 2, 0]])[0]


def test_the_warning_appears_once_and_not_with_batch_size(events: list[lartpc.Event]) -> None:
    wrong = sites_of(events[:1])[:, 1:]
    assert len(doubts(wrong)) == 1
    assert doubts(wrong, batch_size=48) == []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        batch_column._warned.clear()
        for _ in range(3):
            SparseTensor(torch.ones(len(wrong), 1), wrong)
    assert len(caught) == 1


@pytest.mark.parametrize("count", [1, 2, 16, 20, 60])
def test_simulated_events_give_no_warning(events: list[lartpc.Event], count: int) -> None:
    """60 of them are three copies of 20, as in a batch of copies."""
    sites = sites_of((events * 3)[:count])
    assert doubts(sites) == []
    assert doubts(sites.flip(0)) == []
    assert doubts(sites[torch.randperm(len(sites), generator=torch.Generator().manual_seed(0))]) == []


def test_a_repeated_event_gives_no_warning(events: list[lartpc.Event]) -> None:
    assert doubts(sites_of(events[:1] * 40)) == []


@pytest.mark.parametrize("shuffled", [False, True])
@given(
    ndim=st.integers(1, 4),
    batch_size=st.sampled_from([1, 2, 16, 40, 500]),
    rows=st.sampled_from([1, 3, 40]),
    size=st.sampled_from([5, 40, 1000]),
    seed=st.integers(0, 2**32 - 1),
)
def test_random_clouds_give_no_warning(
    shuffled: bool, ndim: int, batch_size: int, rows: int, size: int, seed: int
) -> None:
    """Few or many events of one or more rows each, in boxes that are full or almost empty."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(rows, 2 * rows, batch_size)
    batch = np.repeat(np.arange(batch_size), lengths)
    sites = np.column_stack([batch, rng.integers(0, size, (len(batch), ndim))])
    if shuffled:
        rng.shuffle(sites)
    assert doubts(torch.from_numpy(sites)) == []


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_full_boxes_give_no_warning(ndim: int) -> None:
    assert doubts(SparseTensor.from_dense(torch.ones(20, 1, *[5] * ndim)).coordinates) == []
    axes = torch.meshgrid(*[torch.arange(5)] * ndim, torch.arange(20), indexing="ij")  # the batch index fastest
    assert doubts(torch.stack(axes, -1).reshape(-1, 1 + ndim).roll(1, 1)) == []


def test_keys_beyond_int64_are_left_to_the_search_for_duplicates() -> None:
    far = torch.tensor([[batch, *[(-1) ** batch * 2**30] * 3] for batch in range(100)])
    with pytest.raises(ValueError, match="more than 2\\*\\*63 sites"):
        SparseTensor(torch.ones(100, 1), far)


def test_rows_on_a_gpu_are_not_checked_for_a_batch_column(
    monkeypatch: pytest.MonkeyPatch, events: list[lartpc.Event]
) -> None:
    wrong = sites_of(events[:1])[:, 1:]
    looked: list[int] = []
    monkeypatch.setattr(batch_column, "_share_of_neighbours", lambda *arguments: looked.append(1) or 0.0)
    limits = [bound.tolist() for bound in wrong.aminmax(dim=0)]
    batch_column.doubt_batch_column(wrong, *limits)
    batch_column.doubt_batch_column(wrong.to("meta"), *limits)  # like any device but the CPU
    assert looked == [1]


def test_errors_caused_by_a_wrong_batch_column_mention_it(events: list[lartpc.Event]) -> None:
    sites = sites_of(events[:2])
    with pytest.raises(ValueError, match=r"of batch \(column 0\) run from 0 to 47; .* The batch index is the first"):
        SparseTensor(torch.ones(len(sites), 1), sites[:, 1:], batch_size=2)
    with pytest.raises(ValueError, match=r"spatial_shape .* has 3 axes, coordinates \[\d+, 3\] have 2 after"):
        SparseTensor(torch.ones(len(sites), 1), sites[:, 1:], spatial_shape=(48, 48, 48))


def test_collated_samples_give_no_warning(events: list[lartpc.Event]) -> None:
    batch = collate([{"coordinates": event.coordinates, "energy": event.energy[:, None]} for event in events])
    assert doubts(batch["coordinates"]) == []
