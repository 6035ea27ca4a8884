"""What students get wrong in chapter 15, the study: changes to a solution, (right, wrong)."""

WRONG = {
    "guessed": {
        "the class accuracies": "return 62.8, 98.4",
        "the shares": "return 1, 12",
        "what is wrong today": "return 0.372, 0.192",
        "as fractions": "return 0.00628, 0.118",
    },
    "judged": {
        "the occupancy": ("1 - 3500 / 192**3", "3500 / 192**3"),
        "plain for nonzero": ("b = 0\n", "b = a\n"),
        "as the edge": ("c = (512 / 192) ** 3", "c = 512 / 192"),
        "sparse as dense": ("** 1.4", "** 3"),
        "the detached part": ("(120 - 30) / 120", "30 / 120"),
        "over the attached": ("(120 - 30) / 120", "(120 - 30) / 90"),
    },
    "accuracy": {
        "averaged over voxels instead of events": (
            "np.mean([right[event == number].mean() for number in np.unique(event)])",
            "right.mean()",
        ),
        "padding counted": ("known = labels != -1", "known = labels != -2"),
        "class 0 taken for padding": ("labels != -1", "labels > 0"),
        "padding in the denominator": (
            "right[event == number].mean()",
            "right[event == number].sum() / (events == number).sum()",
        ),
        "events numbered without gaps": ("np.unique(event)", "range(len(np.unique(event)))"),
        "events of padding counted": (
            "[right[event == number].mean() for number in np.unique(event)]",
            "[right[event == number].sum() / max(1, (event == number).sum()) for number in np.unique(events)]",
        ),
        "the sum over events": ("np.mean(", "np.sum("),
        "per cent": ("return np.mean", "return 100 * np.mean"),
    },
    "matched": {
        "purity and efficiency swapped": (
            "len(seen) / len(true), len(purities) / len(found)",
            "len(purities) / len(found), len(seen) / len(true)",
        ),
        "clustering purity and efficiency swapped": (
            "np.mean(efficiencies), np.mean(purities)",
            "np.mean(purities), np.mean(efficiencies)",
        ),
        "an electron found twice": ("len(seen) / len(true)", "len(purities) / len(true)"),
        "every candidate matched": ("len(purities) / len(found)", "len(found) / len(found)"),
        "the first cluster touched": ("int(np.argmax(shared))", "int(np.argmax(np.array(shared) > 0))"),
        "the best overlap over both": (
            "best = int(np.argmax(shared))",
            "best = int(np.argmax([len(candidate & c) / len(candidate | c) for c in true]))",
        ),
        "over both": ("shared[best] / len(candidate)", "shared[best] / len(candidate | true[best])"),
        "without a match counted as 0": (
            "continue\n        seen",
            "efficiencies.append(0)\n            continue\n        seen",
        ),
        "over all true": ("np.mean(efficiencies)", "sum(efficiencies) / len(true)"),
    },
}
