"""Tensors, keys, tables and checkpoints behave as in spconv; impossible ones are refused."""

from __future__ import annotations

import copy
import pickle
import types
from collections import OrderedDict

import pytest
import torch

import sscn_triton.compat.spconv as package
import sscn_triton.compat.spconv.pytorch as spconv
from sscn_triton.compat.spconv import constants

INDICES = torch.tensor([[0, 3, 1], [0, 0, 2], [1, 2, 2], [0, 1, 2]], dtype=torch.int32)
FEATURES = torch.tensor([[1.0], [2.0], [4.0], [8.0]])


def tensor(features=FEATURES, indices=INDICES, shape=(4, 3), batch_size=2):
    return spconv.SparseConvTensor(features, indices, shape, batch_size)


def test_dense_images_and_back():
    x = tensor()
    image = x.dense()
    assert image.shape == (2, 1, 4, 3)
    assert image[0, 0, 3, 1] == 1
    assert torch.equal(x.dense(channels_first=False), image.movedim(1, -1))
    assert torch.equal(spconv.ToDense()(x), image)
    y = spconv.SparseConvTensor.from_dense(image.movedim(1, -1))
    assert y.indices.tolist() == [[0, 0, 2], [0, 1, 2], [0, 3, 1], [1, 2, 2]]
    assert (y.indices.dtype, y.spatial_shape, y.batch_size) == (torch.int32, [4, 3], 2)
    assert torch.equal(y.dense(), image)


def test_replacing_features_keeps_sites_and_what_is_under_keys():
    x = spconv.SubMConv2d(1, 1, 3, indice_key="a")(tensor())
    y = x.replace_feature(torch.ones(4, 5))
    assert y.indices is x.indices
    assert y.indice_dict is x.indice_dict
    assert list(y.indice_dict) == ["a"]
    assert x.features.shape == (4, 1)
    assert y.find_indice_pair("b") is None
    with pytest.raises(ValueError, match="replace_feature"):
        x.features = torch.ones(4, 1)
    assert torch.equal((x + y.replace_feature(FEATURES)).features, x.features + FEATURES)
    torch.testing.assert_close((1 + x.features + x).features, 1 + 2 * x.features)
    total = x + FEATURES
    x += FEATURES
    assert torch.equal(x.features, total.features)
    assert torch.equal(x.minus().features, -total.features)


def test_indices_may_be_changed_in_place_and_replaced():
    layer = spconv.SubMConv2d(1, 1, 3, bias=False)
    torch.nn.init.ones_(layer.weight)
    x = tensor(indices=INDICES.clone(), shape=(8, 8))
    assert layer(x).features[:, 0].tolist() == [1, 10, 4, 10]
    x.indices[:, 1:] *= 2
    assert layer(x).features[:, 0].tolist() == [1, 2, 4, 8]
    x = x.replace_feature(torch.cat([x.features, torch.ones(1, 1)]))
    with pytest.raises(ValueError, match="5 rows"):
        layer(x)
    x.indices = torch.cat([x.indices, torch.tensor([[0, 6, 3]], dtype=torch.int32)])
    assert layer(x).features[:, 0].tolist() == [2, 2, 4, 8, 2]


def test_an_inverse_layer_refuses_indices_changed_after_the_layer():
    y = spconv.SparseConv2d(1, 1, 2, 2, indice_key="d")(tensor(indices=INDICES[:1], features=FEATURES[:1]))
    y.indices[:, 1] -= 1
    with pytest.raises(ValueError, match="other sites"):
        spconv.SparseInverseConv2d(1, 1, 2, "d")(y)
    y.indices[:, 1] += 1
    assert torch.equal(spconv.SparseInverseConv2d(1, 1, 2, "d")(y).indices, INDICES[:1])


def test_rows_can_be_selected():
    y = tensor().select_by_index(torch.tensor([True, False, True, False]))
    assert y.indices.tolist() == [[0, 3, 1], [1, 2, 2]]
    assert spconv.SubMConv2d(1, 2, 3)(y).features.shape == (2, 2)


def test_a_key_is_shared_by_submanifold_layers_of_one_geometry():
    x = spconv.SubMConv2d(1, 1, 3, indice_key="a")(tensor())
    assert spconv.SubMConv2d(1, 1, 3, indice_key="a")(x).indice_dict["a"] is x.indice_dict["a"]
    refused("the same kernel_size", lambda: spconv.SubMConv2d(1, 1, 5, indice_key="a")(x))
    refused("the same dilation", lambda: spconv.SubMConv2d(1, 1, 3, dilation=2, indice_key="a")(x))
    refused("already exists", lambda: spconv.SparseConv2d(1, 1, 3, indice_key="a")(x))
    refused("already exists", lambda: spconv.SparseMaxPool2d(2, indice_key="a")(x))
    refused("submanifold layer stored it", lambda: spconv.SparseInverseConv2d(1, 1, 3, "a")(x))
    y = spconv.SparseConv2d(1, 1, 2, 2, indice_key="d")(x)
    refused("same sites", lambda: spconv.SubMConv2d(1, 1, 3, indice_key="a")(y))
    refused("changes the sites", lambda: spconv.SubMConv2d(1, 1, 2, indice_key="d")(y))
    refused("kernel_size", lambda: spconv.SparseInverseConv2d(1, 1, 3, "d")(y))
    refused("known are \\['a', 'd'\\]", lambda: spconv.SparseInverseConv2d(1, 1, 2, "e")(y))


def refused(match, call, error=ValueError):
    with pytest.raises(error, match=match):
        call()


def test_wrong_arguments_are_named():
    x = tensor()
    refused("int32", lambda: tensor(indices=INDICES.long()), TypeError)
    refused("features", lambda: tensor(features=FEATURES.long()), TypeError)
    refused("spatial_shape", lambda: tensor(shape=(4, 3, 2)))
    refused("batch_size", lambda: tensor(batch_size=0))
    refused("torch.profiler", lambda: spconv.SparseConvTensor(FEATURES, INDICES, (4, 3), 2, benchmark=True))
    refused("run from", lambda: spconv.SubMConv2d(1, 1, 3)(tensor(shape=(3, 3))))
    refused("duplicate", lambda: spconv.SubMConv2d(1, 1, 3)(tensor(indices=INDICES[[0, 0, 1, 2]])))
    refused("stride 1", lambda: spconv.SubMConv2d(1, 1, 3, stride=2))
    refused("groups = 3", lambda: spconv.SubMConv2d(2, 6, 3, groups=3))
    refused("kernel_size", lambda: spconv.SubMConv2d(2, 6, (3, 3, 3)))
    refused("padding", lambda: spconv.SubMConv2d(2, 6, 3, padding=-1))
    refused("fp32_accum", lambda: spconv.SubMConv2d(2, 6, 3, fp32_accum=False))
    refused("ConvAlgo", lambda: spconv.SubMConv2d(2, 6, 3, algo="native"), TypeError)
    refused("2 channels", lambda: spconv.SubMConv2d(2, 6, 3)(x))
    refused("3 spatial axes", lambda: spconv.SubMConv3d(1, 6, 3)(x))
    refused("too small", lambda: spconv.SparseConv2d(1, 6, 5)(x))
    refused("SparseConvTensor", lambda: spconv.SubMConv2d(1, 6, 3)(FEATURES), TypeError)
    refused("indice_key", lambda: spconv.SparseInverseConv2d(1, 6, 3, None))
    refused("subm", lambda: spconv.SparseMaxPool(2, 3, subm=True))
    refused("same sites", lambda: spconv.JoinTable()([x, spconv.SparseMaxPool2d(2)(x)]))
    refused("same sites", lambda: x + tensor(indices=INDICES.flip(0)))
    refused("the same number of", lambda: spconv.AddTable()([x, spconv.SubMConv2d(1, 2, 1)(x)]))
    refused("use the layers", lambda: spconv.functional.implicit_gemm, AttributeError)
    refused("use PyTorch's quantisation", lambda: spconv.quantization, AttributeError)


def test_empty_tensors_keep_channels_extents_and_events():
    x = tensor(FEATURES[:0], INDICES[:0], (8, 8), 3)
    net = spconv.SparseSequential(
        spconv.SubMConv2d(1, 4, 3, indice_key="a"),
        torch.nn.BatchNorm1d(4),
        torch.nn.Linear(4, 6),
        spconv.SparseConv2d(6, 8, 3, 2, 1, indice_key="d"),
        spconv.SparseInverseConv2d(8, 2, 3, "d"),
        spconv.SparseMaxPool2d(2),
    )
    y = net(x)
    assert y.features.shape == (0, 2)
    assert y.spatial_shape == [4, 4]
    assert y.dense().shape == (3, 2, 4, 4)
    assert spconv.SparseGlobalMaxPool()(y).tolist() == [[0, 0]] * 3


def test_containers_apply_plain_modules_to_features():
    named = OrderedDict(conv=spconv.SubMConv2d(1, 4, 3), relu=torch.nn.ReLU())
    net = spconv.SparseSequential(named, last=spconv.SubMConv2d(4, 4, 1))
    net.add(spconv.SparseBatchNorm(4))
    net.add(spconv.SparseReLU(), "end")
    assert list(dict(net.named_children())) == ["conv", "relu", "last", "3", "end"]
    assert len(net) == 5
    assert net[-1] is list(net)[4]
    refused("'conv'", lambda: spconv.SparseSequential(named, conv=torch.nn.ReLU()))
    refused("'end'", lambda: net.add(torch.nn.ReLU(), "end"), KeyError)
    spconv.assign_name_for_sparse_modules(net)
    assert net.last._sparse_unique_name == "last"
    assert spconv.modules.is_sparse_conv(net.conv)
    table = spconv.ConcatTable().add(net).add(spconv.SubMConv2d(1, 4, 1))
    both = table(tensor())
    joined, added = spconv.JoinTable()(both), spconv.AddTable()(both)
    assert torch.equal(joined.features, torch.cat([y.features for y in both], 1))
    assert torch.equal(added.features, both[0].features + both[1].features)
    assert spconv.RemoveGrid()(added).grid is None
    assert spconv.SparseSequential(spconv.Identity(), torch.nn.Flatten())(FEATURES).shape == (4, 1)


def test_autocast_narrows_every_kind_of_layer():
    layers = [spconv.SubMConv2d(1, 2, 3), spconv.SubMConv2d(2, 2, 1), spconv.SparseConv2d(2, 2, 2, 2, indice_key="d")]
    x = tensor()
    with torch.autocast("cpu", torch.bfloat16):
        for layer in (*layers, spconv.SparseInverseConv2d(2, 1, 2, "d")):
            x = layer(x)
            assert x.features.dtype == torch.bfloat16
    x.features.float().sum().backward()
    assert layers[0].weight.grad.dtype == torch.float32


def test_an_addend_is_added_to_the_output():
    layer = spconv.SubMConv2d(1, 1, 3)
    x = tensor()
    assert torch.equal(layer(x, add_input=x).features, layer(x).features + FEATURES)


def test_tensors_of_other_sites_are_added_on_all_of_them():
    x, y = tensor(), tensor(FEATURES[:2] * 10, torch.tensor([[0, 1, 2], [0, 0, 1]], dtype=torch.int32))
    x.indice_dict["a"] = None
    features = [t.features.clone().requires_grad_() for t in (x, y)]
    total = spconv.functional.sparse_add(*(t.replace_feature(f) for t, f in zip((x, y), features, strict=True)))
    assert total.indices.tolist() == [[0, 0, 1], [0, 0, 2], [0, 1, 2], [0, 3, 1], [1, 2, 2]]
    assert total.features[:, 0].tolist() == [20, 2, 18, 1, 4]
    assert total.indice_dict == {}
    total.features.backward(torch.arange(5.0)[:, None])
    assert [f.grad[:, 0].tolist() for f in features] == [[3, 1, 4, 2], [2, 0]]
    part = tensor(FEATURES[:1], INDICES[2:3])
    whole = spconv.AddTableMisaligned()([part, x])
    assert whole.indices is x.indices
    assert whole.indice_dict is x.indice_dict
    assert whole.features[:, 0].tolist() == [1, 2, 5, 8]
    refused("spatial_shape", lambda: spconv.functional.sparse_add(x, tensor(shape=(5, 3))))


def test_the_largest_number_of_output_sites_is_recorded():
    layer = spconv.SparseConv2d(1, 1, 2, 2, record_voxel_count=True)
    layer(tensor(shape=(4, 4)))
    layer(tensor(FEATURES[:1], INDICES[:1]))
    assert layer.get_max_num_voxels().tolist() == [3]
    twin = spconv.SparseConv2d(1, 1, 2, 2, record_voxel_count=True)
    twin.load_state_dict(layer.state_dict())
    assert twin.get_max_num_voxels().tolist() == [3]
    twin.load_state_dict(spconv.SparseConv2d(1, 1, 2, 2).state_dict())
    assert twin.get_max_num_voxels().tolist() == [0]
    assert spconv.SubMConv2d(1, 1, 3).get_max_num_voxels() is None


def test_weights_of_spconv_1_load(monkeypatch):
    layer, twin = (spconv.SparseConv3d(4, 6, (3, 2, 1)) for _ in range(2))
    state = layer.state_dict()
    old = {**state, "weight": state["weight"].permute(1, 2, 3, 4, 0).contiguous()}
    twin.load_state_dict(old)
    assert torch.equal(twin.weight, layer.weight)
    assert old["weight"].shape == (3, 2, 1, 4, 6)
    native = {**state, "weight": state["weight"].permute(1, 2, 3, 0, 4).contiguous()}
    refused("size mismatch", lambda: twin.load_state_dict(native), RuntimeError)
    monkeypatch.setattr(constants, "SAVED_WEIGHT_LAYOUT", "RSKC")
    torch.nn.init.zeros_(twin.weight)
    twin.load_state_dict(native)
    assert torch.equal(twin.weight, layer.weight)


def test_weights_of_spconv_1_of_one_tap_compute_the_same():
    layer, x = spconv.SubMConv2d(3, 2, 1, bias=False), tensor(features=torch.randn(4, 3))
    old = torch.randn(1, 1, 3, 2)
    layer.load_state_dict({"weight": old})
    torch.testing.assert_close(layer(x).features, x.features @ old[0, 0])


def network():
    """Nested layers, with two kinds of weight and a plain norm."""
    inner = spconv.SparseSequential(torch.nn.BatchNorm1d(4), spconv.SubMConv2d(4, 4, 1))
    down = spconv.SparseConv2d(4, 6, (3, 2), 2, record_voxel_count=True)
    return torch.nn.Sequential(OrderedDict(stem=spconv.SubMConv2d(1, 4, 3), inner=inner, down=down))


def of_spconv_1(state):
    """A state dictionary with every kernel as ``[*kernel, in, out]``, and without voxel counts."""
    turned = {name: value.permute(1, 2, 3, 0) if value.ndim == 4 else value for name, value in state.items()}
    return {name: value for name, value in turned.items() if not name.endswith("max_num_voxels_during_training")}


def test_weights_of_spconv_1_load_into_nested_copied_and_wrapped_layers(tmp_path):
    source = network()
    torch.nn.init.ones_(source.inner[1].weight)  # both versions read it as [in, out], without a change
    state = of_spconv_1(source.state_dict())
    torch.save(network(), tmp_path / "network.pt")
    targets = [network(), copy.deepcopy(network()), pickle.loads(pickle.dumps(network()))]
    targets.append(torch.load(tmp_path / "network.pt", weights_only=False))
    for target in targets:
        for assign in (False, True):
            torch.nn.init.zeros_(target.stem.weight)
            target.load_state_dict(state, assign=assign)
            for name, value in source.state_dict().items():
                assert torch.equal(target.state_dict()[name], value), name
            assert all(p.is_contiguous() and p.requires_grad for p in target.parameters())
    wrapped = torch.nn.Module()
    wrapped.module = targets[0]  # DistributedDataParallel gives these names
    wrapped.load_state_dict({f"module.{name}": value for name, value in state.items()})
    partly = {name: value for name, value in state.items() if not name.startswith("stem")}
    refused("Missing key", lambda: targets[0].load_state_dict(partly), RuntimeError)
    found = targets[0].load_state_dict({**partly, "more": state["stem.bias"]}, strict=False)
    assert (found.missing_keys, found.unexpected_keys) == (["stem.weight", "stem.bias"], ["more"])
    assert state["stem.weight"].shape == (3, 3, 1, 4)


def turn_and_load(self, state_dict, prefix, local_metadata, strict, missing, unexpected, errors):
    """The loader of a detection library, which transposes kernels of checkpoints without a version."""
    for hook in self._load_state_dict_pre_hooks.values():
        hook(state_dict, prefix, local_metadata, strict, missing, unexpected, errors)
    for name, value in (*self._parameters.items(), *self._buffers.items()):
        given = state_dict.get(prefix + name)
        if given is None or value is None:
            continue
        if local_metadata.get("version") != 2:
            given = given.permute(given.ndim - 1, *range(given.ndim - 1))
        if given.shape != value.shape:
            errors.append(f"size mismatch for {prefix + name}: {tuple(given.shape)} and {tuple(value.shape)}")
        else:
            value.data.copy_(given)


@pytest.mark.parametrize("where", [spconv.SparseModule, spconv.conv.SparseConvolution, "an object"])
def test_an_overridden_loader_may_convert_layouts_itself(monkeypatch, where):
    source, target = network(), network()
    if where == "an object":
        for layer in target.modules():
            if isinstance(layer, spconv.SparseModule):
                monkeypatch.setattr(layer, "_load_from_state_dict", types.MethodType(turn_and_load, layer))
    else:
        monkeypatch.setattr(where, "_load_from_state_dict", turn_and_load)
    state = {name: v.permute(1, 2, 3, 0) if v.ndim == 4 else v for name, v in source.state_dict().items()}
    target.load_state_dict(state)
    for name, value in source.state_dict().items():
        assert torch.equal(target.state_dict()[name], value), name


def test_layers_are_also_names_of_the_package():
    assert package.SparseConvTensor is spconv.SparseConvTensor
    refused("Conv9d", lambda: package.Conv9d, AttributeError)
