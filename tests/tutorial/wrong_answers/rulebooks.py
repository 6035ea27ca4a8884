"""What students get wrong in chapter 6, rulebooks: changes to a solution, (right, wrong)."""

WRONG = {
    "guessed": {
        "each pair once": "return 10, 5, 2",
        "corners forgotten": "return 11, 5, 4",
        "every tap of every pixel": "return 45, 5, 0",
        "itself forgotten": "return 10, 0, 3",
    },
    "counted": {
        "each pair once": ("a = 4 + 2 * 3", "a = 4 + 3"),
        "corners do not touch": ("a = 4 + 2 * 3", "a = 4 + 2 * 2"),
        "undilated": ("b = 4 + 2 * 1", "b = 4 + 2 * 3"),
        "even kernels mirrored": ("c = 4 + 3", "c = 4 + 2 * 3"),
        "the sites forgotten": ("d = 4 + 2 * 1", "d = 2"),
    },
    "rules": {
        "from the input": ("(row_in, row_out)", "(row_out, row_in)"),
        "triples": ("(row_in, row_out)", "(row_in, row_out, 0)"),
        "first axis fastest": ("x + i - middle, y + j - middle", "x + j - middle, y + i - middle"),
        "taps the other way": ("x + i - middle, y + j - middle", "x - i + middle, y - j + middle"),
        "not centred": ("middle = kernel_size // 2", "middle = 0"),
        "row 0 is no row": ("if row_in is not None", "if row_in"),
        "off by one tap": ("for i in range(kernel_size)", "for i in range(1, kernel_size + 1)"),
        "one list for all": ("            pairs = []\n", "            pairs = found\n"),
        "without the site itself": ("if row_in is not None", "if row_in is not None and row_in != row_out"),
    },
    "mirrored_half": {
        "taps not reversed": ("in reversed(first_half)", "in first_half"),
        "pairs not turned": ("(row_out, row_in) for", "(row_in, row_out) for"),
        "not sorted": ("sorted(turned, key=lambda pair: pair[1])", "turned"),
        "sorted by input": ("pair[1]", "pair[0]"),
        "the middle forgotten": ("middle, *second_half", "*second_half"),
        "the first half spoilt by an alias": """\
            second = first_half[::-1]
            for pairs in second:
                for k, (i, o) in enumerate(pairs):
                    pairs[k] = (o, i)
                pairs.sort(key=lambda pair: pair[1])
            return first_half + [[(i, i) for i in range(number_of_sites)]] + second""",
        "the middle last": ("middle, *second_half", "*second_half, middle"),
    },
    "failing": {
        "one site": "return [(0, 0)]",
        "no neighbours": "return [(0, 0), (5, 5)]",
        "the first site is alone": "return [(0, 0), (3, 3), (3, 4)]",
        "none": "return []",
        "the same twice": "return [(0, 0), (0, 0)]",
        "too many": "return [(0, y) for y in range(4)]",
    },
}
