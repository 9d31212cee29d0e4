"""Longest prefix match against a sorted list of routes."""

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.addresses import packed
from dataplane.fib import Fib
from dataplane.snapshot import Route

KINDS = ["unicast", "local", "broadcast", "multicast", "discard"]
FIRST_TABLE = {"local", "broadcast", "multicast"}  # the kernel asks its local table first


def v4_prefix(address: int, length: int) -> str:
    return str(IPv4Network((address, length), strict=False))


def v6_prefix(address: int, length: int) -> str:
    return str(IPv6Network((address << 64 | 1, length), strict=False))


# few addresses, so that prefixes share them
V4 = st.builds(v4_prefix, st.sampled_from([0x0A000000, 0x0A0000FF, 0x0A800000]), st.integers(0, 32))
V6 = st.builds(v6_prefix, st.sampled_from([0x20010DB8_00000000, 0xFE80 << 48]), st.integers(0, 128))
ROUTES = st.lists(
    st.builds(
        Route,
        prefix=st.one_of(V4, V6),
        kind=st.sampled_from(KINDS),
        port=st.sampled_from(["a", "b"]),
        metric=st.integers(0, 3),
    ),
    max_size=30,
)
ADDRESSES = ["10.0.0.0", "10.0.0.255", "10.0.1.0", "10.128.0.0", "11.0.0.0", "255.255.255.255"]
ADDRESSES += ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1", "fe80::1", "::", "ffff::"]


def dull_lookup(routes: list[Route], address: str) -> Route | None:
    """All routes that contain the address; the longest first, then as the kernel asks for them."""
    wanted = ip_address(address)
    fitting = [
        (-network.prefixlen, route.kind not in FIRST_TABLE, route.metric, number)
        for number, route in enumerate(routes)
        if (network := ip_network(route.prefix)).version == wanted.version and wanted in network
    ]
    return routes[min(fitting)[3]] if fitting else None


@given(ROUTES)
def test_lookup_against_a_list(routes: list[Route]) -> None:
    fib = Fib(routes)
    for address in ADDRESSES:
        assert fib.lookup(packed(address)) == dull_lookup(routes, address)


@given(ROUTES)
def test_own_addresses(routes: list[Route]) -> None:
    expected = {
        packed(str(network.network_address))
        for route in routes
        if route.kind == "local"
        and (network := ip_network(route.prefix)).prefixlen == network.max_prefixlen
    }
    assert Fib(routes).local == expected


def test_an_empty_fib() -> None:
    assert Fib().lookup(packed("192.0.2.1")) is None
    assert Fib().local == set()


@pytest.mark.parametrize(
    "prefix", ["", "192.0.2.1/24", "192.0.2.0/33", "2001:db8::/129", "everywhere"]
)
def test_prefixes_that_are_none(prefix: str) -> None:
    with pytest.raises(ValueError, match=prefix or "''"):
        Fib([Route(prefix=prefix, kind="unicast")])
