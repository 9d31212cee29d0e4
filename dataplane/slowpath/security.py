"""Security policy: the first rule that matches the original packet (packet flow sequence 3.8).

Addresses and ports are those before NAT, the destination zone is the one after.
"""

from dataplane.slowpath.context import Context, Tables


def security(context: Context, tables: Tables) -> Context:
    packet, key = context.packet, context.packet.key
    context.rule = tables.policy.match(
        context.from_zone,
        context.to_zone,
        key.src,
        key.dst,
        key.proto,
        key.sport,
        key.dport,
        tables.in_force.at(packet.now_ns + tables.wall_offset_ns),
    )
    return context
