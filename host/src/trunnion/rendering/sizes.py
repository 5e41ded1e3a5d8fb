"""Amounts for people."""

from __future__ import annotations


def readable_size(amount: int) -> str:
    """Bytes for people: ``12.3 MiB``."""
    value, units = float(amount), ["B", "KiB", "MiB", "GiB"]
    while value >= 1024 and len(units) > 1:
        value, units = value / 1024, units[1:]
    return f"{value:.1f} {units[0]}" if units[0] != "B" else f"{amount} B"


def readable_time(seconds: float) -> str:
    """How long something took, for people: ``0.201 s``, ``12.3 s``, ``4 min 5 s``, ``3 h 20 min``, ``2 d 3 h``."""
    if seconds < 9.995:
        return f"{max(seconds, 0.001):.3f} s" if seconds < 0.9995 else f"{seconds:.3g} s"
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for size, unit, part, smaller in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{whole} s"
