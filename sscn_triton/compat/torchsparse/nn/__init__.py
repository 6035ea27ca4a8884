"""torchsparse's layers and their functions."""

from sscn_triton.compat.missing import names
from sscn_triton.compat.torchsparse.nn import functional, modules, utils
from sscn_triton.compat.torchsparse.nn.modules import *  # noqa: F403
from sscn_triton.compat.torchsparse.nn.modules import __all__ as _layers

__getattr__ = names(__name__, {"Sequential": "torch.nn.Sequential"})

__all__ = ["functional", "modules", "utils", *_layers]
