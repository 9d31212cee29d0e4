"""The command line: `sixtuple run | check | replay | cli`, and what other packages add to it.

Every subcommand imports what it needs when it runs, so that the small ones start at once. Commands
of other packages (`lab`) come from the entry point group `sixtuple.commands`: functions that take
the arguments behind their name and return the exit status.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import NoReturn

from control import state_dir, stdout
from dataplane.edges import NAMES

_GROUP = "sixtuple.commands"
_USAGE = 2  # exit status for what cannot be understood
_INTERRUPTED = 130
_QUEUES = (1 << 16) - 1  # the one behind it is taken, too
_DEFAULT_QUEUE = 6
_SECONDS = re.compile(r"\d{1,9}(\.\d{1,9})?", re.ASCII)

Command = Callable[[list[str]], int]


class _Parser(argparse.ArgumentParser):
    """One line for what cannot be understood."""

    def error(self, message: str) -> NoReturn:
        self.exit(_USAGE, f"{self.prog}: {message} (see {self.prog} --help)\n")


def main(argv: Sequence[str] | None = None) -> int:
    arguments = list(sys.argv[1:] if argv is None else argv)
    stdout.open_what_is_closed()
    try:
        try:
            return _main(arguments)
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        stdout.discard()  # whoever read the output has seen enough
        return _INTERRUPTED


def _main(arguments: list[str]) -> int:
    commands: dict[str, Command] = {
        "run": _run,
        "check": _check,
        "replay": _replay,
        "cli": _cli,
    }
    if arguments and arguments[0] in commands:
        return commands[arguments[0]](arguments[1:])
    found = _found_commands()
    if arguments and arguments[0] in found:
        return found[arguments[0]]()(arguments[1:])
    parser = _Parser("sixtuple", description="A PAN-OS-style session firewall in user space.")
    parser.add_argument("--version", action="store_true", help="print the version and end")
    parser.add_argument("command", nargs="?", choices=[*commands, *found], help="what to do")
    if parser.parse_args(arguments).version:
        from control.version import version

        print(f"sixtuple {version()}")
        return 0
    parser.error("a command is missing")


def _found_commands() -> dict[str, Callable[[], Command]]:
    """Loaders of the commands other packages bring."""
    from importlib.metadata import entry_points

    return {point.name: point.load for point in entry_points(group=_GROUP)}


def _run(arguments: list[str]) -> int:
    from dataplane.offload import DEFAULT_PLATFORM, PROFILES

    parser = _Parser(
        "sixtuple run",
        description="Run the firewall until SIGTERM or SIGINT. SIGHUP: read the file again.",
    )
    parser.add_argument("--config", type=Path, required=True, metavar="FILE")
    parser.add_argument(
        "--port",
        type=_port,
        action="append",
        default=[],
        metavar="ethernet1/1=IFNAME",
        help="the Linux interface behind a port; ethernet1/N is ethN otherwise",
    )
    parser.add_argument(
        "--state-dir",
        type=Path,
        default=state_dir.default(),
        metavar="DIR",
        help="for sockets, locks and logs; %(default)s otherwise",
    )
    parser.add_argument(
        "--log-dir",
        type=Path,
        metavar="DIR",
        help="for the logs, where they are to outlive the state directory",
    )
    parser.add_argument(
        "--persist",
        action="store_true",
        help="write what is committed to FILE, so that the next start finds it",
    )
    parser.add_argument(
        "--io",
        choices=NAMES,
        default=NAMES[0],
        help="native: the engine's own loop; netfilterqueue: the package of that name",
    )
    parser.add_argument(
        "--queue",
        type=_queue,
        default=_DEFAULT_QUEUE,
        metavar="N",
        help="NFQUEUE number, %(default)s otherwise; the one behind it is taken, too",
    )
    parser.add_argument(
        "--platform",
        choices=PROFILES,
        default=DEFAULT_PLATFORM,
        help="whose offload engine to emulate, %(default)s otherwise; software: none",
    )
    options = parser.parse_args(arguments)
    ports = dict(options.port)
    if len(ports) < len(options.port):
        parser.error("argument --port: a port is named twice")

    from control import daemon

    return daemon.run(
        daemon.Options(
            config=options.config,
            ports=ports,
            directory=options.state_dir,
            logs=options.log_dir or options.state_dir,
            persist=options.persist,
            io=options.io,
            queue=options.queue,
            platform=options.platform,
        )
    )


def _check(arguments: list[str]) -> int:
    parser = _Parser("sixtuple check", description="Say everything that is wrong with a file.")
    parser.add_argument("file", metavar="FILE")
    options = parser.parse_args(arguments)

    from control.config.check import check_file

    lines, status = check_file(options.file)
    for line in lines:
        print(line)
    return status


def _replay(arguments: list[str]) -> int:
    from dataplane.offload import DEFAULT_PLATFORM, PROFILES

    parser = _Parser(
        "sixtuple replay",
        description="Run captures through the firewall in their own time: what becomes of them?",
    )
    parser.add_argument(
        "capture",
        nargs="?",
        type=Path,
        metavar="PCAP",
        help="a capture from the client's side; - is the standard input",
    )
    parser.add_argument("--config", type=Path, required=True, metavar="FILE")
    parser.add_argument(
        "--port",
        type=_port_capture,
        action="append",
        default=[],
        metavar="ethernet1/1=FILE",
        help="instead of PCAP: what came in by a port; merged by time",
    )
    parser.add_argument(
        "--platform",
        choices=PROFILES,
        help=f"whose offload engine it has; {DEFAULT_PLATFORM} otherwise",
    )
    parser.add_argument(
        "--until",
        type=_seconds_ns,
        metavar="SECONDS",
        help="after the first packet; otherwise until every session has ended",
    )
    parser.add_argument(
        "--capture-dir",
        type=Path,
        metavar="DIR",
        help="for what leaves the firewall, a capture for each port",
    )
    parser.add_argument("--json", action="store_true", help="JSON lines instead of a table")
    parser.add_argument(
        "--compare",
        type=_platforms,
        default=(),
        metavar=",".join(PROFILES),
        help="how every session longer than a minute ends on each of these platforms, and why",
    )
    parser.add_argument(
        "--plot",
        type=Path,
        metavar="FILE",
        help="with --compare, or of all platforms: a PNG of the time to live of a session",
    )
    parser.add_argument(
        "--explain",
        action="store_true",
        help="what was decided of each packet, stage by stage",
    )
    options = parser.parse_args(arguments)
    ports = dict(options.port)
    if len(ports) < len(options.port):
        parser.error("argument --port: a port is named twice")
    if bool(options.capture) == bool(ports):
        parser.error("either PCAP is needed, or --port for each port")
    compared = options.compare or (tuple(PROFILES) if options.plot else ())
    if compared and (options.explain or options.capture_dir):
        parser.error("--compare and --plot go without --explain and --capture-dir")
    if compared and options.platform:
        parser.error("--platform goes without --compare and --plot: --compare names platforms")
    if options.plot and options.plot.suffix.lower() != ".png":
        parser.error(f"argument --plot: {str(options.plot)!r} is not like plot.png")
    if [*ports.values()].count(Path("-")) > 1:
        parser.error("argument --port: the standard input is one capture, for one port")
    if options.explain and options.json:
        parser.error("--explain is for people: leave out --json")

    from control.replay import command

    return command.run(
        command.Options(
            config=options.config,
            captures=options.capture or ports,
            platform=options.platform or DEFAULT_PLATFORM,
            json=options.json,
            capture_dir=options.capture_dir,
            until_ns=options.until,
            compare=compared,
            plot=options.plot,
            explain=options.explain,
        )
    )


def _platforms(text: str) -> tuple[str, ...]:
    from dataplane.offload import PROFILES

    names = tuple(dict.fromkeys(text.split(",")))
    for name in names:
        if name not in PROFILES:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(PROFILES)}")
    return names


def _cli(arguments: list[str]) -> int:
    parser = _Parser("sixtuple cli", description="Operational commands, asked or typed.")
    parser.add_argument(
        "--socket",
        type=Path,
        default=state_dir.default() / state_dir.CLI_SOCKET,
        metavar="PATH",
        help="of the running firewall; %(default)s otherwise",
    )
    parser.add_argument("-c", action="append", default=[], metavar="COMMAND", dest="commands")
    options = parser.parse_args(arguments)

    from control.cli.client import run_cli

    return run_cli(options.socket, options.commands)


def _port(text: str) -> tuple[str, str]:
    port, separator, interface = text.partition("=")
    if not (port and separator and interface):
        raise argparse.ArgumentTypeError(f"{text!r} is not like ethernet1/1=eth1")
    return port, interface


def _port_capture(text: str) -> tuple[str, Path]:
    port, separator, file = text.partition("=")
    if not (port and separator and file):
        raise argparse.ArgumentTypeError(f"{text!r} is not like ethernet1/1=capture.pcap")
    return port, Path(file)


def _seconds_ns(text: str) -> int:
    if not _SECONDS.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds such as 14400")
    return int(Decimal(text) * 1_000_000_000)


def _queue(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) >= _QUEUES:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to {_QUEUES - 1}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
