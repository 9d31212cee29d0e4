"""Bridged ports with the whole firewall: client and server in one network, by eth1 and eth2.

client 10.1.0.1 --- eth1 [ virtual wire, or VLAN ] eth2 --- 10.1.0.2 server
                                              eth4 tap --- dmz
"""

import re
from collections.abc import Iterator

import pytest

from tests.support.bridged import RULE, TAP, TARGETS, VLAN, WIRE, pings
from tests.support.inline import addresses
from tests.support.labs import PYTHON, Counted
from tests.support.transfers import MB, transfer_s, transfers
from vm.firewall import Firewall
from vm.namespaces import Lab, kill
from vm.topology import FIREWALL


@pytest.fixture(scope="module", params=[WIRE, VLAN], ids=["virtual-wire", "layer2"])
def config(request: pytest.FixtureRequest) -> str:
    return str(request.param) + TAP + RULE


@pytest.fixture(scope="module", autouse=True)
def network(lab: Lab) -> Iterator[None]:
    """Client and server in one."""
    with (
        addresses(lab, "client", "10.1.0.1/24", "2001:db8:a::1/64"),
        addresses(lab, "server", "10.1.0.2/24", "2001:db8:a::2/64"),
    ):
        yield


@pytest.mark.parametrize("family", list(TARGETS))
def test_policy_holds_between_the_zones(lab: Lab, firewall: Firewall, family: str) -> None:
    client, server = TARGETS[family]
    denied = Counted(firewall, "flow_policy_deny")
    assert pings(lab, "client", server)
    assert pings(lab, "client", server, "-s", "1400")
    assert not pings(lab, "server", client)
    assert denied.by_now() > 0


def test_zones_of_both_ports_are_in_the_session(lab: Lab, firewall: Firewall) -> None:
    command = ["curl", "-sf", "--max-time", "5", "http://10.1.0.2/"]
    assert lab.run("client", command).returncode == 0
    shown = firewall.ask("show session all filter destination 10.1.0.2 destination-port 80")
    assert re.search(r"10\.1\.0\.1\[\d+\]/left/6", shown), shown
    assert re.search(r"10\.1\.0\.2\[80\]/right", shown), shown


def test_a_long_transfer_arrives_as_it_was(lab: Lab, firewall: Firewall) -> None:
    late = Counted(firewall, "tcp_drop_out_of_wnd")
    with transfers(lab, "server", "10.1.0.2"):
        for way in ("download", "upload"):
            transfer_s(lab, "client", way, "10.1.0.2", 20 * MB, within_s=60)
    assert late.by_now() == 0


def test_a_tap_makes_sessions_and_lets_nothing_out(lab: Lab, firewall: Firewall) -> None:
    neighbor = ["ip", "neigh", "replace", "198.51.100.77", "lladdr", "02:00:00:00:00:77"]
    assert lab.run("dmz", [*neighbor, "dev", "eth0", "nud", "reachable"]).returncode == 0
    heard = Counted(firewall, "flow_tap_drop")
    assert not pings(lab, "dmz", "198.51.100.77")
    assert heard.by_now() >= 2
    shown = firewall.ask("show session all filter destination 198.51.100.77")
    assert re.search(r"198\.51\.100\.10\[\d+\]/heard/1", shown), shown


TAGGED = """
import socket, sys
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Dot1AD, Dot1Q, Ether
tags = {
    "untagged": lambda: None,
    "802.1Q": lambda: Dot1Q(vlan=7),
    "802.1ad": lambda: Dot1AD(vlan=7),
    "two": lambda: Dot1Q(vlan=7) / Dot1Q(vlan=8),
    "802.1ad and 802.1Q": lambda: Dot1AD(vlan=7) / Dot1Q(vlan=8),
}
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
wire.bind(("eth0", 0))
frame = Ether(src=wire.getsockname()[4], dst="ff:ff:ff:ff:ff:ff")
tag = tags[sys.argv[1]]()
packet = IP(src="10.1.0.1", dst="10.1.0.2") / UDP(sport=7, dport=7777) / b"hidden"
wire.send(bytes(frame / tag / packet if tag else frame / packet))
"""


@pytest.mark.parametrize("tags", ["802.1Q", "802.1ad", "two", "802.1ad and 802.1Q"])
def test_a_tag_hides_nothing(lab: Lab, firewall: Firewall, tags: str) -> None:
    listener = lab.popen("server", ["tcpdump", "-lnne", "--immediate-mode", "-i", "eth0"])
    try:
        assert listener.stdout
        while "listening" not in listener.stdout.readline():
            pass
        for kind in (tags, "untagged"):  # once that is there, so is all before
            done = lab.run("client", [PYTHON, "-c", TAGGED, kind])
            assert done.returncode == 0, done.stderr
        line = listener.stdout.readline()
        while "7777" not in line:
            line = listener.stdout.readline()
        assert "vlan 7" not in line
    finally:
        kill(listener)


def test_without_a_firewall_nothing_passes(lab: Lab, firewall: Firewall) -> None:
    firewall.kill()
    assert not pings(lab, "client", "10.1.0.2")
    assert not pings(lab, "client", "2001:db8:a::2")
    firewall.start()
    assert pings(lab, "client", "10.1.0.2")
    firewall.stop()
    assert not pings(lab, "client", "10.1.0.2")
    assert "sx" not in lab.run(FIREWALL, ["ip", "link"]).stdout
    assert "SIXTUPLE" not in lab.run(FIREWALL, ["ebtables-nft-save"]).stdout
