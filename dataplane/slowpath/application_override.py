"""Application: that of an override rule, else what shows without the payload (flow sequence 5)."""

from dataplane import applications
from dataplane.slowpath.context import Context, Tables


def application_override(context: Context, tables: Tables) -> Context:
    packet, key = context.packet, context.packet.key
    if tables.application_overrides is not None:
        rule = tables.application_overrides.match(context.from_zone, context.to_zone, key)
        if rule is not None:
            context.override, context.application = rule, rule.application
            return context
    context.application = applications.at_setup(key.proto, packet.icmp_type, packet.tcp_flags)
    return context
