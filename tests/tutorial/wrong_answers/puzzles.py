"""What students get wrong in chapter 12, kernels: changes to a solution, (right, wrong)."""

WRONG = {
    "guessed": {
        "programs from 1": "return 3, 11",
        "the rest inside": "return 2, 5",
        "all of its loads": "return 2, 16",
        "one past the end": "return 2, 10",
    },
    "doubled": {
        "the input overwritten": (
            "tl.store(h + i, 2 * tl.load(f + i, mask=inside), mask=inside)",
            "tl.store(f + i, 2 * tl.load(f + i, mask=inside), mask=inside)\n"
            "    tl.store(h + i, tl.load(f + i, mask=inside), mask=inside)",
        ),
        "missing mask of the load": ("tl.load(f + i, mask=inside)", "tl.load(f + i)"),
        "missing mask of the store": (", mask=inside)\n    ###", ")\n    ###"),
        "every program the first block": ("tl.program_id(0) * BLOCK + ", ""),
        "blocks that overlap": ("tl.program_id(0) * BLOCK", "tl.program_id(0)"),
        "not doubled": ("2 * tl.load", "tl.load"),
        "off by one": ("inside = i < n", "inside = i < n - 1"),
    },
    "gathered": {
        "missing mask, row -1 read": ("mask=there, other=0", "mask=(j < n)[:, None], other=0"),
        "the rows' mask missing": ("mask=j < n, other=-1", "other=-1"),
        "row 0 for none": ("row >= 0", "row > 0"),
        "not gathered": ("f + row[:, None] * C", "f + j[:, None] * C"),
        "undefined where the mask is false": ("mask=there, other=0", "mask=there"),
        "channels forgotten": ("h + j[:, None] * C + channel", "h + j[:, None] + channel"),
        "scattered": ("h + j[:, None] * C", "h + row[:, None] * C"),
    },
    "summed": {
        "ones in the gaps": ("other=0", "other=1"),
        "undefined where the mask is false": ("mask=inside, other=0", "mask=inside"),
        "WIDTH for C": ("j[:, None] * C", "j[:, None] * WIDTH"),
        "over the end of a row": (" & (channel < C)", ""),
        "over the end": ("(j < n)[:, None] & ", ""),
        "the largest": ("tl.sum", "tl.max"),
        "down the columns": ("axis=1", "axis=0"),
    },
    "scattered": {
        "overwritten": ("tl.load(place, mask=inside) + block", "block"),
        "rules read backwards": ("f + row_in[:, None]", "f + row_out[:, None]"),
        "atomic, without a mask": (
            "tl.store(place, tl.load(place, mask=inside) + block, mask=inside)",
            "tl.atomic_add(place, block)",
        ),
        "not scattered": ("h + row_out[:, None]", "h + r[:, None]"),
        "missing mask of the store": ("block, mask=inside)", "block)"),
        "missing mask of the rules": ("tl.load(rows_in + r, mask=r < rules, other=0)", "tl.load(rows_in + r)"),
    },
    "multiplied": {
        "weight transposed": (
            "channel[:, None] * C + channel)\n    product",
            "channel[:, None] + channel * C)\n    product",
        ),
        "undefined where the mask is false": ("mask=there, other=0", "mask=there"),
        "number by number": ('tl.dot(block, matrix, input_precision="ieee")', "block * matrix"),
        "the other way round": ("tl.dot(block, matrix,", "tl.dot(matrix, block,"),
        "missing mask, row -1 read": ("mask=there, other=0", "mask=(j < n)[:, None], other=0"),
        "one row of the matrix": ("weight + channel[:, None] * C", "weight + channel[:, None] * 0"),
    },
    "convolved": {
        "one tap for all": ("weight + t * C * C", "weight"),
        "the last tap alone": ("total += tl.dot", "total = tl.dot"),
        "off by one tap": ("range(V)", "range(V - 1)"),
        "table read across": ("table + t * n + j", "table + j * V + t"),
        "missing mask, row -1 read": ("mask=there, other=0", "mask=(j < n)[:, None], other=0"),
        "undefined where the mask is false": ("mask=there, other=0", "mask=there"),
        "matrices overlap": ("t * C * C", "t * C"),
        "the block's own rows": ("f + row[:, None] * C", "f + j[:, None] * C"),
        "missing mask of the store": (", mask=(j < n)[:, None])", ")"),
    },
}
