"""Chapter 16, physics after segmentation: right answers other than the solution."""

RIGHT = {
    "lengths": {
        "a list, from the end": """\
            result, here, total = [], end, 0.0
            for centre in centres[::-1]:
                total += np.sqrt(((centre - here) ** 2).sum())
                here = centre
                result.append(total)
            return result[::-1]""",
        "a triangle of ones": """\
            corners = np.concatenate([centres, end[np.newaxis]])
            steps = np.sqrt((np.diff(corners, axis=0) ** 2).sum(axis=1))
            return np.triu(np.ones((len(steps), len(steps)))) @ steps""",
        "the whole less what is behind": """\
            steps = [np.linalg.norm(b - a) for a, b in zip(centres, [*centres[1:], end])]
            return sum(steps) - np.array([sum(steps[:i]) for i in range(len(steps))])""",
    },
    "particle": {
        "sums instead of means": """\
            keep = left > 0.5
            best, least = None, np.inf
            for name, curve in curves.items():
                off = sum((loss[keep] / curve(left[keep]) - 1) ** 2)
                if keep.any() and off < least:
                    best, least = name, off
            return best""",
        "a NumPy string": """\
            rows = np.flatnonzero(left > 0.5)
            names = np.array(list(curves))
            if rows.size == 0:
                return None
            table = np.array([curves[name](left)[rows] for name in names])
            return names[((loss[rows] / table - 1) ** 2).mean(axis=1).argmin()]""",
        "one number at a time": """\
            slices = [(e, r) for e, r in zip(loss, left) if r > 0.5]
            fits = {n: sum((e / c(r) - 1) ** 2 for e, r in slices) for n, c in curves.items()}
            return min(fits, key=fits.get) if slices else None""",
        "root mean squares, sorted": """\
            pairs = [(e, r) for e, r in zip(loss, left) if r > 0.5]
            if not pairs:
                return None
            e, r = np.array(pairs).T
            fits = sorted((np.sqrt(np.mean(((e - c(r)) / c(r)) ** 2)), n) for n, c in curves.items())
            return fits[0][1]""",
    },
}
