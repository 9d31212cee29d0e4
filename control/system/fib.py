"""The kernel's FIB as the dataplane sees it: what decides forwarding, of main, local and the tables
of virtual routers.

The table of the machine's own addresses is one for all: an address belongs to the virtual router
its link is in.
"""

import ipaddress
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from control.system import tables
from control.system.netlink import (
    ANYCAST,
    BLACKHOLE,
    BROADCAST,
    LOCAL,
    MULTICAST,
    PROHIBIT,
    PROTOCOL_KERNEL,
    TABLE_LOCAL,
    TABLE_MAIN,
    UNICAST,
    UNREACHABLE,
    KernelRoute,
)
from dataplane.snapshot import Hop, Port, Route, VirtualRouter

_KINDS = {
    UNICAST: "unicast",
    LOCAL: "local",
    BROADCAST: "broadcast",
    ANYCAST: "local",  # IPv6 subnet-router anycast is for the router itself
    MULTICAST: "multicast",
    BLACKHOLE: "discard",
    UNREACHABLE: "discard",
    PROHIBIT: "discard",
}


class _Routers(NamedTuple):
    """What is not the first virtual router's."""

    tables: dict[int, str]  # names of virtual routers
    links: dict[int, str]
    addresses: dict[str, str]  # those of loopback ports, as prefixes


def mirror(
    routes: Iterable[KernelRoute],
    ports: Mapping[int, str],
    configured: Iterable[Port] = (),
    routers: Iterable[VirtualRouter] = (),
) -> tuple[Route, ...]:
    """The routes in a fixed order; `ports` names the dataplane ports by link index."""
    others = _others(ports, tuple(configured), tables.of_routers(routers))
    return tuple(
        sorted(
            {_route(route, ports, others) for route in routes if _is_relevant(route, others)},
            key=lambda route: (
                route.virtual_router,
                route.prefix,
                route.metric,
                route.kind,
                route.port,
                route.nexthop,
            ),
        )
    )


def learned(routes: Iterable[KernelRoute], routers: Iterable[VirtualRouter] = ()) -> set[str]:
    """The prefixes somebody put there, that do not follow from an address."""
    others = _others({}, (), tables.of_routers(routers))
    return {
        route.prefix
        for route in routes
        if _is_relevant(route, others)
        and route.table != TABLE_LOCAL
        and route.protocol != PROTOCOL_KERNEL
        and (route.table == TABLE_MAIN or route.gateway or route.metric)
    }


def _others(
    ports: Mapping[int, str], configured: Iterable[Port], own: Mapping[str, int]
) -> _Routers:
    routers = {port.name: port.virtual_router for port in configured if port.virtual_router in own}
    addresses = {
        str(ipaddress.ip_network(ipaddress.ip_interface(text).ip)): routers[port.name]
        for port in configured
        if port.mode == "loopback" and port.name in routers
        for text in port.addresses
    }
    links = {index: routers[name] for index, name in ports.items() if name in routers}
    return _Routers({table: name for name, table in own.items()}, links, addresses)


def _is_relevant(route: KernelRoute, others: _Routers) -> bool:
    return (
        (route.table in (TABLE_MAIN, TABLE_LOCAL) or route.table in others.tables)
        and route.type in _KINDS
        and route.metric != tables.LAST_METRIC  # the kernel's own entry for "no IPv6 route", too
    )


def _router(route: KernelRoute, others: _Routers) -> str:
    if route.table != TABLE_LOCAL:
        return others.tables.get(route.table, "")
    return others.addresses.get(route.prefix) or others.links.get(route.ifindex, "")


def _route(route: KernelRoute, ports: Mapping[int, str], others: _Routers) -> Route:
    is_unicast = route.type == UNICAST
    hops = tuple(Hop(ports.get(hop.ifindex, ""), hop.gateway, hop.weight) for hop in route.hops)
    return Route(
        prefix=route.prefix,
        kind=_KINDS[route.type],
        port=ports.get(route.ifindex, "") if is_unicast else "",
        nexthop=route.gateway if is_unicast else "",
        metric=route.metric,
        virtual_router=_router(route, others),
        hops=hops if len(hops) > 1 else (),
    )
