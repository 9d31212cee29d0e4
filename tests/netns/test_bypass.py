"""Attempts to get past policy with real packets: what must not arrive does not."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.labs import PYTHON, Counted
from vm.firewall import Firewall
from vm.namespaces import Lab, kill
from vm.topology import DMZ, FIREWALL, SERVER
from vm.waiting import wait_until

CLIENT = "192.0.2.10"
OWN = "192.0.2.1"  # the firewall's, on the client's side
QUESTION = "DNS(rd=1,qd=DNSQR(qname='www.example.test'))"


@contextmanager
def captured(lab: Lab, host: str, wanted: str) -> Iterator[list[str]]:
    """Collects the packets a host sees that match, until the block ends."""
    command = ["tcpdump", "-lnni", "eth0", wanted]
    lines: list[str] = []
    with tempfile.NamedTemporaryFile("w+") as said:
        process = lab.popen(host, command, stdout=said.fileno(), stderr=subprocess.STDOUT)
        path = Path(said.name)
        wait_until(lambda: "listening on" in path.read_text(), "tcpdump listens", seconds=10)
        try:
            yield lines
        finally:
            kill(process)
            lines += [line for line in path.read_text().splitlines() if " > " in line]


def send(lab: Lab, host: str, *packets: str) -> None:
    program = "from scapy.all import *\n" + "\n".join(
        f"send({packet}, verbose=False)" for packet in packets
    )
    done = lab.run(host, [PYTHON, "-W", "ignore", "-c", program], timeout=30)
    assert done.returncode == 0, done.stderr


def test_the_capture_sees_what_arrives(lab: Lab, firewall: Firewall) -> None:
    sent = Counted(firewall, "pkt_sent")
    with captured(lab, "server", f"src {CLIENT} and udp dst port 53") as seen:
        send(lab, "client", f"IP(dst='{SERVER}')/UDP(sport=40053,dport=53)/b'x'")
        wait_until(lambda: sent.by_now() > 0, "the packet is sent", seconds=10)
    assert seen


def test_replies_do_not_follow_a_spoofed_source_into_another_zone(
    lab: Lab, firewall: Firewall
) -> None:
    with captured(lab, "dmz", f"src {SERVER}") as seen:
        send(
            lab,
            "client",
            f"IP(src='{DMZ}',dst='{SERVER}')/TCP(sport=22,dport=80,flags='S')",
            f"IP(src='{DMZ}',dst='{SERVER}')/UDP(sport=53535,dport=53)/{QUESTION}",
        )
        send(
            lab,
            "server",
            f"IP(src='{SERVER}',dst='{DMZ}')/TCP(sport=80,dport=22,flags='S',seq=100)",
            f"IP(src='{SERVER}',dst='{DMZ}')/UDP(sport=53,dport=53535)/b'answer'",
        )
    assert seen == []


def test_sessions_do_not_follow_a_route_into_another_zone(lab: Lab, firewall: Firewall) -> None:
    packet = f"IP(dst='{SERVER}')/UDP(sport=40054,dport=53)/b'x'"
    send(lab, "client", packet)
    route = ["ip", "route", "add", f"{SERVER}/32", "via", DMZ]
    with captured(lab, "dmz", "udp dst port 53") as seen:
        assert lab.run(FIREWALL, route).returncode == 0
        try:
            send(lab, "client", packet, packet, packet)
        finally:
            route[2] = "del"
            assert lab.run(FIREWALL, route).returncode == 0
    assert seen == []


@pytest.mark.parametrize("sport", [2222, 22])
def test_nobody_speaks_for_the_firewall(lab: Lab, firewall: Firewall, sport: int) -> None:
    dropped = Counted(firewall, "flow_own_source")
    with captured(lab, "server", f"src {OWN}") as seen:
        send(lab, "client", f"IP(src='{OWN}',dst='{SERVER}')/TCP(sport={sport},dport=80,flags='S')")
        send(
            lab,
            "server",
            f"IP(src='{SERVER}',dst='{OWN}')/TCP(sport=80,dport={sport},flags='S',seq=100)",
        )
        wait_until(lambda: dropped.by_now() > 0, "the packet is counted", seconds=10)
    assert seen == []


def test_a_denied_packet_does_not_spoil_the_flow_it_is_the_reverse_of(
    lab: Lab, firewall: Firewall
) -> None:
    send(lab, "server", f"IP(src='{SERVER}',dst='{CLIENT}')/TCP(sport=80,dport=40000,flags='S')")
    curl = ["curl", "-sf", "--max-time", "5", "--local-port", "40000", f"http://{SERVER}/"]
    assert lab.run("client", curl).returncode == 0
