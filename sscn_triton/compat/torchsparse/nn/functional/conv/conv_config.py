"""Settings of convolutions: which kernel maps they use. The others choose algorithms, and have no effect."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from sscn_triton.compat.torchsparse.nn.functional.conv.conv_mode import DOWNSAMPLE_MODES, KMAP_MODES, ConvMode
from sscn_triton.compat.torchsparse.nn.functional.conv.utils import AttributeDict


class Dataflow(Enum):
    """torchsparse's algorithms; `CodedCSR` is refused, as there."""

    ImplicitGEMM = 0
    GatherScatter = 1
    FetchOnDemand = 2
    CodedCSR = 3


_default = AttributeDict(
    dataflow=Dataflow.ImplicitGEMM,
    ifsort=False,
    kmap_mode="hashmap_on_the_fly",
    downsample_mode="spconv",
    split_mask_num=1,
    split_mask_num_bwd=3,
    epsilon=0.0,
    mm_thresh=0,
    FOD_fusion=True,
)
_initial = _default.copy()
_global: Any = None


def get_default_conv_config(conv_mode: ConvMode = ConvMode.mode0, training: bool = False) -> AttributeDict:
    """The default settings themselves, not a copy; the arguments have no effect on results."""
    ConvMode(conv_mode)
    return _default


def get_global_conv_config() -> Any:
    """The settings that were set, or None."""
    return _global


def set_global_conv_config(conv_config: Mapping[str, Any]) -> None:
    """Let layers without settings of their own use these; missing ones are the default's."""
    global _global
    checked_config(conv_config)
    _global = conv_config


def clear_global_conv_config() -> None:
    """Let layers use the default settings."""
    global _global
    _global = None


def checked_config(config: Mapping[str, Any] | None) -> AttributeDict:
    """The settings, or the global ones, or the default, completed. Raises ValueError for one that is unknown or not
    possible."""
    chosen = config if config is not None else _global if _global is not None else _default
    if not isinstance(chosen, Mapping):
        raise TypeError(f"a conv_config must be a dictionary, got {chosen!r}")
    full = AttributeDict(_default, **chosen)
    if unknown := sorted(full.keys() - _initial.keys()):
        raise ValueError(f"conv_config has unknown settings {', '.join(unknown)}; it knows {', '.join(_initial)}")
    if full.dataflow not in tuple(Dataflow)[:3]:
        raise ValueError(f"dataflow must be ImplicitGEMM, GatherScatter or FetchOnDemand, got {full.dataflow!r}")
    for name, known in (("kmap_mode", KMAP_MODES), ("downsample_mode", DOWNSAMPLE_MODES)):
        if full[name] not in known:
            raise ValueError(f"{name} must be {' or '.join(known)}, got {full[name]!r}")
    if full.kmap_mode != "hashmap" and full.downsample_mode != "spconv":
        raise ValueError(
            f'downsample_mode {full.downsample_mode!r} needs kmap_mode "hashmap": with {full.kmap_mode!r}, torchsparse '
            "2.1 ignores it"
        )
    return full
