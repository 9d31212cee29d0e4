"""A script through the edge that reads captures: what becomes of it is what all others must do."""

import struct
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from dataplane.edges.pcap import PcapEdge
from native import Capture
from tests.parity.scripts import Script
from tests.support.packets import NS, Firewall

# Counts packets by whether they waited, which is the edge's own affair.
_OF_THE_EDGE = "flow_parked"

RAW_IP, ETHERNET, COOKED, COOKED2, NULL = 101, 1, 113, 276, 0  # link types of libpcap


class Outcome(NamedTuple):
    """What became of a script."""

    counters: dict[str, int]  # by how much they grew
    out: dict[str, list[bytes]]  # what left by each port, in order


def moved(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    grown = {name: value - before.get(name, 0) for name, value in after.items()}
    return {name: by for name, by in grown.items() if by and name != _OF_THE_EDGE}


def frame(packet: bytes, link: int) -> bytes:
    ethertype = b"\x86\xdd" if packet[:1] >= b"\x60" else b"\x08\0"
    return {
        RAW_IP: b"",
        ETHERNET: b"\2\0\0\0\0\1\2\0\0\0\0\2" + ethertype,
        COOKED: bytes(14) + ethertype,
        COOKED2: ethertype + bytes(18),
        NULL: bytes(4),
    }[link] + packet


def _write(path: Path, packets: Iterable[tuple[int, bytes]], link: int) -> Path:
    records = [struct.pack("<IHHIIII", 0xA1B23C4D, 2, 4, 0, 0, 1 << 18, link)]
    for at_ns, data in packets:
        records.append(struct.pack("<IIII", *divmod(at_ns, NS), len(data), len(data)) + data)
    path.write_bytes(b"".join(records))
    return path


def _read(path: Path) -> list[bytes]:
    capture, found = Capture(str(path)), []
    while packets := capture.read():
        found += [packet.data for packet in packets]
    return found


def expected(script: Script, folder: Path, link: int = RAW_IP) -> Outcome:
    folder = folder / str(link)
    (folder / "out").mkdir(parents=True)
    firewall = Firewall(script.config)
    arriving: dict[str, list[tuple[int, bytes]]] = {}
    for at, (port, packet) in enumerate(script.packets, 1):
        arriving.setdefault(port, []).append((at * NS // 1000, frame(packet, link)))
    inputs = {
        port: _write(folder / f"in-{number}.pcap", packets, link)
        for number, (port, packets) in enumerate(arriving.items())
    }
    out = folder / "out"
    edge = PcapEdge(inputs, firewall.engine, out)
    while edge.run_once(len(script.packets) * NS):
        pass
    edge.close()
    assert not edge.damage
    written = {path.stem.replace("_", "/"): _read(path) for path in sorted(out.iterdir())}
    return Outcome(
        moved({}, firewall.counters()),
        {port: packets for port, packets in written.items() if packets},
    )
