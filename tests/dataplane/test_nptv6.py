"""IPv6 prefix translation: RFC 6296's own example, there and back, checksums untouched."""

from ipaddress import IPv6Address, IPv6Network
from struct import unpack

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dataplane.nptv6 import Nptv6
from dataplane.snapshot import AddressRange


def prefix(text: str) -> AddressRange:
    network = IPv6Network(text)
    return AddressRange(network[0].packed, network[-1].packed)


def packed(text: str) -> bytes:
    return IPv6Address(text).packed


INSIDE, OUTSIDE = prefix("fd01:203:405::/48"), prefix("2001:db8:1::/48")

EXAMPLES = [  # RFC 6296 3.2, and the rules of 3.4 and 3.5
    pytest.param("fd01:203:405:1::1234", "2001:db8:1:d550::1234", id="of the RFC"),
    pytest.param("fd01:203:406:1::1234", None, id="another prefix"),
    pytest.param("fd01:203:405:ffff::1", None, id="a subnet that would not find its way back"),
]


@pytest.mark.parametrize(("address", "expected"), EXAMPLES)
def test_examples(address: str, expected: str | None) -> None:
    found = Nptv6(INSIDE, OUTSIDE).translate(packed(address))
    assert found == (None if expected is None else packed(expected))
    if expected is not None:
        assert Nptv6(OUTSIDE, INSIDE).translate(packed(expected)) == packed(address)


@pytest.mark.parametrize(
    ("address", "word"),
    [
        ("fd00::1234:0:0:0", 4),
        ("fd00::ffff:1:0:0", 5),
        ("fd00::ffff:ffff:ffff:1", 7),
        ("fd00::ffff:ffff:ffff:ffff", None),
        ("fd00::", None),
    ],
)
def test_longer_prefixes_use_the_identifier(address: str, word: int | None) -> None:
    found = Nptv6(prefix("fd00::/64"), prefix("2001:db8:1:2::/64")).translate(packed(address))
    if word is None:
        assert found is None
        return
    assert found is not None
    before, after = unpack("!8H", packed(address)), unpack("!8H", found)
    assert [n for n in range(4, 8) if before[n] != after[n]] == [word]


def ones_sum(address: bytes) -> int:
    return sum(unpack("!8H", address)) % 0xFFFF


@given(st.integers(16, 64), *[st.integers(0, (1 << 128) - 1)] * 3)
def test_there_and_back(length: int, first: int, second: int, host: int) -> None:
    one, other = (IPv6Network((number, length), strict=False) for number in (first, second))
    inside, outside = prefix(str(one)), prefix(str(other))
    address = (int(one[0]) | int(one.hostmask) & host).to_bytes(16, "big")
    there = Nptv6(inside, outside).translate(address)
    assume(there is not None)
    assert there is not None
    assert outside.first <= there <= outside.last
    assert ones_sum(there) == ones_sum(address)
    assert Nptv6(outside, inside).translate(there) == address


@pytest.mark.parametrize(
    ("original", "translated", "message"),
    [
        (INSIDE, prefix("2001:db8::/56"), "of the same length"),
        (prefix("fd00::/80"), prefix("fd01::/80"), "up to /64, not /80"),
        (AddressRange(packed("fd00::1"), packed("fd00::2")), INSIDE, "not ranges"),
        (AddressRange(bytes(4), bytes(4)), INSIDE, "IPv6 prefixes"),
    ],
)
def test_what_is_no_pair_of_prefixes(
    original: AddressRange, translated: AddressRange, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Nptv6(original, translated)
