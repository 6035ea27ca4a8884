"""Numbers with readable units."""

from __future__ import annotations


def percent(value: float | None, digits: int = 1) -> str:
    """A fraction as a percentage; "none" if there was nothing to count."""
    return "none" if value is None or value != value else f"{100 * value:.{digits}f} %"


def seconds(value: float) -> str:
    """A duration with a suitable unit."""
    if value < 1:
        return f"{1000 * value:.0f} ms"
    return f"{value:.2f} s" if value < 10 else f"{value:.0f} s" if value < 120 else f"{value / 60:.1f} min"


def memory(value: float) -> str:
    """Bytes in MB (1e6) or, from 1 GB (1e9) on, in GB."""
    return f"{value / 1e6:.0f} MB" if value < 1e9 else f"{value / 1e9:.2f} GB"
