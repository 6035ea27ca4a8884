"""Chapter 11, Numba: right answers other than the solution."""

RIGHT = {
    "scattered": {
        "compiled already": """\
from numba import njit


@njit
def scattered(f, rows_in, rows_out, h):
    for r in range(rows_in.size):
        i, o = rows_in[r], rows_out[r]
        for c in range(h.shape[1]):
            h[o, c] += f[i, c]
    return h
""",
        "channels outside": """\
            for c in range(h.shape[1]):
                for r in range(rows_out.shape[0]):
                    h[rows_out[r], c] = h[rows_out[r], c] + f[rows_in[r], c]
            return h""",
        "a while loop": """\
            r = 0
            while r < len(rows_in):
                for c in range(f.shape[1]):
                    h[rows_out[r], c] += f[rows_in[r], c]
                r += 1
            return h""",
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
