"""Events for timing are simulated once, kept, and thinned to the density of another data set."""

from __future__ import annotations

from pathlib import Path

from sscn_triton.bench.events import batch_of, events


def test_simulated_events_are_cached_and_can_be_thinned(tmp_path: Path) -> None:
    made = events(32, 2, tmp_path)
    again = events(32, 2, tmp_path)
    assert all((a == b).all() for one, other in zip(made, again, strict=True) for a, b in zip(one, other, strict=True))
    batch, thin = (batch_of(made, 3, 32, density, "cpu") for density in ("real", "pilarnet"))
    assert batch.coordinates[:, 0].unique().tolist() == [0, 1, 2]
    assert len(thin.features) < len(batch.features)
    assert thin.features.min() > 0.13
