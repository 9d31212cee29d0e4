"""One replay: captures through an engine of its own, as fast as it goes."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from control.replay.setup import ReplayError, Setup, counted
from dataplane.addresses import text
from dataplane.edges.edge import EdgeError
from dataplane.edges.pcap import PcapEdge
from dataplane.engine import Engine, Observer
from dataplane.messages import Session, SessionFilter
from dataplane.slowpath.pipeline import Decision
from dataplane.threat_log import ThreatEntry
from dataplane.traffic_log import Entry
from native import FOREVER_NS, SessionView

Entries = list[Entry | ThreatEntry]
Captures = Mapping[str, Path] | Path  # by ingress port, or one for all


class Play:
    def __init__(
        self,
        setup: Setup,
        captures: Captures,
        *,
        platform: str,
        output: Path | None = None,
        until_ns: int | None = None,
        observer: Observer | None = None,
    ) -> None:
        """Nothing later than until_ns after the first packet happens.

        Raises ReplayError where no capture can be read, or an output not be made.
        """
        self.end_reasons: Counter[str] = Counter()  # of sessions
        self.threats: Counter[tuple[str, str]] = Counter()  # by name and action
        self._observer = observer
        # the same translated ports every time, and nobody who makes a capture knows the key
        configuration = msgspec.msgpack.encode(setup.snapshot)
        key = hashlib.blake2b(configuration, digest_size=16).digest()
        self.engine = Engine(hash_key=key, now_ns=0, platform=platform, observer=self)
        self.engine.configure(setup.snapshot)
        self.engine.set_routes(setup.routes)
        try:
            self.edge = PcapEdge(captures, self.engine, output)
        except EdgeError as error:
            raise ReplayError(str(error)) from None
        first = self.edge.next()
        if first is None:
            none = ["there is no packet to replay"]
            raise ReplayError(*[*self.edge.damage, *_untimed(self.edge)] or none)
        self.first_ns = first.now_ns
        self.end_ns = FOREVER_NS if until_ns is None else first.now_ns + until_ns

    def pages(self) -> Iterator[Entries]:
        """Entries of both logs as they come, some or none at a time; at the end all is over."""
        while self.edge.run_once(self.end_ns):
            yield self._entries()
        while self.edge.tick(self.end_ns):
            yield self._entries()
        yield self._entries()

    def _entries(self) -> Entries:
        return [*self.take_threats(), *self.engine.take_entries()]

    def take_threats(self) -> list[ThreatEntry]:
        """Threat log entries since the last call."""
        threats = self.engine.take_threats()
        self.threats.update((threat.threatid, threat.action) for threat in threats)
        return threats

    def alive(self) -> Iterator[Session]:
        """The sessions that did not end, a page read at a time."""
        cursor = 0
        while True:
            sessions, cursor = self.engine.sessions(cursor, SessionFilter())
            yield from sessions
            if not cursor:
                return

    def notes(self) -> list[str]:
        """What was odd about the captures, a line each."""
        stats = self.edge.stats()
        notes = [*self.edge.damage, *_untimed(self.edge)]
        if stats.late:
            notes.append(
                f"{counted(stats.late, 'packet')} not in order: taken as late as those before"
            )
        if unfinished := self.engine.counters()["flow_l4_cksm_unfinished"]:
            notes.append(
                f"{counted(unfinished, 'packet')} captured before a network card computed the "
                "checksum: taken as right"
            )
        if stats.cut:
            notes.append(f"{counted(stats.cut, 'packet')} cut short by the capture")
        if stats.unrouted:
            notes.append(
                f"{counted(stats.unrouted, 'packet')} from sources no route leads to, such as "
                f"{text(stats.unrouted_source)}: dropped as flow_no_interface; "
                "a route or --port would say where they come in"
            )
        return notes

    def close(self) -> None:
        """Raises ReplayError where an output could not be written whole."""
        try:
            self.edge.close()
        except EdgeError as error:
            raise ReplayError(str(error)) from None

    # ---- what the engine tells

    def decided(self, decision: Decision) -> None:
        if self._observer is not None:
            self._observer.decided(decision)

    def ended(self, session: SessionView) -> None:
        self.end_reasons[session.end_reason] += 1
        if self._observer is not None:
            self._observer.ended(session)


def _untimed(edge: PcapEdge) -> list[str]:
    if not edge.untimed:
        return []
    return [f"{counted(edge.untimed, 'packet')} left out: no time between 1970 and 2200"]
