"""The same capture on several platforms: who lived, who died although packets came, and why.

Every platform replays the capture twice: with the timers as configured, and with sessions that
never age out once they are established. The second shows how long packets really came, and how long
they would have had to be waited for; the first, which sessions did not get that long.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from dataplane.engine import Engine, Observer
from dataplane.messages import Session
from dataplane.offload import PROFILES
from dataplane.slowpath.pipeline import Decision
from dataplane.snapshot import ApplicationTimeouts, SecurityRule, Snapshot, Timeouts
from native import TIMERS, FlowKey, SessionView

MINUTE_NS = 60 * 1_000_000_000
_SECOND_NS = 1_000_000_000
# of sessions that have got over their beginning
_ESTABLISHED = ("timeout-tcp", "timeout-udp", "timeout-default")
_AGED_OUT = "aged-out"

Run = Callable[[str, Snapshot, Observer], Engine]  # replays on a platform, up to the last end
Identity = tuple[FlowKey, int]
Ends = tuple[frozenset[tuple[bytes, int]], int]


class Fate(NamedTuple):
    """How a session ended on a platform."""

    end_reason: str
    after_ns: int  # of its life
    packets_still_came: bool
    sessions: int  # that its packets opened, one after the other; 1 where it lived
    timeout_s: int  # the timer in force at its end
    # of one whose packets still came; None where nothing would have helped
    largest_interval_s: int | None  # between packets, the longest that would have kept it alive
    smallest_timeout_s: int | None  # that would have kept it alive


class Compared(NamedTuple):
    """A session of the capture, longer than a minute."""

    session: Session  # as it would be if sessions did not age out
    view: SessionView  # the same
    fates: dict[str, Fate]  # by platform

    @property
    def duration_ns(self) -> int:
        return self.session.last_ns - self.session.start_ns

    @property
    def died(self) -> list[str]:
        """The platforms on which it died while packets still came."""
        return [platform for platform, fate in self.fates.items() if fate.packets_still_came]


class _Long:
    """Sessions whose packets came for longer than a minute."""

    def __init__(self) -> None:
        self.sessions: dict[Identity, SessionView] = {}

    def decided(self, decision: Decision) -> None:
        pass

    def ended(self, session: SessionView) -> None:
        if session.action == "allow" and session.last_ns - session.start_ns > MINUTE_NS:
            self.sessions[identity(session)] = session


class _Real:
    """What became of these sessions, and how many their packets opened."""

    def __init__(self, lasting: Iterable[SessionView]) -> None:
        self.sessions: dict[Identity, SessionView] = {}
        self.opened: Counter[Identity] = Counter()
        self._lasting: dict[Ends, list[SessionView]] = {}
        for session in lasting:
            self._lasting.setdefault(_ends(session), []).append(session)

    def decided(self, decision: Decision) -> None:
        pass

    def ended(self, session: SessionView) -> None:
        if session.action != "allow":
            return
        for whole in self._lasting.get(_ends(session), ()):
            if whole.start_ns <= session.start_ns <= whole.last_ns:
                self.opened[identity(whole)] += 1
                if session.start_ns == whole.start_ns:
                    self.sessions[identity(whole)] = session


def compare(run: Run, snapshot: Snapshot, platforms: Sequence[str]) -> list[Compared]:
    """In the order in which the sessions began."""
    lasting: dict[str, dict[Identity, SessionView]] = {}
    engines = []
    for platform in platforms:
        long = _Long()
        engines.append(_run_to_the_end(run, platform, unending(snapshot), long))
        lasting[platform] = long.sessions
    whole = lasting[platforms[0]]
    fates: dict[Identity, dict[str, Fate]] = {who: {} for who in whole}
    for platform in platforms:
        real = _Real(whole.values())
        _run_to_the_end(run, platform, snapshot, real)
        for who, session in real.sessions.items():
            without_end = lasting[platform].get(who, whole[who])
            fates[who][platform] = _fate(platform, session, without_end, real.opened[who])
    return [  # the numbers of a session are those of its engine
        Compared(engines[0].named(session), session, fates[who])
        for who, session in sorted(whole.items(), key=lambda item: item[1].start_ns)
    ]


def _run_to_the_end(run: Run, platform: str, snapshot: Snapshot, observer: _Long | _Real) -> Engine:
    """The observer is told of the sessions that are still alive as well."""
    engine = run(platform, snapshot, observer)
    for session in _alive(engine):
        observer.ended(session)
    return engine


def _alive(engine: Engine) -> Iterator[SessionView]:
    cursor = 0
    while True:
        sessions, cursor = engine.native.sessions(cursor)
        yield from sessions
        if not cursor:
            return


def identity(session: SessionView) -> Identity:
    """The same on every platform; numbers of sessions are not."""
    return session.c2s, session.start_ns


def _ends(session: SessionView) -> Ends:
    """Whoever spoke first: a session may be opened again by an answer."""
    key = session.c2s
    return frozenset(((key.src, key.sport), (key.dst, key.dport))), key.proto


def _fate(platform: str, real: SessionView, lasting: SessionView, opened: int) -> Fate:
    # a packet at the very instant of the end comes too late
    came = not real.in_ager and real.end_reason == _AGED_OUT and lasting.last_ns >= real.end_ns
    return Fate(
        end_reason="alive" if real.in_ager else real.end_reason,
        after_ns=(real.last_ns if real.in_ager else real.end_ns) - real.start_ns,
        packets_still_came=came,
        sessions=opened,
        timeout_s=real.timeout_s,
        largest_interval_s=_largest_interval_s(platform, real, lasting) if came else None,
        smallest_timeout_s=_smallest_timeout_s(lasting) if came else None,
    )


def _smallest_timeout_s(lasting: SessionView) -> int | None:
    """A packet that comes at the very instant the timer is over comes too late."""
    seconds = lasting.longest_wait_ms // 1000 + 1
    highest = next(timer.max_s for timer in TIMERS if timer.knob == _ESTABLISHED[0])
    return seconds if seconds <= highest else None


def _largest_interval_s(platform: str, real: SessionView, lasting: SessionView) -> int | None:
    """If its packets came more often, and otherwise as they did.

    Where packets are counted, the wait for a refresh grows with the interval; what a report comes
    late by the clock does not.
    """
    timeout_ms, gap_ms, wait_ms = real.timeout_s * 1000, *_longest_ms(lasting)
    if PROFILES[platform].scan_ms:
        interval_ms = timeout_ms - (wait_ms - gap_ms) - 1
    else:
        interval_ms = (gap_ms * timeout_ms - 1) // wait_ms
    return interval_ms // 1000 or None


def _longest_ms(session: SessionView) -> tuple[int, int]:
    return session.longest_gap_ms, max(session.longest_wait_ms, session.longest_gap_ms)


def unending(snapshot: Snapshot) -> Snapshot:
    """The same firewall, on which established sessions do not age out."""
    highest = {timer.knob: timer.max_s for timer in TIMERS if timer.knob in _ESTABLISHED}
    return replace(
        snapshot,
        timeouts_s=snapshot.timeouts_s | highest,
        accelerated_aging=replace(snapshot.accelerated_aging, enabled=False),
        applications={
            name: ApplicationTimeouts(*map(_unset, (timers.tcp, timers.udp, timers.other)))
            for name, timers in snapshot.applications.items()
        },
        rules=tuple(_without_timers(rule) for rule in snapshot.rules),
    )


def _unset(timers: Timeouts) -> Timeouts:
    return replace(timers, established=0)


def _without_timers(rule: SecurityRule) -> SecurityRule:
    return replace(
        rule,
        services=tuple(
            replace(service, override=_unset(service.override)) if service.override else service
            for service in rule.services
        ),
    )
