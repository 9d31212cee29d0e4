"""What each interface mode does with each kind of packet (fact sheet 4.3), on the wire.

client 10.1.0.1 --- eth1 [ layer 3, virtual wire, VLAN or tap ] eth2 --- 10.1.0.2 or 10.2.0.2 server
"""

import contextlib
import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.support import bridged
from tests.support.bridged import PORT, ZONE
from tests.support.labs import PYTHON
from vm.firewall import Firewall
from vm.namespaces import Lab, kill

RULE = """\
set rulebase security rules all from any to any source any destination any application any \
service any action allow
"""
LAYER3 = (
    "".join(
        PORT.format(n, f"layer3 ip 10.{n}.0.254/24")
        + PORT.format(n, "layer3 ipv6 enabled yes")
        + PORT.format(n, f"layer3 ipv6 address 2001:db8:{n}::fe/64")
        + f"set import network interface ethernet1/{n}\n"
        for n in (1, 2)
    )
    + "set network virtual-router default interface [ ethernet1/1 ethernet1/2 ]\n"
    + "set network virtual-router default multicast enable yes\n"
    + ZONE.format("left", "layer3", 1)
    + ZONE.format("right", "layer3", 2)
    + RULE
)
WIRE, VLAN = bridged.WIRE + RULE, bridged.VLAN + RULE
TAP = PORT.format(1, "tap") + ZONE.format("left", "tap", 1) + RULE
MODES = {
    "layer 3": LAYER3,
    "layer 2": VLAN,
    "virtual wire": WIRE,
    "virtual wire, multicast firewalling": WIRE
    + "set network virtual-wire wire multicast-firewalling enable yes\n",
    "tap": TAP,
    "layer 2, IPv6 firewalling off": VLAN
    + "set deviceconfig setting session ipv6-firewalling no\n",
    "virtual wire, IPv6 firewalling off": WIRE
    + "set deviceconfig setting session ipv6-firewalling no\n",
    "layer 3, IPv6 firewalling off": LAYER3
    + "set deviceconfig setting session ipv6-firewalling no\n",
    "tap, IPv6 firewalling off": TAP + "set deviceconfig setting session ipv6-firewalling no\n",
}


class Fate(NamedTuple):
    inspected: bool
    forwarded: bool


BOTH, PASSED, HEARD, DROPPED = (
    Fate(True, True),
    Fate(False, True),
    Fate(True, False),
    Fate(False, False),
)
KINDS = ("unicast", "multicast", "broadcast", "local broadcast", "IPv6", "non-IP")
MATRIX = {
    "layer 3": (BOTH, BOTH, DROPPED, DROPPED, BOTH, DROPPED),
    "layer 2": (BOTH, PASSED, PASSED, PASSED, BOTH, PASSED),
    "virtual wire": (BOTH, PASSED, PASSED, PASSED, BOTH, PASSED),
    "virtual wire, multicast firewalling": (BOTH, BOTH, BOTH, BOTH, BOTH, PASSED),
    "tap": (HEARD, HEARD, HEARD, HEARD, HEARD, DROPPED),
    "layer 2, IPv6 firewalling off": (BOTH, PASSED, PASSED, PASSED, PASSED, PASSED),
    "virtual wire, IPv6 firewalling off": (BOTH, PASSED, PASSED, PASSED, PASSED, PASSED),
    "layer 3, IPv6 firewalling off": (BOTH, BOTH, DROPPED, DROPPED, DROPPED, DROPPED),
    "tap, IPv6 firewalling off": (HEARD, HEARD, HEARD, HEARD, DROPPED, DROPPED),
}

# kind, the server's subnet, the firewall's link address: one frame with a number nobody else uses
SEND = """
import socket, sys
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Raw
kind, subnet, link, number = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
body = UDP(sport=4000, dport=number) / f"probe {number}".encode()
to_all = "ff:ff:ff:ff:ff:ff"
frames = {
    "unicast": Ether(dst=link) / IP(src="10.1.0.1", dst=f"10.{subnet}.0.2") / body,
    "multicast": Ether(dst="01:00:5e:01:02:03")
    / IP(src="10.1.0.1", dst="239.1.2.3", ttl=9) / body,
    "broadcast": Ether(dst=to_all) / IP(src="10.1.0.1", dst="255.255.255.255") / body,
    "local broadcast": Ether(dst=to_all) / IP(src="10.1.0.1", dst="10.1.0.255") / body,
    "IPv6": Ether(dst=link)
    / IPv6(src="2001:db8:1::1", dst=f"2001:db8:{subnet}::2") / body,
    "non-IP": Ether(dst=to_all, type=0x88B5) / Raw(f"probe {number}".encode().ljust(60)),
}
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
wire.bind(("eth0", 0))
frames[kind].src = wire.getsockname()[4]
wire.send(bytes(frames[kind]))
"""
# as a multicast routing daemon would: 239.1.2.3 from 10.1.0.1 goes from eth1 to eth2
ROUTE_MULTICAST = """
import socket, struct, sys, time
control = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_IGMP)
MRT_INIT, MRT_ADD_VIF, MRT_ADD_MFC, BY_INDEX = 200, 202, 204, 8
control.setsockopt(socket.IPPROTO_IP, MRT_INIT, 1)
for number, port in enumerate(("eth1", "eth2")):
    vif = struct.pack("=HBBIiI", number, BY_INDEX, 1, 0, socket.if_nametoindex(port), 0)
    control.setsockopt(socket.IPPROTO_IP, MRT_ADD_VIF, vif)
ends = socket.inet_aton("10.1.0.1") + socket.inet_aton("239.1.2.3")
mfc = ends + struct.pack("=H32s2xIIIi", 0, bytes([0, 1]).ljust(32, b"\\0"), 0, 0, 0, 0)
control.setsockopt(socket.IPPROTO_IP, MRT_ADD_MFC, mfc)
print("ready", flush=True)
time.sleep(600)
"""


class Site(NamedTuple):
    lab: Lab
    firewall: Firewall
    mode: str
    subnet: int  # of the server
    link: str  # what a packet for the server is addressed to


@pytest.fixture(scope="module", params=MODES)
def site(
    request: pytest.FixtureRequest, lab: Lab, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    config = tmp_path_factory.mktemp("firewall") / "config.set"
    config.write_text(MODES[request.param])
    is_routed = request.param.startswith("layer 3")
    subnet = 2 if is_routed else 1
    for host, address in (("client", "10.1.0.1"), ("server", f"10.{subnet}.0.2")):
        lab.run(host, ["ip", "addr", "flush", "dev", "eth0", "scope", "global"])
        lab.run(host, ["ip", "addr", "add", f"{address}/24", "dev", "eth0"])
    server6 = f"2001:db8:{subnet}::2/64"
    lab.run("server", ["ip", "addr", "add", server6, "dev", "eth0", "nodad"])
    firewall = Firewall(lab, config)
    with contextlib.ExitStack() as stack:
        stack.callback(firewall.kill)
        firewall.start()
        if is_routed:
            daemon = lab.popen("firewall", [PYTHON, "-c", ROUTE_MULTICAST])
            stack.callback(kill, daemon)
            assert daemon.stdout
            assert daemon.stdout.readline() == "ready\n"
        host = "firewall" if is_routed else "server"
        shown = lab.run(host, ["ip", "link", "show", "eth1" if is_routed else "eth0"]).stdout
        address = re.search(r"link/ether (\S+)", shown)
        assert address
        yield Site(lab, firewall, request.param, subnet, address[1])
        firewall.stop()


@pytest.mark.parametrize("kind", KINDS)
def test_what_becomes_of_it(site: Site, kind: str) -> None:
    number = 5000 + KINDS.index(kind)
    wanted = MATRIX[site.mode][KINDS.index(kind)]
    with contextlib.ExitStack() as stack:
        listener = site.lab.popen(
            "server", ["tcpdump", "-lnn", "--immediate-mode", "-A", "-i", "eth0"]
        )
        stack.callback(kill, listener)
        assert listener.stdout
        while "listening" not in listener.stdout.readline():
            pass
        send = [PYTHON, "-c", SEND, kind, str(site.subnet), site.link, str(number)]
        for _ in range(2):  # a neighbour may be asked for before the first goes on
            done = site.lab.run("client", send)
            assert done.returncode == 0, done.stderr
        # what comes behind it: once that is there, so is all before
        site.lab.run(
            "server", ["ping", "-c", "1", "-W", "0.3", "-p", "6c617374", f"10.{site.subnet}.0.77"]
        )
        site.lab.run("server", ["sh", "-c", "kill -INT $(pgrep -f 'tcpdump -lnn')"])
        said = listener.communicate(timeout=10)[0]
    sessions = site.firewall.ask(f"show session all filter destination-port {number}")
    fate = Fate(f"[{number}]" in sessions, f"probe {number}" in said)
    assert fate == wanted, (sessions, said, site.firewall.ask("show counter global"))
