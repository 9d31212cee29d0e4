"""Virtual routers: which way a packet would go, by the routes or by what goes before them.

A *way* is a port to leave by and the path through the kernel that leads there (marks.py), 0 where
the kernel's own routing does. Of a route with several next hops a session gets one and keeps it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import NamedTuple

import native
from dataplane.addresses import packed
from dataplane.fib import Fib, Fibs, Hops
from dataplane.keyed_hash import KeyedHash
from dataplane.snapshot import Ecmp, Hop, Path, Port, Route, VirtualRouter
from native import DropReason, FlowKey

_NO_ECMP = Ecmp(max_path=1)
_FIRST = VirtualRouter("", 0)
_REFUSED = {
    "broadcast": DropReason.flow_fwd_l3_bcast_drop,
    "multicast": DropReason.flow_fwd_l3_mcast_drop,
    "discard": DropReason.flow_policy_nofwd,
}


class Way(NamedTuple):
    egress: Port
    path: int
    route: Route | None = None  # None where it goes by none
    is_host: bool = False  # it ends here: egress is the port that has the address


class _Choice(NamedTuple):
    hops: list[Hop]
    turns: Iterator[int]  # of algorithms that take turns


class Paths:
    """The ways of their own through the kernel."""

    def __init__(self, paths: Iterable[Path] = ()) -> None:
        self._numbers: dict[tuple[str, str], int] = {}
        self._by_mac: dict[tuple[str, bytes], Path] = {}
        for path in paths:
            self._numbers[path.port, path.nexthop] = path.number
            if path.mac:
                self._by_mac[path.port, path.mac] = path

    def to(self, port: str, nexthop: str) -> int:
        """0 where there is none, and the kernel's routes must do."""
        return self._numbers.get((port, nexthop), 0)

    def back(self, port: str, mac: bytes, nexthops: Sequence[str] = ()) -> int:
        """By a port to who sent a packet from this Ethernet address; by one of the next hops where
        there are some."""
        sender = self._by_mac.get((port, mac))
        if sender is not None and (not nexthops or sender.nexthop in nexthops):
            return sender.number
        return self.to(port, nexthops[0] if nexthops else "")


class Router:
    """A virtual router's table, and the choice between next hops of one cost."""

    def __init__(
        self,
        configured: VirtualRouter,
        fib: Fib,
        ports: Mapping[str, Port],
        owners: Mapping[bytes, Port],
        paths: Paths,
        secret_hash: KeyedHash,
    ) -> None:
        """With the ports by name and, where they are configured, by their addresses."""
        self.fib = fib
        self.multicast = configured.multicast
        self.returns_symmetrically = bool(configured.ecmp and configured.ecmp.symmetric_return)
        self._ecmp = configured.ecmp or _NO_ECMP
        self._ports = ports
        self._owners = owners
        self._paths = paths
        self._choose = _chooser(self._ecmp, secret_hash)
        self._weighs = self._ecmp.algorithm == "weighted-round-robin"
        self._choices: dict[str, _Choice] = {}  # by prefix
        self._single: dict[str, Way | DropReason] = {}  # of routes with one next hop, by prefix

    def way(self, key: FlowKey, destination: bytes) -> Way | DropReason:
        """By the route to the destination, for a session of this key."""
        route = self.fib.lookup(destination)
        if route is None:
            return DropReason.flow_fwd_l3_noroute
        if (single := self._single.get(route.prefix)) is not None:
            return single
        if route.kind == "unicast":
            if route.hops:
                return self._way_by_hop(route, key, destination)
            way = self._single[route.prefix] = leaving(self._ports.get(route.port), 0, route)
            return way
        owner = self._owners.get(destination) or self._ports.get(route.port)
        if route.kind == "local" and owner is not None:
            return Way(owner, 0, route, is_host=True)
        return _REFUSED.get(route.kind, DropReason.flow_host_service_deny)

    def _way_by_hop(self, route: Route, key: FlowKey, destination: bytes) -> Way | DropReason:
        choice = self._choices.get(route.prefix)
        if choice is None:
            hops = self._hops(route)
            shares = [hop for hop in hops for _ in range(hop.weight if self._weighs else 1)]
            choice = self._choices[route.prefix] = _Choice(shares, count())
        hops, turns = choice
        if not hops:
            return DropReason.flow_policy_nofwd
        hop = hops[self._choose(key, destination, turns) % len(hops)] if hops[1:] else hops[0]
        return leaving(self._ports[hop.port], self._paths.to(hop.port, hop.nexthop), route)

    def _hops(self, route: Route) -> list[Hop]:
        usable = [h for h in route.hops if h.port in self._ports and self._ports[h.port].zone]
        return usable[: self._ecmp.max_path]

    def native(self, port_numbers: Mapping[str, int]) -> native.Fib:
        """The table for the engine, in which sessions stay with the next hop chosen here."""
        return self.fib.native(port_numbers, self._native_hops)

    def _native_hops(self, route: Route) -> Hops:
        if not route.hops:
            return ()
        return tuple((h.port, self._paths.to(h.port, h.nexthop)) for h in self._hops(route))


def leaving(egress: Port | None, path: int, route: Route | None = None) -> Way | DropReason:
    """A way by a port, if anything may leave by it."""
    if egress is None or not egress.zone:
        return DropReason.flow_policy_nofwd
    if egress.mode == "tunnel" and not egress.tunnel:
        return DropReason.flow_tunnel_no_encap
    return Way(egress, path, route)


Chooser = Callable[[FlowKey, bytes, Iterator[int]], int]


def _chooser(ecmp: Ecmp, secret_hash: KeyedHash) -> Chooser:
    def by_modulo(key: FlowKey, destination: bytes, turns: Iterator[int]) -> int:
        return int.from_bytes(key.src, "big") ^ int.from_bytes(destination, "big")

    def by_hash(key: FlowKey, destination: bytes, turns: Iterator[int]) -> int:
        ports = b"%d %d %d" % (key.proto, key.sport, key.dport) if ecmp.use_ports else b""
        return secret_hash(key.src + destination + ports)

    def in_turn(key: FlowKey, destination: bytes, turns: Iterator[int]) -> int:
        return next(turns)

    return {"ip-modulo": by_modulo, "ip-hash": by_hash}.get(ecmp.algorithm, in_turn)


class Routing:
    """All virtual routers. The first is also everybody's whose name is not configured."""

    def __init__(
        self,
        configured: Sequence[VirtualRouter] = (),
        fibs: Fibs | None = None,
        ports: Mapping[str, Port] | None = None,
        paths: Paths | None = None,
        secret_hash: KeyedHash | None = None,
    ) -> None:
        fibs, ports, self.paths = fibs or Fibs(), ports or {}, paths or Paths()
        secret_hash = secret_hash or KeyedHash(b"")
        self.local = fibs.local  # the firewall's own addresses, 16 bytes
        owners = {
            packed(address.partition("/")[0]): port
            for port in ports.values()
            for address in port.addresses
        }
        self._first, *others = configured or (_FIRST,)
        self.routers = [
            Router(vr, fibs.of(name), ports, owners, self.paths, secret_hash)
            for vr, name in [(self._first, ""), *((vr, vr.name) for vr in others)]
        ]
        self._numbers = {vr.name: number for number, vr in enumerate(others, 1)}

    def number(self, virtual_router: str) -> int:
        """Of a port's virtual router in `routers`."""
        return self._numbers.get(virtual_router, 0)

    def of(self, port: Port) -> Router:
        return self.routers[self.number(port.virtual_router)]

    def named(self, virtual_router: str) -> Router:
        """Raises ValueError where there is none of that name; "" is the first."""
        if virtual_router not in ("", self._first.name, *self._numbers):
            known = ", ".join([self._first.name, *self._numbers])
            raise ValueError(f"virtual router {virtual_router} is not configured; {known} are")
        return self.routers[self.number(virtual_router)]
