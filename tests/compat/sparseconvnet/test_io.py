"""Rows become sites and return in their order, sizes that do not match are refused, scripts run unedited."""

from __future__ import annotations

import runpy
import subprocess
import sys
import types

import numpy as np
import pytest
import torch

import sscn_triton.compat as compat
import sscn_triton.compat.sparseconvnet as scn
from tests.support import oracle

COORDS = torch.tensor([[3, 1, 1], [0, 2, 0], [3, 1, 1], [2, 2, 0], [0, 2, 0], [3, 1, 1]])
FEATURES = torch.tensor([[1.0], [2.0], [4.0], [8.0], [16.0], [32.0]])


@pytest.mark.parametrize(("mode", "how"), [(1, "first"), (2, "last"), (3, "sum"), (4, "mean")])
def test_input_modes_and_the_returned_rows(mode, how):
    features = FEATURES.clone().requires_grad_()
    x = scn.InputLayer(2, 4, mode=mode)((COORDS, features))
    sites, joined = oracle.reduce_duplicates(COORDS.roll(1, 1).numpy(), FEATURES.numpy(), how)
    np.testing.assert_array_equal(x.get_spatial_locations().roll(1, 1), sites)
    np.testing.assert_allclose(x.features.detach(), joined)
    rows = scn.OutputLayer(2)(x)
    site_of = [sites.index(tuple(row)) for row in COORDS.roll(1, 1).tolist()]
    kept = {"first": [0, 1, 3], "last": [5, 4, 3]}.get(how, range(6))
    expected = [joined[site_of[row]] if row in kept else [0] for row in range(6)]
    np.testing.assert_allclose(rows.detach(), expected)
    x.features.backward(torch.tensor([[1.0], [2.0], [4.0]]))
    shares = {"mean": [1 / 3, 1 / 2, 1]}.get(how, [1, 1, 1])
    grad = [[2.0 ** site_of[row] * shares[site_of[row]] if row in kept else 0] for row in range(6)]
    np.testing.assert_allclose(features.grad, grad)


@pytest.mark.parametrize(("mode", "how"), [(1, "last"), (2, "first"), (3, "sum"), (4, "mean")])
def test_batch_length_modes_are_swapped(mode, how):
    batch = [(COORDS[COORDS[:, 2] == event][:, :2], FEATURES[COORDS[:, 2] == event]) for event in (0, 1)]
    batch[1] = (batch[1][0][:2], batch[1][1][:2])
    places, features = scn.prepare_BLInput(batch)
    assert places.tolist() == [[[0, 2], [2, 2], [0, 2]], [[3, 1], [3, 1], [-1, -1]]]
    x = scn.BLInputLayer(2, 4, mode=mode)((places, features))
    joined = {"last": [16, 8, 4], "first": [2, 8, 1], "sum": [18, 8, 5], "mean": [9, 8, 2.5]}[how]
    assert x.features[:, 0].tolist() == joined
    assert x.get_spatial_locations().tolist() == [[0, 2, 0], [2, 2, 0], [3, 1, 1]]
    a, b, c = joined
    rows = {"last": [0, b, a, 0, c, 0], "first": [a, b, 0, c, 0, 0]}.get(how, [a, b, a, c, c, 0])
    assert scn.BLOutputLayer(2)(x).flatten().tolist() == rows


def test_mode_0_keeps_rows_as_they_are_and_refuses_duplicates():
    coords, features = COORDS[[0, 1, 3]], FEATURES[[0, 1, 3]]
    x = scn.InputLayer(2, 4, mode=0)((coords, features))
    assert torch.equal(x.features, features)
    assert torch.equal(x.get_spatial_locations(), coords)
    assert torch.equal(scn.OutputLayer(2)(x), features)
    with pytest.raises(ValueError, match="duplicate"):
        scn.InputLayer(2, 4, mode=0)((COORDS, FEATURES))


def test_coordinates_may_be_floats_without_a_batch_column_and_empty():
    x = scn.InputLayer(2, 4)((torch.tensor([[3.0, 1.0], [0.0, 2.0]]), FEATURES[:2]))
    assert x.get_spatial_locations().tolist() == [[3, 1, 0], [0, 2, 0]]
    assert x.batch_size() == 1
    x = scn.InputLayer(2, 4)((COORDS[:0], FEATURES[:0], 3))
    net = scn.Sequential().add(scn.SubmanifoldConvolution(2, 1, 4, 3, True)).add(scn.UNet(2, 1, [4, 8], True))
    assert x.batch_size() == 3
    assert scn.OutputLayer(2)(net(x)).shape == (0, 4)
    assert scn.SparseToDense(2, 4)(net(x)).shape == (3, 4, 4, 4)


def test_the_batch_size_is_the_least_number_of_events():
    assert scn.InputLayer(2, 4)((COORDS, FEATURES, 5)).batch_size() == 5
    assert scn.InputLayer(2, 4)((COORDS, FEATURES, 1)).batch_size() == 2


def refused(match, call, error=ValueError):
    with pytest.raises(error, match=match):
        call()


def test_sizes_that_do_not_fit_are_also_assertion_errors():
    x = scn.InputLayer(2, 4)((COORDS, FEATURES))
    for layer in (scn.Convolution(2, 1, 1, 3, 2, False), scn.MaxPooling(2, 3, 2), scn.AveragePooling(2, 5, 1)):
        refused("does not fit", lambda layer=layer: layer(x), AssertionError)
    refused("does not fit", lambda: scn.Deconvolution(2, 1, 1, 3, 2, False).input_spatial_size(torch.tensor([4, 4])))
    refused("2 feature planes", lambda: scn.Convolution(2, 2, 1, 2, 2, False)(x), AssertionError)
    refused("no sites of spatial size", lambda: scn.Deconvolution(2, 1, 1, 2, 2, False)(x))
    refused("no sites of spatial size", lambda: scn.UnPooling(2, 2, 2)(x))
    refused("different sites", lambda: [scn.Convolution(2, 1, 1, k, s, False)(x) for k, s in ((2, 2), (3, 1), (1, 1))])
    refused(
        "no such layer reached",
        lambda: scn.Deconvolution(2, 1, 1, 3, 1, False)(scn.Convolution(2, 1, 1, 2, 2, False)(x)),
    )


def test_wrong_arguments_are_named():
    x = scn.InputLayer(2, 4)((COORDS, FEATURES))
    refused("mode", lambda: scn.InputLayer(2, 4, mode=5))
    refused("dimension", lambda: scn.InputLayer(5, 4))
    refused("axis 0", lambda: scn.InputLayer(2, 3)((COORDS, FEATURES)))
    refused("coords", lambda: scn.InputLayer(3, 4)((COORDS[:, :2], FEATURES)))
    refused("groups", lambda: scn.SubmanifoldConvolution(2, 3, 4, 3, False, 2))
    refused("filter_size", lambda: scn.SubmanifoldConvolution(2, 3, 4, 0, False))
    refused("2 axes", lambda: scn.SubmanifoldConvolution(2, 3, 4, [3, 3, 3], False))
    refused("dimension 3", lambda: scn.SubmanifoldConvolution(3, 1, 4, 3, False)(x))
    refused("nFeaturesToDrop", lambda: scn.MaxPooling(2, 2, 2, 2)(x))
    refused("SparseConvNetTensor", lambda: scn.ReLU()(FEATURES), TypeError)
    refused("'D'", lambda: scn.SparseVggNet(2, 1, [["D", 3]]))
    refused("test_reps", lambda: scn.ClassificationTrainValidate(torch.nn.Linear(1, 1), {}, {"test_reps": 2}))
    refused("InputLayer", lambda: scn.OutputLayer(2)(scn.FullConvolution(2, 1, 1, 2, 2, False)(x)))
    refused("InputLayer", lambda: scn.BLOutputLayer(2)(x))
    refused("the same number of", lambda: scn.AddTable()([x, scn.NetworkInNetwork(1, 2, False)(x)]))
    refused("use Convolution", lambda: scn.RandomizedStrideConvolution, AttributeError)


def test_input_spatial_size_leads_to_the_output_size():
    net = scn.SparseVggNet(2, 1, [["C", 8], ["MP", 3, 2], ["C", 8, 4], "C3/2"])
    assert net.input_spatial_size(torch.tensor([10, 12])).tolist() == [43, 51]
    x = scn.InputLayer(2, net.input_spatial_size(torch.tensor([10, 12])))((COORDS, FEATURES))
    assert net(x).spatial_size.tolist() == [10, 12]


def test_dropout_scales_in_evaluation():
    x = scn.InputLayer(1, 4000)((torch.arange(4000)[:, None], torch.ones(4000, 2)))
    for layer in (scn.Dropout(0.25), scn.BatchwiseDropout(0.25)):
        assert set(layer(x).features.unique().tolist()) <= {0.0, 1.0}
        assert layer.eval()(x).features.unique().tolist() == [0.75]
    assert scn.Dropout(0.25)(x).features.mean().item() == pytest.approx(0.75, abs=0.03)


def test_checkpoints_are_kept_at_powers_of_two(tmp_path):
    model, name = torch.nn.Linear(2, 2), str(tmp_path / "run")
    assert scn.checkpoint_restore(model, name, "unet", False) == 1
    for epoch in range(1, 7):
        torch.nn.init.constant_(model.bias, epoch)
        scn.checkpoint_save(model, name, "unet", epoch, False)
    assert [path.name for path in sorted(tmp_path.iterdir())] == [f"run-{n:09d}-unet.pth" for n in (1, 2, 4, 6)]
    assert scn.checkpoint_restore(model, name, "unet", False, 2) == 3
    assert model.bias.tolist() == [2, 2]
    assert scn.checkpoint_restore(model, name, "unet", False) == 7
    assert model.bias.tolist() == [6, 6]
    refused("000000003", lambda: scn.checkpoint_restore(model, name, "unet", False, 3), FileNotFoundError)


def test_helpers():
    assert [n for n in range(-1, 20) if scn.is_power2(n)] == [1, 2, 4, 8, 16]
    assert [n for n in range(20) if scn.is_square(n)] == [0, 1, 4, 9, 16]
    assert [n for n in range(0, 400, 5) if scn.has_only_one_nonzero_digit(n)] == [5, *range(10, 100, 10), 100, 200, 300]
    events = [torch.tensor([[1, 2]]), torch.LongTensor([]), torch.tensor([[3, 4], [5, 6]])]
    assert scn.batch_location_tensors(events).tolist() == [[1, 2, 0], [3, 4, 2], [5, 6, 2]]


SCRIPT = """
import sys, torch
import sparseconvnet as scn
import sparseconvnet.SCN
from sparseconvnet.utils import toLongTensor
model = scn.Sequential().add(scn.SparseVggNet(2, 1, [["C", 4], ["MP", 3, 2]])).add(scn.SparseToDense(2, 4))
size = model.input_spatial_size(torch.LongTensor([3, 3]))
data = [{"input": scn.InputLayerInput(torch.tensor([[1, 1, 0], [2, 3, 1]]), torch.ones(2, 1)),
         "target": torch.tensor([0, 1])}]
whole = torch.nn.Sequential(scn.InputLayer(2, size), model, torch.nn.Flatten(), torch.nn.Linear(36, 2))
scn.ClassificationTrainValidate(whole, {"train": data, "val": data}, {"n_epochs": 2, "use_cuda": False})
print(sys.argv[1:], scn.SCN.is_cuda_build(), scn.Identity.__module__, scn.forward_pass_hidden_states)
"""


def run(*arguments, cwd):
    command = [sys.executable, "-m", "sscn_triton.compat", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)


def test_a_script_that_imports_sparseconvnet_runs_unedited(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    done = run("sparseconvnet", "script.py", "--depth", "3", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1]
    assert last.startswith("['--depth', '3']")
    assert "sscn_triton.compat.sparseconvnet" in last
    assert int(last.split()[-1]) > 0
    assert "2 test: top1=" in done.stdout
    assert len((tmp_path / "test confusion matrix.csv").read_text().splitlines()) == 2


@pytest.mark.parametrize("arguments", [(), ("sparseconvnet",), ("warpconvnet", "x.py"), ("sparseconvnet", "none.py")])
def test_the_runner_refuses_unsuitable_arguments(tmp_path, monkeypatch, capsys, arguments):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["compat", *arguments])
    with pytest.raises(SystemExit) as end:
        runpy.run_module("sscn_triton.compat", run_name="__main__")
    assert end.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_install_puts_the_module_under_the_name_once_and_not_over_the_real_one(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "sparseconvnet"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sparseconvnet", types.ModuleType("sparseconvnet"))
    refused("already imported", lambda: compat.install("sparseconvnet"), RuntimeError)
    refused("engine", lambda: compat.install("warpconvnet"))
    monkeypatch.delitem(sys.modules, "sparseconvnet")
    before = set(sys.modules)
    assert compat.install("sparseconvnet") is scn
    assert compat.install("sparseconvnet") is scn
    import sparseconvnet

    assert sparseconvnet is scn
    for name in set(sys.modules) - before:
        del sys.modules[name]
