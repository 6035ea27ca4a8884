"""Minimal stand-ins for the packages that public networks import besides spconv, as far as forward passes need them.

Each is written from the documented behaviour of its package. `install_foreign` registers them under the names of those
packages. `install_projects` registers the networks' own projects without hooks, compiled operators and loggers.
"""

from __future__ import annotations

import sys
import types
from pathlib import Path

import torch
from torch import nn


class Registry:
    """The registry of mmengine and gorilla, as far as decorators need it."""

    def __init__(self, name="registry"):
        self.name, self.module_dict = name, {}

    def _register_module(self, module, module_name=None, force=False):
        self.module_dict[module_name or module.__name__] = module

    def register_module(self, name=None, force=False, module=None):
        if module is not None:
            self._register_module(module, name)
            return module
        return lambda cls: self._register_module(cls, name) or cls


MODELS = Registry("models")


def scatter(src, index, dim=0, dim_size=None, reduce="sum"):
    """From torch_geometric and torch_scatter: the sum, mean or maximum of rows by index."""
    assert dim == 0
    count = int(index.max()) + 1 if dim_size is None else dim_size
    total = src.new_zeros(count, *src.shape[1:]).index_add(0, index, src)
    if reduce == "sum":
        return total
    if reduce == "mean":
        rows = torch.bincount(index, minlength=count).clamp(min=1)
        return total / rows.reshape(-1, *[1] * (src.ndim - 1))
    assert reduce == "max"
    place = index.reshape(-1, *[1] * (src.ndim - 1)).expand_as(src)
    return torch.zeros_like(total).scatter_reduce(0, place, src, "amax", include_self=False)


def segment_csr(src, indptr, reduce="sum"):
    """From torch_scatter: reduction of consecutive rows."""
    counts = indptr.diff()
    index = torch.repeat_interleave(torch.arange(len(counts)), counts)
    return scatter(src, index, dim_size=len(counts), reduce={"add": "sum"}.get(reduce, reduce))


def voxel_grid(pos, size, batch):
    """From torch_geometric: equal numbers for points in the same cube of an event."""
    cell = torch.div(pos - pos.min(0).values, size, rounding_mode="floor").long()
    numbers = batch.long()
    for column, extent in zip(cell.unbind(1), (cell.max(0).values + 1).tolist(), strict=True):
        numbers = numbers * extent + column
    return numbers


class DropPath(nn.Module):
    """From timm, without dropping, because networks are built with a probability of 0."""

    def __init__(self, drop_prob=0.0):
        super().__init__()
        assert drop_prob == 0.0

    def forward(self, x):
        return x


class AttributeDict(dict):
    """From addict: a dictionary whose entries are attributes."""

    def __getattr__(self, name):
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name, value):
        self[name] = value


def build_conv_layer(cfg, *args, **kwargs):
    """From mmcv: the layer that is registered under the type in the configuration."""
    settings = dict(cfg)
    return MODELS.module_dict[settings.pop("type")](*args, **kwargs, **settings)


def build_norm_layer(cfg, num_features, postfix=""):
    """From mmcv: a name and a batch norm."""
    settings = dict(cfg)
    assert settings.pop("type") == "BN1d"
    return f"bn{postfix}", nn.BatchNorm1d(num_features, **settings)


class BasicBlock(nn.Module):
    """From mmdet: two convolutions and norms, by name. The network has its own forward."""

    expansion = 1

    def __init__(self, inplanes, planes, stride=1, downsample=None, conv_cfg=None, norm_cfg=None):
        super().__init__()
        self.norm1_name, norm1 = build_norm_layer(norm_cfg, planes, postfix=1)
        self.norm2_name, norm2 = build_norm_layer(norm_cfg, planes, postfix=2)
        self.conv1 = build_conv_layer(conv_cfg, inplanes, planes, 3, stride=stride, padding=1, dilation=1, bias=False)
        self.add_module(self.norm1_name, norm1)
        self.conv2 = build_conv_layer(conv_cfg, planes, planes, 3, padding=1, bias=False)
        self.add_module(self.norm2_name, norm2)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    @property
    def norm1(self):
        return getattr(self, self.norm1_name)

    @property
    def norm2(self):
        return getattr(self, self.norm2_name)


class BaseModule(nn.Module):
    """From mmengine: a module with a configuration of its initial values."""

    def __init__(self, init_cfg=None):
        super().__init__()
        assert init_cfg is None


class Unused:
    """A name that a network's file imports but its forward pass does not use."""

    def __init__(self, *args, **kwargs):
        raise NotImplementedError("a forward pass of this network does not come here")


def unchanged(function=None, **_):
    """A decorator that changes nothing; called with settings, it returns such a decorator."""
    return function if function is not None else unchanged


def module(name, path=None, **names):
    """Register a module with these names; it is a package if it has a folder, in which Python then finds submodules."""
    made = sys.modules[name] = types.ModuleType(name)
    made.__path__ = [str(path)] if path is not None else []
    for key, value in names.items():
        setattr(made, key, value)
    above, _, last = name.rpartition(".")
    if above in sys.modules:
        setattr(sys.modules[above], last, made)
    return made


def install_foreign():
    """Packages that no compared network brings along."""
    module("timm")
    module("timm.layers", trunc_normal_=nn.init.trunc_normal_, DropPath=DropPath)
    module("timm.models")
    module("timm.models.layers", trunc_normal_=nn.init.trunc_normal_, DropPath=DropPath)
    module("huggingface_hub", PyTorchModelHubMixin=object, hf_hub_download=Unused)
    module("pointops")
    module("addict", Dict=AttributeDict)
    module(
        "torch_scatter",
        segment_csr=segment_csr,
        scatter_mean=lambda src, index, dim=0: scatter(src, index, dim, reduce="mean"),
        scatter_max=lambda src, index, dim=0: (scatter(src, index, dim, reduce="max"), None),
    )
    module("torch_geometric")
    module("torch_geometric.utils", scatter=scatter)
    module("torch_geometric.nn")
    module("torch_geometric.nn.pool", voxel_grid=voxel_grid)
    module("gorilla", MODELS=MODELS, nn=types.SimpleNamespace())
    module("pointgroup_ops", voxelization=Unused)
    module("mmcv")
    module("mmcv.cnn", build_conv_layer=build_conv_layer, build_norm_layer=build_norm_layer)
    module("mmcv.ops", points_in_boxes_all=Unused, three_interpolate=Unused, three_nn=Unused)
    module("mmdet")
    module("mmdet.models")
    module("mmdet.models.losses", sigmoid_focal_loss=Unused, smooth_l1_loss=Unused)
    module("mmdet.models.backbones")
    module("mmdet.models.backbones.resnet", BasicBlock=BasicBlock, Bottleneck=BasicBlock)
    module("mmengine")
    module("mmengine.model", BaseModule=BaseModule)
    module("mmengine.registry", MODELS=MODELS)
    module("mmengine.runner", amp=types.SimpleNamespace(autocast=unchanged))


def install_projects(clones):
    """The networks' own projects, without what their packages import besides the files of the network."""
    clones = Path(clones)
    pointcept = clones / "Pointcept/pointcept"
    for name in ("pointcept", "pointcept.models", "pointcept.models.sparse_unet", "pointcept.utils"):
        module(name, pointcept.parent / name.replace(".", "/"))
    module("pointcept.models.oacnns", pointcept / "models/oacnns")
    module("pointcept.models.point_transformer_v3", pointcept / "models/point_transformer_v3")
    for name in ("", ".models", ".models.sparse_unet", ".models.point_transformer_v3", ".utils"):
        module(f"pimm{name}", clones / f"pimm/pimm{name}".replace(".", "/"))
    module("pimm.engines")
    module("pimm.engines.hooks", HookBase=object)
    module("panda", clones / "Panda/panda")
    module("pointcept.engines")
    module("pointcept.engines.hooks", HookBase=object)
    module("pointcept.models.losses", build_criteria=Unused)
    for project, folder in (("OpenPCDet", "pcdet"), ("VoxelNeXt", "voxelnext_pcdet")):
        for part in ("", ".utils", ".models", ".models.backbones_3d"):
            module(folder + part, clones / project / f"pcdet{part}".replace(".", "/"))
    module("softgroup", clones / "SoftGroup/softgroup")
    module("softgroup.model", clones / "SoftGroup/softgroup/model")
    operators = "ball_query bfs_cluster get_mask_iou_on_cluster get_mask_iou_on_pred get_mask_label global_avg_pool"
    operators += " sec_max sec_min voxelization voxelization_idx"
    module("softgroup.ops", **dict.fromkeys(operators.split(), Unused))
    module("softgroup.util", cuda_cast=unchanged, force_fp32=unchanged, rle_decode=Unused, rle_encode=Unused)
    module("spformer", clones / "SPFormer/spformer")
    module("spformer.model", clones / "SPFormer/spformer/model")
    module("spformer.model.loss", Criterion=lambda **_: nn.Identity())
    module("spformer.utils", cuda_cast=unchanged, rle_encode=Unused)
    for name in ("mmdet3d", "mmdet3d.models", "mmdet3d.models.middle_encoders"):
        module(name, clones / "mmdetection3d" / name.replace(".", "/"))
    module("mmdet3d.registry", MODELS=MODELS)
    module("mmdet3d.utils", OptConfigType=dict)
    module("mmdet3d.structures", BaseInstance3DBoxes=Unused)
    module("mmdet3d.models.layers", clones / "mmdetection3d/mmdet3d/models/layers")
    module("second", clones / "second.pytorch/second")
    module("second.pytorch", clones / "second.pytorch/second/pytorch")
    module("second.pytorch.models", clones / "second.pytorch/second/pytorch/models")
    module("second.pytorch.utils", torch_timer=Unused)
    module("torchplus", clones / "second.pytorch/torchplus")
    for name in ("trellis", "trellis.modules"):
        module(name, clones / "TRELLIS" / name.replace(".", "/"))
