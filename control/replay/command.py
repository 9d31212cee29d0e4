"""The command: its options as values in, the exit status out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from importlib.util import find_spec
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from control import stdout
from control.config.load import shown_name
from control.replay import comparison
from control.replay.compare import Compared, compare, unending
from control.replay.output import JsonLines, Output, Table, summary_lines
from control.replay.play import Captures, Play
from control.replay.progress import Bar
from control.replay.setup import ReplayError, Setup, counted, load
from control.replay.timeline import Follower, Timeline, follow
from dataplane.edges.pcap import output_name
from dataplane.engine import Engine, Observer
from dataplane.explain import Explainer
from dataplane.snapshot import Snapshot

_STANDARD_INPUT = Path("-")
_REFUSED = 2
_PLOTTED_POINTS = 4000  # about as many packets of a session as a picture can show


class Options(Struct, frozen=True, kw_only=True):
    config: Path
    captures: Path | dict[str, Path]  # one for all ports, or one for each
    platform: str
    json: bool
    capture_dir: Path | None
    until_ns: int | None  # after the first packet
    compare: tuple[str, ...]  # platforms; none: no comparison
    plot: Path | None
    explain: bool


def run(options: Options) -> int:
    """Replays; the exit status."""
    try:
        setup = load(options.config)
        _say(setup.warnings)
        _check(options, setup)
        if options.explain:
            _explain(options, setup)
        elif options.compare:
            _compare(options, setup)
        else:
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
    if options.plot and find_spec("matplotlib") is None:
        raise ReplayError(
            f"--plot {options.plot}: matplotlib is not installed, which draws it: pip install"
            " matplotlib, or for Debian's own Python apt-get install python3-matplotlib"
        )
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


def _explain(options: Options, setup: Setup) -> None:
    explainer = Explainer()
    play = Play(
        setup,
        options.captures,
        platform=options.platform,
        output=options.capture_dir,
        until_ns=options.until_ns,
        observer=explainer,
    )
    number = 0
    with _output(), closing(play):
        while (packet := play.edge.next()) is not None and packet.now_ns <= play.end_ns:
            number += 1
            explainer.before(play.engine)
            verdict = play.edge.step()
            _write(explainer.after(play.engine, number, packet, verdict, play.first_ns))
            _write(explainer.threats(play.take_threats()))
        explainer.before(play.engine)
        for _ in play.pages():
            pass
        _write([*explainer.rest(play.first_ns), "", *summary_lines(play)])
    _say(play.notes())


def _compare(options: Options, setup: Setup) -> None:
    files = _files(options.captures)
    for path in files:
        if not path.is_file():
            raise ReplayError(f"{path}: is read several times to compare, so it must be a file")
    notes: list[str] = []

    def play(platform: str, snapshot: Snapshot, observer: Observer) -> Play:
        return Play(
            replace(setup, snapshot=snapshot),
            options.captures,
            platform=platform,
            until_ns=options.until_ns,
            observer=observer,
        )

    def run(platform: str, snapshot: Snapshot, observer: Observer) -> Engine:
        nonlocal notes
        with Bar(files) as bar, closing(play(platform, snapshot, observer)) as playing:
            for _ in playing.pages():
                bar.show(playing.edge.bytes_read, playing.edge.stats().packets)
            notes = playing.notes()
        return playing.engine

    compared = compare(run, setup.snapshot, options.compare)
    with _output():
        if options.json:
            comparison.write_json(sys.stdout.buffer, compared)
        else:
            _write(comparison.lines(compared, options.compare))
    if options.plot:
        _plot(options, setup.snapshot, compared, play)
    _say(notes)


def _plot(
    options: Options,
    snapshot: Snapshot,
    compared: list[Compared],
    play: Callable[[str, Snapshot, Observer], Play],
) -> None:
    """Of the first session that died while packets still came, else of the longest."""
    from control.replay import plot

    assert options.plot is not None
    if not compared:
        raise ReplayError(f"--plot {options.plot}: no session lasted longer than a minute")
    longest = max(compared, key=lambda one: one.duration_ns)
    chosen = next((one for one in compared if one.died), longest)

    def line(platform: str, configuration: Snapshot) -> Timeline:
        follower = Follower(chosen.view, chosen.duration_ns // _PLOTTED_POINTS)
        with closing(play(platform, configuration, follower)) as playing:
            follow(playing.edge, playing.engine, follower)
            for _ in playing.pages():
                pass
        return follower.timeline

    packets = line(options.compare[0], unending(snapshot)).packets
    lines = {platform: line(platform, snapshot) for platform in options.compare}
    try:
        plot.write(options.plot, chosen.session, packets, lines)
    except OSError as error:
        raise ReplayError(f"--plot {options.plot}: {error.strerror or error}") from None


def _write(lines: Iterable[str]) -> None:
    sys.stdout.buffer.write("".join(f"{line}\n" for line in lines).encode())


@contextmanager
def _output() -> Iterator[None]:
    """What happens while standard output is written."""
    try:
        yield
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        stdout.discard()
        raise ReplayError(f"standard output: {error.strerror}") from None


def _replay(options: Options, setup: Setup) -> None:
    play = Play(
        setup,
        options.captures,
        platform=options.platform,
        output=options.capture_dir,
        until_ns=options.until_ns,
    )
    out = sys.stdout.buffer
    try:
        with _output(), closing(play):
            _print(play, JsonLines(out) if options.json else Table(out), options)
    except KeyboardInterrupt:
        _say([f"interrupted after {counted(play.edge.stats().packets, 'packet')}"])
        raise
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
