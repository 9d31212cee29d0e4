"""`sixtuple replay` of captures of different lengths, beside the C engine from memory."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from tests.bench import engine
from tests.support.captures import conversations, write
from tests.support.replays import config
from vm.namespaces import CHECKOUT, LabError

SESSIONS = 10_000
SHORT, LONG = 100_000, 1_000_000  # packets
_BUILD = CHECKOUT / "build/bench"
_LOG = _BUILD / "replayed.json"


class Replayed(NamedTuple):
    packets: int
    packets_per_s: float  # by the clock: reading, log entries and the start of the program included
    peak_bytes: int


def build() -> None:
    """Makes the captures, which takes some seconds, where they are not there yet."""
    engine.build()
    _BUILD.mkdir(parents=True, exist_ok=True)
    config(_BUILD)
    for packets in (SHORT, LONG):
        if not (path := _capture(packets)).exists():
            unfinished = path.with_suffix(".new")
            write(unfinished, conversations(packets, SESSIONS)).rename(path)


def measure() -> tuple[list[Replayed], engine.Engine]:
    """=> built. Raises LabError."""
    return [_replay(packets) for packets in (SHORT, LONG)], engine.measure_one(SESSIONS)


def _capture(packets: int) -> Path:
    return _BUILD / f"{packets}.pcap"


def _replay(packets: int) -> Replayed:
    program = [sys.executable, "-m", "control.main", "replay", str(_capture(packets))]
    command = [*program, "--config", str(_BUILD / "firewall.set"), "--json"]
    began = time.perf_counter()
    with _LOG.open("wb") as log, subprocess.Popen(command, cwd=CHECKOUT, stdout=log) as process:
        _, status, usage = os.wait4(process.pid, 0)
        took_s = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise LabError(f"replay of {packets} packets ended with status {process.returncode}")
    entries = _LOG.read_bytes().count(b"\n") - 1
    if entries != SESSIONS:
        raise LabError(f"replay of {packets} packets logged {entries} of {SESSIONS} sessions")
    return Replayed(packets, packets / took_s, usage.ru_maxrss * 1024)
