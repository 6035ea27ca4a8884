"""torchsparse's helpers."""

from sscn_triton.compat.missing import names
from sscn_triton.compat.torchsparse.utils.to_dense import to_dense
from sscn_triton.compat.torchsparse.utils.utils import make_divisible, make_ntuple, make_tensor

__getattr__ = names(
    __name__,
    {"tune": "sscn_triton.tune; there is one algorithm, so nothing has to be chosen", "make_nlist": "make_ntuple"},
)

__all__ = ["make_divisible", "make_ntuple", "make_tensor", "to_dense"]
