"""What students get wrong in chapter 11, Numba: changes to a solution, (right, wrong)."""

WRONG = {
    "guessed": {
        "the right sum alone": "return 1, 11, 11",
        "nothing may remain": "return 4, 0, 11",
        "one order for each sum": "return 6, 1, 11",
        "counted twice": "return 3, 1, 21",
    },
    "reckoned": {
        "every order of four steps": ("a = 6 ", "a = 24 "),
        "half of them": ("b = 4", "b = 3"),
        "no addition is lost": ("c = 1 ", "c = 3 "),
        "multiplications alone": ("d = 2 * 76150", "d = 76150"),
        "seconds": ("/ 5e9 * 1000", "/ 5e9"),
    },
    "scattered": {
        "rules read backwards": ("h[rows_out[rule], channel] += f[rows_in", "h[rows_in[rule], channel] += f[rows_out"),
        "overwritten": ("] += f", "] = f"),
        "not gathered": ("f[rows_in[rule], channel]", "f[rule, channel]"),
        "the first channel alone": ("range(f.shape[1])", "range(1)"),
        "the last rule forgotten": ("range(len(rows_in))", "range(len(rows_in) - 1)"),
        "lost additions of repeated rows": (
            "for rule in range(len(rows_in)):\n        for channel in range(f.shape[1]):\n            "
            "h[rows_out[rule], channel] += f[rows_in[rule], channel]",
            "h[rows_out] += f[rows_in]",
        ),
        "nothing returned": ("    return h\n", "    return None\n"),
        "not to be compiled": (
            "    return h\n",
            "    return np.array([{0: row, 1: [row]}[0] for row in h]).reshape(h.shape)\n",
        ),
    },
    "shared": {
        "a race: shared by rule": ("owner = rows_out % threads", "owner = np.arange(len(rows_out)) % threads"),
        "a race: cut in equal parts": (
            "owner = rows_out % threads",
            "owner = np.arange(len(rows_out)) * threads // len(rows_out)",
        ),
        "all on one": ("owner = rows_out % threads", "owner = 0 * rows_out"),
        "outputs, not rules": ("np.flatnonzero(owner == thread)", "rows_out[owner == thread]"),
        "some rules nobody's": ("for thread in range(threads)]", "for thread in range(1, threads + 1)]"),
        "masks, not numbers": ("np.flatnonzero(owner == thread)", "(owner == thread)"),
    },
}
