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
    context.spec = SessionSpec(
        s2c=FlowKey(
            src=key.dst,
            dst=key.src,
            sport=key.dport,
            dport=key.sport,
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
