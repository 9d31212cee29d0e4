"""`make vm-run`: from nothing to traffic and a command line, and nothing left however it ends."""

import contextlib
import os
import pty
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.labs import has_ended, namespaces_in_use
from vm import image, registry, run, traffic
from vm.lab import main
from vm.namespaces import Lab, environment
from vm.waiting import now_s, wait_until

pytestmark = [pytest.mark.vm, pytest.mark.usefixtures("runtime")]

COMMAND = [sys.executable, "-m", "vm.run"]
BOOTED_WITHIN_S = 400


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry of labs of our own, and the image: making it is no part of these tests."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    image.build(lambda _: None)


@pytest.fixture
def terminal() -> Iterator[int]:
    """The other side of the terminal on which it runs."""
    process, terminal = pty.fork()
    if process == 0:
        os.execvpe(COMMAND[0], COMMAND, environment())
    yield terminal
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)
    os.close(terminal)
    os.waitpid(process, 0)


def shows(terminal: int, text: str) -> str:
    """What it shows until that text is there."""
    shown = b""
    deadline = now_s() + BOOTED_WITHIN_S
    while text.encode() not in shown:
        assert select.select([terminal], [], [], max(0, deadline - now_s()))[0], shown
        shown += os.read(terminal, 65536)
    return shown.decode(errors="replace")


def test_on_a_terminal_it_gives_the_firewalls_command_line(
    terminal: int, capfd: pytest.CaptureFixture[str]
) -> None:
    shown = shows(terminal, "ends the demonstration")
    assert re.search(r"is up after \d+\.\d s\r\n", shown)
    assert shown.count(" ok ") == len(traffic.ATTEMPTS)
    shows(terminal, "admin@lab>")
    os.write(terminal, b"show session meter\r")
    shows(terminal, "VSYS")
    in_the_machine = ["exec", "--name", run.NAME, "firewall", "--"]
    assert main([*in_the_machine, "sh", "-c", "cat /etc/hostname; echo err >&2; exit 9"]) == 9
    assert capfd.readouterr().err == "err\n"
    assert main([*in_the_machine, "sh", "-c", "kill -TERM $$"]) == 128 + signal.SIGTERM
    assert main(["status", "--name", run.NAME]) == 0
    said = capfd.readouterr().out
    assert re.search(r"^firewall +eth1 +192\.0\.2\.1/25", said, re.MULTILINE)
    assert re.search(r"^red +eth0 +10\.10\.0\.10/24", said, re.MULTILINE)
    assert main(["traffic", "--name", run.NAME]) == 0
    assert main(["console", "--name", run.NAME]) == 2
    assert "needs a terminal" in capfd.readouterr().err
    os.write(terminal, b"\x1d")
    shows(terminal, "the machine shuts down")
    wait_until(lambda: registry.find(run.NAME) is None, "the lab has ended", seconds=120)


def test_without_a_terminal_it_shows_the_sessions_and_ends() -> None:
    done = subprocess.run(
        COMMAND,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=environment(),
        timeout=BOOTED_WITHIN_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count(" ok ") == len(traffic.ATTEMPTS)
    assert re.search(r"admin@lab> show session all\n.*ACTIVE.*DISCARD", done.stdout, re.DOTALL)
    assert registry.find(run.NAME) is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_interrupted_in_its_boot_it_leaves_nothing(number: signal.Signals) -> None:
    with subprocess.Popen(
        COMMAND, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, env=environment()
    ) as process:
        try:
            assert process.stdout
            assert any("machine boots" in line for line in process.stdout)
            wait_until(lambda: machine_of(process.pid) != 0, "qemu runs", seconds=60)
            running = [process.pid, *descendants(process.pid)]
            namespaces = set(map(namespace_of, running)) - {namespace_of(os.getpid())}
            assert namespaces
        finally:
            process.send_signal(number)
        assert process.wait(60) in (-number, 128 + number)
    wait_until(lambda: all(map(has_ended, running)), "every process has ended", seconds=20)
    wait_until(lambda: not namespaces & namespaces_in_use(), "no namespace is left", seconds=20)


def namespace_of(pid: int) -> int:
    return Path(f"/proc/{pid}/ns/net").stat().st_ino


def descendants(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    found = [int(word) for word in children.read_text().split()] if children.exists() else []
    return [*found, *(one for child in found for one in descendants(child))]


def machine_of(pid: int) -> int:
    """The process id of the qemu among the descendants of a process; 0 where there is none."""
    for one in descendants(pid):
        with contextlib.suppress(OSError):
            if Path(f"/proc/{one}/comm").read_text().startswith("qemu"):
                return one
    return 0


def test_a_second_one_is_told_of_the_first(capfd: pytest.CaptureFixture[str]) -> None:
    with Lab.start(lambda _: None) as lab:
        registry.add(run.NAME, lab)
        assert run.main() == 2
    assert "sixtuple lab down --name vm" in capfd.readouterr().err


def test_a_lab_with_a_machine_in_the_background_from_up_to_down(
    capfd: pytest.CaptureFixture[str],
) -> None:
    program = "import sys; from vm.lab import main; sys.exit(main(sys.argv[1:]))"
    up = [sys.executable, "-c", program, "up", "--name", "b", "--vm"]
    subprocess.run(up, env=environment(), timeout=BOOTED_WITHIN_S, check=True)
    assert "sixtuple lab console --name b\n" in capfd.readouterr().out
    lab = registry.find("b")
    assert lab
    try:
        running = [lab.holder, *(pid for _, pid, _ in lab.processes())]
        assert main(["traffic", "--name", "b"]) == 0  # it was not up before it forwarded
        assert main(["exec", "--name", "b", "firewall", "cat", "/etc/hostname"]) == 0
    finally:
        assert main(["down", "--name", "b"]) == 0
    assert "lab b is down" in capfd.readouterr().out
    wait_until(lambda: all(map(has_ended, running)), "every process has ended", seconds=10)
