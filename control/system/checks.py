"""What the machine must offer before the firewall touches anything."""

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from control.system import hook, modes
from dataplane.snapshot import Port

_CAP_NET_ADMIN, _CAP_NET_RAW = 12, 13  # linux/capability.h
_NEEDED = {"change the network": _CAP_NET_ADMIN, "send packets of its own": _CAP_NET_RAW}
_QUEUE = Path("/proc/net/netfilter/nfnetlink_queue")
_BRIDGES = Path("/proc/sys/net/bridge")
_PROGRAM_DIRECTORIES = "/usr/sbin:/sbin:/usr/bin:/bin"
_LOAD_S = 10


def problems(ports: Iterable[Port]) -> list[str]:
    """What is missing for these ports and what to do about it, a line each."""
    if missing := [what for what, bit in _NEEDED.items() if not _capabilities() >> bit & 1]:
        return [
            f"no privilege to {' and '.join(missing)}: "
            "start as root, or with CAP_NET_ADMIN and CAP_NET_RAW"
        ]
    result = []
    if missing := hook.missing_tools():
        result.append(f"{', '.join(missing)} not found: install the package iptables")
    elif os.geteuid() and hook.has_legacy_tools():
        result.append(
            "iptables is the legacy one, which root alone may use: "
            "'update-alternatives --set iptables /usr/sbin/iptables-nft', likewise ip6tables"
        )
    if not _QUEUE.exists():
        _load("nfnetlink_queue")
    if not _QUEUE.exists():
        result.append("the kernel has no NFQUEUE: load it with 'modprobe nfnetlink_queue'")
    if bridged := [port.name for port in ports if port.mode in modes.BRIDGED]:
        if not _BRIDGES.exists():
            _load("br_netfilter")
        if not _BRIDGES.exists():
            result.append(
                f"{', '.join(bridged)}: the kernel cannot filter what is bridged: "
                "load that with 'modprobe br_netfilter'"
            )
    return result


def _capabilities() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "CapEff":
            return int(value, 16)
    return 0


def _load(module: str) -> None:
    if modprobe := shutil.which("modprobe", path=_PROGRAM_DIRECTORIES):
        command = [modprobe, "--quiet", module]
        subprocess.run(command, capture_output=True, timeout=_LOAD_S, check=False)
