"""Two virtual routers, ECMP and shaping with the whole firewall.

client  eth1 --[ default ]-- eth2  server        client2 eth3 --[ second ]-- eth4 dmz
"""

import re

import pytest

from tests.support.labs import UNTRANSLATED, Counted
from vm.firewall import Firewall
from vm.namespaces import Lab
from vm.topology import CLIENT2, DMZ, SERVER, SERVER6

QOS = "set rulebase qos rules fast"
CLASS = "set network qos profile p class-bandwidth-type mbps class class2"
LINES = f"""
set network virtual-router second interface [ ethernet1/3 ethernet1/4 ]
set network profiles interface-management-profile probe ping yes
set network interface ethernet ethernet1/1 layer3 interface-management-profile probe
set network interface ethernet ethernet1/3 layer3 interface-management-profile probe
set rulebase security rules all from any to any source any destination any application any \
service any action allow
set network qos profile p aggregate-bandwidth egress-max 1000
{CLASS} priority high
{CLASS} class-bandwidth egress-guaranteed 10
set network qos interface ethernet1/2 enabled yes
set network qos interface ethernet1/2 regular-traffic default-group qos-profile p
{QOS} from trust
{QOS} to untrust
{QOS} source any
{QOS} destination {SERVER}
{QOS} action class 2
"""


@pytest.fixture(scope="module")
def config() -> str:
    text = UNTRANSLATED.replace(
        "set network virtual-router default interface [ ethernet1/1 ethernet1/2 ethernet1/3 "
        "ethernet1/4 ]",
        "set network virtual-router default interface [ ethernet1/1 ethernet1/2 ]",
    )
    assert text != UNTRANSLATED
    return text + LINES


def ping(lab: Lab, host: str, target: str) -> bool:
    command = ["ping", "-n", "-c", "5", "-i", "0.2", "-W", "2", target]
    return lab.run(host, command).returncode == 0


@pytest.mark.parametrize(
    ("host", "target"),
    [
        pytest.param("client2", DMZ, id="within the second, IPv4"),
        pytest.param("client2", "2001:db8:4::10", id="within the second, IPv6"),
        pytest.param("client", SERVER, id="within the first, IPv4"),
        pytest.param("client", SERVER6, id="within the first, IPv6"),
        pytest.param("client", "192.0.2.1", id="the firewall in the first"),
        pytest.param("client2", "192.0.2.129", id="the firewall in the second"),
        pytest.param("client2", "2001:db8:3::1", id="the firewall in the second, IPv6"),
    ],
)
def test_within_a_virtual_router(lab: Lab, firewall: Firewall, host: str, target: str) -> None:
    assert ping(lab, host, target)


@pytest.mark.parametrize(
    ("host", "target"),
    [
        pytest.param("client", DMZ, id="first to second"),
        pytest.param("client2", SERVER, id="second to first"),
        pytest.param("client2", SERVER6, id="second to first, IPv6"),
        pytest.param("client", CLIENT2, id="to a network of the other"),
    ],
)
def test_not_between_them(lab: Lab, firewall: Firewall, host: str, target: str) -> None:
    unrouted = Counted(firewall, "flow_fwd_l3_noroute")
    assert not ping(lab, host, target)
    assert unrouted.by_now() > 0


def test_shaping_counts_the_class_of_the_rule(lab: Lab, firewall: Firewall) -> None:
    def packets() -> dict[int, int]:
        shown = lab.run("firewall", ["tc", "-s", "class", "show", "dev", "eth2"]).stdout
        found = re.findall(r"class htb 1:(\d) .*\n Sent \d+ bytes (\d+) pkt", shown)
        return {int(number): int(count) for number, count in found}

    before = packets()
    assert ping(lab, "client", SERVER)
    after = packets()
    assert after[2] - before[2] == 5
    assert ping(lab, "client", SERVER6)
    assert packets()[2] == after[2]
    assert packets()[4] - after[4] >= 5
    shown = firewall.ask("show qos interface ethernet1/2")
    assert str(after[2]) in shown, shown
