"""DoS protection rules, compiled to say which one a packet would meet; the engine has its own."""

from collections.abc import Iterator, Sequence

from dataplane.policy import Policy, by_name
from dataplane.schedules import InForce
from dataplane.snapshot import DosRule
from native import FlowKey


class DosPolicy:
    def __init__(self, rules: Sequence[DosRule]) -> None:
        self._policy: Policy[DosRule, None] = Policy(rules, None, None)
        self._by_ingress, self._other_ingress = by_name([rule.from_ports for rule in rules])
        self._by_egress, self._other_egress = by_name([rule.to_ports for rule in rules])
        self._in_force = InForce(rules)

    def match_all(
        self, ports: tuple[str, str], zones: tuple[str, str], key: FlowKey, wall_ns: int
    ) -> Iterator[DosRule]:
        """Every rule that matches at that time of day, in order; of ingress and egress a port or
        zone "", as a layer 4 port 0, may be any."""
        among = self._in_force.at(wall_ns)
        ingress, egress = ports
        if ingress:
            among &= self._by_ingress.get(ingress, self._other_ingress)
        if egress:
            among &= self._by_egress.get(egress, self._other_egress)
        return self._policy.match_all(*zones, key, among)
