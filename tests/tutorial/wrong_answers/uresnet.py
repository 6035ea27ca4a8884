"""What students get wrong in chapter 14, UResNet: changes to a solution, (right, wrong)."""

WRONG = {
    "guessed": {
        "the same network": "return 1, 1",
        "never equal": "return 0, 0",
        "exchanged": "return 0, 1",
        "the share of equal voxels": "return 1, 0.02",
    },
    "tallied": {
        "one convolution a block": ("2 * 16 + 27 * 16 * 16\n    b", "2 * 16\n    b"),
        "no norms": ("a = 2 * 16 + 27 * 16 * 16 + 2 * 16", "a = 27 * 16 * 16"),
        "shortcut forgotten": (" + 32 * 16\n    c", "\n    c"),
        "both convolutions from 32": ("2 * 16 + 27 * 16 * 16 + 32 * 16", "2 * 16 + 27 * 32 * 16 + 32 * 16"),
        "down alone": (" + 8 * 32 * 16", ""),
        "27 taps": ("c = 8 * 16 * 32 +", "c = 27 * 16 * 32 +"),
        "decimal logarithm": ("np.log(5)", "np.log10(5)"),
        "averaged over voxels instead of events": ("(90 / 100 + 450 / 900) / 2", "(90 + 450) / 1000"),
    },
    "through": {
        "the coarse input joined": ("join(f, up(coarse))", "join(down(f), up(coarse))"),
        "joined the wrong way round": ("join(f, up(coarse))", "join(up(coarse), f)"),
        "no join": ("join(f, up(coarse))", "up(coarse)"),
        "joined before it came up": ("join(f, up(coarse))", "up(join(f, coarse))"),
        "no decoder": ("decoder(join(f, up(coarse)))", "join(f, up(coarse))"),
        "no way down": ("through(down(f),", "through(f,"),
        "no coarser levels": ("through(down(f), levels[1:], join)", "down(f)"),
        "one coarser level, no more": ("through(down(f), levels[1:], join)", "levels[1][0](down(f))"),
        "down from the input": (
            "f = encoder(f)\n    if not rest:\n        return f\n    down, up, decoder = rest\n"
            "    coarse = through(down(f),",
            "given, f = f, encoder(f)\n    if not rest:\n        return f\n    down, up, decoder = rest\n"
            "    coarse = through(down(given),",
        ),
        "the input joined": (
            "f = encoder(f)\n    if not rest:\n        return f\n    down, up, decoder = rest\n"
            "    coarse = through(down(f), levels[1:], join)\n    return decoder(join(f, up",
            "given, f = f, encoder(f)\n    if not rest:\n        return f\n    down, up, decoder = rest\n"
            "    coarse = through(down(f), levels[1:], join)\n    return decoder(join(given, up",
        ),
        "the coarsest level returns its input": ("return f\n    down", "return 'x'\n    down"),
    },
    "masked": {
        "biased by the empty voxels": (
            "rows.mean(axis=1, keepdims=True)\n        variance = rows.var(axis=1, keepdims=True)",
            "f.reshape(len(f), -1).mean(axis=1, keepdims=True)\n"
            "        variance = f.reshape(len(f), -1).var(axis=1, keepdims=True)",
        ),
        "active taken for nonzero": (
            "rows = f[:, active]\n",
            "rows = f[:, active & (f != 0).any(axis=0)]\n        active = active & (f != 0).any(axis=0)\n",
        ),
        "the unbiased variance": ("rows.var(axis=1, ", "rows.var(axis=1, ddof=min(1, active.sum() - 1), "),
        "empty voxels normalised too": (
            "h[:, active] = (rows - mean) / np.sqrt(variance + eps)",
            "h = (f - mean.reshape(-1, *[1] * active.ndim)) / np.sqrt(variance.reshape(-1, *[1] * active.ndim) + eps)",
        ),
        "empty voxels left as they are": ("h = np.zeros(f.shape)", "h = f.astype(float)"),
        "one mean for all channels": ("rows.mean(axis=1, keepdims=True)", "rows.mean()"),
        "eps outside the root": ("np.sqrt(variance + eps)", "(np.sqrt(variance) + eps)"),
        "not centred": ("(rows - mean) /", "rows /"),
        "no active voxel": ("if active.any():", "if not active.any():\n        return None\n    if True:"),
    },
}
