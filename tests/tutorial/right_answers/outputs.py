"""Chapter 8, output sites: right answers other than the solution."""

RIGHT = {
    "upsampled": {
        "a comprehension": """\
            taps = [(i, j) for i in range(kernel_size) for j in range(kernel_size)]
            return {(u * stride + i - padding, v * stride + j - padding) for u, v in coarse for i, j in taps}""",
        "axis by axis": """\
            def axis(u):
                return range(stride * u - padding, stride * u - padding + kernel_size)
            return frozenset((x, y) for u, v in coarse for x in axis(u) for y in axis(v))""",
        "NumPy integers": """\
            taps = np.stack(np.mgrid[:kernel_size, :kernel_size], axis=-1).reshape(-1, 2)
            sites = stride * np.array(sorted(coarse))[:, None] + taps - padding
            return {(x, y) for x, y in sites.reshape(-1, 2)}""",
    },
    "converted": {
        "column-major": """\
            k1, k2, k3 = kernel_size
            order = np.arange(k1 * k2 * k3).reshape((k1, k2, k3), order="F").ravel()
            return weight[order]""",
        "three loops": """\
            k1, k2, k3 = kernel_size
            rows = []
            for a in range(k1):
                for b in range(k2):
                    for c in range(k3):
                        rows.append(weight[(c * k2 + b) * k1 + a])
            return rows""",
        "swapaxes": """\
            k1, k2, k3 = kernel_size
            cube = weight.reshape(k3, k2, k1, weight.shape[1], weight.shape[2])
            return np.swapaxes(cube, 0, 2).reshape(-1, *weight.shape[1:])""",
    },
    "failing": {
        "a list": "return [3, 2, 1]",
        "two equal": "return (2, 2, 3)",
        "found by trying": """\
            for size in np.ndindex(4, 4, 4):
                size = tuple(k + 1 for k in size)
                weight = np.arange(float(np.prod(size))).reshape(-1, 1, 1)
                k1, k2, k3 = size
                right = weight.reshape(k3, k2, k1).transpose(2, 1, 0).ravel()
                if (suspect(weight, size).ravel() != right).any():
                    return size""",
    },
}
