"""The security policy, ready to be asked: rules in order, then the two default rules."""

from dataplane.addresses import V4_PREFIX, widened
from dataplane.snapshot import AddressRange, SecurityRule, ServiceMatch

RULE_TYPES = ("universal", "intrazone", "interzone")


class _Addresses:
    """A rule's source or destination. A range holds addresses of its own family only."""

    __slots__ = ("_is_any", "_negate", "_v4", "_v6")

    def __init__(self, ranges: tuple[AddressRange, ...], negate: bool) -> None:
        self._is_any = not ranges  # there is no "not any"
        self._negate = negate
        self._v4 = tuple((widened(r.first), widened(r.last)) for r in ranges if len(r.first) == 4)
        self._v6 = tuple((r.first, r.last) for r in ranges if len(r.first) != 4)

    def contains(self, address: bytes) -> bool:
        if self._is_any:
            return True
        ranges = self._v4 if address.startswith(V4_PREFIX) else self._v6
        return any(first <= address <= last for first, last in ranges) != self._negate


class _Rule:
    """A rule with its addresses as the packets have them."""

    __slots__ = ("destination", "from_zones", "rule", "source", "to_zones")

    def __init__(self, rule: SecurityRule) -> None:
        self.rule = rule
        self.from_zones = frozenset(rule.from_zones)
        self.to_zones = frozenset(rule.to_zones)
        self.source = _Addresses(rule.source, rule.negate_source)
        self.destination = _Addresses(rule.destination, rule.negate_destination)

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
            and self.source.contains(src)
            and self.destination.contains(dst)
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


def _serves(service: ServiceMatch, proto: int, sport: int, dport: int) -> bool:
    return (
        service.protocol == proto
        and _in(service.source_ports, sport)
        and _in(service.destination_ports, dport)
    )


def _in(ports: tuple[tuple[int, int], ...], port: int) -> bool:
    return not ports or any(low <= port <= high for low, high in ports)
