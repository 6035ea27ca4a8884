"""Options of `sscn train`, `sscn evaluate` and `sscn predict`. Imports nothing slow, because the command line imports
this module to print help."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sscn_triton.common.files import check_new
from sscn_triton.common.options import check_least, check_positive, check_suffix, check_types
from sscn_triton.lartpc.files.reading_options import ReadingOptions
from sscn_triton.study.config import EVENTS, IMAGE
from sscn_triton.study.data.labels import class_names
from sscn_triton.study.training.networks import NetworkSettings

Schedule = Literal["one-cycle", "constant", "decay"]
CONFIGS = Path(__file__).parent / "configs"
LAST, FINAL, SCORES, STEPS = "last.ckpt", "final.ckpt", "scores.json", "steps.csv"
"""Files in the folder of a training."""

CHANGEABLE = (
    *("out", "data", "held_out", "held_out_events", "workers", "device", "devices", "nodes"),
    *("checkpoint_every", "tensorboard"),
)
"""Options that may differ when a training continues, because they do not change what the network learns. The data may
have moved, because the checkpoint identifies them by their contents. Another file may provide the held-out events."""


def packaged_configs() -> list[str]:
    """Names of the configurations in the package."""
    return sorted(path.stem for path in CONFIGS.glob("*.yaml"))


def packaged_options(name: str) -> dict[str, Any]:
    """The options that a packaged configuration sets."""
    import yaml  # type: ignore[import-untyped]  # comes with Lightning

    return yaml.safe_load((CONFIGS / f"{name}.yaml").read_text(encoding="utf-8"))


def config_path(name: str) -> str:
    """The file of a packaged configuration, or `name` itself if that is a file. Raises ValueError if it is neither."""
    if name in packaged_configs():
        return str(CONFIGS / f"{name}.yaml")
    if not Path(name).is_file():
        names = ", ".join(packaged_configs())
        raise ValueError(f"--config: {name!r} is neither a file nor one of the packaged {names}")
    return name


@dataclass(frozen=True)
class TrainConfig(ReadingOptions):
    """Train a network that labels the voxels of liquid-argon images.

    `--config` takes a file, or the name of a packaged configuration: laptop, 192, 512, 768, study-192, michel,
    two-class, 2d, dense-matched, dense-study, transfer. Options on the command line take precedence.

    The command checks the data, the folder, the checkpoint and the held-out events before the first step. It writes
    steps.csv (one row per step), last.ckpt and TensorBoard's files to the folder `out`, and at the end final.ckpt and
    then scores.json. `sscn report` makes a page from them. If a training is killed, the same command continues it from
    last.ckpt and ends with the same weights as an uninterrupted training. To train on several devices, start the
    command with torchrun or srun and set `devices` and `nodes`.

    Args:
        out: folder of this training.
        data: event file to train on, in any format that `sscn inspect` reads, or a folder of such files. If omitted,
            events are simulated.
        held_out: event file to evaluate the network on at the end. If omitted, one in five events of the data is held
            out from training. To evaluate a finished training on another file or on another number of events, give the
            command again with the new value.
        held_out_events: maximum number of events to evaluate the network on.
        events: number of simulated events, 200 if omitted; not allowed with a file.
        image: edge of a simulated event in voxels, 192 if omitted; not allowed with a file.
        stream: let the workers simulate every event when it is needed, instead of simulating all events beforehand; not
            allowed with a file.
        seed: seed of the simulated events, split, order, crops, augmentation and initial weights.
        ndim: 3, or 2 for what the wire plane y sees: images summed along y.
        classes: five; two for track (HIP, MIP) against shower (shower, delta, Michel); or shapes for PILArNet-M's
            shower, track, Michel, delta and low-energy deposit.
        labels: slides keeps the labels as they are; attached labels detached delta rays and Michel electrons as shower.
        crop: edge in voxels of the crops to train on. If omitted, the network trains on whole images.
        augment: rotate and mirror every image by a random symmetry of the cube.
        shift: move every image by 0 to this many voxels along each axis, at random, so that the strided layers see it
            in every position relative to their grids. The image becomes larger by the same number of voxels, so a dense
            network needs a multiple of the number that must divide its image sizes.
        network: sparse, matched (the same layers, dense) or study (the dense network of 2018).
        filters: channels of the first level.
        depth: number of levels (number of halvings for network=study).
        repetitions: residual blocks on each side of a level.
        steps: number of optimiser steps.
        batch: images per batch, summed over all devices.
        accumulate: number of batches whose gradients are added for one step.
        learning_rate: peak learning rate of Adam in the schedule.
        schedule: one-cycle; constant after a warm-up over the first 500 steps, for a training in stages; or decay,
            which falls linearly from the learning rate to nearly zero, for the last stage.
        start: checkpoint of a network with the same options, or lartpc-192, a folder or a repository as in `sscn
            predict`. The training starts from its weights instead of random ones. A continued training does not read it
            again.
        average: decay per step of an exponential moving average of the weights, which becomes the final network; with
            0, the final network has the weights of the last step.
        reduction: how to combine the losses of the events in a batch: mean, or sum as in the 2018 study.
        class_weights: none, balanced (within an event, each class has the same weight) or sqrt (halfway between them).
        precision: fp32, or bf16 for autocast to bfloat16.
        workers: processes per device that prepare images. With 0, a thread prepares them during the steps. Events stay
            in memory after they are read once, up to a third of the free memory. None of this changes what the network
            learns.
        device: auto (a GPU if there is one), cpu or cuda.
        devices: processes on each node, one per device.
        nodes: number of nodes.
        checkpoint_every: steps between checkpoints.
        tensorboard: also write TensorBoard's log.
    """

    out: str = "training"
    data: str | None = None
    held_out: str | None = None
    held_out_events: int = 200
    events: int | None = None
    image: int | None = None
    stream: bool = False
    seed: int = 0
    ndim: Literal[2, 3] = 3
    classes: Literal["five", "two", "shapes"] = "five"
    labels: Literal["slides", "attached"] = "slides"
    crop: int | None = None
    augment: bool = True
    shift: int = 0
    network: Literal["sparse", "matched", "study"] = "sparse"
    filters: int = 16
    depth: int = 5
    repetitions: int = 2
    steps: int = 1000
    batch: int = 2
    accumulate: int = 1
    learning_rate: float = 1e-3
    schedule: Schedule = "one-cycle"
    start: str | None = None
    average: float = 0.0
    reduction: Literal["mean", "sum"] = "mean"
    class_weights: Literal["none", "balanced", "sqrt"] = "none"
    precision: Literal["fp32", "bf16"] = "fp32"
    workers: int = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    devices: int = 1
    nodes: int = 1
    checkpoint_every: int = 100
    tensorboard: bool = True

    def __post_init__(self) -> None:
        check_types(self)
        self._refuse_useless()
        check_least(self, held_out_events=1, events=2, image=8, crop=1, seed=0, shift=0, workers=0, devices=1, nodes=1)
        check_least(self, filters=1, depth=1, repetitions=1, steps=1, batch=1, accumulate=1, checkpoint_every=1)
        check_positive(self, "learning_rate")
        if not 0 <= self.average < 1:
            raise ValueError(f"average must be at least 0 and less than 1, got {self.average}")
        if self.batch % self.processes:
            raise ValueError(
                f"batch must be divisible by the {self.processes} processes (devices * nodes), got {self.batch}"
            )
        for name, default in (("events", EVENTS), ("image", IMAGE)):
            if self.data is None and getattr(self, name) is None:
                object.__setattr__(self, name, default)
        if self.image is not None and self.crop is not None and self.image < self.crop:
            raise ValueError(f"image must be at least the size of a crop, {self.crop}, got {self.image}")
        for name in ("crop", "image"):  # sizes that the network reads; those of files are known once they are open
            value = getattr(self, name)
            if value is not None and (name == "crop" or self.crop is None):
                self.check_size(name, value)
        self._check_shift()

    @property
    def processes(self) -> int:
        return self.devices * self.nodes

    def network_settings(self) -> NetworkSettings:
        """The network that these options describe."""
        return NetworkSettings(
            kind=self.network,
            num_classes=len(class_names(self.classes)),
            filters=self.filters,
            depth=self.depth,
            repetitions=self.repetitions,
            ndim=self.ndim,
        )

    def check_size(self, name: str, size: int) -> None:
        """Check that a dense network's halvings divide the image size."""
        network = self.network_settings()
        self._check_divisible(name, size)
        if not network.takes(size):
            raise ValueError(
                f"{name} must be more than {network.divisor} for network=study of depth {self.depth}, got {size}"
            )

    def _check_divisible(self, name: str, size: int) -> None:
        divisor = self.network_settings().divisor
        if size % divisor:
            raise ValueError(
                f"{name} must be divisible by {divisor} for network={self.network} of depth {self.depth}, got {size}"
            )

    def _check_shift(self) -> None:
        if self.shift and not self.network_settings().halvings:
            raise ValueError(
                f"shift needs a network with strided layers, but network={self.network} of depth {self.depth} has none"
                ": leave it out"
            )
        self._check_divisible("shift", self.shift)

    def _refuse_useless(self) -> None:
        self.refuse_without_file(self.data if self.held_out is None else self.held_out)
        for name in ("events", "image"):
            if self.data is not None and getattr(self, name) is not None:
                raise ValueError(f"{name} applies only to simulated events: leave it out with data={self.data}")
        if self.stream and self.data is not None:
            raise ValueError(f"stream applies only to simulated events: leave it out with data={self.data}")
        if self.held_out is not None and self.data is None and not self.stream:
            raise ValueError(f"held_out={self.held_out} needs data or stream=true: give one of them, or leave it out")


@dataclass(frozen=True)
class Report:
    """Write the page of a training: its options, learning curves, scores by class, confusion and mistakes.

    The page is one HTML file that needs no network. The command makes it from the files in the folder of the training;
    it does not train or evaluate the network again. For comparison, the page shows the trivial answer that labels every
    voxel MIP.

    Args:
        folder: folder of a training that `sscn train` has finished.
        out: new HTML file to write; report.html in the folder if omitted.
        overwrite: replace an existing file, once the new one is complete.
    """

    folder: str
    out: str | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        check_types(self)
        check_suffix("out", self.path, (".html",))
        check_new("out", self.path, self.overwrite)

    @property
    def path(self) -> str:
        """The path of the file to write."""
        return str(Path(self.folder) / "report.html") if self.out is None else self.out


@dataclass(frozen=True)
class EvaluateConfig(ReadingOptions):
    """Evaluate a trained network on the events of a file, as the 2018 study does, and print the scores as JSON.

    Nonzero accuracy is the number of correct nonzero voxels divided by the number of nonzero voxels of an event,
    averaged over events. Class accuracy is the same for the voxels of one class, averaged over the events that contain
    the class. Labels, classes and dimensions are those of the training. The command also prints confusion by voxel and
    by energy, precision, recall, F1 and intersection over union by class, scores of the right class, distances of wrong
    voxels to the nearest voxel of another class, and how well the network finds Michel electrons.

    With conventions, the classes are PILArNet-M's: shower, track, Michel, delta, low-energy deposit. A network of the
    five types is judged too: HIP and MIP are track, and it never predicts low-energy deposit. It is then judged by the
    labels of the file, even if it was trained with attached labels.

    Args:
        checkpoint: last.ckpt or final.ckpt of a training, or lartpc-192, a folder or a repository as in `sscn predict`.
        data: event file in any format that `sscn inspect` reads.
        out: new JSON file; the command writes the scores to it and also prints them.
        events: number of events to use, counted from the first; all if omitted.
        crop: edge in voxels of tiles that cover the images; the network is evaluated on them instead of on whole
            images.
        device: auto (a GPU if there is one), cpu or cuda.
        overwrite: replace an existing file, once the new one is complete.
    """

    checkpoint: str
    data: str
    out: str | None = None
    events: int | None = None
    crop: int | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    overwrite: bool = False

    def __post_init__(self) -> None:
        check_types(self)
        check_least(self, events=1, crop=1)
        if self.out is not None:
            check_suffix("out", self.out, (".json",))
            check_new("out", self.out, self.overwrite)


@dataclass(frozen=True)
class Predict(ReadingOptions):
    """Label the voxels of a file with a trained network.

    The command writes the class that the network predicts for every voxel, and the scores of all classes, one event at
    a time. `sscn display` and `sscn inspect` show the predictions beside the truth. This truth is defined as in the
    training: slides or attached labels, and for a two-dimensional network what the wire plane y sees.

    Args:
        file: event file in any format that `sscn inspect` reads.
        checkpoint: last.ckpt or final.ckpt of a training by `sscn train`; or lartpc-192, the trained network of this
            package; or a folder that `save_pretrained` wrote; or owner/name, such a folder as a repository on Hugging
            Face.
        out: new file to write: .h5 (PILArNet-M) or .npz. Two-dimensional images need .npz.
        device: auto (a GPU if there is one), cpu or cuda.
        overwrite: replace an existing file, once the new one is complete.
    """

    file: str
    checkpoint: str = "training/final.ckpt"
    out: str = "labelled.h5"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    overwrite: bool = False

    def __post_init__(self) -> None:
        check_suffix("out", self.out, (".h5", ".hdf5", ".npz"))
        check_new("out", self.out, self.overwrite)
