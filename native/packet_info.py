"""What the parser makes of a packet, without an engine."""

from __future__ import annotations

from typing import NamedTuple

from native._engine import ffi, lib
from native.flow_key import KEY, FlowKey
from native.lists import COUNTERS, CounterInfo
from native.packets import Packet
from native.structs import record


class PacketInfo(NamedTuple):
    """A packet as the parser reads it."""

    key: FlowKey  # zone 0
    length: int  # bytes of the IP packet
    payload: int  # of it behind layer 4's header
    tcp_seq: int
    tcp_ack: int
    tcp_window: int
    ttl: int
    dscp: int
    tcp_flags: int
    icmp_type: int
    icmp_code: int
    is_fragment: bool  # of one layer 4 is not looked at: all of it is payload
    more_fragments: bool
    fragment_offset: int
    tag: int  # 802.1Q VLAN identifier, 0: none
    fragment_id: int
    traits: int  # bits, by the number of a protection (PROTECTIONS)


_INFO = record("packet_info", f"{KEY}IIIIHBBBBB??HHIQ")


def describe(packet: Packet) -> PacketInfo | CounterInfo:
    """What the parser makes of a packet, or the counter of its reason to refuse it."""
    raw, info = ffi.new("struct input *"), ffi.new("struct packet_info *")
    data = ffi.from_buffer("uint8_t[]", bytearray(packet.data))
    raw.data, raw.len, raw.link = data, len(packet.data), packet.link
    trusted, unsure = lib.INPUT_CHECKSUM_TRUSTED, lib.INPUT_CHECKSUM_MAYBE_UNFINISHED
    raw.flags = trusted if packet.checksum_trusted else unsure
    reason = lib.packet_describe(raw, info)
    if reason:
        return next(counter for counter in COUNTERS if counter.number == reason)
    fields = _INFO.unpack(ffi.buffer(info))
    return PacketInfo(FlowKey._make(fields[:7]), *fields[7:])
