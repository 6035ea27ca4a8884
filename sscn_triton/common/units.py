"""Numbers with readable units."""

from __future__ import annotations


def percent(value: float | None, digits: int = 1) -> str:
    """A fraction as a percentage; "none" if there was nothing to count."""
    return "none" if value is None or value != value else f"{100 * value:.{digits}f} %"


def significant(value: float, digits: int = 2) -> str:
    """A number rounded to `digits` significant digits, written without an exponent."""
    return f"{float(f'{value:.{digits}g}'):,.12g}"


def seconds(value: float, digits: int | None = None) -> str:
    """A duration with a suitable unit; digits: number of significant ones, for a value that is not known better."""
    if value < 1:
        return f"{significant(1000 * value, digits) if digits else f'{1000 * value:.0f}'} ms"
    if digits:
        return f"{significant(value, digits)} s" if value < 120 else f"{significant(value / 60, digits)} min"
    return f"{value:.2f} s" if value < 10 else f"{value:.0f} s" if value < 120 else f"{value / 60:.1f} min"


def memory(value: float, digits: int | None = None) -> str:
    """Bytes in MB (1e6) or, from 1 GB (1e9) on, in GB; digits as in `seconds`."""
    if digits:
        return f"{significant(value / 1e6, digits)} MB" if value < 1e9 else f"{significant(value / 1e9, digits)} GB"
    return f"{value / 1e6:.0f} MB" if value < 1e9 else f"{value / 1e9:.2f} GB"
