"""Elements of protection against attacks: zone protection profiles and DoS protection profiles.

Ranges and defaults: fact sheet 4.4 and 4.9. The elements of packet-based protection are those of
native.PROTECTIONS; what they are for is here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from control.config.elements import (
    Choice,
    Container,
    Element,
    Leaf,
    NamedList,
    container,
    kept,
    kept_leaves,
    named_list,
)
from control.config.schema_objects import DESCRIPTION
from control.config.value_types import (
    ETHER_TYPE,
    IPV4_PREFIX,
    IPV6_PREFIX,
    YES_NO,
    matching,
    name,
    number,
    one_of,
)
from native import FLOODS, PROTECTIONS, SCAN_ACTIONS, SCANS

_RATE = number(1, 2_000_000)
_RATE_OR_NONE = number(0, 2_000_000)
_GLOBAL = one_of("global", "yes", "no")

# What a profile does by default although nothing is said: fact sheet 4.4.
_ON = ("discard-tcp-syn-with-data", "discard-tcp-synack-with-data", "ipv6 multicast-source")
_ON_PREFIX = "ipv6 routing-header-"

# By element; nothing is taken away where there is none.
_HELP = {
    "discard-ip-spoof": "Drop what comes from an address that is not routed to the zone it comes "
    "by.",
    "strict-ip-check": "Drop what comes from an address that is not routed to the very interface "
    "it comes by, or from the interface's broadcast address; policy-based forwarding is not asked.",
    "discard-ip-frag": "Drop IP fragments.",
    "discard-strict-source-routing": "Drop IPv4 packets with the option strict source routing.",
    "discard-loose-source-routing": "Drop IPv4 packets with the option loose source routing.",
    "discard-timestamp": "Drop IPv4 packets with the option timestamp.",
    "discard-record-route": "Drop IPv4 packets with the option record route.",
    "discard-security": "Drop IPv4 packets with the option security.",
    "discard-stream-id": "Drop IPv4 packets with the option stream ID.",
    "discard-unknown-option": "Drop IPv4 packets with an option of unknown class and number.",
    "discard-malformed-option": "Drop IPv4 packets with an option whose class, number or length "
    "is wrong.",
    "discard-overlapping-tcp-segment-mismatch": "Drop TCP segments that overlap earlier ones with "
    "other data.",
    "discard-tcp-split-handshake": "Drop TCP handshakes of another kind than SYN, SYN-ACK, ACK.",
    "discard-tcp-syn-with-data": "Drop SYN segments with data.",
    "discard-tcp-synack-with-data": "Drop SYN-ACK segments with data.",
    "discard-icmp-ping-zero-id": "Drop ICMP echo packets with identifier 0.",
    "discard-icmp-frag": "Drop fragments of ICMP packets.",
    "discard-icmp-large-packet": "Drop ICMP packets of more than 1024 bytes.",
    "discard-icmp-error": "Drop ICMP error messages.",
    "suppress-icmp-timeexceeded": "Do not tell a sender in this zone that its packet's hop limit "
    "has ended.",
    "suppress-icmp-needfrag": "Do not tell a sender in this zone that its packet is too long.",
    "remove-tcp-timestamp": "Take the timestamp option out of TCP segments.",
    "strip-tcp-fast-open-and-data": "Take the Fast Open option and the data out of SYN segments.",
    "strip-mptcp-option": "Take the Multipath TCP option out of TCP segments; global is what "
    "deviceconfig setting tcp strip-mptcp-option says.",
    "ipv6 ipv4-compatible-address": "Drop packets with an IPv4-compatible address.",
    "ipv6 anycast-source": "Drop packets from a subnet router anycast address.",
    "ipv6 needless-fragment-hdr": "Drop packets with a fragment header that are whole.",
    "ipv6 multicast-source": "Drop packets from a multicast address.",
    "ipv6 reserved-field-set-discard": "Drop packets with bits set that are reserved.",
    "ipv6 options-invalid-ipv6-discard": "Drop packets with an option that is wrong.",
    "ipv6 icmpv6-too-big-small-mtu-discard": "Drop Packet Too Big messages of an MTU below 1280.",
    "ipv6 filter-ext-hdr hop-by-hop-hdr": "Drop packets with a hop-by-hop options header.",
    "ipv6 filter-ext-hdr routing-hdr": "Drop packets with a routing header.",
    "ipv6 filter-ext-hdr dest-option-hdr": "Drop packets with a destination options header.",
    "ipv6 ignore-inv-pkt dest-unreach": "Drop Destination Unreachable messages that quote no "
    "session.",
    "ipv6 ignore-inv-pkt pkt-too-big": "Drop Packet Too Big messages that quote no session.",
    "ipv6 ignore-inv-pkt time-exceeded": "Drop Time Exceeded messages that quote no session.",
    "ipv6 ignore-inv-pkt param-problem": "Drop Parameter Problem messages that quote no session.",
    "ipv6 ignore-inv-pkt redirect": "Drop Redirect messages that quote no session.",
}
_CONTAINER_HELP = {
    "ipv6": "IPv6 packets.",
    "filter-ext-hdr": "Extension headers.",
    "ignore-inv-pkt": "ICMPv6 messages without a session.",
}


def _protection(path: str, element: str) -> Leaf:
    if path == "strip-mptcp-option":
        return Leaf(element, _HELP[path], _GLOBAL, "global")
    is_on = path in _ON or path.startswith(_ON_PREFIX)
    types = path.removeprefix(_ON_PREFIX)
    help = _HELP.get(path, f"Drop packets with a routing header of type {types}.")
    return Leaf(element, help, YES_NO, "yes" if is_on else "no")


def _protections(prefix: str = "") -> list[Element]:
    """The elements of native.PROTECTIONS below a path, containers for those with several words."""
    found: dict[str, Element] = {}
    for protection in PROTECTIONS:
        path = protection.element
        if not path.startswith(prefix):
            continue
        word, _, below = path.removeprefix(prefix).partition(" ")
        if not below:
            found[word] = _protection(path, word)
        elif word not in found:
            found[word] = container(word, _CONTAINER_HELP[word], _protections(f"{prefix}{word} "))
    return list(found.values())


class _Flood(NamedTuple):
    """How a flood is met, with the rates it has by default."""

    element: str
    help: str
    activate: Leaf
    maximal: str


_RED = _Flood(
    "red",
    "Packets are dropped at random, the more the nearer the rate is to the maximum.",
    Leaf("activate-rate", "Packets a second from which on some are dropped.", _RATE, "10000"),
    "40000",
)
_SYN_COOKIES = _Flood(
    "syn-cookies",
    "SYN segments are answered by the firewall; only who answers back gets a session.",
    Leaf(
        "activate-rate",
        "Packets a second from which on they are answered; 0 is always.",
        _RATE_OR_NONE,
        "0",
    ),
    "1000000",
)
_FLOOD_HELP = {
    "tcp-syn": "TCP SYN segments.",
    "udp": "UDP packets.",
    "icmp": "ICMP echo requests.",
    "icmpv6": "ICMPv6 echo requests.",
    "other-ip": "Packets of every other protocol.",
}


def _ways(flood: str, *others: Element) -> Iterator[Container]:
    for way in (_RED, _SYN_COOKIES) if flood == "tcp-syn" else (_RED,):
        yield container(
            way.element,
            way.help,
            Leaf("alarm-rate", "Packets a second that are told of.", _RATE_OR_NONE, "10000"),
            way.activate,
            Leaf(
                "maximal-rate",
                "Packets a second above which all the others are dropped.",
                _RATE,
                way.maximal,
            ),
            others,
        )


def _floods(*others: Element) -> Container:
    """`others` are beside the rates."""
    return container(
        "flood",
        "Packets that match no session. Where neither way is given, the rates of red hold.",
        (
            container(
                flood.element,
                _FLOOD_HELP[flood.element],
                Leaf("enable", "Whether they are limited.", YES_NO, "no"),
                ways,
                choices=(Choice(tuple(way.name for way in ways)),) if len(ways) > 1 else (),
            )
            for flood in FLOODS
            for ways in [tuple(_ways(flood.element, *others))]
        ),
    )


_SCAN = matching("the number of a scan such as 8001", "[0-9]{1,16}", 16)
MAX_WHITE_LIST = 20


def _scans() -> NamedList:
    known = ", ".join(f"{scan.id} is {scan.text.removeprefix('SCAN: ')}" for scan in SCANS)
    return named_list(
        "scan",
        f"Reconnaissance by one source: {known}.",
        "scan",
        _SCAN,
        container(
            "action",
            "What happens to who scans; without it as with alert.",
            container("allow", "Nothing."),
            container("alert", "It is told of."),
            container("block", "Further packets to the same are dropped until the interval ends."),
            container(
                "block-ip",
                "Everything of the source is dropped.",
                Leaf(
                    "track-by",
                    "Whether to everybody, or to who was scanned.",
                    one_of("source", "source-and-destination"),
                    "source",
                ),
                Leaf("duration", "Seconds: for how long.", number(1, 3600), required=True),
            ),
            choices=(Choice(SCAN_ACTIONS),),
        ),
        Leaf(
            "interval",
            "Seconds within which the threshold counts; without it 2, of 8002 it is 10.",
            number(2, 65535),
        ),
        Leaf(
            "threshold",
            "Different ports, hosts or protocols that are a scan.",
            number(2, 65535),
            "100",
        ),
    )


def zone_protection() -> NamedList:
    sctp = ("alarm-rate", "activate-rate", "maximal-rate")
    floods = _floods()
    init = container(
        "sctp-init",
        "SCTP INIT chunks.",
        kept_leaves("enable"),
        container("red", "Random drops.", kept_leaves(*sctp)),
    )
    return named_list(
        "zone-protection-profile",
        "Protection of what is behind a zone's interfaces, against what comes in by them.",
        "profile",
        name(),
        DESCRIPTION,
        container("flood", floods.help, floods.children.values(), init),
        _scans(),
        named_list(
            "scan-white-list",
            f"Sources that may scan, at most {MAX_WHITE_LIST}.",
            "entry",
            name(),
            Leaf("ipv4", "An IPv4 address or prefix.", IPV4_PREFIX),
            Leaf("ipv6", "An IPv6 address or prefix.", IPV6_PREFIX),
            choices=(Choice(("ipv4", "ipv6"), required=True),),
        ),
        _protections(),
        Leaf(
            "tcp-reject-non-syn",
            "Drop a TCP packet that belongs to no session and is no SYN; global is what "
            "deviceconfig setting session tcp-reject-non-syn says.",
            _GLOBAL,
            "global",
        ),
        Leaf(
            "asymmetric-path",
            "What becomes of TCP segments out of window; global is what deviceconfig setting tcp "
            "asymmetric-path says.",
            one_of("global", "drop", "bypass"),
            "global",
        ),
        container(
            "non-ip-protocol",
            "Frames of other protocols than IP, ARP and 802.1Q between ports of a VLAN or of a "
            "virtual wire.",
            Leaf(
                "list-type",
                "With include only what is listed passes, with exclude it is dropped.",
                one_of("include", "exclude"),
                "exclude",
            ),
            named_list(
                "protocol",
                "The protocols.",
                "protocol",
                name(),
                Leaf("ether-type", "Its Ethernet type.", ETHER_TYPE, required=True),
                Leaf("enable", "Whether the entry counts.", YES_NO, "yes"),
            ),
        ),
        kept("cloud", "l2-sec-group-tag-protection"),
    )


def dos_protection() -> NamedList:
    block = container(
        "block",
        "What follows for who is above the maximum.",
        Leaf(
            "duration",
            "Seconds: how long a source is blocked; of profiles of type classified, but not where "
            "only destinations are counted.",
            number(1, 21_600),
            "300",
        ),
    )
    return named_list(
        "dos-protection",
        "DoS protection profiles: limits for what a rule with action protect matches.",
        "profile",
        name(),
        DESCRIPTION,
        Leaf(
            "type",
            "Whether all that a rule matches is counted together, or each host by itself.",
            one_of("aggregate", "classified"),
            "aggregate",
        ),
        _floods(block),
        container(
            "resource",
            "What may be used.",
            container(
                "sessions",
                "Sessions at once.",
                Leaf("enabled", "Whether they are limited.", YES_NO, "no"),
                Leaf("max-concurrent-limit", "At most.", number(1, 4_194_304), "32768"),
            ),
        ),
    )
