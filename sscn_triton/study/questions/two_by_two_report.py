"""Tables, sentences and figure of the two-by-two of norms and convolutions, from the record of `two_by_two`."""

from __future__ import annotations

from typing import get_args

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from sscn_triton.common.table import Table
from sscn_triton.common.units import percent
from sscn_triton.study.questions.two_by_two_effects import (
    LEVEL,
    Effect,
    at_best,
    difference,
    effect,
    effects,
    timed_best,
    timed_difference,
)
from sscn_triton.study.questions.two_by_two_record import (
    BACKGROUND,
    DENSE,
    FOUR,
    MARGIN,
    MEASURES,
    NAMES,
    SPARSE,
    Measure,
    Record,
    accuracies,
    better,
    constant,
    cpu_seconds,
    crossed,
    learnt,
    of_runs,
    rate,
    rates,
    runs,
    seeds,
    timed,
    trained,
)

GOAL = 0.8
"""The accuracy that the dense twin must pass before a comparison with it says much."""
EQUAL_TIME = "for the CPU time of the sparse network"
COLORS = {
    "norms all, sites all": "#C8553D",
    "norms active, sites all": "#D9A441",
    "norms all, sites active": "#8A5A9E",
    "norms active, sites active": "#0B6E99",
    BACKGROUND: "#8A8A8A",
}
FOUR_OF_THEM = "all four networks", "not all of the four networks"


def seeds_text(record: Record) -> str:
    """Their number in words."""
    number = len(seeds(record))
    return "one seed" if number == 1 else f"{number} seeds"


def time_sentence(record: Record) -> str:
    """The sparse network against its dense twin after equal CPU time, by both measures and at their best."""
    at_their_best, shorter = timed_best(record), timed(record)
    if at_their_best is None:
        return _time_by_curves(record)
    found = {MEASURES[one]: timed_difference(record, one) for one in get_args(Measure)}
    told = "; ".join(f"{one.text()} points by {name}, {_judged(one)}" for name, one in found.items() if one is not None)
    return (
        f"After equal CPU time ({shorter[0]['steps']:,} steps of the dense twin, with a schedule of this length, "
        f"against {record['setting']['steps']:,} of the sparse network), the sparse network minus its dense twin is "
        f"{told}; each at its best, {at_their_best.text()} points, {_judged(at_their_best)}."
    )


def _time_by_curves(record: Record) -> str:
    """Where the dense twin is on its way when it has taken the CPU time of the sparse network."""
    share = min(1.0, cpu_seconds(record, SPARSE) / cpu_seconds(record, DENSE))
    curves = {cell: [one["curve"] for one in runs(record, cell)] for cell in (SPARSE, DENSE)}
    means = {cell: 100 * np.mean([one["accuracy"] for one in some], axis=0) for cell, some in curves.items()}
    steps = np.array(curves[DENSE][0]["iteration"])
    place = int(np.searchsorted(steps, share * steps[-1], side="right")) - 1
    return (
        f"The dense twin was not trained for the CPU time of the sparse network with a schedule of its own. It takes "
        f"{cpu_seconds(record, DENSE) / cpu_seconds(record, SPARSE):.1f} times as long; when it has taken as long as "
        f"the whole training of the sparse network, at step {steps[place]:,} and with its learning rate still high, it "
        f"labels {means[DENSE][place]:.1f} % in training, where the sparse network ends at {means[SPARSE][-1]:.1f} %."
    )


def goal_sentence(record: Record) -> str:
    """Whether the dense twin passes GOAL on held-out crops, and when it does so on the training crops."""
    measure, values = better(record, DENSE)
    passed, number = int((values > 100 * GOAL).sum()), len(values)
    with_seeds = (
        "its one seed"
        if passed == number == 1
        else "every seed"
        if passed == number
        else f"{passed} of {number} seeds"
        if passed
        else "no seed"
    )
    curves = [one["curve"] for one in runs(record, DENSE)]
    mean = np.mean([one["accuracy"] for one in curves], axis=0)
    above = np.flatnonzero(mean > GOAL)
    when = (
        f"; the mean training curve passes this level at step {curves[0]['iteration'][above[0]]:,}"
        if len(above)
        else f"; the mean training curve ends at {100 * mean[-1]:.1f} %, its highest value is {100 * mean.max():.1f} %"
    )
    return (
        "A comparison with a network that has hardly learnt says little, so the goal for the dense twin was an "
        f"accuracy above {100 * GOAL:g} %. It labels more than {100 * GOAL:g} % of the held-out voxels with "
        f"{with_seeds}, by {MEASURES[measure]}: {spread(values)}{when}."
    )


def measures_sentence(record: Record) -> str:
    """What running statistics change for each network, and the comparison of the two at their best."""
    told = []
    for cell in trained(record):
        change = effect("", accuracies(record, cell, "scores") - accuracies(record, cell))
        told.append(f"{NAMES[cell]} {change.text()}")
    one, (sparse, dense) = at_best(record), (MEASURES[better(record, cell)[0]] for cell in (SPARSE, DENSE))
    return (
        f"Running statistics instead of those of the batch change the accuracy by (points): {'; '.join(told)}. If "
        f"each is judged by the measure by which it does better ({sparse} for the sparse network, {dense} for its "
        f"dense twin), the sparse network minus its dense twin is "
        f"{one.text()} points, {_judged(one)}. The judging crops themselves choose that measure."
    )


def longer_sentence(shorter: Record, record: Record) -> str:
    """Whether a longer training has the difference of a shorter one, each network at its best."""
    before, after = at_best(shorter), at_best(record)
    steps = [f"{one['setting']['steps']:,} steps" for one in (shorter, record)]
    told = (
        f"Each at its best, the difference was {before.text()} points after {steps[0]} in the experiment above, and is "
        f"{after.text()} points after {steps[1]}"
    )
    if before.clear and not after.clear:
        return f"{told}: the longer training does not confirm it. It also had more events and other learning rates."
    if before.clear and before.mean * after.mean > 0:
        return f"{told}: the longer training confirms its sign."
    return f"{told}."


def spread(values: np.ndarray) -> str:
    """Mean, lowest and highest of percentages; a single one alone."""
    if len(values) == 1:
        return f"{values[0]:.1f} %"
    return f"{values.mean():.1f} % ({values.min():.1f} to {values.max():.1f})"


def accuracy_rows(record: Record) -> Table:
    """Accuracy of each network by class, over seeds, and of the best constant answer."""
    classes, shown = record["classes"], {NAMES[cell]: runs(record, cell) for cell in trained(record)}
    if timed(record):
        shown[f"{NAMES[DENSE]}, {EQUAL_TIME}"] = timed(record)
    rows = []
    for name, trainings in shown.items():
        by_class = 100 * np.array([one["batch_scores"]["class_accuracy"][: len(classes)] for one in trainings])
        at_end = 100 * np.array([one["training_accuracy"] for one in trainings])
        minutes = np.median([one["cpu_seconds"] for one in trainings]) / 60
        means = [f"{value:.1f} %" for value in by_class.mean(0)]
        judged = [spread(of_runs(trainings, measure)) for measure in get_args(Measure)]
        cost = [f"{trainings[0]['steps']:,}", f"{minutes:.1f}"]
        rows.append([name, f"{trainings[0]['learning_rate']:g}", *cost, spread(at_end), *judged, *means])
    best, share = constant(record)
    shares = (percent(float(name == best)) for name in classes)
    rows.append([f"{best} everywhere", "", "", "", percent(share), percent(share), percent(share), *shares])
    held_out = (f"held out, {name}" for name in MEASURES.values())
    return Table(["network", "rate", "steps", "CPU minutes", "training", *held_out, *classes], rows)


def effect_rows(record: Record, measure: Measure = "batch_scores") -> Table:
    """Effects in percentage points."""
    names = [f"seed {seed}" for seed in seeds(record)]
    rows = []
    for one in effects(record, measure):
        values = [f"{value:+.1f}" for value in one.values]
        rows.append([one.name, *values, *("" for _ in names[len(values) :]), one.text()])
    return Table([f"points, by {MEASURES[measure]}", *names, f"mean, {100 * LEVEL:g} % interval"], rows)


def verdict(record: Record, measure: Measure = "batch_scores") -> str:
    """What the effects say: which intervals exclude 0 with all seeds of one sign, and which do not."""
    both, few = difference(record, measure), len(crossed(record)) < len(FOUR)
    best, share = constant(record)
    everyone, not_everyone = ("both networks", "not both networks") if few else FOUR_OF_THEM
    who = everyone if learnt(record, measure) else not_everyone
    parts = [
        f"By {MEASURES[measure]}, {who} are at least {100 * MARGIN:g} points above {best} everywhere for every seed.",
        f"The sparse network minus its dense twin: {both.text()} points, {_judged(both)}.",
    ]
    worse = [NAMES[cell] for cell in crossed(record) if accuracies(record, cell, measure).mean() < 100 * share]
    if worse:
        parts.append(
            f"Worse than {best} everywhere, on average: {'; '.join(worse)}. So these differences show what "
            f"{MEASURES[measure]} cost a network, not what it has learnt."
        )
    if few:
        return " ".join(parts)
    norms, sites, interaction, _, *fifth = effects(record, measure)
    parts += [
        f"Norms over active voxels change the accuracy by {norms.text()} points, {_judged(norms)}; submanifold "
        f"convolutions change it by {sites.text()} points, {_judged(sites)}. {_source(norms, sites, both)}",
        f"The interaction is {interaction.text()} points, {_judged(interaction)}.",
    ]
    for background in fifth:
        parts.append(
            f"A background class changes the accuracy of the dense twin by {background.text()} points, "
            f"{_judged(background)}."
        )
    if fifth and measure == "scores":
        without = 100 * np.array([one["without_background"] for one in runs(record, BACKGROUND)])
        parts.append(f"If its background score does not count, it labels {spread(without)} of the active voxels.")
    return " ".join(parts)


def _judged(one: Effect) -> str:
    if len(one.values) == 1:
        return "which a single seed does not distinguish from chance"
    return "which these seeds distinguish from 0" if one.clear else "which these seeds do not distinguish from 0"


def _source(norms: Effect, sites: Effect, both: Effect) -> str:
    """Which factor the difference between sparse and dense comes from."""
    if not both.clear:
        return "These seeds show no difference between sparse and dense that either of them would have to explain."
    told = f"Of the {both.mean:+.1f} points, {norms.mean:+.1f} come with the norms and {sites.mean:+.1f} with the"
    clear = {name: one.mean * both.mean > 0 for name, one in (("norms", norms), ("convolutions", sites)) if one.clear}
    if not clear:
        return f"{told} convolutions: these seeds do not tell the two apart."
    if len(clear) == 2:
        return f"{told} convolutions: both contribute." if all(clear.values()) else f"{told} convolutions."
    (name, helps), *_ = clear.items()
    if not helps:
        return f"{told} convolutions."
    other = "norms" if name == "convolutions" else "convolutions"
    return f"{told} convolutions: the {name} contribute; these seeds do not tell whether the {other} do, too."


def limits(record: Record) -> str:
    """What the experiment does not show, and what may change its result."""
    setting = record["setting"]
    return (
        "This is not yet an explanation of the slides. Their dense network differs from its sparse one in size, blocks "
        "and border as well, their images have three dimensions and a much smaller share of active voxels, and they "
        f"trained for far longer than {setting['steps']:,} steps. One interval in twenty excludes 0 by chance alone. "
        "More seeds, a longer training or other learning rates may change each of these differences, and "
        "running statistics that are found in another way may cost the dense twin less."
    )


def rate_rows(record: Record) -> Table:
    """The trials that chose the learning rates."""
    tried = record["setting"]["rates"]
    rows = [[NAMES[c], *(percent(rates(record, c)[peak]) for peak in tried)] for c in NAMES if rates(record, c)]
    return Table(["accuracy on the crops for choosing", *(f"rate {peak:g}" for peak in tried)], rows)


def rate_sentence(record: Record) -> str:
    """How the rates were chosen, and for which networks the best one is the lowest or the highest that was tried."""
    setting = record["setting"]
    tried, measures = setting["rates"], setting.get("choose_by", ["scores"])
    names = [name for measure, name in MEASURES.items() if measure in measures]
    chosen_by = names[0] if len(names) == 1 else f"the better one of {' and '.join(names)}"
    text = (
        f"Each rate was tried for {setting['trial_steps']} steps with a seed of its own, and judged by "
        f"{chosen_by} on {setting['choosing']} crops that judge nothing else."
    )
    for word, peak in (("lowest", min(tried)), ("highest", max(tried))):
        names = [NAMES[cell] for cell in NAMES if rates(record, cell) and rate(record, cell) == peak]
        if names:
            text += f" The {word} is the best for: {'; '.join(names)}. A rate beyond it might be better still."
    suits = better(record, DENSE)[0] if runs(record, DENSE) else measures[0]
    if suits not in measures:
        text += (
            f" The dense twin does better by {MEASURES[suits]}, which did not choose its rate, so another rate may "
            "suit it better."
        )
    return text


def cost_sentence(record: Record) -> str:
    """CPU time of a training of the sparse network and of its dense twin."""
    sparse, dense = (cpu_seconds(record, cell) for cell in (SPARSE, DENSE))
    return (
        f"A training of {record['setting']['steps']:,} steps took {sparse:.0f} s of CPU time with the sparse network "
        f"and {dense:.0f} s with its dense twin (medians over seeds)."
    )


def summary_text(record: Record) -> str:
    """The tables as text."""
    tables = [rate_rows(record), accuracy_rows(record), *(effect_rows(record, one) for one in get_args(Measure))]
    told = (verdict(record, measure) for measure in get_args(Measure))
    return "\n\n".join(["", *(table.text() for table in tables), *told, measures_sentence(record)])


def figure(record: Record) -> Figure:
    """Left: accuracy during training, mean over seeds, against steps, and against CPU time if the dense twin also
    learnt for that of the sparse network. Right: held-out accuracy, two points per seed."""
    panels = 3 if timed(record) else 2
    drawn, axes = plt.subplots(1, panels, figsize=(9.2, 4.2), width_ratios=(3, 3, 2)[-panels:], sharey=panels == 3)
    *left, right = axes
    best, share = constant(record)
    shown = [(NAMES[cell], COLORS[cell], "-", runs(record, cell)) for cell in trained(record)]
    if timed(record):
        shown.append((f"{NAMES[DENSE]}, {EQUAL_TIME}", COLORS[DENSE], "--", timed(record)))
    for place, (name, color, style, trainings) in enumerate(shown):
        curves = [one["curve"] for one in trainings]
        mean, steps = 100 * np.mean([one["accuracy"] for one in curves], axis=0), np.array(curves[0]["iteration"])
        minutes = np.median([one["cpu_seconds"] for one in trainings]) / 60
        for panel, x in zip(left, (steps, steps * minutes / steps[-1]), strict=False):
            panel.plot(x, mean, style, color=color, lw=1.4, label=name)
        for measure, marker, shift in (("batch_scores", "o", -0.12), ("scores", "s", 0.12)):
            held_out = of_runs(trainings, measure)  # type: ignore[arg-type]
            look = {"mfc": color, "mec": "white"} if style == "-" else {"mfc": "none", "mec": color}
            right.plot([place + shift] * len(held_out), held_out, marker, color=color, ms=7, **look)
    for panel in axes:
        panel.axhline(100 * share, ls=":", color="#8A8A8A", lw=1.2)
    left[0].annotate(f"{best} everywhere", (0, 100 * share), (0, 3), textcoords="offset points", fontsize=8)
    left[0].set(xlabel="step", ylabel="nonzero accuracy (%)", title="training")
    if timed(record):
        left[1].set(xlabel="CPU time (min)", title="training")
    right.set(title="held-out crops", xticks=[], xlim=(-0.5, len(shown) - 0.5))
    drawn.legend(*left[0].get_legend_handles_labels(), loc="upper center", bbox_to_anchor=(0.5, 0.02), fontsize=8)
    return drawn
