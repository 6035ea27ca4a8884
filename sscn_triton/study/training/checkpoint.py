"""Checkpoints: plain, complete, and never half written.

A checkpoint is a dictionary of tensors, numbers, strings and containers of these, written by `torch.save`, so that it
loads with ``weights_only=True`` and cannot run code. `Checkpoint` lists its entries. A trained network alone is a
folder of `sscn_triton.models.pretrained`, whose `about` says what the other entries of a checkpoint would;
`load_checkpoint` reads both.
"""

from __future__ import annotations

import io
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch

from sscn_triton.common.errors import first_line
from sscn_triton.common.options import read_options
from sscn_triton.common.tensors import check_tensors, made_without_memory, save_tensors
from sscn_triton.models.pretrained import CONFIG, WEIGHTS, folder_of, packaged, read_folder
from sscn_triton.study.data.batches import ENERGY_UNIT
from sscn_triton.study.data.labels import ALL_NAMES, class_names, classes_of
from sscn_triton.study.training.config import TrainConfig
from sscn_triton.study.training.networks import Network, NetworkSettings, make_network

FORMAT, VERSION = "sscn checkpoint", 1


@dataclass(frozen=True)
class Checkpoint:
    """Everything a training needs to continue as if it had never stopped.

    settings: the options of the training, the fields of `TrainConfig`; together with `step` they determine learning
    rate, sampler position and the randomness of every sample
    network: the argument of `make_network`
    classes: names of the outputs, in order
    energy_unit: MeV; the network reads a voxel's energy in this unit
    step: optimiser steps done
    samples: images taken from the sampler
    weights, optimizer: state dictionaries
    sscn: the version of this package that wrote it
    data: the identity of the training data, from `identity.identify`; None in checkpoints of older versions
    averaged: moving averages of the parameters, by name, of an unfinished training with `average`; else None
    """

    settings: dict[str, Any]
    network: NetworkSettings
    classes: tuple[str, ...]
    energy_unit: float
    step: int
    samples: int
    weights: dict[str, Any]
    optimizer: dict[str, Any]
    sscn: str
    data: dict[str, Any] | None = None
    averaged: dict[str, Any] | None = None


def save_checkpoint(checkpoint: Checkpoint, path: str | os.PathLike[str]) -> None:
    """Write the checkpoint under a temporary name, then replace the previous one.

    At any moment `path` is either the complete old checkpoint or the complete new one. Raises OSError and leaves the
    old one if writing fails: see `WholeFile`.
    """
    content: dict[str, Any] = {field.name: getattr(checkpoint, field.name) for field in fields(Checkpoint)}
    content["network"] = asdict(checkpoint.network)
    content["random"] = {}  # older versions, which stored unused generator states here, expect the entry
    save_tensors({"format": FORMAT, "version": VERSION, **content}, path, overwrite=True)


def load_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Load the checkpoint in a file to the CPU.

    path: of a file; or what `SparseUResNet.from_pretrained` takes: the name of a packaged network, a folder, or a
    repository on Hugging Face. A network from there has no optimiser's state.

    Raises FileNotFoundError. Raises ValueError naming the file if it is foreign, damaged or of another version, or if
    its entries do not match: weights of another network, values that are not finite, classes without outputs.
    """
    text, path = os.fspath(path), Path(path)
    if text in packaged() or path.is_dir() or not (path.is_file() or path.suffix in (".ckpt", ".pt", ".pth")):
        return _from_folder(folder_of(text))
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    written = path.read_bytes()
    try:
        content = torch.load(io.BytesIO(written), map_location="cpu", weights_only=True)
    except Exception as error:  # because a foreign file can make any part of the unpickler fail
        raise ValueError(f"{path}: not a checkpoint, or a damaged one ({first_line(error, 80)})") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"{path}: not a checkpoint of this package")
    if content.get("version") != VERSION:
        raise ValueError(f"{path}: a checkpoint of version {content.get('version')}; this package reads {VERSION}")
    optional = {"data": None, "averaged": None}
    missing = [field.name for field in fields(Checkpoint) if field.name not in content | optional]
    if missing:
        raise ValueError(f"{path}: a checkpoint without {', '.join(missing)}")
    values = {field.name: content.get(field.name) for field in fields(Checkpoint)}
    _check_kinds(values, path)
    network = read_options(NetworkSettings, values["network"], f"{path}: network")
    checkpoint = Checkpoint(**{**values, "network": network})  # type: ignore[arg-type]
    _check_weights(checkpoint, path)
    return checkpoint


def _from_folder(folder: Path) -> Checkpoint:
    """The trained network in a folder, as a checkpoint. Training options that `about` does not have are the defaults
    for its network."""
    stored, path = read_folder(folder), folder / CONFIG
    about, training = stored.about, stored.about.get("training", {})
    kind = stored.arguments.get("architecture", "sparse")
    wanted = "SparseUResNet" if kind == "sparse" else "DenseUResNet"
    if stored.architecture != wanted:
        raise ValueError(f"{path}: describes a {stored.architecture}, which no command of sscn can use")
    absent = [name for name in ("classes", "energy_unit") if name not in about]
    if absent:
        raise ValueError(
            f"{path}: about has no {' and no '.join(absent)}: SparseUResNet.save_pretrained says how to give it"
        )
    arguments = {name: value for name, value in stored.arguments.items() if name != "architecture"}
    network = read_options(NetworkSettings, {**arguments, "kind": kind}, f"{path}: network")
    values: dict[str, Any] = {"settings": _settings(network, about["classes"]), "step": 0, "samples": 0, "sscn": ""}
    values |= training if isinstance(training, dict) else {"settings": training}
    unit = float(about["energy_unit"]) if type(about["energy_unit"]) is int else about["energy_unit"]
    values |= {"classes": about["classes"], "energy_unit": unit, "weights": stored.weights}
    unknown = values.keys() - {field.name for field in fields(Checkpoint)}
    if unknown:
        raise ValueError(
            f"{path}: unknown entry about.training.{min(unknown)}; a newer version of sscn may have written it"
        )
    _check_kinds({"data": None, **values, "network": {}, "optimizer": {}, "averaged": None}, path)
    checkpoint = Checkpoint(**{**values, "network": network, "optimizer": {}})
    _check_weights(checkpoint, folder / WEIGHTS)
    return checkpoint


def _settings(network: NetworkSettings, classes: Any) -> dict[str, Any]:
    """The training options that belong to a network of which nothing else is known."""
    settings = {name: getattr(network, name) for name in ("filters", "depth", "repetitions", "ndim")}
    known = classes_of(classes) if isinstance(classes, list) else None  # `_check_kinds` refuses others
    return {**settings, "network": network.kind, "classes": known or "five"}


def _check_kinds(values: dict[str, Any], path: Path) -> None:
    """Check that the entries are as `Checkpoint` describes them, as far as this is possible without a network."""
    kinds: dict[str, Any] = dict.fromkeys(("settings", "network", "weights", "optimizer"), dict)
    kinds.update(classes=(tuple, list), energy_unit=float, step=int, samples=int, sscn=str)
    for name, kind in kinds.items():
        if not isinstance(values[name], kind):
            raise ValueError(f"{path}: not a checkpoint of this package: {name} is {type(values[name]).__name__}")
    if not (values["energy_unit"] > 0 and values["step"] >= 0 and values["samples"] >= 0):
        raise ValueError(f"{path}: a damaged checkpoint: energy_unit, step and samples must not be negative")
    for name in ("data", "averaged"):
        if not isinstance(values[name], (dict, type(None))):
            raise ValueError(f"{path}: not a checkpoint of this package: {name} is {type(values[name]).__name__}")


def _check_weights(checkpoint: Checkpoint, path: Path) -> None:
    """Check that the weights belong to the network that the checkpoint names, and are numbers."""
    if len(checkpoint.classes) != checkpoint.network.num_classes:
        raise ValueError(
            f"{path}: {len(checkpoint.classes)} classes for a network of {checkpoint.network.num_classes} outputs"
        )
    try:
        most = 2 * len(checkpoint.weights)  # a dense twin is made after the sparse network whose weights it takes
        network = made_without_memory(lambda: make_network(checkpoint.network), most)
    except ValueError as error:
        raise ValueError(f"{path}: network: {error}") from error
    check_tensors("weight", network.state_dict(), checkpoint.weights, path)
    if checkpoint.averaged is not None:
        check_tensors("averaged weight", dict(network.named_parameters()), checkpoint.averaged, path)


def training_options(checkpoint: Checkpoint, path: str | os.PathLike[str]) -> TrainConfig:
    """The options of the training that wrote the checkpoint in `path`. Only this function reads `Checkpoint.settings`.

    Raises ValueError naming the file if options are unknown to this version, are not allowed, or contradict the network
    in the same file.
    """
    options = read_options(TrainConfig, checkpoint.settings, f"{path}: settings (written by sscn {checkpoint.sscn})")
    network = checkpoint.network
    if classes_of(checkpoint.classes) is None:
        allowed, given = " or ".join(", ".join(names) for names in ALL_NAMES), ", ".join(map(str, checkpoint.classes))
        raise ValueError(f"{path}: classes must be {allowed}, got {given}")
    pairs: dict[str, tuple[Any, Any]] = {
        name: (getattr(options, name), getattr(network, name)) for name in ("filters", "depth", "repetitions", "ndim")
    }
    pairs["network"] = options.network, network.kind
    pairs["classes"] = class_names(options.classes), tuple(checkpoint.classes)
    for name, (setting, found) in pairs.items():
        if setting != found:
            raise ValueError(f"{path}: settings say {name}={setting}, but the network in the same file has {found}")
    return options


def start_weights(config: TrainConfig) -> dict[str, torch.Tensor] | None:
    """The weights in the file `config.start`, replaced by their averages where it has any; None without such a file.

    Raises FileNotFoundError. Raises ValueError naming the file if its network differs from the one in the options or
    reads energies in another unit.
    """
    if config.start is None:
        return None
    checkpoint = load_checkpoint(config.start)
    wanted = {**asdict(config.network_settings()), "classes": class_names(config.classes), "energy_unit": ENERGY_UNIT}
    found = {**asdict(checkpoint.network), "classes": tuple(checkpoint.classes), "energy_unit": checkpoint.energy_unit}
    for name, value in wanted.items():
        if found[name] != value:
            option = "network" if name == "kind" else name
            raise ValueError(f"start: {config.start} has a network of {option}={found[name]}, not {value}")
    return final_weights(checkpoint)


def final_weights(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    """The checkpoint's weights, with parameters replaced by their averages where it has any."""
    return {**checkpoint.weights, **(checkpoint.averaged or {})}


def load_network(path: str | os.PathLike[str]) -> Network:
    """The trained network of a checkpoint, on the CPU and in evaluation mode. Raises as `load_checkpoint` does."""
    return network_of(load_checkpoint(path))


def network_of(checkpoint: Checkpoint) -> Network:
    """The checkpoint's network, on the CPU and in evaluation mode."""
    with torch.random.fork_rng(devices=[]):
        network = make_network(checkpoint.network)
    network.load_state_dict(checkpoint.weights)
    return network.eval()
