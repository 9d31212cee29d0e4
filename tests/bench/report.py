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

from tests.bench import engine, parser, replay, rows
from tests.bench.columns import CONNECTIONS, FIGURES, PACKETS, STREAM, STREAMS8, Figure

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
    busy: float  # with no traffic, before the row that had most of it
    stolen: float  # by other virtual machines, in the measurement that had most of it


class Run(msgspec.Struct):
    """Everything there was to see, in the order it was seen."""

    rounds: int
    seconds: float
    measurements: list[Measurement] = []
    failures: list[Failure] = []
    disturbances: list[Disturbance] = []

    def values(self, row: str, figure: Figure) -> dict[int, float]:
        """By round."""
        return {
            one.round: one.value
            for one in self.measurements
            if (one.row, one.figure) == (row, figure.key)
        }

    def median(self, row: str, figure: Figure) -> float | None:
        values = self.values(row, figure).values()
        return median(values) if values else None

    def spread(self, row: str, figure: Figure) -> float:
        values = self.values(row, figure).values()
        return (max(values) - min(values)) / median(values) if values else 0


# ---- what is shown together


class Line(NamedTuple):
    key: str  # of a row, as measurements have it
    title: str


class Section(NamedTuple):
    title: str
    lines: tuple[Line, ...]
    figures: tuple[Figure, ...]


LOOKUP = Figure("lookup", "lookup", "lookup", "ns", "{:.0f}")
LOOKUP_ALONE = Figure("lookup-alone", "lookup alone", "alone", "ns", "{:.0f}")
PACKET = Figure("packet", "packet in software", "packet", "ns", "{:.0f}")
OFFLOADED = Figure("offloaded", "packet offloaded", "offload", "ns", "{:.0f}")
SETUPS = Figure("setups", "set-up", "set-up", "k/s", "{:,.0f}")
AGEINGS = Figure("ageings", "ageing", "ageing", "k/s", "{:,.0f}")
MEMORY = Figure("memory", "memory", "memory", "bytes each", "{:.0f}")
PER_CYCLE = Figure("per-cycle", "bytes per cycle", "speed", "bytes/cycle", "{:.1f}")
SPEED = Figure("speed", "bytes per second", "", "GB/s", "{:.1f}")
TRUSTED = Figure("trusted", "checksums trusted", "trusted", "Mpkt/s", "{:.1f}")
VERIFIED = Figure("verified", "checksums verified", "verified", "Mpkt/s", "{:.1f}")
REPLAYED = Figure("replayed", "packets per second", "packets", "k/s", "{:,.0f}")
PEAK = Figure("peak", "peak memory", "peak", "MB", "{:.0f}")


def engine_row(sessions: int) -> str:
    return f"engine-{sessions}"


def checksum_row(size: int) -> str:
    return f"checksum-{size}"


def replay_row(packets: int) -> str:
    return f"replay-{packets}"


_PARSER = "parser"
_REPLAY_ENGINE = "replay-engine"

SECTIONS = (
    Section(
        "client, firewall and server", tuple(Line(row.key, row.title) for row in rows.ROWS), FIGURES
    ),
    Section(
        "the parser from memory",
        (Line(_PARSER, "IPv4 and IPv6, TCP and UDP"),),
        (TRUSTED, VERIFIED),
    ),
    Section(
        "the engine from memory",
        tuple(Line(engine_row(count), f"{count:,} sessions") for count in engine.SESSIONS),
        (LOOKUP, LOOKUP_ALONE, PACKET, OFFLOADED, SETUPS, AGEINGS, MEMORY),
    ),
    Section(
        f"replay of {replay.SESSIONS:,} sessions",
        (
            *(
                Line(replay_row(count), f"{count:,} packets")
                for count in (replay.SHORT, replay.LONG)
            ),
            Line(_REPLAY_ENGINE, "the engine alone, from memory"),
        ),
        (REPLAYED, PEAK),
    ),
    Section(
        "checksum",
        tuple(Line(checksum_row(size), f"{size:,} bytes") for size in engine.CHECKSUM_BYTES),
        (PER_CYCLE, SPEED),
    ),
)


def parser_measurements(number: int, one: parser.Parser) -> Iterator[Measurement]:
    yield Measurement(number, _PARSER, TRUSTED.key, one.trusted_mpps)
    yield Measurement(number, _PARSER, VERIFIED.key, one.verified_mpps)


def engine_measurements(
    number: int, engines: Sequence[engine.Engine], checksums: Sequence[engine.Checksum]
) -> Iterator[Measurement]:
    for one in engines:
        values = (
            (LOOKUP, one.lookup_ns),
            (LOOKUP_ALONE, one.lookup_alone_ns),
            (PACKET, one.packet_ns),
            (OFFLOADED, one.offloaded_ns),
            (SETUPS, one.setups_per_s / 1e3),
            (AGEINGS, one.ageings_per_s / 1e3),
            (MEMORY, one.bytes_per_session),
        )
        for figure, value in values:
            yield Measurement(number, engine_row(one.sessions), figure.key, value)
    for sum_ in checksums:
        row = checksum_row(sum_.bytes)
        yield Measurement(number, row, PER_CYCLE.key, sum_.bytes_per_cycle)
        yield Measurement(number, row, SPEED.key, sum_.gb_per_s)


def replay_measurements(
    number: int, replays: Sequence[replay.Replayed], alone: engine.Engine
) -> Iterator[Measurement]:
    for one in replays:
        row = replay_row(one.packets)
        yield Measurement(number, row, REPLAYED.key, one.packets_per_s / 1e3)
        yield Measurement(number, row, PEAK.key, one.peak_bytes / 1e6)
    yield Measurement(number, _REPLAY_ENGINE, REPLAYED.key, 1e6 / alone.packet_ns)


# ---- ratios


class Goal(NamedTuple):
    title: str
    figure: Figure
    row: str
    against: str | None  # without another row it is the figure itself
    limit: float
    is_upper: bool = False


_NATIVE, _ACCEPT = rows.NATIVE.key, rows.ACCEPT_NATIVE.key
_SOFTWARE = rows.NATIVE_SOFTWARE.key
_NAT = rows.NATIVE_NAT.key
_FLOODED, _COOKIES = rows.FLOODED.key, rows.COOKIES.key
_SHORT, _LONG = replay_row(replay.SHORT), replay_row(replay.LONG)
_MOST, _FEW = engine_row(10_000_000), engine_row(10_000)
GOALS = (
    Goal("1 TCP stream, to accept all in C", STREAM, _NATIVE, _ACCEPT, 0.85),
    Goal(
        "1 TCP stream, to accept all, NetfilterQueue",
        STREAM,
        _NATIVE,
        rows.ACCEPT_PACKAGE.key,
        8,
    ),
    Goal("64-byte UDP, to accept all in C", PACKETS, _NATIVE, _ACCEPT, 0.8),
    Goal("new TCP, to accept all in C", CONNECTIONS, _NATIVE, _ACCEPT, 0.6),
    Goal("new TCP, 10,000 rules to 100", CONNECTIONS, rows.NATIVE_10000.key, _NATIVE, 0.9),
    Goal("1 TCP stream, offload off to on", STREAM, _SOFTWARE, _NATIVE, 0.8),
    Goal("8 TCP streams, offload off to on", STREAMS8, _SOFTWARE, _NATIVE, 0.8),
    Goal("64-byte UDP, offload off to on", PACKETS, _SOFTWARE, _NATIVE, 0.8),
    Goal("new TCP, offload off to on", CONNECTIONS, _SOFTWARE, _NATIVE, 0.8),
    Goal("1 TCP stream, source NAT to none", STREAM, _NAT, _NATIVE, 0.5),
    Goal("64-byte UDP, source NAT to none", PACKETS, _NAT, _NATIVE, 0.8),
    Goal("new TCP, source NAT to none", CONNECTIONS, _NAT, _NATIVE, 0.8),
    Goal(
        "1 TCP stream, under a SYN flood to without",
        STREAM,
        rows.FLOODED.key,
        rows.COOKIES.key,
        0.5,
    ),
    Goal("parser, millions of packets/s", TRUSTED, _PARSER, None, 10),
    Goal("replay, thousands of packets/s", REPLAYED, _LONG, None, 500),
    Goal("replay, peak memory, long to short", PEAK, _LONG, _SHORT, 1.1, is_upper=True),
    Goal("lookup, 10,000,000 sessions to 10,000", LOOKUP, _MOST, _FEW, 3, is_upper=True),
    Goal("bytes each of 10,000,000 (4 GiB in all)", MEMORY, _MOST, None, 429, is_upper=True),
)


class Ratio(msgspec.Struct, frozen=True):
    title: str
    limit: float
    is_upper: bool
    value: float  # the median of the rounds' ratios: what disturbs a round disturbs both rows
    lowest: float
    highest: float
    is_reached: bool


def ratios(run: Run) -> Iterator[Ratio]:
    """Of the goals that were measured, with what they are compared to."""
    for goal in GOALS:
        above = run.values(goal.row, goal.figure)
        below = (
            dict.fromkeys(above, 1.0)
            if goal.against is None
            else run.values(goal.against, goal.figure)
        )
        in_round = [above[number] / below[number] for number in above.keys() & below.keys()]
        if not in_round:
            continue
        value = median(in_round)
        is_reached = value <= goal.limit if goal.is_upper else value >= goal.limit
        yield Ratio(
            goal.title,
            goal.limit,
            goal.is_upper,
            value,
            min(in_round),
            max(in_round),
            is_reached,
        )


def noisy(run: Run, row: str, figures: Sequence[Figure]) -> dict[Figure, float]:
    """Those of the row that are, with their spread."""
    spreads = {figure: run.spread(row, figure) for figure in figures}
    return {figure: spread for figure, spread in spreads.items() if spread > NOISY_ABOVE}


# ---- on the terminal


def show(run: Run, console: Console) -> None:
    """Nothing is wider than 80 columns."""
    every = f"{run.rounds} round" if run.rounds == 1 else f"medians of {run.rounds} rounds"
    console.print(f"{every}, {run.seconds:g} s for each load", highlight=False)
    for section in SECTIONS:
        table = _medians(run, section)
        if table.row_count:
            console.print("", table, sep="\n")
    if any(ratios(run)):
        console.print("", _ratios(run), sep="\n")
    console.print()
    for line in _remarks(run):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _medians(run: Run, section: Section) -> Table:
    table = _table(section.title)
    for figure in section.figures:
        table.add_column(f"{figure.heading}\n{figure.unit}", justify="right", no_wrap=True)
    for line in section.lines:
        cells = [_cell(run, line.key, figure) for figure in section.figures]
        if any(cells):
            table.add_row(line.title, *cells)
    return table


def _table(title: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=0)
    table.add_column(f"{title}\n", no_wrap=True)
    return table


def _cell(run: Run, row: str, figure: Figure) -> str:
    value = run.median(row, figure)
    if value is None:
        return ""
    mark = "*" if run.spread(row, figure) > NOISY_ABOVE else ""
    return figure.form.format(value) + mark


def _ratios(run: Run) -> Table:
    table = _table("ratios, round by round")
    for title in ("median", "by round", "asked", "reached"):
        table.add_column(title, justify="right", no_wrap=True)
    for ratio in ratios(run):
        table.add_row(
            ratio.title,
            f"{ratio.value:.2f}",
            f"{ratio.lowest:.2f}-{ratio.highest:.2f}",
            f"{'<=' if ratio.is_upper else '>='} {ratio.limit:g}",
            "yes" if ratio.is_reached else "no",
        )
    return table


def _remarks(run: Run) -> Iterator[str]:
    restless = [
        f"  {line.title}: "
        + ", ".join(f"{figure.title} {spread:.0%}" for figure, spread in figures.items())
        for section in SECTIONS
        for line in section.lines
        if (figures := noisy(run, line.key, section.figures))
    ]
    if restless:
        yield f"noisy (*): from lowest to highest more than {NOISY_ABOVE:.0%} of the median"
        yield from restless
    elif run.rounds > 1:
        yield "no figure is noisy"
    for other in run.disturbances:
        if max(other.busy, other.stolen) > DISTURBED_ABOVE:
            yield (
                f"round {other.round} was disturbed: with no traffic the CPUs were up to"
                f" {other.busy:.0%} busy, and up to {other.stolen:.0%} of them went to other"
                " virtual machines"
            )
    for failure in run.failures:
        where = " ".join(filter(None, (failure.row, failure.load)))
        yield f"not measured in round {failure.round}: {where}: {failure.why}"


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
    for section in SECTIONS:
        for line in section.lines:
            for figure in section.figures:
                value = run.median(line.key, figure)
                if value is not None:
                    spread = run.spread(line.key, figure)
                    yield Summary(
                        line.key, figure.key, figure.unit, value, spread, spread > NOISY_ABOVE
                    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
