"""Translated addresses in the network of a port: the firewall answers ARP and neighbour discovery
for them.

    source translation         its pools
    destination translation    the original destinations of its rules, where the port's zone is one
                               they are for: who asks elsewhere may mean a host of that address

The kernel answers ARP for an entry only where its route to the address leaves by another link than
the question came from. So those addresses have routes to the loopback link in a table of their own
(tables.PROXIES), which the mirror does not see. Neighbour discovery needs no such route.
"""

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import NamedTuple

from control.system import tables
from control.system.netlink import UNICAST, KernelRoute, Link, Netlink
from dataplane.snapshot import AddressRange, DynamicIp, DynamicIpAndPort, NatRule, Port, StaticIp

MOST = 65_536

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Proxies(NamedTuple):
    addresses: dict[str, set[str]]  # by port
    left: int = 0  # addresses beyond the bound, which nobody answers for
    prefixes: tuple[str, ...] = ()  # the IPv4 addresses in few


def wanted(ports: Iterable[Port], rules: Iterable[NatRule]) -> Proxies:
    """Addresses of the firewall itself are not among them, nor the ends of an IPv4 network."""
    ports = [port for port in ports if port.mode == "layer3"]
    own = {int(ipaddress.ip_interface(text).ip) for port in ports for text in port.addresses}
    rules = list(rules)
    ranges = {zone: _ranges(rules, zone) for zone in {port.zone for port in ports}}
    result: dict[str, set[str]] = {port.name: set() for port in ports}
    taken = left = 0
    for port in ports:
        for network in dict.fromkeys(_network(text) for text in port.addresses):
            for first, last in _merged(ranges[port.zone], network):
                others = (number for number in range(first, last + 1) if number not in own)
                kind = type(network.network_address)
                result[port.name].update(
                    str(kind(number)) for number in islice(others, MOST - taken)
                )
                count = last - first + 1 - sum(first <= number <= last for number in own)
                left += max(0, count - (MOST - taken))
                taken = min(MOST, taken + count)
    return Proxies(result, left, _prefixes(result.values()))


def configure(netlink: Netlink, proxies: Mapping[str, set[str]], ports: Mapping[int, str]) -> None:
    """Has exactly these on the ports; `ports` names them by link index."""
    present = {one for one in netlink.proxies() if one[0] in ports}
    needed = {
        (index, address) for index, name in ports.items() for address in proxies.get(name, ())
    }
    for index, address in present - needed:
        netlink.delete_proxy(index, address)
    for index, address in needed - present:
        netlink.add_proxy(index, address)


def interfaces(proxies: Mapping[str, set[str]], ports: Iterable[Port]) -> set[str]:
    """Where ARP is answered."""
    names = {name for name, several in proxies.items() if any(":" not in one for one in several)}
    return {port.interface for port in ports if port.name in names}


def routes(proxies: Proxies, links: Iterable[Link]) -> list[KernelRoute]:
    loopback = next((link.ifindex for link in links if link.is_loopback), 0)
    return [
        KernelRoute(prefix, tables.PROXIES, UNICAST, tables.PROTOCOL, 0, loopback, "")
        for prefix in proxies.prefixes
    ]


def _prefixes(addresses: Iterable[set[str]]) -> tuple[str, ...]:
    ipv4 = (
        ipaddress.IPv4Network(one) for several in addresses for one in several if ":" not in one
    )
    return tuple(map(str, ipaddress.collapse_addresses(ipv4)))


def _ranges(rules: Iterable[NatRule], zone: str) -> list[tuple[bytes, bytes]]:
    """First and last addresses, for ports of this zone."""
    return sorted({(one.first, one.last) for rule in rules for one in _of_rule(rule, zone)})


def _of_rule(rule: NatRule, zone: str) -> Iterator[AddressRange]:
    match rule.source_translation:
        case DynamicIpAndPort(addresses):
            yield from addresses
        case DynamicIp(addresses, fallback):
            yield from addresses
            if fallback:
                yield from fallback.addresses
        case StaticIp(_, translated):
            yield translated
    if rule.destination_translation and (not rule.from_zones or zone in rule.from_zones):
        yield from rule.destination


def _network(text: str) -> Network:
    return ipaddress.ip_interface(text).network


def _merged(ranges: Iterable[tuple[bytes, bytes]], network: Network) -> list[tuple[int, int]]:
    """The parts of the ranges that lie among the hosts of a network, each address once."""
    low, high = int(network.network_address), int(network.broadcast_address)
    if network.version == 4 and network.prefixlen < 31:
        low, high = low + 1, high - 1
    result: list[tuple[int, int]] = []
    for first_bytes, last_bytes in ranges:
        if len(first_bytes) == network.max_prefixlen // 8:
            first = max(low, int.from_bytes(first_bytes))
            last = min(high, int.from_bytes(last_bytes))
            if result and first <= result[-1][1] + 1:
                first, last = result[-1][0], max(last, result[-1][1])
                result.pop()
            if first <= last:
                result.append((first, last))
    return result
