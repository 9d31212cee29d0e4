"""The compiled configuration the dataplane runs on: immutable, resolved, complete.

`control/config/compile.py` makes it, `dataplane/engine.py` swaps it in whole between two packets.
It says what the dataplane needs and nothing else: no object names to look up, no defaults to fill
in. Zones, rules and ports are named; the engine gives names their numbers, so that a number never
changes its meaning while sessions live.
"""

from typing import ClassVar

from msgspec import Struct

Action = str  # one of native.ACTIONS


class Port(Struct, frozen=True):
    """A logical interface the firewall takes packets from."""

    name: str  # "ethernet1/1"
    interface: str  # the Linux interface behind it: "eth1"
    zone: str  # "" where it is in none: its packets are dropped
    addresses: tuple[str, ...]  # "192.0.2.1/24", "2001:db8::1/64"
    ipv6: bool
    virtual_router: str  # "" where it is in none: nothing is routed through it
    mtu: int | None = None  # bytes; None leaves the interface as it is


class AddressRange(Struct, frozen=True):
    """Addresses first..last, both included: 4 bytes each for IPv4, 16 for IPv6, network order."""

    first: bytes
    last: bytes


class Timeouts(Struct, frozen=True):
    """Session timers in seconds; 0 leaves the one that would hold without these."""

    established: int = 0  # TCP once established; every other protocol throughout
    half_closed: int = 0
    time_wait: int = 0
    discard: int = 0


class ServiceMatch(Struct, frozen=True):
    """A TCP or UDP service; port ranges are inclusive, an empty tuple matches every port."""

    protocol: int
    source_ports: tuple[tuple[int, int], ...] = ()
    destination_ports: tuple[tuple[int, int], ...] = ()
    override: Timeouts | None = None  # the service's own timers, before the application's


class ApplicationTimeouts(Struct, frozen=True):
    """The timers of an application that has some; the one for its protocol goes first."""

    tcp: Timeouts = Timeouts()
    udp: Timeouts = Timeouts()
    other: Timeouts = Timeouts()


class ApplicationOverride(Struct, frozen=True):
    """An application override rule: names the application of the sessions it matches.

    An empty tuple matches everything.
    """

    name: str
    application: str
    protocol: int  # TCP or UDP
    ports: tuple[tuple[int, int], ...]  # destination ports, inclusive ranges
    from_zones: tuple[str, ...] = ()
    to_zones: tuple[str, ...] = ()
    source: tuple[AddressRange, ...] = ()
    destination: tuple[AddressRange, ...] = ()
    negate_source: bool = False
    negate_destination: bool = False

    rule_type: ClassVar[str] = "universal"

    @property
    def services(self) -> tuple[ServiceMatch, ...]:
        return (ServiceMatch(self.protocol, (), self.ports),)


class AcceleratedAging(Struct, frozen=True):
    """Sessions age faster by the factor while so much of the session table is in use."""

    enabled: bool = True
    threshold_percent: int = 80
    factor: int = 2


class SecurityRule(Struct, frozen=True):
    """One security rule, resolved. An empty tuple matches everything ("any")."""

    name: str
    action: Action
    from_zones: tuple[str, ...] = ()
    to_zones: tuple[str, ...] = ()
    rule_type: str = "universal"  # universal, intrazone, interzone
    source: tuple[AddressRange, ...] = ()
    destination: tuple[AddressRange, ...] = ()
    negate_source: bool = False
    negate_destination: bool = False
    services: tuple[ServiceMatch, ...] = ()
    log_start: bool = False
    log_end: bool = True


class Route(Struct, frozen=True):
    """One route of the kernel's tables, as mirrored (control/system/fib.py)."""

    prefix: str  # "192.0.2.0/24"
    kind: str  # unicast, local, broadcast, multicast, discard
    port: str = ""  # egress port of a unicast route, "" where it leaves by no dataplane port
    nexthop: str = ""  # "" on a connected route
    metric: int = 0


class Snapshot(Struct, frozen=True):
    """Everything a commit decides."""

    ports: tuple[Port, ...]
    rules: tuple[SecurityRule, ...]
    intrazone_default: SecurityRule
    interzone_default: SecurityRule
    timeouts_s: dict[str, int]  # by knob, every one of native.TIMERS ("timeout-tcp": 3600)
    tcp_reject_non_syn: bool = True
    ipv6_firewalling: bool = True
    fail_open: bool = False  # what a full queue cannot take passes unseen instead of being dropped
    discard_denied: bool = True  # a denied first packet makes a DISCARD session
    no_refresh_on_discard: bool = False  # a packet of a DISCARD session leaves its timer alone
    tcp_asymmetric_bypass: bool = False  # windows and sequence numbers are not enforced
    tcp_allow_challenge_ack: bool = False
    offload: bool = True
    accelerated_aging: AcceleratedAging = AcceleratedAging()
    max_sessions: int = 0  # of the virtual system; 0: no limit but the session table
    application_overrides: tuple[ApplicationOverride, ...] = ()
    applications: dict[str, ApplicationTimeouts] = {}  # those with timers of their own
    scan_threshold_percent: int = 80  # shown only, as is the factor: nothing here trickles
    scan_factor: int = 8
