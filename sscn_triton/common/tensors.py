"""Tensors in files."""

from __future__ import annotations

import io
import os
from typing import Any

import torch

from .files import write_whole


def save_tensors(content: Any, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """What `torch.save` makes of it, in a file that is whole or not there; see `write_whole`.

    It is made in memory first: PyTorch's writer does not survive a disk that is full.
    """
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_whole(path, buffer.getbuffer(), overwrite=overwrite)
