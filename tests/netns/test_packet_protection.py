"""Packet-based protection with the whole firewall and real packets.

client  192.0.2.10  --- eth1 guarded [ firewall ] eth2 untrust --- 203.0.113.10 server
client2 192.0.2.130 --- eth3 open
"""

import pytest

from tests.support.labs import PYTHON, UNTRANSLATED, Counted
from vm.firewall import Firewall
from vm.namespaces import Lab, kill
from vm.topology import SERVER, SERVER6

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
    + "set network interface ethernet ethernet1/2 layer3 adjust-tcp-mss enable yes\n"
    + "set rulebase security rules all from any to untrust source any destination any "
    "application any service any action allow\n"
)


@pytest.fixture(scope="module")
def config() -> str:
    return CONFIG


# ---- single packets ------------------------------------------------------------------------------

# the expression of a packet and what is in it; ends with one that passes
SEND = """
import os, socket, sys
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6, IPv6ExtHdrHopByHop, PadN
from scapy.packet import Raw
own, own6, server, server6 = sys.argv[2:]
packet = eval(sys.argv[1])
# to the same neighbours, and of a session of its own: it overtakes nothing that waits
header = IP(src=own, dst=server) if IP in packet else IPv6(src=own6, dst=server6)
last = header / UDP(sport=20000 + os.getpid() % 30000, dport=5001) / b"last"
for packet in (packet, last, last, last):  # one may be lost on a busy machine
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
    listener = lab.popen(
        "server", ["timeout", "20", "tcpdump", "-lnn", "--immediate-mode", "-A", "-i", "eth0"]
    )
    try:
        assert listener.stdout
        while "listening" not in listener.stdout.readline():
            pass
        ends = (*CLIENTS[host], SERVER, SERVER6)
        done = lab.run(host, [PYTHON, "-c", SEND, packet, *ends])
        assert done.returncode == 0, done.stderr
        said = ""
        while "last" not in said:  # once that is there, so is all before
            line = listener.stdout.readline()
            assert line, said
            said += line
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
    ("hops", "size", "counter", "said"),
    [
        (1, 10, "flow_dos_pf_noreplyttl", "Time to live exceeded\n"),
        (64, 1450, "flow_dos_pf_noreplyneedfrag", "Frag needed\n"),
    ],
)
def test_errors_that_are_not_sent(
    lab: Lab, firewall: Firewall, hops: int, size: int, counter: str, said: str
) -> None:
    counted = Counted(firewall, counter)
    probe = [PYTHON, "-c", PROBE, SERVER, str(hops), str(size)]
    assert (lab.run("client2", probe).stdout, counted.by_now()) == (said, 0)
    assert (lab.run("client", probe).stdout, counted.by_now()) == ("timed out\n", 1)


PROBE = """
import socket, sys
probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
IP_TTL, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE, IP_RECVERR = 2, 10, 3, 11
probe.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
probe.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE)
probe.setsockopt(socket.IPPROTO_IP, IP_TTL, int(sys.argv[2]))
probe.connect((sys.argv[1], 5002))
probe.send(bytes(int(sys.argv[3])))
probe.settimeout(1)
try:
    probe.recv(1)
except OSError as error:
    print({90: "Frag needed", 113: "Time to live exceeded"}.get(error.errno, error))
"""


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
    request = b"GET / HTTP/1.0\\r\\n\\r\\n"
    if kind == "fast open":
        held.sendto(request, socket.MSG_FASTOPEN, (server, 80))
    else:
        held.connect((server, 80))
        held.sendall(request)
    held.settimeout(5)
    print(held.recv(5).decode())
"""


def syn(lab: Lab, host: str, kind: str) -> str:
    """What tcpdump says of the SYN the server gets."""
    only_syn = "tcp[tcpflags] & (tcp-syn|tcp-ack) == tcp-syn"
    listener = lab.popen(
        "server", ["timeout", "20", "tcpdump", "-lnn", "--immediate-mode", "-i", "eth0", only_syn]
    )
    try:
        assert listener.stdout
        while "listening" not in listener.stdout.readline():
            pass
        done = lab.run(host, [PYTHON, "-c", CONNECT, kind, SERVER])
        assert (done.stdout, done.stderr) == ("HTTP/\n", "")
        line = listener.stdout.readline()
        while ".80: " not in line:
            assert line
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
