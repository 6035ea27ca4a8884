"""Chapter 2, dense convolution: right answers other than the solution."""

RIGHT = {
    "shifted": {
        "all windows at once": """\
            kernel = len(weight)
            outputs = (len(f) - dilation * (kernel - 1) - 1) // stride + 1
            places = stride * np.arange(outputs)[:, None] + dilation * np.arange(kernel)
            return np.einsum("utc,tco->uo", f[places], weight)""",
        "all positions, then every stride-th": """\
            outputs = len(f) - dilation * (len(weight) - 1)
            full = sum(f[dilation * t : dilation * t + outputs] @ w for t, w in enumerate(weight))
            return full[::stride]""",
        "loops over positions, a list of rows": """\
            rows = []
            for start in range(0, len(f) - dilation * (len(weight) - 1), stride):
                rows.append(sum(f[start + dilation * t] @ w for t, w in enumerate(weight)))
            return rows""",
    },
}
