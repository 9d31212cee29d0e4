"""What an administrator sees of an attack, and does about it, on the whole firewall.

client  192.0.2.10  --- eth1 guarded [ firewall ] eth2 untrust --- 203.0.113.10 server
client2 192.0.2.130 --- eth3 open
"""

import re

import pytest

from tests.support.labs import PYTHON, UNTRANSLATED
from vm.firewall import Firewall
from vm.namespaces import Lab
from vm.topology import SERVER
from vm.waiting import wait_until

CLIENT = "192.0.2.10"
PROFILE = "set network profiles zone-protection-profile guard {}\n"
LIMITS = "set profiles dos-protection few {}\n"
RULE = "set rulebase dos rules few {}\n"
CLASSIFIED = "protection classified"
CONFIG = (
    UNTRANSLATED.replace(
        "set zone trust network layer3 [ ethernet1/1 ethernet1/3 ]",
        "set zone guarded network layer3 ethernet1/1\n"
        "set zone open network layer3 ethernet1/3\n"
        "set zone guarded network zone-protection-profile guard",
    ).replace("from trust", "from any")
    + PROFILE.format("scan 8001 action block-ip track-by source duration 600")
    + PROFILE.format("scan 8001 interval 600")
    + PROFILE.format("scan 8001 threshold 20")
    + PROFILE.format("discard-icmp-large-packet yes")
    + LIMITS.format("type classified")
    + LIMITS.format("resource sessions enabled yes max-concurrent-limit 3")
    + RULE.format("from zone open to zone untrust source any destination any")
    + RULE.format("service any action protect")
    + RULE.format(
        "protection classified profile few classification-criteria address src-dest-ip-both"
    )
    + "set rulebase security rules all from any to untrust source any destination any "
    "application any service any action allow\n"
)
SEND = """
import socket, sys
for port in range(int(sys.argv[2]), int(sys.argv[2]) + int(sys.argv[3])):
    with socket.socket(socket.AF_INET, getattr(socket, sys.argv[4])) as one:
        one.setblocking(False)
        one.connect_ex((sys.argv[1], port))
        if sys.argv[4] == "SOCK_DGRAM":
            one.send(b"x")
"""


@pytest.fixture(scope="module")
def config() -> str:
    return CONFIG


def send(lab: Lab, host: str, first: int, count: int, kind: str) -> None:
    """To so many ports of the server."""
    done = lab.run(host, [PYTHON, "-c", SEND, SERVER, str(first), str(count), kind])
    assert done.returncode == 0, done.stderr


def logged(firewall: Firewall, *words: str) -> list[str]:
    """The entry of the threat log with these words, newest first, in its three lines."""
    found: list[str] = []

    def is_there() -> bool:
        lines = firewall.ask("show log threat direction equal backward").splitlines()[4:]
        entries = ("\n".join(lines[at : at + 3]) for at in range(0, len(lines), 3))
        found.extend(entry for entry in entries if all(word in entry for word in words))
        return bool(found)

    wait_until(is_there, f"the threat log says {' '.join(words)}", seconds=15)
    return found[0].splitlines()


def test_a_scan_is_seen_and_its_source_let_in_again(lab: Lab, firewall: Firewall) -> None:
    ping = ["ping", "-c", "1", "-W", "1", SERVER]
    assert lab.run("client", ping).returncode == 0
    send(lab, "client", 1000, 60, "SOCK_STREAM")
    first, second, third = (line.split() for line in logged(firewall, "Port Scan(8001)"))
    assert first[2:4] + first[5:] == ["scan", "guarded", CLIENT]
    assert second[:2] + second[3:] == ["block-ip", "ethernet1/1", SERVER]
    assert third[:2] == ["medium", "tcp"]
    dropped = re.search(r"action: block-ip.* packet dropped: (\d+)", shown(firewall))
    assert dropped
    assert int(dropped[1]) > 0
    assert lab.run("client", ping).returncode != 0
    (row,) = (
        line.split()
        for line in firewall.ask("show dos-protection zone guarded blocked source").splitlines()
        if line.startswith(CLIENT)
    )
    assert row[:4] == [CLIENT, "any", "guarded", "scan"]
    cleared = firewall.ask(f"clear dos-protection zone guarded blocked source {CLIENT}")
    assert cleared == "1 block table entry cleared\n"
    assert lab.run("client", ping).returncode == 0
    assert "Total blocked: 0" in firewall.ask("show dos-block-table all")


def shown(firewall: Firewall) -> str:
    return firewall.ask("show zone-protection zone guarded")


def test_single_packets_are_logged_when_they_are_asked_for(lab: Lab, firewall: Firewall) -> None:
    large = ["ping", "-c", "1", "-W", "1", "-s", "1200", SERVER]
    assert lab.run("client", large).returncode != 0
    assert "discard-icmp-large-packet" not in firewall.ask("show log threat")
    firewall.ask("set system setting additional-threat-log on")
    assert lab.run("client", large).returncode != 0
    first, *_ = logged(firewall, "discard-icmp-large-packet", "drop", "low")
    assert "packet" in first
    filters = r"discard-icmp-large-packet: +enabled: yes, packet dropped: (\d+)"
    found = re.search(filters, shown(firewall))
    assert found
    assert int(found[1]) == 2


def test_a_rule_limits_sessions(lab: Lab, firewall: Firewall) -> None:
    asked = firewall.ask(
        f"test dos-policy-match source 192.0.2.130 destination {SERVER} protocol udp from open"
    )
    assert asked.startswith('"few; index: 1"')
    send(lab, "client2", 2000, 5, "SOCK_DGRAM")
    _, second, _ = logged(firewall, "Session Limit Event(8801)", "open")
    assert second.split()[:2] == ["few", "drop"]
    figures = firewall.ask("show dos-protection rule few statistics")
    numbers = dict(re.findall(r"^(\w[\w ]+): +(\d+)$", figures, re.MULTILINE))
    assert numbers["current sessions"] == "3"
    assert numbers["packets dropped by session limit"] == "2"
