"""Right answers that differ from the solutions: the checkers must accept them.

An entry is the text that replaces the solution, or the whole cell if it begins with `@`, `def`, `from` or `import`.
"""
