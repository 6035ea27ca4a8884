"""What students get wrong in chapter 4, coordinates: changes to a solution, (right, wrong)."""

WRONG = {
    "guessed": {
        "images mixed": "return 2, 13, 3.25",
        "one site per deposit": "return 5, 6, 2",
        "the last wins": "return 3, 2, 2",
        "the mean over all deposits": "return 3, 6, 1.2",
    },
    "counted": {
        "one image": ("a = 2 * 6 * 10", "a = 6 * 10"),
        "last minus first": ("2 * 6 * 10", "2 * 5 * 9"),
        "low forgotten": ("(1 * 6 + 2) * 10 + 2", "(1 * 6 + 0) * 10 + 12"),
        "first place fastest": ("37 // 10 - 2", "37 % 6 - 2"),
        "digit for coordinate": ("37 % 10 + 10", "37 % 10"),
        "six bits": ("e = 7", "e = 6"),
    },
    "right": {
        "over the end of the line": ("there & inside", "there"),
        "first of a line has no neighbour": ("wanted % extent != 0", "keys % extent != 0"),
        "off by one line": ("wanted % extent != 0", "wanted % (extent + 1) != 0"),
        "not looked whether it is there": ("there & inside", "inside"),
        "its key, not its row": ("place, -1)", "wanted, -1)"),
        "left": ("wanted = keys + 1", "wanted = keys - 1"),
        "0 for none": ("place, -1)", "place, 0)"),
    },
    "merged": {
        "the last stays": ("sums[row_of[key]] += feature", "sums[row_of[key]] = feature"),
        "the batch forgotten": ("key = tuple(site)", "key = tuple(site[1:])"),
        "order of the axes forgotten": ("key = tuple(site)", "key = tuple(sorted(site))"),
        "sorted": (
            "return np.array(sites), np.array(sums)",
            "order = np.lexsort(np.array(sites).T[::-1])\n    return np.array(sites)[order], np.array(sums)[order]",
        ),
        "features alone": ("return np.array(sites), np.array(sums)", "return np.array(sums)"),
        "one channel": ("np.zeros(len(feature))", "np.zeros(1)"),
    },
    "failing": {
        "no negative coordinate": "return {(0, 0), (3, 5)}",
        "even negative ones": "return {(-2, -4)}",
        "none": "return set()",
        "too many": "return {(-1, y) for y in range(6)}",
        "no integers": "return {(-1.5, 0)}",
        "three coordinates": "return {(-1, 0, 0)}",
    },
}
