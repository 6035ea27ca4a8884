"""A file of tensors is written as a whole, and replaces another only on request."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from sscn_triton.common.tensors import made_without_memory, save_tensors


def test_what_is_saved_is_loaded_and_an_existing_file_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.pt"
    save_tensors({"a": torch.arange(3)}, path)
    assert torch.load(path)["a"].tolist() == [0, 1, 2]
    with pytest.raises(FileExistsError):
        save_tensors({}, path)
    save_tensors({"a": torch.ones(1)}, path, overwrite=True)
    assert torch.load(path)["a"].tolist() == [1]

    def fail(content: Any, file: Any) -> None:
        file.write(b"half")
        raise RuntimeError("no")

    monkeypatch.setattr(torch, "save", fail)
    before = path.read_bytes()
    with pytest.raises(RuntimeError, match="no"):
        save_tensors({}, path, overwrite=True)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_network_is_made_without_memory_up_to_a_number_of_parameters():
    def make():
        return torch.nn.Sequential(torch.nn.Linear(10**6, 10**6), torch.nn.Linear(3, 2, bias=False))

    network = made_without_memory(make, 3)
    assert {name: tuple(w.shape) for name, w in network.state_dict().items()} == {
        "0.weight": (10**6, 10**6),
        "0.bias": (10**6,),
        "1.weight": (2, 3),
    }
    assert network[1].weight.is_meta
    with pytest.raises(ValueError, match="more tensors than the file has"):
        made_without_memory(make, 2)
    torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.Linear(1, 1))  # counted no longer


def test_other_threads_may_make_networks_meanwhile():
    def make():
        other = threading.Thread(target=lambda: made.append(torch.nn.Linear(2, 2)))
        other.start()
        other.join()
        return torch.nn.Linear(2, 2, bias=False)

    made = []
    assert made_without_memory(make, 1).weight.is_meta
    assert not made[0].weight.is_meta
