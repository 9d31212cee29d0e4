"""What protection tells of and counts: threats, figures of zones and DoS rules, blocked sources."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple

from native._engine import lib
from native.flow_key import KEY, FlowKey
from native.protection import SCAN_ACTIONS
from native.structs import read, record, records


class ThreatType(IntEnum):
    FLOOD = lib.THREAT_FLOOD
    SCAN = lib.THREAT_SCAN
    PACKET = lib.THREAT_PACKET
    SESSION_LIMIT = lib.THREAT_SESSION_LIMIT
    BUFFER = lib.THREAT_BUFFER


class Threat(NamedTuple):
    """For the threat log; see struct threat."""

    now_ns: int
    key: FlowKey
    rule: int  # number of the DoS rule; 0: the zone's profile
    repeat: int
    port: int
    reason: int  # counter of what became of the packet, 0 where it went on
    type: int  # of ThreatType
    what: int  # place in FLOODS, SCANS or PROTECTIONS
    action: str  # of SCAN_ACTIONS


class FloodStats(NamedTuple):
    rate: int  # packets a second
    dropped: int
    cookies: int


class ZoneStats(NamedTuple):
    floods: tuple[FloodStats, ...]
    scans: tuple[int, ...]
    checks: tuple[int, ...]


class DosStats(NamedTuple):
    floods: tuple[FloodStats, ...]
    sessions: int
    tracked: int
    denied: int
    allowed: int
    limited: int


class Blocked(NamedTuple):
    """An entry of the block table."""

    source: bytes
    destination: bytes  # zeros: any
    zone: int
    why: int  # of ThreatType
    rule: int
    until_ns: int
    dropped: int


_THREAT = record("threat", f"q{KEY}IIHHBBB0q")


def read_threats(array: Any, count: int) -> list[Threat]:
    return [
        Threat._make((now_ns, FlowKey._make(rest[:7]), *rest[7:-1], SCAN_ACTIONS[rest[-1]]))
        for now_ns, *rest in records(_THREAT, array, count)
    ]


def read_blocks(array: Any, count: int) -> list[Blocked]:
    return [
        read(Blocked, raw, source=bytes(raw.source), destination=bytes(raw.destination))
        for raw in array[0:count]
    ]


def read_zone_stats(raw: Any) -> ZoneStats:
    return ZoneStats(_floods(raw.flood), tuple(raw.scans), tuple(raw.checks))


def read_dos_stats(raw: Any) -> DosStats:
    return read(DosStats, raw, floods=_floods(raw.flood))


def _floods(raw: Any) -> tuple[FloodStats, ...]:
    return tuple(read(FloodStats, one) for one in raw)
