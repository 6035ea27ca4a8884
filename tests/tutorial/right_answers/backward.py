"""Chapter 9, gradients: right answers other than the solution."""

RIGHT = {
    "backward": {
        "np.add.at, a list": """\
            gx, gw = np.zeros_like(x), np.zeros_like(weight)
            for tap, (i, o) in enumerate(rules):
                np.add.at(gx, i, g[o] @ weight[tap].T)
                np.add.at(gw, tap, x[i].T @ g[o])
            return [gx, gw]""",
        "rule by rule": """\
            gx, gw = 0 * x, 0 * weight
            for w, dw, (ins, outs) in zip(weight, gw, rules):
                for i, o in zip(ins, outs):
                    gx[i] += w @ g[o]
                    dw += np.outer(x[i], g[o])
            return gx, gw""",
        "einsum": """\
            gx = np.zeros(x.shape)
            gw = np.stack([np.einsum("rc,ro->co", x[i], g[o]) for i, o in rules])
            for w, (i, o) in zip(weight, rules):
                gx[i] = gx[i] + np.einsum("ro,co->rc", g[o], w)
            return gx, gw""",
    },
    "slope": {
        "changed in place and back": """\
            result = np.empty_like(x)
            for place in np.ndindex(*x.shape):
                value = x[place]
                x[place] = value + h
                up = function(x)
                x[place] = value - h
                result[place] = (up - function(x)) / 2 / h
                x[place] = value
            return result""",
        "flat, a list": """\
            def at(number, step):
                moved = x.astype(float).ravel()
                moved[number] += step
                return function(moved.reshape(x.shape))
            flat = [(at(n, h) - at(n, -h)) / (2 * h) for n in range(x.size)]
            return np.reshape(flat, x.shape).tolist()""",
        "the rows of an identity": """\
            steps = h * np.eye(x.size).reshape(x.size, *x.shape)
            slopes = [(function(x + s) - function(x - s)) / (2 * h) for s in steps]
            return np.array(slopes).reshape(x.shape)""",
    },
}
