"""Packets as an edge has them, and what becomes of them."""

from enum import IntEnum, IntFlag
from typing import NamedTuple

from native._engine import lib

MAX_BURST: int = lib.MAX_BURST


class LinkType(IntEnum):
    IP = lib.LINK_IP
    ETHERNET = lib.LINK_ETHERNET
    COOKED = lib.LINK_COOKED
    COOKED2 = lib.LINK_COOKED2
    NULL = lib.LINK_NULL


class Packet(NamedTuple):
    """A packet in; `tag` comes back in the verdict."""

    data: bytes
    port: int
    now_ns: int
    tag: int = 0
    link: LinkType = LinkType.IP
    checksum_trusted: bool = False
    flags: int = 0  # of InputFlag
    egress: int = 0  # port: of bridged ports, by which the bridge sends it
    mac: bytes = bytes(6)  # of its sender


class InputFlag(IntFlag):
    CHECKSUM_UNFINISHED = lib.INPUT_CHECKSUM_UNFINISHED
    GSO = lib.INPUT_GSO
    FROM_HOST = lib.INPUT_FROM_HOST
    BROADCAST = lib.INPUT_BROADCAST


class VerdictAction(IntEnum):
    FORWARD = lib.VERDICT_FORWARD
    DROP = lib.VERDICT_DROP
    HOST = lib.VERDICT_HOST
    CONSUMED = lib.VERDICT_CONSUMED
    EMIT = lib.VERDICT_EMIT


class Verdict(NamedTuple):
    action: VerdictAction
    tag: int
    reason: int  # counter number of a DROP, else 0
    port: int  # egress port of FORWARD and EMIT, else 0
    session: int  # 0 where none
    mark: int  # of FORWARD and HOST, for the kernel to check
    data: bytes | None  # what to send, where it differs from what came in
    mac: bytes = bytes(6)  # of EMIT by a bridged port: to whom; else zeros
    is_pinned: bool = False  # EMIT leaves by its port, whatever the routes say
