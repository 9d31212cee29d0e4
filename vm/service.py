"""The firewall in a lab's machine: its systemd service, with the face of `vm/firewall.Firewall`.

It runs from the machine's start on, with the configuration it had last; `start` gives it another.
"""

import shlex
from collections.abc import Callable
from pathlib import Path

from vm.firewall import CONFIG as LAB_CONFIG
from vm.machine_lab import MachineLab
from vm.namespaces import LabError
from vm.topology import FIREWALL
from vm.waiting import now_s

UNIT = "sixtuple.service"
CONFIG = Path("/var/lib/sixtuple/config.set")
_LOGS = Path("/var/lib/sixtuple/log")
_DROP_IN = Path(f"/run/systemd/system/{UNIT}.d/options.conf")
_DATAPLANE = "dataplane[.]process"  # the pattern is no match for itself
_READY_WITHIN_S = 240  # emulated on a busy host
_STOPPED_WITHIN_S = 120
_ANSWERED_WITHIN_S = 120

_CONFIGURE = f"""
chown sixtuple: {CONFIG}
if [ "$1" ]; then
    mkdir -p {_DROP_IN.parent}
    printf '[Service]\\nEnvironment="OPTIONS=%s"\\n' "$1" >{_DROP_IN}
    systemctl daemon-reload
elif [ -e {_DROP_IN} ]; then
    rm {_DROP_IN}
    systemctl daemon-reload
fi
date +@%s.%6N
"""


def await_service(lab: MachineLab, progress: Callable[[str], None]) -> None:
    """Waits until the firewall of a machine that has just booted forwards. Raises LabError."""
    began_s = now_s()
    done = lab.run(FIREWALL, ["systemctl", "start", UNIT], timeout=_READY_WITHIN_S)
    if done.returncode:
        raise LabError(f"the firewall's service does not start: {Service(lab).said()}")
    progress(f"the firewall's service is ready {now_s() - began_s:.1f} s later")


class Service:
    """Start it, ask it, stop or kill it, start it again."""

    traffic_log, threat_log = _LOGS / "traffic.log", _LOGS / "threat.log"  # in the machine

    def __init__(self, lab: MachineLab, config: Path = LAB_CONFIG, *options: str) -> None:
        """`options` are those of `sixtuple run` besides those the unit has; without spaces."""
        self.lab = lab
        self.config = config
        self._options = options
        self._since = ""  # by the machine's clock

    def start(self) -> None:
        """Starts it, anew where it runs, with this configuration; returns when it forwards.

        Raises LabError with what its journal says where it does not start; it is stopped then.
        """
        self.lab.agent.write(CONFIG, self.config.read_bytes(), 0o600)
        options = " ".join(self._options)
        self._since = self._do("sh", "-ec", _CONFIGURE, "sh", options).strip()
        done = self.lab.run(FIREWALL, ["systemctl", "restart", UNIT], timeout=_READY_WITHIN_S)
        if done.returncode:
            said = self.said()
            self.kill()
            raise LabError(f"the firewall does not start: {said or 'no word of why'}")

    def said(self) -> str:
        """What it wrote into the journal since it was started here, or since the machine was."""
        since = [f"--since={self._since}"] if self._since else []
        command = ["journalctl", "--quiet", "--boot", "--output=cat", *since]
        return self._do(*command, f"_SYSTEMD_UNIT={UNIT}").strip()

    @staticmethod
    def program(*words: str | Path) -> list[str]:
        """A `sixtuple` command of the machine."""
        return ["sixtuple", *map(str, words)]

    def cli(self, *commands: str) -> list[str]:
        """The command that asks the firewall."""
        return self.program("cli", *(word for command in commands for word in ("-c", command)))

    def ask(self, *commands: str) -> str:
        """The answers. Raises LabError where a command is refused."""
        done = self.lab.run(FIREWALL, self.cli(*commands), timeout=_ANSWERED_WITHIN_S)
        if done.returncode:
            said = " ".join((done.stderr or done.stdout).split())
            raise LabError(f"`{'; '.join(commands)}` failed: {said}")
        return done.stdout

    @property
    def management(self) -> int:
        """Process id of the management plane in the machine; 0 where none runs."""
        return int(self._property("MainPID"))

    def dataplanes(self) -> list[int]:
        """Process ids of the dataplane in the machine: one, when all is well."""
        done = self.lab.run(FIREWALL, ["pgrep", "--full", _DATAPLANE])
        return [int(word) for word in done.stdout.split()]

    def stop(self) -> int:
        """Asks it to end and waits; its exit status."""
        self._do("systemctl", "stop", UNIT, within_s=_STOPPED_WITHIN_S)
        return int(self._property("ExecMainStatus"))

    def kill_management(self) -> None:
        """Ends the management plane without a chance to tidy up; systemd starts another."""
        self._do("systemctl", "kill", "--signal=KILL", "--kill-whom=main", UNIT)

    def kill(self) -> None:
        """Ends every process of it without a chance to tidy up; it is not started again."""
        kill = shlex.join(["systemctl", "kill", "--signal=KILL", "--kill-whom=all", UNIT])
        # the second time for what systemd has started meanwhile
        script = f"{kill} || true; systemctl stop {UNIT}; {kill} || true"
        self._do("sh", "-c", script, within_s=_STOPPED_WITHIN_S)

    def _property(self, name: str) -> str:
        return self._do("systemctl", "show", "--value", f"--property={name}", UNIT).strip()

    def _do(self, *argv: str, within_s: float = 60) -> str:
        done = self.lab.run(FIREWALL, argv, timeout=within_s)
        if done.returncode:
            said = " ".join((done.stderr or done.stdout).split())
            raise LabError(f"`{shlex.join(argv[:3])}` failed in the machine: {said}")
        return done.stdout
