"""Export a network, save it, and load it."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from torch.fx.experimental import _config
from torch.utils import _pytree

from sscn_triton.common.errors import first_line
from sscn_triton.common.files import WholeFile
from sscn_triton.common.output import plain
from sscn_triton.core.tensor import SparseTensor
from sscn_triton.export.plan import GivenGrid, GridPlan, RecordingGrid, rules_of
from sscn_triton.functional import UnknownSitesError
from sscn_triton.nn.prepare import run_on_meta
from sscn_triton.ops.pytorch import check_export

if TYPE_CHECKING:
    from torch.export import ExportedProgram

FORMAT, VERSION, DESCRIPTION = "sscn exported network", 1, "sscn.json"


class Takes(NamedTuple):
    """What the tensors of an exported network have in common: ``channels`` of type ``dtype`` on ``ndim`` axes."""

    channels: int
    dtype: str
    ndim: int

    def __str__(self) -> str:
        return f"{self.channels} channels of {self.dtype} on {self.ndim} axes, on the CPU"


class ExportedNetwork:
    """A network as a program of `torch.export`, which needs none of the network's Python code.

    The program calls the operators of this package, so a process that loads it imports ``sscn_triton`` first.

    Attributes:
        program: takes ``(features [N, C], rules)``, plain tensors for any number of voxels, where ``rules`` is what
            `rules_of` returns. Returns the network's output, ``[M, C']``.
        plan: the rulebooks that the program reads.
        takes: channels, type and number of axes of its input.
        about: plain values about the network, such as `models.SparseUResNet.about`.
    """

    def __init__(self, program: ExportedProgram, plan: GridPlan, takes: Takes, about: Mapping[str, Any]) -> None:
        self.program, self.plan, self.takes, self.about = program, plan, takes, plain("about", about)
        self._run = program.module()

    def inputs(self, tensor: SparseTensor) -> tuple[Tensor, dict[str, Any]]:
        """The arguments of the program for this tensor, ``(features, rules)``. Builds the rulebooks that are missing.

        Raises TypeError, or ValueError if the tensor differs from the example in channels, type, number of axes or
        device; or in spatial shape, unless the example had none.
        """
        if not isinstance(tensor, SparseTensor):
            raise TypeError(f"an exported network takes a SparseTensor, got {type(tensor).__name__}")
        given = takes(tensor)
        if given != self.takes or tensor.device.type != "cpu":
            raise ValueError(
                f"this network was exported for {self.takes}; the tensor has {given.channels} channels of "
                f"{given.dtype} on {given.ndim} axes, on {tensor.device}"
            )
        shape = self.plan.spatial_shape
        if shape is not None and tensor.spatial_shape != shape:
            raise ValueError(
                f"this network was exported for a spatial_shape of {shape}, got {tensor.spatial_shape}; exported with "
                "an example without a spatial_shape, it takes any"
            )
        return tensor.features, rules_of(tensor.grid, self.plan)

    def __call__(self, tensor: SparseTensor) -> Tensor:
        """The network's output for this tensor, ``[M, C']``, without gradients. Raises as `inputs` does."""
        arguments = self.inputs(tensor)
        with torch.no_grad():
            return self._run(*arguments)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write one file (by convention .pt2), which `load_exported` and `torch.export.load` read.

        Raises FileExistsError, unless ``overwrite``, and OSError if the file cannot be written. No incomplete file is
        left behind.
        """
        content = {"format": FORMAT, "version": VERSION, "plan": self.plan.as_json(), "takes": self.takes._asdict()}
        text = json.dumps({**content, "about": self.about})
        with WholeFile(path, overwrite=overwrite) as file:
            written = io.BytesIO()  # because PyTorch's writer does not survive a full disk
            torch.export.save(self.program, written, extra_files={DESCRIPTION: text})
            file.write(written.getbuffer())


def takes(tensor: SparseTensor) -> Takes:
    """What an exported network knows of such a tensor."""
    return Takes(tensor.features.shape[1], str(tensor.dtype).removeprefix("torch."), tensor.ndim)


def export_network(
    model: torch.nn.Module, example: SparseTensor, about: Mapping[str, Any] | None = None
) -> ExportedNetwork:
    """The network as a program for tensors with any number of voxels and events.

    Args:
        model: a network in evaluation mode on the CPU, which takes a SparseTensor and returns a SparseTensor, of which
            the program returns the features, or a tensor.
        example: a tensor on the CPU, ``[N, C]`` features. The program takes tensors of its type, channels, axes and,
            if it has one, spatial shape; the number of its voxels and events does not matter, unless Inductor
            compiles the program: then it needs two sites on every grid.
        about: plain values to store with the network; by default its attribute ``about``, if it has one.

    Raises:
        TypeError, ValueError: with what was given and what is allowed; ValueError with PyTorch before 2.8, for values
            that JSON cannot hold, and for a network whose sites depend on its features (`Prune`) or that reads the
            number of events of its input (`ToDense`).
    """
    check_export()
    _check_model(model, example)
    about = plain("about", getattr(model, "about", {}) if about is None else about)
    grid = RecordingGrid(example.grid)
    try:
        returned = run_on_meta(model, SparseTensor.on(example.features, grid))
    except UnknownSitesError as error:
        raise ValueError(f"a network whose sites depend on features cannot be exported: {error}") from error
    if not isinstance(returned, (SparseTensor, Tensor)):
        raise TypeError(f"the network must return a SparseTensor or a tensor, got {type(returned).__name__}")
    plan = grid.plan()
    arguments = example.features.detach(), rules_of(grid, plan)
    shapes = _pytree.tree_map_with_path(_dynamic, arguments)
    one_is_a_size = _config.patch(backed_size_oblivious=True)  # type: ignore[attr-defined]
    with torch.no_grad(), one_is_a_size:  # by default, no program takes a single event
        program = torch.export.export(_Program(model, plan), arguments, dynamic_shapes=shapes, strict=False)
    return ExportedNetwork(program, plan, takes(example), about)


def load_exported(path: str | os.PathLike[str]) -> ExportedNetwork:
    """Load the file that `ExportedNetwork.save` wrote.

    `torch.export.load` may run code from a file, so load only files that you trust.

    Raises FileNotFoundError, and ValueError naming the file if it is foreign or damaged, before any code can run.
    Raises ValueError with PyTorch before 2.8.
    """
    check_export()
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    content = _description(path)
    if content.get("format") != FORMAT:
        raise ValueError(f"{path}: a program that export_network did not make")
    if content.get("version") != VERSION:
        raise ValueError(f"{path}: is of version {content.get('version')}; this package reads {VERSION}")
    try:
        plan, takes, about = GridPlan.from_json(content["plan"]), Takes(**content["takes"]), content["about"]
        with path.open("rb") as file:
            return ExportedNetwork(torch.export.load(file), plan, takes, about)
    except Exception as error:  # because a foreign file can make any part of the reader fail
        raise ValueError(f"{path}: not an exported program, or a damaged one ({first_line(error, 80)})") from error


def _description(path: Path) -> dict[str, Any]:
    """The description in the file, empty if it has none. Compares checksums, because `torch.export.load` does not."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
            if damaged is not None:
                raise ValueError(f"{damaged} has another checksum")
            names = [name for name in archive.namelist() if name.endswith(f"/extra/{DESCRIPTION}")]
            content = json.loads(archive.read(names[0])) if names else {}
    except Exception as error:  # as above
        raise ValueError(f"{path}: not an exported program, or a damaged one ({first_line(error, 80)})") from error
    return content if isinstance(content, dict) else {}


class _Program(torch.nn.Module):
    """The function to trace: the network on a grid that consists of the arguments."""

    def __init__(self, model: torch.nn.Module, plan: GridPlan) -> None:
        super().__init__()
        self.network, self.plan = model, plan

    def forward(self, features: Tensor, rules: dict[str, Any]) -> Tensor:
        returned = self.network(SparseTensor._of(features, GivenGrid(self.plan, rules), ()))
        return returned.features if isinstance(returned, SparseTensor) else returned


def _check_model(model: object, example: object) -> None:
    if not isinstance(model, torch.nn.Module) or not isinstance(example, SparseTensor):
        raise TypeError(
            f"export_network takes a torch.nn.Module and a SparseTensor, got {type(model).__name__} and "
            f"{type(example).__name__}"
        )
    if any(module.training for module in model.modules()):
        raise ValueError("only a network in evaluation mode can be exported: call model.eval() first")
    devices = {value.device.type for value in (*model.parameters(), *model.buffers(), example.features)}
    if devices != {"cpu"}:
        raise ValueError(f"network and example must be on the CPU, got {', '.join(sorted(devices))}")


def _dynamic(path: Any, tensor: Tensor) -> dict[int, Any] | None:
    """Every tensor has any number of rows, except that ``spans`` has one per tap."""
    return None if getattr(path[-1], "key", None) == "spans" else {0: torch.export.Dim.DYNAMIC}
