"""Chapter 4, coordinates: right answers other than the solution."""

RIGHT = {
    "right": {
        "a dictionary, a list returned": """\
            rows = {int(key): row for row, key in enumerate(keys)}
            return [rows.get(int(key) + 1, -1) if int(key) % extent < extent - 1 else -1 for key in keys]""",
        "the next row": """\
            result = np.full(len(keys), -1)
            for row in range(len(keys) - 1):
                if keys[row + 1] == keys[row] + 1 and keys[row] // extent == keys[row + 1] // extent:
                    result[row] = row + 1
            return result""",
        "a table of everything": """\
            matches = keys[:, None] + 1 == keys
            matches &= (keys[:, None] // extent) == (keys // extent)
            return np.where(matches.any(axis=1), matches.argmax(axis=1), -1)""",
        "the keys shifted in place": """\
            whole = keys.copy()
            keys += 1
            place = np.searchsorted(whole, keys) % len(whole)
            return np.where((whole[place] == keys) & (keys % extent > 0), place, -1).astype(float)""",
    },
    "merged": {
        "sums in a dictionary": """\
            sums = {}
            for site, feature in zip(map(tuple, coordinates), features):
                sums[site] = sums.get(site, 0) + feature
            return np.array(list(sums)), np.array(list(sums.values()))""",
        "np.unique, reordered": """\
            _, first, inverse = np.unique(coordinates, axis=0, return_index=True, return_inverse=True)
            order = np.argsort(first)
            place = np.empty(len(order), int)
            place[order] = np.arange(len(order))
            sums = np.zeros((len(order), features.shape[1]))
            np.add.at(sums, place[inverse.ravel()], features)
            return [coordinates[first[order]], sums]""",
        "lists of lists": """\
            sites, sums = [], []
            for site, feature in zip(coordinates.tolist(), features.tolist()):
                if site in sites:
                    row = sites.index(site)
                    sums[row] = [a + b for a, b in zip(sums[row], feature)]
                else:
                    sites.append(site)
                    sums.append(feature)
            return sites, sums""",
    },
    "failing": {
        "one site": "return {(-1, 0)}",
        "a list, the second axis": "return [(4, -3), (2, 2)]",
        "found by trying": """\
            for x in range(-5, 6):
                if suspect({(x, 0)}) != {(x // 2, 0)}:
                    return {(x, 0)}""",
    },
}
