"""What students get wrong in chapter 1, particle images: changes to a solution, (right, wrong)."""

WRONG = {
    "guessed": {
        "a line": "return 16, 1, 2",
        "pixels in a box": "return 16, 4096, 4",
        "one axis": "return 256, 1, 2",
        "a volume": "return 4096, 1, 8",
    },
    "estimated": {
        "numbers, not bytes": ("a = 4 * 768**3", "a = 768**3"),
        "per cent taken for a fraction": ("b = 0.0005", "b = 0.05"),
        "grows like the volume": ("** 1.4", "** 3"),
        "the old volume": ("d = c / 768**3", "d = c / 192**3"),
        "in three dimensions": ("e = 64 / 4", "e = 64 / 4**3"),
    },
    "boxes": {
        "rounded to zero": ("x // edge", "int(x / edge)"),
        "points, not boxes": ("len({tuple(x // edge for x in point) for point in points})", "len(points)"),
        "a box twice": (
            "len({tuple(x // edge for x in point) for point in points})",
            "len([tuple(x // edge for x in point) for point in points])",
        ),
        "places within the box": ("x // edge", "x % edge"),
        "rounded": ("x // edge", "round(x / edge)"),
        "one axis": ("for x in point)", "for x in point[:1])"),
    },
    "dimension": {
        "the sign": ("np.log(fine / coarse)", "np.log(coarse / fine)"),
        "the scale forgotten": (" / np.log(edge_coarse / edge_fine)", ""),
        "always halved": ("np.log(edge_coarse / edge_fine)", "np.log(2)"),
        "not logarithms": ("np.log(fine / coarse) / np.log(edge_coarse / edge_fine)", "fine / coarse"),
        "a difference of edges": ("np.log(edge_coarse / edge_fine)", "(edge_coarse - edge_fine)"),
    },
}
