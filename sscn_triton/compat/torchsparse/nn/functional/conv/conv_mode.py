"""Modes of torchsparse's kernels. None has an effect: layers read `conv_config`, in torchsparse 2.1 too."""

from __future__ import annotations

import warnings
from enum import Enum

KMAP_MODES = ("hashmap_on_the_fly", "hashmap")
DOWNSAMPLE_MODES = ("spconv", "minkowski")


class ConvMode(Enum):
    """How torchsparse's kernels sort rows."""

    mode0 = 0
    mode1 = 1
    mode2 = 2


_modes = {"kmap_mode": "hashmap_on_the_fly", "downsample_mode": "spconv"}
_conv_mode = ConvMode.mode0


def _set(name: str, mode: str, known: tuple[str, ...]) -> None:
    if mode not in known:
        raise ValueError(f"{name} must be {' or '.join(known)}, got {mode!r}")
    if mode != known[0]:
        warnings.warn(
            f"set_{name} has no effect, as in torchsparse 2.1: set {name} in a conv_config and pass that to "
            "conv_config.set_global_conv_config",
            stacklevel=3,
        )
    _modes[name] = mode


def get_kmap_mode() -> str:
    """The mode that was set."""
    return _modes["kmap_mode"]


def set_kmap_mode(kmap_mode: str) -> None:
    """Has no effect, as in torchsparse 2.1, and warns."""
    _set("kmap_mode", kmap_mode, KMAP_MODES)


def get_downsample_mode() -> str:
    """The mode that was set."""
    return _modes["downsample_mode"]


def set_downsample_mode(downsample_mode: str) -> None:
    """Has no effect, as in torchsparse 2.1, and warns."""
    _set("downsample_mode", downsample_mode, DOWNSAMPLE_MODES)


def get_conv_mode() -> ConvMode:
    """The mode that was set."""
    return _conv_mode


def set_conv_mode(conv_mode: int | ConvMode) -> None:
    """Choose how torchsparse sorts rows: 0 to 2. Results do not depend on it."""
    global _conv_mode
    _conv_mode = ConvMode(conv_mode)
