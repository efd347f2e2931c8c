"""A measured figure, and how a pair is measured: A B A B in one run, medians of both."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable


class Row(NamedTuple):
    """One line of the table and of results.json.

    A ratio has `of` and `over` and both medians; a plain figure has `of` and its median only.
    `target` is what the project promises, with its direction.
    """

    name: str
    unit: str
    of: str
    runs: int
    median_of: float
    over: str | None = None
    median_over: float | None = None
    target: str = ""

    @property
    def figure(self) -> float:
        """The ratio, or the plain figure."""
        return self.median_of / self.median_over if self.median_over else self.median_of

    @property
    def holds(self) -> bool | None:
        """Whether the target is met; None without one."""
        if not self.target:
            return None
        direction, bound = self.target.split()
        return self.figure >= float(bound) if direction == ">=" else self.figure <= float(bound)

    def document(self) -> dict[str, object]:
        """Give the object that results.json holds."""
        key = "ratio" if self.over else "value"
        return {
            "name": self.name,
            key: round(self.figure, 4),
            "unit": self.unit,
            "of": self.of,
            "over": self.over,
            "runs": self.runs,
            "median_of": round(self.median_of, 4),
            "median_over": None if self.median_over is None else round(self.median_over, 4),
            "target": self.target or None,
            "holds": self.holds,
        }


def paired(
    first: Callable[[], float], second: Callable[[], float], runs: int
) -> tuple[float, float]:
    """Measure A B A B …, the first round thrown away, and give both medians."""
    first(), second()
    pairs = [(first(), second()) for _ in range(runs)]
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)


def repeated(measure: Callable[[], float], runs: int) -> float:
    """Measure several times, the first thrown away, and give the median."""
    measure()
    return statistics.median(measure() for _ in range(runs))


def table(rows: list[Row]) -> str:
    """Lay the rows out for a terminal."""
    lines = [("name", "figure", "unit", "of", "over", "target", "")]
    for row in rows:
        mark = {None: "", True: "ok", False: "SHORT"}[row.holds]
        of = f"{row.of} {row.median_of:.4g}"
        over = f"{row.over} {row.median_over:.4g}" if row.over else ""
        lines.append((row.name, f"{row.figure:.4g}", row.unit, of, over, row.target, mark))
    widths = [max(len(line[column]) for line in lines) for column in range(7)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
