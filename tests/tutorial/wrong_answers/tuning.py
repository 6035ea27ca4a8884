"""What students get wrong in chapter 17, tuning: changes to a solution, (right, wrong)."""

WRONG = {
    "guessed": {
        "warps forgotten": "return 2.5, 2.5, 0.3125",
        "rows forgotten": "return 80, 640, 640",
        "slots per warp": "return 2.5, 0.3125, 0.039",
        "shared by the warps": "return 2.5, 0.31, 2.5",
    },
    "reckoned": {
        "without warps": ("96 * 4 / 64", "96 / 64"),
        "rows per slot": ("96 * 4 / 64", "64 / (96 * 4)"),
        "a warp of 32 threads": ("132 * 1 / 64", "132 * 32 / 64"),
        "rounded down": ("-(-5000 // 64)", "5000 // 64"),
        "the last tile in part": ("c * 64 * b * 27 / 1000", "5000 * b * 27 / 1000"),
        "one tap": ("c * 64 * b * 27 / 1000", "c * 64 * b / 1000"),
        "a search for each size": ("len({0, 1, 2})", "5"),
        "one class too few": ("len({0, 1, 2})", "2"),
    },
    "searches": {
        "the exact number of rows": (
            "(call[name] for name in names), size",
            '(call[name] for name in names), call["rows"]',
        ),
        "no number of rows": ("(*(call[name] for name in names), size)", "tuple(call[name] for name in names)"),
        "the direction forgotten": (
            'names = "kernel", "channels_in", "channels_out", "precision"',
            'names = "channels_in", "channels_out", "precision"',
        ),
        "precision forgotten": ('"channels_out", "precision"', '"channels_out"'),
        "channels in forgotten": ('"channels_in", "channels_out"', '"channels_out"'),
        "channels out forgotten": ('"channels_in", "channels_out"', '"channels_in"'),
        "the digits joined": (
            "(*(call[name] for name in names), size)",
            '"".join(str(call[name]) for name in names) + f"/{size}"',
        ),
        "channels as a pair without order": (
            "(*(call[name] for name in names), size)",
            '(call["kernel"], call["precision"], frozenset((call["channels_in"], call["channels_out"])), size)',
        ),
        "the border belongs to the next class": ('call["rows"] > most', 'call["rows"] >= most'),
        "twofold classes": ("4 * most", "2 * most"),
        "one for each call": ("return len(keys)", "return len(calls)"),
        "only a change starts a search": (
            "return len(keys)",
            "return 1 + sum(a != b for a, b in zip(calls, calls[1:]))",
        ),
    },
    "fastest": {
        "times before it checks": (
            "        try:\n            result",
            "        clock(tile)\n        try:\n            result",
        ),
        "no check": ("if not np.linalg.norm(result - right) <= 0.01 * np.linalg.norm(right):", "if False:"),
        "NaN passes": (
            "if not np.linalg.norm(result - right) <= 0.01 * np.linalg.norm(right):",
            "if np.linalg.norm(result - right) > 0.01 * np.linalg.norm(right):",
        ),
        "the sign of the error": (
            "if not np.linalg.norm(result - right) <= 0.01 * np.linalg.norm(right):",
            "if not (result - right).sum() <= 0.01 * np.linalg.norm(right):",
        ),
        "an absolute error": ("0.01 * np.linalg.norm(right)", "0.01"),
        "a tile that does not fit ends the search": (
            "except RuntimeError:\n            continue",
            "except RuntimeError:\n            return best",
        ),
        "crashes if a tile does not fit": ("except RuntimeError", "except MemoryError"),
        "norms compared": ("np.linalg.norm(result - right)", "abs(np.linalg.norm(result) - np.linalg.norm(right))"),
        "the mean error": ("np.linalg.norm(result - right)", "abs((result - right).mean())"),
        "magnitudes instead of squares": (
            "np.linalg.norm(result - right) <= 0.01 * np.linalg.norm(right)",
            "abs(result - right).sum() <= 0.01 * abs(right).sum()",
        ),
        "the largest error": (
            "np.linalg.norm(result - right) <= 0.01 * np.linalg.norm(right)",
            "abs(result - right).max() <= 0.01 * abs(right).max()",
        ),
        "relative to the result": ("0.01 * np.linalg.norm(right)", "0.01 * np.linalg.norm(result)"),
        "catches the clock's complaint": """\
            best, least = candidates[0], clock(candidates[0]) / 1.03
            for tile in candidates[1:]:
                try:
                    time = clock(tile)
                except Exception:
                    continue
                if time < least:
                    best, least = tile, time
            return best""",
        "stops at the first that is slower": (
            "        if 1.03",
            "        if time > least:\n            break\n        if 1.03",
        ),
        "a margin of 5 %": ("1.03 * time < first", "1.05 * time < first"),
        "a margin of 3 % of the untuned time": ("1.03 * time < first", "time < 0.97 * first"),
        "a margin in milliseconds": ("1.03 * time < first", "time + 0.03 < first"),
        "just at the margin": ("1.03 * time < first", "1.03 * time <= first"),
        "no margin": ("1.03 * time < first and ", ""),
        "the last that is faster": (" and time < least", ""),
        "the first that is faster": ("best, least = tile, time", "return tile"),
        "the margin against the best so far": ("1.03 * time < first and time < least", "1.03 * time < least"),
    },
}
