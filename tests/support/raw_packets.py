"""Packets by the ten thousand: headers packed by hand, layer 4 checksums left out (to be trusted).

A packet comes with what a session firewall reads of it, so that a model need not parse anything.
"""

import struct
from typing import NamedTuple

TCP, UDP, ICMP, ICMPV6, GRE = 6, 17, 1, 58, 47
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
_V4_MAPPED = bytes(10) + b"\xff\xff"
_DONT_FRAGMENT = 0x4000
_TTL = 64


class Flow(NamedTuple):
    """One direction; the ports of an echo are its identifier and sequence number."""

    src: bytes  # 16 bytes
    dst: bytes
    sport: int
    dport: int
    proto: int

    @property
    def family(self) -> int:
        return 4 if self.src.startswith(_V4_MAPPED) else 6

    def back(self) -> "Flow":
        return Flow(self.dst, self.src, self.dport, self.sport, self.proto)


class Segment(NamedTuple):
    """What TCP says."""

    flags: int
    seq: int
    ack: int
    window: int
    scale: int | None  # the option of a SYN


class Raw(NamedTuple):
    """A packet, and what is in it."""

    data: bytes
    flow: Flow
    payload: int  # bytes behind layer 4's header
    is_plain: bool = True  # without IP options, and its TTL does not end here
    segment: Segment | None = None
    is_reply: bool = False  # an echo reply
    about: Flow | None = None  # an ICMP error: the flow of the packet it quotes


def _checksum(header: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(header) // 2}H", header))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def _ip(flow: Flow, body: bytes, options: bool) -> bytes:
    if flow.family == 6:
        extension = struct.pack("!BBBB4x", flow.proto, 0, 1, 4) if options else b""  # one PadN
        next_header = 60 if options else flow.proto
        length = len(extension) + len(body)
        fixed = struct.pack("!IHBB", 6 << 28, length, next_header, _TTL)
        return fixed + flow.src + flow.dst + extension + body
    extension = b"\x01" * 4 if options else b""
    length = 20 + len(extension) + len(body)
    fields = (0x45 + options, 0, length, 0, _DONT_FRAGMENT, _TTL, flow.proto)
    ends = flow.src[12:] + flow.dst[12:] + extension
    checksum = _checksum(struct.pack("!BBHHHBBH", *fields, 0) + ends)
    return struct.pack("!BBHHHBBH", *fields, checksum) + ends + body


def tcp(flow: Flow, segment: Segment, size: int = 0, *, options: bool = False) -> Raw:
    """`size` bytes of payload."""
    flags, seq, ack, window, scale = segment
    more = b"" if scale is None else b"\x01\x03\x03" + bytes([scale])
    offset = (20 + len(more)) // 4 << 4
    ports = flow.sport, flow.dport
    header = struct.pack("!HHIIBBHHH", *ports, seq, ack, offset, flags, window, 0, 0) + more
    data = _ip(flow, header + bytes(size), options)
    return Raw(data, flow, size, not options, segment)


def udp(flow: Flow, size: int = 0, *, options: bool = False) -> Raw:
    header = struct.pack("!HHHH", flow.sport, flow.dport, 8 + size, 1)
    data = _ip(flow, header + bytes(size), options)
    return Raw(data, flow, size, not options)


def other(flow: Flow, size: int = 0, *, options: bool = False) -> Raw:
    """A protocol without ports."""
    data = _ip(flow, bytes(size), options)
    return Raw(data, flow, size, not options)


def echo(flow: Flow, *, reply: bool, size: int = 0) -> Raw:
    kind = (0 if reply else 8) if flow.proto == ICMP else (129 if reply else 128)
    identifier, sequence = (flow.dport, flow.sport) if reply else (flow.sport, flow.dport)
    header = struct.pack("!BBHHH", kind, 0, 0, identifier, sequence)
    data = _ip(flow, header + bytes(size), False)
    return Raw(data, flow, size, is_reply=reply)


def error(about: Raw, router: bytes) -> Raw:
    """A router tells the sender of a packet that its destination is unreachable."""
    family = about.flow.family
    flow = Flow(router, about.flow.src, 0, 0, ICMP if family == 4 else ICMPV6)
    header = struct.pack("!BBHI", 3 if family == 4 else 1, 1, 0, 0)
    return Raw(_ip(flow, header + about.data[:68], False), flow, 0, about=about.flow)
