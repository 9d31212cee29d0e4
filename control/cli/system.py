"""`show clock`, `show system`, `set system setting` and `show config`."""

from __future__ import annotations

import time
from collections.abc import Iterable

from control.cli.answers import RefusedError, ask
from control.management import DataplaneUnavailable, Management
from dataplane.messages import Done, GetStatus, SetPacketThreats, Status


def clock(management: Management) -> str:
    now = time.localtime(management.now_ns() // 10**9)
    return time.strftime("%a %b %d %H:%M:%S %Z %Y", now) + "\n"


async def info(management: Management) -> str:
    """What this firewall knows of itself, under the device's labels."""
    now_s = management.now_ns() // 10**9
    minutes, seconds = divmod(max(now_s - management.started_ns // 10**9, 0), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    facts = [
        ("hostname", management.hostname),
        ("time", time.ctime(now_s)),
        ("uptime", f"{days} days, {hours}:{minutes:02d}:{seconds:02d}"),
        ("family", "vm"),
        ("model", "Sixtuple"),
        ("serial", "unknown"),
        ("sw-version", management.version),
        ("platform-family", await _platform(management)),
        ("multi-vsys", "off"),
        ("operational-mode", "normal"),
    ]
    return "".join(f"{label}: {value}\n" for label, value in facts)


async def _platform(management: Management) -> str:
    try:
        return (await ask(management, GetStatus(), Status)).platform
    except (DataplaneUnavailable, RefusedError):
        return "unknown"


async def set_threat_log(management: Management, enabled: bool) -> str:
    """Whether single packets that zone protection drops are logged as threats, too."""
    await ask(management, SetPacketThreats(enabled), Done)
    return f"Additional threat log: {_on_off(enabled)} (until the dataplane restarts)\n"


async def threat_log(management: Management) -> str:
    status = await ask(management, GetStatus(), Status)
    return f"Additional threat log: {_on_off(status.packet_threats)}\n"


def _on_off(enabled: bool) -> str:
    return "on" if enabled else "off"


def config(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
