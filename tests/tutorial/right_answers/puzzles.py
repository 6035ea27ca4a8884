"""Chapter 12, kernels: right answers other than the solution."""

ROWS = """\
            j = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
            c = tl.arange(0, C)
            inside = (j < n)[:, None]
            row = tl.load(rows + j, mask=j < n, other=-1)
"""

RIGHT = {
    "doubled": {
        "added to itself": """\
            i = BLOCK * tl.program_id(0) + tl.arange(0, BLOCK)
            a = tl.load(f + i, mask=i < n, other=0.0)
            tl.store(h + i, a + a, mask=i < n)""",
        "pointers first": """\
            first = tl.program_id(0) * BLOCK
            i = tl.arange(0, BLOCK)
            source, target = f + first + i, h + first + i
            inside = first + i < n
            tl.store(target, tl.load(source, mask=inside) * 2.0, mask=inside)""",
        "in two halves": """\
            for half in range(2):
                i = tl.program_id(0) * BLOCK + half * (BLOCK // 2) + tl.arange(0, BLOCK // 2)
                tl.store(h + i, 2 * tl.load(f + i, mask=i < n), mask=i < n)""",
    },
    "gathered": {
        "tl.where after a load without other": ROWS
        + """\
            block = tl.load(f + row[:, None] * C + c, mask=row[:, None] >= 0)
            tl.store(h + j[:, None] * C + c, tl.where(row[:, None] >= 0, block, 0.0), mask=inside)""",
        "row 0 for none": ROWS
        + """\
            block = tl.load(f + tl.where(row < 0, 0, row)[:, None] * C + c, mask=inside)
            tl.store(h + j[:, None] * C + c, tl.where(row[:, None] < 0, 0.0, block), mask=inside)""",
        "channel by channel": ROWS
        + """\
            for channel in range(C):
                numbers = tl.load(f + row * C + channel, mask=row >= 0, other=0.0)
                tl.store(h + j * C + channel, numbers, mask=j < n)""",
    },
    "summed": {
        "channel by channel": """\
            j = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
            total = tl.zeros([BLOCK], tl.float32)
            for channel in range(C):
                total += tl.load(f + j * C + channel, mask=j < n, other=0.0)
            tl.store(h + j, total, mask=j < n)""",
        "tl.where": """\
            j = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)[:, None]
            c = tl.arange(0, WIDTH)[None, :]
            inside = (j < n) & (c < C)
            block = tl.where(inside, tl.load(f + j * C + c, mask=inside), 0.0)
            tl.store(h + j, tl.sum(block, axis=1)[:, None], mask=j < n)""",
        "transposed": """\
            j = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
            c = tl.arange(0, WIDTH)[:, None]
            block = tl.load(f + j * C + c, mask=(c < C) & (j < n), other=0)
            tl.store(h + j, tl.sum(block, axis=0), mask=j < n)""",
    },
    "scattered": {
        "atomic": """\
            r = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
            c = tl.arange(0, C)
            i = tl.load(rows_in + r, mask=r < rules, other=0)[:, None]
            o = tl.load(rows_out + r, mask=r < rules, other=0)[:, None]
            block = tl.load(f + i * C + c, mask=(r < rules)[:, None])
            tl.atomic_add(h + o * C + c, block, mask=(r < rules)[:, None])""",
        "without other": """\
            r = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
            c, there = tl.arange(0, C), r < rules
            i, o = tl.load(rows_in + r, mask=there), tl.load(rows_out + r, mask=there)
            a = tl.load(f + i[:, None] * C + c, mask=there[:, None])
            b = tl.load(h + o[:, None] * C + c, mask=there[:, None])
            tl.store(h + o[:, None] * C + c, a + b, mask=there[:, None])""",
        "channel by channel": """\
            r = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
            i = tl.load(rows_in + r, mask=r < rules, other=0)
            o = tl.load(rows_out + r, mask=r < rules, other=0)
            for c in range(C):
                old = tl.load(h + o * C + c, mask=r < rules)
                tl.store(h + o * C + c, old + tl.load(f + i * C + c, mask=r < rules), mask=r < rules)""",
    },
    "multiplied": {
        "ieee": ROWS
        + """\
            block = tl.load(f + row[:, None] * C + c, mask=row[:, None] >= 0, other=0.0)
            matrix = tl.load(weight + c[:, None] * C + c[None, :])
            product = tl.dot(block, matrix, input_precision="ieee")
            tl.store(h + j[:, None] * C + c, product, mask=inside)""",
        "zeros by tl.where": ROWS
        + """\
            block = tl.load(f + row[:, None] * C + c, mask=row[:, None] >= 0)
            matrix = tl.load(weight + c[:, None] * C + c)
            product = tl.dot(tl.where(row[:, None] >= 0, block, 0.0), matrix)
            tl.store(h + j[:, None] * C + c, product, mask=inside)""",
        "a sum of outer products": ROWS
        + """\
            total = tl.zeros([BLOCK, C], tl.float32)
            for k in range(C):
                column = tl.load(f + row * C + k, mask=row >= 0, other=0.0)
                total += column[:, None] * tl.load(weight + k * C + c)[None, :]
            tl.store(h + j[:, None] * C + c, total, mask=inside)""",
    },
    "convolved": {
        "tl.dot with an accumulator": """\
            j = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
            c = tl.arange(0, C)
            total = tl.zeros((BLOCK, C), dtype=tl.float32)
            for t in range(V):
                row = tl.load(table + t * n + j, mask=j < n, other=-1)[:, None]
                block = tl.load(f + row * C + c, mask=row >= 0, other=0.0)
                total = tl.dot(block, tl.load(weight + (t * C + c[:, None]) * C + c), total)
            tl.store(h + j[:, None] * C + c, total, mask=(j < n)[:, None])""",
        "taps backwards": """\
            j = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
            c = tl.arange(0, C)
            total = tl.zeros([BLOCK, C], tl.float32)
            for step in range(V):
                t = V - 1 - step
                row = tl.load(table + t * n + j, mask=j < n, other=-1)[:, None]
                block = tl.load(f + row * C + c, mask=row >= 0, other=0.0)
                matrix = tl.load(weight + t * C * C + c[:, None] * C + c)
                total += tl.dot(block, matrix, input_precision="ieee")
            tl.store(h + j[:, None] * C + c, total, mask=(j < n)[:, None])""",
        "the sums in memory": """\
            j = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
            c = tl.arange(0, C)
            place, inside = h + j[:, None] * C + c, (j < n)[:, None]
            tl.store(place, tl.zeros([BLOCK, C], tl.float32), mask=inside)
            for t in range(V):
                row = tl.load(table + t * n + j, mask=j < n, other=-1)[:, None]
                block = tl.load(f + row * C + c, mask=row >= 0, other=0.0)
                matrix = tl.load(weight + t * C * C + c[:, None] * C + c)
                tl.store(place, tl.load(place, mask=inside) + tl.dot(block, matrix), mask=inside)""",
    },
}
