"""One public network, unedited, computed with spconv or with this library: outputs, gradients and weights into a file.

    python tests/compat/spconv/foreign_networks.py {spconv,sscn,float64} FOLDER_OF_CLONES NETWORK WEIGHTS.pt TARGET.pt

Weights are written by the first run and read by the others; "float64" is this library in that precision, or its layers
alone where a network's file makes features float32 before them. Packages that the networks import besides spconv are
those of `foreign_stubs`.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

import torch

from tests.compat.spconv import foreign_stubs


def cloud(count=3000, size=(48, 48, 48), channels=6, events=2, seed=0):
    """Distinct sites of walks through a box, in the order of their events, and their features."""
    generator = torch.Generator().manual_seed(seed)
    parts = []
    for event in range(events):
        starts = torch.rand(12, 1, 3, generator=generator) * torch.tensor(size)
        steps = torch.randn(12, count // 12, 3, generator=generator).cumsum(1) * 0.7
        sites = (starts + steps).long().clamp(min=0).minimum(torch.tensor(size) - 1)
        sites = torch.unique(sites.reshape(-1, 3), dim=0)
        sites = sites[torch.randperm(len(sites), generator=generator)]
        parts.append(torch.cat([torch.full((len(sites), 1), event), sites], 1))
    sites = torch.cat(parts)
    return sites, torch.randn(len(sites), channels, generator=generator)


def by_site(x):
    """Sites and features of a tensor sorted by site; rows of one site stay in their order."""
    indices, features = x.indices.long(), x.features
    order = torch.arange(len(indices))
    for column in reversed(range(indices.shape[1])):
        order = order[torch.argsort(indices[order, column], stable=True)]
    return {"sites": indices[order], "features": features[order]}


def points(channels=6, **settings):
    """The input of Pointcept's networks."""
    sites, features = cloud(channels=channels, **settings)
    offset = torch.bincount(sites[:, 0]).cumsum(0)
    return {"grid_coord": sites[:, 1:].int(), "coord": sites[:, 1:].float(), "feat": features, "offset": offset}


def pointcept_spunet():
    unet = importlib.import_module("pointcept.models.sparse_unet.spconv_unet_v1m1_base")
    network = unet.SpUNetBase(6, 13)
    return network, points(), lambda given: {"logits": network(given)}


def pointcept_oacnns():
    oacnns = importlib.import_module("pointcept.models.oacnns.oacnns_v1m1_base")
    network = oacnns.OACNNs(6, 13)
    return network, points(), lambda given: {"logits": network({**given, "grid_coord": given["grid_coord"].long()})}


def pointcept_ptv3():
    v3 = importlib.import_module("pointcept.models.point_transformer_v3.point_transformer_v3m1_base")
    network = v3.PointTransformerV3(6, enable_flash=False, drop_path=0.0, enc_depths=(1, 1, 1, 2, 1))
    return network, points(), lambda given: {"features": network(dict(given)).feat}


def pimm_spunet():
    unet = importlib.import_module("pimm.models.sparse_unet.spconv_unet_v1m1_base")
    network = unet.SpUNetBase(4, 5)
    return network, points(4), lambda given: {"logits": network(given)}


PANDA = {
    "in_channels": 4, "order": ("hilbert", "hilbert-trans", "z", "z-trans"), "enc_depths": (3, 3, 3, 9, 3),
    "enc_channels": (48, 96, 192, 384, 512), "enc_num_head": (3, 6, 12, 24, 32), "enc_patch_size": (256,) * 5,
    "dec_channels": (64, 96, 192, 384), "dec_num_head": (4, 6, 12, 24), "dec_patch_size": (256,) * 4,
    "drop_path": 0.0, "layer_scale": 0.0, "enable_flash": False,
}  # fmt: skip
"""Panda's backbone for semantic segmentation, by pimm's configuration, without dropped paths and FlashAttention."""


def panda_ptv3(**more):
    base = importlib.import_module("panda.model_base")
    network = base.PointTransformerV3(**{**PANDA, **more})
    return network, points(4, count=600), lambda given: {"features": network(dict(given)).feat}


def panda_encoder():
    return panda_ptv3(enc_mode=True)


def pimm_ptv3():
    v3 = importlib.import_module("pimm.models.point_transformer_v3.point_transformer_v3m2_sonata")
    network = v3.PointTransformerV3(**PANDA)
    return network, points(4, count=600), lambda given: {"features": network(dict(given)).feat}


def second_middle():
    middle = importlib.import_module("second.pytorch.models.middle")
    network = middle.SpMiddleFHD([1, 40, 48, 48, 16], num_input_features=4)
    sites, features = cloud(size=(40, 48, 48), channels=4)
    return network, {"feat": features}, lambda given: {"image": network(given["feat"], sites, 2)}


def backbone(package, file, name, size=(40, 48, 48)):
    """A module of OpenPCDet, which takes a batch; returns all tensors that it passes on."""
    module = importlib.import_module(f"{package}.models.backbones_3d.{file}")
    numpy = importlib.import_module("numpy")
    network = getattr(module, name)(foreign_stubs.AttributeDict(), 4, numpy.array(size[::-1]))
    sites, features = cloud(size=size, channels=4)

    def run(given):
        made = network({"voxel_features": given["feat"], "voxel_coords": sites, "batch_size": 2})
        found = {"out": by_site(made["encoded_spconv_tensor"])}
        for level, x in made["multi_scale_3d_features"].items():
            found[level] = by_site(x)
        return found

    return network, {"feat": features}, run


def openpcdet_second():
    return backbone("pcdet", "spconv_backbone", "VoxelBackBone8x")


def voxelnext():
    return backbone("voxelnext_pcdet", "spconv_backbone_voxelnext", "VoxelResBackBone8xVoxelNeXt")


def softgroup():
    network = importlib.import_module("softgroup.model.softgroup").SoftGroup(channels=16, grouping_cfg={})
    spconv = importlib.import_module("spconv.pytorch")
    sites, features = cloud(12000, (96, 96, 96))  # so that norms have more than two rows at the deepest level
    rows = torch.randint(len(sites), (len(sites) + 100,), generator=torch.Generator().manual_seed(3))

    def run(given):
        x = spconv.SparseConvTensor(given["feat"], sites.int(), [128] * 3, 2)
        scores, offsets, rows_out = network.forward_backbone(x, rows)
        x = spconv.SparseConvTensor(rows_out[: len(sites)], sites.int(), [128] * 3, 2)
        instance = network.tiny_unet_outputlayer(network.tiny_unet(x)).features
        return {"scores": scores, "offsets": offsets, "instance": instance}

    return network, {"feat": features}, run


def spformer():
    model = importlib.import_module("spformer.model.spformer")
    decoder = {"num_layer": 2, "num_query": 20, "d_model": 32, "hidden_dim": 64, "iter_pred": True, "attn_mask": True}
    network = model.SPFormer(decoder=decoder, criterion={})
    spconv = importlib.import_module("spconv.pytorch")
    sites, features = cloud()
    generator = torch.Generator().manual_seed(3)
    rows = torch.randint(len(sites), (4000,), generator=generator)
    pieces = torch.randint(300, (4000,), generator=generator)

    def run(given):
        x = spconv.SparseConvTensor(given["feat"], sites.int(), [48] * 3, 2)
        pooled = network.extract_feat(x, pieces, rows)
        decoded = network.decoder(pooled, [0, 150, len(pooled)])
        return {"pooled": pooled, "labels": decoded["labels"], "scores": decoded["scores"]}

    return network, {"feat": features}, run


def of_mmdetection3d(file, name, **settings):
    """A middle encoder of mmdetection3d, whose layers its own write_spconv2.py registers."""
    importlib.import_module("mmdet3d.models.layers.spconv")
    block = importlib.import_module("mmdet3d.models.layers.sparse_block")
    layers = sys.modules["mmdet3d.models.layers"]
    layers.SparseBasicBlock, layers.make_sparse_convmodule = block.SparseBasicBlock, block.make_sparse_convmodule
    network = getattr(importlib.import_module(f"mmdet3d.models.middle_encoders.{file}"), name)(
        4, [41, 48, 48], **settings
    )
    sites, features = cloud(size=(41, 48, 48), channels=4)

    def run(given):
        found = network(given["feat"], sites, 2)
        if isinstance(found, dict):
            return found
        image, levels = found
        return {"image": image, **{f"level {n}": by_site(x) for n, x in enumerate(levels)}}

    return network, {"feat": features}, run


def mmdetection3d_encoder():
    return of_mmdetection3d("sparse_encoder", "SparseEncoder", return_middle_feats=True)


def mmdetection3d_encoder_of_blocks():
    channels = ((16, 16, 32), (32, 32, 64), (64, 64, 128), (128, 128))
    paddings = ((0, 0, 1), (0, 0, 1), (0, 0, (0, 1, 1)), (0, 0))
    settings = {"encoder_channels": channels, "encoder_paddings": paddings, "block_type": "basicblock"}
    return of_mmdetection3d("sparse_encoder", "SparseEncoder", return_middle_feats=True, **settings)


def mmdetection3d_unet():
    return of_mmdetection3d("sparse_unet", "SparseUNet")


def trellis():
    sparse = importlib.import_module("trellis.modules.sparse")
    basic = importlib.import_module("trellis.modules.sparse.basic")
    down = sparse.SparseConv3d(8, 16, 2, stride=2, padding=0, indice_key="down")
    network = torch.nn.ModuleDict({"stem": sparse.SparseConv3d(6, 8, 3), "down": down})
    network["body"] = sparse.SparseConv3d(16, 16, 3)
    network["up"] = sparse.SparseInverseConv3d(16, 4, 2, indice_key="down")
    sites, features = cloud(events=1)  # with several, its strided convolution fails: "name 'spconv' is not defined"

    def run(given):
        x = basic.SparseTensor(feats=given["feat"], coords=sites.int())
        x = network["stem"](x)
        x = (x.replace(torch.relu(x.feats)) * 2 - 1).reshape(2, 4).reshape(8)
        y = network["body"](network["down"](x))
        level = by_site(y.data)
        y = y.replace(torch.tanh(y.feats))
        both = basic.sparse_cat([x[0], -x[0]])
        return {"level": level, "rows": network["up"](y).feats, "joined": both.feats}

    return network, {"feat": features}, run


COMPARED_ELSEWHERE = {"pimm", "Panda"}
"""Repositories whose networks were compared with float64 but not with spconv; the book's page on pimm shows them."""

NETWORKS = {
    "Pointcept SpUNet": ("Pointcept", pointcept_spunet),
    "Pointcept OA-CNNs": ("Pointcept", pointcept_oacnns),
    "Pointcept PTv3": ("Pointcept", pointcept_ptv3),
    "pimm SpUNet-v1m1": ("pimm", pimm_spunet),
    "pimm PT-v3m2": ("pimm", pimm_ptv3),
    "Panda PTv3": ("Panda", panda_ptv3),
    "Panda PTv3, encoder": ("Panda", panda_encoder),
    "SECOND, second.pytorch SpMiddleFHD": ("second.pytorch", second_middle),
    "SECOND, OpenPCDet VoxelBackBone8x": ("OpenPCDet", openpcdet_second),
    "VoxelNeXt": ("VoxelNeXt", voxelnext),
    "SoftGroup": ("SoftGroup", softgroup),
    "SPFormer": ("SPFormer", spformer),
    "mmdetection3d SparseEncoder": ("mmdetection3d", mmdetection3d_encoder),
    "mmdetection3d SparseEncoder of basic blocks": ("mmdetection3d", mmdetection3d_encoder_of_blocks),
    "mmdetection3d SparseUNet": ("mmdetection3d", mmdetection3d_unet),
    "TRELLIS sparse modules": ("TRELLIS", trellis),
}
"""For each name: the repository, and the functions that build the network and its input and run it."""


FLOAT32 = ("pimm PT-v3m2", "Panda PTv3", "Panda PTv3, encoder")
"""The networks whose files make features float32."""


def use(engine):
    """Make `import spconv` find one of the two. For second.pytorch, spconv 1's names also stand for spconv 2's."""
    if engine != "spconv":
        from sscn_triton.compat import install

        return install("spconv")
    spconv = importlib.import_module("spconv")
    layers = importlib.import_module("spconv.pytorch")
    layers.ops.get_current_stream = lambda: 0  # the backward pass of the CPU build asks for a CUDA stream, and fails
    for name in (
        "SparseConv3d",
        "SubMConv3d",
        "SparseSequential",
        "SparseConvTensor",
        "SparseModule",
        "SparseInverseConv3d",
    ):
        setattr(spconv, name, getattr(layers, name))
    return spconv


def flat(found):
    """Every tensor of the outputs, by name."""
    result = {}
    for name, value in found.items():
        if isinstance(value, dict):
            result.update({f"{name} {key}": part for key, part in value.items()})
        elif isinstance(value, (list, tuple)):
            result.update({f"{name} {n}": part for n, part in enumerate(value)})
        else:
            result[name] = value
    return result


def smooth(network):
    """Replace every ReLU by softplus, and the largest value of PTv3's pooling by the mean, because their gradients jump
    where two engines round a number near 0, or two values that are almost equal, to different sides."""
    for module in network.modules():
        if getattr(module, "reduce", None) == "max":
            module.reduce = "mean"
        for name, child in module._modules.items():
            if isinstance(child, torch.nn.ReLU):
                module._modules[name] = torch.nn.Softplus()


def widen(network):
    """Let the sparse convolutions of a float32 network compute in float64."""
    layers = importlib.import_module("spconv.pytorch")

    def wide(forward):
        def run(x):
            y = forward(x.replace_feature(x.features.double()))
            return y.replace_feature(y.features.float())

        return run

    for layer in network.modules():
        if isinstance(layer, layers.conv.SparseConvolution):
            layer.double().forward = wide(layer.forward)


def run_once(run, given):
    """Outputs by name, and the gradient of a random weighted sum of them with respect to the input features."""
    leaf = given["feat"].clone().requires_grad_()
    torch.manual_seed(11)  # for networks that shuffle
    outputs = flat(run({**given, "feat": leaf}))
    total = torch.zeros((), dtype=leaf.dtype)
    for number, key in enumerate(sorted(outputs)):
        if outputs[key].requires_grad:
            generator = torch.Generator().manual_seed(number)
            share = torch.randn(outputs[key].shape, generator=generator)
            total = total + (outputs[key] * share.to(leaf.dtype)).sum()
    total.backward()
    return {key: value.detach() for key, value in outputs.items()}, leaf.grad


def compute(engine, clones, name, weights):
    """Outputs of a network in training mode, and outputs and gradients with smooth activations."""
    torch.set_num_threads(1)  # two threads of spconv's CPU build may overwrite each other's sums
    use(engine)
    foreign_stubs.install_foreign()
    foreign_stubs.install_projects(clones)
    torch.manual_seed(7)
    network, given, run = NETWORKS[name][1]()
    if not Path(weights).exists():
        torch.save(network.state_dict(), weights)
    else:
        network.load_state_dict(torch.load(weights, weights_only=True))
    if engine == "float64" and name in FLOAT32:
        widen(network)
    elif engine == "float64":
        network.double()
        given = {**given, "feat": given["feat"].double()}
    outputs, _ = run_once(run, given)
    smooth(network)
    network.zero_grad()
    softer, gradient = run_once(run, given)
    gradients = {n: p.grad for n, p in network.named_parameters() if p.grad is not None}
    parts = {"outputs": outputs, "smooth outputs": softer, "gradients": {"input features": gradient, **gradients}}
    return {**parts, "sites": len(gradient)}


if __name__ == "__main__":
    engine, clones, name, weights, target = sys.argv[1:]
    os.chdir(Path(__file__).parent)
    torch.save(compute(engine, clones, name, weights), target)
