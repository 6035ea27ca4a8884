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
    "gradients": {
        "layer by layer, by a function that calls itself": """\
            def back(f, number):
                weight, rules, outputs = layers[number]
                h = convolved(f, weight, rules, outputs)
                if number + 1 < len(layers):
                    loss, g, later = back(np.where(h > 0, h, 0), number + 1)
                    g = np.where(h > 0, g, 0)
                else:
                    logs = h - h.max(axis=1, keepdims=True)
                    logs = logs - np.log(np.exp(logs).sum(axis=1, keepdims=True))
                    one = np.eye(h.shape[1])[labels]
                    loss, g, later = -(logs * one).sum() / len(h), (np.exp(logs) - one) / len(h), []
                grad_f, grad_weight = backward(g, f, weight, rules)
                return loss, grad_f, [grad_weight, *later]
            loss, _, found = back(f, 0)
            return loss, found""",
        "outputs kept, a tuple": """\
            kept = [f]
            for weight, rules, outputs in layers:
                given = kept[-1] if len(kept) == 1 else np.clip(kept[-1], 0, None)
                kept.append(convolved(given, weight, rules, outputs))
            s = kept[-1] - kept[-1].max(1, keepdims=True)
            p = np.exp(s) / np.exp(s).sum(1, keepdims=True)
            loss = np.mean(np.log(np.exp(s).sum(1)) - s[np.arange(len(s)), labels])
            g, found = p, [None] * len(layers)
            g[np.arange(len(s)), labels] -= 1.0
            g = g / len(s)
            for n in range(len(layers) - 1, -1, -1):
                weight, rules, _ = layers[n]
                given = np.clip(kept[n], 0, None) if n else f
                g, found[n] = backward(g, given, weight, rules)
                if n:
                    g[kept[n] <= 0] = 0
            return loss, tuple(found)""",
        "its own layer": """\
            inputs = []
            for n, (weight, rules, outputs) in enumerate(layers):
                f = f * (f > 0) if n else f
                inputs.append(f)
                h = np.zeros((outputs, weight.shape[2]))
                for (i, o), matrix in zip(rules, weight):
                    np.add.at(h, o, f[i] @ matrix)
                f = h
            top = f.max(axis=1)[:, None]
            total = np.exp(f - top).sum(axis=1)[:, None]
            chosen = f[range(len(f)), labels][:, None]
            loss = float((top + np.log(total) - chosen).mean())
            g = np.exp(f - top) / total
            g[range(len(f)), labels] -= 1
            g, found = g / len(g), []
            for (weight, rules, _), given in list(zip(layers, inputs))[::-1]:
                g, grad = backward(g, given, weight, rules)
                g[given <= 0] = 0
                found.insert(0, grad)
            return [loss, found]""",
    },
}
