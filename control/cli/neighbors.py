"""`show arp all` and `show neighbor interface all`.

The kernel keeps the tables: it has a state for an entry and no time to live, so `ttl` is 0, and the
device's two lines about its table's size and timeout are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

from control.management import Neighbor

_STATUS = {"permanent": "s", "stale": "e", "incomplete": "i", "failed": "i"}  # c: all others


def render_arp(neighbors: Sequence[Neighbor]) -> str:
    entries = [one for one in neighbors if ip_address(one.address).version == 4]
    lines = [
        *_totals("ARP", len(entries)),
        "interface         ip address      hw address        port              status   ttl",
        "-" * 80,
        *(f"{_row(entry, 15)}      0" for entry in entries),
    ]
    return "\n".join(lines) + "\n"


def render_ipv6(neighbors: Sequence[Neighbor]) -> str:
    entries = [one for one in neighbors if ip_address(one.address).version == 6]
    lines = [
        *_totals("neighbor", len(entries)),
        f"interface         {'ip address':<39s} hw address        port              status",
        "-" * 104,
        *(_row(entry, 39) for entry in entries),
    ]
    return "\n".join(lines) + "\n"


def _totals(table: str, count: int) -> list[str]:
    return [
        f"{f'total {table} entries in table :':<36s}{count}",
        f"{f'total {table} entries shown :':<36s}{count}",
        "status: s - static, c - complete, e - expiring, i - incomplete",
        "",
    ]


def _row(entry: Neighbor, width: int) -> str:
    mac = entry.mac or "(incomplete)"
    status = _STATUS.get(entry.state, "c")
    return f"{entry.port:<17s} {entry.address:<{width}s} {mac:<17s} {entry.port:<19s} {status}"
