"""The log with one row per step, as a CSV file and as TensorBoard's; it continues where a killed training stopped."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import torch

from sscn_triton.common.files import named, write_all, write_whole
from sscn_triton.common.memory import resident_memory
from sscn_triton.study.training.board import Board
from sscn_triton.study.training.config import STEPS
from sscn_triton.study.training.recorder import Measured, Recorder

FIELDS = ("step", "loss", "nonzero_accuracy", "voxels", "events", "learning_rate")
TIMES = ("seconds_data", "seconds_forward", "seconds_backward", "wall")


def columns(classes: tuple[str, ...]) -> list[str]:
    """The columns of steps.csv.

    Loss and accuracies are those of the step's images before the weights changed. Times are in seconds: backward
    includes the optimiser, and wall counts from the start of the training, without pauses. Memory is in bytes: on a GPU
    the peak allocation in this step, else the size of the process. Loss, accuracies, voxels and events cover all
    processes; times and memory are those of the first process.
    """
    return [*FIELDS, *(f"accuracy_{name}" for name in classes), *TIMES, "memory"]


class StepLog(Recorder):
    """Writes the rows. last_step: the last step whose row is kept from before; later steps are repeated."""

    def __init__(self, folder: Path, classes: tuple[str, ...], last_step: int, tensorboard: bool) -> None:
        super().__init__(last_step)
        self.folder, self.columns, self.tensorboard = folder, columns(classes), tensorboard
        self._board: Board | None = None
        self._file: Any = None

    def begin(self, trainer: Any) -> float:
        return self._open() if trainer.is_global_zero else 0.0

    def _open(self) -> float:
        """Drop the rows after the last step; returns the wall time of the last remaining row."""
        path = self.folder / STEPS
        rows = read_rows(path) if self.last_step and path.exists() else []
        kept = [row for row in rows if int(row["step"]) <= self.last_step]
        lines = [",".join(self.columns), *(",".join(row[name] for name in self.columns) for row in kept)]
        write_whole(path, "\n".join(lines) + "\n", overwrite=True)
        self._file = path.open("ab", buffering=0)
        if self.tensorboard:
            self._board = Board(self.folder / "tensorboard", self.last_step + 1)
        return float(kept[-1]["wall"]) if kept else 0.0

    def keep(self, trainer: Any, module: Any, step: Measured) -> None:
        if not trainer.is_global_zero:
            return
        seen, rate = step.seen, trainer.optimizers[0].param_groups[0]["lr"]
        values = [step.step, seen.mean_loss, seen.nonzero_accuracy, int(seen.voxels), int(seen.events), rate]
        values += [*seen.class_accuracies, *(getattr(step, name) for name in TIMES), step_memory(module.device)]
        self._write(dict(zip(self.columns, values, strict=True)))

    def _write(self, row: dict[str, float]) -> None:
        """Write a row. Raises WriteError if the disk is full."""
        line = ",".join(f"{value:.6g}" if isinstance(value, float) else str(value) for value in row.values())
        try:
            write_all(self._file, f"{line}\n".encode())
        except OSError as error:
            raise named(error, self.folder / STEPS) from error
        if self._board is not None:
            self._board.add(int(row["step"]), {name: value for name, value in row.items() if name != "step"})

    def teardown(self, trainer: Any, module: Any, stage: str) -> None:
        if self._file is not None:
            self._file.close()
        if self._board is not None:
            self._board.close()
        self._file = self._board = None


def step_memory(device: torch.device) -> int:
    """Memory in bytes: on a GPU the peak allocation since the last call, else the current size of the process."""
    if device.type != "cuda":
        return resident_memory()
    peak = torch.cuda.max_memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    return peak


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of steps.csv; an incomplete last row is left out."""
    with path.open(newline="") as file:
        return [row for row in csv.DictReader(file) if row.get("memory")]
