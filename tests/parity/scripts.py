"""Packets to send through every edge, and where an edge may differ and why.

A script is a name and packets with the port each comes in by. Every difference between the edges
that is not a mistake stands here, with its reason; the tests demand that it is there.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from msgspec.structs import replace
from scapy.layers.inet import (
    ICMP,
    IP,
    TCP,
    UDP,
    IPOption_LSRR,
    IPOption_NOP,
    IPOption_Router_Alert,
)
from scapy.layers.inet6 import (
    HBHOptUnknown,
    ICMPv6EchoRequest,
    ICMPv6MLReport2,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    Jumbo,
    PadN,
)
from scapy.packet import Packet as Layers
from scapy.packet import Raw

from dataplane.edges import NAMES
from dataplane.snapshot import SecurityRule, ServiceMatch, Snapshot
from tests.support.conversations import Talk
from tests.support.fragments import Piece, cut, fragment, header_of, pieces
from tests.support.packets import (
    BASTION,
    CLIENT,
    DMZ,
    FAMILIES,
    OWN,
    SERVER,
    TRUST,
    UNTRUST,
    echo,
    icmp_error,
    ip,
    other,
    snapshot,
    tcp,
    udp,
)
from tests.support.wires import CHECKSUM_AT, MTU, checksum, layer4

# ---- the configuration: a port for every action --------------------------------------------------

_ACTIONS = {
    81: "deny",
    82: "drop",
    83: "reset-client",
    84: "reset-server",
    85: "reset-both",
}
_DENY, _RESET = 81, 85
_ICMP, _TCP, _UDP, _ICMP6 = 1, 6, 17, 58

_RULES = (
    *(
        SecurityRule(
            name=action,
            action=action,
            services=tuple(ServiceMatch(number, (), ((port, port),)) for number in (_TCP, _UDP)),
        )
        for port, action in _ACTIONS.items()
    ),
    SecurityRule(name="out", action="allow", from_zones=("trust",)),
)
CONFIG = snapshot(*_RULES)
_NO_SYN_CHECK = snapshot(*_RULES, tcp_reject_non_syn=False)
_NO_DISCARD = snapshot(*_RULES, discard_denied=False)
_DMZ_WITHOUT_ZONE = replace(
    CONFIG,
    ports=tuple(replace(port, zone="") if port.name == DMZ else port for port in CONFIG.ports),
)

USUAL_MTU = 1500


class Sent(NamedTuple):
    port: str
    packet: bytes
    is_awaited: bool = True  # nothing follows before it is decided


class Difference(NamedTuple):
    """What becomes of a script at edges of the kernel's queue instead of what a capture's does."""

    why: str
    counters: dict[str, int] | None = None  # None: the same
    out: int = 0  # of the packets that should come out, so many do: the first ones
    flow_by_flow: bool = False  # order is kept within a flow alone
    edges: tuple[str, ...] = NAMES


class Script(NamedTuple):
    name: str
    packets: tuple[Sent, ...]
    config: Snapshot = CONFIG
    together: bool = False  # all of them wait in the queue before the first is looked at
    has_pool: bool = False  # speaks of ports as translations.py says
    difference: Difference | None = None


def _never_queued(why: str) -> Difference:
    return Difference(f"the kernel drops it before any hook: {why}", counters={})


def _kept_back(why: str) -> Difference:
    return Difference(f"the kernel does not forward it although it was accepted: {why}")


# Goes through after every script: when it has come out, so has everything before it.
LAST_PAYLOAD = b"the last one"
LAST_PORT = 60000
LAST = Sent(TRUST, udp(sport=60001, dport=LAST_PORT, payload=LAST_PAYLOAD))


def _from_client(*packets: bytes) -> tuple[Sent, ...]:
    return tuple(Sent(TRUST, packet) for packet in packets)


def _from_server(*packets: bytes) -> tuple[Sent, ...]:
    return tuple(Sent(UNTRUST, packet) for packet in packets)


def _both(*packets: bytes) -> tuple[Sent, ...]:
    """Each packet from its side: the client's is trust."""
    clients = [_source(packet) for packet in (tcp(), tcp(family=6))]
    return tuple(Sent(TRUST if _source(one) in clients else UNTRUST, one) for one in packets)


def _source(packet: bytes) -> bytes:
    return packet[12:16] if packet[0] >> 4 == 4 else packet[8:24]


def say(talk: Talk, *words: str, payload: bytes = b"") -> tuple[Sent, ...]:
    """What is said, each packet from its side; TCP with PSH carries the payload."""
    return tuple(
        Sent(
            UNTRUST if word[0] == "<" else TRUST,
            talk.packet(word, payload if "P" in word else b""),
        )
        for word in words
    )


# ---- packets with something wrong ----------------------------------------------------------------


def _patched(packet: bytes, at: int, new: bytes) -> bytes:
    """With other bytes at a place in the IP header, whose checksum is right again."""
    packet = packet[:at] + new + packet[at + len(new) :]
    if packet[0] >> 4 == 4:
        header = packet[:10] + b"\0\0" + packet[12:20]
        packet = packet[:10] + checksum(header) + packet[12:]
    return packet


def _spoiled(packet: bytes) -> bytes:
    """With a layer 4 checksum that is wrong."""
    start, protocol = layer4(packet)
    at = start + CHECKSUM_AT.get(protocol, 2)
    return packet[:at] + bytes([packet[at] ^ 0x5A]) + packet[at + 1 :]


def _segment(family: int, **fields: object) -> bytes:
    """A TCP segment with fields no host would choose."""
    usual: dict[str, object] = {"sport": 40001, "dport": 80, "flags": "S", "seq": 1}
    return bytes(ip(family) / TCP(**(usual | fields)))


def _carrying(family: int, layer4: bytes, protocol: int) -> bytes:
    """Any bytes behind an IP header that announces a protocol."""
    header = ip(family)
    header.setfieldval("proto" if family == 4 else "nh", protocol)
    return bytes(header / Raw(layer4))


def _extended(*headers: Layers, payload: Layers | None = None) -> bytes:
    """An IPv6 packet with extension headers."""
    packet = ip(6)
    for header in headers:
        packet = packet / header
    return bytes(packet / (UDP(sport=3, dport=4) / Raw(b"data") if payload is None else payload))


def _with_option(*options: Layers) -> bytes:
    header = IP(src=CLIENT[4], dst=SERVER[4], ttl=61, options=list(options))
    return bytes(header / UDP(sport=3, dport=4, chksum=0))


# ---- the scripts ---------------------------------------------------------------------------------


def _tcp_scripts(family: int) -> Iterator[Script]:
    def talk(*words: str, payload: bytes = b"", **fields: Any) -> tuple[Sent, ...]:
        """As Talk has the words; what has PSH carries the payload."""
        return say(Talk(family, **fields), *words, payload=payload)

    handshake = (">S", "<SA", ">A")
    close = (">FA", "<FA", ">A")
    header = len(tcp(family=family))
    yield Script("handshake, data, close", talk(*handshake, ">PA", "<PA", *close, payload=b"ask"))
    for mtu in (USUAL_MTU, 3999):
        most = bytes(range(256)) * 16
        yield Script(f"{mtu} bytes", talk(*handshake, ">PA", "<PA", payload=most[: mtu - header]))
    yield Script("reset by the server", talk(">S", "<RA", ">S", "<SA"))
    yield Script("reset by the client", talk(*handshake, ">R", ">PA", payload=b"late"))
    again = talk(*handshake, isns=(0x71223344, 0x05667788))
    yield Script("port used again", talk(*handshake, *close) + again)
    yield Script("SYN again and again", talk(*[">S"] * 4))
    yield Script("urgent data", talk(*handshake, ">PAU", payload=b"!"))
    yield Script("no SYN", talk(">A", ">PA", ">FA", "<SA", "<RA", ">R"))
    yield Script("no SYN where none is needed", talk(">A", "<A", ">FA"), _NO_SYN_CHECK)
    for port, action in _ACTIONS.items():
        yield Script(action, talk(">S", ">S", "<SA", dport=port))
    yield Script("denied without a session", talk(">S", ">S", dport=_DENY), _NO_DISCARD)
    yield Script("reset for data", talk(">PA", ">PA", payload=b"four", dport=_RESET), _NO_SYN_CHECK)
    yield Script("from outside", _from_server(tcp("S", family, back=True)))
    for flags in ("", "F", "P", "FS", "SR", "FSA", "FSRPAU", "FPU", "U", "FR"):
        yield Script(f"flags {flags or 'none'}", _from_client(_segment(family, flags=flags)))
    yield Script("flags FS in a session", talk(*handshake, ">FS", ">PA", payload=b"on"))
    yield Script("checksum", _from_client(_spoiled(tcp("S", family))))
    yield Script(
        "checksum in a session", talk(*handshake) + _from_client(_spoiled(tcp("A", family)))
    )
    yield Script("source port 0", _from_client(_segment(family, sport=0)))
    yield Script("destination port 0", _from_client(_segment(family, dport=0)))
    for words in (1, 4, 6, 15):
        yield Script(f"data offset {words}", _from_client(_segment(family, dataofs=words)))
    for size in (0, 1, 13, 19):
        cut = tcp("S", family)[header - 20 :][:size]
        yield Script(f"{size} bytes of TCP", _from_client(_carrying(family, cut, _TCP)))
    yield Script("waiting SYNs", talk(">S", ">S", ">S"), together=True)
    for port, action in _ACTIONS.items():
        yield Script(f"waiting SYNs, {action}", talk(*[">S"] * 3, dport=port), together=True)
    yield Script("waiting for no SYN", talk(">PA", ">PA", "<A"), together=True)


def _udp_scripts(family: int) -> Iterator[Script]:
    header = len(udp(family, payload=b""))
    ask, answer = udp(family), udp(family, back=True)
    yield Script("question and answer", _both(ask, answer, ask))
    for size in (USUAL_MTU, 4016):
        yield Script(f"{size} bytes", _both(udp(family, payload=bytes(size - header))))
    yield Script(
        f"{MTU} bytes",
        _both(udp(family, payload=bytes(MTU - header))),
        difference=Difference(
            "the NetfilterQueue package reads 4,016 bytes of a packet",
            counters={"pkt_recv": 1, "flow_parse_ip_len": 1},
            edges=("netfilterqueue",),
        ),
    )
    yield Script("nothing in it", _both(udp(family, payload=b"")))
    for port in (_DENY, _RESET):
        yield Script(_ACTIONS[port], _both(udp(family, dport=port), udp(family, dport=port)))
    yield Script("from outside", _from_server(answer))
    yield Script("checksum", _from_client(_spoiled(ask)))
    unsummed = bytes(ip(family) / UDP(sport=3, dport=4, chksum=0) / Raw(b"x"))
    yield Script("without a checksum", _from_client(unsummed))
    for said in (0, 7, 9, 65535):
        wrong = bytes(UDP(sport=3, dport=4, len=said, chksum=0))
        yield Script(f"length {said}", _from_client(_carrying(family, wrong, _UDP)))
    longer = _carrying(family, udp(family)[header - 8 :] + b"more", _UDP)
    yield Script("bytes behind the data", _from_client(longer))
    yield Script("half a header", _from_client(_carrying(family, b"\0\3\0\4", _UDP)))
    yield Script(
        "waiting", _from_client(*(udp(family, payload=b"%d" % n) for n in range(5))), together=True
    )
    flows = (udp(family, sport=n % 3 + 1, payload=b"%d" % n) for n in range(12))
    yield Script(
        "flows that wait",
        _from_client(*flows),
        together=True,
        difference=Difference(
            "an answer releases everything that waits behind one packet", out=12, flow_by_flow=True
        ),
    )
    yield Script(
        "more than may wait",
        _from_client(*(udp(family, payload=b"%d" % n) for n in range(20))),
        together=True,
        difference=Difference(
            "a capture waits for each decision; here 16 packets may wait behind the first",
            counters={
                "pkt_recv": 20,
                "pkt_sent": 17,
                "flow_undecided": 1,
                "flow_parked_full": 3,
                "session_allocated": 1,
                "session_installed": 1,
                "session_offloaded": 1,
                "pkt_offloaded": 16,
                "offload_report": 2,
            },
            out=17,
        ),
    )


def _icmp_scripts(family: int) -> Iterator[Script]:
    protocol = _ICMP if family == 4 else _ICMP6
    header = len(echo(family, payload=b""))
    ask, answer = echo(family), echo(family, reply=True, back=True)
    yield Script("ping", _both(ask, answer, echo(family, sequence=2)))
    yield Script(f"{USUAL_MTU} bytes", _both(echo(family, payload=bytes(USUAL_MTU - header))))
    yield Script("answer to nothing", _from_server(answer))
    yield Script("ping from outside", _from_server(echo(family, back=True)))
    yield Script("checksum", _from_client(_spoiled(ask)))
    yield Script("half a header", _from_client(_carrying(family, ask[header - 8 :][:4], protocol)))
    for kind in ("unreachable", "too-big", "exceeded"):
        yield Script(f"{kind} about UDP", _both(udp(family), icmp_error(udp(family), kind=kind)))
    about = tcp("S", family)
    yield Script("unreachable about TCP", _both(about, icmp_error(about), about))
    yield Script("exceeded about a ping", _both(ask, icmp_error(ask, kind="exceeded")))
    yield Script("unreachable about nothing", _from_server(icmp_error(about)))
    denied = udp(family, dport=_DENY)
    yield Script("unreachable about what is denied", _both(denied, icmp_error(denied)))
    yield Script("checksum of an error", _both(about, _spoiled(icmp_error(about))))
    yield Script("error that quotes too little", _both(about, icmp_error(about, quote=about[:27])))


def _ip_scripts(family: int) -> Iterator[Script]:
    packet = udp(family)
    ttl = 8 if family == 4 else 7
    for protocol in (47, 50, 132, 253):
        there, back = other(protocol, family), other(protocol, family, back=True)
        yield Script(f"protocol {protocol}", _both(there, back))
    yield Script("a protocol with nothing in it", _both(other(253, family, payload=b"")))
    yield Script("to another zone", _from_client(udp(family, dst=BASTION[family])))
    yield Script("from the DMZ", (Sent(DMZ, udp(family, src=BASTION[family])),))
    yield Script(
        "from a port in no zone",
        (Sent(DMZ, udp(family, src=BASTION[family])),),
        _DMZ_WITHOUT_ZONE,
    )
    yield Script(
        "to a port in no zone", _from_client(udp(family, dst=BASTION[family])), _DMZ_WITHOUT_ZONE
    )
    yield Script("to the firewall", _from_client(tcp("S", family, dport=22, dst=OWN[family])))
    yield Script("land", _from_client(udp(family, src=SERVER[family])))
    nowhere = "9.9.9.9" if family == 4 else "2001:db8:9::9"
    yield Script("no route", _from_client(udp(family, dst=nowhere)))
    yield Script("TTL 0", _from_client(_patched(packet, ttl, b"\0")))
    yield Script("TTL 1", _from_client(_patched(packet, ttl, b"\1")))
    yield Script("TTL 2", _from_client(_patched(packet, ttl, b"\2")))
    yield Script("padding of the link", _from_client(packet + b"padding"))
    for missing in (1, 10):
        yield Script(
            f"{missing} of its bytes missing",
            _from_client(packet[:-missing]),
            difference=_never_queued("it is shorter than its header says"),
        )
    yield Script(
        "half an IP header",
        _from_client(packet[:12]),
        difference=_never_queued("there is no whole header"),
    )
    yield Script(
        "IP version 5",
        _from_client(bytes([0x50 | packet[0] & 15]) + packet[1:]),
        difference=_never_queued("it is of another version than the link layer says"),
    )


def _fragment_scripts(family: int) -> Iterator[Script]:
    """Each with an identification of its own: what was refused is refused for half a minute."""
    packet = udp(family, payload=bytes(range(250)))
    first, second, last = pieces(packet[header_of(packet) :], [64, 128])
    orders = {
        "in order": (first, second, last),
        "the last one first": (last, second, first),
        "one of them twice": (first, second, second, last),
        "one more, beginning within": (first, Piece(40, bytes(64), more=True), last, second),
        "one of them twice, differently": (first, Piece(64, bytes(64), more=True), second, last),
        "behind the end": (first, last, Piece(256, bytes(8), more=False), second),
        "another end": (last, Piece(64, bytes(8), more=False)),
    }
    for number, (name, order) in enumerate(orders.items(), 1):
        yield Script(name, _from_client(*(fragment(packet, piece, number) for piece in order)))
    half = cut(tcp("S", family, payload=bytes(64)), [16], 8)
    yield Script("half a TCP header", _from_client(*half))
    one, two, three = cut(packet, [64, 128], 9)
    yield Script("of a session", _from_client(udp(family), one, udp(family), two, three))
    back = cut(udp(family, payload=bytes(range(250)), back=True), [64, 128], 10)
    yield Script("of an answer", (Sent(TRUST, udp(family)), *_from_server(*back[::-1])))
    yield Script("of a ping", _from_client(*cut(echo(family, payload=bytes(200)), [64], 11)))


def _ipv4_scripts() -> Iterator[Script]:
    packet = udp(payload=b"0123456789abcdef" * 3)
    yield Script(
        "IP checksum",
        _from_client(packet[:10] + b"\x5a\x5a" + packet[12:]),
        difference=_never_queued("ip_rcv verifies the header's checksum"),
    )
    yield Script(
        "header of 16 bytes",
        _from_client(_patched(packet, 0, b"\x44")),
        difference=_never_queued("no header is so short"),
    )
    yield Script(
        "19 bytes in all",
        _from_client(_patched(packet, 2, b"\0\x13")),
        difference=_never_queued("it is shorter than its header"),
    )
    yield Script("protocol 0", _from_client(_patched(packet, 9, b"\0")))
    for source in ("0.0.0.0", "127.0.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"):
        yield Script(f"from {source}", _from_client(udp(src=source)))
    for target in ("0.0.0.0", "127.0.0.1", "224.0.0.251", "255.255.255.255", "192.0.2.255"):
        yield Script(f"to {target}", _from_client(udp(dst=target)))
    yield Script("fragment past 65,535 bytes", _from_client(_patched(packet, 6, b"\x1f\xff")))
    yield Script("may be fragmented", _from_client(_patched(packet, 6, b"\0\0")))
    yield Script("options that do nothing", _from_client(_with_option(*[IPOption_NOP()] * 4)))
    yield Script("router alert", _from_client(_with_option(IPOption_Router_Alert())))
    yield Script(
        "source route",
        _from_client(_with_option(IPOption_LSRR(routers=["198.51.100.9"]))),
        difference=_kept_back("accept_source_route is off"),
    )
    for kind in (4, 5, 9, 10, 13, 15, 17, 30):
        message = bytes(ICMP(type=kind))
        yield Script(f"ICMP type {kind}", _from_client(_carrying(4, message, _ICMP)))
    yield Script("ICMPv6 in IPv4", _from_client(_carrying(4, b"\x80" + bytes(7), _ICMP6)))


def _ipv6_scripts() -> Iterator[Script]:
    packet = udp(6)
    for source in ("::1", "ff02::1"):
        yield Script(
            f"from {source}",
            _from_client(udp(6, src=source)),
            difference=_never_queued("ip6_rcv refuses the address"),
        )
    yield Script(
        "to ::1",
        _from_client(udp(6, dst="::1")),
        difference=_never_queued("ip6_rcv refuses the address"),
    )
    for source in ("::", "::ffff:192.0.2.10", "fe80::10"):
        yield Script(f"from {source}", _from_client(udp(6, src=source)))
    for target in ("::", "::ffff:198.51.100.20", "fe80::20", "ff02::1:2", "ff05::1:3"):
        yield Script(f"to {target}", _from_client(udp(6, dst=target)))
    disabled = snapshot(*_RULES, ipv6_firewalling=False)
    yield Script("IPv6 off", _from_client(packet), disabled)
    yield Script("IPv6 off on a port", _from_client(packet), snapshot(*_RULES, ipv6_ports=()))
    pad = PadN(optdata=b"\0\0\0\0")
    yield Script("hop-by-hop options", _from_client(_extended(IPv6ExtHdrHopByHop(options=[pad]))))
    yield Script("destination options", _from_client(_extended(IPv6ExtHdrDestOpt(options=[pad]))))
    yield Script(
        "a chain of headers",
        _from_client(
            _extended(
                IPv6ExtHdrHopByHop(options=[pad]),
                IPv6ExtHdrDestOpt(options=[HBHOptUnknown(otype=0x3E, optdata=b"abc")]),
                IPv6ExtHdrRouting(addresses=["2001:db8::9"], segleft=0),
                IPv6ExtHdrFragment(id=9),
                payload=TCP(sport=40001, dport=80, flags="S"),
            )
        ),
    )
    yield Script("nine headers", _from_client(_extended(*[IPv6ExtHdrDestOpt()] * 9)))
    too_long = _carrying(6, bytes([_UDP, 200]) + bytes(14), 60)
    yield Script("a header longer than the packet", _from_client(too_long))
    yield Script(
        "jumbo option",
        _from_client(_extended(IPv6ExtHdrHopByHop(options=[Jumbo(jumboplen=70000)]))),
        difference=_never_queued("it reads hop-by-hop options, and the length is not so"),
    )
    yield Script("atomic fragment", _from_client(_extended(IPv6ExtHdrFragment(id=9))))
    yield Script(
        "fragment past 65,535 bytes", _from_client(_extended(IPv6ExtHdrFragment(id=9, offset=8191)))
    )
    ask, tell = ICMPv6ND_NS(tgt=OWN[6]), ICMPv6ND_NA(tgt=CLIENT[6], S=1)
    near = IPv6(src=CLIENT[6], dst=OWN[6], hlim=255)
    for name, discovery in (("who has", ask), ("here is", tell)):
        yield Script(f"{name}, to the firewall", _from_client(bytes(near / discovery)))
        far = IPv6(src=CLIENT[6], dst=SERVER[6], hlim=255)
        yield Script(f"{name}, to the server", _from_client(bytes(far / discovery)))
        forwarded = IPv6(src=CLIENT[6], dst=OWN[6], hlim=254)
        yield Script(f"{name}, from further away", _from_client(bytes(forwarded / discovery)))
    report = IPv6(src="fe80::1", dst="ff02::16", hlim=1) / IPv6ExtHdrHopByHop() / ICMPv6MLReport2()
    yield Script("listener report", _from_client(bytes(report)))
    for kind in (0, 100, 127, 137, 200, 255):
        message = bytes(ip(6) / ICMPv6EchoRequest(type=kind))
        yield Script(f"ICMPv6 type {kind}", _from_client(message))
    yield Script("ICMP in IPv6", _from_client(_carrying(6, bytes(ICMP()), _ICMP)))


def _all() -> Iterator[tuple[str, Script]]:
    for family in FAMILIES:
        for kind, scripts in (
            ("TCP", _tcp_scripts),
            ("UDP", _udp_scripts),
            ("ICMP", _icmp_scripts),
            ("IP", _ip_scripts),
            ("fragments", _fragment_scripts),
        ):
            for script in scripts(family):
                yield f"v{family}, {kind}: {script.name}", script
    for script in _ipv4_scripts():
        yield f"v4: {script.name}", script
    for script in _ipv6_scripts():
        yield f"v6: {script.name}", script


SCRIPTS = {name: script._replace(name=name) for name, script in _all()}
