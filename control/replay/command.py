"""The command: its options as values in, the exit status out."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from msgspec import Struct

from control import stdout
from control.config.load import shown_name
from control.replay.output import JsonLines, Output, Table, Tally
from control.replay.play import Captures, Play
from control.replay.progress import Bar
from control.replay.setup import ReplayError, Setup, counted, load
from dataplane.edges.pcap import output_name

_STANDARD_INPUT = Path("-")
_REFUSED = 2


class Options(Struct, frozen=True, kw_only=True):
    config: Path
    captures: Path | dict[str, Path]  # one for all ports, or one for each
    platform: str
    json: bool
    capture_dir: Path | None
    until_ns: int | None  # after the first packet


def run(options: Options) -> int:
    """Replays; the exit status."""
    try:
        setup = load(options.config)
        _say(setup.warnings)
        _check(options, setup)
        _replay(options, setup)
    except ReplayError as error:
        _say(error.lines)
        return _REFUSED
    return 0


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        print(shown_name(line), file=sys.stderr)


def _files(captures: Captures) -> list[Path]:
    return [captures] if isinstance(captures, Path) else [*captures.values()]


def _check(options: Options, setup: Setup) -> None:
    """Raises ReplayError for options that cannot be right."""
    ports = [port.name for port in setup.snapshot.ports]
    if not isinstance(options.captures, Path):
        for port in options.captures:
            if port not in ports:
                raise ReplayError(
                    f"--port {port}: not configured; configured are {', '.join(ports) or 'none'}"
                )
    files = [path for path in _files(options.captures) if path != _STANDARD_INPUT]
    for path in files:
        try:
            path.stat()
        except OSError as error:
            raise ReplayError(f"{path}: cannot be read: {error.strerror}") from None
    if options.capture_dir:
        _make_folder(options.capture_dir)
        for output in (options.capture_dir / output_name(port) for port in ports):
            if output.exists() and any(output.samefile(path) for path in files):
                raise ReplayError(f"--capture-dir: {output} is a capture to be read")


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ReplayError(f"--capture-dir {path}: cannot be made: {error.strerror}") from None


def _replay(options: Options, setup: Setup) -> None:
    tally = Tally()
    play = Play(
        setup,
        options.captures,
        platform=options.platform,
        output=options.capture_dir,
        until_ns=options.until_ns,
        observer=tally,
    )
    out = sys.stdout.buffer
    try:
        with closing(play):
            _print(play, JsonLines(out) if options.json else Table(out, tally), options)
        out.flush()
    except KeyboardInterrupt:
        _say([f"interrupted after {play.edge.stats().packets:,} packets"])
        raise
    except BrokenPipeError:
        raise
    except OSError as error:
        stdout.discard()
        raise ReplayError(f"standard output: {error.strerror}") from None
    alive = play.engine.stats().allocated
    if alive and options.json:  # the table has them
        _say([f"{counted(alive, 'session')} still alive"])
    _say(play.notes())


def _print(play: Play, output: Output, options: Options) -> None:
    with Bar(_files(options.captures)) as bar:
        for entries in play.pages():
            bar.show(play.edge.bytes_read, play.edge.stats().packets)
            if entries:
                with bar.aside():
                    output.entries(entries)
                    sys.stdout.buffer.flush()
    output.end(play)
