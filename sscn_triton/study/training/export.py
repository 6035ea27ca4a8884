"""The command `sscn export`: its options and its function."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from sscn_triton.common.files import check_new
from sscn_triton.common.options import check_suffix, check_types
from sscn_triton.core.tensor import SparseTensor
from sscn_triton.export import export_network
from sscn_triton.models import DenseUResNet
from sscn_triton.study.training.checkpoint import load_checkpoint, network_of


@dataclass(frozen=True)
class Export:
    """Write a trained network as a program of torch.export, for images of any size.

    The program needs none of the network's Python code, only the operators that `import sscn_triton` registers.
    `sscn_triton.export.load_exported` reads the file and calls the program with a SparseTensor of energies; it also has
    the classes and the unit of the energies. `torch.export.load` reads it as a function of plain tensors, the energies
    and the rulebooks.

    Args:
        checkpoint: last.ckpt or final.ckpt of a training, or lartpc-192, a folder or a repository as in `sscn predict`.
        out: new file to write: .pt2.
        overwrite: replace an existing file, once the new one is complete.
    """

    checkpoint: str
    out: str = "network.pt2"
    overwrite: bool = False

    def __post_init__(self) -> None:
        check_types(self)
        check_suffix("out", self.out, (".pt2",))
        check_new("out", self.out, self.overwrite)


def export(options: Export) -> None:
    """Export the network on the CPU and print what the program takes and returns.

    Raises FileNotFoundError, or ValueError naming the file, if the checkpoint cannot be used; ValueError with PyTorch
    before 2.8.
    """
    checkpoint = load_checkpoint(options.checkpoint)
    network, settings = network_of(checkpoint), checkpoint.network
    if isinstance(network, DenseUResNet):
        raise ValueError(
            f"{options.checkpoint}: a dense network, which uses no rulebooks: torch.export.export exports it directly"
        )
    apart = 2 ** min(settings.depth, 24)  # so that no grid has a single site, which Inductor would take for a constant
    voxels = (apart * torch.arange(8, dtype=torch.int32))[:, None].expand(-1, settings.ndim)
    example = SparseTensor(torch.zeros(8, settings.in_channels), torch.nn.functional.pad(voxels, (1, 0)))
    about = {"classes": list(checkpoint.classes), "energy_unit": checkpoint.energy_unit}
    export_network(network, example, about).save(options.out, overwrite=options.overwrite)
    print(
        f"{options.out}: energies of voxels on {settings.ndim} axes, in units of {checkpoint.energy_unit:g} MeV, to "
        f"scores for {', '.join(checkpoint.classes)}"
    )
