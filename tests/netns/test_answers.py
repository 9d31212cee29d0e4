"""What the firewall itself answers and sends, and where answers of others go, as hosts see it.

    client's link  its addresses answer ping and ssh, to the client alone
    server's link  its addresses answer nobody; segments are made to fit 1400 bytes

What policy denies is told or not, by the port that is asked for. 198.18.5.5 is behind the DMZ's
host, where no route leads: answers go back by policy-based forwarding alone.
"""

from collections.abc import Iterator

import pytest

from tests.support.labs import FAMILIES, PYTHON, UNTRANSLATED, Counted
from tests.support.nat_lab import shell
from vm.firewall import Firewall
from vm.namespaces import Lab, kill
from vm.topology import CLIENT2, DMZ, SERVER, SERVER6

OWN = {4: "192.0.2.1", 6: "2001:db8:1::1"}
OUTER = {4: "203.0.113.1", 6: "2001:db8:2::1"}
CLIENT = {4: "192.0.2.10", 6: "2001:db8:1::10"}
SERVERS = {4: SERVER, 6: SERVER6}
BEHIND_DMZ = "198.18.5.5"
ACTIONS = {
    7001: "drop",
    7002: "deny",
    7003: "reset-client",
    7004: "reset-server",
    7005: "reset-both",
    7006: "drop",  # with icmp-unreachable
}
_RULE = "from trust to untrust source any destination any"
LINES = "\n".join(
    [
        "set network profiles interface-management-profile ours ping yes ssh yes",
        f"set network profiles interface-management-profile ours permitted-ip {CLIENT[4]}",
        f"set network profiles interface-management-profile ours permitted-ip {CLIENT[6]}",
        "set network interface ethernet ethernet1/1 layer3 interface-management-profile ours",
        "set network interface ethernet ethernet1/2 layer3 adjust-tcp-mss enable yes",
        "set network interface ethernet ethernet1/2 layer3 mtu 1400",
        *(
            line
            for port, action in ACTIONS.items()
            for line in (
                f"set service s{port} protocol tcp port {port}",
                f"set service u{port} protocol udp port {port}",
                f"set rulebase security rules r{port} {_RULE}",
                f"set rulebase security rules r{port} service [ s{port} u{port} ] action {action}",
            )
        ),
        "set rulebase security rules r7006 icmp-unreachable yes",
        f"set rulebase security rules marked {_RULE} service any action allow",
        "set rulebase security rules marked qos marking ip-dscp af21",
        "set rulebase security rules back from dmz to trust source any destination any",
        "set rulebase security rules back service any action allow",
        "set rulebase pbf rules back from interface ethernet1/4",
        f"set rulebase pbf rules back source {BEHIND_DMZ} destination any",
        "set rulebase pbf rules back action forward egress-interface ethernet1/3",
        f"set rulebase pbf rules back action forward nexthop ip-address {CLIENT2}",
        "set rulebase pbf rules back enforce-symmetric-return enabled yes",
        f"set rulebase pbf rules back enforce-symmetric-return nexthop-address-list {DMZ}",
    ]
)
CONNECT = """
import errno, socket, sys
try:
    peer = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=1)
    peer.settimeout(1)
    print(peer.recv(20).decode().split("-")[0])
except OSError as error:
    print(errno.errorcode.get(error.errno or 0, "nothing"))
"""


@pytest.fixture(scope="module")
def config() -> str:
    return f"{UNTRANSLATED}\n{LINES}\n"


def connect(lab: Lab, host: str, target: str, port: int) -> str:
    return lab.run(host, [PYTHON, "-c", CONNECT, target, str(port)]).stdout.strip()


def heard_at_the_server(lab: Lab, what: str, target: str) -> str:
    """What tcpdump says of the first packet that comes of an attempt to connect."""
    command = ["tcpdump", "--immediate-mode", "-lnnv", "-c", "1", "-i", "eth0", what]
    capture = lab.popen("server", command)
    try:
        assert capture.stdout
        while "listening" not in capture.stdout.readline():
            pass
        assert connect(lab, "client", target, 7999) == "ECONNREFUSED"
        return capture.communicate(timeout=10)[0]
    finally:
        kill(capture)


# ---- the firewall's own addresses ----------------------------------------------------------------


@pytest.fixture(scope="module")
def services(lab: Lab) -> Iterator[None]:
    """Something on the firewall host that says SSH-... at port 22, and at 23."""
    program = (
        "import select, socket\n"
        "def listen(port):\n"
        "    address = ('::', port)\n"
        "    family = socket.AF_INET6\n"
        "    return socket.create_server(address, family=family, dualstack_ipv6=True)\n"
        "servers = [listen(22), listen(23)]\n"
        "print('ready', flush=True)\n"
        "while True:\n"
        "    for server in select.select(servers, [], [])[0]:\n"
        "        with server.accept()[0] as peer: peer.sendall(b'SSH-2.0-test\\r\\n')\n"
    )
    process = lab.popen("firewall", [PYTHON, "-c", program])
    try:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        yield
    finally:
        kill(process)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.usefixtures("services")
def test_a_profile_allows_what_it_names_to_whom_it_names(
    lab: Lab, firewall: Firewall, family: int
) -> None:
    ping = ["ping", "-n", "-c", "1", "-W", "1"]
    denied = Counted(firewall, "flow_host_service_deny")
    assert lab.run("client", [*ping, OWN[family]]).returncode == 0
    assert connect(lab, "client", OWN[family], 22) == "SSH"
    assert denied.by_now() == 0
    assert connect(lab, "client", OWN[family], 23) == "nothing"  # no such service
    assert denied.by_now() > 0
    for host, target in (("client2", OWN), ("client", OUTER)):
        before = denied.by_now()
        assert lab.run(host, [*ping, target[family]]).returncode == 1, (host, target)
        assert connect(lab, host, target[family], 22) == "nothing"
        assert denied.by_now() >= before + 2


# ---- what is denied ------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("port", ACTIONS)
@pytest.mark.usefixtures("firewall")
def test_who_is_denied_is_told_as_the_rule_says(lab: Lab, port: int, family: int) -> None:
    told = {
        "reset-client": "ECONNREFUSED",
        "reset-both": "ECONNREFUSED",
        "deny": "nothing",
        "drop": "nothing",
        "reset-server": "nothing",
    }[ACTIONS[port]]
    if port == 7006:
        told = {4: "EHOSTUNREACH", 6: "EACCES"}[family]
    assert connect(lab, "client", SERVERS[family], port) == told


# ---- what is changed on the way ------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.usefixtures("firewall")
def test_segments_fit_and_are_marked(lab: Lab, family: int) -> None:
    said = heard_at_the_server(lab, "tcp port 7999", SERVERS[family])
    mss = {4: 1360, 6: 1340}[family]
    assert f"mss {mss}" in said, said
    tos = {4: "tos 0x48", 6: "class 0x48"}[family]  # af21
    assert tos in said, said


# ---- the way back --------------------------------------------------------------------------------


@pytest.mark.usefixtures("firewall")
def test_answers_go_back_where_the_question_came_from(lab: Lab) -> None:
    # as if the address were that of a host further away: nobody answers for it on the link
    shell(lab, "dmz", "echo 1 >/proc/sys/net/ipv4/conf/all/arp_ignore")
    shell(lab, "dmz", f"ip address replace {BEHIND_DMZ}/32 dev lo")
    for _ in range(2):
        ping = ["ping", "-n", "-c", "2", "-i", "0.2", "-W", "1", "-I", BEHIND_DMZ, CLIENT2]
        done = lab.run("dmz", ping)
        assert done.returncode == 0, done.stdout
