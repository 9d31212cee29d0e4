"""Forwarding: where the packet would leave, and so its destination zone (flow sequence 3.4).

Bridged ports know it without a route: a virtual wire's other end, the port the bridge sends it by,
and of a tap, which sends nothing on, the tap itself.
"""

from dataplane.addresses import V4_PREFIX, is_link_local, is_multicast, is_multicast_on_link
from dataplane.routing import Way, leaving
from dataplane.slowpath.context import Context, Tables
from dataplane.snapshot import Port
from native import DropReason

_LIMITED_BROADCAST = V4_PREFIX + b"\xff\xff\xff\xff"


def forwarding(context: Context, tables: Tables) -> Context | DropReason:
    ingress = context.ingress
    assert ingress is not None  # zone sets it or refuses
    match ingress.mode:
        case "virtual-wire":
            way = leaving(tables.ports_by_name.get(ingress.peer), 0)
        case "layer2":
            way = leaving(tables.ports.get(context.packet.egress), 0)
        case "tap":
            way = leaving(ingress, 0)
        case _:
            way = _routed(context, tables, ingress)
    if isinstance(way, DropReason):
        return way
    context.route, context.egress, context.path = way.route, way.egress, way.path
    context.to_zone, context.is_host = way.egress.zone, way.is_host
    return context


def _routed(context: Context, tables: Tables, ingress: Port) -> Way | DropReason:
    packet, key, routing = context.packet, context.packet.key, tables.routing
    router = routing.of(ingress)
    if key.src in routing.local:
        return DropReason.flow_own_source  # nobody else speaks for the firewall
    if is_multicast(key.dst):
        if not router.multicast or is_multicast_on_link(key.dst):
            return DropReason.flow_fwd_l3_mcast_drop
        context.fixed_c2s = True  # no unicast route leads there
        return Way(tables.multicast, 0)
    if key.dst == _LIMITED_BROADCAST:
        return DropReason.flow_fwd_l3_bcast_drop
    if key.family == 6 and (is_link_local(key.dst) or is_link_local(key.src)):
        if is_link_local(key.dst) and key.dst in routing.local:
            return Way(ingress, 0, is_host=True)  # a link's own
        return DropReason.flow_fwd_l3_noroute  # RFC 4291 2.5.6: never forwarded
    if context.pbf is not None and context.pbf.action == "forward":
        egress, nexthop = context.pbf.egress, context.pbf.nexthop
        context.fixed_c2s = True
        return leaving(tables.ports_by_name.get(egress), routing.paths.to(egress, nexthop))
    if router.returns_symmetrically:
        context.fixed_s2c = True
        context.return_path = routing.paths.back(ingress.name, packet.mac)
    return router.way(key, key.dst)
