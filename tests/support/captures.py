"""Large captures, fast and in no memory:

    python -m tests.support.captures FILE [--packets N] [--sessions N] [--payload BYTES]

TCP conversations side by side, a packet of each in turn: handshake, questions and answers of so
many bytes, and a FIN from either side. Clients are hosts of 10.0.0.0/8, the server is the one of
tests/support/packets.py. Sequence numbers and checksums are right.
"""

import argparse
import struct
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address
from pathlib import Path

from tests.support.packets import NS, SERVER

RAW_IP = 101  # link type of libpcap
DPORT = 443
SPORT = 40_000

_BLOCK_BYTES = 1 << 20
_FIN, _SYN, _PSH, _ACK = 1, 2, 8, 16
_WINDOW = 0xFFFF
_FIRST_CLIENT = int(IPv4Address("10.1.0.1"))
_HANDSHAKE, _GOODBYE = 3, 3  # packets
_HEADERS = struct.Struct("!BBHHHBBHIIHHIIHHHH")  # of IPv4 and TCP
_RECORD = struct.Struct("<IIII")
_TCP_PROTOCOL, _TTL, _DONT_FRAGMENT = 6, 64, 0x4000


def pcap_header(link: int = RAW_IP) -> bytes:
    """Of a file with nanosecond times."""
    return struct.pack("<IHHIIII", 0xA1B23C4D, 2, 4, 0, 0, 1 << 18, link)


def record(at_ns: int, data: bytes) -> bytes:
    seconds, nanoseconds = divmod(at_ns, NS)
    return _RECORD.pack(seconds, nanoseconds, len(data), len(data)) + data


def write(path: Path, packets: Iterable[tuple[int, bytes]], link: int = RAW_IP) -> Path:
    """Writes (time in ns, frame); the path may be a pipe's."""
    with path.open("wb") as file:
        block, size = [pcap_header(link)], 0
        for at_ns, data in packets:
            block.append(record(at_ns, data))
            size += len(data)
            if size > _BLOCK_BYTES:
                file.write(b"".join(block))
                block, size = [], 0
        file.write(b"".join(block))
    return path


def _folded(words: int) -> int:
    """What makes the sum of 16-bit words zero (RFC 1071)."""
    words = (words & 0xFFFF) + (words >> 16)
    return ~((words & 0xFFFF) + (words >> 16)) & 0xFFFF


def _words(*numbers: int) -> int:
    """The 16-bit words of 32-bit numbers, added."""
    return sum((number >> 16) + (number & 0xFFFF) for number in numbers)


class _Conversation:
    """Makes its packets one after the other; the payload is zeros."""

    def __init__(self, client: int, server: int, packets: int, payload: int) -> None:
        self._ends = ((client, server, SPORT, DPORT), (server, client, DPORT, SPORT))
        self._seq = [client & 0xFFFF, server & 0xFFFF]  # what each end sends next
        self._packets = packets
        self._payload = bytes(payload)
        self._addresses = _words(client, server)
        self._count = 0

    def next(self) -> bytes:
        """What follows; the ends take turns."""
        at, self._count = self._count, self._count + 1
        left = self._packets - at
        side = at & 1
        if at == 0:
            return self._segment(0, _SYN, b"", 1)
        if at == 1:
            return self._segment(1, _SYN | _ACK, b"", 1)
        if at == 2:
            return self._segment(0, _ACK, b"", 0)
        if left > _GOODBYE:
            return self._segment(side, _PSH | _ACK, self._payload, len(self._payload))
        if left == 1:
            return self._segment(side, _ACK, b"", 0)
        return self._segment(side, _FIN | _ACK, b"", 1)

    def _segment(self, side: int, flags: int, payload: bytes, taken: int) -> bytes:
        src, dst, sport, dport = self._ends[side]
        seq = self._seq[side]
        ack = self._seq[not side] if flags & _ACK else 0
        self._seq[side] = seq + taken
        length = 40 + len(payload)
        ip_words = 0x4500 + length + _DONT_FRAGMENT + (_TTL << 8 | _TCP_PROTOCOL) + self._addresses
        offset_and_flags = 5 << 12 | flags
        tcp_words = (
            self._addresses
            + _TCP_PROTOCOL
            + (length - 20)
            + (sport + dport)
            + _words(seq, ack)
            + offset_and_flags
            + _WINDOW
        )
        return (
            _HEADERS.pack(
                *(0x45, 0, length, 0, _DONT_FRAGMENT, _TTL, _TCP_PROTOCOL, _folded(ip_words)),
                *(src, dst, sport, dport, seq, ack, offset_and_flags, _WINDOW),
                *(_folded(tcp_words), 0),
            )
            + payload
        )


def conversations(
    packets: int,
    sessions: int,
    *,
    payload: int = 32,
    start_ns: int = 1_700_000_000 * NS,
    step_ns: int = 10_000,
) -> Iterator[tuple[int, bytes]]:
    """So many packets in so many sessions; at least six in each.

    => packets is a multiple of sessions
    """
    each, rest = divmod(packets, sessions)
    assert rest == 0
    assert each >= _HANDSHAKE + _GOODBYE
    server = int(IPv4Address(SERVER[4]))
    sides = [_Conversation(_FIRST_CLIENT + n, server, each, payload) for n in range(sessions)]
    at_ns = start_ns
    for _ in range(each):
        for side in sides:
            yield at_ns, side.next()
            at_ns += step_ns


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.support.captures")
    parser.add_argument("file", type=Path)
    parser.add_argument("--packets", type=int, default=1_000_000)
    parser.add_argument("--sessions", type=int, default=10_000)
    parser.add_argument("--payload", type=int, default=32)
    options = parser.parse_args()
    write(options.file, conversations(options.packets, options.sessions, payload=options.payload))


if __name__ == "__main__":
    main()
