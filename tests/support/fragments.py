"""Packets cut into fragments, and fragments joined: what RFC 791 and RFC 8200 4.5 say, no more."""

import struct
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

_MORE_V4, _MORE_V6 = 0x2000, 1
_FRAGMENT_HEADER = 44


class Piece(NamedTuple):
    offset: int
    data: bytes
    more: bool


def header_of(packet: bytes) -> int:
    """Where the payload of an IP packet without extension headers begins."""
    return (packet[0] & 15) * 4 if packet[0] >> 4 == 4 else 40


def folded(data: bytes) -> int:
    """The Internet checksum of a header."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def fragment(packet: bytes, piece: Piece, identification: int = 0x1234) -> bytes:
    """The fragment of a packet that has this piece of its payload."""
    header = bytearray(packet[: header_of(packet)])
    if packet[0] >> 4 == 4:
        field = piece.offset // 8 | (_MORE_V4 if piece.more else 0)
        struct.pack_into("!HHH", header, 2, len(header) + len(piece.data), identification, field)
        header[10:12] = bytes(2)
        header[10:12] = folded(bytes(header)).to_bytes(2)
        return bytes(header) + piece.data
    next_header, header[6] = header[6], _FRAGMENT_HEADER
    struct.pack_into("!H", header, 4, 8 + len(piece.data))
    field = piece.offset | (_MORE_V6 if piece.more else 0)
    return bytes(header) + struct.pack("!BBHI", next_header, 0, field, identification) + piece.data


def pieces(payload: bytes, ends: Iterable[int]) -> list[Piece]:
    """A payload cut at these places, multiples of eight."""
    bounds = [0, *sorted(end for end in set(ends) if 0 < end < len(payload)), len(payload)]
    spans = pairwise(bounds)
    return [Piece(at, payload[at:end], end < len(payload)) for at, end in spans]


def cut(packet: bytes, ends: Iterable[int], identification: int = 0x1234) -> list[bytes]:
    parts = pieces(packet[header_of(packet) :], ends)
    return [fragment(packet, piece, identification) for piece in parts]


def by_mtu(packet: bytes, mtu: int, identification: int = 0x1234) -> list[bytes]:
    """As a host would cut it."""
    room = mtu - header_of(packet) - (0 if packet[0] >> 4 == 4 else 8)
    return cut(packet, range(0, len(packet), room // 8 * 8), identification)


def read(data: bytes) -> Piece:
    """What a fragment has."""
    if data[0] >> 4 == 4:
        field = int.from_bytes(data[6:8])
        return Piece((field & 0x1FFF) * 8, data[header_of(data) :], bool(field & _MORE_V4))
    field = int.from_bytes(data[42:44])
    return Piece(field & 0xFFF8, data[48:], bool(field & _MORE_V6))


def joined(fragments: Sequence[bytes]) -> bytes:
    """The payload of fragments; AssertionError where it is not exactly there."""
    payload = b""
    for offset, data, more in sorted(map(read, fragments)):
        assert offset == len(payload)
        payload += data
        assert more == (len(payload) < sum(len(read(item).data) for item in fragments))
    return payload
