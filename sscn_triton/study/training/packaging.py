"""A trained network as a folder for its users: config.json, model.safetensors and README.md, its model card.

`python -m sscn_triton.study.training.stages` writes such a folder. To write its model card again from the record of the
training, after the text of model cards has changed:

    python -m sscn_triton.study.training.packaging RECORD.json FOLDER
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sscn_triton.common.errors import first_line
from sscn_triton.common.files import check_new, write_whole
from sscn_triton.common.tensors import check_tensors
from sscn_triton.models.pretrained import CONFIG, WEIGHTS, Stored, read_folder, write_folder
from sscn_triton.study.training.checkpoint import Checkpoint, final_weights, network_of, training_options
from sscn_triton.study.training.config import TrainConfig
from sscn_triton.study.training.model_card import model_card

PROGRAM = "python -m sscn_triton.study.training.packaging"
CARD = "README.md"
OMITTED = (
    *("out", "start", "data", "held_out", "held_out_events", "steps"),
    *("workers", "device", "tensorboard", "checkpoint_every"),
)
"""Options that name paths of one machine or do not change what a network learns, and the number of steps, which a stage
lists separately, because it may have been stopped before."""


def changed_options(config: TrainConfig) -> dict[str, Any]:
    """The options of a training that are not the defaults and not in OMITTED."""
    defaults = asdict(TrainConfig())
    given = {name: value for name, value in asdict(config).items() if value is not None and value != defaults[name]}
    return {name: value for name, value in given.items() if name not in OMITTED}


def check_new_network(folder: Path, overwrite: bool) -> None:
    """Raise ValueError if the folder is a file, or contains a file that `package` writes, unless `overwrite`."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"network must be a folder, but {folder} is a file")
    for name in (WEIGHTS, CONFIG, CARD):
        check_new("network", folder / name, overwrite)


def package(
    checkpoint: Checkpoint, record: dict[str, Any], name: str, folder: Path, *, overwrite: bool = False
) -> None:
    """Write the final network with weights in half precision: enough to predict, to evaluate, and to start another
    training from.

    record: that of its training, for the model card; name: the record's, stored with the network. Raises ValueError if
    a weight is too large for half precision, and OSError if a file exists, unless ``overwrite``, or cannot be written.
    """
    halves = {k: w.half() if w.is_floating_point() else w for k, w in final_weights(checkpoint).items()}
    check_tensors("weight in half precision", halves, halves, folder / WEIGHTS)
    settings = changed_options(training_options(checkpoint, name))
    training = {"settings": settings, "step": checkpoint.step, "samples": checkpoint.samples}
    training |= {"sscn": checkpoint.sscn, "data": checkpoint.data}
    about = {"classes": list(checkpoint.classes), "energy_unit": checkpoint.energy_unit, "record": name}
    network = network_of(checkpoint)
    stored = Stored(type(network).__name__, network.arguments, halves, {**about, "training": training})
    card = model_card(folder.name, record, stored)
    write_folder(folder, stored, overwrite=overwrite)
    write_whole(folder / CARD, card, overwrite=overwrite)


def belongs(about: dict[str, Any], record: dict[str, Any], name: str) -> bool:
    """Whether a network with this `about` is that of the record of this name: an older record may have had its name."""
    last, training = record["stages"][-1], about.get("training", {})
    found = (about.get("record"), training.get("step"), training.get("samples"))
    return found == (name, last["steps"], last["passes"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Exit code: 0, or 2 if the input is bad or nothing can be written."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("record", type=Path, metavar="RECORD.json", help="written by the command that joins stages")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="of the network; its README.md is replaced")
    options = parser.parse_args(arguments)
    try:
        stored = read_folder(options.folder)
        record = json.loads(options.record.read_text(encoding="utf-8"))
        try:
            card = model_card(options.folder.resolve().name, record, stored)
            same = belongs(stored.about, record, options.record.stem)
        except (AttributeError, IndexError, KeyError, TypeError) as error:
            what = f"{type(error).__name__}: {first_line(error, 80)}"
            raise ValueError(f"{options.record}: not a record of a training in stages ({what})") from error
        if not same:
            raise ValueError(
                f"{options.folder}: belongs to the record {stored.about.get('record')} of another network than that of "
                f"{options.record}"
            )
        write_whole(options.folder / CARD, card, overwrite=True)
    except (ValueError, OSError) as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return 2
    print(options.folder / CARD)
    return 0


if __name__ == "__main__":
    sys.exit(main())
