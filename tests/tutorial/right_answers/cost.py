"""Chapter 7, cost: right answers other than the solution."""

RIGHT = {
    "convolved": {
        "np.add.at": """\
            h = np.zeros((outputs, weight.shape[-1]))
            for tap, (i, o) in enumerate(rules):
                np.add.at(h, o, f[i] @ weight[tap])
            return h""",
        "rule by rule": """\
            h = [[0.0] * weight.shape[2] for _ in range(outputs)]
            for matrix, (ins, outs) in zip(weight, rules):
                for i, o in zip(ins, outs):
                    h[o] = (h[o] + f[i] @ matrix).tolist()
            return h""",
        "a matrix of ones and zeros": """\
            h = np.zeros((outputs, weight.shape[2]), np.float32)
            for (ins, outs), matrix in zip(rules, weight):
                connect = np.zeros((outputs, len(f)))
                connect[outs, ins] = 1
                h += (connect @ f @ matrix).astype(np.float32)
            return h""",
    },
    "from_table": {
        "a row of zeros": """\
            padded = np.vstack([f, np.zeros(f.shape[1])])
            return sum(padded[table[:, tap]] @ weight[tap] for tap in range(len(weight)))""",
        "output by output": """\
            h = np.zeros((len(table), weight.shape[2]))
            for j, rows in enumerate(table):
                for tap, row in enumerate(rows):
                    if row >= 0:
                        h[j] += f[row] @ weight[tap]
            return h""",
        "einsum": """\
            gathered = f[table] * (table >= 0)[:, :, None]
            return np.einsum("jvc,vco->jo", gathered, weight)""",
    },
}
