"""Chapter 9, gradients: right answers other than the solution."""

RIGHT = {
    "backward": {
        "np.add.at, a list": """\
            gf, gw = np.zeros_like(f), np.zeros_like(weight)
            for tap, (i, o) in enumerate(rules):
                np.add.at(gf, i, g[o] @ weight[tap].T)
                np.add.at(gw, tap, f[i].T @ g[o])
            return [gf, gw]""",
        "rule by rule": """\
            gf, gw = 0 * f, 0 * weight
            for w, dw, (ins, outs) in zip(weight, gw, rules):
                for i, o in zip(ins, outs):
                    gf[i] += w @ g[o]
                    dw += np.outer(f[i], g[o])
            return gf, gw""",
        "einsum": """\
            gf = np.zeros(f.shape)
            gw = np.stack([np.einsum("rc,ro->co", f[i], g[o]) for i, o in rules])
            for w, (i, o) in zip(weight, rules):
                gf[i] = gf[i] + np.einsum("ro,co->rc", g[o], w)
            return gf, gw""",
    },
    "slope": {
        "changed in place and back": """\
            result = np.empty_like(a)
            for place in np.ndindex(*a.shape):
                value = a[place]
                a[place] = value + delta
                up = function(a)
                a[place] = value - delta
                result[place] = (up - function(a)) / 2 / delta
                a[place] = value
            return result""",
        "flat, a list": """\
            def at(number, step):
                moved = a.astype(float).ravel()
                moved[number] += step
                return function(moved.reshape(a.shape))
            flat = [(at(n, delta) - at(n, -delta)) / (2 * delta) for n in range(a.size)]
            return np.reshape(flat, a.shape).tolist()""",
        "the rows of an identity": """\
            steps = delta * np.eye(a.size).reshape(a.size, *a.shape)
            slopes = [(function(a + s) - function(a - s)) / (2 * delta) for s in steps]
            return np.array(slopes).reshape(a.shape)""",
    },
}
