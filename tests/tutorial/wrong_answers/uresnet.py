"""What students get wrong in chapter 14, UResNet: changes to a solution, (right, wrong)."""

WRONG = {
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
        "the coarse input joined": ("join(x, up(coarse))", "join(down(x), up(coarse))"),
        "joined the wrong way round": ("join(x, up(coarse))", "join(up(coarse), x)"),
        "no join": ("join(x, up(coarse))", "up(coarse)"),
        "joined before it came up": ("join(x, up(coarse))", "up(join(x, coarse))"),
        "no decoder": ("decoder(join(x, up(coarse)))", "join(x, up(coarse))"),
        "no way down": ("through(down(x),", "through(x,"),
        "no coarser levels": ("through(down(x), levels[1:], join)", "down(x)"),
        "one coarser level, no more": ("through(down(x), levels[1:], join)", "levels[1][0](down(x))"),
        "down from the input": (
            "x = encoder(x)\n    if not rest:\n        return x\n    down, up, decoder = rest\n"
            "    coarse = through(down(x),",
            "given, x = x, encoder(x)\n    if not rest:\n        return x\n    down, up, decoder = rest\n"
            "    coarse = through(down(given),",
        ),
        "the input joined": (
            "x = encoder(x)\n    if not rest:\n        return x\n    down, up, decoder = rest\n"
            "    coarse = through(down(x), levels[1:], join)\n    return decoder(join(x, up",
            "given, x = x, encoder(x)\n    if not rest:\n        return x\n    down, up, decoder = rest\n"
            "    coarse = through(down(x), levels[1:], join)\n    return decoder(join(given, up",
        ),
        "the coarsest level returns its input": ("return x\n    down", "return 'x'\n    down"),
    },
    "masked": {
        "biased by the empty voxels": (
            "rows.mean(axis=1, keepdims=True)\n        variance = rows.var(axis=1, keepdims=True)",
            "x.reshape(len(x), -1).mean(axis=1, keepdims=True)\n"
            "        variance = x.reshape(len(x), -1).var(axis=1, keepdims=True)",
        ),
        "active taken for nonzero": (
            "rows = x[:, active]\n",
            "rows = x[:, active & (x != 0).any(axis=0)]\n        active = active & (x != 0).any(axis=0)\n",
        ),
        "the unbiased variance": ("rows.var(axis=1, ", "rows.var(axis=1, ddof=min(1, active.sum() - 1), "),
        "empty voxels normalised too": (
            "y[:, active] = (rows - mean) / np.sqrt(variance + eps)",
            "y = (x - mean.reshape(-1, *[1] * active.ndim)) / np.sqrt(variance.reshape(-1, *[1] * active.ndim) + eps)",
        ),
        "empty voxels left as they are": ("y = np.zeros(x.shape)", "y = x.astype(float)"),
        "one mean for all channels": ("rows.mean(axis=1, keepdims=True)", "rows.mean()"),
        "eps outside the root": ("np.sqrt(variance + eps)", "(np.sqrt(variance) + eps)"),
        "not centred": ("(rows - mean) /", "rows /"),
        "no active voxel": ("if active.any():", "if not active.any():\n        return None\n    if True:"),
    },
}
