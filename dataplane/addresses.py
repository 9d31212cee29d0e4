"""Addresses as the engine has them: 16 bytes, IPv4 behind ::ffff:."""

from ipaddress import ip_address
from socket import AF_INET, AF_INET6, inet_ntop

V4_PREFIX = bytes(10) + b"\xff\xff"


def packed(address: str) -> bytes:
    """16 bytes of an address's text; ValueError where it is none."""
    raw = ip_address(address).packed
    return V4_PREFIX + raw if len(raw) == 4 else raw


def widened(raw: bytes) -> bytes:
    """16 bytes of a 4 or 16 byte address."""
    return V4_PREFIX + raw if len(raw) == 4 else raw


def text(address: bytes) -> str:
    """An address of 16 bytes as people write it."""
    if address.startswith(V4_PREFIX):
        return inet_ntop(AF_INET, address[12:])
    return inet_ntop(AF_INET6, address)


def is_multicast(address: bytes) -> bool:
    if address.startswith(V4_PREFIX):
        return 224 <= address[12] <= 239
    return address[0] == 0xFF


def is_link_local(address: bytes) -> bool:
    """IPv6 only: 169.254.0.0/16 is routed like any other."""
    return address[0] == 0xFE and address[1] & 0xC0 == 0x80


def is_multicast_on_link(address: bytes) -> bool:
    """Of a multicast address: whether routers leave it alone (RFC 5771 4, RFC 4291 2.7)."""
    if address.startswith(V4_PREFIX):
        return address[12:15] == b"\xe0\x00\x00"
    return address[1] & 0x0F <= 2
