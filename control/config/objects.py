"""Address and service objects, resolved: names to ranges, groups to the members of their members.

=> the tree has no errors, except where a function says that it does not need that.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator

from control.config import schema
from control.config.tree import Tree
from control.config.value_types import address_range, literal_addresses, ports, prefix
from dataplane.snapshot import AddressRange, ServiceMatch, Timeouts


class Groups:
    """Groups of one kind: what each names, groups or not. Needs no correct tree."""

    def __init__(self, tree: Tree, list_name: str, member_list: str) -> None:
        self.member_list = member_list
        self._members = {
            name: tuple(node.members(member_list)) for name, node in tree.entries(list_name).items()
        }

    def __contains__(self, name: object) -> bool:
        return name in self._members

    def edges(self) -> dict[str, list[str]]:
        """Each group with the groups among its members."""
        return {
            name: [member for member in members if member in self._members]
            for name, members in self._members.items()
        }

    def leaves(self, names: Iterable[str]) -> Iterator[str]:
        """The objects behind names of objects and groups, each once; terminates on cycles too."""
        seen: set[str] = set()
        waiting = list(names)[::-1]
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            if name in self._members:
                waiting += self._members[name][::-1]
            else:
                yield name


class Objects:
    """Resolves what rules name."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self.address_groups = Groups(tree, "address-group", "static")
        self.service_groups = Groups(tree, "service-group", "members")
        self._addresses: dict[str, tuple[AddressRange, ...]] = {}
        self._services: dict[str, tuple[ServiceMatch, ...]] = {}

    def addresses(self, names: Iterable[str]) -> tuple[AddressRange, ...]:
        """Sorted ranges that neither overlap nor touch; none for "any"."""
        names = list(names)
        if "any" in names:
            return ()
        ranges = merged(found for name in names for found in self._addresses_of(name))
        # None would match everything.
        assert ranges, names
        return ranges

    def services(self, names: Iterable[str]) -> tuple[ServiceMatch, ...]:
        """None for "any" and, as no application is enforced, for "application-default"."""
        names = list(names)
        if "any" in names or "application-default" in names:
            return ()
        services = dict.fromkeys(found for name in names for found in self._services_of(name))
        assert services, names
        return tuple(services)

    def _addresses_of(self, name: str) -> tuple[AddressRange, ...]:
        if name not in self._addresses:
            leaves = self.address_groups.leaves([name])
            self._addresses[name] = merged(self._address(leaf) for leaf in leaves)
        return self._addresses[name]

    def _address(self, name: str) -> AddressRange:
        node = self._tree.get("address", name)
        if node is None:
            first, last = literal_addresses(name)
        elif text := node.value("ip-netmask"):
            network = prefix(text)
            first, last = network[0], network[-1]
        else:
            first, last = address_range(node.value("ip-range") or "")
        return AddressRange(first.packed, last.packed)

    def _services_of(self, name: str) -> tuple[ServiceMatch, ...]:
        if name not in self._services:
            leaves = self.service_groups.leaves([name])
            self._services[name] = tuple(self._service(leaf) for leaf in leaves)
        return self._services[name]

    def _service(self, name: str) -> ServiceMatch:
        node = self._tree.get("service", name)
        if node is None:
            return ServiceMatch(socket.IPPROTO_TCP, (), ports(schema.PREDEFINED_SERVICES[name]))
        protocol, kind = (
            (socket.IPPROTO_TCP, node.get("protocol", "tcp"))
            if node.get("protocol", "tcp")
            else (socket.IPPROTO_UDP, node.get("protocol", "udp"))
        )
        assert kind
        source = kind.value("source-port")
        return ServiceMatch(
            protocol,
            ports(source) if source else (),
            ports(kind.value("port") or ""),
            _own_timers(protocol, kind),
        )


def _own_timers(protocol: int, kind: Tree) -> Timeouts | None:
    timers = kind.get("override", "yes")
    if timers is None:
        return None
    is_udp = protocol == socket.IPPROTO_UDP
    default = schema.default(*schema.UDP_SERVICE_TIMEOUT) if is_udp else "0"
    own = Timeouts(
        established=int(timers.value("timeout") or default),
        half_closed=int(timers.value("halfclose-timeout") or 0),
        time_wait=int(timers.value("timewait-timeout") or 0),
    )
    return own if own != Timeouts() else None


def merged(ranges: Iterable[AddressRange]) -> tuple[AddressRange, ...]:
    """The same addresses in as few ranges as possible, IPv4 first, in order."""
    result: list[AddressRange] = []
    for found in sorted(ranges, key=lambda item: (len(item.first), item.first)):
        if result and len(result[-1].last) == len(found.first):
            last = result[-1]
            if int.from_bytes(found.first) <= int.from_bytes(last.last) + 1:
                result[-1] = AddressRange(last.first, max(last.last, found.last))
                continue
        result.append(found)
    return tuple(result)
