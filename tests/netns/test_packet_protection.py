"""Packet-based protection with the whole firewall and real packets; lists of Ethernet types on a
virtual wire.

client  192.0.2.10  --- eth1 guarded [ firewall ] eth2 untrust --- 203.0.113.10 server
client2 192.0.2.130 --- eth3 open
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.labs import PYTHON, UNTRANSLATED, Counted
from vm.firewall import Firewall
from vm.namespaces import Lab, kill
from vm.topology import FIREWALL, SERVER, SERVER6

PROFILE = "set network profiles zone-protection-profile hard {}\n"
ELEMENTS = (
    *(f"discard-{name}" for name in ("ip-spoof", "ip-frag", "record-route", "timestamp")),
    *(f"discard-{name}" for name in ("unknown-option", "malformed-option")),
    *(f"discard-icmp-{name}" for name in ("ping-zero-id", "large-packet")),
    "discard-overlapping-tcp-segment-mismatch",
    "ipv6 anycast-source",
    "ipv6 filter-ext-hdr hop-by-hop-hdr",
    "suppress-icmp-timeexceeded",
    "suppress-icmp-needfrag",
    "remove-tcp-timestamp",
    "strip-tcp-fast-open-and-data",
)
CONFIG = (
    UNTRANSLATED.replace(
        "set zone trust network layer3 [ ethernet1/1 ethernet1/3 ]",
        "set zone guarded network layer3 ethernet1/1\n"
        "set zone open network layer3 ethernet1/3\n"
        "set zone guarded network zone-protection-profile hard",
    ).replace("from trust", "from any")
    + "".join(PROFILE.format(f"{element} yes") for element in ELEMENTS)
    + "set network interface ethernet ethernet1/2 layer3 mtu 1400\n"
    + "set rulebase security rules all from any to untrust source any destination any "
    "application any service any action allow\n"
)


@pytest.fixture(scope="module")
def firewall(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firewall]:
    config = tmp_path_factory.mktemp("firewall") / "config.set"
    config.write_text(CONFIG)
    firewall = Firewall(lab, config)
    firewall.start()
    yield firewall
    firewall.kill()


# ---- single packets ------------------------------------------------------------------------------

# the expression of a packet; where its source is to be sent from. Ends with one that passes.
SEND = """
import socket, sys
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6, IPv6ExtHdrHopByHop, PadN
from scapy.packet import Raw
own, own6, server, server6 = sys.argv[2:]
packet = eval(sys.argv[1])
for packet in (packet, IP(src=own, dst=server) / UDP(sport=5, dport=5001) / b"last"):
    raw = socket.socket(socket.AF_INET if IP in packet else socket.AF_INET6, socket.SOCK_RAW, 255)
    raw.sendto(bytes(packet), (packet.dst, 0))
"""
CLIENTS = {"client": ("192.0.2.10", "2001:db8:1::10"), "client2": ("192.0.2.130", "2001:db8:3::10")}
UDP_BODY = "UDP(sport=5, dport=5000) / b'odd'"
PACKETS = {
    "flow_dos_pf_ipspoof": f"IP(src='198.51.100.77', dst=server) / {UDP_BODY}",
    "flow_dos_pf_recordroute": "IP(src=own, dst=server, options=IPOption(b'\\x07\\x07\\x04' + "
    f"bytes(4))) / {UDP_BODY}",
    "flow_dos_pf_timestamp": "IP(src=own, dst=server, options=IPOption(b'\\x44\\x08\\x05\\x00' + "
    f"bytes(4))) / {UDP_BODY}",
    "flow_dos_pf_unknownoption": "IP(src=own, dst=server, options=IPOption(b'\\x99\\x04\\x00\\x00'"
    f")) / {UDP_BODY}",
    "flow_dos_pf_icmplpkt": "IP(src=own, dst=server) / ICMP(id=7) / Raw(b'odd' * 400)",
    "flow_dos_pf_ping0": "IP(src=own, dst=server) / ICMP(id=0) / b'odd'",
    "flow_dos_pf_ip6hopbyhop": "IPv6(src=own6, dst=server6) / "
    f"IPv6ExtHdrHopByHop(options=[PadN(optdata=bytes(4))]) / {UDP_BODY}",
}


def heard(lab: Lab, host: str, packet: str) -> bool:
    """Whether the server hears it."""
    listener = lab.popen("server", ["tcpdump", "-lnn", "--immediate-mode", "-A", "-i", "eth0"])
    try:
        assert listener.stdout
        while "listening" not in listener.stdout.readline():
            pass
        ends = (*CLIENTS[host], SERVER, SERVER6)
        done = lab.run(host, [PYTHON, "-c", SEND, packet, *ends])
        assert done.returncode == 0, done.stderr
        said = ""
        while "last" not in said:  # once that is there, so is all before
            said += listener.stdout.readline()
        return "odd" in said
    finally:
        kill(listener)


@pytest.mark.parametrize("counter", list(PACKETS))
def test_a_packet_is_refused_by_the_zone_it_comes_from(
    lab: Lab, firewall: Firewall, counter: str
) -> None:
    counted = Counted(firewall, counter)
    assert not heard(lab, "client", PACKETS[counter])
    assert counted.by_now() == 1
    assert heard(lab, "client2", PACKETS[counter])
    assert counted.by_now() == 1


def test_no_fragment_passes(lab: Lab, firewall: Firewall) -> None:
    counted = Counted(firewall, "flow_dos_pf_ipfrag")
    done = lab.run("client", ["ping", "-c", "1", "-W", "1", "-s", "3000", "203.0.113.20"])
    assert done.returncode != 0
    assert counted.by_now() == 3


@pytest.mark.parametrize(
    ("options", "counter", "said"),
    [
        (["-t", "1"], "flow_dos_pf_noreplyttl", "Time to live exceeded"),
        (["-M", "do", "-s", "1380"], "flow_dos_pf_noreplyneedfrag", "Frag needed"),
    ],
)
def test_errors_that_are_not_sent(
    lab: Lab, firewall: Firewall, options: list[str], counter: str, said: str
) -> None:
    # echoes as long as this are refused for that; UDP is not
    size = [word for word in options if word not in ("-t", "1")]
    counted = Counted(firewall, counter)
    program = PROBE_LONG if size else PROBE_SHORT
    for host, is_told in (("client", False), ("client2", True)):
        done = lab.run(host, [PYTHON, "-c", program, SERVER])
        assert done.returncode == 0, done.stderr
        assert (done.stdout.strip() == said) == is_told, done.stdout
    assert counted.by_now() >= 1


_PROBE = """
import socket, sys
probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
IP_TTL, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE, IP_RECVERR = 2, 10, 3, 11
probe.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
probe.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE)
probe.setsockopt(socket.IPPROTO_IP, IP_TTL, {ttl})
probe.connect((sys.argv[1], 5002))
probe.send(bytes({size}))
probe.settimeout(1)
try:
    probe.recv(1)
except OSError as error:
    print({{90: "Frag needed", 113: "Time to live exceeded"}}.get(error.errno, error))
"""
PROBE_SHORT = _PROBE.format(ttl=1, size=10)
PROBE_LONG = _PROBE.format(ttl=64, size=1450)


# ---- connections ---------------------------------------------------------------------------------

# a request, and a part of it once more with other bytes, from the connection's own numbers
OVERLAP = """
import socket, struct, sys
from scapy.layers.inet import IP, TCP
TCP_REPAIR, TCP_REPAIR_QUEUE, TCP_QUEUE_SEQ = 19, 20, 21
own, server = sys.argv[1:3]
with socket.create_connection((server, 80), timeout=5) as held:
    held.sendall(b"GET /good")
    numbers = {}
    held.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
    for queue in (1, 2):  # received, sent
        held.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR_QUEUE, queue)
        numbers[queue] = struct.unpack("I", held.getsockopt(socket.IPPROTO_TCP, TCP_QUEUE_SEQ, 4))
    held.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, -1)  # off, and no window probe
    segment = TCP(sport=held.getsockname()[1], dport=80, flags="PA", window=1000)
    segment.seq, segment.ack = numbers[2][0] - 4, numbers[1][0]
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, 255)
    for text in (b"good", b"evil"):
        raw.sendto(bytes(IP(src=own, dst=server) / segment / text), (server, 0))
    held.sendall(b" HTTP/1.0\\r\\n\\r\\n")
    print(held.recv(5).decode())
"""


def test_a_segment_that_says_something_else_the_second_time(lab: Lab, firewall: Firewall) -> None:
    counted = Counted(firewall, "flow_dos_pf_tcpoverlappingmismatch")
    for host, refused in (("client2", 0), ("client", 1)):
        done = lab.run(host, [PYTHON, "-c", OVERLAP, CLIENTS[host][0], SERVER])
        assert (done.stdout, done.stderr) == ("HTTP/\n", "")
        assert counted.by_now() == refused


def test_a_transfer_that_is_compared_is_not_hurt(lab: Lab, firewall: Firewall) -> None:
    """Segments as large as the kernel makes them, and every one of them followed in software."""
    refused = Counted(firewall, "flow_dos_pf_tcpoverlappingmismatch")
    listener = lab.popen("server", [PYTHON, "-c", SINK])
    try:
        assert listener.stdout
        assert listener.stdout.readline() == "listening\n"
        done = lab.run("client", [PYTHON, "-c", SOURCE, SERVER], timeout=60)
        assert (done.stdout, done.stderr) == ("told 33554432\n", "")
    finally:
        kill(listener)
    assert refused.by_now() == 0


SINK = """
import socket
with socket.create_server(("", 5003)) as server:
    print("listening", flush=True)
    taken, _ = server.accept()
    total = 0
    while part := taken.recv(1 << 20):
        total += len(part)
    taken.sendall(str(total).encode())
"""
SOURCE = """
import os, socket, sys
with socket.create_connection((sys.argv[1], 5003), timeout=30) as held:
    for _ in range(32):
        held.sendall(os.urandom(1 << 20))
    held.shutdown(socket.SHUT_WR)
    print("told", held.recv(100).decode())
"""

# kind of connection, the server's address: what comes back
CONNECT = """
import socket, sys
kind, server = sys.argv[1:]
protocol = 262 if kind == "multipath" else 0
with socket.socket(socket.AF_INET, socket.SOCK_STREAM, protocol) as held:
    held.settimeout(5)
    request = b"GET / HTTP/1.0\\r\\n\\r\\n"
    if kind == "fast open":
        held.sendto(request, socket.MSG_FASTOPEN, (server, 80))
    else:
        held.connect((server, 80))
        held.sendall(request)
    print(held.recv(5).decode())
"""


def syn(lab: Lab, host: str, kind: str) -> str:
    """What tcpdump says of the SYN the server gets."""
    only_syn = "tcp[tcpflags] & (tcp-syn|tcp-ack) == tcp-syn"
    listener = lab.popen("server", ["tcpdump", "-lnn", "--immediate-mode", "-i", "eth0", only_syn])
    try:
        assert listener.stdout
        while "listening" not in listener.stdout.readline():
            pass
        done = lab.run(host, [PYTHON, "-c", CONNECT, kind, SERVER])
        assert (done.stdout, done.stderr) == ("HTTP/\n", "")
        line = listener.stdout.readline()
        while ".80: " not in line:
            line = listener.stdout.readline()
        return line
    finally:
        kill(listener)


@pytest.mark.parametrize(
    ("kind", "option", "counter"),
    [
        ("plain", "TS val", "flow_dos_pf_striptimestamp"),
        ("fast open", "tfo", "flow_dos_pf_striptfo"),
    ],
)
def test_options_that_do_not_pass(
    lab: Lab, firewall: Firewall, kind: str, option: str, counter: str
) -> None:
    lab.run("client", ["sysctl", "-qw", "net.ipv4.tcp_fastopen=1"])
    counted = Counted(firewall, counter)
    assert option in syn(lab, "client2", kind)
    assert counted.by_now() == 0
    assert option not in syn(lab, "client", kind)
    assert counted.by_now() == 1


def test_multipath_tcp_passes_no_zone_that_does_not_say_so(lab: Lab, firewall: Firewall) -> None:
    counted = Counted(firewall, "flow_dos_pf_stripmptcp")
    for host in ("client", "client2"):
        assert "mptcp" not in syn(lab, host, "multipath")
    assert counted.by_now() == 2


# ---- Ethernet types on a virtual wire ------------------------------------------------------------

WIRE = """\
set network interface ethernet ethernet1/1 virtual-wire
set network interface ethernet ethernet1/2 virtual-wire
set network virtual-wire wire interface1 ethernet1/1 interface2 ethernet1/2
set zone left network virtual-wire ethernet1/1
set zone right network virtual-wire ethernet1/2
set zone left network zone-protection-profile list
set rulebase security rules all from any to any source any destination any application any \
service any action allow
set network profiles zone-protection-profile list non-ip-protocol list-type {}
set network profiles zone-protection-profile list non-ip-protocol protocol lldp ether-type 0x88cc
"""
TYPES = (0x88CC, 0x8892, 0x88B5)
FRAMES = """
import socket, struct, sys
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
wire.bind(("eth0", 0))
own = wire.getsockname()[4]
for number in map(int, sys.argv[1:]):
    group = bytes.fromhex("0180c200000e") if number == 0x88CC else b"\\xff" * 6
    wire.send(group + own + struct.pack("!H", number) + b"probe".ljust(60))
"""


def types_heard(lab: Lab, sender: str, receiver: str) -> set[int]:
    """Of TYPES; then an ARP request, which passes every list."""
    listener = lab.popen(receiver, ["tcpdump", "-lnnex", "--immediate-mode", "-i", "eth0"])
    try:
        assert listener.stdout
        while "listening" not in listener.stdout.readline():
            pass
        lab.run(sender, [PYTHON, "-c", FRAMES, *map(str, TYPES)])
        lab.run(sender, ["ping", "-c", "1", "-W", "0.1", "10.1.0.99"])
        found: set[int] = set()
        while "who-has 10.1.0.99" not in (line := listener.stdout.readline()):
            if match := re.search(r"ethertype .*?\(?0x([0-9a-f]{4})\)?", line):
                found.add(int(match[1], 16))
        return found & set(TYPES)
    finally:
        kill(listener)


def test_a_wire_passes_what_is_listed(lab: Lab, tmp_path: Path) -> None:
    include, exclude = tmp_path / "include.set", tmp_path / "exclude.set"
    include.write_text(WIRE.format("include"))
    exclude.write_text(WIRE.format("exclude"))
    for host, number in (("client", 1), ("server", 2)):
        address = f"10.1.0.{number}/24"
        lab.run(host, ["ip", "address", "replace", address, "dev", "eth0"])
    firewall = Firewall(lab, include)
    firewall.start()
    try:
        ping = ["ping", "-c", "1", "-W", "2", "10.1.0.2"]
        assert lab.run("client", ping).returncode == 0
        assert types_heard(lab, "client", "server") == {0x88CC}
        assert types_heard(lab, "server", "client") == set(TYPES)
        firewall.kill_management()
        firewall.start()  # takes over, and the list stays
        assert types_heard(lab, "client", "server") == {0x88CC}
        firewall.ask(f"load config from {exclude}", "commit")
        assert types_heard(lab, "client", "server") == set(TYPES) - {0x88CC}
        assert lab.run("client", ping).returncode == 0
        firewall.stop()
        assert "SIXTUPLE" not in lab.run(FIREWALL, ["ebtables-nft-save"]).stdout
    finally:
        firewall.kill()
