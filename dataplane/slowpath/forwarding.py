"""Forwarding: where the packet would leave, and so its destination zone (flow sequence 3.4)."""

from dataplane.addresses import V4_PREFIX, is_link_local, is_multicast
from dataplane.slowpath.context import Context, Tables
from native import DropReason

_LIMITED_BROADCAST = V4_PREFIX + b"\xff\xff\xff\xff"

_REFUSED = {
    "local": DropReason.flow_host_service_deny,
    "broadcast": DropReason.flow_fwd_l3_bcast_drop,
    "multicast": DropReason.flow_fwd_l3_mcast_drop,
    "discard": DropReason.flow_policy_nofwd,
}


def forwarding(context: Context, tables: Tables) -> Context | DropReason:
    destination = context.packet.key.dst
    if context.packet.key.src in tables.fib.local:
        return DropReason.flow_own_source  # nobody else speaks for the firewall
    if is_multicast(destination):
        return DropReason.flow_fwd_l3_mcast_drop
    if destination == _LIMITED_BROADCAST:
        return DropReason.flow_fwd_l3_bcast_drop
    if is_link_local(destination) or is_link_local(context.packet.key.src):
        # RFC 4291 2.5.6: never forwarded; but the firewall's own link-local address is its own
        own = destination in tables.fib.local
        return DropReason.flow_host_service_deny if own else DropReason.flow_fwd_l3_noroute
    route = tables.fib.lookup(destination)
    if route is None:
        return DropReason.flow_fwd_l3_noroute
    if route.kind in _REFUSED:
        return _REFUSED[route.kind]
    egress = tables.ports.get(tables.port_numbers.get(route.port, 0))
    if egress is None or not egress.zone:
        return DropReason.flow_policy_nofwd
    context.route, context.egress, context.to_zone = route, egress, egress.zone
    return context
