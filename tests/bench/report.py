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
DISTURBED_ABOVE = 0.05  # of the CPUs


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


class Disturbance(msgspec.Struct, frozen=True):
    """What else took the machine's CPUs, as shares of all of them."""

    round: int
    busy: float  # before the round, with no traffic
    stolen: float  # by other virtual machines, in the measurement that had most of it


class Run(msgspec.Struct):
    """Everything there was to see, in the order it was seen."""

    rounds: int
    seconds: float
    measurements: list[Measurement] = []
    failures: list[Failure] = []
    disturbances: list[Disturbance] = []

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


def noisy(run: Run, row: Row) -> dict[Figure, float]:
    """The figures of a row that are, with their spread."""
    spreads = {figure: run.spread(row, figure) for figure in FIGURES}
    return {figure: spread for figure, spread in spreads.items() if spread > NOISY_ABOVE}


# ---- on the terminal


def show(run: Run, console: Console) -> None:
    console.print(_medians(run))
    if any(ratios(run)):
        console.print(_ratios(run))
    restless = {row: figures for row in rows.ROWS if (figures := noisy(run, row))}
    console.print()
    if restless:
        console.print(
            f"noisy (* above): from lowest to highest more than {NOISY_ABOVE:.0%} of the median",
            highlight=False,
        )
    elif run.rounds > 1:
        console.print("no figure is noisy")
    for row, figures in restless.items():
        listed = ", ".join(f"{figure.title} {spread:.0%}" for figure, spread in figures.items())
        console.print(f"  {row.title}: {listed}", highlight=False)
    for other in run.disturbances:
        if max(other.busy, other.stolen) > DISTURBED_ABOVE:
            console.print(
                f"round {other.round} was disturbed: with no traffic the CPUs were {other.busy:.0%}"
                f" busy, and up to {other.stolen:.0%} of them went to other virtual machines",
                highlight=False,
            )
    for failure in run.failures:
        where = " ".join(filter(None, (failure.row, failure.load)))
        console.print(
            f"not measured in round {failure.round}: {where}: {failure.why}", markup=False
        )


def _medians(run: Run) -> Table:
    """Narrow enough for a terminal of 80 columns."""
    table = _table(f"medians of {_count(run.rounds, 'round')} of {run.seconds:g} s")
    for figure in FIGURES:
        table.add_column(f"{figure.heading}\n{figure.unit}", justify="right", no_wrap=True)
    for row in rows.ROWS:
        cells = [_cell(run, row, figure) for figure in FIGURES]
        if any(cells):
            table.add_row(row.title, *cells)
    return table


def _table(title: str) -> Table:
    table = Table(
        title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, padding=0
    )
    table.add_column("", no_wrap=True)
    return table


def _cell(run: Run, row: Row, figure: Figure) -> str:
    value = run.median(row, figure)
    if value is None:
        return ""
    mark = "*" if run.spread(row, figure) > NOISY_ABOVE else ""
    return figure.form.format(value) + mark


def _ratios(run: Run) -> Table:
    table = _table("\nratios")
    for title in ("ratio", "by round", "at least", "reached"):
        table.add_column(title, justify="right", no_wrap=True)
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
