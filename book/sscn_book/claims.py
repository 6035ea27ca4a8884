"""The claims of the 2018 slides in their order, each with the evidence of this study and a verdict.

Every number comes from a file of measurements, and every verdict from a comparison of numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sscn_book import long_training, two_by_two
from sscn_book.records import newest
from sscn_book.tables import shown
from sscn_triton.common.table import Table
from sscn_triton.common.units import memory, percent, seconds
from sscn_triton.study import published as slides
from sscn_triton.study.questions import two_by_two_effects as effects
from sscn_triton.study.questions import two_by_two_record as factors
from sscn_triton.study.questions import two_by_two_report as report
from sscn_triton.study.training.metrics import constant_answer

SIZE = 192
MARGIN = 0.05
"""A network has begun to learn if it is better than the best constant answer by this much."""
SEEDS = 3
"""Least number of seeds of a two-by-two that decides a claim: the interval of two is too wide for any decision."""
CLOSE = 1.15
"""Factor within which two costs count as agreeing."""
SUBJECTS = (
    "the accuracy of the sparse network", "the accuracies by class", "sparse against dense", "the memory of the "
    "sparse network", "the memory of the dense network", "the growth of the costs", "Michel electrons",
)  # fmt: skip
"""What the claims are about, in their order."""
HOLD = ("reached", "confirmed", "memory agrees")
FAIL = ("not reached", "reached for no class", "refuted")
"""Beginnings of verdicts by which a claim holds or does not hold. By every other one it holds in part or is open: "not
confirmed" means that the seeds decide neither way."""


def text(results: Path) -> str:
    """Return the answer of the page, and the table of claims, evidence and verdicts."""
    training, longer, separated, laptop, scaling = (
        (newest(results, pattern) or ("", None))[1]
        for pattern in (
            long_training.PATTERN, two_by_two.LONG, two_by_two.PATTERN, "*-study-laptop.json", "*-scaling-*.json",
        )
    )  # fmt: skip
    dense = _dense(laptop, separated, longer)
    rows = [_sparse(training), _classes(training), dense, *_costs(scaling), _michel(training)]
    table = shown(Table(["the slides of 2018", "evidence here", "verdict"], rows))
    return f"{answer([verdict for *_, verdict in rows])}\n\n{table}"


def answer(verdicts: list[str]) -> str:
    """Whether the study is replicated: how many of the claims hold, by their verdicts in order, and which."""
    fail = [v.startswith(FAIL) for v in verdicts]
    hold = [v.startswith(HOLD) and not v.startswith(("reached for", *FAIL)) for v in verdicts]
    kinds = ["holds" if h else "fails" if f else "open" for h, f in zip(hold, fail, strict=True)]
    told = []
    for kind, one, several in (
        ("holds", "holds here", "hold here"),
        ("fails", "does not hold here", "do not hold here"),
        ("open", "holds in part or is open", "hold in part or are open"),
    ):
        about = [subject for subject, found in zip(SUBJECTS, kinds, strict=True) if found == kind]
        told.append(f"{len(about)} {one if len(about) == 1 else several}" + (f" ({', '.join(about)})" if about else ""))
    word = "Yes" if all(hold) else "Not as a whole"
    return f"**Is the study replicated?** {word}. Of its {len(verdicts)} claims, {told[0]}, {told[1]}, and {told[2]}."


def _sparse(record: Mapping[str, Any] | None) -> list[str]:
    theirs = {n.size: n for n in slides.NETWORKS if n.name == "sparse"}[SIZE]
    claim = (
        f"The sparse network labels {percent(theirs.nonzero_accuracy)} of the nonzero voxels at {SIZE} px "
        f"({percent(slides.TRAINING_ACCURACY['sparse'])} in training, after 19 hours on a GPU)."
    )
    if record is None:
        return [claim, "not measured yet", "open"]
    judged = record["scores"][0]
    mine = judged["nonzero_accuracy"]
    evidence = f"{percent(mine)} of {judged['events']:,} held-out events, after {record['passes']:,} events seen"
    evidence += "".join(f"; {percent(s['nonzero_accuracy'])} of {s['data']}" for s in record["scores"][1:])
    factor = (1 - mine) / (1 - theirs.nonzero_accuracy)
    verdict = "reached" if factor <= 1 else f"not reached: {factor:.1f} times as many wrong voxels"
    return [claim, evidence, verdict]


def _classes(record: Mapping[str, Any] | None) -> list[str]:
    told = ", ".join(f"{one.name} {percent(one.accuracy)}" for one in slides.CLASSES)
    if record is None:
        return [f"By class: {told}.", "not measured yet", "open"]
    mine = dict(zip(record["classes"], record["scores"][0]["class_accuracy"], strict=True))
    evidence = ", ".join(f"{name} {percent(value)}" for name, value in mine.items())
    reached = [one.name for one in slides.CLASSES if mine[one.name] >= one.accuracy]
    verdict = f"reached for {', '.join(reached)}" if reached else "reached for no class"
    return [f"By class: {told}.", evidence, "reached" if len(reached) == len(slides.CLASSES) else verdict]


def _dense(
    record: Mapping[str, Any] | None, separated: Mapping[str, Any] | None, longer: Mapping[str, Any] | None = None
) -> list[str]:
    """record: of the laptop's ten minutes; separated: of the two-by-two, whose networks learn longer; longer: of its
    sparse network and dense twin alone, which learn longest. The verdict is that of the longest one with SEEDS.
    """
    claim = (
        f"The dense network reaches {percent(slides.TRAINING_ACCURACY['dense'])} in training after 11 days, so the "
        "sparse one learns more in less time."
    )
    kept = [one for one in (separated, longer) if one is not None and factors.seeds(one) and factors.learnt(one)]
    if kept:
        decisive = max(kept, key=lambda one: (len(factors.seeds(one)) >= SEEDS, one["setting"]["steps"]))
        told = "; ".join(_compared(one) for one in [decisive, *(one for one in kept if one is not decisive)])
        return [claim, told, _verdict(decisive)]
    if record is None:
        return [claim, "not measured yet", "open"]
    sparse, *dense = [n for n in record["networks"] if not n["whole"]]
    name, share = constant_answer(record["classes"], sparse["held_out"]["class_share"])
    accuracies = {n["name"]: _best(n) for n in (sparse, *dense)}
    listed = [f"{network} {percent(value)}" for network, value in accuracies.items()]
    evidence = f"on held-out crops, after about {sparse['training_seconds']:.0f} s each: {'; '.join(listed)}; "
    evidence += f"{name} everywhere {percent(share)}"
    best = max(_best(n) for n in dense)
    if best < share + MARGIN:
        return [claim, evidence, "not tested: the dense networks are hardly better than one class for every voxel"]
    return [claim, evidence, "confirmed" if _best(sparse) > best else "refuted"]


def _best(network: Mapping[str, Any]) -> float:
    """Held-out accuracy, by statistics of the batch if the network does better with them."""
    scores = [network["held_out"], network.get("held_out_batch")]
    return max(one["nonzero_accuracy"] for one in scores if one is not None)


def _compared(record: Mapping[str, Any]) -> str:
    """Evidence of a two-by-two: the sparse network and its dense twin after equal numbers of steps."""
    setting, (name, share) = record["setting"], factors.constant(record)
    pair = (factors.SPARSE, factors.DENSE)
    sparse, dense = (report.spread(factors.accuracies(record, cell)) for cell in pair)
    one_by_one = [report.spread(factors.accuracies(record, cell, "scores")) for cell in pair]
    evidence = (
        f"two-dimensional crops of {setting['size']} px, {setting['steps']:,} steps, {report.seeds_text(record)}, "
        f"held out: sparse {sparse}, dense twin {dense} by statistics of the batch; {one_by_one[0]} and "
        f"{one_by_one[1]} by running statistics; {name} everywhere {percent(share)}"
    )
    if (found := effects.timed_best(record)) is not None:
        evidence += f"; sparse minus dense after equal CPU time, each at its best: {found.text()} points"
    return evidence


def _verdict(record: Mapping[str, Any]) -> str:
    """Whether the sparse network learns more than its dense twin."""
    verdict = _of_pair("after equal steps", effects.difference(record), effects.at_best(record))
    timed, timed_at_best = effects.timed_difference(record), effects.timed_best(record)
    if timed is not None and timed_at_best is not None:  # the slides speak of time
        verdict = f"{_of_pair('after equal CPU time', timed, timed_at_best)}; {verdict}"
    return f"{verdict}; the network of 2018 itself is not tested"


def _of_pair(when: str, both: effects.Effect, at_best: effects.Effect) -> str:
    """The verdict by statistics of the batch for both networks, and by what suits each if that is another one."""
    alike, best = _decided(both), _decided(at_best)
    if alike == best:
        return f"{alike} for the dense twin, {when}: {both.text()} points"
    return (
        f"depends on the norms in use, {when}: {alike} if sparse network and dense twin both take "
        f"statistics of the batch ({both.text()} points), {best} if each takes what suits it ({at_best.text()} points)"
    )


def _decided(effect: effects.Effect) -> str:
    if not effect.clear:
        return "not confirmed"
    return "confirmed" if effect.mean > 0 else "refuted"


def _costs(record: Mapping[str, Any] | None) -> list[list[str]]:
    return [_cost(record, "sparse", "sparse"), _cost(record, "study", "dense"), _growth(record)]


def _cost(record: Mapping[str, Any] | None, kind: str, name: str) -> list[str]:
    """Memory and time at 192 px. The slides do not say what their memory is, so a match is an inference."""
    theirs = {n.size: n for n in slides.NETWORKS if n.name == name}[SIZE]
    claim = (
        f"The {name} network needs {memory(1e9 * theirs.memory_gb)} and {seconds(theirs.forward_seconds)} at {SIZE} px."
    )
    for point in record["points"] if record else []:
        if (point["kind"], point["ndim"], point["size"], point["images"]) == (kind, 3, SIZE, 1):
            mine = memory(point["forward_memory"]), seconds(point["forward_seconds"])
            evidence = f"forward pass on one CPU thread: {mine[0]}, {mine[1]}"
            ratio = point["forward_memory"] / (1e9 * theirs.memory_gb)
            close = 1 / CLOSE <= ratio <= CLOSE
            verdict = (
                "agrees, if the slides mean the memory of a forward pass (they do not say so)"
                if close
                else f"{ratio:.2g} times the slides' memory; they do not say what it contains"
            )
            return [claim, evidence, f"memory {verdict}; a CPU's times cannot be compared with a GPU's"]
    return [claim, f"not measured at {SIZE} px", "open"]


def _growth(record: Mapping[str, Any] | None) -> list[str]:
    claim = "Costs grow with the image: dense “power? exponential?!”, sparse “almost linear”."
    if record is None:
        return [claim, "not measured yet", "open"]
    told, laws = [], set()
    for fit in record["fits"]:
        if fit["ndim"] == 3 and fit["measure"] == "forward_seconds" and fit["against"] == "size" and fit["points"] > 2:
            name = {"sparse": "sparse", "matched": "dense twin", "study": "dense network of 2018"}[fit["kind"]]
            error = "" if fit["error"] is None or fit["error"] != fit["error"] else f" ± {fit['error']:.2f}"
            told.append(f"{name}: exponent {fit['exponent']:.2f}{error} from {fit['points']} sizes")
            if fit["kind"] != "sparse" and fit["odds"] is not None:
                laws.add("a power law" if fit["odds"] > 0 else "an exponential")
    evidence = "forward time as a power of the image's edge, 3D; " + ("; ".join(told) or "too few sizes")
    verdict = f"dense: {laws.pop()}" if len(laws) == 1 else "dense: open, too few sizes in 3D"
    return [claim, evidence, f"{verdict}; see [How costs grow](scaling.md)"]


def _michel(record: Mapping[str, Any] | None) -> list[str]:
    paper = slides.MICHEL
    claim = (
        f"The paper finds {percent(paper['efficiency'])} of the Michel electrons; what it calls the true positive rate "
        f"is {percent(paper['purity'])}."
    )
    michel = record["scores"][0]["michel"] if record else None
    if michel is None or not michel["true"]:
        return [claim, "not measured yet", "open"]
    found = michel["identification_efficiency"] or 0.0
    evidence = f"{percent(found)} of {michel['true']:,} Michel electrons in the held-out events, not enriched"
    purity = michel["identification_purity"]
    evidence += f"; purity {percent(purity)}" if purity is not None and purity == purity else "; no candidates"
    both = {"efficiency": found >= paper["efficiency"], "purity": (purity or 0.0) >= paper["purity"]}
    told = [f"{name} {'reached' if met else 'not reached'}" for name, met in both.items()]
    return [claim, evidence, ", ".join(told)]
