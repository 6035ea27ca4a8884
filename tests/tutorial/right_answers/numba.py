"""Chapter 11, Numba: right answers other than the solution."""

RIGHT = {
    "scattered": {
        "compiled already": """\
from numba import njit


@njit
def scattered(x, rows_in, rows_out, y):
    for r in range(rows_in.size):
        i, o = rows_in[r], rows_out[r]
        for c in range(y.shape[1]):
            y[o, c] += x[i, c]
    return y
""",
        "channels outside": """\
            for c in range(y.shape[1]):
                for r in range(rows_out.shape[0]):
                    y[rows_out[r], c] = y[rows_out[r], c] + x[rows_in[r], c]
            return y""",
        "a while loop": """\
            r = 0
            while r < len(rows_in):
                for c in range(x.shape[1]):
                    y[rows_out[r], c] += x[rows_in[r], c]
                r += 1
            return y""",
    },
    "shared": {
        "lists": """\
            shares = [[] for _ in range(threads)]
            for rule, row in enumerate(rows_out):
                shares[row % threads].append(rule)
            return shares""",
        "arrays of lists, some of them empty": """\
            return tuple(np.array([r for r, o in enumerate(rows_out) if o % threads == t]) for t in range(threads))""",
        "ranges of rows": """\
            edges = np.linspace(0, rows_out.max() + 1, threads + 1)
            owner = np.searchsorted(edges, rows_out, side="right") - 1
            return [np.flatnonzero(owner == t).astype(np.int32) for t in range(threads)]""",
    },
}
