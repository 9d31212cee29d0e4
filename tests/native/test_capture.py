"""Capture files, written by scapy and read by the engine, and the other way round; damaged ones."""

import os
import stat
import struct
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP
from scapy.layers.l2 import CookedLinux, CookedLinuxV2, Ether, Loopback
from scapy.utils import PcapNgWriter, PcapReader, PcapWriter

from native import MAX_BURST, Capture, CaptureError, CaptureWriter, LinkType, Packet
from tests.support.packets import udp

# scapy's name of the link type, and ours
ETHERNET, RAW, COOKED, COOKED2, NULL = 1, 101, 113, 276, 0


def write_pcap(path: Path, frames: Sequence[tuple[float, bytes]], link: int = RAW) -> Path:
    content = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 1 << 18, link)
    for at_s, data in frames:
        content += (
            struct.pack("<IIII", int(at_s), round(at_s % 1 * 1e6), len(data), len(data)) + data
        )
    path.write_bytes(content)
    return path


def read_all(path: Path) -> list[Packet]:
    capture, packets = Capture(str(path)), []
    while burst := capture.read():
        assert len(burst) <= MAX_BURST
        packets += burst
    assert capture.read() == []
    return packets


IP_PACKET = udp()
LINKS = [
    pytest.param(RAW, LinkType.IP, b"", id="raw"),
    pytest.param(228, LinkType.IP, b"", id="IPv4"),
    pytest.param(229, LinkType.IP, b"", id="IPv6"),
    pytest.param(ETHERNET, LinkType.ETHERNET, bytes(Ether(type=0x800)), id="Ethernet"),
    pytest.param(COOKED, LinkType.COOKED, bytes(CookedLinux(proto=0x800)), id="cooked"),
    pytest.param(COOKED2, LinkType.COOKED2, bytes(CookedLinuxV2(proto=0x800)), id="cooked 2"),
    pytest.param(NULL, LinkType.NULL, bytes(Loopback(type=2)), id="null"),
    pytest.param(108, LinkType.NULL, b"\0\0\0\2", id="loop"),
]


@pytest.mark.parametrize(("written", "link", "header"), LINKS)
def test_link_types(written: int, link: LinkType, header: bytes, tmp_path: Path) -> None:
    path = write_pcap(tmp_path / "a.pcap", [(3.25, header + IP_PACKET)], written)
    assert read_all(path) == [Packet(header + IP_PACKET, 0, 3_250_000_000, 0, link)]


def test_link_types_nobody_knows(tmp_path: Path) -> None:
    path = write_pcap(tmp_path / "a.pcap", [(1, b"x")], 105)
    with pytest.raises(CaptureError) as caught:
        Capture(str(path))
    assert str(caught.value) == (
        "link type IEEE802_11 is not supported: Ethernet, raw IP, Linux cooked or null is"
    )


def test_nanoseconds(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    with PcapWriter(str(path), linktype=RAW, nano=True) as writer:
        writer.write_header(None)
        writer.write_packet(b"x", sec=5, usec=7)
    assert [packet.now_ns for packet in read_all(path)] == [5_000_000_007]


def test_pcapng(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    packet = IP(IP_PACKET)
    packet.time = 7.5
    with PcapNgWriter(str(path)) as writer:
        writer.write(packet)
    assert [(p.data, p.now_ns) for p in read_all(path)] == [(IP_PACKET, 7_500_000_000)]


def test_bursts(tmp_path: Path) -> None:
    frames = [(number, bytes([number % 256])) for number in range(2 * MAX_BURST + 3)]
    packets = read_all(write_pcap(tmp_path / "a.pcap", frames))
    assert [packet.data for packet in packets] == [data for _, data in frames]


def test_the_longest_packets_come_whole(tmp_path: Path) -> None:
    """IPv6 announces up to 65,535 bytes behind its header, and a link layer comes before it."""
    longest = 20 + 40 + 65535
    path = write_pcap(tmp_path / "a.pcap", [(1, bytes(longest)), (1, bytes(longest + 9))], COOKED2)
    assert [len(packet.data) for packet in read_all(path)] == [longest, longest]


def test_empty_captures(tmp_path: Path) -> None:
    assert read_all(write_pcap(tmp_path / "none.pcap", [])) == []
    assert [p.data for p in read_all(write_pcap(tmp_path / "short.pcap", [(1, b"")]))] == [b""]


NO_CAPTURES = [
    pytest.param(b"", "truncated", id="nothing"),
    pytest.param(b"\xd4\xc3\xb2", "truncated", id="three bytes"),
    pytest.param(b"hello, world, this is no capture file at all", "unknown file format", id="text"),
    pytest.param(b"\xd4\xc3\xb2\xa1\2\0\4\0", "truncated", id="half a header"),
    pytest.param(b"\xd4\xc3\xb2\xa1\x09\0\4\0" + bytes(16), "version", id="another version"),
    pytest.param(b"\x0a\x0d\x0d\x0a\x08\0\0\0\x4d\x3c\x2b\x1a", "length", id="pcapng, too short"),
]


@pytest.mark.parametrize(("content", "word"), NO_CAPTURES)
def test_files_that_are_no_captures(content: bytes, word: str, tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    path.write_bytes(content)
    with pytest.raises(CaptureError, match=word) as caught:
        Capture(str(path))
    assert "\n" not in str(caught.value)


def test_files_that_are_no_files(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="No such file"):
        Capture(str(tmp_path / "missing"))
    with pytest.raises(CaptureError, match="Is a directory"):
        Capture(str(tmp_path))


def test_what_comes_before_the_damage_is_given(tmp_path: Path) -> None:
    path = write_pcap(tmp_path / "a.pcap", [(1, b"one"), (2, b"two"), (3, b"three")])
    path.write_bytes(path.read_bytes()[:-1])
    capture = Capture(str(path))
    assert [packet.data for packet in capture.read()] == [b"one", b"two"]
    for _ in range(2):
        with pytest.raises(CaptureError, match="truncated dump file"):
            capture.read()


@pytest.mark.parametrize("seconds", [2**33, 2**34, 2**62 // 10**6, 2**64 // 10**6 - 1])
def test_times_that_cannot_be(seconds: int, tmp_path: Path) -> None:
    """pcapng counts microseconds in 64 bits: 584,000 years."""
    path = tmp_path / "a.pcapng"
    first, second = IP(IP_PACKET), IP(IP_PACKET)
    first.time, second.time = 1, 1
    with PcapNgWriter(str(path)) as writer:
        writer.write(first)
        writer.write(second)
    content = bytearray(path.read_bytes())
    ticks = seconds * 10**6
    at = content.rindex((10**6).to_bytes(4, "little")) - 4
    content[at : at + 8] = (ticks >> 32).to_bytes(4, "little") + (ticks % 2**32).to_bytes(
        4, "little"
    )
    path.write_bytes(content)
    capture = Capture(str(path))
    assert [packet.now_ns for packet in capture.read()] == [1_000_000_000]
    assert capture.read() == []
    assert capture.untimed == 1


@pytest.mark.parametrize(("seconds", "micros"), [(2**31, 0), (0, 2**32 - 1)])
def test_pcap_times_that_cannot_be(seconds: int, micros: int, tmp_path: Path) -> None:
    path = write_pcap(tmp_path / "a.pcap", [])
    bad, good = (
        struct.pack("<IIII", *at, 1, 1) + byte
        for at, byte in (((seconds, micros), b"x"), ((1, 0), b"y"))
    )
    path.write_bytes(path.read_bytes() + bad + good)
    capture = Capture(str(path))
    assert [packet.data for packet in capture.read()] == [b"y"]
    assert (capture.untimed, capture.read()) == (1, [])


PCAP_HEADER = bytes.fromhex("d4c3b2a1 02000400 00000000 00000000 ffff0000 65000000")
PCAPNG_HEADER = bytes.fromhex(
    "0a0d0d0a 1c000000 4d3c2b1a 01000000 ffffffffffffffff 1c000000"
    "01000000 14000000 65000000 ffff0000 14000000"
)


@given(st.sampled_from([b"", PCAP_HEADER, PCAPNG_HEADER]), st.binary(max_size=300))
def test_any_bytes_are_packets_or_an_error(header: bytes, content: bytes) -> None:
    handle = os.memfd_create("capture")
    try:
        os.write(handle, header + content)
        capture = Capture(f"/proc/self/fd/{handle}")
        while packets := capture.read():
            assert all(packet.now_ns < 2**63 for packet in packets)
    except CaptureError as error:
        assert str(error)  # noqa: PT017
    finally:
        os.close(handle)


# ---- written -------------------------------------------------------------------------------------


def test_scapy_reads_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "out.pcap"
    with CaptureWriter(str(path)) as writer:
        writer.write(udp(), 1_000_000_001)
        writer.write(udp(6), 2_500_000_000)
    with PcapReader(str(path)) as reader:
        packets = list(reader)
    assert [bytes(packet) for packet in packets] == [udp(), udp(6)]
    assert [int(packet.time * 10**9) for packet in packets] == [1_000_000_001, 2_500_000_000]
    assert [(p.data, p.now_ns) for p in read_all(path)] == [
        (udp(), 1_000_000_001),
        (udp(6), 2_500_000_000),
    ]


def test_outputs_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="No such file"):
        CaptureWriter(str(tmp_path / "missing" / "out.pcap"))


@pytest.mark.parametrize("packets", [0, 1, 1000])
def test_a_full_disk_is_an_error_at_the_end(packets: int) -> None:
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)
    writer = CaptureWriter("/dev/full")
    for _ in range(packets):
        writer.write(bytes(100), 0)
    with pytest.raises(CaptureError, match="could not be written whole"):
        writer.close()
    writer.close()  # and that was that
