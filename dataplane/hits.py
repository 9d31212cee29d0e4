"""How often each rule matched, and when: counts by name, that live on over commits."""

from collections.abc import Iterable
from dataclasses import dataclass

from dataplane.messages import Hit
from dataplane.snapshot import Snapshot


@dataclass(slots=True)
class _Count:
    since_ns: int
    hits: int = 0
    first_ns: int = 0
    last_ns: int = 0


class Hits:
    """Times are nanoseconds since the epoch."""

    def __init__(self) -> None:
        self._rulebases: dict[str, dict[str, _Count]] = {}

    def configure(self, snapshot: Snapshot, now_ns: int) -> None:
        """A rule that goes away takes its count with it."""
        before = self._rulebases
        self._rulebases = {}
        for rulebase, names in _rulebases(snapshot).items():
            known = before.get(rulebase, {})
            # a rule and its mirror have one name
            self._rulebases[rulebase] = {
                name: known.get(name) or _Count(now_ns) for name in dict.fromkeys(names)
            }

    def met(self, rulebase: str, rule: str, now_ns: int) -> None:
        count = self._rulebases[rulebase][rule]
        count.hits += 1
        count.first_ns = count.first_ns or now_ns
        count.last_ns = now_ns

    def of(self, rulebase: str) -> tuple[Hit, ...]:
        """In the order of the rules. Raises ValueError where there is no such rulebase."""
        return tuple(
            Hit(name, count.hits, count.first_ns, count.last_ns, count.since_ns)
            for name, count in self._named(rulebase).items()
        )

    def clear(self, rulebase: str, rules: Iterable[str], now_ns: int) -> int:
        """Counts these rules anew, or all; says how many. Raises ValueError for unknown ones."""
        counts = self._named(rulebase)
        wanted = tuple(rules) or tuple(counts)
        for rule in wanted:
            if rule not in counts:
                raise ValueError(f"{rulebase} has no rule {rule}")
        for rule in wanted:
            counts[rule] = _Count(now_ns)
        return len(wanted)

    def _named(self, rulebase: str) -> dict[str, _Count]:
        counts = self._rulebases.get(rulebase)
        if counts is None:
            raise ValueError(f"{rulebase} is no rulebase; {', '.join(self._rulebases)} are")
        return counts


def _rulebases(snapshot: Snapshot) -> dict[str, list[str]]:
    defaults = (snapshot.intrazone_default, snapshot.interzone_default)
    return {
        "security": [rule.name for rule in (*snapshot.rules, *defaults)],
        "nat": [rule.name for rule in snapshot.nat_rules],
        "pbf": [rule.name for rule in snapshot.pbf_rules],
        "qos": [rule.name for rule in snapshot.qos_rules],
        "application-override": [rule.name for rule in snapshot.application_overrides],
    }
