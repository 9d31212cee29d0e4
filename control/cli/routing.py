"""`show routing route`: the mirrored FIB as the routing tables of the virtual routers.

The kernel also routes for the machine itself. What does not lead out by a dataplane port, and the
broadcast, multicast and link-local entries every Linux has, belong to no virtual router.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_address, ip_interface, ip_network
from typing import NamedTuple

from control.management import InterfaceStatus
from dataplane.snapshot import Route

_HEADER = """\
flags: A:active, ?:loose, C:connect, H:host, S:static, ~:internal, R:rip, O:ospf, B:bgp,
       Oi:ospf intra-area, Oo:ospf inter-area, O1:ospf ext-type-1, O2:ospf ext-type-2, \
E:ecmp, M:multicast

"""
_COLUMNS = """\
destination                                 nexthop                                 metric \
flags      age   interface          next-AS
"""


class _Entry(NamedTuple):
    router: str
    prefix: str
    nexthop: str
    metric: int
    kind: str  # C, H, S
    port: str


def render(
    routes: Sequence[Route], ages_s: Mapping[str, int], interfaces: Sequence[InterfaceStatus]
) -> str:
    parts = [_HEADER]
    routers = dict.fromkeys(one.virtual_router for one in interfaces if one.virtual_router)
    entries = sorted(_entries(routes, interfaces), key=_order)
    best: dict[str, int] = {}
    for entry in entries:
        best.setdefault(entry.prefix, entry.metric)
    for number, router in enumerate(routers, start=1):
        own = [entry for entry in entries if entry.router == router]
        parts.append(f"\nVIRTUAL ROUTER: {router} (id {number})\n  ==========\n{_COLUMNS}")
        for entry in own:
            age = ages_s.get(entry.prefix) if entry.kind == "S" else None
            parts.append(_row(entry, entry.metric == best[entry.prefix], age))
        parts.append(f"total routes shown: {len(own)}\n")
    return "".join(parts)


def _entries(routes: Sequence[Route], interfaces: Sequence[InterfaceStatus]) -> Iterator[_Entry]:
    ports = {interface.name: interface for interface in interfaces}
    owners = {
        str(ip_interface(address).ip): interface
        for interface in interfaces
        for address in interface.addresses
    }
    first_router = next((one.virtual_router for one in interfaces if one.virtual_router), "")
    for route in routes:
        network = ip_network(route.prefix, strict=False)
        if network.is_link_local:
            continue
        port, host = ports.get(route.port), owners.get(str(network.network_address))
        unspecified = "0.0.0.0" if network.version == 4 else "::"
        if route.kind == "discard":
            yield _Entry(first_router, route.prefix, "discard", route.metric, "S", "")
        elif route.kind == "local" and host:
            yield _Entry(host.virtual_router, route.prefix, unspecified, 0, "H", "")
        elif route.kind == "unicast" and port:
            router = port.virtual_router
            if route.nexthop:
                yield _Entry(router, route.prefix, route.nexthop, route.metric, "S", port.name)
            else:
                own = (ip_interface(address) for address in port.addresses)
                address = next((str(one.ip) for one in own if one.network == network), unspecified)
                yield _Entry(router, route.prefix, address, 0, "C", port.name)


def _order(entry: _Entry) -> tuple[int, int, int, int, str]:
    network = ip_network(entry.prefix, strict=False)
    start = int(ip_address(network.network_address))
    return network.version, start, network.prefixlen, entry.metric, entry.nexthop


def _row(entry: _Entry, is_active: bool, age_s: int | None) -> str:
    flags = f"{'A' if is_active else ' '} {entry.kind}"
    age = "" if age_s is None else f"{age_s}"
    line = f"{entry.prefix:<43s} {entry.nexthop:<39s} {entry.metric:<6d} {flags:<8s}{age:>7s}"
    return f"{line}  {entry.port}".rstrip() + "\n"
