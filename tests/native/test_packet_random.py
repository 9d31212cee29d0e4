"""Random packets: the parser reads of them what scapy does; and what is made of changed ones."""

import socket
from typing import Any, NamedTuple

from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.layers.inet6 import (
    HAO,
    HBHOptUnknown,
    ICMPv6EchoRequest,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    fragment6,
)
from scapy.layers.l2 import CookedLinux, Dot1Q, Ether
from scapy.packet import Packet as Layers
from scapy.packet import Raw

from native import PROTECTIONS, CounterInfo, LinkType, Packet, PacketInfo, describe

V4_MAPPED = bytes(10) + b"\xff\xff"
TCP_FLAGS = ("S", "SA", "SPE", "A", "PA", "AU", "FA", "FPAU", "R", "RA", "AEC")
TRAITS = {known.name: 1 << number for number, known in enumerate(PROTECTIONS)}


def bits(count: int) -> st.SearchStrategy[int]:
    return st.integers(0, 2**count - 1)


# ---- valid packets -------------------------------------------------------------------------------


def _v4_host(rest: bytes, first: int) -> str:
    return socket.inet_ntop(socket.AF_INET, bytes([first]) + rest)


def _v6_host(rest: bytes) -> str:
    return socket.inet_ntop(socket.AF_INET6, b"\x20\x01" + rest)


v4_hosts = st.builds(
    _v4_host, st.binary(min_size=3, max_size=3), st.integers(1, 223).filter(lambda n: n != 127)
)
v6_hosts = st.builds(_v6_host, st.binary(min_size=14, max_size=14))
ports = st.integers(1, 65535)
payloads = st.binary(max_size=40)

v4_options = st.sampled_from(
    [
        b"",
        b"\1",
        b"\x94\4\0\0",
        b"\x44\x08\5\0\0\0\0\0",
        b"\x83\7\10\xc0\0\2\1\0",
        b"\x99\6abcd\1\1",
    ]
)
tlvs = st.lists(
    st.builds(
        HBHOptUnknown,
        otype=st.sampled_from([0x1E, 0x3E, 0x5E, 0xDE]),
        optdata=st.binary(max_size=9),
    ),
    max_size=3,
)


@st.composite
def routings(draw: Any) -> Layers:
    """Of type 0, whose addresses say where the packet ends; of others, having been there."""
    addresses = draw(st.lists(v6_hosts, max_size=3))
    if draw(st.booleans()):
        return IPv6ExtHdrRouting(addresses=addresses, segleft=len(addresses))
    return IPv6ExtHdrRouting(type=draw(bits(8)), addresses=addresses, segleft=0)


extensions = st.one_of(
    st.builds(IPv6ExtHdrDestOpt, options=tlvs),
    st.builds(lambda home: IPv6ExtHdrDestOpt(options=[HAO(hoa=home)]), v6_hosts),
    routings(),
    st.builds(IPv6ExtHdrFragment, id=bits(32)),  # of a whole packet
)


@st.composite
def segments(draw: Any, family: int) -> Layers:
    """Layer 4 and what it carries."""
    tcp = st.builds(
        TCP,
        sport=ports,
        dport=ports,
        flags=st.sampled_from(TCP_FLAGS),
        seq=bits(32),
        ack=bits(32),
        window=bits(16),
        urgptr=bits(16),
        options=st.sampled_from([[], [("MSS", 1460)], [("NOP", None), ("WScale", 7)]]),
    )
    udp = st.builds(UDP, sport=bits(16), dport=bits(16))
    echo = st.builds(ICMP if family == 4 else ICMPv6EchoRequest, id=bits(16), seq=bits(16))
    segment, data = draw(st.one_of(tcp, udp, echo)), draw(payloads)
    return segment / Raw(data) if data else segment


@st.composite
def v4_packets(draw: Any) -> Layers:
    options = draw(v4_options)
    header = IP(
        src=draw(v4_hosts),
        dst=draw(v4_hosts),
        ttl=draw(st.integers(1, 255)),
        tos=draw(bits(8)),
        id=draw(bits(16)),
        flags=draw(st.sampled_from(["", "DF"])),
        options=options + bytes(-len(options) % 4),
    )
    return header / draw(segments(4))


@st.composite
def v6_packets(draw: Any) -> Layers:
    packet = IPv6(
        src=draw(v6_hosts),
        dst=draw(v6_hosts),
        hlim=draw(st.integers(1, 255)),
        tc=draw(bits(8)),
        fl=draw(bits(20)),
    )
    if draw(st.booleans()):
        packet /= IPv6ExtHdrHopByHop(options=draw(tlvs))
    one_of_each = st.lists(extensions, max_size=4, unique_by=_kind)
    for extension in draw(one_of_each):
        packet /= extension.copy()
    return packet / draw(segments(6))


def _kind(extension: Layers) -> tuple[type, bool]:
    has_home = isinstance(extension, IPv6ExtHdrDestOpt) and any(
        isinstance(option, HAO) for option in extension.options
    )
    return type(extension), has_home


packets = st.one_of(v4_packets(), v6_packets()).filter(lambda packet: packet.src != packet.dst)


class Frame(NamedTuple):
    data: bytes
    link: LinkType
    tag: int


@st.composite
def frames(draw: Any, packet: Layers) -> Frame:
    link = draw(st.sampled_from([LinkType.IP, LinkType.ETHERNET, LinkType.COOKED]))
    tag = draw(st.integers(0, 4094))
    if link is LinkType.IP:
        return Frame(bytes(packet), link, 0)
    head = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    if link is LinkType.COOKED:
        head = CookedLinux(src=b"\2\0\0\0\0\1\0\0")
    if draw(st.booleans()):
        head /= Dot1Q(vlan=tag, prio=draw(bits(3)), dei=draw(bits(1)))
    else:
        tag = 0
    return Frame(bytes(head / packet), link, tag)


# ---- what scapy reads ----------------------------------------------------------------------------


def _address(text: str) -> bytes:
    if ":" in text:
        return socket.inet_pton(socket.AF_INET6, text)
    return V4_MAPPED + socket.inet_pton(socket.AF_INET, text)


def _network(data: bytes) -> Layers:
    return IP(data) if data[0] >> 4 == 4 else IPv6(data)


def _ends(packet: Layers) -> tuple[int, int, int]:
    """Protocol and ports as a flow's key has them."""
    for layer, proto in ((TCP, 6), (UDP, 17)):
        if layer in packet:
            return proto, packet[layer].sport, packet[layer].dport
    layer, proto = (ICMP, 1) if ICMP in packet else (ICMPv6EchoRequest, 58)
    return proto, packet[layer].id, packet[layer].seq


def _parsed(data: bytes, link: LinkType = LinkType.IP, *, trusted: bool = False) -> PacketInfo:
    found = describe(Packet(data, 1, 0, link=link, checksum_trusted=trusted))
    assert isinstance(found, PacketInfo), found
    return found


@given(packets, st.data())
def test_a_valid_packet_is_read_as_scapy_reads_it(packet: Layers, data: st.DataObject) -> None:
    frame = data.draw(frames(packet))
    found = _parsed(frame.data, frame.link)
    seen = _network(bytes(packet))
    family = seen.version
    proto, sport, dport = _ends(seen)
    assert found.key.family == family
    assert (found.key.src, found.key.dst) == (_address(seen.src), _address(seen.dst))
    assert (found.key.proto, found.key.sport, found.key.dport) == (proto, sport, dport)
    assert found.length == len(bytes(packet))
    assert found.payload == (len(seen[Raw].load) if Raw in seen else len(_echo_data(seen)))
    assert found.ttl == (seen.ttl if family == 4 else seen.hlim)
    assert found.dscp == (seen.tos if family == 4 else seen.tc) >> 2
    assert (found.tag, found.is_fragment) == (frame.tag, False)
    if proto == 6:
        tcp = seen[TCP]
        assert (found.tcp_seq, found.tcp_ack, found.tcp_window) == (tcp.seq, tcp.ack, tcp.window)
        assert found.tcp_flags == int(tcp.flags) & 0xFF
    else:
        assert (found.tcp_seq, found.tcp_ack, found.tcp_window, found.tcp_flags) == (0, 0, 0, 0)
    if proto in (1, 58):
        assert (found.icmp_type, found.icmp_code) == (8 if proto == 1 else 128, 0)


def _echo_data(packet: Layers) -> bytes:
    data: bytes = packet[ICMPv6EchoRequest].data if ICMPv6EchoRequest in packet else b""
    return data


@given(packets)
def test_headers_have_their_traits(packet: Layers) -> None:
    found = _parsed(bytes(packet))
    for layer, name in (
        (IPv6ExtHdrHopByHop, "ip6_hop_by_hop"),
        (IPv6ExtHdrDestOpt, "ip6_destination_options"),
        (IPv6ExtHdrRouting, "ip6_routing"),
        (IPv6ExtHdrFragment, "ip6_needless_fragment"),
    ):
        assert (layer in packet) == bool(found.traits & TRAITS[name])
    is_syn = TCP in packet and "S" in packet[TCP].flags and Raw in packet
    assert is_syn == bool(found.traits & (TRAITS["tcp_syn_data"] | TRAITS["tcp_synack_data"]))


# ---- fragments -----------------------------------------------------------------------------------


def _check_pieces(pieces: list[bytes], whole: bytes, proto: int, number: int) -> None:
    found = [_parsed(piece) for piece in pieces]
    for info in found:
        assert info.is_fragment
        assert info.traits & TRAITS["ip_frag"]
        assert (info.fragment_id, info.key.proto) == (number, proto)
        assert (info.key.sport, info.key.dport, info.tcp_flags, info.icmp_type) == (0, 0, 0, 0)
    assert [info.more_fragments for info in found] == [True] * (len(found) - 1) + [False]
    together = bytearray()
    for info, piece in zip(found, pieces, strict=True):
        assert info.fragment_offset == len(together)
        together += piece[len(piece) - info.payload :]
    assert bytes(together) == whole


pieces_of = st.tuples(st.integers(9, 400), st.integers(1, 8), bits(16))


@given(pieces_of, v4_hosts, v4_hosts)
def test_fragments_of_ipv4(how: tuple[int, int, int], src: str, dst: str) -> None:
    size, units, number = how
    if src == dst or size + 8 <= units * 8:
        return
    packet = IP(src=src, dst=dst, id=number) / UDP(sport=1, dport=2) / Raw(bytes(range(9)) * 50)
    packet[Raw].load = packet[Raw].load[:size]
    pieces = [bytes(piece) for piece in fragment(packet, fragsize=units * 8)]
    _check_pieces(pieces, bytes(packet)[20:], 17, number)


@given(v6_hosts, v6_hosts, st.integers(200, 600), st.booleans(), bits(32))
def test_fragments_of_ipv6(src: str, dst: str, size: int, has_hops: bool, number: int) -> None:
    if src == dst:
        return
    packet = IPv6(src=src, dst=dst)
    if has_hops:
        packet /= IPv6ExtHdrHopByHop()
    segment = TCP(sport=5, dport=6, flags="S") / Raw(bytes(range(100)) * 6)
    segment[Raw].load = segment[Raw].load[:size]
    whole = bytes(packet / segment)[48 if has_hops else 40 :]
    pieces = fragment6(packet / IPv6ExtHdrFragment(id=number) / segment, 160)
    _check_pieces([bytes(piece) for piece in pieces], whole, 6, number)


# ---- changed packets -----------------------------------------------------------------------------


class Change(NamedTuple):
    where: float  # of the packet's length
    gone: int  # bytes that are taken out
    new: bytes  # that are put in


changes = st.lists(
    st.builds(
        Change,
        st.floats(0, 1, exclude_max=True),
        st.sampled_from([0, 1, 1, 1, 2, 8]),
        st.one_of(st.binary(min_size=1, max_size=1), st.binary(max_size=8)),
    ),
    max_size=4,
)


def _changed(data: bytes, all_changes: list[Change]) -> bytes:
    for change in all_changes:
        at = int(change.where * len(data))
        data = data[:at] + change.new + data[at + change.gone :]
    return data


def _mended(data: bytes) -> bytes:
    """With the checksum an IPv4 header wants, so that more of them are looked at."""
    header = (data[0] & 15) * 4 if data else 0
    if not 20 <= header <= len(data) or data[0] >> 4 != 4:
        return data
    data = data[:10] + b"\0\0" + data[12:]
    total = sum(int.from_bytes(data[i : i + 2], "big") for i in range(0, header, 2))
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return data[:10] + (~total & 0xFFFF).to_bytes(2, "big") + data[12:]


@given(packets, changes, st.booleans())
def test_a_changed_packet_is_refused_or_read_right(
    packet: Layers, all_changes: list[Change], trusted: bool
) -> None:
    data = _mended(_changed(bytes(packet), all_changes))
    found = describe(Packet(data, 1, 0, checksum_trusted=trusted))
    if isinstance(found, CounterInfo):
        assert found.severity == "drop"
        return
    version, total = data[0] >> 4, int.from_bytes(data[2:4], "big")
    if version == 4:
        src, dst, ttl = V4_MAPPED + data[12:16], V4_MAPPED + data[16:20], data[8]
    else:
        src, dst, ttl = data[8:24], data[24:40], data[7]
        total = 40 + int.from_bytes(data[4:6], "big")
    assert (found.key.family, found.key.zone, found.length) == (version, 0, total)
    assert (found.key.src, found.key.dst, found.ttl) == (src, dst, ttl)
    assert total <= len(data)
    assert found.payload <= total - (20 if version == 4 else 40)
    if found.key.proto not in (6, 17, 1, 58) or found.is_fragment:
        assert (found.key.sport, found.key.dport) == (0, 0)


@given(packets, st.data())
def test_a_packet_cut_short_is_refused(packet: Layers, data: st.DataObject) -> None:
    frame = data.draw(frames(packet))
    cut = data.draw(st.integers(0, len(frame.data) - 1))
    found = describe(Packet(frame.data[:cut], 1, 0, link=frame.link, checksum_trusted=True))
    assert isinstance(found, CounterInfo)
    assert found.severity == "drop"
