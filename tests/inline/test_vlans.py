"""VLAN sub-interfaces of a port: two networks behind one trunk, in zones of their own.

    red   10.10.0.10  --- VLAN 10 ---+
                                     switch --- eth5 [ firewall ] eth2 --- 203.0.113.10 server
    blue  10.20.0.10  --- VLAN 20 ---+

What red sends may go to blue and, hidden, to the server; blue may not begin anything.
"""

import json
import re
import socket
from collections.abc import Iterator

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Packet

from tests.support.inline import MACHINE_ONLY
from tests.support.labs import Counted, commit, session_ids
from tests.support.nat_lab import asked_from, serving, shell
from tests.support.transfers import MB, transfer_s, transfers
from vm.firewall import CONFIG, Firewall
from vm.namespaces import Lab, kill
from vm.switch import MACHINE_TRUNK
from vm.topology import FIREWALL, SERVER, SERVER6
from vm.waiting import wait_until

pytestmark = MACHINE_ONLY

RED, BLUE = {4: "10.10.0.10", 6: "2001:db8:10::10"}, {4: "10.20.0.10", 6: "2001:db8:20::10"}
OUTSIDE = "203.0.113.1"
ASK_PORT = 8000
_UNIT = "set network interface ethernet ethernet1/5 layer3 units ethernet1/5.{0}"
UNITS = {
    tag: f"""
{_UNIT.format(tag)} tag {tag}
{_UNIT.format(tag)} ip 10.{tag}.0.1/24
{_UNIT.format(tag)} ipv6 enabled yes
{_UNIT.format(tag)} ipv6 address 2001:db8:{tag}::1/64
set network virtual-router default interface ethernet1/5.{tag}
set import network interface ethernet1/5.{tag}
set zone {zone} network layer3 ethernet1/5.{tag}
"""
    for tag, zone in ((10, "red"), (20, "blue"))
}
RULES = f"""
set service ask protocol tcp port {ASK_PORT}
set service any-udp protocol udp port 1-65535
set rulebase security rules red-out from red to [ blue untrust ] source any destination any application any service any action allow log-end yes
set rulebase nat rules hide-red from red to untrust source 10.10.0.0/24 destination any service any source-translation dynamic-ip-and-port interface-address interface ethernet1/2
"""  # noqa: E501 - one element a line


@pytest.fixture(scope="module")
def config() -> str:
    return CONFIG.read_text() + "".join(UNITS.values()) + RULES


def pings(lab: Lab, host: str, target: str) -> bool:
    return lab.run(host, ["ping", "-n", "-c", "2", "-i", "0.3", "-W", "2", target]).returncode == 0


@pytest.mark.parametrize("family", [4, 6], ids=["IPv4", "IPv6"])
def test_one_way_is_allowed_and_the_other_denied(lab: Lab, firewall: Firewall, family: int) -> None:
    assert pings(lab, "red", BLUE[family])
    denied = Counted(firewall, "flow_policy_deny")
    assert not pings(lab, "blue", RED[family])
    assert denied.by_now() >= 1


@pytest.mark.usefixtures("firewall")
@pytest.mark.parametrize("family", [4, 6], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("way", ["download", "upload"])
def test_a_transfer_between_the_networks_arrives_as_it_was(lab: Lab, family: int, way: str) -> None:
    with transfers(lab, "blue", BLUE[family]):
        transfer_s(lab, "red", way, BLUE[family], 10 * MB, within_s=120)


def test_what_goes_out_is_translated_and_its_session_names_the_sub_interface(
    lab: Lab, firewall: Firewall
) -> None:
    with serving(lab, "server", "whoami", str(ASK_PORT)):
        assert asked_from(lab, "red", SERVER) == OUTSIDE
        assert asked_from(lab, "red", SERVER6) == RED[6]
    (number,) = session_ids(firewall, source=RED[4], destination_port=ASK_PORT)
    detail = firewall.ask(f"show session id {number}")
    assert re.search(r"^ +ingress interface +: ethernet1/5\.10$", detail, re.MULTILINE), detail
    assert re.search(r"^ +egress interface +: ethernet1/2$", detail, re.MULTILINE), detail
    listing = firewall.ask("show session all")
    assert re.search(rf"{RED[4]}\[\d+\]/red/6 +\({OUTSIDE}\[\d+\]\)", listing), listing


def test_both_are_shown_with_their_tags(firewall: Firewall) -> None:
    listing = firewall.ask("show interface all")
    for tag, zone in ((10, "red"), (20, "blue")):
        row = rf"^ethernet1/5\.{tag} +\d+ +1 +{zone} +vr:default +{tag} +10\.{tag}\.0\.1/24$"
        assert re.search(row, listing, re.MULTILINE), listing
    detail = firewall.ask("show interface ethernet1/5.10")
    assert "802.1q tag: 10" in detail
    assert "Linux interface: eth5.10" in detail


# ---- frames that belong to no sub-interface ------------------------------------------------------


class Trunk:
    """Frames into the firewall's port, past the switch."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._mac = shell(lab, FIREWALL, "cat /sys/class/net/eth5/address").strip()

    def send(self, tag: Packet | None, dport: int) -> None:
        ends = Ether(src="02:00:00:00:00:77", dst=self._mac)
        packet = IP(src=RED[4], dst=SERVER) / UDP(sport=7, dport=dport) / b"stray"
        frame = bytes(ends / tag / packet if tag else ends / packet)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(frame, str(self._lab.path(MACHINE_TRUNK)))


@pytest.fixture
def heard(lab: Lab) -> Iterator[list[str]]:
    """What reaches the server of UDP, a line a packet, as far as somebody has looked."""
    command = ["tcpdump", "-lnn", "--immediate-mode", "-i", "eth0", "udp and greater 30"]
    listener = lab.popen("server", command)
    assert listener.stdout
    while "listening" not in listener.stdout.readline():
        pass
    yield iter(listener.stdout.readline, "")
    kill(listener)


def unclaimed(lab: Lab) -> int:
    """Packets the kernel has dropped as nobody's: no link has their tag."""
    shown = json.loads(shell(lab, FIREWALL, "ip -json -s -s link show eth5"))
    received: dict[str, int] = shown[0]["stats64"]["rx"]
    return received.get("otherhost", 0) + received["dropped"]


STRAYS = {
    "untagged": None,
    "priority only": Dot1Q(vlan=0),
    "unknown": Dot1Q(vlan=30),
    "unknown before a known one": Dot1Q(vlan=30) / Dot1Q(vlan=10),
    "two known ones": Dot1Q(vlan=10) / Dot1Q(vlan=20),
}
NOWHERE = ("untagged", "priority only")  # they are of the port itself, which is in no zone
FIRST_PORT, KNOWN_PORT = 7101, 7100


@pytest.mark.parametrize("promiscuous", ["off", "on"])
def test_no_other_frame_gets_in(
    lab: Lab, firewall: Firewall, heard: Iterator[str], promiscuous: str
) -> None:
    """By itself the port refuses tags that no sub-interface has; the kernel has to as well."""
    shell(lab, FIREWALL, f"ip link set eth5 promisc {promiscuous}")
    try:
        nowhere, before = Counted(firewall, "flow_no_interface"), unclaimed(lab)
        trunk = Trunk(lab)
        for dport, tag in enumerate(STRAYS.values(), FIRST_PORT):
            trunk.send(tag, dport)
        trunk.send(Dot1Q(vlan=10), KNOWN_PORT)  # once that is there, so is all before
        assert f"{SERVER}.{KNOWN_PORT}" in next(heard)
        assert nowhere.by_now() == len(NOWHERE)
        assert unclaimed(lab) - before >= (2 if promiscuous == "on" else 0)
    finally:
        shell(lab, FIREWALL, "ip link set eth5 promisc off")
    sessions = firewall.ask("show session all")
    assert f"{SERVER}[{KNOWN_PORT}]" in sessions
    assert not re.search(r"\[710[1-9]\]", sessions), sessions


# ---- commits -------------------------------------------------------------------------------------


def test_a_sub_interface_comes_and_goes_with_commits(
    lab: Lab, firewall: Firewall, config: str
) -> None:
    without = config.replace(UNITS[20], "").replace("[ blue untrust ]", "untrust")
    commit(firewall, without)
    try:
        assert "eth5.20" not in shell(lab, FIREWALL, "ip link")
        assert "ethernet1/5.20" not in firewall.ask("show interface all")
        assert not pings(lab, "red", BLUE[4])
        assert asked_from(lab, "red", SERVER, port=80) != ""  # red goes on as before
    finally:
        commit(firewall, config)
    wait_until(lambda: pings(lab, "red", BLUE[4]), "blue can be reached again", seconds=20)
