"""What students get wrong in chapter 8, output sites: changes to a solution, (right, wrong)."""

WRONG = {
    "guessed": {
        "weights of the taps, from 0": "return 15, 10, 12",
        "first axis fastest": "return 25, 10, 12",
        "the inverse's sites": "return 22, 15, 5",
        "overlapping windows": "return 22, 15, 27",
    },
    "counted": {
        "one output an input": ("a = len({0, 1, 2, 4})", "a = 3"),
        "overlap forgotten": ("{0, 1, 2, 4, 5}", "{0, 1, 2, 4}"),
        "rounded up": ("c = len({0, 1, 2, 4})", "c = 5"),
        "the sites it came from": ("d = 2 * a", "d = 4"),
        "everything reached": ("e = 4 ", "e = 2 * b "),
    },
    "upsampled": {
        "the way down": ("stride * u + i - padding, stride * v + j - padding", "(u + padding - i) // stride, v"),
        "stride forgotten": ("stride * u + i", "u + i"),
        "padding the other way": ("j - padding", "j + padding"),
        "tap subtracted": ("stride * u + i", "stride * u - i"),
        "taps from 1": ("for i in range(kernel_size)", "for i in range(1, kernel_size + 1)"),
        "last tap forgotten": ("for j in range(kernel_size)", "for j in range(kernel_size - 1)"),
        "the diagonal taps alone": ("stride * v + j", "stride * v + i"),
        "a list": ("return reached", "return sorted(reached)"),
        "no negative sites": ("return reached", "return {(x, y) for x, y in reached if min(x, y) >= 0}"),
    },
    "converted": {
        "as it was": ("cube.transpose(2, 1, 0, 3, 4)", "weight"),
        "taps from the end": ("cube.transpose(2, 1, 0, 3, 4)", "weight[::-1]"),
        "cubic kernels only": ("weight.reshape(k3, k2, k1,", "weight.reshape(k1, k2, k3,"),
        "two axes exchanged": ("cube.transpose(2, 1, 0, 3, 4)", "cube.transpose(0, 2, 1, 3, 4)"),
        "channels exchanged": ("cube.transpose(2, 1, 0, 3, 4)", "cube.transpose(2, 1, 0, 4, 3)"),
    },
    "failing": {
        "a cube": "return 3, 3, 3",
        "the ends are equal": "return 2, 3, 2",
        "one axis": "return 1, 1, 3",
        "no kernel": "return 0, 2, 3",
        "two sizes": "return 2, 3",
        "a plane": "return 3, 3, 1",
    },
}
