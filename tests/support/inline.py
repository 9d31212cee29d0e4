"""Helpers of the tests that run with both drivers: the firewall in namespaces, and as a machine."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.nat_lab import shell
from vm.firewall import Firewall
from vm.machine_lab import MachineLab
from vm.namespaces import Lab, LabError
from vm.service import Service
from vm.topology import FIREWALL
from vm.waiting import wait_until

# of files about what only a machine has, or the kernel in it
MACHINE_ONLY = pytest.mark.parametrize(
    "lab", [pytest.param("vm", marks=pytest.mark.vm)], indirect=True, scope="session"
)


def firewall_in(lab: Lab, config: Path) -> Firewall | Service:
    return Service(lab, config) if isinstance(lab, MachineLab) else Firewall(lab, config)


@contextlib.contextmanager
def addresses(lab: Lab, host: str, *more: str) -> Iterator[None]:
    """Further addresses of a host's eth0, for as long as the block lasts."""
    shell(lab, host, *(f"ip address add {one} dev eth0 nodad" for one in more))
    try:
        yield
    finally:
        shell(lab, host, *(f"ip address del {one} dev eth0" for one in more))


def kill_dataplane(firewall: Firewall) -> None:
    """As a crash does; the management process starts another."""
    done = firewall.lab.run(FIREWALL, ["pkill", "-KILL", "-f", "dataplane[.]process"])
    assert done.returncode == 0, done.stderr


def await_management(firewall: Firewall) -> None:
    """After its crash: started again here, where no service manager does it."""
    if isinstance(firewall, Firewall):
        firewall.start()
        return

    def answers() -> bool:
        with contextlib.suppress(LabError):
            return bool(firewall.ask("show system info"))
        return False

    wait_until(answers, "the management process answers again", seconds=60)
