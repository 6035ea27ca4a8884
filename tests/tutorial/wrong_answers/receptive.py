"""What students get wrong in chapter 10, norm and receptive field: changes to a solution, (right, wrong)."""

WRONG = {
    "guessed": {
        "one maximum": "return -1, -1, -4, -1.5",
        "the largest absolute value": "return 0, -8, -4, -1.5",
        "one average": "return 0, -1, -4, -4",
        "exchanged averages": "return 0, -1, -1.5, -4",
    },
    "worked": {
        "three times three": ("a = 1 + 3 * 2", "a = 3 * 3"),
        "the stride forgotten": ("4 * 2 * 2", "4 * 2"),
        "the strided kernel forgotten": ("(1 + 4 * 2) + 1 +", "(1 + 4 * 2) +"),
        "the unbiased variance": ("(4 + 0 + 4) / 3", "(4 + 0 + 4) / 2"),
        "the mean of what is active": ("(3 + 9) / 8", "(3 + 9) / 2"),
        "a layer too many": ("e = 49", "e = 50"),
        "half the way": ("e = 49", "e = 25"),
    },
    "normalised": {
        "the unbiased variance": ("((f - mean) ** 2).mean(axis=0)", "f.var(axis=0, ddof=1)"),
        "over rows and channels": ("f.mean(axis=0)", "f.mean()"),
        "over the channels of a row": (
            "f.mean(axis=0)\n    variance = ((f - mean) ** 2).mean(axis=0)",
            "f.mean(axis=1, keepdims=True)\n    variance = f.var(axis=1, keepdims=True)",
        ),
        "eps outside the root": ("np.sqrt(variance + eps)", "(np.sqrt(variance) + eps)"),
        "not centred": ("return (f - mean) /", "return f /"),
        "divided by the variance": ("np.sqrt(variance + eps)", "(variance + eps)"),
        "no rows": ("return np.zeros(f.shape)", "return None"),
        "eps of its own": ("np.sqrt(variance + eps)", "np.sqrt(variance + 1e-5)"),
    },
    "meeting": {
        "faces only": ("for j in (-1, 0, 1)", "for j in (-1, 0, 1) if i * j == 0"),
        "through the air": ("} & sites", "}"),
        "a layer too many": ("{a}, 0\n", "{a}, 1\n"),
        "0 for never": ("return None", "return 0"),
        "forwards only": ("for i in (-1, 0, 1)", "for i in (0, 1)"),
        "the number of sites": ("return layers", "return len(reached) - 1"),
    },
}
