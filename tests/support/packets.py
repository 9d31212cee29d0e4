"""Packets with another value in every field, and a firewall of three zones to send them through.

     client  192.0.2.10                       server  198.51.100.20
             2001:db8:1::10                           2001:db8:2::20
        |                                        |
        +-- ethernet1/1 -- [ firewall .1 ] -- ethernet1/2 --+
              trust              |              untrust
                             ethernet1/3 dmz
                                 |
                             203.0.113.30, 2001:db8:3::30

Times are seconds since the engine began; nothing here looks at a clock.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6PacketTooBig,
    ICMPv6TimeExceeded,
    IPv6,
)
from scapy.packet import Packet as Layers
from scapy.packet import Raw

from dataplane.engine import Engine
from dataplane.messages import Session
from dataplane.snapshot import (
    AcceleratedAging,
    ApplicationOverride,
    ApplicationTimeouts,
    Port,
    Route,
    SecurityRule,
    Snapshot,
)
from dataplane.threat_log import ThreatEntry
from dataplane.traffic_log import Entry
from native import COUNTERS, TIMERS, LinkType, Packet, Verdict, VerdictAction

TRUST, UNTRUST, DMZ = "ethernet1/1", "ethernet1/2", "ethernet1/3"
CLIENT = {4: "192.0.2.10", 6: "2001:db8:1::10"}
SERVER = {4: "198.51.100.20", 6: "2001:db8:2::20"}
BASTION = {4: "203.0.113.30", 6: "2001:db8:3::30"}
OWN = {4: "192.0.2.1", 6: "2001:db8:1::1"}  # the firewall's address in trust
ROUTER = {4: "198.51.100.77", 6: "2001:db8:2::77"}  # somebody on the way to the server
FAMILIES = (4, 6)
TTL = 61  # of what is sent here, and of nothing that the firewall sends in its own name

CLIENT_ISN, SERVER_ISN = 0x11223344, 0x55667788
Options = Sequence[tuple[str, object]]  # as scapy has them

HASH_KEY = bytes(range(16))
NS = 1_000_000_000

_NETWORKS = {
    TRUST: ("trust", ("192.0.2.1/24", "2001:db8:1::1/64")),
    UNTRUST: ("untrust", ("198.51.100.1/24", "2001:db8:2::1/64")),
    DMZ: ("dmz", ("203.0.113.1/24", "2001:db8:3::1/64")),
}

# ---- packets -------------------------------------------------------------------------------------


def ip(
    family: int = 4,
    *,
    src: str | None = None,
    dst: str | None = None,
    back: bool = False,
    ttl: int = TTL,
) -> Layers:
    """The IP header of a packet from client to server, or back."""
    there = (src or CLIENT[family], dst or SERVER[family])
    source, destination = there[::-1] if back else there
    if family == 4:
        return IP(src=source, dst=destination, ttl=ttl, id=0x1234, tos=0x2C, flags="DF")
    return IPv6(src=source, dst=destination, hlim=ttl, fl=0x56789, tc=0x2C)


def _ports(sport: int, dport: int, back: bool) -> dict[str, int]:
    return {"sport": dport, "dport": sport} if back else {"sport": sport, "dport": dport}


def tcp(
    flags: str = "S",
    family: int = 4,
    *,
    sport: int = 40001,
    dport: int = 80,
    seq: int | None = None,
    ack: int | None = None,
    window: int = 0x99AA,
    options: Options = (),
    payload: bytes = b"",
    back: bool = False,
    src: str | None = None,
    dst: str | None = None,
    ttl: int = TTL,
) -> bytes:
    """A segment that fits a connection where each side has sent its SYN and nothing else."""
    mine, other = (SERVER_ISN, CLIENT_ISN) if back else (CLIENT_ISN, SERVER_ISN)
    header = TCP(
        **_ports(sport, dport, back),
        flags=flags,
        seq=mine + ("S" not in flags) if seq is None else seq,
        ack=other + 1 if ack is None else ack,
        window=window,
        options=list(options),
    )
    packet = ip(family, src=src, dst=dst, back=back, ttl=ttl) / header
    return bytes(packet / Raw(payload) if payload else packet)


def udp(
    family: int = 4,
    *,
    sport: int = 40002,
    dport: int = 53,
    payload: bytes = b"question",
    back: bool = False,
    src: str | None = None,
    dst: str | None = None,
    ttl: int = TTL,
) -> bytes:
    header = UDP(**_ports(sport, dport, back))
    packet = ip(family, src=src, dst=dst, back=back, ttl=ttl) / header
    return bytes(packet / Raw(payload) if payload else packet)


def echo(
    family: int = 4,
    *,
    identifier: int = 0x0102,
    sequence: int = 0x0304,
    reply: bool = False,
    back: bool = False,
    src: str | None = None,
    dst: str | None = None,
    payload: bytes = b"ping",
) -> bytes:
    """An echo request from client to server; `reply` makes it a reply, `back` the way of one."""
    if family == 4:
        message = ICMP(type=0 if reply else 8, id=identifier, seq=sequence)
    else:
        kind = ICMPv6EchoReply if reply else ICMPv6EchoRequest
        message = kind(id=identifier, seq=sequence)
    return bytes(ip(family, src=src, dst=dst, back=back) / message / Raw(payload))


def icmp_error(
    about: bytes,
    *,
    src: str | None = None,
    dst: str | None = None,
    kind: str = "unreachable",
    quote: bytes | None = None,
) -> bytes:
    """What a router on the way (or `src`) tells the sender of a packet; quotes it, or `quote`."""
    family = about[0] >> 4
    quoted = Raw(about if quote is None else quote)
    if family == 4:
        types = {
            "unreachable": (3, 1),
            "too-big": (3, 4),
            "exceeded": (11, 0),
            "parameter": (12, 0),
        }
        icmp_type, code = types[kind]
        message = ICMP(type=icmp_type, code=code)
    else:
        message = {
            "unreachable": ICMPv6DestUnreach(code=1),
            "too-big": ICMPv6PacketTooBig(mtu=1280),
            "exceeded": ICMPv6TimeExceeded(code=0),
        }[kind]
    receiver = (IP(about) if family == 4 else IPv6(about)).src if dst is None else dst
    return bytes(ip(family, src=src or ROUTER[family], dst=receiver) / message / quoted)


def other(
    protocol: int,
    family: int = 4,
    *,
    back: bool = False,
    payload: bytes = b"x" * 20,
    src: str | None = None,
    dst: str | None = None,
) -> bytes:
    """A packet of a protocol the firewall knows no ports of."""
    header = ip(family, src=src, dst=dst, back=back)
    if family == 4:
        header.proto = protocol
    else:
        header.nh = protocol
    return bytes(header / Raw(payload))


class Ends(NamedTuple):
    """Who speaks with whom; of an echo both ports are its identifier, of other protocols 0."""

    src: str
    sport: int
    dst: str
    dport: int


def ends(packet: bytes) -> Ends:
    """Raises AssertionError where a checksum is wrong."""
    header = IP(packet) if packet[0] >> 4 == 4 else IPv6(packet)
    again = header.copy()
    for layer in (IP, TCP, UDP, ICMP, ICMPv6EchoRequest, ICMPv6EchoReply):
        for name in ("chksum", "cksum"):
            if layer in again and name in again[layer].fields:
                delattr(again[layer], name)
    assert bytes(again) == packet
    for layer in (TCP, UDP):
        if layer in header:
            return Ends(header.src, header[layer].sport, header.dst, header[layer].dport)
    for layer in (ICMP, ICMPv6EchoRequest, ICMPv6EchoReply):
        if layer in header:
            return Ends(header.src, header[layer].id, header.dst, header[layer].id)
    return Ends(header.src, 0, header.dst, 0)


# ---- a firewall ----------------------------------------------------------------------------------


class Answer(NamedTuple):
    """What became of a packet: forward, host, or the drop reason's name."""

    what: str
    port: str = ""  # where it leaves
    session: int = 0
    data: bytes | None = None  # what is sent, where it is not what came in
    emitted: tuple[tuple[str, bytes], ...] = ()  # packets of the firewall's own: port and bytes


_DROP_NAMES = {info.number: info.name for info in COUNTERS if info.severity == "drop"}

ALLOW = SecurityRule(name="allow", action="allow")


def default_rule(name: str, action: str) -> SecurityRule:
    return SecurityRule(name=name, action=action, log_end=False)


def default_timeouts(**changed: int) -> dict[str, int]:
    """Every timer by knob; `timeout_tcp=20` changes timeout-tcp."""
    timers = {timer.knob: timer.default_s for timer in TIMERS}
    return timers | {name.replace("_", "-"): seconds for name, seconds in changed.items()}


def snapshot(
    *rules: SecurityRule,
    timeouts_s: dict[str, int] | None = None,
    tcp_reject_non_syn: bool = True,
    ipv6_firewalling: bool = True,
    discard_denied: bool = True,
    intrazone: str = "allow",
    interzone: str = "deny",
    ipv6_ports: Iterable[str] = tuple(_NETWORKS),
    no_refresh_on_discard: bool = False,
    tcp_asymmetric_bypass: bool = False,
    tcp_allow_challenge_ack: bool = False,
    offload: bool = True,
    accelerated_aging: AcceleratedAging | None = None,
    max_sessions: int = 0,
    application_overrides: tuple[ApplicationOverride, ...] = (),
    applications: dict[str, ApplicationTimeouts] | None = None,
) -> Snapshot:
    return Snapshot(
        ports=tuple(
            Port(
                name=name,
                interface=f"eth{number}",
                zone=zone,
                addresses=addresses,
                ipv6=name in ipv6_ports,
                virtual_router="default",
            )
            for number, (name, (zone, addresses)) in enumerate(_NETWORKS.items(), 1)
        ),
        rules=rules,
        intrazone_default=default_rule("intrazone-default", intrazone),
        interzone_default=default_rule("interzone-default", interzone),
        timeouts_s=default_timeouts() if timeouts_s is None else timeouts_s,
        tcp_reject_non_syn=tcp_reject_non_syn,
        ipv6_firewalling=ipv6_firewalling,
        discard_denied=discard_denied,
        no_refresh_on_discard=no_refresh_on_discard,
        tcp_asymmetric_bypass=tcp_asymmetric_bypass,
        tcp_allow_challenge_ack=tcp_allow_challenge_ack,
        offload=offload,
        accelerated_aging=accelerated_aging or AcceleratedAging(),
        max_sessions=max_sessions,
        application_overrides=application_overrides,
        applications=applications or {},
    )


def routes() -> list[Route]:
    """The kernel's tables as they are with these ports: connected networks and own addresses."""
    found = []
    for port, networks in ((port, networks) for port, (_, networks) in _NETWORKS.items()):
        v4, v6 = networks
        found += [
            Route(prefix=v4.replace(".1/24", ".0/24"), kind="unicast", port=port),
            Route(prefix=v4.removesuffix("/24"), kind="local", port=port),
            Route(prefix=v4.replace(".1/24", ".255"), kind="broadcast", port=port),
            Route(prefix=v6.replace("::1/64", "::/64"), kind="unicast", port=port),
            Route(prefix=v6.removesuffix("/64"), kind="local", port=port),
        ]
    return found


class Firewall:
    """An engine with ports, routes and rules, and no offload engine unless told.

    The default rules allow everything and log it.
    """

    def __init__(
        self,
        configuration: Snapshot | None = None,
        *,
        max_sessions: int = 4096,
        platform: str = "software",
        start_s: float = 0,
        wall_offset_s: int = 0,
    ) -> None:
        self.engine = Engine(
            hash_key=HASH_KEY,
            now_ns=round(start_s * NS),
            wall_offset_ns=wall_offset_s * NS,
            max_sessions=max_sessions,
            platform=platform,
        )
        self.engine.configure(snapshot(ALLOW) if configuration is None else configuration)
        self.engine.set_routes(routes())
        self._now_ns = round(start_s * NS)

    def send(
        self,
        packet: bytes,
        port: str = TRUST,
        at_s: float | None = None,
        *,
        after_ns: int = 0,
        link: LinkType = LinkType.IP,
        trusted: bool = False,
        egress: str = "",
        mac: bytes = bytes(6),
    ) -> Answer:
        """Sends a packet, at the time of the last one unless told; says what became of it.

        A bridge would send it by `egress`; `mac` is its sender's.
        """
        self._now_ns = (self._now_ns if at_s is None else round(at_s * NS)) + after_ns
        number = self.engine.port_number(port)
        bridged = self.engine.port_number(egress)
        fed = Packet(packet, number, self._now_ns, 7, link, trusted, egress=bridged, mac=mac)
        *emitted, verdict = self.engine.feed([fed])
        return self._answer(verdict, emitted)

    def _answer(self, verdict: Verdict, emitted: list[Verdict]) -> Answer:
        assert verdict.tag == 7
        assert all(item.action is VerdictAction.EMIT for item in emitted)
        port = self.engine.port_name(verdict.port)
        sent = tuple((self.engine.port_name(item.port), item.data or b"") for item in emitted)
        if verdict.action is VerdictAction.DROP:
            return Answer(_DROP_NAMES[verdict.reason], port, verdict.session, verdict.data, sent)
        assert verdict.reason == 0
        return Answer(verdict.action.name.lower(), port, verdict.session, verdict.data, sent)

    def tick(self, at_s: float, *, after_ns: int = 0) -> tuple[tuple[str, bytes], ...]:
        """Lets time pass; packets the engine sends of itself, each with its port."""
        self._now_ns = round(at_s * NS) + after_ns
        emitted = self.engine.tick(self._now_ns)
        assert all(item.action is VerdictAction.EMIT for item in emitted)
        return tuple((self.engine.port_name(item.port), item.data or b"") for item in emitted)

    def entries(self) -> list[Entry]:
        """Log entries since the last call."""
        return self.engine.take_entries()

    def threats(self) -> list[ThreatEntry]:
        """Threat log entries since the last call."""
        return self.engine.take_threats()

    def counters(self) -> dict[str, int]:
        """The counters that are not zero."""
        return {name: value for name, value in self.engine.counters().items() if value}

    def session(self, session_id: int = 1) -> Session:
        found = self.engine.session(session_id)
        assert found is not None, f"slot {session_id} was never used"
        return found
