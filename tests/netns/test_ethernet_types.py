"""Lists of Ethernet types on a virtual wire, with the whole firewall.

client 10.1.0.1 --- eth1 left [ virtual wire ] eth2 right --- 10.1.0.2 server
"""

import re
from pathlib import Path

from tests.support.labs import PYTHON
from vm.firewall import Firewall
from vm.namespaces import Lab, kill
from vm.topology import FIREWALL
from vm.waiting import wait_until

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
    listener = lab.popen(
        receiver, ["timeout", "20", "tcpdump", "-lnnex", "--immediate-mode", "-i", "eth0"]
    )
    try:
        assert listener.stdout
        while "listening" not in listener.stdout.readline():
            pass
        lab.run(sender, [PYTHON, "-c", FRAMES, *map(str, TYPES)])
        lab.run(sender, ["ping", "-c", "1", "-W", "0.1", "10.1.0.99"])
        found: set[int] = set()
        while "who-has 10.1.0.99" not in (line := listener.stdout.readline()):
            assert line
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
        said = "non-ip-protocol      include: 0x88cc, packet dropped: 2\n"
        assert said in firewall.ask("show zone-protection")
        firewall.kill_management()
        firewall.start()  # takes over, and the list stays
        assert types_heard(lab, "client", "server") == {0x88CC}
        firewall.ask(f"load config from {exclude}", "commit")
        wait_until(  # a bridge takes its time to forward again
            lambda: types_heard(lab, "client", "server") == set(TYPES) - {0x88CC},
            "the other list is in force",
            seconds=20,
        )
        assert lab.run("client", ping).returncode == 0
        firewall.stop()
        assert "SIXTUPLE" not in lab.run(FIREWALL, ["ebtables-nft-save"]).stdout
    finally:
        firewall.kill()
