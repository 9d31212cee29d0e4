"""A packet as an edge has it."""

from enum import IntEnum
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
    """`tag` comes back in the verdict."""

    data: bytes
    port: int
    now_ns: int
    tag: int = 0
    link: LinkType = LinkType.IP
    checksum_trusted: bool = False
