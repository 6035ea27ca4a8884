"""Chapter 15, the study: right answers other than the solution."""

RIGHT = {
    "accuracy": {
        "a loop over events": """\
            shares = []
            for number in sorted(set(events.tolist())):
                rows = (events == number) & (labels >= 0)
                if rows.any():
                    shares.append((predicted == labels)[rows].mean())
            return sum(shares) / len(shares)""",
        "bincount": """\
            known = labels >= 0
            total = np.bincount(events[known])
            right = np.bincount(events[known], weights=(predicted == labels)[known])
            return (right[total > 0] / total[total > 0]).mean()""",
        "rows one by one": """\
            right, total = {}, {}
            for p, t, e in zip(predicted, labels, events):
                if t != -1:
                    total[e] = total.get(e, 0) + 1
                    right[e] = right.get(e, 0) + int(p == t)
            return float(np.mean([right[e] / total[e] for e in total]))""",
    },
    "matched": {
        "a list, NumPy numbers": """\
            best = [max(true, key=lambda t: len(t & f)) for f in found]
            pairs = [(t, f) for t, f in zip(best, found) if t & f]
            seen = {true.index(t) for t, _ in pairs}
            shares = np.array([(len(t & f) / len(t), len(t & f) / len(f)) for t, f in pairs])
            return [len(seen) / len(true), len(pairs) / len(found), *shares.mean(axis=0)]""",
        "a table of overlaps": """\
            table = np.array([[len(t & f) for t in true] for f in found])
            best, most = table.argmax(axis=1), table.max(axis=1)
            hit = most > 0
            whole = np.array([len(t) for t in true])[best]
            sizes = np.array([len(f) for f in found])
            return np.array([len(set(best[hit])) / len(true), hit.mean(),
                             (most / whole)[hit].mean(), (most / sizes)[hit].mean()])""",
        "candidates without a match popped": """\
            number = len(found)
            found = [f for f in found if any(f & t for t in true)]
            owner = [max(range(len(true)), key=lambda i: len(true[i] & f)) for f in found]
            ce = [len(true[i] & f) / len(true[i]) for i, f in zip(owner, found)]
            cp = [len(true[i] & f) / len(f) for i, f in zip(owner, found)]
            mean = lambda v: sum(v) / len(v)
            return len(set(owner)) / len(true), len(found) / number, mean(ce), mean(cp)""",
    },
}
