"""The compiled configuration the dataplane runs on: immutable, resolved, complete.

`control/config/compile.py` makes it, `dataplane/engine.py` swaps it in whole between two packets.
It says what the dataplane needs and nothing else: no object names to look up, no defaults to fill
in. Zones, rules and ports are named; the engine gives names their numbers, so that a number never
changes its meaning while sessions live.
"""

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


class ServiceMatch(Struct, frozen=True):
    """A TCP or UDP service; port ranges are inclusive, an empty tuple matches every port."""

    protocol: int
    source_ports: tuple[tuple[int, int], ...] = ()
    destination_ports: tuple[tuple[int, int], ...] = ()


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
