"""Ports as the engine is told of them."""

import pytest
from msgspec.structs import replace

from dataplane.addresses import packed
from dataplane.checks import check
from dataplane.names import Names
from dataplane.port_configs import port_config
from dataplane.routing import Routing
from dataplane.snapshot import Port, VirtualRouter
from native import PortConfig
from tests.support.packets import snapshot

PORT = Port("ethernet1/1", "eth1", "trust", (), True, "default")
ADDRESSES = ("fe80::1/64", "2001:db8::1/64", "192.0.2.1/24", "192.0.2.2/32", "2001:db8::2/128")
ROWS = [
    pytest.param({}, {}, id="plain"),
    pytest.param({"mtu": 9000}, {"mtu": 9000}, id="MTU"),
    pytest.param(
        {"mtu": 1400, "mss_adjustment": (40, 60)},
        {"mtu": 1400, "largest_mss": (1360, 1340)},
        id="MSS below the MTU",
    ),
    pytest.param(
        {"mss_adjustment": (100, 120)}, {"largest_mss": (1400, 1380)}, id="MSS below the usual MTU"
    ),
    pytest.param(
        {"addresses": ADDRESSES},
        {"address": (packed("192.0.2.1"), packed("2001:db8::1"))},
        id="the first address of each family that is not a link's",
    ),
    pytest.param(
        {"mode": "virtual-wire", "multicast_firewalling": True},
        {"mode": "virtual-wire", "multicast_firewalling": True},
        id="mode",
    ),
    pytest.param({"virtual_router": "second"}, {"virtual_router": 1}, id="virtual router"),
    pytest.param({"ipv6": False}, {"ipv6": False}, id="IPv4 only"),
    pytest.param(
        {"zone": ""}, {"zone": 0, "mark": 0, "protection": 0}, id="no zone, no protection"
    ),
    pytest.param({"parent": "eth9", "tag": 7}, {"parent": 5, "tag": 7}, id="sub-interface"),
    pytest.param({"parent": "eth8", "tag": 7}, {"tag": 7}, id="parent there is not"),
]


@pytest.mark.parametrize(("fields", "expected"), ROWS)
def test_rows(fields: dict[str, object], expected: dict[str, object]) -> None:
    routing = Routing((VirtualRouter("default", 254), VirtualRouter("second", 100)))
    numbers: dict[str, dict[str, int]] = {"parents": {"eth9": 5}, "protections": {"trust": 3}}
    plain = port_config(PORT, Names(), routing, **numbers)
    assert plain == PortConfig(zone=1, ipv6=True, mark=plain.mark, protection=3)
    assert plain.mark
    found = port_config(replace(PORT, **fields), Names(), routing, **numbers)
    assert found == plain._replace(**expected)


def test_modes_there_are_not() -> None:
    wrong = replace(snapshot(), ports=(replace(PORT, mode="layer7"),))
    with pytest.raises(ValueError, match=r"port ethernet1/1: layer7 is no interface mode"):
        check(wrong)
