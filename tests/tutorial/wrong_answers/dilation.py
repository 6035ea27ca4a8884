"""What students get wrong in chapter 3, the dilation problem: changes to a solution, (right, wrong)."""

WRONG = {
    "guessed": {
        "in three dimensions": "return 1, 1, 1, 8",
        "one axis": "return 1, 1, 1, 2",
        "every tap": "return 4, 4, 9, 9",
        "some sites reach no output": "return 0, 1, 0, 4",
    },
    "counted": {
        "ends forgotten": ("a = (10 + 2 * 2) * 5**2", "a = 10 * 5**2"),
        "one side alone": ("b = (10 + 2 * 2) ** 2 * 5", "b = (10 + 2) ** 2 * 3"),
        "27 times each": ("c = 7**3", "c = 27**3"),
        "it grows": ("d = 1", "d = 7**3"),
        "they touch": ("e = 3 ", "e = 2 "),
    },
}
