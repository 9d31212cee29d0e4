"""Packet-based protection: every element of a profile, on and off, against a packet it is about and
one that differs from it in just that (fact sheet 4.4)."""

import struct
from typing import NamedTuple

import pytest
from msgspec.structs import replace
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6ND_Redirect,
    ICMPv6PacketTooBig,
    ICMPv6ParamProblem,
    ICMPv6TimeExceeded,
    IPv6,
)
from scapy.packet import Packet as Layers
from scapy.packet import Raw

from dataplane.snapshot import Zone, ZoneProtection
from native import COUNTERS, PROTECTIONS, Packet
from tests.support.packets import (
    ALLOW,
    BASTION,
    CLIENT,
    CLIENT_ISN,
    DMZ,
    FAMILIES,
    OWN,
    SERVER,
    TRUST,
    UNTRUST,
    Firewall,
    echo,
    icmp_error,
    ip,
    snapshot,
    tcp,
    udp,
)

COUNTER_NAMES = {info.number: info.name for info in COUNTERS}
COUNTER_OF = {info.name: COUNTER_NAMES[info.counter] for info in PROTECTIONS}


def firewall(*checks: str, zone: str = "trust", platform: str = "software") -> Firewall:
    """With these elements in the profile of a zone."""
    profile = ZoneProtection("profile", checks)
    configured = replace(snapshot(ALLOW), zones=(Zone(zone, profile),), strip_mptcp=False)
    return Firewall(configured, platform=platform)


# ---- what a packet is by itself ------------------------------------------------------------------


class Row(NamedTuple):
    check: str
    packet: bytes
    other: bytes  # what differs in just that
    before: bytes = b""  # goes first, unless there is no session to be had


def with_option(option: bytes) -> bytes:
    header = ip(4)
    header.options = option + bytes(-len(option) % 4)
    return bytes(header / UDP(sport=1, dport=2))


def with_header(kind: int, rest: bytes, *, src: str = CLIENT[6], dst: str = SERVER[6]) -> bytes:
    """UDP behind an extension header of 8 bytes; `rest` are those behind the next header."""
    packet = bytes(IPv6(src=src, dst=dst) / UDP(sport=1, dport=2))
    length = struct.pack("!H", len(packet) - 40 + 8)
    return packet[:4] + length + bytes([kind]) + packet[7:40] + b"\x11" + rest + packet[40:]


def routing(kind: int) -> bytes:
    return with_header(43, bytes([0, kind, 0]) + bytes(4))


def piece(protocol: int, offset: int) -> bytes:
    return bytes(IP(src=CLIENT[4], dst=SERVER[4], proto=protocol, frag=offset) / Raw(b"12345678"))


def broken(error: Layers) -> bytes:
    """An ICMPv6 error that quotes somebody else's packet."""
    return bytes(IPv6(src=CLIENT[6], dst=SERVER[6]) / error / Raw(udp(6)))


def about(error: Layers) -> bytes:
    """One that quotes a packet of the receiver's."""
    return bytes(IPv6(src=CLIENT[6], dst=SERVER[6]) / error / Raw(udp(6, back=True)))


def redirect(hops: int) -> bytes:
    message = ICMPv6ND_Redirect(tgt="fe80::2", dst=SERVER[6])
    return bytes(IPv6(src="fe80::1", dst=SERVER[6], hlim=hops) / message)


DATA = b"\1\4\0\0\0\0"  # padding
ROWS = [
    Row("ip_frag", piece(17, 1), udp()),
    Row("icmp_frag", piece(1, 1), piece(17, 1)),
    Row(
        "strict_source_routing",
        with_option(b"\x89\7\10\1\2\3\4"),
        with_option(b"\x83\7\10\1\2\3\4"),
    ),
    Row(
        "loose_source_routing", with_option(b"\x83\7\10\1\2\3\4"), with_option(b"\x89\7\10\1\2\3\4")
    ),
    Row("timestamp", with_option(b"\x44\x08\5\0" + bytes(4)), with_option(b"\7\7\4\0\0\0\0")),
    Row("record_route", with_option(b"\7\7\4\0\0\0\0"), with_option(b"\x83\7\10\1\2\3\4")),
    Row("security", with_option(b"\x82\3\xab"), with_option(b"\x88\4\0\7")),
    Row("stream_id", with_option(b"\x88\4\0\7"), with_option(b"\x82\3\xab")),
    Row("unknown_option", with_option(b"\x99\4\0\0"), with_option(b"\x94\4\0\0")),
    Row("malformed_option", with_option(b"\x94\3\0\0"), with_option(b"\x94\4\0\0")),
    *(Row("tcp_syn_data", tcp("S", n, payload=b"1"), tcp("S", n)) for n in FAMILIES),
    *(
        Row("tcp_synack_data", tcp("SA", n, payload=b"1"), tcp("SA", n), tcp("S", n, back=True))
        for n in FAMILIES
    ),
    Row("icmp_ping_zero_id", echo(identifier=0), echo(identifier=1)),
    Row("icmp_large", echo(payload=bytes(997)), echo(payload=bytes(996))),
    Row("icmp_error", icmp_error(udp(back=True)), echo(), udp(back=True)),
    *(Row(f"ip6_routing_{kind}", routing(kind), routing(2)) for kind in (0, 1, 3, 253, 254, 255)),
    *(Row("ip6_routing_4_252", routing(kind), routing(3)) for kind in (4, 252)),
    Row("ip6_routing", routing(2), udp(6)),
    Row("ip6_v4_compatible", udp(6, src="::192.0.2.10"), udp(6, src="2001:db8:1::c000:20a")),
    Row(
        "ip6_anycast_source",
        udp(6, src="2001:db8:1:0:fdff:ffff:ffff:ff80"),
        udp(6, src="2001:db8:1:0:fdff:ffff:ffff:ff7f"),
    ),
    Row("ip6_needless_fragment", with_header(44, bytes(7)), udp(6)),
    Row(
        "ip6_reserved_field",
        with_header(44, b"\1" + bytes(6)),
        with_header(44, bytes(7)),
    ),
    Row(
        "ip6_invalid_options",
        with_header(60, b"\0\1\4\0\0\7\0"),
        with_header(60, b"\0\1\4\0\0\0\0"),
    ),
    Row("ip6_hop_by_hop", with_header(0, b"\0" + DATA), with_header(60, b"\0" + DATA)),
    Row("ip6_destination_options", with_header(60, b"\0" + DATA), with_header(0, b"\0" + DATA)),
    Row(
        "ip6_small_mtu",
        about(ICMPv6PacketTooBig(mtu=1279)),
        about(ICMPv6PacketTooBig(mtu=1280)),
        udp(6, back=True),
    ),
    *(
        Row(check, broken(error), about(error), udp(6, back=True))
        for check, error in (
            ("ip6_unreachable", ICMPv6DestUnreach()),
            ("ip6_too_big", ICMPv6PacketTooBig(mtu=1280)),
            ("ip6_time_exceeded", ICMPv6TimeExceeded()),
            ("ip6_param_problem", ICMPv6ParamProblem()),
        )
    ),
    Row("ip6_redirect", redirect(254), redirect(255)),
]
# what is decided by more than the packet, further below; and what never comes so far
ELSEWHERE = {
    "ip_spoof",
    "strict_ip",
    "tcp_overlap_mismatch",
    "tcp_split_handshake",
    "suppress_time_exceeded",
    "suppress_need_frag",
    "strip_timestamp",
    "strip_fast_open",
    "strip_mptcp",
    "ip6_multicast_source",
}


def test_every_element_has_a_row() -> None:
    assert {row.check for row in ROWS} | ELSEWHERE == {info.name for info in PROTECTIONS}
    assert not {row.check for row in ROWS} & ELSEWHERE


def moved(target: Firewall, row: Row, packet: bytes) -> str:
    if row.before:
        assert target.send(row.before, UNTRUST).what == "forward"
    number = target.engine.port_number(TRUST)
    verdicts = target.engine.feed([Packet(packet, number, 0, 7)])
    if not verdicts:
        return "waits"  # a fragment, for the others
    return COUNTER_NAMES.get(verdicts[-1].reason) or verdicts[-1].action.name.lower()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.check)
def test_each_element_refuses_what_it_is_about_and_nothing_else(row: Row) -> None:
    counter = COUNTER_OF[row.check]
    protected = firewall(row.check)
    assert moved(protected, row, row.packet) == counter
    assert protected.counters()[counter] == 1
    assert moved(firewall(row.check), row, row.other) == moved(firewall(), row, row.other)
    others = {info.name for info in PROTECTIONS if COUNTER_OF[info.name] != counter} - ELSEWHERE
    alone = {name for name in others if moved(firewall(name), row, row.packet) == COUNTER_OF[name]}
    assert alone <= {"ip_frag", "ip6_routing", "ip6_destination_options", "ip6_needless_fragment"}
    for free in (firewall(), firewall(row.check, zone="untrust")):
        assert moved(free, row, row.packet) != counter
        assert counter not in free.counters()


@pytest.mark.parametrize("checks", [(), ("ip6_multicast_source",)])
def test_a_multicast_source_is_refused_with_and_without(checks: tuple[str, ...]) -> None:
    assert firewall(*checks).send(udp(6, src="ff02::1")).what == "flow_parse_ip6_mcast_source"


# ---- where the source is routed ------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("check", ["ip_spoof", "strict_ip"])
def test_sources(check: str, family: int) -> None:
    counter = COUNTER_OF[check]
    nowhere = {4: "172.16.1.1", 6: "2001:db8:99::1"}[family]
    for src, is_spoofed in (
        (CLIENT[family], False),
        (BASTION[family], True),  # of another zone
        (nowhere, True),
        (OWN[family], True),
    ):
        packet = udp(family, src=src)
        assert (firewall(check).send(packet).what == counter) == is_spoofed
        assert firewall().send(packet).what != counter
        assert firewall(check, zone="untrust").send(packet).what != counter


@pytest.mark.parametrize("check", ["ip_spoof", "strict_ip"])
def test_a_broadcast_address_is_nobodys(check: str) -> None:
    packet = udp(src="192.0.2.255")
    assert firewall(check).send(packet).what == COUNTER_OF[check]


def test_packets_of_a_session_are_not_asked() -> None:
    target = firewall("ip_spoof", zone="untrust")
    assert target.send(udp()).what == "forward"
    assert target.send(udp(back=True), UNTRUST).what == "forward"
    assert target.send(udp(src=BASTION[4], dst=SERVER[4]), DMZ).what == "forward"


# ---- segments ------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("zone", ["trust", "untrust", ""])
def test_a_server_that_opens_the_connection_itself(zone: str, family: int) -> None:
    target = firewall("tcp_split_handshake", zone=zone) if zone else firewall()
    refused = COUNTER_OF["tcp_split_handshake"]
    assert target.send(tcp("S", family)).what == "forward"
    answer = tcp("S", family, back=True)
    assert target.send(answer, UNTRUST).what == (refused if zone else "forward")
    assert target.send(tcp("SA", family, back=True), UNTRUST).what == "forward"
    assert target.send(tcp("A", family)).what == "forward"


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("platform", ["software", "pa-5000"])
@pytest.mark.parametrize("is_on", [False, True])
def test_segments_that_say_something_else_the_second_time(
    is_on: bool, platform: str, family: int
) -> None:
    target = firewall(*(["tcp_overlap_mismatch"] if is_on else []), platform=platform)
    refused = COUNTER_OF["tcp_overlap_mismatch"] if is_on else "forward"
    target.send(tcp("S", family))
    target.send(tcp("SA", family, back=True), UNTRUST)
    target.send(tcp("A", family))

    def said(text: bytes, offset: int = 0) -> str:
        segment = tcp("PA", family, seq=CLIENT_ISN + 1 + offset, payload=text)
        return target.send(segment).what

    assert said(b"GET /good") == "forward"
    assert said(b"GET /good") == "forward"
    assert said(b"GET /evil") == refused
    assert said(b"evil", 5) == refused
    assert said(b"d HTTP", 8) == "forward"
    assert said(b"GET /good HTTP!") == "forward"
    assert said(b"GET /good FTP!!!") == refused
    assert target.session().offloaded == (platform != "software" and not is_on)


# ---- TCP options ---------------------------------------------------------------------------------

ALL_OPTIONS = [
    ("MSS", 1400),
    ("Timestamp", (1, 0)),
    ("WScale", 7),
    (34, b"cook"),
    (30, b"\0\x81" + bytes(2)),
    (254, b"\xf9\x89cook"),
]
STRIPPED = {
    "strip_timestamp": {8},
    "strip_fast_open": {34, 254},
    "strip_mptcp": {30},
}


def kinds(segment: bytes) -> set[int]:
    """Those that are no padding, as they are in the bytes."""
    packet = IP(segment) if segment[0] >> 4 == 4 else IPv6(segment)
    rest = bytes(packet[TCP])[20 : packet[TCP].dataofs * 4]
    found = set()
    while rest and rest[0]:
        length = 1 if rest[0] == 1 else rest[1]
        found |= {rest[0]} - {1}
        rest = rest[length:]
    return found


def is_right(packet: bytes) -> bool:
    """Lengths and checksums are as they would be computed."""
    parsed = IP(packet) if packet[0] >> 4 == 4 else IPv6(packet)
    for layer, names in ((IP, ("len", "chksum")), (IPv6, ("plen",)), (TCP, ("chksum",))):
        for name in names if layer in parsed else ():
            delattr(parsed[layer], name)
    return bytes(parsed) == packet


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("zone", ["trust", "untrust"])
@pytest.mark.parametrize("check", list(STRIPPED))
def test_options_are_taken_out_of_both_syns(check: str, zone: str, family: int) -> None:
    target = firewall(check, zone=zone)
    syn = tcp("S", family, options=ALL_OPTIONS, payload=b"early")
    sent = target.send(syn).data
    assert sent
    assert kinds(sent) == kinds(syn) - STRIPPED[check]
    assert sent.endswith(b"early") == (check != "strip_fast_open")
    assert is_right(sent)
    assert len(syn) - len(sent) == (5 if check == "strip_fast_open" else 0)
    answer = tcp("SA", family, options=ALL_OPTIONS, back=True)
    back = target.send(answer, UNTRUST).data
    assert back
    assert kinds(back) == kinds(answer) - STRIPPED[check]
    assert is_right(back)
    late = tcp("A", family, options=ALL_OPTIONS)
    assert target.send(late).data in (None, late)
    found = target.counters()
    assert (found[COUNTER_OF[check]], found["tcp_option_strip"]) == (2, 2)
    assert firewall().send(syn).data in (None, syn)
    assert target.send(tcp("S", family, sport=7)).data in (None, tcp("S", family, sport=7))


def test_data_without_fast_open_stays() -> None:
    syn = tcp("S", payload=b"early", options=[("MSS", 1400)])
    assert firewall("strip_fast_open").send(syn).data in (None, syn)


def test_what_the_client_sent_early_it_sends_again() -> None:
    target = firewall("strip_fast_open")
    target.send(tcp("S", options=[(34, b"cookie!!")], payload=b"early"))
    assert target.send(tcp("SA", back=True), UNTRUST).what == "forward"
    assert target.send(tcp("PA", payload=b"early")).what == "forward"


# ---- ICMP errors ---------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("is_on", [False, True])
def test_a_hop_limit_that_ends_here(is_on: bool, family: int) -> None:
    target = firewall(*(["suppress_time_exceeded"] if is_on else []))
    answer = target.send(udp(family, ttl=1))
    assert answer.what == "flow_fwd_l3_ttl_zero"
    assert bool(answer.emitted) != is_on
    assert target.counters().get(COUNTER_OF["suppress_time_exceeded"], 0) == is_on


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("is_on", [False, True])
def test_a_packet_too_long_for_the_way_out(is_on: bool, family: int) -> None:
    profile = ZoneProtection("profile", ("suppress_need_frag",) if is_on else ())
    ports = tuple(replace(port, mtu=1400) for port in snapshot().ports)
    target = Firewall(replace(snapshot(ALLOW), ports=ports, zones=(Zone("trust", profile),)))
    answer = target.send(udp(family, payload=bytes(1500)))
    assert answer.what == "ip_df_drop"
    assert bool(answer.emitted) != is_on
    assert target.counters().get(COUNTER_OF["suppress_need_frag"], 0) == is_on
