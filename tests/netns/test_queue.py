"""The kernel's queue: taken or forbidden, too full, too slow, and changed while packets flow."""

import select
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
from tests.support.labs import PYTHON
from tests.support.packets import (
    ALLOW,
    FAMILIES,
    HASH_KEY,
    TRUST,
    UNTRUST,
    routes,
    snapshot,
    tcp,
    udp,
)
from tests.support.private import in_namespace
from tests.support.wires import QUEUE, Wire, finished, forwarded, unfinished, wired_firewall
from vm.waiting import wait_until


def now_ns() -> int:
    return time.monotonic_ns()  # noqa: TID251 - these tests are the edge


# ---- a queue that cannot be had ------------------------------------------------------------------


def dataplane(io: str, name: str) -> list[str]:
    where = ["--socket", f"/run/{name}.sock", "--log", f"/run/{name}.log"]
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


def queue_line() -> list[int]:
    """What the kernel says of the queue: number, holder, waiting, ... (see queue_counters.py)."""
    lines = Path("/proc/self/net/netfilter/nfnetlink_queue").read_text().splitlines()
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
            wait_until(lambda: tcp_bytes(wires[UNTRUST]) >= len(data), "all of it", seconds=10)
            headers = 40 if family == 4 else 60
            assert b"".join(packet[headers:] for packet in wires[UNTRUST].packets()) == data
            for packet, is_unfinished in wires[UNTRUST].seen():
                assert packet == (unfinished if is_unfinished else finished)(packet)


def tcp_bytes(wire: Wire) -> int:
    headers = {4: 40, 6: 60}
    return sum(len(packet) - headers[packet[0] >> 4] for packet in wire.packets())


@in_namespace
def test_a_packet_as_long_as_an_attribute_takes_passes() -> None:
    with wired_firewall(fail_open=True) as wires:
        queue = Nfqueue(QUEUE, None, mode="accept")
        with looping(queue):
            longest = tcp("A", payload=bytes(65_500 - 40), seq=1000)
            wires[TRUST].send_unfinished(longest, segment_bytes=1448)
            wait_until(lambda: tcp_bytes(wires[UNTRUST]) >= 65_460, "all of it", seconds=10)
            assert queue.stats() == (1, 1, 0, 0, 0, 0, 0)
