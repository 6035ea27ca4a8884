"""Samples of any shape become one batch: coordinates with the sample's number first, the rest concatenated."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from sscn_triton import SparseTensor, collate, lartpc
from tests.support.clouds import random_cloud


class Sample(NamedTuple):
    sites: Any
    features: Any
    name: str = "none"


def sample(count: int, ndim: int = 3, as_array: bool = False, dtype: Any = torch.int32) -> dict[str, Any]:
    """Some voxels of one event, without a batch index."""
    generator = torch.Generator().manual_seed(count)
    made = {
        "coordinates": torch.randint(-9, 9, (count, ndim), generator=generator).to(dtype),
        "features": torch.randn(count, 2, generator=generator),
        "labels": torch.arange(count),
    }
    if as_array:
        made = {key: value.numpy() for key, value in made.items()}
    return made | {"energy": 0.5 * count, "name": f"event {count}", "vertex": torch.tensor(1.0 * count)}


@given(counts=st.lists(st.integers(0, 5), min_size=1, max_size=5), ndim=st.integers(1, 4), as_array=st.booleans())
def test_a_batch_of_dicts_holds_every_row_in_its_order(counts: list[int], ndim: int, as_array: bool) -> None:
    samples = [sample(count, ndim, as_array) for count in counts]
    batch = collate(samples)
    rows = [[number, *site] for number, one in enumerate(samples) for site in one["coordinates"].tolist()]
    assert batch["coordinates"].tolist() == rows
    assert batch["coordinates"].dtype == torch.int32
    assert batch["coordinates"].shape == (sum(counts), 1 + ndim)
    assert batch["features"].tolist() == [row for one in samples for row in one["features"].tolist()]
    assert batch["labels"].tolist() == [label for count in counts for label in range(count)]
    assert batch["energy"] == [0.5 * count for count in counts]
    assert batch["name"] == [f"event {count}" for count in counts]
    assert batch["vertex"] == [1.0 * count for count in counts]  # a tensor without an axis is one value
    assert batch["batch_size"] == len(counts)
    x = SparseTensor.from_points(batch["features"], batch["coordinates"], None, batch["batch_size"], "sum")
    assert x.batch_size == len(counts)


def test_tuples_and_lists_keep_their_type() -> None:
    parts = [(one["coordinates"], one["features"], one["name"]) for one in (sample(2), sample(3))]
    sites, features, names = collate(parts)
    assert (sites.shape, features.shape, names) == ((5, 4), (5, 2), ["event 2", "event 3"])
    assert isinstance(collate(parts), tuple)
    assert isinstance(collate([list(part) for part in parts]), list)
    named = collate([Sample(*part) for part in parts])
    assert isinstance(named, Sample)
    assert torch.equal(named.sites, sites)
    turned = collate([part[::-1] for part in parts], coordinates=2)
    assert torch.equal(turned[2], sites)


def test_several_entries_may_be_coordinates() -> None:
    one = {"voxels": torch.ones(2, 3, dtype=torch.int64), "planes": torch.ones(3, 2, dtype=torch.int16), "n": 1}
    batch = collate([one, one], coordinates=("voxels", "planes"))
    assert batch["voxels"][:, 0].tolist() == [0, 0, 1, 1]
    assert batch["planes"][:, 0].tolist() == [0, 0, 0, 1, 1, 1]
    assert (batch["voxels"].dtype, batch["planes"].dtype, batch["n"]) == (torch.int64, torch.int32, [1, 1])


def test_the_number_of_a_sample_fits_whatever_type_its_coordinates_have() -> None:
    many = [{"coordinates": np.ones((1, 2), np.uint8)}] * 300
    assert collate(many)["coordinates"][-1].tolist() == [299, 1, 1]


def test_sparse_tensors_are_joined_event_by_event() -> None:
    one, two = random_cloud(5, batch_size=2), random_cloud(4, batch_size=3, seed=1)
    joined = collate([one, two])
    assert (joined.batch_size, joined.spatial_shape, len(joined)) == (5, one.spatial_shape, 9)
    assert torch.equal(joined.features, torch.cat([one.features, two.features]))
    assert torch.equal(joined.dense(), torch.cat([one.dense(), two.dense()]))
    batch = collate([{"x": one, "y": [1]}, {"x": two, "y": [2]}])
    assert torch.equal(batch["x"].coordinates, joined.coordinates)
    assert batch["y"] == [[1], [2]]
    with pytest.raises(
        ValueError, match="samples must have the same spatial_shape, number of axes and number of channels"
    ):
        collate([one, random_cloud(4, size=9)])


@pytest.mark.parametrize("workers", [0, 2])
def test_a_data_loader_collates_with_and_without_processes(workers: int) -> None:
    samples = [
        Sample(one["coordinates"].numpy(), random_cloud(one["labels"].numel() + 1)) for one in map(sample, range(6))
    ]
    loader = DataLoader(
        samples, batch_size=4, collate_fn=functools.partial(collate, coordinates=0), num_workers=workers
    )
    first, last = loader
    assert first.sites[:, 0].tolist() == [1, 2, 2, 3, 3, 3]
    assert last.sites[:, 0].tolist() == [0] * 4 + [1] * 5
    assert (first.features.batch_size, len(first.features)) == (8, 1 + 2 + 3 + 4)
    assert first.name == ["none"] * 4


def test_a_pinned_batch_is_pinned_in_every_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """DataLoader's pinning thread does this to a batch if there is a GPU; here a pinned tensor is a marked copy."""
    from torch.utils.data._utils.pin_memory import pin_memory

    pinned: list[torch.Tensor] = []

    def pin(self: torch.Tensor, *_: Any) -> torch.Tensor:
        pinned.append(self.clone())
        return pinned[-1]

    monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
    cloud = random_cloud(4)
    cloud.grid.submanifold((3, 3, 3), (1, 1, 1))
    batch = pin_memory(collate([{"coordinates": torch.ones(2, 3, dtype=torch.int), "x": cloud, "n": 2}] * 2))
    found = [batch["coordinates"], batch["x"].features, batch["x"].coordinates]
    assert all(any(one is other for other in pinned) for one in found)
    assert torch.equal(batch["x"].features, torch.cat([cloud.features] * 2))
    assert (batch["x"].spatial_shape, batch["x"].batch_size) == (cloud.spatial_shape, 4)
    assert batch["n"] == [2, 2]


def entries(**changes: Any) -> dict[str, Any]:
    return sample(2) | changes


@pytest.mark.parametrize(
    ("samples", "error", "message"),
    [
        (sample(2), TypeError, r"collate takes a list of samples, got dict: for one sample, collate\(\[sample\]\)"),
        (torch.ones(2, 3), TypeError, "collate takes a list of samples, got a torch.float32 tensor"),
        (iter([]), TypeError, "collate takes a list of samples, got list_iterator"),
        ([], ValueError, "collate needs at least one sample, got none"),
        ([3], TypeError, "samples must be dicts, tuples, lists or SparseTensors, got int"),
        ([torch.ones(2, 3)], TypeError, "samples must be dicts, .* got a torch.float32 tensor"),
        ([sample(2), (1,)], TypeError, "sample 1 is tuple, sample 0 is dict: they must have the same type"),
        ([sample(2), {"coordinates": 1}], ValueError, r"sample 1 has the entries \['coordinates'\], sample 0 has"),
        ([(1, 2), (1, 2, 3)], ValueError, "sample 1 has 3 entries, sample 0 has 2"),
        (
            [{"sites": 1}],
            ValueError,
            r"no entry 'coordinates', only \['sites'\]: name the coordinates, as in collate\(",
        ),
        ([entries(batch_size=2)], ValueError, 'samples have an entry "batch_size", which collate adds'),
        ([entries(coordinates=[[1, 2]])], TypeError, r"'coordinates' of sample 0 must be \[N, D\] integers, got list"),
        (
            [sample(2), entries(coordinates=torch.ones(2, 3))],
            TypeError,
            "of sample 1 must be .* integers, got a torch.float32 tensor: sscn_triton.quantize turns float positions",
        ),
        (
            [entries(coordinates=torch.ones(2, 5).int())],
            ValueError,
            r"D from 1 to 4, without a batch index, got .* 5\)",
        ),
        ([sample(2), sample(2, 2)], ValueError, "'coordinates' has 2 axes in sample 1, but 3 in sample 0"),
        (
            [sample(2), entries(features=torch.ones(2, 3))],
            ValueError,
            r"entry 'features' of sample 1 has shape \(2, 3\), but that of sample 0 \(2, 2\): only the first axis",
        ),
        ([entries(name=np.array(["a", "b"]))], TypeError, "entry 'name' is an array of <U1, which no tensor can hold"),
    ],
)
def test_samples_that_make_no_batch_are_refused_by_entry_and_sample(
    samples: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        collate(samples)


def test_events_have_a_separate_collate_function_that_takes_a_list() -> None:
    event = lartpc.simulate(1, 0, 16, minimum_voxels=10)
    with pytest.raises(TypeError, match=r"got Event \(sscn_triton.lartpc.collate takes liquid-argon events\)"):
        collate([event])
    with pytest.raises(TypeError, match=r"collate takes a list of events, got one Event: collate\(\[event\]\)"):
        lartpc.collate(event)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="collate takes a list of events, got a list of ndarray"):
        lartpc.collate([event.coordinates])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="a batch needs at least one event, got none"):
        lartpc.collate([])
