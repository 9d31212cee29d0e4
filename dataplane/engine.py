"""The dataplane without clock or socket: packets and times in, verdicts and log entries out.

An edge feeds bursts and takes verdicts; whoever owns the process calls tick() when next_timer_ns()
says so and takes the log entries. Times are the edge's clock; `wall_offset_ns` turns them into time
of day.
"""

import logging
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from dataplane import applications, marks, tunnels
from dataplane.addresses import packed, text
from dataplane.checks import bounded, check
from dataplane.dos import DosPolicy
from dataplane.fib import Fibs
from dataplane.hits import Hits
from dataplane.keyed_hash import KeyedHash
from dataplane.messages import Flow, Session, SessionFilter
from dataplane.names import Names
from dataplane.nat import NatPolicy, NatTables
from dataplane.offload import DEFAULT_PLATFORM, PROFILES
from dataplane.pbf import PbfPolicy
from dataplane.policy import Policy
from dataplane.port_configs import MULTICAST, NOBODY, port_config
from dataplane.protection import protection
from dataplane.qos import QosPolicy
from dataplane.rates import RateMeter, Rates
from dataplane.rematch import Rematch
from dataplane.routing import Paths, Routing
from dataplane.schedules import DosSchedules, InForce
from dataplane.slowpath.context import Context, Tables
from dataplane.slowpath.pipeline import Decision, decide
from dataplane.snapshot import (
    ApplicationOverride,
    Path,
    Route,
    SecurityRule,
    Snapshot,
)
from dataplane.threat_log import ThreatEntry, threat_entry
from dataplane.traffic_log import Entry, protocol_name, time_text
from native import (
    MAX_BURST,
    NAT_BOTH,
    NAT_DESTINATION,
    NAT_NONE,
    NAT_SOURCE,
    SESSION_STATES,
    TIMERS,
    DropReason,
    EngineConfig,
    EventType,
    Filter,
    FlowKey,
    Packet,
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
_ICMP_UNREACHABLE_PER_S = 200  # fact sheet 4.10
_MAX_HELD = 2048  # packets that wait for the slowpath
_EVENT_PAGES = 2  # logged at once, about 10 ms
_UDP = 17
_DEFAULT_CLASS = 4  # of what no QoS rule matches
_NAT_FILTERS = {
    "none": NAT_NONE,
    "source": NAT_SOURCE,
    "destination": NAT_DESTINATION,
    "both": NAT_BOTH,
}
_STATE_FILTERS = {"initial": "INIT"}  # the others are the state's name in lower case


class UnknownName(Exception):
    """A filter names a zone, rule or application nobody has heard of: nothing matches."""


class _Policies(NamedTuple):
    """The rulebases of a snapshot, compiled; those without a rule are None."""

    security: Policy[SecurityRule, SecurityRule]
    in_force: InForce | None
    timed_rules: frozenset[str]
    nat: NatPolicy | None
    qos: QosPolicy | None
    dos: DosPolicy | None
    application_overrides: Policy[ApplicationOverride, None] | None


class _State(NamedTuple):
    """What the engine runs on, as it was told."""

    snapshot: Snapshot
    policies: _Policies
    fibs: Fibs
    paths: tuple[Path, ...] = ()
    unreachable_pbf: tuple[str, ...] = ()
    offload_ordered: bool | None = None  # by an administrator, until a commit says else
    packet_threats: bool = False  # likewise, until the process ends


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
        self.max_held = _MAX_HELD
        self._observer = observer
        self._profile = PROFILES[platform]
        self.native = NativeEngine(
            hash_key=hash_key,
            now_ns=now_ns,
            max_sessions=max_sessions,
            max_offloaded=min(max_sessions, self._profile.max_sessions),
            max_held=_MAX_HELD,
            # room for all of them to end at once
            max_events=max(1 << (max_sessions - 1).bit_length(), 1024),
        )
        self._now_ns = now_ns
        self._wall_offset_ns = wall_offset_ns
        self._ports = Names()
        self._zones = Names()
        self._rules = Names()
        self._nat_rules = Names()
        self._pbf_rules = Names()
        self._qos_rules = Names()
        self._dos_rules = Names()
        self._applications = Names()
        self._hash = KeyedHash(hash_key)
        self._nat_tables = NatTables(
            pools=Names(),
            targets=Names(),
            lease=self.native.nat_lease,
            target_sessions=self.native.nat_target,
            secret_hash=self._hash,
        )
        self._entries: list[Entry] = []
        self._threats: list[ThreatEntry] = []
        self._meter = RateMeter(self.native.stats(), now_ns)
        self._hits = Hits()
        self._rematch = Rematch()
        self._hits.configure(_NOTHING, now_ns + wall_offset_ns)
        self._swap(_State(_NOTHING, self._policies(_NOTHING), Fibs()))

    # ---- configuration

    def configure(self, snapshot: Snapshot) -> None:
        """Swaps the configuration between two packets. ValueError leaves the old one running."""
        check(snapshot)
        before = self.snapshot
        ordered = self._state.offload_ordered if snapshot.offload == before.offload else None
        self._swap(
            self._state._replace(
                snapshot=snapshot, policies=self._policies(snapshot), offload_ordered=ordered
            )
        )
        self._hits.configure(snapshot, self._now_ns + self._wall_offset_ns)
        self._rematch.begin(before, snapshot)

    def set_routes(self, routes: Iterable[Route]) -> None:
        """Swaps the mirrored FIB. ValueError leaves the old one."""
        self._swap(self._state._replace(fibs=Fibs(routes)))

    def set_paths(self, paths: Iterable[Path], unreachable_pbf: Iterable[str] = ()) -> None:
        """Swaps the ways through the kernel, and says whose monitored host is silent."""
        self._swap(self._state._replace(paths=tuple(paths), unreachable_pbf=tuple(unreachable_pbf)))

    @property
    def snapshot(self) -> Snapshot:
        return self._state.snapshot

    @property
    def offload(self) -> bool:
        """Whether sessions may be in the offload engine now."""
        return self._has_offload(self._state)

    def _has_offload(self, state: _State) -> bool:
        ordered = state.offload_ordered
        return (state.snapshot.offload if ordered is None else ordered) and bool(
            self._profile.packets
        )

    def set_offload(self, enabled: bool) -> None:
        """Switches the offload engine; live sessions leave it at once, or enter it again.

        Raises ValueError where there is none to switch on.
        """
        if enabled and not self._profile.packets:
            others = ", ".join(name for name, profile in PROFILES.items() if profile.packets)
            raise ValueError(f"platform {self.platform} has no offload engine; {others} have one")
        self._swap(self._state._replace(offload_ordered=enabled))

    @property
    def packet_threats(self) -> bool:
        """Whether packets that packet-based protection drops are in the threat log, too."""
        return self._state.packet_threats

    def set_packet_threats(self, enabled: bool) -> None:
        self._swap(self._state._replace(packet_threats=enabled))

    def _policies(self, snapshot: Snapshot) -> _Policies:
        """Raises ValueError for rules that make no sense."""
        overrides, rules = snapshot.application_overrides, snapshot.rules
        return _Policies(
            security=Policy(rules, snapshot.intrazone_default, snapshot.interzone_default),
            in_force=InForce(rules) if any(rule.schedule for rule in rules) else None,
            timed_rules=frozenset(
                rule.name for rule in rules if any(s.override for s in rule.services)
            ),
            nat=(
                NatPolicy(snapshot.nat_rules, snapshot.nat_oversubscription, self._nat_tables)
                if snapshot.nat_rules
                else None
            ),
            qos=QosPolicy(snapshot.qos_rules) if snapshot.qos_rules else None,
            dos=DosPolicy(snapshot.dos_rules) if snapshot.dos_rules else None,
            application_overrides=Policy(overrides, None, None) if overrides else None,
        )

    def _swap(self, state: _State) -> None:
        """Everything at once, or, where the engine refuses its part, nothing."""
        snapshot, policies = state.snapshot, state.policies
        ports, zones = self._ports.copy(), self._zones.copy()
        by_name = {port.name: port for port in snapshot.ports}
        routing = Routing(
            snapshot.virtual_routers, state.fibs, by_name, Paths(state.paths), self._hash
        )
        is_multicast_routed = any(router.multicast for router in routing.routers)
        numbered = [*snapshot.ports, *([MULTICAST] if is_multicast_routed else [])]
        numbers = {port.name: ports.number(port.name) for port in numbered}
        parents = {port.interface: numbers[port.name] for port in numbered if not port.parent}
        protected = protection(snapshot, zones, numbers, self._dos_rules)
        configs = [NOBODY] * len(ports)
        tunnel_mtus = tunnels.mtus(snapshot)
        for port in numbered:
            configs[numbers[port.name]] = port_config(
                port,
                zones,
                routing,
                parents=parents,
                protections=protected.places,
                tunnel_mtu=tunnel_mtus.get(port.name, 0),
            )
        aging = snapshot.accelerated_aging
        self.native.configure(
            EngineConfig(
                timeouts_s=snapshot.timeouts_s,
                tcp_reject_non_syn=snapshot.tcp_reject_non_syn,
                ipv6_firewalling=snapshot.ipv6_firewalling,
                ports=configs,
                local=routing.local,
                host_mark=marks.HOST,
                tcp_asymmetric_bypass=snapshot.tcp_asymmetric_bypass,
                tcp_allow_challenge_ack=snapshot.tcp_allow_challenge_ack,
                no_refresh_on_discard=snapshot.no_refresh_on_discard,
                offload=self._profile if self._has_offload(state) else None,
                aging_threshold_percent=aging.threshold_percent,
                aging_factor=aging.factor if aging.enabled else 1,
                vsys_max_sessions=snapshot.max_sessions,
                nat_reserve_s=snapshot.nat_reserve_s,
                icmp_unreachable_per_s=_ICMP_UNREACHABLE_PER_S,
                log_packet_threats=state.packet_threats,
                strip_mptcp=snapshot.strip_mptcp,
                buffer_protection=protected.buffer,
                protections=protected.zones,
                dos_rules=protected.dos_rules,
                tunnels=[tunnels.native(tunnel, numbers) for tunnel in snapshot.tunnels],
            )
        )
        self.native.set_fibs([router.native(numbers) for router in routing.routers])
        self._ports, self._zones = ports, zones
        self._state = state
        self._dos_schedules = DosSchedules(snapshot.dos_rules, self._tell_dos_in_force)
        self._dos_schedules.advance(self._now_ns + self._wall_offset_ns)
        self._tables = Tables(
            ports={numbers[port.name]: port for port in snapshot.ports},
            port_numbers=numbers,
            ports_by_name=by_name,
            zones=self._zones,
            rules=self._rules,
            nat_rules=self._nat_rules,
            pbf_rules=self._pbf_rules,
            qos_rules=self._qos_rules,
            dos_rules=self._dos_rules,
            applications=self._applications,
            routing=routing,
            multicast=MULTICAST,
            pbf=(
                PbfPolicy(snapshot.pbf_rules, state.unreachable_pbf) if snapshot.pbf_rules else None
            ),
            nat=policies.nat,
            policy=policies.security,
            in_force=policies.in_force,
            timed_rules=policies.timed_rules,
            qos=policies.qos,
            dos=policies.dos,
            application_overrides=policies.application_overrides,
            application_timeouts=snapshot.applications,
            discard_denied=snapshot.discard_denied,
            wall_offset_ns=self._wall_offset_ns,
        )

    def _tell_dos_in_force(self, rule: str, is_in_force: bool) -> None:
        self.native.dos_in_force(self._dos_rules.number(rule), is_in_force)

    @property
    def tables(self) -> Tables:
        """What the slowpath decides by now."""
        return self._tables

    @property
    def hits(self) -> Hits:
        return self._hits

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
            self._dos_schedules.advance(piece[0].now_ns + self._wall_offset_ns)
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
            while self._read_threats():
                pass
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
        self._dos_schedules.advance(now_ns + self._wall_offset_ns)
        if self._meter.is_due(now_ns):
            self._meter.tick(self.native.stats(), now_ns)
        has_sessions = self._rematch.page(self.native, self._tables, self._now_ns)
        has_events = all(self._read_page() for _ in range(_EVENT_PAGES))
        has_threats = self._read_threats()
        return has_sessions or has_events or has_threats

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
            context, refusal, _ = decision
            self._count_hits(context)
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

    def _count_hits(self, context: Context) -> None:
        met, at_ns = self._hits.met, context.packet.now_ns + self._wall_offset_ns
        if context.rule is not None:
            met("security", context.rule.name, at_ns)
        if context.nat is not None:
            met("nat", context.nat.rule.name, at_ns)
        if context.pbf is not None:
            met("pbf", context.pbf.name, at_ns)
        if context.qos is not None:
            met("qos", context.qos.name, at_ns)
        if context.override is not None:
            met("application-override", context.override.name, at_ns)

    # ---- logs

    def take_entries(self) -> list[Entry]:
        """Traffic log entries since the last call, oldest first."""
        entries, self._entries = self._entries, []
        return entries

    def take_threats(self) -> list[ThreatEntry]:
        """Threat log entries since the last call, oldest first."""
        threats, self._threats = self._threats, []
        return threats

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

    def _read_threats(self) -> bool:
        """Logs a page of threats; False where there were none."""
        threats = self.native.threats()
        self._threats += [
            threat_entry(
                threat,
                time_generated=time_text(threat.now_ns + self._wall_offset_ns),
                zone=self._zones.name(threat.key.zone),
                port=self._ports.name(threat.port),
                rule=self._dos_rules.name(threat.rule),
            )
            for threat in threats
        ]
        return bool(threats)

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
                translated=_translated(session),
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
        translated: FlowKey | None = None,
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
            natsrc=none if translated is None else text(translated.src),
            natdst=none if translated is None else text(translated.dst),
            sport=key.sport,
            dport=key.dport,
            natsport=0 if translated is None else translated.sport,
            natdport=0 if translated is None else translated.dport,
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
            source_port=bounded("source-port", wanted.source_port, 65535),
            destination_port=bounded("destination-port", wanted.destination_port, 65535),
            protocol=bounded("protocol", wanted.protocol, 255),
            from_zone=_known(self._zones, wanted.from_zone),
            to_zone=_known(self._zones, wanted.to_zone),
            state=_state_number(wanted.state),
            rule=_known(self._rules, wanted.rule),
            application=_known(self._applications, wanted.application),
            nat_rule=_known(self._nat_rules, wanted.nat_rule),
            nat=_nat_flags(wanted.nat),
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
            nat_rule=self._nat_rules.name(view.nat_rule),
            pbf_rule=self._pbf_rules.name(view.pbf_rule),
            qos_rule=self._qos_rules.name(view.qos_rule),
            qos_class=view.qos_class or _DEFAULT_CLASS,
            is_host=view.is_host,
            syn_cookie=view.syn_cookie,
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


def _translated(session: SessionView) -> FlowKey | None:
    """The c2s key as the server sees it; None where it is the client's own."""
    if not (session.source_nat or session.destination_nat):
        return None
    s2c = session.s2c
    return s2c._replace(src=s2c.dst, dst=s2c.src, sport=s2c.dport, dport=s2c.sport)


def _known(names: Names, name: str | None) -> int | None:
    if name is None:
        return None
    number = names.find(name)
    if number is None:
        raise UnknownName(name)
    return number


def _nat_flags(nat: str | None) -> int | None:
    if nat is None:
        return None
    if nat not in _NAT_FILTERS:
        raise ValueError(f"nat {nat} is none of {', '.join(_NAT_FILTERS)}")
    return _NAT_FILTERS[nat]


def _state_number(state: str | None) -> int | None:
    if state is None:
        return None
    name = _STATE_FILTERS.get(state, state.upper())
    if name not in SESSION_STATES:
        raise ValueError(f"{state} is no session state")
    return SESSION_STATES.index(name)
