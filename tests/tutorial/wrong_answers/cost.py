"""What students get wrong in chapter 7, cost: changes to a solution, (right, wrong)."""

WRONG = {
    "guessed": {
        "none is lost": "return 76150, 0",
        "one is lost for each output": "return 76150 - 4746, 4746 / 76150",
        "half": "return 38075, 0.5",
        "the share that remains": "return 4746, 0.0623",
    },
    "counted": {
        "all taps of all sites": ("rules = 1000 * 16", "rules = 1000 * 27"),
        "one channel out": ("a = rules * 32 * 64", "a = rules * 32"),
        "numbers, not bytes": ("64 * 4", "64"),
        "the products, not the rows": ("c = rules * 32 * 4", "c = rules * 64 * 4"),
        "per site": ("d = rules / 27", "d = 16 / 27"),
        "voxels over sites": ("27 * 64**3 / rules", "64**3 / 1000"),
    },
    "convolved": {
        "the last tap overwrites": ("+= f[rows_in]", "= f[rows_in]"),
        "rules read backwards": ("h[rows_out] += f[rows_in]", "h[rows_in] += f[rows_out]"),
        "one tap for all": ("@ matrix", "@ weight[0]"),
        "taps the other way": ("zip(rules, weight, strict", "zip(rules, weight[::-1], strict"),
        "as many outputs as inputs": ("(outputs, weight", "(len(f), weight"),
        "not gathered": ("f[rows_in] @", "f[: len(rows_in)] @"),
    },
    "from_table": {
        "missing mask, f[-1] is the last row": ("np.where(there, f[rows], 0)", "f[rows]"),
        "row 0 masked": ("rows >= 0", "rows > 0"),
        "outputs of the inputs": ("len(table), weight", "len(f), weight"),
        "the last tap alone": ("h += np", "h = np"),
        "rows for taps": ("table[:, tap]", "table[tap]"),
        "taps from the end": ("weight[tap]", "weight[-1 - tap]"),
    },
}
