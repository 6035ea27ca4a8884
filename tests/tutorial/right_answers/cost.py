"""Chapter 7, cost: right answers other than the solution."""

RIGHT = {
    "convolved": {
        "np.add.at": """\
            y = np.zeros((outputs, weight.shape[-1]))
            for tap, (i, o) in enumerate(rules):
                np.add.at(y, o, x[i] @ weight[tap])
            return y""",
        "rule by rule": """\
            y = [[0.0] * weight.shape[2] for _ in range(outputs)]
            for matrix, (ins, outs) in zip(weight, rules):
                for i, o in zip(ins, outs):
                    y[o] = (y[o] + x[i] @ matrix).tolist()
            return y""",
        "a matrix of ones and zeros": """\
            y = np.zeros((outputs, weight.shape[2]), np.float32)
            for (ins, outs), matrix in zip(rules, weight):
                connect = np.zeros((outputs, len(x)))
                connect[outs, ins] = 1
                y += (connect @ x @ matrix).astype(np.float32)
            return y""",
    },
    "from_table": {
        "a row of zeros": """\
            padded = np.vstack([x, np.zeros(x.shape[1])])
            return sum(padded[table[:, tap]] @ weight[tap] for tap in range(len(weight)))""",
        "output by output": """\
            y = np.zeros((len(table), weight.shape[2]))
            for j, rows in enumerate(table):
                for tap, row in enumerate(rows):
                    if row >= 0:
                        y[j] += x[row] @ weight[tap]
            return y""",
        "einsum": """\
            gathered = x[table] * (table >= 0)[:, :, None]
            return np.einsum("jvc,vco->jo", gathered, weight)""",
    },
}
