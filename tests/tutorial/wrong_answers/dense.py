"""What students get wrong in chapter 2, dense convolution: changes to a solution, (right, wrong)."""

WRONG = {
    "guessed": {
        "no padding": "return 3, 6, 0",
        "stride 1": "return 7, 2, 2",
        "padding forgotten in the relation": "return 4, 6, 2",
        "one side of the padding": "return 4, 5, 1",
    },
    "counted": {
        "no padding": ("10 + 2 - 2 - 1", "10 - 2 - 1"),
        "an output too many": ("// 2 + 1", "// 2 + 2"),
        "one axis": ("b = a**2", "b = a"),
        "one channel": ("9 * 4 * 8", "9 * 4"),
        "corner counted twice": ("15**2 - 14**2", "2 * 15"),
        "a number too few": ("return a, b, c, d", "return a, b, c"),
        "nothing": ("return a, b, c, d", "return None"),
    },
    "shifted": {
        "an output too few": ("// stride + 1", "// stride"),
        "dilation forgotten": ("first = dilation * tap", "first = tap"),
        "f[u + t]": (": stride]", "]"),
        "taps from the end": ("@ weight[tap]", "@ weight[-1 - tap]"),
        "off by one tap": ("range(kernel)", "range(kernel - 1)"),
        "the last tap alone": ("h += block", "h = block"),
        "whole numbers only": ("np.zeros((outputs, weight.shape[2]))", "np.zeros((outputs, 1))"),
    },
}
