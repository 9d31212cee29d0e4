"""The firewall inside a lab: `sixtuple run` on the host `firewall`, and its command line."""

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

from vm.holder import STATE
from vm.namespaces import Lab, LabError, child_of, kill
from vm.topology import FIREWALL
from vm.waiting import wait_until

CONFIG = Path(__file__).with_name("lab.set")
DIRECTORY = Path("/run/sixtuple")
SOCKET = DIRECTORY / "cli.sock"
TRAFFIC_LOG = DIRECTORY / "traffic.log"
THREAT_LOG = DIRECTORY / "threat.log"
_MANAGEMENT, _DATAPLANE = "control.main run", "dataplane.process"  # as their commands have it
_READY_WITHIN_S = 30
_STOPPED_WITHIN_S = 20


class Firewall:
    """Start it, ask it, stop or kill it, start it again."""

    traffic_log, threat_log = TRAFFIC_LOG, THREAT_LOG  # on its host

    def __init__(self, lab: Lab, config: Path = CONFIG, *options: str) -> None:
        """`options` are those of `sixtuple run` besides its configuration and its directory."""
        self.lab = lab
        self.config = config
        self._options = options
        self._process: subprocess.Popen[str] | None = None
        self._said = lab.path(STATE / "firewall.out")

    def start(self) -> None:
        """Starts it and waits until it answers. Raises LabError with what it said where it ends."""
        assert self._process is None
        where = ("--config", str(self.config), "--state-dir", str(DIRECTORY))
        command = self.program("run", *where, *self._options)
        with self._said.open("w") as said:
            self._process = process = self.lab.popen(FIREWALL, command, stdout=said.fileno())
        try:
            wait_until(self._is_ready, "the firewall answers", seconds=_READY_WITHIN_S)
        except TimeoutError as error:
            self.kill()
            raise LabError(f"{error}; it said: {self.said() or 'nothing'}") from None
        if process.poll() is not None:
            self._process = None
            raise LabError(f"the firewall does not start: {self.said() or 'no word of why'}")

    def _is_ready(self) -> bool:
        """Its command line is the last thing it opens; ready as well where it has given up."""
        assert self._process
        if self._process.poll() is not None:
            return True
        with socket.socket(socket.AF_UNIX) as client, contextlib.suppress(OSError):
            client.connect(str(self.lab.path(SOCKET)))
            return True
        return False

    @staticmethod
    def program(*words: str | Path) -> list[str]:
        """A `sixtuple` command of this checkout and this Python."""
        return [sys.executable, "-m", "control.main", *map(str, words)]

    def said(self) -> str:
        """What it wrote to its standard output and error."""
        return self._said.read_text(errors="replace").strip()

    def cli(self, *commands: str) -> list[str]:
        """The command that asks the firewall; without commands it is an interactive session."""
        asked = [word for command in commands for word in ("-c", command)]
        return self.program("cli", "--socket", SOCKET, *asked)

    def ask(self, *commands: str) -> str:
        """The answers. Raises LabError where a command is refused."""
        done = self.lab.run(FIREWALL, self.cli(*commands), timeout=30)
        if done.returncode:
            said = " ".join((done.stderr or done.stdout).split())
            raise LabError(f"`{'; '.join(commands)}` failed: {said}")
        return done.stdout

    @property
    def management(self) -> int:
        """Process id of the management plane."""
        assert self._process
        return child_of(self._process)

    def dataplanes(self) -> list[int]:
        """Process ids of the dataplane: one, when all is well."""
        return self._running(_DATAPLANE)

    def _running(self, *programs: str) -> list[int]:
        return [
            pid
            for host, pid, command in self.lab.processes()
            if host == FIREWALL and any(program in command for program in programs)
        ]

    def stop(self) -> int:
        """Asks it to end, as a service manager does; its exit status."""
        assert self._process
        os.kill(self.management, signal.SIGTERM)
        try:
            status = self._process.wait(_STOPPED_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise LabError(
                f"the firewall did not end within {_STOPPED_WITHIN_S} s of SIGTERM"
            ) from None
        self._process = None
        return status

    def kill_management(self) -> None:
        """Ends the management plane without a chance to tidy up; the dataplane goes on."""
        assert self._process
        _end(self.management)
        kill(self._process)
        self._process = None

    def kill(self) -> None:
        """Ends every process of it without a chance to tidy up."""
        while pids := self._running(_MANAGEMENT, _DATAPLANE):  # one may start the other
            for pid in pids:
                _end(pid)
        if self._process:
            kill(self._process)
            self._process = None


def _end(pid: int) -> None:
    """Kills a process and waits until its sockets are closed: a successor must not meet them."""
    with contextlib.suppress(ProcessLookupError):
        handle = os.pidfd_open(pid)
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        select.select([handle], [], [], _STOPPED_WITHIN_S)
        os.close(handle)
