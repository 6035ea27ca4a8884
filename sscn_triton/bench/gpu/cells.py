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
    "uresnet2": ("uresnet", 2),  # for trying the code without a GPU
    "layer2": ("layer", 2),
}
"""The networks to time: the study's UResNet with these filters; the public encoder with these channels and blocks; a
submanifold layer of 27 taps with these input and output channels."""

TASKS = ("forward", "step")
"""Forward in evaluation mode, without keeping tensors for gradients; forward, loss and backward, with Adam for a
UResNet."""

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


SCENES = ((192, "real"), (768, "pilarnet"), (768, "real"), (512, "real"))
RULES = (("eager", "out"), ("eager", "in"), ("graph", "out"), ("compiled", "out"))


def full_grid() -> list[Cell]:
    """Every cell, the most interesting first."""
    networks = [name for name in NETWORKS if not name.endswith("2") or name == "uresnet32" or name == "layer32"]
    product = itertools.product(RULES, ("bf16", "fp32", "tf32"), SCENES, (16, 1, 64), networks, TASKS)
    return [
        Cell(network, task, precision, size, density, images, mode, rulebook)
        for (mode, rulebook), precision, (size, density), images, network, task in product
        if not (network.startswith("layer") and (mode, rulebook) not in (("eager", "out"), ("graph", "out")))
    ]


QUICK = [
    Cell("uresnet16", "step", "bf16", 192, "real", 64, "eager", "out"),
    Cell("uresnet16", "step", "bf16", 192, "real", 64, "eager", "in"),
    Cell("uresnet16", "step", "fp32", 192, "real", 16, "eager", "in"),
    Cell("uresnet16", "step", "tf32", 192, "real", 16, "eager", "in"),
    Cell("uresnet16", "forward", "bf16", 768, "real", 1, "eager", "in"),
    Cell("uresnet16", "forward", "bf16", 768, "real", 1, "graph", "out"),
    Cell("uresnet16", "step", "bf16", 192, "real", 1, "graph", "out"),
    Cell("encoder-small", "step", "bf16", 768, "pilarnet", 16, "eager", "out"),
    Cell("encoder-large", "step", "bf16", 768, "pilarnet", 16, "eager", "out"),
    Cell("layer16", "step", "bf16", 192, "real", 64, "graph", "out"),
    Cell("layer64", "step", "bf16", 192, "real", 64, "graph", "out"),
    Cell("layer128", "step", "bf16", 192, "real", 64, "graph", "out"),
    Cell("uresnet16", "forward", "bf16", 192, "real", 16, "compiled", "out"),
]
"""The cells that `make gpu` times."""

TOY = [
    Cell("layer2", "step", "fp32", 8, "real", 1, "eager", "out"),
    Cell("uresnet2", "forward", "bf16", 8, "real", 2, "eager", "in"),
]
"""The cells that run interpreted if there is no GPU."""
