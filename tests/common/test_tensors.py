"""A file of tensors is written as a whole, and replaces another only on request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from sscn_triton.common.tensors import save_tensors


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
