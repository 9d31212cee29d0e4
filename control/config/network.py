"""The network part of a tree, read: interfaces, zones, routers and static routes as values.

Reading is lenient: what is wrong with a value is said elsewhere (validate.py), here it is left out.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from control.config import paths, schema
from control.config.schema_network import ZONE_MODES
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

ROUTED_MODES = ("layer3", "loopback", "tunnel")
_PORT_MODES = ("layer3", "layer2", "virtual-wire", "tap")


@dataclass(frozen=True, slots=True)
class LogicalInterface:
    """An interface in a mode that is enforced: a port, a sub-interface, loopback.N, tunnel.N."""

    name: str
    path: tuple[str, ...]  # of what it is set up by: for a port its mode, else itself
    line: int
    mode: str  # as of dataplane.snapshot.Port
    parent: str  # the port a sub-interface is of
    tag: int
    addresses: tuple[tuple[Interface, int], ...]  # with their lines, in the configuration's order
    unused: dict[str, int]  # IPv6 addresses without IPv6
    ipv6: bool
    mtu: int | None
    mtu_line: int
    mss_adjustment: tuple[int, int] | None  # IPv4, IPv6
    management_profile: str | None
    is_down: bool  # by configuration
    is_carrier: bool  # only there for its sub-interfaces

    @property
    def own_path(self) -> tuple[str, ...]:
        """For messages: the port's, not its mode's."""
        return self.path[:-1] if self.path[-1] != self.name else self.path

    @property
    def is_routed(self) -> bool:
        return self.mode in ROUTED_MODES


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


@dataclass(frozen=True, slots=True)
class RouterEcmp:
    """How a virtual router spreads sessions over equal routes."""

    is_enabled: bool
    max_path: int
    algorithm: str
    use_ports: bool
    symmetric_return: bool
    weights: dict[str, int]  # of interfaces, of weighted-round-robin

    def weight(self, interface: str | None) -> int:
        """What counts where equal routes share the sessions."""
        if self.algorithm != "weighted-round-robin" or not self.is_enabled:
            return 1
        return self.weights.get(interface or "", _DEFAULT_WEIGHT)


_DEFAULT_WEIGHT = 100


def _readable(read: Callable[[str], T], values: dict[str, int]) -> Iterator[tuple[T, int]]:
    for text, line in values.items():
        try:
            yield read(text), line
        except ValueError:
            continue


def _number(text: str | None, otherwise: T) -> int | T:
    return int(text) if text and re.fullmatch("[0-9]{1,10}", text) else otherwise


def ports(tree: Tree) -> dict[str, str]:
    """Ethernet ports in a mode that is enforced, with their modes, in the configuration's order."""
    return {
        name: mode
        for name, port in tree.entries(*paths.INTERFACES).items()
        if (mode := next((mode for mode in _PORT_MODES if mode in port.children), ""))
    }


def interfaces(tree: Tree) -> dict[str, LogicalInterface]:
    """By name: ports with their sub-interfaces behind them, then loopbacks and tunnels."""
    found = {}
    for name, mode in ports(tree).items():
        port = tree.entries(*paths.INTERFACES)[name]
        node = port.children[mode]
        is_down = port.value("link-state") == "down"
        path = (*paths.INTERFACES, name, mode)
        units = node.entries("units") if mode in ("layer3", "layer2") else {}
        found[name] = _interface(
            name, path, node, mode, line=port.line, is_down=is_down, has_units=bool(units)
        )
        for unit, below in units.items():
            where = (*path, "units", unit)
            found[unit] = _interface(
                unit, where, below, mode, line=below.line, parent=name, is_down=is_down
            )
    for mode, units_path in (("loopback", paths.LOOPBACKS), ("tunnel", paths.TUNNELS)):
        for name, node in tree.entries(*units_path).items():
            found[name] = _interface(name, (*units_path, name), node, mode, line=node.line)
    return found


def _interface(
    name: str,
    path: tuple[str, ...],
    node: Tree,
    mode: str,
    *,
    line: int,
    parent: str = "",
    is_down: bool = False,
    has_units: bool = False,
) -> LogicalInterface:
    ipv6 = node.value("ipv6", "enabled") == "yes"
    addresses = [*_readable(lambda text: interface_address(text, 4), node.members("ip"))]
    ipv6_texts = node.members("ipv6", "address")
    if ipv6:
        addresses += _readable(lambda text: interface_address(text, 6), ipv6_texts)
    return LogicalInterface(
        name=name,
        path=path,
        line=line,
        mode=mode,
        parent=parent,
        tag=_number(node.value("tag"), 0),
        addresses=tuple(addresses),
        unused={} if ipv6 else ipv6_texts,
        ipv6=ipv6,
        mtu=_number(node.value("mtu"), None),
        mtu_line=min(node.members("mtu").values(), default=node.line),
        mss_adjustment=_mss_adjustment(node, path),
        management_profile=node.value("interface-management-profile"),
        is_down=is_down,
        is_carrier=has_units and not addresses,
    )


def _mss_adjustment(node: Tree, path: tuple[str, ...]) -> tuple[int, int] | None:
    adjustment = node.get("adjust-tcp-mss")
    if adjustment is None or adjustment.value("enable") != "yes":
        return None

    def bytes_of(element: str) -> int:
        default = int(schema.default(*path, "adjust-tcp-mss", element))
        return _number(adjustment.value(element), default)

    return bytes_of("ipv4-mss-adjustment"), bytes_of("ipv6-mss-adjustment")


def zone_interfaces(zone: Tree) -> dict[str, int]:
    """Interfaces of a zone with their lines."""
    return {
        name: line for mode in ZONE_MODES for name, line in zone.members("network", mode).items()
    }


def first_router(tree: Tree) -> str | None:
    """The virtual router that has the kernel's main table."""
    return next(iter(tree.entries(*paths.VIRTUAL_ROUTERS)), None)


def ecmp(router: Tree) -> RouterEcmp:
    where = (*paths.VIRTUAL_ROUTERS, "", "ecmp")
    algorithms = router.entries("ecmp", "algorithm")
    weights = router.entries("ecmp", "algorithm", "weighted-round-robin", "interface")
    return RouterEcmp(
        is_enabled=router.value("ecmp", "enable") == "yes",
        max_path=_number(router.value("ecmp", "max-path"), int(schema.default(*where, "max-path"))),
        algorithm=next(iter(algorithms), "ip-modulo"),
        use_ports=router.value("ecmp", "algorithm", "ip-hash", "use-port") == "yes",
        symmetric_return=router.value("ecmp", "symmetric-return") == "yes",
        weights={
            name: _number(node.value("weight"), _DEFAULT_WEIGHT) for name, node in weights.items()
        },
    )


def route_entries(tree: Tree) -> Iterator[RouteEntry]:
    for router, node in tree.entries(*paths.VIRTUAL_ROUTERS).items():
        for family in ("ip", "ipv6"):
            where = ("routing-table", family, "static-route")
            for name, route in node.entries(*where).items():
                path = (*paths.VIRTUAL_ROUTERS, router, *where, name)
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
        metric=_number(metric, 0),
        discard=route.get("nexthop", "discard") is not None,
    )
