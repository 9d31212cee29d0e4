"""Writes the capture of the ESX case: eight hours of management connections with heartbeats.

    .venv/bin/python docs/examples/esx/make_capture.py esx.pcap

A management host keeps TCP connections to four hosts. Every heartbeat is one segment that the other
side acknowledges, so each direction has one packet a beat. After eight hours it closes them.
"""

import sys
from collections.abc import Iterator
from typing import NamedTuple

from scapy.layers.inet import IP, TCP

from native import CaptureWriter

MANAGEMENT = "192.0.2.10"
NS = 1_000_000_000
START_NS = 1_366_358_400 * NS  # 2013-04-19 08:00 UTC
HOURS_8_S = 8 * 3600
HEARTBEAT = b"\x17\x03\x03\x00\x20" + bytes(32)  # a TLS record
ROUND_TRIP_S = 0.02


class Connection(NamedTuple):
    host: str
    sport: int
    dport: int
    beat_s: int


CONNECTIONS = (
    Connection("198.51.100.21", 49201, 443, 600),
    Connection("198.51.100.22", 49202, 443, 300),
    Connection("198.51.100.23", 49203, 443, 100),
    Connection("198.51.100.24", 49204, 902, 300),
)


def packets(connection: Connection) -> Iterator[tuple[float, bytes]]:
    """Seconds since the start, and an IP packet, in order."""
    host, sport, dport, beat_s = connection
    here, there = sport * 1000, sport * 2000  # the next sequence numbers
    there_header = IP(src=MANAGEMENT, dst=host), {"sport": sport, "dport": dport}
    back_header = IP(src=host, dst=MANAGEMENT), {"sport": dport, "dport": sport}

    def segment(back: bool, flags: str, payload: bytes = b"") -> bytes:
        header, ports = back_header if back else there_header
        seq, ack = (there, here) if back else (here, there)
        return bytes(header / TCP(**ports, flags=flags, seq=seq, ack=ack, window=65000) / payload)

    at_s = sport % 10 / 10  # not all at once
    yield at_s, segment(False, "S")
    here += 1
    yield at_s + ROUND_TRIP_S, segment(True, "SA")
    there += 1
    yield at_s + 2 * ROUND_TRIP_S, segment(False, "A")
    for beat_at_s in range(beat_s, HOURS_8_S, beat_s):
        yield at_s + beat_at_s, segment(False, "PA", HEARTBEAT)
        here += len(HEARTBEAT)
        yield at_s + beat_at_s + ROUND_TRIP_S, segment(True, "A")
    yield at_s + HOURS_8_S, segment(False, "FA")
    here += 1
    yield at_s + HOURS_8_S + ROUND_TRIP_S, segment(True, "FA")
    there += 1
    yield at_s + HOURS_8_S + 2 * ROUND_TRIP_S, segment(False, "A")


def main(path: str) -> None:
    everything = [packet for connection in CONNECTIONS for packet in packets(connection)]
    with CaptureWriter(path) as writer:
        for at_s, data in sorted(everything):
            writer.write(data, START_NS + round(at_s * NS))
    print(f"{path}: {len(everything)} packets, {len(CONNECTIONS)} connections, 8 hours")


if __name__ == "__main__":
    main(*sys.argv[1:2] or ["esx.pcap"])
