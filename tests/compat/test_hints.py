"""A missing name of a stand-in's tensor or package gives one line that names the alternative."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

import sscn_triton.compat.minkowski as ME
import sscn_triton.compat.sparseconvnet as scn
import sscn_triton.compat.spconv.pytorch as spconv
from sscn_triton.compat import spine
from tests.support.imports import check_imports

COORDS = torch.tensor([[0, 1, 1], [0, 2, 0]])


def tensors():
    """A tensor of each stand-in."""
    rows = torch.ones(2, 3)
    return {
        "SparseConvNetTensor": scn.InputLayer(2, 4)((COORDS.roll(-1, 1), rows)),
        "SparseConvTensor": spconv.SparseConvTensor(rows, COORDS.int(), [4, 4], 1),
        "BackendTensor": spine.create_tensor(features=rows, coordinates=COORDS),
        "SparseTensor": ME.SparseTensor(rows, COORDS),
        "TensorField": ME.TensorField(rows, COORDS),
    }


HINTS = [(name, attribute) for name, x in tensors().items() for attribute in x.INSTEAD]


@pytest.mark.parametrize(("name", "attribute"), HINTS)
def test_a_missing_attribute_suggests_its_counterpart(name, attribute):
    x = tensors()[name]
    assert not hasattr(x, attribute)
    assert getattr(x, attribute, "nothing") == "nothing"
    with pytest.raises(AttributeError) as caught:
        getattr(x, attribute)
    assert str(caught.value) == f"{name!r} object has no attribute {attribute!r}: use {x.INSTEAD[attribute]}"


@pytest.mark.parametrize("name", list(tensors()))
def test_other_missing_attributes_are_named_and_copies_work(name):
    x = tensors()[name]
    with pytest.raises(AttributeError, match=f"^{name!r} object has no attribute 'spam'$"):
        x.spam  # noqa: B018
    rows = "F" if isinstance(x, ME.SparseTensor) else "features"
    for other in (copy.copy(x), copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert torch.equal(getattr(other, rows), torch.ones(2, 3))


IMPORTS = {
    "from sparseconvnet.sparseConvNetTensor import SparseConvNetTensor": None,
    "from sparseconvnet.activations import Sigmoid, Tanh, ReLU": None,
    "from sparseconvnet.metadata import Metadata": None,
    "from sparseconvnet.sequential import Sequential": None,
    "from sparseconvnet.networkInNetwork import NetworkInNetwork": None,
    "from sparseconvnet.submanifoldConvolution import SubmanifoldConvolution": None,
    "from sparseconvnet.ioLayers import InputLayer, OutputLayer": None,
    "from sparseconvnet.utils import *": None,
    "import sparseconvnet.batchNormalization": None,
    "from sparseconvnet import Sparsify": "use sscn_triton.nn.Prune on a SparseTensor",
    "import sparseconvnet.shapeContext": "use SubmanifoldConvolution",
    "from sparseconvnet.denseToSparse import DenseToSparse": "use sscn_triton.SparseTensor.from_dense",
    "import sparseconvnet.spam": "stand-in for SparseConvNet has no spam",
}


def test_sparseconvnets_modules_are_found_or_say_what_to_use(tmp_path):
    after = """
import sparseconvnet
assert sparseconvnet.activations.Sigmoid is sparseconvnet.Sigmoid
assert not hasattr(sparseconvnet, "Sparsify")
"""
    before = 'from sscn_triton.compat import install\ninstall("sparseconvnet")'
    assert check_imports(tmp_path, IMPORTS, before, after) == []


@pytest.mark.parametrize("name", list(scn._INSTEAD))
def test_a_name_of_sparseconvnets_that_is_missing_names_an_alternative(name):
    with pytest.raises(AttributeError, match=f"^sscn_triton does not have SparseConvNet's {name}; use "):
        getattr(scn, name)
