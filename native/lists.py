"""The lists engine.h has as X-macros: what there is of counters, timers, states and threats."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, TypeVar

from native._engine import ffi, lib
from native.structs import text

N = TypeVar("N", bound=NamedTuple)


class CounterInfo(NamedTuple):
    number: int
    name: str
    severity: str  # info, warn, error, drop
    category: str
    aspect: str
    text: str


class TimerInfo(NamedTuple):
    name: str
    knob: str  # the configuration element
    default_s: int
    min_s: int
    max_s: int
    text: str


class ProtectionInfo(NamedTuple):
    """What a zone protection profile can refuse or do about single packets."""

    name: str
    element: str  # below the profile: "discard-ip-spoof", "ipv6 routing-header-0"
    counter: int


class ThreatInfo(NamedTuple):
    """A flood or a scan."""

    name: str
    element: str  # of a flood, below the profile's `flood`
    text: str  # name of the threat
    id: int


def _infos(kind: type[N], info_of: Any, count: int) -> tuple[N, ...]:
    return tuple(_info(kind, info_of(number)) for number in range(count))


def _info(kind: type[N], raw: Any) -> N:
    values = (getattr(raw, name) for name in kind._fields)
    return kind._make(text(one) if isinstance(one, ffi.CData) else one for one in values)


def _counters() -> Iterator[CounterInfo]:
    for number in range(lib.COUNTER_LIMIT):
        info = lib.counter_info(number)
        if info:
            texts = (info.name, info.severity, info.category, info.aspect, info.text)
            yield CounterInfo(number, *map(text, texts))


def _names(name: Any, count: int) -> tuple[str, ...]:
    return tuple(text(name(number)) for number in range(count))


COUNTERS = tuple(_counters())
COUNTER_NUMBERS = {info.name: info.number for info in COUNTERS}
TIMERS = _infos(TimerInfo, lib.timer_info, lib.TIMER_COUNT)
PROTECTIONS = _infos(ProtectionInfo, lib.protection_info, lib.PROTECTION_COUNT)
FLOODS = _infos(ThreatInfo, lib.flood_info, lib.FLOOD_COUNT)
SCANS = _infos(ThreatInfo, lib.scan_info, lib.SCAN_COUNT)
SESSION_STATES = _names(lib.session_state_name, lib.SESSION_STATE_COUNT)
TCP_STATES = _names(lib.tcp_state_name, lib.TCP_STATE_COUNT)
END_REASONS = _names(lib.end_reason_name, lib.END_REASON_COUNT)
TRACKERS = _names(lib.end_reason_tracker, lib.END_REASON_COUNT)
ACTIONS = _names(lib.action_name, lib.ACTION_COUNT)
ACTION_NUMBERS = {name: number for number, name in enumerate(ACTIONS)}
