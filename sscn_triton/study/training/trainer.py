"""`sscn train`: trains one network as its configuration says. The process may be killed and restarted at any time."""

from __future__ import annotations

import contextlib
import importlib.util
import math
import os
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import lightning
import torch
from torch.optim.swa_utils import get_ema_multi_avg_fn

from sscn_triton import __version__, nn
from sscn_triton.common import machine
from sscn_triton.common.errors import Interrupted, RunError
from sscn_triton.common.files import only_writer, write_whole
from sscn_triton.common.optional import install
from sscn_triton.common.output import as_json
from sscn_triton.lartpc import EventFileError
from sscn_triton.study.analysis.judging import judge
from sscn_triton.study.data.batches import ENERGY_UNIT
from sscn_triton.study.data.datamodule import EventImages
from sscn_triton.study.data.identity import difference
from sscn_triton.study.data.labels import class_names
from sscn_triton.study.runs.run import STATISTICS_BATCHES
from sscn_triton.study.training.checkpoint import (
    Checkpoint,
    final_weights,
    load_checkpoint,
    network_of,
    save_checkpoint,
    start_weights,
    training_options,
)
from sscn_triton.study.training.config import CHANGEABLE, FINAL, LAST, SCORES, TrainConfig
from sscn_triton.study.training.evaluation import scores_record, summary
from sscn_triton.study.training.loop import Limit, Pace, estimate_statistics, fit, quiet_trainer
from sscn_triton.study.training.networks import Network, make_network
from sscn_triton.study.training.optimizer import adam
from sscn_triton.study.training.segmentation import Objective, Segmentation
from sscn_triton.study.training.steplog import StepLog


def train(config: TrainConfig, seconds: float = math.inf) -> Path | None:
    """Train, judge, and return the path of the final checkpoint; None in processes other than the first.

    The function checks everything that the training needs before its first step: the folder, the checkpoint to continue
    from, the training data and the held-out data. It saves the trained network before judging it.

    seconds: time after which the training stops at a checkpoint and returns None; the same call continues it. After
    this time judging does not start either. For one process only.

    Raises ValueError or OSError before any work if an option or file is unsuitable, BusyError (an OSError) while
    another process trains in the folder, RunError if the work fails, Interrupted on Ctrl-C. Saved files stay.
    """
    end = time.monotonic() + seconds
    if config.processes > 1 and seconds < math.inf:
        raise ValueError(f"seconds needs a training with one process, got devices * nodes = {config.processes}")
    device = machine.device_name(config.device)
    _check_devices(config, device)
    _check_tensorboard(config)
    new = not Path(config.out).exists()
    folder = _make_folder(config)
    with only_writer(folder) if _is_first() else contextlib.nullcontext():
        try:
            return _train(config, folder, device, end)
        except KeyboardInterrupt:
            raise Interrupted(f"interrupted; {_kept(folder / LAST)}") from None
        finally:
            if new and _is_first() and not (folder / LAST).exists():
                shutil.rmtree(folder)  # it contains nothing useful


def train_and_say(config: TrainConfig) -> None:
    """`sscn train`: run `train`, then print the path of the network."""
    if path := train(config):
        print(f"network: {path}")


def _train(config: TrainConfig, folder: Path, device: str, end: float) -> Path | None:
    """Train in a folder to which no other process writes."""
    before = _before(config, folder)
    start = start_weights(config) if before is None else None
    data = EventImages(config, first_step=before.step if before else 0)
    data.load()
    identity = data.identity()
    _check_same_data(config, before, identity)
    described = data.check()
    trainer = make_trainer(config, device)
    last = Keeper(config, folder, before, end, identity, start)
    if last.step < config.steps and time.monotonic() < end:
        if trainer.is_global_zero:
            print(described, file=sys.stderr)
        _fit(trainer, config, data, last)
    if not trainer.is_global_zero or time.monotonic() >= end:
        return None
    return _finish(config, folder, data, torch.device(device))


def _check_devices(config: TrainConfig, device: str) -> None:
    """Check the numbers of devices and of processes; otherwise two trainings could share a folder unnoticed."""
    from lightning.fabric.plugins.environments.slurm import SLURMEnvironment

    if config.processes > 1 and config.network != "sparse" and device == "cpu":
        raise ValueError(
            f"network={config.network} on several processes needs GPUs: PyTorch synchronises batch norm only there"
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


def _check_tensorboard(config: TrainConfig) -> None:
    if config.tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise ValueError(
            f"tensorboard=true needs the package tensorboard: {install('tensorboard')}, or give --tensorboard false"
        )


def _is_first() -> bool:
    """Whether this is the first of the processes that train together; only the first writes to the folder."""
    ranks = ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID")
    return all(os.environ.get(name, "0") == "0" for name in ranks)


def _make_folder(config: TrainConfig) -> Path:
    """Make the folder and return it. Raises ValueError if it is not writable."""
    folder = Path(config.out)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"out must be a folder, but {folder} is a file")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(f"out must be a writable folder, got {folder} ({error.strerror})") from error
    return folder


def _before(config: TrainConfig, folder: Path) -> Checkpoint | None:
    """The checkpoint in the folder to continue from. Raises ValueError if it is from another training or unusable."""
    if not (folder / LAST).exists():
        return None
    before = load_checkpoint(folder / LAST)
    _check_same_training(config, training_options(before, folder / LAST), folder)
    _check_continuable(config, before, folder / LAST)
    return before


def _check_same_training(config: TrainConfig, then: TrainConfig, folder: Path) -> None:
    for name, value in asdict(config).items():
        old = getattr(then, name)
        if name not in CHANGEABLE and value != old:
            raise ValueError(
                f"{folder} contains a training with {name}={old}, not {value}: "
                "choose another out, or give the same options to continue"
            )
    for name in ("data", "held_out"):
        value, old = getattr(config, name), getattr(then, name)
        if (value is None) != (old is None):
            raise ValueError(
                f"{folder} contains a training with {name}={old}, not {value}, which changes the training events: "
                f"choose another out, or {'omit' if old is None else 'give a file as'} {name} to continue"
            )


def _check_continuable(config: TrainConfig, before: Checkpoint, path: Path) -> None:
    """Check that this version can continue from the optimiser's state and from the averages."""
    network = network_of(before)
    optimizer = adam(network)
    try:
        optimizer.load_state_dict(before.optimizer)
        for parameter, state in optimizer.state.items():
            if any(value.shape != parameter.shape for name, value in state.items() if name != "step"):
                raise ValueError("moments differ in shape from their parameter")
        if config.average and before.averaged is None:
            raise ValueError("it has no averages of the weights")
    except Exception as error:  # torch may raise anything for foreign values
        raise ValueError(
            f"{path}: training cannot continue from its optimizer state or averages ({type(error).__name__}: {error})"
        ) from error


def _check_same_data(config: TrainConfig, before: Checkpoint | None, identity: dict[str, Any]) -> None:
    """Refuse to continue with other events than those of the previous steps."""
    if before is None:
        return
    if before.data is None:
        print(f"{config.out}: the checkpoint of an older version does not identify its data", file=sys.stderr)
        return
    differs = difference(before.data, identity)
    if differs is None:
        return
    if config.data is None:
        raise ValueError(
            f"{config.out} contains a training on simulated events that this version simulates differently "
            f"({differs}): choose another out"
        )
    raise ValueError(
        f"{config.out} contains a training on events that differ from those in {config.data} now: {differs}; restore "
        "them, give their new path as data, or choose another out"
    )


def make_trainer(config: TrainConfig, device: str) -> lightning.Trainer:
    """Lightning's trainer for one device, or for several by DDP."""
    from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
    from lightning.pytorch.strategies.ddp import DDPStrategy

    strategy: Any = "auto"
    if config.processes > 1:
        unused = config.network == "study"  # it contains shortcuts that the forward pass does not use
        strategy = DDPStrategy(find_unused_parameters=unused)
    plugins: list[Any] = [SLURMEnvironment(auto_requeue=False)] if SLURMEnvironment.detect() else []
    return quiet_trainer(
        accelerator="gpu" if device == "cuda" else "cpu",
        devices=config.devices,
        num_nodes=config.nodes,
        strategy=strategy,
        plugins=plugins,
        precision="bf16-mixed" if config.precision == "bf16" else "32-true",
        accumulate_grad_batches=config.accumulate,
        use_distributed_sampler=False,
    )


class Keeper(lightning.Callback):
    """Saves checkpoints and, if the options say so, averages the weights.

    The training continues from `before` and stops when the clock passes `end`. identity: that of the data, saved in the
    checkpoints. start_weights: initial weights of a new training, instead of random ones.
    """

    def __init__(
        self,
        config: TrainConfig,
        folder: Path,
        before: Checkpoint | None,
        end: float = math.inf,
        identity: dict[str, Any] | None = None,
        start_weights: dict[str, torch.Tensor] | None = None,
    ) -> None:
        self.config, self.path, self.before, self.end = config, folder / LAST, before, end
        self.identity, self.start_weights = identity, start_weights
        self.averaged: dict[str, torch.Tensor] | None = None
        self.start = self.step = before.step if before else 0

    def network(self) -> Network:
        """The network of the checkpoint, or a new one; in training mode."""
        if self.before is not None:
            return network_of(self.before).train()
        network = make_network(self.config.network_settings(), self.config.seed)
        if self.start_weights is not None:
            network.load_state_dict(self.start_weights)
        return network.train()

    def on_train_start(self, trainer: Any, module: Any) -> None:
        if self.config.average:
            values = dict(module.network.named_parameters()) if self.before is None else self.before.averaged
            assert values is not None
            self.averaged = {name: value.detach().clone().to(module.device) for name, value in values.items()}
        if trainer.is_global_zero and self.before is None:
            self.save(module, trainer)

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_index: int) -> None:
        if (batch_index + 1) % self.config.accumulate:
            return
        self.step = self.start + trainer.global_step
        if self.averaged is not None:
            self._average(self.averaged, dict(module.network.named_parameters()))
        if not trainer.is_global_zero:
            return
        time_is_up = time.monotonic() >= self.end
        trainer.should_stop = trainer.should_stop or time_is_up
        if time_is_up or self.step % self.config.checkpoint_every == 0 or self.step == self.config.steps:
            self._refuse_broken(module, trainer.optimizers[0], batch.names)
            self.save(module, trainer)

    def _average(self, averaged: dict[str, torch.Tensor], parameters: dict[str, torch.Tensor]) -> None:
        """Move the averages towards the parameters, faster in the first steps, so that the initial weights fade."""
        decay = min(self.config.average, self.step / (self.step + 10))
        update = get_ema_multi_avg_fn(decay)
        update(list(averaged.values()), [parameters[name] for name in averaged], self.step)

    def _refuse_broken(self, module: Any, optimizer: torch.optim.Optimizer, names: tuple[str, ...]) -> None:
        """Raise if weights or moments are not finite, so that they do not replace a good checkpoint."""
        for name, weight in module.network.named_parameters():
            moments = [value for key, value in optimizer.state.get(weight, {}).items() if key != "step"]
            if not all(torch.isfinite(values).all() for values in (weight, *moments)):
                raise FloatingPointError(f"after step {self.step}, {name} is not finite ({', '.join(names)})")

    def save(self, module: Any, trainer: Any) -> None:
        checkpoint = Checkpoint(
            settings=asdict(self.config),
            network=self.config.network_settings(),
            classes=class_names(self.config.classes),
            energy_unit=ENERGY_UNIT,
            step=self.step,
            samples=self.step * self.config.accumulate * self.config.batch,
            weights=module.network.state_dict(),
            optimizer=trainer.optimizers[0].state_dict(),
            sscn=__version__,
            data=self.identity,
            averaged=self.averaged,
        )
        save_checkpoint(checkpoint, self.path)


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
    pace = Pace(Limit(0.0, config.steps), config.learning_rate, "training", config.schedule, last.step)
    ctrl_c = signal.getsignal(signal.SIGINT)
    try:
        fit(trainer, module, [log, pace, last], datamodule=data)
    except SystemExit:  # Lightning raises this on Ctrl-C
        signal.signal(signal.SIGINT, ctrl_c)
        raise Interrupted(f"interrupted; {_kept(last.path)}") from None
    except Exception as error:
        raise RunError(f"{_told(error)}; {_kept(last.path)}") from error


def _told(error: Exception) -> str:
    """The message of an error; the type of the error precedes it unless the message suffices."""
    if isinstance(error, (ArithmeticError, OSError, RuntimeError, EventFileError)) and str(error):
        return str(error)
    return f"{type(error).__name__}: {error}"


def _kept(path: Path) -> str:
    if not path.exists():
        return "nothing was kept"
    step = load_checkpoint(path).step
    return f"step {step} is kept in {path}, and the same command continues from there"


def _finish(config: TrainConfig, folder: Path, data: EventImages, device: torch.device) -> Path:
    """Save the network with the statistics of its final weights, then judge it."""
    checkpoint = load_checkpoint(folder / LAST)
    try:
        network = network_of(replace(checkpoint, weights=final_weights(checkpoint))).to(device)
        batches = data.statistics_batches(min(STATISTICS_BATCHES, config.steps * config.accumulate))
        estimate_statistics(network, [batch.to(device) for batch in batches])
        save_checkpoint(replace(checkpoint, weights=network.state_dict(), averaged=None), folder / FINAL)
    except Exception as error:
        raise RunError(f"{_told(error)}; {_kept(folder / LAST)}") from error
    try:
        scores, _, _ = judge(network, data.judged_images(), len(checkpoint.classes))
        record = scores_record(scores, checkpoint) | {"held_out": data.judged_by()}
        write_whole(folder / SCORES, as_json(record), overwrite=True)
    except Exception as error:
        raise RunError(
            f"the network is trained and saved in {folder / FINAL}, but could not be evaluated: {_told(error)}; the "
            "same command evaluates it again, if necessary with another held_out or held_out_events"
        ) from error
    print(summary(record))
    return folder / FINAL
