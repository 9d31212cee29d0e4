"""Pools of addresses: every place has one, in order, over all ranges."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.address_pool import AddressPool, by_family
from dataplane.addresses import packed
from dataplane.snapshot import AddressRange

V4 = st.integers(0x0A000000, 0x0A000040)
V6 = st.integers(0x20010DB8 << 96, (0x20010DB8 << 96) + 64)


def between(first: int, last: int) -> AddressRange:
    one, other = sorted((first, last))
    return AddressRange(ip_address(one).packed, ip_address(other).packed)


RANGES = st.lists(st.one_of(st.builds(between, V4, V4), st.builds(between, V6, V6)), max_size=5)


@given(RANGES)
def test_places(ranges: list[AddressRange]) -> None:
    expected = [
        packed(str(ip_address(raw.to_bytes(len(r.first), "big"))))
        for r in ranges
        for raw in range(int.from_bytes(r.first, "big"), int.from_bytes(r.last, "big") + 1)
    ]
    pool = AddressPool(ranges)
    assert [pool.at(place) for place in range(pool.size)] == expected


@given(RANGES)
def test_families(ranges: list[AddressRange]) -> None:
    pools = by_family(ranges)
    for family, length in ((4, 4), (6, 16)):
        own = [r for r in ranges if len(r.first) == length]
        assert (family in pools) == bool(own)
        if own:
            assert str(pools[family]) == str(AddressPool(own))


@pytest.mark.parametrize(
    ("ranges", "text"),
    [
        ([("192.0.2.1", "192.0.2.1")], "192.0.2.1"),
        ([("192.0.2.1", "192.0.2.9")], "192.0.2.1-192.0.2.9"),
        ([("192.0.2.1", "192.0.2.2"), ("10.0.0.1", "10.0.0.1")], "192.0.2.1-192.0.2.2, 10.0.0.1"),
    ],
)
def test_text(ranges: list[tuple[str, str]], text: str) -> None:
    pool = AddressPool(
        AddressRange(ip_address(first).packed, ip_address(last).packed) for first, last in ranges
    )
    assert str(pool) == text
