"""Rules that are never reached, because an earlier rule matches all that they match.

For each rule, tables of bits (as in dataplane/policy.py) give the earlier rules that match some of
its packets; those few are compared with it in full. A rule that only several earlier ones cover
together is not found.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Generic, NamedTuple, TypeVar

from control.config.rules import families
from dataplane.addresses import V4_PREFIX, widened
from dataplane.policy import Rule
from dataplane.snapshot import (
    AddressRange,
    DosRule,
    DynamicIp,
    DynamicIpAndPort,
    NatRule,
    PbfRule,
    SecurityRule,
    ServiceMatch,
    StaticIp,
    Wildcard,
)

Interval = tuple[int, int]  # first and last, both included
R = TypeVar("R", bound=Rule)

_HIGHEST_ADDRESS = (1 << 128) - 1
_HIGHEST_PORT = 65535
_LOWEST_V4 = int.from_bytes(V4_PREFIX + bytes(4))
_HIGHEST_V4 = _LOWEST_V4 + 0xFFFFFFFF
_ANY_ADDRESS = ((0, _HIGHEST_ADDRESS),)
_ANY_PORT = ((0, _HIGHEST_PORT),)
_MAX_COMPARISONS = 200_000  # in full; with many more rules that nearly cover others nobody waits


class _Fields(NamedTuple):
    """A rule in comparable form."""

    zones: tuple[frozenset[str], frozenset[str]]  # empty: any
    within: bool  # sessions within a zone
    between: bool
    source: tuple[Interval, ...]
    destination: tuple[Interval, ...]
    services: tuple[ServiceMatch, ...]


def shadows(rules: Sequence[R], covers_rest: Callable[[R, R], bool]) -> Iterator[tuple[int, int]]:
    """Each rule that is never reached, with the first rule that covers it.

    `covers_rest` compares what not every rulebase has.
    """
    fields = [_fields(rule) for rule in rules]
    tables = _Tables(fields)
    comparisons = 0
    for index, own in enumerate(fields):
        candidates = tables.candidates(own) & ((1 << index) - 1)
        while candidates and comparisons < _MAX_COMPARISONS:
            comparisons += 1
            earlier = (candidates & -candidates).bit_length() - 1
            candidates &= candidates - 1
            if _covers(fields[earlier], own) and covers_rest(rules[earlier], rules[index]):
                yield index, earlier
                break


def security_covers(earlier: SecurityRule, later: SecurityRule) -> bool:
    return earlier.schedule in (None, later.schedule) and all(
        not (mine.wildcards and not mine.is_negated)
        or other.is_any
        or (not other.is_negated and set(other.wildcards) >= set(mine.wildcards))
        for other, mine in zip(_sides(earlier), _sides(later), strict=True)
    )


def nat_covers(earlier: NatRule, later: NatRule) -> bool:
    of_later = _translated(later) & families(later.source) & families(later.destination)
    return (
        not later.mirrors
        and earlier.to_interface in ("", later.to_interface)
        and _translated(earlier) >= of_later
    )


def _translated(rule: NatRule) -> set[int]:
    """Families a translation rule is for: it leaves alone what it has no addresses for."""
    found = {4, 6}
    match rule.source_translation:
        case StaticIp(original=original):
            found &= families([original])
        case DynamicIp(addresses=addresses) | DynamicIpAndPort(addresses=addresses):
            found &= families(addresses)
    if rule.destination_translation:
        found &= families(rule.destination_translation.translated)
    return found


def pbf_covers(earlier: PbfRule, later: PbfRule) -> bool:
    if bool(earlier.from_ports) != bool(later.from_ports):
        return False
    # one that is left out while its host does not answer covers nothing for good
    is_always = not (earlier.monitor and earlier.monitor.disable_if_unreachable)
    return is_always and set(earlier.from_ports) >= set(later.from_ports)


def dos_covers(earlier: DosRule, later: DosRule) -> bool:
    return earlier.schedule in (None, later.schedule) and all(
        not other or (mine and set(other) >= set(mine))
        for other, mine in (
            (earlier.from_ports, later.from_ports),
            (earlier.to_ports, later.to_ports),
        )
    )


class _Side(NamedTuple):
    """Source or destination of a rule."""

    ranges: tuple[AddressRange, ...]
    wildcards: tuple[Wildcard, ...]
    is_negated: bool

    @property
    def is_any(self) -> bool:
        return not self.ranges and not self.wildcards

    def intervals(self) -> tuple[Interval, ...]:
        """Numbers of 16-byte addresses it accepts for sure; ::/0 does not hold the IPv4 ones."""
        if self.is_any:
            return _ANY_ADDRESS
        if self.is_negated and self.wildcards:
            return ()
        merged = _merged(interval for found in self.ranges for interval in _own_family(found))
        return _complement(merged) if self.is_negated else merged


def _sides(rule: Rule) -> tuple[_Side, _Side]:
    source: tuple[Wildcard, ...] = ()
    destination: tuple[Wildcard, ...] = ()
    if isinstance(rule, SecurityRule):
        source, destination = rule.source_wildcards, rule.destination_wildcards
    return (
        _Side(rule.source, source, rule.negate_source),
        _Side(rule.destination, destination, rule.negate_destination),
    )


def _fields(rule: Rule) -> _Fields:
    source, target = frozenset(rule.from_zones), frozenset(rule.to_zones)
    if rule.rule_type == "intrazone":
        target = source
    sides = _sides(rule)
    return _Fields(
        zones=(source, target),
        within=rule.rule_type != "interzone",
        between=rule.rule_type != "intrazone",
        source=sides[0].intervals(),
        destination=sides[1].intervals(),
        services=rule.services,
    )


def _covers(earlier: _Fields, later: _Fields) -> bool:
    return (
        earlier.within >= later.within
        and earlier.between >= later.between
        and all(
            not first or (second and first >= second)
            for first, second in zip(earlier.zones, later.zones, strict=True)
        )
        and _holds(earlier.source, later.source)
        and _holds(earlier.destination, later.destination)
        and _services_cover(earlier.services, later.services)
    )


def _holds(around: Sequence[Interval], inner: Sequence[Interval]) -> bool:
    """Whether each of the inner intervals is in one of those around; both are sorted and apart."""
    starts = [first for first, _ in around]
    return all(
        (at := bisect_right(starts, first) - 1) >= 0 and around[at][1] >= last
        for first, last in inner
    )


def _services_cover(earlier: Sequence[ServiceMatch], later: Sequence[ServiceMatch]) -> bool:
    if not earlier:
        return True
    return bool(later) and all(
        _holds(
            _merged(
                ports
                for service in earlier
                if service.protocol == one.protocol
                and service.source_ports in ((), one.source_ports)
                for ports in service.destination_ports or _ANY_PORT
            ),
            _merged(one.destination_ports or _ANY_PORT),
        )
        for one in later
    )


def _own_family(found: AddressRange) -> Iterator[Interval]:
    first, last = int.from_bytes(widened(found.first)), int.from_bytes(widened(found.last))
    if len(found.first) == 4:
        yield first, last
        return
    if first < _LOWEST_V4:
        yield first, min(last, _LOWEST_V4 - 1)
    if last > _HIGHEST_V4:
        yield max(first, _HIGHEST_V4 + 1), last


def _merged(intervals: Iterable[Interval]) -> tuple[Interval, ...]:
    result: list[Interval] = []
    for first, last in sorted(intervals):
        if result and first <= result[-1][1] + 1:
            result[-1] = (result[-1][0], max(last, result[-1][1]))
        else:
            result.append((first, last))
    return tuple(result)


def _complement(intervals: Sequence[Interval]) -> tuple[Interval, ...]:
    edges = [-1, *(edge for interval in intervals for edge in interval), _HIGHEST_ADDRESS + 1]
    gaps = zip(edges[::2], edges[1::2], strict=True)
    return tuple((last + 1, first - 1) for last, first in gaps if last + 1 <= first - 1)


K = TypeVar("K", bound=Hashable)


class _ByName(Generic[K]):
    """Rules by names they list; those that list none have every name."""

    def __init__(self, names_of: Iterable[frozenset[K]]) -> None:
        self._any = 0
        self._by_name: dict[K, int] = {}
        for index, names in enumerate(names_of):
            if not names:
                self._any |= 1 << index
            for name in names:
                self._by_name[name] = self._by_name.get(name, 0) | 1 << index

    def of(self, names: frozenset[K]) -> int:
        """Rules with one of these at least: with any of them, if it has to be said for all."""
        if not names:
            return self._any
        return self._any | self._by_name[next(iter(names))]


class _ByNumber:
    """Rules by a number that is in one of their intervals."""

    def __init__(self, intervals_of: Iterable[Iterable[Interval]]) -> None:
        changes: dict[int, int] = {}
        for index, intervals in enumerate(intervals_of):
            for first, last in intervals:
                changes[first] = changes.get(first, 0) ^ 1 << index
                changes[last + 1] = changes.get(last + 1, 0) ^ 1 << index
        self._starts = sorted(changes)
        self._rules: list[int] = []
        bits = 0
        for start in self._starts:
            bits ^= changes[start]
            self._rules.append(bits)

    def at(self, value: int) -> int:
        return self._rules[bisect_right(self._starts, value) - 1]


class _Tables:
    def __init__(self, fields: Sequence[_Fields]) -> None:
        self._zones = [_ByName(one.zones[side] for one in fields) for side in (0, 1)]
        self._source = _ByNumber(one.source for one in fields)
        self._destination = _ByNumber(one.destination for one in fields)
        self._any_service = sum(1 << index for index, one in enumerate(fields) if not one.services)
        protocols = {service.protocol for one in fields for service in one.services}
        self._ports = {
            protocol: _ByNumber(_ports(one, protocol) for one in fields) for protocol in protocols
        }

    def candidates(self, own: _Fields) -> int:
        """Rules that match the first and the last of what this one matches; itself is one."""
        found = self._zones[0].of(own.zones[0]) & self._zones[1].of(own.zones[1])
        for intervals, table in ((own.source, self._source), (own.destination, self._destination)):
            if not intervals:  # "not" all addresses, or wildcards alone
                return 0
            found &= table.at(intervals[0][0]) & table.at(intervals[-1][1])
        if not own.services:
            return found & self._any_service
        service = own.services[0]
        port = service.destination_ports[0][0] if service.destination_ports else 0
        return found & (self._any_service | self._ports[service.protocol].at(port))


def _ports(own: _Fields, protocol: int) -> tuple[Interval, ...]:
    return _merged(
        ports
        for service in own.services
        if service.protocol == protocol
        for ports in service.destination_ports or _ANY_PORT
    )
