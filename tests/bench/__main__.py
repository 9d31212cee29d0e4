"""`make bench`: arguments, the order of things, progress.

Round by round every row gets its turn, so that a machine whose speed changes changes it for all.
The status is 0 where everything could be measured, whatever the figures are; 1 where something
could not; 2 where nothing could.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple, NoReturn

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tests.bench import engine, parser, replay, report
from tests.bench.columns import NOTHING, Load
from tests.bench.report import Disturbance, Failure, Measurement, Run
from tests.bench.rows import ROWS, Row
from tests.bench.site import Site
from vm.namespaces import LabError

_BROKEN = (LabError, TimeoutError)
_CPUS = os.cpu_count() or 1
_IDLE_S = 0.3
_PARSER, _ENGINE, _REPLAY = "parser", "engine", "replay"  # measured beside the rows
_OTHERS = {
    _PARSER: "the parser from memory",
    _ENGINE: "the engine from memory",
    _REPLAY: "captures replayed",
}
_KEYS = (*(row.key for row in ROWS), *_OTHERS)
_FILE_WIDTH = 120  # of the tables where there is no terminal


class Chosen(NamedTuple):
    rows: tuple[Row, ...]
    others: tuple[str, ...]


class Bench:
    def __init__(self, run: Run, chosen: Chosen, console: Console, *, most_sessions: bool) -> None:
        self.run = run
        self._chosen = chosen
        self._most_sessions = most_sessions
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._busy: list[float] = []  # shares of the CPUs, in this round
        self._stolen: list[float] = []
        steps = sum(len(row.loads) for row in chosen.rows) + len(chosen.others)
        self._task = self._progress.add_task("the lab", total=run.rounds * steps)

    def measure(self) -> None:
        with self._progress, ExitStack() as stack:
            for key in self._chosen.others:
                {_PARSER: parser.build, _ENGINE: engine.build, _REPLAY: replay.build}[key]()
            site = stack.enter_context(Site()) if self._chosen.rows else None
            for number in range(1, self.run.rounds + 1):
                if site:
                    self._measure_rows(site, number)
                for key in self._chosen.others:
                    self._measure_other(number, key)

    def _measure_rows(self, site: Site, number: int) -> None:
        self._busy.clear()
        self._stolen.clear()
        for row in self._chosen.rows:
            self._measure_row(site, number, row)
        most = (max(shares, default=0) for shares in (self._busy, self._stolen))
        self.run.disturbances.append(Disturbance(number, *most))

    def _measure_other(self, number: int, key: str) -> None:
        where = f"round {number}/{self.run.rounds}, {_OTHERS[key]}"
        self._progress.update(self._task, description=where)
        try:
            if key == _PARSER:
                self.run.measurements += report.parser_measurements(number, parser.measure())
            elif key == _ENGINE:
                engines = engine.measure(with_most=self._most_sessions)
                self.run.measurements += report.engine_measurements(number, *engines)
            else:
                self.run.measurements += report.replay_measurements(number, *replay.measure())
        except _BROKEN as error:
            self.run.failures.append(Failure(number, key, "", str(error)))
            self._say(f"{where}: {error}")
        else:
            if not self._console.is_terminal:
                self._say(f"{where}: measured")
        self._progress.advance(self._task)

    def _measure_row(self, site: Site, number: int, row: Row) -> None:
        where = f"round {number}/{self.run.rounds}, {row.title}"
        self._progress.update(self._task, description=where)
        left = list(row.loads)
        try:
            site.clear()
            idle = site.measure(NOTHING, seconds=_IDLE_S)
            self._busy.append(idle.cpu_seconds / idle.seconds / _CPUS)
            with row.stand(site):
                while left:
                    self._progress.update(self._task, description=f"{where}: {left[0].key}")
                    self._measure_load(site, number, row, left.pop(0))
                    self._progress.advance(self._task)
        except _BROKEN as error:
            self.run.failures.append(Failure(number, row.key, "", str(error)))
            self._say(f"{where}: {error}")
            self._progress.advance(self._task, len(left))
        figures = self._figures_of(number, row)
        if figures and not self._console.is_terminal:
            self._say(f"{where}: {figures}")

    def _measure_load(self, site: Site, number: int, row: Row, load: Load) -> None:
        try:
            seconds = max(self.run.seconds, load.seconds_at_least)
            seen = site.measure(load, seconds=seconds)
        except _BROKEN as error:
            self.run.failures.append(Failure(number, row.key, load.key, str(error)))
            self._say(f"round {number}, {row.title}: {error}")
            return
        if seen.seconds:
            self._stolen.append(seen.stolen_seconds / seen.seconds / _CPUS)
        for figure, value_of in load.figures:
            measurement = Measurement(number, row.key, figure.key, value_of(seen))
            self.run.measurements.append(measurement)

    def _figures_of(self, number: int, row: Row) -> str:
        values = (
            (figure, self.run.values(row.key, figure).get(number))
            for load in row.loads
            for figure, _ in load.figures
        )
        return ", ".join(
            f"{figure.title} {figure.form.format(value)} {figure.unit}"
            for figure, value in values
            if value is not None
        )

    def _say(self, line: str) -> None:
        self._progress.console.print(line, markup=False, highlight=False, soft_wrap=True)


def _rounds(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 1000")
    return int(text)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0.1 <= value <= 600:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time from 0.1 to 600 seconds")
    return value


def _chosen(text: str) -> Chosen:
    chosen = text.split(",")
    for key in chosen:
        if key not in _KEYS:
            raise argparse.ArgumentTypeError(f"{key!r} is no row; there are: {', '.join(_KEYS)}")
    return Chosen(
        tuple(row for row in ROWS if row.key in chosen),
        tuple(key for key in _OTHERS if key in chosen),
    )


class _Parser(argparse.ArgumentParser):
    """One line for what cannot be understood."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"bench: {message} (see {self.prog} --help)\n")


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = _Parser(prog="python -m tests.bench", description="Measures what the firewall costs.")
    parser.add_argument(
        "--rounds", type=_rounds, default=5, metavar="N", help="%(default)s if not given"
    )
    parser.add_argument(
        "--seconds",
        type=_seconds,
        default=2.0,
        metavar="S",
        help="for each load, %(default)g if not given",
    )
    parser.add_argument(
        "--only",
        type=_chosen,
        default=Chosen(ROWS, tuple(_OTHERS)),
        metavar="ROW,...",
        help=", ".join(_KEYS),
    )
    parser.add_argument(
        "--json",
        type=Path,
        default=Path("build/bench.json"),
        metavar="FILE",
        help="%(default)s if not given",
    )
    parser.add_argument(
        "--quick", action="store_true", help="one round of half a second: does it work?"
    )
    options = parser.parse_args(argv)
    if options.quick:
        options.rounds, options.seconds = 1, 0.5
    return options


def main(argv: Sequence[str] | None = None) -> int:
    options = _arguments(argv)
    try:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.touch()
    except OSError as error:
        print(f"bench: --json {options.json}: {error.strerror}", file=sys.stderr)
        return 2
    console = Console()
    if not console.is_terminal:
        console = Console(width=_FILE_WIDTH)
    has_memory = engine.has_memory()
    if _ENGINE in options.only.others and not has_memory:
        console.print("too little free memory for 10,000,000 sessions: leaving them out")
    run = Run(rounds=options.rounds, seconds=options.seconds)
    bench = Bench(run, options.only, console, most_sessions=has_memory and not options.quick)
    try:
        bench.measure()
    except _BROKEN as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    report.write(run, options.json)
    report.show(run, console)
    console.print(f"every single measurement: {options.json}", highlight=False)
    return 1 if run.failures else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
