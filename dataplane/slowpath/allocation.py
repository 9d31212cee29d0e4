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
    service = _service_timeouts(rule, key, tables)
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
        timeouts=_timeouts(
            service, tables.application_timeouts.get(context.application), key.proto
        ),
        service_timeout=service is not None,
    )
    return context


def _service_timeouts(rule: SecurityRule, key: FlowKey, tables: Tables) -> Timeouts | None:
    """The timers of the service that let the session in."""
    if rule.name not in tables.timed_rules or rule.action != "allow":
        return None
    service = service_of(rule, key.proto, key.sport, key.dport)
    return None if service is None else service.override


def _timeouts(
    service: Timeouts | None, application: ApplicationTimeouts | None, protocol: int
) -> SessionTimeouts:
    """A service's timer goes before the application's (fact sheet 2.3: it is an override)."""
    if service is None and application is None:
        return _GLOBAL
    first, second = service or _NONE, _of_protocol(application, protocol)
    return SessionTimeouts(
        established=first.established or second.established,
        half_closed=first.half_closed or second.half_closed,
        time_wait=first.time_wait or second.time_wait,
        discard=first.discard or second.discard,
    )


def _of_protocol(application: ApplicationTimeouts | None, protocol: int) -> Timeouts:
    if application is None:
        return _NONE
    if protocol == _TCP:
        return application.tcp
    return application.udp if protocol == _UDP else application.other
