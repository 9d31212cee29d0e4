"""The kernel's forwarding table as the slowpath asks it: longest prefix match.

One dictionary per family and prefix length, asked from the longest down: as many lookups as there
are different lengths, whatever the number of routes.
"""

from collections.abc import Iterable
from ipaddress import ip_network

from dataplane.addresses import V4_PREFIX
from dataplane.snapshot import Route

# of two routes to the same prefix the kernel asks the local table first, then the lower metric
_KIND_ORDER = {"local": 0, "broadcast": 0, "multicast": 0, "discard": 1, "unicast": 1}


class Fib:
    def __init__(self, routes: Iterable[Route] = ()) -> None:
        """Raises ValueError where a prefix is none."""
        self._levels: dict[int, list[tuple[int, dict[int, Route]]]] = {}
        self.local: set[bytes] = set()  # the firewall's own addresses, 16 bytes
        tables: dict[tuple[int, int], dict[int, Route]] = {}
        for route in routes:
            network = ip_network(route.prefix)
            table = tables.setdefault((network.version, network.prefixlen), {})
            shift = network.max_prefixlen - network.prefixlen
            key = int(network.network_address) >> shift
            best = table.get(key)
            if best is None or _order(route) < _order(best):
                table[key] = route
            if route.kind == "local" and shift == 0:
                raw = network.network_address.packed
                self.local.add(V4_PREFIX + raw if len(raw) == 4 else raw)
        for version, bits in ((4, 32), (6, 128)):
            lengths = sorted((length for v, length in tables if v == version), reverse=True)
            self._levels[version] = [(bits - n, tables[version, n]) for n in lengths]

    def lookup(self, address: bytes) -> Route | None:
        """The most specific route to an address of 16 bytes."""
        is_v4 = address.startswith(V4_PREFIX)
        value = int.from_bytes(address[12:] if is_v4 else address, "big")
        for shift, table in self._levels[4 if is_v4 else 6]:
            route = table.get(value >> shift)
            if route is not None:
                return route
        return None


def _order(route: Route) -> tuple[int, int]:
    return _KIND_ORDER.get(route.kind, 1), route.metric
