"""An exported network gives the network's output for any number of voxels and events."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sscn_triton import SparseTensor, models, nn
from sscn_triton.export import ExportedNetwork, export_network, load_exported, rules_of
from tests.nn.test_own_forward import CHANNELS, LAYERS, conv, dimensions, given


def tensor(voxels: int, events: int = 1, spatial_shape: int | None = None, channels: int = 3) -> SparseTensor:
    """Random voxels, each drawn from 16 x 16 sites of a random event; those drawn twice are one."""
    torch.manual_seed(voxels)
    drawn = torch.cat([torch.randint(events, (voxels, 1)), torch.randint(16, (voxels, 2))], 1)
    sites = torch.unique(drawn, dim=0)
    return SparseTensor(torch.randn(len(sites), channels), sites, spatial_shape, events)


def features(output: SparseTensor | Tensor) -> Tensor:
    return output.features if isinstance(output, SparseTensor) else output


def classifier() -> torch.nn.Module:
    """A network with every kind of rulebook, which reads the rows of each event on a coarse grid."""
    return nn.Sequential(
        nn.SubmanifoldConv(3, 4, 3, ndim=2),
        nn.BatchNormReLU(4),
        nn.SparseConv(4, 4, 3, 2, padding=1, ndim=2),
        nn.SubmanifoldConv(4, 4, 2, ndim=2),
        nn.MaxPool(2),
        nn.Unpool(2),
        nn.GroupNorm(2, 4),
        nn.InverseConv(4, 4, 3, 2, padding=1, ndim=2),
        nn.TransposedConv(4, 4, 2, 2, ndim=2),
        nn.GlobalPool("max"),
    ).eval()


def uresnet() -> torch.nn.Module:
    return models.SparseUResNet(3, 2, filters=2, depth=2, repetitions=1, ndim=2).eval()


@pytest.fixture(scope="module")
def exported() -> ExportedNetwork:
    return export_network(uresnet(), tensor(20))


@pytest.mark.parametrize("make", [classifier, uresnet])
def test_a_saved_program_gives_the_networks_output_for_every_size(make: Any, tmp_path: Path) -> None:
    network = make()
    export_network(network, tensor(1), {"classes": ["one", "other"]}).save(tmp_path / "network.pt2")
    loaded = load_exported(tmp_path / "network.pt2")
    assert loaded.about == {"classes": ["one", "other"]}
    nothing = SparseTensor(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int32), batch_size=2)
    for x in (tensor(1), tensor(2), tensor(200), tensor(200, events=3), tensor(40, 2, 16), nothing):
        output = loaded(x)
        torch.testing.assert_close(output, features(network(x)))
        assert not output.requires_grad


def test_the_program_takes_plain_tensors(exported: ExportedNetwork) -> None:
    x = tensor(50)
    rows, rules = exported.inputs(x)
    leaves = torch.utils._pytree.tree_leaves(rules)
    assert rows is x.features
    assert all(type(leaf) is Tensor for leaf in leaves)
    assert rules["sites"] is x.coordinates
    assert exported.program.module()(rows, rules).shape == (len(x), 2)
    assert list(rules_of(x.grid, exported.plan)["steps"][0]["rules"]) == [
        "input_rows",
        "output_rows",
        "spans",
        "outputs_by_input",
        "inputs_by_input",
    ]


def test_a_network_stores_what_it_says_about_itself() -> None:
    network = nn.Sequential(nn.ReLU()).eval()
    network.about = {"energy_unit": 0.05}
    assert export_network(network, tensor(5)).about == {"energy_unit": 0.05}


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (tensor(9, channels=2), r"exported for 3 channels of float32 on 2 axes.* has 2 channels of float32 on 2 axes"),
        (tensor(9).double(), r"has 3 channels of float64"),
        (tensor(9, spatial_shape=32), r"for a spatial_shape of \(16, 16\), got \(32, 32\); exported with an example"),
    ],
)
def test_another_kind_of_tensor_is_refused(x: SparseTensor, message: str) -> None:
    network = export_network(nn.Sequential(nn.ReLU()).eval(), tensor(9, spatial_shape=16))
    with pytest.raises(ValueError, match=message):
        network(x)
    with pytest.raises(TypeError, match="takes a SparseTensor, got Tensor"):
        network.inputs(x.features)  # type: ignore[arg-type]


def partly_training() -> torch.nn.Module:
    network = uresnet()
    network.head.train()
    return network


class Halving(torch.nn.Module):
    def forward(self, x: SparseTensor) -> SparseTensor:
        return nn.Prune()(x, x.features[:, 0] > 0)


class Pair(torch.nn.Module):
    def forward(self, x: SparseTensor) -> Any:
        return x, x


@pytest.mark.parametrize(
    ("network", "error", "message"),
    [
        (uresnet().train(), ValueError, r"evaluation mode can be exported: call model\.eval\(\) first"),
        (partly_training(), ValueError, r"call model\.eval\(\) first"),
        (nn.Sequential(nn.ToDense()).eval(), ValueError, "reads the number of events of its input"),
        (Halving().eval(), ValueError, "whose sites depend on features cannot be exported: prune needs values"),
        (Pair().eval(), TypeError, "must return a SparseTensor or a tensor, got tuple"),
        (uresnet().to("meta"), ValueError, "must be on the CPU, got cpu, meta"),
        (torch.relu, TypeError, "takes a torch.nn.Module and a SparseTensor, got builtin_function_or_method"),
    ],
    ids=["training", "layer", "dense", "prune", "pair", "meta", "function"],
)
def test_a_network_that_cannot_be_exported_is_refused(network: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        export_network(network, tensor(9, spatial_shape=16))


def test_files_of_others_are_refused(exported: ExportedNetwork, tmp_path: Path) -> None:
    path = tmp_path / "network.pt2"
    with pytest.raises(FileNotFoundError, match="no such file"):
        load_exported(path)
    path.write_bytes(b"foreign")
    with pytest.raises(ValueError, match=r"network\.pt2: not an exported program, or a damaged one"):
        load_exported(path)
    with pytest.raises(FileExistsError):
        exported.save(path)
    for content, message in ({}, "export_network did not make"), ({"version": 2}, "is of version 2; this package"):
        format_ = {"format": "sscn exported network"} if content else {}
        torch.export.save(exported.program, path, extra_files={"sscn.json": json.dumps(format_ | content)})
        with pytest.raises(ValueError, match=message):
            load_exported(path)


def test_damage_anywhere_is_found_before_pytorch_reads_the_file(
    exported: ExportedNetwork, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "network.pt2"
    exported.save(path)
    whole, damaged = path.read_bytes(), []
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            name, extra = struct.unpack("<HH", whole[entry.header_offset + 26 : entry.header_offset + 30])
            start = entry.header_offset + 30 + name + extra
            damaged.append((start + entry.file_size // 2, entry.filename))
    assert any("weight" in name for _, name in damaged)
    monkeypatch.setattr(torch.export, "load", lambda file: pytest.fail("read"))
    for place, _ in damaged:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(
            ValueError, match=r"network\.pt2: not an exported program, or a damaged one \(ValueError: .*"
        ):
            load_exported(path)
    for length in (0, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"network\.pt2: not an exported program, or a damaged one"):
            load_exported(path)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ("[1]", "export_network did not make"),
        ("{", "damaged one"),
        ("plan", r"damaged one \(KeyError: 'plan'"),
        ("takes", r"damaged one \(KeyError: 'takes'"),
        ("about", r"damaged one \(KeyError: 'about'"),
    ],
)
def test_a_wrong_description_is_refused(
    exported: ExportedNetwork, tmp_path: Path, description: str, message: str
) -> None:
    path = tmp_path / "network.pt2"
    plan, takes = exported.plan.as_json(), exported.takes._asdict()
    content = {"format": "sscn exported network", "version": 1, "plan": plan, "takes": takes, "about": {}}
    if description in content:
        del content[description]
        description = json.dumps(content)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/extra/sscn.json", description)
    with pytest.raises(ValueError, match=rf"^{path}: .*{message}"):
        load_exported(path)


def test_about_must_be_plain_values_and_the_file_new_before_any_work(
    exported: ExportedNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.export, "export", lambda *given, **options: pytest.fail("exported"))
    monkeypatch.setattr(torch.export, "save", lambda *given, **options: pytest.fail("saved"))
    for about in ({"a": {1, 2}}, {"a": {1: "one"}}):
        with pytest.raises(ValueError, match="about must contain plain values"):
            export_network(uresnet(), tensor(5), about)
    with pytest.raises(TypeError, match="about must be a dictionary, got list"):
        export_network(uresnet(), tensor(5), ["a"])  # type: ignore[arg-type]
    (tmp_path / "network.pt2").touch()
    with pytest.raises(FileExistsError):
        exported.save(tmp_path / "network.pt2")


@pytest.mark.deep
@pytest.mark.parametrize("name", sorted(LAYERS.keys() - {"Prune", "ToDense"}))
def test_every_other_layer_can_be_exported(name: str) -> None:
    ndim = dimensions(name)
    x = given(name, ndim)
    before: list[torch.nn.Module] = [nn.MaxPool(2)] if name == "Unpool" else []
    if name.startswith("InverseConv"):
        before = [nn.SparseConv(CHANNELS, CHANNELS, 2, 2, ndim=ndim)]
    network = nn.Sequential(conv(ndim), *before, LAYERS[name]()).double().eval()
    one = SparseTensor(x.features[:1], x.coordinates[:1], x.spatial_shape, x.batch_size)
    torch.testing.assert_close(export_network(network, one)(x), features(network(x)))


FRESH = """
import sys, torch
import sscn_triton
from sscn_triton.export import load_exported
network, sites, rows, want = load_exported(sys.argv[1]), *torch.load(sys.argv[2])
torch.testing.assert_close(network(sscn_triton.SparseTensor(rows, sites)), want)
"""


@pytest.mark.deep
def test_a_fresh_process_gives_the_same_logits(exported: ExportedNetwork, tmp_path: Path) -> None:
    network, x = uresnet(), tensor(150, 2)
    export_network(network, tensor(9)).save(tmp_path / "network.pt2")
    torch.save((x.coordinates, x.features, features(network(x)).detach()), tmp_path / "want.pt")
    subprocess.run([sys.executable, "-c", FRESH, tmp_path / "network.pt2", tmp_path / "want.pt"], check=True)


@pytest.mark.deep
def test_inductor_compiles_a_program_ahead_of_time(tmp_path: Path) -> None:
    network = nn.Sequential(nn.SubmanifoldConv(3, 4, 3, ndim=2), nn.BatchNormReLU(4), nn.GlobalPool()).eval()
    exported = export_network(network, tensor(20, 2))
    compiled = torch._inductor.aoti_compile_and_package(exported.program, package_path=str(tmp_path / "compiled.pt2"))
    run = torch._inductor.aoti_load_package(compiled)
    for x in (tensor(1), tensor(200, 3)):
        torch.testing.assert_close(run(*exported.inputs(x)), network(x))
