"""Captures through an engine in their own time; see engine.h for what each call promises."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, NamedTuple

from native._engine import ffi, lib
from native.captures import Capture, CaptureWriter
from native.engine import Engine
from native.packets import LinkType, Packet, Verdict, VerdictAction
from native.structs import read, table


class ReplayStop(IntEnum):
    """Why Replay.run came back."""

    END = lib.REPLAY_END  # no packet is left up to that time
    UNDECIDED = lib.REPLAY_UNDECIDED  # a packet waits for the slowpath
    EVENTS = lib.REPLAY_EVENTS  # events have piled up
    PAUSE = lib.REPLAY_PAUSE  # so many packets were fed


class ReplayStats(NamedTuple):
    packets: int  # fed
    forwarded: int
    dropped: int
    host: int  # for the machine itself
    consumed: int  # answered, or sent on in another form
    emitted: int  # the engine's own
    late: int  # earlier than a packet before them, and taken at its time
    cut: int  # of which the capture has only the start
    unrouted: int  # whose source no route leads to: dropped with flow_no_interface
    unrouted_source: bytes  # 16 bytes, of the first of them
    first_ns: int  # times of the first packet and the last; 0 without any
    last_ns: int
    now_ns: int  # of the engine's clock


FOREVER_NS = (1 << 63) - 1
_STOPS = tuple(ReplayStop)


class Replay:
    """Captures merged by time; of packets at one time, the one whose capture is named first."""

    def __init__(self, sources: Sequence[tuple[Capture, int | None]], engine: Engine) -> None:
        """Each with its packets' ingress port; None: the port the route to their source is by."""
        raw = table("replay_source", sources, _fill_source)
        replay = lib.replay_new(raw, len(sources))
        if not replay:
            raise MemoryError
        self._replay = ffi.gc(replay, lib.replay_free)
        self._stats = lib.replay_stats(replay)
        self._raw_engine = engine._engine
        self._in_use: list[object] = [engine, *sources]

    def write(self, port: int, writer: CaptureWriter) -> None:
        """Has what leaves by a port written; the writer stays open as long as this is used."""
        lib.replay_write(self._replay, port, writer._writer)
        self._in_use.append(writer)

    def run(self, until_ns: int, pause_at: int) -> ReplayStop:
        """Feeds packets no later than that, until there are so many in all or somebody is asked."""
        stop: int = lib.replay_run(self._replay, self._raw_engine, until_ns, pause_at)
        return _STOPS[stop]

    def run_timers(self, until_ns: int) -> ReplayStop:
        """Runs the timers up to then, until somebody is asked; FOREVER_NS: while sessions live."""
        stop: int = lib.replay_run_timers(self._replay, self._raw_engine, until_ns)
        return _STOPS[stop]

    def next(self) -> Packet | None:
        """A copy of the packet that is fed next; None at the end."""
        raw = lib.replay_next(self._replay, self._raw_engine)
        if not raw:
            return None
        data = ffi.buffer(raw.data, raw.len)[:]
        trusted = bool(raw.flags & lib.INPUT_CHECKSUM_TRUSTED)
        return Packet(data, raw.port, raw.now_ns, raw.tag, LinkType(raw.link), trusted)

    def last(self) -> Verdict:
        """The last verdict on a packet, without data."""
        raw = lib.replay_last(self._replay)
        return Verdict(
            VerdictAction(raw.action), raw.tag, raw.reason, raw.port, raw.session, raw.mark, None
        )

    @property
    def packets(self) -> int:
        """Fed so far."""
        count: int = self._stats.packets
        return count

    @property
    def now_ns(self) -> int:
        """Of the engine's clock."""
        time_ns: int = self._stats.now_ns
        return time_ns

    def stats(self) -> ReplayStats:
        raw = self._stats
        return read(ReplayStats, raw, unrouted_source=bytes(raw.unrouted_source))


def _fill_source(raw: Any, source: tuple[Capture, int | None]) -> None:
    capture, port = source
    raw.capture, raw.by_source, raw.port = capture._capture, port is None, port or 0
