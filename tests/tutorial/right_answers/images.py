"""Chapter 1, particle images: right answers other than the solution."""

RIGHT = {
    "boxes": {
        "NumPy": "return len(np.unique(np.floor_divide(points, edge), axis=0))",
        "a NumPy integer": "return np.int64(len({tuple(x // edge for x in point) for point in points}))",
        "a list of those seen": """\
            seen = []
            for point in points:
                box = [x // edge for x in point]
                if box not in seen:
                    seen.append(box)
            return len(seen)""",
        "the points sorted in place": """\
            points.sort()
            return len({tuple(np.floor(np.array(point) / edge)) for point in points})""",
    },
    "dimension": {
        "base 2": "return np.log2(fine / coarse) / np.log2(edge_coarse / edge_fine)",
        "a fitted line": "return -np.polyfit(np.log([edge_fine, edge_coarse]), np.log([fine, coarse]), 1)[0]",
        "differences of logarithms": """\
            down = np.log(fine) - np.log(coarse)
            return float(down / (np.log(edge_coarse) - np.log(edge_fine)))""",
    },
}
