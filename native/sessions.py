"""Sessions as listings and events show them, and which of them a listing is of."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, NamedTuple

from native._engine import ffi, lib
from native.flow_key import KEY, FlowKey
from native.lists import ACTIONS, END_REASONS, SESSION_STATES, TCP_STATES, TRACKERS
from native.structs import record, records

NAT_NONE = 0
NAT_SOURCE: int = lib.SESSION_SOURCE_NAT
NAT_DESTINATION: int = lib.SESSION_DESTINATION_NAT
NAT_BOTH = NAT_SOURCE | NAT_DESTINATION

_LOG_START: int = lib.SESSION_LOG_START
_LOG_END: int = lib.SESSION_LOG_END
_SEEN_DATA: int = lib.SESSION_SEEN_DATA
_SERVICE_TIMEOUT: int = lib.SESSION_SERVICE_TIMEOUT
_OFFLOADED: int = lib.SESSION_OFFLOADED
_HOST: int = lib.SESSION_HOST
_SYN_COOKIE: int = lib.SESSION_SYN_COOKIE


class SessionView(NamedTuple):
    id: int
    state: str
    tcp_state: str  # NONE for what is not TCP
    end_reason: str
    tracker: str
    action: str
    c2s: FlowKey
    s2c: FlowKey
    packets_c2s: int
    packets_s2c: int
    bytes_c2s: int
    bytes_s2c: int
    start_ns: int
    last_ns: int
    end_ns: int
    timeout_s: int
    rule: int
    application: int
    longest_gap_ms: int  # between two packets
    longest_wait_ms: int  # that the timer had run when it was refreshed, or a packet came
    ingress_port: int
    egress_port: int
    unreported_c2s: int  # packets the offload engine has counted since its last report
    unreported_s2c: int
    log_start: bool
    log_end: bool
    seen_data: bool  # a packet had a payload
    service_timeout: bool
    was_offloaded: bool  # it is or has been in the offload engine
    is_host: bool
    syn_cookie: bool  # it began with a SYN cookie
    source_nat: bool
    destination_nat: bool
    in_ager: bool
    offloaded: bool
    nat_rule: int
    pbf_rule: int
    qos_rule: int
    qos_class: int
    path_c2s: int
    path_s2c: int


class TcpLimits(NamedTuple):
    """What one direction may send; see struct tcp_limits."""

    highest_end: int
    lowest_end: int
    highest_ack: int
    lowest_ack: int
    enforced: bool


class EventType(IntEnum):
    SESSION_START = lib.EVENT_SESSION_START
    SESSION_END = lib.EVENT_SESSION_END


class Event(NamedTuple):
    type: EventType
    session: SessionView


class Filter(NamedTuple):
    """None matches everything."""

    source: bytes | None = None  # 16 bytes
    destination: bytes | None = None
    source_port: int | None = None
    destination_port: int | None = None
    protocol: int | None = None
    from_zone: int | None = None
    to_zone: int | None = None
    state: int | None = None
    rule: int | None = None
    application: int | None = None
    nat_rule: int | None = None
    nat: int | None = None  # of NAT_NONE, NAT_SOURCE, NAT_DESTINATION, NAT_BOTH


# name in Filter -> bit
_FILTER_BITS = {
    "source": lib.FILTER_SOURCE,
    "destination": lib.FILTER_DESTINATION,
    "source_port": lib.FILTER_SOURCE_PORT,
    "destination_port": lib.FILTER_DESTINATION_PORT,
    "protocol": lib.FILTER_PROTOCOL,
    "from_zone": lib.FILTER_FROM,
    "to_zone": lib.FILTER_TO,
    "state": lib.FILTER_STATE,
    "rule": lib.FILTER_RULE,
    "application": lib.FILTER_APPLICATION,
    "nat_rule": lib.FILTER_NAT_RULE,
    "nat": lib.FILTER_NAT,
}
_FILTER_FIELDS = {"from_zone": "from", "to_zone": "to"}

_FIELDS = f"IBBBB{KEY}{KEY}4QqqqIIIIIHHHHH??IIIBBB0q"
_VIEW = record("session_view", _FIELDS)
_EVENT = record("event", f"I0q{_FIELDS}")
_EVENT_TYPES = {int(kind): kind for kind in EventType}


def read_sessions(array: Any, count: int) -> list[SessionView]:
    return [_view(fields) for fields in records(_VIEW, array, count)]


def read_events(array: Any, count: int) -> list[Event]:
    return [
        Event(_EVENT_TYPES[kind], _view(fields)) for kind, *fields in records(_EVENT, array, count)
    ]


def _view(fields: Sequence[Any]) -> SessionView:
    session_id, state, tcp_state, end_reason, action = fields[:5]
    flags, in_ager, offloaded = fields[35:38]
    return SessionView._make(
        (
            session_id,
            SESSION_STATES[state],
            TCP_STATES[tcp_state],
            END_REASONS[end_reason],
            TRACKERS[end_reason],
            ACTIONS[action],
            FlowKey._make(fields[5:12]),
            FlowKey._make(fields[12:19]),
            *fields[19:35],  # packets_c2s to unreported_s2c
            bool(flags & _LOG_START),
            bool(flags & _LOG_END),
            bool(flags & _SEEN_DATA),
            bool(flags & _SERVICE_TIMEOUT),
            bool(flags & _OFFLOADED),
            bool(flags & _HOST),
            bool(flags & _SYN_COOKIE),
            bool(flags & NAT_SOURCE),
            bool(flags & NAT_DESTINATION),
            in_ager,
            offloaded,
            *fields[38:],
        )
    )


def session_filter(matching: Filter) -> Any:
    """A struct session_filter."""
    raw = ffi.new("struct session_filter *")
    for name, value in matching._asdict().items():
        if value is None:
            continue
        raw.fields |= _FILTER_BITS[name]
        if isinstance(value, bytes):
            ffi.memmove(getattr(raw, name), value, 16)
        else:
            setattr(raw, _FILTER_FIELDS.get(name, name), value)
    return raw
