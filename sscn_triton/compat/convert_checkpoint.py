"""The command `sscn convert-checkpoint`: its options and its function."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sscn_triton.common.errors import first_line
from sscn_triton.common.files import check_new
from sscn_triton.common.tensors import save_tensors
from sscn_triton.compat.checkpoints import Conversion, convert_weights

HOLDERS = (
    "weights",
    "state_dict",
    "model_state",
    "model",
    "net",
)  # entries of larger checkpoints that contain the weights


@dataclass(frozen=True)
class ConvertCheckpoint:
    """Convert a checkpoint's weights from one engine's layout to another's.

    The command prints what happened to every entry; an entry that it cannot identify is an error. It writes a plain
    state dictionary.

    Args:
        source: a file that `torch.save` wrote: a state dictionary, or a checkpoint that contains one. The command reads
            only tensors and plain containers; no code in the file can run.
        target: new file to write.
        source_engine: sscn, sparseconvnet, spconv (2.x), spconv1 (1.x), minkowski or torchsparse (2.x).
        target_engine: sscn, or, if source_engine is sscn, one of the others.
        architecture: uresnet for the 2018 study's network. If omitted, names do not change.
        ndim: number of spatial axes.
        linear: comma-separated patterns of SparseConvNet weights that are a torch.nn.Linear.
        network_in_network: patterns of SparseConvNet weights that are a NetworkInNetwork.
        drop: patterns of entries to omit.
        overwrite: replace an existing file, once the new one is complete.
    """

    source: str
    target: str
    source_engine: str
    target_engine: str = "sscn"
    architecture: str | None = None
    ndim: int = 3
    linear: str = ""
    network_in_network: str = ""
    drop: str = ""
    overwrite: bool = False

    def __post_init__(self) -> None:
        check_new("target", self.target, self.overwrite)
        self.conversion()

    def conversion(self) -> Conversion:
        """The options in the form of `convert_weights`."""
        return Conversion(
            self.source_engine,
            self.target_engine,
            self.ndim,
            self.architecture,
            linear=_patterns(self.linear),
            network_in_network=_patterns(self.network_in_network),
            drop=_patterns(self.drop),
        )


def _patterns(words: str) -> tuple[str, ...]:
    return tuple(words.split(",")) if words else ()


def convert_checkpoint(options: ConvertCheckpoint) -> None:
    """Read, convert, print the mapping, write. Raises ValueError or OSError; then nothing is written."""
    state = _weights(Path(options.source))
    try:
        converted, moves = convert_weights(state, options.conversion())
    except ValueError as error:
        raise ValueError(f"{options.source}: {error}") from None
    for move in moves:
        print(move)
    save_tensors(converted, options.target, overwrite=options.overwrite)
    print(f"{options.target}: {len(converted)} entries")


def _weights(path: Path) -> dict[str, Any]:
    """The state dictionary in a file. Raises ValueError with the file's name if there is none."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, ValueError, LookupError, pickle.UnpicklingError) as error:
        raise ValueError(f"{path}: not a readable checkpoint ({first_line(error, 80)})") from error
    while isinstance(content, dict) and not _is_state(content):
        holder = next((name for name in HOLDERS if isinstance(content.get(name), dict)), None)
        content = None if holder is None else content[holder]
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected a state dictionary, or one under {', '.join(HOLDERS)}")
    return content


def _is_state(content: dict[Any, Any]) -> bool:
    return bool(content) and all(isinstance(value, torch.Tensor) for value in content.values())
