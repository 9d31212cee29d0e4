"""Profiles and DoS rules that are committed hold for real traffic, as long as they are there.

client ---- eth1 trust [ firewall ] untrust eth2 ---- server
"""

from pathlib import Path

import pytest

from tests.support.labs import PYTHON, Counted
from vm.firewall import Firewall
from vm.namespaces import Lab
from vm.topology import SERVER

PROFILE = "set network profiles zone-protection-profile zp"
BOUND = "set zone trust network zone-protection-profile zp\n"
PINGED = {4: "203.0.113.20", 6: "2001:db8:2::20"}
FLOOD = f"""
import socket
for _ in range(500):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.sendto(b"?", ("{SERVER}", 53))
"""


def commit(firewall: Firewall, path: Path, more: str = "") -> None:
    path.write_text(firewall.config.read_text() + more)
    answer = firewall.ask(f"load config from {path}", "commit")
    assert "committed successfully" in answer, answer


def pings(lab: Lab, family: int, size: int = 56) -> bool:
    command = ["ping", "-n", "-c", "1", "-W", "2", "-s", str(size), PINGED[family]]
    return lab.run("client", command).returncode == 0


def fetches(lab: Lab) -> bool:
    curl = ["curl", "-sf", "--connect-timeout", "1", "--max-time", "5", f"http://{SERVER}/"]
    return lab.run("client", curl).returncode == 0


@pytest.mark.parametrize("family", [4, 6])
def test_fragments(lab: Lab, firewall: Firewall, tmp_path: Path, family: int) -> None:
    refused = Counted(firewall, "flow_dos_pf_ipfrag")
    assert pings(lab, family, 5000)
    assert refused.by_now() == 0
    commit(firewall, tmp_path / "config.set", f"{PROFILE} discard-ip-frag yes\n{BOUND}")
    assert not pings(lab, family, 5000)
    assert refused.by_now() >= 4
    assert pings(lab, family)
    commit(firewall, tmp_path / "config.set", f"{PROFILE} discard-ip-frag no\n{BOUND}")
    assert pings(lab, family, 5000)


def test_a_flood(lab: Lab, firewall: Firewall, tmp_path: Path) -> None:
    """From one kind of packets others have nothing to suffer."""
    rates = "alarm-rate 10 activate-rate 20 maximal-rate 40"
    commit(
        firewall, tmp_path / "config.set", f"{PROFILE} flood udp enable yes red {rates}\n{BOUND}"
    )
    dropped = Counted(firewall, "flow_dos_red_udp")
    done = lab.run("client", [PYTHON, "-c", FLOOD])
    assert done.returncode == 0, done.stderr
    assert dropped.by_now() > 100
    assert fetches(lab)
    assert pings(lab, 4)


def test_a_dos_rule(lab: Lab, firewall: Firewall, tmp_path: Path) -> None:
    denied = Counted(firewall, "flow_dos_rule_deny")
    rule = (
        "set rulebase dos rules no from zone trust to zone untrust source any destination any "
        "service web action deny\n"
    )
    commit(firewall, tmp_path / "config.set", rule)
    assert not fetches(lab)
    assert denied.by_now() > 0
    assert pings(lab, 4)
    commit(firewall, tmp_path / "config.set")
    assert fetches(lab)
