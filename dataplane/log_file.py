"""A log's file: one JSON object a line, turned over, so that it never outgrows its bound."""

import contextlib
import errno
import os
from collections.abc import Sequence
from io import FileIO
from itertools import pairwise
from pathlib import Path

import msgspec
from msgspec import Struct

_OPEN_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


class LogFile:
    """Appends entries to a file and turns it over.

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

    def write(self, entries: Sequence[Struct]) -> None:
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
