"""NAT: the rule for the session, and its destination translated (packet flow sequence 3.5).

The rule is matched on the original packet and the zone its original destination's route leads to;
the route to the translated destination then says where the packet really leaves.
"""

from dataplane.slowpath.context import Context, Tables
from native import DropReason

_TRANSLATING = ("layer3", "tunnel", "virtual-wire")


def destination_translation(context: Context, tables: Tables) -> Context | DropReason:
    ingress, egress, key = context.ingress, context.egress, context.packet.key
    assert ingress is not None  # the stages before set them or refuse
    assert egress is not None
    if tables.nat is None or ingress.mode not in _TRANSLATING or egress is tables.multicast:
        return context
    nat = tables.nat.match(context.from_zone, context.to_zone, egress.name, key)
    if nat is None:
        return context
    if nat.destination is None:
        # who speaks with the firewall itself is answered by the kernel, which translates nothing
        context.nat = None if context.is_host else nat
        return context
    context.nat = nat
    context.destination = nat.destination.translate(key)
    if context.destination is None:
        return DropReason.nat_port_alloc_fail
    if ingress.mode == "virtual-wire" or context.fixed_c2s:  # a wire and a rule need no route
        return context
    way = tables.routing.of(ingress).way(key, context.destination.address)
    if way is DropReason.flow_fwd_l3_noroute:
        return DropReason.flow_fwd_l3_noroute_nat
    if isinstance(way, DropReason):
        return way
    if way.is_host:
        return DropReason.flow_host_service_deny  # likewise
    context.translated_route, context.egress, context.path = way.route, way.egress, way.path
    context.to_zone, context.is_host = way.egress.zone, False
    return context
