"""KVM or software emulation: which of the two really runs a kernel here.

That /dev/kvm is there and opens says little: where the processor only pretends, KVM opens and then
stops or stalls in the guest. So the kernel is booted under it until its first line; the answer
holds until this host boots again.
"""

import contextlib
import os
import select
import shutil
import subprocess
from pathlib import Path

from vm.launcher import PROCESSORS, QEMU
from vm.namespaces import CHECKOUT, LabError, environment
from vm.waiting import now_s

KVM, TCG = "kvm", "tcg"
CACHE = CHECKOUT / "build/vm/accelerator"
_DEVICE = Path("/dev/kvm")
_CPU_INFO = Path("/proc/cpuinfo")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_FIRST_LINE_WITHIN_S = 10
_FIRST_LINE = b"Linux version"
NAMES = {KVM: "KVM", TCG: "software emulation"}


def choose(kernel: Path) -> str:
    """The better one of those that work. Raises LabError where qemu is missing."""
    check_qemu()
    if not _seems_possible():
        return TCG
    boot_id = _BOOT_ID.read_text().strip()
    if (known := _cached(boot_id)) is None:
        known = KVM if _boots(kernel) else TCG
        with contextlib.suppress(OSError):  # a checkout of somebody else's: tried each time
            CACHE.parent.mkdir(parents=True, exist_ok=True)
            CACHE.write_text(f"{boot_id} {known}\n")
    return known


def check_qemu() -> None:
    if not shutil.which(QEMU, path=environment()["PATH"]):
        raise LabError("the machine needs qemu: apt-get install qemu-system-x86")


def _seems_possible() -> bool:
    """The processor says it can, and we may use the device: needs no trial to be false."""
    flags = {
        flag
        for line in _CPU_INFO.read_text().splitlines()
        if line.startswith("flags")
        for flag in line.split()
    }
    if not flags & {"vmx", "svm"}:
        return False
    try:
        os.close(os.open(_DEVICE, os.O_RDWR | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def _cached(boot_id: str) -> str | None:
    try:
        boot, _, known = CACHE.read_text().strip().partition(" ")
    except OSError:
        return None
    return known if boot == boot_id and known in PROCESSORS else None


def _boots(kernel: Path) -> bool:
    """Whether the kernel says its first line in time; what comes of it then does not matter."""
    command = [
        *("setpriv", "--pdeathsig", "KILL"),
        *(QEMU, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-M", "q35", *PROCESSORS[KVM], "-m", "256M", "-serial", "stdio"),
        *("-kernel", str(kernel), "-append", "console=ttyS0 panic=-1"),
    ]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment(),
    )
    said = b""
    deadline = now_s() + _FIRST_LINE_WITHIN_S
    with process:
        assert process.stdout
        try:
            while _FIRST_LINE not in said:
                left_s = deadline - now_s()
                if left_s <= 0 or not select.select([process.stdout], [], [], left_s)[0]:
                    return False
                data = os.read(process.stdout.fileno(), 65536)
                if not data:
                    return False
                said = said[-len(_FIRST_LINE) :] + data
            return True
        finally:
            process.kill()
