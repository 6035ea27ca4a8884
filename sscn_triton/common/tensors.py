"""Write tensors to files."""

from __future__ import annotations

import io
import os
from typing import Any

import torch

from .files import write_whole


def save_tensors(content: Any, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Write the output of `torch.save` to a file that is complete or absent; see `write_whole`.

    It is built in memory first, because PyTorch's writer does not survive a full disk.
    """
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_whole(path, buffer.getbuffer(), overwrite=overwrite)
