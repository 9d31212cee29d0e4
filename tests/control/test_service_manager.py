"""What a service manager is told, and how the log looks in its journal."""

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from control import service_manager
from tests.support.private import ROOT


@pytest.mark.parametrize("is_abstract", [False, True])
def test_a_datagram_says_how_it_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_abstract: bool
) -> None:
    name = f"{'@' if is_abstract else ''}{tmp_path}/notify"
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    service_manager.notify("READY=1")  # a manager that is not there is none
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name.replace("@", "\0"))
        manager.setblocking(False)
        service_manager.notify("READY=1", "STATUS=forwarding")
        assert manager.recv(100) == b"READY=1\nSTATUS=forwarding"
        monkeypatch.delenv("NOTIFY_SOCKET")
        service_manager.notify("READY=1")
        with pytest.raises(BlockingIOError):
            manager.recv(100)


@pytest.mark.parametrize(
    ("environment", "is_kept"),
    [
        ({"WATCHDOG_USEC": "20000"}, True),
        ({"WATCHDOG_USEC": "20000", "WATCHDOG_PID": "1"}, False),
        ({"WATCHDOG_USEC": "20000", "WATCHDOG_PID": str(os.getpid())}, True),
        ({"WATCHDOG_USEC": "0"}, False),
        ({"WATCHDOG_USEC": "soon"}, False),
        ({}, False),
    ],
)
def test_the_watchdog_is_kept_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], is_kept: bool
) -> None:
    for name in ("WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    said: list[str] = []
    monkeypatch.setattr(service_manager, "notify", said.append)

    async def keep() -> None:
        # twice is on time; without a watchdog nothing is said however long one waits
        async with asyncio.timeout(10 if is_kept else 0.05):
            keeping = asyncio.create_task(service_manager.keep_watchdog())
            try:
                while len(said) < 2:
                    await asyncio.sleep(0.001)
            finally:
                keeping.cancel()

    if is_kept:
        asyncio.run(keep())
    else:
        with pytest.raises(TimeoutError):
            asyncio.run(keep())
    assert set(said) == ({"WATCHDOG=1"} if is_kept else set())


SAY = """
import logging, os, sys
from control import service_manager
if "journal" in sys.argv:
    status = os.fstat(2)
    os.environ["JOURNAL_STREAM"] = f"{status.st_dev}:{status.st_ino}"
service_manager.log_to_stderr()
logging.info("line")
logging.warning("two\\nlines")
logging.error("grave")
service_manager.refuse(("why", "and why"))
"""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["journal"], ["<6>line", "<4>two", "<4>lines", "<3>grave", "<3>why", "<3>and why"]),
        ([], ["INFO line", "WARNING two", "lines", "ERROR grave", "why", "and why"]),
    ],
)
def test_the_journal_gets_priorities_and_others_get_times(
    words: list[str], expected: list[str]
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SAY, *words],
        cwd=ROOT,
        env={**os.environ, "JOURNAL_STREAM": "1:1"},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    lines = done.stderr.splitlines()
    assert [line[-len(wanted) :] for line, wanted in zip(lines, expected, strict=True)] == expected
    assert all(line == wanted for line, wanted in zip(lines, expected, strict=True)) == bool(words)
