"""Schedules: in force to the minute, and asked again only when one begins or ends."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.schedules import DosSchedules, InForce, holds, next_change_s
from dataplane.snapshot import DosRule, Schedule, SecurityRule
from tests.support.packets import ALLOW, Firewall, snapshot, udp

NS = 1_000_000_000
MONDAY = datetime(2024, 1, 1, tzinfo=UTC)
DAY = 24 * 60


def at(days: float, minutes: float = 0) -> int:
    """Seconds since the epoch, so long after a Monday's midnight."""
    return int((MONDAY + timedelta(days=days, minutes=minutes)).timestamp())


OFFICE = Schedule("office", weekly=tuple((d * DAY + 540, d * DAY + 1020) for d in range(5)))
ONCE = Schedule("once", once=((at(10), at(11)),))

ROWS = [
    pytest.param(OFFICE, at(0, 540), True, id="it begins"),
    pytest.param(OFFICE, at(0, 540) - 1, False, id="a second before"),
    pytest.param(OFFICE, at(4, 1020) - 1, True, id="its last second"),
    pytest.param(OFFICE, at(4, 1020), False, id="it is over"),
    pytest.param(OFFICE, at(5, 600), False, id="Saturday"),
    pytest.param(OFFICE, at(7, 600), True, id="the next Monday"),
    pytest.param(OFFICE, at(-7000, 600), True, id="a Monday long ago"),
    pytest.param(ONCE, at(10), True, id="once"),
    pytest.param(ONCE, at(11), False, id="once is over"),
    pytest.param(ONCE, at(17), False, id="and never again"),
    pytest.param(Schedule("never"), at(0), False, id="never"),
]


@pytest.mark.parametrize(("schedule", "now_s", "expected"), ROWS)
def test_when(schedule: Schedule, now_s: int, expected: bool) -> None:
    assert holds(schedule, now_s) == expected


MINUTES = st.tuples(st.integers(0, 7 * DAY), st.integers(0, 7 * DAY)).map(sorted).map(tuple)
SECONDS = st.integers(at(0), at(9))
TIMES = st.tuples(SECONDS, SECONDS).map(sorted).map(tuple)
SCHEDULE = st.builds(
    Schedule,
    st.just("s"),
    st.lists(MINUTES, max_size=3).map(tuple),
    st.lists(TIMES, max_size=3).map(tuple),
)


@given(SCHEDULE, SECONDS, st.data())
def test_nothing_changes_before_the_next_change(
    schedule: Schedule, now_s: int, data: st.DataObject
) -> None:
    change_s = next_change_s(schedule, now_s)
    assert change_s > now_s
    later_s = data.draw(st.integers(now_s, min(change_s - 1, at(30))))
    assert holds(schedule, later_s) == holds(schedule, now_s)


@given(st.lists(st.none() | SCHEDULE, max_size=5), st.lists(SECONDS, min_size=1, max_size=10))
def test_rules_in_force(schedules: list[Schedule | None], times_s: list[int]) -> None:
    """At any times in any order, as if each were asked alone."""
    rules = [SecurityRule(str(n), "allow", schedule=s) for n, s in enumerate(schedules)]
    in_force = InForce(rules)
    for now_s in times_s:
        found = in_force.at(now_s * NS + 5)
        for number, schedule in enumerate(schedules):
            expected = schedule is None or holds(schedule, now_s)
            assert bool(found >> number & 1) == expected


def test_a_rule_by_the_clock() -> None:
    """Live sessions stay what they are when the schedule ends."""
    rule = SecurityRule("office hours", "allow", schedule=OFFICE)
    firewall = Firewall(snapshot(rule), wall_offset_s=at(0, 539))
    assert firewall.send(udp(sport=1), at_s=1).what == "flow_policy_deny"
    assert firewall.send(udp(sport=2), at_s=60).what == "forward"
    evening_s = (at(0, 1020) - at(0, 539)) + 1
    for now_s in range(80, evening_s, 20):
        assert firewall.send(udp(sport=2), at_s=now_s).what == "forward"
    assert firewall.send(udp(sport=2), at_s=evening_s).session == 2
    assert firewall.send(udp(sport=3), at_s=evening_s).what == "flow_policy_deny"
    assert firewall.send(udp(dst="192.0.2.9"), at_s=evening_s).what == "forward"  # not its zone


def test_without_schedules_every_rule_is_in_force() -> None:
    assert InForce([ALLOW] * 3).at(0) == -1


def test_the_engine_is_told_of_dos_rules_when_something_changes() -> None:
    told: list[tuple[str, bool]] = []
    rules = [
        DosRule("always", "deny"),
        DosRule("office hours", "deny", schedule=OFFICE),
        DosRule("once", "deny", schedule=ONCE),
    ]
    schedules = DosSchedules(rules, lambda name, is_in_force: told.append((name, is_in_force)))

    def at_once(now_s: int) -> list[tuple[str, bool]]:
        told.clear()
        schedules.advance(now_s * NS)
        return list(told)

    assert at_once(at(0)) == [("office hours", False), ("once", False)]
    assert at_once(at(0, 539)) == []
    assert at_once(at(0, 540)) == [("office hours", True), ("once", False)]
    assert at_once(at(0, 541)) == []
    assert at_once(at(10, 600)) == [("office hours", True), ("once", True)]
    assert at_once(at(0, 541)) == [("office hours", True), ("once", False)]
