"""Connections of real TCPs that begin with a SYN cookie, while a flood of SYNs goes on.

tests/support/nat_lab.py draws the lab: every connection is translated, and each zone answers all
SYNs with cookies. In the other labs the two hosts are in one network, with bridged ports between.
"""

import concurrent.futures
import contextlib
import subprocess
from collections.abc import Iterator

import pytest

from tests.netns.test_queue import resident_bytes
from tests.support.bridged import RULE, TARGETS, VLAN, WIRE
from tests.support.labs import FAMILIES, PYTHON, Counted, counters, session_ids
from tests.support.nat_lab import CLIENT, CONFIG, FAR, SERVER, nat_lab, shell
from vm.firewall import Firewall
from vm.namespaces import Lab, kill
from vm.waiting import wait_until

PORT = 7000
CLOSED = 7001
MEGABYTES = 100
FEW = 8

PROFILE = "set network profiles zone-protection-profile cookies flood tcp-syn {}\n"
COOKIES = PROFILE.format("enable yes") + PROFILE.format(
    "syn-cookies alarm-rate 1000000 activate-rate 0 maximal-rate 1000000"
)
BOUND = "set zone {} network zone-protection-profile cookies\n"

# Speaks first ("hello"), then takes orders of 9 bytes: megabytes to take or to send. Each megabyte
# begins with its number, and who has sent them all gets or gives the digest.
SERVE = """
import hashlib, socket, struct, sys, threading
def blocks(count):
    for number in range(count):
        yield struct.pack("!Q", number) + bytes(range(251)) * 4177
def speak(peer):
    with peer:
        peer.sendall(b"hello")
        order = peer.recv(9, socket.MSG_WAITALL)
        if len(order) < 9:
            return
        count, digest = int.from_bytes(order[1:]), hashlib.sha256()
        if order[:1] == b"<":
            missing = sum(map(len, blocks(1))) * count
            while missing and (data := peer.recv(min(missing, 1 << 17))):
                digest.update(data)
                missing -= len(data)
        else:
            for block in blocks(count):
                peer.sendall(block)
                digest.update(block)
        peer.sendall(digest.digest())
        peer.shutdown(socket.SHUT_WR)
        peer.recv(1)
with socket.create_server(("::", int(sys.argv[1])), family=socket.AF_INET6, backlog=128,
                          dualstack_ipv6=True) as server:
    print("ready", flush=True)
    while True:
        threading.Thread(target=speak, args=server.accept()[:1], daemon=True).start()
"""
ASK = (
    SERVE.partition("def speak")[0]
    + """
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=5) as peer:
    assert peer.recv(5, socket.MSG_WAITALL) == b"hello"
    order, count, digest = sys.argv[3].encode(), int(sys.argv[4]), hashlib.sha256()
    if count:
        peer.settimeout(20)
        peer.sendall(order + count.to_bytes(8))
        missing = sum(map(len, blocks(1))) * count
        if order == b"<":
            for block in blocks(count):
                peer.sendall(block)
                digest.update(block)
        else:
            while missing and (data := peer.recv(min(missing, 1 << 17))):
                digest.update(data)
                missing -= len(data)
        assert peer.recv(32, socket.MSG_WAITALL) == digest.digest()
        wanted = hashlib.sha256()
        for block in blocks(count):
            wanted.update(block)
        assert wanted.digest() == digest.digest()
"""
)


def ask_while_its_syn_is_lost(lab: Lab, firewall: Firewall, address: str) -> str:
    """As `ask`: the client has nothing to send, and is probed until the SYN gets through."""
    tool = "ip6tables" if ":" in address else "iptables"
    loss = f"{tool} -{{}} INPUT -p tcp --syn -j DROP"
    probed = Counted(firewall, "flow_dos_syncookie_probe")
    shell(lab, "server", loss.format("I"))
    with concurrent.futures.ThreadPoolExecutor(1) as threads:
        asked = threads.submit(ask, lab, address)
        try:
            wait_until(lambda: probed.by_now() > 0, "the client is probed", seconds=10)
        finally:
            shell(lab, "server", loss.format("D"))
        return asked.result()


@contextlib.contextmanager
def serving(lab: Lab, host: str) -> Iterator[None]:
    process = lab.popen(host, [PYTHON, "-c", SERVE, str(PORT)], stderr=subprocess.STDOUT)
    try:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        yield
    finally:
        kill(process)


def ask(lab: Lab, address: str, order: str = "<", megabytes: int = 0, port: int = PORT) -> str:
    """What has failed; "" where everything has arrived."""
    program = [PYTHON, "-c", ASK, address, str(port), order, str(megabytes)]
    return lab.run("client", program, timeout=90).stderr


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with nat_lab() as lab, serving(lab, "server"), serving(lab, "far"):
        yield lab


@pytest.fixture(scope="module")
def config() -> str:
    return CONFIG + COOKIES + BOUND.format("trust") + BOUND.format("untrust")


@pytest.fixture
def flood(lab: Lab, firewall: Firewall) -> Iterator[None]:
    """SYNs from anybody by the untrusted side, a minute of them at most."""
    sent = Counted(firewall, "flow_dos_syncookie_sent")
    syns = ["hping3", "-q", "-S", "-p", "80", "--rand-source", "-i", "u300", "-c", "200000"]
    process = lab.popen("server", [*syns, "203.0.113.80"], stderr=subprocess.STDOUT)
    try:
        wait_until(lambda: sent.by_now() > 100, "the flood is answered with cookies", seconds=10)
        yield
    finally:
        kill(process)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("order", ["<", ">"], ids=["to the server", "to the client"])
@pytest.mark.usefixtures("flood")
def test_a_large_transfer(lab: Lab, firewall: Firewall, family: int, order: str) -> None:
    asked, came = Counted(firewall, "flow_undecided"), Counted(firewall, "flow_dos_syncookie_sent")
    assert ask(lab, SERVER[family], order, MEGABYTES) == ""
    assert asked.by_now() < came.by_now() / 10  # the flood is no business of Python's


@pytest.mark.usefixtures("flood")
def test_memory_does_not_grow(firewall: Firewall) -> None:
    sent = Counted(firewall, "flow_dos_syncookie_sent")
    [dataplane] = firewall.dataplanes()
    wait_until(lambda: sent.by_now() > 2_000, "buffers have been used", seconds=20)
    before = resident_bytes(dataplane)
    wait_until(lambda: sent.by_now() > 8_000, "the flood goes on", seconds=40)
    assert resident_bytes(dataplane) - before < 1 << 20  # 175 bytes a SYN


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.usefixtures("flood")
def test_new_connections_during_a_flood(lab: Lab, family: int) -> None:
    assert [ask(lab, SERVER[family]) for _ in range(20)] == [""] * 20


def test_a_session_says_how_it_began(lab: Lab, firewall: Firewall) -> None:
    assert ask(lab, SERVER[4]) == ""
    session = session_ids(firewall, source=CLIENT[4], destination_port=PORT)[-1]
    assert "session via syn-cookies              : True" in firewall.ask(
        f"show session id {session}"
    )


# none of them, then all of them, at either end
OFF = {
    "timestamps": "tcp_timestamps",
    "window scaling": "tcp_window_scaling",
    "SACK": "tcp_sack",
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("host", ["client", "server"])
@pytest.mark.parametrize("names", [*([name] for name in OFF), list(OFF)], ids=" and ".join)
@pytest.mark.usefixtures("firewall")
def test_an_end_without_an_option(lab: Lab, host: str, names: list[str], family: int) -> None:
    switches = [f"/proc/sys/net/ipv4/{OFF[name]}" for name in names]
    shell(lab, host, *(f"echo 0 >{switch}" for switch in switches))
    try:
        for order in "<>":
            assert ask(lab, SERVER[family], order, FEW) == ""
    finally:
        shell(lab, host, *(f"echo 1 >{switch}" for switch in switches))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.usefixtures("firewall")
def test_packets_that_get_lost(lab: Lab, family: int) -> None:
    """SACK blocks of either side have to fit, or the rest comes by timeouts alone."""
    tool = {4: "iptables", 6: "ip6tables"}[family]
    loss = f"{tool} -{{}} INPUT -p tcp -m statistic --mode random --probability 0.02 -j DROP"
    hosts = ("client", "server")
    for host in hosts:
        shell(lab, host, loss.format("I"))
    try:
        for order in "<>":
            assert ask(lab, SERVER[family], order, FEW) == ""
    finally:
        for host in hosts:
            shell(lab, host, loss.format("D"))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_server_that_speaks_first_and_misses_the_syn(
    lab: Lab, firewall: Firewall, family: int
) -> None:
    assert ask_while_its_syn_is_lost(lab, firewall, SERVER[family]) == ""


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.usefixtures("firewall")
def test_a_smaller_mtu_on_the_way(lab: Lab, family: int) -> None:
    """What the router behind the server tells of segments too long reaches who sent them."""
    for order in "<>":
        assert ask(lab, FAR[family], order, FEW) == ""


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.usefixtures("firewall")
def test_a_closed_port(lab: Lab, family: int) -> None:
    """The client is connected before the server says no."""
    assert "ConnectionResetError" in ask(lab, SERVER[family], port=CLOSED)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_client_that_closes_at_once(lab: Lab, firewall: Firewall, family: int) -> None:
    program = (
        "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2]))).close()"
    )
    shell(lab, "client", f"{PYTHON} -c '{program}' {SERVER[family]} {PORT}")
    wait_until(
        lambda: not session_ids(firewall, source=CLIENT[family], destination_port=PORT),
        "its session is over",
        seconds=10,
    )


def test_nothing_but_cookies_opens_a_connection(firewall: Firewall) -> None:
    """What the tests above have done was done with cookies, and none of theirs was refused."""
    counted = counters(firewall)
    assert counted["flow_dos_syncookie_ack_rcv"] >= 20
    assert "flow_dos_syncookie_full" not in counted


# ---- bridged ports -------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[WIRE, VLAN], ids=["virtual-wire", "layer2"])
def bridged(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Lab, Firewall]]:
    with Lab.start(lambda _: None) as lab, serving(lab, "server"):
        for host, number in (("client", 1), ("server", 2)):
            for address in (f"10.1.0.{number}/24", f"2001:db8:a::{number}/64"):
                shell(lab, host, f"ip addr replace {address} dev eth0 nodad")
        config = tmp_path_factory.mktemp("bridged") / "config.set"
        config.write_text(request.param + RULE + COOKIES + BOUND.format("left"))
        firewall = Firewall(lab, config)
        firewall.start()
        yield lab, firewall
        assert counters(firewall)["flow_dos_syncookie_ack_rcv"] > 0
        firewall.kill()


@pytest.mark.parametrize("family", list(TARGETS))
def test_between_bridged_ports(bridged: tuple[Lab, Firewall], family: str) -> None:
    lab, firewall = bridged
    target = TARGETS[family][1]
    for order in "<>":
        assert ask(lab, target, order, FEW) == ""
    assert "ConnectionResetError" in ask(lab, target, port=CLOSED)
    assert ask_while_its_syn_is_lost(lab, firewall, target) == ""
