"""A network that is saved to a folder and read again is the same network; another folder is refused by name."""

from __future__ import annotations

import copy
import errno
import json
import os
import shutil
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("safetensors")

from sscn_triton import SparseTensor, fold_batch_norm, lartpc
from sscn_triton.models import DenseUResNet, SparseUResNet, packaged, pretrained
from sscn_triton.study.training.networks import NetworkSettings
from tests.support.clouds import random_cloud

SIZES = {"in_channels": 2, "num_classes": 3, "filters": 2, "depth": 2, "repetitions": 1}
ABOUT = {"classes": ["a", "b", "c"], "energy_unit": 0.5}


def small(seed: int = 0) -> SparseUResNet:
    torch.manual_seed(seed)
    return SparseUResNet(**SIZES).eval()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A saved network."""
    small().save_pretrained(tmp_path / "net", ABOUT)
    return tmp_path / "net"


def test_a_saved_network_is_read_with_its_weights_and_what_is_known_about_it(tmp_path: Path) -> None:
    network = SparseUResNet(**SIZES, ndim=2)
    network.save_pretrained(tmp_path / "a" / "net", ABOUT)
    assert sorted(path.name for path in (tmp_path / "a" / "net").iterdir()) == ["config.json", "model.safetensors"]
    before = torch.get_rng_state()
    found = SparseUResNet.from_pretrained(tmp_path / "a" / "net")
    assert torch.equal(before, torch.get_rng_state())
    assert not found.training
    assert found.about == ABOUT
    assert found.arguments == network.arguments == {**SIZES, "ndim": 2}
    x = random_cloud(30, channels=2, size=8, ndim=2)
    x = x.replace(x.features.float())
    assert torch.equal(found(x).features, network.eval()(x).features)
    found.save_pretrained(tmp_path / "bare", {})
    assert SparseUResNet.from_pretrained(tmp_path / "bare").about == {}
    found.save_pretrained(tmp_path / "again")
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "a" / "net" / name).read_bytes()


@pytest.mark.parametrize("architecture", ["matched", "study"])
def test_dense_networks_are_saved_too(tmp_path: Path, architecture: str) -> None:
    network = DenseUResNet(**SIZES, architecture=architecture).eval().to(memory_format=torch.channels_last_3d)
    network.save_pretrained(tmp_path)
    x = torch.randn(1, 2, 8, 8, 8)
    assert torch.equal(DenseUResNet.from_pretrained(tmp_path)(x), network(x))
    with pytest.raises(ValueError, match=r"config\.json: describes a DenseUResNet, not a SparseUResNet"):
        SparseUResNet.from_pretrained(tmp_path)


def test_weights_in_half_precision_take_half_the_space_and_compute_in_float32(tmp_path: Path, folder: Path) -> None:
    half = copy.deepcopy(small()).half()
    half.save_pretrained(tmp_path / "half")
    found = SparseUResNet.from_pretrained(tmp_path / "half")
    assert {weight.dtype for weight in found.parameters()} == {torch.float32}
    assert all(torch.equal(a, b.float()) for a, b in zip(found.parameters(), half.parameters(), strict=True))
    sizes = [(one / "model.safetensors").stat().st_size for one in (tmp_path / "half", folder)]
    numbers = sum(weight.numel() for weight in half.parameters())
    assert sizes[1] - sizes[0] > 2 * numbers - 1000


def test_an_existing_folder_is_kept_unless_its_replacement_is_wanted(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(FileExistsError, match=r"model\.safetensors already exists: .* overwrite=True"):
        small(1).save_pretrained(folder)
    (folder / "model.safetensors").rename(folder / "moved")
    with pytest.raises(FileExistsError, match=r"config\.json already exists"):
        small(1).save_pretrained(folder)
    (folder / "moved").rename(folder / "model.safetensors")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    small(1).save_pretrained(folder, overwrite=True)
    assert torch.equal(SparseUResNet.from_pretrained(folder).stem.weight, small(1).stem.weight)


def test_what_json_cannot_hold_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    for value in (object(), float("nan"), {0: "a"}, [{True: 1}]):
        with pytest.raises(ValueError, match="about must contain plain values that JSON can hold"):
            small().save_pretrained(tmp_path / "net", {"a": value})
    for wrong in (True, "classes", ["classes"]):
        with pytest.raises(TypeError, match=f"^about must be a dictionary, got {type(wrong).__name__}$"):
            small().save_pretrained(tmp_path / "net", wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^the arguments of Shared must contain plain values that JSON can hold"):
        Shared(sizes={1}).save_pretrained(tmp_path / "net")
    assert not (tmp_path / "net").exists()


class Shared(pretrained.Pretrained):
    """Two layers with one weight."""

    def __init__(self, sizes: Any) -> None:
        super().__init__(sizes=sizes)
        self.one = torch.nn.Linear(*(sizes if isinstance(sizes, (tuple, list)) else (1, 1)), bias=False)
        self.other = self.one


def test_layers_may_share_a_weight_and_arguments_may_be_tuples(tmp_path: Path) -> None:
    network = Shared(sizes=(2, 3))
    network.save_pretrained(tmp_path)
    assert torch.equal(Shared.from_pretrained(tmp_path).other.weight, network.one.weight)


class Forgetful(SparseUResNet):
    def __init__(self, width: int) -> None:
        super().__init__(filters=width, depth=2, repetitions=1)


def test_what_could_not_be_read_again_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    changed, broken = small(), small()
    changed.head = torch.nn.Linear(2, 3)  # type: ignore[assignment]
    broken.stem.weight.data[0, 0, 0] = float("nan")
    for network, message in [
        (changed, "the network has no head.bias|head.0.bias is missing"),
        (broken, "weight stem.weight has values that are not finite"),
        (fold_batch_norm(small()), "do not belong to the network"),
        (Forgetful(2), "unexpected keyword argument 'in_channels'"),
    ]:
        with pytest.raises(ValueError, match=f"^from_pretrained could not read this .* again: .*({message})"):
            network.save_pretrained(tmp_path / "net")
    assert not (tmp_path / "net").exists()


def test_a_file_is_no_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    for name in ("net/config.json", str(folder / "model.safetensors")):  # the first could be a repository's name
        with pytest.raises(FileNotFoundError, match=rf"^{name}: a file, not a folder of config\.json and model\."):
            SparseUResNet.from_pretrained(name)
        with pytest.raises(NotADirectoryError, match=f"^{name} is a file, not a folder$"):
            small().save_pretrained(name)


def test_a_disk_that_is_full_keeps_what_was_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is space for the weights, but not for the other file, which is shorter."""

    def sync(descriptor: int) -> None:
        if os.fstat(descriptor).st_size < (folder / "model.safetensors").stat().st_size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.setattr(os, "fsync", sync)
    for name, overwrite in ("net", True), ("new", False):
        with pytest.raises(OSError, match=r"config\.json: cannot be written: No space left"):
            small(1).save_pretrained(folder.parent / name, overwrite=overwrite)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir()] == ["net"]


def damage(folder: Path, what: str) -> None:
    """Change one thing in a folder."""
    weights, config = folder / "model.safetensors", folder / "config.json"
    content = json.loads(config.read_text())
    if what == "cut":
        weights.write_bytes(weights.read_bytes()[:-10])
    elif what == "foreign weights":
        weights.write_bytes(b"hello")
        del content["sha256"]
    elif what == "another network":
        small(1).save_pretrained(folder.parent / "other")
        shutil.copy(folder.parent / "other" / weights.name, weights)
    elif what == "text":
        config.write_text("filters: 3")
        return
    elif what == "foreign":
        del content["format"]
    elif what == "newer":
        content["version"] = 2
    elif what == "no arguments":
        content["network"] = None
    elif what == "no text":
        content["about"] = ["a"]
    elif what == "unknown argument":
        content["network"]["colour"] = 1
    elif what == "too large":
        content["network"]["filters"] = 10**9
    elif what in ("depth", "repetitions"):
        content["network"][what] = 2**31 - 1
    elif what == "deep":
        config.write_text("[" * 100_000)
        return
    elif what == "bad argument":
        content["network"]["depth"] = 0
    else:
        content["network"]["filters"] = 3
    config.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("cut", r"model\.safetensors: damaged, or of another network than config\.json beside it"),
        ("another network", r"model\.safetensors: damaged, or of another network than config\.json beside it"),
        ("foreign weights", r"model\.safetensors: not a file of safetensors, or a damaged one \(SafetensorError"),
        ("text", r"config\.json: not JSON \(JSONDecodeError"),
        ("foreign", r"config\.json: does not describe a network of this package"),
        ("newer", r"config\.json: is of version 2; this package reads 1"),
        ("no arguments", r"config\.json: damaged: network is NoneType"),
        ("no text", r"config\.json: damaged: about is list"),
        ("unknown argument", r"config\.json: network: .*unexpected keyword argument 'colour'"),
        ("too large", r"config\.json: network: .*overflow"),
        ("depth", r"config\.json: network: depth must be at most 32, the bits of a coordinate, got 2147483647"),
        ("repetitions", r"config\.json: network: it describes a network of more tensors than the file has"),
        ("deep", r"config\.json: not JSON \(RecursionError"),
        ("bad argument", r"config\.json: network: depth must be at least 1"),
        ("other sizes", r"model\.safetensors: weight stem\.weight is \(27, 1, 2, 2\), the network's is "),
    ],
)
def test_a_damaged_or_foreign_folder_is_refused_by_name(folder: Path, what: str, message: str) -> None:
    damage(folder, what)
    with pytest.raises(ValueError, match=f"^{folder}/{message}"):
        SparseUResNet.from_pretrained(folder)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors: no such file"):
        SparseUResNet.from_pretrained(folder)


@pytest.mark.parametrize("name", ["lartpc-193", "/nowhere/net", "a/b/c", "net work/b"])
def test_an_unknown_name_gets_the_known_ones(name: str) -> None:
    with pytest.raises(
        FileNotFoundError, match=f"^{name}: no such folder; the networks of this package are lartpc-192$"
    ):
        SparseUResNet.from_pretrained(name)


def test_the_networks_own_name_comes_before_a_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder.rename("lartpc-192")
    assert SparseUResNet.from_pretrained("lartpc-192").arguments["filters"] == 16
    assert SparseUResNet.from_pretrained("./lartpc-192").arguments["filters"] == 2


def test_a_repository_on_hugging_face_is_read_like_a_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def snapshot_download(repository: str, allow_patterns: list[str]) -> str:
        asked.append((repository, allow_patterns))
        if repository == "we/offline":
            raise ConnectionError("the hub cannot be reached\nand more lines")
        return str(folder)

    module = types.ModuleType("huggingface_hub")
    module.snapshot_download = snapshot_download  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    assert SparseUResNet.from_pretrained("we/small.net").about == ABOUT
    assert asked == [("we/small.net", ["config.json", "model.safetensors"])]
    message = (
        r"^we/offline: no such folder, and no repository of this name could be read from Hugging Face "
        r"\(ConnectionError: the hub cannot be reached\)$"
    )
    with pytest.raises(FileNotFoundError, match=message):
        SparseUResNet.from_pretrained("we/offline")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    message = r"^we/net: no such folder; .* needs the package huggingface_hub, .*: pip install 'sscn\[hub\]'$"
    with pytest.raises(FileNotFoundError, match=message):
        SparseUResNet.from_pretrained("we/net")


def test_the_networks_of_the_package_are_small_and_complete() -> None:
    assert packaged() == ["lartpc-192"]
    for name in packaged():
        files = {path.name: path.stat().st_size for path in (pretrained.FOLDERS / name).iterdir()}
        assert set(files) == {"README.md", "config.json", "model.safetensors"}
        assert sum(files.values()) < 8e6
        network = SparseUResNet.from_pretrained(name)
        assert sum(weight.numel() for weight in network.parameters()) == 2_741_477
        assert network.about["classes"] == list(lartpc.CLASS_NAMES)


def test_a_packaged_network_labels_a_simulated_event() -> None:
    network = SparseUResNet.from_pretrained("lartpc-192")
    event = lartpc.simulate(seed=900, index=0, size=64)
    coordinates, energy, labels = map(torch.from_numpy, lartpc.collate([event]))
    predicted = network(SparseTensor(energy / network.about["energy_unit"], coordinates)).features.argmax(1)
    assert (predicted == labels).float().mean() > 0.85


@pytest.mark.parametrize("make", [SparseUResNet, DenseUResNet, NetworkSettings])
def test_a_network_has_no_more_levels_than_a_coordinate_has_bits(make: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match=r"^depth must be at most 32, the bits of a coordinate, got 33$"):
        make(filters=1, depth=33)
