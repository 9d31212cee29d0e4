"""Packets out of tunnels and into them: every header's variations, and what comes back whole."""

import struct
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    IPv6,
)
from scapy.layers.l2 import ARP, GRE, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet as Layers
from scapy.packet import Raw

from native import (
    COUNTERS,
    Engine,
    EngineConfig,
    InputFlag,
    Packet,
    PortConfig,
    SessionSpec,
    TunnelConfig,
    Verdict,
)
from tests.support.translation import packed, parsed, rebuilt

INSIDE, OUTSIDE, TUNNEL, NESTED, BARE = range(1, 6)  # ports, and their zones
LOCAL = {4: "198.51.100.1", 6: "2001:db8:2::1"}
PEER = {4: "198.51.100.9", 6: "2001:db8:2::9"}
CLIENT = {4: "192.0.2.10", 6: "2001:db8:1::10"}
FAR = {4: "10.9.1.2", 6: "2001:db8:9::2"}
OWN = {4: "10.9.1.1", 6: "2001:db8:9::1"}  # the firewall's in the tunnel
MAC, PEER_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02"
VNI, VXLAN_PORT, TTL, MTU = 0x123456, 4789, 77, 1280
TYPES = ("gre", "ipip", "vxlan")
FAMILIES = (4, 6)
_NAMES = {counter.number: counter.name for counter in COUNTERS}
_OVERHEAD = {"gre": 4, "ipip": 0, "vxlan": 30}


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


class Lab:
    """=> what comes by a tunnel opens a session to INSIDE, what comes by INSIDE one to `egress`"""

    def __init__(
        self,
        type_: str = "gre",
        outer: int = 4,
        *,
        egress: int = TUNNEL,
        peer_mac: str = PEER_MAC,
        **fields: object,
    ) -> None:
        self.type, self.outer, self.egress = type_, outer, egress
        tunnel = TunnelConfig(
            port=TUNNEL,
            outer_port=OUTSIDE,
            type=type_,
            local=packed(LOCAL[outer]),
            peer=packed(PEER[outer]),
            ttl=TTL,
            udp_port=VXLAN_PORT,
            vni=VNI,
            mac=_mac(MAC),
            peer_mac=_mac(peer_mac) if peer_mac else bytes(6),
        )._replace(**fields)
        nested = TunnelConfig(
            NESTED, TUNNEL, "ipip", packed(OWN[4]), packed(FAR[4]), ttl=TTL, mac=_mac(MAC)
        )
        modes = {INSIDE: "layer3", OUTSIDE: "layer3"}
        address = packed(OWN[4]), packed(OWN[6])
        ports = [
            PortConfig(
                port,
                True,
                port << 13,
                modes.get(port, "tunnel"),
                mtu=MTU - 20 if port == NESTED else MTU,
                address=address,
            )
            for port in range(1, 6)
        ]
        self.engine = Engine(hash_key=bytes(16), now_ns=0)
        self.engine.configure(
            EngineConfig(
                {},
                True,
                True,
                [PortConfig(0, False), *ports],
                [packed(address) for of in (LOCAL, OWN) for address in of.values()],
                host_mark=0x100,
                tunnels=[tunnel, nested],
            )
        )

    def feed(self, packet: Layers | bytes, port: int = OUTSIDE, flags: int = 0) -> list[Verdict]:
        assert self.engine.input([Packet(bytes(packet), port, 0, flags=flags)]) == 1
        for undecided in self.engine.undecided():
            key = undecided.key
            egress = self.egress if undecided.port == INSIDE else INSIDE
            s2c = key._replace(
                src=key.dst, dst=key.src, sport=key.dport, dport=key.sport, zone=egress
            )
            spec = SessionSpec(s2c, egress, "allow", 1, 0, log_start=False, log_end=False)
            self.engine.install(undecided.handle, spec)
        return self.engine.verdicts()

    def arrived(self, packet: Layers | bytes, flags: int = 0) -> bytes:
        """What goes on to INSIDE."""
        (verdict,) = self.feed(packet, flags=flags)
        assert verdict.action.name == "FORWARD", _NAMES.get(verdict.reason)
        assert verdict.port == INSIDE
        assert verdict.data is not None
        return verdict.data

    def sent(self, packet: Layers | bytes, flags: int = 0) -> list[bytes]:
        """What of a packet of INSIDE leaves to the peer."""
        *emitted, last = self.feed(packet, INSIDE, flags)
        assert last.action.name == "CONSUMED", _NAMES.get(last.reason)
        assert {(v.action.name, v.port, v.mark) for v in emitted} == {("EMIT", OUTSIDE, 0x100)}
        return [verdict.data or b"" for verdict in emitted]

    def around(self, inner: Layers, **fields: object) -> Layers:
        """The inner packet as the peer sends it; `fields` are the outer IP header's."""
        return self.outer_ip(**fields) / self.header(inner)

    def outer_ip(self, **fields: object) -> Layers:
        if self.outer == 4:
            return IP(src=PEER[4], dst=LOCAL[4], **fields)
        return IPv6(src=PEER[6], dst=LOCAL[6], **fields)

    def header(self, inner: Layers) -> Layers:
        if self.type == "gre":
            return GRE() / inner
        if self.type == "ipip":
            return inner
        return vxlan(Ether(src=PEER_MAC, dst=MAC) / inner)


def vxlan(frame: Layers, vni: int = VNI, flags: int = 8) -> Layers:
    """What is reserved is not zero, and to be ignored on receipt."""
    header = struct.pack(">II", flags << 24 | 0x556677, vni << 8 | 0x99)
    return UDP(sport=50_000, dport=VXLAN_PORT) / Raw(header + bytes(frame))


def udp(family: int, *, back: bool = False, size: int = 33, **fields: object) -> Layers:
    """From the client to the far end, or back."""
    src, dst = (FAR, CLIENT) if back else (CLIENT, FAR)
    ip = (IP if family == 4 else IPv6)(src=src[family], dst=dst[family], **fields)
    ports = (53, 40_000) if back else (40_000, 53)
    return (
        ip
        / UDP(sport=ports[0], dport=ports[1])
        / Raw((bytes(range(256)) * (size // 256 + 1))[:size])
    )


def reason(verdicts: list[Verdict]) -> str:
    (verdict,) = verdicts
    return _NAMES[verdict.reason] if verdict.action.name == "DROP" else verdict.action.name


def decremented(data: bytes) -> bytes:
    packet = parsed(data)
    if data[0] >> 4 == 4:
        packet.ttl -= 1
    else:
        packet.hlim -= 1
    return rebuilt(packet)


EVERY = pytest.mark.parametrize(
    ("type_", "outer", "inner"),
    [(type_, outer, inner) for type_ in TYPES for outer in FAMILIES for inner in FAMILIES],
)


@EVERY
def test_out_of_a_tunnel(type_: str, outer: int, inner: int) -> None:
    lab = Lab(type_, outer)
    packet = udp(inner, back=True)
    if inner == outer:
        assert lab.arrived(lab.around(packet)) == bytes(packet)
    else:  # it cannot go back in place of what was delivered
        emitted, consumed = lab.feed(lab.around(packet))
        assert consumed.action.name == "CONSUMED"
        assert (emitted.action.name, emitted.port, emitted.is_pinned) == ("EMIT", INSIDE, True)
        assert emitted.data == decremented(bytes(packet))
    assert lab.engine.counters()["flow_tunnel_decap"] == 1


@EVERY
def test_into_a_tunnel(type_: str, outer: int, inner: int) -> None:
    lab = Lab(type_, outer)
    packet = udp(inner, **({"tos": 0xB8} if inner == 4 else {"tc": 0xB8}))
    (data,) = lab.sent(packet)
    around = parsed(data)
    if not (type_ == "vxlan" and outer == 4):  # RFC 7348 5: there the checksum is none
        assert rebuilt(around) == data
    assert (around.src, around.dst) == (LOCAL[outer], PEER[outer])
    assert (around.ttl if outer == 4 else around.hlim) == TTL
    assert (around.tos if outer == 4 else around.tc) == 0
    assert data.endswith(decremented(bytes(packet)))
    assert len(data) == len(packet) + (20 if outer == 4 else 40) + _OVERHEAD[type_]
    if outer == 4:
        assert (around.flags == "DF") == (inner == 6)
    if type_ == "vxlan":
        assert around[UDP].dport == VXLAN_PORT
        assert around[UDP].sport >= 0xC000
        assert (around[VXLAN].vni, around[VXLAN].flags) == (VNI, 8)
        assert (around[Ether].src, around[Ether].dst) == (MAC, PEER_MAC)
    if type_ == "gre":
        assert (around[GRE].chksum_present, around[GRE].key_present) == (0, 0)


GRE_DATA = bytes(udp(4, back=True))
ROWS = [
    ("gre", GRE(chksum_present=1, proto=0x0800) / GRE_DATA, "FORWARD"),
    ("gre", GRE(chksum_present=1, chksum=0x1234, proto=0x0800) / GRE_DATA, "flow_tunnel_decap_err"),
    ("gre", GRE(key_present=1, key=7, proto=0x0800) / GRE_DATA, "flow_tunnel_decap_err"),
    ("gre", GRE(seqnum_present=1, proto=0x0800) / GRE_DATA, "flow_tunnel_decap_err"),
    ("gre", GRE(routing_present=1, proto=0x0800) / GRE_DATA, "flow_tunnel_decap_err"),
    ("gre", GRE(strict_route_source=1, proto=0x0800) / GRE_DATA, "flow_tunnel_decap_err"),
    ("gre", GRE(recursion_control=4, proto=0x0800) / GRE_DATA, "flow_tunnel_decap_err"),
    (
        "gre",
        GRE(recursion_control=3, flags=31, proto=0x0800) / GRE_DATA,
        "FORWARD",
    ),  # ignored on receipt
    ("gre", GRE(version=1, proto=0x0800) / GRE_DATA, "flow_tunnel_decap_err"),
    ("gre", GRE(proto=0x6558) / GRE_DATA, "flow_tunnel_decap_err"),
    ("gre", GRE(proto=0x86DD) / GRE_DATA, "flow_tunnel_decap_err"),
    ("gre", GRE(proto=0x0800), "flow_tunnel_decap_err"),
    ("gre", Raw(b"\0\0\x08"), "flow_tunnel_decap_err"),
    ("gre", GRE(chksum_present=1, proto=0x0800, chksum=0), "flow_tunnel_decap_err"),
    ("gre", GRE(proto=0x0800) / GRE_DATA[:-1], "flow_parse_ip_len"),
    ("gre", GRE(proto=0x0800) / (b"\x44" + GRE_DATA[1:]), "flow_parse_ip_hdr"),
    ("ipip", Raw(b""), "flow_tunnel_decap_err"),
    ("ipip", Raw(bytes(udp(6, back=True))), "flow_tunnel_decap_err"),
    ("ipip", Raw(GRE_DATA[:10]), "flow_parse_ip_hdr"),
    ("vxlan", vxlan(Ether(src=PEER_MAC, dst=MAC) / GRE_DATA), "flow_tunnel_decap_err"),
]
FRAMES = [
    ({}, {"type": 0x0800}, "FORWARD"),
    ({}, {"type": 0x0800, "dst": "ff:ff:ff:ff:ff:ff"}, "FORWARD"),
    ({"flags": 0xFF}, {"type": 0x0800}, "FORWARD"),  # the others are ignored on receipt
    ({"flags": 0}, {"type": 0x0800}, "flow_tunnel_decap_err"),
    ({"vni": VNI + 1}, {"type": 0x0800}, "flow_tunnel_decap_err"),
    ({}, {"type": 0x0800, "dst": "02:00:00:00:00:33"}, "flow_tunnel_decap_err"),
    ({}, {"type": 0x0800, "src": "03:00:00:00:00:33"}, "flow_tunnel_decap_err"),
    ({}, {"type": 0x86DD}, "flow_tunnel_decap_err"),
    ({}, {"type": 0x8100}, "flow_tunnel_decap_err"),
    ({}, {"type": 0x0806}, "flow_parse_ethertype"),
]


@pytest.mark.parametrize(("type_", "payload", "expected"), ROWS)
def test_headers(type_: str, payload: Layers, expected: str) -> None:
    lab = Lab(type_)
    proto = {"gre": 47, "ipip": 4, "vxlan": 17}[type_]
    assert reason(lab.feed(lab.outer_ip(proto=proto) / payload)) == expected


@pytest.mark.parametrize(("of_vxlan", "of_frame", "expected"), FRAMES)
def test_frames(of_vxlan: dict[str, int], of_frame: dict[str, object], expected: str) -> None:
    lab = Lab("vxlan")
    frame = Ether(**{"src": PEER_MAC, "dst": MAC, **of_frame}) / GRE_DATA
    assert reason(lab.feed(lab.outer_ip() / vxlan(frame, **of_vxlan))) == expected


def test_a_cut_vxlan_header() -> None:
    lab = Lab("vxlan")
    for size in range(22):
        data = b"\x08\0\0\0" + struct.pack(">I", VNI << 8) + bytes(14)
        packet = lab.outer_ip() / UDP(sport=50_000, dport=VXLAN_PORT) / Raw(data[:size])
        assert reason(lab.feed(packet)) == "flow_tunnel_decap_err"


OTHERS = [
    {"src": "198.51.100.8"},
    {"dst": "198.51.100.2"},
    {"proto": 41},
]


@pytest.mark.parametrize("fields", OTHERS)
def test_what_is_no_tunnels_is_a_packet_like_others(fields: dict[str, object]) -> None:
    lab = Lab("gre")
    packet = IP(bytes(lab.around(udp(4, back=True))))
    for field, value in fields.items():
        setattr(packet, field, value)
    (verdict,) = lab.feed(rebuilt(packet))
    assert (verdict.action.name, verdict.data) == ("FORWARD", None)
    assert lab.engine.counters().get("flow_tunnel_decap", 0) == 0


def test_another_zone_has_no_tunnel() -> None:
    lab = Lab("gre")
    packet = lab.around(udp(4, back=True))
    lab.feed(packet, INSIDE)
    assert lab.engine.counters().get("flow_tunnel_decap", 0) == 0


NOT_ECT, ECT_1, ECT_0, CE = range(4)
# RFC 6040 4.2: rows of the inner field, columns of the outer one
ECN = {
    NOT_ECT: (NOT_ECT, NOT_ECT, NOT_ECT, None),
    ECT_0: (ECT_0, ECT_1, ECT_0, CE),
    ECT_1: (ECT_1, ECT_1, ECT_1, CE),
    CE: (CE, CE, CE, CE),
}


@pytest.mark.parametrize("type_", TYPES)
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("inner", list(ECN))
@pytest.mark.parametrize("outer", range(4))
def test_congestion_out_of_a_tunnel(type_: str, family: int, inner: int, outer: int) -> None:
    lab, field = Lab(type_, family), "tos" if family == 4 else "tc"
    packet = udp(family, back=True, **{field: 0xB8 | inner})
    merged = ECN[inner][outer]
    arriving = lab.around(packet, **{field: outer})
    if merged is None:
        assert reason(lab.feed(arriving)) == "flow_tunnel_decap_err"
    else:
        expected = udp(family, back=True, **{field: 0xB8 | merged})
        assert lab.arrived(arriving) == bytes(expected)


@pytest.mark.parametrize("copies", [False, True])
@pytest.mark.parametrize("ecn", range(4))
@pytest.mark.parametrize(("outer", "inner"), [(4, 4), (4, 6), (6, 4), (6, 6)])
def test_type_of_service_into_a_tunnel(copies: bool, ecn: int, outer: int, inner: int) -> None:
    lab = Lab("ipip", outer, copy_tos=copies)
    (data,) = lab.sent(udp(inner, **{"tos" if inner == 4 else "tc": 0xB8 | ecn}))
    around = parsed(data)
    assert (around.tos if outer == 4 else around.tc) == (0xB8 if copies else 0) | ecn


def test_dont_fragment_is_the_inner_packets() -> None:
    for flags in ("", "DF"):
        (data,) = Lab("gre").sent(udp(4, flags=flags))
        assert IP(data).flags == flags


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("type_", TYPES)
def test_a_segmentation_offload_packet_is_cut(type_: str, family: int) -> None:
    lab = Lab(type_, 4)
    ip = (IP if family == 4 else IPv6)(src=CLIENT[family], dst=FAR[family])
    head = {"sport": 40_001, "dport": 80, "options": [("Timestamp", (7, 9))]}
    lab.sent(ip / TCP(flags="S", seq=99, window=65535, **head))
    data = lab.around(
        type(ip)(src=FAR[family], dst=CLIENT[family])
        / TCP(sport=80, dport=40_001, flags="SA", seq=4999, ack=100, window=65535)
    )
    lab.feed(data)
    payload = bytes(i * 7 & 0xFF for i in range(9000))
    segment = TCP(flags="APFC", seq=100, ack=5000, window=0x1234, **head)
    packet = ip.copy() / segment / Raw(payload)
    pieces = lab.sent(packet, InputFlag.GSO | InputFlag.CHECKSUM_UNFINISHED)
    longest = MTU - 20 - _OVERHEAD[type_]
    seen = b""
    for index, piece in enumerate(pieces):
        inner = parsed(piece[20 + _OVERHEAD[type_] :])
        assert rebuilt(inner) == bytes(inner)
        assert len(inner) <= longest
        segment = inner[TCP]
        is_last = index == len(pieces) - 1
        assert segment.seq == 100 + len(seen)
        assert str(segment.flags) == "A" + "C" * (not index) if not is_last else "FPA"
        assert (segment.ack, segment.window) == (5000, 0x1234)
        assert is_last or len(inner) == longest
        if family == 4:
            assert inner.id == packet.id + index
        seen += bytes(segment.payload)
    assert seen == payload


def test_datagrams_of_segmentation_offload_are_refused() -> None:
    lab = Lab()
    packet = udp(4, size=4000)
    assert reason(lab.feed(packet, INSIDE, InputFlag.GSO)) == "flow_tunnel_encap_err"


@pytest.mark.parametrize("options", [b"", b"\x94\x04\0\0", b"\x01\x01\x01\x00"])
def test_a_packet_that_may_be_is_fragmented_before(options: bytes) -> None:
    lab = Lab("gre")
    packet = udp(4, size=3000, id=77, options=(options and [Raw(options)]) or [])
    pieces = [IP(piece[24:]) for piece in lab.sent(packet)]
    whole = b"".join(bytes(piece.payload) for piece in pieces)
    assert whole == bytes(packet)[IP(bytes(packet)).ihl * 4 :]
    at = 0
    for piece in pieces:
        assert rebuilt(piece) == bytes(piece)
        assert len(piece) <= MTU - 24
        assert (piece.id, piece.frag * 8) == (77, at)
        assert (piece.flags == "MF") == (piece is not pieces[-1])
        at += len(piece.payload)
        kept = options[:1] == b"\x94"  # RFC 791 3.1: the copied flag
        assert bytes(piece)[20 : piece.ihl * 4] == (options if kept or not piece.frag else b"")


def test_what_may_not_be_is_refused() -> None:
    lab = Lab("gre")
    *emitted, dropped = lab.feed(udp(4, size=3000, flags="DF"), INSIDE)
    assert _NAMES[dropped.reason] == "ip_df_drop"
    assert IP(emitted[0].data)[ICMP].nexthopmtu == MTU
    *emitted, dropped = lab.feed(udp(4, ttl=1), INSIDE)
    assert _NAMES[dropped.reason] == "flow_fwd_l3_ttl_zero"
    assert IP(emitted[0].data)[ICMP].type == 11


def test_an_error_into_a_tunnel() -> None:
    lab = Lab("gre")
    *emitted, dropped = lab.feed(lab.around(udp(4, back=True, size=1200, flags="DF", ttl=1)))
    assert _NAMES[dropped.reason] == "flow_fwd_l3_ttl_zero"
    error = IP(emitted[0].data)
    assert (emitted[0].port, error.src, error.dst) == (OUTSIDE, LOCAL[4], PEER[4])
    assert error[GRE][ICMP].type == 11


@EVERY
def test_what_the_machine_itself_sends(type_: str, outer: int, inner: int) -> None:
    """It enters the tunnel as it is: it was not forwarded."""
    lab = Lab(type_, outer)
    packet = udp(inner, **({"ttl": 1} if inner == 4 else {"hlim": 1}))
    own = Packet(bytes(packet), 0, 0, flags=InputFlag.FROM_HOST, egress=TUNNEL)
    assert lab.engine.input([own]) == 1
    emitted, consumed = lab.engine.verdicts()
    assert (emitted.action.name, consumed.action.name) == ("EMIT", "CONSUMED")
    assert emitted.data is not None
    assert emitted.data.endswith(bytes(packet))


def test_a_tunnel_interface_without_a_tunnel() -> None:
    lab = Lab(egress=BARE)
    assert reason(lab.feed(udp(4), INSIDE)) == "flow_tunnel_no_encap"


def test_nested() -> None:
    lab = Lab("gre", egress=NESTED)
    packet = udp(4)
    (data,) = lab.sent(packet)
    around = IP(data)
    assert (around[GRE].proto, around[GRE].payload.src) == (0x0800, OWN[4])
    assert data.endswith(decremented(bytes(packet)))
    within = IP(src=FAR[4], dst=OWN[4]) / udp(4, back=True)
    assert lab.arrived(lab.around(within)) == bytes(udp(4, back=True))


def test_too_many_within_each_other() -> None:
    """A tunnel whose packets come in by itself, which the configuration would not allow."""
    lab = Lab("ipip", local=packed(OWN[4]), peer=packed(FAR[4]), outer_port=TUNNEL)
    packet = udp(4, back=True)
    for _ in range(6):
        packet = IP(src=FAR[4], dst=OWN[4]) / packet
    assert reason(lab.feed(packet, TUNNEL)) == "flow_tunnel_nest"


@pytest.mark.parametrize("outer", FAMILIES)
def test_arp_in_vxlan(outer: int) -> None:
    lab = Lab("vxlan", outer, peer_mac="")
    assert reason(lab.feed(udp(4), INSIDE)) == "flow_tunnel_encap_err"  # nobody was heard yet
    ask = Ether(src=PEER_MAC, dst="ff:ff:ff:ff:ff:ff") / ARP(
        hwsrc=PEER_MAC, psrc=FAR[4], pdst=OWN[4]
    )
    emitted, consumed = lab.feed(lab.outer_ip() / vxlan(ask))
    assert consumed.action.name == "CONSUMED"
    assert emitted.data is not None
    around = parsed(emitted.data)
    assert (around[Ether].src, around[Ether].dst) == (MAC, PEER_MAC)
    answer = around[ARP]
    assert (answer.op, answer.hwsrc, answer.psrc) == (2, MAC, OWN[4])
    assert (answer.hwdst, answer.pdst) == (PEER_MAC, FAR[4])
    (data,) = lab.sent(udp(4))  # now it is known
    assert parsed(data)[Ether].dst == PEER_MAC
    other = Ether(src=PEER_MAC, dst=MAC) / ARP(hwsrc=PEER_MAC, psrc=FAR[4], pdst="10.9.1.77")
    assert reason(lab.feed(lab.outer_ip() / vxlan(other))) == "CONSUMED"


def test_neighbour_discovery_in_vxlan() -> None:
    lab = Lab("vxlan", peer_mac="")
    ask = (
        Ether(src=PEER_MAC, dst="33:33:ff:00:00:01")
        / IPv6(src=FAR[6], dst="ff02::1:ff00:1", hlim=255)
        / ICMPv6ND_NS(tgt=OWN[6])
    )
    emitted, consumed = lab.feed(lab.outer_ip() / vxlan(ask))
    assert consumed.action.name == "CONSUMED"
    inner = IP(emitted.data)[Ether]
    assert (inner.dst, inner[IPv6].dst, inner[IPv6].hlim) == (PEER_MAC, FAR[6], 255)
    assert rebuilt(inner[IPv6]) == bytes(inner[IPv6])
    assert (inner[ICMPv6ND_NA].tgt, inner[ICMPv6ND_NA].S) == (OWN[6], 1)
    assert inner[ICMPv6NDOptDstLLAddr].lladdr == MAC


@pytest.mark.parametrize("type_", ["gre", "ipip"])
def test_neighbour_discovery_of_other_tunnels_is_nobodys(type_: str) -> None:
    lab = Lab(type_, 6)
    ask = IPv6(src=FAR[6], dst=OWN[6], hlim=255) / ICMPv6ND_NS(tgt=OWN[6])
    assert reason(lab.feed(lab.around(ask))) == "flow_icmp_no_session"


class Shape(NamedTuple):
    type: str
    outer: int
    inner: int


SHAPES = st.builds(
    Shape, st.sampled_from(TYPES), st.sampled_from(FAMILIES), st.sampled_from(FAMILIES)
)


@given(SHAPES, st.integers(0, 1100), st.integers(2, 255), st.integers(0, 63))
def test_what_went_in_comes_out(shape: Shape, size: int, hops: int, dscp: int) -> None:
    """Two firewalls, back to back: but for a hop or two the packet is what it was."""
    near = Lab(shape.type, shape.outer)
    ends = {"local": packed(PEER[shape.outer]), "peer": packed(LOCAL[shape.outer])}
    far = Lab(shape.type, shape.outer, mac=_mac(PEER_MAC), peer_mac=MAC, **ends)
    of_ip = {"ttl": hops, "tos": dscp << 2} if shape.inner == 4 else {"hlim": hops, "tc": dscp << 2}
    packet = udp(shape.inner, size=size, **of_ip)
    (data,) = near.sent(packet)
    verdict, *consumed = far.feed(Raw(data))
    expected = decremented(bytes(packet))
    if consumed and hops > 2:
        expected = decremented(expected)
    if hops > 2:
        assert verdict.data == expected
