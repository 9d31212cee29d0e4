"""Translated packets, byte for byte; scapy computes every checksum anew and must find them so."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP, ICMPerror, IPerror, TCPerror, UDPerror
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6PacketTooBig,
    ICMPv6TimeExceeded,
    IPv6,
)
from scapy.packet import Packet as Layers

from native import InputFlag
from tests.support.translation import (
    AS_IS,
    CLIENT,
    INSIDE,
    OUTSIDE,
    OWN,
    SERVER,
    Translation,
    Translator,
    parsed,
    rebuilt,
)

PUBLIC = {4: "198.51.100.7", 6: "2001:db8:2:ffff::7"}
REAL = {4: "10.2.7.77", 6: "2001:db8:2::4d4d"}
HOP = {4: "192.0.2.33", 6: "2001:db8:99::1"}
FAMILIES = (4, 6)
TRANSLATIONS = {
    "none": lambda family: AS_IS,
    "source": lambda family: Translation(PUBLIC[family], 61_234),
    "source address": lambda family: Translation(PUBLIC[family]),
    "destination": lambda family: Translation(None, None, REAL[family], 8080),
    "both": lambda family: Translation(PUBLIC[family], 2000, REAL[family], 8080),
    "port": lambda family: Translation(None, 1024, None, None),
}


def ip(family: int, src: str, dst: str, **fields: object) -> Layers:
    return IP(src=src, dst=dst, **fields) if family == 4 else IPv6(src=src, dst=dst, **fields)


def from_client(family: int, layer: Layers) -> bytes:
    return bytes(ip(family, CLIENT[family], SERVER[family]) / layer)


def outer_ends(family: int, translation: Translation) -> tuple[str, str]:
    return translation.source or CLIENT[family], translation.destination or SERVER[family]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", TRANSLATIONS)
@pytest.mark.parametrize("layer", [TCP, UDP])
@pytest.mark.parametrize("unfinished", [False, True])
@settings(max_examples=10)
@given(payload=st.binary(max_size=90), seq=st.integers(0, 0xFFFFFFFF))
def test_ports_and_addresses_in_both_directions(
    unfinished: bool,
    layer: Callable[..., Layers],
    name: str,
    family: int,
    payload: bytes,
    seq: int,
) -> None:
    translation = TRANSLATIONS[name](family)
    translator = Translator()
    if layer is TCP:
        there, back = (
            TCP(sport=40_000, dport=80, seq=seq),
            TCP(flags="SA", ack=seq + 1 & 0xFFFFFFFF),
        )
    else:
        there, back = UDP(sport=40_000, dport=80) / payload, UDP() / payload
    outer = outer_ends(family, translation)
    sport, dport = translation.sport or 40_000, translation.dport or 80
    flags = InputFlag.CHECKSUM_UNFINISHED if unfinished else 0
    for port, header, ends in (
        (
            INSIDE,
            there,
            ((CLIENT[family], 40_000, SERVER[family], 80), (outer[0], sport, outer[1], dport)),
        ),
        (
            OUTSIDE,
            back,
            ((outer[1], dport, outer[0], sport), (SERVER[family], 80, CLIENT[family], 40_000)),
        ),
    ):
        before, after = (_with_ends(family, header, end) for end in ends)
        data = bytes(before)
        if unfinished and name != "none":
            broken = parsed(data)
            broken[layer].chksum = 0x1234
            data = bytes(broken)
        assert translator.forwarded(data, port, translation, flags=flags) == bytes(after)


def _with_ends(family: int, header: Layers, ends: tuple[str, int, str, int]) -> Layers:
    src, sport, dst, dport = ends
    copy = header.copy()
    copy.sport, copy.dport = sport, dport
    return ip(family, src, dst) / copy


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("unfinished", [False, True])
def test_an_echo_has_its_identifier_translated(unfinished: bool, family: int) -> None:
    translation = Translation(PUBLIC[family], 777)
    flags = InputFlag.CHECKSUM_UNFINISHED if unfinished else 0

    def echo(reply: bool, identifier: int, src: str, dst: str) -> bytes:
        if family == 6:
            kind = ICMPv6EchoReply if reply else ICMPv6EchoRequest
            return bytes(IPv6(src=src, dst=dst) / kind(id=identifier, seq=9, data=b"abc"))
        return bytes(
            IP(src=src, dst=dst) / ICMP(type=0 if reply else 8, id=identifier, seq=9) / b"abc"
        )

    translator = Translator()
    request = echo(False, 4321, CLIENT[family], SERVER[family])
    there = translator.forwarded(request, INSIDE, translation, flags=flags)
    assert there == echo(False, 777, PUBLIC[family], SERVER[family])
    answer = echo(True, 777, SERVER[family], PUBLIC[family])
    assert translator.forwarded(answer, OUTSIDE) == echo(True, 4321, SERVER[family], CLIENT[family])


@pytest.mark.parametrize("family", FAMILIES)
def test_other_protocols_have_their_addresses_translated(family: int) -> None:
    fields = {"proto": 47} if family == 4 else {"nh": 47}
    packet = bytes(ip(family, CLIENT[family], SERVER[family], **fields) / b"12345678")
    expected = bytes(ip(family, PUBLIC[family], SERVER[family], **fields) / b"12345678")
    assert Translator().forwarded(packet, INSIDE, Translation(PUBLIC[family])) == expected


def test_a_udp_packet_without_checksum_stays_without() -> None:
    data = from_client(4, UDP(sport=40_000, dport=53, chksum=0) / b"x")
    packet = parsed(Translator().forwarded(data, INSIDE, Translation(PUBLIC[4], 5000)))
    assert (packet[UDP].chksum, packet[UDP].sport, packet.src) == (0, 5000, PUBLIC[4])
    assert bytes(packet)[:20] == rebuilt(packet)[:20]


@given(last=st.integers(0, 0xFFFF))
def test_a_udp_checksum_never_becomes_zero(last: int) -> None:
    """0 would say that there is none; one of the payloads makes it so."""
    data = from_client(4, UDP(sport=40_000, dport=53) / last.to_bytes(2, "big"))
    out = Translator().forwarded(data, INSIDE, Translation(PUBLIC[4], 5000))
    assert parsed(out)[UDP].chksum != 0
    assert out == rebuilt(parsed(out))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("translates", [False, True])
@pytest.mark.parametrize(("found", "dscp"), [(0, 46), (46, 0), (63, 1), (10, 10), (5, None)])
def test_dscp_is_marked_and_the_congestion_bits_stay(
    found: int, dscp: int | None, translates: bool, family: int
) -> None:
    tos = found << 2 | 2
    fields = {"tos": tos} if family == 4 else {"tc": tos, "fl": 0xABCDE}
    header = UDP(sport=40_000, dport=53) / b"x"
    translation = Translation(PUBLIC[family]) if translates else AS_IS
    out = Translator().forwarded(
        bytes(ip(family, CLIENT[family], SERVER[family], **fields) / header),
        translation=translation,
        dscp=(dscp, None),
    )
    tos = (found if dscp is None else dscp) << 2 | 2
    fields = {"tos": tos} if family == 4 else {"tc": tos, "fl": 0xABCDE}
    source = PUBLIC[family] if translates else CLIENT[family]
    assert out == bytes(ip(family, source, SERVER[family], **fields) / header)


OPTIONS = [
    pytest.param([("MSS", 1460)], [("MSS", 1300)], id="first"),
    pytest.param([("NOP", None), ("MSS", 1460)], [("NOP", None), ("MSS", 1300)], id="odd"),
    pytest.param([("NOP", None), ("MSS", 1300)], [("NOP", None), ("MSS", 1300)], id="fits"),
    pytest.param(
        [("MSS", 9000), ("SAckOK", b""), ("Timestamp", (1, 0)), ("WScale", 7)],
        [("MSS", 1300), ("SAckOK", b""), ("Timestamp", (1, 0)), ("WScale", 7)],
        id="many",
    ),
    pytest.param([], [], id="none"),
]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("options", "expected"), OPTIONS)
@pytest.mark.parametrize("translates", [False, True])
def test_a_syn_asks_for_no_more_than_the_port_takes(
    translates: bool,
    options: list[tuple[str, object]],
    expected: list[tuple[str, object]],
    family: int,
) -> None:
    translator = Translator(largest_mss=(1300, 1300))
    translation = Translation(PUBLIC[family], 5000) if translates else AS_IS
    syn = from_client(family, TCP(sport=40_000, dport=80, options=options))
    out = translator.forwarded(syn, INSIDE, translation)
    source, sport = (PUBLIC[family], 5000) if translates else (CLIENT[family], 40_000)
    assert out == bytes(
        ip(family, source, SERVER[family]) / TCP(sport=sport, dport=80, options=expected)
    )
    answer = ip(family, SERVER[family], source) / TCP(
        sport=80, dport=sport, flags="SA", ack=1, options=options
    )
    back = translator.forwarded(bytes(answer), OUTSIDE)
    assert back == bytes(
        ip(family, SERVER[family], CLIENT[family])
        / TCP(sport=80, dport=40_000, flags="SA", ack=1, options=expected)
    )


# ---- ICMP errors ---------------------------------------------------------------------------------


def error_about(quoted: bytes, src: str, dst: str, kind: str, family: int) -> bytes:
    if family == 4:
        kinds = {"time": (11, 0, 0), "port": (3, 3, 0), "too big": (3, 4, 1200)}
        number, code, mtu = kinds[kind]
        return bytes(IP(src=src, dst=dst) / ICMP(type=number, code=code, nexthopmtu=mtu) / quoted)
    headers = {
        "time": ICMPv6TimeExceeded(),
        "port": ICMPv6DestUnreach(code=4),
        "too big": ICMPv6PacketTooBig(mtu=1280),
    }
    return bytes(IPv6(src=src, dst=dst) / headers[kind] / quoted)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", TRANSLATIONS)
@pytest.mark.parametrize("layer", [TCP, UDP])
@pytest.mark.parametrize("kind", ["time", "port", "too big"])
@pytest.mark.parametrize("cut", [28, 200])
def test_an_error_about_a_packet_reaches_its_sender_and_quotes_what_that_sent(
    cut: int, kind: str, layer: Callable[..., Layers], name: str, family: int
) -> None:
    cut += 20 if family == 6 else 0
    translation = TRANSLATIONS[name](family)
    translator = Translator()
    header = layer(sport=40_000, dport=80) / (b"" if layer is TCP else b"data" * 5)
    sent = from_client(family, header)
    seen = translator.forwarded(sent, INSIDE, translation)
    source, _ = outer_ends(family, translation)
    out = translator.forwarded(error_about(seen[:cut], HOP[family], source, kind, family), OUTSIDE)
    # a destination that was translated hides behind its public address whoever stands there
    hop = SERVER[family] if translation.destination else HOP[family]
    if name == "port":
        hop = HOP[family]
    assert out == error_about(sent[:cut], hop, CLIENT[family], kind, family)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", TRANSLATIONS)
def test_an_error_about_an_answer_reaches_the_server(name: str, family: int) -> None:
    translation = TRANSLATIONS[name](family)
    translator = Translator()
    translator.forwarded(
        from_client(family, UDP(sport=40_000, dport=80) / b"q"), INSIDE, translation
    )
    source, destination = outer_ends(family, translation)
    sport, dport = translation.sport or 40_000, translation.dport or 80
    answer = bytes(ip(family, destination, source) / UDP(sport=dport, dport=sport) / b"answer")
    seen = translator.forwarded(answer, OUTSIDE)
    error = error_about(seen, CLIENT[family], SERVER[family], "port", family)
    out = translator.forwarded(error, INSIDE)
    assert out == error_about(answer, source, destination, "port", family)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_error_about_an_echo_has_its_identifier_back(family: int) -> None:
    translator = Translator()
    echo = ICMPv6EchoRequest(id=9, seq=1) if family == 6 else ICMP(id=9, seq=1)
    sent = from_client(family, echo / (b"" if family == 6 else b"xyz"))
    seen = translator.forwarded(sent, INSIDE, Translation(PUBLIC[family], 5555))
    error = error_about(seen, HOP[family], PUBLIC[family], "time", family)
    out = translator.forwarded(error, OUTSIDE)
    assert out == error_about(sent, HOP[family], CLIENT[family], "time", family)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_kernels_own_error_about_a_translated_packet_reaches_its_sender(family: int) -> None:
    """The kernel believes that it speaks to itself: the packet had its address."""
    own = OWN[family][1]
    translator = Translator()
    sent = from_client(family, TCP(sport=40_000, dport=80))
    seen = translator.forwarded(sent, INSIDE, Translation(own, 5000))
    error = error_about(seen, own, own, "too big", family)
    (verdict,) = translator.feed(error, flags=InputFlag.FROM_HOST)
    assert verdict.action.name == "HOST"
    assert verdict.data == error_about(sent, own, CLIENT[family], "too big", family)
    (verdict,) = translator.feed(
        error_about(sent, own, own, "too big", family), flags=InputFlag.FROM_HOST
    )
    assert (verdict.action.name, verdict.data) == ("HOST", None)  # of nobody's packet


def test_quoted_layers_are_seen_as_such() -> None:
    """The referee reads what is quoted, too: its own errors would hide ours."""
    quoted = from_client(4, UDP(sport=1, dport=2) / b"x")
    packet = parsed(error_about(quoted, HOP[4], CLIENT[4], "time", 4))
    found = [packet.haslayer(layer) > 0 for layer in (IPerror, UDPerror, TCPerror, ICMPerror)]
    assert found == [True, True, False, False]
