"""Chapter 17, tuning: right answers other than the solution."""

RIGHT = {
    "searches": {
        "bit lengths": """\
            def size(rows):
                return (max(-(-rows // start) - 1, 0).bit_length() + 1) // 2
            return len({tuple(size(v) if k == "rows" else v for k, v in c.items()) for c in calls})""",
        "a table of borders": """\
            borders = [start * 4**n for n in range(40)]
            known = {}
            for c in calls:
                place = next(i for i, most in enumerate(borders) if c["rows"] <= most)
                key = f"{c['kernel']}/{c['channels_in']}/{c['channels_out']}/{c['precision']}/{place}"
                known[key] = known.get(key, 0) + 1
            return len(known)""",
        "searchsorted, a NumPy integer": """\
            borders = np.array([start * 4**n for n in range(25)])
            keys = [(c["kernel"], c["channels_in"], c["channels_out"], c["precision"],
                     int(np.searchsorted(borders, c["rows"]))) for c in calls]
            return np.int64(len(set(keys)))""",
    },
    "fastest": {
        "a list of times": """\
            first = clock(candidates[0])
            times = [(first, candidates[0])]
            for tile in candidates[1:]:
                try:
                    off = run(tile) - right
                except RuntimeError:
                    continue
                if (off**2).sum() <= 1e-4 * (right**2).sum():
                    time = clock(tile)
                    if time * 1.03 < first:
                        times.append((time, tile))
            return min(times)[1]""",
        "check everything first": """\
            def is_right(tile):
                try:
                    return np.sqrt(((run(tile) - right) ** 2).sum()) <= 0.01 * np.sqrt((right**2).sum())
                except RuntimeError:
                    return False
            good = {tile: clock(tile) for tile in candidates if is_right(tile)}
            best = min(good, key=good.get)
            return best if good[best] * 1.03 < good[candidates[0]] else candidates[0]""",
        "the median of three times": """\
            def seconds(tile):
                return sorted(clock(tile) for _ in range(3))[1] / 1000
            best, limit = candidates[0], seconds(candidates[0]) / 1.03
            for tile in candidates[1:]:
                try:
                    close = ((run(tile) - right) ** 2).sum() ** 0.5 <= 0.01 * (right**2).sum() ** 0.5
                except Exception:
                    continue
                if close and (time := seconds(tile)) < limit:
                    best, limit = tile, time
            return best""",
        "a nested function": """\
            first = clock(candidates[0])
            def cost(tile):
                try:
                    error = np.linalg.norm(run(tile) - right) / np.linalg.norm(right)
                except RuntimeError:
                    return np.inf
                if np.isnan(error) or error > 0.01:
                    return np.inf
                time = clock(tile)
                return time if 1.03 * time < first else first
            return sorted(candidates, key=cost)[0]""",
    },
}
