"""Chapter 14, UResNet: right answers other than the solution."""

RIGHT = {
    "through": {
        "levels.pop": """\
            level = levels.pop(0)
            x = level[0](x)
            if levels:
                x = level[3](join(x, level[2](through(level[1](x), levels, join))))
            return x""",
        "down, then up": """\
            kept = []
            for encoder, down, _, _ in levels[:-1]:
                kept.append(encoder(x))
                x = down(kept[-1])
            x = levels[-1][0](x)
            for (_, _, up, decoder), own in zip(levels[-2::-1], kept[::-1]):
                x = decoder(join(own, up(x)))
            return x""",
        "a function of the level": """\
            def at(n, x):
                x = levels[n][0](x)
                if n + 1 < len(levels):
                    _, down, up, decoder = levels[n]
                    x = decoder(join(x, up(at(n + 1, down(x)))))
                return x
            return at(0, x)""",
    },
    "masked": {
        "channel by channel, in place": """\
            x[:, ~active] = 0
            for channel in x if active.any() else []:
                values = channel[active]
                channel[active] = (values - values.mean()) / np.sqrt(values.var() + eps)
            return x""",
        "np.where": """\
            axes = tuple(range(1, x.ndim))
            n = max(1, active.sum())
            mean = np.where(active, x, 0).sum(axis=axes, keepdims=True) / n
            variance = np.where(active, (x - mean) ** 2, 0).sum(axis=axes, keepdims=True) / n
            return np.where(active, (x - mean) / np.sqrt(variance + eps), 0)""",
        "the mean as an average with weights, a list": """\
            flat, weights = x.reshape(len(x), -1), active.ravel().astype(float)
            if not weights.any():
                return np.zeros_like(x).tolist()
            mean = np.average(flat, axis=1, weights=weights)[:, None]
            variance = np.average((flat - mean) ** 2, axis=1, weights=weights)[:, None]
            return ((flat - mean) / (variance + eps) ** 0.5 * weights).reshape(x.shape).tolist()""",
    },
}
