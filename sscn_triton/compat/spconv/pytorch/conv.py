"""The convolutions by their number of axes."""

from __future__ import annotations

from sscn_triton.compat.missing import names
from sscn_triton.compat.spconv.core import ConvAlgo
from sscn_triton.compat.spconv.pytorch.convolution import MOST_VOXELS, SparseConvolution
from sscn_triton.functional import Size

__all__ = [
    "SparseConv1d",
    "SparseConv2d",
    "SparseConv3d",
    "SparseConv4d",
    "SparseConvTranspose1d",
    "SparseConvTranspose2d",
    "SparseConvTranspose3d",
    "SparseConvTranspose4d",
    "SparseConvolution",
    "SparseInverseConv1d",
    "SparseInverseConv2d",
    "SparseInverseConv3d",
    "SparseInverseConv4d",
    "SubMConv1d",
    "SubMConv2d",
    "SubMConv3d",
    "SubMConv4d",
]

_MAX_NUM_VOXELS_DURING_TRAINING = MOST_VOXELS


class _SubMConv(SparseConvolution):
    NDIM: int

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        indice_key: str | None = None,
        algo: ConvAlgo | None = None,
        fp32_accum: bool | None = None,
        large_kernel_fast_algo: bool = False,
        name: str | None = None,
    ) -> None:
        window = (kernel_size, stride, padding, dilation)
        super().__init__(
            self.NDIM,
            in_channels,
            out_channels,
            *window,
            groups,
            bias,
            subm=True,
            indice_key=indice_key,
            algo=algo,
            fp32_accum=fp32_accum,
            large_kernel_fast_algo=large_kernel_fast_algo,
            name=name,
        )


class _SparseConv(SparseConvolution):
    NDIM: int
    TRANSPOSED = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        indice_key: str | None = None,
        algo: ConvAlgo | None = None,
        fp32_accum: bool | None = None,
        record_voxel_count: bool = False,
        large_kernel_fast_algo: bool = False,
        name: str | None = None,
    ) -> None:
        window = (kernel_size, stride, padding, dilation)
        super().__init__(
            self.NDIM,
            in_channels,
            out_channels,
            *window,
            groups,
            bias,
            transposed=self.TRANSPOSED,
            indice_key=indice_key,
            algo=algo,
            fp32_accum=fp32_accum,
            record_voxel_count=record_voxel_count,
            large_kernel_fast_algo=large_kernel_fast_algo,
            name=name,
        )


class _SparseConvTranspose(_SparseConv):
    TRANSPOSED = True


class _SparseInverseConv(SparseConvolution):
    NDIM: int

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        indice_key: str,
        bias: bool = True,
        algo: ConvAlgo | None = None,
        fp32_accum: bool | None = None,
        large_kernel_fast_algo: bool = False,
        name: str | None = None,
    ) -> None:
        super().__init__(
            self.NDIM,
            in_channels,
            out_channels,
            kernel_size,
            bias=bias,
            inverse=True,
            indice_key=indice_key,
            algo=algo,
            fp32_accum=fp32_accum,
            large_kernel_fast_algo=large_kernel_fast_algo,
            name=name,
        )


class SubMConv1d(_SubMConv):
    """Output sites are the input's, in one dimension. Arguments: `SparseConvolution`."""

    NDIM = 1


class SubMConv2d(_SubMConv):
    """Output sites are the input's, in two dimensions. Arguments: `SparseConvolution`."""

    NDIM = 2


class SubMConv3d(_SubMConv):
    """Output sites are the input's, in three dimensions. Arguments: `SparseConvolution`."""

    NDIM = 3


class SubMConv4d(_SubMConv):
    """Output sites are the input's, in four dimensions. Arguments: `SparseConvolution`."""

    NDIM = 4


class SparseConv1d(_SparseConv):
    """Convolution to every site that some input reaches, in one dimension. Arguments: `SparseConvolution`."""

    NDIM = 1


class SparseConv2d(_SparseConv):
    """Convolution to every site that some input reaches, in two dimensions. Arguments: `SparseConvolution`."""

    NDIM = 2


class SparseConv3d(_SparseConv):
    """Convolution to every site that some input reaches, in three dimensions. Arguments: `SparseConvolution`."""

    NDIM = 3


class SparseConv4d(_SparseConv):
    """Convolution to every site that some input reaches, in four dimensions. Arguments: `SparseConvolution`."""

    NDIM = 4


class SparseConvTranspose1d(_SparseConvTranspose):
    """The relation read backwards onto every site reached, in one dimension. Arguments: `SparseConvolution`."""

    NDIM = 1


class SparseConvTranspose2d(_SparseConvTranspose):
    """The relation read backwards onto every site reached, in two dimensions. Arguments: `SparseConvolution`."""

    NDIM = 2


class SparseConvTranspose3d(_SparseConvTranspose):
    """The relation read backwards onto every site reached, in three dimensions. Arguments: `SparseConvolution`."""

    NDIM = 3


class SparseConvTranspose4d(_SparseConvTranspose):
    """The relation read backwards onto every site reached, in four dimensions. Arguments: `SparseConvolution`."""

    NDIM = 4


class SparseInverseConv1d(_SparseInverseConv):
    """The layer with this key read backwards, onto its input sites, in one dimension."""

    NDIM = 1


class SparseInverseConv2d(_SparseInverseConv):
    """The layer with this key read backwards, onto its input sites, in two dimensions."""

    NDIM = 2


class SparseInverseConv3d(_SparseInverseConv):
    """The layer with this key read backwards, onto its input sites, in three dimensions."""

    NDIM = 3


class SparseInverseConv4d(_SparseInverseConv):
    """The layer with this key read backwards, onto its input sites, in four dimensions."""

    NDIM = 4


__getattr__ = names(
    __name__,
    {
        "DEFAULT_SPARSE_CONV_TYPES": "isinstance(layer, SparseConvolution)",
        "SparseConvolutionBase": "SparseConvolution",
        "_apply_act": "an activation of torch.nn",
    },
    again=(
        "sscn_triton.compat.spconv.pytorch.core",
        "sscn_triton.compat.spconv.pytorch.modules",
        "sscn_triton.compat.spconv.constants",
        "sscn_triton.compat.spconv.cppconstants",
        "sscn_triton.compat.spconv.utils",
        "sscn_triton.compat.spconv.pytorch.functional",
    ),
)
