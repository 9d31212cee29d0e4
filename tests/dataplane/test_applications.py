"""Application names as far as they show without the payload."""

import pytest

from dataplane import applications
from tests.support.packets import (
    ALLOW,
    TRUST,
    UNTRUST,
    Firewall,
    default_rule,
    echo,
    other,
    snapshot,
    tcp,
    udp,
)

AT_SETUP = [
    pytest.param(echo(), "ping", id="echo"),
    pytest.param(echo(6), "ipv6-icmp", id="IPv6 echo"),
    pytest.param(tcp(), "undecided", id="TCP"),
    pytest.param(udp(), "undecided", id="UDP"),
    pytest.param(other(2), "igmp", id="2"),
    pytest.param(other(4), "ip-in-ip", id="4"),
    pytest.param(other(47), "gre", id="47"),
    pytest.param(other(50, 6), "ipsec-esp", id="50"),
    pytest.param(other(51), "ipsec-ah", id="51"),
    pytest.param(other(89), "ospf", id="89"),
    pytest.param(other(132, 6), "sctp", id="132"),
    pytest.param(other(200), "undecided", id="200"),
]


@pytest.mark.parametrize(("packet", "name"), AT_SETUP)
def test_at_setup(packet: bytes, name: str) -> None:
    firewall = Firewall()
    firewall.send(packet)
    assert firewall.session().application == name


def test_a_connection_whose_beginning_was_not_seen() -> None:
    firewall = Firewall(snapshot(ALLOW, tcp_reject_non_syn=False))
    firewall.send(tcp("A"))
    assert firewall.session().application == "non-syn-tcp"


def test_other_icmp_requests_are_icmp() -> None:
    assert applications.at_setup(1, 13, 0) == "icmp"


OPENED = [tcp("S"), tcp("SA", back=True), tcp("A")]
AT_END = [
    pytest.param([tcp("S")], "incomplete", id="no answer"),
    pytest.param(OPENED, "incomplete", id="no data"),
    pytest.param([*OPENED, tcp("PA", payload=b"x")], "insufficient-data", id="client's data"),
    pytest.param([*OPENED, tcp("PA", payload=b"x", back=True)], "insufficient-data", id="server's"),
    pytest.param([tcp("S", payload=b"x")], "insufficient-data", id="data with the SYN"),
    pytest.param([udp()], "insufficient-data", id="UDP"),
    pytest.param([udp(payload=b"")], "insufficient-data", id="empty UDP"),
    pytest.param([echo()], "ping", id="echo"),
    pytest.param([other(200)], "insufficient-data", id="200"),
]


@pytest.mark.parametrize(("packets", "name"), AT_END)
def test_at_end(packets: list[bytes], name: str) -> None:
    firewall = Firewall()
    for packet in packets:
        firewall.send(packet, UNTRUST if packet[12:16] == b"\xc63d\x14" else TRUST)
    firewall.tick(10_000)
    (entry,) = firewall.entries()
    assert entry.app == name


@pytest.mark.parametrize("packet", [tcp(), udp(), echo(), other(47)])
def test_what_was_denied_was_never_identified(packet: bytes) -> None:
    rule = default_rule("no", "deny")
    firewall = Firewall(snapshot(type(rule)(name="no", action="deny")))
    firewall.send(packet)
    (entry,) = firewall.entries()
    assert entry.app == "not-applicable"
