"""The traffic log: entries from sessions, and the file they are written to.

One JSON object a line, with the field names of the XML log. Times are UTC.
"""

import contextlib
import errno
import os
from datetime import UTC, datetime
from functools import lru_cache
from io import FileIO
from itertools import pairwise
from pathlib import Path

import msgspec
from msgspec import Struct, field

_PROTOCOL_NAMES = {1: "icmp", 2: "igmp", 6: "tcp", 17: "udp", 47: "gre", 50: "esp", 51: "ah"} | {
    58: "ipv6-icmp",
    89: "ospf",
    132: "sctp",
}


_OPEN_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


def protocol_name(protocol: int) -> str:
    return _PROTOCOL_NAMES.get(protocol, str(protocol))


def time_text(at_ns: int) -> str:
    """Wall clock nanoseconds as the log writes times."""
    return _second_text(at_ns // 1_000_000_000)


@lru_cache(maxsize=256)  # sessions that end together started close together
def _second_text(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y/%m/%d %H:%M:%S")


class Entry(Struct, frozen=True, gc=False):
    """One line of the log (fact sheet 8)."""

    subtype: str  # start, end, drop, deny
    time_generated: str
    start: str
    elapsed: int  # s
    sessionid: int  # 0 where a denied packet made no session
    src: str
    dst: str
    natsrc: str
    natdst: str
    sport: int
    dport: int
    natsport: int
    natdport: int
    proto: str
    from_: str = field(name="from")
    to: str
    inbound_if: str
    outbound_if: str
    app: str
    rule: str
    action: str
    bytes: int
    bytes_sent: int
    bytes_received: int
    packets: int
    pkts_sent: int
    pkts_received: int
    session_end_reason: str
    tracker_stage: str
    offloaded: int = 0
    srcuser: str = ""
    category: str = "any"
    parent_session_id: int = 0
    record: str = "traffic"


class LogFile:
    """Appends entries to a file and turns it over, so that the log never outgrows its bound.

    NAME is the newest, NAME.1 the one before, up to NAME.<keep>. What cannot be written is counted,
    never raised: a full disk must not stop packets.
    """

    def __init__(self, path: Path, *, max_bytes: int = 32 << 20, keep: int = 4) -> None:
        """Raises OSError where the file cannot be opened at all."""
        self.lost = 0
        self._path = path
        self._max_bytes = max_bytes
        self._keep = keep
        self._encoder = msgspec.json.Encoder()
        self._file: FileIO | None = self._open()

    def _open(self) -> FileIO:
        handle = os.open(self._path, _OPEN_FLAGS, 0o600)
        return FileIO(handle, "ab")  # no buffer, which would try again what was counted as lost

    def write(self, entries: list[Entry]) -> None:
        if not entries:
            return
        lines = b"".join(self._encoder.encode(entry) + b"\n" for entry in entries)
        try:
            if self._file is None:
                self._file = self._open()
            size = self._file.seek(0, os.SEEK_END)
            if self._file.write(lines) != len(lines):
                self._file.truncate(size)  # no half lines
                raise OSError(errno.ENOSPC, "disk full")
        except OSError:
            self.lost += len(entries)
            return
        if size + len(lines) >= self._max_bytes:
            with contextlib.suppress(OSError):  # written all the same; the next write tries again
                self._turn_over()

    def _turn_over(self) -> None:
        assert self._file is not None
        self._file.close()
        self._file = None
        older_ones = [Path(f"{self._path}.{number}") for number in range(1, self._keep + 1)]
        for newer, older in reversed(list(pairwise([self._path, *older_ones]))):
            if newer.exists():
                newer.replace(older)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
