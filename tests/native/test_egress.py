"""What a packet meets on its way out: hop limit, MTU, and the errors its sender is told."""

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6PacketTooBig,
    ICMPv6TimeExceeded,
    IPv6,
)
from scapy.packet import Packet as Layers
from scapy.packet import Raw

from native import InputFlag, Verdict
from tests.support.translation import (
    CLIENT,
    HOST_MARK,
    INSIDE,
    NS,
    OUTSIDE,
    OWN,
    SERVER,
    Translation,
    Translator,
    parsed,
    rebuilt,
)

FAMILIES = (4, 6)
PUBLIC = {4: "198.51.100.7", 6: "2001:db8:2:ffff::7"}


def ip(family: int, src: str, dst: str, hops: int = 64, **fields: object) -> Layers:
    if family == 4:
        return IP(src=src, dst=dst, ttl=hops, **fields)
    return IPv6(src=src, dst=dst, hlim=hops)


def udp(family: int, size: int = 20, hops: int = 64, **fields: object) -> bytes:
    header = ip(family, CLIENT[family], SERVER[family], hops, **fields)
    return bytes(header / UDP(sport=40_000, dport=53) / bytes(size))


def told(translator: Translator, verdicts: list[Verdict], reason: str) -> Layers:
    """The error that was sent beside a drop."""
    emitted, dropped = verdicts
    assert (emitted.action.name, emitted.port, emitted.mark) == ("EMIT", INSIDE, HOST_MARK)
    assert (dropped.action.name, translator.reason(dropped)) == ("DROP", reason)
    assert emitted.data is not None
    packet = parsed(emitted.data)
    message = packet.payload
    quoted = Raw(bytes(message.payload))  # as bytes: what is cut off has no right lengths
    message.remove_payload()
    message.add_payload(quoted)
    assert bytes(packet) == rebuilt(packet) == emitted.data
    return packet


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("is_known", [False, True])
@pytest.mark.parametrize("translation", [Translation(), Translation(PUBLIC[4], 5000)])
def test_a_hop_limit_that_ends_here_is_told_to_the_original_sender(
    translation: Translation, is_known: bool, family: int
) -> None:
    if translation.source:
        translation = Translation(PUBLIC[family], 5000)
    translator = Translator()
    if is_known:
        translator.forwarded(udp(family), translation=translation)
    data = udp(family, hops=1)
    error = told(translator, translator.feed(data, translation=translation), "flow_fwd_l3_ttl_zero")
    assert (error.src, error.dst) == (OWN[family][0], CLIENT[family])
    if family == 4:
        assert (error[ICMP].type, error[ICMP].code) == (11, 0)
        assert bytes(error)[28:] == data
    else:
        assert error[ICMPv6TimeExceeded].code == 0
        assert bytes(error)[48:] == data
    view = translator.engine.session(1)
    assert view is not None
    assert view.packets_c2s == is_known  # what does not leave is not the session's


def test_a_hop_limit_of_two_is_enough() -> None:
    assert Translator().forwarded(udp(4, hops=2)) == udp(4, hops=2)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_packet_too_long_for_the_way_out(family: int) -> None:
    translator = Translator(mtu=1300)
    header = 28 if family == 4 else 48
    fields = {"flags": "DF"} if family == 4 else {}
    fits = udp(family, 1300 - header, **fields)
    translation = Translation(PUBLIC[family], 5000)
    assert len(translator.forwarded(fits, translation=translation)) == 1300
    data = udp(family, 1301 - header, **fields)
    error = told(translator, translator.feed(data), "ip_df_drop")
    if family == 4:
        assert (error[ICMP].type, error[ICMP].code, error[ICMP].nexthopmtu) == (3, 4, 1300)
        assert len(error) == 576
        assert bytes(error)[28:] == data[: 576 - 28]
    else:
        assert error[ICMPv6PacketTooBig].mtu == 1300
        assert len(error) == 1280
        assert bytes(error)[48:] == data[: 1280 - 48]
    assert translator.engine.counters()["flow_fwd_mtu_exceeded"] == 1


def test_what_may_be_fragmented_and_what_is_cut_into_segments_later_passes() -> None:
    translator = Translator(mtu=1300)
    assert len(translator.forwarded(udp(4, 3000, flags=0))) == 3028
    long = bytes(IP(src=CLIENT[4], dst=SERVER[4], flags="DF") / TCP(sport=1, dport=2) / bytes(9000))
    assert len(translator.forwarded(long, flags=InputFlag.GSO)) == 9040


@pytest.mark.parametrize("family", FAMILIES)
def test_who_is_denied_may_be_told(family: int) -> None:
    translator = Translator()
    data = udp(family)
    verdicts = translator.feed(data, action="drop", icmp_unreachable=True)
    error = told(translator, verdicts, "flow_policy_deny")
    if family == 4:
        assert (error[ICMP].type, error[ICMP].code) == (3, 13)
        assert bytes(error)[28:] == data
    else:
        assert error[ICMPv6DestUnreach].code == 1


def test_so_many_a_second_are_told() -> None:
    translator = Translator()

    def denied(count: int) -> int:
        sent = 0
        for sport in range(count):
            data = bytes(IP(src=CLIENT[4], dst=SERVER[4]) / UDP(sport=sport, dport=53))
            spec = {"action": "drop", "icmp_unreachable": True, "keep_denied": False}
            sent += len(translator.feed(data, **spec)) - 1
        return sent

    assert denied(250) == 200
    translator.now_ns = NS
    assert denied(10) == 10
    assert translator.engine.counters()["flow_icmp_err_limited"] == 50


SILENT = [
    pytest.param(IP(src=CLIENT[4], dst="10.2.0.9", ttl=1) / ICMP(type=8), True, id="echo"),
    pytest.param(
        IP(src=CLIENT[4], dst=SERVER[4], ttl=1)
        / ICMP(type=3, code=3)
        / IP(src=SERVER[4], dst=CLIENT[4])
        / UDP(sport=53, dport=40_000),
        False,
        id="an error",
    ),
]


@pytest.mark.parametrize(("packet", "speaks"), SILENT)
def test_there_is_no_error_about_an_error(packet: Layers, speaks: bool) -> None:
    translator = Translator()
    translator.forwarded(udp(4))
    emitted = [v for v in translator.feed(bytes(packet)) if v.action.name == "EMIT"]
    assert bool(emitted) == speaks


# ---- bridged ports -------------------------------------------------------------------------------

MAC = bytes.fromhex("020000000007")
BRIDGED = {"layer2": "flow_fwd_bridge_pass", "virtual-wire": "flow_fwd_bridge_pass"}


def bridge(mode: str, *, inspects: bool = False, ipv6: bool = True) -> Translator:
    translator = Translator()
    translator.set_ports(mode=mode, multicast_firewalling=inspects, ipv6_firewalling=ipv6)
    return translator


PASSED = [
    pytest.param(IP(src=CLIENT[4], dst="224.1.2.3") / UDP(sport=1, dport=2), id="multicast"),
    pytest.param(IP(src=CLIENT[4], dst="255.255.255.255") / UDP(sport=1, dport=2), id="broadcast"),
    pytest.param(IPv6(src=CLIENT[6], dst="ff0e::7") / UDP(sport=1, dport=2), id="IPv6 multicast"),
]


LOCAL_BROADCAST = IP(src=CLIENT[4], dst="10.2.0.255") / UDP(sport=1, dport=2)


@pytest.mark.parametrize(
    ("packet", "flags", "is_inspected"),
    [
        pytest.param(LOCAL_BROADCAST, InputFlag.BROADCAST, False, id="local broadcast"),
        pytest.param(LOCAL_BROADCAST, 0, True, id="a host with such an address"),
        pytest.param(IP(udp(4)), InputFlag.BROADCAST, True, id="for one host, in a frame for all"),
    ],
)
def test_a_bridge_passes_a_local_broadcast_and_nothing_in_its_disguise(
    packet: Layers, flags: int, is_inspected: bool
) -> None:
    (verdict,) = bridge("layer2").feed(bytes(packet), flags=flags, egress=OUTSIDE)
    assert (verdict.action.name, verdict.session) == ("FORWARD", int(is_inspected))


@pytest.mark.parametrize("packet", PASSED)
@pytest.mark.parametrize("mode", BRIDGED)
def test_a_bridge_passes_multicast_and_broadcast_unseen(mode: str, packet: Layers) -> None:
    translator = bridge(mode)
    (verdict,) = translator.feed(bytes(packet), egress=OUTSIDE)
    assert (verdict.action.name, verdict.port, verdict.session) == ("FORWARD", OUTSIDE, 0)
    assert translator.engine.counters()["flow_fwd_bridge_pass"] == 1


@pytest.mark.parametrize("packet", PASSED)
def test_a_virtual_wire_inspects_multicast_where_told(packet: Layers) -> None:
    translator = bridge("virtual-wire", inspects=True)
    (verdict,) = translator.feed(bytes(packet), egress=OUTSIDE)
    assert (verdict.action.name, verdict.session) == ("FORWARD", 1)


@pytest.mark.parametrize("mode", [*BRIDGED, "tap", "layer3"])
@pytest.mark.parametrize("inspects", [False, True])
def test_ipv6_where_it_is_inspected_and_where_not(inspects: bool, mode: str) -> None:
    translator = bridge(mode, ipv6=inspects)
    (verdict,) = translator.feed(udp(6), egress=0 if mode == "layer3" else OUTSIDE)
    reason = translator.reason(verdict)
    expected = {
        ("layer3", True): ("FORWARD", "", 1),
        ("layer3", False): ("DROP", "flow_ipv6_disabled", 0),
        ("tap", True): ("DROP", "flow_tap_drop", 1),
        ("tap", False): ("DROP", "flow_ipv6_disabled", 0),
    }.get((mode, inspects), ("FORWARD", "", int(inspects)))
    assert (verdict.action.name, reason, verdict.session) == expected


def test_a_tap_is_followed_and_passes_nothing() -> None:
    translator = bridge("tap")
    header = UDP(sport=53, dport=40_000) / b"answer"
    answer = bytes(IP(src=SERVER[4], dst=CLIENT[4]) / header)
    for data, port in ((udp(4), INSIDE), (answer, INSIDE), (udp(4), INSIDE)):
        (verdict,) = translator.feed(data, port, egress_port=INSIDE, zone=INSIDE)
        assert translator.reason(verdict) == "flow_tap_drop"
    view = translator.engine.session(1)
    assert view is not None
    assert (view.packets_c2s, view.packets_s2c) == (2, 1)


def test_a_bridge_says_where_a_packet_goes_now() -> None:
    """The host has moved to another port of the same zone; in another one it is not followed."""
    translator = bridge("layer2")
    translator.feed(udp(4), egress=OUTSIDE)
    same, other = translator.add_port(OUTSIDE), translator.add_port(9)
    (verdict,) = translator.feed(udp(4), egress=same)
    assert (verdict.action.name, verdict.port) == ("FORWARD", same)
    (verdict,) = translator.feed(udp(4), egress=other)
    assert translator.reason(verdict) == "flow_fwd_zonechange"


def test_what_is_flooded_and_denied_to_one_zone_may_go_to_another() -> None:
    translator = bridge("layer2")
    denied = translator.add_port(9)
    for _ in range(2):
        (verdict,) = translator.feed(udp(4), egress=denied, zone=9, action="deny")
        assert translator.reason(verdict) == "flow_policy_deny"
        (verdict,) = translator.feed(udp(4), egress=denied, zone=9, action="deny")
        assert translator.reason(verdict) == "flow_discard_drop"
        (verdict,) = translator.feed(udp(4), egress=OUTSIDE)
        assert translator.reason(verdict) == ""
        (verdict,) = translator.feed(udp(4), egress=denied)
        assert translator.reason(verdict) == "flow_fwd_zonechange"
        for view in translator.engine.sessions(0)[0]:
            assert translator.engine.clear(view.id)


def test_an_error_goes_by_a_bridge_only_where_its_session_goes() -> None:
    translator = bridge("layer2")
    translator.feed(udp(4), egress=OUTSIDE)
    same, other = translator.add_port(INSIDE), translator.add_port(9)
    error = bytes(IP(src=SERVER[4], dst=CLIENT[4]) / ICMP(type=3, code=3) / udp(4))
    for egress, expected in ((INSIDE, ""), (same, ""), (other, "flow_fwd_zonechange")):
        (verdict,) = translator.feed(error, OUTSIDE, egress=egress)
        assert translator.reason(verdict) == expected


@pytest.mark.parametrize("mode", BRIDGED)
@pytest.mark.parametrize("family", FAMILIES)
def test_what_nobody_asked_for_does_not_go_by_a_bridge_to_an_address_of_the_firewall(
    family: int, mode: str
) -> None:
    translator = bridge(mode)
    header = ip(family, CLIENT[family], OWN[family][0])
    reply = header / (ICMP(type=0) if family == 4 else ICMPv6EchoReply())
    quoted = bytes(ip(family, OWN[family][0], CLIENT[family]) / UDP(sport=1, dport=2))
    error = header / (ICMP(type=3, code=3) if family == 4 else ICMPv6DestUnreach()) / quoted
    for packet in (reply, error):
        (verdict,) = translator.feed(bytes(packet), egress=OUTSIDE)
        assert translator.reason(verdict) == "flow_icmp_no_session"


def test_a_reset_on_a_bridge_is_a_frame_to_the_sender() -> None:
    translator = bridge("virtual-wire")
    syn = bytes(IP(src=CLIENT[4], dst=SERVER[4]) / TCP(sport=1, dport=2))
    emitted, _ = translator.feed(syn, egress=OUTSIDE, mac=MAC, action="reset-both")
    assert (emitted.action.name, emitted.mac, emitted.port) == ("EMIT", MAC, INSIDE)


# ---- the firewall itself -------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_a_session_with_the_firewall_itself(family: int) -> None:
    translator = Translator()
    for flags, timer in (("S", 10), ("A", 3600), ("PA", 3600), ("FA", 15), ("A", 15)):
        segment = TCP(sport=40_000, dport=22, flags=flags) / (b"x" if "P" in flags else b"")
        data = bytes(ip(family, CLIENT[family], OWN[family][0], 1) / segment)
        (verdict,) = translator.feed(data, is_host=True)
        assert (verdict.action.name, verdict.mark, verdict.session) == ("HOST", HOST_MARK, 1)
        view = translator.engine.session(1)
        assert view is not None
        assert view.timeout_s == timer
        assert view.is_host
    assert (view.packets_c2s, view.packets_s2c, view.end_reason) == (5, 0, "tcp-fin")


@pytest.mark.parametrize("family", FAMILIES)
def test_replies_to_what_the_firewall_asked_itself(family: int) -> None:
    translator = Translator()
    reply = ICMPv6EchoReply(id=1, seq=1) if family == 6 else ICMP(type=0, id=1, seq=1)
    for address, expected in ((OWN[family][0], "HOST"), ("10.2.0.77", "DROP")):
        if family == 6 and expected == "DROP":
            address = "2001:db8:2::77"
        (verdict,) = translator.feed(bytes(ip(family, SERVER[family], address) / reply), OUTSIDE)
        assert verdict.action.name == expected


# ---- a policy that changes -----------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("action", "told_ports"),
    [("deny", []), ("reset-client", [1]), ("reset-server", [2]), ("reset-both", [1, 2])],
)
def test_a_live_connection_that_is_denied_is_reset_where_the_action_says(
    action: str, told_ports: list[int], family: int
) -> None:
    translator = Translator()
    translation = Translation(PUBLIC[family], 5000)
    client, server = CLIENT[family], SERVER[family]
    syn = bytes(ip(family, client, server) / TCP(sport=40_000, dport=80, seq=100))
    translator.forwarded(syn, translation=translation)
    answer = TCP(sport=80, dport=5000, flags="SA", seq=500, ack=101)
    translator.forwarded(bytes(ip(family, server, PUBLIC[family]) / answer), OUTSIDE)
    ack = TCP(sport=40_000, dport=80, flags="PA", seq=101, ack=501) / b"hello"
    translator.forwarded(bytes(ip(family, client, server) / ack))
    assert translator.engine.deny(1, action, 3)
    verdicts = translator.engine.verdicts()
    assert [v.port for v in verdicts] == told_ports
    for verdict in verdicts:
        assert verdict.data is not None
        reset = parsed(verdict.data)
        segment = reset[TCP]
        assert bytes(reset) == rebuilt(reset)
        assert segment.flags == "RA"
        ends = (reset.src, segment.sport, reset.dst, segment.dport, segment.seq, segment.ack)
        if verdict.port == INSIDE:
            assert ends == (server, 80, client, 40_000, 501, 106)
        else:
            assert ends == (PUBLIC[family], 5000, server, 80, 106, 501)
