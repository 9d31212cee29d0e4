"""The kernel's forwarding table as the firewall asks it: longest prefix match.

The slowpath asks it for the route of a new session, the engine for where packets of live sessions
go; both ask the same table (native/src/fib.c).
"""

from collections.abc import Iterable, Mapping
from ipaddress import ip_network

import native
from dataplane.addresses import widened
from dataplane.snapshot import Route

# of two routes to the same prefix the kernel asks the local table first, then the lower metric
_KIND_ORDER = {"local": 0, "broadcast": 0, "multicast": 0, "discard": 1, "unicast": 1}
_ADDRESS_BITS = 128


class Fib:
    def __init__(self, routes: Iterable[Route] = ()) -> None:
        """Raises ValueError where a prefix is none."""
        self._routes = sorted(routes, key=_order)
        self._prefixes = [_prefix(route) for route in self._routes]
        # the firewall's own addresses, 16 bytes
        self.local = {
            address
            for (address, length), route in zip(self._prefixes, self._routes, strict=True)
            if route.kind == "local" and length == _ADDRESS_BITS
        }
        self._table = self.native({})

    def native(self, ports: Mapping[str, int]) -> native.Fib:
        """The table for an engine that knows ports by number."""
        return native.Fib(
            [
                (
                    address,
                    length,
                    ports.get(route.port, 0) if route.kind == "unicast" else None,
                    (),
                )
                for (address, length), route in zip(self._prefixes, self._routes, strict=True)
            ]
        )

    def lookup(self, address: bytes) -> Route | None:
        """The most specific route to an address of 16 bytes."""
        index = self._table.lookup(address)
        return None if index is None else self._routes[index]


def _prefix(route: Route) -> tuple[bytes, int]:
    network = ip_network(route.prefix)
    raw = network.network_address.packed
    return widened(raw), network.prefixlen + _ADDRESS_BITS - len(raw) * 8


def _order(route: Route) -> tuple[int, int]:
    return _KIND_ORDER.get(route.kind, 1), route.metric
