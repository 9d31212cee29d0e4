"""Capture files as an edge: one per ingress port, merged by time; capture time is the clock."""

import contextlib
import heapq
from collections.abc import Iterator
from pathlib import Path

from dataplane.edges.edge import EdgeError
from dataplane.engine import Engine
from native import (
    MAX_BURST,
    Capture,
    CaptureError,
    CaptureWriter,
    LinkType,
    Packet,
    Verdict,
    VerdictAction,
)

_LINK_HEADER_BYTES = {
    LinkType.IP: 0,
    LinkType.ETHERNET: 14,
    LinkType.COOKED: 16,
    LinkType.COOKED2: 20,
    LinkType.NULL: 4,
}


class PcapEdge:
    """Feeds captures; writes what leaves, one capture per egress port, where an output folder is
    given.

    Raises EdgeError where a file cannot be opened. A file that is damaged further on is used up to
    the damage; `damage` then says which and why.
    """

    def __init__(self, inputs: dict[str, Path], engine: Engine, output: Path | None = None) -> None:
        self._engine = engine
        self.damage: list[str] = []
        self._output = output
        self._writers: dict[int, CaptureWriter] = {}
        self._waiting: dict[int, Packet] = {}
        self._next_tag = 1
        streams = []
        for port, path in inputs.items():
            try:
                streams.append(self._stream(port, path, Capture(str(path))))
            except CaptureError as error:
                raise EdgeError(f"{path}: {error}") from error
        # of packets at the same time the port named first goes first
        self._packets = heapq.merge(*streams, key=lambda item: item[1].now_ns)

    def _stream(self, port: str, path: Path, capture: Capture) -> Iterator[tuple[str, Packet]]:
        try:
            while packets := capture.read():
                for packet in packets:
                    yield port, packet
        except CaptureError as error:
            self.damage.append(f"{path}: {error}")

    def run_once(self, now_ns: int) -> bool:
        """Takes the next burst at its own times; `now_ns` is not looked at."""
        burst = []
        for port, packet in self._packets:
            tag, self._next_tag = self._next_tag, self._next_tag + 1
            numbered = packet._replace(port=self._engine.port_number(port), tag=tag)
            self._waiting[tag] = numbered
            burst.append(numbered)
            if len(burst) == MAX_BURST:
                break
        self._settle(self._engine.feed(burst, one_at_a_time=True))
        return bool(burst)

    def tick(self, now_ns: int) -> bool:
        self._settle(self._engine.tick(now_ns))
        return False

    def _settle(self, verdicts: list[Verdict]) -> None:
        own: list[Verdict] = []  # of the engine: it answers a packet right before dropping it
        for verdict in verdicts:
            if verdict.action is VerdictAction.EMIT:
                own.append(verdict)
                continue
            packet = self._waiting.pop(verdict.tag)
            for answer in own:
                assert answer.data is not None
                self._write(answer.port, answer.data, packet.now_ns)
            own.clear()
            if verdict.action is VerdictAction.FORWARD:
                data = _ip_packet(packet) if verdict.data is None else verdict.data
                self._write(verdict.port, data, packet.now_ns)

    def _write(self, port: int, data: bytes, now_ns: int) -> None:
        if self._output is None:
            return
        if port not in self._writers:
            name = self._engine.port_name(port).replace("/", "_")
            self._writers[port] = CaptureWriter(str(self._output / f"{name}.pcap"))
        self._writers[port].write(data, now_ns)

    def close(self) -> None:
        """Raises CaptureError where an output could not be written whole."""
        with contextlib.ExitStack() as stack:  # one that fails leaves the others to be closed
            for writer in self._writers.values():
                stack.callback(writer.close)


def _ip_packet(frame: Packet) -> bytes:
    """What a frame carries that was forwarded, and therefore is whole; without its padding."""
    data = frame.data[_LINK_HEADER_BYTES[frame.link] :]
    is_v4 = data[0] >> 4 == 4
    length = int.from_bytes(data[2:4]) if is_v4 else 40 + int.from_bytes(data[4:6])
    return data[:length]
