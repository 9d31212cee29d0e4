"""Forwarding tables, for sessions that go on when routes have changed."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import Any

from native._engine import ffi, lib
from native.structs import table

Hop = tuple[int, int]  # port and path
Route = tuple[bytes, int, int | None, Sequence[Hop]]


class Fib:
    """A forwarding table: longest prefix match over routes, as (prefix, length, port, hops).

    A prefix has 16 bytes and its length counts all of them (an IPv4 prefix of n bits: 96 + n); port
    None forwards nothing. Of several routes with one prefix the first wins. Where a route has
    several next hops, `hops` are all of them.
    """

    def __init__(self, routes: Sequence[Route]) -> None:
        """Raises ValueError where a length is not within 0..128."""
        hops: list[Hop] = []

        def fill_route(raw: Any, route: Route) -> None:
            prefix, length, port, several = route
            ffi.memmove(raw.prefix, prefix, 16)
            raw.length = length if 0 <= length <= 128 else 255
            raw.leaves, raw.port = port is not None, port or 0
            raw.hop, raw.hop_count = len(hops), len(several)
            hops.extend(several)

        raw_routes = table("route", routes, fill_route)
        raw_hops = table("route_hop", hops, _fill_hop)
        fib = lib.fib_new(raw_routes, len(routes), raw_hops, len(hops))
        if not fib:
            if ffi.errno == errno.EINVAL:
                raise ValueError("a prefix length is not within 0..128")
            raise MemoryError
        self._fib = ffi.gc(fib, lib.fib_free)

    def lookup(self, address: bytes) -> int | None:
        """The index of the route to an address of 16 bytes, None where there is none."""
        index: int = lib.fib_lookup(self._fib, address)
        return None if index < 0 else index


def _fill_hop(raw: Any, hop: Hop) -> None:
    raw.port, raw.path = hop
