"""What the management plane offers to whoever answers an administrator."""

from pathlib import Path
from typing import Protocol

from msgspec import Struct

from dataplane.messages import Reply, Request
from dataplane.snapshot import Route, Snapshot


class DataplaneUnavailable(Exception):
    """The dataplane process does not answer; the message is one line for the administrator."""


class InterfaceStatus(Struct, frozen=True):
    """A configured port and what the kernel says of the interface behind it."""

    name: str  # "ethernet1/1"
    interface: str  # Linux name
    index: int  # Linux ifindex; 0 where the interface is missing
    mac: str  # "02:00:00:00:00:10"; "" where it is missing
    is_up: bool
    speed_mbps: int | None  # None where unknown, as on virtual interfaces
    is_full_duplex: bool
    mtu: int
    vsys: int
    zone: str
    virtual_router: str
    addresses: tuple[str, ...]
    mode: str = "layer3"  # of snapshot.Port
    tag: int = 0
    bridge: str = ""  # the VLAN of a layer2 port, the wire of a virtual-wire one


class Neighbor(Struct, frozen=True):
    """An entry of the kernel's ARP or neighbour table on a port."""

    address: str
    mac: str  # "" while incomplete
    port: str
    state: str  # reachable, stale, incomplete, permanent, failed


class Management(Protocol):
    hostname: str
    version: str
    started_ns: int  # wall clock

    def now_ns(self) -> int:
        """Wall clock."""

    async def ask(self, request: Request) -> Reply:
        """Asks the dataplane. Raises DataplaneUnavailable."""

    def snapshot(self) -> Snapshot:
        """The running configuration, compiled."""

    def config_lines(self) -> list[str]:
        """The running configuration as set commands."""

    def interfaces(self) -> list[InterfaceStatus]: ...

    def routes(self) -> tuple[Route, ...]:
        """The mirrored FIB."""

    def route_ages_s(self) -> dict[str, int]:
        """Seconds since each static or learned prefix appeared in the FIB, by prefix."""

    def neighbors(self) -> list[Neighbor]: ...

    def traffic_log(self) -> Path:
        """The traffic log, JSON lines, newest last; older ones beside it as NAME.1, NAME.2, ..."""
