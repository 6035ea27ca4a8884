"""The cells of the grid to time; a cell's name contains everything that distinguishes it."""

from __future__ import annotations

import itertools
from typing import NamedTuple

NETWORKS = {
    "uresnet16": ("uresnet", 16),
    "uresnet32": ("uresnet", 32),
    "encoder-small": ("encoder", 16, 1),
    "encoder-medium": ("encoder", 32, 2),
    "encoder-large": ("encoder", 64, 3),
    "layer16": ("layer", 16),
    "layer32": ("layer", 32),
    "layer64": ("layer", 64),
    "layer128": ("layer", 128),
    "halving256": ("halving", 256),
    "uresnet2": ("uresnet", 2),  # for trying the code without a GPU
    "layer2": ("layer", 2),
    "halving2": ("halving", 2),
}
"""The networks to time: the study's UResNet with these filters; the public encoder with these channels and blocks; a
submanifold layer of 27 taps with these input and output channels; a layer of 27 taps and stride 2."""

TRIALS = ("uresnet2", "layer2", "halving2")
"""The networks that are no part of the grid."""

TASKS = ("forward", "step")
"""Forward in evaluation mode, without keeping tensors for gradients; forward, loss and backward, with Adam for a
UResNet."""

SHARES = ("input gradient", "weight gradient", "norm", "norm step")
"""What a training step of a layer computes after its forward pass; each is timed alone. The norm is a batch norm with
ReLU over the layer's rows, in training; its step is the norm and its gradient."""

MODES = ("eager", "compiled", "graph")
"""Operator by operator; `torch.compile`; replay of a CUDA graph. The last two run on rulebooks that are already built.
"""


class Cell(NamedTuple):
    """One combination of settings to time."""

    network: str
    task: str
    precision: str  # fp32, tf32 or bf16
    size: int  # px
    density: str  # real or pilarnet
    images: int
    mode: str
    rulebook: str  # "in": the time includes building a new tensor and its rulebooks; "out": they exist before

    def __str__(self) -> str:
        where = f"{self.size}px {self.density} x{self.images}"
        return f"{self.network} {self.task} {self.precision} {where} {self.mode} rulebook-{self.rulebook}"

    @property
    def kind(self) -> str:
        """The kind of network: uresnet, encoder, layer or halving."""
        return str(NETWORKS[self.network][0])


SCENES = ((192, "real"), (768, "pilarnet"), (768, "real"), (512, "real"))
RULES = (("eager", "out"), ("eager", "in"), ("graph", "out"), ("compiled", "out"))


def full_grid() -> list[Cell]:
    """Every cell, the most interesting first."""
    networks = [name for name in NETWORKS if name not in TRIALS]
    product = itertools.product(RULES, ("bf16", "fp32", "tf32"), SCENES, (16, 1, 64), networks, (*TASKS, *SHARES))
    cells = (
        Cell(network, task, precision, size, density, images, mode, rulebook)
        for (mode, rulebook), precision, (size, density), images, network, task in product
    )
    return [cell for cell in cells if _makes_sense(cell)]


def _makes_sense(cell: Cell) -> bool:
    if cell.task in SHARES:
        return cell.kind == "layer" and cell.mode == "graph"
    if cell.kind == "layer":
        return cell.rulebook == "out" and cell.mode != "compiled"
    return cell.kind != "halving" or cell.mode == "eager"


QUICK = [
    *(
        Cell(f"encoder-{size}", "step", "bf16", 768, "pilarnet", images, "eager", "out")
        for size in ("small", "large", "medium")
        for images in (1, 16)
    ),
    Cell("uresnet16", "step", "bf16", 192, "real", 64, "eager", "out"),
    Cell("uresnet16", "step", "bf16", 192, "real", 64, "eager", "in"),
    Cell("halving256", "forward", "bf16", 768, "pilarnet", 16, "eager", "in"),
    *(
        Cell(f"layer{channels}", task, "bf16", 192, "real", 64, "graph", "out")
        for channels in (16, 32, 64, 128)
        for task in ("forward", *SHARES)
    ),
    Cell("uresnet16", "step", "bf16", 192, "real", 1, "graph", "out"),
    Cell("uresnet16", "step", "bf16", 192, "real", 1, "eager", "in"),
    Cell("uresnet16", "forward", "bf16", 768, "real", 1, "eager", "in"),
    Cell("uresnet16", "forward", "bf16", 768, "real", 1, "graph", "out"),
    Cell("uresnet16", "step", "fp32", 192, "real", 16, "eager", "in"),
    Cell("layer64", "step", "bf16", 192, "real", 16, "eager", "out"),
    Cell("uresnet16", "forward", "bf16", 192, "real", 16, "compiled", "out"),
]
"""The cells that `make gpu` times."""

PROFILED = [
    Cell("uresnet16", "step", "bf16", 192, "real", 64, "eager", "out"),
    Cell("encoder-large", "step", "bf16", 768, "pilarnet", 16, "eager", "out"),
]
"""The cells whose kernels `make gpu` lists one by one."""

TUNED = [Cell(f"layer{channels}", "step", "bf16", 192, "real", 64, "eager", "out") for channels in (16, 32, 64)]
"""The cells for whose layers `make gpu` looks for fast tiles."""

TOY = [
    Cell("layer2", "step", "fp32", 8, "real", 1, "eager", "out"),
    *(Cell("layer2", task, "fp32", 8, "real", 1, "eager", "out") for task in SHARES),
    Cell("halving2", "forward", "bf16", 8, "real", 1, "eager", "in"),
]
"""The cells that run interpreted if there is no GPU."""
