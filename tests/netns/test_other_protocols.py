"""Frames of other protocols than IP between ports of a wire: the list of the zone they come from.

client --- eth1 left [ virtual wire ] right eth2 --- server
"""

from collections.abc import Iterator

import pytest

from tests.support.bridged import RULE, WIRE, pings
from tests.support.labs import PYTHON
from vm.firewall import Firewall
from vm.namespaces import Lab, kill

LISTED, OTHER = 0x88B5, 0x88B6  # for experiments (IEEE 802, 9.2.3)
LIST = (
    "set network profiles zone-protection-profile p non-ip-protocol list-type {} "
    "protocol listed ether-type 0x88b5\n"
    "set zone left network zone-protection-profile p\n"
)
SEND = """
import socket, sys
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
wire.bind(("eth0", 0))
wire.send(b"\\xff" * 6 + wire.getsockname()[4] + int(sys.argv[1]).to_bytes(2) + bytes(46))
"""


@pytest.fixture(scope="module", params=["include", "exclude", ""])
def listed(
    request: pytest.FixtureRequest, lab: Lab, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    config = tmp_path_factory.mktemp("firewall") / "config.set"
    config.write_text(WIRE + RULE + (LIST.format(request.param) if request.param else ""))
    for host, number in (("client", 1), ("server", 2)):
        done = lab.run(host, ["ip", "addr", "replace", f"10.1.0.{number}/24", "dev", "eth0"])
        assert done.returncode == 0, done.stderr
    firewall = Firewall(lab, config)
    firewall.start()
    yield request.param
    firewall.stop()
    firewall.kill()


PASSING = {"include": [LISTED], "exclude": [OTHER], "": [LISTED, OTHER]}


def heard(lab: Lab, sender: str, listener: str) -> list[int]:
    """Which of both gets through. What follows is seen later, so a third that always passes ends
    the wait."""
    capture = lab.popen(listener, ["tcpdump", "-lnne", "--immediate-mode", "-i", "eth0"])
    try:
        assert capture.stdout
        while "listening" not in capture.stdout.readline():
            pass
        for ether_type in (LISTED, OTHER):
            done = lab.run(sender, [PYTHON, "-c", SEND, str(ether_type)])
            assert done.returncode == 0, done.stderr
        assert lab.run(sender, ["ip", "neigh", "flush", "dev", "eth0"]).returncode == 0
        target = "10.1.0.2" if sender == "client" else "10.1.0.1"
        lab.run(sender, ["ping", "-n", "-c", "1", "-W", "1", target])
        found = []
        while "ARP" not in (line := capture.stdout.readline()):
            found += [number for number in (LISTED, OTHER) if f"{number:#06x}" in line]
        return found
    finally:
        kill(capture)


def test_what_comes_from_the_zone(lab: Lab, listed: str) -> None:
    assert heard(lab, "client", "server") == PASSING[listed]


def test_what_comes_from_another_zone(lab: Lab, listed: str) -> None:
    assert heard(lab, "server", "client") == [LISTED, OTHER]


def test_ip_is_no_matter_of_the_list(lab: Lab, listed: str) -> None:
    assert pings(lab, "client", "10.1.0.2")
