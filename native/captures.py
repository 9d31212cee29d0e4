"""Capture files, read and written (libpcap)."""

from __future__ import annotations

import os

from native._engine import ffi, lib
from native.packets import MAX_BURST, LinkType, Packet
from native.structs import text


class CaptureError(Exception):
    """A capture file that cannot be read (on), or written; the message says why."""


class Capture:
    """A pcap or pcapng file, read in bursts."""

    def __init__(self, path: str) -> None:
        """Raises CaptureError where the file cannot be opened, or is no capture."""
        error = ffi.new("char[256]")
        capture = lib.capture_open(os.fsencode(path), error)
        if not capture:
            raise CaptureError(text(error))
        self._capture = ffi.gc(capture, lib.capture_close)
        self._inputs = ffi.new("struct input[]", MAX_BURST)

    def read(self) -> list[Packet]:
        """The next packets, port 0; an empty list at the end.

        Raises CaptureError at the place where a damaged file stops being readable.
        """
        count = lib.capture_read(self._capture, self._inputs, MAX_BURST)
        if count < 0:
            raise CaptureError(self.damage)
        return [
            Packet(ffi.buffer(raw.data, raw.len)[:], 0, raw.now_ns, 0, LinkType(raw.link))
            for raw in self._inputs[0:count]
        ]

    @property
    def damage(self) -> str:
        """Why it could not be read to its end; "" as long as it could."""
        return text(lib.capture_error(self._capture))

    @property
    def untimed(self) -> int:
        """Packets left out because their time is not between 1970 and 2200."""
        count: int = lib.capture_untimed(self._capture)
        return count

    @property
    def offset(self) -> int | None:
        """Bytes of the file read so far, None where it is a pipe."""
        offset: int = lib.capture_offset(self._capture)
        return None if offset < 0 else offset


class CaptureWriter:
    """Writes IP packets to a pcap file with nanosecond times."""

    def __init__(self, path: str) -> None:
        """Raises CaptureError where the file cannot be made."""
        error = ffi.new("char[256]")
        self._writer = lib.capture_writer_open(os.fsencode(path), error)
        if not self._writer:
            raise CaptureError(text(error))

    def write(self, data: bytes, now_ns: int) -> None:
        lib.capture_writer_write(self._writer, data, len(data), now_ns)

    def close(self) -> None:
        """Raises CaptureError where not everything could be written."""
        if self._writer:
            failed, self._writer = lib.capture_writer_close(self._writer), None
            if failed:
                raise CaptureError("the capture could not be written whole")

    def __enter__(self) -> CaptureWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
