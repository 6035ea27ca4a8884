"""What students get wrong in chapter 9, gradients: changes to a solution, (right, wrong)."""

WRONG = {
    "guessed": {
        "exchanged": "return 10, 15, 30, 30, 30",
        "g forgotten": "return 3, 2, 6, 6, 6",
        "products that differ": "return 15, 10, 6, 30, 30",
        "their sum": "return 15, 10, 30, 60, 90",
    },
    "derived": {
        "a neighbour too many": ("+ 3 * 100", "+ 3 * 100 + 2 * 10"),
        "read forwards": ("b = 3 + 2", "b = 3 + 5"),
        "its own weight alone": ("b = 3 + 2", "b = 3"),
        "the neighbour at distance two": ("c = 3", "c = 3 + 2"),
        "the output's feature": ("d = 1\n", "d = 10\n"),
        "mirrored": ("e = 10", "e = 1"),
    },
    "backward": {
        "rules read forwards": ("grad_f[rows_in] += g[rows_out]", "grad_f[rows_out] += g[rows_in]"),
        "weight not transposed": ("weight[tap].T", "weight[tap]"),
        "the last tap alone": ("grad_f[rows_in] += g", "grad_f[rows_in] = g"),
        "the output's row for the weight": ("f[rows_in].T @", "f[rows_out].T @"),
        "product the wrong way round": ("f[rows_in].T @ g[rows_out]", "g[rows_out].T @ f[rows_in]"),
        "taps reversed": ("grad_weight[tap]", "grad_weight[-1 - tap]"),
        "the mean over rules": ("@ g[rows_out]\n", "@ g[rows_out] / max(1, len(rows_in))\n"),
        "one gradient": ("return grad_f, grad_weight", "return grad_f"),
    },
    "slope": {
        "forward difference": ("function(a - step)) / (2 * delta)", "function(a)) / delta"),
        "divided by delta": ("/ (2 * delta)", "/ delta"),
        "the sign": ("function(a + step) - function(a - step)", "function(a - step) - function(a + step)"),
        "steps pile up": ("        step = np.zeros(a.shape)\n", "        step = np.full(a.shape, delta)\n"),
        "one number for all": ("return result", "return result.sum()"),
        "a step of its own": ("step[place] = delta", "step[place] = 1.0"),
    },
    "gradients": {
        "the largest score not subtracted": ("f - f.max(axis=1, keepdims=True)", "f"),
        "no ReLU on the way back": ("g = g * (given > 0)", "g = g"),
        "a ReLU before the first layer": (
            "        if number:\n            f = np.maximum(f, 0)",
            "        f = np.maximum(f, 0)",
        ),
        "a ReLU after the layer as well": (
            "f = convolved(f, weight, rules, outputs)",
            "f = np.maximum(convolved(f, weight, rules, outputs), 0)",
        ),
        "the sum over the rows": ("g /= len(f)", "g /= 1"),
        "labels forgotten": ("g[rows, labels] -= 1", "g[rows, 0] -= 1"),
        "the last layer first": ("found[::-1]", "found"),
        "the logarithm of a share that is 0": (
            "loss = -logs[rows, labels].mean()",
            "loss = -np.log(np.exp(logs)[rows, labels]).mean()",
        ),
        "the loss alone": ("return loss, found[::-1]", "return loss"),
    },
}
