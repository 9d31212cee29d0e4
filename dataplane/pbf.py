"""Policy-based forwarding rules, compiled: those go before the routes."""

from collections.abc import Iterable, Iterator, Sequence

from dataplane.policy import Policy, bits, by_name
from dataplane.snapshot import PbfRule
from native import FlowKey


class PbfPolicy:
    def __init__(self, rules: Sequence[PbfRule], unreachable: Iterable[str] = ()) -> None:
        """`unreachable` are the names of the rules whose monitored host does not answer."""
        self._policy: Policy[PbfRule, None] = Policy(rules, None, None)
        self._by_ingress, self._other_ingress = by_name([rule.from_ports for rule in rules])
        silent = frozenset(unreachable)
        self.in_force = bits(
            not (rule.name in silent and rule.monitor and rule.monitor.disable_if_unreachable)
            for rule in rules
        )

    def match(self, ingress: str, from_zone: str, key: FlowKey) -> PbfRule | None:
        among = self.in_force & self._by_ingress.get(ingress, self._other_ingress)
        return self._policy.match(from_zone, "", key, among)

    def match_all(self, ingress: str, from_zone: str, key: FlowKey) -> Iterator[PbfRule]:
        """Every rule that matches, in order; an ingress or zone "" and a port 0 may be any."""
        among = self.in_force
        if ingress:
            among &= self._by_ingress.get(ingress, self._other_ingress)
        return self._policy.match_all(from_zone, "", key, among)
