"""What students get wrong in chapter 5, hash tables: changes to a solution, (right, wrong)."""

WRONG = {
    "guessed": {
        "the full slots alone": "return 511, 255.5",
        "the capacity": "return 1024, 512",
        "the formula for random keys": "return 1.5, 1.5",
        "the sum": "return 512, 131328",
    },
    "probed": {
        "a slot too far": ("a = 7", "a = 8"),
        "steps, not looks": ("b = 4 ", "b = 3 "),
        "stops at the end of the array": ("c = 6 ", "c = 5 "),
        "every other key is found": ("d = 1 ", "d = 4 "),
    },
    "found": {
        "not around the end": ("(home + step) % len(slot_keys)", "min(home + step, len(slot_keys) - 1)"),
        "an error at the end": ("(home + step) % len(slot_keys)", "home + step"),
        "home alone": ("range(len(slot_keys))", "range(1)"),
        "last slot forgotten": ("range(len(slot_keys))", "range(len(slot_keys) - 1)"),
        "its slot, not its row": ("return slot_rows[slot]", "return slot"),
        "key 0 for empty": ("if slot_rows[slot] < 0", "if slot_keys[slot] == 0"),
        "yes or no": ("return slot_rows[slot]", "return True"),
        "all slots, from the first": """\
            for k, row in zip(slot_keys, slot_rows):
                if row >= 0 and k == key:
                    return row
            return -1""",
        "past empty slots": ("            return -1\n", "            continue\n"),
        "endless in a full table": """\
            slot = home
            while slot_rows[slot] >= 0:
                if slot_keys[slot] == key:
                    return slot_rows[slot]
                slot = (slot + 1) % len(slot_keys)
            return -1""",
    },
    "built": {
        "over the end": ("(slot + 1) % capacity", "slot + 1"),
        "the last row stays": ("        if rows[slot] < 0:\n    ", ""),
        "collisions overwrite": ("while rows[slot] >= 0 and keys[rows[slot]] != key", "while False"),
        "a key twice": (" and keys[rows[slot]] != key", ""),
        "keys for rows": ("rows[slot] = row", "rows[slot] = key"),
        "to the left": ("(slot + 1) %", "(slot - 1) %"),
    },
}
