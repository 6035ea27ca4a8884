"""`sscn train` on two processes learns the same as on one."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch

from sscn_triton import cli
from sscn_triton.study.training.checkpoint import load_checkpoint
from sscn_triton.study.training.config import TrainConfig
from sscn_triton.study.training.trainer import make_trainer, train
from tests.support.forks import run_elastic

OPTIONS = {
    "events": 6, "image": 16, "filters": 3, "depth": 2, "repetitions": 1, "steps": 8, "batch": 4, "accumulate": 2,
    "learning_rate": 3e-3, "checkpoint_every": 3, "tensorboard": False,
}  # fmt: skip


def column(folder: Path, name: str) -> torch.Tensor:
    with (folder / "steps.csv").open() as file:
        return torch.tensor([float(row[name]) for row in csv.DictReader(file)])


def words_of(folder: Path, **options: object) -> list[str]:
    named = {**OPTIONS, "devices": 2, **options}
    return ["train", f"--out={folder}", *(f"--{name}={str(value).lower()}" for name, value in named.items())]


def one_rank(words: list[str]) -> None:
    torch.set_num_threads(1)
    with pytest.raises(SystemExit) as end:
        cli.main(words)
    assert end.value.code == 0


def torchrun(words: list[str]) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "sscn_triton"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, *words], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


STARTERS = {"its agent": partial(run_elastic, one_rank), "the command": torchrun}


@pytest.mark.parametrize(
    ("reduction", "starter"), [("mean", "its agent"), pytest.param("sum", "the command", marks=pytest.mark.deep)]
)
def test_two_processes_give_the_loss_curve_of_one_on_the_joined_batch(
    tmp_path: Path, reduction: str, starter: str
) -> None:
    """Losses agree to 1e-4 of their size over eight steps in which the weights change: sums are computed in another
    order, and float32 has seven digits."""
    train(TrainConfig(out=str(tmp_path / "one"), reduction=reduction, **OPTIONS))  # type: ignore[arg-type]
    STARTERS[starter](words_of(tmp_path / "two", reduction=reduction))
    one, two = tmp_path / "one", tmp_path / "two"
    assert torch.equal(column(one, "voxels"), column(two, "voxels"))
    assert torch.equal(column(one, "events"), column(two, "events"))
    losses = column(one, "loss")
    assert len(losses) == 8
    assert losses.std() > 0.01
    torch.testing.assert_close(column(two, "loss"), losses, rtol=1e-4, atol=0)
    ours, theirs = (load_checkpoint(folder / "final.ckpt") for folder in (one, two))
    assert ours.samples == theirs.samples
    for name, weight in ours.weights.items():
        torch.testing.assert_close(theirs.weights[name], weight, rtol=1e-2, atol=1e-3, msg=name)


def test_slurm_provides_rank_and_size_without_automatic_requeueing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables that `srun` sets for the second of two tasks on one node."""
    for name, value in {"NTASKS": "2", "JOB_ID": "77", "PROCID": "1", "LOCALID": "1", "NODEID": "0"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    monkeypatch.setenv("SLURM_JOB_NAME", "training")
    monkeypatch.setenv("SLURM_NTASKS_PER_NODE", "2")
    trainer = make_trainer(TrainConfig(devices=2, batch=2), "cpu")
    environment = trainer.strategy.cluster_environment
    assert type(environment).__name__ == "SLURMEnvironment"
    assert (trainer.global_rank, trainer.world_size) == (1, 2)
    assert not environment.auto_requeue


def test_dense_networks_on_several_cpu_processes_are_refused(tmp_path: Path) -> None:
    config = TrainConfig(out=str(tmp_path / "a"), network="matched", devices=2, device="cpu")
    with pytest.raises(ValueError, match="network=matched on several processes needs GPUs"):
        train(config)
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    "variables",
    [
        {"TORCHELASTIC_RUN_ID": "1", "WORLD_SIZE": "2"},
        {"SLURM_NTASKS": "2", "SLURM_JOB_NAME": "training", "SLURM_JOB_ID": "1"},
    ],
    ids=["torchrun", "srun"],
)
def test_two_processes_without_matching_options_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=r"the number of processes that were started, 2, got 1 \* 1"):
        train(TrainConfig(out=str(tmp_path / "a")))
    assert not (tmp_path / "a").exists()
