"""QoS rules, compiled: which class a session's packets are shaped as."""

from collections.abc import Iterator, Sequence

from dataplane.policy import Policy, bits
from dataplane.snapshot import QosRule
from native import FlowKey

_DSCPS = 64


class QosPolicy:
    def __init__(self, rules: Sequence[QosRule]) -> None:
        self._policy: Policy[QosRule, None] = Policy(rules, None, None)
        self._by_dscp = [
            bits(not rule.dscps or dscp in rule.dscps for rule in rules) for dscp in range(_DSCPS)
        ]

    def match(self, from_zone: str, to_zone: str, key: FlowKey, dscp: int) -> QosRule | None:
        """By the first packet: original addresses, and the zone it leaves for."""
        return self._policy.match(from_zone, to_zone, key, self._by_dscp[dscp])

    def match_all(self, from_zone: str, to_zone: str, key: FlowKey) -> Iterator[QosRule]:
        """Every rule that matches, in order, whatever the DSCP; a zone "" and a port 0 may be
        any."""
        return self._policy.match_all(from_zone, to_zone, key)
