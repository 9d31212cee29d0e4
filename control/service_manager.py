"""What the firewall tells the service manager that started it, where one did: systemd's protocol.

A datagram of NAME=VALUE lines to $NOTIFY_SOCKET says how it goes (sd_notify(3)). Where standard
error leads to the journal, lines say how grave they are (sd-daemon(3)) and leave the time to it.
"""

import asyncio
import contextlib
import logging
import os
import socket
import sys

_PRIORITIES = {logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6}  # as syslog(3) has them


def notify(*lines: str) -> None:
    """A manager that has gone is none."""
    if path := os.environ.get("NOTIFY_SOCKET"):
        address = "\0" + path[1:] if path.startswith("@") else path
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            with contextlib.suppress(OSError):
                sock.sendto("\n".join(lines).encode(), address)


async def keep_watchdog() -> None:
    """Says that the loop turns, twice as often as the manager wants to hear it; for ever."""
    wanted_us = os.environ.get("WATCHDOG_USEC", "")
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        wanted_us = ""  # it is another process that is watched
    if not wanted_us.isdecimal() or not int(wanted_us):
        await asyncio.Event().wait()
    while True:
        notify("WATCHDOG=1")
        await asyncio.sleep(int(wanted_us) / 2e6)


def log_to_stderr() -> None:
    """The log of this process: for the journal with priorities, for anybody else with times."""
    handler = logging.StreamHandler()
    if _is_journal():
        handler.setFormatter(_Journal())
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def refuse(lines: tuple[str, ...]) -> None:
    """Why there will be no firewall."""
    prefix = f"<{_PRIORITIES[logging.ERROR]}>" if _is_journal() else ""
    for line in lines:
        print(f"{prefix}{line}", file=sys.stderr)
    notify(f"STATUS={lines[0]}")


class _Journal(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        priority = _PRIORITIES.get(record.levelno, 6)
        return "\n".join(f"<{priority}>{line}" for line in super().format(record).splitlines())


def _is_journal() -> bool:
    try:
        status = os.fstat(2)
    except OSError:
        return False  # it is closed
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"
