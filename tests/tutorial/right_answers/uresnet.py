"""Chapter 14, UResNet: right answers other than the solution."""

RIGHT = {
    "through": {
        "levels.pop": """\
            level = levels.pop(0)
            f = level[0](f)
            if levels:
                f = level[3](join(f, level[2](through(level[1](f), levels, join))))
            return f""",
        "down, then up": """\
            kept = []
            for encoder, down, _, _ in levels[:-1]:
                kept.append(encoder(f))
                f = down(kept[-1])
            f = levels[-1][0](f)
            for (_, _, up, decoder), own in zip(levels[-2::-1], kept[::-1]):
                f = decoder(join(own, up(f)))
            return f""",
        "a function of the level": """\
            def at(n, f):
                f = levels[n][0](f)
                if n + 1 < len(levels):
                    _, down, up, decoder = levels[n]
                    f = decoder(join(f, up(at(n + 1, down(f)))))
                return f
            return at(0, f)""",
    },
    "masked": {
        "channel by channel, in place": """\
            f[:, ~active] = 0
            for channel in f if active.any() else []:
                values = channel[active]
                channel[active] = (values - values.mean()) / np.sqrt(values.var() + eps)
            return f""",
        "np.where": """\
            axes = tuple(range(1, f.ndim))
            n = max(1, active.sum())
            mean = np.where(active, f, 0).sum(axis=axes, keepdims=True) / n
            variance = np.where(active, (f - mean) ** 2, 0).sum(axis=axes, keepdims=True) / n
            return np.where(active, (f - mean) / np.sqrt(variance + eps), 0)""",
        "the mean as an average with weights, a list": """\
            flat, weights = f.reshape(len(f), -1), active.ravel().astype(float)
            if not weights.any():
                return np.zeros_like(f).tolist()
            mean = np.average(flat, axis=1, weights=weights)[:, None]
            variance = np.average((flat - mean) ** 2, axis=1, weights=weights)[:, None]
            return ((flat - mean) / (variance + eps) ** 0.5 * weights).reshape(f.shape).tolist()""",
    },
}
