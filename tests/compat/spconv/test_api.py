"""Every name that public code can reach in spconv 2.3.8 exists with its parameters, or one clear error names it."""

from __future__ import annotations

import importlib
import inspect
import json
import sys
from pathlib import Path

import pytest
import torch

import sscn_triton.compat.spconv.pytorch as spconv
from sscn_triton.compat import missing
from sscn_triton.compat.spconv.tools import CUDAKernelTimer
from tests.compat.spconv import spconv_api
from tests.support.imports import check_imports

PACKAGE = "sscn_triton.compat.spconv"
TABLE = json.loads((Path(__file__).parent / "spconv_api.json").read_text())
NAMES = [(module, name) for module, entries in TABLE.items() for name in entries]
UNSPOKEN = {  # members of existing classes that are missing here, with the reason
    "_pybind11_conduit_v1_": "spconv's binding",
    "calc_meta_data": "spconv's buffers of a voxel generator",
    "densehashdata": "spconv's buffers of a voxel generator",
    "indices": "spconv's buffers of a voxel generator",
    "num_per_voxel": "spconv's buffers of a voxel generator",
    "point_to_voxel_empty_mean_static": "spconv's buffers of a voxel generator",
    "point_to_voxel_static": "spconv's buffers of a voxel generator",
    "voxels": "spconv's buffers of a voxel generator",
    "_namespace": "how spconv's timer does it",
    "_record": "how spconv's timer does it",
    "_check_inverse_reuse_valid": "how spconv's layers check",
    "_check_subm_reuse_valid": "how spconv's layers check",
    "_load_weight_different_layout": "how spconv's layers load",
    "scale": "8-bit layers",
    "zero_point": "8-bit layers",
}


def module_of(short):
    return importlib.import_module(f"{PACKAGE}.{short}".rstrip("."))


def split(line):
    """Names and defaults of a line of parameters, without ``self`` and ``cls``."""
    parts = [part.partition("=") for part in line.split(", ") if part]
    return [(name, default) for name, _, default in parts if name not in ("self", "cls")]


@pytest.mark.parametrize(("module", "name"), NAMES)
def test_a_name_exists_with_its_parameters_or_names_an_alternative(module, name):
    theirs = TABLE[module][name]
    if not hasattr(module_of(module), name):
        with pytest.raises(AttributeError, match=name if theirs == "value" else f"{name}; use "):
            getattr(module_of(module), name)
        return
    ours = getattr(module_of(module), name)
    if isinstance(theirs, str):
        if theirs != "value":
            assert split(spconv_api.parameters(ours)) == split(theirs)
        return
    for member, line in theirs.items():
        if member == "attributes" or member in UNSPOKEN:
            continue
        assert hasattr(ours, member) or member in inspect.get_annotations(ours), member
        if line != "value" and line:
            found = split(spconv_api.parameters(getattr(ours, member)))
            for (wanted, default), (given, other) in zip(split(line), found, strict=True):
                assert wanted == given, member
                assert default == other or "<" in default, member


@pytest.mark.parametrize("path", list(spconv_api.INSTANCES))
def test_objects_have_the_members_of_spconvs(path):
    module, _, name = path.rpartition(".")
    made = spconv_api.instances(PACKAGE)[spconv_api.INSTANCES[path]]
    lacking = [a for a in TABLE[module][name]["attributes"].split() if not hasattr(made, a) and a not in UNSPOKEN]
    assert lacking == []


def test_members_that_are_copied_between_tensors_exist():
    x = spconv.SparseConvTensor(torch.ones(1, 2), torch.zeros(1, 3, dtype=torch.int32), [2, 2], 1)
    y = spconv.SparseConvTensor(
        x.features, x.indices, x.spatial_shape, x.batch_size, x.grid, x.voxel_num, x.indice_dict
    )
    y._features = torch.ones(1, 2, 3)
    for name in ("benchmark", "benchmark_record", "thrust_allocator", "_timer", "force_algo", "int8_scale"):
        setattr(y, name, getattr(x, name))
    assert y.benchmark_record is x.benchmark_record
    assert y.replace_feature(x.features).benchmark_record is x.benchmark_record
    assert x.benchmark_record == {}
    with x._timer.namespace("layer"), x._timer.record("gemm"):
        assert x._timer.get_all_pair_time() == {}
    assert (x.thrust_allocator, x.int8_scale, x.benchmark) == (None, None, False)
    assert x.dequantize().features.dtype == torch.float32
    for call in (lambda: setattr(x, "benchmark", True), CUDAKernelTimer):
        with pytest.raises(ValueError, match=r"torch\.profiler"):
            call()
    with pytest.raises(ValueError, match="quantized"):
        x.q_scale()


def test_pairs_by_output_and_by_input_row_are_the_rules():
    indices = torch.tensor([[0, 0, 1], [0, 1, 1], [1, 3, 2]], dtype=torch.int32)
    x = spconv.SparseConvTensor(torch.ones(3, 1), indices, [4, 4], 2)
    x = spconv.SubMConv2d(1, 1, 3, indice_key="a")(x)
    x = spconv.SparseConv2d(1, 1, 2, 2, indice_key="b")(x)
    for key in ("a", "b"):
        data = x.indice_dict[key]
        rules = {
            (tap, i, o)
            for tap, (inputs, outputs) in enumerate(data.pairs())
            for i, o in zip(inputs, outputs, strict=True)
        }
        rules = {(tap, int(i), int(o)) for tap, i, o in rules}
        assert data.pair_fwd.shape == (len(data.pairs()), len(data.out_indices))
        assert data.pair_bwd.shape == (len(data.pairs()), len(data.indices))
        assert {(t, int(data.pair_fwd[t, o]), o) for t, o in (data.pair_fwd >= 0).nonzero().tolist()} == rules
        assert {(t, i, int(data.pair_bwd[t, i])) for t, i in (data.pair_bwd >= 0).nonzero().tolist()} == rules
        assert int(data.indice_pair_num.sum()) == len(rules)


def test_a_layer_refuses_pairs_that_no_layer_made():
    indices = torch.zeros(1, 3, dtype=torch.int32)
    pairs, counts = torch.zeros(2, 9, 1, dtype=torch.int32), torch.ones(9, dtype=torch.int32)
    sizes = ([3, 3], [1, 1], [1, 1], [1, 1])
    data = spconv.core.IndiceData(indices, indices, pairs, counts, [2, 2], [2, 2], True, spconv.ConvAlgo.Native, *sizes)
    assert data.indice_pairs is pairs
    x = spconv.SparseConvTensor(torch.ones(1, 1), indices, [2, 2], 1, indice_dict={"a": data})
    for layer in (spconv.SubMConv2d(1, 1, 3, indice_key="a"), spconv.SparseMaxPool2d(2, indice_key="a")):
        with pytest.raises(TypeError, match="'a' stores IndiceData, which no layer of sscn_triton made"):
            layer(x)


def test_tables_and_identity_keep_a_spatial_size():
    joined = spconv.ConcatTable().add(spconv.Identity()).add(spconv.Identity())
    for layer in (spconv.Identity(), spconv.JoinTable(), spconv.AddTable(), spconv.AddTableMisaligned(), joined):
        assert layer.input_spatial_size([4, 3]) == [4, 3]


def test_a_module_that_occurs_twice_runs_twice():
    relu = torch.nn.ReLU()
    double = spconv.SubMConv2d(1, 1, 1, bias=False)
    torch.nn.init.constant_(double.weight, 2)
    x = spconv.SparseConvTensor(torch.ones(1, 1), torch.zeros(1, 3, dtype=torch.int32), [2, 2], 1)
    net = spconv.SparseSequential(double, relu, double, relu, double)
    assert net(x).features.item() == 8
    assert net[4] is net[-1] is double
    assert len(list(net)) == len(net) == 5
    assert [y.features.item() for y in spconv.ConcatTable().add(double).add(double)(x)] == [2, 2]


def test_a_subclass_may_convolve_with_another_weight():
    class Halved(spconv.SubMConv2d):
        def forward(self, input):
            return self._conv_forward(self.training, input, self.weight / 2, self.bias, name=self.name)

    x = spconv.SparseConvTensor(torch.randn(3, 2), torch.tensor([[0, 0, 1], [0, 1, 1], [0, 2, 0]]).int(), [3, 3], 1)
    layer = Halved(2, 3, 3, bias=False)
    whole = spconv.SubMConv2d.forward(layer, x).features
    torch.testing.assert_close(layer(x).features, whole / 2)
    with pytest.raises(ValueError, match="8-bit"):
        layer._conv_forward(True, x, layer.weight, None, output_scale=2.0)
    with pytest.raises(ValueError, match="activation after the layer"):
        spconv.conv.SparseConvolution(2, 1, 1, act_type="relu")
    fans = layer._calculate_fan_in_and_fan_out()
    assert fans == (18, 27)
    layer._custom_kaiming_uniform_(layer.weight, mode="fan_out", nonlinearity="relu")
    assert 0.4 < float(layer.weight.detach().abs().max()) <= (6 / 27) ** 0.5


IMPORTS = {
    "import spconv.pytorch.quantization": "use PyTorch's quantisation",
    "from spconv.pytorch import quantization": "use PyTorch's quantisation",
    "from spconv.pytorch.functional import implicit_gemm": "use the layers",
    "from spconv.pytorch.quantization.graph import x": "use PyTorch's quantisation",
    "from spconv.core_cc.csrc.sparse.all import SpconvOps": "use sscn_triton",
    "from spconv.pytorch.cppcore import torch_tensor_to_tv": "use PyTorch's tensors",
    "from spconv.utils import rbbox_iou": "use the box operators",
    "import spconv.nothing": "stand-in for spconv has no nothing",
    "from spconv.pytorch.ops import nothing": "stand-in for spconv has no pytorch.ops.nothing",
    "from spconv.pytorch.hash import HashTable": None,
    "from spconv.pytorch.cppcore import get_current_stream": None,
    "from spconv.tools import CUDAKernelTimer": None,
    "from spconv.cppconstants import CPU_ONLY_BUILD": None,
    "from spconv.pytorch.conv import IndiceData, SparseModule, expand_nd": None,
    "from spconv.pytorch.constants import PYTORCH_VERSION": None,
}


def test_an_import_works_or_says_what_to_use(tmp_path):
    after = f"""
import spconv, sys
assert not hasattr(spconv.pytorch, "quantization") and not hasattr(spconv.pytorch.ops, "implicit_gemm")
ours = [n for n in sys.modules if n.startswith("{PACKAGE}")]
assert all(sys.modules[n.removeprefix("sscn_triton.compat.")] is sys.modules[n] for n in ours)
try:
    import spconv_that_is_not_there
except ModuleNotFoundError as error:
    print(error)
"""
    (foreign,) = check_imports(tmp_path, IMPORTS, 'from sscn_triton.compat import install\ninstall("spconv")', after)
    assert foreign == "No module named 'spconv_that_is_not_there'"


def test_every_file_of_a_stand_in_is_loaded_by_its_import():
    """So that `install` finds it, and no file is imported twice under two names."""
    for engine in missing.ENGINES:
        package = importlib.import_module(f"sscn_triton.compat.{engine}")
        root = Path(package.__file__).parent
        for path in root.rglob("*.py"):
            parts = path.relative_to(root).with_suffix("").parts
            name = ".".join((package.__name__, *(part for part in parts if part != "__init__")))
            assert name in sys.modules, name
