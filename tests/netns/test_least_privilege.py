"""The firewall as an ordinary user with CAP_NET_ADMIN and CAP_NET_RAW, as sixtuple.service runs it.

client --- eth1 [ routed, NAT, QoS, a tunnel interface ] eth2 --- server
client2 -- eth3 [ virtual wire, then VLAN              ] eth4 --- dmz
tapped --- eth5 [ tap                                  ]
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.labs import hook_rules
from vm.firewall import DIRECTORY, Firewall
from vm.namespaces import CHECKOUT, Lab, LabError
from vm.topology import FIREWALL, SERVER
from vm.waiting import wait_until

LOGS = DIRECTORY / "logs"
CAPABILITIES = 1 << 12 | 1 << 13  # CAP_NET_ADMIN, CAP_NET_RAW of linux/capability.h
USER = 7777
SETPRIV = (
    "setpriv",
    # in the namespace of a user who is not root there is no other user
    *((f"--reuid={USER}", f"--regid={USER}", "--clear-groups") if os.geteuid() == 0 else ()),
    "--securebits=+noroot",
    "--inh-caps=-all,+net_admin,+net_raw",
    "--ambient-caps=-all,+net_admin,+net_raw",
    "--bounding-set=-all,+net_admin,+net_raw",
    "--no-new-privs",
)
# Everybody may open the device, as Debian's udev has it; here, for this command alone.
TUN = (
    'if [ "$(stat -c %a /dev/net/tun)" != 666 ]; then\n'
    "    rm -f /run/tun; mknod -m 666 /run/tun c 10 200; mount --bind /run/tun /dev/net/tun\n"
    'fi; exec "$@"'
)
CLOSED = ">/run/closed; chmod 0 /run/closed; mount --bind /run/closed /dev/net/tun"
WITH_TUN = ("sh", "-ec", TUN, "sh")

WIRE = """\
set network interface ethernet ethernet1/3 virtual-wire
set network interface ethernet ethernet1/4 virtual-wire
set network virtual-wire wire interface1 ethernet1/3 interface2 ethernet1/4
set zone left network virtual-wire ethernet1/3
set zone right network virtual-wire ethernet1/4
"""
VLAN = """\
set network interface ethernet ethernet1/3 layer2
set network interface ethernet ethernet1/4 layer2
set network vlan lan interface [ ethernet1/3 ethernet1/4 ]
set zone left network layer2 ethernet1/3
set zone right network layer2 ethernet1/4
"""
ROUTED = """\
set network interface ethernet ethernet1/1 layer3 ip 192.0.2.1/25
set network interface ethernet ethernet1/2 layer3 ip 203.0.113.1/24
set network interface tunnel units tunnel.1 ip 10.9.1.1/24
set network tunnel gre gre local-address interface ethernet1/2
set network tunnel gre gre local-address ip 203.0.113.1
set network tunnel gre gre peer-address ip 203.0.113.10
set network tunnel gre gre tunnel-interface tunnel.1
set network virtual-router default interface [ ethernet1/1 ethernet1/2 tunnel.1 ]
set network virtual-router default routing-table ip static-route far destination 10.7.0.0/16
set network virtual-router default routing-table ip static-route far interface tunnel.1
set network qos profile p aggregate-bandwidth egress-max 1000
set network qos profile p class-bandwidth-type mbps class class2 class-bandwidth egress-max 500
set network qos interface ethernet1/2 enabled yes
set network qos interface ethernet1/2 regular-traffic default-group qos-profile p
set zone trust network layer3 ethernet1/1
set zone untrust network layer3 ethernet1/2
set zone tunnels network layer3 tunnel.1
set rulebase nat rules hide from trust to untrust source any destination any service any \
source-translation dynamic-ip-and-port translated-address 203.0.113.99
set rulebase security rules out from trust to untrust source any destination any application any \
service any action allow log-end yes
set network interface ethernet ethernet1/5 tap
set zone heard network tap ethernet1/5
set rulebase security rules across from left to right source any destination any application any \
service any action allow
"""


class Unprivileged(Firewall):
    prefix = (*WITH_TUN, *SETPRIV)

    @classmethod
    def program(cls, *words: str | Path) -> list[str]:  # type: ignore[override]
        # An interpreter in somebody's home may be closed to others; Debian's is not.
        installed = (directory for directory in sys.path if directory.endswith("-packages"))
        path = os.pathsep.join((str(CHECKOUT), *installed))
        python = ("env", f"PYTHONPATH={path}", "/usr/bin/python3")
        return [*cls.prefix, *python, *Firewall.program(*words)[1:]]


def state(lab: Lab) -> list[str]:
    """What a firewall changes of the kernel's state."""
    script = (
        "ip -brief link | cut -d@ -f1; ip -brief address; ip rule; ip -6 rule; "
        "ip route show table all proto 66; ip -6 route show table all proto 66; tc qdisc; "
        "ebtables-save | grep -e ^-A -e ^:SIX || true; "
        "cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/conf/all/rp_filter"
    )
    done = lab.run(FIREWALL, ["sh", "-ec", script])
    assert done.returncode == 0, done.stderr
    rules = [line for line in hook_rules(lab) if line.startswith("-")]
    return sorted(rules + done.stdout.splitlines())


def reaches(lab: Lab, host: str, address: str) -> bool:
    return lab.run(host, ["ping", "-c", "1", "-W", "2", address]).returncode == 0


@pytest.fixture(scope="module")
def firewall(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firewall]:
    lab.add_host("tapped", FIREWALL)
    for host, number in (("client2", 1), ("dmz", 2)):
        done = lab.run(host, ["ip", "address", "add", f"10.1.0.{number}/24", "dev", "eth0"])
        assert done.returncode == 0, done.stderr
    directory = lab.path(DIRECTORY)
    (directory / "etc").mkdir(parents=True)
    config = directory / "etc" / "config.set"
    config.write_text(ROUTED + WIRE)
    (config.parent / "vlan.set").write_text(ROUTED + VLAN)
    if os.geteuid() == 0:
        for path in (directory, config.parent, *config.parent.iterdir()):
            os.chown(path, USER, USER)
    options = ("--port", "ethernet1/5=tapped", "--persist", "--log-dir", str(LOGS))
    firewall = Unprivileged(lab, DIRECTORY / "etc" / "config.set", *options)
    yield firewall
    firewall.kill()


def test_it_needs_two_capabilities(lab: Lab, firewall: Firewall) -> None:
    before = state(lab)
    firewall.start()
    for pid in (firewall.management, *firewall.dataplanes()):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        held = dict(line.split(":\t") for line in lines if line.startswith("Cap"))
        assert {int(value, 16) for value in held.values()} == {CAPABILITIES}, held
    assert state(lab) != before

    web = ["curl", "-sS", "--max-time", "5", f"http://{SERVER}/"]
    assert lab.run("client", web).returncode == 0
    assert "203.0.113.99" in firewall.ask("show session all")
    firewall.ask("clear session all")
    wait_until(lambda: "203.0.113.10" in firewall.ask("show log traffic"), "an entry", seconds=20)
    assert "203.0.113.99" in lab.path(LOGS / "traffic.log").read_text()
    assert "1000 Mbps" in firewall.ask("show qos interface ethernet1/2")
    assert "tunnel.1" in lab.run(FIREWALL, ["ip", "link"]).stdout
    assert reaches(lab, "client2", "10.1.0.2")

    firewall.ask("load config from vlan.set", "commit")
    wait_until(lambda: reaches(lab, "client2", "10.1.0.2"), "the VLAN forwards", seconds=20)
    assert "set network vlan lan" in lab.path(firewall.config).read_text()

    assert firewall.stop() == 0, firewall.said()
    assert "ERROR" not in firewall.said()
    assert state(lab) == before
    assert not firewall.dataplanes()


@pytest.mark.parametrize(
    ("prefix", "said"),
    [
        (
            tuple(word.replace(",+net_raw", "") for word in SETPRIV),
            "no privilege to send packets of its own: start as root",
        ),
        (
            tuple(word.replace("+net_admin,", "") for word in SETPRIV),
            "no privilege to change the network: start as root",
        ),
        (
            ("sh", "-ec", f'{CLOSED}; exec "$@"', "sh", *SETPRIV),
            "tunnel.1: cannot use /dev/net/tun: Permission denied; let this user",
        ),
    ],
    ids=["raw-sockets", "administration", "tun-device"],
)
def test_what_is_missing_is_said(
    lab: Lab,
    firewall: Firewall,
    monkeypatch: pytest.MonkeyPatch,
    prefix: tuple[str, ...],
    said: str,
) -> None:
    before = state(lab)
    monkeypatch.setattr(Unprivileged, "prefix", prefix)
    with pytest.raises(LabError) as error:
        firewall.start()
    text = str(error.value)
    assert said in text
    assert len(text.splitlines()) == 1
    assert state(lab) == before
