"""The console on a terminal: every key arrives, and the terminal is as it was afterwards."""

import contextlib
import fcntl
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_agent import FakeAgent
from vm.namespaces import environment
from vm.waiting import wait_until

_PROGRAM = """
import sys
from pathlib import Path
from types import SimpleNamespace
from vm import console
from vm.agent import Agent
from vm.namespaces import LabError
place = Path(sys.argv[1])
lab = SimpleNamespace(path=lambda path: place / path.name, agent=Agent(place / "agent.sock"))
try:
    console.attach(lab)
except LabError as error:
    sys.exit(f"error: {error}")
print("left")
"""


class Terminal:
    """A pseudo-terminal with the console's program on it, and the machine's end of the console."""

    def __init__(self, place: Path, listening: socket.socket | None) -> None:
        self.ours, theirs = pty.openpty()
        self.resize(24, 80)
        self._theirs = theirs
        self.before = self.settings()
        self.process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, str(place)],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment(),
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        self.machine = None
        if listening:
            listening.settimeout(20)
            self.machine = listening.accept()[0]
            self.machine.settimeout(20)
            assert self.machine.recv(1) == b"\x0c"  # what is on its screen is drawn anew

    def settings(self) -> list[Any]:
        return termios.tcgetattr(self._theirs)

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def shows(self, text: bytes) -> bytes:
        shown = b""
        while text not in shown:
            assert select.select([self.ours], [], [], 20)[0], shown
            shown += os.read(self.ours, 65536)
        return shown

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for end in (self.ours, self._theirs):
            os.close(end)
        if self.machine:
            self.machine.close()


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "console.sock"))
        listening.listen(1)
        yield listening


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[FakeAgent]:
    fake = FakeAgent(tmp_path / "agent.sock")
    yield fake
    fake.close()


@pytest.fixture
def terminal(tmp_path: Path, listening: socket.socket, agent: FakeAgent) -> Iterator[Terminal]:
    with contextlib.closing(Terminal(tmp_path, listening)) as terminal:
        yield terminal


def received(terminal: Terminal, count: int) -> bytes:
    assert terminal.machine
    data = b""
    while len(data) < count:
        more = terminal.machine.recv(count - len(data))
        assert more, terminal.shows(b"\n")
        data += more
    return data


def test_keys_go_in_and_what_is_said_comes_out(terminal: Terminal) -> None:
    keys = b"show ?\t\x03\x04\x1a\x1c\r\n\x1b[A"
    os.write(terminal.ours, keys)
    assert received(terminal, len(keys)) == keys
    assert terminal.machine
    terminal.machine.sendall(b"admin@lab> ")
    assert terminal.shows(b"admin@lab> ").count(b"\n") == 0
    os.write(terminal.ours, b"last\x1dnot this")
    assert received(terminal, 4) == b"last"
    assert b"\x1b[?2004l" in terminal.shows(b"left")
    assert terminal.process.wait(20) == 0
    assert terminal.settings() == terminal.before


def test_the_machine_is_told_the_size_of_the_terminal(terminal: Terminal, agent: FakeAgent) -> None:
    def told(rows: int, columns: int) -> bool:
        words = ["rows", str(rows), "cols", str(columns)]
        return any(words == command[-4:] for command in agent.commands)

    wait_until(lambda: told(24, 80), "the first size", seconds=20)
    terminal.resize(50, 132)
    wait_until(lambda: told(50, 132), "the new size", seconds=20)
    assert agent.commands[0][1:4] == ["stty", "-F", "/dev/hvc0"]


def test_a_machine_that_does_not_read_does_not_keep_us(terminal: Terminal) -> None:
    os.set_blocking(terminal.ours, False)
    for _ in range(300):
        with contextlib.suppress(BlockingIOError):
            os.write(terminal.ours, b"x" * 4000)
    os.set_blocking(terminal.ours, True)
    os.write(terminal.ours, b"\x1d")
    terminal.shows(b"left")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_asked_to_end_it_restores_the_terminal(terminal: Terminal, number: signal.Signals) -> None:
    wait_until(lambda: terminal.settings() != terminal.before, "the terminal is raw", seconds=20)
    terminal.process.send_signal(number)
    assert terminal.process.wait(20) == 128 + number
    assert terminal.settings() == terminal.before


def test_the_end_of_the_machine_is_said(terminal: Terminal) -> None:
    assert terminal.machine
    terminal.machine.close()
    terminal.shows(b"error: the machine has ended")
    assert terminal.process.wait(20) == 1
    assert terminal.settings() == terminal.before


def test_a_second_terminal_is_told_of_the_first(terminal: Terminal, tmp_path: Path) -> None:
    with contextlib.closing(Terminal(tmp_path, None)) as second:
        second.shows(b"error: another terminal is at the machine's console")
        assert second.settings() == second.before


def test_no_machine_is_said(tmp_path: Path) -> None:
    with contextlib.closing(Terminal(tmp_path, None)) as terminal:
        terminal.shows(b"error: the machine does not run")
        assert terminal.settings() == terminal.before
