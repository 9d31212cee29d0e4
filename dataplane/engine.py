"""The dataplane without clock or socket: packets and times in, verdicts and log entries out.

An edge feeds bursts and takes verdicts; whoever owns the process calls tick() when next_timer_ns()
says so and takes the log entries. Times are the edge's clock; `wall_offset_ns` turns them into time
of day.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from msgspec.structs import astuple

from dataplane import applications, marks
from dataplane.addresses import packed, text
from dataplane.fib import Fib
from dataplane.messages import Flow, Session, SessionFilter
from dataplane.names import Names
from dataplane.offload import DEFAULT_PLATFORM, PROFILES
from dataplane.policy import RULE_TYPES, Policy
from dataplane.rates import RateMeter, Rates
from dataplane.slowpath.context import Context, Tables
from dataplane.slowpath.pipeline import Decision, decide
from dataplane.snapshot import Port, Route, SecurityRule, Snapshot, Timeouts
from dataplane.traffic_log import Entry, protocol_name, time_text
from native import (
    ACTIONS,
    MAX_BURST,
    SESSION_STATES,
    TIMERS,
    DropReason,
    EngineConfig,
    EventType,
    Filter,
    FlowKey,
    Packet,
    PortConfig,
    SessionView,
    Stats,
    Verdict,
)
from native import Engine as NativeEngine

log = logging.getLogger(__name__)

_DENY_ALL = SecurityRule(name="interzone-default", action="deny", log_end=False)
_NOTHING = Snapshot(
    ports=(), rules=(), intrazone_default=_DENY_ALL, interzone_default=_DENY_ALL, timeouts_s={}
)
_MAX_TIMEOUT_S = max(timer.max_s for timer in TIMERS)
_MAX_AGING_FACTOR = 16
_EVENT_PAGES = 2  # logged at once, about 10 ms
_UDP = 17
_STATE_FILTERS = {"initial": "INIT"}  # the others are the state's name in lower case


class UnknownName(Exception):
    """A filter names a zone, rule or application nobody has heard of: nothing matches."""


class Observer(Protocol):
    """Somebody who is told what happens and when; the engine does not need to know why."""

    def decided(self, decision: Decision) -> None:
        """The slowpath has come to this decision."""

    def ended(self, session: SessionView) -> None:
        """A session is over; told in the order of the log, whether its rule logs it or not."""


class Engine:
    def __init__(
        self,
        *,
        hash_key: bytes,
        now_ns: int,
        wall_offset_ns: int = 0,
        max_sessions: int = 262_144,
        platform: str = DEFAULT_PLATFORM,
        observer: Observer | None = None,
    ) -> None:
        """`hash_key` is 16 secret random bytes. Before configure() every packet is dropped.

        The platform is one of offload.PROFILES.
        """
        self.platform = platform
        self._observer = observer
        self._profile = PROFILES[platform]
        self._offload_ordered: bool | None = None  # by an administrator, until a commit says else
        self.native = NativeEngine(
            hash_key=hash_key,
            now_ns=now_ns,
            max_sessions=max_sessions,
            max_offloaded=min(max_sessions, self._profile.max_sessions),
            # room for all of them to end at once
            max_events=max(1 << (max_sessions - 1).bit_length(), 1024),
        )
        self._now_ns = now_ns
        self._wall_offset_ns = wall_offset_ns
        self._ports = Names()
        self._zones = Names()
        self._rules = Names()
        self._applications = Names()
        self._port_by_number: dict[int, Port] = {}
        self._entries: list[Entry] = []
        self._meter = RateMeter(self.native.stats(), now_ns)
        self.snapshot = _NOTHING
        self._fib = Fib()
        self._swap(_NOTHING, self._fib, None)

    # ---- configuration

    def configure(self, snapshot: Snapshot) -> None:
        """Swaps the configuration between two packets. ValueError leaves the old one running."""
        ordered = self._offload_ordered if snapshot.offload == self.snapshot.offload else None
        self._swap(snapshot, self._fib, ordered)

    def set_routes(self, routes: Iterable[Route]) -> None:
        """Swaps the mirrored FIB. ValueError leaves the old one."""
        self._swap(self.snapshot, Fib(routes), self._offload_ordered)

    @property
    def offload(self) -> bool:
        """Whether sessions may be in the offload engine now."""
        is_on = self.snapshot.offload if self._offload_ordered is None else self._offload_ordered
        return is_on and self._profile.packets > 0

    def set_offload(self, enabled: bool) -> None:
        """Switches the offload engine; live sessions leave it at once, or enter it again.

        Raises ValueError where there is none to switch on.
        """
        if enabled and not self._profile.packets:
            others = ", ".join(name for name, profile in PROFILES.items() if profile.packets)
            raise ValueError(f"platform {self.platform} has no offload engine; {others} have one")
        self._swap(self.snapshot, self._fib, enabled)

    def _swap(self, snapshot: Snapshot, fib: Fib, offload_ordered: bool | None) -> None:
        _check(snapshot)
        policy = Policy(snapshot.rules, snapshot.intrazone_default, snapshot.interzone_default)
        overrides = snapshot.application_overrides
        ports, zones = self._ports.copy(), self._zones.copy()
        numbers = {port.name: ports.number(port.name) for port in snapshot.ports}
        configs = [PortConfig(zone=0, ipv6=False)] * len(ports)
        for port in snapshot.ports:
            zone = zones.number(port.zone) if port.zone else 0
            mark = marks.of_zone(port.zone) if port.zone else 0
            configs[numbers[port.name]] = PortConfig(zone, port.ipv6, mark)
        is_offload_on = snapshot.offload if offload_ordered is None else offload_ordered
        aging = snapshot.accelerated_aging
        self.native.configure(
            EngineConfig(
                timeouts_s=snapshot.timeouts_s,
                tcp_reject_non_syn=snapshot.tcp_reject_non_syn,
                ipv6_firewalling=snapshot.ipv6_firewalling,
                ports=configs,
                local=fib.local,
                host_mark=marks.HOST,
                tcp_asymmetric_bypass=snapshot.tcp_asymmetric_bypass,
                tcp_allow_challenge_ack=snapshot.tcp_allow_challenge_ack,
                no_refresh_on_discard=snapshot.no_refresh_on_discard,
                offload=self._profile if is_offload_on else None,
                aging_threshold_percent=aging.threshold_percent,
                aging_factor=aging.factor if aging.enabled else 1,
                vsys_max_sessions=snapshot.max_sessions,
            )
        )
        self.native.set_fibs([fib.native(numbers)])
        self._offload_ordered = offload_ordered
        self._ports, self._zones = ports, zones
        self._port_by_number = {numbers[port.name]: port for port in snapshot.ports}
        self.snapshot, self._fib = snapshot, fib
        self._tables = Tables(
            ports=self._port_by_number,
            port_numbers=numbers,
            zones=self._zones,
            rules=self._rules,
            applications=self._applications,
            fib=fib,
            policy=policy,
            timed_rules=frozenset(
                rule.name for rule in snapshot.rules if any(s.override for s in rule.services)
            ),
            application_overrides=Policy(overrides, None, None) if overrides else None,
            application_timeouts=snapshot.applications,
            discard_denied=snapshot.discard_denied,
        )

    def port_number(self, name: str) -> int:
        """What edges call a port in Packet.port; 0, which is dropped, for an unknown name."""
        return self._tables.port_numbers.get(name, 0)

    @property
    def now_ns(self) -> int:
        return self._now_ns

    def port_name(self, number: int) -> str:
        return self._ports.name(number)

    # ---- packets and time

    def feed(self, burst: Sequence[Packet], *, one_at_a_time: bool = False) -> list[Verdict]:
        """Decides packets, in order, and returns every verdict reached.

        With one_at_a_time each first packet of a session is decided before the next packet is
        looked at, so that packets with times of their own (a capture) are never decided late.
        """
        verdicts: list[Verdict] = []
        at, size = 0, MAX_BURST
        while at < len(burst):
            piece = burst[at : at + size]
            taken = self.native.input(piece, stop_when_undecided=one_at_a_time)
            at += taken
            if taken:
                self._now_ns = max(self._now_ns, piece[taken - 1].now_ns)
            if one_at_a_time:  # not the whole burst prepared again for every new session
                size = min(max(2 * taken, 1), MAX_BURST)
            while self.decide_waiting():
                pass
            verdicts += self.native.verdicts()
            self._read_events()
        return verdicts

    def tick(self, now_ns: int) -> list[Verdict]:
        """Runs timers up to now, and logs every session they end."""
        while self.advance(now_ns):
            pass
        return self.native.verdicts()

    def advance(self, now_ns: int) -> bool:
        """Like tick, for an edge that takes the verdicts from the native engine itself.

        Logs a bounded number of sessions, so that packets are not kept waiting when very many end
        at once; True where more are left.
        """
        self._now_ns = max(self._now_ns, now_ns)
        self.native.tick(now_ns)
        if self._meter.is_due(now_ns):
            self._meter.tick(self.native.stats(), now_ns)
        return all(self._read_page() for _ in range(_EVENT_PAGES))

    def next_timer_ns(self) -> int | None:
        return self.native.next_timer_ns()

    def decide_waiting(self) -> bool:
        """Answers a page of packets that wait for the slowpath; False where there were none."""
        waiting = self.native.undecided()
        for packet in waiting:
            try:
                decision = decide(packet, self._tables)
            except Exception:  # a fault of ours must not take the firewall down: fail closed
                log.exception("slowpath failed on a packet")
                decision = Decision(Context(packet), DropReason.flow_slowpath_error)
            if self._observer is not None:
                self._observer.decided(decision)
            context, refusal = decision
            try:
                if refusal is not None:
                    self.native.refuse(packet.handle, refusal)
                else:
                    assert context.spec is not None
                    if not self.native.install(packet.handle, context.spec):
                        self._log_refused(context)
            except KeyError:  # the other end's answer was its own too, or we were too slow
                continue
            except ValueError:  # likewise a fault of ours
                log.exception("the slowpath's answer makes no sense")
                self.native.refuse(packet.handle, DropReason.flow_slowpath_error)
        return bool(waiting)

    # ---- logs

    def take_entries(self) -> list[Entry]:
        """Traffic log entries since the last call, oldest first."""
        entries, self._entries = self._entries, []
        return entries

    def _read_events(self) -> None:
        while self._read_page():
            pass

    def _read_page(self) -> bool:
        """Logs what a page of events says; False where there were none."""
        events = self.native.events()
        for kind, session in events:
            if kind is EventType.SESSION_START:
                is_denied = session.action != "allow"
                self._log_session(session, "drop" if is_denied else "start", session.start_ns)
                continue
            if self._observer is not None:
                self._observer.ended(session)
            if session.log_end and session.action == "allow":
                self._log_session(session, "end", session.end_ns)
        return bool(events)

    def _log_session(self, session: SessionView, subtype: str, at_ns: int) -> None:
        application = self._applications.name(session.application)
        if subtype != "start":
            application = applications.at_end(application, session)
        is_start = subtype == "start"
        self._entries.append(
            self._entry(
                subtype=subtype,
                at_ns=at_ns,
                start_ns=session.start_ns,
                session_id=session.id,
                key=session.c2s,
                to_zone=self._zones.name(session.s2c.zone),
                ports=(session.ingress_port, session.egress_port),
                app=application,
                rule=self._rules.name(session.rule),
                action=session.action,
                traffic=(
                    session.bytes_c2s,
                    session.bytes_s2c,
                    session.packets_c2s,
                    session.packets_s2c,
                ),
                end_reason="n/a" if is_start else session.end_reason,
                tracker="" if is_start else session.tracker,
                offloaded=session.was_offloaded,
            )
        )

    def _log_refused(self, context: Context) -> None:
        """A denied packet that made no session."""
        rule, egress = context.rule, context.egress
        assert rule is not None
        assert egress is not None
        if rule.action == "allow" or not (rule.log_start or rule.log_end):
            return
        packet = context.packet
        self._read_events()  # what was before it comes before it in the log
        self._entries.append(
            self._entry(
                subtype="drop",
                at_ns=packet.now_ns,
                start_ns=packet.now_ns,
                session_id=0,
                key=packet.key,
                to_zone=context.to_zone,
                ports=(packet.port, self._tables.port_numbers[egress.name]),
                app=applications.NOT_APPLICABLE,
                rule=rule.name,
                action=rule.action,
                traffic=(0, 0, 0, 0),  # as the vendor counts what made no session
                end_reason="policy-deny",
                tracker="",
            )
        )

    def _entry(
        self,
        *,
        subtype: str,
        at_ns: int,
        start_ns: int,
        session_id: int,
        key: FlowKey,
        to_zone: str,
        ports: tuple[int, int],
        app: str,
        rule: str,
        action: str,
        traffic: tuple[int, int, int, int],
        end_reason: str,
        tracker: str,
        offloaded: bool = False,
    ) -> Entry:
        sent, received, pkts_sent, pkts_received = traffic
        none = "0.0.0.0" if key.family == 4 else "::"
        return Entry(
            subtype=subtype,
            time_generated=time_text(at_ns + self._wall_offset_ns),
            start=time_text(start_ns + self._wall_offset_ns),
            elapsed=(at_ns - start_ns) // 1_000_000_000,
            sessionid=session_id,
            src=text(key.src),
            dst=text(key.dst),
            natsrc=none,
            natdst=none,
            sport=key.sport,
            dport=key.dport,
            natsport=0,
            natdport=0,
            proto=protocol_name(key.proto),
            from_=self._zones.name(key.zone),
            to=to_zone,
            inbound_if=self._ports.name(ports[0]),
            outbound_if=self._ports.name(ports[1]),
            app=app,
            rule=rule,
            action=action,
            bytes=sent + received,
            bytes_sent=sent,
            bytes_received=received,
            packets=pkts_sent + pkts_received,
            pkts_sent=pkts_sent,
            pkts_received=pkts_received,
            session_end_reason=end_reason,
            tracker_stage=tracker,
            offloaded=int(offloaded),
        )

    # ---- looking and clearing

    def sessions(self, cursor: int, wanted: SessionFilter) -> tuple[list[Session], int]:
        """A page of live sessions and where to go on, 0 at the end.

        Raises ValueError where a filter makes no sense.
        """
        try:
            matching = self._filter(wanted)
        except UnknownName:
            return [], 0
        views, cursor = self.native.sessions(cursor, matching=matching)
        return [self.named(view) for view in views], cursor

    def session(self, session_id: int) -> Session | None:
        view = self.native.session(session_id) if 0 < session_id < 1 << 32 else None
        return None if view is None else self.named(view)

    def clear(self, session_id: int) -> bool:
        cleared = 0 < session_id < 1 << 32 and self.native.clear(session_id)
        self._read_events()
        return cleared

    def clear_matching(self, cursor: int, wanted: SessionFilter) -> tuple[int, int]:
        """Clears a page of matching sessions: how many, and the cursor to go on with."""
        try:
            matching = self._filter(wanted)
        except UnknownName:
            return 0, 0
        views, cursor = self.native.sessions(cursor, matching=matching)
        cleared = sum(self.native.clear(view.id) for view in views)
        self._read_events()
        return cleared, cursor

    def _filter(self, wanted: SessionFilter) -> Filter:
        if wanted.type == "predict":
            raise UnknownName("there are no predict sessions")
        return Filter(
            source=None if wanted.source is None else packed(wanted.source),
            destination=None if wanted.destination is None else packed(wanted.destination),
            source_port=_bounded("source-port", wanted.source_port, 65535),
            destination_port=_bounded("destination-port", wanted.destination_port, 65535),
            protocol=_bounded("protocol", wanted.protocol, 255),
            from_zone=_known(self._zones, wanted.from_zone),
            to_zone=_known(self._zones, wanted.to_zone),
            state=_state_number(wanted.state),
            rule=_known(self._rules, wanted.rule),
            application=_known(self._applications, wanted.application),
        )

    def named(self, view: SessionView) -> Session:
        """A session of this engine with names instead of numbers."""
        offset = self._wall_offset_ns
        return Session(
            id=view.id,
            vsys="vsys1",
            state=view.state,
            type="FLOW",
            application=self._applications.name(view.application),
            protocol=view.c2s.proto,
            c2s=self._flow(view.c2s),
            s2c=self._flow(view.s2c),
            rule=self._rules.name(view.rule),
            action=view.action,
            start_ns=view.start_ns + offset,
            last_ns=view.last_ns + offset,
            end_ns=view.end_ns + offset,
            now_ns=self._now_ns + offset,
            timeout_s=view.timeout_s,
            bytes_c2s=view.bytes_c2s,
            bytes_s2c=view.bytes_s2c,
            packets_c2s=view.packets_c2s,
            packets_s2c=view.packets_s2c,
            ingress=self._ports.name(view.ingress_port),
            egress=self._ports.name(view.egress_port),
            in_ager=view.in_ager,
            log_start=view.log_start,
            log_end=view.log_end,
            tracker=view.tracker,
            end_reason=view.end_reason,
            service_timeout=view.service_timeout,
            offloaded=view.offloaded,
            unreported_c2s=view.unreported_c2s,
            unreported_s2c=view.unreported_s2c,
            report_packets=self.report_packets(view),
            longest_gap_ms=view.longest_gap_ms,
            longest_wait_ms=view.longest_wait_ms,
        )

    def report_packets(self, view: SessionView) -> int:
        """So many packets of one of its flows make the offload engine report; 0: it does not."""
        if not view.offloaded:
            return 0
        return self._profile.udp_packets if view.c2s.proto == _UDP else self._profile.packets

    def _flow(self, key: FlowKey) -> Flow:
        zone = self._zones.name(key.zone)
        return Flow(text(key.src), text(key.dst), key.sport, key.dport, zone)

    def stats(self) -> Stats:
        return self.native.stats()

    def rates(self) -> Rates:
        return self._meter.rates

    def counters(self) -> dict[str, int]:
        return self.native.counters()

    def timeouts_s(self) -> dict[str, int]:
        """The timers in force, by knob."""
        return {t.knob: self.snapshot.timeouts_s.get(t.knob, t.default_s) for t in TIMERS}


def _check(snapshot: Snapshot) -> None:
    """Raises ValueError for what the engine could not run on."""
    for timer in TIMERS:
        seconds = snapshot.timeouts_s.get(timer.knob, timer.default_s)
        if not timer.min_s <= seconds <= timer.max_s and seconds != timer.default_s:
            raise ValueError(f"{timer.knob} {seconds} is not within {timer.min_s}..{timer.max_s}")
    for rule in (*snapshot.rules, snapshot.intrazone_default, snapshot.interzone_default):
        if rule.action not in ACTIONS:
            raise ValueError(f"rule {rule.name}: {rule.action} is no action")
        if rule.rule_type not in RULE_TYPES:
            raise ValueError(f"rule {rule.name}: {rule.rule_type} is no rule type")
    for owner, own in _own_timeouts(snapshot):
        if not all(0 <= seconds <= _MAX_TIMEOUT_S for seconds in astuple(own)):
            raise ValueError(f"a timer of {owner} is not within 0..{_MAX_TIMEOUT_S}")
    aging = snapshot.accelerated_aging
    if not 1 <= aging.threshold_percent <= 100:
        raise ValueError(
            f"accelerated aging threshold {aging.threshold_percent} is not within 1..100"
        )
    if not 1 <= aging.factor <= _MAX_AGING_FACTOR:
        raise ValueError(
            f"accelerated aging factor {aging.factor} is not within 1..{_MAX_AGING_FACTOR}"
        )
    _bounded("session maximum", snapshot.max_sessions, (1 << 32) - 1)
    zones: dict[int, str] = {}
    for name in {port.zone for port in snapshot.ports if port.zone}:
        other = zones.setdefault(marks.of_zone(name), name)
        if other != name:
            raise ValueError(f"zones {other} and {name} have the same mark; rename one of them")


def _own_timeouts(snapshot: Snapshot) -> Iterator[tuple[str, Timeouts]]:
    for rule in snapshot.rules:
        for service in rule.services:
            if service.override:
                yield f"a service of rule {rule.name}", service.override
    for name, application in snapshot.applications.items():
        for own in (application.tcp, application.udp, application.other):
            yield f"application {name}", own


def _known(names: Names, name: str | None) -> int | None:
    if name is None:
        return None
    number = names.find(name)
    if number is None:
        raise UnknownName(name)
    return number


def _bounded(what: str, value: int | None, highest: int) -> int | None:
    if value is not None and not 0 <= value <= highest:
        raise ValueError(f"{what} {value} is not within 0..{highest}")
    return value


def _state_number(state: str | None) -> int | None:
    if state is None:
        return None
    name = _STATE_FILTERS.get(state, state.upper())
    if name not in SESSION_STATES:
        raise ValueError(f"{state} is no session state")
    return SESSION_STATES.index(name)
