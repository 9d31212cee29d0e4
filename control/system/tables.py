"""Which of the kernel's routing tables a packet is looked up in.

      0  everything                       local: the machine's own addresses (the kernel's rule)
    100  marked for a path N              1000 + N: its next hop
    110  questions at a port that has     1000: translated addresses that are answered for (proxies)
         any; packets have a mark
    120  by a port, or from an address,   the virtual router's; the first one's is main, and for
         of another virtual router        that the kernel has a rule

Tables of paths and virtual routers end with "unreachable": what has no way there has none at all.
"""

import ipaddress
import socket
from collections.abc import Collection, Iterable, Iterator, Mapping

from control.system.netlink import TABLE_MAIN, UNREACHABLE, KernelRoute, KernelRule, Netlink
from control.system.sysctls import has_ipv6
from dataplane import marks
from dataplane.snapshot import Port, VirtualRouter

PROTOCOL = 66  # of our rules and routes; free in iproute2's rt_protos
PROXIES = 1000
LAST_METRIC = 0xFFFFFFFF
_PATH, _PROXY, _ROUTER = 100, 110, 120  # priorities


def of_path(number: int) -> int:
    return PROXIES + number


def of_routers(routers: Iterable[VirtualRouter]) -> dict[str, int]:
    """Tables by the name of a virtual router; of those that have one of their own."""
    return {router.name: router.table for router in routers if router.table != TABLE_MAIN}


def rules(
    ports: Iterable[Port], tables: Mapping[str, int], paths: Iterable[int], proxied: Iterable[str]
) -> set[KernelRule]:
    """With the interfaces where translated addresses are answered for."""
    return set(_rules(ports, tables, paths, proxied))


def carry_out(netlink: Netlink, wanted: Collection[KernelRule]) -> bool:
    """Brings our rules into this state; whether any was not as it should be."""
    present = {rule for rule in netlink.rules() if rule.protocol == PROTOCOL}
    for rule in present.difference(wanted):
        netlink.delete_rule(rule)
    for rule in set(wanted).difference(present):
        netlink.add_rule(rule)
    return present != set(wanted)


def ends(tables: Iterable[int]) -> list[KernelRoute]:
    return [
        KernelRoute(prefix, table, UNREACHABLE, PROTOCOL, LAST_METRIC, 0, "")
        for table in sorted(tables)
        for prefix in ("0.0.0.0/0", *(("::/0",) if has_ipv6() else ()))
    ]


def _rules(
    ports: Iterable[Port], tables: Mapping[str, int], paths: Iterable[int], proxied: Iterable[str]
) -> Iterator[KernelRule]:
    families = (socket.AF_INET, *((socket.AF_INET6,) if has_ipv6() else ()))
    for family in families:
        for number in paths:
            table = of_path(number)
            yield KernelRule(family, _PATH, table, PROTOCOL, number, marks.PATH_MASK)
    for interface in proxied:
        # An address may also be a real host's, of which a rule translates some sessions: what was
        # decided, and so is marked, and what the machine sends itself go by the ordinary tables.
        yield KernelRule(socket.AF_INET, _PROXY, PROXIES, PROTOCOL, 0, marks.MASK, iif=interface)
    for port in ports:
        if table := tables.get(port.virtual_router, 0):
            if port.mode != "loopback":
                for family in families:
                    yield KernelRule(family, _ROUTER, table, PROTOCOL, iif=port.interface)
                    yield KernelRule(family, _ROUTER, table, PROTOCOL, oif=port.interface)
            for text in port.addresses:
                address = ipaddress.ip_interface(text).ip
                family = socket.AF_INET if address.version == 4 else socket.AF_INET6
                # What the machine itself answers from there.
                yield KernelRule(family, _ROUTER, table, PROTOCOL, iif="lo", source=str(address))
