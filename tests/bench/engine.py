"""The C engine from memory: builds and runs native/tests/bench_engine.c."""

import subprocess
from collections.abc import Iterable
from pathlib import Path

import msgspec

from vm.namespaces import CHECKOUT, LabError

CHECKSUM_BYTES = (1500, 65000)  # as bench_engine.c has them
SESSIONS = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
_FREE_BYTES = 6 << 30  # what a run of the largest needs, packets and events included
_PROGRAM = CHECKOUT / "build/bench_engine"
_FLAGS = ("-std=gnu11", "-O3", "-g", "-Inative/include", "-Inative/src", "-Inative/tests")
_WITHIN_S = 600


class Engine(msgspec.Struct, frozen=True, tag_field="what", tag="engine"):
    """What a number of sessions comes to."""

    sessions: int
    lookup_ns: float  # in groups, as the fastpath does it
    lookup_alone_ns: float
    packet_ns: float  # in software
    tcp_ns: float
    udp_ns: float
    missing_ns: float  # of no session
    offloaded: int  # sessions: no more than the largest device takes
    offloaded_ns: float  # a packet in the offload engine
    offloaded_tcp_ns: float
    offloaded_udp_ns: float
    offloaded_missing_ns: float
    switch_off_ms: float  # until all of them are back
    setups_per_s: float
    ageings_per_s: float
    bytes_per_session: float


class Checksum(msgspec.Struct, frozen=True, tag_field="what", tag="checksum"):
    bytes: int
    bytes_per_cycle: float
    gb_per_s: float


def compile_c(name: str, program: Path) -> None:
    """A program of native/tests, with the engine in it. Raises LabError."""
    sources = [f"native/tests/{name}", *map(str, (CHECKOUT / "native/src").glob("*.c"))]
    program.parent.mkdir(exist_ok=True)
    run(["gcc", *_FLAGS, "-o", str(program), *sources, "-lmnl", "-lpcap"])


def build() -> None:
    compile_c("bench_engine.c", _PROGRAM)


def measure(*, with_most: bool) -> tuple[list[Engine], list[Checksum]]:
    """`with_most`: also the largest number of sessions, which takes half a minute.

    => built. Raises LabError.
    """
    return _measure(SESSIONS[: None if with_most else -1])


def measure_one(sessions: int) -> Engine:
    """=> built. Raises LabError."""
    (one,), _ = _measure([sessions])
    return one


def _measure(sessions: Iterable[int]) -> tuple[list[Engine], list[Checksum]]:
    engines: list[Engine] = []
    checksums: list[Checksum] = []
    for line in run([str(_PROGRAM), *map(str, sessions)]).splitlines():
        found = msgspec.json.decode(line, type=Engine | Checksum)
        if isinstance(found, Engine):
            engines.append(found)
        else:
            checksums.append(found)
    return engines, checksums


def has_memory() -> bool:
    """For the largest number of sessions."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024 > _FREE_BYTES
    return False


def run(command: list[str]) -> str:
    """What it prints. Raises LabError."""
    try:
        done = subprocess.run(
            command, cwd=CHECKOUT, capture_output=True, text=True, timeout=_WITHIN_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise LabError(f"{command[0]} did not end within {_WITHIN_S} s") from None
    if done.returncode:
        why = " ".join(done.stderr.split())[:500] or f"status {done.returncode}"
        raise LabError(f"{command[0]} failed: {why}")
    return done.stdout
