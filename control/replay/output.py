"""What a replay prints: a table and a summary for people, or JSON lines for programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta
from itertools import islice
from typing import BinaryIO, Protocol

import msgspec
from msgspec import Struct

from control.replay.play import Entries, Play
from control.replay.setup import counted
from dataplane.messages import Session
from dataplane.traffic_log import Entry, protocol_name, time_text
from native import COUNTERS

_NS_PER_S = 1_000_000_000
MAX_ROWS = 200  # of the table; who wants them all reads JSON

_COLUMNS = "{:<19}  {:<5}  {:>7}  {:>9}  {:>9}  {:>13}  {:<7}  {:<19}  {:<15}  {:<15}  {}\n"
_HEADER = _COLUMNS.format(
    *("Time (UTC)", "Type", "Session", "Elapsed/s", "Packets", "Bytes", "Offload", "End reason"),
    *("Application", "Rule", "Flow"),
)


class Summary(Struct, frozen=True, tag_field="record", tag="summary"):
    packets: int
    forwarded: int
    dropped: int
    sessions: int
    counters: dict[str, int]


def summary(play: Play) -> Summary:
    stats = play.edge.stats()
    return Summary(
        packets=stats.packets,
        forwarded=stats.forwarded,
        dropped=stats.dropped,
        sessions=play.engine.stats().installed,
        counters=play.engine.counters(),
    )


class Output(Protocol):
    def entries(self, entries: Entries) -> None:
        """Some that have come."""

    def end(self, play: Play) -> None: ...


class JsonLines:
    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._encoder = msgspec.json.Encoder()

    def entries(self, entries: Entries) -> None:
        self._out.write(self._encoder.encode_lines(entries))

    def end(self, play: Play) -> None:
        self._out.write(self._encoder.encode(summary(play)) + b"\n")


class Table:
    """The first MAX_ROWS traffic entries as they come, then what became of everything."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._rows = self._left_out = 0

    def entries(self, entries: Entries) -> None:
        traffic = [entry for entry in entries if isinstance(entry, Entry)]
        self._left_out += len(traffic) - self._print(map(_entry_row, traffic))

    def end(self, play: Play) -> None:
        if self._left_out:
            self._write(f"{self._left_out:,} more; --json prints all of them\n")
        alive = play.engine.stats().allocated
        if left_out := alive - self._print(map(_alive_row, play.alive())):
            self._write(f"{left_out:,} more alive\n")
        if self._rows:
            self._write("\n")
        self._write("".join(f"{line}\n" for line in summary_lines(play)))

    def _print(self, rows: Iterable[str]) -> int:
        """As many of them as there is room for; how many that were."""
        shown = [*islice(rows, MAX_ROWS - self._rows)]
        if shown and not self._rows:
            self._write(_HEADER)
        self._write("".join(shown))
        self._rows += len(shown)
        return len(shown)

    def _write(self, text: str) -> None:
        self._out.write(text.encode())


def _entry_row(entry: Entry) -> str:
    return _COLUMNS.format(
        entry.time_generated,
        entry.subtype,
        entry.sessionid,
        f"{entry.elapsed:,}",
        f"{entry.packets:,}",
        f"{entry.bytes:,}",
        _yes_or_no(entry.offloaded),
        entry.session_end_reason,
        entry.app,
        entry.rule,
        f"{entry.proto} {entry.from_} {entry.src}[{entry.sport}] -> "
        f"{entry.to} {entry.dst}[{entry.dport}]",
    )


def _alive_row(session: Session) -> str:
    c2s, s2c = session.c2s, session.s2c
    return _COLUMNS.format(
        time_text(session.now_ns),
        "alive",
        session.id,
        f"{(session.now_ns - session.start_ns) // _NS_PER_S:,}",
        f"{session.packets_c2s + session.packets_s2c:,}",
        f"{session.bytes_c2s + session.bytes_s2c:,}",
        _yes_or_no(session.offloaded),
        "",
        session.application,
        session.rule,
        f"{protocol_name(session.protocol)} {c2s.zone} {c2s.source}[{c2s.sport}] -> "
        f"{s2c.zone} {c2s.destination}[{c2s.dport}]",
    )


def _yes_or_no(value: int) -> str:
    return "yes" if value else "no"


def summary_lines(play: Play) -> Iterator[str]:
    stats, engine = play.edge.stats(), play.engine.stats()
    duration = timedelta(microseconds=(stats.last_ns - stats.first_ns) // 1000)
    platform = play.engine.platform
    yield f"{counted(stats.packets, 'packet')} in {duration} of capture time, platform {platform}"
    yield f"  {stats.forwarded:>13,}  forwarded"
    if stats.host:
        yield f"  {stats.host:>13,}  for the firewall itself (neighbour discovery)"
    if stats.consumed:
        yield f"  {stats.consumed:>13,}  answered by the firewall, or sent on in another form"
    if stats.emitted:
        yield f"  {stats.emitted:>13,}  sent by the firewall itself"
    yield f"  {stats.dropped:>13,}  dropped"
    counters = play.engine.counters()
    for info in COUNTERS:
        if info.severity == "drop" and (count := counters[info.name]):
            yield f"    {count:>13,}  {info.name}: {info.text}"
    if threats := play.threats:
        yield counted(threats.total(), "threat")
        for (name, action), count in sorted(threats.items(), key=lambda item: (-item[1], item[0])):
            yield f"  {count:>13,}  {name}: {action}"
    yield counted(engine.installed, "session")
    for reason, count in sorted(play.end_reasons.items(), key=lambda item: (-item[1], item[0])):
        yield f"  {count:>13,}  {reason}"
    if engine.allocated:
        yield f"  {engine.allocated:>13,}  still alive"
