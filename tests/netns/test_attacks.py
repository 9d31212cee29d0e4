"""Scanners and attackers against the lab: each is seen, counted and logged, nothing passes that
should not, and the firewall goes on serving.

The client attacks the server. The policy allows everything, so that what does not arrive was kept
out by protection alone; what has arrived, the server's packet filter counts.
"""

import re
import subprocess
from typing import NamedTuple

import msgspec
import pytest

from tests.support.labs import PYTHON, Counted, counters
from vm.firewall import CONFIG as LAB_CONFIG
from vm.firewall import THREAT_LOG, Firewall
from vm.namespaces import Lab, kill
from vm.topology import SERVER, SERVER6
from vm.waiting import wait_until

PROFILE = "set network profiles zone-protection-profile strict "
SCANS = {"8001": "block", "8002": "block", "8003": "block", "8006": "block"}
CONFIG = "".join(
    f"{PROFILE}{line}\n"
    for line in (
        *(f"scan {scan} action {action}" for scan, action in SCANS.items()),
        *(f"scan {scan} interval 2" for scan in SCANS),
        *(f"scan {scan} threshold 20" for scan in ("8001", "8002", "8003")),
        "scan 8006 threshold 5",
        *(f"flood {kind} enable yes" for kind in ("tcp-syn", "udp", "icmp")),
        *(
            f"flood {kind} red alarm-rate 500 activate-rate 1000 maximal-rate 2000"
            for kind in ("tcp-syn", "udp", "icmp")
        ),
        "discard-ip-spoof yes",
        "discard-icmp-ping-zero-id yes",
        "discard-record-route yes",
    )
)
ALL = """
set zone trust network zone-protection-profile strict
set rulebase security rules all from any to any source any destination any application any \
service any action allow
"""
# What is not the web's and not the ping's that others use: attacks.
COUNT = """
nft add table inet seen
nft add chain inet seen input '{ type filter hook prerouting priority -500; }'
nft add rule inet seen input ip daddr 203.0.113.0/24 counter
nft add rule inet seen input ip6 daddr 2001:db8:2::/64 icmpv6 type != { 133-137 } counter
nft add rule inet seen input ip6 daddr 2001:db8:2::/64 meta l4proto != ipv6-icmp counter
"""

# A datagram in pieces as no host makes them: offset in eights, bytes, whether more follow.
RAW = """
import socket, struct, sys
with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
    for number in range(20):
        for piece in sys.argv[3:]:
            offset, size, more = map(int, piece.split(":"))
            header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + size, 7000 + number,
                                 more << 13 | offset, 64, int(sys.argv[2]), 0,
                                 socket.inet_aton("192.0.2.10"), socket.inet_aton(sys.argv[1]))
            raw.sendto(header + bytes([0x11 * (1 + offset % 9)]) * size, (sys.argv[1], 0))
"""


class Attack(NamedTuple):
    command: tuple[str, ...]
    counter: str  # grows
    threat: str = ""  # is in the threat log
    arrive: int = 0  # packets at the server, at most


NMAP = ("nmap", "-n", "-Pn", "-T5", "--max-retries", "0", "--host-timeout", "20s")
HPING = ("hping3", "-q", "-n")


def pieces(proto: int, *layout: str) -> tuple[str, ...]:
    return (PYTHON, "-c", RAW, SERVER, str(proto), *layout)


# A scan stops when its threshold is reached; the others are never let through.
ATTACKS = {
    "SYN scan": Attack(
        (*NMAP, "-sS", "-p", "1-400", SERVER), "flow_scan_drop", "TCP Port Scan", 60
    ),
    "FIN scan": Attack(
        (*NMAP, "-sF", "-p", "1-99", SERVER), "flow_parse_tcp_flags", "TCP Port Scan"
    ),
    "NULL scan": Attack((*NMAP, "-sN", "-p", "1-99", SERVER), "tcp_flag_zero", "TCP Port Scan"),
    "Xmas scan": Attack(
        (*NMAP, "-sX", "-p", "1-99", SERVER), "flow_parse_tcp_flags", "TCP Port Scan"
    ),
    "ACK scan": Attack(
        (*NMAP, "-sA", "-p", "1-99", SERVER), "flow_tcp_non_syn_drop", "TCP Port Scan"
    ),
    "UDP scan": Attack(
        (*NMAP, "-sU", "-p", "1-400", SERVER), "flow_scan_drop", "UDP Port Scan", 60
    ),
    "IP protocol scan": Attack(
        (*NMAP, "-sO", "-p", "100-140", SERVER), "flow_scan_drop", "IP Protocol Scan", 20
    ),
    "host sweep": Attack(
        ("nmap", "-n", "-sn", "-T5", "--max-retries", "0", "-PS80", "203.0.113.0/25"),
        "flow_scan_drop",
        "Host Sweep",
        60,
    ),
    "SYN scan, IPv6": Attack(
        (*NMAP, "-6", "-sS", "-p", "1-400", SERVER6), "flow_scan_drop", "TCP Port Scan", 60
    ),
    "Xmas scan, IPv6": Attack(
        (*NMAP, "-6", "-sX", "-p", "1-99", SERVER6), "flow_parse_tcp_flags", "TCP Port Scan"
    ),
    "UDP scan, IPv6": Attack(
        (*NMAP, "-6", "-sU", "-p", "1-400", SERVER6), "flow_scan_drop", "UDP Port Scan", 60
    ),
    "fragmented SYN scan": Attack((*NMAP, "-sS", "-f", "-p", "1-99", SERVER), "flow_ipfrag_tiny"),
    "land": Attack((*HPING, "-S", "-a", SERVER, "-p", "80", "-c", "5", SERVER), "flow_parse_land"),
    "spoofed source": Attack(
        (*HPING, "-S", "-a", "198.51.100.7", "-p", "80", "-c", "5", SERVER), "flow_dos_pf_ipspoof"
    ),
    "ping of death": Attack(pieces(1, "0:1480:1", "8189:1480:0"), "flow_parse_ping_of_death"),
    "teardrop": Attack(pieces(17, "0:64:1", "3:40:0"), "flow_ipfrag_teardrop"),
    "fragments of nothing": Attack(pieces(17, "0:0:1", "5:0:0"), "flow_ipfrag_drop"),
    "protocol 0": Attack(pieces(0, "0:40:0"), "flow_parse_ip_proto"),
    "SYN flood": Attack(
        (*HPING, "-S", "-p", "80", "-i", "u100", "-c", "20000", SERVER),
        "flow_dos_red_tcp",
        "TCP Flood",
        9000,
    ),
    "UDP flood": Attack(
        (*HPING, "--udp", "-p", "9", "-i", "u100", "-c", "20000", SERVER),
        "flow_dos_red_udp",
        "UDP Flood",
        9000,
    ),
    "ICMP flood": Attack(
        (*HPING, "--icmp", "-i", "u100", "-c", "20000", SERVER),
        "flow_dos_red_icmp",
        "ICMP Flood",
        9000,
    ),
}


@pytest.fixture(scope="module")
def config() -> str:
    return without_policy(LAB_CONFIG.read_text()) + CONFIG + ALL


@pytest.fixture(scope="module")
def firewall(lab: Lab, firewall: Firewall) -> Firewall:
    done = lab.run("server", ["sh", "-ec", COUNT])
    assert done.returncode == 0, done.stderr
    return firewall


def without_policy(text: str) -> str:
    words = ("set rulebase security", "set rulebase nat")
    return "".join(line for line in text.splitlines(True) if not line.startswith(words))


def arrived(lab: Lab) -> int:
    """Packets at the server since somebody asked last."""
    said = lab.run("server", ["nft", "reset", "rules"]).stdout
    return sum(map(int, re.findall(r"counter packets (\d+)", said)))


def threats(firewall: Firewall, name: str) -> int:
    """Entries of the log."""
    entries = map(msgspec.json.decode, firewall.lab.path(THREAT_LOG).read_bytes().splitlines())
    return sum(name in str(entry) for entry in entries)


def is_served(lab: Lab, host: str) -> bool:
    web = ["curl", "-sS", "--max-time", "2", "-o", "/dev/null", f"http://{SERVER}/"]
    return lab.run(host, web).returncode == 0


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack(lab: Lab, firewall: Firewall, name: str) -> None:
    attack = ATTACKS[name]
    wait_until(lambda: is_served(lab, "client"), "nothing is blocked any more", seconds=20)
    before, undecided = Counted(firewall, attack.counter), counters(firewall)["flow_undecided"]
    logged = threats(firewall, attack.threat)
    arrived(lab)
    process = lab.popen("client", list(attack.command), stderr=subprocess.STDOUT)
    try:
        process.communicate(timeout=60)
        came = arrived(lab)
        assert before.by_now() > 3, name
        assert came <= attack.arrive, f"{came} packets have arrived"
        assert counters(firewall)["flow_undecided"] - undecided <= attack.arrive
        assert not attack.threat or threats(firewall, attack.threat) > logged
        assert is_served(lab, "client2")
    finally:
        kill(process)
