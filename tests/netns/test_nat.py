"""Real programs through translation, in both directions and both families.

tests/support/nat_lab.py draws the lab: the server has no way back but to translated addresses.
"""

import contextlib
import os
import re
import subprocess
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from tests.support.labs import FAMILIES, PYTHON, Counted, session_ids, traffic_log
from tests.support.nat_lab import (
    ASK_PORT,
    BUSY,
    CLIENT,
    CLIENT2,
    CONFIG,
    DATAGRAM,
    DMZ,
    DMZ_OUTSIDE,
    DYNAMIC,
    FAR,
    GATEWAY,
    NARROW,
    NARROW_MTU,
    ONE_ADDRESS,
    OUTSIDE,
    POOL,
    PUSH,
    SERVER,
    SMALL_MTU,
    WAYS,
    WEB,
    Way,
    asked_from,
    await_route,
    nat_config,
    nat_lab_up,
    serving,
    shell,
)
from tests.support.replays import records, replay
from vm.firewall import Firewall
from vm.holder import STATE
from vm.namespaces import Lab, kill
from vm.topology import WEB_NAME
from vm.waiting import wait_until

SSH_PORT = 2222

lab, config = nat_lab_up, nat_config  # fixtures


# ---- reachability --------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("way", WAYS, ids=[way.name for way in WAYS])
@pytest.mark.usefixtures("firewall")
def test_a_web_server_is_asked_from_the_translated_address(lab: Lab, way: Way, family: int) -> None:
    assert asked_from(lab, way.host, way.asked[family], port=way.port) == way.seen[family]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_rule_for_a_translated_address_is_for_no_other(
    lab: Lab, firewall: Firewall, family: int
) -> None:
    """Rules are asked with the original destination: the inner address is not what they allow."""
    denied = Counted(firewall, "flow_policy_deny")
    gateway = {4: "203.0.113.1", 6: "2001:db8:2::1"}[family]
    route = f"{CLIENT2[family]} via {gateway}"
    shell(lab, "server", f"ip -{family} route add {route}")
    try:
        assert asked_from(lab, "server", CLIENT2[family], "--connect-timeout", "1") == ""
    finally:
        shell(lab, "server", f"ip -{family} route del {route}")
    assert denied.by_now() == 1


def test_a_rule_for_each_source(lab: Lab, firewall: Firewall) -> None:
    """dynamic-ip in the order they come; who comes too late shares the interface's address."""
    seen = [asked_from(lab, "client", SERVER[4], "--interface", one) for one in DYNAMIC]
    assert seen == [*POOL, OUTSIDE[4]]
    again = [asked_from(lab, "client", FAR[4], "--interface", one) for one in reversed(DYNAMIC)]
    assert again == [OUTSIDE[4], *reversed(POOL)]
    wait_until(
        lambda: not session_ids(firewall, source=DYNAMIC[0]), "its sessions are over", seconds=10
    )
    assert asked_from(lab, "client", SERVER[4], "--interface", DYNAMIC[2]) == POOL[0]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_log_has_both_sides(lab: Lab, firewall: Firewall, family: int) -> None:
    port = 42000 + family
    seen = shell(
        lab,
        "client",
        f"curl -sf --local-port {port} 'http://[{SERVER[6]}]:{ASK_PORT}'"
        if family == 6
        else f"curl -sf --local-port {port} http://{SERVER[4]}:{ASK_PORT}",
    )
    logged: list[object] = []

    def is_logged() -> bool:
        text = firewall.lab.path(Path("/run/sixtuple/traffic.log")).read_text()
        logged[:] = [line for line in text.splitlines() if f'"sport":{port},' in line]
        return bool(logged)

    wait_until(is_logged, "the entry", seconds=10)
    (line,) = map(str, logged)
    assert f'"natsrc":"{OUTSIDE[family]}"' in line
    assert f'"natsport":{seen.rpartition(" ")[2]},' in line
    assert any(entry.sport == port and entry.rule == "out" for entry in traffic_log(firewall))


# ---- ssh and DNS ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ssh(lab: Lab) -> Iterator[list[str]]:
    """The command of a client; its server runs on server, dmz and client2."""
    folder = lab.path(STATE)
    inside = str(STATE)
    for name in ("host", "user"):
        key = f"ssh-keygen -q -t ed25519 -N '' -f {inside}/{name}_key"
        shell(lab, "server", key, f"cp {inside}/{name}_key.pub {inside}/{name}_known")
    shell(lab, "server", "mkdir -p /run/sshd")
    (folder / "sshd_config").write_text(
        f"Port {SSH_PORT}\nHostKey {inside}/host_key\nPidFile none\nUsePAM no\nStrictModes no\n"
        f"AuthorizedKeysFile {inside}/user_known\nPasswordAuthentication no\n"
        "PermitRootLogin yes\n"
    )
    # in a user namespace there is nobody whom a server run by root could become
    user = [] if os.geteuid() == 0 else ["unshare", "--user", f"--map-user={os.geteuid()}"]
    command = [*user, "/usr/sbin/sshd", "-D", "-e", "-f", f"{inside}/sshd_config"]
    with contextlib.ExitStack() as stack:
        for host in ("server", "dmz"):
            server = lab.popen(host, command)
            stack.callback(kill, server)
            assert server.stdout
            assert "listening" in server.stdout.readline()
        yield [
            *user,
            *("ssh", "-F", "none", "-p", str(SSH_PORT), "-i", f"{inside}/user_key"),
            *("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"),
            *("-o", "BatchMode=yes", "-o", "ConnectTimeout=5", "-o", "LogLevel=ERROR"),
        ]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("host", "target", "seen"),
    [
        pytest.param("client", SERVER, OUTSIDE, id="source, out"),
        pytest.param("dmz", SERVER, DMZ_OUTSIDE, id="static, out"),
        pytest.param("far", DMZ_OUTSIDE, FAR, id="static, in"),
    ],
)
@pytest.mark.usefixtures("firewall")
def test_ssh(
    lab: Lab, ssh: list[str], host: str, target: dict[int, str], seen: dict[int, str], family: int
) -> None:
    done = lab.run(host, [*ssh, target[family], "echo $SSH_CONNECTION; seq 200000 | cksum"])
    assert done.returncode == 0, done.stdout + done.stderr
    connection, sum_of_all = done.stdout.splitlines()
    assert connection.split()[0] == seen[family]
    assert sum_of_all == shell(lab, host, "seq 200000 | cksum").strip()


@pytest.mark.parametrize("transport", ["+notcp", "+tcp"])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.usefixtures("firewall")
def test_dns(lab: Lab, family: int, transport: str) -> None:
    record = "A" if family == 4 else "AAAA"
    dig = ["dig", "+short", "+time=2", "+tries=2", transport, f"@{SERVER[family]}"]
    done = lab.run("client", [*dig, WEB_NAME, record])
    assert done.stdout.strip() == SERVER[family], done.stdout


# ---- traceroute ----------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "kind", [("-U",), ("-I",), ("-T", "-p", str(ASK_PORT))], ids=["UDP", "ICMP", "TCP"]
)
@pytest.mark.usefixtures("firewall")
def test_traceroute_shows_every_hop(lab: Lab, kind: tuple[str, ...], family: int) -> None:
    command = ["traceroute", f"-{family}", "-n", "-q", "1", "-w", "2", *kind, FAR[family]]
    done = lab.run("client", command)
    hops = re.findall(r"^ *(\d+) +(\S+) ", done.stdout, re.MULTILINE)
    router = {SERVER[family], "2001:db8:2::20"} if family == 6 else {SERVER[4]}
    assert [number for number, _ in hops] == ["1", "2", "3"], done.stdout
    assert (hops[0][1], hops[2][1]) == (GATEWAY[family], FAR[family])
    assert hops[1][1] in router


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.usefixtures("firewall")
def test_traceroute_from_outside_shows_no_inner_address(lab: Lab, family: int) -> None:
    gateway = {4: "203.0.113.1", 6: "2001:db8:2::1"}[family]
    for target, kind in ((DMZ_OUTSIDE, ("-I",)), (WEB, ("-T", "-p", "80"))):
        command = ["traceroute", f"-{family}", "-n", "-q", "1", "-w", "2", *kind, target[family]]
        done = lab.run("far", command)
        hops = re.findall(r"^ *\d+ +(\S+) ", done.stdout, re.MULTILINE)
        assert hops[1:] == [gateway, target[family]], done.stdout


# ---- path MTU ------------------------------------------------------------------------------------

NARROW_WAYS = [
    pytest.param(NARROW, NARROW_MTU, id="1200 bytes behind a router"),
    pytest.param(FAR[4], SMALL_MTU, id="1280 bytes behind a router"),
    pytest.param(FAR[6], SMALL_MTU, id="IPv6, behind a router"),
    pytest.param(DMZ[4], SMALL_MTU, id="at the firewall's own port"),
    pytest.param(DMZ[6], SMALL_MTU, id="IPv6, at the firewall's own port"),
]


@pytest.fixture
def unaware(lab: Lab) -> None:
    """The client knows of no small link."""
    shell(lab, "client", "ip route flush cache; ip -6 route flush cache")


@pytest.mark.parametrize(("target", "mtu"), NARROW_WAYS)
@pytest.mark.usefixtures("firewall", "unaware")
def test_a_transfer_over_a_small_link(lab: Lab, target: str, mtu: int) -> None:
    done = lab.run("client", [PYTHON, "-c", PUSH, target, str(ASK_PORT)], timeout=20)
    assert done.returncode == 0, done.stdout + done.stderr
    await_route(lab, "client", target, mtu)


@pytest.mark.parametrize(("target", "mtu"), NARROW_WAYS)
@pytest.mark.usefixtures("firewall", "unaware")
def test_a_datagram_that_must_stay_whole_is_an_error(lab: Lab, target: str, mtu: int) -> None:
    done = lab.run("client", [PYTHON, "-c", DATAGRAM, target, "9", "1400", "1"])
    assert done.stdout == "EMSGSIZE\n", done.stdout + done.stderr
    await_route(lab, "client", target, mtu)


@pytest.mark.parametrize(("target", "mtu"), NARROW_WAYS)
@pytest.mark.usefixtures("firewall", "unaware")
def test_the_largest_ping(lab: Lab, target: str, mtu: int) -> None:
    fits = mtu - (48 if ":" in target else 28)
    for size, status in ((fits, 0), (fits + 1, 1)):
        ping = ["ping", "-n", "-c", "1", "-W", "1", "-M", "do", "-s", str(size), target]
        assert lab.run("client", ping).returncode == status
    await_route(lab, "client", target, mtu)


@pytest.mark.usefixtures("firewall", "unaware")
def test_what_may_be_fragmented_is_at_the_firewalls_own_port(lab: Lab) -> None:
    with serving(lab, "dmz", "numbers", DMZ[4], "900") as receiver:
        lab.run("client", [PYTHON, "-c", DATAGRAM, DMZ[4], "900", "1400", "0"])
        assert receiver.communicate("\n", timeout=10)[0] == "1\n"
    assert f"mtu {SMALL_MTU}" not in shell(lab, "client", f"ip route get {DMZ[4]}")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.usefixtures("firewall")
def test_a_closed_port_is_an_error_at_once(lab: Lab, family: int) -> None:
    done = lab.run("client", [PYTHON, "-c", DATAGRAM, FAR[family], "9", "10", "0"])
    assert done.stdout == "ECONNREFUSED\n"


# ---- a pool that ends ----------------------------------------------------------------------------

# from every port, in one socket; the checksum of UDP over IPv4 may be left out
EVERY_PORT = """
import socket, struct, sys, time
source, target, port, first, last = *sys.argv[1:3], *map(int, sys.argv[3:])
with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP) as raw:
    raw.bind((source, 0))
    raw.connect((target, 0))
    for sport in range(first, last + 1):
        raw.send(struct.pack("!4H", sport, port, 8 + 4, 0) + struct.pack("!I", sport))
        if sport % 64 == 0:
            time.sleep(0.005)
"""
POOL_PORTS = 65535 - 1024 + 1


def test_a_pool_ends_and_is_there_again(lab: Lab, firewall: Firewall) -> None:
    failed = Counted(firewall, "nat_port_alloc_fail")
    installed = Counted(firewall, "session_installed")
    sent = 65535

    def send(first: int, last: int) -> None:
        words = [BUSY, SERVER[4], "900", str(first), str(last)]
        done = lab.run("client", [PYTHON, "-c", EVERY_PORT, *words], timeout=60)
        assert done.returncode == 0, done.stderr

    with serving(lab, "server", "numbers", SERVER[4], "900") as receiver:
        send(1, sent)
        wait_until(
            lambda: installed.by_now() + failed.by_now() >= sent, "all are decided", seconds=30
        )
        assert (installed.by_now(), failed.by_now()) == (POOL_PORTS, sent - POOL_PORTS)
        assert receiver.communicate("\n", timeout=20)[0] == f"{POOL_PORTS}\n"
    assert f"{ONE_ADDRESS}" in firewall.ask("show running nat-rule-ippool rule busy")
    firewall.ask(f"clear session all filter source {BUSY}")
    with serving(lab, "server", "numbers", SERVER[4], "900") as receiver:
        send(1, 1)
        wait_until(lambda: installed.by_now() > POOL_PORTS, "one more", seconds=10)
        assert receiver.communicate("\n", timeout=20)[0] == "1\n"
    assert asked_from(lab, "client", SERVER[4], "--interface", BUSY) == ONE_ADDRESS


# ---- a commit under traffic ----------------------------------------------------------------------

# each end of a connection says what it hears once its standard input has a line
END = """
import errno, socket, sys
address, port, listens = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "listen"
family = socket.AF_INET6 if ":" in address else socket.AF_INET
if listens:
    server = socket.create_server((address, port), family=family)
    print("ready", flush=True)
    peer = server.accept()[0]
else:
    peer = socket.create_connection((address, port), timeout=5)
print("connected", flush=True)
peer.settimeout(3)
for line in sys.stdin:
    try:
        peer.sendall(b"x")
        print("heard" if peer.recv(1) else "closed", flush=True)
    except OSError as error:
        print(errno.errorcode.get(error.errno or 0, "nothing"), flush=True)
"""


class Connection:
    """Of the client with a server, both of them ours."""

    def __init__(self, lab: Lab, host: str, address: str, port: int) -> None:
        words = [PYTHON, "-c", END, address, str(port)]
        self._server = lab.popen(host, [*words, "listen"], stdin=subprocess.PIPE)
        assert self._says(self._server) == "ready"
        self._client = lab.popen("client", [*words, "connect"], stdin=subprocess.PIPE)
        assert [self._says(end) for end in self._ends] == ["connected"] * 2

    @property
    def _ends(self) -> tuple[subprocess.Popen[str], ...]:
        return self._client, self._server

    @staticmethod
    def _says(end: subprocess.Popen[str]) -> str:
        assert end.stdout
        return end.stdout.readline().strip()

    def hears(self) -> tuple[str, ...]:
        """What the client and the server hear from each other."""
        for end in self._ends:
            assert end.stdin
            end.stdin.write("\n")
            end.stdin.flush()
        return tuple(self._says(end) for end in self._ends)

    def close(self) -> None:
        for end in self._ends:
            kill(end)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_commit_ends_what_it_denies_and_nothing_else(
    lab: Lab, firewall: Firewall, family: int, tmp_path: Path
) -> None:
    reset = "set rulebase security rules no from trust to untrust source any"
    reset += f" destination {SERVER[family]} service any action reset-both\n"
    first = "set rulebase security rules out "
    path = tmp_path / "new.set"
    path.write_text(CONFIG.replace(first, reset + first, 1))
    with contextlib.ExitStack() as stack:
        denied = Connection(lab, "server", SERVER[family], 7100)
        stack.callback(denied.close)
        kept = Connection(lab, "far", FAR[family], 7100)
        stack.callback(kept.close)
        assert denied.hears() == kept.hears() == ("heard", "heard")
        said = firewall.ask(f"load config from {path}", "commit")
        try:
            assert "committed successfully" in said
            assert denied.hears() == ("ECONNRESET", "ECONNRESET")
            assert kept.hears() == ("heard", "heard")
        finally:
            firewall.ask(f"load config from {firewall.config}", "commit")
        assert kept.hears() == ("heard", "heard")
    assert asked_from(lab, "client", SERVER[family]) == OUTSIDE[family]


# ---- answers for addresses that nobody has -------------------------------------------------------


@pytest.mark.parametrize(
    "address", [WEB[4], DMZ_OUTSIDE[4], POOL[1], ONE_ADDRESS, WEB[6], OUTSIDE[6]]
)
@pytest.mark.usefixtures("firewall")
def test_the_firewall_answers_for_translated_addresses(lab: Lab, address: str) -> None:
    family = ip_address(address).version
    shell(lab, "server", f"ip -{family} neighbor flush dev eth0")
    lab.run("server", ["ping", "-n", "-c", "1", "-W", "1", address])
    shown = shell(lab, "server", f"ip neighbor show {address} dev eth0")
    port = shell(lab, "firewall", "cat /sys/class/net/eth2/address").strip()
    assert f"lladdr {port}" in shown


@pytest.mark.usefixtures("firewall")
def test_the_firewall_answers_for_no_other_address(lab: Lab) -> None:
    lab.run("server", ["ping", "-n", "-c", "1", "-W", "1", "203.0.113.99"])
    assert "lladdr" not in shell(lab, "server", "ip neighbor show 203.0.113.99 dev eth0")


def test_nobody_inside_is_named_outside(lab: Lab, firewall: Firewall) -> None:
    """What the server's link carries while everybody does a bit of everything."""
    with contextlib.ExitStack() as stack:
        capture = lab.popen("server", ["tcpdump", "--immediate-mode", "-lnn", "-i", "eth0"])
        stack.callback(kill, capture)
        assert capture.stdout
        while "listening" not in capture.stdout.readline():
            pass
        for family in (4, 6):
            asked_from(lab, "client", FAR[family])
            lab.run("client", ["ping", "-n", "-c", "1", "-W", "1", FAR[family]])
            lab.run("client", [PYTHON, "-c", DATAGRAM, FAR[family], "9", "1400", "1"])
            # errors of a host inside about what it is sent, and of the firewall about its answers
            lab.run("far", [PYTHON, "-c", DATAGRAM, DMZ_OUTSIDE[family], "9", "10", "0"])
            lab.run("far", ["traceroute", "-n", "-q", "1", "-w", "1", DMZ_OUTSIDE[family]])
            asked_from(lab, "far", WEB[family], port=80)
        os.killpg(capture.pid, 2)
        said = capture.communicate(timeout=10)[0]
    assert OUTSIDE[4] in said
    assert OUTSIDE[6] in said
    assert DMZ_OUTSIDE[6] in said
    for address in (*CLIENT.values(), *CLIENT2.values(), *DMZ.values()):
        assert not re.search(rf"(?<![\w.:]){re.escape(address)}(?![\w:])", said), said


# ---- a replay of what the client saw -------------------------------------------------------------


def test_a_capture_of_the_clients_side_replays(
    lab: Lab, firewall: Firewall, tmp_path: Path
) -> None:
    inside = STATE / "client.pcap"
    with contextlib.ExitStack() as stack:
        command = ["tcpdump", "-U", "-B", "65536", "-nn", "-i", "eth0", "-w", str(inside)]
        hosts = f"(host {CLIENT[4]} or host {CLIENT[6]}) and not arp"
        capture = lab.popen("client", [*command, f"{hosts} and not (icmp6[0] >= 133)"])
        stack.callback(kill, capture)
        assert capture.stdout
        while "listening" not in capture.stdout.readline():
            pass
        shell(lab, "client", "ip route flush cache; ip -6 route flush cache")
        for family in (4, 6):
            bracketed = {4: FAR[4], 6: f"[{FAR[6]}]"}[family]
            shell(lab, "client", f"curl -sf http://{bracketed}:{ASK_PORT}")
            shell(lab, "client", f"traceroute -n -q 1 -N 1 -I {FAR[family]}")
            lab.run("client", [PYTHON, "-c", DATAGRAM, FAR[family], "9", "10", "0"])
            lab.run("client", [PYTHON, "-c", PUSH, FAR[family], str(ASK_PORT)])
            asked_from(lab, "client", WEB[family], port=80)
        # what was written before this is written, too
        shell(lab, "client", f"ping -n -c 1 -p {b'last'.hex()} {CLIENT2[4]}")
        wait_until(
            lambda: b"lastlast" in lab.path(inside).read_bytes(),
            "the capture has the last packet",
            seconds=10,
        )
        os.killpg(capture.pid, 2)
        capture.wait(10)
    path = tmp_path / "client.pcap"
    path.write_bytes(lab.path(inside).read_bytes())
    done = replay(path, "--config", firewall.config, "--json")
    assert done.returncode == 0, done.stderr
    entries, summary = records(done.stdout)
    seen = {(entry["dst"], entry["proto"], entry["natsrc"], entry["dport"]) for entry in entries}
    for family, icmp in ((4, "icmp"), (6, "ipv6-icmp")):
        assert (FAR[family], "tcp", OUTSIDE[family], ASK_PORT) in seen
        assert (FAR[family], "udp", OUTSIDE[family], 9) in seen
        assert any(one[:3] == (FAR[family], icmp, OUTSIDE[family]) for one in seen)
    assert len(entries) + 3 == summary["sessions"]  # within trust, which nothing logs
    assert [
        entry
        for entry in entries
        if entry["proto"] == "tcp" and entry["session_end_reason"] != "tcp-fin"
    ] == []
    assert {entry["action"] for entry in entries} == {"allow"}
    drops = {name: by for name, by in summary["counters"].items() if by and "drop" in name}
    # the hop that is the firewall itself
    assert (drops, summary["dropped"]) == ({}, summary["counters"]["flow_fwd_l3_ttl_zero"])
