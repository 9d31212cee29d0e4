"""What the management plane offers to whoever answers an administrator."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from dataplane.messages import Reply, Request
from dataplane.snapshot import Route, Snapshot


class DataplaneUnavailable(Exception):
    """The dataplane process does not answer; the message is one line for the administrator."""


class CommitError(Exception):
    """Why a configuration cannot be run (any more), a line each."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("; ".join(lines))
        self.lines = tuple(lines)


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


class QosClassStatus(Struct, frozen=True):
    """A class of traffic that leaves by a port, and what the kernel has counted of it."""

    number: int  # 1..8
    priority: str
    guaranteed_bps: int
    max_bps: int  # 0: as much as the interface
    bytes: int
    packets: int
    drops: int


class Loaded(Struct, frozen=True):
    """A candidate that has been read, with all its mistakes."""

    name: str  # of the file
    errors: int
    warnings: int


class Committed(Struct, frozen=True):
    warnings: tuple[str, ...]  # a line each
    seconds: float


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

    def candidate_lines(self) -> list[str]:
        """The candidate configuration as set commands, as far as it was understood."""

    def has_pending_changes(self) -> bool:
        """Whether a commit would change something."""

    def config_files(self) -> list[str]:
        """Names worth offering to who loads a configuration."""

    async def load_config(self, name: str) -> Loaded:
        """Makes a file, or running-config, the candidate. Raises UnreadableError."""

    def revert_config(self) -> None:
        """Makes the running configuration the candidate."""

    async def save_config(self, name: str) -> tuple[Path, Path | None]:
        """Writes the candidate: where to, and where the file is now that was there before.

        Raises CommitError where it has errors, OSError; UnreadableError of a file to be replaced.
        """

    async def validate_config(self) -> tuple[str, ...]:
        """The warnings a commit of the candidate would give. Raises CommitError."""

    async def commit(self, progress: Callable[[str], None]) -> Committed:
        """Makes the candidate the running configuration; goes on when the caller does not.

        Raises CommitError; then the old one goes on running.
        """

    def interfaces(self) -> list[InterfaceStatus]: ...

    def routes(self) -> tuple[Route, ...]:
        """The mirrored FIB."""

    def route_ages_s(self) -> dict[str, int]:
        """Seconds since each static or learned prefix appeared in the FIB, by prefix."""

    def neighbors(self) -> list[Neighbor]: ...

    def unreachable_pbf(self) -> Collection[str]:
        """Policy-based forwarding rules whose monitored host does not answer."""

    async def qos_classes(self, port: str) -> list[QosClassStatus]:
        """The classes of a port that shapes what leaves by it. Raises OSError."""

    async def refused_frames(self) -> dict[str, int]:
        """How many frames each zone's list of Ethernet types has kept out. Raises OSError."""

    def traffic_log(self) -> Path:
        """The traffic log, JSON lines, newest last; older ones beside it as NAME.1, NAME.2, ..."""

    def threat_log(self) -> Path:
        """The threat log, likewise."""
