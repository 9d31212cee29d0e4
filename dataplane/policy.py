"""A policy, compiled: ten thousand rules cost a packet what ten do.

Every rule is a bit, the first rule the lowest. For each field of a packet there is a table that
gives the rules this field's value satisfies, as one integer; the rules that match are the
intersection, and the lowest bit is the answer. Addresses and ports are tables of segments between
all the boundaries that occur in rules, asked by bisection (the bit-vector scheme of Lakshman and
Stiliadis, 1998). A wildcard mask is four tables, one for each byte of an address. What these tables
do not know - source ports, several wildcards in one rule - is looked at in the rules that are left.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

from dataplane.addresses import V4_PREFIX, widened
from dataplane.snapshot import AddressRange, SecurityRule, ServiceMatch, Wildcard
from native import FlowKey

Interval = tuple[int, int]  # first and last, both included

_HIGHEST_ADDRESS = (1 << 128) - 1
_HIGHEST_PORT = 65535
_LOWEST_V4 = int.from_bytes(V4_PREFIX + bytes(4), "big")
_HIGHEST_V4 = _LOWEST_V4 + 0xFFFFFFFF
RULE_TYPES = ("universal", "intrazone", "interzone")
EVERY_RULE = -1  # as bits: all of them, however many there are


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


class _Wildcards:
    """Rules by an IPv4 address that is like one of their wildcards, byte by byte."""

    def __init__(self, wildcards_of: Sequence[tuple[Wildcard, ...]]) -> None:
        self._tables = [[0] * 256 for _ in range(4)]
        for place, table in enumerate(self._tables):
            alike: dict[tuple[int, int], int] = {}  # rules by the byte they ask for and its mask
            for index, wildcards in enumerate(wildcards_of):
                for address, mask in ((w.address[place], w.mask[place]) for w in wildcards):
                    alike[address, mask] = alike.get((address, mask), 0) | 1 << index
            for (address, mask), rules in alike.items():
                for value in range(256):
                    if not (value ^ address) & ~mask & 0xFF:
                        table[value] |= rules

    def at(self, address: int) -> int:
        if not _LOWEST_V4 <= address <= _HIGHEST_V4:
            return 0
        first, second, third, fourth = self._tables
        return (
            first[address >> 24 & 0xFF]
            & second[address >> 16 & 0xFF]
            & third[address >> 8 & 0xFF]
            & fourth[address & 0xFF]
        )


class _RangesAndWildcards:
    """Rules by an address that is in a range or like a wildcard of theirs."""

    def __init__(self, ranges: _Segments, wildcards: _Wildcards) -> None:
        self._ranges = ranges
        self._wildcards = wildcards

    def at(self, address: int) -> int:
        return self._ranges.at(address) | self._wildcards.at(address)


class _Addresses(NamedTuple):
    """What a rule says of a packet's source, or of its destination."""

    ranges: tuple[AddressRange, ...]
    wildcards: tuple[Wildcard, ...]
    is_negated: bool

    def intervals(self) -> list[Interval]:
        """The addresses it accepts by their range; some more where it is not exact."""
        everything = [(0, _HIGHEST_ADDRESS)]
        if not self.ranges and not self.wildcards:  # any; there is no "not any"
            return everything
        merged = _merged(interval for r in self.ranges for interval in _own_family(r))
        if not self.is_negated:
            return merged
        return everything if self.wildcards else _complement(merged, _HIGHEST_ADDRESS)

    @property
    def is_exact(self) -> bool:
        """Whether the tables say all of it: the bytes of several wildcards could be mixed up."""
        return not self.wildcards or (len(self.wildcards) == 1 and not self.is_negated)

    def accept(self, address: int) -> bool:
        inside = any(
            low <= address <= high for r in self.ranges for low, high in _own_family(r)
        ) or any(_is_like(address, wildcard) for wildcard in self.wildcards)
        return inside != self.is_negated


class Policy(Generic[R, D]):
    def __init__(self, rules: Sequence[R], intrazone: D, interzone: D) -> None:
        """With what holds within a zone, and between zones, where no rule matches."""
        self._rules = rules
        self._intrazone = intrazone
        self._interzone = interzone
        self._from, self._from_other = by_name([rule.from_zones for rule in rules])
        self._to, self._to_other = by_name([rule.to_zones for rule in rules])
        self._source = _by_address(rules, _source_of)
        self._destination = _by_address(rules, _destination_of)
        protocols = {s.protocol for rule in rules for s in rule.services}
        self._services = {protocol: _by_service(rules, protocol) for protocol in protocols}
        self._any_service = bits(not rule.services for rule in rules)
        self._within = bits(rule.rule_type != "interzone" for rule in rules)
        self._between = bits(rule.rule_type != "intrazone" for rule in rules)
        # the service tables know destination ports only
        self._look_closer = bits(
            any(s.source_ports for s in rule.services)
            or not (_source_of(rule).is_exact and _destination_of(rule).is_exact)
            for rule in rules
        )

    def match(self, from_zone: str, to_zone: str, key: FlowKey, among: int = EVERY_RULE) -> R | D:
        """The first rule that matches, of those whose bit is set; the key's zone is not asked."""
        index = self.find(from_zone, to_zone, key, among)
        return self.default(from_zone, to_zone) if index is None else self._rules[index]

    def find(
        self, from_zone: str, to_zone: str, key: FlowKey, among: int = EVERY_RULE
    ) -> int | None:
        """Like match, the place of the rule."""
        matching = (
            self._from.get(from_zone, self._from_other)
            & self._to.get(to_zone, self._to_other)
            & (self._within if from_zone == to_zone else self._between)
            & among
        )
        if matching:
            services = self._services.get(key.proto)
            matching &= self._any_service if services is None else services.at(key.dport)
        if matching:
            source = int.from_bytes(key.src, "big")
            matching &= self._source.at(source)
        if matching:
            destination = int.from_bytes(key.dst, "big")
            matching &= self._destination.at(destination)
        while matching:
            lowest = matching & -matching
            index = lowest.bit_length() - 1
            if not lowest & self._look_closer or _accepts(
                self._rules[index], source, destination, key
            ):
                return index
            matching ^= lowest
        return None

    def default(self, from_zone: str, to_zone: str) -> D:
        """What holds where no rule matches."""
        return self._intrazone if from_zone == to_zone else self._interzone

    def find_all(
        self, from_zone: str, to_zone: str, key: FlowKey, among: int = EVERY_RULE
    ) -> Iterator[int]:
        """Like find, every one of them, in order; a zone "" and a port 0 may be any."""
        source, destination = int.from_bytes(key.src, "big"), int.from_bytes(key.dst, "big")
        zones = {from_zone, to_zone}
        for number, rule in enumerate(self._rules):
            if (
                among >> number & 1
                and (not from_zone or not rule.from_zones or from_zone in rule.from_zones)
                and (not to_zone or not rule.to_zones or to_zone in rule.to_zones)
                and ("" in zones or rule.rule_type in ("universal", _RULE_TYPE_OF[len(zones)]))
                and _may_serve(rule, key)
                and self._source.at(source) >> number & 1
                and self._destination.at(destination) >> number & 1
                and _accepts_addresses(rule, source, destination)
            ):
                yield number

    def match_all(
        self, from_zone: str, to_zone: str, key: FlowKey, among: int = EVERY_RULE
    ) -> Iterator[R]:
        """Likewise, the rules."""
        for index in self.find_all(from_zone, to_zone, key, among):
            yield self._rules[index]


_RULE_TYPE_OF = {1: "intrazone", 2: "interzone"}  # by how many zones there are


def bits(claims: Iterable[bool]) -> int:
    """The rules, as bits, of which the claim is true."""
    result = 0
    for index, claim in enumerate(claims):
        if claim:
            result |= 1 << index
    return result


def by_name(names_of: Sequence[tuple[str, ...]]) -> tuple[dict[str, int], int]:
    """Rules by the name of a zone or port, and the rules for every name no rule has; no names
    accept all."""
    every_name = bits(not names for names in names_of)
    table = dict.fromkeys({name for names in names_of for name in names}, every_name)
    for index, names in enumerate(names_of):
        for name in names:
            table[name] |= 1 << index
    return table, every_name


def _source_of(rule: Rule) -> _Addresses:
    wildcards = rule.source_wildcards if isinstance(rule, SecurityRule) else ()
    return _Addresses(rule.source, wildcards, rule.negate_source)


def _destination_of(rule: Rule) -> _Addresses:
    wildcards = rule.destination_wildcards if isinstance(rule, SecurityRule) else ()
    return _Addresses(rule.destination, wildcards, rule.negate_destination)


def _by_address(
    rules: Sequence[Rule], field: Callable[[Rule], _Addresses]
) -> _Segments | _RangesAndWildcards:
    fields = [field(rule) for rule in rules]
    ranges = _Segments([addresses.intervals() for addresses in fields], _HIGHEST_ADDRESS)
    if not any(addresses.wildcards for addresses in fields):
        return ranges
    return _RangesAndWildcards(ranges, _Wildcards([addresses.wildcards for addresses in fields]))


def _is_like(address: int, wildcard: Wildcard) -> bool:
    own, mask = _number(wildcard.address), int.from_bytes(wildcard.mask, "big")
    return not (address ^ own) & ~mask


def _accepts(rule: Rule, source: int, destination: int, key: FlowKey) -> bool:
    """Of a rule that the tables have chosen: whether what they do not know fits too."""
    if rule.services and service_of(rule, key) is None:
        return False
    return _accepts_addresses(rule, source, destination)


def _accepts_addresses(rule: Rule, source: int, destination: int) -> bool:
    return all(
        addresses.accept(address)
        for addresses, address in ((_source_of(rule), source), (_destination_of(rule), destination))
        if not addresses.is_exact
    )


def _may_serve(rule: Rule, key: FlowKey) -> bool:
    return not rule.services or any(
        service.protocol == key.proto
        and (not key.sport or _in(service.source_ports, key.sport))
        and (not key.dport or _in(service.destination_ports, key.dport))
        for service in rule.services
    )


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


def service_of(rule: Rule, key: FlowKey) -> ServiceMatch | None:
    """The first of the rule's services that matches."""
    for service in rule.services:
        if (
            service.protocol == key.proto
            and _in(service.source_ports, key.sport)
            and _in(service.destination_ports, key.dport)
        ):
            return service
    return None


def _in(ports: tuple[tuple[int, int], ...], port: int) -> bool:
    return not ports or any(low <= port <= high for low, high in ports)
