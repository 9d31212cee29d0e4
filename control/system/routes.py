"""Static routes of the configuration in the kernel's main table.

Ours carry a protocol number of their own, so that routes of others are never touched. A route the
kernel refuses - its next hop is on no connected network just now - is reported, and tried again
when something changes.
"""

import errno
import os
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from control.system.netlink import BLACKHOLE, TABLE_MAIN, UNICAST, KernelRoute, Link, Netlink

PROTOCOL = 66  # free in iproute2's rt_protos


class StaticRoute(NamedTuple):
    prefix: str  # canonical: "192.0.2.0/24"
    nexthop: str  # "" where the destination is on the interface
    interface: str  # Linux name; "" lets the kernel find it from the next hop
    metric: int
    is_discard: bool
    virtual_router: str = ""  # "" the first, whose table is the main one
    weight: int = 1  # among routes of equal cost


class Plan(NamedTuple):
    delete: list[KernelRoute]
    add: list[tuple[StaticRoute, KernelRoute]]
    refused: list[str]  # a line for each route that cannot even be tried

    @property
    def is_empty(self) -> bool:
        return not (self.delete or self.add)


def plan(
    wanted: Iterable[StaticRoute], links: Iterable[Link], routes: Iterable[KernelRoute]
) -> Plan:
    """What separates the kernel's table from the wanted routes."""
    indices = {link.name: link.ifindex for link in links}
    surplus = {_key(route): route for route in routes if _is_ours(route)}
    result = Plan([], [], [])
    for static in wanted:
        if static.interface and static.interface not in indices:
            result.refused.append(_line(static, f"there is no interface {static.interface}"))
            continue
        route = _kernel_route(static, indices)
        there = surplus.get(_key(route))
        if there is not None and _is_same(there, route):
            del surplus[_key(route)]
        else:
            result.add.append((static, route))
    result.delete.extend(surplus.values())
    return result


def carry_out(netlink: Netlink, todo: Plan) -> list[str]:
    """Returns a line for each route that is not in force now."""
    refused = list(todo.refused)
    for route in todo.delete:
        _delete(netlink, route)
    for static, route in todo.add:
        try:
            netlink.add_route(route)
        except OSError as error:
            refused.append(_line(static, _reason(error, route)))
    return refused


def _line(static: StaticRoute, reason: str) -> str:
    return f"static route {static.prefix}: {reason}"


def _is_ours(route: KernelRoute) -> bool:
    return route.table == TABLE_MAIN and route.protocol == PROTOCOL


def _kernel_route(route: StaticRoute, indices: Mapping[str, int]) -> KernelRoute:
    if route.is_discard:
        return KernelRoute(route.prefix, TABLE_MAIN, BLACKHOLE, PROTOCOL, route.metric, 0, "")
    index = indices[route.interface] if route.interface else 0
    return KernelRoute(
        route.prefix, TABLE_MAIN, UNICAST, PROTOCOL, route.metric, index, route.nexthop
    )


def _key(route: KernelRoute) -> tuple[str, int]:
    return route.prefix, route.metric


def _is_same(there: KernelRoute, wanted: KernelRoute) -> bool:
    # IPv6 puts a discarding route on the loopback link; an open egress link is the kernel's choice.
    same_link = wanted.ifindex in (0, there.ifindex)
    return (there.type, there.gateway) == (wanted.type, wanted.gateway) and same_link


def _delete(netlink: Netlink, route: KernelRoute) -> None:
    try:
        netlink.delete_route(route)
    except OSError as error:
        if error.errno != errno.ESRCH:  # went with its link
            raise


def _reason(error: OSError, route: KernelRoute) -> str:
    match error.errno:
        case errno.ENETUNREACH | errno.EHOSTUNREACH | errno.EINVAL if route.gateway:
            return f"next hop {route.gateway} is on no connected network"
        case errno.EEXIST:
            return f"somebody else's route has metric {route.metric} already"
        case errno.ENETDOWN:
            return "its interface is down"
        case code:
            return os.strerror(code or errno.EINVAL)
