"""The security policy, ready to be asked: rules in order, then the two default rules."""

from dataplane.addresses import widened
from dataplane.snapshot import AddressRange, SecurityRule, ServiceMatch

Ranges = tuple[tuple[bytes, bytes], ...]  # of 16-byte addresses


class _Rule:
    """A rule with its addresses as the packets have them."""

    __slots__ = ("destination", "from_zones", "rule", "source", "to_zones")

    def __init__(self, rule: SecurityRule) -> None:
        self.rule = rule
        self.from_zones = frozenset(rule.from_zones)
        self.to_zones = frozenset(rule.to_zones)
        self.source = _ranges(rule.source)
        self.destination = _ranges(rule.destination)

    def matches(
        self,
        from_zone: str,
        to_zone: str,
        src: bytes,
        dst: bytes,
        proto: int,
        sport: int,
        dport: int,
    ) -> bool:
        rule = self.rule
        return (
            (not self.from_zones or from_zone in self.from_zones)
            and (not self.to_zones or to_zone in self.to_zones)
            and (rule.rule_type != "intrazone" or from_zone == to_zone)
            and (rule.rule_type != "interzone" or from_zone != to_zone)
            and _contains(self.source, src, rule.negate_source)
            and _contains(self.destination, dst, rule.negate_destination)
            and (not rule.services or any(_serves(s, proto, sport, dport) for s in rule.services))
        )


class Policy:
    def __init__(
        self, rules: tuple[SecurityRule, ...], intrazone: SecurityRule, interzone: SecurityRule
    ) -> None:
        self._rules = [_Rule(rule) for rule in rules]
        self._intrazone = intrazone
        self._interzone = interzone

    def match(
        self,
        from_zone: str,
        to_zone: str,
        src: bytes,
        dst: bytes,
        proto: int,
        sport: int,
        dport: int,
    ) -> SecurityRule:
        """The first rule that matches; addresses are 16 bytes, ports as in the flow key."""
        for rule in self._rules:
            if rule.matches(from_zone, to_zone, src, dst, proto, sport, dport):
                return rule.rule
        return self._intrazone if from_zone == to_zone else self._interzone


def _ranges(ranges: tuple[AddressRange, ...]) -> Ranges:
    return tuple((widened(r.first), widened(r.last)) for r in ranges)


def _contains(ranges: Ranges, address: bytes, negate: bool) -> bool:
    if not ranges:  # any; there is no "not any"
        return True
    return any(first <= address <= last for first, last in ranges) != negate


def _serves(service: ServiceMatch, proto: int, sport: int, dport: int) -> bool:
    return (
        service.protocol == proto
        and _in(service.source_ports, sport)
        and _in(service.destination_ports, dport)
    )


def _in(ports: tuple[tuple[int, int], ...], port: int) -> bool:
    return not ports or any(low <= port <= high for low, high in ports)
