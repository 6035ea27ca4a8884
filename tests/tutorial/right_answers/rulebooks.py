"""Chapter 6, rulebooks: right answers other than the solution."""

RIGHT = {
    "rules": {
        "lists for pairs": """\
            half = kernel_size // 2
            taps = [(i, j) for i in range(-half, half + 1) for j in range(-half, half + 1)]
            rows = {tuple(site): row for row, site in enumerate(sites)}
            return [[[rows[x + i, y + j], out] for out, (x, y) in enumerate(sites) if (x + i, y + j) in rows]
                    for i, j in taps]""",
        "every pair of sites": """\
            half, found = kernel_size // 2, [[] for _ in range(kernel_size**2)]
            for row_out, (x, y) in enumerate(sites):
                for row_in, (a, b) in enumerate(sites):
                    i, j = a - x + half, b - y + half
                    if 0 <= i < kernel_size and 0 <= j < kernel_size:
                        found[i * kernel_size + j].append((row_in, row_out))
            return found""",
        "NumPy": """\
            places = np.array(sites)
            found = []
            for tap in np.ndindex(kernel_size, kernel_size):
                wanted = places + np.array(tap) - kernel_size // 2
                out, into = np.nonzero((wanted[:, None] == places).all(axis=2))
                found.append(list(zip(into, out)))
            return tuple(found)""",
    },
    "mirrored_half": {
        "sorted by a key": """\
            turned = [sorted(((o, i) for i, o in tap), key=lambda p: p[1]) for tap in first_half[::-1]]
            return first_half + [[(n, n) for n in range(number_of_sites)]] + turned""",
        "in its own list": """\
            first_half.append([(n, n) for n in range(number_of_sites)])
            for tap in first_half[-2::-1]:
                first_half.append(sorted([(o, i) for i, o in tap], key=lambda pair: pair[::-1]))
            return first_half""",
        "NumPy": """\
            result = [np.array(tap, int).reshape(-1, 2) for tap in first_half]
            for tap in result[::-1]:
                swapped = tap[:, ::-1]
                result.append(swapped[np.argsort(swapped[:, 1])])
            middle = np.stack([np.arange(number_of_sites)] * 2, axis=1)
            result.insert(len(first_half), middle)
            return [tap.tolist() for tap in result]""",
    },
    "failing": {
        "a corner": "return [(1, 1), (0, 0)]",
        "three in a set order": "return ((-2, 7), (9, 9), (-1, 7))",
        "found by trying": """\
            for y in range(1, 5):
                sites = [(0, 0), (0, y)]
                if sum(map(len, suspect(sites, 3))) % 2:
                    return sites""",
    },
}
