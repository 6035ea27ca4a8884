"""What students get wrong in chapter 16, physics after segmentation: changes to a solution, (right, wrong)."""

WRONG = {
    "guessed": {
        "the pitch": "return 0.9, 2.5, 2.5",
        "the diagonal of a square": "return 1.273, 3.54, 2.5",
        "divided by the root": "return 0.52, 1.443, 2.5",
        "corrected twice": "return 1.559, 4.33, 1.443",
    },
    "reckoned": {
        "divided by the cosine": ("1.2 / 0.3 * 0.5", "1.2 / 0.3 / 0.5"),
        "not divided by the pitch": ("1.2 / 0.3 * 0.5", "1.2 * 0.5"),
        "the pitch in mm": ("1.2 / 0.3 * 0.5", "1.2 / 3 * 0.5"),
        "the same energy": ("b = 100 * 938.27 / 105.66", "b = 100"),
        "the range by the inverse masses": ("c = 938.27 / 105.66", "c = 105.66 / 938.27"),
        "the middle of the spectrum": ("0.7 * 52.83", "0.5 * 52.83"),
        "the density for the share": ("2 * 0.5**3 - 0.5**4", "2 * 0.5**2 * (3 - 2 * 0.5)"),
        "the share above": ("2 * 0.5**3 - 0.5**4", "1 - 2 * 0.5**3 + 0.5**4"),
    },
    "lengths": {
        "from the start": ("np.cumsum(steps[::-1])[::-1]", "np.cumsum(steps)"),
        "the way to the end without corners": (
            "np.cumsum(steps[::-1])[::-1]",
            "np.linalg.norm(centres - end, axis=1)",
        ),
        "only to the last centre": ("np.vstack([centres, end])", "np.vstack([centres, centres[-1]])"),
        "not turned back": ("np.cumsum(steps[::-1])[::-1]", "np.cumsum(steps[::-1])"),
        "steps instead of sums": ("np.cumsum(steps[::-1])[::-1]", "steps"),
        "along the first axis": ("np.linalg.norm(np.diff(corners, axis=0), axis=1)", "np.abs(np.diff(corners[:, 0]))"),
        "one too many": ("np.cumsum(steps[::-1])[::-1]", "np.append(np.cumsum(steps[::-1])[::-1], 0)"),
        "the nearer end taken for the last": (
            "corners = np.vstack([centres, end])",
            "near, far = (np.linalg.norm(centres[i] - end) for i in (0, -1))\n"
            "    corners = np.vstack([centres[:: 1 if far <= near else -1], end])",
        ),
        "sorted by the distance to the end": (
            "corners = np.vstack([centres, end])",
            "order = np.argsort(-np.linalg.norm(centres - end, axis=1))\n"
            "    corners = np.vstack([centres[order], end])",
        ),
    },
    "particle": {
        "slices at the end too": ("left > 0.5", "left > 0"),
        "the slice at 0.5 cm too": ("left > 0.5", "left >= 0.5"),
        "absolute errors": ("loss[some] / curves[name](left[some]) - 1", "loss[some] - curves[name](left[some])"),
        "magnitudes instead of squares": (
            "((loss[some] / curves[name](left[some]) - 1) ** 2).mean()",
            "np.abs(loss[some] / curves[name](left[some]) - 1).mean()",
        ),
        "the sign left in": ("- 1) ** 2).mean()", "- 1)).mean()"),
        "the worst fit": ("min(curves", "max(curves"),
        "the mean loss alone": (
            "((loss[some] / curves[name](left[some]) - 1) ** 2).mean()",
            "abs(loss[some].mean() - curves[name](left[some]).mean())",
        ),
        "the square of the mean": (
            "((loss[some] / curves[name](left[some]) - 1) ** 2).mean()",
            "(loss[some] / curves[name](left[some]) - 1).mean() ** 2",
        ),
        "slices from 1 cm on": ("left > 0.5", "left > 1"),
        "only muons and protons": ("min(curves, key=misfit)", 'min(("muon", "proton"), key=misfit)'),
        "an empty string": ("return None", 'return ""'),
        "crashes without slices": (
            "    if not some.any():\n        return None\n",
            "    if not some.any():\n        return next(iter(curves))\n",
        ),
    },
}
