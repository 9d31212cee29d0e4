"""The engine from memory, without kernel or network:

    python -m tests.bench.engine_rate [--json FILE]

First the C engine alone (native/tests/bench_engine.c, which explains its figures), then through its
Python face: bursts of 256 packets of known sessions, and new sessions with few and many rules.
"""

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from dataplane.snapshot import AddressRange, SecurityRule
from native import MAX_BURST, Packet
from tests.bench import engine
from tests.support.packets import ALLOW, Firewall, snapshot, udp
from vm.namespaces import CHECKOUT

BUILD = CHECKOUT / "build"
ROUNDS = 5  # the best of them counts: whatever else the machine does only takes away


class Face(Struct, frozen=True):
    what: str
    per_s: float


class Report(Struct, frozen=True):
    engine: list[engine.Engine]
    face: list[Face]


def _rate(count: int, prepare: Callable[[], Callable[[], object]]) -> float:
    """How many a second, of `count` that a prepared call deals with."""
    best = 0.0
    for _ in range(ROUNDS):
        call = prepare()
        began = time.perf_counter()
        call()
        best = max(best, count / (time.perf_counter() - began))
    return best


def _packets(count: int) -> list[Packet]:
    return [Packet(udp(sport=1024 + number), 1, 0, number) for number in range(count)]


def _other_hosts(count: int) -> list[SecurityRule]:
    """Rules that match everything about a packet but its destination."""
    ranges = (bytes([10, 0, number // 250, number % 250]) for number in range(count))
    return [
        SecurityRule(
            name=f"rule {number}",
            action="allow",
            from_zones=("trust",),
            to_zones=("untrust",),
            destination=(AddressRange(address, address),),
        )
        for number, address in enumerate(ranges)
    ]


def _known_sessions(packets: list[Packet], times: int) -> Callable[[], object]:
    firewall = Firewall()
    firewall.engine.feed(packets)
    return lambda: [firewall.engine.feed(packets) for _ in range(times)]


def _new_sessions(packets: list[Packet], rules: int) -> Callable[[], object]:
    firewall = Firewall(snapshot(*_other_hosts(rules - 1), ALLOW))
    return lambda: firewall.engine.feed(packets)


def measure_face() -> list[Face]:
    packets = _packets(4 * MAX_BURST)
    times = 40
    rate = _rate(times * len(packets), partial(_known_sessions, packets, times))
    faces = [Face("packets of known sessions", rate)]
    for rules in (1, 100, 1000):
        rate = _rate(len(packets), partial(_new_sessions, packets, rules))
        faces.append(Face(f"new sessions, the last of {rules} rules", rate))
    return faces


def show(report: Report) -> None:
    table = Table(title="the C engine, 64-byte packets")
    for heading in (
        "sessions",
        "ns a packet",
        "TCP",
        "UDP",
        "of no session",
        "offloaded",
        "setups/s",
        "ageings/s",
        "bytes each",
    ):
        table.add_column(heading, justify="right")
    for row in report.engine:
        table.add_row(
            f"{row.sessions:,}",
            f"{row.packet_ns:.0f}",
            f"{row.tcp_ns:.0f}",
            f"{row.udp_ns:.0f}",
            f"{row.missing_ns:.0f}",
            f"{row.offloaded_ns:.0f}",
            f"{row.setups_per_s:,.0f}",
            f"{row.ageings_per_s:,.0f}",
            f"{row.bytes_per_session:.0f}",
        )
    face = Table(title="through Python, bursts of 256")
    face.add_column("")
    face.add_column("a second", justify="right")
    for line in report.face:
        face.add_row(line.what, f"{line.per_s:,.0f}")
    console = Console()
    console.print(table)
    console.print(face)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.engine_rate")
    parser.add_argument("--json", type=Path, default=BUILD / "engine-rate.json")
    options = parser.parse_args(argv)
    engine.build()
    engines, _ = engine.measure(with_most=False)
    report = Report(engines, measure_face())
    options.json.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")
    show(report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
