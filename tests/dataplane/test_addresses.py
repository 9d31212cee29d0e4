"""Addresses as 16 bytes and as text."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.addresses import is_link_local, is_multicast, packed, text, widened


@given(st.ip_addresses())
def test_there_and_back(address: IPv4Address | IPv6Address) -> None:
    mapped = isinstance(address, IPv6Address) and address.ipv4_mapped
    assert text(packed(str(address))) == str(mapped or address)


def test_ipv4_lies_behind_its_prefix() -> None:
    assert packed("192.0.2.1") == bytes(10) + b"\xff\xff\xc0\x00\x02\x01"
    assert widened(b"\xc0\x00\x02\x01") == packed("192.0.2.1")
    assert widened(packed("2001:db8::1")) == packed("2001:db8::1")


@pytest.mark.parametrize(
    "wrong", ["", "192.0.2", "192.0.2.1/32", "trust", "2001:db8::g", "1.2.3.4.5"]
)
def test_what_is_no_address(wrong: str) -> None:
    with pytest.raises(ValueError, match="does not appear to be an IPv4 or IPv6 address"):
        packed(wrong)


@pytest.mark.parametrize(
    ("address", "multicast", "link_local"),
    [
        ("223.255.255.255", False, False),
        ("224.0.0.1", True, False),
        ("239.255.255.255", True, False),
        ("240.0.0.1", False, False),
        ("169.254.1.1", False, False),
        ("ff02::1", True, False),
        ("fe80::1", False, True),
        ("febf::1", False, True),
        ("fec0::1", False, False),
        ("2001:db8::1", False, False),
    ],
)
def test_kinds(address: str, multicast: bool, link_local: bool) -> None:
    assert is_multicast(packed(address)) == multicast
    assert is_link_local(packed(address)) == link_local
