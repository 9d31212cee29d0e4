"""The kernel's FIB as the dataplane sees it: of main and local, what decides forwarding."""

from collections.abc import Iterable, Mapping

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
from dataplane.snapshot import Route

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
_NO_ROUTE_METRIC = 0xFFFFFFFF  # the kernel's own entry for "no IPv6 route"


def mirror(routes: Iterable[KernelRoute], ports: Mapping[int, str]) -> tuple[Route, ...]:
    """The routes in a fixed order; `ports` names the dataplane ports by link index."""
    return tuple(
        sorted(
            {_route(route, ports) for route in routes if _is_relevant(route)},
            key=lambda route: (route.prefix, route.metric, route.kind, route.port, route.nexthop),
        )
    )


def learned(routes: Iterable[KernelRoute]) -> set[str]:
    """The prefixes somebody put there, that do not follow from an address."""
    return {
        route.prefix
        for route in routes
        if _is_relevant(route) and route.table == TABLE_MAIN and route.protocol != PROTOCOL_KERNEL
    }


def _is_relevant(route: KernelRoute) -> bool:
    return (
        route.table in (TABLE_MAIN, TABLE_LOCAL)
        and route.type in _KINDS
        and route.metric != _NO_ROUTE_METRIC
    )


def _route(route: KernelRoute, ports: Mapping[int, str]) -> Route:
    is_unicast = route.type == UNICAST
    return Route(
        prefix=route.prefix,
        kind=_KINDS[route.type],
        port=ports.get(route.ifindex, "") if is_unicast else "",
        nexthop=route.gateway if is_unicast else "",
        metric=route.metric,
    )
