"""The NFQUEUE loop: packets of the kernel's queue through an engine, without coming to Python."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from native._engine import ffi, lib
from native.engine import Engine
from native.structs import read, table, text


class NfqueueError(Exception):
    """The queue cannot be had, or broke; the message is one line that says why."""


class NfqueueStats(NamedTuple):
    """What the loop counts itself; see engine.h."""

    packets: int
    bursts: int
    malformed: int
    refused: int
    cut: int
    send_failed: int
    emit_failed: int


_NFQUEUE_MODES = {
    "engine": lib.NFQUEUE_ENGINE,
    "accept": lib.NFQUEUE_ACCEPT,
    "rewrite": lib.NFQUEUE_REWRITE,
}


class Nfqueue:
    """The NFQUEUE loop. run() belongs in a thread of its own, every other call in another."""

    def __init__(
        self,
        number: int,
        engine: Engine | None,
        *,
        mode: str = "engine",
        fail_open: bool = False,
        queue_packets: int = 16_384,
        opening_packets: int = 2048,  # a few milliseconds of a flood
        socket_bytes: int = 64 << 20,
    ) -> None:
        """Binds the queue, and the next one, for segments that open connections. Modes "accept" and
        "rewrite" pass everything and need no engine.

        Raises NfqueueError.
        """
        params = ffi.new("struct nfqueue_params *")
        params.queue, params.mode, params.fail_open = number, _NFQUEUE_MODES[mode], fail_open
        params.queue_packets, params.opening_packets = queue_packets, opening_packets
        params.socket_bytes = socket_bytes
        error = ffi.new("char[256]")
        self._engine = engine  # kept alive as long as the loop may use it
        queue = lib.nfqueue_open(params, ffi.NULL if engine is None else engine._engine, error)
        if not queue:
            raise NfqueueError(text(error))
        self._queue = ffi.gc(queue, lib.nfqueue_close)

    def run(self) -> None:
        """Takes packets until stop(). Raises NfqueueError where the queue breaks."""
        error = ffi.new("char[256]")
        if lib.nfqueue_run(self._queue, error):
            raise NfqueueError(text(error))

    def stop(self) -> None:
        lib.nfqueue_stop(self._queue)

    def wake(self) -> None:
        """Has the loop send the verdicts this thread's answers and ticks have reached."""
        lib.nfqueue_wake(self._queue)

    def fileno(self) -> int:
        """Readable when packets wait for the slowpath or events have piled up."""
        descriptor: int = lib.nfqueue_bell(self._queue)
        return descriptor

    def hear(self) -> None:
        """Silences the bell; to be called before looking."""
        lib.nfqueue_hear(self._queue)

    def set_ports(self, ports: Sequence[tuple[int, int, bool]]) -> None:
        """Every port: Linux interface index, port number, whether its routes are not in main."""
        raw = table("nfqueue_port", ports, _fill_port)
        if lib.nfqueue_set_ports(self._queue, raw, len(ports)):
            raise MemoryError

    def set_fail_open(self, fail_open: bool) -> None:
        if lib.nfqueue_set_fail_open(self._queue, fail_open):
            raise NfqueueError("the queue does not take its flags")

    def stats(self) -> NfqueueStats:
        raw = ffi.new("struct nfqueue_stats *")
        lib.nfqueue_stats(self._queue, raw)
        return read(NfqueueStats, raw)

    def close(self) -> None:
        """Gives the queue back; what waits in it is dropped. run() must have returned."""
        ffi.release(self._queue)


def _fill_port(raw: Any, port: tuple[int, int, bool]) -> None:
    raw.ifindex, raw.port, raw.own_table = port
