"""Tunnels with the whole firewall, to a peer that is the lab's server.

client --- eth1 [ firewall ] eth2 ===== server
                  tunnel.N 10.9.N.1 ... 10.9.N.2 and 2001:db8:9:N::1 ... ::2

The kernel's own VXLAN device is one peer; for what the kernel may have no device, a program with a
TUN device is (tests/support/tunnel_peer.py).
"""

import contextlib
import re
import subprocess
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.support.labs import PYTHON, UNTRANSLATED, Counted, session_ids
from vm.firewall import Firewall
from vm.namespaces import Lab, kill
from vm.topology import FIREWALL, SERVER, SERVER6

OUTER, OUTER6 = "203.0.113.1", "2001:db8:2::1"
CLIENT = "192.0.2.10"


class Tunnel(NamedTuple):
    number: int
    type: str
    name: str
    outer: str = "ethernet1/2"
    local: str = OUTER
    peer: str = SERVER
    mtu: int = 0  # the most that fits within

    @property
    def lines(self) -> str:
        unit = f"set network interface tunnel units tunnel.{self.number}"
        tunnel = f"set network tunnel {self.type} {self.name}"
        vni = f"{tunnel} vni {self.number}\n" if self.type == "vxlan" else ""
        return f"""
{unit} ip 10.9.{self.number}.1/24
{unit} ipv6 enabled yes
{unit} ipv6 address 2001:db8:9:{self.number}::1/64
{unit} interface-management-profile probe
{tunnel} local-address interface {self.outer}
{tunnel} local-address ip {self.local}
{tunnel} peer-address ip {self.peer}
{tunnel} tunnel-interface tunnel.{self.number}
{vni}"""

    def inner(self, family: int) -> str:
        return f"10.9.{self.number}.2" if family == 4 else f"2001:db8:9:{self.number}::2"

    def gateway(self, family: int) -> str:
        return f"10.9.{self.number}.1" if family == 4 else f"2001:db8:9:{self.number}::1"


TUNNELS = (
    Tunnel(1, "gre", "gre-in-v4", mtu=1476),
    Tunnel(2, "ipip", "ip-in-v4", mtu=1480),
    Tunnel(3, "ipip", "ip-in-v6", local=OUTER6, peer=SERVER6, mtu=1460),
    Tunnel(4, "gre", "gre-in-v6", local=OUTER6, peer=SERVER6, mtu=1456),
    Tunnel(5, "vxlan", "vxlan-in-v4", mtu=1450),
    Tunnel(6, "vxlan", "vxlan-in-v6", local=OUTER6, peer=SERVER6, mtu=1430),
    Tunnel(7, "vxlan", "vxlan-in-gre", "tunnel.1", "10.9.1.1", "10.9.1.2", mtu=1426),
)
UNITS = " ".join(f"tunnel.{tunnel.number}" for tunnel in TUNNELS)
CONFIG = f"""
set network profiles interface-management-profile probe ping yes
{"".join(tunnel.lines for tunnel in TUNNELS)}
set network virtual-router default interface [ {UNITS} ]
set zone tunnels network layer3 [ {UNITS} ]
set rulebase security rules out from trust to tunnels source any destination any \
application any service any action allow
set rulebase security rules in from tunnels to trust source any destination any \
application any service any action allow
set rulebase nat rules hide from trust to tunnels to-interface tunnel.2 source {CLIENT} \
destination any service any source-translation dynamic-ip-and-port interface-address \
interface tunnel.2
"""


def shell(lab: Lab, host: str, *commands: str) -> str:
    done = lab.run(host, ["sh", "-ec", "\n".join(commands)], timeout=60)
    assert done.returncode == 0, f"{commands}: {done.stdout}{done.stderr}"
    return done.stdout


def device(tunnel: Tunnel) -> str:
    return f"t{tunnel.number}"


def bring_up(lab: Lab, tunnel: Tunnel) -> None:
    name = device(tunnel)
    shell(
        lab,
        "server",
        f"ip link set {name} mtu {tunnel.mtu} up",
        f"ip address add {tunnel.inner(4)}/24 dev {name}",
        f"ip address add {tunnel.inner(6)}/64 dev {name} nodad",
        # what has a tunnel's address goes back through it
        *(
            f"ip -{family} route add default via {tunnel.gateway(family)} dev {name} "
            f"table {100 + tunnel.number}; "
            f"ip -{family} rule add from {tunnel.inner(family)} table {100 + tunnel.number}"
            for family in (4, 6)
        ),
    )


@contextlib.contextmanager
def peers(lab: Lab) -> Iterator[None]:
    processes: list[subprocess.Popen[str]] = []
    try:
        for tunnel in TUNNELS:
            name, ends = device(tunnel), (tunnel.peer, tunnel.local)
            if tunnel.type == "vxlan":
                shell(
                    lab,
                    "server",
                    f"ip link add {name} type vxlan id {tunnel.number} dstport 4789 "
                    f"local {ends[0]} remote {ends[1]}",
                )
            else:
                program = [PYTHON, "-m", "tests.support.tunnel_peer", tunnel.type, name, *ends]
                processes.append(lab.popen("server", program))
                said = processes[-1].stdout
                assert said
                assert said.readline() == "ready\n"
            bring_up(lab, tunnel)
        yield
    finally:
        for process in processes:
            kill(process)


@pytest.fixture(scope="module")
def config() -> str:
    return UNTRANSLATED + CONFIG


@pytest.fixture(scope="module")
def firewall(lab: Lab, firewall: Firewall) -> Iterator[Firewall]:
    with peers(lab):
        yield firewall


def ping(lab: Lab, host: str, target: str, *options: str) -> bool:
    command = ["ping", "-n", "-c", "3", "-i", "0.2", "-W", "2", *options, target]
    return lab.run(host, command).returncode == 0


EVERY = pytest.mark.parametrize("tunnel", TUNNELS, ids=[tunnel.name for tunnel in TUNNELS])
FAMILIES = pytest.mark.parametrize("family", [4, 6], ids=["IPv4", "IPv6"])
CLIENTS = {4: CLIENT, 6: "2001:db8:1::10"}


@EVERY
@FAMILIES
def test_ping_from_the_peer(lab: Lab, firewall: Firewall, tunnel: Tunnel, family: int) -> None:
    decapsulated = Counted(firewall, "flow_tunnel_decap")
    target, source = CLIENTS[family], ("-I", tunnel.inner(family))
    assert ping(lab, "server", target, *source)
    assert ping(lab, "server", target, *source, "-s", "1300")
    assert decapsulated.by_now() >= 6


@EVERY
@FAMILIES
def test_ping_of_the_firewall(lab: Lab, firewall: Firewall, tunnel: Tunnel, family: int) -> None:
    assert ping(lab, "server", tunnel.gateway(family), "-I", tunnel.inner(family))
    assert ping(lab, FIREWALL, tunnel.inner(family), "-I", tunnel.gateway(family))


@EVERY
@FAMILIES
def test_ping_from_the_client(lab: Lab, firewall: Firewall, tunnel: Tunnel, family: int) -> None:
    encapsulated = Counted(firewall, "flow_tunnel_encap")
    assert ping(lab, "client", tunnel.inner(family))
    assert ping(lab, "client", tunnel.inner(family), "-s", "1300")
    assert encapsulated.by_now() >= 6


@EVERY
@FAMILIES
def test_fragments(lab: Lab, firewall: Firewall, tunnel: Tunnel, family: int) -> None:
    """What comes in fragments leaves in fragments that fit, each in a packet of its own."""
    assert ping(lab, "client", tunnel.inner(family), "-M", "dont", "-s", "4000")


@EVERY
def test_what_is_shown(lab: Lab, firewall: Firewall, tunnel: Tunnel) -> None:
    shown = firewall.ask(f"show interface tunnel.{tunnel.number}")
    ends = f"from {tunnel.local} ({tunnel.outer}) to {tunnel.peer}, TTL 64"
    assert re.search(f"Tunnel: {tunnel.name}, {tunnel.type}.*, {re.escape(ends)}", shown), shown
    assert ping(lab, "client", tunnel.inner(4))
    (number, *_) = session_ids(firewall, destination=tunnel.inner(4))
    facts = firewall.ask(f"show session id {number}")
    assert re.search(r"session traverses tunnel +: True", facts), facts
    assert re.search(rf"egress interface +: tunnel\.{tunnel.number}\b", facts), facts


def test_nat_into_a_tunnel(lab: Lab, firewall: Firewall) -> None:
    assert ping(lab, "client", TUNNELS[1].inner(4))
    (number, *_) = session_ids(firewall, destination=TUNNELS[1].inner(4))
    facts = firewall.ask(f"show session id {number}")
    assert re.search(r"address/port translation +: source", facts), facts


_TRANSFER = """
import hashlib, socket, sys
role, address, megabytes = sys.argv[1], sys.argv[2], int(sys.argv[3])
family = socket.AF_INET6 if ":" in address else socket.AF_INET

def take(sock):
    digest, left = hashlib.sha256(), megabytes << 20
    while left and (data := sock.recv(1 << 20)):
        digest.update(data)
        left -= len(data)
    return digest.hexdigest()

def give(sock):
    digest, piece = hashlib.sha256(), hashlib.shake_256(role.encode()).digest(1 << 20)
    for _ in range(megabytes):
        sock.sendall(piece)
        digest.update(piece)
    return digest.hexdigest()

if role == "server":
    with socket.create_server((address, 7000), family=family) as listener:
        print("ready", flush=True)
        sock, _ = listener.accept()
        sock.settimeout(30)
        received = take(sock)
        print(received, give(sock), flush=True)
        sock.recv(1)
else:
    sock = socket.create_connection((address, 7000), timeout=15)
    sent = give(sock)
    print(sent, take(sock), flush=True)
"""


@EVERY
@FAMILIES
def test_large_transfers_in_both_directions(
    lab: Lab, firewall: Firewall, tunnel: Tunnel, family: int
) -> None:
    address, encapsulated = tunnel.inner(family), Counted(firewall, "flow_tunnel_encap")
    listener = lab.popen("server", [PYTHON, "-c", _TRANSFER, "server", address, "8"])
    try:
        assert listener.stdout
        assert listener.stdout.readline() == "ready\n"
        done = lab.run("client", [PYTHON, "-c", _TRANSFER, "client", address, "8"], timeout=90)
        assert done.returncode == 0, done.stderr
        assert listener.stdout.readline() == done.stdout
        assert encapsulated.by_now() > (8 << 20) // 1500  # in pieces that fit
    finally:
        kill(listener)
