"""Heartbeats through the emulated offload engine: a connection that dies of them, and one that is
saved by switching the engine off.

A heartbeat is a byte, and the server's acknowledgement of it: a packet of either flow.
"""

import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.labs import (
    PYTHON,
    SHORT_TIMERS,
    UNTRANSLATED,
    Counted,
    LogEntry,
    await_entry,
    session_ids,
)
from vm.firewall import Firewall
from vm.machine_lab import MachineLab
from vm.namespaces import Lab, kill
from vm.topology import SERVER
from vm.waiting import wait_until

SWITCH = "Hardware session offloading"

HEARTBEATS = """
import select, socket, sys
port, address, every_s = int(sys.argv[1]), sys.argv[2], float(sys.argv[3])
with socket.create_connection((address, 80), timeout=5, source_address=("", port)) as connection:
    while not select.select([sys.stdin], [], [], every_s)[0]:  # until it ends
        connection.sendall(b"G")
"""


class Pace(NamedTuple):
    every_s: float
    timeout_s: int  # ten heartbeats, when the engine reports every sixteenth packet of a flow


@pytest.fixture(scope="module")
def pace(lab: Lab) -> Pace:
    """A question to a machine whose processor is emulated takes seconds."""
    return Pace(1.5, 15) if isinstance(lab, MachineLab) else Pace(0.2, 2)


@pytest.fixture(scope="module")
def config(pace: Pace) -> str:
    timer = f"set deviceconfig setting session timeout-tcp {pace.timeout_s}\n"
    return UNTRANSLATED + SHORT_TIMERS + timer


class Traffic:
    """What one host receives of a connection, by tcpdump's account."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def is_listening(self) -> bool:
        return "listening on" in self._path.read_text()

    def packets_and_bytes(self) -> tuple[int, int]:
        lengths = re.findall(r"proto TCP \(6\), length (\d+)\)", self._path.read_text())
        return len(lengths), sum(map(int, lengths))


@contextmanager
def received(lab: Lab, host: str, sport: int, path: Path) -> Iterator[Traffic]:
    """Follows what the firewall lets through to a host."""
    command = ["tcpdump", "--immediate-mode", "-lnnv", "-Q", "in", "-i", "eth0", "tcp", "port"]
    with path.open("w") as said:
        process = lab.popen(host, [*command, str(sport)], stdout=said.fileno())
    traffic = Traffic(path)
    try:
        wait_until(traffic.is_listening, "tcpdump listens", seconds=10)
        yield traffic
    finally:
        kill(process)


@contextmanager
def heartbeats(lab: Lab, sport: int, every_s: float) -> Iterator[None]:
    """A connection that beats until the block ends, and is closed then."""
    program = [PYTHON, "-c", HEARTBEATS, str(sport), SERVER, str(every_s)]
    process = lab.popen("client", program, stdin=subprocess.PIPE)
    try:
        yield
        assert process.stdin
        process.stdin.close()
        assert process.wait(10) == 0
    finally:
        kill(process)


class Connection:
    """A connection that beats, as the firewall shows it and as its ends see it."""

    def __init__(self, firewall: Firewall, sport: int, to: Traffic, back: Traffic) -> None:
        self._firewall, self._sport = firewall, sport
        self._to, self._back = to, back
        found = self._ids
        wait_until(lambda: bool(found()), f"a session for port {sport}", seconds=30)
        (self.id,) = found()

    def _ids(self) -> list[int]:
        return session_ids(self._firewall, source_port=self._sport)

    def shown(self) -> dict[str, str]:
        """The lower part of `show session id`."""
        rows = re.findall(r"^ {8}(\S.*?) *: (.+)$", self._ask(), re.MULTILINE)
        return dict(rows)

    def _ask(self) -> str:
        return self._firewall.ask(f"show session id {self.id}")

    def is_offloaded_and_unreported(self) -> bool:
        shown = self.shown()
        counts = [
            re.fullmatch(r"(\d+) of 16", shown.get(f"packets since last report({flow})", ""))
            for flow in ("c2s", "s2c")
        ]
        is_counting = all(count and int(count[1]) >= 3 for count in counts)
        return is_counting and shown["offload"] == "Yes"

    def ended(self, subtype: str = "end") -> LogEntry:
        """Its entry in the traffic log, which is as exact as the ends' own accounts."""
        entry = await_entry(self._firewall, self._sport, subtype)
        counted = (
            (entry.pkts_sent, entry.bytes_sent),
            (entry.pkts_received, entry.bytes_received),
        )
        wait_until(
            lambda: (self._to.packets_and_bytes(), self._back.packets_and_bytes()) == counted,
            f"the server and the client have received {counted}",
            seconds=5,
        )
        return entry


@contextmanager
def connection(
    lab: Lab, firewall: Firewall, sport: int, every_s: float, where: Path
) -> Iterator[Connection]:
    with ExitStack() as stack:
        to = stack.enter_context(received(lab, "server", sport, where / "server"))
        back = stack.enter_context(received(lab, "client", sport, where / "client"))
        stack.enter_context(heartbeats(lab, sport, every_s))
        yield Connection(firewall, sport, to, back)


def switch(firewall: Firewall) -> str:
    (value,) = re.findall(rf"(?m)^  {SWITCH}: +(\w+)$", firewall.ask("show session info"))
    return str(value)


def test_an_offloaded_connection_dies_although_it_beats(
    lab: Lab, firewall: Firewall, pace: Pace, tmp_path: Path
) -> None:
    assert switch(firewall) == "True"
    dropped = Counted(firewall, "flow_tcp_non_syn_drop")
    with connection(lab, firewall, 42101, pace.every_s, tmp_path) as beating:
        wait_until(beating.is_offloaded_and_unreported, "it is offloaded", seconds=30)
        entry = beating.ended()
        assert (entry.session_end_reason, entry.offloaded) == ("aged-out", 1)
        wait_until(lambda: dropped.by_now() > 2, "it beats on in vain", seconds=20)
    over = beating.shown()
    assert "offload" not in over
    assert float(over["longest gap between packets"].split()[0]) < pace.timeout_s
    assert over["layer7 packet count(c2s)"] == str(entry.pkts_sent)


def test_the_next_one_is_saved(lab: Lab, firewall: Firewall, pace: Pace, tmp_path: Path) -> None:
    with connection(lab, firewall, 42102, pace.every_s, tmp_path) as beating:
        try:
            assert f"{SWITCH}:" in firewall.ask("set session offload no")
            assert switch(firewall) == "False"
            lives = 2 * pace.timeout_s / pace.every_s
            wait_until(
                lambda: int(beating.shown()["layer7 packet count(c2s)"]) > lives,
                "it lives twice as long",
                seconds=60,
            )
            assert "offload" not in beating.shown()
        finally:
            firewall.ask("set session offload yes")
    entry = beating.ended()
    assert (entry.session_end_reason, entry.offloaded) == ("tcp-fin", 1)
    assert switch(firewall) == "True"
