"""Chapter 5, hash tables: right answers other than the solution."""

RIGHT = {
    "found": {
        "the key first": """\
            for slot in [*range(home, len(slot_keys)), *range(home)]:
                if slot_keys[slot] == key and slot_rows[slot] >= 0:
                    return int(slot_rows[slot])
                if slot_rows[slot] == -1:
                    break
            return -1""",
        "arrays rolled to the home": """\
            keys, rows = np.roll(slot_keys, -home), np.roll(slot_rows, -home)
            ends = np.flatnonzero((rows < 0) | (keys == key))
            return rows[ends[0]] if len(ends) else np.int64(-1)""",
        "a counter of looks": """\
            slot, looks = home, 0
            while slot_rows[slot] != -1 and looks < len(slot_rows):
                if slot_keys[slot] == key:
                    return slot_rows[slot]
                slot, looks = slot + 1, looks + 1
                if slot == len(slot_rows):
                    slot = 0
            return -1""",
    },
    "built": {
        "a set of those already stored": """\
            rows, stored = [-1] * capacity, set()
            for row, key in enumerate(keys.tolist()):
                if key in stored:
                    continue
                stored.add(key)
                slot = int(homes[row])
                while rows[slot] != -1:
                    slot = (slot + 1) % capacity
                rows[slot] = row
            return rows""",
        "a for loop over slots": """\
            rows = np.full(capacity, -1)
            for row in range(len(keys)):
                for step in range(capacity):
                    slot = (homes[row] + step) % capacity
                    if rows[slot] == -1:
                        rows[slot] = row
                        break
                    if keys[rows[slot]] == keys[row]:
                        break
            return rows""",
        "the first empty one": """\
            rows = -np.ones(capacity)
            for row, key in enumerate(keys):
                if key not in keys[:row]:
                    free = np.flatnonzero(np.roll(rows, -homes[row]) < 0)[0]
                    rows[(homes[row] + free) % capacity] = row
            return rows""",
    },
}
