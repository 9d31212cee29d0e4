"""What is measured: the traffic of each load, and the figures that come of it."""

from collections.abc import Callable
from typing import NamedTuple

import msgspec


class Seen(msgspec.Struct, frozen=True):
    """What a client of load.c prints; it leaves out what it does not know."""

    seconds: float = 0
    cpu_seconds: float = 0
    stolen_seconds: float = 0  # of the CPUs, by other virtual machines
    bytes: int = 0
    packets: int = 0
    connections: int = 0
    failed: int = 0
    p50_us: float = 0
    p99_us: float = 0


class Figure(NamedTuple):
    key: str
    title: str
    heading: str  # of its column in the table
    unit: str
    form: str  # how a value is printed


class Load(NamedTuple):
    key: str
    words: tuple[
        str, ...
    ]  # for load.c, after its times: `{client}` stands for a client's addresses
    figures: tuple[tuple[Figure, Callable[[Seen], float]], ...]
    failed_at_most: float = 0.01  # of the connections: with more, it is not what is meant
    seconds_at_least: float = 0


def _gbit_per_s(seen: Seen) -> float:
    return seen.bytes * 8 / seen.seconds / 1e9


STREAM = Figure("stream", "1 TCP stream", "1 TCP", "Gbit/s", "{:.2f}")
STREAMS8 = Figure("streams8", "8 TCP streams", "8 TCP", "Gbit/s", "{:.2f}")
PACKETS = Figure("packets", "64-byte UDP", "UDP 64", "kpkt/s", "{:,.0f}")
CONNECTIONS = Figure("connections", "new TCP", "new TCP", "kconn/s", "{:.1f}")
P50 = Figure("p50", "round trip p50", "p50", "us", "{:.1f}")
P99 = Figure("p99", "round trip p99", "p99", "us", "{:.1f}")
CPU = Figure("cpu", "CPU", "CPU", "s/GB", "{:.2f}")
FIGURES = (STREAM, STREAMS8, PACKETS, CONNECTIONS, P50, P99, CPU)

ONE_STREAM = Load(
    "streams 1",
    ("streams", "1"),
    ((STREAM, _gbit_per_s), (CPU, lambda seen: seen.cpu_seconds / (seen.bytes / 1e9))),
)
EIGHT_STREAMS = Load("streams 8", ("streams", "8"), ((STREAMS8, _gbit_per_s),))
SMALL_PACKETS = Load(
    "packets", ("packets",), ((PACKETS, lambda seen: seen.packets / seen.seconds / 1e3),)
)
NEW_CONNECTIONS = Load(
    "connect",
    ("connect", "{clients}"),
    ((CONNECTIONS, lambda seen: seen.connections / seen.seconds / 1e3),),
)
PING = Load("ping", ("ping",), ((P50, lambda seen: seen.p50_us), (P99, lambda seen: seen.p99_us)))
# a SYN that is lost in a flood is sent again after one second, then two
UNDER_FLOOD = (ONE_STREAM, NEW_CONNECTIONS._replace(failed_at_most=0.05, seconds_at_least=5))
NOTHING = Load("nothing", ("nothing",), ())
# in this order: what leaves full queues and ageing sessions behind comes last
LOADS = (ONE_STREAM, EIGHT_STREAMS, PING, SMALL_PACKETS, NEW_CONNECTIONS)
