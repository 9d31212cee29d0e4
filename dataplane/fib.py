"""The kernel's forwarding tables as the firewall asks them: longest prefix match.

The slowpath asks them for the route of a new session, the engine for where packets of live sessions
go; both ask the same table (native/src/fib.c).
"""

from collections.abc import Callable, Iterable, Mapping
from ipaddress import ip_network

import native
from dataplane.addresses import widened
from dataplane.snapshot import Route

# of two routes to the same prefix the kernel asks the local table first, then the lower metric
_KIND_ORDER = {"local": 0, "broadcast": 0, "multicast": 0, "discard": 1, "unicast": 1}
_ADDRESS_BITS = 128

Hops = tuple[tuple[str, int], ...]  # port and path of each


def _no_hops(route: Route) -> Hops:
    return ()


class Fib:
    def __init__(self, routes: Iterable[Route] = ()) -> None:
        """Raises ValueError where a prefix is none."""
        self.routes = sorted(routes, key=_order)
        self._prefixes = [_prefix(route) for route in self.routes]
        # the firewall's own addresses, 16 bytes
        self.local = {
            address
            for (address, length), route in zip(self._prefixes, self.routes, strict=True)
            if route.kind == "local" and length == _ADDRESS_BITS
        }
        self._table = self.native({})

    def native(
        self, ports: Mapping[str, int], hops: Callable[[Route], Hops] = _no_hops
    ) -> native.Fib:
        """The table for an engine that knows ports by number; `hops` gives the next hops a session
        by the route may have."""
        routes = []
        for (address, length), route in zip(self._prefixes, self.routes, strict=True):
            port = ports.get(route.port, 0) if route.kind == "unicast" else None
            own = tuple((ports.get(name, 0), path) for name, path in hops(route))
            routes.append((address, length, port, own))
        return native.Fib(routes)

    def lookup(self, address: bytes) -> Route | None:
        """The most specific route to an address of 16 bytes."""
        index = self._table.lookup(address)
        return None if index is None else self.routes[index]


class Fibs:
    """The tables of all virtual routers; the kernel asks its local table before each of them."""

    def __init__(self, routes: Iterable[Route] = ()) -> None:
        """Raises ValueError where a prefix is none."""
        routes = list(routes)
        shared = [route for route in routes if _KIND_ORDER.get(route.kind) == 0]
        of_router: dict[str, list[Route]] = {}
        for route in routes:
            if _KIND_ORDER.get(route.kind) != 0:
                of_router.setdefault(route.virtual_router, []).append(route)
        self._tables = {name: Fib([*shared, *own]) for name, own in of_router.items()}
        self._shared = Fib(shared)
        self.local = self._shared.local

    def of(self, virtual_router: str) -> Fib:
        """The table of a virtual router by its name, of the first by ""."""
        return self._tables.get(virtual_router, self._shared)


def _prefix(route: Route) -> tuple[bytes, int]:
    network = ip_network(route.prefix)
    raw = network.network_address.packed
    return widened(raw), network.prefixlen + _ADDRESS_BITS - len(raw) * 8


def _order(route: Route) -> tuple[int, int]:
    return _KIND_ORDER.get(route.kind, 1), route.metric
