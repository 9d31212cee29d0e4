"""Objects that rules name, resolved: names to ranges, groups to the members of their members.

=> the tree has no errors, except where a function says that it does not need that.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator

from control.config import applications, paths, schema
from control.config.tree import Tree
from control.config.value_types import (
    address_range,
    date_range,
    literal_addresses,
    ports,
    prefix,
    time_range,
    wildcard,
)
from dataplane.snapshot import AddressRange, Schedule, ServiceMatch, Timeouts, Wildcard


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


_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_DAY_MINUTES = 24 * 60


class Objects:
    """Resolves what rules name."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self.application_groups = Groups(tree, *applications.GROUPS, "members")
        self.address_groups = Groups(tree, "address-group", "static")
        self.service_groups = Groups(tree, "service-group", "members")
        self._addresses: dict[str, tuple[AddressRange, ...]] = {}
        self._services: dict[str, tuple[ServiceMatch, ...]] = {}

    def addresses(self, names: Iterable[str]) -> tuple[AddressRange, ...]:
        """Sorted ranges that neither overlap nor touch; none for "any", and for wildcards."""
        names = list(names)
        if "any" in names:
            return ()
        return merged(found for name in names for found in self._addresses_of(name))

    def wildcards(self, names: Iterable[str]) -> tuple[Wildcard, ...]:
        """Those among objects and groups."""
        found = []
        for name in self.address_groups.leaves(names):
            if text := self._tree.value("address", name, "ip-wildcard"):
                address, mask = (int(part) for part in wildcard(text))
                found.append(
                    Wildcard((address & ~mask).to_bytes(4), mask.to_bytes(4)),
                )
        return tuple(dict.fromkeys(found))

    def schedule(self, name: str) -> Schedule:
        when = self._tree.get("schedule", name, "schedule-type") or Tree()
        daily = when.members("recurring", "daily")
        weekly = [
            (day * _DAY_MINUTES + first, day * _DAY_MINUTES + end)
            for day, word in enumerate(_DAYS)
            for text in daily or when.members("recurring", "weekly", word)
            for first, end in [time_range(text)]
        ]
        once = [date_range(text) for text in when.members("non-recurring")]
        return Schedule(name, tuple(sorted(weekly)), tuple(sorted(once)))

    def default_services(self, names: Iterable[str]) -> tuple[ServiceMatch, ...]:
        """Where applications are found by default; none where one of them may be anywhere."""
        found: dict[ServiceMatch, None] = {}
        for name in self.application_groups.leaves(names):
            own = applications.default_services(self._tree, name)
            if not own:
                return ()
            found |= dict.fromkeys(own)
        return tuple(found)

    def services(self, names: Iterable[str]) -> tuple[ServiceMatch, ...]:
        """None for "any"."""
        names = list(names)
        if "any" in names:
            return ()
        services = dict.fromkeys(found for name in names for found in self._services_of(name))
        assert services, names
        return tuple(services)

    def _addresses_of(self, name: str) -> tuple[AddressRange, ...]:
        if name not in self._addresses:
            leaves = self.address_groups.leaves([name])
            self._addresses[name] = merged(
                self._address(leaf)
                for leaf in leaves
                if not self._tree.value("address", leaf, "ip-wildcard")
            )
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
            return ServiceMatch(socket.IPPROTO_TCP, (), ports(paths.PREDEFINED_SERVICES[name]))
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
    default = schema.default(*paths.UDP_SERVICE_TIMEOUT) if is_udp else "0"
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
