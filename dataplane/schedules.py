"""Which rules are in force when: an answer that holds until the next schedule begins or ends.

Sessions stay what they were when their schedule ends; only new ones ask.
"""

from collections.abc import Callable, Sequence

from dataplane.policy import EVERY_RULE
from dataplane.snapshot import DosRule, Schedule, SecurityRule

_NS = 1_000_000_000
_WEEK_S = 7 * 86_400
_MONDAY_S = 4 * 86_400  # the first Monday after the epoch, which was a Thursday
_FOREVER_S = 1 << 62


class InForce:
    """Times are nanoseconds since the epoch."""

    def __init__(self, rules: Sequence[SecurityRule | DosRule]) -> None:
        self._schedules = [
            (1 << number, rule.schedule)
            for number, rule in enumerate(rules)
            if rule.schedule is not None
        ]
        self._since_ns, self._until_ns, self._rules = 0, 0, EVERY_RULE

    def at(self, now_ns: int) -> int:
        """The rules in force as bits, the first rule the lowest."""
        if not self._since_ns <= now_ns < self._until_ns:
            now_s = now_ns // _NS
            resting = sum(bit for bit, schedule in self._schedules if not holds(schedule, now_s))
            self._rules = EVERY_RULE ^ resting
            self._since_ns = now_ns
            changes_s = (next_change_s(schedule, now_s) for _, schedule in self._schedules)
            self._until_ns = _NS * min(changes_s, default=_FOREVER_S)
        return self._rules


class DosSchedules:
    """The engine asks no schedules: it is told which DoS rules are in force, when that changes.

    Times are nanoseconds since the epoch.
    """

    def __init__(self, rules: Sequence[DosRule], tell: Callable[[str, bool], None]) -> None:
        """`tell` gets a rule's name, and whether it is in force."""
        timed = [rule for rule in rules if rule.schedule is not None]
        self._names = [rule.name for rule in timed]
        self._in_force = InForce(timed)
        self._tell = tell
        self._told: int | None = None

    def advance(self, now_ns: int) -> None:
        rules = self._in_force.at(now_ns)
        if rules == self._told:
            return
        self._told = rules
        for number, name in enumerate(self._names):
            self._tell(name, bool(rules >> number & 1))


def rules_in_force(in_force: InForce | None, now_ns: int) -> int:
    """Likewise, where there may be no schedule at all."""
    return EVERY_RULE if in_force is None else in_force.at(now_ns)


def holds(schedule: Schedule, at_s: int) -> bool:
    minute = (at_s - _MONDAY_S) % _WEEK_S // 60
    return any(first <= minute < end for first, end in schedule.weekly) or any(
        first <= at_s < end for first, end in schedule.once
    )


def next_change_s(schedule: Schedule, at_s: int) -> int:
    """When it may begin or end next, far in the future where it does not."""
    week_s = at_s - (at_s - _MONDAY_S) % _WEEK_S
    weekly = (week_s + minute * 60 for times in schedule.weekly for minute in times)
    changes = [at if at > at_s else at + _WEEK_S for at in weekly]
    changes += [at for times in schedule.once for at in times if at > at_s]
    return min(changes, default=_FOREVER_S)
