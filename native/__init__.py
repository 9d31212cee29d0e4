"""The typed face of the C engine; nothing outside this package touches `ffi` and `lib`.

Addresses are 16 bytes as in a flow key (IPv4 in the last four behind ::ffff:), times are integer
nanoseconds of whatever clock the caller hands in, everything else is in host order. One thread at a
time may use an Engine.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum
from struct import Struct
from typing import Any, NamedTuple

from native._engine import ffi, lib
from native.captures import Capture, CaptureError, CaptureWriter
from native.packets import MAX_BURST, InputFlag, LinkType, Packet, Verdict, VerdictAction
from native.protection import (
    FLOODS,
    PROTECTIONS,
    SCAN_ACTIONS,
    SCANS,
    TUNNEL_TYPES,
    BufferProtection,
    DosLimits,
    DosRule,
    FloodLimits,
    ProtectionInfo,
    ScanLimits,
    ServiceRange,
    ThreatInfo,
    ThreatType,
    TunnelConfig,
    ZoneProtection,
    fill_protection,
)
from native.replay import FOREVER_NS, Replay, ReplayStats, ReplayStop

__all__ = [
    "ACTIONS",
    "COUNTERS",
    "END_REASONS",
    "FLOODS",
    "FOREVER_NS",
    "MAX_BURST",
    "MAX_DOS_RULES",
    "MAX_NAT_TARGETS",
    "MAX_PROTECTIONS",
    "MAX_TUNNELS",
    "MAX_TUNNEL_DEPTH",
    "MAX_VIRTUAL_ROUTERS",
    "NAT_BOTH",
    "NAT_DESTINATION",
    "NAT_NONE",
    "NAT_SOURCE",
    "PORT_MODES",
    "PROTECTIONS",
    "SCANS",
    "SCAN_ACTIONS",
    "SESSION_STATES",
    "TCP_STATES",
    "TIMERS",
    "TUNNEL_TYPES",
    "Blocked",
    "BufferProtection",
    "Capture",
    "CaptureError",
    "CaptureWriter",
    "CounterInfo",
    "DosLimits",
    "DosRule",
    "DosStats",
    "DropReason",
    "Engine",
    "EngineConfig",
    "Event",
    "EventType",
    "Fib",
    "Filter",
    "FloodLimits",
    "FloodStats",
    "FlowKey",
    "InputFlag",
    "LinkType",
    "Nfqueue",
    "NfqueueError",
    "NfqueueStats",
    "OffloadProfile",
    "Packet",
    "PacketInfo",
    "PortConfig",
    "ProtectionInfo",
    "Replay",
    "ReplayStats",
    "ReplayStop",
    "ScanLimits",
    "ServiceRange",
    "SessionSpec",
    "SessionTimeouts",
    "SessionView",
    "Stats",
    "TcpLimits",
    "Threat",
    "ThreatInfo",
    "ThreatType",
    "TimerInfo",
    "TunnelConfig",
    "Undecided",
    "Verdict",
    "VerdictAction",
    "ZoneProtection",
    "ZoneStats",
    "describe",
]


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


def _text(value: Any) -> str:
    result: str = ffi.string(value).decode()
    return result


def _names(name: Any, count: int) -> tuple[str, ...]:
    return tuple(_text(name(index)) for index in range(count))


def _counters() -> Iterator[CounterInfo]:
    for number in range(lib.COUNTER_LIMIT):
        info = lib.counter_info(number)
        if info:
            texts = (info.name, info.severity, info.category, info.aspect, info.text)
            yield CounterInfo(number, *map(_text, texts))


def _timers() -> Iterator[TimerInfo]:
    for number in range(lib.TIMER_COUNT):
        info = lib.timer_info(number)
        texts = _text(info.name), _text(info.knob)
        yield TimerInfo(*texts, info.default_s, info.min_s, info.max_s, _text(info.text))


COUNTERS = tuple(_counters())
TIMERS = tuple(_timers())
_COUNTER_NUMBERS = {info.name: info.number for info in COUNTERS}
SESSION_STATES = _names(lib.session_state_name, lib.SESSION_STATE_COUNT)
TCP_STATES = _names(lib.tcp_state_name, lib.TCP_STATE_COUNT)
END_REASONS = _names(lib.end_reason_name, lib.END_REASON_COUNT)
TRACKERS = _names(lib.end_reason_tracker, lib.END_REASON_COUNT)
ACTIONS = _names(lib.action_name, lib.ACTION_COUNT)


class DropReason(IntEnum):
    """The drop reasons Python gives; C has the whole list (COUNTERS with severity drop)."""

    flow_fwd_l3_noroute = lib.COUNTER_flow_fwd_l3_noroute
    flow_fwd_l3_mcast_drop = lib.COUNTER_flow_fwd_l3_mcast_drop
    flow_fwd_l3_bcast_drop = lib.COUNTER_flow_fwd_l3_bcast_drop
    flow_host_service_deny = lib.COUNTER_flow_host_service_deny
    flow_no_interface = lib.COUNTER_flow_no_interface
    flow_fwd_l3_noroute_nat = lib.COUNTER_flow_fwd_l3_noroute_nat
    flow_own_source = lib.COUNTER_flow_own_source
    flow_policy_nat_land = lib.COUNTER_flow_policy_nat_land
    flow_policy_nofwd = lib.COUNTER_flow_policy_nofwd
    flow_slowpath_error = lib.COUNTER_flow_slowpath_error
    flow_tap_drop = lib.COUNTER_flow_tap_drop
    flow_tunnel_no_encap = lib.COUNTER_flow_tunnel_no_encap
    nat_port_alloc_fail = lib.COUNTER_nat_port_alloc_fail


class EventType(IntEnum):
    SESSION_START = lib.EVENT_SESSION_START
    SESSION_END = lib.EVENT_SESSION_END


class FlowKey(NamedTuple):
    src: bytes  # 16 bytes
    dst: bytes
    sport: int
    dport: int
    zone: int
    proto: int
    family: int  # 4 or 6


class PacketInfo(NamedTuple):
    """A packet as the parser reads it."""

    key: FlowKey  # zone 0
    length: int  # bytes of the IP packet
    payload: int  # of it behind layer 4's header
    tcp_seq: int
    tcp_ack: int
    tcp_window: int
    ttl: int
    dscp: int
    tcp_flags: int
    icmp_type: int
    icmp_code: int
    is_fragment: bool  # of one layer 4 is not looked at: all of it is payload
    more_fragments: bool
    fragment_offset: int
    tag: int  # 802.1Q VLAN identifier, 0: none
    fragment_id: int
    traits: int  # bits, by the number of a protection (PROTECTIONS)


class Undecided(NamedTuple):
    """The first packet of a session, parsed."""

    handle: int
    length: int  # bytes, of the IP packet
    now_ns: int
    key: FlowKey
    port: int
    ttl: int
    dscp: int
    tcp_flags: int
    icmp_type: int
    icmp_code: int
    egress: int = 0  # port number: of bridged ports, by which the bridge sends it
    mac: bytes = bytes(6)  # of its sender; zeros where it is not known


class SessionTimeouts(NamedTuple):
    """Timers of a session's own in seconds; 0 is the configured one."""

    established: int = 0  # TCP once established; every other protocol throughout
    half_closed: int = 0
    time_wait: int = 0
    discard: int = 0


class SessionSpec(NamedTuple):
    """A session to install; any action but allow makes a DISCARD session."""

    s2c: FlowKey  # what the server's packets will look like: post-NAT, egress zone
    egress_port: int
    action: str
    rule: int
    application: int
    log_start: bool
    log_end: bool
    keep_denied: bool = True  # whether a denied packet leaves a DISCARD session
    timeouts: SessionTimeouts = SessionTimeouts()
    service_timeout: bool = False  # they come from a service
    path: tuple[int, int] = (0, 0)  # of c2s and s2c packets; 0: by the routes
    fixed_c2s: bool = False  # c2s packets keep port and path whatever the routes say
    fixed_s2c: bool = False
    dscp: tuple[int | None, int | None] = (None, None)  # None: packets keep theirs
    qos_class: int = 0  # 0: none
    oversubscription: int = 0  # not 0: the engine chooses s2c.dport, shared by no more sessions
    lease_pool: int = 0  # the pool in which the source has its lease
    nat_target: int = 0  # where the session is counted as long as it lives
    nat_rule: int = 0
    pbf_rule: int = 0
    qos_rule: int = 0
    is_host: bool = False  # with the firewall itself
    icmp_unreachable: bool = False  # if it denies: tell the sender


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


NAT_NONE = 0
NAT_SOURCE: int = lib.SESSION_SOURCE_NAT
NAT_DESTINATION: int = lib.SESSION_DESTINATION_NAT
NAT_BOTH = NAT_SOURCE | NAT_DESTINATION

PORT_MODES = {
    "layer3": lib.PORT_LAYER3,
    "layer2": lib.PORT_LAYER2,
    "virtual-wire": lib.PORT_VIRTUAL_WIRE,
    "tap": lib.PORT_TAP,
    "loopback": lib.PORT_LOOPBACK,
    "tunnel": lib.PORT_TUNNEL,
}
MAX_VIRTUAL_ROUTERS: int = lib.MAX_VIRTUAL_ROUTERS
MAX_TUNNELS: int = lib.MAX_TUNNELS
MAX_TUNNEL_DEPTH: int = lib.MAX_TUNNEL_DEPTH
MAX_NAT_TARGETS: int = lib.MAX_NAT_TARGETS
MAX_PROTECTIONS: int = lib.MAX_PROTECTIONS
MAX_DOS_RULES: int = lib.MAX_DOS_RULES


class PortConfig(NamedTuple):
    zone: int
    ipv6: bool
    mark: int = 0  # of packets that may leave by it
    mode: str = "layer3"  # of PORT_MODES
    multicast_firewalling: bool = False
    mtu: int = 0  # bytes; 0: no limit
    largest_mss: tuple[int, int] = (0, 0)  # of IPv4 and IPv6 SYN segments; 0: any
    virtual_router: int = 0  # index of its forwarding table
    address: tuple[bytes, bytes] = (bytes(16), bytes(16))  # it sends ICMP errors from, by family
    protection: int = 0  # place in EngineConfig.protections, plus 1; 0: none
    parent: int = 0  # of a sub-interface: the port whose frames with `tag` are its own
    tag: int = 0


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


class OffloadProfile(NamedTuple):
    """What the emulated hardware does; see struct offload_profile."""

    packets: int  # of a flow that make it report; 0: there is no offload engine
    udp_packets: int
    scan_ms: int  # a packet is reported after so long at the latest; 0: never by time
    max_sessions: int


class EngineConfig(NamedTuple):
    timeouts_s: dict[str, int]  # by knob
    tcp_reject_non_syn: bool
    ipv6_firewalling: bool
    ports: Sequence[PortConfig]  # index is the port number; port 0 is nobody's
    local: Iterable[bytes]  # the firewall's own addresses, 16 bytes each
    host_mark: int = 0  # of packets for the machine itself
    tcp_asymmetric_bypass: bool = False
    tcp_allow_challenge_ack: bool = False
    no_refresh_on_discard: bool = False
    offload: OffloadProfile | None = None  # None: switched off
    aging_threshold_percent: int = 100
    aging_factor: int = 1  # 1: no accelerated aging
    vsys_max_sessions: int = 0  # 0: no limit but the table's
    icmp_unreachable_per_s: int = 200
    nat_reserve_s: int = 0  # how long a lease outlives its last session
    strip_mptcp: bool = False  # of zones without a profile
    log_packet_threats: bool = False
    buffer_protection: BufferProtection = BufferProtection()
    protections: Sequence[ZoneProtection] = ()
    dos_rules: Sequence[DosRule] = ()
    tunnels: Sequence[TunnelConfig] = ()


class Stats(NamedTuple):
    max_sessions: int
    allocated: int
    tcp: int
    udp: int
    icmp: int
    other: int
    discard: int
    offloaded: int  # sessions in the offload engine
    translated: int  # sessions whose packets are rewritten
    undecided: int
    held: int
    installed: int
    aging_accelerated: bool
    fragments: int  # held until their datagrams are complete
    fragment_bytes: int
    packets: int
    bytes: int


# Records that come by the thousand are unpacked at once: a field read through cffi costs as much as
# a whole record this way. The layouts are those of engine.h, checked below.
_KEY = "16s16sHHHBB"
_UNDECIDED = Struct(f"@IIq{_KEY}HBBBBBH6s0q")
_VIEW = f"IBBBB{_KEY}{_KEY}4QqqqIIIIIHHHHH??IIIBBB0q"
_EVENT = Struct(f"@I0q{_VIEW}")
_INFO = Struct(f"@{_KEY}IIIIHBBBBB??HHIQ")
_SPEC = Struct(f"@{_KEY}IIHHBBBBBBBIIIHH4I")
_THREAT = Struct(f"@q{_KEY}IIHHBBB0q")
_VIEW_ALONE = Struct(f"@{_VIEW}")


def _check_layouts() -> None:
    for layout, name in (
        (_UNDECIDED, "struct undecided"),
        (_VIEW_ALONE, "struct session_view"),
        (_EVENT, "struct event"),
        (_SPEC, "struct session_spec"),
        (_INFO, "struct packet_info"),
        (_THREAT, "struct threat"),
    ):
        assert layout.size == ffi.sizeof(name), f"{name} has changed"


_check_layouts()


def _flood_stats(raw: Any) -> tuple[FloodStats, ...]:
    return tuple(FloodStats(item.rate, item.dropped, item.cookies) for item in raw)


def _view(record: Sequence[Any]) -> SessionView:
    """A session_view as unpacked."""
    session_id, state, tcp_state, end_reason, action = record[:5]
    flags, in_ager, offloaded = record[35:38]
    return SessionView._make(
        (
            session_id,
            SESSION_STATES[state],
            TCP_STATES[tcp_state],
            END_REASONS[end_reason],
            TRACKERS[end_reason],
            ACTIONS[action],
            FlowKey._make(record[5:12]),
            FlowKey._make(record[12:19]),
            *record[19:35],  # packets_c2s to unreported_s2c
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
            *record[38:],
        )
    )


_PORT_FIELDS = (
    "zone",
    "ipv6",
    "mark",
    "multicast_firewalling",
    "mtu",
    "virtual_router",
    "protection",
    "parent",
    "tag",
)


def _fill_port(raw: Any, port: PortConfig) -> None:
    for name in _PORT_FIELDS:
        setattr(raw, name, getattr(port, name))
    raw.mode = PORT_MODES[port.mode]
    for family in range(2):
        raw.largest_mss[family] = port.largest_mss[family]
        ffi.memmove(raw.address[family], port.address[family], 16)


def describe(packet: Packet) -> PacketInfo | CounterInfo:
    """What the parser makes of a packet, or the counter of its reason to refuse it."""
    raw, info = ffi.new("struct input *"), ffi.new("struct packet_info *")
    data = ffi.from_buffer("uint8_t[]", bytearray(packet.data))
    raw.data, raw.len, raw.link = data, len(packet.data), packet.link
    trusted, unsure = lib.INPUT_CHECKSUM_TRUSTED, lib.INPUT_CHECKSUM_MAYBE_UNFINISHED
    raw.flags = trusted if packet.checksum_trusted else unsure
    reason = lib.packet_describe(raw, info)
    if reason:
        return next(counter for counter in COUNTERS if counter.number == reason)
    record = _INFO.unpack(ffi.buffer(info))
    return PacketInfo(FlowKey._make(record[:7]), *record[7:])


_ACTION_NUMBERS = {name: number for number, name in enumerate(ACTIONS)}
_LOG_START: int = lib.SESSION_LOG_START
_LOG_END: int = lib.SESSION_LOG_END
_SEEN_DATA: int = lib.SESSION_SEEN_DATA
_UNKEPT: int = lib.SESSION_UNKEPT
_SERVICE_TIMEOUT: int = lib.SESSION_SERVICE_TIMEOUT
_OFFLOADED: int = lib.SESSION_OFFLOADED
_HOST: int = lib.SESSION_HOST
_SYN_COOKIE: int = lib.SESSION_SYN_COOKIE
_FIXED_C2S: int = lib.SESSION_FIXED_C2S
_FIXED_S2C: int = lib.SESSION_FIXED_S2C
_ICMP_UNREACHABLE: int = lib.SESSION_ICMP_UNREACHABLE

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

_EVENT_TYPES = {int(kind): kind for kind in EventType}

_PAGE = 512  # events, undecided packets or sessions taken from C at once


class Fib:
    """A forwarding table: longest prefix match over (prefix, length, port, hops) routes.

    A prefix has 16 bytes and its length counts all of them (an IPv4 prefix of n bits: 96 + n); port
    None forwards nothing. Of several routes with one prefix the first wins. Where a route has
    several next hops, `hops` are all of them, as port and path.
    """

    def __init__(
        self, routes: Sequence[tuple[bytes, int, int | None, Sequence[tuple[int, int]]]]
    ) -> None:
        """Raises ValueError where a length is not within 0..128."""
        raw = ffi.new("struct route[]", max(len(routes), 1))
        hops: list[tuple[int, int]] = []
        for item, (prefix, length, port, several) in zip(raw, routes, strict=False):
            ffi.memmove(item.prefix, prefix, 16)
            item.length = length if 0 <= length <= 128 else 255
            item.leaves, item.port = port is not None, port or 0
            item.hop, item.hop_count = len(hops), len(several)
            hops += several
        raw_hops = ffi.new("struct route_hop[]", max(len(hops), 1))
        for hop, (port, path) in zip(raw_hops, hops, strict=False):
            hop.port, hop.path = port, path
        fib = lib.fib_new(raw, len(routes), raw_hops, len(hops))
        if not fib:
            if ffi.errno == errno.EINVAL:
                raise ValueError("a prefix length is not within 0..128")
            raise MemoryError
        self._fib = ffi.gc(fib, lib.fib_free)

    def lookup(self, address: bytes) -> int | None:
        """The index of the route to an address of 16 bytes, None where there is none."""
        index: int = lib.fib_lookup(self._fib, address)
        return None if index < 0 else index


class Engine:
    """One engine: sessions, timers and verdicts. See engine.h for what each call promises."""

    def __init__(
        self,
        *,
        hash_key: bytes,
        now_ns: int,
        max_sessions: int = 262_144,
        max_offloaded: int | None = None,
        max_undecided: int = 1024,
        max_held: int = 2048,
        max_fragments: int = 8192,
        max_events: int = 65_536,
        answer_timeout_ms: int = 1000,
    ) -> None:
        """As many sessions can be offloaded as there can be unless told.

        Raises ValueError for sizes that make no sense and OSError where memory is short.
        """
        if len(hash_key) != 16:
            raise ValueError(f"hash_key has {len(hash_key)} bytes, not 16")
        params = ffi.new("struct engine_params *")
        params.max_sessions, params.max_undecided = max_sessions, max_undecided
        params.max_offloaded = max_sessions if max_offloaded is None else max_offloaded
        params.max_held, params.max_events = max_held, max_events
        params.max_fragments = max_fragments
        params.answer_timeout_ms, params.now_ns = answer_timeout_ms, now_ns
        ffi.memmove(params.hash_key, hash_key, 16)
        engine = lib.engine_new(params)
        if not engine:
            if ffi.errno == errno.EINVAL:
                raise ValueError(
                    "engine sizes must be positive, max_events a power of two, "
                    "max_offloaded not above max_sessions"
                )
            raise OSError(ffi.errno, os.strerror(ffi.errno))
        self._engine = ffi.gc(engine, lib.engine_free)
        self._inputs = ffi.new("struct input[]", MAX_BURST)
        self._given: list[Any] = []  # data of packets without a verdict, alive until then
        self._undecided = ffi.new("struct undecided[]", _PAGE)
        self._events = ffi.new("struct event[]", _PAGE)
        self._threats = ffi.new("struct threat[]", _PAGE)
        self._views = ffi.new("struct session_view[]", _PAGE)
        self._spec = ffi.new("struct session_spec *")
        self._spec_buffer = ffi.buffer(self._spec)
        self._count = ffi.new("uint32_t *")
        self._counters = lib.engine_counters(self._engine)

    def configure(self, config: EngineConfig) -> None:
        """Raises ValueError where a figure is out of range; the old configuration stays."""
        raw = ffi.new("struct engine_config *")
        for number, timer in enumerate(TIMERS):
            raw.timeout_s[number] = config.timeouts_s.get(timer.knob, timer.default_s)
        for name in (
            "tcp_reject_non_syn",
            "tcp_asymmetric_bypass",
            "tcp_allow_challenge_ack",
            "no_refresh_on_discard",
            "ipv6_firewalling",
            "vsys_max_sessions",
            "icmp_unreachable_per_s",
            "nat_reserve_s",
            "host_mark",
            "strip_mptcp",
            "log_packet_threats",
        ):
            setattr(raw, name, getattr(config, name))
        raw.offload = config.offload is not None
        for name, value in config.offload._asdict().items() if config.offload else ():
            setattr(raw.offload_profile, name, value)
        raw.accelerated_aging.threshold_percent = config.aging_threshold_percent
        raw.accelerated_aging.factor = config.aging_factor
        ports = ffi.new("struct port_config[]", max(len(config.ports), 1))
        for number, port in enumerate(config.ports):
            _fill_port(ports[number], port)
        raw.port_count, raw.ports = len(config.ports), ports
        addresses = sorted(set(config.local))
        local = ffi.from_buffer("uint8_t[]", b"".join(addresses))
        raw.local_count, raw.local = len(addresses), local
        kept = fill_protection(raw, config)
        if lib.engine_configure(self._engine, raw):
            if len(config.ports) > lib.MAX_PORTS:
                raise ValueError(f"more than {lib.MAX_PORTS - 1} ports")
            raise ValueError(
                "accelerated aging, offload profile, virtual router or protection out of range"
            )
        del kept  # until here the tables are the caller's

    def set_fibs(self, fibs: Sequence[Fib]) -> None:
        """Where packets of live sessions go from now on, a table for each virtual router."""
        lib.engine_set_fibs(self._engine, [fib._fib for fib in fibs], len(fibs))
        self._fibs = fibs  # alive as long as the engine asks them

    def input(self, burst: Sequence[Packet], *, stop_when_undecided: bool = False) -> int:
        """Feeds at most MAX_BURST packets; returns how many were taken."""
        if len(burst) > MAX_BURST:
            burst = burst[:MAX_BURST]
        for raw, packet in zip(self._inputs, burst, strict=False):
            data = ffi.from_buffer("uint8_t[]", bytearray(packet.data))
            self._given.append(data)
            raw.tag, raw.data, raw.len = packet.tag, data, len(packet.data)
            raw.port, raw.link, raw.now_ns = packet.port, packet.link, packet.now_ns
            raw.flags = packet.flags | (
                lib.INPUT_CHECKSUM_TRUSTED if packet.checksum_trusted else 0
            )
            raw.egress, raw.mac = packet.egress, packet.mac
        taken: int = lib.engine_input(self._engine, self._inputs, len(burst), stop_when_undecided)
        return taken

    def verdicts(self) -> list[Verdict]:
        """Takes the verdicts reached since the last call, in order."""
        raw = lib.engine_verdicts(self._engine, self._count)
        result = [
            Verdict(
                VerdictAction(item.action),
                item.tag,
                item.reason,
                item.port,
                item.session,
                item.mark,
                ffi.buffer(item.data, item.len)[:] if item.changed else None,
                bytes(item.mac),
                item.is_pinned,
            )
            for item in raw[0 : self._count[0]]
        ]
        self._given.clear()
        return result

    def undecided(self) -> list[Undecided]:
        """Takes the packets that wait for an answer and were not handed out yet."""
        count = lib.engine_undecided(self._engine, self._undecided, _PAGE)
        raw = ffi.buffer(self._undecided, count * _UNDECIDED.size)
        return [
            Undecided(handle, length, now_ns, FlowKey._make(rest[:7]), *rest[7:])
            for handle, length, now_ns, *rest in _UNDECIDED.iter_unpack(raw)
        ]

    def install(self, handle: int, spec: SessionSpec) -> int:
        """Answers a handle with a session: its id, or 0 where none was made.

        Raises KeyError for a handle that is not outstanding (any more).
        """
        flags = (
            (_LOG_START if spec.log_start else 0)
            | (_LOG_END if spec.log_end else 0)
            | (0 if spec.keep_denied else _UNKEPT)
            | (_SERVICE_TIMEOUT if spec.service_timeout else 0)
            | (_FIXED_C2S if spec.fixed_c2s else 0)
            | (_FIXED_S2C if spec.fixed_s2c else 0)
            | (_HOST if spec.is_host else 0)
            | (_ICMP_UNREACHABLE if spec.icmp_unreachable else 0)
        )
        action = _ACTION_NUMBERS[spec.action]
        dscp_c2s, dscp_s2c = spec.dscp
        _SPEC.pack_into(
            self._spec_buffer,
            0,
            *spec.s2c,
            spec.rule,
            spec.application,
            spec.egress_port,
            flags,
            action,
            spec.qos_class,
            *spec.path,
            0 if dscp_c2s is None else dscp_c2s + 1,
            0 if dscp_s2c is None else dscp_s2c + 1,
            spec.oversubscription,
            spec.nat_rule,
            spec.pbf_rule,
            spec.qos_rule,
            spec.lease_pool,
            spec.nat_target,
            *spec.timeouts,
        )
        result: int = lib.engine_install(self._engine, handle, self._spec)
        self._check(result, handle)
        return result

    def refuse(self, handle: int, reason: DropReason) -> None:
        """Answers a handle with a drop. Raises KeyError like install."""
        self._check(lib.engine_refuse(self._engine, handle, reason), handle)

    @staticmethod
    def _check(result: int, handle: int) -> None:
        if result == -errno.ENOENT:
            raise KeyError(f"handle {handle} is not outstanding")
        if result < 0:
            raise ValueError("the answer makes no sense")

    def tick(self, now_ns: int) -> None:
        lib.engine_tick(self._engine, now_ns)

    def next_timer_ns(self) -> int | None:
        """When tick has work at the earliest, None where there is none."""
        due: int = lib.engine_next_timer_ns(self._engine)
        return None if due == (1 << 63) - 1 else due

    def events(self) -> list[Event]:
        """Takes a page of events; an empty list says there are no more."""
        count = lib.engine_events(self._engine, self._events, _PAGE)
        raw = ffi.buffer(self._events, count * _EVENT.size)
        return [Event(_EVENT_TYPES[kind], _view(view)) for kind, *view in _EVENT.iter_unpack(raw)]

    def threats(self) -> list[Threat]:
        """Takes a page of threats; an empty list says there are no more."""
        count = lib.engine_threats(self._engine, self._threats, _PAGE)
        raw = ffi.buffer(self._threats, count * _THREAT.size)
        return [
            Threat._make((now_ns, FlowKey._make(rest[:7]), *rest[7:-1], SCAN_ACTIONS[rest[-1]]))
            for now_ns, *rest in _THREAT.iter_unpack(raw)
        ]

    def zone_stats(self, zone: int) -> ZoneStats | None:
        """What the protection of a zone has done; None where it has none."""
        raw = ffi.new("struct zone_stats *")
        if lib.engine_zone_stats(self._engine, zone, raw):
            return None
        return ZoneStats(_flood_stats(raw.flood), tuple(raw.scans), tuple(raw.checks))

    def dos_stats(self, rule: int) -> DosStats | None:
        """What a DoS rule has done, by its number; None where there is no such rule."""
        raw = ffi.new("struct dos_stats *")
        if lib.engine_dos_stats(self._engine, rule, raw):
            return None
        names = DosStats._fields[1:]
        return DosStats(_flood_stats(raw.flood), *(getattr(raw, name) for name in names))

    def dos_in_force(self, rule: int, in_force: bool) -> None:
        """A rule out of its schedule is passed over."""
        lib.engine_dos_in_force(self._engine, rule, in_force)

    def blocks(self, cursor: int = 0) -> tuple[list[Blocked], int]:
        """A page of the block table and the cursor to go on with, 0 at the end."""
        raw = ffi.new("struct blocked_source[]", _PAGE)
        self._count[0] = cursor
        found = lib.engine_blocks(self._engine, self._count, raw, _PAGE)
        blocks = [
            Blocked(
                bytes(item.source),
                bytes(item.destination),
                item.zone,
                item.why,
                item.rule,
                item.until_ns,
                item.dropped,
            )
            for item in raw[0:found]
        ]
        return blocks, self._count[0]

    def unblock(self, source: bytes | None = None) -> int:
        """Takes a source (16 bytes), or all, out of the block table; how many entries."""
        count: int = lib.engine_unblock(self._engine, ffi.NULL if source is None else source)
        return count

    def sessions(
        self, cursor: int = 0, *, matching: Filter | None = None, scan: int = 65_536
    ) -> tuple[list[SessionView], int]:
        """A page of live sessions and the cursor to go on with, 0 at the end."""
        raw = ffi.new("struct session_filter *")
        for name, value in (matching or Filter())._asdict().items():
            if value is None:
                continue
            raw.fields |= _FILTER_BITS[name]
            if isinstance(value, bytes):
                ffi.memmove(getattr(raw, name), value, 16)
            else:
                setattr(raw, _FILTER_FIELDS.get(name, name), value)
        self._count[0] = cursor
        found = lib.engine_sessions(self._engine, self._count, scan, raw, self._views, _PAGE)
        raw = ffi.buffer(self._views, found * _VIEW_ALONE.size)
        return [_view(view) for view in _VIEW_ALONE.iter_unpack(raw)], self._count[0]

    def session(self, session_id: int) -> SessionView | None:
        """A session by id; a free slot shows its last one, None where it was never used."""
        if lib.engine_session(self._engine, session_id, self._views):
            return None
        return _view(_VIEW_ALONE.unpack_from(ffi.buffer(self._views)))

    def tcp_limits(self, session_id: int) -> tuple[TcpLimits, TcpLimits] | None:
        """What each direction may send, c2s first; None where there is no such TCP session."""
        raw = ffi.new("struct tcp_limits[2]")
        if lib.engine_tcp_limits(self._engine, session_id, raw):
            return None
        c2s, s2c = (TcpLimits(*(getattr(one, f) for f in TcpLimits._fields)) for one in raw)
        return c2s, s2c

    def clear(self, session_id: int) -> bool:
        """Ends a session; False where there is none of that id."""
        cleared: bool = lib.engine_clear(self._engine, session_id) == 0
        return cleared

    def deny(self, session_id: int, action: str, rule: int) -> bool:
        """Makes an active session one that is denied for `rule`; False where there is none."""
        denied: bool = lib.engine_deny(self._engine, session_id, _ACTION_NUMBERS[action], rule) == 0
        return denied

    def nat_lease(self, pool: int, size: int, source: bytes) -> int | None:
        """The number below `size` that is a source's own in a pool; None where all are taken."""
        index: int = lib.engine_nat_lease(self._engine, pool, size, source)
        return None if index < 0 else index

    def nat_leases(self, pool: int) -> int:
        """Leases in force of a pool."""
        count: int = lib.engine_nat_leases(self._engine, pool)
        return count

    def nat_ports(self, address: bytes) -> int:
        """Sessions that have a port of this address (16 bytes)."""
        count: int = lib.engine_nat_ports(self._engine, address)
        return count

    def nat_target(self, target: int) -> int:
        """Live sessions that are counted there."""
        count: int = lib.engine_nat_target(self._engine, target)
        return count

    def stats(self) -> Stats:
        raw = ffi.new("struct engine_stats *")
        lib.engine_stats(self._engine, raw)
        return Stats(*(getattr(raw, name) for name in Stats._fields))

    def count(self, counter: str, by: int) -> None:
        """Adds to a global counter what was counted elsewhere."""
        lib.engine_count(self._engine, _COUNTER_NUMBERS[counter], by)

    def counters(self) -> dict[str, int]:
        """Every global counter by name."""
        return {info.name: self._counters[info.number] for info in COUNTERS}


class NfqueueError(Exception):
    """The queue cannot be had, or broke; the message is one line that says why."""


class NfqueueStats(NamedTuple):
    """What the loop counts itself; see engine.h."""

    packets: int
    bursts: int
    malformed: int
    refused: int
    cut: int
    send_failed: int
    emit_failed: int


_NFQUEUE_MODES = {
    "engine": lib.NFQUEUE_ENGINE,
    "accept": lib.NFQUEUE_ACCEPT,
    "rewrite": lib.NFQUEUE_REWRITE,
}


class Nfqueue:
    """The NFQUEUE loop. run() belongs in a thread of its own, every other call in another."""

    def __init__(
        self,
        number: int,
        engine: Engine | None,
        *,
        mode: str = "engine",
        fail_open: bool = False,
        queue_packets: int = 16_384,
        opening_packets: int = 2048,  # a few milliseconds of a flood
        socket_bytes: int = 64 << 20,
    ) -> None:
        """Binds the queue, and the next one, for segments that open connections. Modes "accept" and
        "rewrite" pass everything and need no engine.

        Raises NfqueueError.
        """
        params = ffi.new("struct nfqueue_params *")
        params.queue, params.mode, params.fail_open = number, _NFQUEUE_MODES[mode], fail_open
        params.queue_packets, params.opening_packets = queue_packets, opening_packets
        params.socket_bytes = socket_bytes
        error = ffi.new("char[256]")
        self._engine = engine  # kept alive as long as the loop may use it
        queue = lib.nfqueue_open(params, ffi.NULL if engine is None else engine._engine, error)
        if not queue:
            raise NfqueueError(_text(error))
        self._queue = ffi.gc(queue, lib.nfqueue_close)

    def run(self) -> None:
        """Takes packets until stop(). Raises NfqueueError where the queue breaks."""
        error = ffi.new("char[256]")
        if lib.nfqueue_run(self._queue, error):
            raise NfqueueError(_text(error))

    def stop(self) -> None:
        lib.nfqueue_stop(self._queue)

    def wake(self) -> None:
        """Has the loop send the verdicts this thread's answers and ticks have reached."""
        lib.nfqueue_wake(self._queue)

    def fileno(self) -> int:
        """Readable when packets wait for the slowpath or events have piled up."""
        descriptor: int = lib.nfqueue_bell(self._queue)
        return descriptor

    def hear(self) -> None:
        """Silences the bell; to be called before looking."""
        lib.nfqueue_hear(self._queue)

    def set_ports(self, ports: Sequence[tuple[int, int, bool]]) -> None:
        """Every port: Linux interface index, port number, whether its routes are not in main."""
        raw = ffi.new("struct nfqueue_port[]", max(len(ports), 1))
        for item, (index, port, own_table) in zip(raw, ports, strict=False):
            item.ifindex, item.port, item.own_table = index, port, own_table
        if lib.nfqueue_set_ports(self._queue, raw, len(ports)):
            raise MemoryError

    def set_fail_open(self, fail_open: bool) -> None:
        if lib.nfqueue_set_fail_open(self._queue, fail_open):
            raise NfqueueError("the queue does not take its flags")

    def stats(self) -> NfqueueStats:
        raw = ffi.new("struct nfqueue_stats *")
        lib.nfqueue_stats(self._queue, raw)
        return NfqueueStats(*(getattr(raw, name) for name in NfqueueStats._fields))

    def close(self) -> None:
        """Gives the queue back; what waits in it is dropped. run() must have returned."""
        ffi.release(self._queue)
