"""The two functions about the GPU of spconv's compiled part that exist here; tensors need no conversion."""

from __future__ import annotations

import torch

from sscn_triton.compat.missing import names


def get_current_stream() -> int:
    """PyTorch's current CUDA stream, as a number."""
    return torch.cuda.current_stream().cuda_stream


def get_arch() -> tuple[int, int]:
    """The compute capability of the current GPU."""
    return torch.cuda.get_device_capability()


_TENSORS = "PyTorch's tensors, which the operators of sscn_triton take directly"
__getattr__ = names(
    __name__,
    {
        "ExternalAllocator": _TENSORS,
        "ExternalSpconvMatmul": "torch.mm",
        "TorchAllocator": _TENSORS,
        "TorchSpconvMatmul": "torch.mm",
        "torch_tensor_to_tv": _TENSORS,
        "torch_tensors_to_tv": _TENSORS,
        "_TORCH_DTYPE_TO_TV": _TENSORS,
    },
    again=(
        "sscn_triton.compat.spconv.constants",
        "sscn_triton.compat.spconv.cppconstants",
    ),
)
