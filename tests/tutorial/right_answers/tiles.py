"""Chapter 13, tiles: right answers other than the solution."""

TILE = """\
            t = tl.program_id(0)
            p = t * BLOCK + tl.arange(0, BLOCK)
            c = tl.arange(0, C)
            mask = tl.load(masks + t)
            total = tl.zeros([BLOCK, C], tl.float32)
"""
TAP = """\
                row = tl.load(table + t * n + p, mask=p < n, other=-1)[:, None]
                block = tl.load(f + row * C + c, mask=row >= 0, other=0.0)
                matrix = tl.load(weight + t * C * C + c[:, None] * C + c)
                total = tl.dot(block, matrix, total)
"""
STORED = """\
            o = tl.load(order + p, mask=p < n, other=0)[:, None]
            tl.store(h + o * C + c, total, mask=(p < n)[:, None])"""
ENDS = """\
            s, c = tl.program_id(0), tl.arange(0, C)
            start = tl.load(bounds + 2 * s)
            stop = tl.load(bounds + 2 * s + 1)
            total = tl.zeros([C, C], tl.float32)
"""
PARTIAL = """\
            tl.store(partial + s * C * C + c[:, None] * C + c, total)"""

RIGHT = {
    "ordered": {
        "Python's sort": """\
            there = table >= 0
            return sorted(range(table.shape[1]), key=lambda row: there[:, row].tolist())""",
        "lexsort": """\
            return np.lexsort((table >= 0).astype(int))""",
        "grouped in a dictionary": """\
            groups = {}
            for row in range(table.shape[1]):
                groups.setdefault(tuple(table[:, row] >= 0), []).append(row)
            return np.concatenate([np.array(rows) for rows in groups.values()])""",
    },
    "tiled": {
        "bit by bit": TILE
        + """\
            for t in range(V):
              if mask % 2 == 1:
"""
        + TAP
        + """\
              mask = mask // 2
"""
        + STORED,
        "from the last tap": TILE
        + """\
            for step in range(V):
              t = V - 1 - step
              if (mask & (1 << t)) != 0:
"""
        + TAP
        + STORED,
        "the places first": """\
            o = tl.load(order + tl.program_id(0) * BLOCK + tl.arange(0, BLOCK),
                        mask=tl.program_id(0) * BLOCK + tl.arange(0, BLOCK) < n)[:, None]
"""
        + TILE
        + """\
            for t in range(V):
              if (mask >> t) % 2 > 0:
"""
        + TAP
        + """\
            tl.store(h + o * C + c, total, mask=(p < n)[:, None])""",
    },
    "partial_sums": {
        "loaded transposed": ENDS
        + """\
            for first in range(start, stop, BLOCK):
                r = first + tl.arange(0, BLOCK)
                i = tl.load(rows_in + r, mask=r < stop, other=0)
                o = tl.load(rows_out + r, mask=r < stop, other=0)[:, None]
                left = tl.load(f + i * C + c[:, None], mask=r < stop, other=0.0)
                right = tl.load(g + o * C + c, mask=(r < stop)[:, None], other=0.0)
                total = tl.dot(left, right, total)
"""
        + PARTIAL,
        "pointers transposed": ENDS
        + """\
            for first in tl.range(start, stop, BLOCK):
                r = first + tl.arange(0, BLOCK)
                there = r < stop
                i = tl.load(rows_in + r, mask=there, other=0)
                o = tl.load(rows_out + r, mask=there, other=0)
                left = tl.load(f + c[:, None] + i[None, :] * C, mask=there[None, :], other=0.0)
                right = tl.load(g + c[None, :] + o[:, None] * C, mask=there[:, None], other=0.0)
                total = total + tl.dot(left, right, input_precision="ieee")
"""
        + PARTIAL,
        "zeros on one side alone": ENDS
        + """\
            for first in range(start, stop, BLOCK):
                r = first + tl.arange(0, BLOCK)
                there = (r < stop)[:, None]
                i = tl.load(rows_in + r, mask=r < stop, other=0)[:, None]
                o = tl.load(rows_out + r, mask=r < stop, other=0)[:, None]
                left = tl.load(f + i * C + c, mask=there, other=0.0)
                right = tl.where(there, tl.load(g + o * C + c, mask=there), 0.0)
                total += tl.dot(tl.trans(left), right, input_precision="ieee")
"""
        + PARTIAL,
    },
}
