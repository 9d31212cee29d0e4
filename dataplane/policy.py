"""A policy, compiled: ten thousand rules cost a packet what ten do.

Every rule is a bit, the first rule the lowest. For each field of a packet there is a table that
gives the rules this field's value satisfies, as one integer; the rules that match are the
intersection, and the lowest bit is the answer. Addresses and ports are tables of segments between
all the boundaries that occur in rules, asked by bisection (the bit-vector scheme of Lakshman and
Stiliadis, 1998).
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, Protocol, TypeVar

from dataplane.addresses import V4_PREFIX, widened
from dataplane.snapshot import AddressRange, ServiceMatch

Interval = tuple[int, int]  # first and last, both included

_HIGHEST_ADDRESS = (1 << 128) - 1
_HIGHEST_PORT = 65535
_LOWEST_V4 = int.from_bytes(V4_PREFIX + bytes(4), "big")
_HIGHEST_V4 = _LOWEST_V4 + 0xFFFFFFFF
RULE_TYPES = ("universal", "intrazone", "interzone")


class Rule(Protocol):
    """What a rule of any policy matches by; an empty tuple matches everything."""

    @property
    def from_zones(self) -> tuple[str, ...]: ...
    @property
    def to_zones(self) -> tuple[str, ...]: ...
    @property
    def rule_type(self) -> str: ...  # one of RULE_TYPES
    @property
    def source(self) -> tuple[AddressRange, ...]: ...
    @property
    def destination(self) -> tuple[AddressRange, ...]: ...
    @property
    def negate_source(self) -> bool: ...
    @property
    def negate_destination(self) -> bool: ...
    @property
    def services(self) -> tuple[ServiceMatch, ...]: ...


R = TypeVar("R", bound=Rule)
D = TypeVar("D")  # what holds where no rule matches


class _Segments:
    """Rules by a number: an address or a port."""

    def __init__(self, intervals_of: Sequence[Iterable[Interval]], highest: int) -> None:
        """For each rule, the disjoint intervals it accepts."""
        changes: dict[int, int] = {}
        for index, intervals in enumerate(intervals_of):
            for first, last in intervals:
                changes[first] = changes.get(first, 0) ^ 1 << index
                if last < highest:
                    changes[last + 1] = changes.get(last + 1, 0) ^ 1 << index
        self._starts = [0]
        self._rules = [changes.pop(0, 0)]
        for start in sorted(changes):
            self._starts.append(start)
            self._rules.append(self._rules[-1] ^ changes[start])

    def at(self, value: int) -> int:
        return self._rules[bisect_right(self._starts, value) - 1]


class Policy(Generic[R, D]):
    def __init__(self, rules: Sequence[R], intrazone: D, interzone: D) -> None:
        """With what holds within a zone, and between zones, where no rule matches."""
        self._rules = rules
        self._intrazone = intrazone
        self._interzone = interzone
        self._from, self._from_other = _by_zone([rule.from_zones for rule in rules])
        self._to, self._to_other = _by_zone([rule.to_zones for rule in rules])
        self._source = _by_address(rules, _source_of)
        self._destination = _by_address(rules, _destination_of)
        self._services = {
            protocol: _by_service(rules, protocol)
            for protocol in {s.protocol for rule in rules for s in rule.services}
        }
        self._any_service = _bits(not rule.services for rule in rules)
        self._within = _bits(rule.rule_type != "interzone" for rule in rules)
        self._between = _bits(rule.rule_type != "intrazone" for rule in rules)
        # the service tables know destination ports only
        self._look_closer = _bits(any(s.source_ports for s in rule.services) for rule in rules)

    def match(
        self,
        from_zone: str,
        to_zone: str,
        src: bytes,
        dst: bytes,
        proto: int,
        sport: int,
        dport: int,
    ) -> R | D:
        """The first rule that matches; addresses are 16 bytes, ports as in the flow key."""
        is_within = from_zone == to_zone
        matching = (
            self._from.get(from_zone, self._from_other)
            & self._to.get(to_zone, self._to_other)
            & (self._within if is_within else self._between)
        )
        if matching:
            services = self._services.get(proto)
            matching &= self._any_service if services is None else services.at(dport)
        if matching:
            matching &= self._source.at(int.from_bytes(src, "big"))
        if matching:
            matching &= self._destination.at(int.from_bytes(dst, "big"))
        while matching:
            lowest = matching & -matching
            rule = self._rules[lowest.bit_length() - 1]
            if not lowest & self._look_closer or service_of(rule, proto, sport, dport):
                return rule
            matching ^= lowest
        return self._intrazone if is_within else self._interzone


def _bits(claims: Iterable[bool]) -> int:
    bits = 0
    for index, claim in enumerate(claims):
        if claim:
            bits |= 1 << index
    return bits


def _by_zone(zones_of: Sequence[tuple[str, ...]]) -> tuple[dict[str, int], int]:
    """Rules by zone, and the rules for every zone no rule names."""
    every_zone = _bits(not zones for zones in zones_of)
    names = {zone for zones in zones_of for zone in zones}
    table = dict.fromkeys(names, every_zone)
    for index, zones in enumerate(zones_of):
        for zone in zones:
            table[zone] |= 1 << index
    return table, every_zone


def _source_of(rule: Rule) -> tuple[tuple[AddressRange, ...], bool]:
    return rule.source, rule.negate_source


def _destination_of(rule: Rule) -> tuple[tuple[AddressRange, ...], bool]:
    return rule.destination, rule.negate_destination


def _by_address(
    rules: Sequence[Rule],
    field: Callable[[Rule], tuple[tuple[AddressRange, ...], bool]],
) -> _Segments:
    def intervals(rule: Rule) -> list[Interval]:
        ranges, is_negated = field(rule)
        if not ranges:  # any; there is no "not any"
            return [(0, _HIGHEST_ADDRESS)]
        merged = _merged(interval for r in ranges for interval in _own_family(r))
        return _complement(merged, _HIGHEST_ADDRESS) if is_negated else merged

    return _Segments([intervals(rule) for rule in rules], _HIGHEST_ADDRESS)


def _by_service(rules: Sequence[Rule], protocol: int) -> _Segments:
    every_port = [(0, _HIGHEST_PORT)]

    def intervals(rule: Rule) -> list[Interval]:
        if not rule.services:
            return every_port
        of_protocol = [s for s in rule.services if s.protocol == protocol]
        return _merged(i for s in of_protocol for i in s.destination_ports or every_port)

    return _Segments([intervals(rule) for rule in rules], _HIGHEST_PORT)


def _own_family(addresses: AddressRange) -> list[Interval]:
    """The range as numbers of 16-byte addresses; ::/0 does not hold the IPv4 addresses in it."""
    first, last = _number(addresses.first), _number(addresses.last)
    if len(addresses.first) == 4:
        return [(first, last)]
    around = ((first, min(last, _LOWEST_V4 - 1)), (max(first, _HIGHEST_V4 + 1), last))
    return [(low, high) for low, high in around if low <= high]


def _number(address: bytes) -> int:
    return int.from_bytes(widened(address), "big")


def _merged(intervals: Iterable[Interval]) -> list[Interval]:
    result: list[Interval] = []
    for first, last in sorted(intervals):
        if result and first <= result[-1][1] + 1:
            result[-1] = (result[-1][0], max(last, result[-1][1]))
        else:
            result.append((first, last))
    return result


def _complement(intervals: list[Interval], highest: int) -> list[Interval]:
    result = []
    start = 0
    for first, last in intervals:
        if start < first:
            result.append((start, first - 1))
        start = last + 1
    if start <= highest:
        result.append((start, highest))
    return result


def service_of(rule: Rule, proto: int, sport: int, dport: int) -> ServiceMatch | None:
    """The first of the rule's services that matches."""
    for service in rule.services:
        if (
            service.protocol == proto
            and _in(service.source_ports, sport)
            and _in(service.destination_ports, dport)
        ):
            return service
    return None


def _in(ports: tuple[tuple[int, int], ...], port: int) -> bool:
    return not ports or any(low <= port <= high for low, high in ports)
