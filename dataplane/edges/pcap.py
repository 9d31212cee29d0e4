"""Capture files as an edge: capture time is the clock.

Either one capture per ingress port, merged by time, or a single one from the client's side, where
a packet's ingress port is the one by which the route to its source leaves.
"""

import contextlib
from collections.abc import Mapping
from pathlib import Path

from dataplane.edges.edge import EdgeError
from dataplane.engine import Engine
from native import (
    FOREVER_NS,
    Capture,
    CaptureError,
    CaptureWriter,
    Packet,
    Replay,
    ReplayStats,
    ReplayStop,
    Verdict,
)

_PIECE = 65_536  # packets fed by one call


class PcapEdge:
    """Feeds captures; writes what leaves, one capture per port in a zone, where an output folder is
    given.

    A file that is damaged is used up to the damage, one that is no capture not at all; `damage`
    says which and why.
    """

    def __init__(
        self, inputs: Mapping[str, Path] | Path, engine: Engine, output: Path | None = None
    ) -> None:
        """Raises EdgeError where none of the files can be read, or an output not be made.

        => the engine is configured
        """
        self._engine = engine
        self._captures: list[tuple[Path, Capture, int]] = []  # with the files' sizes
        self._refused: list[str] = []
        files = {None: inputs} if isinstance(inputs, Path) else inputs
        sources = []
        for port, path in files.items():
            if capture := self._open(path):
                sources.append((capture, None if port is None else engine.port_number(port)))
        if files and not sources:
            raise EdgeError("; ".join(self._refused))
        self._replay = Replay(sources, engine.native)
        self._writers: list[tuple[Path, CaptureWriter]] = []
        if output:
            zoned = [port.name for port in engine.snapshot.ports if port.zone]
            for name in zoned:
                self._write(name, output / output_name(name))

    def _open(self, path: Path) -> Capture | None:
        try:
            capture = Capture(str(path))
        except CaptureError as error:
            hint = "; unpack it first" if _is_packed(path) else ""
            self._refused.append(f"{path}: {error}{hint}")
            return None
        size = path.stat().st_size if path.is_file() else 0
        self._captures.append((path, capture, size))
        return capture

    def _write(self, port: str, path: Path) -> None:
        try:
            writer = CaptureWriter(str(path))
        except CaptureError as error:
            raise EdgeError(f"{path}: {error}") from error
        self._writers.append((path, writer))
        self._replay.write(self._engine.port_number(port), writer)

    def run_once(self, now_ns: int) -> bool:
        """Feeds a piece of the packets up to now_ns, at their own times; False when all are fed."""
        pause_at = self._replay.packets + _PIECE
        while (stop := self._replay.run(now_ns, pause_at)) is ReplayStop.UNDECIDED:
            self._engine.decide_waiting()
        self._read_events()
        return stop is not ReplayStop.END

    def _read_events(self) -> None:
        while self._engine.advance(self._replay.now_ns):
            pass

    def tick(self, now_ns: int) -> bool:
        """With native.FOREVER_NS: until no session lives any more."""
        stop = self._replay.run_timers(now_ns)
        self._read_events()
        return stop is not ReplayStop.END

    def next(self) -> Packet | None:
        """The packet that step feeds; None where all are fed."""
        return self._replay.next()

    def step(self) -> Verdict:
        """Feeds one packet; its verdict."""
        pause_at = self._replay.packets + 1
        while self._replay.run(FOREVER_NS, pause_at) is not ReplayStop.PAUSE:
            self._engine.decide_waiting()
            self._engine.advance(self._replay.now_ns)
        self._engine.advance(self._replay.now_ns)
        return self._replay.last()

    @property
    def damage(self) -> list[str]:
        """A line for each file that could not be read, or not to its end."""
        return [
            *self._refused,
            *(_damage(*read) for read in self._captures if read[1].damage),
        ]

    @property
    def untimed(self) -> int:
        """Packets left out because their time is not between 1970 and 2200."""
        return sum(capture.untimed for _, capture, _ in self._captures)

    @property
    def bytes_read(self) -> int:
        """Of the files; pipes do not count."""
        return sum(capture.offset or 0 for _, capture, _ in self._captures)

    def stats(self) -> ReplayStats:
        return self._replay.stats()

    def close(self) -> None:
        """Raises EdgeError where an output could not be written whole."""
        failed = []
        for path, writer in self._writers:
            with contextlib.suppress(CaptureError):
                writer.close()
                continue
            failed.append(str(path))
        if failed:
            raise EdgeError(f"{', '.join(failed)}: not everything could be written")


def _damage(path: Path, capture: Capture, size: int) -> str:
    offset = capture.offset
    where = "" if offset is None else f"; read up to byte {offset:,} of {size:,}"
    return f"{path}: {capture.damage}{where}"


def _is_packed(path: Path) -> bool:
    """By gzip, zstd, bzip2 or xz."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4).startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zX"))


def output_name(port: str) -> str:
    """Of the capture of what leaves by a port."""
    return f"{port.replace('/', '_')}.pcap"
