"""`sscn train`: one network trained as a configuration says, to be killed and continued at will."""

from __future__ import annotations

import logging
import math
import os
import signal
import time
import warnings
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import lightning
import torch

from sscn_triton import __version__, nn
from sscn_triton.study import machine
from sscn_triton.study.checkpoint import (
    Checkpoint,
    load_checkpoint,
    network_of,
    random_states,
    restore_random_states,
    save_checkpoint,
    seed_random_states,
    write_whole,
)
from sscn_triton.study.data import ENERGY_UNIT
from sscn_triton.study.datamodule import EventImages
from sscn_triton.study.errors import Interrupted, RunError
from sscn_triton.study.evaluation import scores_record, summary
from sscn_triton.study.labels import class_names
from sscn_triton.study.networks import Network, NetworkSettings, make_network
from sscn_triton.study.output import as_json
from sscn_triton.study.progress import Progress
from sscn_triton.study.runs import STATISTICS_BATCHES, judge
from sscn_triton.study.segmentation import Objective, Segmentation, one_cycle, set_learning_rate
from sscn_triton.study.steplog import StepLog
from sscn_triton.study.train_config import CHANGEABLE, TrainConfig
from sscn_triton.study.training import estimate_statistics

LAST, FINAL, SCORES = "last.ckpt", "final.ckpt", "scores.json"


def train(config: TrainConfig, seconds: float = math.inf) -> Path | None:
    """Train, judge, and return the path of the final checkpoint; None in processes other than the first.

    seconds: after so many the training stops at a checkpoint, to be continued by the same call, and None is returned;
    judging is not begun then either. For one process.

    Raises ValueError or OSError before any work for what will not do, RunError if the work fails, Interrupted on
    Ctrl-C. What was saved before stays.
    """
    end = time.monotonic() + seconds
    if config.processes > 1 and seconds < math.inf:
        raise ValueError(f"seconds is for one process, got devices * nodes = {config.processes}")
    device = machine.device_name(config.device)
    _check_devices(config, device)
    folder, before = _open_folder(config)
    data = EventImages(config, first_step=before.step if before else 0)
    data.load()
    trainer = make_trainer(config, device)
    last = Keeper(config, folder, before, end)
    if last.step < config.steps and time.monotonic() < end:
        _fit(trainer, config, data, last)
    if not trainer.is_global_zero or time.monotonic() >= end:
        return None
    return _finish(config, folder, data, torch.device(device))


def _check_devices(config: TrainConfig, device: str) -> None:
    """As many devices as asked for, as many processes as started: two trainings must not share a folder unawares."""
    from lightning.fabric.plugins.environments.slurm import SLURMEnvironment

    if config.processes > 1 and config.network != "sparse" and device == "cpu":
        raise ValueError(
            f"network={config.network} on several processes needs GPUs: PyTorch synchronises batch norm nowhere else"
        )
    if device == "cuda" and config.devices > torch.cuda.device_count():
        raise ValueError(f"devices must be at most the {torch.cuda.device_count()} GPUs here, got {config.devices}")
    started = os.environ.get("WORLD_SIZE") if "TORCHELASTIC_RUN_ID" in os.environ else None
    if SLURMEnvironment.detect():
        started = os.environ["SLURM_NTASKS"]
    if started is not None and int(started) != config.processes:
        raise ValueError(
            f"devices * nodes must be the number of processes that were started, {started}, got "
            f"{config.devices} * {config.nodes}"
        )


def _open_folder(config: TrainConfig) -> tuple[Path, Checkpoint | None]:
    """The folder, and the checkpoint in it to go on from. ValueError if that is of another training."""
    folder = Path(config.out)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"out must be a folder, but {folder} is a file")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"out must be a folder that can be written, got {folder} ({error.strerror})") from error
    if not (folder / LAST).exists():
        return folder, None
    before = load_checkpoint(folder / LAST)
    now = asdict(config)
    then = {field.name: field.default for field in fields(TrainConfig)} | before.settings  # an older version has fewer
    for name in sorted(now.keys() | then.keys()):
        if name not in CHANGEABLE and now.get(name) != then.get(name):
            raise ValueError(
                f"{folder} holds a training with {name}={then.get(name)}, not {now.get(name)}: "
                "give another out, or the same options to go on"
            )
    return folder, before


def make_trainer(config: TrainConfig, device: str) -> lightning.Trainer:
    """Lightning's trainer for one device, or for several by DDP."""
    from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
    from lightning.pytorch.strategies.ddp import DDPStrategy

    strategy: Any = "auto"
    if config.processes > 1:
        unused = config.network == "study"  # it has shortcuts that take part in nothing
        strategy = DDPStrategy(find_unused_parameters=unused)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    plugins: list[Any] = [SLURMEnvironment(auto_requeue=False)] if SLURMEnvironment.detect() else []
    return lightning.Trainer(
        accelerator="gpu" if device == "cuda" else "cpu",
        devices=config.devices,
        num_nodes=config.nodes,
        strategy=strategy,
        plugins=plugins,
        precision="bf16-mixed" if config.precision == "bf16" else "32-true",
        max_epochs=1,
        accumulate_grad_batches=config.accumulate,
        use_distributed_sampler=False,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


class Keeper(lightning.Callback):
    """Sets the learning rate, keeps checkpoints, shows progress. Starts where `before` stopped, stops when the clock
    passes `end`."""

    def __init__(self, config: TrainConfig, folder: Path, before: Checkpoint | None, end: float = math.inf) -> None:
        self.config, self.path, self.before, self.end = config, folder / LAST, before, end
        self.start = self.step = before.step if before else 0
        self._show: Progress | None = None

    def network(self) -> Network:
        """The network as it was, or a fresh one; in the mode for training."""
        c = self.config
        settings = NetworkSettings(
            kind=c.network,
            num_classes=len(class_names(c.classes)),
            filters=c.filters,
            depth=c.depth,
            repetitions=c.repetitions,
            ndim=c.ndim,
        )
        network = network_of(self.before) if self.before else make_network(settings, c.seed)
        self.settings = settings
        return network.train()

    def on_train_start(self, trainer: Any, module: Any) -> None:
        if self.before is not None:
            restore_random_states(self.before.random)
        else:
            seed_random_states(self.config.seed)
        if trainer.is_global_zero:
            if self.before is None:
                self.save(module, trainer)
            self._show = Progress("training", self.config.steps)

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, batch_index: int) -> None:
        set_learning_rate(trainer, one_cycle(self.step / self.config.steps, self.config.learning_rate))

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_index: int) -> None:
        if (batch_index + 1) % self.config.accumulate:
            return
        self.step = self.start + trainer.global_step
        if not trainer.is_global_zero:
            return
        time_is_up = time.monotonic() >= self.end
        trainer.should_stop = trainer.should_stop or time_is_up
        if time_is_up or self.step % self.config.checkpoint_every == 0 or self.step == self.config.steps:
            self._refuse_broken(module, batch.names)
            self.save(module, trainer)
        if self._show is not None:
            seen = module.seen
            remark = f"step {self.step}, loss {seen.mean_loss:.3f}, accuracy {seen.nonzero_accuracy:.3f}"
            self._show.to(self.step, remark)

    def _refuse_broken(self, module: Any, names: tuple[str, ...]) -> None:
        """Weights that are no numbers must not replace good ones."""
        for name, weight in module.network.named_parameters():
            if not torch.isfinite(weight).all():
                raise FloatingPointError(f"after step {self.step}, {name} is not finite ({', '.join(names)})")

    def save(self, module: Any, trainer: Any) -> None:
        checkpoint = Checkpoint(
            settings=asdict(self.config),
            network=self.settings,
            classes=class_names(self.config.classes),
            energy_unit=ENERGY_UNIT,
            step=self.step,
            samples=self.step * self.config.accumulate * self.config.batch,
            weights=module.network.state_dict(),
            optimizer=trainer.optimizers[0].state_dict(),
            random=random_states(),
            sscn=__version__,
        )
        save_checkpoint(checkpoint, self.path)

    def teardown(self, trainer: Any, module: Any, stage: str) -> None:
        if self._show is not None:
            self._show.__exit__()


def _fit(trainer: lightning.Trainer, config: TrainConfig, data: EventImages, last: Keeper) -> None:
    network: torch.nn.Module = last.network()
    if config.processes > 1 and config.network == "sparse":
        network = nn.convert_sync_batchnorm(network)
    elif config.processes > 1:
        network = torch.nn.SyncBatchNorm.convert_sync_batchnorm(network)
    module = Segmentation(
        network,
        config.learning_rate,
        Objective(config.reduction, config.class_weights),
        first_step=last.step + 1,
        optimizer_state=last.before.optimizer if last.before else None,
    )
    log = StepLog(last.path.parent, class_names(config.classes), last.step, config.tensorboard)
    trainer.callbacks += [log, last]  # type: ignore[attr-defined]
    ctrl_c = signal.getsignal(signal.SIGINT)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Lightning's advice on workers and progress bars
            trainer.fit(module, datamodule=data)
    except SystemExit:  # Lightning's answer to Ctrl-C
        signal.signal(signal.SIGINT, ctrl_c)
        raise Interrupted(f"interrupted; {_kept(last)}") from None
    except (ArithmeticError, OSError, RuntimeError) as error:
        raise RunError(f"{error}; {_kept(last)}") from error


def _kept(last: Keeper) -> str:
    if not last.path.exists():
        return "nothing was kept"
    step = load_checkpoint(last.path).step
    return f"step {step} is kept in {last.path}, and the same command goes on from there"


def _finish(config: TrainConfig, folder: Path, data: EventImages, device: torch.device) -> Path:
    """Statistics of the final weights, the judgement, and what is left for later use."""
    checkpoint = load_checkpoint(folder / LAST)
    network = network_of(checkpoint).to(device)
    batches = data.statistics_batches(min(STATISTICS_BATCHES, config.steps * config.accumulate))
    estimate_statistics(network, [batch.to(device) for batch in batches])
    scores, _, _ = judge(network, data.judged_images(), len(checkpoint.classes))
    record = scores_record(scores, checkpoint)
    final = Checkpoint(**{**vars(checkpoint), "weights": network.state_dict()})
    try:
        save_checkpoint(final, folder / FINAL)
        write_whole(folder / SCORES, as_json(record).encode())
    except OSError as error:
        raise RunError(f"{error}; step {checkpoint.step} is kept in {folder / LAST}") from error
    print(summary(record))
    return folder / FINAL
