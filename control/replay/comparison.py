"""What `replay --compare` prints: a table and the reasons for people, or JSON lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO

import msgspec
from msgspec import Struct

from control.replay.compare import Compared, Fate
from dataplane.traffic_log import protocol_name, time_text

_NS_PER_S = 1_000_000_000
MAX_ROWS = 200  # of the table; who wants them all reads JSON


class PlatformRecord(Struct, frozen=True, kw_only=True):
    session_end_reason: str
    elapsed: int  # seconds of its life
    packets_still_came: bool
    sessions: int  # that its packets opened, one after the other
    timeout: int  # seconds: the timer in force at its end
    largest_interval: int | None  # seconds between packets that would have kept it alive
    smallest_timeout: int | None


class Record(Struct, frozen=True, kw_only=True, tag_field="record", tag="compare"):
    """A session longer than a minute, as it would be if sessions did not age out."""

    src: str
    dst: str
    sport: int
    dport: int
    proto: str
    app: str
    rule: str
    start: str
    lasted: int  # seconds from its first packet to its last
    longest_gap: float  # seconds between two packets
    platforms: dict[str, PlatformRecord]


def write_json(out: BinaryIO, compared: Iterable[Compared]) -> None:
    encoder = msgspec.json.Encoder()
    for one in compared:
        out.write(encoder.encode(_record(one)) + b"\n")


def _record(compared: Compared) -> Record:
    session = compared.session
    return Record(
        src=session.c2s.source,
        dst=session.c2s.destination,
        sport=session.c2s.sport,
        dport=session.c2s.dport,
        proto=protocol_name(session.protocol),
        app=session.application,
        rule=session.rule,
        start=time_text(session.start_ns),
        lasted=compared.duration_ns // _NS_PER_S,
        longest_gap=session.longest_gap_ms / 1000,
        platforms={
            platform: PlatformRecord(
                session_end_reason=fate.end_reason,
                elapsed=fate.after_ns // _NS_PER_S,
                packets_still_came=fate.packets_still_came,
                sessions=fate.sessions,
                timeout=fate.timeout_s,
                largest_interval=fate.largest_interval_s,
                smallest_timeout=fate.smallest_timeout_s,
            )
            for platform, fate in compared.fates.items()
        },
    )


def lines(compared: Sequence[Compared], platforms: Sequence[str]) -> Iterator[str]:
    if not compared:
        yield "No session had packets for longer than a minute."
        return
    rows = [_row(one, platforms) for one in compared[:MAX_ROWS]]
    header = ("Session", "Packets came for", *platforms)
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in (header, *rows):
        yield "  ".join(map(str.ljust, row, widths)).rstrip()
    if len(compared) > MAX_ROWS:
        yield f"{len(compared) - MAX_ROWS:,} more; --json prints all of them"
    died = [(one, platform) for one in compared[:MAX_ROWS] for platform in one.died]
    if not died:
        yield ""
        yield "No session died while packets still came."
        return
    yield ""
    yield "! died while packets still came:"
    for one, platform in died:
        yield ""
        yield f"{_name(one)} on {platform}"
        yield from _reasons(one, one.fates[platform])


def _row(compared: Compared, platforms: Sequence[str]) -> tuple[str, ...]:
    fates = [compared.fates.get(platform) for platform in platforms]
    return _name(compared), duration(compared.duration_ns), *map(_cell, fates)


def _name(compared: Compared) -> str:
    session, c2s = compared.session, compared.session.c2s
    protocol = protocol_name(session.protocol)
    ends = f"{c2s.source}[{c2s.sport}] > {c2s.destination}[{c2s.dport}]"
    return f"{protocol} {ends} {session.application}"


def _cell(fate: Fate | None) -> str:
    if fate is None:
        return "none"
    mark = "! " if fate.packets_still_came else ""
    return f"{mark}{fate.end_reason} after {duration(fate.after_ns)}"


def _reasons(compared: Compared, fate: Fate) -> Iterator[str]:
    interval, timeout = fate.largest_interval_s, fate.smallest_timeout_s
    facts = (
        ("ended", f"after {duration(fate.after_ns)}; packets came for another "
                  f"{duration(compared.duration_ns - fate.after_ns)}"),
        *([("sessions its packets opened", f"{fate.sessions:,}")] if fate.sessions > 1 else []),
        ("timeout in force", f"{fate.timeout_s} s"),
        ("longest gap between packets", f"{compared.session.longest_gap_ms / 1000:g} s"),
        ("largest heartbeat interval that would have lived",
         "none: the session is too short-lived" if interval is None else f"{interval} s"),
        ("smallest timeout that would have kept it",
         "none: longer than any can be set" if timeout is None else f"{timeout} s"),
    )  # fmt: skip
    for label, value in facts:
        yield f"    {label + ':':<52}{value}"


def duration(ns: int) -> str:
    """Hours, minutes and seconds."""
    seconds = ns // _NS_PER_S
    return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
