"""Security policy: the first rule that matches the original packet (packet flow sequence 3.8).

Addresses and ports are those before NAT, the destination zone is the one after.
"""

from dataplane.schedules import rules_in_force
from dataplane.slowpath.context import Context, Tables


def security(context: Context, tables: Tables) -> Context:
    packet = context.packet
    in_force = rules_in_force(tables.in_force, packet.now_ns + tables.wall_offset_ns)
    zones = context.from_zone, context.to_zone
    context.rule = tables.policy.match(*zones, packet.key, in_force)
    return context
