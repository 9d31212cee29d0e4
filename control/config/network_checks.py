"""What only the whole network shows: membership, overlapping addresses, unreachable next hops."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from control.config import paths
from control.config.errors import Problem, shown
from control.config.network import (
    LogicalInterface,
    Networks,
    RouteEntry,
    ecmp,
    interfaces,
    route_entries,
)
from control.config.schema_network import ZONE_MODES
from control.config.set_syntax import path_text
from control.config.tree import Tree
from control.config.value_types import Address, Interface, Network

MAX_INTERFACES = 1000  # the engine's port table has 1024 places
_MIN_IPV6_MTU = 1280  # RFC 8200, section 5; Linux turns IPv6 off below it

Interfaces = Mapping[str, LogicalInterface]


def network_problems(tree: Tree) -> Iterator[Problem]:
    known = interfaces(tree)
    yield from _number_of_interfaces(known)
    yield from _sub_interfaces(known)
    yield from _zones(tree, known)
    yield from _routers(tree, known)
    yield from _links(tree, known)
    for interface in known.values():
        yield from _addresses(interface)
    yield from _overlaps(known.values(), _router_of(tree))
    yield from _routes(tree, known)
    yield from _weights(tree)


def _where(interface: LogicalInterface, *below: str) -> str:
    return path_text((*interface.path, *below))


def _number_of_interfaces(known: Interfaces) -> Iterator[Problem]:
    if len(known) > MAX_INTERFACES:
        surplus = list(known.values())[MAX_INTERFACES]
        message = f"{len(known)} interfaces are configured; at most {MAX_INTERFACES} are possible"
        yield Problem(surplus.line, path_text(surplus.own_path), message)


def _sub_interfaces(known: Interfaces) -> Iterator[Problem]:
    tags: dict[tuple[str, int], LogicalInterface] = {}
    for interface in known.values():
        if not interface.parent:
            continue
        if not interface.name.startswith(f"{interface.parent}."):
            message = (
                f"is not a sub-interface of {interface.parent}; its name is {interface.parent}. "
                "and a number"
            )
            yield Problem(interface.line, _where(interface), message)
        other = tags.setdefault((interface.parent, interface.tag), interface)
        if other is not interface and interface.tag:
            message = (
                f"tag {interface.tag} is {other.name}'s already (line {other.line}); "
                "each sub-interface of a port has a tag of its own"
            )
            yield Problem(interface.line, _where(interface, "tag"), message)


def _zones(tree: Tree, known: Interfaces) -> Iterator[Problem]:
    listed = [
        (name, ("zone", zone, "network", mode), zone, line)
        for zone, node in tree.entries("zone").items()
        for mode in ZONE_MODES
        for name, line in node.members("network", mode).items()
    ]
    yield from _one_owner(listed, "zone")
    for name, path, _, line in listed:
        mode = path[-1]
        if name in tree.entries(*paths.INTERFACES) and name not in known:
            yield Problem(line, path_text(path), _without_mode(name, mode))
        elif name in known and known[name].mode not in ZONE_MODES[mode]:
            message = (
                f"{shown(name)} is a {known[name].mode} interface; this zone is for "
                f"{' and '.join(ZONE_MODES[mode])} interfaces"
            )
            yield Problem(line, path_text(path), message)
    zoned = {name for name, *_ in listed}
    for name, interface in known.items():
        if name not in zoned and not interface.is_carrier:
            message = "is in no zone: its packets are dropped; add it with set zone"
            yield Problem(interface.line, path_text(interface.own_path), message, "warning")


def _without_mode(name: str, mode: str) -> str:
    return (
        f"{shown(name)} is not a {mode} interface; "
        f"configure set network interface ethernet {name} {mode}"
    )


def _routers(tree: Tree, known: Interfaces) -> Iterator[Problem]:
    listed = [
        (name, (*paths.VIRTUAL_ROUTERS, router, "interface"), router, line)
        for router, node in tree.entries(*paths.VIRTUAL_ROUTERS).items()
        for name, line in node.members("interface").items()
    ]
    yield from _one_owner(listed, "virtual router")
    for name, path, _, line in listed:
        if name in tree.entries(*paths.INTERFACES) and name not in known:
            yield Problem(line, path_text(path), _without_mode(name, "layer3"))
        elif name in known and not known[name].is_routed:
            message = f"{shown(name)} is a {known[name].mode} interface; only routed ones go here"
            yield Problem(line, path_text(path), message)
    routed = {name for name, *_ in listed}
    for name, interface in known.items():
        if interface.is_routed and name not in routed and not interface.is_carrier:
            message = "is in no virtual router: nothing is routed through it"
            yield Problem(interface.line, path_text(interface.own_path), message, "warning")


def _one_owner(
    listed: Iterable[tuple[str, tuple[str, ...], str, int]], noun: str
) -> Iterator[Problem]:
    """Checks of (interface, path, owner, line)."""
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


def _links(tree: Tree, known: Interfaces) -> Iterator[Problem]:
    """Virtual wires and VLANs."""
    ends = [
        (name, (*paths.VIRTUAL_WIRES, wire, end), wire, line)
        for wire, node in tree.entries(*paths.VIRTUAL_WIRES).items()
        for end in ("interface1", "interface2")
        for name, line in node.members(end).items()
    ]
    members = [
        (name, (*paths.VLANS, vlan, "interface"), vlan, line)
        for vlan, node in tree.entries(*paths.VLANS).items()
        for name, line in node.members("interface").items()
    ]
    for listed, mode, noun in (
        (ends, "virtual-wire", "virtual wire"),
        (members, "layer2", "VLAN"),
    ):
        yield from _one_owner(listed, noun)
        for name, path, _, line in listed:
            if name in tree.entries(*paths.INTERFACES) and name not in known:
                yield Problem(line, path_text(path), _without_mode(name, mode))
            elif name in known and known[name].mode != mode:
                message = f"{shown(name)} is a {known[name].mode} interface; {mode} ones go here"
                yield Problem(line, path_text(path), message)
        linked = {name for name, *_ in listed}
        for name, interface in known.items():
            if interface.mode == mode and name not in linked and not interface.is_carrier:
                message = f"is in no {noun}: nothing is forwarded by it"
                yield Problem(interface.line, path_text(interface.own_path), message, "warning")


def _addresses(interface: LogicalInterface) -> Iterator[Problem]:
    for text, line in interface.unused.items():
        message = f"{text} is not used: IPv6 is not enabled here; set ipv6 enabled yes"
        yield Problem(line, _where(interface, "ipv6", "address"), message, "warning")
    if interface.ipv6 and interface.mtu is not None and interface.mtu < _MIN_IPV6_MTU:
        message = (
            f"{interface.mtu} is too small for IPv6, which is enabled; at least {_MIN_IPV6_MTU}"
        )
        yield Problem(interface.mtu_line, _where(interface, "mtu"), message)
    for address, line in interface.addresses:
        longest = address.max_prefixlen
        if interface.mode == "loopback" and address.network.prefixlen != longest:
            message = f"{address} is a network; a loopback has single addresses: /{longest}"
            yield Problem(line, _address_path(interface, address), message)


def _router_of(tree: Tree) -> dict[str, str]:
    return {
        name: router
        for router, node in tree.entries(*paths.VIRTUAL_ROUTERS).items()
        for name in node.members("interface")
    }


class _Placed(NamedTuple):
    address: Interface
    interface: LogicalInterface
    line: int


def _overlaps(known: Iterable[LogicalInterface], router_of: Mapping[str, str]) -> Iterator[Problem]:
    """Addresses used twice, and networks that are on two interfaces of a virtual router."""
    owners: dict[Address, tuple[str, int]] = {}
    by_router: dict[str, list[_Placed]] = {}
    for interface in known:
        for address, line in interface.addresses:
            if address.ip.is_link_local:
                continue
            if address.ip in owners:
                other, at = owners[address.ip]
                message = f"{address.ip} is an address of {other} already (line {at})"
                yield Problem(line, _address_path(interface, address), message)
            owners.setdefault(address.ip, (interface.name, line))
            # a loopback's address may be one of a network that is somewhere else
            if interface.mode != "loopback":
                by_router.setdefault(router_of.get(interface.name, ""), []).append(
                    _Placed(address, interface, line)
                )
    for placed in by_router.values():
        yield from _nested(placed)


def _nested(placed: Iterable[_Placed]) -> Iterator[Problem]:
    # Prefixes are nested or apart, so in this order a prefix comes behind those that hold it.
    ordered = sorted(
        placed,
        key=lambda entry: (
            entry.address.version,
            int(entry.address.network.network_address),
            entry.address.network.prefixlen,
            entry.line,
        ),
    )
    holding: list[_Placed] = []
    for entry in ordered:
        address = entry.address
        while holding and not (
            holding[-1].address.version == address.version
            and int(address.network.network_address)
            <= int(holding[-1].address.network.broadcast_address)
        ):
            holding.pop()
        others = [
            other
            for other in holding
            if other.interface.name != entry.interface.name and other.address.ip != address.ip
        ]
        if others:
            first, second = sorted([others[-1], entry], key=lambda item: item.line)
            message = (
                f"{second.address} overlaps {first.address} of {first.interface.name} "
                f"(line {first.line}); a network is on one interface"
            )
            path = _address_path(second.interface, second.address)
            yield Problem(second.line, path, message)
        holding.append(entry)


def _address_path(interface: LogicalInterface, address: Interface) -> str:
    return _where(interface, *(("ip",) if address.version == 4 else ("ipv6", "address")))


def _routes(tree: Tree, known: Interfaces) -> Iterator[Problem]:
    own = {
        address.ip: interface.name
        for interface in known.values()
        for address, _ in interface.addresses
    }
    routers = tree.entries(*paths.VIRTUAL_ROUTERS)
    members = {router: node.members("interface") for router, node in routers.items()}
    connected = {
        router: Networks(
            address.network
            for name in names
            if name in known and known[name].mode != "loopback"
            for address, _ in known[name].addresses
        )
        for router, names in members.items()
    }
    equal: dict[tuple[str, Network, int], list[RouteEntry]] = {}
    for route in route_entries(tree):
        path = path_text(route.path)
        if (
            route.interface
            and route.interface in known
            and route.interface not in members[route.router]
        ):
            message = (
                f"interface {shown(route.interface)} is not in virtual router "
                f"{shown(route.router)}; add it to the router's interface list"
            )
            yield Problem(route.node.line, path, message)
        for message in _nexthop(route, own, connected[route.router]):
            yield Problem(route.node.line, path, message)
        others = equal.setdefault((route.router, route.destination, route.metric), [])
        if others:
            yield from _equal(route, others, routers[route.router])
        others.append(route)


def _equal(route: RouteEntry, others: list[RouteEntry], router: Tree) -> Iterator[Problem]:
    """A route that is as good as others to the same prefix."""
    settings, other = ecmp(router), others[0]
    same = f"{route.destination} with metric {route.metric} is route {shown(other.name)} already"
    path, line = path_text(route.path), route.node.line
    twins = [o for o in others if (o.nexthop, o.interface) == (route.nexthop, route.interface)]
    if not settings.is_enabled:
        message = (
            f"{same} (line {other.node.line}); give one of them another metric, or set ecmp "
            "enable yes"
        )
        yield Problem(line, path, message)
    elif route.discard or other.discard:
        message = f"{same} (line {other.node.line}), and one of them discards; remove it"
        yield Problem(line, path, message)
    elif twins:
        message = f"goes the same way as route {shown(twins[0].name)} (line {twins[0].node.line})"
        yield Problem(line, path, f"{message}; remove one of them")
    elif len(others) == settings.max_path:
        message = f"is not used: {len(others)} routes of this metric fill ecmp max-path"
        yield Problem(line, path, message, "warning")


def _weights(tree: Tree) -> Iterator[Problem]:
    where = ("ecmp", "algorithm", "weighted-round-robin", "interface")
    for router, node in tree.entries(*paths.VIRTUAL_ROUTERS).items():
        for name, entry in node.entries(*where).items():
            if name not in node.members("interface"):
                message = f"{shown(name)} is not an interface of the virtual router"
                path = path_text((*paths.VIRTUAL_ROUTERS, router, *where, name))
                yield Problem(entry.line, path, message)


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
