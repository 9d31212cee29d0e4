"""What the kernel's tables would be for a configuration, where there is no kernel to ask.

On a running firewall control/system brings ports and static routes into the kernel and mirrors the
tables it then has; a replay has the same configuration and no kernel. Every virtual router has a
table; what follows from a port's addresses is in its router's.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from control.config.load import StaticRoute
from control.config.value_types import Interface, Network
from dataplane.snapshot import Hop, Port, Route, VirtualRouter

_IPV6_METRIC = 256  # of what follows from an address
_IPV6_OWN_METRIC = 1024  # of the same in a table of ours: what the kernel gives a route without one
_LINK_LOCAL = ipaddress.ip_network("fe80::/64")
_MULTICAST = ipaddress.ip_network("ff00::/8")


class Tables(NamedTuple):
    routes: tuple[Route, ...]
    refused: list[str]  # a line for each static route the kernel would not take


def kernel_tables(
    ports: Iterable[Port],
    static_routes: Iterable[StaticRoute],
    virtual_routers: Sequence[VirtualRouter] = (),
) -> Tables:
    """=> ports, routes and routers are those of one configuration without errors; ports that are
    down have no addresses, and the routes by them are left out"""
    ports = tuple(ports)
    static_routes = tuple(static_routes)
    routes: list[Route] = []
    refused: list[str] = []
    owner = {router.name: router.name for router in virtual_routers[1:]}
    for router in ("", *owner):
        table = _table(
            [port for port in ports if owner.get(port.virtual_router, "") == router],
            [static for static in static_routes if static.virtual_router == router],
            _IPV6_OWN_METRIC if router else _IPV6_METRIC,
        )
        routes += (replace(route, virtual_router=router) for route in table.routes)
        refused += table.refused
    return Tables(tuple(routes), refused)


def _table(ports: Sequence[Port], static_routes: Sequence[StaticRoute], ipv6_metric: int) -> Tables:
    connected = dict.fromkeys(
        replace(route, metric=ipv6_metric)
        if (route.kind, route.metric) == ("unicast", _IPV6_METRIC)
        else route
        for port in ports
        for route in _connected(port)
    )
    on_link = [*_on_link(connected, static_routes)]
    has_ipv6 = {port.name: port.ipv6 for port in ports}
    found: dict[tuple[str, int], list[tuple[Route, int]]] = {}
    refused = []
    for static in static_routes:
        route = _resolved(static, on_link, has_ipv6)
        if isinstance(route, Route):
            found.setdefault((route.prefix, route.metric), []).append((route, static.weight))
        else:
            refused.append(f"static route {static.prefix}: {route}")
    return Tables((*connected, *map(_one_route, found.values())), refused)


def _one_route(equal: Sequence[tuple[Route, int]]) -> Route:
    first = equal[0][0]
    if len(equal) == 1:
        return first
    hops = tuple(Hop(route.port, route.nexthop, weight) for route, weight in equal)
    return replace(first, hops=hops)


def _connected(port: Port) -> Iterator[Route]:
    """What the kernel adds itself for the addresses of a port."""
    for text in port.addresses:
        address = ipaddress.ip_interface(text)
        if port.mode == "loopback":
            yield Route(str(address.network), "local")
            continue
        yield from _ipv4(port, address) if address.version == 4 else _ipv6(port, address)
    if port.ipv6 and port.mode != "loopback":
        yield Route(str(_LINK_LOCAL), "unicast", port.name, metric=_IPV6_METRIC)
        yield Route(str(_MULTICAST), "multicast", metric=_IPV6_METRIC)


def _ipv4(port: Port, address: Interface) -> Iterator[Route]:
    network = address.network
    yield Route(f"{address.ip}/32", "local")
    if network.prefixlen < 32:
        yield Route(str(network), "unicast", port.name)
    if network.prefixlen < 31:
        yield Route(f"{network.broadcast_address}/32", "broadcast")


def _ipv6(port: Port, address: Interface) -> Iterator[Route]:
    network = address.network
    yield Route(f"{address.ip}/128", "local")
    yield Route(str(network), "unicast", port.name, metric=_IPV6_METRIC)
    if network.prefixlen < 127:  # the subnet-router anycast address; RFC 6164: not of a link of two
        yield Route(f"{network.network_address}/128", "local")


def _on_link(
    connected: Iterable[Route], static_routes: Iterable[StaticRoute]
) -> Iterator[tuple[Network, str]]:
    """Where next hops may be: networks with their ports."""
    for route in connected:
        if route.kind == "unicast":
            yield ipaddress.ip_network(route.prefix), route.port
    for static in static_routes:
        if static.interface and not static.nexthop:
            yield ipaddress.ip_network(static.prefix), static.interface


def _resolved(
    static: StaticRoute, on_link: Iterable[tuple[Network, str]], has_ipv6: dict[str, bool]
) -> Route | str:
    """The kernel's route, or why it refuses this one."""
    prefix, metric, port = static.prefix, static.metric, static.interface
    if static.discard:
        return Route(prefix, "discard", metric=metric)
    if port and port not in has_ipv6:
        return f"there is no interface {port}"
    if port and ":" in prefix and not has_ipv6[port]:
        return f"IPv6 is not enabled on {port}"
    if not static.nexthop:
        assert port
        return Route(prefix, "unicast", port, metric=metric)
    nexthop = ipaddress.ip_address(static.nexthop)
    around = [
        (network.prefixlen, name)
        for network, name in on_link
        if nexthop in network and port in (None, name)
    ]
    if not around:
        return f"next hop {nexthop} is on no connected network"
    return Route(prefix, "unicast", max(around)[1], str(nexthop), metric)
