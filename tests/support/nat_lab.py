"""A lab with networks behind the server, and what a firewall in it translates.

    client   192.0.2.10      +----------+  203.0.113.1   203.0.113.10 server -- far   198.18.0.10
             2001:db8:1::10 -| firewall |- untrust -- 2001:db8:2::10    |    2001:db8:5::10, 1280
    client2  192.0.2.130     |          |                               |
             2001:db8:3::10 -|          |- dmz, 1280 -- 198.51.100.10   +-- narrow  198.18.1.10
                             +----------+               2001:db8:4::10              1200 bytes

The server has no route to what is inside: only translated addresses are answered. Every host but
the firewall answers port 8000 with the address and port it is asked from.
"""

import contextlib
import subprocess
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.support.labs import PYTHON
from vm.namespaces import Lab, kill
from vm.waiting import wait_until

CLIENT = {4: "192.0.2.10", 6: "2001:db8:1::10"}
CLIENT2 = {4: "192.0.2.130", 6: "2001:db8:3::10"}
SERVER = {4: "203.0.113.10", 6: "2001:db8:2::10"}
DMZ = {4: "198.51.100.10", 6: "2001:db8:4::10"}
FAR = {4: "198.18.0.10", 6: "2001:db8:5::10"}
NARROW = "198.18.1.10"
GATEWAY = {4: "192.0.2.1", 6: "2001:db8:1::1"}  # the firewall, as the client has it

# what the outside sees
OUTSIDE = {4: "203.0.113.1", 6: "2001:db8:2::100"}  # of the client
DMZ_OUTSIDE = {4: "203.0.113.50", 6: "2001:db8:2::50"}  # of the DMZ's host, both ways
WEB = {4: "203.0.113.80", 6: "2001:db8:2::80"}  # port 80 of client2 is port 8000 there
TO_DMZ = {4: "198.51.100.1", 6: "2001:db8:4::100"}  # of the client, as the DMZ sees it
POOL = ("203.0.113.60", "203.0.113.61")  # of DYNAMIC
DYNAMIC = ("192.0.2.16", "192.0.2.17", "192.0.2.18")  # the client, too
ONE_ADDRESS = "203.0.113.90"
BUSY = "192.0.2.12"  # the client, too

SMALL_MTU = 1280  # of the DMZ's link and the far one
NARROW_MTU = 1200
_UNAWARE = "advmss 1400"  # they promise to take more than their link does
ASK_PORT = 8000


class Way(NamedTuple):
    """Who asks whom, by which address, and whom the one who is asked sees."""

    name: str
    host: str
    asked: dict[int, str]
    seen: dict[int, str]
    port: int = ASK_PORT


TURNED = {4: "192.0.2.129", 6: "2001:db8:3::100"}
WAYS = (
    Way("source, out", "client", SERVER, OUTSIDE),
    Way("source, out, behind a router", "client", FAR, OUTSIDE),
    Way("source, to the DMZ", "client", DMZ, TO_DMZ),
    Way("static, out", "dmz", SERVER, DMZ_OUTSIDE),
    Way("static, in", "far", DMZ_OUTSIDE, FAR),
    Way("destination with a port", "far", WEB, FAR, 80),
    Way("U-turn, both", "client", WEB, TURNED, 80),
    Way("U-turn to oneself", "client2", WEB, TURNED, 80),
)

# a request of four megabytes to a `whoami`; the status says whether it has arrived whole
PUSH = """
import hashlib, http.client, sys
data = bytes(range(256)) * (16 << 10)
client = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=10)
client.request("POST", "/", data)
sys.exit(client.getresponse().read().decode() != hashlib.sha256(data).hexdigest())
"""
# a datagram, and the error or answer within two seconds
DATAGRAM = """
import errno, socket, sys
target, port, size, must_stay_whole = sys.argv[1], *map(int, sys.argv[2:])
v6 = ":" in target
client = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM)
if v6:
    client.setsockopt(socket.IPPROTO_IPV6, 23, 2 * must_stay_whole)  # IPV6_MTU_DISCOVER
else:
    client.setsockopt(socket.IPPROTO_IP, 10, 2 * must_stay_whole)  # IP_MTU_DISCOVER
client.connect((target, port))
client.settimeout(2)
try:
    client.send(bytes(size))
    client.recv(1)
except OSError as error:
    print(errno.errorcode.get(error.errno or 0, "nothing"))
"""

CONFIG = f"""
set deviceconfig system hostname nat
set network interface ethernet ethernet1/1 layer3 ip 192.0.2.1/25
set network interface ethernet ethernet1/1 layer3 ipv6 enabled yes
set network interface ethernet ethernet1/1 layer3 ipv6 address 2001:db8:1::1/64
set network interface ethernet ethernet1/2 layer3 ip 203.0.113.1/24
set network interface ethernet ethernet1/2 layer3 ipv6 enabled yes
set network interface ethernet ethernet1/2 layer3 ipv6 address 2001:db8:2::1/64
set network interface ethernet ethernet1/3 layer3 ip 192.0.2.129/25
set network interface ethernet ethernet1/3 layer3 ipv6 enabled yes
set network interface ethernet ethernet1/3 layer3 ipv6 address 2001:db8:3::1/64
set network interface ethernet ethernet1/4 layer3 ip 198.51.100.1/24
set network interface ethernet ethernet1/4 layer3 ipv6 enabled yes
set network interface ethernet ethernet1/4 layer3 ipv6 address 2001:db8:4::1/64
set network interface ethernet ethernet1/4 layer3 mtu {SMALL_MTU}
set network virtual-router default interface [ ethernet1/1 ethernet1/2 ethernet1/3 ethernet1/4 ]
set network virtual-router default routing-table ip static-route far destination 198.18.0.0/23 nexthop ip-address {SERVER[4]}
set network virtual-router default routing-table ipv6 static-route far6 destination 2001:db8:5::/64 nexthop ipv6-address {SERVER[6]}
set import network interface [ ethernet1/1 ethernet1/2 ethernet1/3 ethernet1/4 ]
set zone trust network layer3 [ ethernet1/1 ethernet1/3 ]
set zone untrust network layer3 ethernet1/2
set zone dmz network layer3 ethernet1/4

set service web protocol tcp port 80
set address pool ip-range {POOL[0]}-{POOL[1]}

set rulebase nat rules static from dmz to untrust source {DMZ[4]} destination any source-translation static-ip translated-address {DMZ_OUTSIDE[4]} bi-directional yes
set rulebase nat rules static6 from dmz to untrust source {DMZ[6]} destination any source-translation static-ip translated-address {DMZ_OUTSIDE[6]} bi-directional yes
set rulebase nat rules hairpin from trust to untrust source any destination {WEB[4]} service web source-translation dynamic-ip-and-port interface-address interface ethernet1/3
set rulebase nat rules hairpin destination-translation translated-address {CLIENT2[4]} translated-port {ASK_PORT}
set rulebase nat rules hairpin6 from trust to untrust source any destination {WEB[6]} service web source-translation dynamic-ip-and-port translated-address 2001:db8:3::100
set rulebase nat rules hairpin6 destination-translation translated-address {CLIENT2[6]} translated-port {ASK_PORT}
set rulebase nat rules web from untrust to untrust source any destination {WEB[4]} service web destination-translation translated-address {CLIENT2[4]} translated-port {ASK_PORT}
set rulebase nat rules web6 from untrust to untrust source any destination {WEB[6]} service web destination-translation translated-address {CLIENT2[6]} translated-port {ASK_PORT}
set rulebase nat rules dynamic from trust to untrust source 192.0.2.16/29 destination any source-translation dynamic-ip translated-address pool
set rulebase nat rules dynamic source-translation dynamic-ip fallback interface-address interface ethernet1/2
set rulebase nat rules busy from trust to untrust source {BUSY} destination any source-translation dynamic-ip-and-port translated-address {ONE_ADDRESS}
set rulebase nat rules out from trust to untrust source 192.0.2.0/24 destination any source-translation dynamic-ip-and-port interface-address interface ethernet1/2
set rulebase nat rules out6 from trust to untrust source 2001:db8::/32 destination any source-translation dynamic-ip-and-port translated-address {OUTSIDE[6]}
set rulebase nat rules to-dmz from trust to dmz source 192.0.2.0/24 destination any source-translation dynamic-ip-and-port interface-address interface ethernet1/4
set rulebase nat rules to-dmz6 from trust to dmz source 2001:db8::/32 destination any source-translation dynamic-ip-and-port translated-address {TO_DMZ[6]}

set rulebase security rules out from trust to [ untrust dmz ] source any destination any service any action allow
set rulebase security rules dmz-out from dmz to untrust source any destination any service any action allow
set rulebase security rules dmz-in from untrust to dmz source any destination [ {DMZ_OUTSIDE[4]} {DMZ_OUTSIDE[6]} ] service any action allow
set rulebase security rules web-in from untrust to trust source any destination [ {WEB[4]} {WEB[6]} ] service web action allow
set rulebase default-security-rules rules interzone-default action deny log-end yes
set deviceconfig setting session timeout-tcp-time-wait 1
set deviceconfig setting session timeout-icmp 1
"""  # noqa: E501 - one element a line


@contextlib.contextmanager
def nat_lab() -> Iterator[Lab]:
    with Lab.start(lambda _: None) as lab:
        lab.add_host(
            "far",
            "server",
            "address add 198.18.0.10/24 dev eth0",
            "address add 2001:db8:5::10/64 dev eth0",
            f"route add default via 198.18.0.1 {_UNAWARE}",
            f"route add default via 2001:db8:5::1 {_UNAWARE}",
        )
        lab.add_host(
            "narrow",
            "server",
            "address add 198.18.1.10/24 dev eth0",
            f"route add default via 198.18.1.1 {_UNAWARE}",
        )
        shell(
            lab,
            "server",
            "ip route del default; ip -6 route del default",
            "echo 1 >/proc/sys/net/ipv4/ip_forward",
            "echo 1 >/proc/sys/net/ipv6/conf/all/forwarding",
            # every hop of every traceroute is to be seen
            "echo 0 >/proc/sys/net/ipv4/icmp_ratelimit; echo 0 >/proc/sys/net/ipv6/icmp/ratelimit",
            "ip address add 198.18.0.1/24 dev far; ip address add 2001:db8:5::1/64 dev far",
            "ip address add 198.18.1.1/24 dev narrow",
            f"ip link set far mtu {SMALL_MTU}; ip link set narrow mtu {NARROW_MTU}",
        )
        shell(lab, "far", f"ip link set eth0 mtu {SMALL_MTU}")
        shell(lab, "narrow", f"ip link set eth0 mtu {NARROW_MTU}")
        shell(
            lab,
            "dmz",
            f"ip link set eth0 mtu {SMALL_MTU}",
            f"ip route replace 198.51.100.0/24 dev eth0 src {DMZ[4]} {_UNAWARE}",
            "ip -6 route del 2001:db8:4::/64 dev eth0",
            f"ip -6 route add 2001:db8:4::/64 dev eth0 {_UNAWARE}",
        )
        shell(lab, "client", *(f"ip address add {one}/25 dev eth0" for one in (*DYNAMIC, BUSY)))
        with contextlib.ExitStack() as stack:
            for host in ("server", "client2", "dmz", "far", "narrow"):
                stack.enter_context(serving(lab, host, "whoami", str(ASK_PORT)))
            yield lab


@pytest.fixture(scope="module")
def nat_lab_up() -> Iterator[Lab]:
    """For a file of tests to have as its `lab`."""
    with nat_lab() as lab:
        yield lab


@pytest.fixture(scope="module")
def nat_config() -> str:
    """Likewise, as its firewall's `config`."""
    return CONFIG


def shell(lab: Lab, host: str, *commands: str) -> str:
    """Commands that have to work; what they print."""
    done = lab.run(host, ["sh", "-ec", "\n".join(commands)], timeout=60)
    assert done.returncode == 0, f"{commands}: {done.stdout}{done.stderr}"
    return done.stdout


@contextlib.contextmanager
def serving(lab: Lab, host: str, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A program of tests/support/load.py that has said that it is ready."""
    process = lab.popen(
        host,
        [PYTHON, "-m", "tests.support.load", *words],
        stdin=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        kill(process)


def asked_from(lab: Lab, host: str, address: str, *options: str, port: int = ASK_PORT) -> str:
    """The address a web server is asked from by a host's curl; "" where there is no answer."""
    bracketed = f"[{address}]" if ":" in address else address
    curl = ["curl", "-sf", "--noproxy", "*", "--connect-timeout", "3", "--max-time", "10"]
    done = lab.run(host, [*curl, *options, f"http://{bracketed}:{port}/"])
    return done.stdout.rpartition(" ")[0].removeprefix("::ffff:")


def await_route(lab: Lab, host: str, target: str, mtu: int) -> None:
    """Waits until a host has learnt the MTU of the way to a target."""

    def is_known() -> bool:
        return f"mtu {mtu}" in shell(lab, host, f"ip route get {target}")

    wait_until(is_known, f"{host} knows the MTU {mtu} to {target}", seconds=5)
