"""The compiled configuration the dataplane runs on: immutable, resolved, complete.

`control/config/compile.py` makes it, `dataplane/engine.py` swaps it in whole between two packets.
It says what the dataplane needs and nothing else: no object names to look up, no defaults to fill
in. Zones, rules and ports are named; the engine gives names their numbers, so that a number never
changes its meaning while sessions live.
"""

from typing import ClassVar

from msgspec import Struct

Action = str  # one of native.ACTIONS


class AddressRange(Struct, frozen=True):
    """Addresses first..last, both included: 4 bytes each for IPv4, 16 for IPv6, network order."""

    first: bytes
    last: bytes


class Wildcard(Struct, frozen=True):
    """Addresses that are like this one where the mask's bits are 0; 4 bytes each."""

    address: bytes
    mask: bytes


class ManagementProfile(Struct, frozen=True):
    """What may be asked of the firewall's own addresses on an interface."""

    services: tuple[str, ...]  # of dataplane.management_services.SERVICES: "ping", "ssh", ...
    permitted: tuple[AddressRange, ...] = ()  # who may; empty: everybody


class FloodLimits(Struct, frozen=True):
    """Packets a second that match no session: from `activate` on some are dropped, above
    `maximal` all; or, with SYN cookies, answered instead."""

    alarm: int = 10_000
    activate: int = 10_000
    maximal: int = 40_000
    syn_cookies: bool = False
    block_s: int = 0  # of classified DoS limits: how long who is above `maximal` is blocked


class ScanLimits(Struct, frozen=True):
    action: str  # of native.SCAN_ACTIONS
    interval_s: int
    threshold: int
    by_pair: bool = False  # block-ip: the source for this destination alone
    block_s: int = 0


class ZoneProtection(Struct, frozen=True):
    """A zone protection profile. What is not in `floods` and `scans` is off."""

    name: str
    checks: tuple[str, ...] = ()  # names of native.PROTECTIONS
    floods: dict[str, FloodLimits] = {}  # by name, of native.FLOODS
    scans: dict[str, ScanLimits] = {}  # by name, of native.SCANS
    scan_exempt: tuple[AddressRange, ...] = ()
    tcp_reject_non_syn: bool = True  # resolved: the global setting where the profile has none
    tcp_asymmetric_bypass: bool = False
    non_ip: str = (
        ""  # of bridged ports: "include" only these Ethernet types pass, "exclude" all others
    )
    non_ip_types: tuple[int, ...] = ()


class Zone(Struct, frozen=True):
    """A zone with something of its own; others need no entry."""

    name: str
    protection: ZoneProtection | None = None
    buffer_protection: bool = False


class DosLimits(Struct, frozen=True):
    """A DoS protection profile."""

    name: str
    floods: dict[str, FloodLimits] = {}  # by name, of native.FLOODS
    max_sessions: int = 0  # at once; 0: any number


class BufferProtection(Struct, frozen=True):
    """What one source may fill of the packets that wait for the slowpath."""

    enabled: bool = True
    monitor_only: bool = False
    alert_percent: int = 50
    activate_percent: int = 80
    block_hold_s: int = 60
    block_duration_s: int = 3600


class Tunnel(Struct, frozen=True):
    """A tunnel behind a tunnel interface."""

    name: str
    type: str  # of native.TUNNEL_TYPES: gre, ipip, vxlan
    port: str  # "tunnel.1"
    outer_port: str  # whose address `local` is
    local: str
    peer: str
    ttl: int = 64
    copy_tos: bool = False
    udp_port: int = 4789  # of vxlan, as are those below
    vni: int = 0
    mac: str = ""  # "02:00:00:00:00:01"
    peer_mac: str = ""  # "": learnt


class QosClass(Struct, frozen=True):
    number: int  # 1..8
    priority: str = "medium"  # real-time, high, medium, low
    max_bps: int = 0  # 0: as much as the interface
    guaranteed_bps: int = 0


class Qos(Struct, frozen=True):
    """How an interface shapes what leaves by it."""

    max_bps: int
    classes: tuple[QosClass, ...] = ()


class Port(Struct, frozen=True):
    """A logical interface the firewall takes packets from."""

    name: str  # "ethernet1/1", "ethernet1/1.100", "loopback.1", "tunnel.1"
    interface: str  # the Linux interface behind it: "eth1", "eth1.100", "lo", "tunnel.1"
    zone: str  # "" where it is in none: its packets are dropped
    addresses: tuple[str, ...]  # "192.0.2.1/24", "2001:db8::1/64"
    ipv6: bool
    virtual_router: str  # "" where it is in none: nothing is routed through it
    mtu: int | None = None  # bytes; None leaves the interface as it is
    mode: str = "layer3"  # layer3, layer2, virtual-wire, tap, loopback, tunnel
    parent: str = ""  # Linux interface a VLAN sub-interface is of
    tag: int = 0  # its 802.1Q tag
    bridge: str = ""  # of layer2: the VLAN's name; of virtual-wire: the wire's
    peer: str = ""  # of virtual-wire: the port at the other end
    multicast_firewalling: bool = False  # of virtual-wire: multicast and broadcast are inspected
    management: ManagementProfile | None = None
    mss_adjustment: tuple[int, int] | None = None  # bytes below the MTU, IPv4 and IPv6
    tunnel: str = ""  # what is behind a tunnel interface
    qos: Qos | None = None


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


class Schedule(Struct, frozen=True):
    """When a rule is in force, in UTC: within any of these."""

    name: str
    weekly: tuple[tuple[int, int], ...] = ()  # minutes since Monday 00:00, [first, end)
    once: tuple[tuple[int, int], ...] = ()  # seconds since the epoch, [first, end)


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
    source_wildcards: tuple[Wildcard, ...] = ()  # beside `source`
    destination_wildcards: tuple[Wildcard, ...] = ()
    schedule: Schedule | None = None  # None: always
    icmp_unreachable: bool = False  # who is denied is told
    dscp: int | None = None  # what allowed packets are marked with; None leaves theirs
    dscp_follows: bool = False  # s2c packets get the DSCP of the first c2s packet


class DynamicIpAndPort(Struct, frozen=True, tag=True):
    """Many sources behind few addresses: the address by the source, a port for each session."""

    addresses: tuple[AddressRange, ...]
    interface: str = ""  # the port whose address it is, for display


class DynamicIp(Struct, frozen=True, tag=True):
    """Each source has the next free address as long as it has sessions; ports stay."""

    addresses: tuple[AddressRange, ...]
    fallback: DynamicIpAndPort | None = None  # once they are all taken


class StaticIp(Struct, frozen=True, tag=True):
    """One to one, by the offset within the rule's source range; ports stay."""

    original: AddressRange
    translated: AddressRange


SourceTranslation = DynamicIpAndPort | DynamicIp | StaticIp


class DestinationTranslation(Struct, frozen=True):
    """Static: by the offset within the original range. Distributed: one server a session."""

    translated: tuple[AddressRange, ...]
    original: AddressRange | None = None  # None: offsets count from the first translated address
    port: int = 0  # 0: unchanged
    distribution: str = ""  # "" static; round-robin, source-ip-hash, ip-modulo, ip-hash, ...


class NatRule(Struct, frozen=True):
    """Matched on the original packet and the zone of its original route (fact sheet 4.7).

    Without any translation it exempts what it matches.
    """

    name: str
    from_zones: tuple[str, ...] = ()
    to_zones: tuple[str, ...] = ()
    to_interface: str = ""  # egress port of the original route; "" any
    source: tuple[AddressRange, ...] = ()
    destination: tuple[AddressRange, ...] = ()
    services: tuple[ServiceMatch, ...] = ()
    source_translation: SourceTranslation | None = None
    destination_translation: DestinationTranslation | None = None
    nat_type: str = "ipv4"  # as configured: ipv4, nptv6
    mirrors: bool = False  # the other direction of a bi-directional rule of this name

    rule_type: ClassVar[str] = "universal"
    negate_source: ClassVar[bool] = False
    negate_destination: ClassVar[bool] = False


class Monitor(Struct, frozen=True):
    """A host that is asked for echoes; a rule without answers may be left out."""

    address: str
    interval_s: int = 3
    threshold: int = 5  # echoes in a row without an answer
    disable_if_unreachable: bool = False


class PbfRule(Struct, frozen=True):
    """Policy-based forwarding: goes before the routes (fact sheet 4.6)."""

    name: str
    action: str  # forward, discard, no-pbf
    from_zones: tuple[str, ...] = ()
    from_ports: tuple[str, ...] = ()  # or by interface
    source: tuple[AddressRange, ...] = ()
    destination: tuple[AddressRange, ...] = ()
    negate_source: bool = False
    negate_destination: bool = False
    services: tuple[ServiceMatch, ...] = ()
    egress: str = ""  # port
    nexthop: str = ""  # "": the destination is on the link
    symmetric_return: bool = False  # replies leave by where the first packet came from
    return_nexthops: tuple[str, ...] = ()
    monitor: Monitor | None = None

    to_zones: ClassVar[tuple[str, ...]] = ()
    rule_type: ClassVar[str] = "universal"


class QosRule(Struct, frozen=True):
    name: str
    qos_class: int  # 1..8
    from_zones: tuple[str, ...] = ()
    to_zones: tuple[str, ...] = ()
    source: tuple[AddressRange, ...] = ()
    destination: tuple[AddressRange, ...] = ()
    negate_source: bool = False
    negate_destination: bool = False
    services: tuple[ServiceMatch, ...] = ()
    dscps: tuple[int, ...] = ()  # of the first packet; empty: any

    rule_type: ClassVar[str] = "universal"


class DosRule(Struct, frozen=True):
    """A DoS protection rule, matched on the original packet and the zone its destination routes to
    (fact sheet 4.9)."""

    name: str
    action: str  # deny, allow, protect
    from_zones: tuple[str, ...] = ()
    from_ports: tuple[str, ...] = ()  # or by interface
    to_zones: tuple[str, ...] = ()
    to_ports: tuple[str, ...] = ()
    source: tuple[AddressRange, ...] = ()
    destination: tuple[AddressRange, ...] = ()
    negate_source: bool = False
    negate_destination: bool = False
    services: tuple[ServiceMatch, ...] = ()
    schedule: Schedule | None = None
    aggregate: DosLimits | None = None
    classified: DosLimits | None = None
    classified_by: str = "source-ip-only"  # or destination-ip-only, src-dest-ip-both

    rule_type: ClassVar[str] = "universal"


class Ecmp(Struct, frozen=True):
    """Sessions are spread over several next hops of equal cost; a session stays with its own."""

    max_path: int = 2
    algorithm: str = "ip-modulo"  # ip-modulo, ip-hash, weighted-round-robin, balanced-round-robin
    use_ports: bool = False  # of ip-hash
    symmetric_return: bool = False


class VirtualRouter(Struct, frozen=True):
    name: str
    table: int  # the kernel's routing table: main for the first, one of its own for each other
    ecmp: Ecmp | None = None
    multicast: bool = False  # multicast is routed, to zone "multicast"


class Hop(Struct, frozen=True):
    port: str  # "" where it is no dataplane port
    nexthop: str = ""
    weight: int = 1


class Route(Struct, frozen=True):
    """One route of the kernel's tables, as mirrored (control/system/fib.py)."""

    prefix: str  # "192.0.2.0/24"
    kind: str  # unicast, local, broadcast, multicast, discard
    port: str = ""  # egress port of a unicast route, "" where it leaves by no dataplane port
    nexthop: str = ""  # "" on a connected route
    metric: int = 0
    virtual_router: str = ""  # "" the first, whose table is the kernel's main one
    hops: tuple[Hop, ...] = ()  # all of them where there are several; port and nexthop: the first


class Path(Struct, frozen=True):
    """A way of its own through the kernel: packets with this number in their mark take it."""

    number: int  # 1..255
    port: str
    nexthop: str  # "" on the link
    mac: bytes = b""  # of the next hop, as far as it is known


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
    virtual_routers: tuple[VirtualRouter, ...] = ()
    nat_rules: tuple[NatRule, ...] = ()
    nat_oversubscription: int = 1  # sessions to different destinations that may share a port
    nat_reserve_s: int = 0  # a dynamic address stays its source's so long after its last session
    pbf_rules: tuple[PbfRule, ...] = ()
    qos_rules: tuple[QosRule, ...] = ()
    zones: tuple[Zone, ...] = ()
    dos_rules: tuple[DosRule, ...] = ()
    buffer_protection: BufferProtection = BufferProtection()
    tunnels: tuple[Tunnel, ...] = ()
    strip_mptcp: bool = True  # of zones whose profile does not say
    rematch: bool = True  # a commit ends live sessions the new policy would deny
