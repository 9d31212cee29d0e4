"""The parser's drop reasons, row by row, as a packet through the firewall shows them."""

from collections.abc import Callable
from itertools import permutations
from socket import AF_INET, AF_INET6, inet_pton

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import (
    HBHOptUnknown,
    ICMPv6MLReport2,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6ND_RS,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    Jumbo,
    Pad1,
    PadN,
)
from scapy.layers.l2 import ARP, CookedLinux, Dot1AD, Dot1Q, Ether
from scapy.packet import Packet as Layers
from scapy.packet import Raw

from native import COUNTERS, CounterInfo, LinkType, Packet, PacketInfo, describe
from tests.support.packets import (
    CLIENT,
    FAMILIES,
    OWN,
    SERVER,
    TRUST,
    Firewall,
    echo,
    icmp_error,
    ip,
    other,
    snapshot,
    tcp,
    udp,
)

ETHERTYPE = {4: 0x0800, 6: 0x86DD}


def changed(packet: bytes, at: int, *values: int) -> bytes:
    return packet[:at] + bytes(values) + packet[at + len(values) :]


def v4(packet: bytes) -> bytes:
    """Mends the header checksum of an IPv4 packet somebody changed."""
    header = (packet[0] & 15) * 4
    packet = changed(packet, 10, 0, 0)
    words = [int.from_bytes(packet[i : i + 2], "big") for i in range(0, header, 2)]
    total = sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return changed(packet, 10, *(~total & 0xFFFF).to_bytes(2, "big"))


def verdict(
    packet: bytes | Layers,
    port: str = TRUST,
    *,
    link: LinkType = LinkType.IP,
    trusted: bool = False,
) -> str:
    """What becomes of a packet, a drop being counted once and as nothing else."""
    firewall = Firewall()
    what = firewall.send(bytes(packet), port, link=link, trusted=trusted).what
    if what != "forward":
        counted = {k: v for k, v in firewall.counters().items() if k != "flow_tcp_non_syn"}
        assert counted == {"pkt_recv": 1, what: 1}
    return what


# ---- IPv4 ----------------------------------------------------------------------------------------


def v4_header(src: str = CLIENT[4], dst: str = SERVER[4], **fields: object) -> bytes:
    return bytes(IP(src=src, dst=dst, **fields) / UDP(sport=1, dport=2))


def v4_piece(offset: int, size: int, flags: str = "") -> bytes:
    """A fragment of UDP with so many bytes, its offset in units of 8."""
    header = IP(src=CLIENT[4], dst=SERVER[4], proto=17, frag=offset, flags=flags)
    return bytes(header / (b"x" * size))


V4_ROWS = [
    pytest.param(b"", "flow_parse_ip_hdr", id="nothing"),
    pytest.param(changed(udp(), 0, 0x55), "flow_parse_ip_version", id="version 5"),
    pytest.param(changed(udp(), 0, 0x05), "flow_parse_ip_version", id="version 0"),
    pytest.param(udp()[:19], "flow_parse_ip_hdr", id="19 bytes"),
    pytest.param(changed(udp(), 0, 0x44), "flow_parse_ip_hdr", id="header of 16 bytes"),
    pytest.param(changed(udp(), 0, 0x4F)[:58], "flow_parse_ip_hdr", id="header longer than packet"),
    pytest.param(v4(changed(udp(), 2, 0, 19)), "flow_parse_ip_hdr", id="length within header"),
    pytest.param(changed(udp(), 10, 0, 0), "flow_parse_ip_cksm", id="checksum"),
    pytest.param(v4(changed(udp(), 9, 0)), "flow_parse_ip_proto", id="protocol 0"),
    pytest.param(v4(changed(udp(), 8, 0)), "flow_parse_ip_ttl", id="TTL 0"),
    pytest.param(v4_header(dst=CLIENT[4]), "flow_parse_land", id="land"),
    pytest.param(v4_piece(8189, 4), "flow_parse_ping_of_death", id="fragment past 65,535"),
    pytest.param(v4_piece(8189, 3, "MF"), "flow_ipfrag_drop", id="fragment of 3 bytes, not last"),
    pytest.param(v4_piece(0, 12, "MF"), "flow_ipfrag_drop", id="fragment of 12 bytes, not last"),
    pytest.param(v4_piece(1, 0), "flow_ipfrag_drop", id="empty fragment, last"),
    pytest.param(v4_piece(0, 0, "MF"), "flow_ipfrag_drop", id="empty fragment, first"),
    pytest.param(v4_header(src="0.1.2.3"), "flow_parse_martian", id="source 0/8"),
    pytest.param(v4_header(src="127.0.0.9"), "flow_parse_martian", id="source 127/8"),
    pytest.param(v4_header(src="224.0.0.5"), "flow_parse_martian", id="source multicast"),
    pytest.param(v4_header(src="250.0.0.5"), "flow_parse_martian", id="source class E"),
    pytest.param(v4_header(src="255.255.255.255"), "flow_parse_martian", id="source broadcast"),
    pytest.param(v4_header(dst="0.0.0.1"), "flow_parse_martian", id="destination 0/8"),
    pytest.param(v4_header(dst="127.1.2.3"), "flow_parse_martian", id="destination 127/8"),
    pytest.param(udp()[:-1], "flow_parse_ip_len", id="one byte missing"),
    pytest.param(v4_header(flags="DF"), "forward", id="DF is no fragment"),
    pytest.param(v4_header(options=b"\x94\x04\0\0"), "forward", id="router alert"),
    pytest.param(v4_header(options=b"\x01" * 40), "forward", id="longest header"),
    pytest.param(udp() + b"trailer", "forward", id="padding of the link layer"),
]


@pytest.mark.parametrize(("packet", "expected"), V4_ROWS)
def test_ipv4(packet: bytes, expected: str) -> None:
    assert verdict(packet) == expected


# ---- IPv6 ----------------------------------------------------------------------------------------


def v6(*extensions: Layers, payload: Layers | None = None, **fields: str) -> bytes:
    packet = IPv6(src=fields.get("src", CLIENT[6]), dst=fields.get("dst", SERVER[6]))
    for extension in extensions:
        packet = packet / extension
    return bytes(packet / (UDP(sport=1, dport=2) if payload is None else payload))


HOPS = IPv6ExtHdrHopByHop(options=[PadN(optdata=b"\0\0\0\0")])
DESTINATION = IPv6ExtHdrDestOpt(options=[HBHOptUnknown(otype=0x1E, optdata=b"abcd")])
ROUTING = IPv6ExtHdrRouting(addresses=["2001:db8::9"], segleft=0)
JUMBO = IPv6ExtHdrHopByHop(options=[Jumbo(jumboplen=66000)])
LATE_JUMBO = IPv6ExtHdrHopByHop(options=[Pad1(), PadN(optdata=b"\0"), Jumbo(jumboplen=66000)])
ATOMIC = IPv6ExtHdrFragment(id=7)


UDP_V6 = udp(6)[40:]
AH = b"\x11\4\0\0" + bytes(range(20))


def chain(first: int, headers: bytes, payload: bytes = UDP_V6) -> bytes:
    """An IPv6 packet of these bytes."""
    header = bytearray(udp(6)[:40])
    header[4:7] = (len(headers) + len(payload)).to_bytes(2, "big") + bytes([first])
    return bytes(header) + headers + payload


def v6_piece(offset: int, size: int, *extensions: Layers, more: int = 0) -> bytes:
    """A fragment of UDP with so many bytes, its offset in units of 8."""
    header = IPv6ExtHdrFragment(nh=17, offset=offset, m=more, id=0x01020304)
    return v6(*extensions, header, payload=Raw(b"x" * size))


V6_ROWS = [
    pytest.param(udp(6)[:39], "flow_parse_ip_hdr", id="39 bytes"),
    pytest.param(changed(udp(6), 7, 0), "flow_parse_ip_ttl", id="hop limit 0"),
    pytest.param(v6(dst=CLIENT[6]), "flow_parse_land", id="land"),
    pytest.param(v6(src="ff02::1"), "flow_parse_ip6_mcast_source", id="source multicast"),
    pytest.param(v6(src="::1"), "flow_parse_martian", id="source loopback"),
    pytest.param(v6(dst="::1"), "flow_parse_martian", id="destination loopback"),
    pytest.param(v6(dst="::"), "flow_parse_martian", id="destination unspecified"),
    pytest.param(v6(src="::"), "flow_parse_martian", id="source unspecified"),
    pytest.param(v6(src="::ffff:192.0.2.10"), "flow_parse_martian", id="source IPv4-mapped"),
    pytest.param(
        v6(dst="::ffff:198.51.100.20"), "flow_parse_martian", id="destination IPv4-mapped"
    ),
    pytest.param(udp(6)[:-1], "flow_parse_ip_len", id="one byte missing"),
    pytest.param(udp(6) + b"trailer", "forward", id="padding of the link layer"),
    pytest.param(v6(JUMBO), "flow_parse_ip6_jumbo", id="jumbogram"),
    pytest.param(v6(LATE_JUMBO), "flow_parse_ip6_jumbo", id="jumbo option behind padding"),
    pytest.param(changed(v6(HOPS), 4, 0, 0), "flow_parse_ip6_jumbo", id="length 0, hop-by-hop"),
    pytest.param(v6(HOPS), "forward", id="hop-by-hop"),
    pytest.param(v6(DESTINATION), "forward", id="destination options"),
    pytest.param(v6(ROUTING), "forward", id="routing"),
    pytest.param(v6(ATOMIC), "forward", id="atomic fragment"),
    pytest.param(v6(HOPS, DESTINATION, ROUTING, ATOMIC, DESTINATION), "forward", id="all of them"),
    pytest.param(v6(*[DESTINATION] * 8), "forward", id="eight headers"),
    pytest.param(v6(*[DESTINATION] * 9), "flow_parse_ip6_ext_order", id="nine headers"),
    pytest.param(v6(DESTINATION, HOPS), "flow_parse_ip6_ext_order", id="hop-by-hop not first"),
    pytest.param(v6(HOPS, HOPS), "flow_parse_ip6_ext_order", id="hop-by-hop twice"),
    pytest.param(changed(v6(DESTINATION), 41, 9), "flow_parse_ip6_ext_hdr", id="header too long"),
    pytest.param(
        bytes(IPv6(src=CLIENT[6], dst=SERVER[6], nh=60) / b"\x11\0\0"),
        "flow_parse_ip6_ext_hdr",
        id="header of 3 bytes",
    ),
    pytest.param(v6_piece(8191, 8), "flow_parse_ping_of_death", id="past 65,535"),
    pytest.param(v6_piece(8190, 8, HOPS), "flow_parse_ping_of_death", id="past 65,535 with hops"),
    pytest.param(v6_piece(8190, 7, more=1), "flow_ipfrag_drop", id="fragment of 7 bytes, not last"),
    pytest.param(v6_piece(0, 0, more=1), "flow_ipfrag_drop", id="empty fragment, first"),
    pytest.param(v6_piece(1, 0), "flow_ipfrag_drop", id="empty fragment, last"),
    pytest.param(v6(ATOMIC, ATOMIC), "flow_parse_ip6_ext_order", id="two fragment headers"),
    pytest.param(other(59, 6, payload=b""), "forward", id="no next header"),
    pytest.param(chain(51, AH), "forward", id="AH"),
    pytest.param(chain(51, b"\x11\0\0\0" + bytes(4)), "flow_parse_ip6_ext_hdr", id="AH too short"),
    pytest.param(chain(51, b"\x11\x40" + AH[2:]), "flow_parse_ip6_ext_hdr", id="AH too long"),
    pytest.param(chain(51, AH[:7], b""), "flow_parse_ip6_ext_hdr", id="AH of 7 bytes"),
    *(
        row
        for kind in (0, 43, 60, 135, 139, 140)
        for row in (
            pytest.param(chain(kind, b"\x11\0" + bytes(6)), "forward", id=f"header {kind}"),
            pytest.param(
                chain(kind, b"\x11\1" + bytes(6), b""),
                "flow_parse_ip6_ext_hdr",
                id=f"header {kind} too long",
            ),
            pytest.param(
                chain(kind, b"\x11\0" + bytes(5), b""),
                "flow_parse_ip6_ext_hdr",
                id=f"header {kind} of 7 bytes",
            ),
        )
    ),
    *(
        pytest.param(chain(kind, b"", b""), "flow_parse_ip6_ext_hdr", id=f"no header {kind}")
        for kind in (43, 60, 135, 139, 140)
    ),
    pytest.param(chain(135, b"\x3b\1\5\0" + bytes(4)), "forward", id="mobility message"),
    pytest.param(
        chain(135, b"\x3b\x09\5\0" + bytes(4)), "flow_parse_ip6_ext_hdr", id="mobility, cut"
    ),
]


@pytest.mark.parametrize(("packet", "expected"), V6_ROWS)
def test_ipv6(packet: bytes, expected: str) -> None:
    assert verdict(packet) == expected


HEADERS = {
    0: b"\0" + bytes(6),
    43: b"\0" + bytes(6),
    44: b"\0" + bytes(6),
    51: b"\2" + bytes(14),
    60: b"\1" + bytes(14),
    135: b"\0" + bytes(6),
    139: b"\2" + bytes(22),
    140: b"\0" + bytes(6),
}


@pytest.mark.parametrize("kinds", [*permutations(HEADERS, 2), (0, 60, 43, 44, 51, 60, 135, 140)])
def test_layer_4_behind_extension_headers(kinds: tuple[int, ...]) -> None:
    following = [*kinds[1:], 17]
    headers = b"".join(bytes([n]) + HEADERS[k] for k, n in zip(kinds, following, strict=True))
    info = describe(Packet(chain(kinds[0], headers), 1, 0))
    if 0 in kinds[1:]:
        assert isinstance(info, CounterInfo)
        assert info.name == "flow_parse_ip6_ext_order"
        return
    assert isinstance(info, PacketInfo)
    assert (info.key.proto, info.key.sport, info.key.dport) == (17, 40002, 53)
    assert info.payload == len(b"question")


MESSAGE_ROWS = [
    (59, b"", 59, 16),  # whatever follows is nobody's
    (135, b"\x3b\0" + bytes(6), 135, 24),
    (139, b"\x3b\1" + bytes(14), 139, 32),
    (140, b"\x3b\0" + bytes(6), 140, 24),
    (60, b"\x87\0" + bytes(6) + b"\x3b\0" + bytes(6), 135, 24),
    (60, b"\x3b\0" + bytes(6), 59, 16),
    (50, b"\0\0\1\0\0\0\0\1", 50, 24),
    (253, b"\x11\0" + bytes(6), 253, 24),
]


@pytest.mark.parametrize(("first", "headers", "proto", "payload"), MESSAGE_ROWS)
def test_headers_that_are_what_a_packet_is_about(
    first: int, headers: bytes, proto: int, payload: int
) -> None:
    info = describe(Packet(chain(first, headers), 1, 0))
    assert isinstance(info, PacketInfo)
    assert (info.key.proto, info.key.sport, info.key.dport) == (proto, 0, 0)
    assert info.payload == payload


def routed(kind: int, left: int, *addresses: str, checksum_for: str) -> bytes:
    """A UDP packet with a routing header, its checksum for that destination."""
    segment = bytes(IPv6(src=CLIENT[6], dst=checksum_for) / UDP(sport=1, dport=2))[40:]
    listed = b"".join(inet_pton(AF_INET6, address) for address in addresses)
    header = bytes([17, len(listed) // 8, kind, left]) + bytes(4)
    return chain(43, header + listed, segment)


def home(where: str, checksum_for: str) -> bytes:
    segment = bytes(IPv6(src=checksum_for, dst=SERVER[6]) / UDP(sport=1, dport=2))[40:]
    option = b"\xc9\x10" + inet_pton(AF_INET6, where)
    return chain(60, b"\x11\2\1\2\0\0" + option, segment)


def source_routed(option: int, pointer: int, *, checksum_for: str) -> bytes:
    """A UDP packet with an IPv4 source route of two addresses."""
    segment = bytes(IP(src=CLIENT[4], dst=checksum_for) / UDP(sport=1, dport=2))[20:]
    listed = b"".join(inet_pton(AF_INET, address) for address in (X, Y))
    header = IP(src=CLIENT[4], dst=SERVER[4], proto=17, ihl=8, len=32 + len(segment))
    return v4(bytes(header)[:20] + bytes([1, option, 11, pointer]) + listed + segment)


V, W = "2001:db8:9::1", "2001:db8:9::2"
X, Y = "198.51.100.1", "198.51.100.2"
WRONG = "flow_parse_l4_cksm"
UPPER_ROWS = [  # RFC 8200 8.1, and of IPv4 what hosts do: it is for where the packet ends
    pytest.param(source_routed(0x83, 4, checksum_for=Y), "forward", id="loose"),
    pytest.param(source_routed(0x89, 8, checksum_for=Y), "forward", id="strict"),
    pytest.param(source_routed(0x83, 4, checksum_for=SERVER[4]), WRONG, id="loose, first"),
    pytest.param(source_routed(0x83, 12, checksum_for=SERVER[4]), "forward", id="loose, done"),
    pytest.param(source_routed(0x83, 12, checksum_for=Y), WRONG, id="loose, done, last"),
    pytest.param(source_routed(0x87, 4, checksum_for=Y), WRONG, id="recorded route"),
    pytest.param(routed(0, 2, V, W, checksum_for=W), "forward", id="source route"),
    pytest.param(routed(0, 2, V, W, checksum_for=V), WRONG, id="source route, first"),
    pytest.param(routed(0, 0, V, W, checksum_for=SERVER[6]), "forward", id="source route, done"),
    pytest.param(routed(0, 0, V, W, checksum_for=W), WRONG, id="source route, done, last"),
    pytest.param(routed(0, 1, checksum_for=SERVER[6]), "forward", id="route of nothing"),
    pytest.param(routed(2, 1, V, checksum_for=V), "forward", id="mobile"),
    pytest.param(routed(4, 1, V, W, checksum_for=V), "forward", id="segment routing"),
    pytest.param(routed(4, 1, V, W, checksum_for=W), WRONG, id="segment routing, other end"),
    pytest.param(routed(3, 1, V, W, checksum_for="::9"), "forward", id="compressed: who knows"),
    pytest.param(routed(3, 0, V, W, checksum_for="::9"), WRONG, id="compressed, done"),
    pytest.param(home(V, V), "forward", id="home address"),
    pytest.param(home(V, CLIENT[6]), WRONG, id="home address, away"),
]


@pytest.mark.parametrize(("packet", "expected"), UPPER_ROWS)
def test_the_addresses_of_the_checksum(packet: bytes, expected: str) -> None:
    assert verdict(packet) == expected


def test_ipv6_of_a_port_or_everywhere_can_be_off() -> None:
    here = Firewall(snapshot(ipv6_ports=["ethernet1/2"], interzone="allow"))
    assert here.send(udp(6)).what == "flow_ipv6_disabled"
    assert here.send(udp(4)).what == "forward"
    nowhere = Firewall(snapshot(ipv6_firewalling=False, interzone="allow"))
    assert nowhere.send(udp(6, back=True), "ethernet1/2").what == "flow_ipv6_disabled"


# ---- layer 4, both families ----------------------------------------------------------------------


def l4(packet: bytes, at: int, *values: int) -> bytes:
    return changed(packet, (20 if packet[0] >> 4 == 4 else 40) + at, *values)


def shortened(packet: bytes, l4_bytes: int) -> bytes:
    """The packet with so many bytes behind its IP header, and a header that says so."""
    if packet[0] >> 4 == 4:
        return v4(changed(packet[: 20 + l4_bytes], 2, *(20 + l4_bytes).to_bytes(2, "big")))
    return changed(packet[: 40 + l4_bytes], 4, *l4_bytes.to_bytes(2, "big"))


def without_checksum(family: int) -> bytes:
    return bytes(ip(family) / UDP(sport=1, dport=2, chksum=0))


L4_ROWS = [
    pytest.param(lambda f: shortened(tcp("S", f), 19), "flow_parse_tcp_hdr", id="TCP 19 bytes"),
    pytest.param(lambda f: shortened(udp(f), 7), "flow_parse_udp_hdr", id="UDP 7 bytes"),
    pytest.param(lambda f: shortened(echo(f), 7), "flow_parse_l4_hdr", id="ICMP 7 bytes"),
    pytest.param(lambda f: shortened(tcp("S", f), 0), "flow_parse_tcp_hdr", id="TCP nothing"),
    pytest.param(lambda f: l4(tcp("S", f), 12, 0x40), "flow_parse_tcp_offset", id="offset 4"),
    pytest.param(lambda f: l4(tcp("S", f), 12, 0x60), "flow_parse_tcp_offset", id="offset 6 of 5"),
    pytest.param(lambda f: l4(tcp("S", f), 16, 0, 0), "flow_parse_l4_cksm", id="TCP checksum"),
    pytest.param(lambda f: l4(udp(f), 6, 0, 1), "flow_parse_l4_cksm", id="UDP checksum"),
    pytest.param(lambda f: l4(echo(f), 2, 0, 1), "flow_parse_l4_cksm", id="ICMP checksum"),
    pytest.param(lambda f: tcp("S", f, sport=0), "flow_parse_tcp_port", id="TCP source port 0"),
    pytest.param(lambda f: tcp("S", f, dport=0), "flow_parse_tcp_port", id="TCP port 0"),
    pytest.param(lambda f: udp(f, sport=0), "forward", id="UDP source port 0"),
    pytest.param(lambda f: l4(udp(f), 4, 0, 7), "flow_parse_udp_len", id="UDP length 7"),
    pytest.param(lambda f: l4(udp(f), 4, 0, 17), "flow_parse_udp_len", id="UDP longer than packet"),
    pytest.param(lambda f: udp(f, payload=b""), "forward", id="UDP without payload"),
    pytest.param(lambda f: udp(f, payload=b"odd"), "forward", id="UDP odd length"),
    pytest.param(lambda f: tcp("S", f, payload=b"odd"), "forward", id="TCP odd length"),
    pytest.param(lambda f: other(47, f), "forward", id="GRE"),
    pytest.param(lambda f: other(47, f, payload=b""), "forward", id="GRE nothing"),
    pytest.param(lambda f: other(58 if f == 4 else 1, f), "forward", id="the other family's ICMP"),
]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("build", "expected"), L4_ROWS)
def test_layer_4(build: Callable[[int], bytes], expected: str, family: int) -> None:
    assert verdict(build(family)) == expected


def test_udp_without_checksum_is_for_ipv4_only() -> None:
    assert verdict(without_checksum(4)) == "forward"
    assert verdict(without_checksum(6)) == "flow_parse_l4_cksm"  # RFC 8200 8.1


@pytest.mark.parametrize("family", FAMILIES)
def test_a_trusted_checksum_is_not_looked_at(family: int) -> None:
    for packet in (l4(tcp("S", family), 16, 0, 1), l4(udp(family), 6, 0, 1)):
        assert verdict(packet) == "flow_parse_l4_cksm"
        assert verdict(packet, trusted=True) == "forward"


def test_extension_headers_do_not_move_the_checksum() -> None:
    for extensions in ([HOPS], [DESTINATION, ROUTING], [ATOMIC]):
        segment = TCP(sport=5, dport=6, flags="S")
        assert verdict(v6(*extensions, payload=segment)) == "forward"
        assert verdict(v6(*extensions, payload=segment)[:-3] + b"\1\0\0") == "flow_parse_l4_cksm"


# RFC 9293 knows what each flag may go with; URG belongs to data or to a handshake's SYN or FIN.
VALID_FLAGS = {"S", "SU", "SA", "R", "RA", "FA", "FAU", "A", "AU"}


@pytest.mark.parametrize("bits", range(64))
def test_every_combination_of_tcp_flags(bits: int) -> None:
    letters = "".join(letter for i, letter in enumerate("FSRPAU") if bits >> i & 1)
    bare = letters.replace("P", "")
    valid = any(set(bare) == set(flags) for flags in VALID_FLAGS)
    opens = valid and set(bare) <= {"S", "U"}
    expected = (
        "tcp_flag_zero"
        if not letters
        else "flow_parse_tcp_flags"
        if not valid
        else "forward"
        if opens
        else "flow_tcp_non_syn_drop"
    )
    for congestion in ("", "E", "C", "EC"):
        for family in FAMILIES:
            assert verdict(tcp(letters + congestion, family)) == expected


# ---- link layers ---------------------------------------------------------------------------------

MACS = {"src": "02:00:00:00:00:01", "dst": "02:00:00:00:00:02"}


def framed(link: LinkType, ethertype: int, family: int) -> bytes:
    packet = udp(family)
    if link is LinkType.ETHERNET:
        return bytes(Ether(**MACS, type=ethertype)) + packet
    if link is LinkType.COOKED:
        return bytes(CookedLinux(src=b"\2\0\0\0\0\1\0\0", proto=ethertype)) + packet
    if link is LinkType.COOKED2:
        return ethertype.to_bytes(2, "big") + bytes(range(18)) + packet
    return (2 if family == 4 else 10).to_bytes(4, "little") + packet


ETHERTYPED = [LinkType.ETHERNET, LinkType.COOKED, LinkType.COOKED2]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("link", [*ETHERTYPED, LinkType.NULL])
def test_link_layers(link: LinkType, family: int) -> None:
    frame = framed(link, ETHERTYPE[family], family)
    assert verdict(frame, link=link) == "forward"
    header = len(frame) - len(udp(family))
    for cut in range(header):
        assert verdict(frame[:cut], link=link) == "flow_parse_l2_hdr"
    assert verdict(frame[:header], link=link) == "flow_parse_ip_hdr"


@pytest.mark.parametrize("link", ETHERTYPED)
def test_ethertypes(link: LinkType) -> None:
    assert verdict(framed(link, 0x0806, 4), link=link) == "flow_parse_ethertype"
    assert verdict(framed(link, 0x0800, 6), link=link) == "flow_parse_ip_version"
    assert verdict(framed(link, 0x86DD, 4), link=link) == "flow_parse_ip_version"
    frame = framed(link, 0x8100, 4)
    at = len(frame) - len(udp())
    tag = (7).to_bytes(2, "big") + (0x0800).to_bytes(2, "big")
    assert verdict(frame[:at] + tag + udp(), link=link) == "flow_rcv_dot1q_tag_err"
    priority = b"\x60\0\x08\0"
    assert verdict(frame[:at] + priority + udp(), link=link) == "forward"
    assert verdict(framed(link, 0x88A8, 4), link=link) == "flow_rcv_dot1q_tag_err"


def test_frames_that_are_no_ip() -> None:
    link = LinkType.ETHERNET
    assert verdict(Ether(**MACS) / ARP(), link=link) == "flow_parse_ethertype"
    tagged = Ether(**MACS) / Dot1Q(vlan=7) / IP(src=CLIENT[4], dst=SERVER[4]) / UDP()
    assert verdict(tagged, link=link) == "flow_rcv_dot1q_tag_err"
    stacked = Ether(**MACS) / Dot1AD(vlan=7) / Dot1Q(vlan=8) / IP(src=CLIENT[4], dst=SERVER[4])
    assert verdict(stacked, link=link) == "flow_rcv_dot1q_tag_err"


def test_every_reason_of_the_parser_is_met() -> None:
    """By a row above, or, of the link layer, by the tests before this one."""
    here = {"flow_parse_l2_hdr", "flow_parse_ethertype", "flow_parse_ip_version"}
    flags = {"flow_parse_tcp_flags", "flow_rcv_dot1q_tag_err"}
    rows = {row.values[1] for rows in (V4_ROWS, V6_ROWS, L4_ROWS) for row in rows}
    known = {counter.name for counter in COUNTERS if counter.name.startswith("flow_parse_")}
    assert known - rows - here - flags == set()


def test_no_interface_is_asked_before_anything_else() -> None:
    assert verdict(b"", port="ethernet1/9") == "flow_no_interface"
    assert verdict(udp(), port="") == "flow_no_interface"


# ---- neighbour and listener discovery ------------------------------------------------------------


def discovery(message: Layers, dst: str, hlim: int = 255, src: str = CLIENT[6]) -> bytes:
    return bytes(IPv6(src=src, dst=dst, hlim=hlim) / message)


SOLICITED_NODE = "ff02::1:ff00:1"
LISTENER = IPv6ExtHdrHopByHop() / ICMPv6MLReport2()

DISCOVERY_ROWS = [
    pytest.param(discovery(ICMPv6ND_NS(tgt=OWN[6]), SOLICITED_NODE), "host", id="solicitation"),
    pytest.param(discovery(ICMPv6ND_NS(tgt=OWN[6]), OWN[6]), "host", id="to our own address"),
    pytest.param(discovery(ICMPv6ND_NA(tgt=CLIENT[6]), OWN[6]), "host", id="advertisement"),
    pytest.param(
        discovery(ICMPv6ND_RS(), "ff02::2", src="fe80::1"), "host", id="router solicitation"
    ),
    pytest.param(discovery(ICMPv6ND_RA(), "ff02::1", src="fe80::1"), "host", id="router advert"),
    pytest.param(
        discovery(ICMPv6ND_NS(tgt=OWN[6]), SOLICITED_NODE, src="::"), "host", id="address probe"
    ),
    pytest.param(discovery(LISTENER, "ff02::16", 1, "fe80::1"), "host", id="listener report"),
    pytest.param(
        discovery(ICMPv6ND_NS(tgt=SERVER[6]), SERVER[6]), "flow_icmp_no_session", id="to a stranger"
    ),
    pytest.param(
        discovery(ICMPv6ND_NS(tgt=OWN[6]), "ff05::2"), "flow_icmp_no_session", id="beyond the link"
    ),
    pytest.param(
        discovery(ICMPv6ND_NS(tgt=OWN[6]), OWN[6], 254), "flow_icmp_no_session", id="was forwarded"
    ),
    pytest.param(
        discovery(LISTENER, "ff02::16", 2, "fe80::1"), "flow_icmp_no_session", id="report, hops 2"
    ),
]


@pytest.mark.parametrize(("packet", "expected"), DISCOVERY_ROWS)
def test_discovery(packet: bytes, expected: str) -> None:
    firewall = Firewall(snapshot(interzone="allow"))
    assert firewall.send(packet, TRUST).what == expected
    assert firewall.counters().get("flow_host_pass", 0) == (expected == "host")
    assert firewall.engine.stats().allocated == 0


# ---- the key, seen in the session ----------------------------------------------------------------

KEY_ROWS = [
    pytest.param(lambda f: tcp("S", f), 40001, 80, id="TCP"),
    pytest.param(lambda f: udp(f), 40002, 53, id="UDP"),
    pytest.param(lambda f: echo(f), 0x0102, 0x0304, id="echo: identifier, sequence"),
    pytest.param(lambda f: other(47, f), 0, 0, id="GRE: none"),
    pytest.param(lambda f: other(50, f, payload=b"12345678"), 0, 0, id="ESP: none"),
]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("build", "sport", "dport"), KEY_ROWS)
def test_flow_keys(build: Callable[[int], bytes], sport: int, dport: int, family: int) -> None:
    firewall = Firewall()
    assert firewall.send(build(family)).what == "forward"
    there, back = firewall.session().c2s, firewall.session().s2c
    assert there == (type(there))(CLIENT[family], SERVER[family], sport, dport, "trust")
    assert back == (type(back))(SERVER[family], CLIENT[family], dport, sport, "untrust")


def test_icmp_that_opens_nothing() -> None:
    reply = echo(reply=True)
    assert verdict(reply) == "flow_icmp_no_session"
    assert verdict(echo(6, reply=True)) == "flow_icmp_no_session"
    assert (
        verdict(icmp_error(tcp(), quote=tcp()[:20])) == "flow_icmp_no_session"
    )  # quotes too little
    redirect = changed(icmp_error(tcp()), 20, 5)
    assert verdict(redirect, trusted=True) == "flow_icmp_no_session"


@pytest.mark.parametrize("icmp_type", [8, 13, 15, 17])
def test_icmp_requests_open_sessions(icmp_type: int) -> None:
    firewall = Firewall()
    request = changed(echo(), 20, icmp_type)
    answer = changed(echo(reply=True, back=True), 20, icmp_type + 1 if icmp_type > 8 else 0)
    assert firewall.send(request, TRUST, trusted=True).what == "forward"
    assert firewall.send(answer, "ethernet1/2", trusted=True) == (
        "forward",
        "ethernet1/1",
        1,
        None,
        (),
    )
