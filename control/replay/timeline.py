"""A session's time to live, followed through a replay packet by packet."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from dataplane.messages import Session
from native import Packet, Verdict

_NS_PER_S = 1_000_000_000


@dataclass(slots=True)
class Timeline:
    """Times in nanoseconds since the session began, time to live in seconds."""

    points: list[tuple[int, float]] = field(default_factory=list)
    packets: list[int] = field(default_factory=list)
    ended: Session | None = None


class Steps(Protocol):
    """Who replays packet by packet."""

    def next(self) -> Packet | None: ...

    def step(self) -> Verdict: ...

    def session(self, session_id: int) -> Session | None: ...


class Follower:
    """Follows one session; told of the ends of all."""

    def __init__(self, wanted: Session, resolution_ns: int) -> None:
        """Of packets that are closer together than the resolution the first is kept."""
        self.timeline = Timeline()
        self._wanted = wanted
        self._resolution_ns = resolution_ns
        self._last: Session | None = None
        self._kept_ns: int | None = None

    def is_it(self, session: Session) -> bool:
        return session.start_ns == self._wanted.start_ns and session.c2s == self._wanted.c2s

    def ended(self, session: Session) -> None:
        if self.timeline.ended is None and self.is_it(session):
            self._lead_to(session, session.end_ns)
            self.timeline.ended = session

    def packet(self, session: Session) -> None:
        """A packet of it came; this is the session now."""
        now_ns = session.now_ns
        if self._kept_ns is not None and now_ns - self._kept_ns < self._resolution_ns:
            self._last = session
            return
        self._kept_ns = now_ns
        self.timeline.packets.append(now_ns - self._wanted.start_ns)
        self._lead_to(session, now_ns)
        self._add(now_ns, session.end_ns)
        self._last = session

    def _lead_to(self, session: Session, at_ns: int) -> None:
        """The line since the last packet; a report by time shows in the timer it has started."""
        if self._last is None:
            return
        expires_ns = self._last.end_ns
        started_ns = session.end_ns - session.timeout_s * _NS_PER_S
        if self._last.now_ns < started_ns < at_ns:
            self._add(started_ns, expires_ns)
            self._add(started_ns, session.end_ns)
            expires_ns = session.end_ns
        self._add(at_ns, expires_ns)

    def _add(self, at_ns: int, expires_ns: int) -> None:
        left_s = max((expires_ns - at_ns) / _NS_PER_S, 0.0)
        self.timeline.points.append((at_ns - self._wanted.start_ns, left_s))


def follow(steps: Steps, follower: Follower) -> Timeline:
    """Replays everything; the ends have to reach the follower by its observer."""
    found = 0
    while steps.next() is not None:
        session_id = steps.step().session
        if not session_id or (found and session_id != found):
            continue
        session = steps.session(session_id)
        if session is not None and follower.is_it(session) and session.in_ager:
            found = session_id
            follower.packet(session)
    return follower.timeline
