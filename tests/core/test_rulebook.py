"""Rules between two given sets of sites, on both engines, against loops over all pairs."""

from __future__ import annotations

import contextlib

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sscn_triton.core.rulebook import Rulebook, between
from sscn_triton.functional import convolve
from sscn_triton.ops.triton.interpreted import interpreted
from tests.support import oracle

ENGINES = {"cpu": contextlib.nullcontext, "triton": interpreted}
every_engine = pytest.mark.parametrize(
    "engine",
    [
        "cpu",
        pytest.param(
            "triton",
            marks=[
                pytest.mark.newest,
                pytest.mark.skipif(torch.cuda.is_available(), reason="kernels are compiled here"),
            ],
        ),
    ],
)


def distinct(ndim: int, least: int = 0):
    site = st.tuples(st.integers(0, 1), *[st.integers(-4, 4)] * ndim)
    return st.lists(site, min_size=least, max_size=12, unique=True)


@st.composite
def situations(draw):
    ndim = draw(st.integers(1, 4))
    offsets = draw(st.lists(st.tuples(*[st.integers(-3, 3)] * ndim), min_size=1, max_size=5))
    return ndim, draw(distinct(ndim)), draw(distinct(ndim)), offsets


def as_tensor(sites: list, ndim: int) -> Tensor:
    return torch.tensor(sites, dtype=torch.int32).reshape(-1, 1 + ndim)


def rules_of(sources: list, targets: list, offsets: list) -> dict[int, set]:
    found: dict[int, set] = {tap: set() for tap in range(len(offsets))}
    for tap, offset in enumerate(offsets):
        for row, (event, *site) in enumerate(targets):
            wanted = (event, *(c + o for c, o in zip(site, offset, strict=True)))
            found[tap] |= {(sources.index(wanted), row)} if wanted in sources else set()
    return found


def built(book: Rulebook) -> dict[int, set]:
    return {tap: set(zip(i.tolist(), o.tolist(), strict=True)) for tap, (i, o) in enumerate(book.pairs())}


@every_engine
@settings(max_examples=30)
@given(situation=situations())
def test_rules_between_given_sites_are_all_pairs_at_an_offset(engine: str, situation: tuple) -> None:
    ndim, sources, targets, offsets = situation
    with ENGINES[engine]():
        book = between(as_tensor(sources, ndim), as_tensor(targets, ndim), offsets)
    right = rules_of(sources, targets, offsets)
    assert built(book) == right
    assert built(book.transposed()) == oracle.turned(right)
    assert (book.input_count, book.output_count) == (len(sources), len(targets))


@every_engine
def test_a_convolution_over_them_has_the_oracles_gradients(engine: str) -> None:
    sources, targets = [(0, 3, 0), (0, -1, 2), (1, 3, 0)], [(1, 1, 0), (0, 1, 0), (0, 0, 0), (0, -3, 2)]
    offsets = [(2, 0), (3, 0), (-9, 0)]
    features = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, 1, 2, 3, dtype=torch.float64, requires_grad=True)
    with ENGINES[engine]():
        y = convolve(features, weight, None, between(as_tensor(sources, 2), as_tensor(targets, 2), offsets))
        grad = torch.randn_like(y)
        y.backward(grad)
    right = rules_of(sources, targets, offsets)
    values, kernel = features.detach().numpy(), weight.detach().numpy()
    expected = oracle.convolve(values, kernel, right, 4)
    by_features, by_weight, _ = oracle.gradients(grad.numpy(), values, kernel, right)
    for found, wanted in ((y.detach(), expected), (features.grad, by_features), (weight.grad, by_weight)):
        torch.testing.assert_close(found, torch.from_numpy(wanted))


def test_sites_that_cannot_be_joined_are_refused() -> None:
    sites = as_tensor([(0, 1), (0, 2)], 1)
    for wrong in ((sites[[0, 0]], sites), (sites, sites[[1, 1]])):
        with pytest.raises(ValueError, match="hold duplicate sites"):
            between(*wrong, [(0,)])
    with pytest.raises(ValueError, match=r"targets must be int32 \[M, 2\]"):
        between(sites, sites.long(), [(0,)])
    with pytest.raises(ValueError, match="2 integers per tap"):
        between(as_tensor([(0, 1, 1)], 2), as_tensor([(0, 1, 1)], 2), [(1,)])
    far = torch.tensor([[0] + [-(2**31)] * 4, [0] + [2**31 - 1] * 4], dtype=torch.int32)
    with pytest.raises(ValueError, match="int64"):
        between(far, far, [(0, 0, 0, 0)])
