"""control/config/tunnels.py: what tunnels are compiled to, and what is wrong with them."""

import pytest

from control.config.compile import compile_snapshot
from control.config.load import load_config
from dataplane.engine import Engine
from dataplane.snapshot import Tunnel
from dataplane.tunnels import mtus

BASE = """\
set network interface ethernet ethernet1/1 layer3 ip 198.51.100.1/24
set network interface ethernet ethernet1/1 layer3 ip 198.51.100.2/24
set network interface ethernet ethernet1/2 layer3 ipv6 enabled yes
set network interface ethernet ethernet1/2 layer3 ipv6 address 2001:db8::1/64
set network interface ethernet ethernet1/3 layer3 ip 192.0.2.1/24
set network interface loopback units loopback.1 ip 10.255.0.1/32
set network interface tunnel units tunnel.1 ip 10.9.1.1/24
set network interface tunnel units tunnel.2 ip 10.9.2.1/24
set network interface tunnel units tunnel.3
set network virtual-router vr interface [ ethernet1/1 ethernet1/2 loopback.1 tunnel.1 tunnel.2 ]
set network virtual-router other interface [ ethernet1/3 tunnel.3 ]
set zone out network layer3 [ ethernet1/1 ethernet1/2 ethernet1/3 tunnel.1 tunnel.2 tunnel.3 ]
"""


def tunnel(
    kind: str = "gre",
    name: str = "t",
    *,
    outer: str = "ethernet1/1",
    peer: str = "203.0.113.9",
    interface: str = "tunnel.1",
    more: str = "",
) -> str:
    words = f"set network tunnel {kind} {name}"
    return f"""\
{words} local-address interface {outer}
{words} peer-address ip {peer}
{words} tunnel-interface {interface}
""" + "".join(f"{words} {line}\n" for line in more.splitlines())


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param(
            tunnel(),
            Tunnel("t", "gre", "tunnel.1", "ethernet1/1", "198.51.100.1", "203.0.113.9"),
            id="defaults",
        ),
        pytest.param(
            tunnel(
                "ipip", more="local-address ip 198.51.100.2/24\nttl 9\ncopy-tos yes\ndisabled no"
            ),
            Tunnel(
                "t",
                "ipip",
                "tunnel.1",
                "ethernet1/1",
                "198.51.100.2",
                "203.0.113.9",
                ttl=9,
                copy_tos=True,
            ),
            id="all that is set",
        ),
        pytest.param(
            tunnel("ipip", outer="ethernet1/2", peer="2001:db8:f::1"),
            Tunnel("t", "ipip", "tunnel.1", "ethernet1/2", "2001:db8::1", "2001:db8:f::1"),
            id="IPv6",
        ),
    ],
)
def test_compiled(lines: str, expected: Tunnel) -> None:
    snapshot = compile_snapshot(load_config((BASE + lines).encode(), "test").tree, {})
    assert snapshot.tunnels == (expected,)
    assert {port.name: port.tunnel for port in snapshot.ports if port.tunnel} == {"tunnel.1": "t"}


def test_vxlan_has_a_mac_address_that_stays() -> None:
    lines = BASE + tunnel("vxlan", more="vni 77\nudp-port 8472\npeer-mac 02:53:00:00:00:0A")
    first, second = (
        compile_snapshot(load_config(lines.encode(), "test").tree, {}).tunnels[0] for _ in "12"
    )
    assert (first.vni, first.udp_port, first.peer_mac) == (77, 8472, "02:53:00:00:00:0A")
    assert first.mac == second.mac
    assert first.mac.startswith("02:")


def test_a_disabled_tunnel_is_none() -> None:
    lines = BASE + tunnel(more="disabled yes")
    assert compile_snapshot(load_config(lines.encode(), "test").tree, {}).tunnels == ()


def test_what_fits_within_each_other() -> None:
    lines = (
        BASE
        + tunnel()
        + tunnel(
            "vxlan",
            "n",
            outer="tunnel.1",
            peer="10.9.1.2",
            interface="tunnel.2",
            more="vni 1",
        )
    )
    snapshot = compile_snapshot(load_config(lines.encode(), "test").tree, {})
    assert mtus(snapshot) == {"tunnel.1": 1500 - 24, "tunnel.2": 1500 - 24 - 50}
    assert {p.name: p.mtu for p in snapshot.ports if p.mtu} == mtus(snapshot)
    Engine(hash_key=bytes(16), now_ns=0).configure(snapshot)


@pytest.mark.parametrize(
    ("lines", "fragment"),
    [
        ("set network tunnel gre t", "missing: local-address, peer-address, tunnel-interface"),
        (tunnel("vxlan"), "missing: vni"),
        (tunnel(outer="ethernet1/9"), '"ethernet1/9" does not exist'),
        (tunnel(interface="ethernet1/1"), '"ethernet1/1" does not exist'),
        (tunnel(outer="loopback.1"), "is a loopback interface; layer3 or tunnel is right"),
        (tunnel(peer="2001:db8:f::1"), '"ethernet1/1" has no IPv6 address to reach 2001:db8:f::1'),
        (
            tunnel(more="local-address ip 198.51.100.3"),
            '198.51.100.3 is no address of "ethernet1/1"; its addresses are 198.51.100.1',
        ),
        (
            tunnel(peer="2001:db8:f::1", more="local-address ip 198.51.100.1"),
            "2001:db8:f::1 is IPv6; IPv4 as 198.51.100.1 is right",
        ),
        (tunnel(peer="198.51.100.2"), "198.51.100.2 is the firewall's own address"),
        (tunnel(peer="224.0.0.5"), "224.0.0.5 is not one host's address"),
        (tunnel(interface="tunnel.3"), "are not in the same virtual router"),
        (
            tunnel() + tunnel("ipip", "u"),
            '"tunnel.1" has several tunnels; each needs one of its own',
        ),
        (
            tunnel() + tunnel("gre", "u", interface="tunnel.2"),
            "another gre tunnel goes from 198.51.100.1 to 203.0.113.9, too",
        ),
        (
            tunnel("vxlan", more="vni 1")
            + tunnel("vxlan", "u", interface="tunnel.2", more="vni 1"),
            "too; give one of them another vni",
        ),
        (
            tunnel(outer="tunnel.2", peer="10.9.2.2")
            + tunnel("gre", "u", outer="tunnel.1", peer="10.9.1.2", interface="tunnel.2"),
            "back into this one; name an interface on a link",
        ),
        (tunnel(more="ttl 0"), "a number from 1 to 255"),
        (tunnel("vxlan", more="vni 16777216"), "a number from 0 to 16777215"),
        (tunnel("vxlan", more="vni 1\npeer-mac 03:00:00:00:00:01"), "a MAC address of one host"),
        (tunnel(more="keep-alive enable yes"), "not enforced"),
    ],
)
def test_problems(lines: str, fragment: str) -> None:
    problems = load_config((BASE + lines).encode(), "test").problems
    assert any(fragment in problem.message for problem in problems), problems
    if "not enforced" not in fragment:
        assert any(problem.severity == "error" for problem in problems)


def test_vxlan_networks_between_the_same_addresses() -> None:
    lines = (
        BASE
        + tunnel("vxlan", more="vni 1")
        + tunnel("vxlan", "u", interface="tunnel.2", more="vni 2")
    )
    assert len(compile_snapshot(load_config(lines.encode(), "test").tree, {}).tunnels) == 2
