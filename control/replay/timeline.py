"""A session's time to live, followed through a replay packet by packet."""

from __future__ import annotations

from dataclasses import dataclass, field

from control.replay.compare import identity
from dataplane.edges.pcap import PcapEdge
from dataplane.engine import Engine
from dataplane.slowpath.pipeline import Decision
from native import SessionView

_NS_PER_S = 1_000_000_000


@dataclass(slots=True)
class Timeline:
    """Times in nanoseconds since the session began, time to live in seconds."""

    points: list[tuple[int, float]] = field(default_factory=list)
    packets: list[int] = field(default_factory=list)
    ended: SessionView | None = None


class Follower:
    """Follows one session; told of the ends of all."""

    def __init__(self, wanted: SessionView, resolution_ns: int) -> None:
        """Of packets that are closer together than the resolution the first is kept."""
        self.timeline = Timeline()
        self._wanted = wanted
        self._resolution_ns = resolution_ns
        self._last: SessionView | None = None
        self._kept_ns: int | None = None

    def is_it(self, session: SessionView) -> bool:
        return identity(session) == identity(self._wanted)

    def decided(self, decision: Decision) -> None:
        pass

    def ended(self, session: SessionView) -> None:
        if self.timeline.ended is None and self.is_it(session):
            self._lead_to(session, session.end_ns)
            self.timeline.ended = session

    def packet(self, before: SessionView | None, after: SessionView) -> None:
        """A packet of it came: the session right before and after that."""
        now_ns = after.last_ns
        if self._kept_ns is None or now_ns - self._kept_ns >= self._resolution_ns:
            self._kept_ns = now_ns
            self.timeline.packets.append(now_ns - self._wanted.start_ns)
            if before is not None:
                self._lead_to(before, now_ns)
            self._add(now_ns, after.end_ns)
        self._last = after

    def _lead_to(self, session: SessionView, at_ns: int) -> None:
        """The line since the last packet; a report by time shows in the timer it has started."""
        if self._last is None:
            return
        expires_ns = self._last.end_ns
        self._add(self._last.last_ns, expires_ns)
        started_ns = session.end_ns - session.timeout_s * _NS_PER_S
        if self._last.last_ns < started_ns < at_ns:
            self._add(started_ns, expires_ns)
            self._add(started_ns, session.end_ns)
            expires_ns = session.end_ns
        self._add(at_ns, expires_ns)

    def _add(self, at_ns: int, expires_ns: int) -> None:
        left_s = max((expires_ns - at_ns) / _NS_PER_S, 0.0)
        self.timeline.points.append((at_ns - self._wanted.start_ns, left_s))


def follow(edge: PcapEdge, engine: Engine, follower: Follower) -> Timeline:
    """Feeds everything, packet by packet. The follower must be the engine's observer."""
    found = 0
    before = None
    while (packet := edge.next()) is not None:
        if found:
            engine.advance(packet.now_ns)
            before = engine.native.session(found)
        session_id = edge.step().session
        if not session_id or (found and session_id != found):
            continue
        session = engine.native.session(session_id)
        if session is not None and session.in_ager and follower.is_it(session):
            found = session_id
            follower.packet(before, session)
    return follower.timeline
