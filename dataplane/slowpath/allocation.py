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
    context.spec = SessionSpec(
        s2c=FlowKey(
            src=key.dst if server is None else server.address,
            dst=key.src if client is None else client.address,
            sport=key.dport if server is None else server.port,
            dport=key.sport if client is None else client.port,
            zone=tables.zones.number(context.to_zone),
            proto=key.proto,
            family=key.family,
        ),
        egress_port=tables.port_numbers[egress.name],
        action=rule.action,
        rule=tables.rules.number(rule.name),
        application=tables.applications.number(context.application),
        # a denied packet is logged at once where its rule logs at all (fact sheet 8.3)
        log_start=rule.log_start or (is_denied and rule.log_end),
        log_end=rule.log_end,
        keep_denied=tables.discard_denied,
        timeouts=timeouts,
        service_timeout=service is not None,
        path=(context.path, context.return_path),
        dscp=(rule.dscp, context.packet.dscp if rule.dscp_follows else rule.dscp),
        qos_class=0 if qos is None else qos.qos_class,
        oversubscription=0 if client is None else client.oversubscription,
        nat_rule=tables.nat_rules.number(nat.rule.name) if nat and is_translated else 0,
        pbf_rule=0 if pbf is None else tables.pbf_rules.number(pbf.name),
        qos_rule=0 if qos is None else tables.qos_rules.number(qos.name),
        lease_pool=0 if client is None else client.lease_pool,
        nat_target=0 if server is None else server.target,
        is_host=context.is_host,
        fixed_c2s=context.fixed_c2s,
        fixed_s2c=context.fixed_s2c,
        icmp_unreachable=rule.icmp_unreachable,
    )
    return context


def _service_timeouts(rule: SecurityRule, key: FlowKey) -> Timeouts | None:
    """The timers of the service that let the session in."""
    service = service_of(rule, key.proto, key.sport, key.dport)
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
