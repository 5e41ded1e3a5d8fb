"""Amounts for people."""

from __future__ import annotations


def readable_size(amount: int) -> str:
    """Bytes for people: ``12.3 MiB``."""
    value, units = float(amount), ["B", "KiB", "MiB", "GiB"]
    while value >= 1024 and len(units) > 1:
        value, units = value / 1024, units[1:]
    return f"{value:.1f} {units[0]}" if units[0] != "B" else f"{amount} B"
