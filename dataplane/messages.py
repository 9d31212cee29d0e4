"""What control and dataplane say to each other, and how it is framed.

One request, one reply, in order, over a Unix stream socket: four bytes length (network order), then
msgpack. Every request is bounded work for the dataplane, so that no question stops the packets:
listings come in pages.
"""

from msgspec import Struct

from dataplane.snapshot import AcceleratedAging, Path, Route, Snapshot

MAX_MESSAGE_BYTES = 64 << 20


class Flow(Struct, frozen=True):
    """One direction of a session, as its packets arrive."""

    source: str
    destination: str
    sport: int
    dport: int
    zone: str


class Session(Struct, frozen=True):
    """A session with names instead of numbers; times are nanoseconds since the epoch."""

    id: int
    vsys: str
    state: str  # ACTIVE, DISCARD, ...
    type: str  # FLOW, PRED
    application: str
    protocol: int
    c2s: Flow
    s2c: Flow
    rule: str
    action: str
    start_ns: int
    last_ns: int
    end_ns: int  # expiry, or the end where it is over
    now_ns: int  # when this was read
    timeout_s: int
    bytes_c2s: int
    bytes_s2c: int
    packets_c2s: int
    packets_s2c: int
    ingress: str  # port name
    egress: str
    in_ager: bool
    log_start: bool
    log_end: bool
    tracker: str  # "" while none was recorded
    end_reason: str
    service_timeout: bool  # its timers come from a service
    offloaded: bool  # it is in the offload engine now
    unreported_c2s: int  # packets the offload engine has counted since its last report
    unreported_s2c: int
    report_packets: int  # so many of one flow make it report; 0: it does not
    longest_gap_ms: int  # between two packets
    longest_wait_ms: int  # that the timer had run when it was refreshed, or a packet came
    nat_rule: str = ""  # "" where nothing was translated
    pbf_rule: str = ""
    qos_rule: str = ""
    qos_class: int = 4
    is_host: bool = False  # with the firewall itself: only what it receives is seen
    syn_cookie: bool = False  # it began with a SYN cookie


class SessionFilter(Struct, frozen=True, omit_defaults=True):
    """What to list or clear; None matches everything. Host addresses, of the c2s flow."""

    source: str | None = None
    destination: str | None = None
    source_port: int | None = None
    destination_port: int | None = None
    protocol: int | None = None
    from_zone: str | None = None
    to_zone: str | None = None
    state: str | None = None  # initial opening active discard closing closed
    type: str | None = None  # flow predict
    rule: str | None = None
    application: str | None = None
    nat_rule: str | None = None
    nat: str | None = None  # none source destination both


class Counter(Struct, frozen=True):
    name: str
    value: int
    severity: str
    category: str
    aspect: str
    text: str


# ---- requests ------------------------------------------------------------------------------------


class Configure(Struct, frozen=True, tag=True):
    """Swap the configuration. Answer: Done, or Failed with the old one still running."""

    snapshot: Snapshot


class SetRoutes(Struct, frozen=True, tag=True):
    """Swap the mirrored FIB."""

    routes: tuple[Route, ...]


class SetPaths(Struct, frozen=True, tag=True):
    """Which ways through the kernel there are, and the policy-based forwarding rules whose
    monitored host does not answer."""

    paths: tuple[Path, ...]
    unreachable_pbf: tuple[str, ...] = ()


class GetHits(Struct, frozen=True, tag=True):
    """Hit counts of a rulebase's rules."""

    rulebase: str  # security, nat, pbf, qos, application-override


class ClearHits(Struct, frozen=True, tag=True):
    rulebase: str
    rules: tuple[str, ...] = ()  # empty: all of them


class GetNatPools(Struct, frozen=True, tag=True):
    """How far the pools of NAT rules are used."""


class Match(Struct, frozen=True, tag=True):
    """Which rule a first packet like this would meet; "" and 0 where it is not said.

    Addresses as text; for nat the zones are those of the original routes, as the rules mean them.
    """

    rulebase: str  # security, nat, pbf, qos, dos, application-override
    source: str
    destination: str
    protocol: int
    destination_port: int = 0
    source_port: int = 0
    from_zone: str = ""
    to_zone: str = ""
    from_interface: str = ""
    to_interface: str = ""
    every: bool = False  # not the first alone


class FindRoute(Struct, frozen=True, tag=True):
    """The route to an address in a virtual router ("": the first)."""

    address: str
    virtual_router: str = ""


class GetStatus(Struct, frozen=True, tag=True):
    pass


class GetSessions(Struct, frozen=True, tag=True):
    """A page of the session table. Start with cursor 0; the page's cursor is 0 at the end."""

    cursor: int = 0
    filter: SessionFilter = SessionFilter()


class GetSession(Struct, frozen=True, tag=True):
    id: int


class ClearSession(Struct, frozen=True, tag=True):
    id: int


class ClearSessions(Struct, frozen=True, tag=True):
    """Clear a page of matching sessions; go on with the answer's cursor until it is 0."""

    cursor: int = 0
    filter: SessionFilter = SessionFilter()


class GetCounters(Struct, frozen=True, tag=True):
    pass


class SetOffload(Struct, frozen=True, tag=True):
    """Switch the offload engine at once, until a commit changes the setting or the process ends."""

    enabled: bool


class SetPacketThreats(Struct, frozen=True, tag=True):
    """Whether packets that packet-based protection drops are in the threat log, too, until the
    process ends."""

    enabled: bool


class GetZoneProtection(Struct, frozen=True, tag=True):
    """What the protection of the zones has done; "": of all that have one."""

    zone: str = ""


class GetDosRule(Struct, frozen=True, tag=True):
    """What a DoS protection rule has done."""

    rule: str


class GetBlocks(Struct, frozen=True, tag=True):
    """A page of the block table, of sources in a zone or all. Start with cursor 0; the page's
    cursor is 0 at the end."""

    cursor: int = 0
    zone: str = ""


class ClearBlocks(Struct, frozen=True, tag=True):
    """Clear a page of the block table; go on with the answer's cursor until it is 0. A source that
    is cleared is so in every zone."""

    cursor: int = 0
    zone: str = ""
    source: str = ""


class Stop(Struct, frozen=True, tag=True):
    """End the dataplane after the answer."""


Request = (
    Configure
    | SetRoutes
    | SetPaths
    | GetHits
    | ClearHits
    | GetNatPools
    | Match
    | FindRoute
    | GetStatus
    | GetSessions
    | GetSession
    | ClearSession
    | ClearSessions
    | GetCounters
    | SetOffload
    | SetPacketThreats
    | GetZoneProtection
    | GetDosRule
    | GetBlocks
    | ClearBlocks
    | Stop
)

# ---- replies -------------------------------------------------------------------------------------


class Done(Struct, frozen=True, tag=True):
    count: int = 0  # sessions or blocks cleared
    cursor: int = 0


class Failed(Struct, frozen=True, tag=True):
    """The request made no sense or could not be done; one line for the administrator."""

    message: str


class Status(Struct, frozen=True, tag=True):
    """What `show session info` and the supervisor want to know."""

    pid: int
    io: str  # the edge: netfilterqueue, ...
    configured: bool
    uptime_s: float
    max_sessions: int
    allocated: int
    tcp: int
    udp: int
    icmp: int
    other: int
    discard: int
    installed: int  # since start
    packets_per_s: int
    kbps: int
    sessions_per_s: int
    log_lost: int  # traffic log entries that could not be written
    timeouts_s: dict[str, int]
    tcp_reject_non_syn: bool
    ipv6_firewalling: bool
    platform: str  # the offload profile's name
    offload: bool  # whether sessions may be in the offload engine now
    offloaded: int  # sessions that are
    strict_tcp_sequence: bool  # windows and sequence numbers are enforced
    no_refresh_on_discard: bool
    accelerated_aging: AcceleratedAging
    aging_accelerated: bool  # now
    scan_threshold_percent: int
    scan_factor: int
    fail_open: bool
    vsys_max_sessions: int  # 0: no limit
    vsys_throttled: int  # sessions that were not made because of it
    fragments: int  # held until their datagrams are complete
    fragment_bytes: int
    held: int  # packets that wait for the slowpath
    max_held: int
    packet_threats: bool  # packet-based protection writes the threat log


class SessionPage(Struct, frozen=True, tag=True):
    sessions: tuple[Session, ...]
    cursor: int


class SessionDetail(Struct, frozen=True, tag=True):
    """None where the slot was never used."""

    session: Session | None


class Hit(Struct, frozen=True):
    """How often a rule matched; times are nanoseconds since the epoch, 0 where it never did."""

    rule: str
    hits: int
    first_ns: int
    last_ns: int
    since_ns: int  # counted since


class Hits(Struct, frozen=True, tag=True):
    """In the order of the rules; rules keep their counts over commits."""

    hits: tuple[Hit, ...]


class NatPool(Struct, frozen=True):
    rule: str
    type: str  # dynamic-ip-and-port, dynamic-ip
    addresses: str  # "198.51.100.2-198.51.100.9"
    used: int  # ports, or addresses
    available: int
    ratio: int  # oversubscription; 1 of dynamic-ip


class NatPools(Struct, frozen=True, tag=True):
    pools: tuple[NatPool, ...]


class Matched(Struct, frozen=True, tag=True):
    """Names of the rules that match, first first; empty where none does."""

    rules: tuple[str, ...]


class FoundRoute(Struct, frozen=True, tag=True):
    route: Route | None


class FloodFigures(Struct, frozen=True):
    rate: int  # packets a second now
    dropped: int
    cookies: int


class ZoneFigures(Struct, frozen=True):
    """By names of native.FLOODS, SCANS and PROTECTIONS."""

    zone: str
    floods: dict[str, FloodFigures]
    scans: dict[str, int]  # packets dropped
    checks: dict[str, int]  # packets refused or changed


class ZoneProtections(Struct, frozen=True, tag=True):
    zones: tuple[ZoneFigures, ...]


class DosFigures(Struct, frozen=True, tag=True):
    """Rates are of all that matches; what was dropped is so for either kind of limits."""

    floods: dict[str, FloodFigures]
    sessions: int  # live
    tracked: int  # hosts with rates of their own
    denied: int  # packets
    allowed: int
    limited: int  # by a number of sessions


class Block(Struct, frozen=True):
    source: str
    destination: str  # "": any
    zone: str
    why: str  # flood, scan, packet, session-limit, buffer
    rule: str  # of DoS protection, "": the zone's profile or the packet buffer
    left_s: int
    dropped: int


class BlockPage(Struct, frozen=True, tag=True):
    blocks: tuple[Block, ...]
    cursor: int


class Counters(Struct, frozen=True, tag=True):
    counters: tuple[Counter, ...]  # every counter there is, zero or not
    now_ns: int  # monotonic, for rates


Reply = (
    Done
    | Failed
    | Status
    | SessionPage
    | SessionDetail
    | Counters
    | Hits
    | NatPools
    | Matched
    | FoundRoute
    | ZoneProtections
    | DosFigures
    | BlockPage
)
