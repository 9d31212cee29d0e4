"""What a packet shows by itself that a zone's profile may refuse (fact sheet 4.4)."""

import struct
from socket import AF_INET6, inet_pton

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoRequest,
    ICMPv6ND_Redirect,
    ICMPv6PacketTooBig,
    ICMPv6ParamProblem,
    ICMPv6TimeExceeded,
    IPv6,
)
from scapy.packet import Packet as Layers
from scapy.packet import Raw

from native import PROTECTIONS, Packet, PacketInfo, describe
from tests.support.packets import CLIENT, FAMILIES, SERVER, echo, icmp_error, ip, other, tcp, udp


def info(packet: bytes) -> PacketInfo:
    found = describe(Packet(packet, 1, 0))
    assert isinstance(found, PacketInfo), found
    return found


def traits(packet: bytes | Layers) -> set[str]:
    bits = info(bytes(packet)).traits
    assert bits < 1 << len(PROTECTIONS)
    return {known.name for number, known in enumerate(PROTECTIONS) if bits >> number & 1}


PLAIN = [
    *(build(family) for family in FAMILIES for build in (udp, echo)),
    *(tcp(flags, family) for family in FAMILIES for flags in ("S", "SA", "A", "R", "FA")),
    *(tcp("PA", family, payload=b"data") for family in FAMILIES),
    *(other(47, family) for family in FAMILIES),
    *(echo(family, reply=True, back=True) for family in FAMILIES),
    icmp_error(udp(6)),
]


@pytest.mark.parametrize("packet", PLAIN)
def test_an_ordinary_packet_has_none(packet: bytes) -> None:
    assert traits(packet) == set()


# ---- IPv4 options --------------------------------------------------------------------------------


def with_options(options: bytes) -> bytes:
    header = ip(4)
    header.options = options + bytes(-len(options) % 4)
    return bytes(header / UDP(sport=1, dport=2, chksum=0))  # a source route's end is in that


ADDRESS = b"\xc0\0\2\1"
MALFORMED = "malformed_option"
OPTION_ROWS = [
    pytest.param(b"\1\1\1\0", set(), id="nothing but padding"),
    pytest.param(b"\0\x83\xff\xff", set(), id="behind the end of the list"),
    pytest.param(b"\x94\4\0\0", set(), id="router alert"),
    pytest.param(b"\x94\3\0", {MALFORMED}, id="router alert of 3 bytes"),
    pytest.param(b"\x14\4\0\0", {MALFORMED}, id="router alert that is not copied"),
    pytest.param(b"\x52\x0c" + bytes(10), set(), id="traceroute"),
    pytest.param(b"\x52\x0b" + bytes(9), {MALFORMED}, id="traceroute of 11 bytes"),
    pytest.param(b"\xd2\x0c" + bytes(10), {MALFORMED}, id="traceroute that is copied"),
    pytest.param(b"\x82\x0b" + bytes(9), {"security"}, id="security as in RFC 791"),
    pytest.param(b"\x82\3\xab", {"security"}, id="security as in RFC 1108"),
    pytest.param(b"\x82\2", {"security", MALFORMED}, id="security of nothing"),
    pytest.param(b"\x82\3\xab\x82\3\xab", {"security", MALFORMED}, id="security twice"),
    pytest.param(b"\x02\3\xab", {"security", MALFORMED}, id="security that is not copied"),
    pytest.param(b"\x85\3\1\x85\3\2", {"security"}, id="extended security twice"),
    pytest.param(b"\x85\2", {"security", MALFORMED}, id="extended security of nothing"),
    pytest.param(b"\x88\4\0\7", {"stream_id"}, id="stream identifier"),
    pytest.param(b"\x88\5\0\7\0", {"stream_id", MALFORMED}, id="stream identifier of 5 bytes"),
    pytest.param(b"\x99\4\0\0", {"unknown_option"}, id="unknown"),
    pytest.param(b"\x1e\2", {"unknown_option"}, id="experimental, nothing in it"),
    pytest.param(b"\x99\1\0\0", {MALFORMED}, id="length 1"),
    pytest.param(b"\x99\0\0\0", {MALFORMED}, id="length 0"),
    pytest.param(b"\x99\5\0\0", {MALFORMED}, id="longer than the header"),
    pytest.param(b"\1\1\1\x99", {MALFORMED}, id="no room for a length"),
    pytest.param(
        b"\x88\4\0\7\x99\1\0\0\x83\3\4", {"stream_id", MALFORMED}, id="nothing behind malformed"
    ),
    pytest.param(
        b"\x83\7\4" + ADDRESS + b"\x89\7\4" + ADDRESS,
        {"loose_source_routing", "strict_source_routing"},
        id="both routes",
    ),
]
ROUTES = [(0x83, "loose_source_routing"), (0x89, "strict_source_routing"), (7, "record_route")]
ROUTE_ROWS = [
    (b"\7\4" + ADDRESS, True),
    (b"\7\x08" + ADDRESS, True),  # used up
    (b"\3\4", True),  # no place at all
    (b"\x27\x24" + ADDRESS * 9, True),
    (b"\2", False),
    (b"\6\4" + ADDRESS[:3], False),
    (b"\7\3" + ADDRESS, False),
    (b"\7\0" + ADDRESS, False),
    (b"\7\5" + ADDRESS, False),
    (b"\7\x0c" + ADDRESS, False),
]
TIMESTAMP_ROWS = [
    (b"\x44\x08\x05\x00" + bytes(4), True),
    (b"\x44\x08\x09\xf0" + bytes(4), True),  # full, and fifteen more
    (b"\x44\x04\x05\x00", True),
    (b"\x44\x0c\x05\x01" + bytes(8), True),
    (b"\x44\x0c\x05\x03" + bytes(8), True),
    (b"\x44\x24\x0d\x01" + bytes(32), True),
    (b"\x44\x28\x05\x00" + bytes(36), True),
    (b"\x44\x03\x05", False),
    (b"\x44\x08\x04\x00" + bytes(4), False),
    (b"\x44\x08\x06\x00" + bytes(4), False),
    (b"\x44\x08\x0d\x00" + bytes(4), False),
    (b"\x44\x08\x05\x01" + bytes(4), False),
    (b"\x44\x0c\x09\x01" + bytes(8), False),
    (b"\x44\x08\x05\x02" + bytes(4), False),
    (b"\xc4\x08\x05\x00" + bytes(4), False),
]


@pytest.mark.parametrize(("options", "expected"), OPTION_ROWS)
def test_ipv4_options(options: bytes, expected: set[str]) -> None:
    assert traits(with_options(options)) == expected


@pytest.mark.parametrize(("kind", "name"), ROUTES)
@pytest.mark.parametrize(("rest", "is_right"), ROUTE_ROWS)
def test_ipv4_routes(kind: int, name: str, rest: bytes, is_right: bool) -> None:
    option = bytes([kind]) + rest
    assert traits(with_options(option)) == {name} | (set() if is_right else {MALFORMED})
    if len(option) <= 20:
        assert traits(with_options(option + option)) == {name, MALFORMED}
    assert traits(with_options(bytes([kind ^ 0x80]) + rest)) == {name, MALFORMED}


@pytest.mark.parametrize(("option", "is_right"), TIMESTAMP_ROWS)
def test_ipv4_timestamps(option: bytes, is_right: bool) -> None:
    expected = {"timestamp"} | (set() if is_right else {MALFORMED})
    assert traits(with_options(option)) == expected


# ---- fragments, segments, ICMP -------------------------------------------------------------------


def piece(protocol: int, offset: int = 1, flags: str = "") -> bytes:
    header = IP(src=CLIENT[4], dst=SERVER[4], proto=protocol, frag=offset, flags=flags)
    return bytes(header / Raw(b"12345678"))


def test_fragments_of_ipv4() -> None:
    assert traits(piece(17)) == {"ip_frag"}
    assert traits(piece(1, 0, "MF")) == {"ip_frag", "icmp_frag"}
    assert traits(piece(1, 2, "MF+DF")) == {"ip_frag", "icmp_frag"}
    whole = IP(src=CLIENT[4], dst=SERVER[4], flags="DF") / UDP(sport=1, dport=2)
    assert traits(whole) == set()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("urgent", ["", "U"])
def test_data_in_a_handshake(family: int, urgent: str) -> None:
    assert traits(tcp("S" + urgent, family, payload=b"1")) == {"tcp_syn_data"}
    assert traits(tcp("SA", family, payload=b"1")) == {"tcp_synack_data"}


def sized(length: int, family: int) -> bytes:
    """An echo request of so many bytes, its IP header included."""
    message = ICMP(id=1) if family == 4 else ICMPv6EchoRequest(id=1)
    header = 20 if family == 4 else 40
    return bytes(ip(family) / message / Raw(bytes(length - header - 8)))


def test_icmp() -> None:
    assert traits(sized(1024, 4)) == set()
    assert traits(sized(1025, 4)) == {"icmp_large"}
    assert traits(echo(identifier=0)) == {"icmp_ping_zero_id"}
    assert traits(echo(reply=True, identifier=0)) == set()
    for kind in (3, 4, 5, 11, 12):
        error = ip(4) / ICMP(type=kind) / Raw(udp(back=True))
        assert traits(error) == {"icmp_error"}


def test_icmpv6_is_not_icmp() -> None:
    """It would lose the long messages of path MTU discovery."""
    assert traits(sized(1200, 6)) == set()
    assert traits(echo(6, identifier=0)) == set()
    assert traits(icmp_error(udp(6, payload=bytes(1100)))) == set()


# ---- IPv6 ----------------------------------------------------------------------------------------

OPTIONS, ROUTING, FRAGMENT, AH, NOTHING, UDP_NEXT = 60, 43, 44, 51, 59, 17
HOPS = 0


def chain(*headers: tuple[int, bytes], end: int = UDP_NEXT, src: str | None = None) -> bytes:
    """Extension headers, each without its first byte, and a UDP packet."""
    packet = bytes(IPv6(src=src or CLIENT[6], dst=SERVER[6]) / UDP(sport=1, dport=2))
    following = [*(kind for kind, _ in headers[1:]), end]
    body = b"".join(bytes([n]) + rest for n, (_, rest) in zip(following, headers, strict=True))
    first = headers[0][0] if headers else end
    length = struct.pack("!H", len(body) + len(packet) - 40)
    return packet[:4] + length + bytes([first]) + packet[7:40] + body + packet[40:]


def options(data: bytes) -> bytes:
    padding = bytes(-(len(data) + 2) % 8)
    return bytes([(len(data) + len(padding) + 2) // 8 - 1]) + data + padding


def routing(kind: int, reserved: bytes = bytes(4)) -> bytes:
    return b"\0" + bytes([kind, 0]) + reserved


INVALID = "ip6_invalid_options"
RESERVED = "ip6_reserved_field"
BOTH, HOP_BY_HOP, DESTINATION = (HOPS, OPTIONS), (HOPS,), (OPTIONS,)
HEADER_OF = {HOPS: "ip6_hop_by_hop", OPTIONS: "ip6_destination_options"}
TLV_ROWS = [
    pytest.param(b"\0\0\0\0\0\0", BOTH, (), id="single padding"),
    pytest.param(b"\1\4\0\0\0\0", BOTH, (), id="padding"),
    pytest.param(b"\1\4\0\0\7\0", (), BOTH, id="padding that says something"),
    pytest.param(b"\1\5\0\0\0\0", (), BOTH, id="longer than the header"),
    pytest.param(b"\0\0\0\0\0\x1e", (), BOTH, id="no room for a length"),
    pytest.param(b"\x1e\4abcd", BOTH, (), id="unknown, to be skipped"),
    pytest.param(b"\x3e\4abcd", BOTH, (), id="unknown, may change on the way"),
    pytest.param(b"\x5e\4abcd", (), BOTH, id="unknown, or discard"),
    pytest.param(b"\x9e\4abcd", (), BOTH, id="unknown, or discard and tell"),
    pytest.param(b"\xde\4abcd", (), BOTH, id="unknown, or discard and tell of unicast"),
    pytest.param(b"\5\2\0\0", BOTH, (), id="router alert"),
    pytest.param(b"\5\1\0", DESTINATION, HOP_BY_HOP, id="router alert of 1 byte"),
    pytest.param(b"\4\1\4", BOTH, (), id="tunnel limit"),
    pytest.param(b"\4\2\4\4", HOP_BY_HOP, DESTINATION, id="tunnel limit of 2 bytes"),
    pytest.param(
        b"\xc9\x10" + inet_pton(AF_INET6, CLIENT[6]), DESTINATION, HOP_BY_HOP, id="home address"
    ),
    pytest.param(b"\xc9\x0f" + bytes(15), (), BOTH, id="home address of 15 bytes"),
    pytest.param(b"\x63\4\0\0\0\0", HOP_BY_HOP, DESTINATION, id="RPL"),
    pytest.param(b"\x6d\2\0\0", HOP_BY_HOP, DESTINATION, id="MPL"),
    pytest.param(b"\xee\2\0\0", HOP_BY_HOP, DESTINATION, id="depth-first forwarding"),
    pytest.param(b"\x8b\4\0\0\0\0", DESTINATION, HOP_BY_HOP, id="ILNP nonce"),
    pytest.param(b"\x8c\4\0\0\0\0", DESTINATION, HOP_BY_HOP, id="line identification"),
]


@pytest.mark.parametrize(("data", "valid", "invalid"), TLV_ROWS)
def test_ipv6_options(data: bytes, valid: tuple[int, ...], invalid: tuple[int, ...]) -> None:
    for kind in valid:
        assert traits(chain((kind, options(data)))) == {HEADER_OF[kind]}
    for kind in invalid:
        assert traits(chain((kind, options(data)))) == {HEADER_OF[kind], INVALID}
    assert {*valid, *invalid} == set(BOTH)


def type_of_routing(kind: int) -> set[str]:
    if kind in (0, 1, 3, 253, 254, 255):
        return {f"ip6_routing_{kind}"}
    return set() if kind == 2 else {"ip6_routing_4_252"}


@pytest.mark.parametrize("kind", range(256))
def test_routing_headers(kind: int) -> None:
    assert traits(chain((ROUTING, routing(kind)))) == {"ip6_routing"} | type_of_routing(kind)


RESERVED_ROWS = [
    *(
        pytest.param(
            (ROUTING, routing(kind, bytes(at) + b"\1" + bytes(3 - at))),
            kind != 1,
            id=f"routing {kind} {at}",
        )
        for kind in (0, 1, 2)
        for at in range(4)
    ),
    pytest.param((ROUTING, routing(3, b"\xff\xf0\0\0")), False, id="routing 3, prefixes"),
    pytest.param((ROUTING, routing(3, b"\0\1\0\0")), True, id="routing 3, first bits"),
    pytest.param((ROUTING, routing(3, b"\0\0\1\0")), True, id="routing 3, second byte"),
    pytest.param((ROUTING, routing(3, b"\0\0\0\1")), True, id="routing 3, third byte"),
    pytest.param((ROUTING, routing(4, b"\1\2\3\4")), False, id="routing 4"),
    pytest.param((FRAGMENT, b"\0\0\0\0\0\0\7"), False, id="fragment"),
    pytest.param((FRAGMENT, b"\1\0\0\0\0\0\7"), True, id="fragment, byte"),
    pytest.param((FRAGMENT, b"\0\0\2\0\0\0\7"), True, id="fragment, one bit"),
    pytest.param((FRAGMENT, b"\0\0\4\0\0\0\7"), True, id="fragment, other bit"),
    pytest.param((AH, b"\4\0\0" + bytes(20)), False, id="AH"),
    pytest.param((AH, b"\4\0\1" + bytes(20)), True, id="AH, reserved"),
    pytest.param((135, b"\0\5\0" + bytes(4)), False, id="mobility"),
    pytest.param((135, b"\0\5\1" + bytes(4)), True, id="mobility, reserved"),
]


@pytest.mark.parametrize(("header", "is_set"), RESERVED_ROWS)
def test_reserved_fields(header: tuple[int, bytes], is_set: bool) -> None:
    assert (RESERVED in traits(chain(header))) == is_set


def test_several_headers_have_the_traits_of_all() -> None:
    headers = [
        (HOPS, options(b"\5\2\0\0")),
        (OPTIONS, options(b"\1\1\1")),
        (ROUTING, routing(0)),
        (FRAGMENT, b"\0\0\0\0\0\0\7"),
        (ROUTING, routing(9)),
    ]
    assert traits(chain(*headers)) == {
        "ip6_hop_by_hop",
        "ip6_destination_options",
        INVALID,
        "ip6_routing",
        "ip6_routing_0",
        "ip6_routing_4_252",
        "ip6_needless_fragment",
    }


def test_fragments_of_ipv6() -> None:
    more = (FRAGMENT, b"\0\0\1\0\0\0\7")
    assert traits(chain((OPTIONS, options(b"")), more)) == {"ip_frag", "ip6_destination_options"}
    assert traits(chain(more, (OPTIONS, options(b"")))) == {"ip_frag"}  # in what it carries
    assert traits(chain(more, end=58)) == {"ip_frag"}
    assert traits(chain((FRAGMENT, b"\0\0\0\0\0\0\7"))) == {"ip6_needless_fragment"}


ADDRESS_ROWS = [
    ("::192.0.2.10", SERVER[6], {"ip6_v4_compatible"}),
    (CLIENT[6], "::198.51.100.20", {"ip6_v4_compatible"}),
    ("::2", SERVER[6], {"ip6_v4_compatible"}),
    ("::1:0:0", SERVER[6], set()),
    ("2001:db8::fdff:ffff:ffff:ff80", SERVER[6], {"ip6_anycast_source"}),
    ("2001:db8::fdff:ffff:ffff:ffff", SERVER[6], {"ip6_anycast_source"}),
    ("2001:db8::fdff:ffff:ffff:ff7f", SERVER[6], set()),
    ("2001:db8::ffff:ffff:ffff:ffff", SERVER[6], set()),
    (CLIENT[6], "2001:db8::fdff:ffff:ffff:fffe", set()),
    ("2001:db8:0:1::", SERVER[6], set()),  # a router of a subnet, or a host of another
]


@pytest.mark.parametrize(("src", "dst", "expected"), ADDRESS_ROWS)
def test_addresses(src: str, dst: str, expected: set[str]) -> None:
    assert traits(IPv6(src=src, dst=dst) / UDP(sport=1, dport=2)) == expected


# ---- ICMPv6 --------------------------------------------------------------------------------------


def about(quoted: bytes, error: Layers) -> bytes:
    return bytes(IPv6(src=SERVER[6], dst=CLIENT[6]) / error / Raw(quoted))


BROKEN_QUOTES = [
    udp(6)[:47],
    b"\x40" + udp(6)[1:],
    udp(6, back=True),  # of somebody else
    bytes(IPv6(src=CLIENT[6], dst=SERVER[6]) / ICMPv6DestUnreach() / udp(6, back=True)),
    chain((HOPS, b"\7" + bytes(6))),
    b"",
]
ERRORS = [
    (ICMPv6DestUnreach(), "ip6_unreachable"),
    (ICMPv6PacketTooBig(mtu=1280), "ip6_too_big"),
    (ICMPv6TimeExceeded(), "ip6_time_exceeded"),
    (ICMPv6ParamProblem(), "ip6_param_problem"),
]


@pytest.mark.parametrize(("error", "name"), ERRORS)
def test_errors_that_quote_nothing_valid(error: Layers, name: str) -> None:
    first = chain((FRAGMENT, b"\0\0\1\0\0\0\7"))
    for quoted in (
        udp(6),
        udp(6)[:48],
        echo(6),
        tcp("A", 6),
        chain((OPTIONS, options(b""))),
        first,
    ):
        assert traits(about(quoted, error)) == set()
    for quoted in (*BROKEN_QUOTES, chain((FRAGMENT, b"\0\0\x09\0\0\0\7"))):
        assert traits(about(quoted, error)) == {name}


def test_a_small_mtu() -> None:
    assert traits(about(udp(6), ICMPv6PacketTooBig(mtu=1279))) == {"ip6_small_mtu"}
    assert traits(about(b"", ICMPv6PacketTooBig(mtu=0))) == {"ip6_small_mtu", "ip6_too_big"}
    assert traits(about(udp(6), ICMPv6PacketTooBig(mtu=0xFFFFFFFF))) == set()


ROUTER, OTHER_ROUTER = "fe80::1", "febf::2"


def redirected(quoted: bytes) -> bytes:
    padded = quoted + bytes(-len(quoted) % 8)
    return b"\4" + bytes([len(padded) // 8 + 1]) + bytes(6) + padded


def redirect(
    rest: bytes = b"",
    *,
    src: str = ROUTER,
    hlim: int = 255,
    code: int = 0,
    target: str = OTHER_ROUTER,
    dst: str = SERVER[6],
) -> bytes:
    message = ICMPv6ND_Redirect(tgt=target, dst=dst, code=code)
    return bytes(IPv6(src=src, dst=CLIENT[6], hlim=hlim) / message / Raw(rest))


LINK_ADDRESS = b"\2\1\2\0\0\0\0\1"


@pytest.mark.parametrize(
    "packet",
    [
        redirect(),
        redirect(target=SERVER[6]),
        redirect(LINK_ADDRESS),
        redirect(LINK_ADDRESS + redirected(udp(6))),
    ],
)
def test_a_redirect_a_host_would_take(packet: bytes) -> None:
    assert traits(packet) == set()


@pytest.mark.parametrize(
    "packet",
    [
        redirect(hlim=254),
        redirect(code=1),
        redirect(src="2001:db8::1"),
        redirect(target="2001:db8::2"),
        redirect(dst="ff02::1", target="ff02::1"),
        redirect(LINK_ADDRESS[:7]),
        redirect(b"\2" + bytes(7)),
        redirect(LINK_ADDRESS + b"\2\2" + bytes(6)),
        redirect(redirected(udp(6, back=True))),
        redirect(redirected(udp(6)[:40])),
        redirect(redirected(b"")),
    ],
)
def test_a_redirect_no_host_would_take(packet: bytes) -> None:
    assert traits(packet) == {"ip6_redirect"}
