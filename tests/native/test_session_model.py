"""Random histories: the engine beside a model of its sessions (tests/support/session_model.py).

After every step both say the same of verdicts, counters, sessions that ended and sessions that
live, to the nanosecond. Two batches of a thousand histories are run, always the same ones; with
SIXTUPLE_BATCHES=100 in the environment a hundred are.
"""

import os
from collections import Counter
from dataclasses import dataclass
from itertools import chain

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from dataplane.addresses import packed
from dataplane.offload import PROFILES
from native import (
    COUNTERS,
    TIMERS,
    DropReason,
    Engine,
    EngineConfig,
    EventType,
    Fib,
    FlowKey,
    OffloadProfile,
    Packet,
    PortConfig,
    SessionSpec,
    SessionTimeouts,
    SessionView,
    VerdictAction,
)
from tests.support import raw_packets as raw
from tests.support.packets import BASTION, CLIENT, HASH_KEY, SERVER
from tests.support.raw_packets import Flow, Raw, Segment
from tests.support.session_model import NS, Answer, Config, Policy, Session, Table, Ways

BATCHES = int(os.environ.get("SIXTUPLE_BATCHES", "2"))

# ---- the world -----------------------------------------------------------------------------------

TRUST, UNTRUST, UNTRUST_TOO, DMZ = 1, 2, 3, 4  # ports
ZONES = (0, 1, 2, 2, 3)
NAMES = {info.number: info.name for info in COUNTERS}
ROUTERS = {4: packed(BASTION[4]), 6: packed(BASTION[6])}


def flow(family: int, sport: int, dport: int, proto: int) -> Flow:
    return Flow(packed(CLIENT[family]), packed(SERVER[family]), sport, dport, proto)


DENIED, DROPPED = (97, 99), 98  # destination ports: leave a session in discard state, or none
FLOWS = (
    flow(4, 1000, 80, raw.TCP),
    flow(6, 1001, 80, raw.TCP),
    flow(4, 1002, 443, raw.TCP),
    flow(4, 1003, 99, raw.TCP),
    flow(4, 1004, 53, raw.UDP),
    flow(6, 1005, 54, raw.UDP),
    flow(4, 1006, 97, raw.UDP),
    flow(6, 1007, DROPPED, raw.UDP),
    flow(4, 7, 1, raw.ICMP),
    flow(6, 7, 2, raw.ICMPV6),
    flow(4, 0, 0, raw.GRE),
)
OWN = {  # timers of a session's own, by the server's port
    443: SessionTimeouts(established=25, half_closed=7, time_wait=3, discard=4),
    54: SessionTimeouts(established=13),
    99: SessionTimeouts(discard=17),
}


def policy(of: Flow) -> Policy:
    service = min(of.sport, of.dport)
    denied = of.dport in (*DENIED, DROPPED)
    return Policy(not denied, OWN.get(service, SessionTimeouts()), of.dport != DROPPED)


def ways(client: int | None, server: int | None) -> Ways:
    found = {packed(CLIENT[family]): client for family in (4, 6)}
    return found | {packed(SERVER[family]): server for family in (4, 6)}


HOME = ways(TRUST, UNTRUST)
WAYS = (
    HOME,
    ways(TRUST, UNTRUST_TOO),
    ways(TRUST, DMZ),
    ways(DMZ, UNTRUST),
    ways(TRUST, None),
    ways(None, UNTRUST),
)

DEFAULT_TIMERS = {timer.knob: timer.default_s for timer in TIMERS}
SHORT_TIMERS = DEFAULT_TIMERS | {
    "timeout-tcp": 40,
    "timeout-udp": 9,
    "timeout-default": 20,
    "timeout-tcp-half-closed": 12,
    "timeout-tcp-time-wait": 5,
    "timeout-tcp-unverified-rst": 6,
}
OLD_TIMERS = SHORT_TIMERS | {"timeout-tcpwait": 11}

# the profiles of dataplane/offload.py, a small one, and one with a table of two sessions
PA_5000 = PROFILES["pa-5000"]._replace(max_sessions=64)
PA_7000 = PROFILES["pa-7000"]._replace(max_sessions=64)
PLATFORMS: tuple[OffloadProfile | None, ...] = (
    PA_5000,
    PA_7000,
    None,
    OffloadProfile(packets=4, udp_packets=2, scan_ms=3000, max_sessions=64),
    PA_5000._replace(max_sessions=2),
)

CONFIGS = st.builds(
    Config,
    timers=st.sampled_from([DEFAULT_TIMERS, SHORT_TIMERS, OLD_TIMERS]),
    zones=st.just(ZONES),
    reject_non_syn=st.booleans(),
    bypass=st.sampled_from([False, False, True]),
    challenge=st.booleans(),
    no_refresh=st.booleans(),
    offload=st.none(),  # the platform's, see Both
    max_sessions=st.sampled_from([0, 0, 0, 4]),
)

# ---- histories -----------------------------------------------------------------------------------

ACK = raw.ACK
FLAGS = {
    "A": ACK,
    "PA": raw.PSH | ACK,
    "S": raw.SYN,
    "SA": raw.SYN | ACK,
    "FA": raw.FIN | ACK,
    "RA": raw.RST | ACK,
    "R": raw.RST,
}
WINDOW = 1000
# how far numbers are off what fits
OFF = (0, 0, 1, -1, 50, WINDOW, WINDOW + 1, -WINDOW, -WINDOW - 1, -66_000, -66_001, 1 << 31)


@dataclass(frozen=True)
class Say:
    """A packet of a flow, from its client or back."""

    flow: int
    back: bool = False
    flags: str = "PA"
    seq_off: int = 0
    ack_off: int = 0
    window: int = WINDOW
    scale: int | None = None
    size: int = 0
    has_options: bool = False
    port: int = 0  # 0: the one of its side
    count: int = 1
    gap_ns: int = 0  # between several


@dataclass(frozen=True)
class Open:
    """A handshake, of a flow of TCP."""

    flow: int
    back: bool = False
    scales: tuple[int | None, int | None] = (None, None)


@dataclass(frozen=True)
class Close:
    """Both FINs of a flow of TCP, acknowledged."""

    flow: int
    back: bool = False


@dataclass(frozen=True)
class Complain:
    """An ICMP error about the last packet of a flow and direction."""

    flow: int
    back: bool = False
    port: int = UNTRUST


@dataclass(frozen=True)
class Clear:
    flow: int


@dataclass(frozen=True)
class Offload:
    is_on: bool


@dataclass(frozen=True)
class Lead:
    ways: int


@dataclass(frozen=True)
class Commit:
    config: Config


@dataclass(frozen=True)
class Wait:
    """Time passes: so much, or until so long before a session of the flow expires or reports."""

    ns: int
    until: str = ""  # expiry, report
    flow: int = 0


Step = Say | Open | Close | Complain | Clear | Offload | Lead | Commit | Wait

FLOW = st.sampled_from([0, 0, 0, 2, 4, 4, 4, *range(len(FLOWS))])
TCP_FLOW = st.sampled_from([0, 0, 0, 1, 2])
BACK = st.booleans()
OFFSET = st.sampled_from(OFF)
SIZE = st.sampled_from([0, 0, 1, 100, 1000])
COHERENT = st.builds(
    Say,
    flow=TCP_FLOW,
    back=BACK,
    flags=st.sampled_from(["A", "PA", "PA", "S", "SA", "FA", "FA", "RA", "R"]),
    window=st.sampled_from([WINDOW, WINDOW, WINDOW, 0]),
    size=SIZE,
)
RESETS = st.builds(
    Say, flow=TCP_FLOW, back=BACK, flags=st.just("R"), seq_off=st.sampled_from([1, 50, WINDOW, -1])
)
WILD = st.builds(
    Say,
    flow=st.sampled_from([0, 0, 0, 1, 2, 3]),
    back=BACK,
    flags=st.sampled_from(list(FLAGS)),
    seq_off=OFFSET,
    ack_off=OFFSET,
    window=st.sampled_from([WINDOW, WINDOW, 0, 65535]),
    scale=st.sampled_from([None, 0, 3, 15]),
    size=SIZE,
    has_options=st.sampled_from([False, False, False, True]),
    port=st.sampled_from([0, 0, 0, 0, 0, 0, UNTRUST_TOO, DMZ]),
)
TALK = st.builds(
    Say,
    flow=FLOW,
    back=BACK,
    window=st.sampled_from([WINDOW, 65535]),
    size=st.sampled_from([0, 1, 10]),
    has_options=st.sampled_from([False, False, False, False, True]),
    count=st.sampled_from([1, 1, 2, 3, 7, 8, 15, 16, 17, 65]),
    gap_ns=st.sampled_from([0, 1, NS // 10, NS, 2 * NS]),
)
STEP_NS = st.one_of(
    st.sampled_from([0, 1, NS // 2, NS, 3 * NS, 8 * NS - 1, 8 * NS, 20 * NS, 4000 * NS]),
    st.integers(0, 1 << 27),
    st.integers(0, 60 * NS),
)
LOOK = st.booleans()
AROUND_NS = st.sampled_from([0, 0, 1, -1, 1 << 26])
SCALES = st.sampled_from([(None, None), (None, 2), (3, None), (2, 7), (15, 0)])
STEPS: st.SearchStrategy[Step] = st.one_of(
    COHERENT,
    COHERENT,
    COHERENT,
    RESETS,
    WILD,
    TALK,
    TALK,
    st.builds(Open, flow=TCP_FLOW, back=st.sampled_from([False, False, True]), scales=SCALES),
    st.builds(Close, flow=TCP_FLOW, back=BACK),
    st.builds(Wait, ns=STEP_NS),
    st.builds(Wait, ns=AROUND_NS, until=st.sampled_from(["expiry", "expiry", "report"]), flow=FLOW),
    st.builds(Complain, flow=FLOW, back=BACK, port=st.sampled_from([UNTRUST, TRUST])),
    st.builds(Clear, flow=FLOW),
    st.builds(Offload, is_on=st.booleans()),
    st.builds(Lead, ways=st.sampled_from([0, 0, *range(len(WAYS))])),
    st.builds(Commit, config=CONFIGS),
)


class Ends:
    """The two ends of a TCP flow: what each has to send next."""

    ISNS = ((1 << 32) - 500, 7_000_000)

    def __init__(self) -> None:
        self.next = [isn + 1 for isn in self.ISNS]
        self.fins: list[int | None] = [None, None]

    def segment(self, say: Say) -> Segment:
        flags = FLAGS[say.flags]
        fin = self.fins[say.back] if flags & raw.FIN else None
        seq = self.ISNS[say.back] if flags & raw.SYN else fin or self.next[say.back]
        if flags & raw.FIN and not say.seq_off:
            self.fins[say.back] = seq
        if not say.seq_off:
            end = seq + say.size + bool(flags & raw.SYN) + bool(flags & raw.FIN)
            self.next[say.back] = max(self.next[say.back], end)
        numbers = (
            (seq + say.seq_off) % (1 << 32),
            (self.next[not say.back] + say.ack_off) % (1 << 32),
        )
        return Segment(flags, *numbers, say.window, say.scale if flags & raw.SYN else None)


# ---- both side by side ---------------------------------------------------------------------------


class Both:
    """The engine and the model, with the same things happening to them."""

    def __init__(
        self, config: Config, platform: OffloadProfile | None, size: int, start_ns: int
    ) -> None:
        self.platform, self.is_on = platform, True
        self.now_ns = start_ns
        self.config = config._replace(offload=platform)
        self.engine = Engine(hash_key=HASH_KEY, now_ns=start_ns, max_sessions=size)
        self.model = Table(self.config, HOME, policy, size=size, now_ns=start_ns)
        self.live: dict[int, Session] = {}
        self.ends = [Ends() for _ in FLOWS]
        self.last: dict[tuple[int, bool], Raw] = {}
        self._configure()
        self._lead(HOME)

    # ---- steps

    def take(self, step: Step) -> None:
        match step:
            case Say():
                for number in range(step.count):
                    self.now_ns += step.gap_ns * (number > 0)
                    self._say(step)
            case Open(of, back, scales):
                for flags, answers in (("S", False), ("SA", True), ("A", False)):
                    self._say(Say(of, back ^ answers, flags, scale=scales[answers]))
            case Close(of, back):
                for flags, answers in (("FA", False), ("A", True), ("FA", True), ("A", False)):
                    self._say(Say(of, back ^ answers, flags))
            case Complain(of, back, port):
                if (of, back) in self.last:
                    about = self.last[of, back]
                    self._packet(raw.error(about, ROUTERS[about.flow.family]), port)
            case Clear(of):
                self._clear(of)
            case Wait(ns, until, of):
                self.now_ns = max(self._moment(until, of) + ns, self.now_ns)
                self._tick()
            case Offload(is_on):
                self.is_on = is_on
                self._tick()
                self._configure()
            case Lead(number):
                self._tick()
                self.model.set_ways(WAYS[number])
                self._lead(WAYS[number])
            case Commit(config):
                self._tick()
                self.config = config
                self._configure()

    def _moment(self, until: str, of: int) -> int:
        """When a session of a flow expires, or reports by time; now where there is none."""
        for key, (session, _) in self.model.flows.items():
            if key[0] not in (FLOWS[of], FLOWS[of].back()):
                continue
            if until == "expiry":
                return session.end_ns
            hardware, offload = session.hardware, self.config.offload
            if until == "report" and hardware and offload and any(hardware.packets):
                first_ns = [hardware.first_ns[d] for d in (0, 1) if hardware.packets[d]]
                return min(first_ns) + offload.scan_ms * 1_000_000
        return self.now_ns

    def _say(self, say: Say) -> None:
        of = FLOWS[say.flow].back() if say.back else FLOWS[say.flow]
        if of.proto == raw.TCP:
            segment = self.ends[say.flow].segment(say)
            packet = raw.tcp(of, segment, say.size, options=say.has_options)
        elif of.proto == raw.UDP:
            packet = raw.udp(of, say.size, options=say.has_options)
        elif of.proto == raw.GRE:
            size = 8 + say.size  # an error quotes that much
            packet = raw.other(of, size, options=say.has_options)
        else:
            packet = raw.echo(of, reply=say.back, size=say.size)
        self.last[say.flow, say.back] = packet
        self._packet(packet, say.port or (UNTRUST if say.back else TRUST))

    def _tick(self) -> None:
        self.engine.tick(self.now_ns)
        self.model.advance(self.now_ns)

    def _configure(self) -> None:
        config = self.config = self.config._replace(offload=self.platform if self.is_on else None)
        self.engine.configure(
            EngineConfig(
                timeouts_s=dict(config.timers),
                tcp_reject_non_syn=config.reject_non_syn,
                ipv6_firewalling=True,
                ports=[PortConfig(zone, True) for zone in config.zones],
                local=[],
                tcp_asymmetric_bypass=config.bypass,
                tcp_allow_challenge_ack=config.challenge,
                no_refresh_on_discard=config.no_refresh,
                offload=config.offload,
                vsys_max_sessions=config.max_sessions,
            )
        )
        self.model.configure(config)

    def _lead(self, way: Ways) -> None:
        self.engine.set_fibs(
            [Fib([(a, 128, port, ()) for a, port in way.items() if port is not None])]
        )

    def _clear(self, of: int) -> None:
        self._tick()
        for session_id, session in list(self.live.items()):
            if session.keys[0][0] in (FLOWS[of], FLOWS[of].back()):
                assert self.engine.clear(session_id) == self.model.clear(session)

    # ---- a packet

    def _packet(self, packet: Raw, port: int) -> None:
        self.model.advance(self.now_ns)
        expected = self.model.packet(packet, port)
        fed = Packet(packet.data, port, self.now_ns, 7, checksum_trusted=True)
        assert self.engine.input([fed]) == 1
        for waiting in self.engine.undecided():
            egress = self.model.ways[waiting.key.dst]
            if egress is None:
                self.engine.refuse(waiting.handle, DropReason.flow_fwd_l3_noroute)
            else:
                self.engine.install(waiting.handle, self._spec(waiting.key, egress))
        (verdict,) = self.engine.verdicts()
        what = "forward" if verdict.action is VerdictAction.FORWARD else NAMES[verdict.reason]
        assert (what, verdict.port) == expected[:2]
        self._same_ends()
        self._same_session(expected, verdict.session)

    def _spec(self, key: FlowKey, egress: int) -> SessionSpec:
        says = policy(Flow(key.src, key.dst, key.sport, key.dport, key.proto))
        answers = FlowKey(
            key.dst, key.src, key.dport, key.sport, ZONES[egress], key.proto, key.family
        )
        return SessionSpec(
            answers,
            egress,
            "allow" if says.allow else "deny",
            rule=1,
            application=1,
            log_start=False,
            log_end=True,
            keep_denied=says.keep_denied,
            timeouts=says.own,
        )

    def _same_session(self, expected: Answer, session_id: int) -> None:
        if expected.session is None:
            assert session_id == 0
        elif expected.session.id:
            assert session_id == expected.session.id
        else:  # a new one
            assert session_id
            assert session_id not in {s.id for s in self.model.sessions}
            expected.session.id = session_id
            self.live[session_id] = expected.session

    # ---- what must be the same

    def compare(self, *, look: bool) -> None:
        if look:
            views, cursor = self.engine.sessions()
            assert cursor == 0
            sessions = {session.id: session for session in self.model.look()}
            assert {view.id for view in views} == set(sessions)
            for view in views:
                self._same(view, sessions[view.id])
        self._same_ends()
        self._same_counters()

    def _same_ends(self) -> None:
        ended, self.model.ended = {session.id: session for session in self.model.ended}, []
        events = self.engine.events()
        assert sorted(event.session.id for event in events) == sorted(ended)
        for kind, view in events:
            assert kind is EventType.SESSION_END
            self._same(view, ended[view.id])
            del self.live[view.id]

    def _same(self, view: SessionView, session: Session) -> None:
        hardware, tcp = session.hardware, session.tcp
        assert view == view._replace(
            state=session.state,
            tcp_state=tcp.state if tcp else "NONE",
            end_reason=session.end_reason,
            c2s=_key(session.keys[0]),
            s2c=_key(session.keys[1]),
            packets_c2s=session.packets[0],
            packets_s2c=session.packets[1],
            bytes_c2s=session.bytes[0],
            bytes_s2c=session.bytes[1],
            start_ns=session.start_ns,
            last_ns=session.last_ns,
            end_ns=session.end_ns,
            timeout_s=session.timeout_s,
            longest_gap_ms=session.longest_gap_ns // 1_000_000,
            longest_wait_ms=session.wait_ns() // 1_000_000,
            ingress_port=session.ports[0],
            egress_port=session.ports[1],
            unreported_c2s=hardware.packets[0] if hardware else 0,
            unreported_s2c=hardware.packets[1] if hardware else 0,
            seen_data=session.seen_data,
            was_offloaded=session.was_offloaded,
            in_ager=session.state in ("ACTIVE", "DISCARD"),
            offloaded=hardware is not None,
        )
        if tcp and session.state == "ACTIVE":
            limits = self.engine.tcp_limits(view.id)
            assert limits is not None
            for side in (0, 1):
                assert limits[side].enforced == (tcp.is_tracked and not self.config.bypass)
                if tcp.is_tracked:
                    assert limits[side][:4] == tcp.limits(side)

    def _same_counters(self) -> None:
        counters = {name: count for name, count in self.engine.counters().items() if count}
        expected = {name: count for name, count in self.model.counters.items() if count}
        assert counters == expected
        stats, sessions = self.engine.stats(), self.model.sessions
        by_kind = Counter(_KINDS.get(session.proto, "other") for session in sessions)
        assert stats._asdict() == stats._asdict() | {
            "allocated": len(sessions),
            "discard": sum(session.state == "DISCARD" for session in sessions),
            "offloaded": self.model.offloaded(),
            "installed": self.model.installed,
            "packets": self.model.forwarded[0],
            "bytes": self.model.forwarded[1],
            "undecided": 0,
            "held": 0,
        } | {kind: by_kind[kind] for kind in ("tcp", "udp", "icmp", "other")}


_KINDS = {raw.TCP: "tcp", raw.UDP: "udp", raw.ICMP: "icmp", raw.ICMPV6: "icmp"}


def _key(key: tuple[Flow, int]) -> FlowKey:
    of, zone = key
    return FlowKey(of.src, of.dst, of.sport, of.dport, zone, of.proto, of.family)


def same(
    config: Config,
    platform: OffloadProfile | None,
    size: int,
    start_ns: int,
    history: list[list[tuple[Step, bool]]],
) -> None:
    both = Both(config, platform, size, start_ns)
    for step, look in chain.from_iterable(history):
        both.take(step)
        both.compare(look=look)
    both.compare(look=True)
    both.take(Wait(16_000_000 * NS))
    both.compare(look=False)
    assert both.engine.stats().allocated == 0
    assert not both.model.sessions


@pytest.mark.parametrize("batch", range(BATCHES))
def test_the_engine_does_what_the_model_does(batch: int) -> None:
    check = given(
        config=CONFIGS,
        platform=st.sampled_from(PLATFORMS),
        size=st.sampled_from([64, 64, 4]),
        start_ns=st.sampled_from([0, 1 << 33, 1_700_000_000 * NS + 123_456_789]),
        # lists are short where they may be empty: of several one is made
        history=st.lists(st.lists(st.tuples(STEPS, LOOK), min_size=3, max_size=15), max_size=12),
    )(same)
    # hypothesis remembers what it has tried: batches bound its memory
    seed(batch)(settings(max_examples=1000, database=None)(check))()
