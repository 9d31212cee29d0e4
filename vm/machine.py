"""The firewall's machine: one qemu process in a lab, its boot, its ways to end, its agent."""

import contextlib
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from vm import accelerator
from vm.agent import Agent
from vm.holder import STATE
from vm.image import Image
from vm.launcher import AGENT, SERIAL_LOG
from vm.namespaces import Lab, LabError, kill, spawn
from vm.topology import FIREWALL
from vm.waiting import now_s, wait_until

MEMORY_MIB = 512
_BOOTED_WITHIN_S = {accelerator.KVM: 60, accelerator.TCG: 300}  # emulated on a busy host: slow
_OFF_WITHIN_S = 90
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# asks the service manager itself: the agent's own way needs a login manager and the message bus
_BEGIN = ("systemctl", "--no-block", "--job-mode=replace-irreversibly", "start")
_PANIC = "Kernel panic"
_TAIL_LINES = 8


class Machine:
    """Boot it, use its agent, reboot it, end it, boot it again: its data disk stays for the lab."""

    def __init__(self, lab: Lab, image: Image, *, cpus: int = 1) -> None:
        self._lab, self._image, self._cpus = lab, image, cpus
        self._process: subprocess.Popen[str] | None = None
        self._qemu_said = lab.path(STATE / "qemu.out")
        self._serial_log = lab.path(SERIAL_LOG)
        self.agent = Agent(lab.path(AGENT))
        self.accelerator = accelerator.choose(image.kernel)
        self.boot_s = 0.0  # until the agent answered

    def start(self) -> None:
        """Boots it and waits for its agent. Raises LabError with what it said where it does not."""
        assert self._process is None
        _check_memory()
        launch = [sys.executable, "-m", "vm.launcher", f"--accelerator={self.accelerator}"]
        launch += [f"--kernel={self._image.kernel}", f"--root={self._image.root}"]
        launch += [f"--cpus={self._cpus}", f"--memory-mib={MEMORY_MIB}"]
        self._serial_log.unlink(missing_ok=True)
        began_s = now_s()
        with self._qemu_said.open("w") as said:
            self._process = spawn(self._lab.in_namespace(FIREWALL, launch), stdout=said.fileno())
        try:
            self._await(self.agent.is_there)
        except BaseException:
            self.kill()
            raise
        self.boot_s = now_s() - began_s

    def _await(self, condition: Callable[[], bool]) -> None:
        """Waits for a sign of a booted machine. Raises LabError."""
        within_s = _BOOTED_WITHIN_S[self.accelerator]

        def is_so() -> bool:
            self._check_process()
            before, panic, after = self.said().partition(_PANIC)
            if panic:  # what comes after that line are addresses
                said = _as_line(before + panic + after.partition("\n")[0])
                raise LabError(f"the machine's kernel gave up: {said}")
            return condition()

        try:
            wait_until(is_so, "the machine", seconds=within_s, every_s=0.1)
        except TimeoutError:
            raise LabError(
                f"the machine did not boot within {within_s} s;"
                f" its last lines: {_as_line(self.said()) or 'none'}"
            ) from None

    def _check_process(self) -> None:
        assert self._process
        if self._process.poll() is not None:
            said = _as_line(self._qemu_said.read_text(errors="replace"))
            raise LabError(f"the machine ended: {said or 'qemu does not say why'}")

    def reboot(self) -> None:
        """Has it start anew, properly; returns when it is up again. Raises LabError."""
        before = self._boot_id()
        began_s = now_s()
        self.agent.start([*_BEGIN, "reboot.target"])

        def is_another() -> bool:
            with contextlib.suppress(LabError):
                return self.agent.is_there() and self._boot_id() != before
            return False

        self._await(is_another)
        self.boot_s = now_s() - began_s

    def _boot_id(self) -> bytes:
        return self.agent.read(_BOOT_ID)

    def shut_down(self) -> None:
        """Powers it off, properly. Raises LabError where that does not end it; ended it is then."""
        assert self._process
        try:
            self.agent.start([*_BEGIN, "poweroff.target"])
            self._process.wait(_OFF_WITHIN_S)
        except subprocess.TimeoutExpired:
            raise LabError(
                f"the machine was not off within {_OFF_WITHIN_S} s;"
                f" its last lines: {_as_line(self.said())}"
            ) from None
        finally:
            self.kill()

    def kill(self) -> None:
        """Pulls its plug; it can be started again."""
        if self._process:
            kill(self._process)
            self._process = None

    def said(self) -> str:
        """The end of what it wrote to its serial line."""
        try:
            with self._serial_log.open("rb") as log:
                log.seek(max(0, self._serial_log.stat().st_size - 8192))
                text = log.read().decode(errors="replace")
        except OSError:
            return ""
        plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
        return "\n".join(filter(None, map(str.strip, plain.splitlines())))


def _as_line(text: str) -> str:
    return " | ".join(text.splitlines()[-_TAIL_LINES:])


def _check_memory() -> None:
    found = re.search(r"^MemAvailable: +(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    assert found
    free_mib = int(found[1]) >> 10
    if free_mib < MEMORY_MIB:
        raise LabError(f"the machine needs {MEMORY_MIB} MiB of memory; {free_mib} MiB are free")
