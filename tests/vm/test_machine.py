"""A machine that does not come up says why, in one line; one that does is booted and ended."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.labs import has_ended
from vm import accelerator, image, machine, run, taps
from vm.image import Image
from vm.lab import main
from vm.launcher import QEMU
from vm.machine import Machine
from vm.machine_lab import MachineLab
from vm.namespaces import CHECKOUT, Lab, LabError
from vm.topology import FIREWALL
from vm.waiting import wait_until

QUEUES = 2


# ---- with a pretended qemu -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def links() -> Iterator[MachineLab]:
    """A lab without a machine yet."""
    with MachineLab.start(lambda _: None) as lab:
        yield lab


@pytest.fixture
def pretended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The program that is taken for qemu."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setattr(accelerator, "choose", lambda kernel: accelerator.TCG)
    monkeypatch.setattr(machine, "_BOOTED_WITHIN_S", {accelerator.TCG: 2})
    return tmp_path / "bin" / QEMU


def qemus(lab: Lab) -> list[str]:
    return [command for _, _, command in lab.processes() if "sleep 600" in command]


@pytest.mark.netns
@pytest.mark.parametrize(
    ("script", "message"),
    [
        pytest.param(
            "echo 'qemu: cannot set up guest memory: Cannot allocate memory' >&2; exit 1",
            r"the machine ended: qemu: cannot set up guest memory",
            id="ends with a word",
        ),
        pytest.param("exit 1", "the machine ended: qemu does not say why", id="ends without"),
        pytest.param(
            "exec sleep 600", "did not boot within 2 s; its last lines: none", id="stalls"
        ),
        pytest.param(
            r"printf 'one\r\n\033[0;31mtwo\033[0m\r\n' >/run/lab/serial.log; exec sleep 600",
            r"did not boot within 2 s; its last lines: one \| two$",
            id="stalls after some lines",
        ),
        pytest.param(
            "echo '[ 2.1] Kernel panic - not syncing' >/run/lab/serial.log; exec sleep 600",
            "the machine's kernel gave up: .*Kernel panic - not syncing",
            id="panics",
        ),
    ],
)
def test_a_machine_that_does_not_boot(
    links: MachineLab, pretended: Path, script: str, message: str
) -> None:
    pretended.write_text(f"#!/bin/sh\n{script}\n")
    pretended.chmod(0o755)
    nothing = Machine(links, Image(Path("/no/kernel"), Path("/no/root")), cpus=QUEUES)
    with pytest.raises(LabError, match=message) as failure:
        nothing.start()
    assert "\n" not in str(failure.value)
    assert qemus(links) == []


@pytest.mark.netns
def test_too_little_memory_is_said(
    links: MachineLab, pretended: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "MEMORY_MIB", 1 << 30)
    nothing = Machine(links, Image(Path("/no/kernel"), Path("/no/root")))
    with pytest.raises(LabError, match=r"needs 1073741824 MiB of memory; \d+ MiB are free"):
        nothing.start()


def refused(*_: object) -> int:
    raise PermissionError(13, "Permission denied")


def test_no_right_to_taps_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "open", refused)
    with pytest.raises(LabError, match=r"no right to use /dev/net/tun.*chmod 0666 /dev/net/tun"):
        MachineLab.start(lambda _: None)


def test_a_kernel_without_taps_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taps, "TUN", tmp_path / "tun")
    with pytest.raises(LabError, match=r"no .*/tun \(No such file.*modprobe tun"):
        MachineLab.start(lambda _: None)


def test_without_qemu_there_is_not_even_a_lab(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerator, "QEMU", "no-such-qemu")
    steps: list[str] = []
    with pytest.raises(LabError, match="apt-get install qemu-system-x86"):
        MachineLab.boot(Image(Path("/no/kernel"), Path("/no/root")), steps.append)
    assert steps == []


@pytest.mark.parametrize(
    ("where", "missing", "message"),
    [
        (accelerator, {"QEMU": "no-such-qemu"}, "apt-get install qemu-system-x86"),
        (taps, {"TUN": Path("/no/tun")}, "modprobe tun"),
    ],
)
def test_what_is_missing_is_said_before_an_image_is_built(
    where: ModuleType,
    missing: dict[str, object],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def build(_: object) -> None:
        raise AssertionError("an image was built")

    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(accelerator, "QEMU", "true")  # also where there is no qemu
    for name, value in missing.items():
        monkeypatch.setattr(where, name, value)
    monkeypatch.setattr(image, "build", build)
    assert main(["up", "--vm"]) == 2
    assert message in capfd.readouterr().err
    assert run.main() == 2
    assert message in capfd.readouterr().err


@pytest.mark.parametrize("program", ["vm.run", "vm.demo"])
def test_where_nobody_reads_the_output_it_ends_without_a_word(program: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", program],
            stdin=subprocess.DEVNULL,
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            cwd=CHECKOUT,
            timeout=60,
            check=False,
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (130, "")


# ---- with a real one -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def built() -> Image:
    return image.build(lambda _: None)


@pytest.fixture(scope="module")
def lab(built: Image) -> Iterator[MachineLab]:
    with MachineLab.boot(built, lambda _: None, cpus=QUEUES) as lab:
        yield lab


def shell(lab: MachineLab, script: str) -> str:
    done = lab.run(FIREWALL, ["sh", "-ec", script], timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.vm
def test_a_root_without_a_file_system_is_said_by_the_kernel(built: Image, tmp_path: Path) -> None:
    empty = tmp_path / "root.ext2"
    empty.write_bytes(bytes(1 << 20))
    with pytest.raises(LabError, match=r"the machine's kernel gave up: .*Kernel panic"):
        MachineLab.boot(built._replace(root=empty), lambda _: None)


@pytest.mark.vm
def test_a_command_in_the_machine(lab: MachineLab) -> None:
    done = lab.run(FIREWALL, ["sh", "-c", "uname -n; echo to stderr >&2; exit 7"])
    assert (done.stderr, done.returncode) == ("to stderr\n", 7)
    with pytest.raises(subprocess.TimeoutExpired):
        lab.run(FIREWALL, ["sleep", "1234"], timeout=1)
    assert lab.run(FIREWALL, ["pgrep", "-f", "sleep 1234"]).returncode == 1


@pytest.mark.vm
@pytest.mark.parametrize("port", range(6))
def test_ports_come_in_order_with_their_queues(lab: MachineLab, port: int) -> None:
    address = shell(lab, f"cat /sys/class/net/eth{port}/address")
    assert address == f"52:54:00:00:00:0{port}\n"
    queues = shell(lab, f"ls -d /sys/class/net/eth{port}/queues/rx-* | wc -l")
    assert int(queues) == (QUEUES if port < 5 else 1)


@pytest.mark.vm
@pytest.mark.parametrize("plug", ["off", "pulled", "reboot"])
def test_data_outlives_the_machine_and_nothing_else_does(
    lab: MachineLab, built: Image, plug: str
) -> None:
    written = built.root.stat().st_mtime_ns
    kept, lost = Path(f"/var/lib/sixtuple/{plug}"), Path(f"/run/{plug}")
    for path in (kept, lost):
        lab.agent.write(path, plug.encode(), 0o600)
    shell(lab, "sync")
    match plug:
        case "off":
            lab.machine.shut_down()
        case "pulled":
            lab.machine.kill()
        case _:
            lab.machine.reboot()
    if plug != "reboot":
        with pytest.raises(LabError, match="the machine does not run"):
            shell(lab, "true")
        lab.machine.start()
    assert lab.machine.boot_s > 0
    assert lab.agent.read(kept) == plug.encode()
    with pytest.raises(LabError, match="No such file"):
        lab.agent.read(lost)
    assert built.root.stat().st_mtime_ns == written


@pytest.mark.vm
def test_two_machines_share_an_image(lab: MachineLab, built: Image) -> None:
    with MachineLab.boot(built, lambda _: None) as other:
        other.agent.write(Path("/run/only-here"), b"", 0o600)
        assert lab.run(FIREWALL, ["test", "-e", "/run/only-here"]).returncode == 1


@pytest.mark.vm
def test_a_killed_holder_takes_the_machine_along(lab: MachineLab) -> None:
    processes = [pid for _, pid, _ in lab.processes()]
    assert any("qemu" in command for _, _, command in lab.processes())
    os.kill(lab.holder, signal.SIGKILL)
    wait_until(lambda: all(map(has_ended, processes)), "every process has ended", seconds=10)
