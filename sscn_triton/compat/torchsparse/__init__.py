"""torchsparse's API on this library: ``import sscn_triton.compat.torchsparse as torchsparse``.

Arguments, parameter names and shapes, initial weights and kernel maps are those of torchsparse 2.1. Missing names raise
AttributeError or ImportError, with the alternative if there is one.
"""

from sscn_triton.compat.missing import names
from sscn_triton.compat.torchsparse import backbones, backend, backends, nn, operators, tensor, utils
from sscn_triton.compat.torchsparse.operators import cat, generative_add
from sscn_triton.compat.torchsparse.tensor import PointTensor, SparseTensor
from sscn_triton.compat.torchsparse.utils import collate as _collate  # noqa: F401
from sscn_triton.compat.torchsparse.utils import quantize as _quantize  # noqa: F401

__version__ = "2.1.0"  # of the API

_OLD = "torchsparse 2.1's names and coordinates, in which the batch index is the first column"
__getattr__ = names(
    __name__,
    {
        "tune": "sscn_triton.tune; there is one algorithm, so nothing has to be chosen",
        "point_tensor": f"torchsparse.PointTensor, and {_OLD}",
        "sparse_tensor": f"torchsparse.SparseTensor, and {_OLD}",
    },
)

__all__ = [
    "PointTensor",
    "SparseTensor",
    "backbones",
    "backend",
    "backends",
    "cat",
    "generative_add",
    "nn",
    "operators",
    "tensor",
    "utils",
]
