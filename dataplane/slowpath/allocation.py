"""Allocation: the complete description of the session to install (packet flow sequence 3.9)."""

from dataplane import applications
from dataplane.slowpath.context import Context, Tables
from native import FlowKey, SessionSpec


def allocation(context: Context, tables: Tables) -> Context:
    packet, rule, egress = context.packet, context.rule, context.egress
    assert rule is not None  # the stages before either set them or refuse
    assert egress is not None
    key = packet.key
    is_denied = rule.action != "allow"
    name = applications.at_setup(key.proto, packet.icmp_type)
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
        application=tables.applications.number(name),
        # a denied packet is logged at once where its rule logs at all (fact sheet 8.3)
        log_start=rule.log_start or (is_denied and rule.log_end),
        log_end=rule.log_end,
        keep_denied=tables.discard_denied,
    )
    return context
