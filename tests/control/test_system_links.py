"""Interfaces of the ports: which addresses, MTU and state they end up with."""

import json
from ipaddress import ip_interface

import pytest
from msgspec.structs import replace

from control.system import links
from control.system.netlink import Address, Link, Netlink
from dataplane.snapshot import Port
from tests.support.private import cable, in_namespace, run
from vm.waiting import wait_until


def port(number: int, *addresses: str, mtu: int | None = None) -> Port:
    return Port(f"ethernet1/{number}", f"eth{number}", "trust", addresses, True, "default", mtu)


def configure(*ports: Port) -> None:
    with Netlink() as netlink:
        links.configure(netlink, ports, ())


def all_links() -> dict[str, Link]:
    with Netlink() as netlink:
        return {link.name: link for link in netlink.links()}


def addresses(interface: str) -> list[str]:
    """Without those the kernel makes itself."""
    shown = json.loads(run(f"ip -j addr show dev {interface}"))[0]["addr_info"]
    return sorted(f"{one['local']}/{one['prefixlen']}" for one in shown if one["scope"] != "link")


ROWS = [
    pytest.param((), ("192.0.2.1/24",), id="first"),
    pytest.param(("192.0.2.1/24",), ("192.0.2.1/24",), id="the same"),
    pytest.param(("192.0.2.1/24",), ("192.0.2.1/25",), id="other prefix length"),
    pytest.param(("2001:db8::1/64",), ("2001:db8::1/48",), id="other prefix length, IPv6"),
    pytest.param(
        ("192.0.2.1/24", "192.0.2.2/24"), ("192.0.2.2/24",), id="the first of a network goes"
    ),
    pytest.param(("192.0.2.1/24", "2001:db8::1/64"), (), id="all go"),
    pytest.param(("2001:db8::1/64",), ("192.0.2.1/32", "2001:db8::1/128"), id="host addresses"),
]


@pytest.mark.parametrize(("before", "after"), ROWS)
@in_namespace
def test_exactly_the_configured_addresses(before: list[str], after: list[str]) -> None:
    cable("eth1")
    configure(port(1, *before))
    assert addresses("eth1") == sorted(before)
    configure(port(1, *after))
    assert addresses("eth1") == sorted(after)
    state = run("ip addr show dev eth1")
    configure(port(1, *after))
    assert run("ip addr show dev eth1") == state


@in_namespace
def test_an_address_put_there_by_hand_goes_and_link_local_stays() -> None:
    cable("eth1")
    configure(port(1, "192.0.2.1/24"))
    run("ip addr add 198.51.100.1/24 dev eth1; ip addr add fe80::77/64 dev eth1 nodad")
    configure(port(1, "192.0.2.1/24"))
    assert addresses("eth1") == ["192.0.2.1/24"]
    assert "fe80::77" in run("ip addr show dev eth1")


@in_namespace
def test_an_ipv6_address_is_usable_at_once() -> None:
    cable("eth1")
    configure(port(1, "2001:db8::1/64"))
    assert "tentative" not in run("ip addr show dev eth1 scope global")


@in_namespace
def test_up_and_mtu() -> None:
    cable("eth1", "eth2")
    run("ip link set eth2 mtu 1400")
    configure(port(1, mtu=9000), port(2))
    found = all_links()
    assert (found["eth1"].mtu, found["eth2"].mtu) == (9000, 1400)
    assert found["eth1"].is_enabled
    # the kernel notices a carrier within a second or so
    wait_until(lambda: all_links()["eth2"].is_running, "eth2 runs", seconds=5)


@in_namespace
def test_what_the_kernel_refuses_names_the_port() -> None:
    cable("eth1")
    with pytest.raises(OSError, match=r"ethernet1/1 \(eth1\): Invalid argument"):
        configure(port(1, mtu=1 << 30))


@in_namespace
def test_release_takes_the_addresses_away() -> None:
    cable("eth1", "eth2")
    ports = port(1, "192.0.2.1/24", "2001:db8::1/64"), port(2, "198.51.100.1/24")
    configure(*ports)
    with Netlink() as netlink:
        links.release(netlink, ["eth1", "eth9"])
    assert (addresses("eth1"), addresses("eth2")) == ([], ["198.51.100.1/24"])


@in_namespace
def test_status() -> None:
    cable("eth1")
    configure(port(1, "192.0.2.1/24"), port(2, "198.51.100.1/24"))
    with Netlink() as netlink:
        up, missing = links.status([port(1, "192.0.2.1/24"), port(2, mtu=1400)], netlink.links())
        run("ip link set eth1-far down")
        (down,) = links.status([port(1)], netlink.links())
        (loopback,) = links.status([Port("x", "lo", "", (), False, "")], netlink.links())
    shown = json.loads(run("ip -j link show dev eth1"))[0]
    assert (up.index, up.mac, up.mtu) == (shown["ifindex"], shown["address"], shown["mtu"])
    assert (up.is_up, up.speed_mbps, up.is_full_duplex) == (True, 10000, True)
    assert up.addresses == ("192.0.2.1/24",)
    assert (missing.index, missing.mac, missing.is_up, missing.mtu) == (0, "", False, 1400)
    assert not down.is_up
    assert loopback.speed_mbps is None


@in_namespace
def test_status_of_every_kind() -> None:
    cable("eth1", "eth2")
    ports = (
        replace(port(1), mode="layer2", bridge="lan"),
        replace(port(2), mode="virtual-wire", bridge="wire"),
        Port("tunnel.1", "tunnel.1", "vpn", (), False, "default", mode="tunnel"),
        Port("loopback.1", "lo", "", ("192.0.2.1/32",), False, "default", mode="loopback"),
        Port("ethernet1/1.5", "eth1.5", "lan", (), False, "default", parent="eth1", tag=5),
    )
    run("""
        ip link add br1 type bridge; ip link set br1 up
        ip link set eth1 master br1; ip link set eth1 up
        ip tuntap add dev tunnel.1 mode tun; ip link set tunnel.1 up
    """)
    wait_until(lambda: all_links()["eth1"].is_running, "eth1 runs", seconds=5)
    with Netlink() as netlink:
        found = links.status(ports, netlink.links())
    shown = [(one.name, one.mode, one.bridge, one.tag, one.is_up, one.index > 0) for one in found]
    assert shown == [
        ("ethernet1/1", "layer2", "lan", 0, True, True),
        ("ethernet1/2", "virtual-wire", "wire", 0, False, True),
        ("tunnel.1", "tunnel", "", 0, True, True),
        ("loopback.1", "loopback", "", 0, True, True),
        ("ethernet1/1.5", "layer3", "", 5, False, False),
    ]
    assert found[3].addresses == ("192.0.2.1/32",)


LINKS = [
    Link(3, "eth1", "", True, True, 1500),
    Link(4, "dp0+", "", True, True, 1500),
    Link(1, "lo", "", True, True, 65536, True),
]


@pytest.mark.parametrize(
    ("port", "expected"),
    [
        (Port("loopback.1", "lo", "", (), False, "", mode="loopback"), []),
        (Port("tunnel.1", "tunnel.1", "", (), False, "", mode="tunnel"), []),
        (Port("ethernet1/1.5", "eth1.5", "", (), False, "", parent="eth1", tag=5), []),
        (
            Port("ethernet1/2.5", "eth2.5", "", (), False, "", parent="eth2", tag=5),
            [
                "ethernet1/2.5: there is no interface eth2; "
                "name the one behind it with --port ethernet1/2=IFNAME"
            ],
        ),
    ],
)
def test_problems_of_other_kinds(port: Port, expected: list[str]) -> None:
    assert links.problems([port], LINKS) == expected


@pytest.mark.parametrize(
    ("interface", "expected"),
    [
        ("eth1", []),
        (
            "eth2",
            [
                "ethernet1/1: there is no interface eth2; "
                "name the one behind it with --port ethernet1/1=IFNAME"
            ],
        ),
        (
            "lo",
            [
                "ethernet1/1: lo is a loopback interface; "
                "name the one behind it with --port ethernet1/1=IFNAME"
            ],
        ),
        (
            "dp0+",
            [
                "ethernet1/1: 'dp0+' is no name iptables takes; "
                "name the one behind it with --port ethernet1/1=IFNAME"
            ],
        ),
    ],
)
def test_problems(interface: str, expected: list[str]) -> None:
    ports = [Port("ethernet1/1", interface, "trust", (), False, "default")]
    assert links.problems(ports, LINKS) == expected


def test_indices() -> None:
    assert links.indices([port(1), port(2)], LINKS) == {3: "ethernet1/1"}


def test_link_local_is_about_ipv6() -> None:
    assert Address(1, ip_interface("fe80::1/64")).is_link_local
    assert not Address(1, ip_interface("169.254.0.1/16")).is_link_local
