"""DoS rules against a model beside them: a list of live sessions and what each was counted by."""

from collections.abc import Iterator

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from native import DosLimits, DosRule, FloodLimits, ThreatType
from tests.support.protection import (
    INSIDE,
    NS,
    OUTSIDE,
    PASSED,
    Knock,
    Protected,
    floods,
    host,
)

HOSTS = range(1, 4)
SERVERS = range(1000, 1003)
CRITERIA = ("source-ip-only", "destination-ip-only", "src-dest-ip-both")


def _classified(knock: Knock, by: str) -> tuple[int, int]:
    return (
        0 if by == CRITERIA[1] else knock.source,
        0 if by == CRITERIA[0] else knock.destination,
    )


class Limits(RuleBasedStateMachine):
    """Sessions of two rules: number 1 for TCP, number 2 for everything else."""

    def __init__(self) -> None:
        super().__init__()
        self.protected = Protected()
        self.live: dict[int, tuple[Knock, int, tuple[int, int] | None]] = {}
        self.rules: dict[int, DosRule] = {}
        self.number = 0
        self._configure({})

    def _configure(self, rules: dict[int, DosRule]) -> None:
        self.rules = rules
        self.protected.configure(dos_rules=tuple(rules.values()))

    @rule(
        all_sessions=st.integers(0, 6),
        own_sessions=st.integers(0, 3),
        by=st.sampled_from(CRITERIA),
        numbers=st.sets(st.sampled_from([1, 2])),
        is_classified=st.booleans(),
    )
    def commit(
        self,
        all_sessions: int,
        own_sessions: int,
        by: str,
        numbers: set[int],
        is_classified: bool,
    ) -> None:
        rules = {}
        for number in sorted(numbers, reverse=all_sessions % 2 == 0):
            to = (host(1000), host(1001)) if number == 1 else (host(1002), host(1100))
            rules[number] = DosRule(
                number,
                "protect",
                destination=(to,),
                aggregate=DosLimits(max_sessions=all_sessions),
                classified=DosLimits(max_sessions=own_sessions) if is_classified else None,
                classified_by=by,
            )
        self._configure(rules)

    def _expected(self, knock: Knock) -> tuple[str, int, tuple[int, int] | None]:
        number = 1 if knock.destination < 1002 else 2
        found = self.rules.get(number)
        if found is None:
            return PASSED, 0, None
        of_rule = [own for _, by, own in self.live.values() if by == number]
        assert found.aggregate is not None
        limit = found.aggregate.max_sessions
        own = None
        if found.classified is not None:
            own = _classified(knock, found.classified_by)
        if limit and len(of_rule) >= limit:
            return "flow_dos_ag_max_sess_limit", 0, None
        own_limit = found.classified.max_sessions if found.classified else 0
        if own_limit and of_rule.count(own) >= own_limit:
            return "flow_dos_cl_max_sess_limit", 0, None
        return PASSED, number, own

    @rule(source=st.sampled_from(HOSTS), destination=st.sampled_from(SERVERS))
    def open(self, source: int, destination: int) -> None:
        self.number += 1
        knock = Knock("udp", source, destination, sport=1024 + self.number)
        reason, number, own = self._expected(knock)
        assert self.protected.knock(knock) == reason
        if reason == PASSED:
            self.live[knock.sport] = knock, number, own

    @rule(which=st.integers(0, 100))
    def end(self, which: int) -> None:
        for view in self._views():
            if self.live and view[1] == sorted(self.live)[which % len(self.live)]:
                assert self.protected.engine.clear(view[0])
                del self.live[view[1]]
                return

    @rule()
    def age_out(self) -> None:
        self.protected.wait(60 * NS)
        self.live.clear()

    def _views(self) -> Iterator[tuple[int, int]]:
        views, _ = self.protected.engine.sessions(0)
        return ((view.id, view.c2s.sport) for view in views)

    @invariant()
    def counts_agree(self) -> None:
        assert {sport for _, sport in self._views()} == set(self.live)
        for number in self.rules:
            stats = self.protected.engine.dos_stats(number)
            assert stats is not None
            assert stats.sessions == sum(by == number for _, by, _ in self.live.values())


Limits.TestCase.settings = settings(max_examples=40, stateful_step_count=60, deadline=None)
TestSessionLimits = Limits.TestCase


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize(("kind", "block_s"), [("tcp_syn", 0), ("udp", 20), ("other_ip", 7)])
def test_a_source_above_its_own_rate_is_blocked(kind: str, family: int, block_s: int) -> None:
    if kind == "tcp_syn":
        blocks = (block_s, 0, 0, 0, 0)
    else:
        blocks = tuple(block_s if name == kind else 0 for name in ("", "udp", "", "", "other_ip"))
    own = DosLimits(floods(**{kind: FloodLimits(True, False, 3, 3, 3)}), blocks)
    protected = Protected()
    protected.configure(dos_rules=(DosRule(9, "protect", (OUTSIDE,), classified=own),))
    knocks = [Knock(kind, 1, 1000 + n, sport=1024 + n, family=family) for n in range(6)]
    found = [protected.knock(knock) for knock in knocks]
    later = "flow_dos_drop_ip_blocked" if block_s else "flow_dos_rule_drop_classified"
    assert found == [PASSED] * 3 + ["flow_dos_rule_drop_classified", later, later]
    assert protected.knock(knocks[0]._replace(source=2)) == PASSED
    assert protected.knock(knocks[5], INSIDE) == PASSED  # the rule is for the other zone
    blocked, cursor = protected.engine.blocks()
    assert cursor == 0
    assert [(item.source, item.rule, item.why) for item in blocked] == (
        [(host(1, family), 9, ThreatType.FLOOD)] if block_s else []
    )
    if block_s:
        assert protected.engine.unblock(host(2, family)) == 0
        assert protected.engine.unblock(host(1, family)) == 1
    protected.wait(3 * NS)
    assert protected.knock(knocks[5]._replace(sport=5)) == PASSED


def test_figures_of_a_rule_stay_through_a_commit() -> None:
    protected = Protected()
    deny = DosRule(4, "deny", source=((host(1), host(1)),))
    protected.configure(dos_rules=(deny,))
    assert protected.knock(Knock()) == "flow_dos_rule_deny"
    protected.configure(dos_rules=(DosRule(5, "allow"), deny))  # now behind one that matches
    assert protected.knock(Knock()) == PASSED
    stats = [protected.engine.dos_stats(number) for number in (4, 5, 6)]
    assert [item and (item.denied, item.allowed) for item in stats] == [(1, 0), (0, 1), None]
