"""What the machine must offer before the firewall touches anything."""

import shutil
import subprocess
from pathlib import Path

from control.system import hook

_CAP_NET_ADMIN = 12  # linux/capability.h
_QUEUE = Path("/proc/net/netfilter/nfnetlink_queue")
_PROGRAM_DIRECTORIES = "/usr/sbin:/sbin:/usr/bin:/bin"
_LOAD_S = 10


def problems() -> list[str]:
    """What is missing and what to do about it, a line each."""
    if not _may_administer():
        return ["no privilege to change the network: start as root, or with CAP_NET_ADMIN"]
    result = []
    if missing := hook.missing_tools():
        result.append(f"{', '.join(missing)} not found: install the package iptables")
    if not _QUEUE.exists():
        _load_queue_module()
    if not _QUEUE.exists():
        result.append("the kernel has no NFQUEUE: load it with 'modprobe nfnetlink_queue'")
    return result


def _may_administer() -> bool:
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "CapEff":
            return bool(int(value, 16) >> _CAP_NET_ADMIN & 1)
    return False


def _load_queue_module() -> None:
    if modprobe := shutil.which("modprobe", path=_PROGRAM_DIRECTORIES):
        command = [modprobe, "--quiet", "nfnetlink_queue"]
        subprocess.run(command, capture_output=True, timeout=_LOAD_S, check=False)
