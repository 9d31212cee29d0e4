"""Why a packet went where it went: stage by stage, from what the engine says before and after it.

Nothing is decided here a second time. The explanation is read off the counters a packet moved, the
session it belonged to before and after, and the slowpath's own context.
"""

from collections.abc import Callable, Iterable, Iterator

from dataplane.addresses import text
from dataplane.engine import Engine
from dataplane.slowpath.context import Context
from dataplane.slowpath.pipeline import STAGES, Decision
from dataplane.snapshot import Route
from dataplane.threat_log import ThreatEntry
from dataplane.traffic_log import protocol_name
from native import (
    COUNTERS,
    CounterInfo,
    FlowKey,
    Packet,
    PacketInfo,
    SessionView,
    Verdict,
    VerdictAction,
    describe,
)

_TCP = 6
_ICMP = (1, 58)
_WITH_PORTS = (6, 17)
_FLAGS = ((2, "SYN"), (1, "FIN"), (4, "RST"), (8, "PSH"), (16, "ACK"), (32, "URG"))
_NS = 1_000_000_000
_LABEL_WIDTH = 22
_COUNTERS = {info.number: info for info in COUNTERS}


class Explainer:
    """Explains one packet after the other; the observer of the engine it explains."""

    def __init__(self) -> None:
        self._decisions: list[Decision] = []
        self._ended: list[SessionView] = []
        self._before: dict[int, SessionView] = {}
        self._counters: dict[str, int] = {}

    # ---- what the engine tells

    def decided(self, decision: Decision) -> None:
        self._decisions.append(decision)

    def ended(self, session: SessionView) -> None:
        self._ended.append(session)

    # ---- a packet

    def before(self, engine: Engine) -> None:
        """To be called right before a packet is fed."""
        self._decisions.clear()
        self._ended.clear()
        self._counters = engine.counters()

    def after(
        self, engine: Engine, number: int, packet: Packet, verdict: Verdict, since_ns: int
    ) -> list[str]:
        """Lines about the packet whose verdict this is; times count from `since_ns`."""
        info = describe(packet)
        moved = {name for name, value in engine.counters().items() if value > self._counters[name]}
        session = engine.native.session(verdict.session) if verdict.session else None
        known = self._before.get(verdict.session)
        if session is not None and known is not None and known.start_ns != session.start_ns:
            known = None
        at = f"#{number}  {(packet.now_ns - since_ns) / _NS:.6f} s  {engine.port_name(packet.port)}"
        lines = [f"{at or 'no port'}  {_packet_text(info)}"]
        stages = self._stages(engine, info, moved, known, session, verdict, since_ns)
        lines += [f"    {label:<{_LABEL_WIDTH}}{what}" for label, what in stages]
        if session is not None and session.end_reason == "unknown":
            self._before[session.id] = session
        for over in self._ended:
            self._before.pop(over.id, None)
        return lines

    def threats(self, entries: Iterable[ThreatEntry]) -> list[str]:
        """Lines about what the packet has made the threat log say."""
        return [f"    {'threat log':<{_LABEL_WIDTH}}{_threat(entry)}" for entry in entries]

    def rest(self, since_ns: int) -> list[str]:
        """What has happened since the last packet."""
        return [_end(over, since_ns) for over in self._ended]

    def _stages(
        self,
        engine: Engine,
        info: PacketInfo | CounterInfo,
        moved: set[str],
        known: SessionView | None,
        session: SessionView | None,
        verdict: Verdict,
        since_ns: int,
    ) -> Iterator[tuple[str, str]]:
        for over in self._ended:
            yield "ager", _end(over, since_ns)
        if isinstance(info, CounterInfo):
            yield "parse", "refused"
        else:
            yield "parse", f"IPv{info.key.family}, TTL {info.ttl}, {info.payload} bytes of payload"
        yield from (("SYN cookie", said) for name, said in _COOKIES.items() if name in moved)
        for decision in self._decisions:
            yield "flow lookup", "no session"
            yield from _decision(engine, decision)
        if session is not None:
            if not self._decisions:
                yield "flow lookup", f"session {session.id} {_direction(session, info)}"
            yield from _session(engine, info, moved, known, session)
        elif not self._decisions and not isinstance(info, CounterInfo) and verdict.reason:
            yield "flow lookup", "no session"
        yield "verdict", _verdict(engine, verdict)


# ---- texts ---------------------------------------------------------------------------------------


def _threat(entry: ThreatEntry) -> str:
    by = f'rule "{entry.rule}"' if entry.rule else f"zone {entry.from_}"
    because = f", {entry.reason}" if entry.reason else ""
    return f"{entry.threatid} of {by}: {entry.action}{because}"


def _end(session: SessionView, since_ns: int) -> str:
    at_s = (session.end_ns - since_ns) / _NS
    return f"session {session.id} ended at {at_s:.6f} s: {session.end_reason}"


def _packet_text(info: PacketInfo | CounterInfo) -> str:
    if isinstance(info, CounterInfo):
        return "not a packet the parser takes"
    key = info.key
    source, destination = text(key.src), text(key.dst)
    protocol = protocol_name(key.proto)
    if info.is_fragment:
        which = f"fragment of {info.fragment_id:#x} at {info.fragment_offset}"
        more = ", more to come" if info.more_fragments else ", the last"
        return f"{source} > {destination}  {protocol}  {which}{more}  {info.length} bytes"
    if key.proto in _ICMP:
        detail = f"type {info.icmp_type} code {info.icmp_code}"
        return f"{source} > {destination}  {protocol}  {detail}  {info.length} bytes"
    ends = f"{source}[{key.sport}] > {destination}[{key.dport}]  {protocol}"
    if key.proto != _TCP:
        return f"{ends}  {info.length} bytes"
    flags = ",".join(name for bit, name in _FLAGS if info.tcp_flags & bit)
    numbers = f"seq {info.tcp_seq} ack {info.tcp_ack} win {info.tcp_window}"
    return f"{ends} {flags}  {numbers}  {info.length} bytes"


def _direction(session: SessionView, info: PacketInfo | CounterInfo) -> str:
    if isinstance(info, CounterInfo) or info.key[:4] == session.c2s[:4]:
        return "c2s"
    return "s2c" if info.key[:4] == session.s2c[:4] else "that an ICMP error speaks about"


def _decision(engine: Engine, decision: Decision) -> Iterator[tuple[str, str]]:
    context, refusal, refused_by = decision
    for stage in STAGES:
        label, text_of = _STAGE_TEXTS[stage.__name__]
        if stage.__name__ == refused_by:
            assert refusal is not None
            yield label, f"{_rule_of(context, refused_by)}refused: {refusal.name}"
            return
        if told := text_of(engine, context):
            yield label, told
    if refusal is not None:
        yield "slowpath", f"refused: {refusal.name}"


def _rule_of(context: Context, stage: str) -> str:
    """The rule that had to do with a refusal."""
    nat = None if context.nat is None else context.nat.rule
    rules = {
        "policy_based_forwarding": context.pbf,
        "forwarding": context.pbf,
        "destination_translation": nat,
        "source_translation": nat,
    }
    rule = rules.get(stage)
    return "" if rule is None else f'rule "{rule.name}", '


def _zone(engine: Engine, context: Context) -> str:
    return context.from_zone and f"{context.from_zone} ({engine.port_name(context.packet.port)})"


def _policy_based_forwarding(engine: Engine, context: Context) -> str:
    rule = context.pbf
    if rule is None:
        return "no rule" if engine.snapshot.pbf_rules else ""
    by = f" by {rule.egress}" if rule.egress else ""
    via = f" via {rule.nexthop}" if rule.nexthop else ""
    back = ", answers the way it came" if context.fixed_s2c else ""
    return f'rule "{rule.name}": {rule.action}{via}{by}{back}'


def _forwarding(engine: Engine, context: Context) -> str:
    egress, route = context.egress, context.route
    if egress is None:
        return ""
    if route is None:
        return f"by {egress.name}, zone {context.to_zone}"
    if route.kind == "local":
        return f"{route.prefix} is an address of the firewall"
    return _route(engine, route)


def _route(engine: Engine, route: Route) -> str:
    by = f" via {route.nexthop}" if route.nexthop else ""
    port = engine.tables.ports_by_name.get(route.port)
    return f"route {route.prefix}{by} by {route.port}, zone {port.zone if port else 'none'}"


def _destination_translation(engine: Engine, context: Context) -> str:
    nat, destination = context.nat, context.destination
    if nat is None:
        return "no rule" if engine.snapshot.nat_rules else ""
    if destination is None:
        return f'rule "{nat.rule.name}"' + ("" if nat.source else ": no translation")
    route = context.translated_route
    there = "" if route is None else f"; {_route(engine, route)}"
    end = _end_text(destination.address, destination.port, context.packet.key)
    return f'rule "{nat.rule.name}": destination {end}{there}'


def _source_translation(engine: Engine, context: Context) -> str:
    source = context.source
    if source is None:
        return ""
    if source.oversubscription:
        return f"source {text(source.address)}, a port of its own"
    return f"source {_end_text(source.address, source.port, context.packet.key)}"


def _end_text(address: bytes, port: int, key: FlowKey) -> str:
    return f"{text(address)}[{port}]" if key.proto in _WITH_PORTS else text(address)


def _management(engine: Engine, context: Context) -> str:
    if not context.is_host or context.egress is None:
        return ""
    return f"allowed by the management profile of {context.egress.name}, zone {context.to_zone}"


def _security(engine: Engine, context: Context) -> str:
    rule = context.rule
    return "" if rule is None else f'rule "{rule.name}": {rule.action}'


def _quality_of_service(engine: Engine, context: Context) -> str:
    rule = context.qos
    return "" if rule is None else f'rule "{rule.name}": class {rule.qos_class}'


def _application(engine: Engine, context: Context) -> str:
    if context.override is not None:
        return f'{context.application}, by rule "{context.override.name}"'
    return context.application and f"no rule; {context.application}"


def _allocation(engine: Engine, context: Context) -> str:
    spec = context.spec
    if spec is None:
        return ""
    own = [
        f"{name.replace('_', '-')} {seconds} s"
        for name, seconds in spec.timeouts._asdict().items()
        if seconds
    ]
    if not own:
        return "timers of the device"
    owner = "the service" if spec.service_timeout else f"application {context.application}"
    return f"timers of {owner}: {', '.join(own)}"


_COOKIES = {
    "flow_dos_syncookie_sent": "sent to the client, for the server",
    "flow_dos_syncookie_ack_rcv": "come back right: in the place of the ACK the server gets a SYN",
    "flow_dos_syncookie_ack_err": "not what the ACK answers",
    "flow_dos_syncookie_wait": "come back, but the server has not answered yet",
}

# of each stage its label and what is said of it, nothing where it had nothing to do
_STAGE_TEXTS: dict[str, tuple[str, Callable[[Engine, Context], str]]] = {
    "zone": ("zone", _zone),
    "policy_based_forwarding": ("PBF", _policy_based_forwarding),
    "forwarding": ("forwarding", _forwarding),
    "destination_translation": ("NAT", _destination_translation),
    "management": ("management", _management),
    "security": ("security", _security),
    "source_translation": ("NAT source", _source_translation),
    "quality_of_service": ("QoS", _quality_of_service),
    "application_override": ("application override", _application),
    "allocation": ("allocation", _allocation),
}


def _session(
    engine: Engine,
    info: PacketInfo | CounterInfo,
    moved: set[str],
    known: SessionView | None,
    session: SessionView,
) -> Iterator[tuple[str, str]]:
    if known is None:
        yield "session", f"{session.id} is {session.state}"
        if session.source_nat or session.destination_nat:
            yield "translation", _as_the_server_sees_it(session)
    if session.tcp_state != "NONE":
        before, now = known.tcp_state if known else "NONE", session.tcp_state
        yield "TCP", now if before == now else f"{before} -> {now}"
        if "tcp_drop_out_of_wnd" in moved:
            yield "window", _window(engine, session, _direction(session, info))
    if "pkt_offloaded" in moved:
        yield "offload", _offloaded(engine, session, moved, _direction(session, info))
    elif session.in_ager:
        refreshed = known is None or known.end_ns != session.end_ns
        yield (
            "fastpath",
            ("timer started: " if refreshed else "timer goes on: ") + _timer(engine, session),
        )
    if "session_offloaded" in moved:
        yield "offload", f"session {session.id} enters the offload engine"
    if known is not None and known.offloaded and not session.offloaded:
        yield "offload", f"session {session.id} leaves the offload engine"


def _as_the_server_sees_it(session: SessionView) -> str:
    key = session.s2c
    source = _end_text(key.dst, key.dport, key)
    return f"{source} > {_end_text(key.src, key.sport, key)}"


def _window(engine: Engine, session: SessionView, direction: str) -> str:
    limits = engine.native.tcp_limits(session.id)
    if limits is None:
        return "none known"
    mine = limits[direction == "s2c"]
    if not mine.enforced:  # the handshake is not over
        return f"{direction} fits no handshake"
    return (
        f"{direction} may send from {mine.lowest_end} to {mine.highest_end}"
        f" and acknowledge {mine.lowest_ack} to {mine.highest_ack}"
    )


def _offloaded(engine: Engine, session: SessionView, moved: set[str], direction: str) -> str:
    limit = engine.report_packets(session)
    if "offload_report" in moved:
        return f"{direction} reported, timer started: {_timer(engine, session)}"
    counted = session.unreported_c2s if direction == "c2s" else session.unreported_s2c
    return (
        f"{direction} packet {counted} of {limit} since the last report,"
        f" timer goes on: {_timer(engine, session)}"
    )


def _timer(engine: Engine, session: SessionView) -> str:
    left_s = (session.end_ns - engine.now_ns) / _NS
    return f"{left_s:.3f} s of {session.timeout_s} s left"


def _verdict(engine: Engine, verdict: Verdict) -> str:
    match verdict.action:
        case VerdictAction.FORWARD:
            return f"forward by {engine.port_name(verdict.port)}"
        case VerdictAction.HOST:
            return "for the firewall itself"
        case VerdictAction.CONSUMED:
            return "answered by the firewall, or sent on in another form"
        case _:
            reason = _COUNTERS[verdict.reason]
            return f"drop, {reason.name}: {reason.text.removeprefix('Packets dropped: ')}"
