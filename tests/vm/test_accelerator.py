"""KVM or software emulation: what a pretended qemu does under KVM decides, and quickly."""

import os
import time
from pathlib import Path

import pytest

from vm import accelerator
from vm.namespaces import LabError

CAN, CANNOT = "flags\t\t: fpu vmx sse\n", "flags\t\t: fpu sse\n"
SPEAKS = 'echo "[    0.000000] Linux version 6.1.0"; exec sleep 600'
BOOT_ID = "3a1c"


class Host:
    """What accelerator.py looks at, pretended below a directory."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self._bin = root / "bin"
        self.tried = root / "tried"
        self.kvm, self.cpu_info = root / "kvm", root / "cpuinfo"
        self.boot_id, self.cache = root / "boot_id", root / "build/vm/accelerator"
        self._bin.mkdir()
        self.kvm.touch()
        self.cpu_info.write_text(CAN)
        self.boot_id.write_text(f"{BOOT_ID}\n")
        self.program(SPEAKS)
        monkeypatch.setenv("PATH", f"{self._bin}:{os.environ['PATH']}")
        for name, path in {
            "_DEVICE": self.kvm,
            "_CPU_INFO": self.cpu_info,
            "_BOOT_ID": self.boot_id,
            "CACHE": self.cache,
        }.items():
            monkeypatch.setattr(accelerator, name, path)

    def program(self, script: str) -> None:
        qemu = self._bin / accelerator.QEMU
        qemu.write_text(f'#!/bin/sh\necho "$@" >>{self.tried}\n{script}\n')
        qemu.chmod(0o755)

    def trials(self) -> int:
        return len(self.tried.read_text().splitlines()) if self.tried.exists() else 0

    def choose(self) -> str:
        return accelerator.choose(Path("vmlinuz"))


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("script", "chosen"),
    [
        pytest.param(SPEAKS, "kvm", id="boots"),
        pytest.param("echo SeaBIOS; sleep 0.2; " + SPEAKS, "kvm", id="boots after a while"),
        pytest.param("echo 'KVM internal error' >&2; exit 1", "tcg", id="stops"),
        pytest.param("echo SeaBIOS; exec sleep 600", "tcg", id="stalls"),
        pytest.param("trap '' TERM; while :; do echo; done", "tcg", id="babbles"),
    ],
)
def test_the_kernels_first_line_decides(
    host: Host, script: str, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accelerator, "_FIRST_LINE_WITHIN_S", 1.5)
    host.program(script)
    began = time.monotonic()  # noqa: TID251
    assert host.choose() == chosen
    assert time.monotonic() - began < 6  # noqa: TID251
    assert host.trials() == 1
    assert "-accel kvm" in host.tried.read_text()


def without_flags(host: Host) -> None:
    host.cpu_info.write_text(CANNOT)


def without_device(host: Host) -> None:
    host.kvm.unlink()


def with_a_device_that_does_not_open(host: Host) -> None:
    host.kvm.unlink()
    host.kvm.mkdir()


@pytest.mark.parametrize("lacks", [without_flags, without_device, with_a_device_that_does_not_open])
def test_what_cannot_be_is_not_tried(host: Host, lacks: object) -> None:
    assert callable(lacks)
    lacks(host)
    assert host.choose() == "tcg"
    assert host.trials() == 0


@pytest.mark.parametrize("chosen", ["kvm", "tcg"])
def test_the_answer_holds_until_the_host_boots_again(host: Host, chosen: str) -> None:
    host.program(SPEAKS if chosen == "kvm" else "exit 1")
    assert [host.choose(), host.choose()] == [chosen, chosen]
    assert host.trials() == 1
    host.boot_id.write_text("4b2d\n")
    assert host.choose() == chosen
    assert host.trials() == 2


def test_the_device_is_looked_at_each_time(host: Host) -> None:
    assert host.choose() == "kvm"
    host.kvm.unlink()
    assert host.choose() == "tcg"


@pytest.mark.parametrize("content", ["", f"{BOOT_ID}", f"{BOOT_ID} xen\n", "\n\n"])
def test_an_answer_that_cannot_be_read_is_none(host: Host, content: str) -> None:
    host.cache.parent.mkdir(parents=True)
    host.cache.write_text(content)
    assert host.choose() == "kvm"
    assert host.trials() == 1


def test_without_qemu_its_package_is_named(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerator, "QEMU", "no-such-qemu")
    with pytest.raises(LabError, match=r"apt-get install qemu-system-x86$"):
        host.choose()
