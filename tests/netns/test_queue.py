"""The kernel's queue: taken or forbidden, too full, too slow, and changed while packets flow."""

import contextlib
import json
import os
import re
import select
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dataplane.edges import NAMES
from dataplane.edges.nfqueue import NfqueueEdge
from dataplane.engine import Engine
from native import Nfqueue
from tests.support.labs import PYTHON, Counted, counters, firewall_config, session_ids
from tests.support.packets import (
    ALLOW,
    FAMILIES,
    HASH_KEY,
    NS,
    TRUST,
    UNTRUST,
    routes,
    snapshot,
    tcp,
    udp,
)
from tests.support.private import in_namespace
from tests.support.transfers import PORT, Transfer
from tests.support.wires import QUEUE, Wire, finished, forwarded, unfinished, wired_firewall
from vm import traffic
from vm.firewall import Firewall
from vm.namespaces import Lab, kill
from vm.topology import FIREWALL, LINKS, SERVER, SERVER6
from vm.waiting import wait_until


def now_ns() -> int:
    return time.monotonic_ns()  # noqa: TID251 - these tests are the edge


# ---- a queue that cannot be had ------------------------------------------------------------------


def dataplane(io: str, name: str) -> list[str]:
    where = ["--socket", f"/run/{name}.sock", "--log", f"/run/{name}.log"]
    where += ["--threat-log", f"/run/{name}.threats"]
    return [PYTHON, "-m", "dataplane.process", *where, "--io", io, "--queue", str(QUEUE)]


def refusal(command: list[str]) -> str:
    """The one line of a command that must not start."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done
    return done.stderr


@contextmanager
def holding_the_queue(holder: str) -> Iterator[None]:
    if holder == "another program":
        queue = Nfqueue(QUEUE, None, mode="accept")
        yield
        queue.close()
        return
    process = subprocess.Popen(dataplane(holder, "first"))
    try:
        wait_until(Path("/run/first.sock").is_socket, "the first one listens", seconds=20)
        wait_until(is_bound, "the first one has the queue", seconds=20)
        yield
        process.terminate()
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()


def queue_line(process: int | str = "self") -> list[int]:
    """What the kernel says of the queue: number, holder, waiting, ... (see queue_counters.py)."""
    lines = Path(f"/proc/{process}/net/netfilter/nfnetlink_queue").read_text().splitlines()
    rows = ([int(word) for word in line.split()] for line in lines)
    return next((row for row in rows if row[0] == QUEUE), [])


def is_bound() -> bool:
    return bool(queue_line())


@pytest.mark.parametrize("holder", ["another program", *NAMES])
@pytest.mark.parametrize("io", NAMES)
@in_namespace
def test_a_queue_that_is_taken(io: str, holder: str) -> None:
    with holding_the_queue(holder):
        said = refusal(dataplane(io, "second"))
        assert said.startswith(f"dataplane: queue {QUEUE}")
        assert "another program" in said
        assert "--queue" in said
    if io == "native":
        assert "CAP_NET" not in said


@pytest.mark.parametrize("capability", ["net_admin", "net_raw"])
@pytest.mark.parametrize("io", NAMES)
@in_namespace
def test_without_a_capability(io: str, capability: str) -> None:
    without = ["setpriv", f"--bounding-set=-{capability}"]
    said = refusal([*without, *dataplane(io, "one")])
    assert f"CAP_{capability.upper()}" in said
    assert "root" in said
    if io == "native":
        assert "another program" not in said


@in_namespace
def test_a_queue_that_was_given_back() -> None:
    for io in (*NAMES, *NAMES):
        with holding_the_queue(io):
            assert is_bound()
        assert not is_bound()


# ---- a loop of our own, with wires at its ports --------------------------------------------------


@contextmanager
def looping(queue: Nfqueue) -> Iterator[None]:
    thread = threading.Thread(target=queue.run)
    thread.start()
    try:
        yield
    finally:
        queue.stop()
        thread.join()
        queue.close()


def await_packets(wire: Wire, number: int) -> list[bytes]:
    wait_until(lambda: len(wire.seen()) >= number, f"{number} packets", seconds=10)
    return wire.packets()


@in_namespace
def test_known_sessions_flow_while_the_slowpath_hangs() -> None:
    with wired_firewall() as wires:
        engine = Engine(hash_key=HASH_KEY, now_ns=now_ns())
        engine.configure(snapshot(ALLOW))
        engine.set_routes(routes())
        edge = NfqueueEdge(QUEUE, engine)
        edge.configured()
        out = wires[UNTRUST]

        def served(*packets: bytes) -> list[bytes]:
            """What comes out when the slowpath does its work."""
            out.forget()
            for packet in packets:
                wires[TRUST].send(packet)

            def are_out() -> bool:
                if select.select([edge], [], [], 0.1)[0]:
                    edge.run_once(now_ns())
                return len(out.seen()) == len(packets)

            wait_until(are_out, "packets of sessions that are allowed", seconds=10)
            return out.packets()

        assert len(served(udp(), udp(6))) == 2
        out.forget()
        unknown = [udp(family, sport=port) for family in FAMILIES for port in range(1, 6)]
        for packet in unknown:
            wires[TRUST].send(packet)
        sent = 0
        while engine.counters()["flow_undecided_timeout"] < len(unknown):  # for a second
            for packet in (udp(), udp(6)):
                wires[TRUST].send(packet)
            sent += 2
            assert len(await_packets(out, sent)) == sent
        assert sent > 20
        assert engine.counters()["flow_undecided_timeout"] == len(unknown)
        assert engine.stats().undecided == 0
        assert len(served(*unknown)) == len(unknown)
        edge.close()


@pytest.mark.parametrize("fail_open", [False, True])
@in_namespace
def test_what_a_full_queue_does(fail_open: bool) -> None:
    with wired_firewall(fail_open=True) as wires:
        queue = Nfqueue(QUEUE, None, mode="accept", queue_packets=8, fail_open=fail_open)
        for setting in (fail_open, not fail_open, fail_open):
            queue.set_fail_open(setting)
            before, passed = queue_line()[5], len(wires[UNTRUST].seen())
            full = queue_line()[2] == 8
            for number in range(20):
                wires[TRUST].send(udp(sport=number + 1))
            too_many = 20 if full else 12
            if setting:
                await_packets(wires[UNTRUST], passed + too_many)
            assert queue_line()[2] == 8
            assert queue_line()[5] - before == (0 if setting else too_many)
            assert len(wires[UNTRUST].seen()) - passed == (too_many if setting else 0)
        passed = len(wires[UNTRUST].seen())
        with looping(queue):
            await_packets(wires[UNTRUST], passed + 8)  # the ones that waited all the time
        assert queue_line() == []


@pytest.mark.parametrize("family", FAMILIES)
@in_namespace
def test_rewritten_packets_have_right_checksums(family: int) -> None:
    with wired_firewall(fail_open=True) as wires:
        data = bytes(range(256)) * 234  # 59,904 bytes
        with looping(Nfqueue(QUEUE, None, mode="rewrite")):
            packets = [
                udp(family, payload=b""),
                udp(family, payload=b"odd"),
                udp(family, payload=data[:1400]),
                tcp("S", family),
                tcp("PA", family, payload=data[:1]),
                tcp("A", family, payload=data[:1448]),
            ]
            for packet in packets:
                wires[TRUST].send(packet)
                wires[TRUST].send_unfinished(packet)
            twice = [forwarded(packet) for packet in packets for _ in range(2)]
            assert await_packets(wires[UNTRUST], len(twice)) == twice
            assert not any(seen.is_unfinished for seen in wires[UNTRUST].seen())
            wires[UNTRUST].forget()
            # the kernel makes the checksums of segments anew, or leaves them to the next one
            wires[TRUST].send_unfinished(tcp("A", family, payload=data), segment_bytes=1448)
            await_bytes(wires[UNTRUST], len(data))
            headers = 40 if family == 4 else 60
            assert b"".join(packet[headers:] for packet in wires[UNTRUST].packets()) == data
            for packet, is_unfinished in wires[UNTRUST].seen():
                assert packet == (unfinished if is_unfinished else finished)(packet)


def await_bytes(wire: Wire, number: int) -> None:
    """Waits for so many bytes of TCP payload."""

    def came() -> int:
        return sum(len(packet) - (60 if packet[0] >> 4 == 6 else 40) for packet in wire.packets())

    wait_until(lambda: came() >= number, f"{number} bytes", seconds=10)
    assert came() == number


@pytest.mark.parametrize("mode", ["accept", "rewrite"])
@in_namespace
def test_the_longest_packets(mode: str) -> None:
    with wired_firewall(fail_open=True) as wires:
        queue = Nfqueue(QUEUE, None, mode=mode)
        with looping(queue):
            for packets, size, cut in ((1, 65_531, 0), (2, 65_532, 1), (3, 65_575, 2)):
                wires[UNTRUST].forget()
                longest = tcp("A", 6, payload=bytes(size - 60))
                wires[TRUST].send_unfinished(longest, segment_bytes=1448)
                await_bytes(wires[UNTRUST], size - 60)
                assert queue.stats() == (packets, packets, 0, 0, cut, 0, 0)


# ---- the firewall in its lab ---------------------------------------------------------------------

UDP_PORT, RESET_PORT = 5002, 5003

_RULE = "set rulebase security rules {} from trust to untrust source any destination servers"
_RULES = "\n".join(
    (
        "",
        f"set service load-tcp protocol tcp port {PORT}",
        "set service load-udp protocol udp port 1-65535",
        f"set service to-reset protocol tcp port {RESET_PORT}",
        f"{_RULE.format('load')} application any service [ load-tcp load-udp ] action allow",
        f"{_RULE.format('reset')} application any service to-reset action reset-client",
        "",
    )
)
_LOAD = [PYTHON, "-m", "tests.support.load"]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = firewall_config(tmp_path_factory.mktemp("queue") / "config.set")
    path.write_text(path.read_text() + _RULES)
    return path


@contextmanager
def running(lab: Lab, config: Path, *options: str) -> Iterator[Firewall]:
    firewall = Firewall(lab, config, *options)
    firewall.start()
    try:
        yield firewall
    finally:
        firewall.kill()


@pytest.fixture
def firewall(lab: Lab, config: Path) -> Iterator[Firewall]:
    with running(lab, config) as firewall:
        yield firewall


@pytest.mark.parametrize("io", NAMES)
def test_a_firewall_whose_queue_is_taken(lab: Lab, config: Path, io: str) -> None:
    holder = lab.popen(FIREWALL, [PYTHON, "-m", "tests.bench.accept", "native"])
    try:
        assert holder.stdout
        assert holder.stdout.readline() == "ready\n"
        run = Firewall.program("run", "--config", config, "--state-dir", "/run/taken", "--io", io)
        done = lab.run(FIREWALL, run, timeout=30)
    finally:
        kill(holder)
    assert done.returncode == 2
    said = [line for line in done.stderr.splitlines() if "WARNING" not in line]
    assert len(said) == 1
    assert "queue 6" in said[0]
    assert "another program" in said[0]
    assert "--queue" in said[0]


@pytest.fixture
def transfer(lab: Lab, firewall: Firewall) -> Iterator[Transfer]:
    transfer = Transfer(lab)
    yield transfer
    transfer.close()


def port_address(lab: Lab, port: str = "eth1") -> str:
    shown = json.loads(lab.run(FIREWALL, ["ip", "-json", "link", "show", port]).stdout)
    return str(shown[0]["address"])


def flooding(lab: Lab, seconds: int, rate: int) -> subprocess.Popen[str]:
    """From the client, each packet of another flow."""
    words = ["flood", "eth0", port_address(lab), SERVER, str(seconds), str(rate)]
    return lab.popen("client", [*_LOAD, *words])


def resident_bytes(pid: int) -> int:
    found = re.search(r"^VmRSS:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.M)
    assert found
    return int(found[1]) << 10


def cpu_s(pid: int) -> float:
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def web_answers(lab: Lab) -> bool:
    """Over a new connection."""
    return traffic.attempt(lab, traffic.ATTEMPTS[0]).passed


@pytest.mark.parametrize(
    "rate",
    [
        pytest.param(150_000, id="more than Python decides"),
        pytest.param(10_000_000, id="as fast as it goes"),
    ],
)
def test_a_flood_of_new_flows(lab: Lab, firewall: Firewall, transfer: Transfer, rate: int) -> None:
    (dataplane,) = firewall.dataplanes()
    before, resident, received = counters(firewall), resident_bytes(dataplane), transfer.received()
    flood = flooding(lab, 4, rate)
    most = 0

    def is_over() -> bool:
        nonlocal most
        most = max(most, resident_bytes(dataplane))
        return flood.poll() is not None

    wait_until(is_over, "the flood is over", seconds=30)
    kill(flood)
    after = counters(firewall)
    dropped = {
        name: after.get(name, 0) - before.get(name, 0)
        for name in ("flow_undecided_full", "nfq_queue_full", "nfq_socket_full")
    }
    assert sum(dropped.values()) > 1000, dropped
    assert most - resident < 400 << 20  # the engine's tables, and a full ring of log entries
    if not dropped["nfq_queue_full"]:  # the queue held them all, so it held the known session's
        assert transfer.received() - received > 10 << 20
    wait_until(lambda: web_answers(lab), "a new connection", seconds=20)
    transfer.await_bytes(10 << 20)
    transfer.finish()
    assert firewall.dataplanes() == [dataplane]


def test_large_packets_are_queued_whole(lab: Lab, firewall: Firewall, transfer: Transfer) -> None:
    transfer.await_bytes(50 << 20)
    (number,) = session_ids(firewall, destination_port=PORT)
    detail = firewall.ask(f"show session id {number}")
    total, packets = (
        int(value)
        for label in ("total byte", "layer7 packet")
        for value in re.findall(rf"{label} count\(s2c\) +: (\d+)$", detail, re.M)
    )
    assert total / packets > 3 * 1500
    transfer.finish()
    assert counters(firewall).get("nfq_cut", 0) == 0
    for link in LINKS:
        shown = lab.run(FIREWALL, ["ip", "-json", "-details", "link", "show", link.port]).stdout
        (port,) = json.loads(shown)
        assert port["gso_max_size"] == 65_536  # less, and the kernel would cut what came in
        assert port["gro_max_size"] == 65_500


@pytest.mark.parametrize("address", [SERVER, SERVER6])
@pytest.mark.parametrize("io", NAMES)
def test_a_reset_reaches_the_client(lab: Lab, config: Path, io: str, address: str) -> None:
    program = (
        "import socket, sys\n"
        "try: socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=10)\n"
        "except ConnectionRefusedError: print('refused')\n"
    )
    with running(lab, config, "--io", io) as firewall:
        for _ in range(3):
            done = lab.run("client", [PYTHON, "-c", program, address, str(RESET_PORT)])
            assert done.stdout == "refused\n", done.stderr
        assert counters(firewall)["flow_action_close"] == 3
        assert counters(firewall).get("nfq_emit_fail", 0) == 0


def test_an_idle_dataplane_does_next_to_nothing(lab: Lab, firewall: Firewall) -> None:
    assert web_answers(lab)
    (dataplane,) = firewall.dataplanes()
    before, until = cpu_s(dataplane), now_ns() + 2 * NS
    wait_until(lambda: now_ns() > until, "two seconds have passed", seconds=10)
    assert cpu_s(dataplane) - before < 0.2


@pytest.mark.parametrize("load", ["no load", "a transfer", "a flood"])
def test_the_dataplane_ends_when_it_is_told_to(lab: Lab, firewall: Firewall, load: str) -> None:
    (dataplane,) = firewall.dataplanes()
    with contextlib.ExitStack() as stack:
        if load == "a transfer":
            stack.callback(Transfer(lab).close)
        elif load == "a flood":
            stack.callback(kill, flooding(lab, 20, 1_000_000))
            received = Counted(firewall, "pkt_recv")
            wait_until(lambda: received.by_now() > 10_000, "a flood", seconds=20)
        handle = os.pidfd_open(dataplane)
        stack.callback(os.close, handle)
        began = now_ns()
        os.kill(dataplane, signal.SIGTERM)
        assert select.select([handle], [], [], 10)[0]
        assert now_ns() - began < 2 * NS  # one, and what a busy machine takes


def datagrams_received(lab: Lab) -> int:
    """By the server, whether somebody wanted them or not."""
    lines = lab.run("server", ["cat", "/proc/net/snmp"]).stdout.splitlines()
    names, values = (line.split() for line in lines if line.startswith("Udp:"))
    return sum(int(values[names.index(name)]) for name in ("InDatagrams", "NoPorts"))


@pytest.mark.parametrize("behavior", ["drop", "bypass"])
def test_what_a_full_queue_does_is_configured(lab: Lab, config: Path, behavior: str) -> None:
    """More packets come than the queue takes, while the dataplane stands still."""
    own = config.with_name(f"{behavior}.set")
    setting = f"set deviceconfig setting session resource-limit-behavior {behavior}\n"
    own.write_text(config.read_text() + setting)
    with running(lab, own) as firewall:
        (dataplane,) = firewall.dataplanes()
        before = datagrams_received(lab)
        os.kill(dataplane, signal.SIGSTOP)
        try:
            sent = int(flooding(lab, 2, 10_000).communicate(timeout=60)[0])
            waiting, dropped = queue_line(dataplane)[2], queue_line(dataplane)[5]
            passed = datagrams_received(lab) - before
        finally:
            os.kill(dataplane, signal.SIGCONT)
        assert sent > waiting > 16_000
        others = 100  # packets that have nothing to do with it
        if behavior == "bypass":
            assert abs(passed + waiting - sent) < others
            assert dropped == 0
        else:
            assert passed == 0
            assert abs(dropped + waiting - sent) < others
        wait_until(
            lambda: counters(firewall).get("nfq_queue_full", 0) == dropped, "counted", seconds=10
        )
        wait_until(lambda: web_answers(lab), "a new connection", seconds=20)


# ---- changes while packets flow ------------------------------------------------------------------


class Numbered:
    """Numbered UDP packets from client to server, some hundred a second, until `finish`."""

    def __init__(self, lab: Lab, address: str) -> None:
        words = [address, str(UDP_PORT)]
        self._numbers = lab.popen("server", [*_LOAD, "numbers", *words], stdin=subprocess.PIPE)
        assert self._numbers.stdout
        assert self._numbers.stdout.readline() == "ready\n"
        self._numbered = lab.popen("client", [*_LOAD, "numbered", *words], stdin=subprocess.PIPE)

    def finish(self) -> tuple[int, int]:
        """How many were sent, and how many arrived."""
        sent, came = (
            int(end.communicate(timeout=60)[0]) for end in (self._numbered, self._numbers)
        )
        return sent, came

    def close(self) -> None:
        kill(self._numbered)
        kill(self._numbers)


def reload(firewall: Firewall, text: str) -> None:
    """Has the firewall load another configuration, and waits until it has."""
    loaded = f"{firewall.config} loaded"
    before = firewall.said().count(loaded)
    firewall.config.write_text(text)
    os.kill(firewall.management, signal.SIGHUP)
    wait_until(lambda: firewall.said().count(loaded) > before, loaded, seconds=20)


@pytest.mark.parametrize("io", NAMES)
def test_no_packet_of_a_known_session_is_lost_to_a_reload(
    lab: Lab, config: Path, io: str, tmp_path: Path
) -> None:
    text = config.read_text()
    # another port less, which changes the hook, and another policy
    without_dmz = "".join(
        line + "\n"
        for line in text.replace(" ethernet1/4 ]", " ]").splitlines()
        if not line.startswith(("set zone dmz", "set network interface ethernet ethernet1/4"))
    )
    no_web = "\nset rulebase security rules allow-web disabled yes\n"
    own = tmp_path / "config.set"
    own.write_text(text)
    with running(lab, own, "--io", io) as firewall, contextlib.ExitStack() as stack:
        flows = [Numbered(lab, address) for address in (SERVER, SERVER6)]
        for flow in flows:
            stack.callback(flow.close)
        wait_until(
            lambda: len(session_ids(firewall, destination_port=UDP_PORT)) == 2,
            "both sessions",
            seconds=10,
        )
        if io == "native":
            transfer = Transfer(lab)
            stack.callback(transfer.close)
        for _ in range(2):
            reload(firewall, without_dmz)
            reload(firewall, text + no_web)
            assert not web_answers(lab)
            reload(firewall, text)
            assert web_answers(lab)
        if io == "native":
            transfer.await_bytes(1 << 20)
            transfer.finish()
        for flow in flows:
            sent, came = flow.finish()
            assert sent == came
            assert sent > 100


def make_link_anew(lab: Lab) -> None:
    """The client's link to the firewall, with new interfaces of the same names."""
    link = LINKS[0]
    commands = [
        f"ip link delete {link.port}",
        f"ip link add {link.port} type veth peer name eth0 netns /run/netns/{link.host}",
    ]
    done = lab.run(FIREWALL, ["sh", "-ec", "\n".join(commands)])
    assert done.returncode == 0, done.stderr
    commands = [
        "ip link set eth0 up",
        *(f"ip address add {address} dev eth0" for address in link.addresses),
        *(f"ip route add default via {gateway}" for gateway in link.gateways),
    ]
    done = lab.run(link.host, ["sh", "-ec", "\n".join(commands)])
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("io", NAMES)
def test_a_link_that_goes_and_comes_back(lab: Lab, config: Path, io: str) -> None:
    with running(lab, config, "--io", io):
        assert web_answers(lab)
        for _ in range(2):
            make_link_anew(lab)
            wait_until(lambda: web_answers(lab), "traffic over the new link", seconds=30)
