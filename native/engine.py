"""One engine and its calls."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

from native._engine import ffi, lib
from native.configuration import EngineConfig, engine_config
from native.fib import Fib
from native.lists import ACTION_NUMBERS, COUNTER_NUMBERS, COUNTERS
from native.packets import MAX_BURST, Packet, Verdict, VerdictAction
from native.sessions import (
    Event,
    Filter,
    SessionView,
    TcpLimits,
    read_events,
    read_sessions,
    session_filter,
)
from native.structs import read
from native.threats import (
    Blocked,
    DosStats,
    Threat,
    ZoneStats,
    read_blocks,
    read_dos_stats,
    read_threats,
    read_zone_stats,
)
from native.undecided import DropReason, SessionSpec, Undecided, pack_spec, read_undecided

_PAGE = 512  # events, undecided packets or sessions taken from C at once


class Stats(NamedTuple):
    max_sessions: int
    allocated: int
    tcp: int
    udp: int
    icmp: int
    other: int
    discard: int
    offloaded: int  # sessions in the offload engine
    translated: int  # sessions whose packets are rewritten
    undecided: int
    held: int
    installed: int
    aging_accelerated: bool
    fragments: int  # held until their datagrams are complete
    fragment_bytes: int
    packets: int
    bytes: int


class Engine:
    """One engine: sessions, timers and verdicts. See engine.h for what each call promises."""

    def __init__(
        self,
        *,
        hash_key: bytes,
        now_ns: int,
        max_sessions: int = 262_144,
        max_offloaded: int | None = None,
        max_undecided: int = 1024,
        max_held: int = 2048,
        max_fragments: int = 8192,
        max_events: int = 65_536,
        answer_timeout_ms: int = 1000,
    ) -> None:
        """As many sessions can be offloaded as there can be unless told.

        Raises ValueError for sizes that make no sense and OSError where memory is short.
        """
        if len(hash_key) != 16:
            raise ValueError(f"hash_key has {len(hash_key)} bytes, not 16")
        params = ffi.new("struct engine_params *")
        params.max_sessions, params.max_undecided = max_sessions, max_undecided
        params.max_offloaded = max_sessions if max_offloaded is None else max_offloaded
        params.max_held, params.max_events = max_held, max_events
        params.max_fragments = max_fragments
        params.answer_timeout_ms, params.now_ns = answer_timeout_ms, now_ns
        ffi.memmove(params.hash_key, hash_key, 16)
        engine = lib.engine_new(params)
        if not engine:
            if ffi.errno == errno.EINVAL:
                raise ValueError(
                    "engine sizes must be positive, max_events a power of two, "
                    "max_offloaded not above max_sessions"
                )
            raise OSError(ffi.errno, os.strerror(ffi.errno))
        self._engine = ffi.gc(engine, lib.engine_free)
        self._inputs = ffi.new("struct input[]", MAX_BURST)
        self._given: list[Any] = []  # data of packets without a verdict, alive until then
        self._undecided = ffi.new("struct undecided[]", _PAGE)
        self._events = ffi.new("struct event[]", _PAGE)
        self._threats = ffi.new("struct threat[]", _PAGE)
        self._views = ffi.new("struct session_view[]", _PAGE)
        self._spec = ffi.new("struct session_spec *")
        self._spec_buffer = ffi.buffer(self._spec)
        self._count = ffi.new("uint32_t *")
        self._counters = lib.engine_counters(self._engine)

    def configure(self, config: EngineConfig) -> None:
        """Raises ValueError where a figure is out of range; the old configuration stays."""
        raw, kept = engine_config(config)
        if lib.engine_configure(self._engine, raw):
            if len(config.ports) > lib.MAX_PORTS:
                raise ValueError(f"more than {lib.MAX_PORTS - 1} ports")
            raise ValueError(
                "accelerated aging, offload profile, virtual router or protection out of range"
            )
        del kept  # until here the tables are the caller's

    def set_fibs(self, fibs: Sequence[Fib]) -> None:
        """Where packets of live sessions go from now on, a table for each virtual router."""
        lib.engine_set_fibs(self._engine, [fib._fib for fib in fibs], len(fibs))
        self._fibs = fibs  # alive as long as the engine asks them

    def input(self, burst: Sequence[Packet], *, stop_when_undecided: bool = False) -> int:
        """Feeds at most MAX_BURST packets; returns how many were taken."""
        if len(burst) > MAX_BURST:
            burst = burst[:MAX_BURST]
        for raw, packet in zip(self._inputs, burst, strict=False):
            data = ffi.from_buffer("uint8_t[]", bytearray(packet.data))
            self._given.append(data)
            raw.tag, raw.data, raw.len = packet.tag, data, len(packet.data)
            raw.port, raw.link, raw.now_ns = packet.port, packet.link, packet.now_ns
            raw.flags = packet.flags | (
                lib.INPUT_CHECKSUM_TRUSTED if packet.checksum_trusted else 0
            )
            raw.egress, raw.mac = packet.egress, packet.mac
        taken: int = lib.engine_input(self._engine, self._inputs, len(burst), stop_when_undecided)
        return taken

    def verdicts(self) -> list[Verdict]:
        """Takes the verdicts reached since the last call, in order."""
        raw = lib.engine_verdicts(self._engine, self._count)
        result = [
            Verdict(
                VerdictAction(item.action),
                item.tag,
                item.reason,
                item.port,
                item.session,
                item.mark,
                ffi.buffer(item.data, item.len)[:] if item.changed else None,
                bytes(item.mac),
                item.is_pinned,
            )
            for item in raw[0 : self._count[0]]
        ]
        self._given.clear()
        return result

    def undecided(self) -> list[Undecided]:
        """Takes the packets that wait for an answer and were not handed out yet."""
        count = lib.engine_undecided(self._engine, self._undecided, _PAGE)
        return read_undecided(self._undecided, count)

    def install(self, handle: int, spec: SessionSpec) -> int:
        """Answers a handle with a session: its id, or 0 where none was made.

        Raises KeyError for a handle that is not outstanding (any more).
        """
        pack_spec(self._spec_buffer, spec)
        result: int = lib.engine_install(self._engine, handle, self._spec)
        self._check(result, handle)
        return result

    def refuse(self, handle: int, reason: DropReason) -> None:
        """Answers a handle with a drop. Raises KeyError like install."""
        self._check(lib.engine_refuse(self._engine, handle, reason), handle)

    @staticmethod
    def _check(result: int, handle: int) -> None:
        if result == -errno.ENOENT:
            raise KeyError(f"handle {handle} is not outstanding")
        if result < 0:
            raise ValueError("the answer makes no sense")

    def tick(self, now_ns: int) -> None:
        lib.engine_tick(self._engine, now_ns)

    def next_timer_ns(self) -> int | None:
        """When tick has work at the earliest, None where there is none."""
        due: int = lib.engine_next_timer_ns(self._engine)
        return None if due == (1 << 63) - 1 else due

    def events(self) -> list[Event]:
        """Takes a page of events; an empty list says there are no more."""
        count = lib.engine_events(self._engine, self._events, _PAGE)
        return read_events(self._events, count)

    def threats(self) -> list[Threat]:
        """Takes a page of threats; an empty list says there are no more."""
        count = lib.engine_threats(self._engine, self._threats, _PAGE)
        return read_threats(self._threats, count)

    def zone_stats(self, zone: int) -> ZoneStats | None:
        """What the protection of a zone has done; None where it has none."""
        raw = ffi.new("struct zone_stats *")
        if lib.engine_zone_stats(self._engine, zone, raw):
            return None
        return read_zone_stats(raw)

    def dos_stats(self, rule: int) -> DosStats | None:
        """What a DoS rule has done, by its number; None where there is no such rule."""
        raw = ffi.new("struct dos_stats *")
        if lib.engine_dos_stats(self._engine, rule, raw):
            return None
        return read_dos_stats(raw)

    def dos_in_force(self, rule: int, in_force: bool) -> None:
        """A rule out of its schedule is passed over."""
        lib.engine_dos_in_force(self._engine, rule, in_force)

    def blocks(self, cursor: int = 0) -> tuple[list[Blocked], int]:
        """A page of the block table and the cursor to go on with, 0 at the end."""
        raw = ffi.new("struct blocked_source[]", _PAGE)
        self._count[0] = cursor
        found = lib.engine_blocks(self._engine, self._count, raw, _PAGE)
        return read_blocks(raw, found), self._count[0]

    def unblock(self, source: bytes | None = None) -> int:
        """Takes a source (16 bytes), or all, out of the block table; how many entries."""
        count: int = lib.engine_unblock(self._engine, ffi.NULL if source is None else source)
        return count

    def sessions(
        self, cursor: int = 0, *, matching: Filter | None = None, scan: int = 65_536
    ) -> tuple[list[SessionView], int]:
        """A page of live sessions and the cursor to go on with, 0 at the end."""
        raw = session_filter(matching or Filter())
        self._count[0] = cursor
        found = lib.engine_sessions(self._engine, self._count, scan, raw, self._views, _PAGE)
        return read_sessions(self._views, found), self._count[0]

    def session(self, session_id: int) -> SessionView | None:
        """A session by id; a free slot shows its last one, None where it was never used."""
        if lib.engine_session(self._engine, session_id, self._views):
            return None
        (session,) = read_sessions(self._views, 1)
        return session

    def tcp_limits(self, session_id: int) -> tuple[TcpLimits, TcpLimits] | None:
        """What each direction may send, c2s first; None where there is no such TCP session."""
        raw = ffi.new("struct tcp_limits[2]")
        if lib.engine_tcp_limits(self._engine, session_id, raw):
            return None
        return read(TcpLimits, raw[0]), read(TcpLimits, raw[1])

    def clear(self, session_id: int) -> bool:
        """Ends a session; False where there is none of that id."""
        cleared: bool = lib.engine_clear(self._engine, session_id) == 0
        return cleared

    def deny(self, session_id: int, action: str, rule: int) -> bool:
        """Makes an active session one that is denied for `rule`; False where there is none."""
        denied: bool = lib.engine_deny(self._engine, session_id, ACTION_NUMBERS[action], rule) == 0
        return denied

    def nat_lease(self, pool: int, size: int, source: bytes) -> int | None:
        """The number below `size` that is a source's own in a pool; None where all are taken."""
        index: int = lib.engine_nat_lease(self._engine, pool, size, source)
        return None if index < 0 else index

    def nat_leases(self, pool: int) -> int:
        """Leases in force of a pool."""
        count: int = lib.engine_nat_leases(self._engine, pool)
        return count

    def nat_ports(self, address: bytes) -> int:
        """Sessions that have a port of this address (16 bytes)."""
        count: int = lib.engine_nat_ports(self._engine, address)
        return count

    def nat_target(self, target: int) -> int:
        """Live sessions that are counted there."""
        count: int = lib.engine_nat_target(self._engine, target)
        return count

    def stats(self) -> Stats:
        raw = ffi.new("struct engine_stats *")
        lib.engine_stats(self._engine, raw)
        return read(Stats, raw)

    def count(self, counter: str, by: int) -> None:
        """Adds to a global counter what was counted elsewhere."""
        lib.engine_count(self._engine, COUNTER_NUMBERS[counter], by)

    def counters(self) -> dict[str, int]:
        """Every global counter by name."""
        return {info.name: self._counters[info.number] for info in COUNTERS}
