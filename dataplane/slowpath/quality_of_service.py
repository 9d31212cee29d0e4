"""QoS: the class an allowed session's packets are shaped as (fact sheet 4.14)."""

from dataplane.slowpath.context import Context, Tables


def quality_of_service(context: Context, tables: Tables) -> Context:
    packet, rule = context.packet, context.rule
    assert rule is not None  # the security policy sets it
    if tables.qos is not None and rule.action == "allow":
        context.qos = tables.qos.match(context.from_zone, context.to_zone, packet.key, packet.dscp)
    return context
