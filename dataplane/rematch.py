"""Rematch: after a commit, live sessions the new policy would deny are denied (fact sheet 4.10).

A page at a time, so that packets go on meanwhile. Only allowed sessions are looked at: a denied one
is not revived, and how a session is forwarded and translated stays as it is.
"""

from dataplane.schedules import rules_in_force
from dataplane.slowpath.context import Tables
from dataplane.snapshot import Snapshot
from native import SESSION_STATES, Engine, Filter

_ACTIVE = Filter(state=SESSION_STATES.index("ACTIVE"))
_SLOTS = 4096  # looked at in one go, a few milliseconds if all of them are in use


class Rematch:
    def __init__(self) -> None:
        self._cursor: int | None = None

    def begin(self, before: Snapshot, now: Snapshot) -> None:
        """A commit: every session is to be looked at if policy may say otherwise now."""
        if not now.rematch:
            self._cursor = None
        elif _policy(before) != _policy(now):
            self._cursor = 0

    def page(self, native: Engine, tables: Tables, now_ns: int) -> bool:
        """Looks at some sessions; True where there are more."""
        if self._cursor is None:
            return False
        in_force = rules_in_force(tables.in_force, now_ns + tables.wall_offset_ns)
        views, cursor = native.sessions(self._cursor, matching=_ACTIVE, scan=_SLOTS)
        for view in views:
            zones = tables.zones.name(view.c2s.zone), tables.zones.name(view.s2c.zone)
            rule = tables.policy.match(*zones, view.c2s, in_force)
            if rule.action != "allow":
                native.deny(view.id, rule.action, tables.rules.number(rule.name))
        self._cursor = cursor or None
        return self._cursor is not None


def _policy(snapshot: Snapshot) -> tuple[object, ...]:
    return snapshot.rules, snapshot.intrazone_default, snapshot.interzone_default
