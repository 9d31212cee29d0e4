"""What only the whole network shows: membership, overlapping addresses, unreachable next hops."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from control.config import schema
from control.config.errors import Problem, shown
from control.config.network import (
    Layer3,
    Networks,
    RouteEntry,
    layer3_interfaces,
    route_entries,
    zone_interfaces,
)
from control.config.set_syntax import path_text
from control.config.tree import Tree
from control.config.value_types import Address, Interface, Network

MAX_INTERFACES = 1000  # the engine's port table has 1024 places
_MIN_IPV6_MTU = 1280  # RFC 8200, section 5; Linux turns IPv6 off below it


def network_problems(tree: Tree) -> Iterator[Problem]:
    interfaces = layer3_interfaces(tree)
    yield from _number_of_interfaces(tree)
    yield from _zones(tree, interfaces)
    yield from _routers(tree, interfaces)
    for interface in interfaces.values():
        yield from _ipv6(tree, interface)
    yield from _overlaps(interfaces.values())
    yield from _routes(tree, interfaces)


def _port_path(name: str, *below: str) -> str:
    return path_text((*schema.INTERFACES, name, *below))


def _number_of_interfaces(tree: Tree) -> Iterator[Problem]:
    ports = list(tree.entries(*schema.INTERFACES).items())
    if len(ports) > MAX_INTERFACES:
        name, node = ports[MAX_INTERFACES]
        message = f"{len(ports)} ports are configured; at most {MAX_INTERFACES} are possible"
        yield Problem(node.line, _port_path(name), message)


def _zones(tree: Tree, interfaces: dict[str, Layer3]) -> Iterator[Problem]:
    listed = [
        (name, ("zone", zone, "network", "layer3"), zone, line)
        for zone, node in tree.entries("zone").items()
        for name, line in zone_interfaces(node).items()
    ]
    yield from _members(tree, interfaces, listed, "zone")
    zoned = {name for name, *_ in listed}
    for name, interface in interfaces.items():
        if name not in zoned:
            message = "is in no zone: its packets are dropped; add it with set zone"
            yield Problem(interface.line, _port_path(name), message, "warning")


def _routers(tree: Tree, interfaces: dict[str, Layer3]) -> Iterator[Problem]:
    routers = tree.entries(*schema.VIRTUAL_ROUTERS)
    listed = [
        (name, (*schema.VIRTUAL_ROUTERS, router, "interface"), router, line)
        for router, node in routers.items()
        for name, line in node.members("interface").items()
    ]
    yield from _members(tree, interfaces, listed, "virtual router")
    routed = {name for name, *_ in listed}
    for name, interface in interfaces.items():
        if name not in routed:
            message = "is in no virtual router: nothing is routed through it"
            yield Problem(interface.line, _port_path(name), message, "warning")
    for router, node in list(routers.items())[1:]:
        message = (
            f"shares one routing table with {shown(next(iter(routers)))}: routers are not isolated"
        )
        yield Problem(node.line, path_text((*schema.VIRTUAL_ROUTERS, router)), message, "warning")


def _members(
    tree: Tree,
    interfaces: dict[str, Layer3],
    listed: Iterable[tuple[str, tuple[str, ...], str, int]],
    noun: str,
) -> Iterator[Problem]:
    """Checks of (interface, path, owner, line): one owner each, and layer 3."""
    owners: dict[str, tuple[str, int]] = {}
    for name, path, owner, line in listed:
        if name in owners:
            other, at = owners[name]
            where = f" (line {at})" if at else ""
            message = (
                f"{shown(name)} is in {noun} {shown(other)} already{where}; it can be in one only"
            )
            yield Problem(line, path_text(path), message)
        owners.setdefault(name, (owner, line))
        if name in tree.entries(*schema.INTERFACES) and name not in interfaces:
            message = (
                f"{shown(name)} is not a layer 3 interface; "
                f"configure set network interface ethernet {name} layer3"
            )
            yield Problem(line, path_text(path), message)


def _ipv6(tree: Tree, interface: Layer3) -> Iterator[Problem]:
    for text, line in interface.unused.items():
        message = f"{text} is not used: IPv6 is not enabled here; set ipv6 enabled yes"
        path = _port_path(interface.name, "layer3", "ipv6", "address")
        yield Problem(line, path, message, "warning")
    if interface.ipv6 and interface.mtu is not None and interface.mtu < _MIN_IPV6_MTU:
        mtu = (*schema.INTERFACES, interface.name, "layer3", "mtu")
        message = (
            f"{interface.mtu} is too small for IPv6, which is enabled; at least {_MIN_IPV6_MTU}"
        )
        yield Problem(min(tree.members(*mtu).values()), path_text(mtu), message)


def _overlaps(interfaces: Iterable[Layer3]) -> Iterator[Problem]:
    """Addresses used twice, and networks that are on two interfaces."""
    placed = [
        (address, interface.name, line)
        for interface in interfaces
        for address, line in interface.addresses
    ]
    owners: dict[object, tuple[str, int]] = {}
    for address, name, line in placed:
        if address.ip in owners and not address.ip.is_link_local:
            other, at = owners[address.ip]
            message = f"{address.ip} is an address of {other} already (line {at})"
            yield Problem(line, _address_path(name, address), message)
        owners.setdefault(address.ip, (name, line))

    # Prefixes are nested or apart, so in this order a prefix comes behind those that hold it.
    ordered = sorted(
        (entry for entry in placed if not entry[0].ip.is_link_local),
        key=lambda entry: (
            entry[0].version,
            int(entry[0].network.network_address),
            entry[0].network.prefixlen,
            entry[2],
        ),
    )
    holding: list[tuple[Interface, str, int]] = []
    for entry in ordered:
        address, name, line = entry
        while holding and not (
            holding[-1][0].version == address.version
            and int(address.network.network_address)
            <= int(holding[-1][0].network.broadcast_address)
        ):
            holding.pop()
        others = [other for other in holding if other[1] != name and other[0].ip != address.ip]
        if others:
            other_address, other, at = others[-1]
            first, second = sorted(
                [(at, other, other_address), (line, name, address)], key=lambda item: item[0]
            )
            message = (
                f"{second[2]} overlaps {first[2]} of {first[1]} (line {first[0]}); "
                "a network is on one interface"
            )
            yield Problem(second[0], _address_path(second[1], second[2]), message)
        holding.append(entry)


def _address_path(name: str, address: Interface) -> str:
    below = ("ip",) if address.version == 4 else ("ipv6", "address")
    return _port_path(name, "layer3", *below)


def _routes(tree: Tree, interfaces: dict[str, Layer3]) -> Iterator[Problem]:
    own = {
        address.ip: interface.name
        for interface in interfaces.values()
        for address, _ in interface.addresses
    }
    members = {
        router: node.members("interface")
        for router, node in tree.entries(*schema.VIRTUAL_ROUTERS).items()
    }
    connected = {
        router: Networks(
            address.network
            for name in names
            if name in interfaces
            for address, _ in interfaces[name].addresses
        )
        for router, names in members.items()
    }
    seen: dict[tuple[Network, int], RouteEntry] = {}
    for route in route_entries(tree):
        path = path_text(route.path)
        if route.interface in interfaces and route.interface not in members[route.router]:
            message = (
                f"interface {shown(route.interface)} is not in virtual router "
                f"{shown(route.router)}; add it to the router's interface list"
            )
            yield Problem(route.node.line, path, message)
        for message in _nexthop(route, own, connected[route.router]):
            yield Problem(route.node.line, path, message)
        other = seen.setdefault((route.destination, route.metric), route)
        if other is not route:
            message = (
                f"{route.destination} with metric {route.metric} is route {shown(other.name)} "
                f"already (line {other.node.line}); give one of them another metric"
            )
            yield Problem(route.node.line, path, message)


def _nexthop(route: RouteEntry, own: Mapping[Address, str], connected: Networks) -> Iterator[str]:
    has_interface = route.node.get("interface") is not None
    if route.node.get("nexthop") is None and not has_interface:
        yield "neither nexthop nor interface; a route needs one of them"
    if route.nexthop is None:
        return
    if route.nexthop in own:
        yield f"next hop {route.nexthop} is the firewall's own address on {own[route.nexthop]}"
    if route.nexthop not in connected and not has_interface:
        yield (
            f"next hop {route.nexthop} is on no network of the router's interfaces; "
            "correct it, or name the interface"
        )
