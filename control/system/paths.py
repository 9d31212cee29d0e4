"""Which ways through the kernel need a number (snapshot.Path): those its ordinary routing would not
take, or not always.

    policy-based forwarding    egress port and next hop of each rule that forwards
    symmetric return           the next hops behind ports sessions may have come in by, and the link
    several next hops          each of them

A number keeps its meaning as long as there may be sessions that have it: it is given once, and also
remembered for a dataplane that outlives this process. Only when all are given does a new path get
the number of one that is needed no more; the mark's zone holds for its sessions all the same.
"""

import ipaddress
from collections.abc import Iterable, Iterator

from control.system.remembered import Remembered
from dataplane.snapshot import Path, PbfRule, Port, Route, Snapshot

HIGHEST = 255

Pair = tuple[str, str]  # port, next hop


def wanted(snapshot: Snapshot, routes: Iterable[Route]) -> list[Pair]:
    """The most important first."""
    routes = tuple(routes)
    ports = {port.name for port in routable(snapshot.ports)}
    pairs = dict.fromkeys(_pairs(snapshot, routes))
    return [pair for pair in pairs if pair[0] in ports]


def routable(ports: Iterable[Port]) -> Iterator[Port]:
    return (port for port in ports if port.mode == "layer3" and port.virtual_router)


class Numbers:
    def __init__(self, remembered: Remembered[list[Pair]]) -> None:
        self._remembered = remembered  # the first has number 1

    def give(self, pairs: Iterable[Pair]) -> list[Pair]:
        """Sees that each has a number; returns those for which none is left. Raises KernelError."""
        known, needed = list(self._remembered.get()), list(pairs)
        new = [pair for pair in needed if pair not in known]
        fitting = new[: HIGHEST - len(known)]
        left = new[len(fitting) :]
        spare = [index for index, pair in enumerate(known) if pair not in needed] if left else []
        for index, pair in zip(spare, left, strict=False):
            known[index] = pair
        if fitting or spare:
            self._remembered.set([*known, *fitting])
        return left[len(spare) :]

    def paths(self, ports: Iterable[Port]) -> tuple[Path, ...]:
        """Everything that has a number, and its port still."""
        there = {port.name for port in routable(ports)}
        return tuple(
            Path(number, port, nexthop)
            for number, (port, nexthop) in enumerate(self._remembered.get(), 1)
            if port in there
        )

    def forget(self) -> None:
        self._remembered.forget()


def _pairs(snapshot: Snapshot, routes: tuple[Route, ...]) -> Iterator[Pair]:
    for rule in snapshot.pbf_rules:
        if rule.action == "forward" and rule.egress:
            yield rule.egress, rule.nexthop
    for rule in snapshot.pbf_rules:
        if rule.symmetric_return:
            for port in _ingress(rule, snapshot.ports):
                yield port.name, ""
                nexthops = [hop for hop in rule.return_nexthops if _is_on_link(hop, port)]
                for nexthop in nexthops or _gateways(port, snapshot.pbf_rules, routes):
                    yield port.name, nexthop
    for route in routes:
        for hop in route.hops:
            yield hop.port, hop.nexthop
    symmetric = {
        router.name
        for router in snapshot.virtual_routers
        if router.ecmp and router.ecmp.symmetric_return
    }
    for port in snapshot.ports:
        if port.virtual_router in symmetric:
            yield port.name, ""
            for nexthop in _gateways(port, snapshot.pbf_rules, routes):
                yield port.name, nexthop


def _ingress(rule: PbfRule, ports: Iterable[Port]) -> Iterator[Port]:
    for port in ports:
        is_any = not (rule.from_ports or rule.from_zones)
        if is_any or port.name in rule.from_ports or (port.zone and port.zone in rule.from_zones):
            yield port


def _is_on_link(nexthop: str, port: Port) -> bool:
    address = ipaddress.ip_address(nexthop)
    return (address.version == 6 and address.is_link_local and port.ipv6) or any(
        address in ipaddress.ip_interface(text).network for text in port.addresses
    )


def _gateways(port: Port, rules: Iterable[PbfRule], routes: Iterable[Route]) -> Iterator[str]:
    known = [
        *((rule.egress, rule.nexthop) for rule in rules),
        *((route.port, route.nexthop) for route in routes),
        *((hop.port, hop.nexthop) for route in routes for hop in route.hops),
    ]
    return (nexthop for name, nexthop in known if name == port.name and nexthop)
