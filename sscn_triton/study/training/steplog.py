"""A row for every step, in a CSV file and in TensorBoard's, continued where a killed training stopped."""

from __future__ import annotations

import csv
import time
from pathlib import Path
from typing import Any

import lightning
import torch

from sscn_triton.common.files import named, write_all, write_whole
from sscn_triton.common.memory import resident_memory
from sscn_triton.study.training.board import Board
from sscn_triton.study.training.config import STEPS
from sscn_triton.study.training.segmentation import Seen

FIELDS = ("step", "loss", "nonzero_accuracy", "voxels", "events", "learning_rate")
TIMES = ("seconds_data", "seconds_forward", "seconds_backward", "wall")


def columns(classes: tuple[str, ...]) -> list[str]:
    """Of steps.csv: loss and accuracies are of the images the step learnt from, before it moved the weights; times in
    seconds (backward has the optimiser in it, wall counts from the start of the training, pauses left out); memory in
    bytes, of a GPU what was allocated at most in this step, else what the process holds. Over all processes are loss,
    accuracies, voxels and events; times and memory are those of the first."""
    return [*FIELDS, *(f"accuracy_{name}" for name in classes), *TIMES, "memory"]


class StepLog(lightning.Callback):
    """Writes the rows. last_step: of the rows kept from before; what is beyond it was made again."""

    def __init__(self, folder: Path, classes: tuple[str, ...], last_step: int, tensorboard: bool) -> None:
        self.folder, self.columns, self.last_step = folder, columns(classes), last_step
        self.tensorboard = tensorboard
        self._board: Board | None = None
        self._file: Any = None
        self._seen: Seen | None = None
        self._times = dict.fromkeys(TIMES, 0.0)
        self._began = self._mark = 0.0

    def on_train_start(self, trainer: Any, module: Any) -> None:
        before = 0.0
        if trainer.is_global_zero:
            before = self._open()
        self._mark = time.perf_counter()
        self._began = self._mark - before

    def _open(self) -> float:
        """Drops the rows beyond the last step; gives the wall time of the last one that stays."""
        path = self.folder / STEPS
        rows = read_rows(path) if self.last_step and path.exists() else []
        kept = [row for row in rows if int(row["step"]) <= self.last_step]
        lines = [",".join(self.columns), *(",".join(row[name] for name in self.columns) for row in kept)]
        write_whole(path, "\n".join(lines) + "\n", overwrite=True)
        self._file = path.open("ab", buffering=0)
        if self.tensorboard:
            self._board = Board(self.folder / "tensorboard", self.last_step + 1)
        return float(kept[-1]["wall"]) if kept else 0.0

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, batch_index: int) -> None:
        now = time.perf_counter()
        self._times["seconds_data"] += now - self._mark
        self._mark = now

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_index: int) -> None:
        if module.device.type == "cuda":
            torch.cuda.synchronize(module.device)
        now = time.perf_counter()
        seen: Seen = module.seen
        self._times["seconds_forward"] += seen.forward
        self._times["seconds_backward"] += now - self._mark - seen.forward
        self._mark = now
        self._seen = seen if self._seen is None else self._seen + seen
        if (batch_index + 1) % trainer.accumulate_grad_batches == 0:
            self._times["wall"] = now - self._began
            if trainer.is_global_zero:
                self._write(self._row(trainer, module))
            self._seen, self._times = None, dict.fromkeys(TIMES, 0.0)

    def _row(self, trainer: Any, module: Any) -> dict[str, float]:
        seen = self._seen
        assert seen is not None
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        step = self.last_step + trainer.global_step
        values = [step, seen.mean_loss, seen.nonzero_accuracy, int(seen.voxels), int(seen.events), rate]
        values += [*seen.class_accuracies, *self._times.values(), step_memory(module.device)]
        return dict(zip(self.columns, values, strict=True))

    def _write(self, row: dict[str, float]) -> None:
        """Raises WriteError if there is no room."""
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
    """Bytes: of a GPU what was allocated at most since the last call, else what the process holds now."""
    if device.type != "cuda":
        return resident_memory()
    peak = torch.cuda.max_memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    return peak


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of steps.csv; a last one that was cut short is left out."""
    with path.open(newline="") as file:
        return [row for row in csv.DictReader(file) if row.get("memory")]
