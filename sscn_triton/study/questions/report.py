"""The open questions' part of the report: for each, a sentence made from its numbers, a figure, and the numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from sscn_triton.common.page import figure, heading, paragraph
from sscn_triton.common.table import Rows, Table
from sscn_triton.common.units import memory, percent, seconds
from sscn_triton.study.questions.figures import values
from sscn_triton.study.questions.particles import typical_error
from sscn_triton.study.runs.roles import on_crops


def parts(record: dict[str, Any], folder: Path) -> list[Markup]:
    """The parts of the page; empty if the study skipped the questions."""
    answers = record["questions"]
    if answers is None:
        return []
    return [
        heading("What the study left open"),
        paragraph(introduction(answers), "small"),
        paragraph(equal_sentence(record)),
        figure(folder, "equal.png", "Equal memory: the sparse network, and the dense one with crops that fit into the "
               "same memory, trained at the same time with one thread each. Equal time: these two, and the three "
               "networks on crops of the first figure; only networks of the same group had equal time.",
               equal_rows(record)),
        paragraph(events_sentence(answers)),
        figure(folder, "events.png", "How many events are needed: accuracy after the same number of steps.",
               events_rows(answers)),
        paragraph(depth_sentence(answers)),
        figure(folder, "depth.png", "Which receptive field connects a Michel electron to its muon. Grey: computed from "
               "the layers of the network, through active sites alone; the other curves are measured.",
               depth_rows(answers)),
        paragraph(weights_sentence(answers)),
        figure(folder, "weights.png", "How to increase the accuracy of Michel electrons, and the cost elsewhere: class "
               "weights in the loss (large markers), and probabilities divided after the training by powers of the "
               "classes' shares (lines).", weights_rows(answers)),
        paragraph(particles_sentence(answers["particles"])),
        figure(folder, "particles.png", "Type and energy of single particles, predicted with the layers of the "
               "segmentation network.", particles_rows(answers["particles"])),
    ]  # fmt: skip


FEW = 100
"""With fewer steps, a network has hardly begun to learn, and differences between networks are mostly chance."""


def introduction(answers: dict[str, Any]) -> str:
    few = (
        f" In so few steps (fewer than {FEW}), a network hardly begins to learn. The differences are mostly chance; "
        "only a study of more minutes can answer the questions."
    )
    return (
        "Small experiments of a few steps each: they show directions, not limits. Unless stated otherwise: "
        f"{answers['source']}; sparse networks with {answers['filters']} filters and {answers['repetitions']} residual "
        f"block(s) per level, {answers['steps']:,} steps of {answers['images']} images, evaluated on "
        f"{answers['judged']} held-out images, seeds {', '.join(map(str, answers['seeds']))}. Numbers are means over "
        "seeds, with the smallest and the largest value in brackets." + (few if answers["steps"] < FEW else "")
    )


def equal_sentence(record: dict[str, Any]) -> str:
    equal = {one["kind"]: one for one in record["questions"]["equal"]}
    sparse, dense = equal["sparse"], equal["matched"]
    of_batches = dense.get("held_out_batch")  # older records have none
    also = "" if of_batches is None else f" by running statistics, {percent(of_batches)} by statistics of the batch,"
    return (
        f"Accuracy at equal time and equal memory: in {memory(sparse['memory'])}, the sparse network trains on "
        f"{sparse['images']} crops of {sparse['edge']} px per step; in {memory(dense['memory'])}, the dense network "
        f"trains on {dense['images']} crops of {dense['edge']} px. After {seconds(sparse['seconds'])} on one thread "
        f"each, they label {percent(sparse['held_out'])} and {percent(dense['held_out'])}{also} of the nonzero voxels "
        f"of held-out crops correctly ({sparse['steps']:,} and {dense['steps']:,} steps)."
    )


def equal_rows(record: dict[str, Any]) -> Table:
    header = ["network", "comparison", "crops per step", "steps", "trained", "peak memory", "accuracy, held out"]
    size, batch = record["config"]["size"], record["config"]["batch"]
    rows = []
    for n in on_crops(record).values():
        rows.append([
            n["name"], "equal time", f"{batch} of {size} px", f"{n['step_count']:,}",
            seconds(n["training_seconds"]), memory(n["training_memory"]), percent(n["held_out"]["nonzero_accuracy"]),
        ])  # fmt: skip
    for one in record["questions"]["equal"]:
        rows.append([
            one["name"], "equal time and memory", f"{one['images']} of {one['edge']} px", f"{one['steps']:,}",
            seconds(one["seconds"]), memory(one["memory"]), percent(one["held_out"]),
        ])  # fmt: skip
        if one.get("held_out_batch") is not None:
            name, accuracy = f"{one['name']}, statistics of the batch", percent(one["held_out_batch"])
            rows.append([name, "equal time and memory", "", "", "", "", accuracy])
    return Table(header, rows)


def _told(values: np.ndarray) -> str:
    """Mean, minimum and maximum of percentages, as text."""
    if np.isnan(values).any():
        return "none"
    return f"{values.mean():.1f} % ({values.min():.1f} to {values.max():.1f})"


def events_sentence(answers: dict[str, Any]) -> str:
    rows = answers["events"]
    few, many = rows[0], rows[-1]
    return (
        f"How many events are needed: after {answers['steps']:,} steps, held-out accuracy is "
        f"{_told(values(few['trials'], 'nonzero_accuracy'))} with {few['events']} training events and "
        f"{_told(values(many['trials'], 'nonzero_accuracy'))} with {many['events']}. In these steps, the network sees "
        f"each of the {many['events']} events {answers['steps'] * answers['images'] / many['events']:.1f} times on "
        "average; a longer training can make use of more events."
    )


def events_rows(answers: dict[str, Any]) -> Table:
    rows = []
    for row in answers["events"]:
        trained = 100 * np.array([trial["training_accuracy"] for trial in row["trials"]])
        rows.append([str(row["events"]), _told(trained), _told(values(row["trials"], "nonzero_accuracy"))])
    return Table(["events", "accuracy, training", "accuracy, held out"], rows)


def depth_sentence(answers: dict[str, Any]) -> str:
    rows = answers["depth"]
    least, most = rows[0], rows[-1]
    return (
        "Which receptive field connects a Michel electron to its muon: at depth "
        f"{least['depth']} ({least['receptive_field']} px), {percent(least['joined_share'])} of the Michel voxels "
        f"depend on any MIP voxel; at depth {most['depth']} ({most['receptive_field']} px), it is "
        f"{percent(most['joined_share'])}. Michel accuracy is {_told(values(least['trials'], 'michel'))} and "
        f"{_told(values(most['trials'], 'michel'))}, respectively."
    )


def depth_rows(answers: dict[str, Any]) -> Table:
    header = ["depth", "receptive field", "Michel connected", "accuracy, Michel", "accuracy, elsewhere", "nonzero"]
    rows = []
    for row in answers["depth"]:
        words = [_told(values(row["trials"], name)) for name in ("michel", "elsewhere", "nonzero_accuracy")]
        rows.append([str(row["depth"]), f"{row['receptive_field']} px", percent(row["joined_share"]), *words])
    return Table(header, rows)


def weights_sentence(answers: dict[str, Any]) -> str:
    parts = []
    for row in answers["weights"]:
        words = [_told(values(row["trials"], name)) for name in ("michel", "elsewhere")]
        parts.append(f"{row['class_weights']}: {words[0]} of Michel voxels, {words[1]} elsewhere")
    best, cost = _free_gain(answers)
    return f"Accuracy by class weights in the loss: {'; '.join(parts)}. " + (
        f"Of all weights and shifts that lose at most half a point elsewhere, {best} have the highest mean Michel "
        f"accuracy ({cost})."
        if best
        else "No weight or shift increases Michel accuracy and loses at most half a point elsewhere."
    )


def _free_gain(answers: dict[str, Any]) -> tuple[str, str]:
    """Name and numbers of the variant with the highest Michel accuracy among those that lose at most half a point
    elsewhere against the plain network; empty if that is the plain network."""
    plain = answers["weights"][0]["trials"]
    least = values(plain, "elsewhere").mean() - 0.5
    best, name, words = values(plain, "michel").mean(), "", ""
    for row in answers["weights"]:
        for k, shifted in enumerate(row["trials"][0]["shifted"]):
            michel, elsewhere = (values(row["trials"], key, k) for key in ("michel", "elsewhere"))
            if elsewhere.mean() >= least and michel.mean() > best:
                best = michel.mean()
                name = f"class weights {row['class_weights']} and power {shifted['shift']:g}"
                words = f"{_told(michel)} of Michel voxels, {_told(elsewhere)} elsewhere"
    return name, words


def weights_rows(answers: dict[str, Any]) -> Table:
    names = ("michel", "elsewhere", "nonzero_accuracy", "michel_purity")
    rows: Rows = []
    for row in answers["weights"]:
        for k, shifted in enumerate(row["trials"][0]["shifted"]):
            words = [_told(values(row["trials"], name, k)) for name in names]
            rows.append([row["class_weights"], f"{shifted['shift']:g}", *words])
    header = [
        "class weights",
        "power",
        "accuracy, Michel",
        "accuracy, elsewhere",
        "nonzero",
        "purity, Michel",
    ]
    return Table(header, rows)


def particles_sentence(singles: dict[str, Any]) -> str:
    accuracy = 100 * np.array([trial["accuracy"] for trial in singles["trials"]])
    network, summed = _errors(singles)
    low, high = singles["energies"]
    return (
        f"Beyond segmentation, particle type and energy: networks were trained on {singles['train']} images "
        f"({singles['image']} px) of single particles of {low:g} to {high:g} MeV, for "
        f"{singles['trials'][0]['steps']:,} steps (seed 0). They predict the right species for {_told(accuracy)} of "
        f"{singles['held_out']} held-out images (random guess: {percent(1 / len(singles['species']))}). Half of their "
        f"energies are wrong by less than {_told(network)}, and half of the scaled sums of the voxels by less than "
        f"{summed:.1f} %. Particles may leave the image and take energy with them."
    )


def _errors(singles: dict[str, Any], species: int | None = None) -> tuple[np.ndarray, float]:
    """Median relative error in percent of each seed's network and of the scaled sum, for one species or for all."""

    def error(trial: dict[str, Any], name: str) -> float:
        some = [i for i, kind in enumerate(trial["species"]) if species in (None, kind)]
        return 100 * typical_error([trial[name][i] for i in some], [trial["energy"][i] for i in some])

    trials = singles["trials"]
    return np.array([error(trial, "found_energy") for trial in trials]), error(trials[0], "summed_energy")


def particles_rows(singles: dict[str, Any]) -> Table:
    header = ["true species", *(f"predicted {name}" for name in singles["species"]), "energy error", "error of the sum"]
    counts = np.sum([trial["confusion"] for trial in singles["trials"]], axis=0)
    rows = []
    for i, name in enumerate(singles["species"]):
        network, summed = _errors(singles, i)
        rows.append([name, *(str(count) for count in counts[i]), _told(network), f"{summed:.1f} %"])
    return Table(header, rows)
