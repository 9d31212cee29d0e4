"""Allocation: the complete description of the session to install (packet flow sequence 3.9)."""

from dataplane.policy import service_of
from dataplane.slowpath.context import Context, Tables
from dataplane.snapshot import ApplicationTimeouts, SecurityRule, Timeouts
from native import FlowKey, SessionSpec, SessionTimeouts

_TCP, _UDP = 6, 17
_GLOBAL = SessionTimeouts()
_NONE = Timeouts()


def allocation(context: Context, tables: Tables) -> Context:
    packet, rule, egress = context.packet, context.rule, context.egress
    assert rule is not None  # the stages before either set them or refuse
    assert egress is not None
    key = packet.key
    is_denied = rule.action != "allow"
    service = None
    if rule.name in tables.timed_rules and not is_denied:
        service = _service_timeouts(rule, key)
    application = tables.application_timeouts.get(context.application)
    timeouts = _GLOBAL
    if service is not None or application is not None:
        timeouts = _timeouts(service or _NONE, application, key.proto)
    nat, pbf, qos = context.nat, context.pbf, context.qos
    # only sessions that live are translated
    server = None if is_denied else context.destination
    client = None if is_denied else context.source
    is_translated = server is not None or client is not None
    # by position, as names would cost a new session as much as its NAT
    s2c = FlowKey(
        key.dst if server is None else server.address,
        key.src if client is None else client.address,
        key.dport if server is None else server.port,
        key.sport if client is None else client.port,
        tables.zones.number(context.to_zone),
        key.proto,
        key.family,
    )
    context.spec = SessionSpec(
        s2c,
        tables.port_numbers[egress.name],
        rule.action,
        tables.rules.number(rule.name),
        tables.applications.number(context.application),
        # a denied packet is logged at once where its rule logs at all (fact sheet 8.3)
        rule.log_start or (is_denied and rule.log_end),
        rule.log_end,
        tables.discard_denied,  # keep_denied
        timeouts,
        service is not None,  # service_timeout
        (context.path, context.return_path),
        context.fixed_c2s,
        context.fixed_s2c,
        (rule.dscp, context.packet.dscp if rule.dscp_follows else rule.dscp),
        0 if qos is None else qos.qos_class,
        0 if client is None else client.oversubscription,
        0 if client is None else client.lease_pool,
        0 if server is None else server.target,  # nat_target
        tables.nat_rules.number(nat.rule.name) if nat and is_translated else 0,
        0 if pbf is None else tables.pbf_rules.number(pbf.name),
        0 if qos is None else tables.qos_rules.number(qos.name),
        context.is_host,
        rule.icmp_unreachable,
    )
    return context


def _service_timeouts(rule: SecurityRule, key: FlowKey) -> Timeouts | None:
    """The timers of the service that let the session in."""
    service = service_of(rule, key)
    return None if service is None else service.override


def _timeouts(
    service: Timeouts, application: ApplicationTimeouts | None, protocol: int
) -> SessionTimeouts:
    """A service's timer goes before the application's (fact sheet 2.3: it is an override)."""
    other = _NONE
    if application is not None:
        by_protocol = {_TCP: application.tcp, _UDP: application.udp}
        other = by_protocol.get(protocol, application.other)
    return SessionTimeouts(
        established=service.established or other.established,
        half_closed=service.half_closed or other.half_closed,
        time_wait=service.time_wait or other.time_wait,
        discard=service.discard or other.discard,
    )
