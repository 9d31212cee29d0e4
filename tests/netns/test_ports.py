"""A port the configuration leaves out: in no zone, or not configured at all."""

import json

import pytest

from tests.support.labs import UNTRANSLATED, Counted
from vm.firewall import Firewall
from vm.namespaces import Lab
from vm.topology import FIREWALL, PING_TARGET

LEFT_OUT = {
    "in no zone": ("set zone dmz",),
    "not configured": ("set zone dmz", "set network interface ethernet ethernet1/4"),
}


@pytest.fixture(scope="module", params=list(LEFT_OUT.values()), ids=list(LEFT_OUT))
def config(request: pytest.FixtureRequest) -> str:
    """Has nothing to do with the DMZ's port."""
    lines = [line for line in UNTRANSLATED.splitlines() if not line.startswith(request.param)]
    text = "\n".join(lines)
    if len(request.param) > 1:
        text = text.replace(" ethernet1/4 ]", " ]")
    return text


def echo_requests(lab: Lab) -> int:
    """How many the server has received so far."""
    rows = [
        line.split() for line in lab.run("server", ["cat", "/proc/net/snmp"]).stdout.splitlines()
    ]
    names, values = (row for row in rows if row[0] == "Icmp:")
    return int(values[names.index("InEchos")])


def test_what_comes_in_there_goes_nowhere(lab: Lab, firewall: Firewall) -> None:
    link = json.loads(lab.run(FIREWALL, ["ip", "-json", "link", "show", "eth4"]).stdout)[0]
    neighbor = ["ip", "neighbor", "replace", "198.51.100.1", "lladdr", link["address"]]
    assert lab.run("dmz", [*neighbor, "dev", "eth0"]).returncode == 0
    before = echo_requests(lab)
    dropped = Counted(firewall, "flow_no_interface")
    done = lab.run("dmz", ["ping", "-n", "-c", "2", "-i", "0.2", "-W", "1", PING_TARGET])
    assert done.returncode == 1
    assert echo_requests(lab) == before
    if "ethernet1/4" in firewall.config.read_text():
        assert dropped.by_now() >= 2
    else:  # the kernel drops them: they never get to the dataplane
        assert dropped.by_now() == 0
    assert lab.run("client", ["ping", "-n", "-c", "1", "-W", "2", PING_TARGET]).returncode == 0
    assert echo_requests(lab) == before + 1
