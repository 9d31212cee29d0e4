"""The lab whose firewall is a machine: the same face as `Lab`, the same hosts around it."""

import os
import subprocess
from collections.abc import Callable, Sequence
from typing import ClassVar, Self

from vm import taps
from vm.accelerator import NAMES, check_qemu
from vm.agent import Agent
from vm.holder import MACHINE
from vm.image import Image
from vm.launcher import AGENT
from vm.machine import Machine
from vm.namespaces import Lab, LabError
from vm.topology import FIREWALL, MACHINE_HOSTS


class MachineLab(Lab):
    """`boot` gives one with a machine in it; `start` alone has the links and no machine yet."""

    HOSTS: ClassVar = MACHINE_HOSTS
    HOLDER_OPTIONS: ClassVar = (MACHINE,)

    def __init__(self, holder: int, init: int) -> None:
        super().__init__(holder, init)
        self.agent = Agent(self.path(AGENT))
        self._machine: Machine | None = None

    @classmethod
    def start(cls, progress: Callable[[str], None], *, tied: bool = True) -> Self:
        _check_tun()
        return super().start(progress, tied=tied)

    @classmethod
    def boot(
        cls, image: Image, progress: Callable[[str], None], *, tied: bool = True, cpus: int = 1
    ) -> Self:
        """Starts the lab, and the machine in it; waits until its agent answers. Raises LabError."""
        check_host()
        lab = cls.start(progress, tied=tied)
        try:
            machine = Machine(lab, image, cpus=cpus)
            progress(f"the firewall's machine boots under {NAMES[machine.accelerator]}")
            machine.start()
            progress(f"the firewall's machine is up after {machine.boot_s:.1f} s")
        except BaseException:
            lab.stop()
            raise
        lab._machine = machine
        return lab

    @property
    def machine(self) -> Machine:
        """The machine that `boot` has started. Raises LabError where this lab was only found."""
        if self._machine is None:
            raise LabError("whoever started this lab has its machine")
        return self._machine

    def stop(self) -> None:
        super().stop()
        if self._machine:
            self._machine.kill()

    def command(self, host: str, argv: Sequence[str], *, cwd: str = "/") -> list[str]:
        if host == FIREWALL:
            raise LabError(
                "the firewall is a machine: its commands run by `run`, which returns at their end;"
                " what shall go on is a unit (systemctl start, systemd-run)"
            )
        return super().command(host, argv, cwd=cwd)

    def add_host(self, name: str, near: str, *commands: str) -> None:
        if near == FIREWALL:
            raise LabError("the firewall is a machine: it has the links it was started with")
        super().add_host(name, near, *commands)

    def run(
        self, host: str, argv: Sequence[str], *, timeout: float = 15
    ) -> subprocess.CompletedProcess[str]:
        if host == FIREWALL:
            return self.agent.run(argv, timeout=timeout)
        return super().run(host, argv, timeout=timeout)


def check_host() -> None:
    """Raises LabError where no machine can run; before an image is built, which takes a while."""
    check_qemu()
    _check_tun()


def _check_tun() -> None:
    try:
        os.close(os.open(taps.TUN, os.O_RDWR | os.O_CLOEXEC))
    except PermissionError:
        raise LabError(
            f"no right to use {taps.TUN}, which the machine's links need;"
            f" run as root, or allow it: chmod 0666 {taps.TUN}"
        ) from None
    except OSError as error:
        raise LabError(
            f"no {taps.TUN} ({error.strerror}), which the machine's links need; modprobe tun"
        ) from None
