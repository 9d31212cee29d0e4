"""The service in its machine: what systemd does with it, what it tells systemd and the journal."""

import json
import re
import select
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.inline import MACHINE_ONLY
from tests.support.labs import hook_rules
from tests.support.nat_lab import shell
from vm.launcher import CONSOLE
from vm.machine_lab import MachineLab
from vm.namespaces import LabError
from vm.service import CONFIG, UNIT, Service
from vm.topology import FIREWALL
from vm.waiting import wait_until

pytestmark = MACHINE_ONLY

_EXPOSED_AT_MOST = {"sixtuple": 2.1, "sixtuple-console": 1.0}  # of 10, as systemd-analyze has it


@pytest.mark.parametrize("unit", _EXPOSED_AT_MOST)
@pytest.mark.usefixtures("firewall")
def test_it_is_shut_in(lab: MachineLab, unit: str) -> None:
    shown = shell(lab, FIREWALL, f"systemd-analyze security --no-pager {unit} | tail -n 1")
    figure = re.search(r"level for \S+: ([\d.]+)", shown)
    assert figure, shown
    assert float(figure[1]) <= _EXPOSED_AT_MOST[unit]


def test_the_journal_has_gravity_and_each_time_once(lab: MachineLab, firewall: Service) -> None:
    firewall.kill_management()
    wait_until(lambda: "taken over" in firewall.said(), "it is started again", seconds=120)
    (pid,) = firewall.dataplanes()
    shell(lab, FIREWALL, f"kill -KILL {pid}")
    wait_until(lambda: "runs again" in firewall.said(), "the dataplane runs again", seconds=120)
    shown = shell(lab, FIREWALL, f"journalctl -b -q -o json _SYSTEMD_UNIT={UNIT}")
    entries = [json.loads(line) for line in shown.splitlines()]
    gravity = {entry["MESSAGE"]: int(entry["PRIORITY"]) for entry in entries}
    assert gravity[f"dataplane {pid} ended; starting it again"] == 3  # syslog(3): an error
    # one for each start of the machine's life
    assert {number for text, number in gravity.items() if "started, state in" in text} == {6}
    assert not [message for message in gravity if re.match(r"<\d>|\d{4}-", message)]


@pytest.fixture
def console(lab: MachineLab) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as console:
        console.connect(str(lab.path(CONSOLE)))
        console.setblocking(False)
        yield console


def await_on(console: socket.socket, wanted: bytes, seconds: float = 120) -> None:
    shown = bytearray()

    def is_there() -> bool:
        if select.select([console], [], [], 0.2)[0]:
            shown.extend(console.recv(65536))
        return wanted in shown

    wait_until(is_there, f"{wanted!r} on the console", seconds=seconds)


def test_the_console_has_the_command_line_and_waits_for_the_firewall(
    firewall: Service, console: socket.socket
) -> None:
    console.send(b"\r")
    await_on(console, b"admin@lab>")
    console.send(b"show system info\r")
    await_on(console, b"operational-mode: normal")
    firewall.stop()
    console.send(b"exit\r")
    await_on(console, b"waiting for the firewall")
    firewall.start()
    await_on(console, b"admin@lab>")


def test_a_stop_leaves_nothing(lab: MachineLab, firewall: Service) -> None:
    assert hook_rules(lab)
    assert firewall.stop() == 0
    assert not [line for line in hook_rules(lab) if line.startswith("-")]
    assert not firewall.dataplanes()
    switches = "/proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding"
    assert shell(lab, FIREWALL, f"cat {switches}").split() == ["0", "0"]
    assert "192.0.2." not in shell(lab, FIREWALL, "ip address")
    firewall.start()


def test_a_refused_configuration_is_said_by_the_journal(
    lab: MachineLab, firewall: Service, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.set"
    bad.write_text("nonsense\n")
    with pytest.raises(LabError, match=rf'{CONFIG}:1: error: unknown command "nonsense"'):
        Service(lab, bad).start()
    firewall.start()


def test_a_dataplane_that_forwards_alone_is_found_after_a_stop(
    lab: MachineLab, firewall: Service
) -> None:
    # somebody breaks the file, then the management process dies and cannot come back
    dataplanes = firewall.dataplanes()
    shell(lab, FIREWALL, f"cp -p {CONFIG} {CONFIG}.good", f"echo nonsense >>{CONFIG}")
    firewall.kill_management()
    wait_until(lambda: 'command "nonsense"' in firewall.said(), "it is refused", seconds=120)
    assert firewall.dataplanes() == dataplanes
    shell(lab, FIREWALL, f"systemctl stop {UNIT}", f"mv {CONFIG}.good {CONFIG}")
    shell(lab, FIREWALL, f"systemctl start {UNIT}")
    assert firewall.dataplanes() == dataplanes
    assert f"dataplane {dataplanes[0]} taken over" in firewall.said()


def test_without_a_configuration_it_has_the_one_that_was_shipped(
    lab: MachineLab, firewall: Service
) -> None:
    shell(lab, FIREWALL, f"rm {CONFIG}", f"systemctl restart {UNIT}")
    assert shell(lab, FIREWALL, f"diff {CONFIG} /usr/share/sixtuple/config.set") == ""


def test_options_are_in_force_while_they_are_wanted(lab: MachineLab, firewall: Service) -> None:
    Service(lab, firewall.config, "--platform", "software").start()
    assert "platform-family: software" in firewall.ask("show system info")
    firewall.start()
    assert "platform-family: software" not in firewall.ask("show system info")
