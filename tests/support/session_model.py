"""The session table as a plain dictionary: what the rules say, as slowly as it takes.

Written from the rules, not from the engine: timers are numbers that are compared, and TCP is what
was seen of it (tcp_model.py). Nothing accelerates aging here.

Directions are 0 (c2s) and 1 (s2c).
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from native import END_REASONS, OffloadProfile, SessionTimeouts
from tests.support import raw_packets as raw
from tests.support.raw_packets import Flow, Raw
from tests.support.tcp_model import Tcp, kind_of

NS = 1_000_000_000
TICK_NS = 1 << 26  # the ager makes room when a tick of its clock begins
C2S, S2C = 0, 1
NEVER = -1

Key = tuple[Flow, int]  # with the zone its packets come from
Ways = Mapping[bytes, int | None]  # the port to an address; None where there is no route


class Config(NamedTuple):
    timers: Mapping[str, int]  # seconds by knob
    zones: tuple[int, ...]  # by port; 0 is none
    reject_non_syn: bool = True
    bypass: bool = False
    challenge: bool = False
    no_refresh: bool = False
    offload: OffloadProfile | None = None
    max_sessions: int = 0


class Policy(NamedTuple):
    """What the slowpath says of a first packet."""

    allow: bool
    own: SessionTimeouts = SessionTimeouts()
    keep_denied: bool = True


class Answer(NamedTuple):
    what: str  # forward, or the drop reason
    port: int = 0
    session: "Session | None" = None


# ---- sessions ------------------------------------------------------------------------------------


@dataclass
class Hardware:
    """What the offload engine has counted and not reported."""

    report_packets: int
    seen_data: bool = False
    packets: list[int] = field(default_factory=lambda: [0, 0])
    bytes: list[int] = field(default_factory=lambda: [0, 0])
    first_ns: list[int] = field(default_factory=lambda: [0, 0])


@dataclass(eq=False)
class Session:
    keys: tuple[Key, Key]
    ports: list[int]  # ingress of c2s, of s2c
    policy: Policy
    start_ns: int
    last_ns: int
    refreshed_ns: int
    state: str = "ACTIVE"
    id: int = 0  # as the engine calls it
    timeout_s: int = 0
    end_ns: int = 0  # when it expires, or ended
    tick: int = 0  # when the ager comes by
    end_reason: str = "unknown"
    packets: list[int] = field(default_factory=lambda: [0, 0])
    bytes: list[int] = field(default_factory=lambda: [0, 0])
    seen_data: bool = False
    longest_gap_ns: int = 0
    longest_wait_ns: int = 0
    tcp: Tcp | None = None
    hardware: Hardware | None = None
    was_offloaded: bool = False
    had_no_room: bool = False
    ways: int = NEVER  # the routes and configuration its ports come from
    blocked: list[str] = field(default_factory=lambda: ["", ""])

    @property
    def proto(self) -> int:
        return self.keys[C2S][0].proto

    def note(self, reason: str) -> None:
        self.end_reason = min(self.end_reason, reason, key=END_REASONS.index)

    def wait_ns(self) -> int:
        return max(self.longest_wait_ns, self.last_ns - self.refreshed_ns)


_DISCARD_TIMERS = {raw.TCP: "timeout-discard-tcp", raw.UDP: "timeout-discard-udp"}
_TIMERS = {raw.UDP: "timeout-udp", raw.ICMP: "timeout-icmp", raw.ICMPV6: "timeout-icmp"}
_OWN = {
    "timeout-tcp": "established",
    "timeout-udp": "established",
    "timeout-icmp": "established",
    "timeout-default": "established",
    "timeout-tcp-half-closed": "half_closed",
    "timeout-tcp-time-wait": "time_wait",
    "timeout-discard-tcp": "discard",
    "timeout-discard-udp": "discard",
    "timeout-discard-default": "discard",
}


class Table:
    """Everything the engine keeps between two packets."""

    def __init__(
        self,
        config: Config,
        ways: Ways,
        policy: Callable[[Flow], Policy],
        *,
        size: int,
        now_ns: int = 0,
    ) -> None:
        self.config, self.ways, self.size, self.now_ns = config, ways, size, now_ns
        self._policy = policy
        self._generation = 0
        self.flows: dict[Key, tuple[Session, int]] = {}
        self.sessions: list[Session] = []  # those that take a place, over or not
        self.ended: list[Session] = []  # since they were last taken
        self.counters: Counter[str] = Counter()
        self.forwarded = [0, 0]  # packets, bytes
        self.installed = 0

    # ---- time

    def advance(self, now_ns: int) -> None:
        self.now_ns = max(self.now_ns, now_ns)
        for session in list(self.sessions):
            if session.tick <= self.now_ns // TICK_NS:
                self._is_over(session)

    def look(self) -> list[Session]:
        """The live sessions; looking ends those that are over."""
        return [session for session in list(self.sessions) if not self._is_over(session)]

    def _is_over(self, session: Session) -> bool:
        self._scan(session)
        if session.end_ns > self.now_ns:
            return False
        self._end(session, session.end_ns, "aged-out")
        return True

    def _timer(self, session: Session) -> str:
        if session.state == "DISCARD":
            return _DISCARD_TIMERS.get(session.proto, "timeout-discard-default")
        if session.tcp:
            return session.tcp.timer(one_timer=self.config.timers["timeout-tcpwait"] > 0)
        return _TIMERS.get(session.proto, "timeout-default")

    def _refresh(self, session: Session) -> None:
        timer = self._timer(session)
        own: int = getattr(session.policy.own, _OWN[timer]) if timer in _OWN else 0
        session.timeout_s = own or self.config.timers[timer]
        self._start_again(session, self.now_ns)

    def _start_again(self, session: Session, at_ns: int) -> None:
        """The timer in force: a changed one is taken up by a packet in software."""
        session.longest_wait_ns = max(session.longest_wait_ns, at_ns - session.refreshed_ns)
        session.refreshed_ns = at_ns
        session.end_ns = at_ns + session.timeout_s * NS
        session.tick = max(-(-session.end_ns // TICK_NS), self.now_ns // TICK_NS + 1)

    def _touch(self, session: Session) -> None:
        session.longest_gap_ns = max(session.longest_gap_ns, self.now_ns - session.last_ns)
        session.last_ns = self.now_ns

    # ---- beginning and end

    def _find(self, key: Key) -> tuple[Session, int] | None:
        """The live session of a flow, and the flow's direction."""
        found = self.flows.get(key)
        return None if not found or self._is_over(found[0]) else found

    def _end(self, session: Session, at_ns: int, reason: str) -> None:
        session.note(reason)
        self._leave(session)
        session.end_ns = at_ns
        for direction, key in enumerate(session.keys):
            if session.state == "ACTIVE" or direction == C2S:
                del self.flows[key]
        self.sessions.remove(session)
        self.counters["session_freed"] += 1
        session.state = "CLOSED"
        self.ended.append(session)

    def clear(self, session: Session) -> bool:
        if session not in self.sessions or self._is_over(session):
            return False
        self._end(session, self.now_ns, "unknown")
        return True

    def _place(self, session: Session) -> str:
        """Finds a new session its place; why not, or nothing."""
        if self.config.max_sessions and len(self.sessions) >= self.config.max_sessions:
            return "session_vsys_limit"
        if len(self.sessions) >= self.size:
            return "session_alloc_fail"
        self.counters["session_allocated"] += 1
        if session.state == "ACTIVE":
            key = session.keys[S2C]
            other = self._find(key)
            if key == session.keys[C2S] or (other and other[0].state == "ACTIVE"):
                self.counters["session_freed"] += 1
                return "session_install_error"
            if other:  # denied to speak first; it may answer
                self._end(other[0], self.now_ns, "policy-deny")
            self.flows[key] = session, S2C
        self.flows[session.keys[C2S]] = session, C2S
        self.sessions.append(session)
        self.installed += 1
        self.counters["session_installed"] += 1
        self._refresh(session)
        return ""

    # ---- configuration

    def configure(self, config: Config) -> None:
        if config.offload is None:
            for session in self.sessions:
                self.counters["session_pulled_back"] += session.hardware is not None
                self._leave(session)
        self.config = config
        self._generation += 1

    def set_ways(self, ways: Ways) -> None:
        self.ways = ways
        self._generation += 1

    def _way(self, address: bytes, zone: int) -> tuple[str, int]:
        port = self.ways[address]
        if port is None:
            return "flow_fwd_l3_noroute", 0
        return ("", port) if self.config.zones[port] == zone else ("flow_fwd_zonechange", 0)

    def _look_up_ways(self, session: Session) -> None:
        if session.ways == self._generation:
            return
        session.ways = self._generation
        for direction in (C2S, S2C):
            flow, zone = session.keys[1 - direction]
            session.blocked[direction], port = self._way(flow.src, zone)
            if not session.blocked[direction]:
                session.ports[1 - direction] = port
        self._leave(session)

    # ---- the offload engine

    def _scan(self, session: Session) -> None:
        """Reports by time; they are found when somebody looks, as of the moment they were due."""
        offload, hardware = self.config.offload, session.hardware
        if not hardware or not offload or not offload.scan_ms:
            return
        scan_ns = offload.scan_ms * 1_000_000
        for due_ns, direction in sorted(
            (hardware.first_ns[d] + scan_ns, d) for d in (C2S, S2C) if hardware.packets[d]
        ):
            if due_ns <= self.now_ns and due_ns < session.end_ns:
                self._report(session, direction, due_ns)

    def _report(self, session: Session, direction: int, at_ns: int) -> None:
        self._collect(session, direction)
        self._start_again(session, at_ns)
        self.counters["offload_report"] += 1

    def _collect(self, session: Session, direction: int) -> None:
        hardware = session.hardware
        assert hardware
        session.packets[direction] += hardware.packets[direction]
        session.bytes[direction] += hardware.bytes[direction]
        session.seen_data |= hardware.seen_data
        hardware.packets[direction] = hardware.bytes[direction] = 0

    def _leave(self, session: Session) -> None:
        self._scan(session)
        if session.hardware:
            self._collect(session, C2S)
            self._collect(session, S2C)
            session.hardware = None

    def offloaded(self) -> int:
        return sum(session.hardware is not None for session in self.sessions)

    def _enter(self, session: Session) -> None:
        offload = self.config.offload
        is_eligible = (
            session.tcp.state == "ESTABLISHED"
            if session.tcp
            else session.proto not in (raw.ICMP, raw.ICMPV6)
        )
        if not offload or not offload.packets or not is_eligible or any(session.blocked):
            return
        if self.offloaded() >= offload.max_sessions:
            self.counters["session_offload_full"] += not session.had_no_room
            session.had_no_room = True
            return
        is_udp = session.proto == raw.UDP
        session.hardware = Hardware(offload.udp_packets if is_udp else offload.packets)
        session.was_offloaded = True
        self.counters["session_offloaded"] += 1

    def _in_hardware(self, session: Session, direction: int, packet: Raw) -> None:
        hardware = session.hardware
        assert hardware
        self._touch(session)
        if not hardware.packets[direction]:
            hardware.first_ns[direction] = self.now_ns
        hardware.packets[direction] += 1
        hardware.bytes[direction] += len(packet.data)
        hardware.seen_data |= packet.payload > 0
        self.counters["pkt_offloaded"] += 1
        if hardware.packets[direction] == hardware.report_packets:
            self._report(session, direction, self.now_ns)

    # ---- packets

    def packet(self, packet: Raw, port: int) -> Answer:
        self.counters["pkt_recv"] += 1
        answer = self._packet(packet, port)
        if answer.what == "forward":
            self.counters["pkt_sent"] += 1
            self.forwarded[0] += 1
            self.forwarded[1] += len(packet.data)
        else:
            self.counters[answer.what] += 1
        return answer

    def _packet(self, packet: Raw, port: int) -> Answer:
        zone = self.config.zones[port]
        if packet.about:
            return self._error(packet.about, zone)
        found = self._find((packet.flow, zone))
        opens = packet.segment is not None and kind_of(packet.segment.flags) == "SYN"
        if found and found[0].tcp and found[0].tcp.is_over and opens:
            self._end(found[0], self.now_ns, "tcp-reuse")
            found = None
        if found:
            return self._of_session(*found, packet)
        if packet.segment and not opens:
            self.counters["flow_tcp_non_syn"] += 1
            if self.config.reject_non_syn:
                return Answer("flow_tcp_non_syn_drop")
        if packet.is_reply:
            return Answer("flow_icmp_no_session")
        return self._first(packet, port)

    def _error(self, about: Flow, zone: int) -> Answer:
        """It goes where the packet it quotes came from."""
        found = self._find((about.back(), zone))
        if not found or found[0].state != "ACTIVE":
            return Answer("flow_icmp_no_session")
        session, direction = found
        self._look_up_ways(session)
        if session.blocked[direction]:
            return Answer(session.blocked[direction], 0, session)
        self.counters["flow_icmp_err_pass"] += 1
        return Answer("forward", session.ports[1 - direction], session)

    def _first(self, packet: Raw, port: int) -> Answer:
        flow = packet.flow
        self.counters["flow_undecided"] += 1
        egress = self.ways[flow.dst]
        if egress is None:
            return Answer("flow_fwd_l3_noroute")
        policy = self._policy(flow)
        session = Session(
            keys=((flow, self.config.zones[port]), (flow.back(), self.config.zones[egress])),
            ports=[port, egress],
            policy=policy,
            start_ns=self.now_ns,
            last_ns=self.now_ns,
            refreshed_ns=self.now_ns,
            state="ACTIVE" if policy.allow else "DISCARD",
            end_reason="unknown" if policy.allow else "policy-deny",
            tcp=Tcp() if packet.segment and policy.allow else None,
        )
        if not policy.allow:
            return self._deny(session, packet)
        reason = self._place(session)
        return Answer(reason) if reason else self._of_session(session, C2S, packet)

    def _deny(self, session: Session, packet: Raw) -> Answer:
        if not session.policy.keep_denied:
            return Answer("flow_policy_deny")
        has_room = (
            len(self.sessions) < self.size - self.size // 5
        )  # the rest is for what is allowed
        if not has_room or self._place(session):
            self.counters["session_discard_full"] += 1
            return Answer("flow_policy_deny")
        self.counters["session_discard"] += 1
        session.packets[C2S] += 1
        session.bytes[C2S] += len(packet.data)
        return Answer("flow_policy_deny", 0, session)

    def _of_session(self, session: Session, direction: int, packet: Raw) -> Answer:
        starts = True
        if session.state == "ACTIVE":
            is_in_hardware = (
                session.hardware is not None
                and session.ways == self._generation
                and packet.is_plain
                and not (packet.segment and packet.segment.flags & (raw.SYN | raw.FIN | raw.RST))
            )
            self._look_up_ways(session)
            reason = session.blocked[direction]
            if packet.segment and not reason:
                reason, starts = self._segment(session, direction, packet)
            if reason:
                return Answer(reason, 0, session)
            if is_in_hardware:
                self._in_hardware(session, direction, packet)
                return Answer("forward", session.ports[1 - direction], session)
        else:
            starts = not self.config.no_refresh
        session.packets[direction] += 1
        session.bytes[direction] += len(packet.data)
        session.seen_data |= packet.payload > 0
        self._touch(session)
        if starts:
            self._refresh(session)
        if session.state == "DISCARD":
            return Answer("flow_discard_drop", 0, session)
        if not session.hardware and starts:
            self._enter(session)
        elif session.hardware and session.tcp and session.tcp.state != "ESTABLISHED":
            self._leave(session)
        return Answer("forward", session.ports[1 - direction], session)

    def _segment(self, session: Session, direction: int, packet: Raw) -> tuple[str, bool]:
        """Why it is dropped, if it is; whether the timer starts again."""
        assert session.tcp
        assert packet.segment
        config = self.config
        became = session.tcp.segment(
            direction,
            packet.segment,
            packet.payload,
            bypass=config.bypass,
            challenge=config.challenge,
            one_timer=config.timers["timeout-tcpwait"] > 0,
        )
        if became.counter:
            self.counters[became.counter] += 1
        if became.takes_back_a_rst:
            session.end_reason = "unknown"
        if became.end:
            session.note(became.end)
        return became.drop, became.starts
