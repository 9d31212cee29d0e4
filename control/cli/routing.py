"""`show routing route`, `show routing fib` and `test routing fib-lookup`.

The mirrored FIB as the tables of the virtual routers. The kernel also routes for the machine
itself: what does not lead out by a dataplane port, and the broadcast, multicast and link-local
entries every Linux has, belong to no virtual router.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import ip_address, ip_interface, ip_network
from typing import NamedTuple

from control.cli.answers import RefusedError, ask
from control.management import InterfaceStatus, Management
from dataplane.messages import FindRoute, FoundRoute
from dataplane.snapshot import Hop, Route

_HEADER = """\
flags: A:active, ?:loose, C:connect, H:host, S:static, ~:internal, R:rip, O:ospf, B:bgp,
       Oi:ospf intra-area, Oo:ospf inter-area, O1:ospf ext-type-1, O2:ospf ext-type-2, \
E:ecmp, M:multicast

"""
_COLUMNS = """\
destination                                 nexthop                                 metric \
flags      age   interface          next-AS
"""
_RULE = "-" * 80
_FIB_COLUMNS = f"""\
id      destination                                 nexthop                                 \
flags  interface          mtu
{"-" * 124}
"""


class _Entry(NamedTuple):
    router: str
    prefix: str
    nexthop: str
    metric: int
    kind: str  # C, H, S
    port: str
    is_one_of_many: bool = False  # of next hops of equal cost


def routes(management: Management, only: str | None) -> str:
    """Of every virtual router, or of one. Raises RefusedError where it is not there."""
    ages_s = management.route_ages_s()
    parts = [_HEADER]
    for number, router, entries in _tables(management, only):
        parts.append(f"\nVIRTUAL ROUTER: {router} (id {number})\n  ==========\n{_COLUMNS}")
        best = _best(entries)
        for entry in entries:
            age = ages_s.get(entry.prefix) if entry.kind == "S" else None
            parts.append(_row(entry, entry.metric == best[entry.prefix], age))
        parts.append(f"total routes shown: {len(entries)}\n")
    return "".join(parts)


def fib(management: Management, only: str | None) -> str:
    """What is chosen among the routes. Raises RefusedError where the router is not there."""
    interfaces = management.interfaces()
    mtus = {one.name: one.mtu for one in interfaces}
    tables = list(_tables(management, only))
    parts = [f"total virtual-router shown : {len(tables):>14d}\n\n"]
    for _, router, entries in tables:
        best = _best(entries)
        chosen = [
            entry
            for entry in entries
            if entry.metric == best[entry.prefix] and entry.nexthop != "discard"
        ]
        ports = " ".join(one.name for one in interfaces if one.virtual_router == router)
        parts.append(
            f"{_RULE}\nvirtual-router name: {router}\ninterfaces:\n  {ports}\n\nroute table:\n"
            "flags: u - up, h - host, g - gateway, e - ecmp, * - preferred path\n\n"
            f"number of fib entries shown: {len(chosen)}\n\n{_FIB_COLUMNS}"
        )
        for number, entry in enumerate(chosen, start=1):
            parts.append(_fib_row(number, entry, mtus))
        parts.append("\n")
    return "".join(parts)


async def lookup(management: Management, router: str, address: str) -> str:
    routers = _routers(management)
    if router not in routers:
        raise _unknown(router, routers)
    asked = "" if router == routers[0] else router
    found = (await ask(management, FindRoute(address, asked), FoundRoute)).route
    lines = [
        _RULE,
        "runtime route lookup",
        _RULE,
        f"virtual-router:   {router}",
        f"destination:      {address}",
        "result:",
        *_result(found),
        _RULE,
    ]
    return "\n".join(lines) + "\n"


def _result(route: Route | None) -> Iterator[str]:
    if route is None:
        yield "  no route"
    elif route.kind == "unicast":
        for hop in _hops(route):
            via = f"via {hop.nexthop} " if hop.nexthop else ""
            weight = f", weight {hop.weight}" if route.hops else ""
            port = hop.port or "N/A"
            yield f"  {via}interface {port}, metric {route.metric}, route {route.prefix}{weight}"
    else:
        yield f"  {route.kind}, route {route.prefix}"


def _hops(route: Route) -> tuple[Hop, ...]:
    return route.hops or (Hop(route.port, route.nexthop),)


# ---- the tables ----------------------------------------------------------------------------------


def _tables(management: Management, only: str | None) -> Iterator[tuple[int, str, list[_Entry]]]:
    routers = _routers(management)
    if only is not None and only not in routers:
        raise _unknown(only, routers)
    found = _entries(management.routes(), management.interfaces(), routers[0] if routers else "")
    entries = sorted(found, key=_order)
    for number, router in enumerate(routers, start=1):
        if only in (None, router):
            yield number, router, [entry for entry in entries if entry.router == router]


def _routers(management: Management) -> list[str]:
    return [router.name for router in management.snapshot().virtual_routers]


def _unknown(router: str, routers: Sequence[str]) -> RefusedError:
    known = ", ".join(routers) or "none"
    return RefusedError(f'there is no virtual router "{router}"; configured are: {known}')


def _entries(
    routes: Sequence[Route], interfaces: Sequence[InterfaceStatus], first_router: str
) -> Iterator[_Entry]:
    ports = {interface.name: interface for interface in interfaces}
    owners = {
        str(ip_interface(address).ip): interface
        for interface in interfaces
        for address in interface.addresses
    }
    for route in routes:
        network = ip_network(route.prefix, strict=False)
        if network.is_link_local:
            continue
        router = route.virtual_router or first_router
        host = owners.get(str(network.network_address))
        unspecified = "0.0.0.0" if network.version == 4 else "::"
        if route.kind == "discard":
            yield _Entry(router, route.prefix, "discard", route.metric, "S", "")
        elif route.kind == "local" and host:
            yield _Entry(host.virtual_router, route.prefix, unspecified, 0, "H", "")
        elif route.kind == "unicast":
            for hop in _hops(route):
                port = ports.get(hop.port)
                if port and hop.nexthop:
                    yield _Entry(
                        router,
                        route.prefix,
                        hop.nexthop,
                        route.metric,
                        "S",
                        port.name,
                        bool(route.hops),
                    )
                elif port:
                    own = (ip_interface(address) for address in port.addresses)
                    address = next((f"{one.ip}" for one in own if one.network == network), "")
                    connected = address or unspecified
                    yield _Entry(router, route.prefix, connected, 0, "C", port.name)


def _order(entry: _Entry) -> tuple[int, int, int, int, str]:
    network = ip_network(entry.prefix, strict=False)
    start = int(ip_address(network.network_address))
    return network.version, start, network.prefixlen, entry.metric, entry.nexthop


def _best(entries: Iterable[_Entry]) -> dict[str, int]:
    """The metric of each prefix that counts; the entries come in the order of their metrics."""
    best: dict[str, int] = {}
    for entry in entries:
        best.setdefault(entry.prefix, entry.metric)
    return best


def _row(entry: _Entry, is_active: bool, age_s: int | None) -> str:
    flags = f"{'A' if is_active else ' '} {entry.kind}{' E' if entry.is_one_of_many else ''}"
    age = "" if age_s is None else f"{age_s}"
    line = f"{entry.prefix:<43s} {entry.nexthop:<39s} {entry.metric:<6d} {flags:<8s}{age:>7s}"
    return f"{line}  {entry.port}".rstrip() + "\n"


def _fib_row(number: int, entry: _Entry, mtus: Mapping[str, int]) -> str:
    kind = {"S": "g", "H": "h"}.get(entry.kind, "")
    flags = f"u{kind}{'e' if entry.is_one_of_many else ''}"
    mtu = f"{mtus[entry.port]}" if entry.port else ""
    line = f"{number:<7d} {entry.prefix:<43s} {entry.nexthop:<39s} {flags:<6s} {entry.port:<18s}"
    return f"{line} {mtu}".rstrip() + "\n"
