"""A terminal at the machine's console, where the firewall's command line waits (hvc0).

The terminal is raw: every key goes into the machine, ^C as well, but Ctrl-], which leaves.
"""

import contextlib
import fcntl
import os
import select
import signal
import socket
import subprocess
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

from vm.agent import Agent
from vm.holder import STATE
from vm.launcher import CONSOLE
from vm.machine_lab import MachineLab
from vm.namespaces import LabError

LEAVE = b"\x1d"
LEAVE_NAME = "Ctrl-]"
_REDRAW = b"\x0c"
# what a program in the machine may have switched on and cannot switch off any more: bracketed
# paste, a hidden cursor, attributes, keypad and cursor keys of an application
_PLAIN = b"\x1b[?2004l\x1b[?25h\x1b[0m\x1b[?1l\x1b>\n"
_UNREAD_BYTES = 65536  # typed ahead of a machine that does not read


def attach(lab: MachineLab) -> None:
    """Joins our terminal to the console until Ctrl-]. Raises LabError, where the machine ends too.

    The terminal is as it was afterwards, also where we are asked to end meanwhile.
    """
    keys, screen = sys.stdin.fileno(), sys.stdout.fileno()
    with _alone(lab), _connected(lab) as line, _raw(keys, screen), _sized(lab.agent, screen):
        _join(line, keys, screen)


@contextlib.contextmanager
def _alone(lab: MachineLab) -> Iterator[None]:
    """The console has room for one: a second one would wait and not know."""
    with lab.path(STATE / "console.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LabError("another terminal is at the machine's console; leave it there") from None
        yield


@contextlib.contextmanager
def _connected(lab: MachineLab) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as line:
        try:
            line.connect(str(lab.path(CONSOLE)))
        except OSError as error:
            raise LabError(f"the machine does not run: {error.strerror}") from None
        line.setblocking(False)
        yield line


@contextlib.contextmanager
def _raw(keys: int, screen: int) -> Iterator[None]:
    before = termios.tcgetattr(keys)
    ends = (signal.SIGTERM, signal.SIGHUP)
    handlers = {number: signal.signal(number, _end) for number in ends}
    try:
        tty.setraw(keys)
        yield
    finally:
        with contextlib.suppress(OSError, termios.error):  # a terminal that is gone
            termios.tcsetattr(keys, termios.TCSADRAIN, before)
            os.write(screen, _PLAIN)
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _end(number: int, _: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


@contextlib.contextmanager
def _sized(agent: Agent, screen: int) -> Iterator[None]:
    """Tells the machine how large our terminal is, now and whenever that changes."""
    changed, ended = threading.Event(), threading.Event()

    def tell() -> None:
        while changed.wait() and not ended.is_set():
            changed.clear()
            with contextlib.suppress(OSError, LabError, subprocess.TimeoutExpired):
                size = os.get_terminal_size(screen)
                rows, columns = str(size.lines), str(size.columns)
                agent.run(["stty", "-F", "/dev/hvc0", "rows", rows, "cols", columns])

    before = signal.signal(signal.SIGWINCH, lambda *_: changed.set())
    changed.set()
    threading.Thread(target=tell, daemon=True).start()
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)
        ended.set()
        changed.set()


def _join(line: socket.socket, keys: int, screen: int) -> None:
    unread = _REDRAW
    while True:
        writing = [line] if unread else []
        readable, writable, _ = select.select([line.fileno(), keys], writing, [])
        if keys in readable:
            typed = os.read(keys, 4096)
            unread = (unread + typed.partition(LEAVE)[0])[:_UNREAD_BYTES]
            if not typed or LEAVE in typed:
                with contextlib.suppress(BlockingIOError, ConnectionError):
                    line.send(unread)
                return
        try:
            if line.fileno() in readable:
                data = line.recv(65536)
                if not data:
                    raise LabError("the machine has ended")
                os.write(screen, data)
            if writable:
                unread = unread[line.send(unread) :]
        except BlockingIOError:
            pass
        except ConnectionError:
            raise LabError("the machine has ended") from None
