"""What the firewall is in its machine: its privileges, its management port, its service."""

import re

import pytest

from tests.support.inline import MACHINE_ONLY
from tests.support.nat_lab import shell
from vm.firewall import Firewall
from vm.namespaces import Lab
from vm.topology import FIREWALL, MANAGEMENT_ADDRESS, PING_TARGET

pytestmark = MACHINE_ONLY

NET_ADMIN, NET_RAW = 1 << 12, 1 << 13  # linux/capability.h
ADMIN = "192.168.1.2"


def status(lab: Lab, pid: int) -> dict[str, str]:
    shown = shell(lab, FIREWALL, f"cat /proc/{pid}/status")
    return dict(re.findall(r"^(\w+):\s+(.*)$", shown, re.MULTILINE))


@pytest.mark.parametrize("process", ["management", "dataplane"])
def test_it_has_the_privileges_it_needs_and_no_others(
    lab: Lab, firewall: Firewall, process: str
) -> None:
    pid = firewall.management if process == "management" else firewall.dataplanes()[0]
    shown = status(lab, pid)
    for capabilities in ("CapEff", "CapPrm", "CapBnd"):
        assert int(shown[capabilities], 16) == NET_ADMIN | NET_RAW, capabilities
    assert "0" not in shown["Uid"].split()
    assert shown["NoNewPrivs"] == "1"
    assert shown["Seccomp"] == "2"  # a filter


def pings(lab: Lab, host: str, target: str) -> bool:
    return lab.run(host, ["ping", "-n", "-c", "2", "-i", "0.3", "-W", "1", target]).returncode == 0


@pytest.mark.usefixtures("firewall")
def test_management_answers_pings_and_nothing_else(lab: Lab) -> None:
    assert pings(lab, "admin", MANAGEMENT_ADDRESS)
    assert shell(lab, FIREWALL, "ss -Hltun") == ""
    scan = ["nmap", "-n", "-Pn", "--top-ports", "200", "-sS", "-sU", "--max-retries", "1"]
    done = lab.run("admin", [*scan, "--host-timeout", "60", MANAGEMENT_ADDRESS], timeout=90)
    assert done.returncode == 0, done.stderr
    assert "Nmap done" in done.stdout
    assert not re.search(r"^\d+/(tcp|udp) +open ", done.stdout, re.MULTILINE), done.stdout


@pytest.mark.usefixtures("firewall")
def test_nothing_is_forwarded_between_management_and_the_ports(lab: Lab) -> None:
    shell(lab, "admin", f"ip route add default via {MANAGEMENT_ADDRESS}")
    try:
        assert pings(lab, "client", PING_TARGET)
        assert not pings(lab, "admin", PING_TARGET)
        assert not pings(lab, "client", ADMIN)
        assert not pings(lab, "client", MANAGEMENT_ADDRESS)
        assert not pings(lab, "admin", "192.0.2.10")
    finally:
        shell(lab, "admin", f"ip route del default via {MANAGEMENT_ADDRESS}")
