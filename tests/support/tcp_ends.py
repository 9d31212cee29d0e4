"""Two ends of a TCP connection that take nothing on trust (RFC 9293, 7323, 2018).

What an end receives has to fit what it knows: it fails as soon as a number, a timestamp, a SACK
block or a window cannot have come from the other one. They send little and have no timers; whoever
holds both tells them when to try again.
"""

import struct
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import NamedTuple

from tests.support.wires import checksum

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
_TCP = 6
_TTL = 64
_BITS = 1 << 32


class Offer(NamedTuple):
    """What an end has in its SYN."""

    mss: int | None
    scale: int | None
    sack: bool
    stamps: bool


_NOTHING = Offer(None, None, False, False)


class Segment(NamedTuple):
    flags: int
    seq: int
    ack: int
    window: int
    payload: bytes = b""
    offer: Offer | None = None  # of a SYN
    stamps: tuple[int, int] | None = None
    sacks: tuple[tuple[int, int], ...] = ()


class Way(NamedTuple):
    """From whom to whom."""

    src: str
    sport: int
    dst: str
    dport: int

    def back(self) -> "Way":
        return Way(self.dst, self.dport, self.src, self.sport)


def signed(difference: int) -> int:
    return (difference + (_BITS >> 1)) % _BITS - (_BITS >> 1)


def _options(segment: Segment) -> bytes:
    out = b""
    if segment.offer is not None:
        if segment.offer.mss is not None:
            out += struct.pack("!BBH", 2, 4, segment.offer.mss)
        if segment.offer.scale is not None:
            out += struct.pack("!BBB", 3, 3, segment.offer.scale)
        if segment.offer.sack:
            out += b"\4\2"
    if segment.sacks:
        out += struct.pack("!BB", 5, 2 + 8 * len(segment.sacks))
        out += b"".join(struct.pack("!II", *block) for block in segment.sacks)
    if segment.stamps is not None:
        out += struct.pack("!BBII", 8, 10, *segment.stamps)
    return out + b"\1" * (-len(out) % 4)


def _pseudo(src: bytes, dst: bytes, length: int) -> bytes:
    return src + dst + struct.pack("!II", length, _TCP)


def encode(way: Way, segment: Segment) -> bytes:
    options = _options(segment)
    head = struct.pack("!HHII", way.sport, way.dport, segment.seq % _BITS, segment.ack % _BITS)
    offset = (20 + len(options)) // 4 << 4
    rest = struct.pack("!BBH", offset, segment.flags, segment.window)
    body = head + rest + b"\0\0\0\0" + options + segment.payload
    src, dst = ip_address(way.src).packed, ip_address(way.dst).packed
    total = checksum(_pseudo(src, dst, len(body)) + body + b"\0" * (len(body) % 2))
    body = body[:16] + total + body[18:]
    if len(src) == 16:
        return struct.pack("!IHBB", 6 << 28, len(body), _TCP, _TTL) + src + dst + body
    fixed = struct.pack("!BBHHHBB", 0x45, 0, 20 + len(body), 0, 0x4000, _TTL, _TCP)
    return fixed + checksum(fixed + src + dst) + src + dst + body


def decode(packet: bytes) -> tuple[Way, Segment]:
    """Raises AssertionError where a checksum or a length is wrong."""
    is_v4 = packet[0] >> 4 == 4
    at, size = (20, 4) if is_v4 else (40, 16)
    src, dst = packet[at - 2 * size : at - size], packet[at - size : at]
    if is_v4:
        assert checksum(packet[:20]) == b"\0\0"
    body = packet[at:]
    pseudo = _pseudo(src, dst, len(body))
    assert checksum(pseudo + body + b"\0" * (len(body) % 2)) == b"\0\0"
    sport, dport, seq, ack, offset, flags, window = struct.unpack("!HHIIBBH", body[:16])
    header = offset // 16 * 4
    mss, scale, sack, stamps = None, None, False, None
    sacks: list[tuple[int, int]] = []
    options = body[20:header]
    while options and options[0]:
        if options[0] == 1:
            options = options[1:]
            continue
        kind, length = options[:2]
        value, options = options[2:length], options[length:]
        if kind == 2:
            (mss,) = struct.unpack("!H", value)
        elif kind == 3:
            scale = value[0]
        elif kind == 4:
            sack = True
        elif kind == 5:
            edges = struct.unpack(f"!{len(value) // 4}I", value)
            sacks += zip(edges[::2], edges[1::2], strict=True)
        elif kind == 8:
            stamps = struct.unpack("!II", value)
    offer = Offer(mss, scale, sack, stamps is not None) if flags & SYN else None
    way = Way(str(ip_address(src)), sport, str(ip_address(dst)), dport)
    return way, Segment(flags, seq, ack, window, body[header:], offer, stamps, tuple(sacks))


@dataclass
class End:
    """Has `data` to send, and a receive window it always has room for."""

    isn: int
    offer: Offer
    data: bytes
    window: int
    clock: int
    peer: "End | None" = None  # what it really offers, to be compared with what is heard of it
    lacks_stamps: bool = False  # it was promised timestamps by somebody who could not know
    state: str = "closed"
    theirs: int = 0  # the other end's first sequence number, as this one knows it
    acked: int = 0  # bytes of ours
    sent: int = 0
    room: int = 0  # behind the last byte the other end would take
    got: bytearray = field(default_factory=bytearray)
    later: dict[int, bytes] = field(default_factory=dict)  # out of order
    heard: tuple[int, int] = (0, 0)  # timestamps: the first one, and the last one to be echoed
    began: int = 0  # the clock then
    agreed: Offer = _NOTHING  # the other end's part, as far as both have it

    def __post_init__(self) -> None:
        self.began = self.clock

    # -- sending

    def _stamps(self) -> tuple[int, int]:
        self.clock += 1
        return self.clock % _BITS, self.heard[1]

    def _segment(self, flags: int, at: int, payload: bytes = b"") -> Segment:
        scale = 0 if self.agreed.scale is None or self.offer.scale is None else self.offer.scale
        sacks = [
            ((self.theirs + 1 + first) % _BITS, (self.theirs + 1 + first + len(piece)) % _BITS)
            for first, piece in sorted(self.later.items())
        ]
        return Segment(
            flags,
            (self.isn + 1 + at) % _BITS,
            (self.theirs + 1 + len(self.got)) % _BITS,
            min(self.window >> scale, 65535),
            payload,
            stamps=self._stamps() if self.agreed.stamps else None,
            sacks=tuple(sacks[:3]) if self.agreed.sack else (),
        )

    def syn(self, flags: int = SYN) -> Segment:
        offer = self.offer
        if flags & ACK:  # only what the other end has, too
            scale = None if self.agreed.scale is None else offer.scale
            sack, stamps = self.agreed.sack, self.agreed.stamps
            offer = Offer(offer.mss, scale, sack, stamps)
        ack = (self.theirs + 1) % _BITS if flags & ACK else 0
        stamps_ = self._stamps() if offer.stamps else None
        return Segment(flags, self.isn, ack, min(self.window, 65535), offer=offer, stamps=stamps_)

    def again(self) -> Segment | None:
        """What a timer would send now."""
        if self.state in ("closed", "syn-sent"):
            self.state = "syn-sent"
            return self.syn()
        if self.state == "syn-received":
            return self.syn(SYN | ACK)
        if self.acked == len(self.data):
            return None
        if self.room <= self.acked:
            return self._segment(ACK, self.acked - 1)
        return self.next(self.acked)

    def next(self, at: int | None = None) -> Segment | None:
        """A segment of data, as far as there is room."""
        at = self.sent if at is None else at
        mss = min(536 if self.agreed.mss is None else self.agreed.mss, 1400)
        end = min(at + mss, self.room, len(self.data))
        if self.state != "established" or end <= at:
            return None
        self.sent = max(self.sent, end)
        return self._segment(ACK | PSH, at, self.data[at:end])

    # -- receiving

    def receive(self, segment: Segment) -> Segment | None:
        """The answer, if there is one to be given at once."""
        if segment.flags & SYN:
            return self._receive_syn(segment)
        if self.state == "syn-received" and segment.ack == (self.isn + 1) % _BITS:
            self.state = "established"
        assert self.state == "established", f"{self.state}: {segment}"
        self._check_options(segment)
        acked = signed(segment.ack - self.isn - 1)
        assert 0 <= acked <= self.sent
        self._check_window(segment, acked)
        self.acked = max(self.acked, acked)
        at = signed(segment.seq - self.theirs - 1)
        assert at >= -1
        assert at + len(segment.payload) <= len(self.got) + self.window
        if segment.payload:
            self.later[at] = max(self.later.get(at, b""), segment.payload, key=len)
        while in_order := [first for first in self.later if first <= len(self.got)]:
            piece = self.later.pop(in_order[0])
            known = len(self.got) - in_order[0]
            assert self.got[in_order[0] :][: len(piece)] == piece[: max(known, 0)]
            self.got += piece[known:]
        return self._segment(ACK, self.sent) if segment.payload or at < len(self.got) else None

    def _receive_syn(self, segment: Segment) -> Segment:
        assert segment.offer is not None
        if self.state == "established":
            return self._segment(ACK, self.sent)
        if self.state == "syn-received":
            assert (segment.seq - self.theirs) % _BITS == 0, "the same SYN again"
            return self.syn(SYN | ACK)
        self.theirs = segment.seq
        offer, mine = segment.offer, self.offer
        self.agreed = Offer(
            offer.mss,
            None if mine.scale is None else offer.scale,
            mine.sack and offer.sack,
            mine.stamps and offer.stamps,
        )
        if segment.stamps is not None:
            self.heard = (segment.stamps[0], segment.stamps[0])
        self.room = segment.window
        if segment.flags & ACK:
            assert segment.ack == (self.isn + 1) % _BITS
            assert self.state == "syn-sent"
            assert offer.scale is None or mine.scale is not None
            assert not offer.sack or mine.sack
            assert not offer.stamps or mine.stamps
            if segment.stamps is not None:
                assert 0 <= signed(self.clock - segment.stamps[1]) <= self.clock - self.began
            self.state = "established"
            return self._segment(ACK, 0)
        self.state = "syn-received"
        return self.syn(SYN | ACK)

    def _check_options(self, segment: Segment) -> None:
        assert segment.offer is None
        if segment.stamps is not None:
            assert self.agreed.stamps
            value, echo = segment.stamps
            assert 0 <= signed(self.clock - echo) <= self.clock - self.began
            assert self.peer is not None
            # a SYN-ACK that was sent earlier may have come later
            assert abs(signed(value - self.heard[0])) <= self.peer.clock - self.peer.began
            if signed(value - self.heard[1]) > 0:
                self.heard = (self.heard[0], value)
        else:
            assert self.lacks_stamps or not self.agreed.stamps
        assert self.agreed.sack or not segment.sacks
        for left, right in segment.sacks:
            first, last = signed(left - self.isn - 1), signed(right - self.isn - 1)
            assert 0 < first < last <= self.sent

    def _check_window(self, segment: Segment, acked: int) -> None:
        """It never says more than there is, and not much less than can be said."""
        assert self.peer is not None
        scale = self.agreed.scale or 0
        window = segment.window << scale
        assert window <= self.peer.window
        assert (
            segment.window == 65535
            or self.peer.window - window < 2 << 14
            or (self.peer.window > 65535 and window > 65535 - (1 << 14))
        )
        self.room = max(self.room, acked + window)
