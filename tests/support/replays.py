"""`sixtuple replay` for tests: a configuration like the firewall of packets.py, and a run."""

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from tests.support.captures import write
from tests.support.packets import NS
from tests.support.private import ROOT

START_S = 1_700_000_000  # 2023/11/14 22:13:20 UTC

CONFIG = """
set network interface ethernet ethernet1/1 layer3 ip 192.0.2.1/24
set network interface ethernet ethernet1/1 layer3 ipv6 enabled yes address 2001:db8:1::1/64
set network interface ethernet ethernet1/2 layer3 ip 198.51.100.1/24
set network interface ethernet ethernet1/2 layer3 ipv6 enabled yes address 2001:db8:2::1/64
set network interface ethernet ethernet2/3 layer3 ip 203.0.113.1/24
set network virtual-router default interface [ ethernet1/1 ethernet1/2 ethernet2/3 ]
set network virtual-router default routing-table ip static-route a destination 10.0.0.0/8
set network virtual-router default routing-table ip static-route a nexthop ip-address 192.0.2.9
set zone trust network layer3 ethernet1/1
set zone untrust network layer3 ethernet1/2
set zone dmz network layer3 ethernet2/3
set rulebase security rules out from trust to untrust source any destination any
set rulebase security rules out application any service any action allow
set rulebase default-security-rules rules interzone-default action deny log-end yes
"""


def config(folder: Path, *lines: str) -> Path:
    path = folder / "firewall.set"
    path.write_text("\n".join([CONFIG, *lines]))
    return path


def capture(path: Path, packets: Iterable[tuple[float, bytes]], link: int = 101) -> Path:
    """Packets with seconds since START_S."""
    frames = ((START_S * NS + round(at_s * NS), data) for at_s, data in packets)
    return write(path, frames, link)


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-W", "error", "-m", "control.main", "replay", *map(str, arguments)]


def replay(
    *arguments: str | Path, input: bytes | None = None
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command(*arguments), cwd=ROOT, input=input, capture_output=True, timeout=60, check=False
    )


def records(output: bytes) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Of JSON lines: entries of the logs, and the summary."""
    *entries, summary = [msgspec.json.decode(line) for line in output.splitlines()]
    assert all(entry["record"] in ("traffic", "threat") for entry in entries)
    assert summary["record"] == "summary"
    return entries, summary
