"""What scripts ask about spconv's compiled part; there is none here."""

from __future__ import annotations

from sscn_triton.compat.missing import names

CPU_ONLY_BUILD = True
"""No CUDA function of spconv's can be called; layers run on GPUs all the same."""
HAS_BOOST = False

_COMPILED = "the layers: no code of spconv's is compiled here"
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
