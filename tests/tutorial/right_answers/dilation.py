"""Chapter 3, the dilation problem: right answers other than the solution."""

RIGHT = {
    "reached": {
        "every candidate tested": """\
            found = set()
            for x, y in sites:
                for u in range(-20, 21):
                    for v in range(-20, 21):
                        i, j = x + padding - stride * u, y + padding - stride * v
                        if 0 <= i < kernel_size and 0 <= j < kernel_size:
                            found.add((u, v))
            return found""",
        "whole numbers as floats": """\
            taps = range(kernel_size)
            places = {((x + padding - i) / stride, (y + padding - j) / stride)
                      for x, y in sites for i in taps for j in taps}
            return {(u, v) for u, v in places if u == int(u) and v == int(v)}""",
        "a set that is used up, a frozen one returned": """\
            found = []
            while sites:
                x, y = sites.pop()
                us = {(x + padding - i) // stride for i in range(kernel_size) if (x + padding - i) % stride == 0}
                vs = {(y + padding - i) // stride for i in range(kernel_size) if (y + padding - i) % stride == 0}
                found += [(np.int64(u), np.int64(v)) for u in us for v in vs]
            return frozenset(found)""",
    },
}
