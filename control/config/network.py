"""The network part of a tree, read: interfaces, zones, routers and static routes as values.

Reading is lenient: what is wrong with a value is said elsewhere (validate.py), here it is left out.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from control.config import schema
from control.config.tree import Tree
from control.config.value_types import (
    Address,
    Interface,
    Network,
    address,
    interface_address,
    prefix,
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Layer3:
    """A configured port in layer 3 mode."""

    name: str
    line: int
    addresses: tuple[tuple[Interface, int], ...]  # with their lines, in the configuration's order
    unused: dict[str, int]  # IPv6 addresses without IPv6
    ipv6: bool
    mtu: int | None
    is_down: bool  # by configuration


class Networks:
    """A set of prefixes that can be asked for an address."""

    def __init__(self, networks: Iterable[Network]) -> None:
        self._networks = set(networks)
        self._lengths = {(network.version, network.prefixlen) for network in self._networks}

    def __contains__(self, address: Address) -> bool:
        return any(
            ipaddress.ip_network((address, length), strict=False) in self._networks
            for version, length in self._lengths
            if version == address.version
        )


@dataclass(frozen=True, slots=True)
class RouteEntry:
    """A static route as it is written, and where."""

    name: str
    path: tuple[str, ...]
    node: Tree
    router: str
    destination: Network
    nexthop: Address | None
    interface: str | None
    metric: int
    discard: bool


def _readable(read: Callable[[str], T], values: dict[str, int]) -> Iterator[tuple[T, int]]:
    for text, line in values.items():
        try:
            yield read(text), line
        except ValueError:
            continue


def layer3_interfaces(tree: Tree) -> dict[str, Layer3]:
    """By name, in the configuration's order."""
    return {
        name: _layer3(name, port, node)
        for name, port in tree.entries(*schema.INTERFACES).items()
        if (node := port.get("layer3")) is not None
    }


def _layer3(name: str, port: Tree, node: Tree) -> Layer3:
    ipv6 = node.value("ipv6", "enabled") == "yes"
    addresses = [*_readable(lambda text: interface_address(text, 4), node.members("ip"))]
    ipv6_texts = node.members("ipv6", "address")
    if ipv6:
        addresses += _readable(lambda text: interface_address(text, 6), ipv6_texts)
    mtu = node.value("mtu")
    return Layer3(
        name=name,
        line=port.line,
        addresses=tuple(addresses),
        unused={} if ipv6 else ipv6_texts,
        ipv6=ipv6,
        mtu=int(mtu) if mtu and mtu.isdecimal() else None,
        is_down=port.value("link-state") == "down",
    )


def zone_interfaces(zone: Tree) -> dict[str, int]:
    """Interfaces of a zone with their lines."""
    return zone.members("network", "layer3")


def route_entries(tree: Tree) -> Iterator[RouteEntry]:
    for router, node in tree.entries(*schema.VIRTUAL_ROUTERS).items():
        for family in ("ip", "ipv6"):
            where = ("routing-table", family, "static-route")
            for name, route in node.entries(*where).items():
                path = (*schema.VIRTUAL_ROUTERS, router, *where, name)
                for destination, _ in _readable(prefix, route.members("destination")):
                    yield _static_route(name, path, route, router, destination)


def _static_route(
    name: str, path: tuple[str, ...], route: Tree, router: str, destination: Network
) -> RouteEntry:
    element = "ip-address" if destination.version == 4 else "ipv6-address"
    nexthops = [*_readable(address, route.members("nexthop", element))]
    metric = route.value("metric") or schema.default(*path, "metric")
    return RouteEntry(
        name=name,
        path=path,
        node=route,
        router=router,
        destination=destination,
        nexthop=nexthops[0][0] if nexthops else None,
        interface=route.value("interface"),
        metric=int(metric) if metric.isdecimal() else 0,
        discard=route.get("nexthop", "discard") is not None,
    )
