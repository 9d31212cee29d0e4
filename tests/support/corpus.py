"""Writes the seeds of the fuzz targets (native/tests/fuzz_*.c):

    python -m tests.support.corpus

Inputs a fuzzer found are kept beside them under names that begin with `found-`; those stay.
"""

import struct
from pathlib import Path

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import (
    HBHOptUnknown,
    ICMPv6MLReport2,
    ICMPv6ND_NS,
    ICMPv6ND_Redirect,
    ICMPv6PacketTooBig,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    Jumbo,
    PadN,
)
from scapy.layers.l2 import CookedLinux, Dot1Q, Ether

from tests.support import packets
from tests.support.packets import FAMILIES, OWN

ROOT = Path(__file__).parents[2] / "native" / "tests" / "corpus"

# ---- fuzz_packet: link type and flags, then the frame

IP_LINK, ETHERNET, COOKED, COOKED2, NULL = range(5)
TRUSTED, MEND_IPV4 = 8, 16


def packet_seeds() -> dict[str, bytes]:
    plain: dict[str, bytes] = {}
    for family in FAMILIES:
        plain |= {
            f"tcp{family}": packets.tcp("PA", family, payload=b"data"),
            f"udp{family}": packets.udp(family),
            f"echo{family}": packets.echo(family),
            f"reply{family}": packets.echo(family, reply=True, back=True),
            f"gre{family}": packets.other(47, family),
            f"error-tcp{family}": packets.icmp_error(packets.tcp("S", family)),
            f"error-echo{family}": packets.icmp_error(packets.echo(family), kind="exceeded"),
        }
    base = packets.ip(6)
    segment = TCP(sport=1, dport=2)
    plain |= {
        "options4": bytes(
            IP(src="192.0.2.10", dst="198.51.100.20", options=b"\x94\x04\0\0") / segment
        ),
        "fragment4": bytes(IP(src="192.0.2.10", dst="198.51.100.20", frag=3, flags="MF") / segment),
        "hop6": bytes(base / IPv6ExtHdrHopByHop(options=[PadN(optdata=b"\0\0")]) / segment),
        "jumbo6": bytes(base / IPv6ExtHdrHopByHop(options=[Jumbo(jumboplen=70000)]) / segment),
        "chain6": bytes(
            base
            / IPv6ExtHdrHopByHop()
            / IPv6ExtHdrDestOpt(options=[HBHOptUnknown(otype=0x3E, optdata=b"abc")])
            / IPv6ExtHdrRouting(addresses=["2001:db8::9"], segleft=0)
            / IPv6ExtHdrFragment(id=9)
            / UDP(sport=3, dport=4)
        ),
        "fragment6": bytes(base / IPv6ExtHdrFragment(offset=5, m=1, id=9) / UDP(sport=3, dport=4)),
        "neighbour6": bytes(
            IPv6(src="2001:db8:1::10", dst=OWN[6], hlim=255) / ICMPv6ND_NS(tgt=OWN[6])
        ),
        "listener6": bytes(
            IPv6(src="fe80::1", dst="ff02::16", hlim=1) / IPv6ExtHdrHopByHop() / ICMPv6MLReport2()
        ),
    }
    plain |= _option_seeds() | _extension_seeds()
    seeds = {name: bytes([IP_LINK | MEND_IPV4]) + data for name, data in plain.items()}
    for family in FAMILIES:
        tcp = packets.tcp("S", family)
        ethertype = 0x0800 if family == 4 else 0x86DD
        address_family = (2 if family == 4 else 10).to_bytes(4, "little")
        ethernet = bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02", type=ethertype))
        cooked = bytes(CookedLinux(pkttype=0, src=b"\2\0\0\0\0\1\0\0", proto=ethertype))
        cooked2 = ethertype.to_bytes(2, "big") + bytes(18)
        seeds |= {
            f"ethernet-tcp{family}": bytes([ETHERNET]) + ethernet + tcp,
            f"cooked-tcp{family}": bytes([COOKED]) + cooked + tcp,
            f"cooked2-tcp{family}": bytes([COOKED2]) + cooked2 + tcp,
            f"null-tcp{family}": bytes([NULL]) + address_family + tcp,
            f"trusted-tcp{family}": bytes([IP_LINK | TRUSTED]) + tcp,
        }
    tagged = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / Dot1Q(vlan=5)
    seeds["ethernet-vlan"] = bytes([ETHERNET]) + bytes(tagged / IP(packets.tcp()))
    stacked = tagged / Dot1Q(vlan=6)
    seeds["ethernet-stacked"] = bytes([ETHERNET]) + bytes(stacked / IP(packets.tcp()))
    fragment = IPv6ExtHdrFragment(offset=2, m=0, id=9) / UDP(sport=3, dport=4)
    seeds["ethernet-vlan-fragment6"] = bytes([ETHERNET]) + bytes(tagged / base / fragment)
    return seeds


def _option_seeds() -> dict[str, bytes]:
    """One of each option of IPv4, beside each other as far as there is room."""
    options = {
        "security": b"\x82\x03\xab\x85\x03\x01",
        "routes": b"\x83\x07\x04\xc0\0\2\1\x89\x07\x04\xc0\0\2\2\x07\x07\x04\0\0\0\0",
        "timestamp": b"\x44\x0c\x05\x01" + bytes(8),
        "others": b"\x88\4\0\7\x94\4\0\0\x52\x0c" + bytes(10) + b"\x9a\2",
        "malformed": b"\x83\x05\x04\xc0\0\x44\x28\x05",
    }
    header = packets.ip(4)
    segment = TCP(sport=1, dport=2, flags="S") / b"data"
    seeds = {}
    for name, data in options.items():
        header.options = data + bytes(-len(data) % 4)
        seeds[f"option-{name}4"] = bytes(header / segment)
    return seeds


def _extension_seeds() -> dict[str, bytes]:
    """What the walk to layer 4 of IPv6 can meet."""
    base, end = packets.ip(6), bytes(UDP(sport=3, dport=4))

    def chain(first: int, headers: bytes, payload: bytes = end) -> bytes:
        header = base.copy()
        header.nh = first
        return bytes(header / (headers + payload))

    options = b"\x05\2\0\0" + b"\xc9\1\0\1\0" + b"\x3e\1\0\0"
    redirect = packets.udp(6)
    redirect += bytes(-len(redirect) % 8)
    return {
        "ah6": chain(51, b"\x11\4\0\0" + bytes(20)),
        "mobility6": chain(135, b"\x3b\0\5\0" + bytes(4), b""),
        "hip6": chain(139, b"\x3b\1\1\x21" + bytes(12), b""),
        "shim6": chain(140, b"\x11\0\x80\0" + bytes(4)),
        "nothing6": chain(59, b"", b"rest"),
        "options6": chain(60, b"\x11\1" + options + b"\0"),
        "routing6": chain(43, b"\x2b\0\0\0" + b"\0\0\0\1" + b"\x11\0\3\0" + b"\0\7\0\0"),
        "first6": chain(60, b"\x2c\0\1\4" + bytes(4) + b"\x11\0\0\1\0\0\0\x09", bytes(16)),
        "redirect6": bytes(
            IPv6(src="fe80::1", dst="2001:db8:1::10", hlim=255)
            / ICMPv6ND_Redirect(tgt="fe80::2", dst="2001:db8:2::20")
            / (b"\4" + bytes([len(redirect) // 8 + 1]) + bytes(6) + redirect)
        ),
        "small-mtu6": bytes(
            packets.ip(6, back=True) / ICMPv6PacketTooBig(mtu=600) / packets.udp(6)
        ),
        "compatible6": bytes(
            IPv6(src="::192.0.2.10", dst="2001:db8::fdff:ffff:ffff:fffe") / UDP(sport=3, dport=4)
        ),
    }


# ---- fuzz_engine: a history of operations, see its head

SYN, ACK, FIN, RST = 2, 16, 1, 4
BACK = 8


def _packet(shape: int, flags: int, *, port: int, hosts: int = 0) -> bytes:
    return bytes([0, shape, hosts, flags, port])


def _install(action: int = 0, *, egress: int = 1, which: int = 0, server: int = 0) -> bytes:
    return bytes([2, which, egress | action << 2, server])


def _tick(power: int) -> bytes:
    return bytes([4, power])


def _segment(
    shape: int, flags: int, *, port: int, seq: int, ack: int, options: bytes = b""
) -> bytes:
    numbers = bytes([seq, 0, ack, 0, 0x40])
    return bytes([10, shape, 0, flags, port]) + numbers + bytes([len(options) // 4]) + options


def _offload(
    *, udp_packets: int = 2, packets: int = 3, scan_s: int = 0, sessions: int = 4
) -> bytes:
    return bytes([11, 1 | udp_packets << 1 | packets << 3 | scan_s << 5, sessions])


_VERDICTS, _EVENTS, _LIST = b"\5", b"\6", bytes([9, 0xC8, 0])
_OFFLOAD_OFF = bytes([11, 0, 0])
_CROWDED = bytes([12, 0, 2 << 5 | 16])  # from 30 % on, sixteen times as fast


def engine_seeds() -> dict[str, bytes]:
    seeds: dict[str, bytes] = {}
    for version, family in enumerate(FAMILIES):
        tcp, udp, icmp = version, version | 1 << 1, version | 2 << 1
        handshake = (
            _packet(tcp, SYN, port=1)
            + _install()
            + _packet(tcp | BACK, SYN | ACK, port=2)
            + _packet(tcp, ACK, port=1)
        )
        seeds |= {
            f"handshake-fin{family}": handshake
            + _packet(tcp, FIN | ACK, port=1)
            + _packet(tcp | BACK, FIN | ACK, port=2)
            + _LIST
            + _tick(35),
            f"reset-reuse{family}": handshake
            + _packet(tcp | BACK, RST, port=2)
            + _packet(tcp, SYN, port=1)
            + _install()
            + _EVENTS,
            f"parked{family}": _packet(udp, 0, port=1) * 20 + _install() + _VERDICTS,
            f"timeout{family}": _packet(udp, 0, port=1) * 3 + _tick(30) + _install(),
            f"both-first{family}": _packet(udp, 0, port=1)
            + _packet(udp | BACK, 0, port=2)
            + _install()
            + _install(egress=0),
            f"discard{family}": _packet(tcp, SYN, port=1)
            + _install(5)
            + _packet(tcp, SYN, port=1)
            + _tick(37),
            f"error{family}": _packet(udp, 0, port=1)
            + _install()
            + _packet(udp | 1 << 4, 0, port=2)
            + _packet(icmp, 0, port=1, hosts=5)
            + _install(egress=2),
            f"commit{family}": _packet(udp, 0, port=3) + bytes([8, 0x20]) + _install(egress=0),
            f"offload-udp{family}": _offload()
            + _packet(udp, 0x40, port=1)
            + _install()
            + _packet(udp, 0x40, port=1) * 5
            + _packet(udp | BACK, 0, port=2) * 3
            + _LIST
            + _tick(35),
            f"offload-tcp{family}": _offload()
            + handshake
            + _packet(tcp, ACK, port=1) * 4
            + _packet(tcp | BACK, ACK, port=2)
            + _packet(tcp, FIN | ACK, port=1)
            + _LIST,
            f"offload-scan{family}": _offload(scan_s=1)
            + _packet(udp, 0, port=1)
            + _install()
            + (_packet(udp, 0, port=1) + _tick(31) + _packet(udp | BACK, 0, port=2) + _LIST) * 2
            + _packet(udp, 0, port=1)
            + _tick(35),
            f"offload-off{family}": _offload(scan_s=1)
            + _packet(udp, 0, port=1)
            + _install()
            + _packet(udp, 0, port=1)
            + _OFFLOAD_OFF
            + _packet(udp, 0, port=1)
            + _offload()
            + _packet(udp, 0, port=1) * 2
            + bytes([7, 1]),
            f"routes{family}": _offload()
            + _packet(udp, 0, port=1)
            + _install()
            + bytes([13, 2, 8 | 2 | version << 4, 8 | 1 | version << 4])
            + _packet(udp, 0, port=1) * 2
            + bytes([13, 1, 8 | 3 | version << 4])
            + _packet(udp, 0, port=1)
            + bytes([13, 0])
            + _packet(udp, 0, port=1),
            f"window{family}": _segment(tcp, SYN, port=1, seq=5, ack=0, options=b"\3\3\7\1")
            + _install(1 << 3)
            + _segment(tcp | BACK, SYN | ACK, port=2, seq=9, ack=6, options=b"\1\3\3\2")
            + _segment(tcp, ACK | 0x80, port=1, seq=6, ack=10)
            + _segment(tcp | BACK, RST, port=2, seq=11, ack=0)
            + _tick(33),
            f"refused{family}": _packet(udp, 0, port=1) + bytes([3, 0, 68]) + bytes([7, 1]),
        }
    seeds["groups"] = b"".join(_packet(n & 7, SYN, port=1, hosts=n) for n in range(70)) + _install()
    hosts = (_packet(2, 0, port=1, hosts=number) + _install() for number in range(16))
    table_full = b"".join(hosts)
    seeds["table-full"] = table_full + _EVENTS
    seeds["crowded"] = _offload(scan_s=1) + _CROWDED + table_full + _tick(31) + _LIST + _tick(36)
    translated = _packet(0, SYN, port=1) + _install(server=0x0F) + _packet(0, SYN, port=1, hosts=1)
    seeds["translated"] = translated + _install(server=0x1B) + _tick(33)
    frame = packets.tcp()
    seeds["frame"] = bytes([1, 0, 1, len(frame)]) + frame + _install()
    return seeds


# ---- fuzz_nfqueue_message: whether the length is mended, then the datagram (linux/netfilter)

_PACKET, _ERROR = 3 << 8, 2
_PACKET_HDR, _TIMESTAMP, _INDEV, _HWADDR, _PAYLOAD, _CAP_LEN, _SKB_INFO = 1, 4, 5, 9, 10, 13, 14
_GENERIC = struct.pack("=BBH", 2, 0, 7)
_NUMBERED = struct.pack("!IHB", 0x01020304, 0x0800, 0)


def _message(kind: int, body: bytes, *, mend: bool = False, length: int | None = None) -> bytes:
    size = 16 + len(body) if length is None else length
    return bytes([mend]) + struct.pack("=IHHII", size, kind, 0, 0, 0) + body


def _attribute(kind: int, data: bytes, *, length: int | None = None) -> bytes:
    size = 4 + len(data) if length is None else length
    return struct.pack("=HH", size, kind) + data + bytes(-len(data) % 4)


def nfqueue_message_seeds() -> dict[str, bytes]:
    number = _attribute(_PACKET_HDR, _NUMBERED)
    seeds: dict[str, bytes] = {}
    for family in FAMILIES:
        whole = (
            _GENERIC
            + number
            + _attribute(_INDEV, struct.pack("!I", 3))
            + _attribute(_HWADDR, bytes(12))
            + _attribute(_TIMESTAMP, bytes(16))
            + _attribute(_CAP_LEN, struct.pack("!I", 70000))
            + _attribute(_SKB_INFO, struct.pack("!I", 3))
            + _attribute(_PAYLOAD, packets.tcp("PA", family, payload=b"data"))
        )
        seeds[f"packet{family}"] = _message(_PACKET, whole)
        seeds[f"mended{family}"] = _message(_PACKET, whole, mend=True, length=0)
    number_last = _GENERIC + _attribute(_PAYLOAD, b"x" * 20, length=0xFFFF) + number
    seeds |= {
        "unknown": _message(_PACKET, _GENERIC + _attribute(0x3FFF, b"what is it") + number),
        "short-number": _message(_PACKET, _GENERIC + _attribute(_PACKET_HDR, _NUMBERED[:6])),
        "absurd-length": _message(_PACKET, number_last),
        "absurd-message": _message(_PACKET, _GENERIC + number, length=0x80000000),
        "unaligned-end": _message(_PACKET, _GENERIC + number[:9], mend=True),
        "acknowledged": _message(_ERROR, bytes(20)),
        "refused": _message(_ERROR, struct.pack("=i", -2) + bytes(36)),
        "short-error": _message(_ERROR, struct.pack("=i", -2) + bytes(15)),
        "done": _message(3, bytes(4)),
        "header": _message(_PACKET, b""),
    }
    return seeds


# ---- fuzz_tcp_options: checks, family and kind of segment, words of options; options and data


def tcp_options_seeds() -> dict[str, bytes]:
    options = {
        "usual": b"\2\4\5\xb4\4\2\x08\x0a\1\2\3\4\0\0\0\0\1\3\3\7",
        "multipath": b"\2\4\5\xb4\x1e\x04\0\x81",
        "fast-open": b"\2\4\5\xb4\x22\x0acookie!!\1\1",
        "fast-open-asked": b"\x22\2\1\1",
        "experiment": b"\xfe\x0c\xf9\x89cookie!!",
        "all": b"\x08\x0a12345678\x1e\4\0\1\x22\6cook",
        "end": b"\0\x08\x0a12345678\1",
        "too-long": b"\2\4\5\xb4\x08\x0a\1\2",
        "too-short": b"\x08\1\x22\0",
    }
    return {
        f"{name}{kind}": bytes([7, kind, len(text) // 4]) + text + b"data"
        for name, text in options.items()
        for kind in (0, 1, 6)
    }


def write(folder: Path, seeds: dict[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        if not old.name.startswith("found-"):
            old.unlink()
    for name, data in seeds.items():
        (folder / name).write_bytes(data)


if __name__ == "__main__":
    write(ROOT / "packet", packet_seeds())
    write(ROOT / "engine", engine_seeds())
    write(ROOT / "nfqueue_message", nfqueue_message_seeds())
    write(ROOT / "tcp_options", tcp_options_seeds())
