"""Checkpoints are complete or absent, contain everything, and contain nothing that can run."""

from __future__ import annotations

import resource
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sscn_triton import SparseTensor, __version__
from sscn_triton.study.training.checkpoint import (
    Checkpoint,
    load_checkpoint,
    load_network,
    save_checkpoint,
)
from sscn_triton.study.training.networks import NetworkSettings, make_network

SMALL = NetworkSettings(filters=2, depth=2, repetitions=1)


def checkpoint(settings: NetworkSettings = SMALL, step: int = 3) -> Checkpoint:
    network = make_network(settings, seed=step)
    optimizer = torch.optim.Adam(network.parameters())
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    return Checkpoint(
        settings={"steps": 10, "data": None, "learning_rate": 1e-3},
        network=settings,
        classes=("HIP", "MIP", "shower", "delta", "Michel"),
        energy_unit=0.05,
        step=step,
        samples=2 * step,
        weights=network.state_dict(),
        optimizer=optimizer.state_dict(),
        sscn=__version__,
    )


def same(one: object, other: object) -> bool:
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, (list, tuple)):
        return isinstance(other, (list, tuple)) and len(one) == len(other) and all(map(same, one, other))
    return one == other


def test_a_checkpoint_is_loaded_as_it_was_saved(tmp_path: Path) -> None:
    saved = checkpoint()
    save_checkpoint(saved, tmp_path / "a.ckpt")
    loaded = load_checkpoint(tmp_path / "a.ckpt")
    for name in Checkpoint.__dataclass_fields__:
        assert same(getattr(saved, name), getattr(loaded, name)), name
    assert [path.name for path in tmp_path.iterdir()] == ["a.ckpt"]
    plain = torch.load(tmp_path / "a.ckpt", weights_only=True)
    assert (plain["format"], plain["version"]) == ("sscn checkpoint", 1)


@pytest.mark.parametrize("kind", ["sparse", "matched", "study"])
def test_a_checkpoint_gives_its_network_ready_to_predict(tmp_path: Path, kind: str) -> None:
    settings = replace(SMALL, kind=kind)  # type: ignore[arg-type]
    saved = checkpoint(settings)
    save_checkpoint(saved, tmp_path / "a.ckpt")
    before = torch.get_rng_state()
    network = load_network(tmp_path / "a.ckpt")
    assert torch.equal(before, torch.get_rng_state())
    assert not network.training
    assert same(dict(network.state_dict()), dict(saved.weights))
    with torch.no_grad():
        if kind == "sparse":
            network(SparseTensor(torch.ones(1, 1), torch.zeros(1, 4, dtype=torch.int32), 8))
        else:
            network(torch.ones(1, 1, 8, 8, 8))


def test_a_checkpoint_with_states_of_generators_is_read(tmp_path: Path) -> None:
    """Earlier versions stored them, and look for the entry."""
    save_checkpoint(checkpoint(), tmp_path / "a.ckpt")
    plain = torch.load(tmp_path / "a.ckpt", weights_only=True)
    assert plain["random"] == {}
    torch.save({**plain, "random": {"torch": torch.get_rng_state()}}, tmp_path / "old.ckpt")
    del plain["averaged"]
    torch.save(plain, tmp_path / "older.ckpt")
    for name in ("old.ckpt", "older.ckpt"):
        assert same(dict(load_checkpoint(tmp_path / name).weights), dict(plain["weights"]))


def test_a_failed_write_keeps_the_previous_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    save_checkpoint(checkpoint(step=3), path)
    size, before = path.stat().st_size, resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, before[1]))
        with pytest.raises(OSError, match="File too large"):
            save_checkpoint(checkpoint(step=4), path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, old)
    assert load_checkpoint(path).step == 3
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.ckpt"]


class Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path("evil"),)


def test_a_file_that_is_not_a_checkpoint_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_checkpoint(checkpoint(), "a.ckpt")
    whole = Path("a.ckpt").read_bytes()
    plain = torch.load("a.ckpt", weights_only=True)
    with pytest.raises(FileNotFoundError, match=r"none\.ckpt: no such file"):
        load_checkpoint("none.ckpt")
    for name, content in {"short": whole[: len(whole) // 2], "text": b"hello", "empty": b""}.items():
        Path(name).write_bytes(content)
        with pytest.raises(ValueError, match=f"^{name}: not a checkpoint, or a damaged one"):
            load_checkpoint(name)
    for name, found, message in [
        ("foreign", {"state_dict": {}}, "not a checkpoint of this package"),
        ("newer", {**plain, "version": 2}, "a checkpoint of version 2; this package reads 1"),
        ("partial", {key: value for key, value in plain.items() if key != "optimizer"}, "without optimizer"),
        ("evil.ckpt", {**plain, "settings": Evil()}, "not a checkpoint, or a damaged one"),
    ]:
        torch.save(found, name)
        with pytest.raises(ValueError, match=f"^{name}: .*{message}"):
            load_checkpoint(name)
    assert not Path("evil").exists()
