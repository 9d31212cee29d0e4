"""Answers the management plane's requests. Every one is bounded work."""

from typing import NamedTuple, assert_never

from dataplane import messages
from dataplane.defenses import Defenses
from dataplane.engine import Engine
from dataplane.lookups import find_route, matching_rules, nat_pools
from native import COUNTERS


class Process(NamedTuple):
    """What the engine does not know of itself."""

    pid: int
    io: str
    started_ns: int
    log_lost: int


def answer(
    engine: Engine, request: messages.Request, process: Process, now_ns: int
) -> messages.Reply:
    """The reply to everything but Stop, which the process answers itself. Nothing is raised."""
    try:
        return _answer(engine, request, process, now_ns)
    except ValueError as error:
        return messages.Failed(str(error))


def _answer(
    engine: Engine, request: messages.Request, process: Process, now_ns: int
) -> messages.Reply:
    match request:
        case messages.Configure(snapshot):
            engine.configure(snapshot)
            return messages.Done()
        case messages.SetRoutes(routes):
            engine.set_routes(routes)
            return messages.Done()
        case messages.SetPaths(paths, unreachable_pbf):
            engine.set_paths(paths, unreachable_pbf)
            return messages.Done()
        case messages.GetHits(rulebase):
            return messages.Hits(engine.hits.of(rulebase))
        case messages.ClearHits(rulebase, rules):
            at_ns = now_ns + engine.tables.wall_offset_ns
            return messages.Done(engine.hits.clear(rulebase, rules, at_ns))
        case messages.GetNatPools():
            oversubscription = engine.snapshot.nat_oversubscription
            return messages.NatPools(
                tuple(nat_pools(engine.tables, engine.native, oversubscription))
            )
        case messages.Match():
            return messages.Matched(matching_rules(engine.tables, request, now_ns))
        case messages.FindRoute(address, virtual_router):
            return messages.FoundRoute(find_route(engine.tables, address, virtual_router))
        case messages.GetStatus():
            return _status(engine, process, now_ns)
        case messages.GetSessions(cursor, wanted):
            sessions, cursor = engine.sessions(_cursor(cursor), wanted)
            return messages.SessionPage(tuple(sessions), cursor)
        case messages.GetSession(session_id):
            return messages.SessionDetail(engine.session(session_id))
        case messages.ClearSession(session_id):
            return messages.Done(count=int(engine.clear(session_id)))
        case messages.ClearSessions(cursor, wanted):
            count, cursor = engine.clear_matching(_cursor(cursor), wanted)
            return messages.Done(count, cursor)
        case messages.GetCounters():
            values = engine.counters()
            counters = tuple(
                messages.Counter(c.name, values[c.name], c.severity, c.category, c.aspect, c.text)
                for c in COUNTERS
            )
            return messages.Counters(counters, now_ns)
        case messages.SetOffload(enabled):
            engine.set_offload(enabled)
            return messages.Done()
        case messages.SetPacketThreats(enabled):
            engine.set_packet_threats(enabled)
            return messages.Done()
        case messages.GetZoneProtection(zone):
            return messages.ZoneProtections(Defenses(engine).zones(zone))
        case messages.GetDosRule(rule):
            return Defenses(engine).dos_rule(rule)
        case messages.GetBlocks(cursor, zone):
            blocks, cursor = Defenses(engine).blocks(_cursor(cursor), zone, now_ns)
            return messages.BlockPage(tuple(blocks), cursor)
        case messages.ClearBlocks(cursor, zone, source):
            count, cursor = Defenses(engine).unblock(_cursor(cursor), zone, source)
            return messages.Done(count, cursor)
        case messages.Stop():
            return messages.Done()
        case _:
            assert_never(request)


def _cursor(cursor: int) -> int:
    if not 0 <= cursor < 1 << 32:
        raise ValueError(f"cursor {cursor} is none that a page gave")
    return cursor


def _status(engine: Engine, process: Process, now_ns: int) -> messages.Status:
    stats, rates, snapshot = engine.stats(), engine.rates(), engine.snapshot
    return messages.Status(
        pid=process.pid,
        io=process.io,
        configured=bool(snapshot.ports),
        uptime_s=(now_ns - process.started_ns) / 1e9,
        max_sessions=stats.max_sessions,
        allocated=stats.allocated,
        tcp=stats.tcp,
        udp=stats.udp,
        icmp=stats.icmp,
        other=stats.other,
        discard=stats.discard,
        installed=stats.installed,
        packets_per_s=rates.packets_per_s,
        kbps=rates.kbps,
        sessions_per_s=rates.sessions_per_s,
        log_lost=process.log_lost,
        timeouts_s=engine.timeouts_s(),
        tcp_reject_non_syn=snapshot.tcp_reject_non_syn,
        ipv6_firewalling=snapshot.ipv6_firewalling,
        platform=engine.platform,
        offload=engine.offload,
        offloaded=stats.offloaded,
        strict_tcp_sequence=not snapshot.tcp_asymmetric_bypass,
        no_refresh_on_discard=snapshot.no_refresh_on_discard,
        accelerated_aging=snapshot.accelerated_aging,
        aging_accelerated=stats.aging_accelerated,
        fragments=stats.fragments,
        fragment_bytes=stats.fragment_bytes,
        scan_threshold_percent=snapshot.scan_threshold_percent,
        scan_factor=snapshot.scan_factor,
        fail_open=snapshot.fail_open,
        vsys_max_sessions=snapshot.max_sessions,
        vsys_throttled=engine.counters()["session_vsys_limit"],
        held=stats.held,
        max_held=engine.max_held,
        packet_threats=engine.packet_threats,
    )
