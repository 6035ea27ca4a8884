"""torchsparse's functions of tensors and points."""

from sscn_triton.compat.missing import names
from sscn_triton.compat.torchsparse.nn.functional.activation import leaky_relu, relu, silu
from sscn_triton.compat.torchsparse.nn.functional.conv import *  # noqa: F403
from sscn_triton.compat.torchsparse.nn.functional.conv import INSTEAD
from sscn_triton.compat.torchsparse.nn.functional.conv import __all__ as _conv
from sscn_triton.compat.torchsparse.nn.functional.count import spcount
from sscn_triton.compat.torchsparse.nn.functional.crop import spcrop
from sscn_triton.compat.torchsparse.nn.functional.devoxelize import calc_ti_weights, spdevoxelize
from sscn_triton.compat.torchsparse.nn.functional.hash import sphash
from sscn_triton.compat.torchsparse.nn.functional.pooling import global_avg_pool, global_max_pool
from sscn_triton.compat.torchsparse.nn.functional.query import sphashquery
from sscn_triton.compat.torchsparse.nn.functional.voxelize import spvoxelize

__getattr__ = names(__name__, INSTEAD)

__all__ = [
    "calc_ti_weights",
    "global_avg_pool",
    "global_max_pool",
    "leaky_relu",
    "relu",
    "silu",
    "spcount",
    "spcrop",
    "spdevoxelize",
    "sphash",
    "sphashquery",
    "spvoxelize",
    *_conv,
]
