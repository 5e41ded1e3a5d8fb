"""What a row brings back: lines of the table, curves for the picture, and words on how it was measured."""

from __future__ import annotations

from typing import Literal

import msgspec

from bench.harness import Figure


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table.

    Attributes:
        value: what the target is about: a ratio, or an amount in ``unit``.
        unit: of one operation (``per run``) or of an amount (``MB``).
        target: None for what is only shown beside.
    """

    row: str
    case: str
    value: float
    unit: str
    kind: Literal["rate", "times", "amount"]
    target: float | None = None
    ours: Figure | None = None
    ceiling: Figure | None = None

    @property
    def met(self) -> bool | None:
        """Whether the target is met, None without one."""
        if self.target is None:
            return None
        return self.value >= self.target if self.kind == "rate" else self.value <= self.target

    @property
    def score(self) -> float | None:
        """How far the target is exceeded (above 1) or missed (below 1)."""
        if self.target is None or not self.value:
            return None
        return self.value / self.target if self.kind == "rate" else self.target / self.value


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """How the cost of one operation grows: a panel of the picture.

    Attributes:
        series: name -> (size, microseconds of CPU per operation).
    """

    title: str
    x: str
    series: dict[str, list[tuple[float, float]]]

    def last_step(self, name: str) -> float:
        """How many times as much one operation costs after the last step, which is tenfold."""
        (_, before), (_, after) = self.series[name][-2:]
        return after / before


class Result(msgspec.Struct):
    """All of one row."""

    lines: list[Line] = []
    curves: list[Curve] = []
    notes: list[str] = []


def rate(row: str, case: str, unit: str, figures: tuple[Figure, Figure], *, at_least: float | None = None) -> Line:
    """Ours as a share of the ceiling's rate."""
    ours, ceiling = figures
    return Line(
        row=row, case=case, unit=unit, kind="rate", value=1 / ours.over(ceiling), target=at_least,
        ours=ours, ceiling=ceiling,
    )  # fmt: skip


def times(row: str, case: str, unit: str, figures: tuple[Figure, Figure], *, at_most: float | None = None) -> Line:
    """How many times as long as the ceiling ours takes."""
    ours, ceiling = figures
    return Line(
        row=row, case=case, unit=unit, kind="times", value=ours.over(ceiling), target=at_most,
        ours=ours, ceiling=ceiling,
    )  # fmt: skip


def amount(row: str, case: str, value: float, unit: str, *, at_most: float | None = None) -> Line:
    """Something that is measured by itself."""
    return Line(row=row, case=case, unit=unit, kind="amount", value=value, target=at_most)
