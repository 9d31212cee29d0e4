"""The machine starts anew and finds its configuration; then it goes off, and nothing is left.

Nothing can follow that: conftest.py has this file come last.
"""

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.inline import MACHINE_ONLY
from tests.support.labs import commit, has_ended, namespaces_in_use
from tests.support.nat_lab import shell
from vm import traffic
from vm.firewall import CONFIG
from vm.machine_lab import MachineLab
from vm.namespaces import LabError, kill
from vm.service import Service
from vm.topology import DMZ, FIREWALL, PING_TARGET
from vm.waiting import wait_until

pytestmark = MACHINE_ONLY

TO_DMZ = (
    "set rulebase security rules to-dmz from trust to dmz source any destination any"
    " application any service any action allow\n"
)
PINGS_DMZ = ["ping", "-n", "-c", "1", "-W", "2", DMZ]
_FORWARDS_WITHIN_S = 120


@pytest.fixture(scope="module")
def firewall(lab: MachineLab, tmp_path_factory: pytest.TempPathFactory) -> Service:
    path = tmp_path_factory.mktemp("firewall") / "config.set"
    path.write_text(CONFIG.read_text())
    service = Service(lab, path)
    service.start()
    return service


class Pinging:
    """The client pings through the firewall; when it got answers."""

    def __init__(self, lab: MachineLab) -> None:
        self._process = lab.popen("client", ["ping", "-n", "-D", "-i", "0.1", PING_TARGET])

    def answered(self) -> list[float]:
        """In seconds since the epoch; ends it."""
        os.killpg(self._process.pid, signal.SIGINT)
        said = self._process.communicate(timeout=20)[0]
        return [float(text) for text in re.findall(r"(?m)^\[([\d.]+)\] \d+ bytes from", said)]

    def close(self) -> None:
        kill(self._process)


@pytest.fixture
def pinging(lab: MachineLab) -> Iterator[Pinging]:
    shell(lab, "client", f"ping -n -c 1 -W 5 {PING_TARGET}")
    pinging = Pinging(lab)
    yield pinging
    pinging.close()


def kernel_began_s(lab: MachineLab) -> float:
    """Seconds since the epoch by this host's clock."""
    before = time.time()  # noqa: TID251 - the machine's clock is another
    uptime_s = float(shell(lab, FIREWALL, "cat /proc/uptime").split()[0])
    return (before + time.time()) / 2 - uptime_s  # noqa: TID251


def parts_s(lab: MachineLab) -> dict[str, float]:
    """What of the boot was done when, in seconds after the kernel began."""

    def shown(name: str, *unit: str) -> float:
        return int(shell(lab, FIREWALL, " ".join(["systemctl show --value -p", name, *unit]))) / 1e6

    return {
        "kernel": shown("UserspaceTimestampMonotonic"),
        "agent": shown("ActiveEnterTimestampMonotonic", "qemu-guest-agent"),
        "service ready": shown("ActiveEnterTimestampMonotonic", "sixtuple"),
    }


def pings_dmz(lab: MachineLab) -> bool:
    return lab.run("client", PINGS_DMZ).returncode == 0


def passes_as_expected(lab: MachineLab) -> bool:
    """The clients give up early; a machine that has just been booted may still be slow."""
    return all(one.as_expected for one in traffic.attempts(lab) if one.attempt.target != DMZ)


def test_after_a_reboot_configuration_and_firewall_are_back(
    lab: MachineLab, firewall: Service, pinging: Pinging, tell: Callable[[str, str], None]
) -> None:
    assert not pings_dmz(lab)
    commit(firewall, CONFIG.read_text() + TO_DMZ)
    assert pings_dmz(lab)
    lab.machine.reboot()
    wait_until(lambda: pings_dmz(lab), "what was committed passes", seconds=_FORWARDS_WITHIN_S)
    assert "to-dmz" in firewall.ask("show running security-policy")
    wait_until(lambda: passes_as_expected(lab), "all goes as before", seconds=_FORWARDS_WITHIN_S)
    began_s = kernel_began_s(lab)
    first_s = next(moment for moment in pinging.answered() if moment > began_s) - began_s
    parts = ", ".join(f"{name} {at_s:.1f}" for name, at_s in parts_s(lab).items())
    tell("boot to forwarding", f"{first_s:.1f} s after the kernel began ({parts})")


def test_a_commit_is_there_after_a_power_cut_at_once(lab: MachineLab, firewall: Service) -> None:
    commit(firewall, CONFIG.read_text() + TO_DMZ.replace("to-dmz", "before-the-cut"))
    lab.machine.kill()
    lab.machine.start()
    wait_until(lambda: pings_dmz(lab), "what was committed passes", seconds=_FORWARDS_WITHIN_S)
    assert "before-the-cut" in firewall.ask("show running security-policy")


def test_after_a_shutdown_nothing_is_left(lab: MachineLab, firewall: Service) -> None:
    namespaces = {lab.path(Path("/run/netns") / host).stat().st_ino for host in lab.hosts}
    processes = [pid for _, pid, _ in lab.processes()]
    assert namespaces & namespaces_in_use()
    lab.machine.shut_down()
    assert not any("qemu" in command for _, _, command in lab.processes())
    with pytest.raises(LabError):
        firewall.ask("show system info")
    lab.stop()
    wait_until(lambda: all(map(has_ended, processes)), "every process has ended", seconds=10)
    wait_until(lambda: not namespaces & namespaces_in_use(), "no namespace is in use", seconds=10)
