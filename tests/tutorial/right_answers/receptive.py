"""Chapter 10, norm and receptive field: right answers other than the solution."""

RIGHT = {
    "normalised": {
        "np.var": """\
            if not f.size:
                return f
            return (f - f.mean(0)) / (f.var(0) + eps) ** 0.5""",
        "in place, channel by channel": """\
            for channel in range(f.shape[1]):
                column = f[:, channel]
                if len(column):
                    column -= column.mean()
                    column /= np.sqrt((column * column).mean() + eps)
            return f""",
        "sums": """\
            n = max(1, len(f))
            mean = f.sum(axis=0) / n
            variance = (f**2).sum(axis=0) / n - mean**2
            return ((f - mean) / np.sqrt(np.maximum(variance, 0) + eps)).tolist()""",
    },
    "meeting": {
        "eats its set": """\
            edge, layers = {a}, 0
            sites.discard(a)
            while edge:
                if b in edge:
                    return layers
                edge = {s for s in sites if any(max(abs(s[0] - x), abs(s[1] - y)) == 1 for x, y in edge)}
                sites -= edge
                layers += 1
            return None""",
        "a matrix of touches, a NumPy integer": """\
            places = sorted(sites)
            xy = np.array(places)
            touch = np.abs(xy[:, None] - xy).max(axis=2) <= 1
            reached = np.array([p == a for p in places])
            for layers in range(len(places) + 1):
                if reached[places.index(b)]:
                    return np.int64(layers)
                reached = touch @ reached
            return None""",
        "from the other end": """\
            steps, queue = {b: 0}, [b]
            for x, y in queue:
                for i in (-1, 0, 1):
                    for j in (-1, 0, 1):
                        near = x + i, y + j
                        if near in sites and near not in steps:
                            steps[near] = steps[x, y] + 1
                            queue.append(near)
            return steps.get(a)""",
    },
}
