"""Routes of the configuration in the kernel's tables: static ones, and what follows from ports and
paths where the kernel does not see to it itself.

Ours carry a protocol number of their own, so that routes of others are never touched. A route the
kernel refuses - its next hop is on no connected network just now - is reported, and tried again
when something changes.
"""

import errno
import ipaddress
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from control.system import tables
from control.system.netlink import (
    BLACKHOLE,
    TABLE_MAIN,
    UNICAST,
    KernelHop,
    KernelRoute,
    Link,
    Netlink,
)
from dataplane.snapshot import Path, Port, VirtualRouter

PROTOCOL = tables.PROTOCOL


class StaticRoute(NamedTuple):
    prefix: str  # canonical: "192.0.2.0/24"
    nexthop: str  # "" where the destination is on the interface
    interface: str  # Linux name; "" lets the kernel find it from the next hop
    metric: int
    is_discard: bool
    virtual_router: str = ""  # "" the first, whose table is the main one
    weight: int = 1  # among routes of equal cost


class Wanted(NamedTuple):
    name: str  # what it is, for the line that says that it is refused
    route: KernelRoute


class Plan(NamedTuple):
    delete: list[KernelRoute]
    add: list[Wanted]
    refused: list[str]  # a line for each route that cannot even be tried

    @property
    def is_empty(self) -> bool:
        return not (self.delete or self.add)


def plan(
    static: Iterable[StaticRoute],
    links: Iterable[Link],
    routes: Iterable[KernelRoute],
    *,
    ports: Iterable[Port] = (),
    routers: Iterable[VirtualRouter] = (),
    others: Iterable[Wanted] = (),
) -> Plan:
    """What separates the kernel's tables from the static routes and the others."""
    routes = list(routes)
    surplus = {_key(route): route for route in routes if route.protocol == PROTOCOL}
    result = Plan([], [], [])
    resolved = _static(static, links, routes, tuple(ports), tuple(routers), result.refused)
    for wanted in (*others, *resolved):
        there = surplus.get(_key(wanted.route))
        if there is not None and _is_same(there, wanted.route):
            del surplus[_key(wanted.route)]
        else:
            result.add.append(wanted)
    result.delete.extend(surplus.values())
    return result


def carry_out(netlink: Netlink, todo: Plan) -> list[str]:
    """Returns a line for each route that is not in force now."""
    refused = list(todo.refused)
    for route in todo.delete:
        _delete(netlink, route)
    for wanted in todo.add:
        try:
            netlink.add_route(wanted.route)
        except OSError as error:
            refused.append(f"{wanted.name}: {_reason(error, wanted.route)}")
    return refused


def connected(ports: Iterable[Port], own: Mapping[str, int], links: Iterable[Link]) -> list[Wanted]:
    """Routes to the networks of ports whose virtual router has a table of its own."""
    indices = {link.name: link.ifindex for link in links if link.is_enabled}
    return [
        Wanted(
            f"network {network} of {port.name}",
            KernelRoute(network, table, UNICAST, PROTOCOL, metric, index, ""),
        )
        for port in ports
        if (table := own.get(port.virtual_router, 0)) and port.mode != "loopback"
        if (index := indices.get(port.interface, 0))
        for network, metric in _networks(port, index)
    ]


def ways(
    paths: Iterable[Path], interfaces: Mapping[str, str], links: Iterable[Link]
) -> list[Wanted]:
    """The default routes of paths; `interfaces` are those of the ports."""
    indices = {link.name: link.ifindex for link in links if link.is_enabled}
    result = []
    for path in paths:
        if index := indices.get(interfaces[path.port], 0):
            families: tuple[str, ...] = ("0.0.0.0/0", "::/0")
            if path.nexthop:
                families = families[ipaddress.ip_address(path.nexthop).version == 6 :][:1]
            name = f"path {path.number} by {path.port} to {path.nexthop or 'its link'}"
            table = tables.of_path(path.number)
            result += [
                Wanted(name, KernelRoute(prefix, table, UNICAST, PROTOCOL, 0, index, path.nexthop))
                for prefix in families
            ]
    return result


def _networks(port: Port, index: int) -> Iterator[tuple[str, int]]:
    """With metrics."""
    addresses = [ipaddress.ip_interface(text) for text in port.addresses]
    for network in dict.fromkeys(address.network for address in addresses):
        yield str(network), 0
    if port.ipv6:
        yield "fe80::/64", index  # every port has it: each needs a metric of its own


def _static(
    routes: Iterable[StaticRoute],
    links: Iterable[Link],
    present: list[KernelRoute],
    ports: tuple[Port, ...],
    routers: tuple[VirtualRouter, ...],
    refused: list[str],
) -> Iterator[Wanted]:
    """Those of equal cost as one, where its virtual router wants that."""
    by_name = {link.name: link for link in links}
    own = tables.of_routers(routers)
    most = {router.name: router.ecmp.max_path for router in routers if router.ecmp}
    first = routers[0].name if routers else ""
    equal: dict[tuple[int, str, int], list[StaticRoute]] = {}
    for static in routes:
        table = own.get(static.virtual_router, TABLE_MAIN)
        if table != TABLE_MAIN and not static.interface and not static.is_discard:
            # Only for the first does the kernel find it.
            static = static._replace(interface=_interface_towards(static, ports))
        if static.interface and static.interface not in by_name:
            refused.append(_line(static, f"there is no interface {static.interface}"))
        else:
            equal.setdefault((table, static.prefix, static.metric), []).append(static)
    for (table, _, _), group in equal.items():
        router = group[0].virtual_router or first
        if len(group) == 1 or group[0].is_discard:
            used, left = group[:1], group[1:]
        else:
            of_table = [route for route in present if route.table == table]
            reachable = [one for one in group if _is_reachable(one, by_name, of_table)] or group
            limit = most.get(router, 1)
            used, left = reachable[:limit], [one for one in group if one not in reachable[:limit]]
        refused += [_line(one, f"another has metric {one.metric}, and is used") for one in left]
        indices = {name: link.ifindex for name, link in by_name.items()}
        yield Wanted(f"static route {group[0].prefix}", _kernel_route(used, table, indices))


def _line(static: StaticRoute, reason: str) -> str:
    return f"static route {static.prefix}: {reason}"


def _interface_towards(static: StaticRoute, ports: Iterable[Port]) -> str:
    """Of the port in the static route's virtual router that its next hop is on; "" of none."""
    nexthop = ipaddress.ip_address(static.nexthop)
    for port in ports:
        if port.virtual_router == static.virtual_router and any(
            nexthop in ipaddress.ip_interface(text).network for text in port.addresses
        ):
            return port.interface
    return ""


def _is_reachable(
    static: StaticRoute, links: Mapping[str, Link], routes: Iterable[KernelRoute]
) -> bool:
    """Whether the kernel would take it as one of several: it refuses all for one.

    => routes of its table: a path's leads anywhere
    """
    if static.interface and not links[static.interface].is_running:
        return False
    if not static.nexthop:
        return True
    nexthop = ipaddress.ip_address(static.nexthop)
    running = {link.ifindex: link.name for link in links.values() if link.is_running}
    return any(
        static.interface in ("", running[route.ifindex])
        and nexthop in ipaddress.ip_network(route.prefix)
        for route in routes
        if route.type == UNICAST and not route.gateway and route.ifindex in running
    )


def _kernel_route(equal: list[StaticRoute], table: int, indices: Mapping[str, int]) -> KernelRoute:
    static = equal[0]
    if static.is_discard:
        return KernelRoute(static.prefix, table, BLACKHOLE, PROTOCOL, static.metric, 0, "")
    hops = tuple(
        KernelHop(indices[one.interface] if one.interface else 0, one.nexthop, one.weight)
        for one in equal
    )
    return KernelRoute(
        static.prefix,
        table,
        UNICAST,
        PROTOCOL,
        static.metric,
        hops[0].ifindex,
        static.nexthop,
        hops if len(hops) > 1 else (),
    )


def _key(route: KernelRoute) -> tuple[int, str, int]:
    # IPv6 makes another metric of 0.
    is_default = route.metric == 0 or (route.metric == 1024 and ":" in route.prefix)
    return route.table, route.prefix, 0 if is_default else route.metric


def _is_same(there: KernelRoute, wanted: KernelRoute) -> bool:
    one, other = (
        route.hops or (KernelHop(route.ifindex, route.gateway),) for route in (there, wanted)
    )
    if len(one) == 1:  # alive: what others it has come back with their links
        one = (one[0]._replace(weight=other[0].weight),)
    return (
        there.type == wanted.type
        and len(one) == len(other)
        and all(any(_is_same_hop(hop, like) for hop in one) for like in other)
    )


def _is_same_hop(there: KernelHop, wanted: KernelHop) -> bool:
    # IPv6 puts a discarding route on the loopback link; an open egress link is the kernel's choice.
    same_link = wanted.ifindex in (0, there.ifindex)
    return there.gateway == wanted.gateway and there.weight == wanted.weight and same_link


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
