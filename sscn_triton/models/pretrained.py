"""Networks as files: a folder of config.json and model.safetensors, neither of which can run code.

config.json names the network's class, the arguments of its constructor, and what its user must know: the names of its
outputs, the unit of its input. Such folders come with this package (`packaged`), from `save_pretrained`, and from
repositories on Hugging Face.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn import Module

from sscn_triton.common.errors import first_line
from sscn_triton.common.files import WholeFile
from sscn_triton.common.optional import missing
from sscn_triton.common.output import plain
from sscn_triton.common.tensors import check_tensors, made_without_memory

CONFIG, WEIGHTS = "config.json", "model.safetensors"
FORMAT, VERSION = "sscn network", 1
FOLDERS = Path(__file__).parent / "weights"
REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
DEEPEST = 32
"""Levels of a network: after 31 halvings, every grid with coordinates of int32 has one site."""
Network = TypeVar("Network", bound="Pretrained")


@dataclass(frozen=True)
class Stored:
    """The content of a folder.

    architecture: name of the network's class; arguments: of its constructor, by name; weights: its state dictionary, in
    any precision; about: what its user must know, plain values that JSON can hold
    """

    architecture: str
    arguments: dict[str, Any]
    weights: dict[str, Tensor]
    about: dict[str, Any] = field(default_factory=dict)


class Pretrained(Module):
    """A network that can be saved to a folder and read from it, as its subclasses `SparseUResNet` and `DenseUResNet`.

    arguments: those of the constructor, by name, with which `save_pretrained` describes the network.

    The attribute `about` is a dictionary of plain values that `save_pretrained` stores with the weights. The networks
    of this package have ``"classes"``, the names of the outputs in order, and ``"energy_unit"``, the energy in MeV by
    which features are divided. A new network's is empty.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__()
        self.arguments = arguments
        self.about: dict[str, Any] = {}

    @classmethod
    def from_pretrained(cls: type[Network], name: str | os.PathLike[str]) -> Network:
        """A network with its weights in float32, on the CPU and in evaluation mode.

        name: a network of this package, such as ``"lartpc-192"``; or a folder that `save_pretrained` wrote; or a
        repository on Hugging Face, ``"owner/name"``, with the files of such a folder, which needs
        ``pip install 'sscn[hub]'``. A network of this package comes first, then a folder: write ``"./lartpc-192"`` for
        a folder of that name.

        Raises FileNotFoundError if there is no such network, and ValueError naming the file if it is damaged or
        contains another network than this class.
        """
        folder = folder_of(name)
        stored = read_folder(folder)
        config = folder / CONFIG
        if stored.architecture != cls.__name__:
            raise ValueError(f"{config}: describes a {stored.architecture}, not a {cls.__name__}")
        try:
            shapes = made_without_memory(lambda: cls(**stored.arguments), len(stored.weights)).state_dict()
        except (TypeError, ValueError, RuntimeError) as error:
            raise ValueError(f"{config}: network: {error}") from error
        check_tensors("weight", shapes, stored.weights, folder / WEIGHTS)
        network = _made(cls, stored.arguments)
        network.load_state_dict(stored.weights)
        network.about = stored.about
        return network.eval()

    def save_pretrained(
        self, folder: str | os.PathLike[str], about: Mapping[str, Any] | None = None, *, overwrite: bool = False
    ) -> None:
        """Write config.json and model.safetensors, which `from_pretrained` reads, to a new or an existing folder.

        The weights keep their type: ``copy.deepcopy(network).half().save_pretrained(folder)`` takes half the space.
        To publish the folder: ``hf upload owner/name FOLDER``.

        about: plain values to store; the network's own `about` if omitted. `sscn predict`, `sscn evaluate` and
        `sscn train --start` need ``"classes"`` and ``"energy_unit"``. overwrite: replace existing files.

        Raises FileExistsError for existing files; ValueError for values that JSON cannot hold, and for a network that
        `from_pretrained` would refuse, because its layers are no longer those that its constructor makes from
        `arguments`, or because a weight is not finite; OSError if a file cannot be written. If a disk is full, no new
        file is left behind, and existing ones are kept.
        """
        name, weights = type(self).__name__, self.state_dict()
        arguments = plain(f"the arguments of {name}", self.arguments)
        about = plain("about", self.about if about is None else about)
        try:
            made = made_without_memory(lambda: type(self)(**arguments), len(weights))
            check_tensors("weight", made.state_dict(), weights, Path(folder) / WEIGHTS)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ValueError(f"from_pretrained could not read this {name} again: {error}") from error
        write_folder(folder, Stored(name, arguments, weights, about), overwrite=overwrite)


def check_depth(depth: int) -> None:
    """Raise ValueError if a network has more levels than a grid can be halved."""
    if depth > DEEPEST:
        raise ValueError(f"depth must be at most {DEEPEST}, the bits of a coordinate, got {depth}")


def _made(kind: type[Network], arguments: Mapping[str, Any]) -> Network:
    """A new network, which draws no number that another one would have drawn."""
    with torch.random.fork_rng(devices=[]):
        return kind(**arguments)


def packaged() -> list[str]:
    """The names of the networks that come with this package."""
    return sorted(path.parent.name for path in FOLDERS.glob(f"*/{CONFIG}"))


def folder_of(name: str | os.PathLike[str]) -> Path:
    """The folder of a network: see `Pretrained.from_pretrained`. Raises FileNotFoundError."""
    text = os.fspath(name)
    if text in packaged():
        return FOLDERS / text
    if Path(text).is_dir():
        return Path(text)
    if Path(text).exists():
        raise FileNotFoundError(f"{text}: a file, not a folder of {CONFIG} and {WEIGHTS}")
    if REPOSITORY.fullmatch(text):
        return _downloaded(text)
    raise FileNotFoundError(f"{text}: no such folder; the networks of this package are {', '.join(packaged())}")


def _downloaded(repository: str) -> Path:
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        told = f"a repository of this name on Hugging Face {missing('huggingface_hub')}"
        raise FileNotFoundError(f"{repository}: no such folder; {told}") from error
    try:
        return Path(snapshot_download(repository, allow_patterns=[CONFIG, WEIGHTS]))
    except Exception as error:  # because the package and its HTTP client each have their own errors
        raise FileNotFoundError(
            f"{repository}: no such folder, and no repository of this name could be read from Hugging Face "
            f"({first_line(error, 120)})"
        ) from error


def read_folder(folder: Path) -> Stored:
    """The content of a folder. Raises FileNotFoundError, and ValueError naming the file if it is foreign or damaged."""
    for path in (folder / CONFIG, folder / WEIGHTS):
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file")
    path = folder / CONFIG
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not JSON ({first_line(error, 80)})") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"{path}: does not describe a network of this package")
    if content.get("version") != VERSION:
        raise ValueError(f"{path}: is of version {content.get('version')}; this package reads {VERSION}")
    for name, kind in {"architecture": str, "network": dict, "about": dict}.items():
        if not isinstance(content.get(name), kind):
            raise ValueError(f"{path}: damaged: {name} is {type(content.get(name)).__name__}")
    weights = _read_weights(folder / WEIGHTS, content.get("sha256"))
    return Stored(content["architecture"], content["network"], weights, content["about"])


def _read_weights(path: Path, checksum: str | None) -> dict[str, Tensor]:
    """checksum: None if config.json has none, because somebody wrote it by hand."""
    import safetensors
    import safetensors.torch

    written = path.read_bytes()
    if checksum is not None and hashlib.sha256(written).hexdigest() != checksum:
        raise ValueError(f"{path}: damaged, or of another network than {CONFIG} beside it: their checksums differ")
    try:
        return dict(safetensors.torch.load(written))
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path}: not a file of safetensors, or a damaged one ({first_line(error, 80)})") from error


def write_folder(folder: str | os.PathLike[str], stored: Stored, *, overwrite: bool = False) -> None:
    """Write a folder that `read_folder` reads; see `Pretrained.save_pretrained`."""
    import safetensors.torch

    if Path(folder).exists() and not Path(folder).is_dir():
        raise NotADirectoryError(f"{folder} is a file, not a folder")
    weights, config = (Path(folder) / name for name in (WEIGHTS, CONFIG))
    for path in (weights, config):
        if not overwrite and os.path.lexists(path):
            raise FileExistsError(f"{path} already exists: choose another folder, or overwrite=True")
    own = {name: w.detach().clone(memory_format=torch.contiguous_format) for name, w in stored.weights.items()}
    written = safetensors.torch.save(own, {"format": "pt"})  # `own`, because it refuses layers that share a weight
    content = {"format": FORMAT, "version": VERSION, "architecture": stored.architecture, "network": stored.arguments}
    content |= {"sha256": hashlib.sha256(written).hexdigest(), "about": stored.about}
    text = json.dumps(content, indent=1, allow_nan=False)
    with WholeFile(config, overwrite=overwrite) as described:  # it gets its name after the weights have theirs
        described.write(f"{text}\n".encode())
        described.flush()
        os.fsync(described.fileno())  # a full disk must stop it before the weights are replaced
        with WholeFile(weights, overwrite=overwrite) as file:
            file.write(written)
