"""Convolutions, their kernel maps, and the modes of both."""

from sscn_triton.compat.missing import names
from sscn_triton.compat.torchsparse.nn.functional.conv import conv_config, conv_mode, kmap, utils
from sscn_triton.compat.torchsparse.nn.functional.conv.conv import conv3d
from sscn_triton.compat.torchsparse.nn.functional.conv.conv_config import (
    Dataflow,
    clear_global_conv_config,
    get_default_conv_config,
    get_global_conv_config,
    set_global_conv_config,
)
from sscn_triton.compat.torchsparse.nn.functional.conv.conv_mode import (
    ConvMode,
    get_conv_mode,
    get_downsample_mode,
    get_kmap_mode,
    set_conv_mode,
    set_downsample_mode,
    set_kmap_mode,
)
from sscn_triton.compat.torchsparse.nn.functional.conv.kmap import spdownsample, spupsample_generative

INSTEAD = dict.fromkeys(("build_kernel_map", "transpose_kernel_map"), "conv3d, which makes and keeps kernel maps")
__getattr__ = names(__name__, {**INSTEAD, "func": "conv3d"})

__all__ = [
    "ConvMode",
    "Dataflow",
    "clear_global_conv_config",
    "conv3d",
    "conv_config",
    "conv_mode",
    "get_conv_mode",
    "get_default_conv_config",
    "get_downsample_mode",
    "get_global_conv_config",
    "get_kmap_mode",
    "kmap",
    "set_conv_mode",
    "set_downsample_mode",
    "set_global_conv_config",
    "set_kmap_mode",
    "spdownsample",
    "spupsample_generative",
    "utils",
]
