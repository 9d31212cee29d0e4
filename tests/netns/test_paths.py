"""Where packets go when it is not the routes' to say, and who answers for what they became.

10.9.0.1 is the server's and the DMZ host's: the routes lead to the server, a rule of policy-based
forwarding leads client2 to the DMZ. The client is translated to 203.0.113.50 on the way out.
10.8.0.0/24 is both hosts' too, and the routes lead to both.
"""

import pytest

from tests.support.labs import UNTRANSLATED, Counted
from vm.firewall import Firewall
from vm.namespaces import Lab
from vm.topology import CLIENT2, DMZ, FIREWALL, SERVER
from vm.waiting import wait_until

TARGET = "10.9.0.1"
ROUTER = "set network virtual-router default"
ROUTE = f"{ROUTER} routing-table ip static-route"
PBF = "set rulebase pbf rules away"
NAT = "set rulebase nat rules out"
LINES = f"""
{ROUTER} ecmp enable yes
{ROUTER} ecmp symmetric-return yes
{ROUTE} far destination 10.9.0.0/16
{ROUTE} far nexthop ip-address {SERVER}
{ROUTE} one destination 10.8.0.0/16
{ROUTE} one nexthop ip-address {SERVER}
{ROUTE} other destination 10.8.0.0/16
{ROUTE} other nexthop ip-address {DMZ}
{PBF} from zone trust
{PBF} source 192.0.2.130
{PBF} destination {TARGET}
{PBF} action forward egress-interface ethernet1/4
{PBF} action forward nexthop ip-address {DMZ}
{PBF} action forward monitor profile quick
{PBF} action forward monitor disable-if-unreachable yes
{NAT} from trust
{NAT} to untrust
{NAT} source 192.0.2.10
{NAT} destination any
{NAT} service any
{NAT} source-translation dynamic-ip-and-port translated-address 203.0.113.50
set network profiles monitor-profile quick interval 2
set network profiles monitor-profile quick threshold 2
set rulebase security rules all from trust to [ untrust dmz ] source any destination [ {TARGET} \
10.8.0.0/24 ] application any service any action allow
set rulebase security rules in from [ untrust dmz ] to trust source 10.8.0.0/24 destination any \
application any service any action allow
"""


@pytest.fixture(scope="module")
def config() -> str:
    return UNTRANSLATED + LINES


@pytest.fixture(scope="module")
def lab(lab: Lab) -> Lab:
    for host in ("server", "dmz"):
        for address in (f"{TARGET}/32", "10.8.0.1/24"):
            done = lab.run(host, ["ip", "addr", "replace", address, "dev", "lo"])
            assert done.returncode == 0, done.stderr
    return lab


def echoes(lab: Lab, host: str) -> int:
    lines = lab.run(host, ["cat", "/proc/net/snmp"]).stdout.splitlines()
    names, values = (line.split() for line in lines if line.startswith("Icmp:"))
    return int(values[names.index("InEchos")])


def ping(lab: Lab, host: str, target: str = TARGET) -> bool:
    command = ["ping", "-n", "-c", "3", "-i", "0.2", "-W", "2", target]
    return lab.run(host, command).returncode == 0


def who_answers(lab: Lab, host: str, target: str = TARGET) -> str:
    before = {name: echoes(lab, name) for name in ("server", "dmz")}
    assert ping(lab, host, target)
    # The monitor asks the DMZ now and then.
    return max(before, key=lambda name: echoes(lab, name) - before[name])


def test_a_rule_goes_before_the_routes(lab: Lab, firewall: Firewall) -> None:
    assert who_answers(lab, "client2") == "dmz"
    assert who_answers(lab, "client") == "server"


def test_a_translated_address_is_answered_for(lab: Lab, firewall: Firewall) -> None:
    assert lab.run("server", ["ip", "neigh", "flush", "dev", "eth0"]).returncode == 0
    assert ping(lab, "client")
    shown = lab.run("server", ["ip", "neigh", "show", "203.0.113.50"]).stdout
    assert "lladdr" in shown, shown


def test_a_long_packet_is_refused_to_the_original_sender(lab: Lab, firewall: Firewall) -> None:
    """Of a link that is narrower than its port the kernel knows, behind the dataplane's back."""
    route = ["ip", "route", "add", f"{TARGET}/32", "via", SERVER, "mtu", "lock", "1300"]
    assert lab.run(FIREWALL, route).returncode == 0
    try:
        brought = Counted(firewall, "flow_icmp_err_host")
        command = ["ping", "-n", "-c", "2", "-W", "1", "-M", "do", "-s", "1400", TARGET]
        said = lab.run("client", command)
        assert brought.by_now() > 0
        assert "mtu = 1300" in said.stdout + said.stderr, said.stdout + said.stderr
    finally:
        assert lab.run(FIREWALL, ["ip", "route", "del", f"{TARGET}/32"]).returncode == 0


SPREAD = [f"10.8.0.{number}" for number in range(1, 9)]


def test_sessions_are_spread_over_both_next_hops(lab: Lab, firewall: Firewall) -> None:
    assert {who_answers(lab, "client", target) for target in SPREAD} == {"server", "dmz"}
    assert {who_answers(lab, "client", SPREAD[0]) for _ in range(3)} in ({"server"}, {"dmz"})


@pytest.mark.parametrize("host", ["server", "dmz"])
@pytest.mark.usefixtures("firewall")
def test_answers_leave_by_the_port_of_the_question(lab: Lab, host: str) -> None:
    """Each echo is a session; the routes alone would spread the answers over both hosts."""
    command = ["ping", "-n", "-c", "6", "-i", "0.1", "-W", "2", "-I", "10.8.0.1", CLIENT2]
    done = lab.run(host, command)
    assert " 0% packet loss" in done.stdout, done.stdout


def test_a_rule_whose_host_is_silent_is_left_out(lab: Lab, firewall: Firewall) -> None:
    assert who_answers(lab, "client2") == "dmz"
    assert lab.run("dmz", ["ip", "link", "set", "eth0", "down"]).returncode == 0
    wait_until(lambda: ping(lab, "client2"), "the routes hold", seconds=30)
    assert who_answers(lab, "client2") == "server"


def test_one_next_hop_is_enough(lab: Lab, firewall: Firewall) -> None:
    assert lab.run("dmz", ["ip", "link", "set", "eth0", "down"]).returncode == 0
    assert lab.run(FIREWALL, ["ip", "link", "set", "eth4", "down"]).returncode == 0
    for target in SPREAD:
        wait_until(lambda target=target: ping(lab, "client", target), "it passes", seconds=20)
