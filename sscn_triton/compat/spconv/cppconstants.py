"""What scripts read from spconv's compiled part, which does not exist here."""

from __future__ import annotations

from sscn_triton.compat.missing import names

CPU_ONLY_BUILD = True
"""spconv's CUDA functions cannot be called; layers still run on GPUs."""
HAS_BOOST = False

_COMPILED = "the layers: spconv's code is not compiled here"
__getattr__ = names(
    __name__,
    {
        "BoxOps": _COMPILED,
        "CompileInfo": _COMPILED,
        "SpconvOps": _COMPILED,
        "COMPILED_CUDA_ARCHS": "torch.cuda.get_arch_list(); kernels are compiled at first use",
        "COMPILED_CUDA_GEMM_ARCHS": "torch.cuda.get_arch_list(); kernels are compiled at first use",
    },
)
