"""What a run comes to: medians, ratios with what is asked of them, and which figures are noisy."""

import os
import platform
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from tests.bench import rows
from tests.bench.columns import CONNECTIONS, FIGURES, PACKETS, STREAM, Figure
from tests.bench.rows import Row

NOISY_ABOVE = 0.3  # of the median, from the lowest to the highest


class Measurement(msgspec.Struct, frozen=True):
    round: int
    row: str
    figure: str
    value: float


class Failure(msgspec.Struct, frozen=True):
    round: int
    row: str
    load: str  # empty where nothing of the row could be measured
    why: str


class Run(msgspec.Struct):
    """Everything there was to see, in the order it was seen."""

    rounds: int
    seconds: float
    measurements: list[Measurement] = []
    failures: list[Failure] = []

    def values(self, row: Row, figure: Figure) -> dict[int, float]:
        """By round."""
        return {
            one.round: one.value
            for one in self.measurements
            if (one.row, one.figure) == (row.key, figure.key)
        }

    def median(self, row: Row, figure: Figure) -> float | None:
        values = self.values(row, figure).values()
        return median(values) if values else None

    def spread(self, row: Row, figure: Figure) -> float:
        values = self.values(row, figure).values()
        return (max(values) - min(values)) / median(values) if values else 0


class Goal(NamedTuple):
    title: str
    figure: Figure
    row: Row
    against: Row
    at_least: float


GOALS = (
    Goal("1 stream, to accept all in C", STREAM, rows.NATIVE, rows.ACCEPT_NATIVE, 0.85),
    Goal(
        "1 stream, to accept all with NetfilterQueue", STREAM, rows.NATIVE, rows.ACCEPT_PACKAGE, 8
    ),
    Goal("64-byte UDP, to accept all in C", PACKETS, rows.NATIVE, rows.ACCEPT_NATIVE, 0.8),
    Goal("new TCP, to accept all in C", CONNECTIONS, rows.NATIVE, rows.ACCEPT_NATIVE, 0.6),
    Goal("new TCP, 10,000 rules to 100", CONNECTIONS, rows.NATIVE_10000, rows.NATIVE, 0.9),
)


class Ratio(msgspec.Struct, frozen=True):
    title: str
    at_least: float
    value: float  # of the medians
    lowest: float  # of the rounds, each by itself
    highest: float
    is_reached: bool


def ratios(run: Run) -> Iterator[Ratio]:
    """Of the goals whose two rows were measured."""
    for goal in GOALS:
        above, below = run.values(goal.row, goal.figure), run.values(goal.against, goal.figure)
        in_round = [above[number] / below[number] for number in above.keys() & below.keys()]
        if not in_round:
            continue
        value = median(above.values()) / median(below.values())
        yield Ratio(
            goal.title,
            goal.at_least,
            value,
            min(in_round),
            max(in_round),
            value >= goal.at_least,
        )


def noisy(run: Run) -> Iterator[tuple[Row, Figure, float]]:
    for row in rows.ROWS:
        for figure in FIGURES:
            spread = run.spread(row, figure)
            if spread > NOISY_ABOVE:
                yield row, figure, spread


# ---- on the terminal


def show(run: Run, console: Console) -> None:
    console.print(_medians(run))
    if any(ratios(run)):
        console.print(_ratios(run))
    restless = [f"{row.title}: {figure.title} ({spread:.0%})" for row, figure, spread in noisy(run)]
    if restless:
        console.print(
            f"noisy (* above): from lowest to highest more than {NOISY_ABOVE:.0%} of the median"
        )
    elif run.rounds > 1:
        console.print("no figure is noisy")
    for line in restless:
        console.print(f"  {line}")
    for failure in run.failures:
        where = " ".join(filter(None, (failure.row, failure.load)))
        console.print(
            f"not measured in round {failure.round}: {where}: {failure.why}", markup=False
        )


def _medians(run: Run) -> Table:
    table = Table(
        title=f"medians of {_count(run.rounds, 'round')} of {run.seconds:g} s", box=box.SIMPLE_HEAD
    )
    table.add_column("", no_wrap=True)
    for figure in FIGURES:
        table.add_column(f"{figure.title}\n{figure.unit}", justify="right")
    for row in rows.ROWS:
        cells = [_cell(run, row, figure) for figure in FIGURES]
        if any(cells):
            table.add_row(row.title, *cells)
    return table


def _cell(run: Run, row: Row, figure: Figure) -> str:
    value = run.median(row, figure)
    if value is None:
        return ""
    mark = "*" if run.spread(row, figure) > NOISY_ABOVE else ""
    return figure.form.format(value) + mark


def _ratios(run: Run) -> Table:
    table = Table(title="ratios", box=box.SIMPLE_HEAD)
    table.add_column("", no_wrap=True)
    for title in ("ratio", "in single rounds", "at least", "reached"):
        table.add_column(title, justify="right")
    for ratio in ratios(run):
        table.add_row(
            ratio.title,
            f"{ratio.value:.2f}",
            f"{ratio.lowest:.2f} - {ratio.highest:.2f}",
            f"{ratio.at_least:g}",
            "yes" if ratio.is_reached else "no",
        )
    return table


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


# ---- in a file


class Summary(msgspec.Struct, frozen=True):
    row: str
    figure: str
    unit: str
    median: float
    spread: float
    is_noisy: bool


class Machine(msgspec.Struct, frozen=True):
    kernel: str
    cpus: int
    processor: str


class Document(msgspec.Struct, frozen=True):
    machine: Machine
    run: Run
    medians: Sequence[Summary]
    ratios: Sequence[Ratio]


def write(run: Run, path: Path) -> None:
    document = Document(
        machine=Machine(platform.release(), os.cpu_count() or 0, _processor()),
        run=run,
        medians=list(_summaries(run)),
        ratios=list(ratios(run)),
    )
    path.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n")


def _summaries(run: Run) -> Iterator[Summary]:
    for row in rows.ROWS:
        for figure in FIGURES:
            value = run.median(row, figure)
            if value is not None:
                spread = run.spread(row, figure)
                yield Summary(row.key, figure.key, figure.unit, value, spread, spread > NOISY_ABOVE)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
